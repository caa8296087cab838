//! Reading a committed entry: its fields are found in one pass over the fixed order and stay where they are.

use std::borrow::Cow;

use crate::encode::EVENT_DATA_MEMBER;
use crate::json::{Reader, Syntax};
use crate::text::decode;
use crate::{Field, Kind, Nanos};

/// Why bytes are not an entry that this version reads. Entries come from a log that was checked, so this means damage,
/// or a newer format; the bytes can still be hashed and proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not UTF-8.
    #[error("the entry is not UTF-8")]
    NotUtf8,
    /// Another version of the format: it verifies as bytes and is not interpreted.
    #[error("the entry has version {0}, this program reads version 1")]
    Version(u64),
    /// Not what the format says.
    #[error("the entry is malformed at byte {at}: expected {expected}")]
    Malformed {
        /// Where, in bytes from the beginning of what was read.
        at: usize,
        /// What belongs there.
        expected: &'static str,
    },
}

impl EntryError {
    /// What a reader says after a failure.
    pub(crate) fn malformed(reader: &Reader<'_>) -> EntryError {
        EntryError::Malformed { at: reader.pos(), expected: reader.expected() }
    }
}

/// A string that may stand beside the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text<'a> {
    /// It is in the entry.
    Inline(Cow<'a, str>),
    /// It is a large value.
    Ref {
        /// SHA-256(salt ‖ value).
        hash: [u8; 32],
        /// The value's length.
        bytes: u64,
    },
}

/// An entry, read without copying. `event_data` is found but not looked into: that is [`walk`](crate::walk)'s.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Each field's value as JSON, strings with their quotes; empty when absent.
    raw: [&'a str; Field::ALL.len()],
    /// One bit for each string field that holds escapes.
    escaped: u32,
    event_time: Nanos,
    received_at: Nanos,
    event_data: &'a str,
}

impl<'a> Entry<'a> {
    /// Finds the fields of an entry.
    pub fn parse(bytes: &'a [u8]) -> Result<Entry<'a>, EntryError> {
        let text = std::str::from_utf8(bytes).map_err(|_| EntryError::NotUtf8)?;
        let mut reader = Reader::new(text);
        match read_version(&mut reader) {
            Ok(1) => {}
            Ok(version) => return Err(EntryError::Version(version)),
            Err(Syntax) => return Err(EntryError::malformed(&reader)),
        }
        Entry::read(&mut reader).map_err(|Syntax| EntryError::malformed(&reader))
    }

    /// Reads what follows the version.
    fn read(reader: &mut Reader<'a>) -> Result<Entry<'a>, Syntax> {
        let mut entry = Entry {
            raw: [""; Field::ALL.len()],
            escaped: 0,
            event_time: Nanos(0),
            received_at: Nanos(0),
            event_data: "",
        };
        for (field, raw) in Field::ALL.into_iter().zip(&mut entry.raw) {
            if !reader.take_all(field.member()) {
                if is_required(field) {
                    return reader.fail("another field");
                }
                continue;
            }
            let start = reader.pos();
            match field {
                Field::EventTime | Field::ReceivedAt => {
                    let time = reader.string()?;
                    let Some(time) = Nanos::parse_entry(time.text.as_bytes()) else {
                        return reader.fail("a time");
                    };
                    match field {
                        Field::EventTime => entry.event_time = time,
                        _ => entry.received_at = time,
                    }
                }
                Field::Severity | Field::AgentEpoch | Field::AgentSeq => {
                    if reader.number()?.parse::<u64>().is_err() {
                        return reader.fail("a whole number");
                    }
                }
                Field::ReadOnly => {
                    if reader.literal()? == "null" {
                        return reader.fail("true or false");
                    }
                }
                Field::Via => read_list(reader)?,
                Field::Message if reader.peek() == Some(b'{') => {
                    read_ref(reader)?;
                }
                _ => {
                    if reader.string()?.is_escaped() {
                        entry.escaped |= 1 << field as u32;
                    }
                }
            }
            *raw = reader.since(start);
        }
        if reader.take_all(EVENT_DATA_MEMBER) {
            match reader.rest().strip_suffix('}') {
                Some(data) if data.starts_with('{') && data.ends_with('}') => entry.event_data = data,
                _ => return reader.fail("an object and the entry's closing brace"),
            }
        } else if reader.rest() != "}" {
            return reader.fail("the next field or the closing brace");
        }
        Ok(entry)
    }

    /// When it happened.
    pub fn event_time(&self) -> Nanos {
        self.event_time
    }

    /// When the server took it in.
    pub fn received_at(&self) -> Nanos {
        self.received_at
    }

    /// The event's id.
    pub fn event_id(&self) -> Cow<'a, str> {
        self.string(Field::EventId)
    }

    /// What happened.
    pub fn event_name(&self) -> Cow<'a, str> {
        self.string(Field::EventName)
    }

    /// Who did it.
    pub fn username(&self) -> Cow<'a, str> {
        self.string(Field::Username)
    }

    /// The key or source it came from.
    pub fn event_source(&self) -> Cow<'a, str> {
        self.string(Field::EventSource)
    }

    /// Whether nothing was changed by it.
    pub fn read_only(&self) -> bool {
        self.raw(Field::ReadOnly) == Some("true")
    }

    /// 0 to 7, RFC 5424.
    pub fn severity(&self) -> Option<u64> {
        self.number(Field::Severity)
    }

    /// A whole number's value: of `severity`, `agent_epoch` or `agent_seq`.
    pub fn number(&self, field: Field) -> Option<u64> {
        self.raw(field)?.parse().ok()
    }

    /// The relays it came through.
    pub fn via(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let mut reader = Reader::new(self.raw(Field::Via).unwrap_or_default());
        reader.take(b'[');
        std::iter::from_fn(move || {
            let relay = reader.string().ok()?;
            reader.take(b',');
            Some(relay.decoded())
        })
    }

    /// The human line.
    pub fn message(&self) -> Option<Text<'a>> {
        let raw = self.raw(Field::Message)?;
        if raw.starts_with('{') {
            let (hash, bytes) = read_ref(&mut Reader::new(raw)).ok()?;
            return Some(Text::Ref { hash, bytes });
        }
        Some(Text::Inline(self.string(Field::Message)))
    }

    /// `event_data` as canonical JSON: an object.
    pub fn event_data(&self) -> Option<&'a [u8]> {
        (!self.event_data.is_empty()).then_some(self.event_data.as_bytes())
    }

    /// [`event_data`](Entry::event_data) as text.
    pub fn event_data_text(&self) -> Option<&'a str> {
        Some(self.event_data).filter(|data| !data.is_empty())
    }

    /// A field's value as JSON, byte for byte.
    pub fn raw(&self, field: Field) -> Option<&'a str> {
        self.raw.get(field as usize).copied().filter(|raw| !raw.is_empty())
    }

    /// A field's value as text: a string unescaped; a number, a bool or a time as written; `via` with commas between
    /// the relays; a `message` that stands beside the entry not at all.
    pub fn field(&self, field: Field) -> Option<Cow<'a, str>> {
        let raw = self.raw(field)?;
        match field {
            Field::Via => Some(Cow::Owned(self.via().collect::<Vec<_>>().join(","))),
            Field::Message if raw.starts_with('{') => None,
            _ if matches!(field.kind(), Kind::Number | Kind::Bool) => Some(Cow::Borrowed(raw)),
            _ => Some(self.string(field)),
        }
    }

    /// A string field's value; empty when absent.
    fn string(&self, field: Field) -> Cow<'a, str> {
        let raw = self.raw.get(field as usize).copied().unwrap_or_default();
        let content = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if self.escaped & 1 << field as u32 == 0 {
            Cow::Borrowed(content)
        } else {
            Cow::Owned(decode(content))
        }
    }
}

fn is_required(field: Field) -> bool {
    matches!(
        field,
        Field::EventId
            | Field::EventTime
            | Field::ReceivedAt
            | Field::EventName
            | Field::Username
            | Field::EventSource
            | Field::SourceIpAddress
            | Field::ReadOnly
    )
}

fn read_version(reader: &mut Reader<'_>) -> Result<u64, Syntax> {
    if !reader.take_all("{\"v\":") {
        return reader.fail("an entry, which begins with its version");
    }
    match reader.number()?.parse() {
        Ok(version) => Ok(version),
        Err(_) => reader.fail("a version"),
    }
}

fn read_list(reader: &mut Reader<'_>) -> Result<(), Syntax> {
    if !reader.take(b'[') {
        return reader.fail("an array");
    }
    loop {
        reader.string()?;
        if reader.take(b']') {
            return Ok(());
        }
        if !reader.take(b',') {
            return reader.fail("a comma or a closing bracket");
        }
    }
}

/// How a `$ref` begins.
pub(crate) const REF_HEAD: &str = "{\"$ref\":\"sha256:";

/// Reads `{"$ref":"sha256:<64 hex digits>","bytes":<n>}`.
pub(crate) fn read_ref(reader: &mut Reader<'_>) -> Result<([u8; 32], u64), Syntax> {
    const EXPECTED: &str = "a $ref as the format has it";
    if !reader.take_all(REF_HEAD) {
        return reader.fail(EXPECTED);
    }
    let mut hash = [0; 32];
    for byte in &mut hash {
        let (Some(high), Some(low)) = (hex_digit(reader), hex_digit(reader)) else {
            return reader.fail(EXPECTED);
        };
        *byte = high << 4 | low;
    }
    if !reader.take_all("\",\"bytes\":") {
        return reader.fail(EXPECTED);
    }
    let Ok(bytes) = reader.number()?.parse() else { return reader.fail(EXPECTED) };
    if reader.take(b'}') { Ok((hash, bytes)) } else { reader.fail(EXPECTED) }
}

fn hex_digit(reader: &mut Reader<'_>) -> Option<u8> {
    let byte = reader.peek()?;
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => return None,
    };
    reader.take(byte);
    Some(digit)
}
