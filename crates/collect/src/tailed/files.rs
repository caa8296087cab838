//! All the files that are followed: which are new, which were renamed, copied, emptied, compressed or removed, and what each has
//! that was not read yet.
//!
//! A file is known by its inode as long as what was read of it is still there: its first bytes, and those before the place that was
//! reached. Where an inode is new, or holds something else, its content decides: the copy of an emptied file, or what gzip made of a
//! rotated one, goes on where that file was left; everything else is new, and read from its start.

mod became;
mod opened;
mod reading;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use attestry_event::Nanos;
use serde_json::{Value, json};

use super::{
    Start,
    events::Events,
    known::{File, Ids, Inode},
    lines::Framing,
    search::{MAX_FILES, Member, Search},
};
use crate::{
    follow::{Gap, at_rest, family::Rank, modified},
    source::Stopped,
};
use opened::Input;

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
            events.keep(|| self.position())?;
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

fn position(files: &BTreeMap<u64, File>, reading: Option<&File>, ids: &Ids, first: bool) -> Value {
    let files: Vec<Value> = files.values().chain(reading).map(File::value).collect();
    json!({ "files": files, "starts": ids.value(), "first": first })
}

fn gap(path: &Path, reason: &str) -> Gap {
    Gap { file: path.display().to_string(), reason: reason.to_owned() }
}
