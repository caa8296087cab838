//! Lines out of a stream of bytes, however it is cut.

/// The longest line, in bytes without its end: the largest event, and a little for white space.
pub const LINE_MAX_BYTES: usize = attestry_event::MAX_EVENT_BYTES;

/// What is kept of a line that is too long.
const BEGINNING_BYTES: usize = 1_000;

/// A line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// All of it; never empty or only white space.
    Whole(Vec<u8>),
    /// Longer than [`LINE_MAX_BYTES`].
    TooLong {
        /// Its first bytes.
        beginning: Vec<u8>,
        /// How long it was.
        bytes: u64,
    },
}

/// Cuts a stream into lines. Empty lines are left out, a `\r` before the end does not count.
#[derive(Debug)]
pub struct Splitter {
    line: Vec<u8>,
    /// How long the line is by now; more than is kept when it is too long.
    bytes: u64,
    most: usize,
}

impl Default for Splitter {
    fn default() -> Splitter {
        Splitter { line: Vec::new(), bytes: 0, most: LINE_MAX_BYTES }
    }
}

impl Splitter {
    /// Takes more of the stream.
    pub fn push(&mut self, mut more: &[u8], mut take: impl FnMut(Line)) {
        while let Some(at) = more.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = more.split_at(at);
            self.keep(line);
            self.finish().into_iter().for_each(&mut take);
            more = rest.get(1..).unwrap_or_default();
        }
        self.keep(more);
    }

    /// The line that the stream ended with.
    pub fn finish(&mut self) -> Option<Line> {
        let (mut line, bytes) = (std::mem::take(&mut self.line), std::mem::take(&mut self.bytes));
        if bytes > self.most as u64 {
            return Some(Line::TooLong { beginning: line, bytes });
        }
        line.pop_if(|last| *last == b'\r');
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(Line::Whole(line))
    }

    fn keep(&mut self, more: &[u8]) {
        self.bytes += more.len() as u64;
        if self.bytes <= self.most as u64 {
            self.line.extend_from_slice(more);
        } else {
            // The beginning may not all be there yet, when one read brought more than a line may have.
            let room = BEGINNING_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(more.get(..room).unwrap_or(more));
            self.line.truncate(BEGINNING_BYTES);
            self.line.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(most: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let mut splitter = Splitter { most, ..Splitter::default() };
        let mut lines = Vec::new();
        pieces.iter().for_each(|piece| splitter.push(piece, |line| lines.push(line)));
        lines.extend(splitter.finish());
        lines
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn lines() {
        for (text, expected) in [
            ("", vec![]),
            ("\n\n \r\n", vec![]),
            ("a", vec![whole("a")]),
            ("a\n", vec![whole("a")]),
            ("a\r\nb\r\n", vec![whole("a"), whole("b")]),
            ("a\n\n\nb", vec![whole("a"), whole("b")]),
            ("12345\n", vec![whole("12345")]),
            ("123456\nx\n", vec![Line::TooLong { beginning: b"123456".to_vec(), bytes: 6 }, whole("x")]),
            ("123456", vec![Line::TooLong { beginning: b"123456".to_vec(), bytes: 6 }]),
        ] {
            assert_eq!(split(5, &[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn a_long_line_takes_no_memory() {
        let mut splitter = Splitter { most: 5_000, ..Splitter::default() };
        for _ in 0..100 {
            splitter.push(&[b'x'; 1_000], |line| panic!("{line:?}"));
        }
        assert!(splitter.line.capacity() <= 5_000);
        assert_eq!(splitter.finish(), Some(Line::TooLong { beginning: vec![b'x'; 1_000], bytes: 100_000 }));
    }

    proptest::proptest! {
        #[test]
        fn however_the_stream_is_cut(text in "[ab\r\n ]{0,60}", cuts in proptest::collection::vec(1usize..9, 0..40)) {
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            proptest::prop_assert_eq!(split(7, &pieces), split(7, &[text.as_bytes()]));
        }
    }
}
