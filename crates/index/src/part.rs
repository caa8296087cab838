//! A part: an immutable index of consecutive rows, in memory or mapped from a file.
//!
//! ```text
//! header      16   "ATTESTRY-IDX-2\n\0"
//! fields           what each field has, one after the other (see below)
//! times            event_time, then received_at, as `times` has it
//! directory        a record for each field, in order
//! footer     108   first row u64 | rows u32 | fields u32 | least event_time i64 | greatest event_time i64
//!                  | event times sorted u64 | event times offset u64, length u64 | received times offset u64, length u64
//!                  | directory offset u64, length u64 | zero u64 | crc32c of all before u32 | "ATINDEX2"
//! ```
//!
//! A field is the words of text, a field of the entry, a path of `event_data`, or the loose rows: those with paths that
//! were too many or too long to be indexed; or the common words that stand side by side (`pairs`). It has any of: the rows where it exists; the rows where its value stands
//! beside the entry (`$ref`); a dictionary; a table of hashes, where nearly every value is another (`hashes`); for each row the ordinal of its value plus one, packed; numbers. Of the
//! words, "exists" are the rows with a `$ref` anywhere: their text is not known.
//!
//! A directory record, in varints: kind, length of the name, name, kinds of values, flags (1: a row may have
//! several values, 2: terms are cut), exists (count, offset, length), refs (count, offset, length), dictionary (count, and offset and length of
//! postings, terms and index), hashes (count, offset, length), ordinals (width, offset, length), numbers (distinct,
//! all, offset, length), cased (count, offset, length).

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use attestry_event::Field;
use memmap2::Mmap;
use parking_lot::Mutex;

use crate::tally::Numbered;

use crate::dict::{Dict, DictWriter};
use crate::hashes::{self, Hashes};
use crate::number::{NumberWriter, Numbers};
use crate::out::{Out, Span};
use crate::pack::{Cursor, Packed, bits_for, pack, slice, u32_at, u64_at};
use crate::postings::{self, List};
use crate::slot::{FieldSpan, ListSpan, Slot};
use crate::times::{TimeWriter, Times};

const HEADER: &[u8; 16] = b"ATTESTRY-IDX-2\n\0";
const MAGIC: &[u8; 8] = b"ATINDEX2";
const FOOTER: usize = 108;

/// What a part says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    pub(crate) first: u64,
    pub(crate) rows: u32,
    pub(crate) least: i64,
    pub(crate) greatest: i64,
    pub(crate) sorted: bool,
}

impl Summary {
    /// Takes the next row's event time into account.
    pub(crate) fn of_times(first: u64, times: impl Iterator<Item = i64>) -> Summary {
        let mut summary = Summary { first, rows: 0, least: i64::MAX, greatest: i64::MIN, sorted: true };
        let mut before = i64::MIN;
        for time in times {
            summary.rows += 1;
            summary.least = summary.least.min(time);
            summary.greatest = summary.greatest.max(time);
            summary.sorted &= before <= time;
            before = time;
        }
        summary
    }
}

/// Writes a part, field by field in the order of [`Slot`].
pub(crate) struct PartWriter<'a> {
    pub(crate) out: Out<'a>,
    pub(crate) rows: u32,
    pub(crate) dict: DictWriter,
    pub(crate) numbers: NumberWriter,
    directory: Vec<u8>,
    fields: u32,
    scratch: Vec<u8>,
}

impl<'a> PartWriter<'a> {
    pub(crate) fn new(to: &'a mut dyn Write, rows: u32) -> io::Result<PartWriter<'a>> {
        let mut out = Out::new(to);
        out.put(HEADER)?;
        Ok(PartWriter {
            out,
            rows,
            dict: DictWriter::new(rows),
            numbers: NumberWriter::default(),
            directory: Vec::new(),
            fields: 0,
            scratch: Vec::new(),
        })
    }

    /// Writes ascending, distinct rows.
    pub(crate) fn put_list(&mut self, list: &[u32]) -> io::Result<ListSpan> {
        self.scratch.clear();
        postings::encode(list, self.rows, &mut self.scratch);
        Ok(ListSpan { count: list.len() as u32, bytes: self.out.put(&self.scratch)? })
    }

    /// Writes which terms of the dictionary just finished were written in upper case, too: ascending ordinals.
    pub(crate) fn put_cased(&mut self, ordinals: &[u32], terms: u32) -> io::Result<ListSpan> {
        self.scratch.clear();
        postings::encode(ordinals, terms, &mut self.scratch);
        Ok(ListSpan { count: ordinals.len() as u32, bytes: self.out.put(&self.scratch)? })
    }

    /// Writes a table of hashes, as [`hashes::encode`] explains; gives how many different ones it has, too.
    pub(crate) fn put_hashes(&mut self, values: &[u64]) -> io::Result<(ListSpan, usize)> {
        self.scratch.clear();
        let distinct = hashes::encode(values, self.rows, &mut self.scratch);
        Ok((ListSpan { count: values.len() as u32, bytes: self.out.put(&self.scratch)? }, distinct))
    }

    /// Writes a column of ordinals below `count`, plus one; 0 where there is none. Gives its width.
    pub(crate) fn put_ordinals(
        &mut self,
        count: u32,
        ordinals: impl Iterator<Item = u32>,
    ) -> io::Result<(u8, Span)> {
        let bits = bits_for(u64::from(count));
        self.scratch.clear();
        pack(&mut self.scratch, bits, ordinals.map(u64::from));
        Ok((bits, self.out.put(&self.scratch)?))
    }

    pub(crate) fn end_field(&mut self, field: &FieldSpan) {
        field.write(&mut self.directory);
        self.fields += 1;
    }

    /// Writes times, directory and footer.
    pub(crate) fn finish(
        mut self,
        summary: &Summary,
        times: impl Iterator<Item = i64>,
        received: impl Iterator<Item = i64>,
    ) -> io::Result<()> {
        let mut writer = TimeWriter::default();
        times.for_each(|time| writer.push(time));
        let times = writer.finish(&mut self.out)?;
        received.for_each(|time| writer.push(time));
        let received = writer.finish(&mut self.out)?;
        let directory = self.out.put(&self.directory)?;
        let mut footer = Vec::with_capacity(FOOTER);
        footer.extend_from_slice(&summary.first.to_le_bytes());
        footer.extend_from_slice(&summary.rows.to_le_bytes());
        footer.extend_from_slice(&self.fields.to_le_bytes());
        footer.extend_from_slice(&summary.least.to_le_bytes());
        footer.extend_from_slice(&summary.greatest.to_le_bytes());
        footer.extend_from_slice(&u64::from(summary.sorted).to_le_bytes());
        for span in [times, received, directory] {
            footer.extend_from_slice(&(span.offset as u64).to_le_bytes());
            footer.extend_from_slice(&(span.len as u64).to_le_bytes());
        }
        footer.extend_from_slice(&[0; 8]);
        self.out.put(&footer)?;
        let crc = self.out.checksum()?;
        self.out.put(&crc.to_le_bytes())?;
        self.out.put(MAGIC)?;
        self.out.checksum()?;
        Ok(())
    }
}

/// Why bytes are not a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAPart {
    #[error("not an index part of this version")]
    Form,
    #[error("the checksum is wrong")]
    Checksum,
}

/// A part's bytes.
enum Bytes {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl Bytes {
    #[inline]
    fn get(&self) -> &[u8] {
        match self {
            Bytes::Memory(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }
}

/// Takes the pages that were read out of this process's memory: most of them will not be needed soon, and the kernel has
/// them still.
#[allow(unsafe_code)]
fn forget(map: &Mmap) {
    // SAFETY: the map is read-only and of a file, so whoever reads on gets the same bytes. Failing changes nothing.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
}

/// An immutable index of consecutive rows.
pub struct Part {
    bytes: Bytes,
    summary: Summary,
    times: Span,
    received: Span,
    fields: Vec<FieldSpan>,
    /// Where in `fields` each field of the entry is.
    keywords: [Option<u16>; Field::ALL.len()],
    /// So many of the first rows were pruned: no filter finds them.
    hidden: AtomicU32,
    /// The values of columns under numbers that all parts share, as far as they were asked for.
    numbered: Mutex<Vec<(Field, Arc<Numbered>)>>,
}

impl Part {
    /// A part that stays in memory; what this process has just written needs no check of its checksum.
    pub(crate) fn in_memory(bytes: Vec<u8>) -> Result<Part, NotAPart> {
        Part::read(Bytes::Memory(bytes))
    }

    /// A part in a file; checks all of it.
    pub(crate) fn mapped(map: Mmap) -> Result<Part, NotAPart> {
        let covered = map.len().checked_sub(12).ok_or(NotAPart::Form)?;
        if crc32c::crc32c(slice(&map, 0, covered)) != u32_at(&map, covered) {
            return Err(NotAPart::Checksum);
        }
        forget(&map);
        Part::read(Bytes::Mapped(map))
    }

    fn read(bytes: Bytes) -> Result<Part, NotAPart> {
        let all = bytes.get();
        let start = all.len().checked_sub(FOOTER).ok_or(NotAPart::Form)?;
        if !all.starts_with(HEADER) || !all.ends_with(MAGIC) {
            return Err(NotAPart::Form);
        }
        let footer = slice(all, start, FOOTER);
        let span =
            |at: usize| Span { offset: u64_at(footer, at) as usize, len: u64_at(footer, at + 8) as usize };
        let summary = Summary {
            first: u64_at(footer, 0),
            rows: u32_at(footer, 8),
            least: u64_at(footer, 16) as i64,
            greatest: u64_at(footer, 24) as i64,
            sorted: u64_at(footer, 32) == 1,
        };
        let directory = span(72);
        let mut cursor = Cursor::new(slice(all, directory.offset, directory.len));
        let mut fields = Vec::new();
        for _ in 0..u32_at(footer, 12) {
            fields.push(FieldSpan::read(&mut cursor).ok_or(NotAPart::Form)?);
        }
        if !cursor.is_empty()
            || summary.rows == 0
            || summary.first.checked_add(u64::from(summary.rows)).is_none()
        {
            return Err(NotAPart::Form);
        }
        let mut keywords = [None; Field::ALL.len()];
        for (at, field) in fields.iter().enumerate() {
            if let Slot::Keyword(keyword) = field.slot
                && let Some(place) = keywords.get_mut(keyword as usize)
            {
                *place = u16::try_from(at).ok();
            }
        }
        Ok(Part {
            summary,
            times: span(40),
            received: span(56),
            fields,
            keywords,
            hidden: AtomicU32::new(0),
            numbered: Mutex::new(Vec::new()),
            bytes,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get()
    }

    /// Whether it lives in memory only.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.bytes, Bytes::Memory(_))
    }

    /// Its size in bytes, in memory or on disk.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }

    /// The ledger's rows that it covers.
    pub fn rows(&self) -> Range<u64> {
        self.summary.first..self.summary.first + u64::from(self.summary.rows)
    }

    /// How many rows it covers: row offsets are below this.
    pub fn row_count(&self) -> u32 {
        self.summary.rows
    }

    /// How many of the first rows no filter finds, because they were pruned.
    pub(crate) fn hidden(&self) -> u32 {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Hides the rows of the ledger before this one.
    pub(crate) fn hide_before(&self, row: u64) {
        let hidden = row.clamp(self.rows().start, self.rows().end) - self.rows().start;
        self.hidden.store(hidden as u32, Ordering::Relaxed);
    }

    /// The least and the greatest event time.
    pub fn times(&self) -> (i64, i64) {
        (self.summary.least, self.summary.greatest)
    }

    /// Whether event times never decrease from row to row.
    pub fn times_sorted(&self) -> bool {
        self.summary.sorted
    }

    /// The event time of a row.
    pub fn time(&self, row: u32) -> i64 {
        self.event_times().get(row)
    }

    /// When a row was received.
    pub fn received(&self, row: u32) -> i64 {
        self.received_times().get(row)
    }

    pub(crate) fn event_times(&self) -> Times<'_> {
        Times::new(self.bytes(), self.times, self.summary.rows)
    }

    pub(crate) fn received_times(&self) -> Times<'_> {
        Times::new(self.bytes(), self.received, self.summary.rows)
    }

    /// The event time of every row.
    pub(crate) fn all_times(&self) -> impl Iterator<Item = i64> + '_ {
        self.event_times().iter(self.summary.rows)
    }

    /// When every row was received.
    pub(crate) fn all_received(&self) -> impl Iterator<Item = i64> + '_ {
        self.received_times().iter(self.summary.rows)
    }

    /// What takes how many bytes: for measurements.
    pub fn space(&self) -> Vec<(String, usize)> {
        let mut space =
            vec![("times".to_owned(), self.times.len), ("received times".to_owned(), self.received.len)];
        for field in &self.fields {
            let name = match &field.slot {
                Slot::Words => "words".to_owned(),
                Slot::Keyword(keyword) => keyword.name().to_owned(),
                Slot::Path(path) => format!("event_data.{path}"),
                Slot::Loose => "loose rows".to_owned(),
                Slot::Pairs => "pairs of common words".to_owned(),
            };
            let dict = &field.dict;
            for (what, len) in [
                ("terms", dict.terms.len + dict.index.len),
                ("rows of terms", dict.postings.len),
                ("ordinals", field.ordinals.len),
                ("numbers", field.numbers.bytes.len),
                ("hashes", field.hashes.bytes.len),
                ("existence", field.exists.bytes.len + field.refs.bytes.len),
            ] {
                if len > 0 {
                    space.push((format!("{name}: {what}"), len));
                }
            }
        }
        space
    }

    pub(crate) fn fields(&self) -> &[FieldSpan] {
        &self.fields
    }

    pub(crate) fn keyword(&self, field: Field) -> Option<&FieldSpan> {
        let place = self.keywords.get(field as usize).copied().flatten()?;
        self.fields.get(usize::from(place))
    }

    pub(crate) fn field(&self, slot: &Slot) -> Option<&FieldSpan> {
        let place = self.fields.binary_search_by(|field| field.slot.cmp(slot)).ok()?;
        self.fields.get(place)
    }

    pub(crate) fn path(&self, path: &str) -> Option<&FieldSpan> {
        let place = self
            .fields
            .binary_search_by(|field| match &field.slot {
                Slot::Path(name) => name.as_ref().cmp(path),
                slot => slot.kind().cmp(&2),
            })
            .ok()?;
        self.fields.get(place)
    }

    pub(crate) fn numbered(&self) -> &Mutex<Vec<(Field, Arc<Numbered>)>> {
        &self.numbered
    }

    pub(crate) fn list(&self, span: &ListSpan) -> List<'_> {
        List::new(span.count, self.summary.rows, slice(self.bytes(), span.bytes.offset, span.bytes.len))
    }

    pub(crate) fn dict(&self, field: &FieldSpan) -> Dict<'_> {
        Dict::new(self.bytes(), &field.dict, self.summary.rows)
    }

    /// The ordinals of words that were also written with other letters than their lower case has.
    pub(crate) fn cased(&self, field: &FieldSpan) -> List<'_> {
        let bytes = slice(self.bytes(), field.cased.bytes.offset, field.cased.bytes.len);
        List::new(field.cased.count, field.dict.count, bytes)
    }

    pub(crate) fn numbers(&self, field: &FieldSpan) -> Numbers<'_> {
        Numbers::new(self.bytes(), &field.numbers, self.summary.rows)
    }

    pub(crate) fn hashes(&self, field: &FieldSpan) -> Hashes<'_> {
        let bytes = slice(self.bytes(), field.hashes.bytes.offset, field.hashes.bytes.len);
        Hashes::new(bytes, field.hashes.count, self.summary.rows)
    }

    /// For each row the ordinal of its value plus one.
    pub(crate) fn ordinals(&self, field: &FieldSpan) -> Packed<'_> {
        let bytes = slice(self.bytes(), field.ordinals.offset, field.ordinals.len);
        Packed::new(bytes, field.ordinal_bits)
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.is_in_memory() { "memory" } else { "file" };
        write!(f, "Part({:?}, {} bytes in {place})", self.rows(), self.size())
    }
}
