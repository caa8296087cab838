//! Why a key cannot be used, each with the command that mends it.

use std::fmt;

use crate::fingerprint::Fingerprint;
use crate::key::{Key, Validity};
use crate::process::quoted;

/// A key, as problems name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its first user id.
    pub owner: String,
    /// How sure it is whose it is.
    pub validity: Validity,
}

impl Told {
    pub(crate) fn of(key: &Key, validity: Validity) -> Told {
        Told { fingerprint: key.fingerprint.clone(), owner: key.owner().to_owned(), validity }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.fingerprint, self.owner)
    }
}

/// A key cannot be used. Somebody has to mend that; [`KeyProblem::remedy`] is how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// What was given names no key.
    NoName {
        /// What was given.
        wanted: String,
        /// The command line of the GnuPG that was asked, as in all of these.
        gpg: String,
    },
    /// The keyring has none.
    Missing {
        /// What was given.
        wanted: String,
        /// See above.
        gpg: String,
    },
    /// The keyring has several.
    Several {
        /// What was given.
        wanted: String,
        /// All of them.
        candidates: Vec<Told>,
    },
    /// Its time is over.
    Expired {
        /// The key.
        key: Told,
        /// Whether it is one's own.
        secret: bool,
        /// See above.
        gpg: String,
    },
    /// It was revoked, which cannot be taken back.
    Revoked {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// It is switched off.
    Disabled {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// It is no valid key.
    Invalid {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// Nobody said that it is its owner's, so nothing is encrypted to it.
    Untrusted {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// What it signs is believed only with ultimate trust.
    TrustTooLow {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// Its secret part is not here.
    NoSecret {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// No part of it signs.
    CannotSign {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// No part of it can be encrypted to.
    CannotEncrypt {
        /// The key.
        key: Told,
        /// See above.
        gpg: String,
    },
    /// The secret key stays locked.
    Locked {
        /// The key.
        fingerprint: Fingerprint,
        /// See above.
        gpg: String,
    },
}

impl KeyProblem {
    /// What mends it: commands, and what to do before.
    pub fn remedy(&self) -> String {
        match self {
            KeyProblem::NoName { gpg, .. } => format!("the keys are listed by: {gpg} --list-keys"),
            KeyProblem::Missing { gpg, .. } => {
                format!("get it from its owner, compare the fingerprint, and: {gpg} --import KEY.asc")
            }
            KeyProblem::Several { candidates, .. } => {
                let one = |key: &Told| format!("{key}, {}", key.validity.name());
                let all: Vec<String> = candidates.iter().map(one).collect();
                format!("give the fingerprint of one: {}", all.join("; "))
            }
            KeyProblem::Expired { key, secret: true, gpg } => {
                format!("make it last longer: {gpg} --quick-set-expire {} 1y", key.fingerprint)
            }
            KeyProblem::Expired { gpg, .. } => {
                format!("get it renewed from its owner, and: {gpg} --import KEY.asc")
            }
            KeyProblem::Revoked { key, gpg } => {
                let owner = quoted(&key.owner);
                format!("that is for ever: name another key, or make one: {gpg} --quick-generate-key {owner}")
            }
            KeyProblem::Disabled { key, gpg } => {
                format!("switch it on: {gpg} --edit-key {} enable save", key.fingerprint)
            }
            KeyProblem::Invalid { gpg, .. } => {
                format!("get it anew from its owner, and: {gpg} --import KEY.asc")
            }
            KeyProblem::Untrusted { key, gpg } => format!(
                "compare the fingerprint with its owner, and certify it: {gpg} --quick-lsign-key {}, or when it is your own: {}",
                key.fingerprint,
                ultimate(&key.fingerprint, gpg)
            ),
            KeyProblem::TrustTooLow { key, gpg } => {
                format!("compare the fingerprint with its owner, and: {}", ultimate(&key.fingerprint, gpg))
            }
            KeyProblem::NoSecret { key, gpg } => format!(
                "where it is: gpg --export-secret-keys {} > KEY.gpg, and here: {gpg} --import KEY.gpg",
                key.fingerprint
            ),
            KeyProblem::CannotSign { key, gpg } => {
                format!("add a part that can: {gpg} --quick-add-key {} ed25519 sign", key.fingerprint)
            }
            KeyProblem::CannotEncrypt { key, gpg } => format!(
                "its owner adds a part that can: gpg --quick-add-key {} cv25519 encr, and here: {gpg} --import KEY.asc",
                key.fingerprint
            ),
            KeyProblem::Locked { fingerprint, gpg } => format!(
                "give the right passphrase as `openpgp.passphrase`, or let the agent know it: {gpg} --local-user {fingerprint} --clearsign </dev/null"
            ),
        }
    }
}

/// The command that trusts a key ultimately.
pub(crate) fn ultimate(key: &Fingerprint, gpg: &str) -> String {
    format!("echo {key}:6: | {gpg} --import-ownertrust")
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyProblem::NoName { wanted, .. } => write!(
                f,
                "found {wanted:?}, expected a key's fingerprint, its id of 16 digits or its owner's mail address"
            ),
            KeyProblem::Missing { wanted, .. } => write!(f, "the keyring has no key {wanted:?}"),
            KeyProblem::Several { wanted, candidates } => {
                write!(f, "{wanted:?} is the name of {} keys", candidates.len())
            }
            KeyProblem::Expired { key, .. } => write!(f, "the key {key} has expired"),
            KeyProblem::Revoked { key, .. } => write!(f, "the key {key} is revoked"),
            KeyProblem::Disabled { key, .. } => write!(f, "the key {key} is disabled"),
            KeyProblem::Invalid { key, .. } => {
                write!(f, "the key {key} is not valid: what it says of itself is not signed by itself")
            }
            KeyProblem::Untrusted { key, .. } => write!(
                f,
                "nobody has said that the key {key} is its owner's (validity {})",
                key.validity.name()
            ),
            KeyProblem::TrustTooLow { key, .. } => write!(
                f,
                "the trust level of the key {key} is too low: found {}, expected ultimate",
                key.validity.name()
            ),
            KeyProblem::NoSecret { key, .. } => write!(f, "the secret part of the key {key} is not here"),
            KeyProblem::CannotSign { key, .. } => write!(f, "no part of the key {key} can sign now"),
            KeyProblem::CannotEncrypt { key, .. } => {
                write!(f, "no part of the key {key} can be encrypted to now")
            }
            KeyProblem::Locked { fingerprint, .. } => write!(
                f,
                "the secret key {fingerprint} stays locked: its passphrase is wrong, or nobody gives one"
            ),
        }?;
        write!(f, "; {}", self.remedy())
    }
}

impl std::error::Error for KeyProblem {}
