//! What became of a file: whether it is the one that was known, a copy of one, what is left of one, or new.

use std::{
    fs::{self, Metadata},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use attestry_event::Nanos;

use super::{
    super::{
        Start,
        events::Events,
        known::{File, Print, read_at},
    },
    Files, MISSING_FOLDER_LOOKS, MISSING_LOOKS, Turn, Work, gap,
    opened::{Input, Opened},
};
use crate::follow::{HEAD_BYTES, at_rest, family::Rank, modified};

/// So much of a file is compared to tell whether it is a copy.
const COMPARED_BYTES: usize = 64 * 1024;

impl Files {
    /// Opens a known file. `None`: it holds something else. `Some(None)`: there is nothing to read now.
    #[allow(clippy::option_option, reason = "two different nothings")]
    pub(super) fn reopen(
        &mut self,
        key: u64,
        work: &Work<'_>,
        now: Nanos,
        events: &mut Events<'_>,
    ) -> Option<Option<Input>> {
        let file = self.files.get_mut(&key)?;
        let opened = match file.open.take() {
            Some(open) => Ok(Opened::Plain(open)),
            None => Opened::of(&work.member.path, work.inode),
        };
        let intact = opened.and_then(|opened| match opened {
            Opened::Plain(open) => {
                let intact = file.is_intact(&open, work.size)?;
                if intact {
                    file.learn(&open)?;
                }
                Ok(intact.then_some(Opened::Plain(open)))
            }
            Opened::Packed(content) => {
                let intact = file.head.begins(&content.head);
                Ok(intact.then_some(Opened::Packed(content)))
            }
        });
        match intact {
            Ok(Some(opened)) => {
                file.path.clone_from(&work.member.path);
                file.rank = work.member.rank.clone();
                if file.offset == u64::MAX {
                    file.settled = Some((work.size, work.modified));
                    return Some(None);
                }
                Some(opened.at(file.offset, &file.tail).ok().flatten())
            }
            Ok(None) => {
                // What became of it the next look tells, at once: the copy may be younger than this look.
                file.lost = true;
                self.by_inode.remove(&work.inode);
                None
            }
            Err(error) => {
                self.cannot(work, &error, now, events);
                Some(None)
            }
        }
    }

    /// Finds out what a file is whose inode is not known.
    pub(super) fn identify(
        &mut self,
        work: &Work<'_>,
        now: Nanos,
        events: &mut Events<'_>,
    ) -> Option<(u64, Input)> {
        // Met in this look under another name.
        if self.by_inode.contains_key(&work.inode) {
            return None;
        }
        if work.member.unsupported {
            self.passed.insert(work.inode, (work.size, work.modified));
            // Later it is what was made of a file that was read before.
            if self.first && self.from == Start::Oldest {
                let reason = "is compressed in a way that is not read (only gzip is)";
                events.lose(gap(&work.member.path, reason));
            }
            return None;
        }
        let opened = match Opened::of(&work.member.path, work.inode) {
            Ok(opened) => opened,
            Err(error) => {
                self.cannot(work, &error, now, events);
                return None;
            }
        };
        match self.recognise(work, opened) {
            Ok(Recognised::Continues(key, input)) => {
                if let Some(file) = self.files.get_mut(&key) {
                    let old = std::mem::replace(&mut file.inode, work.inode);
                    (file.lost, file.seen, file.missing) = (false, self.looks, 0);
                    (file.open, file.settled) = (None, None);
                    file.path.clone_from(&work.member.path);
                    file.rank = work.member.rank.clone();
                    if self.by_inode.get(&old) == Some(&key) {
                        self.by_inode.remove(&old);
                    }
                    self.by_inode.insert(work.inode, key);
                }
                self.passed.remove(&work.inode);
                Some((key, input))
            }
            Ok(Recognised::Copy) => {
                self.passed.insert(work.inode, (work.size, work.modified));
                None
            }
            Ok(Recognised::New) if work.passed => None,
            Ok(Recognised::New) => self.begin(work, now, events),
            Err(error) => {
                self.cannot(work, &error, now, events);
                None
            }
        }
    }

    /// The known file that this is, or is a copy of.
    fn recognise(&self, work: &Work<'_>, mut opened: Opened) -> io::Result<Recognised> {
        let head = opened.head()?;
        let live = work.member.rank == Rank::Live;
        for (key, file) in &self.files {
            // A copy that is being made may be shorter than what is known of the file.
            let short = !file.lost && head.len() < file.head.len;
            if file.log != work.member.log || file.head.len == 0 || !short && !file.head.begins(&head) {
                continue;
            }
            if file.seen == self.looks && !file.lost {
                if is_copy(file, work, &opened)? {
                    return Ok(Recognised::Copy);
                }
            } else if short {
                // It has less than what was read of a file that is away.
            } else if live && self.looks > 1 {
                // What begins like a file that went away is another one: most logs of a program do.
            } else if file.offset == u64::MAX {
                return Ok(Recognised::Copy);
            } else if let Opened::Packed(_) = &opened {
                // Read up to the place to know what stands before it.
                let again = Opened::of(&work.member.path, work.inode)?;
                if let Some(input) = again.at(file.offset, &file.tail)? {
                    return Ok(Recognised::Continues(*key, input));
                }
            } else if let Opened::Plain(open) = &opened
                && file.is_intact(open, work.size)?
            {
                return Ok(Recognised::Continues(*key, Input::Plain(open.try_clone()?)));
            }
        }
        Ok(Recognised::New)
    }

    /// Follows a new file.
    fn begin(&mut self, work: &Work<'_>, now: Nanos, events: &mut Events<'_>) -> Option<(u64, Input)> {
        let begun = Opened::of(&work.member.path, work.inode).and_then(|mut opened| {
            let head = opened.head()?;
            // Its first line is part of what it is called by.
            let live = work.member.rank == Rank::Live && !at_rest(work.modified, now);
            if live && head.len() < HEAD_BYTES && !head.contains(&b'\n') {
                return Ok(None);
            }
            let past = self.first
                && match self.from {
                    Start::Oldest => false,
                    Start::Beginning => work.member.rank != Rank::Live,
                    Start::End => true,
                };
            let (offset, tail) = match &opened {
                _ if !past => (0, Print::default()),
                Opened::Plain(open) => last_line_end(open, work.size)?,
                Opened::Packed(_) => (u64::MAX, Print::default()),
            };
            Ok(Some((head, offset, tail, opened)))
        });
        let (head, offset, tail, opened) = match begun {
            Ok(begun) => begun?,
            Err(error) => {
                self.cannot(work, &error, now, events);
                return None;
            }
        };
        let taken = |id: &[u8; 16]| self.files.values().any(|file| file.id == *id);
        let id = self.ids.next(&work.member.log, &head, taken);
        let file = File {
            id,
            log: Arc::clone(&work.member.log),
            inode: work.inode,
            offset,
            head: Print::of(&head),
            tail,
            path: work.member.path.clone(),
            rank: work.member.rank.clone(),
            settled: (offset == u64::MAX).then_some((work.size, work.modified)),
            half: false,
            seen: self.looks,
            missing: 0,
            missed: Nanos(0),
            open: None,
            lost: false,
        };
        self.passed.remove(&work.inode);
        let key = self.insert(file);
        if offset == u64::MAX {
            return None;
        }
        opened.at(offset, &tail).ok().flatten().map(|input| (key, input))
    }

    /// A file that is not where it was, nor anywhere else: the rest of it can be read while it is open.
    pub(super) fn away(&mut self, key: u64, now: Nanos, events: &mut Events<'_>) -> Option<Turn> {
        let file = self.files.get_mut(&key)?;
        if file.seen == self.looks {
            return None;
        }
        if file.lost {
            if !file.is_missing(now, MISSING_LOOKS) {
                return None;
            }
            if file.rank == Rank::Live {
                let reason = "was emptied or replaced without a copy: what came after the last look is lost";
                events.lose(gap(&file.path, reason));
            }
            self.remove(key);
            return None;
        }
        if let Some(open) = file.open.take() {
            let meta = open.metadata().ok()?;
            let modified = modified(&meta);
            if !at_rest(modified, now) && file.is_intact(&open, meta.len()).unwrap_or(false) {
                file.missing = 0;
                return self.rest(key, open, &meta, false);
            }
            if meta.len() > file.offset && file.is_intact(&open, meta.len()).unwrap_or(false) {
                return self.rest(key, open, &meta, true);
            }
        }
        let folder = file.path.parent().is_none_or(Path::is_dir);
        if file.is_missing(now, if folder { MISSING_LOOKS } else { MISSING_FOLDER_LOOKS }) {
            let unread = file.rank == Rank::Live && file.settled.is_none_or(|(size, _)| size > file.offset);
            let path = if file.path.as_os_str().is_empty() { Path::new(&*file.log) } else { &file.path };
            if unread && file.offset != u64::MAX {
                events.lose(gap(path, "was removed before it was read to its end"));
            }
            self.remove(key);
        }
        None
    }

    fn rest(&self, key: u64, open: fs::File, meta: &Metadata, complete: bool) -> Option<Turn> {
        let rank = self.files.get(&key)?.rank.clone();
        let (size, modified) = (meta.len(), modified(meta));
        Some(Turn { file: key, rank, input: Input::Plain(open), size, modified, complete })
    }
}

enum Recognised {
    New,
    /// Of a file that is still there.
    Copy,
    /// It is what has become of a file.
    Continues(u64, Input),
}

/// Whether a file is a copy of one that is still there: one that is about to be emptied, or that is being compressed.
fn is_copy(of: &File, work: &Work<'_>, opened: &Opened) -> io::Result<bool> {
    let live = of.rank == Rank::Live;
    if matches!(opened, Opened::Plain(_)) && (!live || work.member.rank == Rank::Live) {
        return Ok(false);
    }
    let Opened::Plain(original) = Opened::of(&of.path, of.inode)? else { return Ok(false) };
    let size = original.metadata()?.len();
    if !of.is_intact(&original, size)? {
        // Since this look began.
        return Err(io::ErrorKind::NotFound.into());
    }
    match opened {
        Opened::Plain(_) if work.size > size => Ok(false),
        Opened::Plain(copy) => {
            let from = work.size.saturating_sub(COMPARED_BYTES as u64);
            let end = read_at(copy, from, COMPARED_BYTES)?;
            Ok(end == read_at(&original, from, end.len())?)
        }
        Opened::Packed(_) => {
            let Opened::Packed(content) = Opened::of(&work.member.path, work.inode)? else {
                return Ok(false);
            };
            let (mut reader, _) = content.read_from(0)?;
            let mut start = Vec::new();
            // What is still being written ends early.
            let _ = reader.by_ref().take(COMPARED_BYTES as u64).read_to_end(&mut start);
            // A short log may begin as the one before did.
            let enough = if live { HEAD_BYTES } else { 1 };
            Ok(start.len() >= enough && start == read_at(&original, 0, start.len())?)
        }
    }
}

/// The end of the last whole line, and what stands before it.
fn last_line_end(file: &fs::File, size: u64) -> io::Result<(u64, Print)> {
    let from = size.saturating_sub(COMPARED_BYTES as u64);
    let end = read_at(file, from, COMPARED_BYTES)?;
    let lines = match memchr::memrchr(b'\n', &end) {
        Some(newline) => newline + 1,
        None if from == 0 => 0,
        None => end.len(),
    };
    let before = end.get(..lines).unwrap_or_default();
    Ok((from + lines as u64, Print::of_end(before)))
}
