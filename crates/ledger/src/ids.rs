//! Which entry has an event id? Needed to store each event once, and to find one by its id.
//!
//! The ids of entries that are not sealed are in a hash table; those of sealed ones are in *runs*, sorted and mapped into memory.
//! Runs are merged as in a binary counter, so that there are at most log2(segments) of them. All of it is derived: what is
//! missing or unreadable is made again from the entries.
//!
//! A run keeps 44 bits of each id's hash, so a hit is only a candidate that the caller compares with the entry itself:
//! one in seventeen thousand look-ups meets a false one when the run has a thousand million ids.
//!
//! Run file `<first>-<end>.ids`, little-endian:
//!
//! ```text
//! header     48   "ATTESTRY-IDS-1\n\0" | first u64 | end u64 | bits u32 | zero u32 | crc32c of the rest u32 | crc32c of the 44 bytes before u32
//! directory       2^bits + 1 numbers u32: where each bucket of the records begins
//! records         8 bytes: the lower 32 of the hash's 44 bits | entry − first u32; sorted by hash, then entry
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashTable;

const MAGIC: &[u8; 16] = b"ATTESTRY-IDS-1\n\0";
const HEADER_BYTES: usize = 48;
/// Bits of the hash that a run keeps. With at least 12 of them given by the bucket the others fit in 32.
const HASH_BITS: u32 = 44;
const MIN_BUCKET_BITS: u32 = 12;
/// Records a bucket holds on average: 128 bytes, two cache lines.
const RECORDS_A_BUCKET: usize = 16;

/// Bytes that are mapped from a file, or held in memory where there is no folder to keep them in.
enum Bytes {
    Mapped(memmap2::Mmap),
    Held(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Held(bytes) => bytes,
        }
    }
}

/// The ids of a range of sealed entries.
pub(crate) struct Run {
    range: Range<u64>,
    bits: u32,
    bytes: Bytes,
    path: Option<PathBuf>,
}

impl Run {
    /// Pairs of full hash and index as a run keeps them: the hash's 44 bits and the index, in order.
    fn sorted(mut ids: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        for id in &mut ids {
            id.0 >>= 64 - HASH_BITS;
        }
        ids.sort_unstable();
        ids
    }

    /// Lays a run out from its sorted records.
    fn encode(range: &Range<u64>, ids: &[(u64, u64)]) -> Vec<u8> {
        let bits = (ids.len() / RECORDS_A_BUCKET).max(1).ilog2().max(MIN_BUCKET_BITS);
        let mut out = Vec::with_capacity(HEADER_BYTES + 4 * ((1 << bits) + 1) + 8 * ids.len());
        out.resize(HEADER_BYTES, 0);
        let mut next = 0;
        for bucket in 0..1_u64 << bits {
            out.extend_from_slice(&(next as u32).to_le_bytes());
            next += ids[next..].iter().take_while(|id| id.0 >> (HASH_BITS - bits) == bucket).count();
        }
        out.extend_from_slice(&(next as u32).to_le_bytes());
        for (hash, index) in ids {
            out.extend_from_slice(&(*hash as u32).to_le_bytes());
            out.extend_from_slice(&((index - range.start) as u32).to_le_bytes());
        }
        let body_crc = crc32c::crc32c(&out[HEADER_BYTES..]);
        out[..16].copy_from_slice(MAGIC);
        out[16..24].copy_from_slice(&range.start.to_le_bytes());
        out[24..32].copy_from_slice(&range.end.to_le_bytes());
        out[32..36].copy_from_slice(&bits.to_le_bytes());
        out[40..44].copy_from_slice(&body_crc.to_le_bytes());
        let header_crc = crc32c::crc32c(&out[..44]);
        out[44..48].copy_from_slice(&header_crc.to_le_bytes());
        out
    }

    /// None when the bytes are not a whole run: it is made again.
    fn parse(bytes: Bytes, path: Option<PathBuf>) -> Option<Run> {
        let header = bytes.get(..HEADER_BYTES)?;
        let u32_at = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        let range = u64_at(16)?..u64_at(24)?;
        let bits = u32_at(32)?;
        let whole = &header[..16] == MAGIC
            && u32_at(44)? == crc32c::crc32c(&header[..44])
            && u32_at(40)? == crc32c::crc32c(&bytes[HEADER_BYTES..])
            && (MIN_BUCKET_BITS..32).contains(&bits);
        let run = Run { range, bits, bytes, path };
        (whole && run.record_bytes()?.len() == run.directory(1 << bits)? as usize * 8).then_some(run)
    }

    fn directory(&self, bucket: u64) -> Option<u32> {
        let at = HEADER_BYTES + 4 * usize::try_from(bucket).ok()?;
        Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }

    fn record_bytes(&self) -> Option<&[u8]> {
        self.bytes.get(HEADER_BYTES + 4 * ((1 << self.bits) + 1)..)
    }

    fn bucket(&self, bucket: u64) -> Option<&[[u8; 8]]> {
        let (start, end) = (self.directory(bucket)? as usize, self.directory(bucket + 1)? as usize);
        Some(self.record_bytes()?.get(start * 8..end * 8)?.as_chunks().0)
    }

    fn find(&self, hash: u64, found: &mut impl FnMut(u64)) {
        let hash = hash >> (64 - HASH_BITS);
        let Some(bucket) = self.bucket(hash >> (HASH_BITS - self.bits)) else { return };
        for record in bucket {
            let (low, row) = split(record);
            if low == hash as u32 {
                found(self.range.start + u64::from(row));
            }
        }
    }

    /// Every record as the hash's 44 bits and the index, in order.
    fn records(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..1_u64 << self.bits).flat_map(move |bucket| {
            let high = bucket << (HASH_BITS - self.bits) & !0xFFFF_FFFF;
            self.bucket(bucket).unwrap_or_default().iter().map(move |record| {
                let (low, row) = split(record);
                (high | u64::from(low), self.range.start + u64::from(row))
            })
        })
    }

    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

fn split(record: &[u8; 8]) -> (u32, u32) {
    let whole = u64::from_le_bytes(*record);
    (whole as u32, (whole >> 32) as u32)
}

/// The ids of a whole ledger.
pub(crate) struct Ids {
    /// Hash and index of every entry that is in no run.
    hot: HashTable<(u64, u64)>,
    /// Adjacent ranges, oldest first.
    runs: Vec<Arc<Run>>,
    dir: Option<PathBuf>,
}

impl Ids {
    /// Opens the runs in a folder; without a folder everything is held in memory. What cannot be read is deleted: the caller adds the
    /// ranges that [`Ids::end`] does not reach again.
    pub(crate) fn open(dir: Option<PathBuf>, first: u64) -> std::io::Result<Self> {
        let mut runs = Vec::new();
        if let Some(dir) = &dir {
            fs::create_dir_all(dir)?;
            for file in fs::read_dir(dir)? {
                let path = file?.path();
                match map(&path).ok().and_then(|bytes| Run::parse(bytes, Some(path.clone()))) {
                    Some(run) => runs.push(Arc::new(run)),
                    None => fs::remove_file(&path)?,
                }
            }
        }
        // A crash between the writing of a merged run and the deletion of its parts leaves both: the wider one counts.
        runs.sort_by_key(|run: &Arc<Run>| (run.range.start, std::cmp::Reverse(run.range.end)));
        let mut ids = Ids { hot: HashTable::new(), runs: Vec::new(), dir };
        for run in runs {
            let expected = ids.runs.last().map_or(run.range.start.min(first), |last| last.range.end);
            if run.range.start == expected {
                ids.runs.push(run);
            } else if let Some(path) = &run.path {
                fs::remove_file(path)?;
            }
        }
        Ok(ids)
    }

    /// End of the range that the runs cover, if there are any.
    pub(crate) fn end(&self) -> Option<u64> {
        self.runs.last().map(|run| run.range.end)
    }

    pub(crate) fn insert(&mut self, hash: u64, index: u64) {
        self.hot.insert_unique(hash, (hash, index), |id| id.0);
    }

    /// Takes back what was inserted for entries that were not committed.
    pub(crate) fn remove(&mut self, hash: u64, index: u64) {
        if let Ok(found) = self.hot.find_entry(hash, |id| *id == (hash, index)) {
            found.remove();
        }
    }

    /// Every entry that may have the id with this hash, in no order.
    pub(crate) fn find(&self, hash: u64, mut found: impl FnMut(u64)) {
        self.find_hot(hash, &mut found);
        for run in &self.runs {
            run.find(hash, &mut found);
        }
    }

    pub(crate) fn find_hot(&self, hash: u64, found: &mut impl FnMut(u64)) {
        // `iter_hash` may give what only shares the table's tag, so the hash is compared again.
        self.hot.iter_hash(hash).filter(|id| id.0 == hash).for_each(|id| found(id.1));
    }

    /// Looks many ids up in the runs: by run and not by id, so that the processor overlaps the cache misses of independent look-ups.
    pub(crate) fn find_sealed(
        &self,
        hashes: impl Iterator<Item = u64> + Clone,
        mut found: impl FnMut(usize, u64),
    ) {
        for run in &self.runs {
            for (nth, hash) in hashes.clone().enumerate() {
                run.find(hash, &mut |index| found(nth, index));
            }
        }
    }

    /// Makes a run and merges it with those before it that are not twice as long. Without touching `self`: the caller swaps the result in.
    ///
    /// # Errors
    /// When the run's file cannot be written.
    pub(crate) fn add_run(
        dir: Option<&Path>,
        mut runs: Vec<Arc<Run>>,
        range: Range<u64>,
        ids: Vec<(u64, u64)>,
    ) -> std::io::Result<Vec<Arc<Run>>> {
        let mut range = range;
        let mut records = Run::sorted(ids);
        // Only the result is written: what is merged on the way is never a file.
        while let Some(last) =
            runs.pop_if(|last| last.range.end == range.start && last.len() < 2 * (range.end - range.start))
        {
            records = merge(last.records(), records.into_iter());
            range.start = last.range.start;
        }
        runs.push(Arc::new(keep(dir, range.clone(), Run::encode(&range, &records))?));
        Ok(runs)
    }

    /// The runs, to be handed to [`Ids::add_run`].
    pub(crate) fn runs(&self) -> Vec<Arc<Run>> {
        self.runs.clone()
    }

    /// Takes new runs in place of the old and forgets the ids that are in them.
    pub(crate) fn swap_runs(&mut self, runs: Vec<Arc<Run>>) {
        let end = runs.last().map_or(0, |run| run.range.end);
        let old = std::mem::replace(&mut self.runs, runs);
        self.hot.retain(|id| id.1 >= end);
        for run in old {
            if let Some(path) =
                run.path.as_ref().filter(|_| !self.runs.iter().any(|kept| Arc::ptr_eq(kept, &run)))
            {
                // What stays behind is merged away at the next start.
                let _ = fs::remove_file(path);
            }
        }
    }

    pub(crate) fn dir(&self) -> Option<PathBuf> {
        self.dir.clone()
    }
}

fn merge(old: impl Iterator<Item = (u64, u64)>, new: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    let mut merged = Vec::with_capacity(old.size_hint().0 + new.size_hint().0);
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        merged.extend(if a <= b { old.next() } else { new.next() });
    }
    merged.extend(old);
    merged.extend(new);
    merged
}

/// Writes a run's file and maps it, or holds the bytes.
fn keep(dir: Option<&Path>, range: Range<u64>, bytes: Vec<u8>) -> std::io::Result<Run> {
    let (bytes, path) = match dir {
        None => (Bytes::Held(bytes), None),
        Some(dir) => {
            // Derived data: a torn file fails its checksum and is made again, so nothing is synced.
            let path = dir.join(format!("{:020}-{:020}.ids", range.start, range.end));
            File::create(&path)?.write_all(&bytes)?;
            (map(&path)?, Some(path))
        }
    };
    Run::parse(bytes, path)
        .ok_or_else(|| std::io::Error::other("a run of ids does not read back as it was written"))
}

#[allow(unsafe_code)]
fn map(path: &Path) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::Held(Vec::new()));
    }
    // SAFETY: the file is ours, in a folder of mode 0700, written once under its name and only ever unlinked.
    Ok(Bytes::Mapped(unsafe { memmap2::Mmap::map(&file)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        n.wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    fn found(ids: &Ids, hash: u64) -> Vec<u64> {
        let mut indexes = Vec::new();
        ids.find(hash, |index| indexes.push(index));
        indexes.sort_unstable();
        indexes
    }

    fn seal(ids: &mut Ids, range: Range<u64>) {
        let hot = ids.hot.iter().filter(|id| range.contains(&id.1)).copied().collect();
        let runs = Ids::add_run(ids.dir().as_deref(), ids.runs(), range, hot).unwrap();
        ids.swap_runs(runs);
    }

    /// Every id is found where it is, hot, in a run, after merges and after a new start, and twice when two entries share it.
    #[test]
    fn finds_every_id_through_seals_merges_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut ids = Ids::open(Some(dir.path().to_owned()), 0).unwrap();
        for n in 0..20_000 {
            ids.insert(hash(n % 19_000), n);
            if n % 512 == 511 && n < 16_000 {
                seal(&mut ids, n - 511..n + 1);
            }
        }
        let check = |ids: &Ids, end: u64| {
            for n in 0..19_000 {
                let expected: Vec<u64> = [n, n + 19_000].into_iter().filter(|index| *index < end).collect();
                assert_eq!(found(ids, hash(n)), expected, "of {n}");
            }
            assert_eq!(found(ids, hash(19_500)), Vec::<u64>::new());
        };
        check(&ids, 20_000);
        assert_eq!(ids.runs.len(), 31_u32.count_ones() as usize);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), ids.runs.len(), "merged runs leave no files");
        let mut again = Ids::open(Some(dir.path().to_owned()), 0).unwrap();
        assert_eq!(again.end(), Some(15_872));
        for n in 15_872..20_000 {
            again.insert(hash(n % 19_000), n);
        }
        check(&again, 20_000);
    }

    #[test]
    fn a_damaged_run_is_dropped_and_with_it_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let mut ids = Ids::open(Some(dir.path().to_owned()), 0).unwrap();
        for (range, len) in [(0..4096, 4096), (4096..5120, 1024), (5120..5376, 256)] {
            range.clone().for_each(|n| ids.insert(hash(n), n));
            assert_eq!(range.end - range.start, len);
            seal(&mut ids, range);
        }
        drop(ids);
        let middle = dir.path().join(format!("{:020}-{:020}.ids", 4096, 5120));
        let mut bytes = fs::read(&middle).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&middle, bytes).unwrap();
        let ids = Ids::open(Some(dir.path().to_owned()), 0).unwrap();
        assert_eq!(ids.end(), Some(4096));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_committed_is_taken_back() {
        let mut ids = Ids::open(None, 0).unwrap();
        ids.insert(hash(1), 1);
        ids.insert(hash(1), 2);
        ids.remove(hash(1), 2);
        assert_eq!(found(&ids, hash(1)), [1]);
    }

    #[test]
    fn a_batch_is_looked_up_as_its_ids_are_one_by_one() {
        let mut ids = Ids::open(None, 0).unwrap();
        (0..2048).for_each(|n| ids.insert(hash(n), n));
        seal(&mut ids, 0..1024);
        seal(&mut ids, 1024..1280);
        let mut hits = Vec::new();
        ids.find_sealed([hash(5), hash(9_999), hash(1_100), hash(2_000)].into_iter(), |nth, index| {
            hits.push((nth, index))
        });
        hits.sort_unstable();
        assert_eq!(hits, [(0, 5), (2, 1_100)]);
    }
}
