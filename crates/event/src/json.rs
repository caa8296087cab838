//! Reading JSON (RFC 8259) where it stands: no tree, no copies, tokens as they are written.

use crate::text::{Form, Str, find_special, read_escape};

/// The text stops being JSON: [`Reader::pos`] says where, [`Reader::expected`] what belongs there.
///
/// It carries nothing itself so that the results of reading fit a register; there are fifty of them in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax;

/// A place in a text that is being read. Every method that fails leaves it where reading failed.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    pos: usize,
    expected: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, pos: 0, expected: "" }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// What was read since `start`. Empty rather than a panic if `start` is not a place of this text.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    /// After a failure: what belongs at [`Reader::pos`].
    pub(crate) fn expected(&self) -> &'static str {
        self.expected
    }

    #[cold]
    pub(crate) fn fail<T>(&mut self, expected: &'static str) -> Result<T, Syntax> {
        self.expected = expected;
        Err(Syntax)
    }

    pub(crate) fn skip_white(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos += 1;
        }
    }

    /// Steps over `byte`, an ASCII character, if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.pos += usize::from(next);
        next
    }

    /// Steps over `token`, if it is next.
    pub(crate) fn take_all(&mut self, token: &str) -> bool {
        let next = self.text.as_bytes().get(self.pos..self.pos + token.len()) == Some(token.as_bytes());
        if next {
            self.pos += token.len();
        }
        next
    }

    /// Reads a string: what is between the quotes.
    // Inlined, and the rare part returns nothing, so that the result never goes through memory: that cost as much as
    // finding the end.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Str<'a>, Syntax> {
        if !self.take(b'"') {
            return self.fail("a string");
        }
        let start = self.pos;
        self.pos = find_special(self.text.as_bytes(), start);
        let form = if self.peek() == Some(b'"') {
            Form::Clean
        } else {
            self.find_closing_quote()?;
            Form::Escaped
        };
        let text = self.since(start);
        self.pos += 1;
        Ok(Str { text, form })
    }

    /// Checks the escapes of a string from the first special character on, and stops at the closing quote.
    #[inline(never)]
    fn find_closing_quote(&mut self) -> Result<(), Syntax> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match read_escape(bytes.get(self.pos..).unwrap_or_default()) {
                    Ok((_, len)) => self.pos = find_special(bytes, self.pos + len),
                    Err(expected) => return self.fail(expected),
                },
                Some(_) => return self.fail("control characters in strings to be escaped"),
                None => return self.fail("the string's closing quote"),
            }
        }
    }

    /// Reads a number: its token.
    pub(crate) fn number(&mut self) -> Result<&'a str, Syntax> {
        let start = self.pos;
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ if self.pos == start => return self.fail("a JSON value"),
            _ => return self.fail("a digit"),
        }
        if let Some(b'0'..=b'9') = self.peek() {
            return self.fail("a number without leading zeros");
        }
        if self.take(b'.') {
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.some_digits()?;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Syntax> {
        let start = self.pos;
        self.digits();
        if self.pos == start { self.fail("a digit") } else { Ok(()) }
    }

    /// Steps over one canonical value. Its syntax is checked only as far as needed to find its end.
    pub(crate) fn skip_value(&mut self) -> Result<(), Syntax> {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.pos += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.pos += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.pos += 1;
                    continue;
                }
                Some(b't' | b'f' | b'n') => {
                    self.literal()?;
                }
                _ => {
                    self.number()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Reads `true`, `false` or `null`: its token.
    pub(crate) fn literal(&mut self) -> Result<&'static str, Syntax> {
        let token = match self.peek() {
            Some(b't') => "true",
            Some(b'f') => "false",
            _ => "null",
        };
        if self.take_all(token) { Ok(token) } else { self.fail("a JSON value") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_token() {
        for token in [
            "0",
            "-0",
            "1e5",
            "1E400",
            "9007199254740993",
            "-1.50e+007",
            "0.0",
            "123456789012345678901234567890",
        ] {
            let text = format!("{token},");
            let mut reader = Reader::new(&text);
            assert_eq!(reader.number(), Ok(token));
            assert_eq!(reader.peek(), Some(b','));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (text, at) in [
            ("", 0),
            ("-", 1),
            ("+1", 0),
            ("01", 1),
            ("-01", 2),
            (".5", 0),
            ("1.", 2),
            ("1.e1", 2),
            ("1e", 2),
            ("1e+", 3),
            ("NaN", 0),
            ("-Infinity", 1),
        ] {
            let mut reader = Reader::new(text);
            assert_eq!((reader.number(), reader.pos()), (Err(Syntax), at), "{text}");
        }
    }

    #[test]
    fn strings_say_where_they_break() {
        for (text, at) in [
            ("", 0),
            ("x", 0),
            ("\"", 1),
            ("\"abc", 4),
            ("\"a\nb\"", 2),
            ("\"a\0b\"", 2),
            (r#""a\"#, 2),
            (r#""a\""#, 4),
            (r#""ab\q""#, 3),
            (r#""ab\ud800""#, 3),
        ] {
            let mut reader = Reader::new(text);
            assert!(reader.string().is_err(), "{text}");
            assert_eq!(reader.pos(), at, "{text}");
        }
    }
}
