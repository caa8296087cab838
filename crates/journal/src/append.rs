use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, File},
    error::{Error, is_full},
    files::{self, Active, Span},
    format::{HEAD_BYTES, Head, Kind, MAX_PAYLOAD_BYTES, RECORDS_AT, file_name, record_bytes},
    open::{self, Opened},
    reader::Reader,
};

/// What the append buffer keeps between appends, in bytes: two groups of 1 MiB.
const BUFFER_KEPT: usize = 2 << 20;

/// How a journal uses its directory.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The size of a file, in bytes. It is reserved when the file begins. A record that is larger gets a file of its size.
    pub segment_bytes: u64,
    /// How many bytes all files together may take. Counted in whole files, so anything below two of them leaves little.
    pub cap_bytes: u64,
    /// What happens when the next file would exceed the cap.
    pub policy: Policy,
}

impl Default for Options {
    /// Files of 64 MiB, without a cap.
    fn default() -> Self {
        Options { segment_bytes: 64 << 20, cap_bytes: u64::MAX, policy: Policy::Block }
    }
}

/// What gives way at the byte cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The new record: append returns [`Error::Full`] until [`Journal::remove_before`] has made room.
    Block,
    /// The oldest records, a file at a time, told by [`Journal::take_dropped`]. What is not synced yet is never dropped.
    DropOldest,
}

/// An append-only sequence of payloads on a disk. One at a time may write; [`Reader`]s are apart from it.
///
/// Nobody else may use the directory for journal files at the same time; keeping others out is the owner's business.
pub struct Journal<D: Disk> {
    disk: D,
    dir: PathBuf,
    options: Options,
    /// Oldest first, without the leftovers of what was rolled back.
    files: VecDeque<Span>,
    /// None before the first append, and after what was written to a file had to be given up.
    active: Option<Active<D::File>>,
    /// What the last sync returned.
    durable: u64,
    next: u64,
    /// A record on its way to the disk.
    buffer: Vec<u8>,
    dropped: Option<Range<u64>>,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in a directory, making it where needed, and reads every record once: the torn tail of a write that
    /// was never acknowledged is cut, and everything acknowledged that is unreadable is reported. When this returns,
    /// everything that can be read is durable.
    pub fn open(disk: D, dir: &Path, options: Options) -> Result<(Self, Opened), Error> {
        let (files, opened) = open::open(&disk, dir)?;
        let journal = Journal {
            disk,
            dir: dir.to_owned(),
            options,
            files,
            active: None,
            durable: opened.next,
            next: opened.next,
            buffer: Vec::new(),
            dropped: None,
        };
        Ok((journal, opened))
    }

    /// Writes one record, its payload being the parts in a row, and returns its sequence. It is not durable, and no
    /// reader sees it, before [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::TooLarge`] leave everything as it was. [`Error::Failed`] takes back everything since the
    /// last sync: [`next`](Self::next) is then [`durable`](Self::durable).
    pub fn append(&mut self, parts: &[&[u8]]) -> Result<u64, Error> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        if bytes > MAX_PAYLOAD_BYTES {
            return Err(Error::TooLarge { bytes, limit: MAX_PAYLOAD_BYTES });
        }
        let size = record_bytes(bytes);
        let mut active = match self.active.take() {
            Some(active) if active.size - active.at >= size => active,
            other => self.rotate(other, size)?,
        };
        let written = self.write(&active, parts, bytes);
        match written {
            Ok(()) => {
                active.at += size;
                self.active = Some(active);
                self.next += 1;
                Ok(self.next - 1)
            }
            // The next record goes over what this one left. That is safe: no part of a payload passes for a record.
            Err(error) if is_full(&error) => {
                self.active = Some(active);
                Err(Error::Full)
            }
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Makes everything appended durable and returns the sequence up to which, exclusive, it is.
    ///
    /// # Errors
    /// [`Error::Failed`] takes back everything since the last sync, also when the disk was full.
    pub fn sync(&mut self) -> Result<u64, Error> {
        if self.next > self.durable
            && let Some(active) = &self.active
        {
            if let Err(error) = active.file.sync_data() {
                return Err(self.give_up(error));
            }
            self.durable = self.next;
            // So that damage to these records can be told from a torn write. It goes to the disk whenever the kernel
            // likes, and where it does not, nothing is lost but that.
            if active.size - active.at >= HEAD_BYTES as u64 {
                let mark = Head::mark(self.durable);
                let _ = active.file.write_all_at(&mark.encode(active.salt), active.at);
            }
        }
        Ok(self.durable)
    }

    /// Forgets what was appended since the last sync. The next append then begins a new file, which supersedes what
    /// this leaves behind; a crash before that may bring it back.
    pub fn rollback(&mut self) {
        if self.next > self.durable {
            self.abandon();
        }
    }

    /// Reads what is durable now, from a sequence on. The reader is independent of the journal: it may move to another
    /// thread, and what is removed before it gets there it reports as a gap.
    ///
    /// Starting below [`first`](Self::first) is a gap up to there.
    pub fn read(&self, from: u64) -> Reader<D> {
        Reader::new(self.disk.clone(), self.dir.clone(), from, self.spans(), self.durable)
    }

    /// Lets a reader go on to what has become durable since it was made or last extended.
    pub fn extend(&self, reader: &mut Reader<D>) {
        reader.extend(self.spans(), self.durable);
    }

    /// Removes the files that hold nothing at or above `seq`, and returns how many bytes that freed. The newest file
    /// always stays: it keeps the sequence.
    pub fn remove_before(&mut self, seq: u64) -> io::Result<u64> {
        let mut freed = 0;
        while self.files.len() > 1
            && let Some(oldest) = self.files.front()
            && oldest.end <= seq.min(self.durable)
        {
            freed += oldest.bytes;
            self.remove_oldest()?;
        }
        Ok(freed)
    }

    /// What [`Policy::DropOldest`] has dropped since this was last asked: one range, because only the oldest go.
    pub fn take_dropped(&mut self) -> Option<Range<u64>> {
        self.dropped.take()
    }

    /// The first sequence that is still here.
    pub fn first(&self) -> u64 {
        self.files.front().map_or(self.next, |span| span.first)
    }

    /// Everything below this sequence is durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The sequence that the next record gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What the files take on the disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|span| span.bytes).sum()
    }

    fn write(&mut self, active: &Active<D::File>, parts: &[&[u8]], bytes: usize) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.resize(HEAD_BYTES, 0);
        let mut payload_crc = 0;
        for part in parts {
            payload_crc = crc32c::crc32c_append(payload_crc, part);
            self.buffer.extend_from_slice(part);
        }
        self.buffer.resize(record_bytes(bytes) as usize, 0);
        let head = Head {
            kind: Kind::Record,
            payload_bytes: bytes as u32,
            seq: self.next,
            durable: self.durable,
            payload_crc,
        };
        self.buffer[..HEAD_BYTES].copy_from_slice(&head.encode(active.salt));
        let written = active.file.write_all_at(&self.buffer, active.at);
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        written
    }

    /// Leaves the active file, if any, for a new one with room for `size` bytes.
    fn rotate(&mut self, old: Option<Active<D::File>>, size: u64) -> Result<Active<D::File>, Error> {
        // The new file will say that all before it is durable.
        if self.next > self.durable
            && let Some(active) = &old
            && let Err(error) = active.file.sync_data()
        {
            return Err(self.give_up(error));
        }
        let file_bytes = self.options.segment_bytes.max(RECORDS_AT + size);
        let started = self
            .check_cap(file_bytes)
            .and_then(|()| files::start(&self.disk, &self.dir, self.next, file_bytes));
        match started {
            Ok(active) => {
                self.files.retain(|span| span.first < self.next);
                if let Some(last) = self.files.back_mut() {
                    last.end = self.next;
                }
                self.files.push_back(Span { first: self.next, end: u64::MAX, bytes: file_bytes });
                match self.drop_oldest() {
                    Ok(()) => Ok(active),
                    Err(error) => Err(self.give_up(error)),
                }
            }
            Err(error) if is_full(&error) => {
                self.active = old;
                Err(Error::Full)
            }
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Whether a file of this size fits below the cap, at the cost of what may be dropped.
    fn check_cap(&self, file_bytes: u64) -> io::Result<()> {
        let stays =
            |span: &&Span| self.options.policy == Policy::Block || span.end.min(self.next) > self.durable;
        let bytes: u64 = self.files.iter().filter(stays).map(|span| span.bytes).sum();
        if bytes.saturating_add(file_bytes) > self.options.cap_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Comes after the new file is there, since the newest one keeps the sequence; so for a moment the cap is exceeded.
    fn drop_oldest(&mut self) -> io::Result<()> {
        while self.bytes() > self.options.cap_bytes
            && let Some(oldest) = self.files.front().copied()
            && oldest.end <= self.durable
        {
            self.remove_oldest()?;
            let first = self.dropped.as_ref().map_or(oldest.first, |dropped| dropped.start);
            self.dropped = Some(first..oldest.end);
        }
        Ok(())
    }

    /// One by one and each made durable, because a file that was left behind early must not outlive the one that
    /// supersedes its end.
    fn remove_oldest(&mut self) -> io::Result<()> {
        if let Some(oldest) = self.files.front() {
            match self.disk.remove(&self.dir.join(file_name(oldest.first))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.disk.sync_dir(&self.dir)?,
            }
            self.files.pop_front();
        }
        Ok(())
    }

    fn give_up(&mut self, error: io::Error) -> Error {
        self.abandon();
        Error::Failed(error)
    }

    /// Leaves the active file for good: what is in it beyond `durable` is unknown.
    fn abandon(&mut self) {
        self.active = None;
        self.next = self.durable;
        self.files.retain(|span| span.first < self.durable);
        if let Some(last) = self.files.back_mut() {
            last.end = self.durable;
        }
    }

    /// What readers may see: nothing that is not durable, be it in a file that is left already.
    fn spans(&self) -> VecDeque<Span> {
        let visible = |span: &Span| Span { end: span.end.min(self.durable), ..*span };
        self.files.iter().filter(|span| span.first < self.durable).map(visible).collect()
    }
}
