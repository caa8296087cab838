//! Properties that hold whatever is sent.

use attestry_event::{Batch, Border, Entry, Event, Field, Nanos, Scalar, Text, same_content, walk};
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::{NOW, border};

/// Any JSON value, its strings sometimes long or escaped.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[\\x00-\\x1f\"\\\\/é😀]{0,12}".prop_map(Value::from),
        (4_090usize..4_100).prop_map(|len| Value::from("x".repeat(len))),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,2}", ".{0,6}"].prop_filter("the server's", |name| name != "$ref")
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((name(), value()), 0..6).prop_map(Map::from_iter)
}

/// `data` as the entry has it, the large values put back.
fn restored(batch: &Batch) -> Value {
    let entry: Value = serde_json::from_slice(batch.entry(0)).unwrap();
    fn put_back(value: Value, batch: &Batch) -> Value {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(hash)) = members.get("$ref") {
                    let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                    let large = batch
                        .values
                        .iter()
                        .find(|large| format!("sha256:{}", hex(&large.hash)) == *hash)
                        .unwrap();
                    assert_eq!(members["bytes"], large.content.len());
                    return Value::String(String::from_utf8(large.content.clone()).unwrap());
                }
                Value::Object(
                    members.into_iter().map(|(name, value)| (name, put_back(value, batch))).collect(),
                )
            }
            Value::Array(elements) => elements.into_iter().map(|element| put_back(element, batch)).collect(),
            other => other,
        }
    }
    put_back(entry, batch)
}

/// JSON text with every character of strings escaped by `\u`, and white space wherever it may be.
fn disguised(value: &Value, out: &mut String) {
    let string = |text: &str, out: &mut String| {
        out.push('"');
        for unit in text.encode_utf16() {
            out.push_str(&format!("\\u{unit:04X}"));
        }
        out.push('"');
    };
    out.push_str(" \n");
    match value {
        Value::String(text) => string(text, out),
        Value::Array(elements) => {
            out.push('[');
            for (place, element) in elements.iter().enumerate() {
                out.push_str(if place > 0 { "\t," } else { "\r" });
                disguised(element, out);
            }
            out.push_str(" ]");
        }
        Value::Object(members) => {
            out.push('{');
            for (place, (name, value)) in members.iter().enumerate() {
                out.push_str(if place > 0 { " ,\n" } else { " " });
                string(name, out);
                out.push_str(" :");
                disguised(value, out);
            }
            out.push_str(" }");
        }
        other => out.push_str(&other.to_string()),
    }
    out.push(' ');
}

fn sent(data: &Map<String, Value>) -> Value {
    serde_json::json!({"event_id": "1", "event_name": "n", "username": "u", "event_data": data})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever form the same event comes in, its entry is the same, and means what was sent.
    #[test]
    fn an_entry_means_what_was_sent(data in object()) {
        let text = sent(&data).to_string();
        // Read back, because serde_json's reading of a float is not always the nearest one.
        let json: Value = serde_json::from_str(&text).unwrap();
        let mut compact = Batch::with_seed([0; 32]);
        compact.push_json(text.as_bytes(), &border()).unwrap();
        prop_assert_eq!(&restored(&compact)["event_data"], &json["event_data"]);

        let mut other = Batch::with_seed([0; 32]);
        let mut disguise = String::new();
        disguised(&sent(&data), &mut disguise);
        other.push_json(disguise.as_bytes(), &border()).unwrap();
        prop_assert_eq!(other.entry(0), compact.entry(0));

        let mut event = Event::new("n", "u").id("1");
        event.event_data = Some(data);
        let mut inside = Batch::with_seed([0; 32]);
        inside.push(&event, &border()).unwrap();
        prop_assert_eq!(inside.entry(0), compact.entry(0));

        let mut salts = |hash: &[u8; 32]| compact.values.iter().find(|value| value.hash == *hash).map(|value| value.salt);
        prop_assert!(other.is_same(0, compact.entry(0), &mut salts));
    }

    /// An entry sent again as an event is the same entry: the canonical form is a fixed point.
    #[test]
    fn the_canonical_form_is_a_fixed_point(data in object()) {
        let mut first = Batch::with_seed([0; 32]);
        first.push_json(sent(&data).to_string().as_bytes(), &border()).unwrap();
        prop_assume!(first.values.is_empty());
        let entry = std::str::from_utf8(first.entry(0)).unwrap();
        let again = entry
            .replacen(r#""v":1,"#, "", 1)
            .replacen(r#""received_at":"1970-01-01T00:00:00.000000000Z","#, "", 1);
        let mut second = Batch::with_seed([0; 32]);
        second.push_json(again.as_bytes(), &border()).unwrap();
        prop_assert_eq!(second.entry(0), first.entry(0));
    }

    /// The walk sees the scalars that a tree has.
    #[test]
    fn the_walk_agrees_with_a_tree(data in object()) {
        fn scalars(value: &Value, path: &str, depth: usize, out: &mut Vec<(String, String)>) {
            match value {
                Value::Object(members) => for (name, value) in members {
                    let path = if depth == 0 { name.clone() } else { format!("{path}.{name}") };
                    scalars(value, &path, depth + 1, out);
                },
                Value::Array(elements) => for element in elements {
                    scalars(element, path, depth + 1, out);
                },
                Value::String(text) if text.len() > 4_096 => out.push((path.to_owned(), format!("ref {}", text.len()))),
                other => out.push((path.to_owned(), other.to_string())),
            }
        }
        let mut expected = Vec::new();
        scalars(&Value::Object(data.clone()), "", 0, &mut expected);
        let mut batch = Batch::with_seed([0; 32]);
        batch.push_json(sent(&data).to_string().as_bytes(), &border()).unwrap();
        let mut seen = Vec::new();
        walk(Entry::parse(batch.entry(0)).unwrap().event_data().unwrap(), &mut |path: &str, scalar: Scalar<'_>| {
            seen.push((path.to_owned(), match scalar {
                Scalar::Str(text) => Value::from(text).to_string(),
                Scalar::Number(token) => token.to_owned(),
                Scalar::Bool(bool) => bool.to_string(),
                Scalar::Null => "null".to_owned(),
                Scalar::Ref { bytes, .. } => format!("ref {bytes}"),
            }));
        }).unwrap();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn fields_come_back(
        texts in prop::collection::vec(prop_oneof![".{1,20}", "[\\x00-\\x20\"\\\\a]{1,20}"], 10),
        relays in prop::collection::vec(".{1,8}", 0..3),
        time in -9_000_000_000_000_000_000i64..1_700_000_000_000_000_000,
        severity in 0u8..8,
        numbers in any::<(u64, u64)>(),
        read_only in any::<bool>(),
    ) {
        let [name, username, resource, source, address, request, message, host, agent, key] = &texts[..] else { unreachable!() };
        let mut event = Event::new(format!("n{name}"), username.as_str())
            .time(Nanos(time)).resource(resource.as_str()).source_ip_address(address.as_str())
            .request_id(request.as_str()).message(message.as_str()).host(host.as_str())
            .severity(severity).read_only(read_only).data(key.as_str(), key.as_str());
        event.event_source = Some(source.clone());
        event.agent = Some(agent.clone());
        (event.agent_epoch, event.agent_seq) = (Some(numbers.0), Some(numbers.1));
        event.via = relays.clone();
        let mut batch = Batch::with_seed([0; 32]);
        batch.push(&event, &Border { agent: true, ..border() }).unwrap();
        batch.stamp(NOW);
        let entry = Entry::parse(batch.entry(0)).unwrap();
        let text = |field: Field| entry.field(field).map(String::from).unwrap_or_default();
        prop_assert_eq!(text(Field::EventName), format!("n{name}"));
        for (field, expected) in [
            (Field::Username, username), (Field::Resource, resource), (Field::EventSource, source),
            (Field::SourceIpAddress, address), (Field::RequestId, request), (Field::Message, message),
            (Field::Host, host), (Field::Agent, agent),
        ] {
            prop_assert_eq!(&text(field), expected);
        }
        prop_assert_eq!(entry.message(), Some(Text::Inline(message.into())));
        prop_assert_eq!(entry.via().collect::<Vec<_>>(), relays);
        prop_assert_eq!((entry.event_time(), entry.received_at()), (Nanos(time), NOW));
        prop_assert_eq!((entry.read_only(), entry.severity()), (read_only, Some(u64::from(severity))));
        prop_assert_eq!((entry.number(Field::AgentEpoch), entry.number(Field::AgentSeq)), (Some(numbers.0), Some(numbers.1)));
        prop_assert_eq!(batch.event_id(0), &*entry.event_id());
        // What was built and what is sent as JSON become the same entry.
        let stored: Value = serde_json::from_slice(batch.entry(0)).unwrap();
        let Value::Object(mut members) = stored else { unreachable!() };
        members.remove("v");
        members.remove("received_at");
        let mut again = Batch::with_seed([0; 32]);
        again.push_json(Value::Object(members).to_string().as_bytes(), &Border { agent: true, ..border() }).unwrap();
        again.stamp(NOW);
        prop_assert_eq!(again.entry(0), batch.entry(0));
    }

    /// An object that serde_json reads is taken, or refused with a reason that names a field.
    #[test]
    fn any_object_is_taken_or_explained(
        mut members in object(),
        known in prop::collection::vec((0..Field::ALL.len(), value()), 0..4),
        lenient in any::<bool>(),
        agent in any::<bool>(),
    ) {
        members.insert("username".into(), "u".into());
        members.insert("event_name".into(), "n".into());
        for (field, value) in known {
            members.insert(Field::ALL[field].name().into(), value);
        }
        let json = Value::Object(members).to_string();
        let mut batch = Batch::with_seed([0; 32]);
        match batch.push_json(json.as_bytes(), &Border { lenient, agent, ..border() }) {
            Ok(()) => {
                Entry::parse(batch.entry(0)).unwrap();
                serde_json::from_slice::<Value>(batch.entry(0)).unwrap();
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(!problem.expected.is_empty() && !problem.found.contains(char::is_control));
                    prop_assert!(!problem.expected.starts_with("a JSON value"), "{} {:?}", json, problem);
                }
            }
        }
    }

    /// What serde_json refuses, the border refuses too; what the border takes, serde_json reads.
    #[test]
    fn never_takes_what_is_not_json(text in "[{}\\[\\]:, \"\\\\a0-1eE.+n-]{0,24}") {
        let json = format!(r#"{{"event_name":"n","username":"u","event_data":{text}}}"#);
        let mut batch = Batch::with_seed([0; 32]);
        if batch.push_json(json.as_bytes(), &border()).is_ok() {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&json).is_ok(), "{}", json);
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), cut in 0usize..700, flip in 0usize..700, with in any::<u8>()) {
        let mut batch = Batch::with_seed([0; 32]);
        for border in [border(), Border { agent: true, lenient: true, ..border() }] {
            let _ = batch.push_json(&bytes, &border);
        }
        let _ = Entry::parse(&bytes);
        let _ = walk(&bytes, &mut |_: &str, _: Scalar<'_>| ());

        // Damage to a real entry reaches further than noise.
        let json = br#"{"event_id":"1","event_name":"n","username":"u\n","message":"m","severity":1,"event_data":{"a":[1,{"b":"\u0000"}]}}"#;
        batch.push_json(json, &border()).unwrap();
        let mut entry = batch.entry(batch.len() - 1).to_vec();
        let original = entry.clone();
        if let Some(byte) = entry.get_mut(flip) {
            *byte = with;
        }
        entry.truncate(cut.max(1));
        if let Ok(entry) = Entry::parse(&entry) {
            for field in Field::ALL {
                entry.field(field);
            }
            entry.message();
            entry.via().count();
            if let Some(data) = entry.event_data() {
                let _ = walk(data, &mut |_: &str, _: Scalar<'_>| ());
            }
        }
        same_content(&original, &entry, true, &[], &mut |_| Some([0; 16]));
        same_content(&entry, &original, false, &[], &mut |_| None);
        let _ = batch.push_json(&entry, &border());
    }
}
