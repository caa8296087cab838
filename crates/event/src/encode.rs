//! From a read event to its entry: the checks that do not depend on how it came, and the bytes.

use std::collections::HashSet;
use std::io::Write;
use std::ops::Range;

use rand::RngCore;

use crate::canonical::Canonical;
use crate::json::Reader;
use crate::problem::Problem;
use crate::text::{Str, escape};
use crate::time::TIME_LEN;
use crate::{
    Border, FUTURE_LIMIT_NANOS, Field, Nanos, RESERVED_PREFIXES, RESERVED_SOURCE, flags, id_hash, is_id,
    is_reserved,
};

/// How every entry begins; the `event_id` follows.
pub(crate) const ENTRY_HEAD: &str = "{\"v\":1,\"event_id\":\"";

/// What stands in `received_at` until the sequencer knows better.
const NOT_RECEIVED: &[u8; TIME_LEN] = b"1970-01-01T00:00:00.000000000Z";

/// An event that was read but not yet checked as a whole. Strings are never empty: those count as absent.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) texts: [Option<Str<'a>>; Field::ALL.len()],
    pub(crate) event_time: Option<Nanos>,
    pub(crate) read_only: bool,
    pub(crate) severity: Option<u64>,
    pub(crate) agent_epoch: Option<u64>,
    pub(crate) agent_seq: Option<u64>,
}

/// The parts of an event that have no fixed size.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The canonical `event_data`; empty when there is none.
    pub(crate) data: Vec<u8>,
    /// The canonical strings of the event's own `via`, with commas between them.
    pub(crate) via: Vec<u8>,
    /// The fields to be moved into `event_data`: canonical names and values lie in `moved_bytes`.
    pub(crate) moved: Vec<Moved>,
    pub(crate) moved_bytes: Vec<u8>,
    /// Takes values that are read only to get past them.
    pub(crate) skipped: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) name: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// Where the things stand that a [`Row`](crate::Row) tells of an entry.
pub(crate) struct Placed {
    pub(crate) received_at: usize,
    pub(crate) id_hash: u64,
    pub(crate) event_time: Nanos,
    pub(crate) flags: u8,
}

impl Parts {
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.via.clear();
        self.moved.clear();
        self.moved_bytes.clear();
        self.skipped.clear();
    }

    /// Puts the moved fields behind what the client put into `event_data`. A name that stands there already is kept
    /// as `_<name>`; where that is taken too the event is refused.
    pub(crate) fn merge_moved(&mut self, problems: &mut Vec<Problem>) {
        if self.moved.is_empty() {
            return;
        }
        let data = std::mem::take(&mut self.data);
        let mut taken = member_names(&data);
        let mut own = HashSet::new();
        let mut merged = data.strip_suffix(b"}").unwrap_or(b"{").to_vec();
        for moved in &self.moved {
            let name = self.moved_bytes.get(moved.name.clone()).unwrap_or_default();
            let value = self.moved_bytes.get(moved.value.clone()).unwrap_or_default();
            if !own.insert(name) {
                problems.push(Problem::new(
                    &String::from_utf8_lossy(name),
                    "the name twice",
                    "every name once in an object",
                ));
                continue;
            }
            let mut kept = name.to_vec();
            if taken.contains(&kept) {
                kept.insert(0, b'_');
            }
            if taken.contains(&kept) {
                let name = String::from_utf8_lossy(name);
                problems.push(Problem::new(&name, "a member of the same name in event_data", "another name"));
                continue;
            }
            if merged.len() > 1 {
                merged.push(b',');
            }
            merged.push(b'"');
            merged.extend_from_slice(&kept);
            merged.extend_from_slice(b"\":");
            merged.extend_from_slice(value);
            taken.insert(kept);
        }
        merged.push(b'}');
        self.data = merged;
    }
}

/// The names of a canonical object's own members.
fn member_names(object: &[u8]) -> HashSet<Vec<u8>> {
    let mut names = HashSet::new();
    let mut reader = Reader::new(std::str::from_utf8(object).unwrap_or_default());
    reader.take(b'{');
    while let Ok(name) = reader.string() {
        let mut canonical = Vec::new();
        name.write(&mut canonical);
        names.insert(canonical);
        reader.take(b':');
        if reader.skip_value().is_err() {
            break;
        }
        reader.take(b',');
    }
    names
}

impl<'a> Draft<'a> {
    pub(crate) fn text(&self, field: Field) -> Option<Str<'a>> {
        self.texts.get(field as usize).copied().flatten()
    }

    /// Keeps a string field; an empty one is as good as absent.
    pub(crate) fn set_text(&mut self, field: Field, text: Str<'a>) {
        if let Some(place) = self.texts.get_mut(field as usize) {
            *place = (!text.is_empty()).then_some(text);
        }
    }

    /// Checks what depends on more than one value's type.
    pub(crate) fn check(&self, border: &Border<'_>, problems: &mut Vec<Problem>) {
        let told = |field: Field| problems.iter().any(|problem| problem.field == field.name());
        let missing = [Field::EventName, Field::Username]
            .map(|field| (field, self.text(field).is_none() && !told(field)));
        let mut refuse = |field: Field, found: &str, expected: &str| {
            problems.push(Problem::new(field.name(), found, expected));
        };
        for (field, missing) in missing {
            if missing {
                refuse(field, "nothing", "a string that is not empty");
            }
        }
        if let Some(id) = self.text(Field::EventId) {
            let id = id.decoded();
            if !is_id(&id) {
                refuse(Field::EventId, &id, "1 to 64 of the characters A-Z a-z 0-9 . _ : -");
            }
        }
        if let Some(outcome) = self.text(Field::Outcome) {
            let outcome = outcome.decoded();
            if !matches!(&*outcome, "success" | "failure") {
                refuse(Field::Outcome, &outcome, "success or failure");
            }
        }
        if let Some(severity) = self.severity
            && severity > 7
        {
            refuse(Field::Severity, &severity.to_string(), "a whole number from 0 (emergency) to 7 (debug)");
        }
        if let Some(time) = self.event_time
            && is_future(time, border)
            && !border.agent
        {
            refuse(
                Field::EventTime,
                &time.to_string(),
                "a time at most 24 hours ahead of the server's clock",
            );
        }
        if border.reserved_names {
            return;
        }
        if let Some(name) = self.text(Field::EventName) {
            let name = name.decoded();
            if is_reserved(&name) {
                let list = RESERVED_PREFIXES.join(" ");
                refuse(
                    Field::EventName,
                    &name,
                    &format!("a name that is none of Attestry's own, which begin with {list}"),
                );
            }
        }
        let own = self.text(Field::EventSource).filter(|_| border.agent).map(Str::decoded);
        if own.as_deref().unwrap_or(border.event_source) == RESERVED_SOURCE {
            refuse(Field::EventSource, RESERVED_SOURCE, "another name: this one is Attestry's own");
        }
    }
}

fn is_future(time: Nanos, border: &Border<'_>) -> bool {
    time.0 > border.now.0.saturating_add(FUTURE_LIMIT_NANOS)
}

/// Appends the entry of a checked event.
pub(crate) fn encode(
    draft: &Draft<'_>,
    border: &Border<'_>,
    visitor: &mut Canonical<'_>,
    parts: &Parts,
    out: &mut Vec<u8>,
) -> Placed {
    // What an ordinary entry takes besides event_data and the message, so that the arena seldom grows on the way.
    out.reserve(1_024 + parts.data.len());
    out.extend_from_slice(ENTRY_HEAD.as_bytes());
    let id_start = out.len();
    match draft.text(Field::EventId) {
        Some(id) => id.write(out),
        None => write_new_id(border.now, visitor, out),
    }
    let id_hash = id_hash(out.get(id_start..).unwrap_or_default());
    out.push(b'"');

    let event_time = draft.event_time.unwrap_or(border.now);
    write_time(Field::EventTime, &event_time.to_bytes(), out);
    let received_at = write_time(Field::ReceivedAt, NOT_RECEIVED, out);

    write_text(Field::EventName, draft.text(Field::EventName), out);
    write_text(Field::Username, draft.text(Field::Username), out);
    write_text(Field::Resource, draft.text(Field::Resource), out);
    let own_source = draft.text(Field::EventSource);
    let source = own_source.filter(|_| border.agent).unwrap_or(Str::plain(border.event_source));
    write_text(Field::EventSource, Some(source), out);
    write_via(border, &parts.via, out);
    let address = draft.text(Field::SourceIpAddress).unwrap_or(Str::clean("-"));
    write_text(Field::SourceIpAddress, Some(address), out);
    write_text(Field::RequestId, draft.text(Field::RequestId), out);
    out.extend_from_slice(Field::ReadOnly.member().as_bytes());
    out.extend_from_slice(if draft.read_only { b"true" } else { b"false" });
    write_text(Field::Outcome, draft.text(Field::Outcome), out);
    write_number(Field::Severity, draft.severity, out);
    if let Some(message) = draft.text(Field::Message) {
        out.extend_from_slice(Field::Message.member().as_bytes());
        visitor.string(message, out);
    }
    write_text(Field::Host, draft.text(Field::Host), out);
    write_text(Field::Agent, draft.text(Field::Agent), out);
    write_number(Field::AgentEpoch, draft.agent_epoch, out);
    write_number(Field::AgentSeq, draft.agent_seq, out);
    if !parts.data.is_empty() {
        out.extend_from_slice(EVENT_DATA_MEMBER.as_bytes());
        out.extend_from_slice(&parts.data);
    }
    out.push(b'}');

    let mut flags = 0;
    if !border.agent && own_source.is_some_and(|own| own.decoded() != border.event_source) {
        flags |= flags::SOURCE_OVERWRITTEN;
    }
    if is_future(event_time, border) {
        flags |= flags::FUTURE;
    }
    if !parts.moved.is_empty() {
        flags |= flags::MOVED;
    }
    Placed { received_at, id_hash, event_time, flags }
}

/// What stands in an entry before `event_data`.
pub(crate) const EVENT_DATA_MEMBER: &str = ",\"event_data\":";

/// Writes a UUIDv7 (RFC 9562): the time in milliseconds, then random bits.
fn write_new_id(now: Nanos, visitor: &mut Canonical<'_>, out: &mut Vec<u8>) {
    let mut random = [0; 10];
    visitor.random.fill_bytes(&mut random);
    let millis = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
}

/// Writes a time and returns where its characters begin.
fn write_time(field: Field, time: &[u8; TIME_LEN], out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(field.member().as_bytes());
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(time);
    out.push(b'"');
    start
}

fn write_text(field: Field, text: Option<Str<'_>>, out: &mut Vec<u8>) {
    if let Some(text) = text {
        out.extend_from_slice(field.member().as_bytes());
        text.write_quoted(out);
    }
}

fn write_number(field: Field, number: Option<u64>, out: &mut Vec<u8>) {
    if let Some(number) = number {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}{number}", field.member());
    }
}

/// Writes the relays the event names itself and then those the border knows of.
fn write_via(border: &Border<'_>, own: &[u8], out: &mut Vec<u8>) {
    if own.is_empty() && border.via.is_empty() {
        return;
    }
    out.extend_from_slice(Field::Via.member().as_bytes());
    out.push(b'[');
    out.extend_from_slice(own);
    for (place, relay) in border.via.iter().enumerate() {
        if place > 0 || !own.is_empty() {
            out.push(b',');
        }
        out.push(b'"');
        escape(out, relay);
        out.push(b'"');
    }
    out.push(b']');
}
