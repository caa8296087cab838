//! All the files that are followed: which are new, which were renamed, copied, emptied, compressed or removed, and what each has
//! that was not read yet.
//!
//! A file is known by its inode as long as what was read of it is still there: its first bytes, and those before the place that was
//! reached. Where an inode is new, or holds something else, its content decides: the copy of an emptied file, or what gzip made of a
//! rotated one, goes on where that file was left; everything else is new, and read from its start.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata},
    io::{self, BufRead, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use attestry_event::Nanos;
use serde_json::{Value, json};

use super::{
    Start,
    events::Events,
    known::{File, Ids, Inode, Print, read_at},
    lines::{Framing, Lines, Record},
    search::{MAX_FILES, Member, Search},
};
use crate::{
    follow::{Gap, HEAD_BYTES, at_rest, content::Content, family::Rank, modified},
    source::Stopped,
};

/// So much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// After so much of one log it is the others' turn.
const TURN_BYTES: u64 = 64 << 20;
/// A file nobody has written to for this long is looked at only every tenth time.
const QUIET_NANOS: i64 = 600_000_000_000;
const QUIET_LOOKS: u64 = 10;
/// So many files that are being written to are held open: what is removed while it is open can still be read.
const MAX_OPEN: usize = 256;
/// A file must be away for so many looks, and seconds, before it is forgotten: a listing during a rename may miss it.
const MISSING_LOOKS: u64 = 3;
/// And for so many when its whole folder is away.
const MISSING_FOLDER_LOOKS: u64 = 3_600;
/// So much of a compressed file is compared to tell which file it is of.
const COMPARED_BYTES: usize = 64 * 1024;

pub(super) struct Files {
    search: Search,
    framing: Framing,
    from: Start,
    /// How long a record waits for more lines.
    wait: Duration,
    files: BTreeMap<u64, File>,
    by_inode: HashMap<Inode, u64>,
    next: u64,
    ids: Ids,
    /// Files that are looked at again only when they change, with size and time: copies of others, or nothing that can be read.
    passed: HashMap<Inode, (u64, Nanos)>,
    looks: u64,
    /// The first look ever.
    first: bool,
    /// Of each member since when nobody wrote to it, and which file it is; as long as the members stay the same.
    glances: Vec<Option<(u64, Nanos)>>,
    /// How many files are held open, about.
    open: usize,
    buffer: Vec<u8>,
}

/// A member that needs more than a glance.
struct Work<'m> {
    member: &'m Member,
    inode: Inode,
    size: u64,
    modified: Nanos,
    file: Option<u64>,
    /// It was looked at as it is, and is no log of its own.
    passed: bool,
}

/// One log with what is to be done for it.
#[derive(Default)]
struct Log<'m> {
    work: Vec<Work<'m>>,
    /// To be looked at only when a file of the log went away: they may be what is left of it.
    copies: Vec<Work<'m>>,
    away: Vec<u64>,
}

/// An open file, at the place where reading goes on.
enum Input {
    Plain(fs::File),
    Packed(Box<dyn BufRead + Send>),
}

/// What is to be read, in order.
struct Turn {
    file: u64,
    rank: Rank,
    input: Input,
    size: u64,
    modified: Nanos,
    /// Nothing can follow.
    complete: bool,
}

impl Files {
    pub(super) fn new(
        search: Search,
        framing: Framing,
        from: Start,
        wait: Duration,
        position: Option<&Value>,
    ) -> Files {
        let mut files = Files {
            search,
            framing,
            from,
            wait,
            files: BTreeMap::new(),
            by_inode: HashMap::new(),
            next: 0,
            ids: Ids::of_value(&position.map_or(Value::Null, |position| position["starts"].clone())),
            passed: HashMap::new(),
            looks: 0,
            first: position.is_none_or(|position| !position["files"].is_array() || position["first"] == true),
            glances: Vec::new(),
            open: 0,
            buffer: vec![0; CHUNK_BYTES],
        };
        let known = position.and_then(|position| position["files"].as_array());
        for file in known.into_iter().flatten().filter_map(File::of_value) {
            files.insert(file);
        }
        files
    }

    fn insert(&mut self, file: File) -> u64 {
        self.next += 1;
        self.by_inode.insert(file.inode, self.next);
        self.files.insert(self.next, file);
        self.next
    }

    fn remove(&mut self, key: u64) -> Option<File> {
        let file = self.files.remove(&key)?;
        if self.by_inode.get(&file.inode) == Some(&key) {
            self.by_inode.remove(&file.inode);
        }
        Some(file)
    }

    /// Where reading stands, after the last record given out.
    pub(super) fn position(&self) -> Value {
        position(&self.files, None, &self.ids, self.first)
    }

    /// Reads what is new, each log at most so much; whether there is more.
    pub(super) fn round(&mut self, events: &mut Events<'_>) -> Result<bool, Stopped> {
        let now = events.now();
        self.looks += 1;
        self.open = self.files.values().filter(|file| file.open.is_some()).count();
        if self.passed.len() > MAX_FILES {
            self.passed.clear();
        }
        if self.search.look() {
            self.glances.clear();
        }
        events.problem(self.search.problem());
        let members = self.search.members();
        self.glances.resize(members.len(), None);
        let mut logs: BTreeMap<&str, Log<'_>> = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            self.glance(at, member, now, &mut logs);
        }
        // A folder that cannot be listed says nothing about its files.
        if self.search.problem().is_none() {
            self.find_missing(&mut logs);
        }
        let mut more = false;
        for (_, log) in logs {
            if log.work.is_empty() && log.away.is_empty() {
                continue;
            }
            more |= self.log(log, now, events)?;
            events.go_on()?;
        }
        if self.first {
            self.first = false;
            events.keep(self.position())?;
        }
        Ok(more)
    }

    /// Sees to it that a file gets work when it has changed.
    fn glance<'m>(
        &mut self,
        at: usize,
        member: &'m Member,
        now: Nanos,
        logs: &mut BTreeMap<&'m str, Log<'m>>,
    ) {
        if let Some(Some((key, since))) = self.glances.get(at)
            && now.0.saturating_sub(since.0) > QUIET_NANOS
            && !self.looks.is_multiple_of(QUIET_LOOKS)
            && let Some(file) = self.files.get_mut(key)
        {
            file.seen = self.looks;
            return;
        }
        // A pipe would block in open, and a device is no log.
        let Ok(meta) = fs::metadata(&member.path) else { return };
        if !meta.is_file() {
            return;
        }
        let (inode, size, modified) = ((meta.dev(), meta.ino()), meta.len(), modified(&meta));
        let key = self.by_inode.get(&inode).copied();
        let work = Work { member, inode, size, modified, file: key, passed: false };
        let Some(file) = key.and_then(|key| self.files.get_mut(&key)) else {
            match self.passed.get(&inode) {
                _ if size == 0 => {}
                Some(passed) if *passed == (size, modified) => {
                    logs.entry(&member.log).or_default().copies.push(Work { passed: true, ..work });
                }
                _ => logs.entry(&member.log).or_default().work.push(work),
            }
            return;
        };
        // Under a second name.
        if file.seen == self.looks {
            return;
        }
        (file.seen, file.missing) = (self.looks, 0);
        let completes = file.half && member.rank != Rank::Live;
        if completes || file.settled != Some((size, modified)) {
            logs.entry(&member.log).or_default().work.push(work);
            return;
        }
        if at_rest(modified, now) {
            file.open = None;
        }
        if file.path != member.path {
            file.path.clone_from(&member.path);
            file.rank = member.rank.clone();
        }
        if let Some(glance) = self.glances.get_mut(at) {
            *glance = key.map(|key| (key, modified));
        }
    }

    fn find_missing(&self, logs: &mut BTreeMap<&str, Log<'_>>) {
        let mut gone: Vec<(u64, Arc<str>)> = Vec::new();
        for (key, file) in &self.files {
            if file.seen != self.looks {
                gone.push((*key, Arc::clone(&file.log)));
            }
        }
        for (key, log) in gone {
            match logs.get_mut(&*log) {
                Some(log) => log.away.push(key),
                None => logs.entry(ORPHANS).or_default().away.push(key),
            }
        }
    }

    /// All of one log: what became of its files, then what there is to read, oldest first.
    fn log(&mut self, log: Log<'_>, now: Nanos, events: &mut Events<'_>) -> Result<bool, Stopped> {
        let Log { work, copies, away } = log;
        let mut turns = Vec::new();
        let mut unknown: Vec<Work<'_>> = Vec::new();
        let mut lost = false;
        for work in work {
            match work.file {
                None => unknown.push(work),
                Some(key) => match self.reopen(key, &work, now, events) {
                    Some(Some(input)) => turns.push(self.turn(key, &work, input, now)),
                    Some(None) => {}
                    None => lost = true,
                },
            }
        }
        if !away.is_empty() {
            unknown.extend(copies);
        }
        unknown.sort_by(|a, b| (&a.member.rank, &a.member.path).cmp(&(&b.member.rank, &b.member.path)));
        for work in unknown {
            if let Some((key, input)) = self.identify(&work, now, events) {
                turns.push(self.turn(key, &work, input, now));
            }
        }
        for key in away {
            turns.extend(self.away(key, now, events));
        }
        if lost {
            // The rest of what it was comes before everything newer.
            return Ok(true);
        }
        // What is gone but open was written before what has its name now.
        turns.sort_by(|a, b| {
            let gone = |turn: &Turn| self.files.get(&turn.file).is_some_and(|file| file.seen == self.looks);
            (&a.rank, gone(a)).cmp(&(&b.rank, gone(b)))
        });
        for turn in turns {
            if self.read(turn, now, events)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn turn(&self, key: u64, work: &Work<'_>, input: Input, now: Nanos) -> Turn {
        let rotated = work.member.rank != Rank::Live;
        let complete = matches!(input, Input::Packed(_)) || rotated && at_rest(work.modified, now);
        let rank = work.member.rank.clone();
        Turn { file: key, rank, input, size: work.size, modified: work.modified, complete }
    }

    /// Opens a known file. `None`: it holds something else. `Some(None)`: there is nothing to read now.
    #[allow(clippy::option_option, reason = "two different nothings")]
    fn reopen(
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
    fn identify(&mut self, work: &Work<'_>, now: Nanos, events: &mut Events<'_>) -> Option<(u64, Input)> {
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
    fn away(&mut self, key: u64, now: Nanos, events: &mut Events<'_>) -> Option<Turn> {
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

    /// Reads a file to its end, or until its turn is over: then true.
    fn read(&mut self, turn: Turn, now: Nanos, events: &mut Events<'_>) -> Result<bool, Stopped> {
        let Turn { file: key, mut input, size, modified, complete, .. } = turn;
        let Some(mut file) = self.files.remove(&key) else { return Ok(false) };
        let (others, ids, first) = (&self.files, &self.ids, self.first);
        let mut lines = Lines::new(&self.framing, file.offset);
        let mut left = TURN_BYTES;
        let ended = loop {
            let base = lines.at();
            let chunk = match fill(&mut input, &mut self.buffer, base) {
                Ok(0) => break Ended::All,
                Ok(filled) => self.buffer.get(..filled).unwrap_or_default(),
                Err(error) => break Ended::Failed(error),
            };
            // It may have been emptied and filled again just now.
            if let Input::Plain(open) = &input
                && !read_at(open, 0, file.head.len).is_ok_and(|head| file.head.begins(&head))
            {
                break Ended::Elsewhere;
            }
            let mut out = |record: Record<'_>| -> Result<(), Stopped> {
                let end = usize::try_from(record.end.saturating_sub(base)).unwrap_or(0);
                (file.offset, file.tail) = (record.end, Print::default());
                events.record(&file, &record, modified, now);
                if events.is_full() {
                    file.tail = Print::of_end(chunk.get(..end).unwrap_or_default());
                    events.send(position(others, Some(&file), ids, first))?;
                }
                Ok(())
            };
            lines.take(chunk, &mut out)?;
            let end = usize::try_from(file.offset.saturating_sub(base)).unwrap_or(0);
            if file.offset > base {
                file.tail = Print::of_end(chunk.get(..end).unwrap_or_default());
            }
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                break Ended::Turn;
            }
        };
        let waited =
            now.0.saturating_sub(modified.0) >= i64::try_from(self.wait.as_nanos()).unwrap_or(i64::MAX);
        if matches!(ended, Ended::All) && (complete || waited) {
            let mut out = |record: Record<'_>| -> Result<(), Stopped> {
                (file.offset, file.tail) = (record.end, Print::default());
                events.record(&file, &record, modified, now);
                Ok(())
            };
            lines.finish(complete, &mut out)?;
        }
        let half = lines.at() > file.offset;
        file.half = half;
        match &ended {
            // Half a line at the end of a log comes with a change of it; all else has to be looked at again without one.
            Ended::All if !half || !lines.is_waiting() && file.rank == Rank::Live => {
                file.settled = Some((size, modified));
            }
            Ended::Failed(error) if at_rest(modified, now) => {
                file.settled = Some((size, modified));
                let reason = format!("is damaged from byte {} of its content on: {error}", lines.at());
                events.lose(gap(&file.path, &reason));
            }
            _ => file.settled = None,
        }
        if let Input::Plain(open) = input
            && file.rank == Rank::Live
            && !at_rest(modified, now)
            && self.open < MAX_OPEN
        {
            self.open += 1;
            file.open = Some(open);
        }
        self.files.insert(key, file);
        Ok(matches!(ended, Ended::Turn))
    }

    /// A file that cannot be read is told once, until it changes.
    fn cannot(&mut self, work: &Work<'_>, error: &io::Error, now: Nanos, events: &mut Events<'_>) {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        // Renamed since the look, or still being compressed.
        if error.kind() == io::ErrorKind::NotFound || !denied && !at_rest(work.modified, now) {
            return;
        }
        events.problem(Some(&format!("{} cannot be read: {error}", work.member.path.display())));
        let known = self.passed.insert(work.inode, (work.size, work.modified));
        if known.is_none() {
            events.lose(gap(&work.member.path, &format!("cannot be read: {error}")));
        }
    }
}

/// Where files go of which no member is left: no log is called so.
const ORPHANS: &str = "";

enum Ended {
    All,
    Turn,
    /// The file is not the one any more that it was.
    Elsewhere,
    Failed(io::Error),
}

enum Recognised {
    New,
    /// Of a file that is still there.
    Copy,
    /// It is what has become of a file.
    Continues(u64, Input),
}

fn position(files: &BTreeMap<u64, File>, reading: Option<&File>, ids: &Ids, first: bool) -> Value {
    let files: Vec<Value> = files.values().chain(reading).map(File::value).collect();
    json!({ "files": files, "starts": ids.value(), "first": first })
}

fn gap(path: &Path, reason: &str) -> Gap {
    Gap { file: path.display().to_string(), reason: reason.to_owned() }
}

fn fill(input: &mut Input, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        let filled = match input {
            Input::Plain(file) => file.read_at(buffer, at),
            Input::Packed(reader) => reader.read(buffer),
        };
        match filled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            filled => return filled,
        }
    }
}

/// An open file of which nothing was read but its start.
enum Opened {
    Plain(fs::File),
    Packed(Box<Content>),
}

impl Opened {
    /// Opens the file at `path` if it is the one that was looked at.
    fn of(path: &Path, inode: Inode) -> io::Result<Opened> {
        let file = fs::File::open(path)?;
        let meta = file.metadata()?;
        if (meta.dev(), meta.ino()) != inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        // By its first bytes: gzip's output is found under any name.
        if read_at(&file, 0, 2)? == [0x1f, 0x8b] {
            return Content::of(file).map(Box::new).map(Opened::Packed);
        }
        Ok(Opened::Plain(file))
    }

    fn head(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Opened::Plain(file) => read_at(file, 0, HEAD_BYTES),
            Opened::Packed(content) => Ok(content.head.clone()),
        }
    }

    /// At `offset`, if the bytes before it are those that are expected there.
    fn at(self, offset: u64, tail: &Print) -> io::Result<Option<Input>> {
        match self {
            Opened::Plain(file) => Ok(Some(Input::Plain(file))),
            Opened::Packed(content) => {
                let from = offset.saturating_sub(tail.len as u64);
                let (mut reader, at) = content.read_from(from)?;
                let mut before = Vec::new();
                reader.by_ref().take(tail.len as u64).read_to_end(&mut before)?;
                Ok((at == from && tail.ends(&before)).then_some(Input::Packed(reader)))
            }
        }
    }
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
