//! GELF: no datagram, no compressed bytes, no stream and no message makes the receiver's readers panic or take more memory than allowed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use attestry_event::Nanos;
use attestry_wire::gelf::{Chunks, Inflated, JsonFrames, Whole, inflate, parse};

const MESSAGE_BYTES: usize = 10_000;
const FRAME_BYTES: usize = 64;

/// Runs the target over one input: as one datagram, as several of 20 bytes, and as a stream.
pub fn run(bytes: &[u8]) {
    let received = Nanos(1_795_230_245_000_000_000);
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut chunks = Chunks::default();
    for datagram in std::iter::once(bytes).chain(bytes.chunks(20)) {
        let message = match chunks.take(datagram, from, Instant::now()) {
            Whole::Datagram(message) => message.to_vec(),
            Whole::Chunks(message) => message,
            Whole::NotYet | Whole::Malformed => continue,
        };
        if let Inflated::Message(message) = inflate(&message, MESSAGE_BYTES) {
            assert!(message.len() <= MESSAGE_BYTES);
            let _ = parse(&message, "gelf.message", received);
        }
    }
    assert_eq!(frames(bytes, usize::MAX), frames(bytes, 3));
}

fn frames(bytes: &[u8], step: usize) -> Vec<(Vec<u8>, u64)> {
    let mut frames = JsonFrames::new(FRAME_BYTES);
    let mut found = Vec::new();
    let mut each = |message: &[u8], cut: u64| {
        assert!(message.len() <= FRAME_BYTES);
        found.push((message.to_vec(), cut));
    };
    for piece in bytes.chunks(step) {
        frames.read(piece, &mut each);
    }
    frames.finish(&mut each);
    found
}
