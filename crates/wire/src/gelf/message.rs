//! What a GELF message says.

use std::fmt;

use attestry_event::{Event, FUTURE_LIMIT_NANOS, Nanos};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::outgoing::Name;

/// The name of events from containers: Docker's driver says which one it was.
const CONTAINER_LOG: &str = "container.log";

/// A message's members, in order.
struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Makes an event of a message. `event_name` is for all but Docker's, which are `container.log`.
///
/// # Errors
/// With what is wrong, when it is not an object, or says nothing; [`malformed`] keeps it then.
pub fn parse(json: &[u8], event_name: &str, received: Nanos) -> Result<Event, String> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut event = Event::new(event_name, "-");
    let mut data = Map::new();
    let (mut short, mut full) = (None, None);
    for (Name(name), raw) in members.0 {
        match &*name {
            "version" => {}
            "host" => event.host = text(raw).filter(|host| !host.is_empty()),
            "short_message" => short = text(raw),
            "full_message" => full = text(raw),
            "timestamp" => match seconds(&text(raw).unwrap_or_default()) {
                Some(time) if time.0 <= received.0.saturating_add(FUTURE_LIMIT_NANOS) => {
                    event.event_time = Some(time)
                }
                // A clock that is days ahead does not decide when it happened.
                _ => put(&mut data, "claimed_time", value(raw)),
            },
            "level" => match text(raw).and_then(|level| level.parse().ok()).filter(|level| *level <= 7) {
                Some(level) => event.severity = Some(level),
                None => put(&mut data, "level", value(raw)),
            },
            name => put(&mut data, name.strip_prefix('_').unwrap_or(name), value(raw)),
        }
    }
    let short = short.filter(|text| !text.is_empty());
    let full = full.filter(|text| !text.is_empty());
    if short.is_none() && full.is_none() {
        return Err("it has no short_message".to_owned());
    }
    // The full message usually is the short one and what follows.
    match (short, full) {
        (Some(short), Some(full)) if !full.trim_start().starts_with(short.trim()) => {
            event.message = Some(short);
            put(&mut data, "full_message", Value::from(full));
        }
        (short, full) => event.message = full.or(short),
    }
    if data.contains_key("container_id") {
        event.event_name = CONTAINER_LOG.to_owned();
        event.resource = data.get("container_name").and_then(Value::as_str).map(str::to_owned);
        // What Docker's driver makes of the two streams.
        match event.severity {
            Some(3) => put(&mut data, "stream", Value::from("stderr")),
            Some(6) => put(&mut data, "stream", Value::from("stdout")),
            _ => {}
        }
    }
    event.event_data = (!data.is_empty()).then_some(data);
    Ok(event)
}

/// The event of what is no message: nothing of it is lost but what is beyond `cut_bytes`.
pub fn malformed(bytes: &[u8], event_name: &str, why: &str) -> Event {
    Event::new(event_name, "-").message(String::from_utf8_lossy(bytes)).data("malformed", why)
}

/// Keeps a member; what comes again is kept in an array.
fn put(data: &mut Map<String, Value>, name: &str, value: Value) {
    match data.get_mut(name) {
        None => {
            data.insert(name.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// A string's text, or a number's token.
fn text(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).ok(),
        Some(b'-' | b'0'..=b'9') => Some(raw.get().to_owned()),
        _ => None,
    }
}

/// A value as it is; a number that would not come out as it went in is a string.
fn value(raw: &RawValue) -> Value {
    let token = raw.get();
    if !matches!(token.as_bytes().first(), Some(b'-' | b'0'..=b'9')) {
        return serde_json::from_str(token).unwrap_or_else(|_| Value::from(token));
    }
    let number: Option<Value> = serde_json::from_str(token).ok();
    let written = number.as_ref().map(Value::to_string);
    number.filter(|_| written.as_deref() == Some(token)).unwrap_or_else(|| Value::from(token))
}

/// Seconds since 1970 as a decimal number, exactly: `1385053862.3072`. Beyond nine digits of a fraction nothing is kept.
fn seconds(token: &str) -> Option<Nanos> {
    let (negative, token) = token.strip_prefix('-').map_or((false, token), |token| (true, token));
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The digits with the point moved so that they count nanoseconds.
    let keep = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(9)?;
    let keep = usize::try_from(keep.max(0)).ok().filter(|keep| *keep <= 40)?;
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat(b'0')).take(keep);
    let nanos =
        digits.fold(0i128, |sum, digit| sum.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    i64::try_from(if negative { -nanos } else { nanos }).ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::outgoing::tests::NOW;

    fn read(json: &str) -> Event {
        parse(json.as_bytes(), "gelf.message", NOW).unwrap()
    }

    #[test]
    fn the_formats_own_example() {
        let event = read(
            r#"{"version":"1.1","host":"example.org","short_message":"A short message that helps you identify what is going on",
            "full_message":"Backtrace here\n\nmore stuff","timestamp":1385053862.3072,"level":1,"_user_id":9001,
            "_some_info":"foo","_some_env_var":"bar"}"#,
        );
        let expected = Event::new("gelf.message", "-")
            .time(Nanos(1_385_053_862_307_200_000))
            .severity(1)
            .host("example.org")
            .message("A short message that helps you identify what is going on")
            .data("full_message", "Backtrace here\n\nmore stuff")
            .data("user_id", 9001)
            .data("some_info", "foo")
            .data("some_env_var", "bar");
        assert_eq!(event, expected);
    }

    #[test]
    fn dockers_driver() {
        let event = read(
            r#"{"version":"1.1","host":"web1","short_message":"oh no","timestamp":1763694245.123,"level":3,"_command":"sh -c 'x'",
            "_container_id":"5790672ab6a0","_container_name":"web","_created":"2026-11-21T03:04:05Z","_image_id":"sha256:1","_image_name":"nginx","_tag":"5790672ab6a0"}"#,
        );
        assert_eq!(event.event_name, "container.log");
        assert_eq!(event.resource.as_deref(), Some("web"));
        assert_eq!(event.event_time, Some(Nanos(1_763_694_245_123_000_000)));
        let data = event.event_data.unwrap();
        assert_eq!((&data["stream"], &data["image_name"]), (&json!("stderr"), &json!("nginx")));
        let other = read(r#"{"short_message":"x","_container_id":"1","level":6}"#);
        assert_eq!(other.event_data.unwrap()["stream"], "stdout");
    }

    #[test]
    fn nothing_of_a_message_is_lost() {
        for (json, message, data) in [
            (r#"{"short_message":"a","full_message":"a\nb"}"#, "a\nb", Value::Null),
            (r#"{"short_message":"","full_message":"b"}"#, "b", Value::Null),
            (r#"{"short_message":"a","full_message":""}"#, "a", Value::Null),
            (r#"{"short_message":5,"_id":"x"}"#, "5", json!({"id": "x"})),
            (
                r#"{"short_message":"a","level":9,"facility":"f","line":3}"#,
                "a",
                json!({"level": 9, "facility": "f", "line": 3}),
            ),
            (r#"{"short_message":"a","_x":1,"_x":2,"x":3}"#, "a", json!({"x": [1, 2, 3]})),
            (
                r#"{"short_message":"a","_b":9007199254740993,"_c":123456789012345678901234567890,"_d":1e5,"_e":1.50}"#,
                "a",
                json!({"b": 9007199254740993u64, "c": "123456789012345678901234567890", "d": "1e5", "e": "1.50"}),
            ),
            (
                r#"{"short_message":"a","_o":{"p":[1,null]},"_n":null,"_t":true}"#,
                "a",
                json!({"o": {"p": [1, null]}, "n": null, "t": true}),
            ),
            (r#"{"short_message":"a","timestamp":"yesterday"}"#, "a", json!({"claimed_time": "yesterday"})),
            (r#"{"short_message":"a","timestamp":2763694245}"#, "a", json!({"claimed_time": 2763694245u64})),
            ("\u{feff}{\"short_message\":\"a\"}", "a", Value::Null),
        ] {
            let event = read(json);
            assert_eq!(event.message.as_deref(), Some(message), "{json}");
            assert_eq!(event.event_data.map_or(Value::Null, Value::Object), data, "{json}");
        }
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (json, expected) in [
            ("", "EOF"),
            ("hello", "expected value"),
            ("[]", "an object"),
            (r#"{"version":"1.1"}"#, "no short_message"),
            (r#"{"short_message":""}"#, "no short_message"),
            (r#"{"short_message":null}"#, "no short_message"),
            (r#"{"short_message":"a"} x"#, "trailing"),
            (r#"{"event_name":"login.success","username":"root"}"#, "no short_message"),
        ] {
            let error = parse(json.as_bytes(), "gelf.message", NOW).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
        let kept = malformed(b"hello\xff", "gelf.message", "expected value");
        assert_eq!(kept.message.as_deref(), Some("hello\u{fffd}"));
    }

    #[test]
    fn times_are_exact_to_what_the_token_says() {
        for (token, expected) in [
            ("1385053862.3072", Some(1_385_053_862_307_200_000)),
            ("1385053862", Some(1_385_053_862_000_000_000)),
            ("1385053862.123456789", Some(1_385_053_862_123_456_789)),
            ("1385053862.1234567899", Some(1_385_053_862_123_456_789)),
            ("1.3850538623072E9", Some(1_385_053_862_307_200_000)),
            ("1.3850538623072e+09", Some(1_385_053_862_307_200_000)),
            ("13850538623072e-4", Some(1_385_053_862_307_200_000)),
            ("0", Some(0)),
            ("-1.5", Some(-1_500_000_000)),
            ("1e-20", Some(0)),
            ("1e400", None),
            ("99999999999", None),
            ("", None),
            (".5", None),
            ("1.2.3", None),
            ("1e", None),
            ("2026-11-21T03:04:05Z", None),
        ] {
            assert_eq!(seconds(token), expected.map(Nanos), "{token}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(json in "\\{(\"(short_message|timestamp|level|host|_[a-z])\":(\"[^\"]{0,5}\"|-?[0-9.eE+-]{1,12}|null|\\{\\}),?){0,5}\\}?") {
            let _ = parse(json.as_bytes(), "x", NOW);
        }

        #[test]
        fn any_time_of_a_number_is_exact(nanos in 0i64..4_000_000_000_000_000_000) {
            let token = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            prop_assert_eq!(seconds(&token), Some(Nanos(nanos)));
        }
    }
}
