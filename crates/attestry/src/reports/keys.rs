//! Which OpenPGP keys scheduled reports are signed with, and encrypted to.

use attestry_openpgp::{Fingerprint, Gpg, GpgError, KeyUse};
use attestry_report::Planned;

use super::{Desk, DeskError, Given};
use crate::config::Config;

impl From<GpgError> for DeskError {
    fn from(error: GpgError) -> DeskError {
        DeskError::Failed(error.to_string())
    }
}

/// Who signs and who reads.
pub(super) struct Keys {
    pub(super) signer: Option<Fingerprint>,
    pub(super) readers: Vec<Fingerprint>,
}

/// The keys that a schedule names, each with the setting it stands in and what it is for.
fn named(planned: &Planned) -> impl Iterator<Item = (&'static str, &String, KeyUse)> {
    let sign = planned.sign_with.iter().map(|key| ("sign_with", key, KeyUse::Sign));
    sign.chain(planned.encrypt_to.iter().map(|key| ("encrypt_to", key, KeyUse::Encrypt)))
}

impl Given {
    /// The key that was meant when the configuration was read. Another one that has the address since then is not taken before it is read again.
    fn key(&self, wanted: &str, purpose: KeyUse) -> Result<Fingerprint, DeskError> {
        let name = (wanted.to_owned(), purpose);
        let meant = self.keys.lock().get(&name).cloned();
        let Some(meant) = meant else {
            let key = self.gpg.key(wanted, purpose)?.fingerprint;
            self.keys.lock().insert(name, key.clone());
            return Ok(key);
        };
        // It may have expired, or been revoked or removed since.
        match self.gpg.key(meant.as_str(), purpose) {
            Ok(key) => Ok(key.fingerprint),
            Err(error) => Err(DeskError::Failed(format!(
                "{error}; {wanted} was this key when the configuration was read, which SIGHUP does again"
            ))),
        }
    }
}

impl Desk {
    /// Whether the keys that a schedule names can be used.
    pub(super) fn check_keys(&self, planned: &Planned) -> Result<(), DeskError> {
        self.keys(planned).map(drop).map_err(|error| DeskError::Refused(error.to_string()))
    }

    /// Finds out which keys the schedules mean, and tells which cannot be had; those are looked for again when they are needed.
    pub(super) fn pin_keys<'a>(&self, schedules: impl Iterator<Item = (&'a String, &'a Planned)>) {
        let given = self.given();
        for (schedule, planned) in schedules {
            for (_, wanted, purpose) in named(planned) {
                if let Err(error) = given.key(wanted, purpose) {
                    tracing::error!(schedule, %error, "a scheduled report cannot be delivered with this key");
                }
            }
        }
    }

    pub(super) fn keys(&self, planned: &Planned) -> Result<Keys, DeskError> {
        let given = self.given();
        let mut keys = Keys { signer: None, readers: Vec::new() };
        for (_, wanted, purpose) in named(planned) {
            let key = given.key(wanted, purpose)?;
            match purpose {
                KeyUse::Encrypt => keys.readers.push(key),
                _ => keys.signer = Some(key),
            }
        }
        Ok(keys)
    }
}

/// What is wrong with the keys that the configuration's schedules name, each with the command that mends it.
pub(crate) fn key_problems(config: &Config) -> Vec<String> {
    let gpg = Gpg::new(&config.written.openpgp);
    let mut wrong = Vec::new();
    for (name, planned) in &config.written.reports.schedules {
        for (item, key, purpose) in named(planned) {
            if let Err(error) = gpg.key(key, purpose) {
                let place = config.lines.place(&["reports", "schedules", name, item]);
                wrong.push(format!("{place}: {item}: {:#}", anyhow::Error::from(error)));
            }
        }
    }
    wrong
}
