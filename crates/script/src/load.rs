//! An event's JSON as the value that a program sees.

use attestry_event::{Field, MAX_DEPTH, Nanos};
use vrl::value::{KeyString, ObjectMap, Value};

use crate::json::Reader;
use crate::wanted::Wanted;
use crate::{Input, RunError, number};

/// Reads what is wanted of an event.
pub(crate) fn load(json: &str, wanted: &Wanted, input: Input, received: Nanos) -> Result<Value, RunError> {
    let mut reader = Reader::new(json);
    let mut event = ObjectMap::new();
    reader.members(|name, reader| {
        let name = name.text()?;
        let Some(part) = wanted.member(&name) else { return reader.token().map(drop) };
        let value = match input {
            Input::Event => member(&name, reader.token()?, part, received)?,
            Input::Json => Some(value(reader, part, 2)?),
        };
        match value {
            Some(value) => insert(&mut event, &name, value),
            None => Ok(()),
        }
    })?;
    reader.end()?;
    if input == Input::Event {
        for name in DEFAULTS {
            if wanted.member(name).is_some() && !event.contains_key(*name) {
                event.insert(KeyString::from(*name), absent(name, received));
            }
        }
    }
    Ok(Value::Object(event))
}

/// The members of an event that a program sees even where they are absent.
const DEFAULTS: &[&str] =
    &["event_time", "event_name", "username", "source_ip_address", "read_only", "event_data"];

/// What a program sees of an absent member: what the border makes of it. A required one looks like the empty string, which the
/// border takes for absent, too.
pub(crate) fn absent(name: &str, received: Nanos) -> Value {
    match name {
        "event_time" => timestamp(received),
        "event_name" | "username" => Value::from(""),
        "source_ip_address" => Value::from("-"),
        "read_only" => Value::Boolean(false),
        "event_data" => Value::Object(ObjectMap::new()),
        _ => Value::Null,
    }
}

/// What a program sees of a member of the event. `None`: as if it were absent.
pub(crate) fn member(
    name: &str,
    token: &str,
    wanted: &Wanted,
    received: Nanos,
) -> Result<Option<Value>, RunError> {
    let seen = value(&mut Reader::new(token), wanted, 2)?;
    if seen.is_null() {
        return Ok(None);
    }
    let expected = match (Expected::of(name), &seen) {
        (Some(Expected::Time), Value::String(text)) if text.is_empty() => return Ok(None),
        (Some(Expected::Time), Value::String(text)) => match Nanos::parse(text) {
            Ok(time) => return Ok(Some(timestamp(time))),
            Err(_) => Expected::Time,
        },
        (Some(Expected::Address), Value::String(text)) if text.is_empty() => {
            return Ok(Some(absent(name, received)));
        }
        (Some(expected), seen) if !expected.holds(seen) => expected,
        _ => return Ok(Some(seen)),
    };
    Err(RunError::Input { field: name.to_owned(), expected: expected.text() })
}

/// What a member of an event must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Name,
    Text,
    Address,
    Time,
    Bool,
    Severity,
    Count,
    Relays,
    Data,
}

impl Expected {
    /// `None` for a name that is no field: in lenient mode the border moves it into `event_data`.
    pub(crate) fn of(name: &str) -> Option<Expected> {
        Some(match Field::from_name(name) {
            Some(Field::EventName | Field::Username) => Expected::Name,
            Some(Field::EventTime) => Expected::Time,
            Some(Field::SourceIpAddress) => Expected::Address,
            Some(Field::ReadOnly) => Expected::Bool,
            Some(Field::Severity) => Expected::Severity,
            Some(Field::AgentEpoch | Field::AgentSeq) => Expected::Count,
            Some(Field::Via) => Expected::Relays,
            Some(Field::ReceivedAt) => return None,
            Some(_) => Expected::Text,
            None if name == "event_data" => Expected::Data,
            None => return None,
        })
    }

    /// Whether a program may find this value there.
    fn holds(self, value: &Value) -> bool {
        match self {
            Expected::Name | Expected::Text | Expected::Address => value.is_bytes(),
            Expected::Time => value.is_timestamp(),
            Expected::Bool => value.is_boolean(),
            Expected::Severity => value.is_integer(),
            // Beyond 64 signed bits it is shown as a string.
            Expected::Count => value.is_integer() || value.is_bytes(),
            Expected::Relays => value.as_array().is_some_and(|relays| relays.iter().all(Value::is_bytes)),
            Expected::Data => value.is_object(),
        }
    }

    /// Whether a program may leave this value there, absent and null apart.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Expected::Name, value) => value.as_bytes().is_some_and(|text| !text.is_empty()),
            (Expected::Time, Value::Timestamp(time)) => time.timestamp_nanos_opt().is_some(),
            (Expected::Time, value) => value.to_str().is_some_and(|text| Nanos::parse(text).is_ok()),
            (Expected::Severity, Value::Integer(severity)) => (0..=7).contains(severity),
            _ => self.holds(value),
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Expected::Name => "a string that is not empty",
            Expected::Text | Expected::Address => "a string",
            Expected::Time => "an RFC 3339 time or a timestamp",
            Expected::Bool => "true or false",
            Expected::Severity => "a whole number from 0 (emergency) to 7 (debug)",
            Expected::Count => "a whole number",
            Expected::Relays => "an array of strings",
            Expected::Data => "an object",
        }
    }
}

pub(crate) fn timestamp(time: Nanos) -> Value {
    Value::Timestamp(crate::syslog::moment(time))
}

/// Reads what is wanted of a value inside of `depth - 1` objects and arrays.
pub(crate) fn value(reader: &mut Reader<'_>, wanted: &Wanted, depth: usize) -> Result<Value, RunError> {
    match reader.peek() {
        Some(b'{' | b'[') if depth > MAX_DEPTH => Err(reader.fail("objects and arrays at most 32 deep")),
        Some(b'{') => {
            let mut object = ObjectMap::new();
            reader.members(|name, reader| {
                let name = name.text()?;
                let Some(part) = wanted.member(&name) else { return reader.token().map(drop) };
                let value = value(reader, part, depth + 1)?;
                insert(&mut object, &name, value)
            })?;
            Ok(Value::Object(object))
        }
        Some(b'[') => {
            let mut array = Vec::new();
            reader.elements(|reader| {
                array.push(value(reader, &Wanted::All, depth + 1)?);
                Ok(())
            })?;
            Ok(Value::Array(array))
        }
        Some(b'"') => Ok(Value::from(reader.quoted()?.text()?)),
        _ => {
            let token = reader.token()?;
            scalar(token).ok_or_else(|| reader.fail("a value as JSON has them before this place"))
        }
    }
}

fn scalar(token: &str) -> Option<Value> {
    match token {
        "true" => Some(Value::Boolean(true)),
        "false" => Some(Value::Boolean(false)),
        "null" => Some(Value::Null),
        token => number::shown(token),
    }
}

/// A filter must not see another value than who reads the event after it, so a name twice is refused.
fn insert(object: &mut ObjectMap, name: &str, value: Value) -> Result<(), RunError> {
    match object.insert(KeyString::from(name), value) {
        None => Ok(()),
        Some(_) => Err(RunError::Json { at: 0, expected: "every name once in an object" }),
    }
}
