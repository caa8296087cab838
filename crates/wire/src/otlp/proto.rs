//! OTLP in protobuf: `opentelemetry/proto/collector/logs/v1`, `logs/v1`, `common/v1` and `resource/v1` of opentelemetry-proto 1.x, read
//! message by message, so that a small body cannot become a large heap.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::decode::{Malformed, Request, bounded};
use super::record::{Origin, Record, double, id};

/// How deep values may nest: events may to 32, and stand in `event_data.attributes.<name>`.
const DEPTH_MAX: usize = 28;

impl Request {
    /// Reads a body in protobuf.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_protobuf(body: &[u8]) -> Result<Request, Malformed> {
        let mut request = Request::default();
        for field in fields(body) {
            if let (1, Content::Bytes(group)) = field? {
                resource_logs(group, &mut request)?;
            }
        }
        Ok(request)
    }
}

fn resource_logs(bytes: &[u8], request: &mut Request) -> Result<(), Malformed> {
    let mut resource = Map::new();
    // What is common may stand behind what has it in common.
    for field in fields(bytes) {
        if let (1, Content::Bytes(message)) = field? {
            bounded(message.len())?;
            for field in fields(message) {
                if let (1, Content::Bytes(attribute)) = field? {
                    key_value(attribute, &mut resource, DEPTH_MAX)?;
                }
            }
        }
    }
    for field in fields(bytes) {
        if let (2, Content::Bytes(group)) = field? {
            scope_logs(group, &resource, request)?;
        }
    }
    Ok(())
}

fn scope_logs(bytes: &[u8], resource: &Map<String, Value>, request: &mut Request) -> Result<(), Malformed> {
    let mut scope = Map::new();
    for field in fields(bytes) {
        if let (1, Content::Bytes(message)) = field? {
            bounded(message.len())?;
            scope = read_scope(message)?;
        }
    }
    let mut origin = None;
    for field in fields(bytes) {
        if let (2, Content::Bytes(message)) = field? {
            let make = || Arc::new(Origin { resource: resource.clone(), scope: scope.clone() });
            let origin = Arc::clone(origin.get_or_insert_with(make));
            request.add(bounded(message.len()).and_then(|()| log_record(message, origin)))?;
        }
    }
    Ok(())
}

fn read_scope(bytes: &[u8]) -> Result<Map<String, Value>, Malformed> {
    let mut scope = Map::new();
    let mut attributes = Map::new();
    for field in fields(bytes) {
        match field? {
            (1, Content::Bytes(name)) if !name.is_empty() => {
                drop(scope.insert("name".into(), text(name)?.into()))
            }
            (2, Content::Bytes(version)) if !version.is_empty() => {
                scope.insert("version".into(), text(version)?.into());
            }
            (3, Content::Bytes(attribute)) => key_value(attribute, &mut attributes, DEPTH_MAX)?,
            _ => {}
        }
    }
    if !attributes.is_empty() {
        scope.insert("attributes".into(), attributes.into());
    }
    Ok(scope)
}

fn log_record(bytes: &[u8], origin: Arc<Origin>) -> Result<Record, Malformed> {
    let mut record = Record { origin, ..Record::default() };
    for field in fields(bytes) {
        match field? {
            (1, Content::Number(time)) => record.time = time,
            (11, Content::Number(time)) => record.observed = time,
            (2, Content::Number(number)) => record.severity_number = number as i64,
            (3, Content::Bytes(name)) => record.severity_text = text(name)?.to_owned(),
            (5, Content::Bytes(body)) => record.body = any_value(body, DEPTH_MAX)?,
            (6, Content::Bytes(attribute)) => key_value(attribute, &mut record.attributes, DEPTH_MAX)?,
            (7, Content::Number(dropped)) => record.dropped_attributes = dropped,
            (8, Content::Number(flags)) => record.flags = flags,
            (9, Content::Bytes(trace)) => record.trace_id = id(trace),
            (10, Content::Bytes(span)) => record.span_id = id(span),
            (12, Content::Bytes(name)) => record.event_name = text(name)?.to_owned(),
            _ => {}
        }
    }
    Ok(record)
}

fn key_value(bytes: &[u8], map: &mut Map<String, Value>, depth: usize) -> Result<(), Malformed> {
    let (mut key, mut value) = ("", Value::Null);
    for field in fields(bytes) {
        match field? {
            (1, Content::Bytes(name)) => key = text(name)?,
            (2, Content::Bytes(content)) => value = any_value(content, depth)?,
            _ => {}
        }
    }
    map.insert(key.to_owned(), value);
    Ok(())
}

fn any_value(bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Malformed(format!("values nest deeper than {DEPTH_MAX}")));
    };
    let mut value = Value::Null;
    // One of them; as everywhere in protobuf the last one counts.
    for field in fields(bytes) {
        value = match field? {
            (1, Content::Bytes(string)) => text(string)?.into(),
            (2, Content::Number(number)) => (number != 0).into(),
            (3, Content::Number(number)) => (number as i64).into(),
            (4, Content::Number(number)) => double(f64::from_bits(number)),
            (5, Content::Bytes(list)) => {
                let mut values = Vec::new();
                for field in fields(list) {
                    if let (1, Content::Bytes(item)) = field? {
                        values.push(any_value(item, depth)?);
                    }
                }
                values.into()
            }
            (6, Content::Bytes(list)) => {
                let mut map = Map::new();
                for field in fields(list) {
                    if let (1, Content::Bytes(item)) = field? {
                        key_value(item, &mut map, depth)?;
                    }
                }
                map.into()
            }
            (7, Content::Bytes(content)) => BASE64_STANDARD.encode(content).into(),
            _ => continue,
        };
    }
    Ok(value)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a string is not UTF-8".to_owned()))
}

/// What a field holds.
enum Content<'a> {
    /// A varint, or 4 or 8 bytes.
    Number(u64),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, with their numbers (protobuf, "Encoding"). Ends at the first that cannot be read.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Content<'_>), Malformed>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| Malformed("the body is not protobuf, or is cut".to_owned())))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Content<'a>)> {
    let key = varint(rest)?;
    let content = match key & 7 {
        0 => Content::Number(varint(rest)?),
        1 => Content::Number(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Content::Bytes(take(rest, length)?)
        }
        5 => Content::Number(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?).into()),
        // Groups are of a time before OTLP.
        _ => return None,
    };
    (key >> 3 != 0).then_some((key >> 3, content))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // The tenth byte has room for one bit.
            return (shift < 63 || *byte <= 1).then_some(number);
        }
    }
    None
}

/// Appends a field with a varint.
pub(super) fn write_number(field: u64, number: u64, out: &mut Vec<u8>) {
    write_varint(field << 3, out);
    write_varint(number, out);
}

/// Appends a field with bytes.
pub(super) fn write_bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(field << 3 | 2, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
