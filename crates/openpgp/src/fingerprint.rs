//! What names a key beyond doubt.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a fingerprint: of version 4 keys (SHA-1, RFC 4880) and of version 5 and 6 keys (SHA-256).
const DIGITS: [usize; 2] = [40, 64];

/// A key's whole fingerprint, in capital hexadecimal digits.
#[derive(Clone, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(#[schemars(regex(pattern = r"^[0-9A-Fa-f ]{40,}$"))] String);

/// A text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}, expected a fingerprint of 40 or 64 hexadecimal digits")]
pub struct NoFingerprint(String);

impl Fingerprint {
    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NoFingerprint> {
        let digits = hex_digits(text).filter(|digits| DIGITS.contains(&digits.len()));
        digits.map(Fingerprint).ok_or_else(|| NoFingerprint(text.to_owned()))
    }
}

/// The digits of a number as people write it: in groups, perhaps after `0x`; none when it is something else.
pub(crate) fn hex_digits(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits: String = text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

impl TryFrom<String> for Fingerprint {
    type Error = NoFingerprint;

    fn try_from(text: String) -> Result<Fingerprint, NoFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_fingerprints_are() {
        let whole = "5A694BB76B6C08C9AFEBF74ACE693478CF3C742B";
        for text in [
            whole.to_owned(),
            format!("0x{}", whole.to_lowercase()),
            "5A69 4BB7 6B6C 08C9 AFEB  F74A CE69 3478 CF3C 742B".to_owned(),
        ] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().as_str(), whole);
        }
        for text in
            ["", "CE693478CF3C742B", "alice@example.org", &format!("{whole}0"), &whole.replace('5', "G")]
        {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
