//! Events made to break a program, and programs that would not end.

use std::time::{Duration, Instant};

use attestry_event::Nanos;
use attestry_script::{Applied, Condition, Options, RunError, Transform};

const RECEIVED: Nanos = Nanos(1_795_230_000_000_000_000);

fn transform(source: &str) -> Transform {
    Transform::compile(source, &Options::default())
        .unwrap_or_else(|error| panic!("{source}\n{}", error.rendered()))
}

fn with_message(message: &str) -> Vec<u8> {
    let message = serde_json::to_string(message).unwrap();
    format!(r#"{{"event_name":"a","username":"b","message":{message}}}"#).into_bytes()
}

/// An event with an array of so many elements.
fn with_list(elements: usize) -> Vec<u8> {
    let list = vec!["1"; elements].join(",");
    format!(r#"{{"event_name":"a","username":"b","event_data":{{"list":[{list}]}}}}"#).into_bytes()
}

#[test]
fn endless_programs_are_ended() {
    let event = with_list(100_000);
    for source in [
        // Time.
        "n = 0\nfor_each(array!(.event_data.list)) -> |_, _| { for_each(array!(.event_data.list)) -> |_, _| { n = n + 1 } }\n.event_data.n = n",
        // Memory: doubles with every element.
        "s = \"x\"\nfor_each(array!(.event_data.list)) -> |_, _| { s = s + s }\n.event_data.s = s",
        "l = [1]\nfor_each(array!(.event_data.list)) -> |_, _| { l = append(l, l) }\n.event_data.l = l",
        // Stack: one deeper with every element.
        "d = {}\nfor_each(array!(.event_data.list)) -> |_, _| { d = { \"d\": d } }\n.event_data.d = d",
    ] {
        let begun = Instant::now();
        let transform = transform(source);
        let result = transform.apply(&event, RECEIVED);
        assert_eq!(result, Err(RunError::TooSlow(Options::TIME)), "{source}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{source}: {:?}", begun.elapsed());
    }
}

#[test]
fn the_time_can_be_set_within_bounds() {
    let source =
        "n = 0\nfor_each(array!(.event_data.list)) -> |_, _| { n = n + 1 }\n.event_data = { \"n\": n }";
    let short = Options { time: Duration::ZERO, ..Options::default() };
    let transform = Transform::compile(source, &short).unwrap();
    assert_eq!(transform.apply(&with_list(1_000), RECEIVED), Err(RunError::TooSlow(Duration::ZERO)));
    let long = Options { time: Duration::from_secs(3_600), ..Options::default() };
    let transform = Transform::compile("n = 0\nfor_each(array!(.event_data.list)) -> |_, _| { for_each(array!(.event_data.list)) -> |_, _| { n = n + 1 } }", &long).unwrap();
    assert_eq!(transform.apply(&with_list(100_000), RECEIVED), Err(RunError::TooSlow(Options::TIME_MAX)));
}

#[test]
fn what_is_too_large_is_refused() {
    let event = with_message(&"x".repeat(9 << 20));
    let result = transform(".event_data.copy = .message").apply(&event, RECEIVED);
    assert_eq!(result, Err(RunError::TooLarge(16 << 20)));
}

/// On a thread with the stack that a server's threads have.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn nested_text_needs_no_stack() {
    for (function, open, close) in [
        ("parse_json", "[", "]"),
        ("parse_json", "{\"a\":", "}"),
        ("parse_query_string", "a[", "]"),
        ("parse_cef", "[", "]"),
        ("parse_logfmt", "a=[", "]"),
        ("parse_tokens", "[", "]"),
        ("parse_influxdb", "a,b=", ""),
        ("parse_csv", "\"", ""),
        ("parse_url", "[", "]"),
        ("decode_mime_q", "=?", "?="),
        ("parse_user_agent", "Mozilla/5.0 (", ")"),
        ("parse_syslog", "<1>1 - - - - - [a ", "]"),
        ("parse_nginx_log", "[", "]"),
    ] {
        let format = if function == "parse_nginx_log" { ", \"combined\"" } else { "" };
        let source = format!(
            ".event_data.x, error = {function}(string!(.message){format})\n.event_data.failed = error != null"
        );
        let event = with_message(&(open.repeat(200_000) + &close.repeat(200_000)));
        let source = if Transform::compile(&source, &Options::default()).is_ok() {
            source
        } else {
            format!(".event_data.x = {function}(string!(.message){format})")
        };
        on_a_small_stack(move || {
            // Whatever comes of it, the process lives.
            let _ = transform(&source).apply(&event, RECEIVED);
        });
    }
    // 0x81 opens an array of one in CBOR.
    on_a_small_stack(|| {
        let source =
            ".event_data.x, error = parse_cbor(decode_base16!(.message))\n.event_data.failed = error != null";
        let event = with_message(&"81".repeat(200_000));
        let Ok(Applied::Changed(event)) = transform(source).apply(&event, RECEIVED) else { panic!() };
        assert!(
            event.ends_with(br#""failed":true,"x":{}}}"#)
                || event.ends_with(br#""failed":true}}"#)
                || event.ends_with(br#""failed":true,"x":null}}"#)
        );
    });
}

#[test]
fn events_that_are_none() {
    let condition = Condition::compile(".event_data.a == 1", &Options::default()).unwrap();
    let deep = format!(r#"{{"event_data":{{"a":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let beside = format!(r#"{{"event_data":{{"a":1,"b":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (event, held) in [
        ("", None),
        ("1", None),
        ("[]", None),
        ("{", None),
        ("{\"event_data\"", None),
        ("{\"event_data\":{\"a\":1}} x", None),
        ("{\"event_data\":\"x\"}", None),
        ("{\"event_data\":null}", Some(false)),
        ("{}", Some(false)),
        ("{\"event_data\":{\"a\":1}}", Some(true)),
        (" {\n\"event_\\u0064ata\" : {\t\"a\" : 1 } }\r\n", Some(true)),
        ("{\"event_data\":{\"a\":1},\"event_data\":{\"a\":2}}", None),
        ("{\"event_data\":{\"a\":1,\"\\u0061\":2}}", None),
        (deep.as_str(), None),
        (beside.as_str(), Some(true)),
    ] {
        assert_eq!(condition.holds(event.as_bytes(), RECEIVED).ok(), held, "{event:.60}");
    }
    assert!(matches!(condition.holds(b"{\"a\":\"\xff\"}", RECEIVED), Err(RunError::Json { at: 6, .. })));
}

#[test]
fn a_panic_ends_the_run_and_nothing_else() {
    // Backtracking that oniguruma gives up on makes the grok crate panic or fail, by its version.
    let source = r#"_, error = parse_grok(.message, "^(a+)+(a+)+(a+)+$")
.event_data.failed = error != null"#;
    let event = with_message(&("a".repeat(40) + "!"));
    let transform = transform(source);
    match transform.apply(&event, RECEIVED) {
        Err(RunError::Panicked | RunError::TooSlow(_)) => {}
        Ok(Applied::Changed(event)) => assert!(event.ends_with(br#""failed":true}}"#)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(transform.apply(&with_message("aaa"), RECEIVED), Ok(Applied::Changed(_))));
}
