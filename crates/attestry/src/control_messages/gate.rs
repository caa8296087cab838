//! One message: whether it is believed, what comes of it, and that both are recorded.
//!
//! In this order: the signature is verified, its age and whether it came before are looked at, the command is read, the message is remembered,
//! what it asks for is done, an event says so, and only then is it acknowledged. A message that is cut off in between comes again. What is done
//! of it by then is left as it is, the rest is done, and the event is recorded once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use attestry_event::{Clock, Event, Nanos, Outcome};
use attestry_openpgp::{Demand, Fingerprint, Gpg, OpenError, Opened, Refusal, Trust};
use attestry_pipeline::{Closed, Incoming, Inlet, Intake, Taken};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::SOURCE;
use super::command::Command;
use super::orders::{Orders, Undone};
use super::seen::{Got, Seen, digest};

/// The longest message, in bytes, signature and all; and the longest text in it.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// How far ahead the clock of a signer may be, in seconds.
const AHEAD_S: u64 = 120;

/// How long is waited before what could not be looked at, or not be done, is tried again.
const AGAIN: Duration = Duration::from_secs(5);

const SECOND: i64 = 1_000_000_000;

/// What all ways in share.
pub(super) struct Gate {
    pub(super) gpg: Gpg,
    pub(super) signers: Vec<Fingerprint>,
    pub(super) fresh_for: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seen: Mutex<Seen>,
    pub(super) orders: Orders,
    pub(super) ledger: Intake,
    pub(super) stop: CancellationToken,
}

/// A message that was looked at.
enum Judged {
    Accepted(Box<Opened>, Command),
    Refused { why: String, signer: Option<Fingerprint> },
}

impl Gate {
    /// Looks at a message, and returns when it is done with and recorded.
    ///
    /// # Errors
    /// When the program stops before that: the message is not to be acknowledged.
    pub(super) fn take(&self, source: &str, message: &[u8]) -> Result<(), Closed> {
        // One at a time: whether a message came before must not change while it is looked at.
        let mut seen = self.seen.lock();
        loop {
            match self.try_take(&mut seen, source, message) {
                Ok(()) => return Ok(()),
                Err(Again::Closed) => return Err(Closed),
                Err(Again::Later(why)) => {
                    tracing::error!(source, why, "a control message waits");
                    self.wait(AGAIN)?;
                }
            }
        }
    }

    fn wait(&self, time: Duration) -> Result<(), Closed> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            if self.stop.is_cancelled() {
                return Err(Closed);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn try_take(&self, seen: &mut Seen, source: &str, message: &[u8]) -> Result<(), Again> {
        if self.stop.is_cancelled() {
            return Err(Again::Closed);
        }
        let (opened, command) = match self.judge(seen, message)? {
            Judged::Accepted(opened, command) => (opened, command),
            Judged::Refused { why, signer } => {
                return self.tell(refused(source, message, &why, signer.as_ref()));
            }
        };
        let now_s = self.now_s();
        let kept =
            |error: std::io::Error| Again::Later(format!("what came before cannot be written: {error}"));
        let again = seen.got(&opened) == Some(Got::Begun);
        seen.remember(&opened, Got::Begun, now_s).map_err(kept)?;
        // Recorded, and not yet remembered as that: it may come by another way now, which would be another record.
        let recorded = again && {
            let found = self.orders.reports.knows(SOURCE, &accepted_id(&opened));
            found.map_err(|error| Again::Later(format!("{:#}", anyhow::Error::from(error))))?
        };
        if !recorded {
            let done = match self.orders.carry_out(&command, &opened, again) {
                Ok(done) => Ok(done),
                // What is cut off by the end of the program is no refusal.
                Err(Undone::Refused(_)) if self.stop.is_cancelled() => return Err(Again::Closed),
                Err(Undone::Refused(why)) => Err(why),
                Err(Undone::Later(why)) => return Err(Again::Later(why)),
            };
            self.tell(accepted(source, &opened, &command, &done))?;
        }
        seen.remember(&opened, Got::Done, now_s).map_err(kept)
    }

    fn judge(&self, seen: &Seen, message: &[u8]) -> Result<Judged, Again> {
        let refuse = |why: String, signer: Option<Fingerprint>| Ok(Judged::Refused { why, signer });
        if message.len() > MESSAGE_BYTES_MAX {
            return refuse(
                format!("it has {} bytes, expected at most {MESSAGE_BYTES_MAX}", message.len()),
                None,
            );
        }
        let bytes_max = MESSAGE_BYTES_MAX as u64;
        let demand = Demand { signers: &self.signers, trust: Trust::Ultimate, bytes_max };
        let opened = match self.gpg.open(message, &demand) {
            Ok(opened) => opened,
            Err(OpenError::Refused(refusal)) => {
                let signer = match &refusal {
                    Refusal::Stranger(signer) | Refusal::TrustTooLow { signer, .. } => Some(signer.clone()),
                    _ => None,
                };
                return refuse(refusal.to_string(), signer);
            }
            Err(OpenError::Gpg(error)) => {
                return Err(Again::Later(format!("{:#}", anyhow::Error::from(error))));
            }
        };
        let signer = Some(opened.signature.signer.clone());
        let (signed, now) = (opened.signature.time, self.now_s());
        match seen.got(&opened) {
            Some(Got::Done) => return refuse("it came before".to_owned(), signer),
            // It was fresh when it was begun.
            Some(Got::Begun) => {}
            None if signed.saturating_add(self.fresh_for.as_secs()) < now => {
                let why = format!(
                    "it was signed {} s ago, expected at most {} s (control.fresh_for)",
                    now.saturating_sub(signed),
                    self.fresh_for.as_secs()
                );
                return refuse(why, signer);
            }
            None if signed > now.saturating_add(AHEAD_S) => {
                let why =
                    format!("it was signed {} s in the future: one of the clocks is wrong", signed - now);
                return refuse(why, signer);
            }
            None => {}
        }
        match Command::of(&opened.text) {
            Ok(command) => Ok(Judged::Accepted(Box::new(opened), command)),
            Err(why) => refuse(why, signer),
        }
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now().0 / SECOND).unwrap_or(0)
    }

    fn tell(&self, event: Event) -> Result<(), Again> {
        self.ledger.put(vec![Incoming::from(event)]).map(|_| ()).map_err(|Closed| Again::Closed)
    }
}

/// A message is neither done with nor refused.
enum Again {
    Later(String),
    Closed,
}

/// The id of the event that says what came of a message: the same when it comes again.
fn accepted_id(opened: &Opened) -> String {
    format!("ca-{}", digest(opened).get(..40).unwrap_or_default())
}

fn accepted(source: &str, opened: &Opened, command: &Command, done: &Result<String, String>) -> Event {
    let signature = &opened.signature;
    let by = signature.signer.as_str();
    let signed_at = Nanos(i64::try_from(signature.time).unwrap_or(0).saturating_mul(SECOND));
    let (outcome, result) = match done {
        Ok(result) => (Outcome::Success, result),
        Err(why) => (Outcome::Failure, why),
    };
    let mut event = Event::new("control.accepted", by)
        .id(accepted_id(opened))
        .time(signed_at)
        .resource(command.name())
        .outcome(outcome)
        .severity(5)
        .message(format!("{by} asked by {source} for {}: {result}", command.name()))
        .data("source", source)
        .data("command", command.name())
        .data("signer", by)
        .data("key", signature.key.as_str())
        .data("signed_at", signed_at.to_string())
        .data("signature_id", signature.id.as_str())
        .data("result", result.as_str());
    match command {
        Command::SignOff { fingerprints, reason } | Command::Schema { fingerprints, reason } => {
            event = event.data("fingerprints", serde_json::json!(fingerprints));
            if let Some(reason) = reason {
                event = event.data("reason", reason.as_str());
            }
        }
        Command::Report { name } => event = event.data("report", name.as_str()),
    }
    event
}

fn refused(source: &str, message: &[u8], why: &str, signer: Option<&Fingerprint>) -> Event {
    let sha256: String = Sha256::digest(message).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut event = Event::new("control.refused", signer.map_or("-", |signer| signer.as_str()))
        .resource(source)
        .outcome(Outcome::Failure)
        .severity(4)
        .message(format!("a control message from {source} was refused: {why}"))
        .data("source", source)
        .data("why", why)
        .data("bytes", message.len() as u64)
        .data("sha256", sha256);
    if let Some(signer) = signer {
        event = event.data("signer", signer.as_str());
    }
    event
}

/// A way in from a queue: what it fetched is acknowledged when this has returned.
pub(super) struct FromQueue {
    pub(super) name: String,
    pub(super) gate: Arc<Gate>,
}

impl Inlet for FromQueue {
    fn put(&self, messages: Vec<Incoming>) -> Result<Taken, Closed> {
        let mut taken = Taken::default();
        for message in messages {
            // Queues hand over bodies as they are.
            let Incoming::Json(body) = message else { continue };
            self.gate.take(&self.name, &body)?;
            taken.kept += 1;
        }
        Ok(taken)
    }
}
