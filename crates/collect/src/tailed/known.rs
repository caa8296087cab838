//! A file that is followed: what tells it from others, and how far it was read.

use std::{collections::VecDeque, fs, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use attestry_event::Nanos;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::follow::{HEAD_BYTES, family::Rank, from_hex, hash, to_hex};

/// So much before the place that was reached must be the same, in bytes.
const TAIL_BYTES: usize = 64;

/// Device and inode.
pub(super) type Inode = (u64, u64);

/// Some bytes, by their number and hash.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Print {
    pub(super) len: usize,
    hash: [u8; 16],
}

impl Print {
    pub(super) fn of(bytes: &[u8]) -> Print {
        Print { len: bytes.len(), hash: hash(bytes) }
    }

    /// Of the last bytes before a place that was reached.
    pub(super) fn of_end(bytes: &[u8]) -> Print {
        Print::of(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default())
    }

    /// Whether `bytes` begin so. Fewer bytes never do.
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        self.len == 0 || bytes.get(..self.len).is_some_and(|start| hash(start) == self.hash)
    }

    /// Whether `bytes` end so. What is not known may be anything.
    pub(super) fn ends(&self, bytes: &[u8]) -> bool {
        let end = bytes.len().checked_sub(self.len).and_then(|from| bytes.get(from..));
        self.len == 0 || end.is_some_and(|end| hash(end) == self.hash)
    }

    fn value(&self) -> Value {
        json!([self.len, if self.len == 0 { String::new() } else { to_hex(&self.hash) }])
    }

    fn of_value(value: &Value) -> Option<Print> {
        let len = usize::try_from(value[0].as_u64()?).ok()?;
        let hash = if len == 0 { [0; 16] } else { from_hex(value[1].as_str()?)? };
        Some(Print { len, hash })
    }
}

/// A file that is followed.
pub(super) struct File {
    /// The same as long as the file lives, under all its names: what the ids of its events are made from.
    pub(super) id: [u8; 16],
    pub(super) log: Arc<str>,
    pub(super) inode: Inode,
    /// How far it was given out, in bytes of the decompressed content.
    pub(super) offset: u64,
    /// Its first bytes.
    pub(super) head: Print,
    /// The bytes before `offset`, as far as they are known.
    pub(super) tail: Print,

    pub(super) path: PathBuf,
    pub(super) rank: Rank,
    /// When it was last read to its end, with the size and time it had then.
    pub(super) settled: Option<(u64, Nanos)>,
    /// Half a line, or a record that waits for more lines, stands after `offset`.
    pub(super) half: bool,
    /// The look at which it was last there.
    pub(super) seen: u64,
    /// How many looks it has been away.
    pub(super) missing: u64,
    /// When it was first seen to be.
    pub(super) missed: Nanos,
    pub(super) open: Option<fs::File>,
    /// Something else is in its place since: it was emptied, or its inode is another file's.
    pub(super) lost: bool,
}

impl File {
    /// What the content before the offset is as it was.
    pub(super) fn is_intact(&self, file: &fs::File, size: u64) -> std::io::Result<bool> {
        if size < self.offset {
            return Ok(false);
        }
        let head = read_at(file, 0, self.head.len)?;
        let from = self.offset.saturating_sub(self.tail.len as u64);
        Ok(self.head.begins(&head) && self.tail.ends(&read_at(file, from, self.tail.len)?))
    }

    /// Counts a look at which it was away; whether that were `looks` by now, and as many seconds.
    pub(super) fn is_missing(&mut self, now: Nanos, looks: u64) -> bool {
        if self.missing == 0 {
            self.missed = now;
        }
        self.missing += 1;
        let away = now.0.saturating_sub(self.missed.0) / 1_000_000_000;
        self.missing >= looks && u64::try_from(away).is_ok_and(|away| away + 1 >= looks)
    }

    /// Knows more of the start of a file that has grown.
    pub(super) fn learn(&mut self, file: &fs::File) -> std::io::Result<()> {
        if self.head.len < HEAD_BYTES {
            self.head = Print::of(&read_at(file, 0, HEAD_BYTES)?);
        }
        Ok(())
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "log": &*self.log,
            "inode": [self.inode.0, self.inode.1],
            "id": to_hex(&self.id),
            "offset": self.offset,
            "head": self.head.value(),
            "tail": self.tail.value(),
            "live": self.rank == Rank::Live,
            "settled": self.settled.map(|(size, modified)| (size, modified.0)),
            "half": self.half,
        })
    }

    pub(super) fn of_value(value: &Value) -> Option<File> {
        let live = value["live"].as_bool()?;
        Some(File {
            id: from_hex(value["id"].as_str()?)?,
            log: value["log"].as_str()?.into(),
            inode: (value["inode"][0].as_u64()?, value["inode"][1].as_u64()?),
            offset: value["offset"].as_u64()?,
            head: Print::of_value(&value["head"])?,
            tail: Print::of_value(&value["tail"])?,
            path: PathBuf::new(),
            rank: if live { Rank::Live } else { Rank::Dated(String::new()) },
            settled: value["settled"][0].as_u64().zip(value["settled"][1].as_i64().map(Nanos)),
            half: value["half"].as_bool()?,
            seen: 0,
            missing: 0,
            missed: Nanos(0),
            open: None,
            lost: false,
        })
    }
}

/// `len` bytes at `from`, or as many as there are.
pub(super) fn read_at(file: &fs::File, from: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Ids for files: from the log and the first line, so that they are the same when history is read again. A log whose files all
/// begin with the same line has them numbered, or a line in one would be taken for the same line in another.
#[derive(Default)]
pub(super) struct Ids {
    /// How often a start was given an id, the latest last.
    given: VecDeque<([u8; 16], u64)>,
}

/// So many starts are remembered.
const REMEMBERED: usize = 512;

impl Ids {
    pub(super) fn next(&mut self, log: &str, head: &[u8], taken: impl Fn(&[u8; 16]) -> bool) -> [u8; 16] {
        let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let start = hash(&[log.as_bytes(), b"\n", first].concat());
        let at = self.given.iter().position(|(known, _)| *known == start);
        let mut number = at.and_then(|at| self.given.remove(at)).map_or(0, |(_, number)| number);
        loop {
            let mut id = start;
            if number > 0 {
                let mut numbered = Sha256::new();
                numbered.update(start);
                numbered.update(number.to_be_bytes());
                id.copy_from_slice(&numbered.finalize()[..16]);
            }
            number += 1;
            if !taken(&id) {
                self.given.push_back((start, number));
                if self.given.len() > REMEMBERED {
                    self.given.pop_front();
                }
                return id;
            }
        }
    }

    pub(super) fn value(&self) -> Value {
        self.given.iter().map(|(start, number)| json!([to_hex(start), number])).collect()
    }

    pub(super) fn of_value(value: &Value) -> Ids {
        let given = value.as_array().into_iter().flatten().take(REMEMBERED);
        let given = given.filter_map(|one| Some((from_hex(one[0].as_str()?)?, one[1].as_u64()?))).collect();
        Ids { given }
    }
}
