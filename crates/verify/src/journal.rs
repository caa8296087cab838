//! Reading a ledger's journal from its description (`docs/formats.md`, section 7).
//!
//! The files are opened before the segments are listed: a running server seals in the meantime and removes what it sealed, but
//! an open file keeps its content, so nothing falls between the two.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use attestry_tlog::tile;

use crate::report::{Damage, Kind};

const FILE_MAGIC: &[u8; 16] = b"ATTESTRY-JNL-1\n\0";
const COPY_AT: usize = 512;
const RECORDS_AT: usize = 1024;
const HEAD_BYTES: usize = 32;
const RECORD: &[u8; 4] = b"JRNL";
const MARK: &[u8; 4] = b"JMRK";
const MAX_PAYLOAD_BYTES: u32 = 1 << 25;

/// One file of the journal.
struct JournalFile {
    name: String,
    first: u64,
    /// Absent for a file that the server set aside because its header was unreadable.
    file: Option<File>,
}

/// The files of a journal, held open.
pub(crate) struct Journal(Vec<JournalFile>);

/// What a record carries.
pub(crate) enum Payload<'a> {
    /// Entries from an index on.
    Entries { first: u64, entries: Vec<&'a [u8]> },
    /// A large value.
    Value { hash: [u8; 32], salt: [u8; 16], content: &'a [u8] },
}

impl Journal {
    /// Opens all files in `dir`; a folder that is not there is an empty journal.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let listed = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self(files)),
            listed => listed?,
        };
        for found in listed {
            let found = found?;
            let Ok(name) = found.file_name().into_string() else { continue };
            let (stem, aside) = match name.strip_suffix(".jnl.damaged") {
                Some(stem) => (stem, true),
                None => (name.strip_suffix(".jnl").unwrap_or_default(), false),
            };
            if stem.len() != 20 || !stem.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let Ok(first) = stem.parse() else { continue };
            let file = match File::open(found.path()) {
                _ if aside => None,
                // Sealed and removed since the folder was listed: the segments have what it held.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => Some(file?),
            };
            files.push(JournalFile { name, first, file });
        }
        files.sort_by_key(|file| file.first);
        Ok(Self(files))
    }

    /// Reads all records in order. Returns the damage in the files, and the names of files that were set aside.
    pub(crate) fn read(self, visit: &mut dyn FnMut(Payload<'_>)) -> io::Result<(Vec<Damage>, Vec<String>)> {
        let (mut damage, mut aside) = (Vec::new(), Vec::new());
        let firsts: Vec<u64> = self.0.iter().map(|file| file.first).collect();
        for (position, JournalFile { name, first, file }) in self.0.into_iter().enumerate() {
            let Some(mut file) = file else {
                aside.push(name);
                continue;
            };
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let Some(salt) = [0, COPY_AT].into_iter().find_map(|at| read_header(&bytes, at, first)) else {
                damage.push(Damage::general(
                    Kind::File,
                    format!("wal/{name}: both of its headers are damaged"),
                ));
                continue;
            };
            let next = firsts.get(position + 1).copied();
            let mut walk = Walk { bytes: &bytes, salt, next, at: RECORDS_AT, sequence: first };
            while let Some(step) = walk.step() {
                match step.map(parse_payload) {
                    Ok(Some(payload)) => visit(payload),
                    Ok(None) => damage.push(Damage::general(
                        Kind::File,
                        format!("wal/{name}: record {} contradicts itself", walk.sequence - 1),
                    )),
                    Err(hole) => damage.push(Damage::general(
                        Kind::File,
                        format!(
                            "wal/{name}: records {} to {} are damaged, bytes {} to {}",
                            hole.records.start,
                            hole.records.end.saturating_sub(1).max(hole.records.start),
                            hole.bytes.start,
                            hole.bytes.end
                        ),
                    )),
                }
            }
        }
        Ok((damage, aside))
    }
}

/// The salt, when one whole header of a file with this first sequence stands there.
fn read_header(bytes: &[u8], at: usize, first: u64) -> Option<u32> {
    let header: &[u8; HEAD_BYTES] = bytes.get(at..)?.first_chunk()?;
    let whole = header.starts_with(FILE_MAGIC) && crc32c::crc32c(&header[..28]) == u32_at(header, 28);
    (whole && u64_at(header, 16) == first).then(|| u32_at(header, 24))
}

#[derive(Clone, Copy)]
struct Head {
    is_record: bool,
    payload: u32,
    sequence: u64,
    durable: u64,
    payload_crc: u32,
}

impl Head {
    fn bytes(&self) -> usize {
        (HEAD_BYTES + self.payload as usize).next_multiple_of(8)
    }
}

/// Records that had been acknowledged and are gone.
struct Hole {
    records: Range<u64>,
    bytes: Range<usize>,
}

/// One file's records, from the first on.
struct Walk<'a> {
    bytes: &'a [u8],
    salt: u32,
    /// The first sequence of the next file, before which everything was on the disk and from which on it supersedes.
    next: Option<u64>,
    at: usize,
    sequence: u64,
}

impl<'a> Walk<'a> {
    fn step(&mut self) -> Option<Result<&'a [u8], Hole>> {
        if self.next.is_some_and(|next| self.sequence >= next) {
            return None;
        }
        let head = self.head(self.at).filter(|head| head.is_record && head.sequence == self.sequence);
        let Some(head) = head else { return self.hole(self.at) };
        let end = self.at + head.bytes();
        let start = self.at + HEAD_BYTES;
        match self.bytes.get(start..start + head.payload as usize) {
            Some(payload) if crc32c::crc32c(payload) == head.payload_crc => {
                (self.at, self.sequence) = (end, self.sequence + 1);
                Some(Ok(payload))
            }
            _ => self.hole(end),
        }
    }

    /// The record with the expected sequence is not there: either it was never acknowledged, which ends the reading, or it is lost.
    fn hole(&mut self, from: usize) -> Option<Result<&'a [u8], Hole>> {
        let (mut at, mut next, mut durable) = (from, None, self.next.unwrap_or(0));
        while at + HEAD_BYTES <= self.bytes.len() {
            let Some(head) = self.head(at) else {
                at += 8;
                continue;
            };
            durable = durable.max(head.durable);
            let superseded = self.next.is_some_and(|next| head.sequence >= next);
            if next.is_none() && head.is_record && head.sequence > self.sequence && !superseded {
                next = Some((at, head.sequence));
            }
            at += head.bytes();
        }
        if let Some(next) = self.next {
            durable = next;
        }
        if durable <= self.sequence {
            return None;
        }
        let (at, sequence) = next.unwrap_or((self.bytes.len(), durable));
        let hole = Hole { records: self.sequence..sequence, bytes: self.at..at };
        (self.at, self.sequence) = (at, sequence);
        Some(Err(hole))
    }

    fn head(&self, at: usize) -> Option<Head> {
        let bytes: &[u8; HEAD_BYTES] = self.bytes.get(at..)?.first_chunk()?;
        let is_record = bytes.starts_with(RECORD);
        if !is_record && !bytes.starts_with(MARK) {
            return None;
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.salt.to_le_bytes()), &bytes[..28]);
        let head = Head {
            is_record,
            payload: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            payload_crc: u32_at(bytes, 24),
        };
        (crc == u32_at(bytes, 28) && head.payload <= MAX_PAYLOAD_BYTES && head.sequence < u64::MAX)
            .then_some(head)
    }
}

fn parse_payload(payload: &[u8]) -> Option<Payload<'_>> {
    match payload.split_first()? {
        (1, rest) => {
            let (first, rest) = rest.split_first_chunk()?;
            let (count, bundle) = rest.split_first_chunk()?;
            let (first, count) = (u64::from_le_bytes(*first), u32::from_le_bytes(*count));
            let entries: Vec<&[u8]> = tile::entries(bundle).collect::<Result<_, _>>().ok()?;
            first.checked_add(u64::from(count))?;
            (entries.len() == count as usize).then_some(Payload::Entries { first, entries })
        }
        (2, rest) => {
            let (hash, rest) = rest.split_first_chunk()?;
            let (salt, content) = rest.split_first_chunk()?;
            Some(Payload::Value { hash: *hash, salt: *salt, content })
        }
        _ => None,
    }
}

fn u32_at(bytes: &[u8; HEAD_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEAD_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
