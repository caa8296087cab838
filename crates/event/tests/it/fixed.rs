//! The entry's bytes. These constants are the format: whatever happens to this crate, they stay.

use attestry_event::Border;

use crate::{accept, border};

#[track_caller]
fn check(json: &str, border: &Border<'_>, expected: &str) {
    match accept(json, border) {
        Ok(entry) => assert_eq!(entry, expected),
        Err(problems) => panic!("{json}: {problems:?}"),
    }
}

#[test]
fn the_least_event() {
    check(
        r#"{"event_name":"a.b","username":"u","event_id":"1"}"#,
        &border(),
        r#"{"v":1,"event_id":"1","event_time":"2026-11-21T03:04:05.678901234Z","received_at":"1970-01-01T00:00:00.000000000Z","event_name":"a.b","username":"u","event_source":"shop","source_ip_address":"-","read_only":false}"#,
    );
}
