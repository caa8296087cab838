//! What a transform leaves: what it did not change is as it was, byte for byte.

use attestry_event::{Batch, Border, Nanos, write_event};
use attestry_script::{Applied, Input, Options, RunError, Transform};
use proptest::prelude::*;

const RECEIVED: Nanos = Nanos(1_795_230_000_000_000_000);

fn apply(source: &str, event: &str) -> Result<Applied, RunError> {
    let transform = Transform::compile(source, &Options::default())
        .unwrap_or_else(|error| panic!("{source}\n{}", error.rendered()));
    transform.apply(event.as_bytes(), RECEIVED)
}

fn check(source: &str, event: &str, expected: &str) {
    let found = match apply(source, event) {
        Ok(Applied::Changed(event)) => String::from_utf8(event).unwrap(),
        Ok(Applied::Unchanged) => "unchanged".to_owned(),
        Ok(Applied::Dropped) => "dropped".to_owned(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(found, expected, "{source}\n{event}");
}

/// The fields every event has, so that the tables show what they are about.
fn event(rest: &str) -> String {
    format!(r#"{{"event_name":"a.b","username":"u"{rest}}}"#)
}

#[test]
fn only_what_changed_is_written_anew() {
    for (source, rest, expected) in [
        ("true", r#","event_data":{}"#, "unchanged"),
        (".severity = 3", r#","severity":3"#, "unchanged"),
        (".event_data.b = 2", r#","event_data":{"z":1e5,"b":2,"a":1.10}"#, "unchanged"),
        (
            ".event_data.b = 3",
            r#","event_data":{"z":1e5,"b":2,"a":1.10}"#,
            r#","event_data":{"z":1e5,"b":3,"a":1.10}"#,
        ),
        (
            "del(.event_data.b)",
            r#","event_data":{"z":1e5,"b":2,"a":1.10}"#,
            r#","event_data":{"z":1e5,"a":1.10}"#,
        ),
        ("del(.event_data.x)", r#","event_data":{"z":1e5}"#, "unchanged"),
        // The whole of event_data goes through the program, and still its tokens are kept.
        (
            ".event_data = map_values(.event_data) -> |v| { v }",
            r#","event_data":{"a":9007199254740993,"b":18446744073709551615,"c":1e5,"d":1.10,"e":-0,"f":1E400,"g":0.1000000000000000055}"#,
            "unchanged",
        ),
        (
            ".event_data.n = 1",
            r#","event_data":{"z":18446744073709551615,"esc":"\u0041\/","a":[1.0,{"k":1e2}]}"#,
            r#","event_data":{"z":18446744073709551615,"esc":"\u0041\/","a":[1.0,{"k":1e2}],"n":1}"#,
        ),
        // An element that stays in its place keeps its token.
        (
            ".event_data.a[1] = 9",
            r#","event_data":{"a":[1e2,2,3.10]}"#,
            r#","event_data":{"a":[1e2,9,3.10]}"#,
        ),
        (
            ".event_data.a = push(array!(.event_data.a), 4)",
            r#","event_data":{"a":[1e2,3.10]}"#,
            r#","event_data":{"a":[1e2,3.10,4]}"#,
        ),
        (
            ".event_data.a = slice!(.event_data.a, 0, 1)",
            r#","event_data":{"a":[1e2,3.10]}"#,
            r#","event_data":{"a":[1e2]}"#,
        ),
        // What moves is written anew; what has no number in VRL moves as a string.
        (
            ".event_data.b = del(.event_data.a)",
            r#","event_data":{"a":1e5,"c":1e5}"#,
            r#","event_data":{"c":1e5,"b":100000.0}"#,
        ),
        (
            ".event_data.b = .event_data.a",
            r#","event_data":{"a":18446744073709551615}"#,
            r#","event_data":{"a":18446744073709551615,"b":"18446744073709551615"}"#,
        ),
        (
            ".event_data.b = to_float!(.event_data.a) > 1.0",
            r#","event_data":{"a":18446744073709551615}"#,
            r#","event_data":{"a":18446744073709551615,"b":true}"#,
        ),
        // A scalar where the program writes a member is replaced as a whole.
        (
            ".event_data.a.b = 1",
            r#","event_data":{"a":"x","c":1e5}"#,
            r#","event_data":{"a":{"b":1},"c":1e5}"#,
        ),
        (
            ".event_data.a.b = 1",
            r#","event_data":{"a":{"k":1e5},"c":1}"#,
            r#","event_data":{"a":{"k":1e5,"b":1},"c":1}"#,
        ),
        (".event_data.a.b = 1", "", r#","event_data":{"a":{"b":1}}"#),
        (".event_data = {}", r#","event_data":{"a":1}"#, ""),
        (".event_data = {}", r#","event_data":{}"#, "unchanged"),
        (".event_data = null", r#","event_data":{"a":1}"#, ""),
        (".event_data = {\"a\": 1}", r#","event_data":{"b":1e5,"a":1}"#, r#","event_data":{"a":1}"#),
        // Emptied as far as the program saw: what it did not see stays.
        (
            "del(.event_data.a.b, compact: true)",
            r#","event_data":{"a":{"b":1,"c":2e1}}"#,
            r#","event_data":{"a":{"c":2e1}}"#,
        ),
        (
            "del(.event_data.a.b, compact: true)",
            r#","event_data":{"a":{"b":1},"d":2e1}"#,
            r#","event_data":{"d":2e1}"#,
        ),
        ("del(.event_data.a.b, compact: true)", r#","event_data":{"a":{"b":1}}"#, ""),
        // Added fields come in the order of fields.
        (
            ".host = \"h\"\n.resource = \"r\"\n.event_id = \"1\"",
            r#","outcome":"success","event_data":{"a":1e5}"#,
            r#","resource":"r","outcome":"success","host":"h","event_data":{"a":1e5}"#,
        ),
        (".resource = null", r#","resource":null"#, "unchanged"),
        (".resource = null", r#","resource":"x""#, ""),
        ("del(.resource)", r#","resource":null"#, "unchanged"),
        // Null, and what is absent, look like their default; left so they are as they were.
        (".read_only = false\n.source_ip_address = \"-\"", "", "unchanged"),
        (".read_only = true", "", r#","read_only":true"#),
        (".event_time = .event_time", "", "unchanged"),
        (".event_time = %received_at", "", "unchanged"),
        (".message = \"é\\n\\\"\"", "", r#","message":"é\n\"""#),
        ("if .severity == null { .severity = 5 }", "", r#","severity":5"#),
        (".outcome = null\n.severity = 7", r#","outcome":"failure","severity":1"#, r#","severity":7"#),
    ] {
        let whole = match expected {
            "unchanged" => expected.to_owned(),
            rest if source.contains(".event_id") => event(rest).replacen('{', r#"{"event_id":"1","#, 1),
            rest => event(rest),
        };
        check(source, &event(rest), &whole);
    }
}

#[test]
fn times_are_written_with_nanoseconds() {
    for (source, time, expected) in [
        (".event_time = .event_time", "2026-11-21T03:00:00Z", None),
        (
            ".event_time = to_string(.event_time)",
            "2026-11-21T03:00:00.000000000Z",
            Some("2026-11-21T03:00:00.000000000Z"),
        ),
        (
            ".event_time = \"2026-11-21T05:00:00+02:00\"",
            "2020-01-01T00:00:00Z",
            Some("2026-11-21T03:00:00.000000000Z"),
        ),
        (
            ".event_time = t'2026-11-21T03:00:00.5Z'",
            "2020-01-01T00:00:00Z",
            Some("2026-11-21T03:00:00.500000000Z"),
        ),
        (
            ".event_time = from_unix_timestamp!(1, unit: \"nanoseconds\")",
            "",
            Some("1970-01-01T00:00:00.000000001Z"),
        ),
        // The same moment is no change, however it was written.
        (".event_time = t'2026-11-21T03:00:00Z'", "2026-11-21T05:00:00+02:00", None),
    ] {
        let with = |time: &str| format!(r#"{{"event_time":"{time}","event_name":"a","username":"u"}}"#);
        let expected = expected.map_or("unchanged".to_owned(), with);
        check(source, &with(time), &expected);
    }
    check(
        ".event_data.t = t'2026-11-21T03:00:00Z'",
        &event(""),
        &event(r#","event_data":{"t":"2026-11-21T03:00:00.000000000Z"}"#),
    );
}

#[test]
fn what_is_no_event_is_refused() {
    for (source, rest, expected) in [
        (
            ".severity = to_int!(.event_data.x)",
            r#","event_data":{"x":8}"#,
            "the program left severity as 8; it must be a whole number from 0 (emergency) to 7 (debug)",
        ),
        (
            ".username = string!(.event_data.x)",
            r#","event_data":{"x":""}"#,
            "the program left username as an empty string; it must be a string that is not empty",
        ),
        ("del(.username)", "", "the program left username as null; it must be a string that is not empty"),
        (
            ".event_time = string!(.event_data.x)",
            r#","event_data":{"x":"yesterday"}"#,
            "the program left event_time as \"yesterday\"; it must be an RFC 3339 time or a timestamp",
        ),
        (
            ". = object!(.event_data.x)",
            r#","event_data":{"x":{"event_name":"a","username":"b","nope":1}}"#,
            "the program left nope as a member of the event; it must be a field of an event, or stand in event_data",
        ),
        (
            ". = object!(.event_data.x)",
            r#","agent":"web1","event_data":{"x":{"event_name":"a","username":"b"}}"#,
            "the program left agent as another value; it must be as it was: it says which way the event came",
        ),
        (
            ".event_data.x = to_float!(.event_data.x) * to_float!(.event_data.x)",
            r#","event_data":{"x":1e300}"#,
            "the program left a number as inf; it must be finite, as JSON's numbers are",
        ),
        ("assert!(.username == \"root\")", "", "line 1, column 1: "),
        (
            "x = 1\n.event_data.x = to_int!(.event_data.x)",
            r#","event_data":{"x":"é"}"#,
            "line 2, column 17: ",
        ),
        (".message = .username", r#","severity":"high""#, ""),
        (
            ".event_data.s = .severity",
            r#","severity":"high""#,
            "severity of the event must be a whole number from 0 (emergency) to 7 (debug)",
        ),
        (
            ".event_data.s = .event_time",
            r#","event_time":"noon""#,
            "event_time of the event must be an RFC 3339 time or a timestamp",
        ),
        (".event_data.s = .via", r#","via":["a",1]"#, "via of the event must be an array of strings"),
        (
            ".event_data.s = .event_data.a",
            r#","event_data":{"a":1,"a":2}"#,
            "the event is not JSON: expected every name once in an object at byte 0",
        ),
        (
            ".event_data.s = .event_data.a",
            r#","event_data":{"a":nope}"#,
            "the event is not JSON: expected a value as JSON has them before this place at byte ",
        ),
        (".event_data.s = 1", r#","event_data":[1]"#, "event_data of the event must be an object"),
    ] {
        match apply(source, &event(rest)) {
            Err(error) => {
                assert!(!expected.is_empty() && error.to_string().starts_with(expected), "{source}: {error}")
            }
            Ok(_) => assert_eq!(expected, "", "{source}"),
        }
    }
}

#[test]
fn aborting_drops() {
    check("if .username == \"u\" { abort }\n.severity = 1", &event(""), "dropped");
    check("abort", &event(""), "dropped");
}

#[test]
fn foreign_json_becomes_an_event() {
    let source = r#"
        .event_name = "order." + downcase(string!(.action))
        .username = string(.user.name) ?? "-"
        .event_time = from_unix_timestamp!(del(.ts), unit: "milliseconds")
        .event_data.total = del(.total)
        del(.user)
        del(.action)
    "#;
    let options = Options { input: Input::Json, ..Options::default() };
    let transform =
        Transform::compile(source, &options).unwrap_or_else(|error| panic!("{}", error.rendered()));
    let message = r#" {"action":"PAID", "user":{"name":"alice"}, "ts":1795230000123, "total":12.5, "event_data":{"k":1e5} } "#;
    let Ok(Applied::Changed(event)) = transform.apply(message.as_bytes(), RECEIVED) else { panic!() };
    assert_eq!(
        String::from_utf8(event).unwrap(),
        r#"{"event_data":{"k":1e5,"total":12.5},"event_name":"order.paid","event_time":"2026-11-21T03:00:00.123000000Z","username":"alice"}"#
    );
}

/// Any JSON value of a few levels, as text.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        "\"([a-z é]|\\\\n|\\\\u00e9|\\\\ud83d\\\\ude00){0,6}\"",
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-d]{1,2}", inner, 0..5).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().rev().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    /// A program that touches everything and changes nothing leaves every byte, and a program that adds one member leaves all others.
    #[test]
    fn what_is_not_changed_keeps_its_bytes(data in prop::collection::btree_map("[a-d]{1,2}", json(), 0..5)) {
        let members: Vec<String> = data.iter().rev().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let before = event(&format!(",\"event_data\":{{{}}}", members.join(",")));
        let same = ". = map_values(., recursive: true) -> |v| { v }";
        prop_assert_eq!(apply(same, &before), Ok(Applied::Unchanged));
        let comma = if members.is_empty() { "" } else { "," };
        let after = event(&format!(",\"event_data\":{{{}{comma}\"zz\":1}}", members.join(",")));
        let partly = apply(".event_data.zz = 1", &before);
        let wholly = apply("data = .event_data\ndata.zz = 1\n.event_data = data", &before);
        prop_assert_eq!(partly, Ok(Applied::Changed(after.clone().into_bytes())));
        prop_assert_eq!(wholly, Ok(Applied::Changed(after.into_bytes())));
    }
}

#[test]
fn an_entry_goes_through_and_comes_back() {
    let border = Border {
        event_source: "key",
        via: &[],
        lenient: false,
        reserved_names: false,
        agent: true,
        now: RECEIVED,
    };
    let long = "x".repeat(5_000);
    let sent = format!(
        r#"{{"event_name":"a.b","username":"u","via":["r"],"agent":"web1","agent_epoch":7,"agent_seq":18446744073709551615,"message":"{long}","event_data":{{"n":1e5,"s":"{long}"}}}}"#
    );
    let mut batch = Batch::with_seed([7; 32]);
    batch.push_json(sent.as_bytes(), &border).unwrap();
    let mut line = Vec::new();
    write_event(batch.entry(0), &batch.values, &mut line).unwrap();
    let source = ".event_data.all = . != null\n.event_data.m = length(string!(.message))";
    let Ok(Applied::Changed(changed)) = apply(source, std::str::from_utf8(&line).unwrap()) else { panic!() };
    let expected = String::from_utf8(line.clone()).unwrap();
    let expected = format!("{},\"all\":true,\"m\":5000}}}}", &expected[..expected.len() - 2]);
    assert_eq!(String::from_utf8(changed.clone()).unwrap(), expected);
    batch.push_json(&changed, &border).unwrap();
}
