//! A listing of keys for programs (`doc/DETAILS` of GnuPG, "Format of the colon listings").

use crate::fingerprint::Fingerprint;
use crate::key::{Key, Validity};

/// The keys of a listing by `--list-keys --with-colons --with-secret`.
pub(crate) fn keys(text: &str) -> Vec<Key> {
    let mut found: Vec<Building> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at - 1).copied().unwrap_or_default();
        match field(1) {
            "pub" => found.push(Building {
                fingerprint: None,
                key: Parts {
                    validity: validity(field(2), field(12)),
                    expires: field(7).parse().ok(),
                    // Capital letters are what the whole key can do now.
                    signs: field(12).contains('S'),
                    encrypts: field(12).contains('E'),
                    secret: has_secret(field(2), field(12), field(15)),
                    user_ids: Vec::new(),
                },
            }),
            kind => {
                let Some(last) = found.last_mut() else { continue };
                match kind {
                    "fpr" if last.fingerprint.is_none() => last.fingerprint = field(10).parse().ok(),
                    "sub" => last.key.secret |= has_secret(field(2), field(12), field(15)),
                    "uid" => last.key.user_ids.push((validity(field(2), ""), unescaped(field(10)))),
                    _ => {}
                }
            }
        }
    }
    found.into_iter().filter_map(Building::finished).collect()
}

struct Building {
    fingerprint: Option<Fingerprint>,
    key: Parts,
}

struct Parts {
    validity: Validity,
    expires: Option<u64>,
    signs: bool,
    encrypts: bool,
    secret: bool,
    user_ids: Vec<(Validity, String)>,
}

impl Building {
    fn finished(self) -> Option<Key> {
        let Parts { validity, expires, signs, encrypts, secret, user_ids } = self.key;
        Some(Key { fingerprint: self.fingerprint?, validity, user_ids, expires, signs, encrypts, secret })
    }
}

fn validity(letter: &str, capabilities: &str) -> Validity {
    if capabilities.contains('D') {
        return Validity::Disabled;
    }
    match letter {
        "r" => Validity::Revoked,
        "e" => Validity::Expired,
        "d" => Validity::Disabled,
        "i" => Validity::Invalid,
        "n" => Validity::Never,
        "m" => Validity::Marginal,
        "f" => Validity::Full,
        "u" => Validity::Ultimate,
        _ => Validity::Unknown,
    }
}

/// Whether a key signs and its secret part is here: `+`, or the serial number of a card; `#` stands for one that is kept elsewhere. One that has
/// expired counts, as it can be made to last longer.
fn has_secret(letter: &str, capabilities: &str, token: &str) -> bool {
    capabilities.contains('s') && !matches!(token, "" | "#") && !matches!(letter, "r" | "d" | "i")
}

/// User ids are written as in C: `\x3a` is a colon.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        let (before, escape) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        match escape.get(2..4).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = escape.get(4..).unwrap_or_default();
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = escape.get(2..).unwrap_or_default();
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_says_what_keys_can_do() {
        let text = "tru:o:1:1795275740:1:3:1:5\n\
            pub:u:255:22:CE693478CF3C742B:1795275740:::u:::scESC:::#:ed25519:::0:\n\
            fpr:::::::::5A694BB76B6C08C9AFEBF74ACE693478CF3C742B:\n\
            uid:u::::1795275740::76BD::Alice\\x3a A <alice@example.org>::::::::::0:\n\
            uid:-::::1795275740::76BE::Alic\\x1be <other@example.org>::::::::::0:\n\
            sub:u:255:22:47D1F963763A2551:1795275740::::::s:::+::ed25519::\n\
            fpr:::::::::C3209C1F773199B3E5E8657847D1F963763A2551:\n\
            pub:e:255:22:1C9195779A1BF14E:1577836800:1578225600::u:::sc:::+:ed25519:::0:\n\
            fpr:::::::::687F20F2F324A33AAB75E0771C9195779A1BF14E:\n\
            pub:-:255:22:1C9195779A1BF14F:1577836800:::-:::scSCD:::::ed25519:::0:\n\
            fpr:::::::::687F20F2F324A33AAB75E0771C9195779A1BF14F:\n";
        let keys = keys(text);
        let told: Vec<_> =
            keys.iter().map(|key| (key.validity, key.signs, key.encrypts, key.secret, key.expires)).collect();
        assert_eq!(
            told,
            [
                (Validity::Ultimate, true, true, true, None),
                (Validity::Expired, false, false, true, Some(1_578_225_600)),
                (Validity::Disabled, true, false, false, None),
            ]
        );
        assert_eq!(keys[0].fingerprint.as_str(), "5A694BB76B6C08C9AFEBF74ACE693478CF3C742B");
        let names = [
            (Validity::Ultimate, "Alice: A <alice@example.org>".to_owned()),
            (Validity::Unknown, "Alice <other@example.org>".to_owned()),
        ];
        assert_eq!(keys[0].user_ids, names);
    }
}
