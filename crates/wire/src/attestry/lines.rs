//! Requests' bodies: one event a line.

use std::fmt::Write;

use attestry_event::Field;
use attestry_pipeline::Parcel;

use super::{Agent, Fate, REQUEST_MAX_EVENTS, set};

/// A request's body, and the events it is made of.
pub(super) struct Lines {
    pub(super) body: Vec<u8>,
    /// How long the body is.
    pub(super) bytes: usize,
    /// The event of each line.
    pub(super) rows: Vec<usize>,
    /// The events that found no room.
    pub(super) rest: Vec<usize>,
}

impl Lines {
    /// Writes as many events as have room, at least one. What is no entry is refused.
    pub(super) fn of(
        parcels: &[Parcel],
        rows: Vec<usize>,
        sender: Option<(&Agent, u64)>,
        most_bytes: usize,
        fates: &mut [Fate],
    ) -> Lines {
        let mut lines =
            Lines { body: Vec::new(), bytes: 0, rows: Vec::with_capacity(rows.len()), rest: Vec::new() };
        let mut waiting = rows.into_iter();
        while let Some(row) = waiting.next() {
            let Some(parcel) = parcels.get(row) else { continue };
            let start = lines.body.len();
            if let Err(error) = write_line(parcel, sender, &mut lines.body) {
                lines.body.truncate(start);
                set(fates, row, Fate::Refused(error.to_string()));
                continue;
            }
            if start > 0 && (lines.body.len() > most_bytes || lines.rows.len() == REQUEST_MAX_EVENTS) {
                lines.body.truncate(start);
                lines.rest.push(row);
                lines.rest.extend(waiting);
                break;
            }
            lines.rows.push(row);
        }
        lines.bytes = lines.body.len();
        lines
    }
}

/// The event's line; an agent's with who collected it, unless it came with that.
fn write_line(
    parcel: &Parcel,
    sender: Option<(&Agent, u64)>,
    out: &mut Vec<u8>,
) -> Result<(), attestry_event::EntryError> {
    parcel.write_json(out)?;
    if let (Some((agent, epoch)), Some(seq)) = (sender, parcel.seq)
        && parcel.event()?.raw(Field::Agent).is_none()
        && out.pop_if(|last| *last == b'}').is_some()
    {
        // A name that can be in a certificate needs no escaping, but nothing here has checked that.
        let name = serde_json::Value::from(agent.name.as_str());
        let mut members = String::new();
        let _ = write!(members, ",\"agent\":{name},\"agent_epoch\":{epoch},\"agent_seq\":{seq}}}");
        out.extend_from_slice(members.as_bytes());
    }
    out.push(b'\n');
    Ok(())
}
