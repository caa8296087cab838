use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use serde_json::{Map, Value};

use super::*;

/// 2026-11-21T12:00:00Z.
const RECEIVED: Nanos = Nanos(1_795_262_400_000_000_000);

static PARSERS: LazyLock<BTreeMap<&str, Parser>> = LazyLock::new(|| {
    let named = |name| (name, Parser::named(name, &Options::default()).unwrap().unwrap());
    Parser::names().map(named).collect()
});

/// What the parser of that name makes of a line, without the line itself.
fn parsed(name: &str, message: &str) -> Map<String, Value> {
    let event =
        serde_json::json!({ "event_name": "log.line", "username": "-", "severity": 6, "message": message });
    let event = serde_json::to_vec(&event).unwrap();
    let changed = match PARSERS[name].apply(&event, RECEIVED) {
        Applied::Changed(changed) => changed,
        Applied::Unchanged => event,
        Applied::Dropped => panic!("{name} dropped {message}"),
    };
    let mut event: Map<String, Value> = serde_json::from_slice(&changed).unwrap();
    if event.get("message").and_then(Value::as_str) == Some(message) {
        event.remove("message");
    }
    event.sort_keys();
    if let Some(Value::Object(data)) = event.get_mut("event_data") {
        data.sort_keys();
    }
    event
}

/// `cases.ndjson`: a line each of the parser's name, the message and what becomes of it. `UPDATE_EXPECT=1` writes what becomes of it anew.
#[test]
fn lines_of_real_programs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/parsers/cases.ndjson");
    let mut written = String::new();
    let mut wrong = Vec::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        let case: Map<String, Value> = serde_json::from_str(line).unwrap();
        let (name, message) = (case["parser"].as_str().unwrap(), case["message"].as_str().unwrap());
        let found = Value::Object(parsed(name, message));
        if case.get("event") != Some(&found) {
            wrong.push(format!("{name} {message}\n  {found}"));
        }
        let mut case = case.clone();
        case.insert("event".to_owned(), found);
        written.push_str(&format!("{}\n", Value::Object(case)));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(&path, written).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_dropped_and_nothing_fails() {
    let long = "a[\"".repeat(20_000);
    for name in Parser::names() {
        for message in ["", " ", "no such line", "{", "[1]", "{\"time\":{}}", "\u{0}", "-", &long] {
            let event = parsed(name, message);
            let unparsed = event.get("event_data").is_some_and(|data| data["unparsed"] == true);
            let is_json = (name, message) == ("json", "{\"time\":{}}");
            assert!(unparsed || is_json, "{name} {message:.40}");
        }
        // Without a message at all, and with what was there before.
        let event = br#"{"event_name":"log.line","username":"-","event_data":{"cut_bytes":7}}"#;
        let Applied::Changed(changed) = PARSERS[name].apply(event, RECEIVED) else { panic!("{name}") };
        let changed: Value = serde_json::from_slice(&changed).unwrap();
        assert_eq!(changed["event_data"], serde_json::json!({ "cut_bytes": 7, "unparsed": true }), "{name}");
    }
    assert!(Parser::named("cobol", &Options::default()).is_none());
    assert!(Parser::names().is_sorted());
}
