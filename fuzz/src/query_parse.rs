//! The search language: no text makes it panic, errors point into the text, and what was read can be written and read again.

use attestry_event::Entry;
use attestry_store::{Query, Row};

const ENTRY: &[u8] = br#"{"v":1,"event_id":"e1","event_time":"2026-11-20T10:00:00.000000000Z","received_at":"2026-11-20T10:00:01.000000000Z","event_name":"login.failure","username":"alice","event_source":"sshd","source_ip_address":"10.0.0.1","read_only":false,"severity":4,"message":"Connection reset by peer","event_data":{"a":[1,"two",true,null],"b":{"c":"10.0.0.9"}}}"#;

/// Runs the target over one input.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Query::parse(text) {
        Ok(query) => {
            let written = query.to_string();
            // Canonical text may be longer than what it came from, and a query has a limit.
            if written.len() <= attestry_store::MAX_QUERY_BYTES {
                assert_eq!(Query::parse(&written).as_ref(), Ok(&query), "{text:?} became {written:?}");
            }
            for token in query.tokens() {
                assert!(text.get(token.start..token.end).is_some());
            }
            let entry = Entry::parse(ENTRY).expect("an entry");
            query.matches(&Row { ledger: "audit", index: 7, entry: &entry, value_of: None });
        }
        Err(error) => {
            assert!(text.get(error.position..error.position + error.length).is_some(), "{error:?}");
        }
    }
}
