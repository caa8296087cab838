//! Reading entries back.

use attestry_event::{Batch, Border, Entry, EntryError, Field, Nanos, Scalar, Text, Walker, walk};

use crate::{NOW, border};

fn entry(members: &str, border: &Border<'_>) -> Vec<u8> {
    let json = format!(r#"{{"event_name":"n","username":"u","event_id":"1"{members}}}"#);
    let mut batch = Batch::with_seed([3; 32]);
    batch.push_json(json.as_bytes(), border).unwrap();
    batch.stamp(Nanos(NOW.0 + 1));
    batch.entry(0).to_vec()
}

#[test]
fn every_field_is_found() {
    let relays = ["r,2".to_owned()];
    let border = Border { agent: true, via: &relays, ..border() };
    let bytes = entry(
        r#","resource":"r\n","event_source":"s","via":["r1"],"source_ip_address":"10.0.0.1","request_id":"q","read_only":true,"outcome":"success","severity":3,"message":"m \"q\"","host":"h","agent":"a","agent_epoch":1,"agent_seq":2,"event_data":{"k":"}"}"#,
        &border,
    );
    let entry = Entry::parse(&bytes).unwrap();
    let found: Vec<String> =
        Field::ALL.iter().map(|field| entry.field(*field).map(String::from).unwrap_or_default()).collect();
    assert_eq!(
        found,
        [
            "1",
            "2026-11-21T03:04:05.678901234Z",
            "2026-11-21T03:04:05.678901235Z",
            "n",
            "u",
            "r\n",
            "s",
            "r1,r,2",
            "10.0.0.1",
            "q",
            "true",
            "success",
            "3",
            "m \"q\"",
            "h",
            "a",
            "1",
            "2"
        ]
    );
    assert_eq!((entry.event_time(), entry.received_at()), (NOW, Nanos(NOW.0 + 1)));
    assert_eq!((&*entry.event_id(), &*entry.event_name(), &*entry.username()), ("1", "n", "u"));
    assert_eq!((&*entry.event_source(), entry.read_only(), entry.severity()), ("s", true, Some(3)));
    assert_eq!(entry.number(Field::AgentSeq), Some(2));
    assert_eq!(entry.via().collect::<Vec<_>>(), ["r1", "r,2"]);
    assert_eq!(entry.message(), Some(Text::Inline("m \"q\"".into())));
    assert_eq!(entry.raw(Field::Message), Some(r#""m \"q\"""#));
    assert_eq!(entry.event_data(), Some(&br#"{"k":"}"}"#[..]));
}

#[test]
fn absent_fields_are_absent() {
    let bytes = entry("", &border());
    let entry = Entry::parse(&bytes).unwrap();
    let absent: Vec<&str> =
        Field::ALL.into_iter().filter(|field| entry.field(*field).is_none()).map(Field::name).collect();
    assert_eq!(
        absent,
        [
            "resource",
            "via",
            "request_id",
            "outcome",
            "severity",
            "message",
            "host",
            "agent",
            "agent_epoch",
            "agent_seq"
        ]
    );
    assert_eq!((entry.event_data(), entry.message(), entry.via().count()), (None, None, 0));
    assert_eq!(entry.field(Field::SourceIpAddress).as_deref(), Some("-"));
}

#[test]
fn a_large_message_is_a_reference() {
    let json = format!(
        r#"{{"event_name":"n","username":"u","message":"{}","event_data":{{"a":["{}"]}}}}"#,
        "m".repeat(5_000),
        "d".repeat(6_000)
    );
    let mut batch = Batch::with_seed([4; 32]);
    batch.push_json(json.as_bytes(), &border()).unwrap();
    let entry = Entry::parse(batch.entry(0)).unwrap();
    let [data, message] = batch.values_of(0) else { panic!("{:?}", batch.rows) };
    assert_eq!(entry.message(), Some(Text::Ref { hash: message.hash, bytes: 5_000 }));
    assert_eq!(entry.field(Field::Message), None);
    let mut seen = Vec::new();
    walk(entry.event_data().unwrap(), &mut |path: &str, scalar: Scalar<'_>| {
        seen.push((path.to_owned(), scalar == Scalar::Ref { hash: data.hash, bytes: 6_000 }));
    })
    .unwrap();
    assert_eq!(seen, [("a".to_owned(), true)]);
}

#[track_caller]
fn check_walk(data: &str, expected: &[(&str, &str)]) {
    let mut seen = Vec::new();
    Walker::default()
        .walk(data.as_bytes(), &mut |path: &str, scalar: Scalar<'_>| {
            seen.push((path.to_owned(), format!("{scalar:?}")))
        })
        .unwrap();
    let seen: Vec<(&str, &str)> =
        seen.iter().map(|(path, scalar)| (path.as_str(), scalar.as_str())).collect();
    assert_eq!(seen, expected, "{data}");
}

#[test]
fn the_walk_names_every_scalar() {
    check_walk("{}", &[]);
    check_walk(r#"{"a":{},"b":[],"c":[[]]}"#, &[]);
    check_walk(
        r#"{"a":1e5,"b":{"c":"x","d":[true,false,{"e":null}]},"f":"\"\n"}"#,
        &[
            ("a", r#"Number("1e5")"#),
            ("b.c", r#"Str("x")"#),
            ("b.d", "Bool(true)"),
            ("b.d", "Bool(false)"),
            ("b.d.e", "Null"),
            ("f", r#"Str("\"\n")"#),
        ],
    );
    check_walk(
        r#"{"":{"":1},"a.b":{"\"":2},"c":[[3],4]}"#,
        &[
            (".", r#"Number("1")"#),
            (r#"a.b.""#, r#"Number("2")"#),
            ("c", r#"Number("3")"#),
            ("c", r#"Number("4")"#),
        ],
    );
}

#[test]
fn a_walker_starts_afresh() {
    let mut walker = Walker::default();
    let mut paths = Vec::new();
    for data in [r#"{"a":{"b":[1,"#, r#"{"c":1}"#] {
        let _ = walker.walk(data.as_bytes(), &mut |path: &str, _: Scalar<'_>| paths.push(path.to_owned()));
    }
    assert_eq!(paths, ["a.b", "c"]);
}

#[test]
fn what_is_no_entry_is_an_error() {
    let good = String::from_utf8(entry(r#","severity":3,"event_data":{"a":1}"#, &border())).unwrap();
    assert!(Entry::parse(good.as_bytes()).is_ok());
    assert_eq!(
        Entry::parse(good.replacen("\"v\":1", "\"v\":2", 1).as_bytes()).unwrap_err(),
        EntryError::Version(2)
    );
    assert_eq!(Entry::parse(b"{\"v\":12").unwrap_err(), EntryError::Version(12));
    assert_eq!(Entry::parse(b"\xff").unwrap_err(), EntryError::NotUtf8);
    for (from, to) in [
        ("{\"v\":1", "{\"v\":-1"),
        ("{\"v\"", "{ \"v\""),
        (",\"event_id\":\"1\"", ""),
        ("\"event_id\":\"1\"", "\"event_id\":1"),
        ("\"event_id\":\"1\"", "\"event_id\":\"1"),
        (",\"username\":\"u\"", ""),
        ("05.678901234Z", "05.678901234z"),
        ("05.678901234Z", "05.67890123Z"),
        ("\"read_only\":false", "\"read_only\":null"),
        ("\"severity\":3", "\"severity\":3.5"),
        ("\"severity\":3", "\"severity\":\"3\""),
        ("\"severity\":3", "\"severity\":3,\"xyzzy\":1"),
        ("\"severity\":3", "\"severity\":3,\"severity\":3"),
        ("\"event_name\":\"n\",\"username\":\"u\"", "\"username\":\"u\",\"event_name\":\"n\""),
        ("{\"a\":1}}", "{\"a\":1}"),
        ("{\"a\":1}}", "[1]}"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(matches!(Entry::parse(bad.as_bytes()), Err(EntryError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn what_is_no_data_is_an_error() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for data in [
        "",
        "[]",
        "{",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 }",
        "{\"a\":[1}",
        "{\"a\":[,]}",
        "{\"a\":01}",
        "{\"a\":\"\\q\"}",
        "{\"a\":{\"$ref\":\"sha256:00\",\"bytes\":1}}",
        &deep,
    ] {
        assert!(walk(data.as_bytes(), &mut |_: &str, _: Scalar<'_>| ()).is_err(), "{data:.40}");
    }
}
