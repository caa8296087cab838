//! The index of a ledger: one writer, any number of readers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::build::{Builder, Unique};
use crate::manifest::{self, Opened, file_name};
use crate::merge::merge;
use crate::pairs::Common;
use crate::part::Part;
use crate::policy::{Job, Size, file_job, memory_job, small_job};
use crate::snapshot::Snapshot;
use crate::tally::Values;

/// How an index is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Parts in memory take up to this many bytes; [`Index::add`] waits while they take more.
    pub memory_bytes: usize,
    /// So many rows in memory go to a file.
    pub file_rows: u32,
    /// Files are merged up to this many rows.
    pub max_file_rows: u32,
    /// Files are merged up to this many bytes. A file is mapped as a whole.
    pub max_file_bytes: usize,
    /// Rows that are gathered before a part is made of them; a call of [`Index::add`] with fewer makes a smaller one.
    pub part_rows: u32,
    /// Merge in threads of their own; otherwise [`Index::add`] does it.
    pub background: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            memory_bytes: 64 << 20,
            file_rows: 512 << 10,
            max_file_rows: 4 << 20,
            max_file_bytes: 512 << 20,
            part_rows: 32 << 10,
            background: true,
        }
    }
}

/// Gathered rows become a part when they take this much memory, whatever their number: 8 MiB, an eighth of what parts
/// in memory may take by default.
const BUILDER_BYTES: usize = 8 << 20;

/// How long to wait before another try after the disk refused a write.
const RETRY: Duration = Duration::from_secs(2);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be read or written, for lack of space perhaps: try again later. What `end()` says is in.
    #[error("the search index cannot be read or written")]
    Disk(#[source] io::Error),
    /// The rows do not follow those that are in: begin at `expected`. Nothing was added.
    #[error("the search index continues with row {expected}, not with row {offered}")]
    Order {
        /// The row that comes next.
        expected: u64,
        /// The one that was given.
        offered: u64,
    },
}

/// Hands some entries to the function that it is given, each time it is called.
pub type Feed<'a> = dyn FnMut(&mut dyn FnMut(&[u8])) -> Fed + 'a;

/// What [`Index::feed`] is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// There may be more.
    More,
    /// These were the last.
    End,
    /// What was handed over since the last part was made cannot be used.
    Broken,
}

/// How large an index is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows, pruned ones left out.
    pub rows: u64,
    /// Parts in files.
    pub files: usize,
    /// Their bytes.
    pub file_bytes: u64,
    /// Parts in memory.
    pub memory_parts: usize,
    /// Their bytes.
    pub memory_bytes: u64,
}

/// The search index of one ledger.
pub struct Index {
    shared: Arc<Shared>,
    /// There is one writer at a time.
    builder: Mutex<Builder>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    dir: PathBuf,
    options: Options,
    state: Mutex<State>,
    /// Something in `state` changed.
    changed: Condvar,
    /// Held while parts in memory are merged, so that two merges never take the same.
    memory_work: Mutex<()>,
    /// The same for files.
    file_work: Mutex<()>,
    /// Held while the manifest is written, so that it never goes back. Files that it no longer names, or will not
    /// name, wait here for the next one that is written.
    manifest: Mutex<Vec<String>>,
    unique: Mutex<Unique>,
    common: Mutex<Common>,
    values: Arc<Values>,
}

/// Changes under its lock only, and only for moments.
struct State {
    parts: Arc<Vec<Arc<Part>>>,
    first: u64,
    end: u64,
    /// Parts that end at or before this row are being merged in the background.
    claimed_until: u64,
    /// Parts that begin at or after this row are being merged by the writer.
    writing_from: u64,
    /// The last write to the disk failed.
    failed: Option<io::ErrorKind>,
    closing: bool,
}

impl Index {
    /// Opens the index in `dir`, or begins one. Unreadable parts, and those of another version, are dropped and
    /// reported: their rows are to be fed again.
    pub fn open(dir: &Path, options: Options) -> Result<(Index, Opened), Error> {
        let found = manifest::read(dir).map_err(Error::Disk)?;
        let end = found.parts.last().map_or(found.first, |part| part.rows().end);
        if let Some(oldest) = found.parts.first() {
            oldest.hide_before(found.first);
        }
        let opened = Opened { rows: found.first..end.max(found.first), dropped: found.dropped };
        let common = found.parts.last().map_or_else(Common::default, |part| Common::of_part(part));
        let state = State {
            parts: Arc::new(found.parts),
            first: found.first,
            end: opened.rows.end,
            claimed_until: 0,
            writing_from: u64::MAX,
            failed: None,
            closing: false,
        };
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            memory_work: Mutex::new(()),
            file_work: Mutex::new(()),
            manifest: Mutex::new(Vec::new()),
            unique: Mutex::new(Unique::default()),
            common: Mutex::new(common),
            values: Arc::new(Values::default()),
            options,
        });
        let mut workers = Vec::new();
        if shared.options.background {
            for (name, work) in [("index-memory", Work::Memory), ("index-files", Work::Files)] {
                let shared = shared.clone();
                let run = move || shared.work(work);
                workers.push(thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Disk)?);
            }
        }
        Ok((Index { shared, builder: Mutex::new(Builder::new()), workers }, opened))
    }

    /// All rows before this one are in it: the next to be added.
    pub fn end(&self) -> u64 {
        self.shared.state.lock().end
    }

    /// Adds rows in the ledger's order, as entries; they are searchable on return. An index without rows takes any
    /// first row. The more rows a call has, up to `part_rows`, the less each costs.
    ///
    /// After an error [`end`](Index::end) tells what was added.
    pub fn add(&self, first_row: u64, entries: &mut dyn Iterator<Item = &[u8]>) -> Result<(), Error> {
        self.feed(first_row, &mut |add| match entries.next() {
            Some(entry) => {
                add(entry);
                Fed::More
            }
            None => Fed::End,
        })
    }

    /// [`add`](Index::add) for entries that need not lie in memory all at once: `feed` is called again and again and hands
    /// over some each time.
    pub fn feed(&self, first_row: u64, feed: &mut Feed<'_>) -> Result<(), Error> {
        let mut builder = self.builder.lock();
        {
            let mut state = self.shared.state.lock();
            if state.parts.is_empty() && first_row >= state.end {
                state.first = first_row;
                state.end = first_row;
            } else if first_row != state.end {
                return Err(Error::Order { expected: state.end, offered: first_row });
            }
        }
        let mut first = first_row;
        let mut fed = Fed::More;
        while fed == Fed::More {
            self.shared.wait_for_memory()?;
            builder.start(self.shared.unique.lock().clone(), self.shared.common.lock().clone());
            while builder.rows() < self.shared.options.part_rows && builder.size() < BUILDER_BYTES {
                fed = feed(&mut |entry| builder.add(entry));
                if fed != Fed::More {
                    break;
                }
            }
            let rows = builder.rows();
            if rows == 0 || fed == Fed::Broken {
                return Ok(());
            }
            let part = self.make_part(&mut builder, first)?;
            first += u64::from(rows);
            self.shared.push(Arc::new(part));
            if self.shared.options.background {
                // Small parts come faster than a thread that is busy with large ones would merge them.
                self.shared.merge_small()?;
            } else {
                while self.shared.step(Work::Memory)? || self.shared.step(Work::Files)? {}
            }
        }
        Ok(())
    }

    fn make_part(&self, builder: &mut Builder, first: u64) -> Result<Part, Error> {
        // Its memory is kept: what grows step by step is copied, and its pages cleared, several times.
        let mut encoded = std::mem::take(&mut builder.encoded);
        encoded.clear();
        let sealed = builder.seal(first, &mut encoded);
        let bytes = encoded.as_slice().to_vec();
        builder.encoded = encoded;
        let learned = sealed.map_err(Error::Disk)?;
        learned.apply(&mut self.shared.unique.lock(), &mut self.shared.common.lock());
        Part::in_memory(bytes).map_err(|error| Error::Disk(io::Error::other(error)))
    }

    /// The index as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.state.lock();
        let values = self.shared.values.clone();
        Snapshot { parts: state.parts.clone(), first: state.first, end: state.end, values }
    }

    /// Forgets the rows before this one. Their space is given back when all rows of their part are pruned.
    pub fn prune(&self, before_row: u64) -> Result<(), Error> {
        let mut manifest = self.shared.manifest.lock();
        {
            let mut state = self.shared.state.lock();
            if before_row <= state.first {
                return Ok(());
            }
            let (gone, kept): (Vec<_>, Vec<_>) =
                state.parts.iter().cloned().partition(|part| part.rows().end <= before_row);
            if let Some(oldest) = kept.first() {
                oldest.hide_before(before_row);
            }
            manifest
                .extend(gone.iter().filter(|part| !part.is_in_memory()).map(|part| file_name(&part.rows())));
            state.parts = Arc::new(kept);
            state.first = before_row;
            state.end = state.end.max(before_row);
        }
        self.shared.write_manifest(&mut manifest).map_err(Error::Disk)
    }

    /// Writes what is in memory to a file, so that the next start need not be fed with it.
    pub fn flush(&self) -> Result<(), Error> {
        let _no_writer = self.builder.lock();
        let _alone = self.shared.memory_work.lock();
        let parts = self.shared.state.lock().parts.clone();
        let Some(start) = parts.iter().position(|part| part.is_in_memory()) else { return Ok(()) };
        self.shared.run(&parts, Job { parts: start..parts.len(), to_file: true })
    }

    /// Its size.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        let mut stats = Stats { rows: state.end - state.first, ..Stats::default() };
        for part in state.parts.iter() {
            let (parts, bytes) = if part.is_in_memory() {
                (&mut stats.memory_parts, &mut stats.memory_bytes)
            } else {
                (&mut stats.files, &mut stats.file_bytes)
            };
            *parts += 1;
            *bytes += part.size() as u64;
        }
        stats
    }
}

impl Drop for Index {
    /// Ends the threads. What is in memory only is lost unless it was flushed, and is to be fed again.
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so; there is nothing left to save.
            let _ = worker.join();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Memory,
    Files,
}

impl Shared {
    /// The life of a background thread.
    fn work(&self, work: Work) {
        loop {
            match self.step(work) {
                Ok(true) => continue,
                Ok(false) => {
                    let mut state = self.state.lock();
                    if state.closing {
                        return;
                    }
                    if state.next_job(work, &self.options).is_none() {
                        self.changed.wait(&mut state);
                    }
                }
                Err(_) => {
                    // `step` has noted it for the writer.
                    let again = Instant::now() + RETRY;
                    let mut state = self.state.lock();
                    while !state.closing && !self.changed.wait_until(&mut state, again).timed_out() {}
                }
            }
            if self.state.lock().closing {
                return;
            }
        }
    }

    /// Does the next merge, if there is one.
    fn step(&self, work: Work) -> Result<bool, Error> {
        let _alone = match work {
            Work::Memory => self.memory_work.lock(),
            Work::Files => self.file_work.lock(),
        };
        let (parts, job) = {
            let mut state = self.state.lock();
            let Some(job) = state.next_job(work, &self.options) else { return Ok(false) };
            if work == Work::Memory {
                state.claimed_until = state.parts.get(job.parts.end - 1).map_or(0, |part| part.rows().end);
            }
            (state.parts.clone(), job)
        };
        let result = self.run(&parts, job);
        if work == Work::Memory {
            self.state.lock().claimed_until = 0;
        }
        result.map(|()| true)
    }

    /// Merges small parts that are not being merged in the background. The writer calls it.
    fn merge_small(&self) -> Result<(), Error> {
        loop {
            let inputs = {
                let mut state = self.state.lock();
                let free = state.parts.partition_point(|part| part.rows().start < state.claimed_until);
                let parts = state.parts.get(free..).unwrap_or(&[]);
                let Some(job) = small_job(&sizes(parts)) else { return Ok(()) };
                let inputs = parts.get(job.parts).unwrap_or(&[]).to_vec();
                state.writing_from = inputs.first().map_or(u64::MAX, |part| part.rows().start);
                inputs
            };
            let result = self.try_run(&inputs, Job { parts: 0..inputs.len(), to_file: false });
            self.state.lock().writing_from = u64::MAX;
            self.changed.notify_all();
            result.map_err(Error::Disk)?;
        }
    }

    /// Merges some of `parts` and puts the result in their place.
    fn run(&self, parts: &[Arc<Part>], job: Job) -> Result<(), Error> {
        let result = self.try_run(parts, job);
        self.state.lock().failed = result.as_ref().err().map(io::Error::kind);
        self.changed.notify_all();
        result.map_err(Error::Disk)
    }

    fn try_run(&self, parts: &[Arc<Part>], job: Job) -> io::Result<()> {
        let inputs = parts.get(job.parts).unwrap_or(&[]);
        let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else { return Ok(()) };
        let rows = oldest.rows().start..newest.rows().end;
        let (unique, common) = (self.unique.lock().clone(), self.common.lock().clone());
        let (part, learned) = if job.to_file {
            manifest::write_part(&self.dir, &rows, |to| merge(inputs, &unique, &common, to))?
        } else {
            let mut bytes = Vec::with_capacity(inputs.iter().map(|part| part.size()).sum());
            let learned = merge(inputs, &unique, &common, &mut bytes)?;
            bytes.shrink_to_fit();
            (Part::in_memory(bytes).map_err(io::Error::other)?, learned)
        };
        learned.apply(&mut self.unique.lock(), &mut self.common.lock());
        self.replace(inputs, part)
    }

    /// Puts a part in the place of those it was made of; where some of them were pruned meanwhile, the others stay.
    fn replace(&self, inputs: &[Arc<Part>], part: Part) -> io::Result<()> {
        let mut manifest = self.manifest.lock();
        let rows = part.rows();
        let is_file = !part.is_in_memory();
        let replaced = {
            let mut state = self.state.lock();
            let place =
                inputs.first().and_then(|input| state.parts.iter().position(|part| Arc::ptr_eq(part, input)));
            match place {
                Some(start) => {
                    part.hide_before(state.first);
                    let mut parts = Vec::clone(&state.parts);
                    parts.splice(start..start + inputs.len(), [Arc::new(part)]);
                    state.parts = Arc::new(parts);
                    true
                }
                None => false,
            }
        };
        if replaced {
            manifest.extend(
                inputs.iter().filter(|part| !part.is_in_memory()).map(|part| file_name(&part.rows())),
            );
        } else if is_file {
            manifest.push(file_name(&rows));
        }
        if is_file { self.write_manifest(&mut manifest) } else { Ok(()) }
    }

    /// Writes the manifest, then removes the files that are no longer needed.
    fn write_manifest(&self, leftovers: &mut Vec<String>) -> io::Result<()> {
        let (parts, first) = {
            let state = self.state.lock();
            (state.parts.clone(), state.first)
        };
        manifest::write(&self.dir, first, &parts)?;
        leftovers.retain(|name| match fs::remove_file(self.dir.join(name)) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
        Ok(())
    }

    fn push(&self, part: Arc<Part>) {
        let mut state = self.state.lock();
        state.end = part.rows().end;
        part.hide_before(state.first);
        let mut parts = Vec::clone(&state.parts);
        parts.push(part);
        state.parts = Arc::new(parts);
        self.changed.notify_all();
    }

    /// Waits until the parts in memory are within their limit.
    fn wait_for_memory(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        loop {
            let taken: usize =
                state.parts.iter().rev().take_while(|part| part.is_in_memory()).map(|part| part.size()).sum();
            if taken <= self.options.memory_bytes || !self.options.background {
                return Ok(());
            }
            if let Some(kind) = state.failed {
                return Err(Error::Disk(io::Error::from(kind)));
            }
            self.changed.wait(&mut state);
        }
    }
}

impl State {
    fn next_job(&self, work: Work, options: &Options) -> Option<Job> {
        let free = self.parts.partition_point(|part| part.rows().end <= self.writing_from);
        let sizes = sizes(self.parts.get(..free)?);
        match work {
            Work::Memory => memory_job(&sizes, options),
            Work::Files => file_job(&sizes, options),
        }
    }
}

fn sizes(parts: &[Arc<Part>]) -> Vec<Size> {
    let size = |part: &Arc<Part>| Size {
        rows: part.row_count(),
        bytes: part.size(),
        in_memory: part.is_in_memory(),
    };
    parts.iter().map(size).collect()
}
