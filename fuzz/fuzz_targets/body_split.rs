//! The borders between the events of a request: no body makes the search for them panic or run on, and every event lies in the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The splitter is the server's own and nobody else's, so it is compiled in rather than made public.
#[path = "../../crates/server/src/split.rs"]
#[allow(dead_code, missing_docs)]
mod split;

fuzz_target!(|input: (bool, &[u8])| {
    let (ndjson, body) = input;
    let mut last = 0;
    for (number, event) in split::Events::new(body, ndjson) {
        assert!(number > last);
        last = number;
        if event.is_ok_and(|event| event.len() > body.len()) {
            panic!("an event that is longer than the body");
        }
    }
});
