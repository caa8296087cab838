//! Syslog: no stream and no message makes the receiver's readers panic; frames do not depend on how the stream came in pieces, and no text of
//! a message is lost.

use attestry_event::Nanos;
use attestry_wire::syslog::{Context, Frames, parse};
use jiff::tz::TimeZone;

/// Less than most seeds, so that cutting is met.
const FRAME_BYTES: usize = 64;

/// Runs the target over one input.
pub fn run(bytes: &[u8]) {
    let whole = frames(bytes, usize::MAX);
    assert_eq!(whole, frames(bytes, 3));
    let text = String::from_utf8_lossy(bytes);
    let received = Nanos(1_795_230_245_000_000_000);
    for local in [false, true] {
        let message = parse(&text, &Context { received, zone: TimeZone::UTC, local });
        assert!(text.trim_end_matches(['\n', '\r', '\0']).ends_with(message.text));
        let event = message.event("syslog.message", received);
        assert_eq!(event.event_name, "syslog.message");
    }
}

fn frames(bytes: &[u8], step: usize) -> Vec<(Vec<u8>, u64)> {
    let mut frames = Frames::new(FRAME_BYTES);
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        frames.push(piece);
        while let Some(frame) = frames.next() {
            found.push((frame.bytes.to_vec(), frame.cut_bytes));
        }
        assert!(frames.waiting() <= FRAME_BYTES + 16);
    }
    found.extend(frames.finish().map(|frame| (frame.bytes.to_vec(), frame.cut_bytes)));
    found
}
