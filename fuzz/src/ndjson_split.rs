//! Lines out of a stream: however it is cut, the same lines come out.

// Compiled in by itself, because the crate it belongs to brings the clients of all protocols along.
#[path = "../../crates/wire/src/ndjson/split.rs"]
#[allow(dead_code, missing_docs)]
mod split;

use split::{Line, Splitter};

fn lines(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<Line> {
    let mut splitter = Splitter::default();
    let mut lines = Vec::new();
    pieces.for_each(|piece| splitter.push(piece.as_ref(), |line| lines.push(line)));
    lines.extend(splitter.finish());
    lines
}

/// Runs the target over one input: the first byte says how the rest is cut.
pub fn run(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first() else { return };
    let whole = lines(std::iter::once(rest));
    assert_eq!(lines(rest.chunks(usize::from(*size).max(1))), whole);
    for line in whole {
        if let Line::Whole(line) = line {
            assert!(!line.contains(&b'\n') && !line.iter().all(u8::is_ascii_whitespace));
        }
    }
}
