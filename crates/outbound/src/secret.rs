//! Passwords, tokens and keys: read from where they are kept, and never shown.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a secret is: in the configuration itself, in a file (a systemd credential, say), or in the environment.
///
/// ```yaml
/// password: swordfish
/// password: {file: /run/credentials/attestry.service/nats}
/// password: {env: NATS_PASSWORD}
/// ```
#[derive(Clone, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Secret {
    /// The secret itself.
    Plain(String),
    /// In a file; a line break at its end is not part of it.
    File(InFile),
    /// In a variable of the environment.
    Env(InEnv),
}

/// A secret in a file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InFile {
    /// The file.
    pub file: PathBuf,
}

/// A secret in the environment.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InEnv {
    /// The variable's name.
    pub env: String,
}

/// A secret is not where it is said to be.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The variable is not set, or not UTF-8.
    #[error("the environment has no variable {0} that is text")]
    Env(String),
}

impl Secret {
    /// The secret, fetched now: so a new one in its file is used at the next connection.
    ///
    /// # Errors
    /// When it is not where it is said to be.
    pub fn read(&self) -> Result<String, SecretError> {
        match self {
            Secret::Plain(text) => Ok(text.clone()),
            Secret::File(InFile { file }) => match std::fs::read_to_string(file) {
                Ok(text) => {
                    let line = text.strip_suffix('\n').unwrap_or(&text);
                    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
                }
                Err(source) => Err(SecretError::File { path: file.clone(), source }),
            },
            Secret::Env(InEnv { env }) => std::env::var(env).map_err(|_| SecretError::Env(env.clone())),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Plain(_) => f.write_str("(a secret)"),
            Secret::File(file) => file.fmt(f),
            Secret::Env(env) => env.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Secret {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn is_read_from_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "from a file\n").unwrap();
        assert_eq!(parse("swordfish").read().unwrap(), "swordfish");
        assert_eq!(parse(&format!("{{file: {}}}", path.display())).read().unwrap(), "from a file");
        assert_eq!(parse("{env: CARGO_PKG_NAME}").read().unwrap(), "attestry-outbound");
        assert!(
            parse("{env: NO_SUCH_VARIABLE}").read().unwrap_err().to_string().contains("NO_SUCH_VARIABLE")
        );
        assert!(parse("{file: /no/such/file}").read().unwrap_err().to_string().contains("/no/such/file"));
    }

    #[test]
    fn is_never_shown() {
        assert!(!format!("{:?}", Some(parse("swordfish"))).contains("swordfish"));
    }
}
