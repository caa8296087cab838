//! Cases that stand beside a program: what they can expect, and what they say when it is not so.

use attestry_script::{Case, Condition, Options, Scripts, Transform, run_cases};

const TRANSFORM: &str = r#"
if .event_name == "noise" { abort }
if .event_name == "broken" { .severity = to_int!(.event_data.x) }
if exists(.event_data.secret) { .event_data.secret = "***" }
"#;

/// What is not as expected; empty when all is.
fn check(yaml: &str, expected: &[&str]) {
    let options = Options::default();
    let transform = Transform::compile(TRANSFORM, &options).unwrap();
    let condition = Condition::compile(".event_data.secret != null", &options).unwrap();
    let scripts = Scripts { transform: Some(&transform), condition: Some(&condition), ..Scripts::default() };
    let case: Case = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}\n{error}"));
    let [result] = &run_cases(&scripts, &[case])[..] else { panic!("{yaml}") };
    assert_eq!(result.failures, expected, "{yaml}");
    assert_eq!(result.passed(), expected.is_empty());
}

#[test]
fn what_is_expected_is_compared() {
    let secret = r#"event: { event_name: a, username: b, event_data: { secret: x, n: 1.50, list: [1, 2] } }"#;
    for (case, expected) in [
        ("event: { event_name: noise, username: b }\nexpect: dropped", &[][..]),
        ("event: { event_name: noise, username: b }\nexpect: false", &[]),
        (
            "event: { event_name: noise, username: b }\nexpect: { username: b }",
            &["expected an event, but it is dropped"],
        ),
        ("event: { event_name: a, username: b }\nexpect: dropped", &[]),
        (
            "event: { event_name: a, username: b }\nexpect: unchanged",
            &["expected unchanged, but it is dropped"],
        ),
        (
            "event: { event_name: a, username: b }\nexpect: true",
            &["expected true, but the condition is false"],
        ),
        ("event: { event_name: broken, username: b, event_data: { x: é } }\nexpect: failed", &[]),
        (
            "event: { event_name: a, username: b }\nexpect: failed",
            &["expected that the program fails, but the event is dropped"],
        ),
        (
            "event: { event_name: broken, username: b, event_data: { x: é } }\nexpect: dropped",
            &[
                "the program failed: line 3, column 42: function call error for \"to_int\": Invalid integer \"é\": invalid digit found in string",
            ],
        ),
        (&format!("{secret}\nexpect: true"), &[]),
        (&format!("{secret}\nexpect: dropped"), &["expected dropped, but it is changed"]),
        (&format!("{secret}\nexpect: {{ event_data: {{ secret: '***', n: 1.5, gone: null }} }}"), &[]),
        (
            &format!(
                "{secret}\nexpect: {{ username: c, event_data: {{ secret: x, n: 2, list: [1, 3], more: 1 }} }}"
            ),
            &[
                "username: expected \"c\", found \"b\"",
                "event_data.secret: expected \"x\", found \"***\"",
                "event_data.n: expected 2, found 1.5",
                "event_data.list[1]: expected 3, found 2",
                "event_data.more: expected 1, found nothing",
            ],
        ),
        (
            &format!("{secret}\nexpect: {{ event_data: {{ list: [1] }} }}"),
            &["event_data.list: expected [1], found [1,2]"],
        ),
        (
            "event: '{\"event_name\":'\nexpect: dropped",
            &["event: EOF while parsing a value at line 1 column 14"],
        ),
        (
            "event: {}\nreceived_at: noon\nexpect: dropped",
            &["received_at: noon: not an RFC 3339 time: unexpected text at byte 0"],
        ),
    ] {
        check(&format!("name: x\n{case}"), expected);
    }
}

#[test]
fn cases_that_are_none_are_refused() {
    for (yaml, says) in [
        (
            "name: x\nevent: {}\nexpect: gone",
            "`gone`; expected true, false, dropped, unchanged, failed, or members of the event",
        ),
        ("name: x\nevent: {}\nexpect: 1", "1; expected true"),
        ("name: x\nevent: {}", "expect"),
        ("name: x\nevent: {}\nexpect: true\nexpects: true", "expects"),
    ] {
        let error = serde_saphyr::from_str::<Case>(yaml).unwrap_err().to_string();
        assert!(error.contains(says), "{yaml}\n{error}");
    }
}

#[test]
fn results_are_shown_with_what_is_wrong() {
    let case: Case = serde_saphyr::from_str(
        "{ name: a secret, event: { event_name: a, username: b }, expect: { username: c } }",
    )
    .unwrap();
    let [result] = &run_cases(&Scripts::default(), &[case])[..] else { panic!() };
    assert_eq!(result.to_string(), "FAILED a secret\n         username: expected \"c\", found \"b\"");
}

#[test]
fn a_case_is_written_as_it_was_read() {
    for expect in ["true", "\"dropped\"", "\"unchanged\"", "\"failed\"", "{\"username\":\"c\"}"] {
        let json = format!("{{\"name\":\"x\",\"event\":{{\"username\":\"c\"}},\"expect\":{expect}}}");
        let case: Case = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&case).unwrap(), json);
    }
}
