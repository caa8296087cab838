//! What is done when a message is believed.

use std::sync::Arc;

use attestry_server::databases::{Databases, SignOff, Wanted as Violations, WatchError};

use super::command::Command;
use crate::reports::{Desk, Wanted};

/// The rule under which a change of a table's columns is a violation.
const SCHEMA: &str = "schema";

/// It was not done.
pub(super) enum Undone {
    /// It never will be: there is no such violation, say.
    Refused(String),
    /// It is to be tried again.
    Later(String),
}

/// Who does what messages ask for.
pub(super) struct Orders {
    pub(super) databases: Arc<dyn Databases>,
    pub(super) reports: Arc<Desk>,
}

impl Orders {
    /// Does it, for the key that signed the message, and says what was done. `again` when it was begun before: then what is done already is fine.
    pub(super) fn carry_out(
        &self,
        command: &Command,
        by: &str,
        signature_id: &str,
        again: bool,
    ) -> Result<String, Undone> {
        match command {
            Command::SignOff { fingerprints, reason } => {
                self.sign_off(fingerprints, reason.as_deref(), false, by, signature_id, again)
            }
            Command::Schema { fingerprints, reason } => {
                self.sign_off(fingerprints, reason.as_deref(), true, by, signature_id, again)
            }
            Command::Report { name } => {
                let wanted =
                    Wanted { report: name.clone(), by: format!("openpgp:{by}"), ..Wanted::default() };
                let made = self.reports.run(&wanted, &|_| {});
                let (made, _) =
                    made.map_err(|error| Undone::Refused(format!("{:#}", anyhow::Error::from(error))))?;
                Ok(format!("made the report {}", made.event_id))
            }
        }
    }

    fn sign_off(
        &self,
        fingerprints: &[String],
        reason: Option<&str>,
        schema: bool,
        by: &str,
        signature_id: &str,
        again: bool,
    ) -> Result<String, Undone> {
        // Whoever means violations must not accept other columns by the way.
        for fingerprint in fingerprints {
            let wanted = Violations { fingerprint: Some(fingerprint.clone()), ..Violations::default() };
            let found = self.databases.violations(&wanted).map_err(undone)?;
            let Some(found) = found.first() else {
                return Err(Undone::Refused(format!("there is no violation {fingerprint:?}")));
            };
            match (found.rule == SCHEMA, schema) {
                (true, false) => {
                    let what =
                        format!("{fingerprint} is a change of a schema, which SCHEMA|{fingerprint} accepts");
                    return Err(Undone::Refused(what));
                }
                (false, true) => {
                    return Err(Undone::Refused(format!("{fingerprint} is no change of a schema")));
                }
                _ => {}
            }
        }
        let sign_off = SignOff {
            fingerprints: fingerprints.to_vec(),
            by: format!("openpgp:{by}"),
            address: "-".to_owned(),
            reason: reason.map_or_else(|| format!("signed off by the message {signature_id}"), str::to_owned),
        };
        match self.databases.sign_off(&sign_off) {
            Ok(()) => {}
            Err(WatchError::Done(_)) if again => {}
            Err(error) => return Err(undone(error)),
        }
        Ok(format!("signed off {}", fingerprints.len()))
    }
}

fn undone(error: WatchError) -> Undone {
    match error {
        WatchError::Unavailable(why) => Undone::Later(why),
        error => Undone::Refused(error.to_string()),
    }
}
