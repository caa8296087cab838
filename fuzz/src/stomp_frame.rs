//! What comes from a STOMP broker: no bytes make the parser panic or read beyond what there is, and a frame that is read can be written and
//! read again.

// Compiled in by itself, because the crate it belongs to brings the clients of all protocols along.
#[path = "../../crates/wire/src/stomp/frame.rs"]
#[allow(dead_code, missing_docs)]
mod frame;

use frame::{Next, parse};

/// The largest frame, in bytes.
const FRAME_BYTES_MAX: usize = 4_096;

/// Runs the target over one input: the bytes of a stream.
pub fn run(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((next, used))) = parse(rest, FRAME_BYTES_MAX) {
        assert!(used > 0 && used <= FRAME_BYTES_MAX);
        if let Next::Frame(frame) = next {
            let mut written = Vec::new();
            frame.write(&mut written);
            // Escapes may make it longer than what it came from.
            let (again, length) =
                parse(&written, 4 * FRAME_BYTES_MAX).expect("a frame").expect("a whole frame");
            assert_eq!(length, written.len());
            let Next::Frame(again) = again else { panic!("{frame:?} became a sign of life") };
            assert_eq!((&again.command, &again.body), (&frame.command, &frame.body));
        }
        rest = rest.get(used..).unwrap_or_default();
    }
}
