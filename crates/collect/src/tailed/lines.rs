//! Bytes into records: lines, cut where they are too long, and joined where several belong together.

use regex_lite::Regex;

/// A line ends here at the latest, whatever a file holds: what has no end must not be read again and again.
const LONGEST: u64 = 16 << 20;

/// How records are told apart.
#[derive(Debug)]
pub(super) struct Framing {
    pub(super) max_line: usize,
    pub(super) joins: Option<Joins>,
}

/// Which lines belong to the one before.
#[derive(Debug)]
pub(super) struct Joins {
    pub(super) begins: Begins,
    pub(super) max_lines: u64,
    pub(super) max_bytes: usize,
}

#[derive(Debug)]
pub(super) enum Begins {
    /// A record begins with a line that matches.
    Matching(Regex),
    /// A record begins with a line that does not begin with white space.
    Unindented,
}

/// One record, in place.
#[derive(Debug, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) bytes: &'a [u8],
    /// How many bytes were left out.
    pub(super) cut: u64,
    /// Where it begins and ends in the file, with its last newline.
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Takes the bytes of one file, in order, from `at` on.
pub(super) struct Lines<'f> {
    framing: &'f Framing,
    /// The line that has begun.
    line: Held,
    /// The record that has begun, of whole lines.
    record: Held,
    lines: u64,
    at: u64,
}

#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    cut: u64,
    start: u64,
    length: u64,
}

impl Held {
    fn add(&mut self, bytes: &[u8], most: usize) {
        let room = bytes.len().min(most.saturating_sub(self.bytes.len()));
        let (kept, left) = bytes.split_at(room);
        self.bytes.extend_from_slice(kept);
        self.cut += left.len() as u64;
        self.length += bytes.len() as u64;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        (self.cut, self.length) = (0, 0);
    }
}

impl<'f> Lines<'f> {
    pub(super) fn new(framing: &'f Framing, at: u64) -> Lines<'f> {
        Lines { framing, line: Held::default(), record: Held::default(), lines: 0, at }
    }

    /// Where the next bytes belong.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether a record has begun and is not given out.
    pub(super) fn is_waiting(&self) -> bool {
        self.lines > 0
    }

    /// Gives out the records that end in `chunk`.
    pub(super) fn take<E>(
        &mut self,
        chunk: &[u8],
        out: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let found = memchr::memchr(b'\n', rest);
            let (part, after) = rest.split_at(found.unwrap_or(rest.len()));
            rest = after.get(1..).unwrap_or_default();
            self.at += part.len() as u64 + u64::from(found.is_some());
            if found.is_some() && self.line.length == 0 {
                let kept = part.get(..self.framing.max_line.min(part.len())).unwrap_or_default();
                let start = self.at - part.len() as u64 - 1;
                self.line(kept, (part.len() - kept.len()) as u64, start, out)?;
                continue;
            }
            if self.line.length == 0 {
                self.line.start = self.at - part.len() as u64;
            }
            self.line.add(part, self.framing.max_line);
            if found.is_some() || self.line.length >= LONGEST {
                self.end_line(out)?;
            }
        }
        Ok(())
    }

    /// Gives out what has begun as well: nothing will follow.
    pub(super) fn finish<E>(
        &mut self,
        line_too: bool,
        out: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if line_too && self.line.length > 0 {
            self.end_line(out)?;
        }
        let end = if self.line.length > 0 { self.line.start } else { self.at };
        self.end_record(end, out)
    }

    fn end_line<E>(&mut self, out: &mut dyn FnMut(Record<'_>) -> Result<(), E>) -> Result<(), E> {
        let held = std::mem::take(&mut self.line);
        self.line(&held.bytes, held.cut, held.start, out)?;
        // Its memory is used again.
        self.line = held;
        self.line.clear();
        Ok(())
    }

    /// One whole line; `self.at` is after it.
    fn line<E>(
        &mut self,
        bytes: &[u8],
        cut: u64,
        start: u64,
        out: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // A file that was emptied under a writer that does not append begins with a hole.
        let holes = bytes.iter().take_while(|&&byte| byte == 0).count();
        let bytes = bytes.get(holes..).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let Some(joins) = &self.framing.joins else {
            return out(Record { bytes, cut, start, end: self.at });
        };
        let begins = match &joins.begins {
            Begins::Unindented => !bytes.first().is_none_or(u8::is_ascii_whitespace),
            Begins::Matching(pattern) => pattern.is_match(&String::from_utf8_lossy(bytes)),
        };
        if begins || self.lines >= joins.max_lines || self.record.bytes.len() >= joins.max_bytes {
            self.end_record(start, out)?;
        }
        if self.lines == 0 {
            self.record.start = start;
        } else {
            self.record.add(b"\n", joins.max_bytes);
        }
        self.lines += 1;
        self.record.add(bytes, joins.max_bytes);
        self.record.cut += cut;
        Ok(())
    }

    fn end_record<E>(&mut self, end: u64, out: &mut dyn FnMut(Record<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.lines == 0 {
            return Ok(());
        }
        let bytes = self.record.bytes.trim_ascii_end();
        out(Record { bytes, cut: self.record.cut, start: self.record.start, end })?;
        self.record.clear();
        self.lines = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// The records of a text that comes in pieces of `size`, with where they begin and end.
    fn records(framing: &Framing, text: &str, size: usize, complete: bool) -> Vec<(String, u64, u64, u64)> {
        let mut seen = Vec::new();
        let mut out = |record: Record<'_>| -> Result<(), Infallible> {
            let text = String::from_utf8(record.bytes.to_vec()).unwrap();
            seen.push((text, record.start, record.end, record.cut));
            Ok(())
        };
        let mut lines = Lines::new(framing, 100);
        for piece in text.as_bytes().chunks(size) {
            lines.take(piece, &mut out).unwrap();
        }
        if complete {
            lines.finish(true, &mut out).unwrap();
        }
        seen
    }

    fn framing(max_line: usize, begins: Option<Begins>) -> Framing {
        let joins = begins.map(|begins| Joins { begins, max_lines: 3, max_bytes: 20 });
        Framing { max_line, joins }
    }

    #[test]
    fn lines_are_the_same_in_any_pieces() {
        let text = "one\n\ntwo\r\n0123456789ABC\n\0\0after a hole\nhalf";
        let expected = [
            ("one", 100, 104, 0),
            ("", 104, 105, 0),
            ("two", 105, 110, 0),
            ("0123456789", 110, 124, 3),
            ("after a ", 124, 139, 4),
        ];
        for size in 1..=text.len() {
            let mut expected: Vec<_> = expected
                .iter()
                .map(|(text, start, end, cut)| ((*text).to_owned(), *start, *end, *cut))
                .collect();
            assert_eq!(records(&framing(10, None), text, size, false), expected, "{size}");
            expected.push(("half".to_owned(), 139, 143, 0));
            assert_eq!(records(&framing(10, None), text, size, true), expected, "{size}");
        }
    }

    #[test]
    fn lines_that_belong_together_are_joined() {
        let trace = "ERROR a\n  at b\n\n  at c\nINFO d\nINFO e\n\tf\n";
        let indented = ["ERROR a\n  at b\n", "  at c", "INFO d", "INFO e\n\tf"];
        let dated = Begins::Matching(Regex::new(r"^\d+ ").unwrap());
        let joined = |begins, text: &str, complete| -> Vec<String> {
            let framing = framing(100, Some(begins));
            let whole = records(&framing, text, text.len(), complete);
            for size in 1..text.len() {
                assert_eq!(records(&framing, text, size, complete), whole);
            }
            // Each goes on where the one before ended.
            assert!(whole.windows(2).all(|two| two[0].2 == two[1].1), "{whole:?}");
            whole.into_iter().map(|(text, ..)| text).collect()
        };
        let trimmed: Vec<&str> = indented.iter().map(|text| text.trim_end()).collect();
        assert_eq!(joined(Begins::Unindented, trace, true), trimmed);
        assert_eq!(joined(Begins::Unindented, trace, false), trimmed[..3]);
        assert_eq!(
            joined(dated, "x\n1 a\n b\n c\n d\n2 aaaaaaaaaaaaaaaaaaaaaaaaa\nb\n3 c\n", true),
            ["x", "1 a\n b\n c", " d", "2 aaaaaaaaaaaaaaaaaa", "b", "3 c"]
        );
    }
}
