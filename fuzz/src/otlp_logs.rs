//! What comes to the OTLP receiver: no body makes the readers panic, and every record that is read becomes an event.

// Compiled in by themselves, because the crate they belong to brings the clients of all protocols along.
#[path = "../../crates/wire/src/otlp/decode.rs"]
#[allow(dead_code, missing_docs)]
mod decode;
#[path = "../../crates/wire/src/otlp/json.rs"]
#[allow(dead_code, missing_docs)]
mod json;
#[path = "../../crates/wire/src/otlp/proto.rs"]
#[allow(dead_code, missing_docs)]
mod proto;
#[path = "../../crates/wire/src/otlp/record.rs"]
#[allow(dead_code, missing_docs)]
mod record;

use attestry_event::{Batch, Border, Nanos};
use decode::Request;

/// Runs the target over one input: a body, as protobuf and as JSON.
pub fn run(bytes: &[u8]) {
    let border = Border {
        event_source: "otlp",
        via: &[],
        lenient: false,
        reserved_names: false,
        agent: false,
        now: Nanos(1_700_000_000_000_000_000),
    };
    for request in [Request::from_protobuf(bytes), Request::from_json(bytes)].into_iter().flatten() {
        assert_eq!(request.rejected == 0, request.reason.is_empty());
        for record in request.records {
            // Refused or taken: what nests too deep, say, is found at the border.
            let _ = Batch::with_seed([0; 32]).push(&record.into_event(), &border);
        }
    }
}
