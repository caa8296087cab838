//! GELF messages compressed with gzip or zlib: which it is shows in the first bytes.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};

/// A message, decompressed where it was compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inflated<'a> {
    /// The message.
    Message(Cow<'a, [u8]>),
    /// It would be larger than allowed; no more than that was ever in memory.
    TooLarge,
    /// It is damaged.
    Damaged,
}

/// Decompresses a message that is at most `max_bytes` large afterwards.
pub fn inflate(bytes: &[u8], max_bytes: usize) -> Inflated<'_> {
    match bytes {
        [0x1f, 0x8b, ..] => read(GzDecoder::new(bytes), max_bytes),
        // RFC 1950: method 8 with a window of up to 32 KiB, and the two bytes are a multiple of 31.
        [method, check, ..]
            if method & 0x0f == 8
                && method >> 4 <= 7
                && (u16::from(*method) << 8 | u16::from(*check)) % 31 == 0 =>
        {
            read(ZlibDecoder::new(bytes), max_bytes)
        }
        _ if bytes.len() > max_bytes => Inflated::TooLarge,
        _ => Inflated::Message(Cow::Borrowed(bytes)),
    }
}

fn read(decoder: impl Read, max_bytes: usize) -> Inflated<'static> {
    let mut out = Vec::new();
    // One more than allowed tells that there is more.
    match decoder.take(max_bytes as u64 + 1).read_to_end(&mut out) {
        Ok(_) if out.len() > max_bytes => Inflated::TooLarge,
        Ok(_) => Inflated::Message(Cow::Owned(out)),
        Err(_) => Inflated::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_form_is_seen() {
        let message = b"{\"version\":\"1.1\"}";
        for bytes in [message.to_vec(), gzip(message), zlib(message, 1), zlib(message, 6), zlib(message, 9)] {
            assert_eq!(inflate(&bytes, 100), Inflated::Message(Cow::Borrowed(&message[..])));
            assert_eq!(inflate(&bytes, 17), Inflated::Message(Cow::Borrowed(&message[..])));
            assert_eq!(inflate(&bytes, 16), Inflated::TooLarge);
        }
    }

    #[test]
    fn a_bomb_stays_small() {
        let bomb = gzip(&vec![b' '; 50 << 20]);
        assert!(bomb.len() < 1_000_000, "{}", bomb.len());
        assert_eq!(inflate(&bomb, 1 << 20), Inflated::TooLarge);
    }

    #[test]
    fn damage_is_seen() {
        let mut whole = gzip(b"{\"version\":\"1.1\"}");
        whole.truncate(20);
        assert_eq!(inflate(&whole, 100), Inflated::Damaged);
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), head in 0usize..3) {
            let heads: [&[u8]; 3] = [&[], &[0x1f, 0x8b, 8], &[0x78, 0x9c]];
            bytes.splice(0..0, heads[head].iter().copied());
            let _ = inflate(&bytes, 1_000);
        }
    }
}
