//! Where one message ends and the next begins in a stream: RFC 6587.

/// A message out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What is kept of it.
    pub bytes: &'a [u8],
    /// How many bytes of it are missing: it was longer than allowed, or the stream ended within it.
    pub cut_bytes: u64,
}

/// Cuts a stream into messages. Which way they are told apart is seen message by message: one that begins with a number, a space and `<` is
/// counted, any other ends with a line feed.
#[derive(Debug)]
pub struct Frames {
    max_bytes: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next message begins.
    start: usize,
    /// How far the buffer was searched for a line feed.
    searched: usize,
    /// Of a counted message: what it still has beyond what is kept.
    skip: u64,
    /// Of a line: what was left out so far beyond what is kept, while its end has not come.
    long_line: Option<u64>,
}

/// A length has at most so many digits: more than any message can have.
const COUNT_DIGITS: usize = 9;

enum Kind {
    Counted { head: usize, len: usize },
    Line,
    Unknown,
}

impl Frames {
    /// Of each message, at most `max_bytes` are kept.
    pub fn new(max_bytes: usize) -> Frames {
        Frames {
            max_bytes: max_bytes.max(1),
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skip: 0,
            long_line: None,
        }
    }

    /// Takes what was read from the stream. Everything that [`next`](Self::next) gives must be taken before.
    pub fn push(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.buffer.drain(..self.start);
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
    }

    /// The next whole message.
    #[allow(
        clippy::should_implement_trait,
        reason = "a frame borrows from the buffer, an Iterator's item cannot"
    )]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        if self.long_line.is_none() {
            match self.kind() {
                Kind::Unknown => return None,
                Kind::Counted { head, len } => return self.counted(head, len),
                Kind::Line => {}
            }
        }
        self.line()
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        let missing = match self.kind() {
            Kind::Counted { head, len } if self.long_line.is_none() => {
                let have = self.buffer.len() - self.start - head;
                self.start += head;
                (len - have.min(len)) as u64
            }
            _ => self.long_line.take().unwrap_or(0),
        };
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        self.start = self.buffer.len();
        let kept = bytes.get(..self.max_bytes).unwrap_or(bytes);
        let cut_bytes = missing + (bytes.len() - kept.len()) as u64;
        (!kept.is_empty() || cut_bytes > 0).then_some(Frame { bytes: kept, cut_bytes })
    }

    /// How many bytes wait for their message's end.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn kind(&self) -> Kind {
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        let digits = bytes.iter().take(COUNT_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || bytes.first() == Some(&b'0') {
            return if bytes.is_empty() { Kind::Unknown } else { Kind::Line };
        }
        match (bytes.get(digits), bytes.get(digits + 1)) {
            (None, _) | (Some(b' '), None) => Kind::Unknown,
            (Some(b' '), Some(b'<')) => {
                let number = bytes.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
                number
                    .and_then(|number| number.parse().ok())
                    .map_or(Kind::Line, |len| Kind::Counted { head: digits + 1, len })
            }
            _ => Kind::Line,
        }
    }

    fn counted(&mut self, head: usize, len: usize) -> Option<Frame<'_>> {
        let begin = self.start + head;
        let kept = len.min(self.max_bytes);
        if self.buffer.len() - begin < kept {
            return None;
        }
        let there = (self.buffer.len() - begin).min(len);
        self.skip = (len - there) as u64;
        self.start = begin + there;
        self.searched = self.start;
        let bytes = self.buffer.get(begin..begin + kept).unwrap_or_default();
        Some(Frame { bytes, cut_bytes: (len - kept) as u64 })
    }

    fn line(&mut self) -> Option<Frame<'_>> {
        let from = self.searched.max(self.start);
        let rest = self.buffer.get(from..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest).map(|at| from + at) else {
            let len = self.buffer.len() - self.start;
            if len > self.max_bytes {
                *self.long_line.get_or_insert(0) += (len - self.max_bytes) as u64;
                self.buffer.truncate(self.start + self.max_bytes);
            }
            self.searched = self.buffer.len();
            return None;
        };
        let begin = std::mem::replace(&mut self.start, end + 1);
        self.searched = self.start;
        let line = self.buffer.get(begin..end).unwrap_or_default();
        let kept = line.get(..self.max_bytes).unwrap_or(line);
        let cut_bytes = self.long_line.take().unwrap_or(0) + (line.len() - kept.len()) as u64;
        Some(Frame { bytes: kept, cut_bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(stream: &[u8], max_bytes: usize, step: usize) -> Vec<(Vec<u8>, u64)> {
        let mut frames = Frames::new(max_bytes);
        let mut found = Vec::new();
        for piece in stream.chunks(step.max(1)) {
            frames.push(piece);
            while let Some(frame) = frames.next() {
                found.push((frame.bytes.to_vec(), frame.cut_bytes));
            }
        }
        found.extend(frames.finish().map(|frame| (frame.bytes.to_vec(), frame.cut_bytes)));
        found
    }

    #[test]
    fn either_way_of_framing_is_seen_by_each_message() {
        for (stream, expected) in [
            ("<1>a\n<2>b\n", &[("<1>a", 0), ("<2>b", 0)][..]),
            ("4 <1>a5 <2>bc", &[("<1>a", 0), ("<2>bc", 0)]),
            ("4 <1>a<2>b\n5 <3>\nc", &[("<1>a", 0), ("<2>b", 0), ("<3>\nc", 0)]),
            ("4 <1>a\n4 <2>b\n", &[("<1>a", 0), ("", 0), ("<2>b", 0), ("", 0)]),
            ("12 monkeys\nplain\n", &[("12 monkeys", 0), ("plain", 0)]),
            ("2026-11-21 x\n\n<1>\n", &[("2026-11-21 x", 0), ("", 0), ("<1>", 0)]),
            ("04 <1>a\n", &[("04 <1>a", 0)]),
            ("<1>no end", &[("<1>no end", 0)]),
            ("9 <1>ab", &[("<1>ab", 4)]),
            ("<1>12345678901234567890\n<2>b\n", &[("<1>123456789", 11), ("<2>b", 0)]),
            ("20 <1>123456789012345674 <2>b", &[("<1>123456789", 8), ("<2>b", 0)]),
            ("<1>12345678901234567890", &[("<1>123456789", 11)]),
            ("20 <1>1234567890123", &[("<1>123456789", 8)]),
            ("9999999999 <1>a\n", &[("9999999999 <", 3)]),
            ("", &[]),
        ] {
            for step in [1, 2, 3, 7, 1_000] {
                let expected: Vec<_> =
                    expected.iter().map(|(text, cut)| (text.as_bytes().to_vec(), *cut)).collect();
                assert_eq!(split(stream.as_bytes(), 12, step), expected, "{stream:?} by {step}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(stream in "([0-9]{1,2} )?[<0-9a\n ]{0,60}", step in 1usize..20, max in 1usize..30) {
            prop_assert_eq!(split(stream.as_bytes(), max, step), split(stream.as_bytes(), max, 1_000));
        }

        #[test]
        fn counted_messages_come_back(messages in prop::collection::vec("<[ -~\n]{1,40}", 0..10), step in 1usize..50) {
            let stream: String = messages.iter().map(|message| format!("{} {message}", message.len())).collect();
            let found: Vec<_> = split(stream.as_bytes(), 100, step).into_iter().map(|(bytes, _)| bytes).collect();
            let expected: Vec<_> = messages.iter().map(|message| message.as_bytes().to_vec()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
