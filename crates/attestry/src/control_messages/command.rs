//! What a message may say: `SIGNOFF|fingerprint,fingerprint`, `SCHEMA|fingerprint` and `REPORT|name`, as Watchy spelt them, perhaps with a reason
//! after another `|`, or as JSON: `{"command": "signoff", "fingerprints": ["…"], "reason": "…"}`. One command a message.

use serde::Deserialize;

/// The most violations that one message signs off.
const FINGERPRINTS_MAX: usize = 1_000;

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

/// The longest name or fingerprint, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What is to be done.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Command {
    /// These violations are all right.
    SignOff {
        fingerprints: Vec<String>,
        #[serde(default)]
        reason: Option<String>,
    },
    /// These changes of a table's columns are.
    Schema {
        fingerprints: Vec<String>,
        #[serde(default)]
        reason: Option<String>,
    },
    /// Run this report now.
    Report { name: String },
}

impl Command {
    /// Its name, as JSON and events have it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Command::SignOff { .. } => "signoff",
            Command::Schema { .. } => "schema",
            Command::Report { .. } => "report",
        }
    }

    /// The command in a verified text. Nothing of it is evaluated.
    ///
    /// # Errors
    /// What is wrong with it, in words that hold nothing of the text but what a name may hold.
    pub(super) fn of(text: &[u8]) -> Result<Command, String> {
        let text = std::str::from_utf8(text).map_err(|_| "the text is not UTF-8".to_owned())?.trim();
        if text.starts_with('{') {
            let command: Command = serde_json::from_str(text).map_err(|error| {
                format!("the JSON is no command: line {}, column {}", error.line(), error.column())
            })?;
            return command.checked();
        }
        if text.lines().count() != 1 {
            return Err("expected one line with one command".to_owned());
        }
        let mut parts = text.splitn(3, '|').map(str::trim);
        let (verb, what) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let reason = parts.next().map(str::to_owned);
        let fingerprints = || what.split(',').map(|one| one.trim().to_owned()).collect();
        match (verb, reason) {
            ("SIGNOFF", reason) => Command::SignOff { fingerprints: fingerprints(), reason },
            ("SCHEMA", reason) => Command::Schema { fingerprints: fingerprints(), reason },
            ("REPORT", None) => Command::Report { name: what.to_owned() },
            _ => return Err("expected SIGNOFF|fingerprints, SCHEMA|fingerprints or REPORT|name".to_owned()),
        }
        .checked()
    }

    fn checked(self) -> Result<Command, String> {
        match &self {
            Command::SignOff { fingerprints, reason } | Command::Schema { fingerprints, reason } => {
                if fingerprints.len() > FINGERPRINTS_MAX {
                    return Err(format!("more than {FINGERPRINTS_MAX} fingerprints"));
                }
                let fits = |one: &String| {
                    (1..=NAME_BYTES_MAX).contains(&one.len())
                        && one.bytes().all(|byte| byte.is_ascii_hexdigit())
                };
                if fingerprints.is_empty() || !fingerprints.iter().all(fits) {
                    return Err(
                        "expected fingerprints of hexadecimal digits, with commas in between".to_owned()
                    );
                }
                if reason.as_ref().is_some_and(|reason| {
                    reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control)
                }) {
                    return Err(format!("expected a reason of one line and up to {REASON_BYTES_MAX} bytes"));
                }
            }
            Command::Report { name } => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(fits) {
                    return Err("expected a report's name of A-Z, a-z, 0-9, -, _ and .".to_owned());
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_commands_are_known() {
        let sign_off = |fingerprints: &[&str], reason: Option<&str>| {
            let fingerprints = fingerprints.iter().map(|one| (*one).to_owned()).collect();
            Ok(Command::SignOff { fingerprints, reason: reason.map(str::to_owned) })
        };
        let schema = || Ok(Command::Schema { fingerprints: vec!["ab".to_owned()], reason: None });
        let report = || Ok(Command::Report { name: "violations".to_owned() });
        for (text, expected) in [
            ("SIGNOFF|0a1b,2c3d\r\n", sign_off(&["0a1b", "2c3d"], None)),
            ("SIGNOFF|0a1b , 2c3d|ticket 7 | really", sign_off(&["0a1b", "2c3d"], Some("ticket 7 | really"))),
            (
                "{\"command\": \"signoff\", \"fingerprints\": [\"0a1b\"], \"reason\": \"x\"}",
                sign_off(&["0a1b"], Some("x")),
            ),
            ("SCHEMA|ab", schema()),
            ("{\"command\":\"schema\",\"fingerprints\":[\"ab\"]}", schema()),
            ("REPORT|violations\n", report()),
            ("{\"command\":\"report\",\"name\":\"violations\"}", report()),
        ] {
            assert_eq!(Command::of(text.as_bytes()), expected, "{text}");
        }
        for text in [
            "",
            "EVAL|1 + 1",
            "SIGNOFF",
            "SIGNOFF|",
            "SIGNOFF|a,,b",
            "SIGNOFF|x'; DROP TABLE accounts",
            "SIGNOFF|ab\nSIGNOFF|cd",
            "signoff|ab",
            "REPORT|",
            "REPORT|../../etc/passwd",
            "REPORT|$(id)",
            "REPORT|violations|now",
            "{\"command\":\"eval\",\"code\":\"1\"}",
            "{\"command\":\"report\",\"name\":\"a\",\"more\":1}",
            "{\"command\":\"signoff\",\"fingerprints\":[]}",
            "{\"command\":\"signoff\",\"fingerprints\":[\"ab\"],\"reason\":\"a\\nb\"}",
            "{\"command\":\"report\",\"name\":\"a\"} {\"command\":\"report\",\"name\":\"b\"}",
        ] {
            let found = Command::of(text.as_bytes());
            assert!(found.is_err(), "{text}: {found:?}");
        }
        let many = format!("SIGNOFF|{}", ["ab"; FINGERPRINTS_MAX + 1].join(","));
        assert!(Command::of(many.as_bytes()).unwrap_err().contains("more than"));
        assert!(Command::of(&[0xff]).is_err());
    }
}
