//! Opening a ledger: what is sealed, then what the journal holds beyond it, then whether that is the tree that was signed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestry_event::{Clock, Entry, LargeValue, Nanos, id_hash};
use attestry_journal::disk::{Disk, File};
use attestry_journal::{Damage, Item, Journal, Reader};
use attestry_tlog::note::MAX_NOTE_BYTES;
use attestry_tlog::{Checkpoint, SigningKey, leaf_hash, root};
use parking_lot::{Mutex, RwLock};

use crate::checkpoint::Signed;
use crate::chunk::{Chunk, Tail};
use crate::commit::{RECORD_ENTRIES, RECORD_VALUE, Sequencer};
use crate::core::{Core, View};
use crate::ids::Ids;
use crate::progress::Progress;
use crate::seal::open_sealed;
use crate::sealed::{BlockCache, Sealed};
use crate::tree::Tree;
use crate::{OpenError, Options, Recovery};

impl<D: Disk> Core<D> {
    /// Opens the ledger in `dir`, or makes a new one there.
    pub(crate) fn recover(
        disk: D,
        dir: &Path,
        name: &str,
        key: SigningKey,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Self, Sequencer, Recovery), OpenError> {
        let segments = dir.join("segments");
        disk.create_dir_all(&segments)?;
        let sealed = open_segments(&disk, &segments)?;
        let mut tree = Tree::default();
        for segment in &sealed.0 {
            let nodes = segment.segment.nodes();
            let nodes = nodes.map_err(|source| OpenError::Segment { path: segment.path.clone(), source })?;
            nodes.into_iter().for_each(|node| tree.push_tile(node));
        }
        let ids_dir = options.keep_ids.then(|| dir.join("ids"));
        let ids = open_ids(ids_dir, &sealed)?;

        let (journal, opened) = Journal::open(disk.clone(), &dir.join("wal"), options.journal)?;
        let mut replay =
            Replay { sealed_end: sealed.end(), tail: Tail::default(), tree, ids, values: Vec::new() };
        replay.run(journal.read(0), &opened.damage)?;
        let Replay { tail, tree, ids, .. } = replay;

        let last_received = match tail.newest() {
            Some(newest) => newest,
            None => sealed.0.last().map_or(Nanos(0), |last| last.segment.footer().received.1),
        };
        let size = tree.size();
        let core = Core {
            name: name.to_owned(),
            origin: key.name().to_owned(),
            dir: dir.to_owned(),
            disk,
            clock,
            key,
            options,
            journal: Mutex::new(journal),
            view: RwLock::new(View { sealed, tail }),
            cache: BlockCache::new(),
            tree: RwLock::new(tree),
            ids: RwLock::new(ids),
            signed: RwLock::new(None),
            progress: Progress::new(size),
            upkeep: Mutex::new(()),
        };
        core.check_against_signed()?;
        let recovery = Recovery { size, torn_bytes: opened.torn_bytes, damage: opened.damage };
        Ok((core, Sequencer { last_received }, recovery))
    }

    /// The tree that was signed last must be a part of the tree that was found: the ledger never signs two histories.
    fn check_against_signed(&self) -> Result<(), OpenError> {
        let path = self.dir.join("checkpoint");
        let Some(note) = attestry_journal::disk::read(&self.disk, &path, MAX_NOTE_BYTES)? else {
            return Ok(());
        };
        let note = String::from_utf8_lossy(&note).into_owned();
        let signed = Checkpoint::open(&note, &self.key.verifier())
            .map_err(|error| OpenError::Checkpoint { path: path.clone(), reason: error.to_string() })?;
        let size = self.size();
        if signed.size > size {
            return Err(OpenError::Shrunk { signed: signed.size, found: size });
        }
        if root(signed.size, self)? != signed.root {
            return Err(OpenError::Diverged { signed: signed.size });
        }
        let time = self.clock.now();
        *self.signed.write() = Some(Signed { size: signed.size, root: signed.root, time, note: note.into() });
        self.progress.signed(signed.size);
        Ok(())
    }
}

/// Opens all segments and removes the files that a crash left half done or replaced.
fn open_segments<D: Disk>(disk: &D, dir: &Path) -> Result<Sealed<D::File>, OpenError> {
    let (sealed, leftovers) = list_segments(disk, dir)?;
    for path in leftovers {
        disk.remove(&path)?;
    }
    Ok(sealed)
}

/// Opens all segments, and gives the files that are none or no longer needed. What is missing in between is an error.
pub(crate) fn list_segments<D: Disk>(
    disk: &D,
    dir: &Path,
) -> Result<(Sealed<D::File>, Vec<PathBuf>), OpenError> {
    let mut found: Vec<(Range<u64>, PathBuf)> = Vec::new();
    let mut leftovers = Vec::new();
    for name in disk.list(dir)? {
        let path = dir.join(&name);
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("tmp") => leftovers.push(path),
            Some("seg" | "pruned") => found.extend(range_of(&path).map(|range| (range, path))),
            _ => {}
        }
    }
    // Of a segment and what stays of it pruned, the segment counts: a prune that a crash cut short is done again, and a planted
    // remains file must not make us delete entries. Of a range and its parts, the range counts.
    found.sort_by_key(|(range, path)| {
        (range.start, std::cmp::Reverse(range.end), path.extension() == Some("pruned".as_ref()))
    });
    let mut sealed = Sealed(Vec::new());
    for (range, path) in found {
        let expected = sealed.end();
        if range.end <= expected {
            leftovers.push(path);
            continue;
        }
        if range.start != expected {
            return Err(OpenError::Missing { range: expected..range.start, next: path });
        }
        let segment =
            open_sealed(disk, &path).map_err(|source| OpenError::Segment { path: path.clone(), source })?;
        if (segment.first()..segment.end()) != range {
            let what = format!("it holds {}..{}", segment.first(), segment.end());
            return Err(OpenError::Segment {
                path,
                source: attestry_segment::Error::Damaged { offset: 0, what },
            });
        }
        sealed.0.push(Arc::new(segment));
    }
    Ok((sealed, leftovers))
}

fn range_of(path: &Path) -> Option<Range<u64>> {
    let (start, end) = path.file_stem()?.to_str()?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// Opens the ids and makes the runs that are missing from the entries.
fn open_ids<F: File>(dir: Option<PathBuf>, sealed: &Sealed<F>) -> Result<Ids, OpenError> {
    let mut ids = Ids::open(dir, sealed.first())?;
    for segment in &sealed.0 {
        let range = ids.end().unwrap_or(0).max(segment.first())..segment.end();
        if range.is_empty() || segment.segment.footer().is_pruned() {
            continue;
        }
        let mut hashes = Vec::with_capacity((range.end - range.start) as usize);
        for block in 0..segment.segment.footer().blocks {
            if segment.segment.block_range(block).end <= range.start {
                continue;
            }
            let block = segment.block(block)?;
            for (index, entry) in block.entries().filter(|(index, _)| range.contains(index)) {
                if let Ok(entry) = Entry::parse(entry) {
                    hashes.push((id_hash(entry.event_id().as_bytes()), index));
                }
            }
        }
        let runs = Ids::add_run(ids.dir().as_deref(), ids.runs(), range, hashes)?;
        ids.swap_runs(runs);
    }
    Ok(ids)
}

/// Brings back from the journal what is not sealed.
struct Replay {
    sealed_end: u64,
    tail: Tail,
    tree: Tree,
    ids: Ids,
    /// Values read since the last entries: they belong to the next ones.
    values: Vec<LargeValue>,
}

impl Replay {
    fn run<D: Disk>(&mut self, mut reader: Reader<D>, damage: &[Damage]) -> Result<(), OpenError> {
        while let Some(item) = reader.next()? {
            match item {
                Item::Record { seq, payload } => self.record(seq, payload)?,
                Item::Gap { .. } => {}
            }
        }
        // Damage that leaves no hole between indexes hit only what is sealed already, or values: their absence is found when they are read.
        tracing::debug!(damage = damage.len(), size = self.tree.size(), "journal replayed");
        Ok(())
    }

    fn record(&mut self, seq: u64, payload: &[u8]) -> Result<(), OpenError> {
        let unreadable = || OpenError::Record { sequence: seq };
        match payload.split_first() {
            Some((&RECORD_VALUE, rest)) => {
                let (hash, rest) = rest.split_first_chunk().ok_or_else(unreadable)?;
                let (salt, content) = rest.split_first_chunk().ok_or_else(unreadable)?;
                self.values.push(LargeValue { hash: *hash, salt: *salt, content: content.to_vec() });
                Ok(())
            }
            Some((&RECORD_ENTRIES, rest)) => {
                let (first, rest) = rest.split_first_chunk().ok_or_else(unreadable)?;
                let (count, bundle) = rest.split_first_chunk().ok_or_else(unreadable)?;
                let first = u64::from_le_bytes(*first);
                let chunk = self.chunk(first, bundle, seq).ok_or_else(unreadable)?;
                if chunk.len() != u32::from_le_bytes(*count) as usize {
                    return Err(unreadable());
                }
                self.add(chunk)
            }
            _ => Err(unreadable()),
        }
    }

    /// Takes a record's entries apart as they were put together.
    fn chunk(&mut self, first: u64, mut bundle: &[u8], seq: u64) -> Option<Chunk> {
        let values = std::mem::take(&mut self.values);
        let mut chunk = Chunk { first, journal_end: seq + 1, values, ..Chunk::default() };
        while let Some((length, rest)) = bundle.split_first_chunk() {
            let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let parsed = Entry::parse(entry).ok()?;
            chunk.push(entry, parsed.event_time(), id_hash(parsed.event_id().as_bytes()));
            chunk.leaves.push(leaf_hash(entry));
            chunk.received_at = parsed.received_at();
            bundle = rest;
        }
        bundle.is_empty().then_some(chunk)
    }

    fn add(&mut self, chunk: Chunk) -> Result<(), OpenError> {
        if chunk.end() <= self.sealed_end {
            return Ok(());
        }
        let expected = self.tree.size();
        if chunk.first > expected {
            return Err(OpenError::Lost { range: expected..chunk.first });
        }
        for nth in (expected - chunk.first) as usize..chunk.len() {
            self.tree.push(chunk.leaves[nth]);
            self.ids.insert(chunk.id_hashes[nth], chunk.first + nth as u64);
        }
        self.tail.push(Arc::new(chunk));
        Ok(())
    }
}
