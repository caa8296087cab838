//! The bytes of a journal file, as `docs/formats.md` section 7 lays them down.
//!
//! Two things in them are there because payloads come from strangers. A record's head has a checksum of its own, so that
//! a look for the next record after damage costs the same whatever the payloads contain. And that checksum starts from a
//! salt that nobody outside knows, so that no payload can hold what looks like a record.

/// What a record may carry, in bytes: the largest event (16 MiB) with room to spare.
pub const MAX_PAYLOAD_BYTES: usize = 32 << 20;

/// Where the second copy of a file's header stands: in another sector than the first.
pub(crate) const COPY_AT: u64 = 512;
/// Where a file's first record stands.
pub(crate) const RECORDS_AT: u64 = 1024;
/// Both a file's header and a record's head.
pub(crate) const HEAD_BYTES: usize = 32;

const FILE_MAGIC: [u8; 16] = *b"ATTESTRY-JNL-1\n\0";
const FAMILY: &[u8] = b"ATTESTRY-JNL-";
const RECORD_MAGIC: [u8; 4] = *b"JRNL";
const MARK_MAGIC: [u8; 4] = *b"JMRK";

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FileHeader {
    pub(crate) first: u64,
    pub(crate) salt: u32,
}

/// What stands where a file's header should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HeaderRead {
    Good(FileHeader),
    /// Whole, but of a version that this code does not know.
    Newer,
    Bad,
}

impl FileHeader {
    pub(crate) fn encode(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..16].copy_from_slice(&FILE_MAGIC);
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderRead {
        let Some(bytes) = bytes.first_chunk::<HEAD_BYTES>() else { return HeaderRead::Bad };
        if crc32c::crc32c(&bytes[..28]) != u32_at(bytes, 28) || !bytes.starts_with(FAMILY) {
            HeaderRead::Bad
        } else if bytes[..16] != FILE_MAGIC {
            HeaderRead::Newer
        } else {
            HeaderRead::Good(FileHeader { first: u64_at(bytes, 16), salt: u32_at(bytes, 24) })
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Record,
    /// Says only that everything below `durable` is on the disk. Takes no number, and the next record overwrites it.
    Mark,
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) payload_bytes: u32,
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) payload_crc: u32,
}

impl Head {
    pub(crate) fn mark(durable: u64) -> Head {
        Head { kind: Kind::Mark, payload_bytes: 0, seq: durable, durable, payload_crc: 0 }
    }

    pub(crate) fn encode(self, salt: u32) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(match self.kind {
            Kind::Record => &RECORD_MAGIC,
            Kind::Mark => &MARK_MAGIC,
        });
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = salted(salt, &bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Head> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let kind = match *bytes.first_chunk::<4>()? {
            RECORD_MAGIC => Kind::Record,
            MARK_MAGIC => Kind::Mark,
            _ => return None,
        };
        if salted(salt, &bytes[..28]) != u32_at(bytes, 28) {
            return None;
        }
        let head = Head {
            kind,
            payload_bytes: u32_at(bytes, 4),
            seq: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            payload_crc: u32_at(bytes, 24),
        };
        (head.payload_bytes as usize <= MAX_PAYLOAD_BYTES && head.durable <= head.seq && head.seq < u64::MAX)
            .then_some(head)
    }

    /// Bytes from this head to the next.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(self.payload_bytes as usize)
    }
}

/// What a payload takes in a file: head, payload, padding.
pub(crate) fn record_bytes(payload_bytes: usize) -> u64 {
    (HEAD_BYTES + payload_bytes).next_multiple_of(8) as u64
}

/// A file's name.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.jnl")
}

/// The first sequence that a file's name says; `None` for what is not the name of a journal file.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let first = name.strip_suffix(".jnl")?.parse().ok()?;
    (file_name(first) == name && first < u64::MAX >> 1).then_some(first)
}

/// The first sequence of a file that was set aside because its header was unreadable.
pub(crate) fn parse_aside_name(name: &str) -> Option<u64> {
    parse_file_name(name.strip_suffix(".damaged")?)
}

fn salted(salt: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

fn u32_at(bytes: &[u8; HEAD_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEAD_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_head_is_covered() {
        let head =
            Head { kind: Kind::Record, payload_bytes: 77, seq: 9, durable: 7, payload_crc: 0xdead_beef };
        let good = head.encode(5);
        assert_eq!(Head::decode(&good, 5), Some(head));
        assert_eq!(Head::decode(&good, 6), None, "another file's salt");
        for bit in 0..HEAD_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bad, 5), None, "bit {bit}");
        }
    }

    #[test]
    fn every_bit_of_a_file_header_is_covered() {
        let header = FileHeader { first: 3, salt: 99 };
        let good = header.encode();
        assert_eq!(FileHeader::decode(&good), HeaderRead::Good(header));
        for bit in 0..HEAD_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHeader::decode(&bad), HeaderRead::Bad, "bit {bit}");
        }
        let mut newer = good;
        newer[13] = b'2';
        let crc = crc32c::crc32c(&newer[..28]).to_le_bytes();
        newer[28..].copy_from_slice(&crc);
        assert_eq!(FileHeader::decode(&newer), HeaderRead::Newer);
    }

    #[test]
    fn names() {
        assert_eq!(file_name(42), "00000000000000000042.jnl");
        for (name, first) in [
            ("00000000000000000042.jnl", Some(42)),
            ("42.jnl", None),
            ("+0000000000000000042.jnl", None),
            ("00000000000000000042.jnl.tmp", None),
            ("18446744073709551615.jnl", None),
        ] {
            assert_eq!(parse_file_name(name), first, "{name}");
        }
    }
}
