//! Where a scheduled report goes: into a folder, and to sinks, signed and encrypted as its schedule says.
//!
//! Each delivery is an event whose id follows from run, format and target: what was delivered is not delivered again, also after a crash. A sink
//! takes the report from its event, so spool, cursor, retries and dead letters are the sink's own.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use attestry_event::{Event, Outcome, hex};
use attestry_openpgp::{Fingerprint, Form, Protection};
use attestry_report::{Format, Planned, render};
use attestry_store::Order;
use rustix::fs::{Access, access};
use sha2::{Digest, Sha256};

use super::keys::Keys;
use super::schedules::Held;
use super::{Desk, DeskError, Made, short_hash};

/// The most that a report may have to go to a sink, in bytes: an event holds 16 MiB in all.
const DOCUMENT_MAX: usize = 15 << 20;

/// No more reports are delivered after a start that were made before it.
const UNDELIVERED_MAX: usize = 1_000;

/// A delivery that failed.
pub(super) struct Undelivered {
    pub(super) target: String,
    /// The target, the format and the reason.
    pub(super) why: String,
}

/// A report in its final form.
struct Parcel {
    file: String,
    format: Format,
    media_type: &'static str,
    bytes: Vec<u8>,
    /// A detached signature.
    signature: Option<Vec<u8>>,
}

impl Desk {
    /// Delivers to wherever it has not been delivered yet. Goes on with the others when one fails, and gives what failed.
    pub(super) fn deliver(&self, made: &Made, planned: &Planned) -> Result<Vec<Undelivered>, DeskError> {
        let _alone = self.delivering.lock();
        let targets = targets(planned);
        let mut failed = Vec::new();
        for format in &planned.formats {
            let mut parcel = None;
            for target in &targets {
                let event_id = delivery(made, *format, target);
                if self.has(&event_id)? {
                    continue;
                }
                // Nothing is rendered and signed for a folder that is not there.
                let sent = is_open(planned, target).and_then(|()| {
                    match parcel.get_or_insert_with(|| self.wrap(made, planned, *format)) {
                        Ok((parcel, keys)) => self.send(made, planned, parcel, keys, target),
                        Err(error) => Err(DeskError::Failed(error.to_string())),
                    }
                });
                match sent {
                    Ok(event) => {
                        let mut event = event.id(event_id);
                        event.username = made.by.clone();
                        self.record(event)?;
                    }
                    Err(error) => failed.push(Undelivered {
                        target: target.clone(),
                        why: format!("{target} ({format}): {error}"),
                    }),
                }
            }
        }
        Ok(failed)
    }

    /// Whether it went to everybody.
    pub(super) fn is_delivered(&self, made: &Made, planned: &Planned) -> Result<bool, DeskError> {
        for format in &planned.formats {
            for target in &targets(planned) {
                if !self.has(&delivery(made, *format, target))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The reports that a schedule made since it is as it is, and that have not gone to everybody yet; the oldest first.
    pub(super) fn undelivered(&self, name: &str, held: &Held) -> Result<Vec<Made>, DeskError> {
        let query = format!("event_name:report.made event_data.schedule:\"{name}\"");
        let mut found = Vec::new();
        for event in self.events(&query, Order::NewestFirst, UNDELIVERED_MAX)? {
            let Some(made) = Made::read(&event).filter(|made| made.at >= held.since) else { break };
            // One that was asked for by a message may have gone out while an older one waited.
            if !self.is_delivered(&made, &held.planned)? {
                found.push(made);
            }
        }
        found.reverse();
        Ok(found)
    }

    fn wrap(&self, made: &Made, planned: &Planned, format: Format) -> Result<(Parcel, Keys), DeskError> {
        let (keys, given) = (self.keys(planned)?, self.given());
        let (_, document) = self.document(&made.event_id)?;
        let text = render(&document, format)?;
        let file = format!("{}.{}", made.file_stem(), format.ending());
        let plain = |bytes, signature| Parcel {
            file: file.clone(),
            format,
            media_type: format.media_type(),
            bytes,
            signature,
        };
        let parcel = match (&keys.signer, keys.readers.as_slice()) {
            (None, []) => plain(text.into_bytes(), None),
            // What people read as it stands is signed as it stands.
            (Some(signer), []) if format == Format::Markdown => Parcel {
                file: format!("{file}.asc"),
                ..plain(given.gpg.clear_sign(signer, &text)?.0.into_bytes(), None)
            },
            (Some(signer), []) => {
                let (signature, _) =
                    given.gpg.detached_signature(signer, Form::Armoured, &mut text.as_bytes())?;
                plain(text.into_bytes(), Some(signature))
            }
            (signer, readers) => {
                let how =
                    Protection { sign_with: signer.as_ref(), encrypt_to: readers, form: Form::Armoured };
                let mut bytes = Vec::new();
                given.gpg.protect(&how, &mut text.as_bytes(), &mut bytes)?;
                Parcel {
                    file: format!("{file}.asc"),
                    media_type: "application/pgp-encrypted",
                    ..plain(bytes, None)
                }
            }
        };
        Ok((parcel, keys))
    }

    /// Sends it, and gives the event that says so.
    fn send(
        &self,
        made: &Made,
        planned: &Planned,
        parcel: &Parcel,
        keys: &Keys,
        target: &str,
    ) -> Result<Event, DeskError> {
        let hash = hex(Sha256::digest(&parcel.bytes));
        let to_sink = planned.sinks.iter().any(|sink| sink == target);
        let way = if to_sink { "is handed to the sink" } else { "went to" };
        let mut event = Event::new("report.sent", "-")
            .resource(made.report.as_str())
            .outcome(Outcome::Success)
            .message(format!("the report {} {way} {target}", made.report))
            .data("run", made.run.as_str());
        if let Some(schedule) = &made.schedule {
            event = event.data("schedule", schedule.as_str());
        }
        event = event
            .data("target", target)
            .data("file", parcel.file.as_str())
            .data("format", parcel.format.name())
            .data("media_type", parcel.media_type);
        if let Some(signer) = &keys.signer {
            event = event.data("signed_by", signer.as_str());
        }
        if !keys.readers.is_empty() {
            let readers: Vec<&str> = keys.readers.iter().map(Fingerprint::as_str).collect();
            event = event.data("encrypted_to", readers);
        }
        event = event.data("sha256", hash).data("bytes", parcel.bytes.len() as u64);
        if to_sink {
            let size = parcel.bytes.len() + parcel.signature.as_ref().map_or(0, Vec::len);
            if size > DOCUMENT_MAX {
                let what = format!("the report has {size} bytes, and a sink gets at most {DOCUMENT_MAX}");
                return Err(DeskError::Failed(what));
            }
            event = event.data("document", String::from_utf8_lossy(&parcel.bytes).into_owned());
            if let Some(signature) = &parcel.signature {
                event = event.data("signature", String::from_utf8_lossy(signature).into_owned());
            }
        } else {
            let folder = Path::new(target);
            let failed = |error: std::io::Error| DeskError::Failed(error.to_string());
            write(folder, &parcel.file, &parcel.bytes).map_err(failed)?;
            if let Some(signature) = &parcel.signature {
                write(folder, &format!("{}.asc", parcel.file), signature).map_err(failed)?;
            }
        }
        Ok(event)
    }
}

/// The folder and the sinks.
pub(super) fn targets(planned: &Planned) -> Vec<String> {
    let folder = planned.folder.iter().map(|folder| folder.display().to_string());
    folder.chain(planned.sinks.iter().cloned()).collect()
}

/// Whether the target takes anything, as far as can be told beforehand; a sink always does.
fn is_open(planned: &Planned, target: &str) -> Result<(), DeskError> {
    if planned.sinks.iter().any(|sink| sink == target) {
        return Ok(());
    }
    let open = access(target, Access::WRITE_OK | Access::EXEC_OK);
    open.map_err(|error| DeskError::Failed(std::io::Error::from(error).to_string()))
}

/// The id of the event of a delivery.
fn delivery(made: &Made, format: Format, target: &str) -> String {
    format!("rs-{}", short_hash(&format!("{}|{format}|{target}", made.run)))
}

/// Writes a file whole or not at all.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join(format!(".{name}.part"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(name))?;
    File::open(folder)?.sync_all()
}
