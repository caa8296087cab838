//! A dictionary: terms in byte order, each with the rows that have it.
//!
//! Terms stand in blocks of [`BLOCK`]. A block starts with a varint, where the first of its lists that are not inline
//! starts within the postings; then come the terms. The first: its length and bytes. The others: how many leading
//! bytes they share with the term before, how many follow, and these. After each term its number of rows, and either
//! the inline list or the length of its list in the postings (left out where no bytes are needed). Every number is a
//! varint. The index holds for each block where it starts (u32).
//!
//! A term is a value's UTF-8, or the start of a long one, 0xFF, and what tells it from others with this start. 0xFF
//! is in no UTF-8 text, so the two cannot meet.

use std::io;

use crate::out::{Out, Span};
use crate::pack::{Cursor, put_varint, slice, u32_at};
use crate::postings::{self, INLINE, List};
use crate::words::MAX_WORD_BYTES;

/// Terms a block.
const BLOCK: u32 = 16;

/// Ends the known part of a term that stands for something longer.
pub(crate) const CUT: u8 = 0xFF;

/// Where the pieces of a dictionary are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DictSpan {
    pub(crate) count: u32,
    pub(crate) postings: Span,
    pub(crate) terms: Span,
    pub(crate) index: Span,
}

/// Writes a dictionary. The postings go out while it is fed, the terms at the end.
pub(crate) struct DictWriter {
    rows: u32,
    count: u32,
    start: usize,
    terms: Vec<u8>,
    index: Vec<u8>,
    before: Vec<u8>,
    list: Vec<u8>,
}

impl DictWriter {
    pub(crate) fn new(rows: u32) -> DictWriter {
        DictWriter {
            rows,
            count: 0,
            start: 0,
            terms: Vec::new(),
            index: Vec::new(),
            before: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Starts a dictionary at the end of `out`.
    pub(crate) fn start(&mut self, out: &Out<'_>) {
        self.count = 0;
        self.start = out.position();
        self.terms.clear();
        self.index.clear();
        self.before.clear();
    }

    /// Adds the next term in byte order with its rows, ascending; gives its ordinal.
    pub(crate) fn push(&mut self, out: &mut Out<'_>, term: &[u8], list: &[u32]) -> io::Result<u32> {
        if self.count.is_multiple_of(BLOCK) {
            let at =
                u32::try_from(self.terms.len()).map_err(|_| io::Error::other("a dictionary of 4 GiB"))?;
            self.index.extend_from_slice(&at.to_le_bytes());
            put_varint(&mut self.terms, (out.position() - self.start) as u64);
            put_varint(&mut self.terms, term.len() as u64);
            self.terms.extend_from_slice(term);
        } else {
            let shared = self.before.iter().zip(term).take_while(|(left, right)| left == right).count();
            let rest = term.get(shared..).unwrap_or(&[]);
            put_varint(&mut self.terms, shared as u64);
            put_varint(&mut self.terms, rest.len() as u64);
            self.terms.extend_from_slice(rest);
        }
        self.before.clear();
        self.before.extend_from_slice(term);
        let count = list.len() as u32;
        put_varint(&mut self.terms, u64::from(count));
        if count <= INLINE {
            postings::encode(list, self.rows, &mut self.terms);
        } else if count < self.rows {
            self.list.clear();
            postings::encode(list, self.rows, &mut self.list);
            put_varint(&mut self.terms, self.list.len() as u64);
            out.put(&self.list)?;
        }
        self.count += 1;
        Ok(self.count - 1)
    }

    /// How many terms were added.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn finish(&mut self, out: &mut Out<'_>) -> io::Result<DictSpan> {
        let postings = out.since(self.start);
        Ok(DictSpan {
            count: self.count,
            postings,
            terms: out.put(&self.terms)?,
            index: out.put(&self.index)?,
        })
    }
}

/// Reads a dictionary.
#[derive(Clone, Copy)]
pub(crate) struct Dict<'a> {
    count: u32,
    rows: u32,
    postings: &'a [u8],
    terms: &'a [u8],
    index: &'a [u8],
}

impl<'a> Dict<'a> {
    pub(crate) fn new(part: &'a [u8], span: &DictSpan, rows: u32) -> Dict<'a> {
        let bytes = |span: Span| slice(part, span.offset, span.len);
        Dict {
            count: span.count,
            rows,
            postings: bytes(span.postings),
            terms: bytes(span.terms),
            index: bytes(span.index),
        }
    }

    /// How many terms.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    fn block(&self, block: u32) -> Cursor<'a> {
        Cursor::new(slice(self.terms, u32_at(self.index, block as usize * 4) as usize, usize::MAX))
    }

    fn first_term(&self, block: u32) -> &'a [u8] {
        let mut cursor = self.block(block);
        cursor.varint();
        let len = cursor.varint() as usize;
        cursor.take(len)
    }

    /// All terms in order.
    pub(crate) fn iter(&self) -> Terms<'a> {
        Terms::new(*self, 0)
    }

    /// The terms from the first that is not less than `from`: the iterator stands before it.
    pub(crate) fn seek(&self, from: &[u8]) -> Terms<'a> {
        let (mut low, mut high) = (0, self.count.div_ceil(BLOCK));
        // The last block whose first term is at most `from` is the only one that can hold it.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_term(middle) <= from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut terms = Terms::new(*self, low.saturating_sub(1) * BLOCK);
        loop {
            let before = terms.next;
            if !terms.advance() {
                return terms;
            }
            if terms.term.as_slice() >= from {
                terms.step_back(before);
                return terms;
            }
        }
    }

    /// A term's ordinal and rows.
    pub(crate) fn find(&self, term: &[u8]) -> Option<(u32, List<'a>)> {
        let mut terms = self.seek(term);
        (terms.advance() && terms.term == term).then(|| (terms.ordinal(), terms.list()))
    }

    /// The term with this ordinal.
    pub(crate) fn term(&self, ordinal: u32) -> Option<Vec<u8>> {
        let mut terms = Terms::new(*self, ordinal - ordinal % BLOCK);
        for _ in 0..=ordinal % BLOCK {
            if !terms.advance() {
                return None;
            }
        }
        Some(terms.term)
    }
}

/// Goes through a dictionary. [`advance`](Terms::advance) comes before the first term.
pub(crate) struct Terms<'a> {
    dict: Dict<'a>,
    /// The ordinal of the term that comes next.
    next: u32,
    cursor: Cursor<'a>,
    term: Vec<u8>,
    /// So many bytes the term has in common with the one before.
    shared: usize,
    list: List<'a>,
    /// Where the next list that is not inline starts in the postings.
    postings_at: usize,
    /// The term is already decoded: `seek` looked one ahead.
    ahead: bool,
}

impl<'a> Terms<'a> {
    /// `from` is the ordinal of a block's first term.
    fn new(dict: Dict<'a>, from: u32) -> Terms<'a> {
        Terms {
            dict,
            next: from,
            cursor: Cursor::new(&[]),
            term: Vec::with_capacity(64),
            shared: 0,
            list: List::none(),
            postings_at: 0,
            ahead: false,
        }
    }

    /// Makes the term that was just read the one that the next `advance` gives.
    fn step_back(&mut self, next: u32) {
        self.next = next;
        self.ahead = true;
        // Whoever asks has not seen the term before.
        self.shared = 0;
    }

    /// Goes to the next term; false at the end.
    #[inline]
    pub(crate) fn advance(&mut self) -> bool {
        if self.ahead {
            self.ahead = false;
            self.next += 1;
            return true;
        }
        if self.next >= self.dict.count {
            return false;
        }
        if self.next.is_multiple_of(BLOCK) {
            self.cursor = self.dict.block(self.next / BLOCK);
            self.postings_at = self.cursor.varint() as usize;
            self.shared = 0;
        } else {
            self.shared = self.cursor.varint() as usize;
        }
        self.term.truncate(self.shared);
        let len = self.cursor.varint() as usize;
        self.term.extend_from_slice(self.cursor.take(len));
        let count = self.cursor.varint32();
        let bytes = if count == self.dict.rows {
            &[]
        } else if count <= INLINE {
            let bytes = self.cursor.rest();
            for _ in 0..count {
                self.cursor.varint();
            }
            bytes
        } else {
            let len = self.cursor.varint() as usize;
            let bytes = slice(self.dict.postings, self.postings_at, len);
            self.postings_at += len;
            bytes
        };
        self.list = List::new(count, self.dict.rows, bytes);
        self.next += 1;
        true
    }

    pub(crate) fn term(&self) -> &[u8] {
        &self.term
    }

    /// How many bytes the term was said to have in common with the one before; none in the first of a block.
    pub(crate) fn shared(&self) -> usize {
        self.shared
    }

    pub(crate) fn ordinal(&self) -> u32 {
        self.next - 1
    }

    pub(crate) fn list(&self) -> List<'a> {
        self.list
    }
}

/// Whether a term stands for something longer. 0xFF ends the known part of a word, and of a value with 16 bytes after
/// it; within those anything may stand.
pub(crate) fn is_cut(term: &[u8]) -> bool {
    // A shorter one is whole: at least this much of what is cut stays.
    term.len() > MAX_WORD_BYTES - 4 && term.contains(&CUT)
}

/// A term's text, and whether that is the whole value.
pub(crate) fn text(term: &[u8]) -> (&str, bool) {
    let (known, whole) = match term.iter().position(|byte| *byte == CUT) {
        Some(place) => (term.get(..place).unwrap_or(&[]), false),
        None => (term, true),
    };
    (std::str::from_utf8(known).unwrap_or_default(), whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(terms: &[(String, Vec<u32>)], rows: u32) {
        let mut bytes = Vec::new();
        let mut out = Out::new(&mut bytes);
        out.put(b"something before").unwrap();
        let mut writer = DictWriter::new(rows);
        for _ in 0..2 {
            // A writer is used again.
            writer.start(&out);
            for (at, (term, list)) in terms.iter().enumerate() {
                assert_eq!(writer.push(&mut out, term.as_bytes(), list).unwrap() as usize, at);
            }
        }
        let span = writer.finish(&mut out).unwrap();
        out.checksum().unwrap();

        let dict = Dict::new(&bytes, &span, rows);
        let mut all = dict.iter();
        for (at, (term, list)) in terms.iter().enumerate() {
            assert!(all.advance());
            assert_eq!((all.term(), all.ordinal() as usize), (term.as_bytes(), at));
            assert_eq!(all.list().to_set().iter().collect::<Vec<_>>(), *list, "{term}");
            let (ordinal, found) = dict.find(term.as_bytes()).unwrap();
            assert_eq!((ordinal as usize, found.to_set().iter().collect::<Vec<_>>()), (at, list.clone()));
            assert_eq!(dict.term(ordinal).as_deref(), Some(term.as_bytes()));
            let missing = format!("{term}\0");
            assert!(dict.find(missing.as_bytes()).is_none());
            let mut after = dict.seek(missing.as_bytes());
            assert_eq!(
                after.advance().then(|| after.term().to_vec()),
                terms.get(at + 1).map(|next| next.0.clone().into())
            );
        }
        assert!(!all.advance());
        assert!(dict.find(b"zzzz").is_none());
        assert!(dict.find(b"").is_none() || terms.first().is_some_and(|first| first.0.is_empty()));
        assert!(dict.term(terms.len() as u32).is_none());
    }

    #[test]
    fn dictionaries_come_back() {
        let rows = 3000;
        for count in [0, 1, 2, 15, 16, 17, 500] {
            let mut terms: Vec<(String, Vec<u32>)> = (0..count)
                .map(|i| {
                    let list = (0..rows).filter(|row| row % (i * 3 + 1) == i % 3).collect();
                    (format!("{}term {i:03}", "é".repeat((i % 5) as usize)), list)
                })
                .collect();
            terms.sort();
            check(&terms, rows);
        }
        check(&[(String::new(), vec![0]), ("a".repeat(300), vec![0]), ("a".repeat(301), vec![])], 1);
    }

    #[test]
    fn cut_terms_show_their_start() {
        assert_eq!(text("whole".as_bytes()), ("whole", true));
        assert_eq!(text(b"start\xFF\xFE\x01"), ("start", false));
    }
}
