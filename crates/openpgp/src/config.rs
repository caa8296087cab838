//! Where the user's GnuPG is, as it is written in the configuration.

use std::path::PathBuf;

use attestry_event::Period;
use attestry_outbound::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The user's GnuPG: the program, its home folder, and how secret keys are unlocked.
///
/// ```yaml
/// openpgp:
///   home: /etc/attestry/gnupg
///   passphrase: {file: /run/credentials/attestry.service/gpg}
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenpgpConfig {
    /// The program. Default: `gpg`, looked for in `PATH`.
    pub program: PathBuf,
    /// The home folder with keyring and trust. Default: the one that `gpg` uses by itself for the account that Attestry runs as.
    pub home: Option<PathBuf>,
    /// The passphrase of the secret keys. Default: the agent knows it, or there is none.
    pub passphrase: Option<Secret>,
    /// How long `gpg` may take without reading or writing anything. Default: 60s.
    pub timeout: Period,
}

impl Default for OpenpgpConfig {
    fn default() -> OpenpgpConfig {
        OpenpgpConfig {
            program: PathBuf::from("gpg"),
            home: None,
            passphrase: None,
            timeout: Period::seconds(60),
        }
    }
}

impl OpenpgpConfig {
    /// What is wrong, as far as it can be told without asking `gpg`: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.program.as_os_str().is_empty() {
            wrong.push(("program", "found nothing, expected a program such as gpg".to_owned()));
        }
        if let Some(home) = &self.home
            && !home.is_dir()
        {
            wrong.push(("home", format!("there is no folder {}", home.display())));
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "found 0s, expected a time".to_owned()));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_by_their_field() {
        for (yaml, fields) in [
            ("{}", vec![]),
            ("{program: /usr/bin/gpg2, home: /, passphrase: {env: PASSPHRASE}}", vec![]),
            ("{program: '', timeout: 0s}", vec!["program", "timeout"]),
            ("{home: /no/such/folder}", vec!["home"]),
        ] {
            let config: OpenpgpConfig = serde_saphyr::from_str(yaml).unwrap();
            let found: Vec<&str> = config.check().into_iter().map(|(field, _)| field).collect();
            assert_eq!(found, fields, "{yaml}");
        }
        assert!(serde_saphyr::from_str::<OpenpgpConfig>("{keyring: x}").is_err());
    }
}
