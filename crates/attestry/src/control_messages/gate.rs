//! One message: whether it is believed, what comes of it, and that both are recorded.
//!
//! In this order: the signature is verified, its age and whether it came before are looked at, the command is read, the message is remembered,
//! what it asks for is done, an event says so, and only then is it acknowledged. A message that is cut off in between comes again. What is done
//! of it by then is left as it is, the rest is done, and the event is recorded once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::{Clock, Event, Nanos, Outcome, hex};
use attestry_openpgp::{Demand, Fingerprint, Gpg, GpgError, OpenError, Opened, Refusal, Trust};
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

/// How long one message is tried: others wait behind it.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Why a message is not done, for good.
struct Refused {
    why: String,
    signer: Option<Fingerprint>,
}

/// A message is neither done with nor refused.
enum Again {
    Later(String),
    Closed,
}

impl Gate {
    /// Looks at a message, and returns when it is done with and recorded. What cannot be done is tried for [`PATIENCE`], and then recorded as refused,
    /// so that it holds up no other.
    ///
    /// # Errors
    /// When the program stops before that: the message is not to be acknowledged.
    pub(super) fn take(&self, source: &str, message: &[u8]) -> Result<(), Closed> {
        let begun = Instant::now();
        let opened = loop {
            let why = match self.open(message) {
                Ok(Ok(opened)) => break opened,
                Ok(Err(Refused { why, signer })) => {
                    return self.tell(refused(source, Some(message), &why, signer.as_ref()));
                }
                // Its making may be what `gpg` does not get done with.
                Err(error) => format!("{:#}", anyhow::Error::from(error)),
            };
            if self.stop.is_cancelled() {
                return Err(Closed);
            }
            if begun.elapsed() >= PATIENCE {
                return self.tell(refused(source, Some(message), &given_up(&why), None));
            }
            self.wait(source, &why)?;
        };
        let mut recorded = false;
        loop {
            let mut seen = self.seen.lock();
            match self.try_do(&mut seen, source, message, &opened, &mut recorded) {
                Ok(()) => return Ok(()),
                Err(Again::Closed) => return Err(Closed),
                Err(Again::Later(why)) if begun.elapsed() >= PATIENCE => {
                    return self.give_up(&mut seen, source, message, &opened, recorded, &why);
                }
                Err(Again::Later(why)) => {
                    // There are other ways in.
                    drop(seen);
                    self.wait(source, &why)?;
                }
            }
        }
    }

    /// Records that there was a message that cannot even be read.
    ///
    /// # Errors
    /// When the program stops before that.
    pub(super) fn refuse(&self, source: &str, why: &str) -> Result<(), Closed> {
        self.tell(refused(source, None, why, None))
    }

    fn wait(&self, source: &str, why: &str) -> Result<(), Closed> {
        tracing::error!(source, why, "a control message waits");
        let begun = Instant::now();
        while begun.elapsed() < AGAIN {
            if self.stop.is_cancelled() {
                return Err(Closed);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether the signature is to be believed.
    fn open(&self, message: &[u8]) -> Result<Result<Opened, Refused>, GpgError> {
        if message.len() > MESSAGE_BYTES_MAX {
            let why = format!("it has {} bytes, expected at most {MESSAGE_BYTES_MAX}", message.len());
            return Ok(Err(Refused { why, signer: None }));
        }
        let bytes_max = MESSAGE_BYTES_MAX as u64;
        let demand = Demand { signers: &self.signers, trust: Trust::Ultimate, bytes_max };
        match self.gpg.open(message, &demand) {
            Ok(opened) => Ok(Ok(opened)),
            Err(OpenError::Refused(refusal)) => {
                let signer = match &refusal {
                    Refusal::Stranger(signer) | Refusal::TrustTooLow { signer, .. } => Some(signer.clone()),
                    _ => None,
                };
                Ok(Err(Refused { why: refusal.to_string(), signer }))
            }
            Err(OpenError::Gpg(error)) => Err(error),
        }
    }

    /// Does what a believed message asks for, and records it. `seen` is held meanwhile: whether a message came before must not change.
    fn try_do(
        &self,
        seen: &mut Seen,
        source: &str,
        message: &[u8],
        opened: &Opened,
        recorded: &mut bool,
    ) -> Result<(), Again> {
        if self.stop.is_cancelled() {
            return Err(Again::Closed);
        }
        let closed = |Closed| Again::Closed;
        let command = match self.command(seen, opened) {
            Ok(command) => command,
            Err(why) => {
                let signer = Some(&opened.signature.signer);
                return self.tell(refused(source, Some(message), &why, signer)).map_err(closed);
            }
        };
        let now_s = self.now_s();
        let kept =
            |error: std::io::Error| Again::Later(format!("what came before cannot be written: {error}"));
        let again = seen.got(opened) == Some(Got::Begun);
        seen.remember(opened, Got::Begun, now_s).map_err(kept)?;
        // Recorded, and not yet remembered as that: it may come by another way now, which would be another record.
        *recorded = *recorded
            || (again && {
                let found = self.orders.reports.knows(SOURCE, &answer_id(opened));
                found.map_err(|error| Again::Later(format!("{:#}", anyhow::Error::from(error))))?
            });
        if !*recorded {
            let done = match self.orders.carry_out(&command, opened, again) {
                Ok(done) => Ok(done),
                // What is cut off by the end of the program is no refusal.
                Err(Undone::Refused(_)) if self.stop.is_cancelled() => return Err(Again::Closed),
                Err(Undone::Refused(why)) => Err(why),
                Err(Undone::Later(why)) => return Err(Again::Later(why)),
            };
            self.tell(accepted(source, opened, &command, &done)).map_err(closed)?;
            *recorded = true;
        }
        seen.remember(opened, Got::Done, now_s).map_err(kept)
    }

    /// What a message whose signature is believed asks for, or why it is not to be done.
    fn command(&self, seen: &Seen, opened: &Opened) -> Result<Command, String> {
        let (signed, now) = (opened.signature.time, self.now_s());
        match seen.got(opened) {
            Some(Got::Done) => return Err("it came before".to_owned()),
            // It was fresh when it was begun.
            Some(Got::Begun) => {}
            None if signed.saturating_add(self.fresh_for.as_secs()) < now => {
                return Err(format!(
                    "it was signed {} s ago, expected at most {} s (control.fresh_for)",
                    now.saturating_sub(signed),
                    self.fresh_for.as_secs()
                ));
            }
            None if signed > now.saturating_add(AHEAD_S) => {
                return Err(format!(
                    "it was signed {} s in the future: one of the clocks is wrong",
                    signed - now
                ));
            }
            None => {}
        }
        Command::of(&opened.text)
    }

    /// Records that a message could not be done in time, unless it was `recorded` that it was, and remembers it as one that came before.
    fn give_up(
        &self,
        seen: &mut Seen,
        source: &str,
        message: &[u8],
        opened: &Opened,
        recorded: bool,
        why: &str,
    ) -> Result<(), Closed> {
        if !recorded {
            let signer = Some(&opened.signature.signer);
            // Under the id of the answer: this is the answer, also when Attestry ends before it is remembered.
            let event = refused(source, Some(message), &given_up(why), signer).id(answer_id(opened));
            self.tell(event)?;
        }
        if let Err(error) = seen.remember(opened, Got::Done, self.now_s()) {
            tracing::error!(source, %error, "it is not remembered that a control message came");
        }
        Ok(())
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now().0 / SECOND).unwrap_or(0)
    }

    fn tell(&self, event: Event) -> Result<(), Closed> {
        self.ledger.put(vec![Incoming::from(event)]).map(drop)
    }
}

/// The id of the event that says what came of a message: the same when it comes again.
fn answer_id(opened: &Opened) -> String {
    format!("ca-{}", digest(opened).get(..40).unwrap_or_default())
}

fn given_up(why: &str) -> String {
    format!("it could not be done within {} s: {why}", PATIENCE.as_secs())
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
        .id(answer_id(opened))
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

fn refused(source: &str, message: Option<&[u8]>, why: &str, signer: Option<&Fingerprint>) -> Event {
    let mut event = Event::new("control.refused", signer.map_or("-", |signer| signer.as_str()))
        .resource(source)
        .outcome(Outcome::Failure)
        .severity(4)
        .message(format!("a control message from {source} was refused: {why}"))
        .data("source", source)
        .data("why", why);
    if let Some(message) = message {
        let sha256 = hex(Sha256::digest(message));
        event = event.data("bytes", message.len() as u64).data("sha256", sha256);
    }
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
