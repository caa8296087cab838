//! Rows in temporary files, sorted by their keys in bounded memory.
//!
//! A row in a file is the length of its bytes (4 bytes, little-endian) and the bytes of [`encode_row`]. A sorted part holds rows with their keys: the lengths
//! of key and row (4 bytes each) and both. The files have no names: they are gone when they are closed, whatever happens.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use crate::cell::{Cell, decode_row, encode_row};

/// How much of a part is read at once, in bytes.
const READ: usize = 64 * 1024;

/// What a row takes in memory besides its bytes.
const OVERHEAD: usize = 96;

/// Rows that are being put away, in the order in which they come.
pub(super) struct Spill {
    writer: BufWriter<File>,
    at: u64,
    tables: Vec<Stored>,
}

/// Where a table's rows are.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) rows: u64,
    /// The first byte of each part and the one after it.
    parts: Vec<(u64, u64)>,
}

/// All rows of one side.
pub(super) struct Spilled {
    file: Arc<File>,
    tables: Vec<Stored>,
}

impl Spill {
    pub(super) fn new(folder: &Path) -> io::Result<Spill> {
        let writer = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(folder)?);
        Ok(Spill { writer, at: 0, tables: Vec::new() })
    }

    pub(super) fn push(&mut self, table: usize, cells: &[Cell]) -> io::Result<()> {
        let bytes = encode_row(cells);
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a row of more than 4 GiB"))?;
        self.writer.write_all(&length.to_le_bytes())?;
        self.writer.write_all(&bytes)?;
        if self.tables.len() <= table {
            self.tables.resize(table + 1, Stored::default());
        }
        let begin = self.at;
        self.at += 4 + u64::from(length);
        let Some(stored) = self.tables.get_mut(table) else { return Ok(()) };
        stored.rows += 1;
        match stored.parts.last_mut() {
            Some((_, end)) if *end == begin => *end = self.at,
            _ => stored.parts.push((begin, self.at)),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Spilled> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Spilled { file: Arc::new(file), tables: self.tables })
    }
}

/// What a table's rows are to be brought to.
pub(super) struct Shape<'a> {
    /// For each column of the result, the place of it in the row that is stored; none: NULL.
    pub(super) columns: &'a [Option<usize>],
    /// The places of the key in the result.
    pub(super) key: &'a [usize],
    /// How much memory sorting may take, in bytes.
    pub(super) memory: usize,
}

/// A row with the bytes of its key.
pub(super) type Record = (Vec<u8>, Vec<u8>);

impl Spilled {
    pub(super) fn of(&self, table: usize) -> Stored {
        self.tables.get(table).cloned().unwrap_or_default()
    }

    /// Whether the rows of two tables are the same bytes in the same order, which spares sorting them.
    pub(super) fn same(&self, one: &Stored, other: &Spilled, two: &Stored) -> io::Result<bool> {
        let ([(begin, end)], [(other_begin, other_end)]) = (one.parts.as_slice(), two.parts.as_slice())
        else {
            return Ok(one.parts.is_empty() && two.parts.is_empty());
        };
        if end - begin != other_end - other_begin {
            return Ok(false);
        }
        let mut left = Part::new(&self.file, *begin, *end);
        let mut right = Part::new(&other.file, *other_begin, *other_end);
        loop {
            let (a, b) = (left.chunk()?, right.chunk()?);
            if a != b {
                return Ok(false);
            }
            if a.is_empty() {
                return Ok(true);
            }
        }
    }

    /// A table's rows by their keys.
    pub(super) fn sorted(&self, stored: &Stored, shape: &Shape<'_>, folder: &Path) -> io::Result<Sorted> {
        let plain = shape.columns.iter().enumerate().all(|(at, place)| *place == Some(at));
        let mut runs = Runs::new(folder)?;
        let mut records: Vec<Record> = Vec::new();
        let mut used = 0;
        for (begin, end) in &stored.parts {
            let mut part = Part::new(&self.file, *begin, *end);
            while let Some(length) = part.length()? {
                let bytes = part.take(length)?;
                let cells = decode_row(&bytes).map_err(io::Error::other)?;
                // With columns that both sides do not have, nothing of the row is as it was stored.
                let shaped: Vec<Cell>;
                let (cells, row) = if plain && cells.len() == shape.columns.len() {
                    (&cells, bytes)
                } else {
                    let at = |place: &Option<usize>| {
                        place.and_then(|place| cells.get(place)).cloned().unwrap_or(Cell::Null)
                    };
                    shaped = shape.columns.iter().map(at).collect();
                    let row = encode_row(&shaped);
                    (&shaped, row)
                };
                let key: Vec<Cell> =
                    shape.key.iter().map(|place| cells.get(*place).cloned().unwrap_or(Cell::Null)).collect();
                let key = encode_row(&key);
                let size = key.len() + row.len() + OVERHEAD;
                if used + size > shape.memory && !records.is_empty() {
                    runs.put(&mut records)?;
                    used = 0;
                }
                used += size;
                records.push((key, row));
            }
        }
        if runs.parts.is_empty() {
            records.sort_unstable();
            return Ok(Sorted::Memory(records.into_iter()));
        }
        runs.put(&mut records)?;
        drop(records);
        runs.merged(shape.memory)
    }
}

/// Sorted parts in one file.
struct Runs {
    writer: BufWriter<File>,
    at: u64,
    parts: VecDeque<Run>,
}

/// A sorted part.
struct Run {
    begin: u64,
    end: u64,
    /// What reading it takes in memory, in bytes: its largest row, which is held until its turn comes, and what is read at once.
    memory: usize,
}

impl Runs {
    fn new(folder: &Path) -> io::Result<Runs> {
        Ok(Runs {
            writer: BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(folder)?),
            at: 0,
            parts: VecDeque::new(),
        })
    }

    fn put(&mut self, records: &mut Vec<Record>) -> io::Result<()> {
        records.sort_unstable();
        self.run(records.drain(..).map(Ok))
    }

    /// Writes a part.
    fn run(&mut self, records: impl Iterator<Item = io::Result<Record>>) -> io::Result<()> {
        let (begin, mut largest) = (self.at, 0);
        for record in records {
            let (key, row) = record?;
            largest = largest.max(key.len() + row.len());
            self.write(&key, &row)?;
        }
        self.parts.push_back(Run { begin, end: self.at, memory: largest + OVERHEAD + READ });
        Ok(())
    }

    fn write(&mut self, key: &[u8], row: &[u8]) -> io::Result<()> {
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| io::Error::other("a row of more than 4 GiB"))
        };
        self.writer.write_all(&length(key)?.to_le_bytes())?;
        self.writer.write_all(&length(row)?.to_le_bytes())?;
        self.writer.write_all(key)?;
        self.writer.write_all(row)?;
        self.at += 8 + key.len() as u64 + row.len() as u64;
        Ok(())
    }

    /// How many of the first parts can be read at once: two at least.
    fn fitting(&self, memory: usize) -> usize {
        let mut used = 0;
        let fits = |run: &&Run| {
            used += run.memory;
            used <= memory
        };
        self.parts.iter().take_while(fits).count().max(2).min(self.parts.len())
    }

    /// All parts as one. So many that they cannot be read at once are merged to fewer first, which are written behind the others.
    fn merged(mut self, memory: usize) -> io::Result<Sorted> {
        loop {
            self.writer.flush()?;
            let file = Arc::new(self.writer.get_ref().try_clone()?);
            let fitting = self.fitting(memory);
            let first: Vec<Run> = self.parts.drain(..fitting).collect();
            let merge = Merge::new(&file, &first)?;
            if self.parts.is_empty() {
                return Ok(Sorted::Merge(merge));
            }
            self.run(merge)?;
            if let (Some(Run { begin, .. }), Some(Run { end, .. })) = (first.first(), first.last()) {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                // They are the file's first; a file system that cannot forget them needs more room.
                let _ = fallocate(&file, flags, *begin, end - begin);
            }
        }
    }
}

/// Rows by their keys.
pub(super) enum Sorted {
    Memory(std::vec::IntoIter<Record>),
    Merge(Merge),
}

impl Iterator for Sorted {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        match self {
            Sorted::Memory(records) => records.next().map(Ok),
            Sorted::Merge(merge) => merge.next(),
        }
    }
}

/// Several sorted parts read as one.
pub(super) struct Merge {
    parts: Vec<Part>,
    heap: BinaryHeap<Reverse<(Record, usize)>>,
}

impl Merge {
    fn new(file: &Arc<File>, parts: &[Run]) -> io::Result<Merge> {
        let parts = parts.iter().map(|run| Part::new(file, run.begin, run.end)).collect();
        let mut merge = Merge { parts, heap: BinaryHeap::new() };
        for place in 0..merge.parts.len() {
            merge.refill(place)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, place: usize) -> io::Result<()> {
        let Some(part) = self.parts.get_mut(place) else { return Ok(()) };
        let Some(key) = part.length()? else { return Ok(()) };
        let row = part.length()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let record = (part.take(key)?, part.take(row)?);
        self.heap.push(Reverse((record, place)));
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        let Reverse((record, place)) = self.heap.pop()?;
        Some(self.refill(place).map(|()| record))
    }
}

/// A part of a file that is read from its beginning to its end.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    read: usize,
}

impl Part {
    fn new(file: &Arc<File>, at: u64, end: u64) -> Part {
        Part { file: Arc::clone(file), at, end, buffer: Vec::new(), read: 0 }
    }

    /// The next bytes, as many as are read at once; none at the end.
    fn chunk(&mut self) -> io::Result<&[u8]> {
        let size = usize::try_from(self.end - self.at).map_or(READ, |left| left.min(READ));
        self.buffer.resize(size, 0);
        self.file.read_exact_at(&mut self.buffer, self.at)?;
        self.at += size as u64;
        self.read = 0;
        Ok(&self.buffer)
    }

    /// A length, unless the part is at its end.
    fn length(&mut self) -> io::Result<Option<usize>> {
        if self.read == self.buffer.len() && self.at == self.end {
            return Ok(None);
        }
        let bytes = self.take(4)?;
        let bytes: [u8; 4] = bytes.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?;
        Ok(usize::try_from(u32::from_le_bytes(bytes)).ok())
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            if self.read == self.buffer.len() {
                if self.at == self.end {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.chunk()?;
            }
            let left = self.buffer.get(self.read..).unwrap_or_default();
            let taken = left.len().min(length - out.len());
            out.extend_from_slice(left.get(..taken).unwrap_or_default());
            self.read += taken;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorted through one part, several, and so many that they are merged twice, rows are the same.
    #[test]
    fn rows_are_sorted_in_any_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path()).unwrap();
        let row = |number: u32| {
            vec![Cell::of(format!("{:03}", number * 7_919 % 1_000)), Cell::Null, Cell::of(number.to_string())]
        };
        for number in 0..1_000 {
            spill.push(1, &row(number)).unwrap();
            if number % 300 == 0 {
                spill.push(0, &[Cell::of("other")]).unwrap();
            }
        }
        let spilled = spill.finish().unwrap();
        let stored = spilled.of(1);
        assert_eq!((stored.rows, spilled.of(0).rows, spilled.of(7).rows), (1_000, 4, 0));
        let sorted = |memory| -> Vec<Record> {
            let columns = [Some(0), Some(1), Some(2)];
            let shape = Shape { columns: &columns, key: &[0], memory };
            spilled.sorted(&stored, &shape, folder.path()).unwrap().collect::<io::Result<_>>().unwrap()
        };
        let all = sorted(1 << 20);
        assert_eq!(all.len(), 1_000);
        assert!(all.is_sorted());
        assert_eq!(decode_row(&all[17].1).unwrap()[0], Cell::of("017"));
        assert_eq!(sorted(10_000), all);
        assert_eq!(sorted(1), all);
        // Files without names: nothing is left, nothing can be left.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // What is held while parts are merged.
        let mut runs = Runs::new(folder.path()).unwrap();
        for number in 0..40_u8 {
            runs.put(&mut vec![(vec![number], vec![number; 200_000]), (vec![number + 100], vec![0])])
                .unwrap();
        }
        let Sorted::Merge(merge) = runs.merged(1 << 20).unwrap() else { panic!("it is in memory") };
        let held: usize = merge.heap.iter().map(|Reverse(((_, row), _))| row.len()).sum();
        assert!(held + merge.parts.len() * READ <= 1 << 20, "{held} bytes in {} parts", merge.parts.len());
        let merged: Vec<Record> = merge.collect::<io::Result<_>>().unwrap();
        assert!(merged.len() == 80 && merged.is_sorted());
        // Another shape.
        let shape = Shape { columns: &[Some(2), None], key: &[0], memory: 5_000 };
        let first = spilled.sorted(&stored, &shape, folder.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(decode_row(&first.1).unwrap(), [Cell::of("0"), Cell::Null]);
        assert!(
            spilled.same(&spilled.of(1), &spilled, &spilled.of(1)).unwrap()
                == (spilled.of(1).parts.len() == 1)
        );
    }
}
