//! What is done when a message is believed.

use std::sync::Arc;

use attestry_openpgp::Opened;
use attestry_server::databases::{Databases, SignOff, Violation, Wanted, WatchError};

use super::command::Command;
use super::seen::digest;
use crate::reports::{Desk, DeskError};

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
    /// Does it, for the key that signed the message, and says what was done. `again` when it was begun before: what is done already is left as it is.
    pub(super) fn carry_out(
        &self,
        command: &Command,
        opened: &Opened,
        again: bool,
    ) -> Result<String, Undone> {
        let signature = &opened.signature;
        let by = format!("openpgp:{}", signature.signer.as_str());
        match command {
            Command::SignOff { fingerprints, reason } | Command::Schema { fingerprints, reason } => {
                let schema = matches!(command, Command::Schema { .. });
                let reason =
                    reason.clone().unwrap_or_else(|| format!("signed off by the message {}", signature.id));
                let sign_off =
                    SignOff { fingerprints: fingerprints.clone(), by, address: "-".to_owned(), reason };
                self.sign_off(sign_off, schema, again)
            }
            Command::Report { name } => {
                let order = format!("message-{}", digest(opened));
                self.reports.ordered(name, &by, &order).map_err(not_made)
            }
        }
    }

    fn sign_off(&self, mut sign_off: SignOff, schema: bool, again: bool) -> Result<String, Undone> {
        // With violations of several databases, Attestry may have ended after the first of them.
        let by_us = |found: &Violation| {
            let signed = found.signed_off.as_ref();
            again && signed.is_some_and(|of| of.by == sign_off.by && of.reason == sign_off.reason)
        };
        let mut left = Vec::new();
        // Whoever means violations must not accept other columns by the way.
        for fingerprint in &sign_off.fingerprints {
            let wanted = Wanted { fingerprint: Some(fingerprint.clone()), ..Wanted::default() };
            let found = self.databases.violations(&wanted).map_err(undone)?;
            let Some(violation) = found.found.first() else {
                let what = format!("there is no violation {fingerprint:?}");
                // It may be in a copy that cannot be read now.
                return Err(match found.unreadable.first() {
                    Some(copy) => Undone::Later(format!(
                        "{what}, and the copy of {} cannot be read: {}",
                        copy.watch, copy.why
                    )),
                    None => Undone::Refused(what),
                });
            };
            match (violation.rule == SCHEMA, schema) {
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
            if !by_us(violation) {
                left.push(fingerprint.clone());
            }
        }
        let done = sign_off.fingerprints.len();
        sign_off.fingerprints = left;
        if !sign_off.fingerprints.is_empty() {
            self.databases.sign_off(&sign_off).map_err(undone)?;
        }
        Ok(format!("signed off {done}"))
    }
}

fn not_made(error: DeskError) -> Undone {
    let passes = error.passes();
    let why = format!("{:#}", anyhow::Error::from(error));
    if passes { Undone::Later(why) } else { Undone::Refused(why) }
}

fn undone(error: WatchError) -> Undone {
    match error {
        WatchError::Unavailable(why) => Undone::Later(why),
        WatchError::Partly { why, .. } => undone(*why),
        error => Undone::Refused(error.to_string()),
    }
}
