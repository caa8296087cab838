//! Where one message ends in a stream of GELF: at a NUL, as the format says, at a line's end, as some write, or where its object ends.

/// Cuts a stream into messages. A message that is an object ends with its closing brace, whatever follows; anything else ends at a NUL or
/// at a line's end.
#[derive(Debug)]
pub struct JsonFrames {
    max_bytes: usize,
    buffer: Vec<u8>,
    /// How many bytes of the current message were more than allowed.
    cut_bytes: u64,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonFrames {
    /// Of each message, at most `max_bytes` are kept.
    pub fn new(max_bytes: usize) -> JsonFrames {
        JsonFrames { max_bytes, buffer: Vec::new(), cut_bytes: 0, depth: 0, in_string: false, escaped: false }
    }

    /// Takes what was read from the stream; `each` gets every message that is whole, and how many bytes of it are missing.
    pub fn read(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8], u64)) {
        for byte in bytes {
            let is_object = self.depth > 0 || self.in_string;
            match byte {
                0 => self.end(each),
                b'\n' if !is_object => self.end(each),
                b' ' | b'\r' | b'\t' if self.buffer.is_empty() => {}
                byte => {
                    let begins = self.buffer.is_empty();
                    self.keep(*byte);
                    if (begins && *byte == b'{') || is_object {
                        self.step(*byte);
                        if self.depth == 0 {
                            self.end(each);
                        }
                    }
                }
            }
        }
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self, each: &mut dyn FnMut(&[u8], u64)) {
        self.end(each);
    }

    fn keep(&mut self, byte: u8) {
        if self.buffer.len() < self.max_bytes {
            self.buffer.push(byte);
        } else {
            self.cut_bytes += 1;
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn end(&mut self, each: &mut dyn FnMut(&[u8], u64)) {
        if !self.buffer.is_empty() || self.cut_bytes > 0 {
            each(&self.buffer, self.cut_bytes);
        }
        self.buffer.clear();
        (self.cut_bytes, self.depth, self.in_string, self.escaped) = (0, 0, false, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(stream: &[u8], max_bytes: usize, step: usize) -> Vec<(String, u64)> {
        let mut frames = JsonFrames::new(max_bytes);
        let mut found = Vec::new();
        let mut each = |bytes: &[u8], cut| found.push((String::from_utf8_lossy(bytes).into_owned(), cut));
        for piece in stream.chunks(step) {
            frames.read(piece, &mut each);
        }
        frames.finish(&mut each);
        found
    }

    #[test]
    fn messages_end_where_they_end() {
        for (stream, expected) in [
            ("{\"a\":1}\0{\"b\":2}\0", &[("{\"a\":1}", 0), ("{\"b\":2}", 0)][..]),
            ("{\"a\":1}\n{\"b\":2}\r\n", &[("{\"a\":1}", 0), ("{\"b\":2}", 0)]),
            ("{\"a\":1}{\"b\":2}", &[("{\"a\":1}", 0), ("{\"b\":2}", 0)]),
            ("{\n \"a\": {\n }\n}\0 \0\n{}", &[("{\n \"a\": {\n }\n}", 0), ("{}", 0)]),
            (r#"{"a":"}{\"\\"}{"b":[{}]}"#, &[(r#"{"a":"}{\"\\"}"#, 0), (r#"{"b":[{}]}"#, 0)]),
            ("hello\nworld\0", &[("hello", 0), ("world", 0)]),
            ("{\"a\":\0{\"b\":2}\0", &[("{\"a\":", 0), ("{\"b\":2}", 0)]),
            ("{\"no end", &[("{\"no end", 0)]),
            ("{\"a\":\"0123456789012345\"}{\"b\":2}", &[("{\"a\":\"0123456789", 8), ("{\"b\":2}", 0)]),
            ("\0\0\n \n", &[]),
        ] {
            for step in [1, 2, 5, 100] {
                let expected: Vec<_> =
                    expected.iter().map(|(text, cut)| ((*text).to_owned(), *cut)).collect();
                assert_eq!(split(stream.as_bytes(), 16, step), expected, "{stream:?} by {step}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(stream in "[{}\\[\\]\"\\\\a\n\0 ]{0,60}", step in 1usize..20) {
            prop_assert_eq!(split(stream.as_bytes(), 20, step), split(stream.as_bytes(), 20, 1_000));
        }
    }
}
