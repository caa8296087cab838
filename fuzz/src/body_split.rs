//! The borders between the events of a request: no body makes the search for them panic or run on, and every event lies in the body.

// The splitter is the server's own and nobody else's, so it is compiled in rather than made public.
#[path = "../../crates/server/src/split.rs"]
#[allow(dead_code, missing_docs)]
mod split;

/// Runs the target over one input: a byte whose lowest bit says whether the body is NDJSON, and the body.
pub fn run(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let ndjson = kind & 1 == 1;
    let mut last = 0;
    for (number, event) in split::Events::new(body, ndjson) {
        assert!(number > last);
        last = number;
        if event.is_ok_and(|event| event.len() > body.len()) {
            panic!("an event that is longer than the body");
        }
    }
}
