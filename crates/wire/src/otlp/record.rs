//! A log record, and the event it becomes.

use std::sync::Arc;

use attestry_event::{Event, Nanos, hex};
use serde_json::{Map, Value, json};

/// A log record of OpenTelemetry, with what is said of where it comes from.
///
/// | event | record |
/// |---|---|
/// | `event_time` | `time_unix_nano`, else `observed_time_unix_nano` |
/// | `event_name` | `event_name`, else the attribute `event.name`, else `otlp.message` |
/// | `username` | the attribute `enduser.id`, `user.name` or `user.id`, else `-` |
/// | `resource`, `host` | `service.name` and `host.name` of the resource |
/// | `source_ip_address` | the attribute `client.address` |
/// | `severity` | `severity_number`, by the table in the appendix of the logs data model |
/// | `message` | the body: a string as it is, anything else as JSON, and as it is in `event_data.body` |
/// | `event_data` | `attributes`, `resource`, `scope`, `severity_text`, `trace_id`, `span_id`, `flags`, `dropped_attributes` |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Nanoseconds since 1970; 0 is unknown.
    pub time: u64,
    /// When it was collected, in nanoseconds since 1970; 0 is unknown.
    pub observed: u64,
    /// 1 (trace) to 24 (fatal); 0 is unknown.
    pub severity_number: i64,
    /// What the source calls its severity.
    pub severity_text: String,
    /// What the source says.
    pub body: Value,
    /// More of it.
    pub attributes: Map<String, Value>,
    /// Attributes that the sender left out.
    pub dropped_attributes: u64,
    /// W3C trace flags.
    pub flags: u64,
    /// In hex, or empty.
    pub trace_id: String,
    /// In hex, or empty.
    pub span_id: String,
    /// What kind of event it is, when it is one.
    pub event_name: String,
    /// Where it comes from.
    pub origin: Arc<Origin>,
}

/// What the records of a group have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The attributes of the resource.
    pub resource: Map<String, Value>,
    /// Name, version and attributes of what made the record.
    pub scope: Map<String, Value>,
}

impl Record {
    /// The event.
    pub fn into_event(mut self) -> Event {
        let text = |map: &Map<String, Value>, name: &str| {
            map.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let attribute = |name: &str| text(&self.attributes, name);
        let name = Some(std::mem::take(&mut self.event_name)).filter(|name| !name.is_empty());
        let name = name.or_else(|| attribute("event.name")).unwrap_or_else(|| "otlp.message".to_owned());
        let username = ["enduser.id", "user.name", "user.id"].into_iter().find_map(attribute);
        let mut event = Event::new(name, username.unwrap_or_else(|| "-".to_owned()));
        event.source_ip_address = attribute("client.address");
        event.resource = text(&self.origin.resource, "service.name");
        event.host = text(&self.origin.resource, "host.name");
        let time = [self.time, self.observed].into_iter().find(|time| *time != 0);
        event.event_time = time.and_then(|time| i64::try_from(time).ok()).map(Nanos);
        event.severity = severity(self.severity_number);
        event.message = match &self.body {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let mut data = Map::new();
        let mut add = |name: &str, value: Value| {
            let empty = match &value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::Number(number) => number.as_u64() == Some(0),
                _ => false,
            };
            if !empty {
                data.insert(name.to_owned(), value);
            }
        };
        add("attributes", self.attributes.into());
        add("resource", self.origin.resource.clone().into());
        add("scope", self.origin.scope.clone().into());
        add("severity_text", self.severity_text.into());
        add("trace_id", self.trace_id.into());
        add("span_id", self.span_id.into());
        add("flags", self.flags.into());
        add("dropped_attributes", self.dropped_attributes.into());
        if !matches!(self.body, Value::Null | Value::String(_)) {
            data.insert("body".to_owned(), self.body);
        }
        event.event_data = (!data.is_empty()).then_some(data);
        event
    }
}

/// RFC 5424's severity for one of OpenTelemetry.
fn severity(number: i64) -> Option<u8> {
    Some(match number {
        1..=8 => 7,
        9 => 6,
        10..=12 => 5,
        13..=16 => 4,
        17 => 3,
        18 => 2,
        19..=20 => 1,
        21..=24 => 0,
        _ => return None,
    })
}

/// A number that JSON may not have a place for.
pub(super) fn double(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None => json!(number.to_string()),
    }
}

/// Hex; nothing for the id that stands for none, of which all bytes are 0.
pub(super) fn id(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    hex(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities() {
        let table = [0, 1, 4, 5, 8, 9, 10, 12, 13, 16, 17, 18, 19, 20, 21, 24, 25, -1].map(severity);
        let expected = [
            None,
            Some(7),
            Some(7),
            Some(7),
            Some(7),
            Some(6),
            Some(5),
            Some(5),
            Some(4),
            Some(4),
            Some(3),
            Some(2),
            Some(1),
            Some(1),
            Some(0),
            Some(0),
            None,
            None,
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn everything_has_its_place() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let record = Record {
            time: 0,
            observed: 1_700_000_000_000_000_001,
            severity_number: 17,
            severity_text: "ERR".into(),
            body: json!({"a": [1, null]}),
            attributes: map(json!({"user.id": "alice", "client.address": "192.0.2.1", "n": i64::MAX})),
            dropped_attributes: 2,
            flags: 1,
            trace_id: "0af7".into(),
            span_id: String::new(),
            event_name: String::new(),
            origin: Arc::new(Origin {
                resource: map(json!({"service.name": "shop", "host.name": "web1"})),
                scope: map(json!({"name": "lib"})),
            }),
        };
        let event = record.into_event();
        assert_eq!((event.event_name.as_str(), event.username.as_str()), ("otlp.message", "alice"));
        assert_eq!(event.event_time, Some(Nanos(1_700_000_000_000_000_001)));
        assert_eq!((event.severity, event.message.as_deref()), (Some(3), Some(r#"{"a":[1,null]}"#)));
        assert_eq!((event.resource.as_deref(), event.host.as_deref()), (Some("shop"), Some("web1")));
        assert_eq!(event.source_ip_address.as_deref(), Some("192.0.2.1"));
        assert_eq!(
            Value::from(event.event_data.unwrap()),
            json!({
                "attributes": {"user.id": "alice", "client.address": "192.0.2.1", "n": i64::MAX},
                "resource": {"service.name": "shop", "host.name": "web1"},
                "scope": {"name": "lib"},
                "severity_text": "ERR",
                "trace_id": "0af7",
                "flags": 1,
                "dropped_attributes": 2,
                "body": {"a": [1, null]},
            })
        );
        let empty = Record::default().into_event();
        assert_eq!(empty, Event::new("otlp.message", "-"));
    }
}
