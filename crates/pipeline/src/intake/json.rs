//! Events as JSON text, changed without touching what is not to be changed: number tokens and the order of members stay.

use std::borrow::Cow;
use std::fmt;

use attestry_event::Event;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The members of an object in their order, repeated names included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(name), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Members<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut before = b'{';
        for (name, value) in &self.0 {
            out.push(before);
            before = b',';
            // A string always becomes JSON.
            out.extend_from_slice(&serde_json::to_vec(name).unwrap_or_default());
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        if before == b'{' {
            out.push(before);
        }
        out.push(b'}');
    }
}

/// Whether a text is one JSON object, looked at no closer.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(json).is_ok()
}

/// Gives an event a host, where it has none, and marks it as unauthenticated, if that is asked for; `None` when there is nothing to change, or no
/// way to: then the border refuses the event.
pub(super) fn decorated(json: &[u8], host: Option<&str>, unauthenticated: bool) -> Option<Vec<u8>> {
    if host.is_none() && !unauthenticated {
        return None;
    }
    let mut members: Members<'_> = serde_json::from_slice(json).ok()?;
    let host = host.map(serde_json::value::to_raw_value).transpose().ok()?;
    if let Some(host) = &host {
        let own = members.0.iter_mut().find(|(name, _)| name == "host");
        match own {
            Some((_, value)) if matches!(value.get(), "null" | "\"\"") => *value = host,
            Some(_) => {}
            None => members.0.push((Cow::Borrowed("host"), host)),
        }
    }
    let mut data = None;
    if unauthenticated {
        let own = members.0.iter().find(|(name, _)| name == "event_data").map(|(_, value)| value.get());
        data = Some(marked(own.filter(|own| *own != "null").unwrap_or("{}"))?);
    }
    if let Some(data) = &data {
        match members.0.iter_mut().find(|(name, _)| name == "event_data") {
            Some((_, value)) => *value = data,
            None => members.0.push((Cow::Borrowed("event_data"), data)),
        }
    }
    let mut out = Vec::with_capacity(json.len() + 64);
    members.write(&mut out);
    Some(out)
}

/// The object with `unauthenticated` true, whatever it said of that itself.
fn marked(object: &str) -> Option<Box<RawValue>> {
    let yes = serde_json::value::to_raw_value(&true).ok()?;
    let mut members: Members<'_> = serde_json::from_str(object).ok()?;
    members.0.retain(|(name, _)| name != "unauthenticated");
    members.0.push((Cow::Borrowed("unauthenticated"), &yes));
    let mut out = Vec::new();
    members.write(&mut out);
    RawValue::from_string(String::from_utf8(out).ok()?).ok()
}

/// An event that was made here, as a client would send it.
pub(super) fn of_event(event: &Event) -> Vec<u8> {
    let mut json = Map::new();
    let mut text = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            json.insert(name.to_owned(), value.into());
        }
    };
    let time = event.event_time.map(|time| time.to_string());
    text("event_id", event.event_id.as_deref());
    text("event_time", time.as_deref());
    text("event_name", Some(&event.event_name));
    text("username", Some(&event.username));
    text("resource", event.resource.as_deref());
    text("event_source", event.event_source.as_deref());
    text("source_ip_address", event.source_ip_address.as_deref());
    text("request_id", event.request_id.as_deref());
    text("outcome", event.outcome.map(attestry_event::Outcome::name));
    text("message", event.message.as_deref());
    text("host", event.host.as_deref());
    text("agent", event.agent.as_deref());
    let mut other = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            json.insert(name.to_owned(), value);
        }
    };
    other("via", (!event.via.is_empty()).then(|| event.via.clone().into()));
    other("read_only", event.read_only.then_some(Value::Bool(true)));
    other("severity", event.severity.map(Value::from));
    other("agent_epoch", event.agent_epoch.map(Value::from));
    other("agent_seq", event.agent_seq.map(Value::from));
    other("event_data", event.event_data.clone().map(Value::Object));
    serde_json::to_vec(&json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_changes() {
        for (json, host, mark, expected) in [
            (r#"{"a":1e5,"b":[ 1.0 ]}"#, Some("h"), false, Some(r#"{"a":1e5,"b":[ 1.0 ],"host":"h"}"#)),
            (r#"{"host":"own"}"#, Some("h"), false, Some(r#"{"host":"own"}"#)),
            (
                r#"{"host":"","x":9007199254740993}"#,
                Some("h"),
                false,
                Some(r#"{"host":"h","x":9007199254740993}"#),
            ),
            (r#"{"host":null}"#, Some("h\""), false, Some(r#"{"host":"h\""}"#)),
            // A name in another spelling, and one that comes twice: the border still sees that.
            (r#"{"ho\u0073t":"own"}"#, Some("h"), false, Some(r#"{"host":"own"}"#)),
            (r#"{"a":1,"a":2}"#, Some("h"), false, Some(r#"{"a":1,"a":2,"host":"h"}"#)),
            ("{}", None, true, Some(r#"{"event_data":{"unauthenticated":true}}"#)),
            (
                r#"{"event_data":{"unauthenticated":false,"n":1.50,"un\u0061uthenticated":0}}"#,
                None,
                true,
                Some(r#"{"event_data":{"n":1.50,"unauthenticated":true}}"#),
            ),
            (r#"{"event_data":null}"#, None, true, Some(r#"{"event_data":{"unauthenticated":true}}"#)),
            (r#"{"event_data":"text"}"#, None, true, None),
            (r#"{"a":1}"#, None, false, None),
            (r#"[1]"#, Some("h"), true, None),
            (r#"{"a":"#, Some("h"), true, None),
        ] {
            let found = decorated(json.as_bytes(), host, mark).map(|json| String::from_utf8(json).unwrap());
            assert_eq!(found.as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn tells_objects_from_the_rest() {
        for (json, expected) in [
            (" {\"a\":1} ", true),
            ("{}", true),
            ("[]", false),
            ("{\"a\":1", false),
            ("{} {}", false),
            ("", false),
        ] {
            assert_eq!(is_object(json.as_bytes()), expected, "{json}");
        }
    }
}
