//! An event as a GELF message.
//!
//! `host`, `short_message`, `full_message`, `timestamp` and `level` are what they are called; every other field is an additional one:
//! `_event_name`, `_username` and so on, and each scalar of `event_data` by its path, `_a.b`. An array is its JSON, as a string, because GELF
//! has only strings and numbers. A name that is taken by one of the event's fields, and `_id`, which GELF reserves, is written with
//! `_event_data.` before it.

use std::collections::HashSet;
use std::fmt::Write;

use attestry_event::Field;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::outgoing::{Name, Outgoing};

/// The fields that are additional ones in GELF.
const ADDITIONAL: [Field; 15] = [
    Field::EventId,
    Field::EventTime,
    Field::ReceivedAt,
    Field::EventName,
    Field::Username,
    Field::Resource,
    Field::EventSource,
    Field::Via,
    Field::SourceIpAddress,
    Field::RequestId,
    Field::ReadOnly,
    Field::Outcome,
    Field::Agent,
    Field::AgentEpoch,
    Field::AgentSeq,
];

/// The longest `short_message`, in bytes; the whole is in `full_message` then.
const SHORT_BYTES: usize = 250;

/// Appends the message of an event. `host` is for events that name none.
pub(crate) fn encode(event: &Outgoing<'_>, host: &str, out: &mut String) {
    out.push_str("{\"version\":\"1.1\",\"host\":");
    push_string(out, event.field(Field::Host).as_deref().unwrap_or(host));
    let message = event.field(Field::Message);
    let message = message.as_deref().filter(|message| !message.trim().is_empty());
    let name = event.entry().event_name();
    let short = message.map_or(&*name, first_line);
    out.push_str(",\"short_message\":");
    push_string(out, short);
    if let Some(message) = message.filter(|message| *message != short) {
        out.push_str(",\"full_message\":");
        push_string(out, message);
    }
    let millis = event.entry().event_time().0.div_euclid(1_000_000);
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    // Writing to a String cannot fail.
    let _ = write!(out, ",\"timestamp\":{sign}{}.{:03}", millis / 1_000, millis % 1_000);
    if let Some(level) = event.entry().severity() {
        let _ = write!(out, ",\"level\":{level}");
    }
    let mut taken: HashSet<String> = HashSet::new();
    for field in ADDITIONAL {
        let Some(text) = event.field(field) else { continue };
        let _ = write!(out, ",\"_{}\":", field.name());
        if matches!(field, Field::AgentEpoch | Field::AgentSeq) {
            push_number(out, &text);
        } else {
            push_string(out, &text);
        }
        taken.insert(field.name().to_owned());
    }
    if let Some(data) = event.data() {
        let mut path = String::new();
        flatten(data, &mut path, &mut |path, json| {
            let name = free_name(path, &taken);
            let _ = write!(out, ",\"_{name}\":");
            push_scalar(out, json);
            taken.insert(name);
        });
    }
    out.push('}');
}

/// A text up to its first line's end, and not too much of it.
fn first_line(message: &str) -> &str {
    let message = message.trim_start_matches(['\n', '\r']);
    let line = message.split(['\n', '\r']).next().unwrap_or(message);
    let mut end = line.len().min(SHORT_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or(line)
}

/// The name of an additional field: what GELF does not allow is `_`, and no name comes twice.
fn free_name(path: &str, taken: &HashSet<String>) -> String {
    let fits = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '_' | '.' | '-');
    let mut name: String = path.chars().map(|ch| if fits(ch) { ch } else { '_' }).collect();
    if name.is_empty() || name == "id" || Field::from_name(&name).is_some() {
        name.insert_str(0, "event_data.");
    }
    if !taken.contains(&name) {
        return name;
    }
    // Two names that differ only in what GELF does not allow.
    let free = (2u32..).map(|number| format!("{name}-{number}")).find(|name| !taken.contains(name));
    free.unwrap_or(name)
}

/// Visits what is no object below a JSON object.
fn flatten(json: &str, path: &mut String, visit: &mut dyn FnMut(&str, &str)) {
    struct Members<'v>(&'v mut String, &'v mut dyn FnMut(&str, &str));
    impl<'de> Visitor<'de> for Members<'_> {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let outer = self.0.len();
            while let Some(Name(name)) = map.next_key()? {
                let value: &RawValue = map.next_value()?;
                if outer > 0 {
                    self.0.push('.');
                }
                self.0.push_str(&name);
                if value.get().starts_with('{') {
                    flatten(value.get(), self.0, self.1);
                } else {
                    (self.1)(self.0, value.get());
                }
                self.0.truncate(outer);
            }
            Ok(())
        }
    }
    // An entry's event_data is an object of bounded depth.
    let _ = serde_json::Deserializer::from_str(json).deserialize_map(Members(path, visit));
}

fn push_scalar(out: &mut String, json: &str) {
    match json.as_bytes().first() {
        Some(b'"') => out.push_str(json),
        Some(b'-' | b'0'..=b'9') => push_number(out, json),
        // true, false, null, arrays.
        _ => push_string(out, json),
    }
}

/// A number's token, as a number where every reader will read the same one.
fn push_number(out: &mut String, token: &str) {
    // Both what fits 53 bits and fractions of at most 15 digits are exact in the floating point that readers use.
    let digits = token.bytes().filter(u8::is_ascii_digit).count();
    let exact = digits <= 15 && !token.contains(['e', 'E']);
    if exact {
        out.push_str(token);
    } else {
        push_string(out, token);
    }
}

fn push_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::tests::parcel;

    fn members(json: &str) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    fn encoded(event: &str) -> String {
        let parcel = parcel(event);
        let mut out = String::new();
        encode(&Outgoing::new(&parcel).unwrap(), "here", &mut out);
        out
    }

    #[test]
    fn is_as_the_format_says() {
        let event = r#"{"event_name":"login.failure","event_id":"e1","event_time":"2026-11-21T03:04:05.006789Z","username":"alice",
            "severity":4,"host":"web1","message":"wrong password","event_data":{"a":{"b":1,"c":true},"list":[1,"x"],"n":null}}"#;
        assert_eq!(
            encoded(event),
            r#"{"version":"1.1","host":"web1","short_message":"wrong password","timestamp":1795230245.006,"level":4,"_event_id":"e1","_event_time":"2026-11-21T03:04:05.006789000Z","_received_at":"2026-11-21T03:04:05.000000000Z","_event_name":"login.failure","_username":"alice","_event_source":"web","_source_ip_address":"-","_read_only":"false","_a.b":1,"_a.c":"true","_list":"[1,\"x\"]","_n":"null"}"#
        );
    }

    #[test]
    fn the_message_is_never_empty() {
        for (message, short, full) in [
            ("", "a", None),
            (r#","message":" ""#, "a", None),
            (r#","message":"one\ntwo""#, "one", Some("one\ntwo")),
            (r#","message":"\n\none""#, "one", Some("\n\none")),
            (r#","host":"h","message":"x""#, "x", None),
        ] {
            let found = members(&encoded(&format!(r#"{{"event_name":"a","username":"b"{message}}}"#)));
            assert_eq!(found["short_message"], short);
            assert_eq!(found.get("full_message").and_then(|full| full.as_str()), full);
        }
        let long = members(&encoded(&format!(
            r#"{{"event_name":"a","username":"b","message":"{}"}}"#,
            "ä".repeat(3_000)
        )));
        assert_eq!(long["short_message"], "ä".repeat(125));
        assert_eq!(long["full_message"], "ä".repeat(3_000));
    }

    #[test]
    fn names_are_allowed_and_come_once() {
        let event = r#"{"event_name":"a","username":"b","event_data":{"id":1,"username":"c","received_at":"x","a b":2,"a_b":3,"ü":4,"":5,
            "x":{"y":6},"x.y":7,"big":9007199254740993,"sci":1e400,"frac":0.25,"neg":-12}}"#;
        let json = encoded(event);
        let found = members(&json);
        assert_eq!(json.matches("\":").count(), found.len() + json.matches("\\\":").count());
        for (name, expected) in [
            ("_event_data.id", "1"),
            ("_event_data.username", "\"c\""),
            ("_event_data.received_at", "\"x\""),
            ("_username", "\"b\""),
            ("_a_b", "2"),
            ("_a_b-2", "3"),
            ("__", "4"),
            ("_event_data.", "5"),
            ("_x.y", "6"),
            ("_x.y-2", "7"),
            ("_big", "\"9007199254740993\""),
            ("_sci", "\"1e400\""),
            ("_frac", "0.25"),
            ("_neg", "-12"),
        ] {
            assert_eq!(
                found.get(name).map(ToString::to_string).as_deref(),
                Some(expected),
                "{name} in {json}"
            );
        }
        assert!(!found.contains_key("_id"));
    }
}
