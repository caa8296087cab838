//! Follows one log file and its rotations: `auth.log`, `auth.log.1`, `auth.log.2.gz`, `auth.log-20261101.gz`, oldest first.
//!
//! A file is known by its *content*, never by its name or inode: by a hash of its first bytes, up to [`HEAD_BYTES`] of what
//! has been read. Renaming, copying with truncation (`copytruncate`) and compressing all keep it, so one rule covers them:
//! whatever in the family begins like a known file goes on where that file was left, everything else is new and read from its
//! start. A position is the list of known files with the offset reached in each (of the decompressed content).
//!
//! Nothing is held open between two passes. What was written between the last pass and a rotation without a copy is lost,
//! and said so: [`Step::Gap`].

pub(crate) mod content;
pub(crate) mod family;

use std::{
    collections::{HashMap, VecDeque},
    fs,
    io::{self, BufRead, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use attestry_event::Nanos;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use content::{Content, read_line};
use family::{Member, Rank};

/// How much of a file's start tells it from others, in bytes.
pub(crate) const HEAD_BYTES: usize = 1024;
/// A longer line is cut here; how much was cut is told with it. Syslog daemons stop at 8 KiB or less.
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;
/// A rotated file that has rested this long is taken to be complete: its last line counts without a newline, damage is no longer a
/// compression in progress.
const SETTLED_NANOS: i64 = 60_000_000_000;
/// A known file must be absent from so many listings before it counts as gone: a listing during a rename may miss it.
const MISSING_PASSES: u64 = 3;
/// More known files than any rotation keeps; the oldest are forgotten beyond it.
const MAX_KNOWN: usize = 512;

/// How records are told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    /// By newlines, which are left out.
    Lines,
    /// By their size in bytes.
    Records(usize),
}

/// One line or record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    /// How many bytes of a long line were left out.
    pub(crate) cut: u64,
    /// The same for every record of a file, under all its names: a hash of its first line or record.
    pub(crate) file: [u8; 16],
    /// Where the record begins in the decompressed file.
    pub(crate) offset: u64,
    /// When the file was last written to.
    pub(crate) modified: Nanos,
}

/// Something that could not be read and will not be.
#[derive(Debug, PartialEq)]
pub(crate) struct Gap {
    pub(crate) file: String,
    pub(crate) reason: String,
}

/// What the next look brought.
#[derive(Debug)]
pub(crate) enum Step {
    Record(Record),
    Gap(Gap),
    /// Everything there is has been read; the next call looks again.
    Idle,
}

pub(crate) struct Follower {
    path: PathBuf,
    framing: Framing,
    known: Vec<Known>,
    next_id: u64,
    /// Files read to their end, by device and inode, with size and time then: no need to open them again until these change.
    settled: HashMap<(u64, u64), Settled>,
    queue: VecDeque<Member>,
    /// Whether this pass has listed the folder, and whether that worked.
    listed: Option<bool>,
    current: Option<Reading>,
    gaps: VecDeque<Gap>,
}

struct Known {
    /// Only within this process.
    id: u64,
    /// Hash of the first line or record.
    first: [u8; 16],
    /// Hash of the first `len` bytes, none of them beyond `offset`.
    head: [u8; 16],
    len: usize,
    offset: u64,
    /// Something may still be written to it.
    live: bool,
    missing: u64,
    seen: bool,
}

struct Settled {
    size: u64,
    modified: Nanos,
    known: Option<u64>,
    /// It cannot be read whatever one does, and that has been said: part of the position, or every restart would say it again.
    hopeless: bool,
    seen: bool,
}

struct Reading {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    head: Vec<u8>,
    file: [u8; 16],
    known: Option<u64>,
    offset: u64,
    /// It has the log's own name: the daemon writes to it.
    live: bool,
    /// A rotated file nobody has written to for a while.
    resting: bool,
    packed: bool,
    inode: (u64, u64),
    size: u64,
    modified: Nanos,
}

impl Follower {
    /// Follows `path` from where `position` says, a value [`Follower::position`] gave; from the oldest rotation without one.
    /// A position that cannot be understood is none.
    pub(crate) fn new(path: impl Into<PathBuf>, framing: Framing, position: Option<&Value>) -> Follower {
        let mut follower = Follower {
            path: path.into(),
            framing,
            known: Vec::new(),
            next_id: 0,
            settled: HashMap::new(),
            queue: VecDeque::new(),
            listed: None,
            current: None,
            gaps: VecDeque::new(),
        };
        let list =
            |name: &str| position.and_then(|p| p[name].as_array()).into_iter().flatten().take(MAX_KNOWN);
        for stamp in list("unreadable") {
            let (Some(dev), Some(ino), Some(size), Some(modified)) =
                (stamp[0].as_u64(), stamp[1].as_u64(), stamp[2].as_u64(), stamp[3].as_i64())
            else {
                continue;
            };
            let settled =
                Settled { size, modified: Nanos(modified), known: None, hopeless: true, seen: false };
            follower.settled.insert((dev, ino), settled);
        }
        for file in list("files") {
            let (Some(first), Some(head), Some(len), Some(offset)) = (
                file["first"].as_str().and_then(from_hex),
                file["head"].as_str().and_then(from_hex),
                file["len"].as_u64().and_then(|len| usize::try_from(len).ok()),
                file["offset"].as_u64(),
            ) else {
                continue;
            };
            let id = follower.fresh_id();
            let live = file["live"].as_bool().unwrap_or(false);
            let missing = file["missing"].as_u64().unwrap_or(0);
            follower.known.push(Known { id, first, head, len, offset, live, missing, seen: false });
        }
        follower
    }

    /// Where reading stands, after the last record given out.
    pub(crate) fn position(&self) -> Value {
        let files = self.known.iter().map(|known| {
            let (first, head) = (to_hex(&known.first), to_hex(&known.head));
            let mut file = json!({ "first": first, "head": head, "len": known.len, "offset": known.offset });
            if known.live {
                file["live"] = true.into();
            }
            if known.missing > 0 {
                file["missing"] = known.missing.into();
            }
            file
        });
        let files: Vec<Value> = files.collect();
        let hopeless = self.settled.iter().filter(|(_, settled)| settled.hopeless);
        let unreadable: Vec<Value> = hopeless
            .map(|((dev, ino), settled)| json!([dev, ino, settled.size, settled.modified.0]))
            .collect();
        if unreadable.is_empty() {
            json!({ "files": files })
        } else {
            json!({ "files": files, "unreadable": unreadable })
        }
    }

    /// The next record, oldest file first. `now` only tells which files have come to rest.
    pub(crate) fn next(&mut self, now: Nanos) -> Step {
        loop {
            if let Some(gap) = self.gaps.pop_front() {
                return Step::Gap(gap);
            }
            if let Some(mut reading) = self.current.take() {
                match self.read(&mut reading) {
                    Ok(Some(record)) => {
                        self.advance(&mut reading);
                        self.current = Some(reading);
                        return Step::Record(record);
                    }
                    Ok(None) => self.finish(&reading),
                    Err(error) => self.fail(&reading, &error, now),
                }
            } else if let Some(member) = self.queue.pop_front() {
                self.open(member, now);
            } else if self.listed.is_none() {
                self.listed = Some(self.list());
            } else {
                // A folder that cannot be listed for a moment says nothing about its files.
                if self.listed.take() == Some(true) {
                    self.forget_missing();
                }
                if self.gaps.is_empty() {
                    return Step::Idle;
                }
            }
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn list(&mut self) -> bool {
        let Some(members) = family::members(&self.path) else { return false };
        self.known.iter_mut().for_each(|known| known.seen = false);
        self.settled.values_mut().for_each(|settled| settled.seen = false);
        self.queue = members.into();
        true
    }

    fn open(&mut self, member: Member, now: Nanos) {
        // A pipe would block in open, and a device is no log.
        let Ok(meta) = fs::metadata(&member.path) else { return };
        if !meta.is_file() || meta.len() == 0 {
            return;
        }
        let live = member.rank == Rank::Live;
        let modified = modified(&meta);
        let resting = !live && at_rest(modified, now);
        if let Some(settled) = self.settled.get_mut(&(meta.dev(), meta.ino()))
            && settled.size == meta.len()
            && settled.modified == modified
        {
            settled.seen = true;
            let known = settled.known;
            if let Some(known) = self.known.iter_mut().find(|k| Some(k.id) == known) {
                known.seen = true;
                known.missing = 0;
                known.live = !resting;
            }
            return;
        }
        if member.unsupported {
            self.settle(&meta, None, true);
            return self.gap(&member.path, "is compressed in a way that is not read (only gzip is)".into());
        }
        match self.begin(&member.path, live, now) {
            Ok(reading) => self.current = reading,
            // Renamed since the listing: its content is met under its new name, in this pass or the next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if resting || error.kind() == io::ErrorKind::PermissionDenied => {
                // Who may read it can change without a trace in the file.
                self.settle(&meta, None, error.kind() != io::ErrorKind::PermissionDenied);
                self.gap(&member.path, format!("cannot be read: {error}"));
            }
            Err(_) => {}
        }
    }

    fn begin(&mut self, path: &Path, live: bool, now: Nanos) -> io::Result<Option<Reading>> {
        let content = Content::open(path)?;
        let (meta, head, packed) = (content.meta.clone(), content.head.clone(), content.packed());
        let modified = modified(&meta);
        let first = hash(match self.framing {
            Framing::Lines => head.split(|&b| b == b'\n').next().unwrap_or(&head),
            Framing::Records(size) => head.get(..size).unwrap_or(&head),
        });
        let known = self.recognise(&first, &head);
        let wanted = known.map_or(0, |at| self.known[at].offset);
        let (reader, offset) = content.read_from(wanted)?;
        if let Some(at) = known {
            let known = &mut self.known[at];
            known.seen = true;
            known.missing = 0;
            if offset < wanted && !live {
                // A copy of a file that is still being made, or one made before the last lines came.
                self.settle(&meta, Some(self.known[at].id), false);
                return Ok(None);
            }
            if offset < wanted {
                known.offset = offset;
                known.live = true;
                known.len = known.len.min(head.len());
                known.head = hash(&head[..known.len]);
                self.gap(path, "became shorter: lines that had been read were removed".into());
            }
        }
        Ok(Some(Reading {
            reader,
            path: path.to_owned(),
            file: first,
            known: known.map(|at| self.known[at].id),
            head,
            offset,
            live,
            resting: !live && at_rest(modified, now),
            packed,
            inode: (meta.dev(), meta.ino()),
            size: meta.len(),
            modified,
        }))
    }

    /// The known file that begins like `head`; of several the one of which most is known. A file too short for that comparison, a
    /// copy that is being made or a log that was cut, is known by its first line.
    fn recognise(&self, first: &[u8; 16], head: &[u8]) -> Option<usize> {
        let fits = |known: &Known| match head.get(..known.len) {
            Some(start) => hash(start) == known.head,
            None => known.first == *first,
        };
        (0..self.known.len()).filter(|&at| fits(&self.known[at])).max_by_key(|&at| self.known[at].len)
    }

    fn read(&self, reading: &mut Reading) -> io::Result<Option<Record>> {
        let start = reading.offset;
        let (bytes, cut, taken) = match self.framing {
            Framing::Lines => {
                let Some(line) = read_line(&mut reading.reader, reading.packed || reading.resting)? else {
                    return Ok(None);
                };
                line
            }
            Framing::Records(size) => {
                let mut bytes = Vec::with_capacity(size);
                reading.reader.by_ref().take(size as u64).read_to_end(&mut bytes)?;
                if bytes.len() < size {
                    return Ok(None);
                }
                (bytes, 0, size as u64)
            }
        };
        reading.offset += taken;
        Ok(Some(Record { bytes, cut, file: reading.file, offset: start, modified: reading.modified }))
    }

    fn advance(&mut self, reading: &mut Reading) {
        let at = match reading.known.and_then(|id| self.known.iter().position(|known| known.id == id)) {
            Some(at) => at,
            None => {
                let id = self.fresh_id();
                reading.known = Some(id);
                if self.known.len() >= MAX_KNOWN {
                    self.known.remove(0);
                }
                self.known.push(Known {
                    id,
                    first: reading.file,
                    head: [0; 16],
                    len: 0,
                    offset: 0,
                    live: true,
                    missing: 0,
                    seen: true,
                });
                self.known.len() - 1
            }
        };
        let known = &mut self.known[at];
        known.offset = reading.offset;
        known.live = !reading.resting;
        let len = reading.head.len().min(usize::try_from(reading.offset).unwrap_or(usize::MAX));
        if len > known.len {
            known.len = len;
            known.head = hash(&reading.head[..len]);
        }
    }

    fn finish(&mut self, reading: &Reading) {
        if let Some(known) = self.known.iter_mut().find(|known| Some(known.id) == reading.known) {
            known.live = !reading.resting;
        }
        // Half a line at the end of a rotated file counts once the file rests: until then it is opened again.
        if reading.live || reading.packed || reading.resting || reading.offset >= reading.size {
            self.settled.insert(reading.inode, reading.settled());
        }
    }

    fn fail(&mut self, reading: &Reading, error: &io::Error, now: Nanos) {
        // gzip writes for a while before the file is whole.
        if !at_rest(reading.modified, now) {
            return;
        }
        self.finish(reading);
        self.settled.insert(reading.inode, Settled { hopeless: true, ..reading.settled() });
        self.gap(
            &reading.path,
            format!("is damaged from byte {} of its content on: {error}", reading.offset),
        );
    }

    fn forget_missing(&mut self) {
        for known in self.known.iter_mut().filter(|known| !known.seen) {
            known.missing += 1;
        }
        let gone = self.known.iter().any(|known| known.missing >= MISSING_PASSES && known.live);
        self.known.retain(|known| known.missing < MISSING_PASSES);
        let path = self.path.clone();
        if gone {
            let reason = "was removed, replaced or emptied without a rotated copy: what came after the last look is lost";
            self.gap(&path, reason.into());
        }
        self.settled.retain(|_, settled| settled.seen);
    }

    fn settle(&mut self, meta: &fs::Metadata, known: Option<u64>, hopeless: bool) {
        let settled = Settled { size: meta.len(), modified: modified(meta), known, hopeless, seen: true };
        self.settled.insert((meta.dev(), meta.ino()), settled);
    }

    fn gap(&mut self, path: &Path, reason: String) {
        self.gaps.push_back(Gap { file: path.display().to_string(), reason });
    }
}

impl Reading {
    fn settled(&self) -> Settled {
        Settled { size: self.size, modified: self.modified, known: self.known, hopeless: false, seen: true }
    }
}

pub(crate) fn at_rest(modified: Nanos, now: Nanos) -> bool {
    now.0.saturating_sub(modified.0) > SETTLED_NANOS
}

pub(crate) fn modified(meta: &fs::Metadata) -> Nanos {
    Nanos(meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()))
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(bytes);
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
