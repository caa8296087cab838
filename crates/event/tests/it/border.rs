//! What the border takes, what it refuses, and what it says then.

use attestry_event::{Batch, Border, Event, MAX_ENTRY_BYTES, MAX_EVENT_BYTES, flags};

use crate::{accept, border};

/// What stands in an entry after the two times.
const TIMES: &str =
    r#""event_time":"2026-11-21T03:04:05.678901234Z","received_at":"1970-01-01T00:00:00.000000000Z","#;

/// An event with its required fields and `members` before them.
fn event(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{{members}{comma}"event_id":"1","event_name":"n","username":"u"}}"#)
}

/// The members of the entry that differ from those of the least event: `expected` follows `username`.
#[track_caller]
fn check(members: &str, border: &Border<'_>, expected: &str) {
    let json = event(members);
    match accept(&json, border) {
        Ok(entry) => {
            let head = format!(r#"{{"v":1,"event_id":"1",{TIMES}"event_name":"n","username":"u","#);
            assert_eq!(entry.strip_prefix(&head), Some(expected), "{json}\n{entry}");
        }
        Err(problems) => panic!("{json}: {problems:?}"),
    }
}

/// The problems, one a line: `field | found | expected`, of which each must begin with what is given.
#[track_caller]
fn refuse(json: &str, border: &Border<'_>, expected: &[&str]) {
    let problems = match accept(json, border) {
        Ok(entry) => panic!("{json:.300} was taken as {entry}"),
        Err(problems) => problems,
    };
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{} | {} | {}", problem.field, problem.found, problem.expected))
        .collect();
    assert_eq!(lines.len(), expected.len(), "{json:.300}: {lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{json:.300}: {line:?} does not begin with {expected:?}");
    }
}

fn agent<'a>() -> Border<'a> {
    Border { agent: true, ..border() }
}

fn lenient<'a>() -> Border<'a> {
    Border { lenient: true, ..border() }
}

#[test]
fn nothing_null_and_empty_are_one() {
    let plain = r#""event_source":"shop","source_ip_address":"-","read_only":false}"#;
    check("", &border(), plain);
    for field in [
        "event_time",
        "resource",
        "event_source",
        "source_ip_address",
        "request_id",
        "outcome",
        "message",
        "host",
        "received_at",
        "agent",
    ] {
        check(&format!(r#""{field}":null"#), &border(), plain);
        check(&format!(r#""{field}":"""#), &border(), plain);
    }
    for field in ["read_only", "severity", "event_data", "via", "agent_epoch", "agent_seq", "v"] {
        check(&format!(r#""{field}":null"#), &border(), plain);
    }
    check(r#""via":[]"#, &agent(), plain);
}

#[test]
fn every_field_has_its_place() {
    check(
        r#""event_data":{},"host":"h","message":"m","severity":0,"outcome":"failure","read_only":true,"request_id":"q","source_ip_address":"::1","resource":"r""#,
        &border(),
        r#""resource":"r","event_source":"shop","source_ip_address":"::1","request_id":"q","read_only":true,"outcome":"failure","severity":0,"message":"m","host":"h","event_data":{}}"#,
    );
    check(
        r#""agent":"a1","agent_epoch":18446744073709551615,"agent_seq":0,"event_source":"web1/sshd","via":["r1", "r\u00321"]"#,
        &Border { via: &["r3".to_owned(), "\"".to_owned()], ..agent() },
        r#""event_source":"web1/sshd","via":["r1","r21","r3","\""],"source_ip_address":"-","read_only":false,"agent":"a1","agent_epoch":18446744073709551615,"agent_seq":0}"#,
    );
    check(
        r#""\u0068ost":"h","severity":7"#,
        &Border { via: &["relay".to_owned()], ..border() },
        r#""event_source":"shop","via":["relay"],"source_ip_address":"-","read_only":false,"severity":7,"host":"h"}"#,
    );
}

#[test]
fn strings_are_escaped_again_and_numbers_stay() {
    check(
        r#""message":"\u0041\/\u00e9\ud83d\ude00\u0000\u001F\n""#,
        &border(),
        r#""event_source":"shop","source_ip_address":"-","read_only":false,"message":"A/é😀\u0000\u001f\n"}"#,
    );
    check(
        r#""event_data": { "z" : 9007199254740993 , "a" : [ 1e5, 1E400, -0 , 1.10 ], "n" : null, "\u0022" : "\u0022" }"#,
        &border(),
        r#""event_source":"shop","source_ip_address":"-","read_only":false,"event_data":{"z":9007199254740993,"a":[1e5,1E400,-0,1.10],"n":null,"\"":"\""}}"#,
    );
}

#[test]
fn times_come_in_utc_with_nine_digits() {
    for (given, stored) in [
        ("2026-11-21T03:04:05Z", "2026-11-21T03:04:05.000000000Z"),
        ("2026-11-21T03:04:05.1+14:00", "2026-11-20T13:04:05.100000000Z"),
        ("1995-01-01T00:00:00-00:30", "1995-01-01T00:30:00.000000000Z"),
        ("2026-11-22T03:04:05.678901234Z", "2026-11-22T03:04:05.678901234Z"),
        ("2026\\u002d11-21T03:04:05Z", "2026-11-21T03:04:05.000000000Z"),
    ] {
        let entry = accept(&event(&format!(r#""event_time":"{given}""#)), &border()).unwrap();
        assert!(entry.contains(&format!(r#""event_time":"{stored}","received_at""#)), "{given}: {entry}");
    }
}

#[test]
fn the_type_of_every_field_is_checked() {
    for (member, problem) in [
        (r#""event_time":1700000000"#, "event_time | 1700000000 | an RFC 3339 time"),
        (r#""resource":{"a":[1]}"#, r#"resource | {"a":[1]} | a string"#),
        (r#""event_source":1"#, "event_source | 1 | a string"),
        (r#""source_ip_address":["10.0.0.1"]"#, r#"source_ip_address | ["10.0.0.1"] | a string"#),
        (r#""request_id":7"#, "request_id | 7 | a string"),
        (r#""read_only":"false""#, r#"read_only | "false" | true or false"#),
        (r#""read_only":0"#, "read_only | 0 | true or false"),
        (r#""outcome":"ok""#, "outcome | ok | success or failure"),
        (r#""outcome":true"#, "outcome | true | a string"),
        (r#""severity":8"#, "severity | 8 | a whole number from 0"),
        (r#""severity":-1"#, "severity | -1 | a whole number from 0"),
        (r#""severity":-0"#, "severity | -0 | a whole number from 0"),
        (r#""severity":1.0"#, "severity | 1.0 | a whole number from 0"),
        (r#""severity":1e0"#, "severity | 1e0 | a whole number from 0"),
        (r#""severity":"3""#, r#"severity | "3" | a whole number from 0"#),
        (r#""severity":99999999999999999999"#, "severity | 99999999999999999999 | a whole number from 0"),
        (r#""message":["a"]"#, r#"message | ["a"] | a string"#),
        (r#""host":false"#, "host | false | a string"),
        (r#""event_data":[]"#, "event_data | [] | an object"),
        (r#""event_data":"{}""#, r#"event_data | "{}" | an object"#),
        (r#""event_data":"""#, r#"event_data | "" | an object"#),
    ] {
        refuse(&event(member), &border(), &[problem]);
    }
    for (member, problem) in [
        (r#""agent":5"#, "agent | 5 | a string"),
        (r#""agent_seq":-1"#, "agent_seq | -1 | a whole number"),
        (r#""agent_epoch":18446744073709551616"#, "agent_epoch | 18446744073709551616 | a whole number"),
        (r#""via":"r1""#, r#"via | "r1" | an array of strings"#),
        (r#""via":["r1",2]"#, r#"via | ["r1",2] | an array of strings"#),
        (r#""via":["r1",""]"#, r#"via | ["r1",""] | an array of strings"#),
    ] {
        refuse(&event(member), &agent(), &[problem]);
    }
}

#[test]
fn required_fields_and_ids() {
    refuse("{}", &border(), &["event_name | nothing | a string", "username | nothing | a string"]);
    refuse(
        r#"{"event_name":"","username":null}"#,
        &border(),
        &["event_name | nothing | a string", "username | nothing | a string"],
    );
    for id in ["a b", "ä", "a/b", &"x".repeat(65)] {
        let json = format!(r#"{{"event_id":"{id}","event_name":"n","username":"u"}}"#);
        refuse(&json, &border(), &[&format!("event_id | {id} | 1 to 64")]);
    }
    let json = format!(r#"{{"event_id":"{}","event_name":"n","username":"u"}}"#, "x".repeat(64));
    assert!(accept(&json, &border()).is_ok());
}

#[test]
fn all_problems_are_told() {
    refuse(
        r#"{"event_name":5,"usrname":"u","severity":9,"severity":9,"event_data":{"a":1,"a":2,"b":{"$ref":1}},"xyzzy":1}"#,
        &border(),
        &[
            "event_name | 5 | a string",
            "usrname | an unknown field | username",
            "severity | the name twice | every name once",
            "event_data.b.$ref | $ref | a name other than $ref",
            "event_data.a | the name twice | every name once",
            "xyzzy | an unknown field | a field of the event",
            "username | nothing | a string",
            "severity | 9 | a whole number",
        ],
    );
    let many: Vec<String> = (0..1_000).map(|number| format!("\"x{number}\":1")).collect();
    let problems = accept(&format!("{{{}}}", many.join(",")), &border()).unwrap_err();
    assert!(problems.len() < 40, "{}", problems.len());
}

#[test]
fn auditmons_event() {
    // Auditmon's own example, with its layout string as the time.
    let example = |time: &str| {
        format!(
            r#"{{
            "event_time": "{time}",
            "event_name": "loginSuccessful",
            "username": "sample_user",
            "resource": "my_resource",
            "event_source": "my_application",
            "source_ip_address": "127.0.0.1",
            "event_id": "aaaa-bbbb-cccc-eeee-dddd-ffff",
            "request_id": "aaaa-bbbb-cccc-eeee-dddd-ffff",
            "read_only": false,
            "event_data": {{"any": "extraFields", "count": 123}}
            }}"#
        )
    };
    refuse(
        &example("2006-01-02T15:04:05Z07:00"),
        &border(),
        &[
            "event_time | 2006-01-02T15:04:05Z07:00 | an RFC 3339 time such as 2026-11-21T03:04:05Z (not an RFC 3339 time: unexpected text at byte 20)",
        ],
    );
    let expected = concat!(
        r#"{"v":1,"event_id":"aaaa-bbbb-cccc-eeee-dddd-ffff","event_time":"2006-01-02T08:04:05.000000000Z","#,
        r#""received_at":"1970-01-01T00:00:00.000000000Z","event_name":"loginSuccessful","username":"sample_user","#,
        r#""resource":"my_resource","event_source":"shop","source_ip_address":"127.0.0.1","#,
        r#""request_id":"aaaa-bbbb-cccc-eeee-dddd-ffff","read_only":false,"event_data":{"any":"extraFields","count":123}}"#
    );
    assert_eq!(accept(&example("2006-01-02T15:04:05+07:00"), &border()).unwrap(), expected);
    let mut batch = Batch::with_seed([0; 32]);
    batch.push_json(example("2006-01-02T15:04:05+07:00").as_bytes(), &border()).unwrap();
    assert_eq!(batch.rows[0].flags, flags::SOURCE_OVERWRITTEN);
}

#[test]
fn a_source_is_flagged_only_when_it_was_another() {
    for (members, flags) in [
        ("", 0),
        (r#""event_source":"shop""#, 0),
        (r#""event_source":"sh\u006fp""#, 0),
        (r#""event_source":"""#, 0),
        (r#""event_source":null"#, 0),
        (r#""event_source":"Shop""#, flags::SOURCE_OVERWRITTEN),
        (r#""event_source":"attestry""#, flags::SOURCE_OVERWRITTEN),
    ] {
        let mut batch = Batch::with_seed([0; 32]);
        batch.push_json(event(members).as_bytes(), &border()).unwrap();
        assert_eq!(batch.rows[0].flags, flags, "{members}");
        assert!(std::str::from_utf8(batch.entry(0)).unwrap().contains(r#""event_source":"shop""#));
    }
}

#[test]
fn the_future_is_refused_or_flagged() {
    let late = event(r#""event_time":"2026-11-22T03:04:05.678901235Z""#);
    refuse(
        &late,
        &border(),
        &["event_time | 2026-11-22T03:04:05.678901235Z | a time at most 24 hours ahead"],
    );
    let mut batch = Batch::with_seed([0; 32]);
    batch.push_json(late.as_bytes(), &agent()).unwrap();
    assert_eq!(batch.rows[0].flags, flags::FUTURE);
    batch.push_json(event(r#""event_time":"2026-11-22T03:04:05.678901234Z""#).as_bytes(), &agent()).unwrap();
    assert_eq!(batch.rows[1].flags, 0);
    let far = event(r#""event_time":"2262-04-11T00:00:00Z""#);
    refuse(&far, &Border { now: attestry_event::Nanos(i64::MIN), ..border() }, &["event_time | 2262"]);
}

#[test]
fn our_own_names_are_not_for_everybody() {
    for name in ["gap.conflict", "login.failure", "lo\\u0067in.failure", "config."] {
        let json = format!(r#"{{"event_name":"{name}","username":"u","event_id":"1"}}"#);
        refuse(&json, &border(), &["event_name | "]);
        assert!(accept(&json, &Border { reserved_names: true, ..border() }).is_ok(), "{name}");
    }
    for name in ["login", "user.add", "file.delete", "sudo.run"] {
        let json = format!(r#"{{"event_name":"{name}","username":"u","event_id":"1"}}"#);
        assert!(accept(&json, &border()).is_ok(), "{name}");
    }
    refuse(
        &event(""),
        &Border { event_source: "attestry", ..border() },
        &["event_source | attestry | another name"],
    );
    refuse(&event(r#""event_source":"attestry""#), &agent(), &["event_source | attestry | another name"]);
    let own = Border { event_source: "attestry", reserved_names: true, ..border() };
    check("", &own, r#""event_source":"attestry","source_ip_address":"-","read_only":false}"#);
}

#[test]
fn what_only_others_may_set() {
    refuse(
        &event(r#""received_at":"2026-11-21T03:04:05Z""#),
        &agent(),
        &["received_at | \"2026-11-21T03:04:05Z\" | no such field"],
    );
    refuse(&event(r#""v":1"#), &border(), &["v | 1 | no such field"]);
    refuse(
        &event(r#""agent":"a","agent_epoch":1,"agent_seq":2,"via":["r"]"#),
        &border(),
        &[
            "agent | \"a\" | no such",
            "agent_epoch | 1 | no such",
            "agent_seq | 2 | no such",
            "via | [\"r\"] | no such",
        ],
    );
    check(
        r#""agent":"a","via":["r"],"received_at":"then""#,
        &lenient(),
        r#""event_source":"shop","source_ip_address":"-","read_only":false,"event_data":{"agent":"a","via":["r"],"received_at":"then"}}"#,
    );
}

#[test]
fn lenient_moves_unknown_fields_behind_the_data() {
    let plain = r#""event_source":"shop","source_ip_address":"-","read_only":false,"event_data":"#;
    for (members, data) in [
        (r#""level":3"#, r#"{"level":3}"#),
        (
            r#""b":[1e5, {"x":null}],"event_data":{"a":1},"c":"\u0041""#,
            r#"{"a":1,"b":[1e5,{"x":null}],"c":"A"}"#,
        ),
        (r#""a":1,"event_data":{"a":{"a":2}}"#, r#"{"a":{"a":2},"_a":1}"#),
        (r#""a":1,"_a":2"#, r#"{"a":1,"_a":2}"#),
        (r#""\u0022":1,"event_data":{"\u0022":2}"#, r#"{"\"":2,"_\"":1}"#),
        (r#""event_data":{},"a":null"#, r#"{"a":null}"#),
    ] {
        check(members, &lenient(), &format!("{plain}{data}}}"));
        let mut batch = Batch::with_seed([0; 32]);
        batch.push_json(event(members).as_bytes(), &lenient()).unwrap();
        assert_eq!(batch.rows[0].flags, flags::MOVED);
    }
    for (members, problem) in [
        (
            r#""a":1,"event_data":{"a":2,"_a":3}"#,
            "a | a member of the same name in event_data | another name",
        ),
        (r#""_a":1,"a":1,"event_data":{"a":2}"#, "a | a member of the same name"),
        (r#""a":1,"\u0061":2"#, "a | the name twice"),
        (r#""$ref":1"#, "$ref | $ref | a name other"),
        (r#""a":{"$ref":1}"#, "a.$ref | $ref | a name other"),
        (r#""a":{"b":1,"b":1}"#, "a.b | the name twice"),
        (r#""received_at":1,"received_at":1"#, "received_at | the name twice"),
    ] {
        refuse(&event(members), &lenient(), &[problem]);
    }
    // The field moves one level down, so it may be one level less deep.
    let nested = |depth: usize| format!(r#""a":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(accept(&event(&nested(30)), &lenient()).is_ok());
    refuse(&event(&nested(31)), &lenient(), &["a | `[]"]);
}

#[test]
fn hostile_json() {
    let deep =
        |depth: usize| event(&format!(r#""event_data":{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)));
    assert!(accept(&deep(30), &border()).is_ok());
    refuse(&deep(31), &border(), &["event_data | `[]"]);
    refuse(&deep(100_000), &border(), &["event_data | `[[[["]);
    let unknown = format!(r#"{{"xyzzy":{}"#, "{\"a\":".repeat(100_000));
    refuse(&unknown, &border(), &["xyzzy | `{\"a\":{"]);

    for (json, problem) in [
        ("", "event | the end at byte 0 | a JSON object"),
        ("null", "event | `null` at byte 0 | a JSON object"),
        ("[]", "event | `[]` at byte 0 | a JSON object"),
        ("{", "event | the end at byte 1 | a string"),
        ("{\"event_name\"", "event_name | the end at byte 13 | a colon"),
        ("{\"event_name\":", "event_name | the end at byte 14"),
        ("{\"event_name\":\"a", "event_name | the end at byte 16 | the string's closing quote"),
        ("{\"event_name\":\"a\" \"b\"", "event | `\"b\"` at byte 18 | a comma or a closing brace"),
        ("{\"event_name\":\"a\",}", "event | `}` at byte 18 | a string"),
        ("{\"event_name\":\"\\ud800\"}", "event_name | `\\ud800\"}` at byte 15 | a surrogate pair"),
        ("{\"event_name\":\"\\udc00\\ud800\"}", "event_name | `\\udc00"),
        ("{\"event_name\":\"a\u{1}\"}", "event_name | `\\u0001\"}` at byte 16 | control characters"),
        ("{\"event_data\":{\"a\":01}}", "event_data | `1}}` at byte 20 | a number without leading zeros"),
        ("{\"event_data\":{\"a\":+1}}", "event_data | `+1}}` at byte 19 | a JSON value"),
        ("{\"event_data\":{\"a\":NaN}}", "event_data | `NaN}}` at byte 19 | a JSON value"),
        ("{\"severity\":nul}", "severity | `nul}` at byte 12 | a JSON value"),
        ("\u{feff}{}", "event | `\u{feff}{}` at byte 0 | a JSON object"),
        ("{}\n{}", "event | `{}` at byte 3 | nothing after the event"),
        ("{}\0", "event | `\\u0000` at byte 2 | nothing after the event"),
        ("{/**/}", "event | `/**/}` at byte 1 | a string"),
        ("{\"a\":[1,2", "a | the end at byte 9 | a comma or a closing bracket"),
    ] {
        let problems = accept(json, &border()).unwrap_err();
        let line = format!("{} | {} | {}", problems[0].field, problems[0].found, problems[0].expected);
        assert!(line.starts_with(problem), "{json:?}: {line:?} does not begin with {problem:?}");
    }
    for bytes in [&b"{\"event_name\":\"\xff\"}"[..], b"\xc0\x80", b"{\"a\":\"\xed\xa0\x80\"}", b"{}\x80"] {
        let problems = Batch::with_seed([0; 32]).push_json(bytes, &border()).unwrap_err();
        assert_eq!((problems.len(), problems[0].expected.as_str()), (1, "JSON in UTF-8"), "{bytes:?}");
    }
}

#[test]
fn duplicates_hide_nowhere() {
    for (json, problem) in [
        (r#"{"event_name":"a","event_name":"b","username":"u"}"#, "event_name | the name twice"),
        (r#"{"event_name":"a","\u0065vent_name":"b","username":"u"}"#, "event_name | the name twice"),
        (r#"{"event_name":null,"event_name":"b","username":"u"}"#, "event_name | the name twice"),
        (
            r#"{"event_name":"n","username":"u","event_data":{},"event_data":null}"#,
            "event_data | the name twice",
        ),
        (
            r#"{"event_name":"n","username":"u","event_data":{"a":1,"\u0061":1}}"#,
            "event_data.a | the name twice",
        ),
        (
            r#"{"event_name":"n","username":"u","event_data":{"x":[[{"😀":1,"\ud83d\ude00":1}]]}}"#,
            "event_data.x.😀 | the name twice",
        ),
        (r#"{"event_name":"n","username":"u","resource":{"b":1,"b":2}}"#, "resource.b | the name twice"),
    ] {
        let problems = accept(json, &border()).unwrap_err();
        let line = format!("{} | {}", problems[0].field, problems[0].found);
        assert_eq!(line, problem, "{json}");
    }
}

#[test]
fn sizes_are_limited_and_told() {
    let padded = |bytes: usize| event(&format!(r#""resource":"{}""#, "x".repeat(bytes)));
    let least = accept(&padded(1), &border()).unwrap().len();
    let room = MAX_ENTRY_BYTES - least + 1;
    assert_eq!(accept(&padded(room), &border()).unwrap().len(), MAX_ENTRY_BYTES);
    refuse(&padded(room + 1), &border(), &["event | an entry of 61441 bytes | at most 61440 bytes"]);

    let huge = event(&format!(r#""message":"{}""#, "x".repeat(MAX_EVENT_BYTES)));
    let found = format!("event | {} bytes | at most 16777216 bytes", huge.len());
    refuse(&huge, &border(), &[&found]);

    let message = Event::new("n", "u").message("x".repeat(MAX_EVENT_BYTES));
    let mut batch = Batch::with_seed([0; 32]);
    let problems = batch.push(&message, &border()).unwrap_err();
    assert_eq!(problems[0].expected, "at most 16777216 bytes");
    assert_eq!((batch.len(), batch.values.len(), batch.bytes.len()), (0, 0, 0));
}

#[test]
fn a_refused_event_leaves_no_trace() {
    let large = "x".repeat(5_000);
    let mut batch = Batch::with_seed([0; 32]);
    batch.push_json(event("").as_bytes(), &border()).unwrap();
    let before = (batch.bytes.clone(), batch.rows.clone());
    for members in [
        format!(r#""event_data":{{"a":"{large}"}},"message":"{large}","severity":9"#),
        format!(r#""event_data":{{"a":"{large}"}},"resource":"{}""#, "x".repeat(70_000)),
        format!(r#""event_data":{{"a":"{large}","b":[{{"c":1"#),
    ] {
        batch.push_json(event(&members).as_bytes(), &border()).unwrap_err();
        assert_eq!(
            (&batch.bytes, &batch.rows, batch.values.len()),
            (&before.0, &before.1, 0),
            "{members:.20}"
        );
    }
    batch.push_json(event(r#""event_data":{"a":1}"#).as_bytes(), &border()).unwrap();
    assert_eq!(batch.len(), 2);
    assert!(batch.entry(1).ends_with(br#""event_data":{"a":1}}"#));
}

#[test]
fn messages_are_safe_to_show() {
    let json = event(&format!(r#""\u001b[31mevil\n{}":1"#, "x".repeat(200)));
    let problems = accept(&json, &border()).unwrap_err();
    assert!(problems[0].field.starts_with("\\u001b[31mevil\\u000ax"), "{problems:?}");
    assert_eq!(problems[0].field.chars().filter(|ch| *ch == 'x').count(), 70, "{problems:?}");
}

#[test]
fn an_event_made_inside_keeps_the_rules() {
    let mut nested = serde_json::Value::Null;
    for _ in 0..31 {
        nested = serde_json::json!([nested]);
    }
    let mut agents = Event::new("n", "u");
    agents.agent = Some("a".to_owned());
    agents.via = vec!["r".to_owned()];
    for (event, expected) in [
        (Event::new("", ""), "event_name username"),
        (Event::new("login.failure", "u"), "event_name"),
        (Event::new("n", "u").id("a b").severity(8), "event_id severity"),
        (Event::new("n", "u").data("$ref", 1), "event_data.$ref"),
        (Event::new("n", "u").data("a", serde_json::json!([{"b": {"$ref": 1}}])), "event_data.a.b.$ref"),
        (Event::new("n", "u").data("a", nested), "event_data"),
        (agents, "via agent"),
    ] {
        let problems = Batch::with_seed([0; 32]).push(&event, &border()).unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields.join(" "), expected, "{event:?}");
    }
}
