//! One file's records in order, and what is wrong between them.

use std::{io, ops::Range};

use crate::{
    disk::File,
    files::Source,
    format::{HEAD_BYTES, Head, Kind, RECORDS_AT},
};

/// How much of a large file is read at a time, in bytes.
const READAHEAD: usize = 1 << 20;

/// Records that were durable and can no longer be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name of the file.
    pub file: String,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How many bytes are unreadable.
    pub bytes: u64,
    /// The first sequence that is lost.
    pub first_seq: u64,
    /// The end of the lost sequences, exclusive. Equal to `first_seq` where no record was hit.
    pub end_seq: u64,
}

pub(crate) enum Step {
    /// A record; [`Walk::payload`] has its bytes until the next step.
    Record(u64),
    Damage(Damage),
    End,
}

/// Walks one file from its first record to `limit`, or, in the last file, to where nothing more was acknowledged.
pub(crate) struct Walk<F> {
    source: Source<F>,
    window: Window,
    /// Where the record with the next sequence should be.
    pub(crate) at: u64,
    pub(crate) seq: u64,
    /// Below this sequence only the heads are looked at.
    from: u64,
    /// Where the next file takes over. A hole before that is damage: the next file would not be there if anything
    /// below its first sequence had not been durable.
    pub(crate) limit: Option<u64>,
    /// Everything below this sequence is known to have been durable.
    pub(crate) proven: u64,
    /// How many bytes behind the last record belong to writes that nobody was told of.
    pub(crate) torn: u64,
    /// Whether a mark stands behind the last record.
    pub(crate) marked: bool,
    payload: Range<u64>,
}

/// What a look beyond a hole finds.
struct Beyond {
    /// Place and sequence of the next record; a superseded one, too, shows where the hole ends.
    next: Option<(u64, u64)>,
    proven: u64,
    /// The end of the last bytes that are not zero.
    end: u64,
}

impl<F: File> Walk<F> {
    /// `from` is the first sequence that is wanted, at or above the file's first.
    pub(crate) fn new(source: Source<F>, from: u64, limit: Option<u64>) -> Self {
        let readahead = READAHEAD.min(source.bytes as usize);
        let window = Window { readahead, bytes: Vec::new(), start: 0, filled: 0 };
        let (at, seq, proven) = (RECORDS_AT, source.first, source.first);
        Walk { source, window, at, seq, from, limit, proven, torn: 0, marked: false, payload: 0..0 }
    }

    pub(crate) fn source(&self) -> &Source<F> {
        &self.source
    }

    pub(crate) fn into_source(self) -> Source<F> {
        self.source
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.window.have(self.payload.clone())
    }

    /// Drops what was read ahead, because the file has grown since, and goes on to a later limit.
    pub(crate) fn extend(&mut self, limit: u64) {
        self.window.filled = 0;
        self.limit = Some(limit);
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.limit.is_some_and(|limit| self.seq >= limit) {
                return Ok(Step::End);
            }
            let Some(head) = self.head(self.at)?.filter(|h| h.kind == Kind::Record && h.seq == self.seq)
            else {
                return self.hole(self.at);
            };
            let end = self.at + head.record_bytes();
            let start = self.at + HEAD_BYTES as u64;
            if self.seq >= self.from {
                let payload = start..start + u64::from(head.payload_bytes);
                let bytes =
                    self.window.get(&self.source.file, self.at, HEAD_BYTES + head.payload_bytes as usize)?;
                if bytes.get(HEAD_BYTES..).map(crc32c::crc32c) != Some(head.payload_crc)
                    || bytes.len() != HEAD_BYTES + head.payload_bytes as usize
                {
                    return self.hole(end);
                }
                self.payload = payload;
            }
            self.proven = self.proven.max(head.durable);
            self.at = end;
            self.seq += 1;
            if head.seq >= self.from {
                return Ok(Step::Record(head.seq));
            }
        }
    }

    /// Decides what it means that the next record cannot be read, looking for others at `search` and beyond.
    fn hole(&mut self, search: u64) -> io::Result<Step> {
        let beyond = self.look_beyond(search)?;
        self.proven = self.proven.max(beyond.proven);
        let durable = self.limit.unwrap_or(self.proven);
        if durable <= self.seq {
            let mark =
                self.head(self.at)?.is_some_and(|head| head.kind == Kind::Mark && head.seq == self.seq);
            let tail = self.at + if mark { HEAD_BYTES as u64 } else { 0 };
            self.torn = beyond.end.min(self.source.bytes).saturating_sub(tail);
            return Ok(Step::End);
        }
        let (at, seq) = match beyond.next {
            Some((at, seq)) => (at, seq.min(durable)),
            None => (beyond.end.min(self.source.bytes).max(self.at), durable),
        };
        let damage = Damage {
            file: self.source.name.clone(),
            offset: self.at,
            bytes: at - self.at,
            first_seq: self.seq.max(self.from).min(seq),
            end_seq: seq,
        };
        (self.at, self.seq) = (at, seq);
        Ok(Step::Damage(damage))
    }

    /// Looks for the next record, and in the last file for proof that the missing one had been durable: from head to
    /// head where they are whole, else at every place where one could stand.
    fn look_beyond(&mut self, from: u64) -> io::Result<Beyond> {
        let mut beyond = Beyond { next: None, proven: 0, end: from };
        let mut at = from;
        loop {
            if let Some(head) = self.head(at)? {
                beyond.proven = beyond.proven.max(head.durable);
                if head.kind == Kind::Record && head.seq > self.seq && beyond.next.is_none() {
                    beyond.next = Some((at, head.seq));
                }
                if beyond.next.is_some() && (self.limit.is_some() || beyond.proven > self.seq) {
                    return Ok(beyond);
                }
                at += head.record_bytes();
                beyond.end = at;
                continue;
            }
            let bytes = self.window.get(&self.source.file, at, self.window.readahead)?;
            if bytes.is_empty() {
                return Ok(beyond);
            }
            // The head at `at` is not one. Of the rest only a place that begins as a head does is worth a closer look.
            let mut skipped = 0;
            for word in bytes.chunks(8) {
                if skipped > 0 && (word.starts_with(b"JRNL") || word.starts_with(b"JMRK")) {
                    break;
                }
                if word.iter().any(|byte| *byte != 0) {
                    beyond.end = at + (skipped + word.len()) as u64;
                }
                skipped += word.len();
            }
            at += skipped as u64;
        }
    }

    fn head(&mut self, at: u64) -> io::Result<Option<Head>> {
        let salt = self.source.salt;
        Ok(Head::decode(self.window.get(&self.source.file, at, HEAD_BYTES)?, salt))
    }
}

/// A part of a file in memory, read in large pieces.
struct Window {
    /// How much is read at a time, in bytes.
    readahead: usize,
    bytes: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    /// Up to `len` bytes from `at` on, fewer only at the end of the file.
    fn get(&mut self, file: &impl File, at: u64, len: usize) -> io::Result<&[u8]> {
        let end = self.start + self.filled as u64;
        if at < self.start || at + len as u64 > end {
            let kept = self.place(at)..self.filled;
            let want = len.max(self.readahead);
            if self.bytes.len() < want {
                let mut larger = vec![0; want];
                larger[..kept.len()].copy_from_slice(&self.bytes[kept.clone()]);
                self.bytes = larger;
            } else {
                self.bytes.copy_within(kept.clone(), 0);
            }
            let kept = kept.len();
            (self.start, self.filled) = (at, kept);
            self.filled += file.read_at(&mut self.bytes[kept..], at + kept as u64)?;
        }
        Ok(self.have(at..at + len as u64))
    }

    /// What is in memory of a range.
    fn have(&self, range: Range<u64>) -> &[u8] {
        let end = self.place(range.end);
        &self.bytes[self.place(range.start).min(end)..end]
    }

    /// Where a place of the file is in memory: at the end, when it is not.
    fn place(&self, at: u64) -> usize {
        at.checked_sub(self.start).map_or(self.filled, |behind| self.filled.min(behind as usize))
    }
}
