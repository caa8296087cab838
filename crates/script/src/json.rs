//! Reading JSON in place: a value is found and left where it is until somebody wants it.
//!
//! What nobody reads is only skipped, so this accepts some text that is no JSON; the border (`attestry_event`) is who judges. What is
//! read is checked.

use std::borrow::Cow;

use memchr::memchr2;

use crate::RunError;

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    pub(crate) fn fail(&self, expected: &'static str) -> RunError {
        RunError::Json { at: self.at, expected }
    }

    /// The first byte of what comes next, white space skipped.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Takes this byte if it comes next, white space skipped.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Checks that nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), RunError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fail("nothing after the event")),
        }
    }

    /// A string with its quotes, as it is written.
    pub(crate) fn quoted(&mut self) -> Result<Quoted<'a>, RunError> {
        if !self.take(b'"') {
            return Err(self.fail("a string"));
        }
        let open = self.at.saturating_sub(1);
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else { return Err(self.fail("a closing quote")) };
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return Ok(Quoted { token: self.text.get(open..self.at).unwrap_or_default(), escaped });
            }
            escaped = true;
            // What is escaped is one byte, or a `u` and ASCII; skipping one byte of it gets past an escaped quote.
            self.at = (self.at + 1).min(self.text.len());
        }
    }

    /// Any value, as it is written. Nesting costs no stack.
    pub(crate) fn token(&mut self) -> Result<&'a str, RunError> {
        let Some(first) = self.peek() else { return Err(self.fail("a value")) };
        let start = self.at;
        match first {
            b'"' => {
                self.quoted()?;
            }
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.text.as_bytes().get(self.at) {
                        None => return Err(self.fail("a closing brace or bracket")),
                        Some(b'"') => {
                            self.quoted()?;
                            continue;
                        }
                        Some(b'{' | b'[') => depth += 1,
                        Some(b'}' | b']') => depth -= 1,
                        Some(_) => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                let rest = self.text.as_bytes().get(start..).unwrap_or_default();
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                self.at += rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
                if self.at == start {
                    return Err(self.fail("a value"));
                }
            }
        }
        self.text.get(start..self.at).ok_or_else(|| self.fail("a value"))
    }

    /// Visits the members of an object: the name, and a reader that stands before the value and must take it.
    pub(crate) fn members(
        &mut self,
        mut visit: impl FnMut(Quoted<'a>, &mut Reader<'a>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        if !self.take(b'{') {
            return Err(self.fail("an object"));
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.quoted()?;
            if !self.take(b':') {
                return Err(self.fail("a colon"));
            }
            visit(name, self)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fail("a comma or a closing brace"));
            }
        }
    }

    /// Visits the elements of an array, as [`members`](Self::members) does.
    pub(crate) fn elements(
        &mut self,
        mut visit: impl FnMut(&mut Reader<'a>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        if !self.take(b'[') {
            return Err(self.fail("an array"));
        }
        if self.take(b']') {
            return Ok(());
        }
        loop {
            visit(self)?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fail("a comma or a closing bracket"));
            }
        }
    }
}

/// A string as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a> {
    /// With the quotes.
    pub(crate) token: &'a str,
    escaped: bool,
}

impl<'a> Quoted<'a> {
    /// What it says.
    pub(crate) fn text(self) -> Result<Cow<'a, str>, RunError> {
        if self.escaped {
            return serde_json::from_str(self.token).map(Cow::Owned).map_err(|error| RunError::Json {
                at: error.column(),
                expected: "an escape sequence as JSON has them",
            });
        }
        let inner = self.token.get(1..self.token.len().saturating_sub(1));
        Ok(Cow::Borrowed(inner.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_as_they_are_written() {
        for (text, token) in [
            (r#" "a\"b\\" , 1"#, Some(r#""a\"b\\""#)),
            (r#""é\u00e9""#, Some(r#""é\u00e9""#)),
            ("1e5,", Some("1e5")),
            (" -0.10]", Some("-0.10")),
            ("true}", Some("true")),
            (r#"{"a":[1,{"}":"]\""}]} x"#, Some(r#"{"a":[1,{"}":"]\""}]}"#)),
            ("[]", Some("[]")),
            ("", None),
            (",", None),
            (r#""open"#, None),
            (r#""open\"#, None),
            ("[[1]", None),
            ("é", None),
        ] {
            assert_eq!(Reader::new(text).token().ok(), token, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let text = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(Reader::new(&text).token().unwrap().len(), text.len());
    }

    #[test]
    fn strings_are_unescaped() {
        for (token, text) in [
            (r#""a""#, Some("a")),
            (r#""""#, Some("")),
            (r#""\u00e9\n\ud83d\ude00""#, Some("é\n😀")),
            (r#""\ud83d""#, None),
            (r#""\x""#, None),
        ] {
            let quoted = Reader::new(token).quoted().unwrap();
            assert_eq!(quoted.text().ok().as_deref(), text, "{token}");
        }
    }

    #[test]
    fn members_are_visited_in_order() {
        let mut seen = Vec::new();
        let mut reader = Reader::new(r#" { "a" : 1 , "b":[ 2 , 3 ] } "#);
        reader
            .members(|name, reader| {
                seen.push(format!("{}={}", name.text()?, reader.token()?));
                Ok(())
            })
            .unwrap();
        reader.end().unwrap();
        assert_eq!(seen, ["a=1", "b=[ 2 , 3 ]"]);
        for broken in ["{\"a\"}", "{\"a\":1", "{a:1}", "{\"a\":1,}", "[1]", "{\"a\":1 \"b\":2}"] {
            let mut reader = Reader::new(broken);
            assert!(reader.members(|_, reader| reader.token().map(drop)).is_err(), "{broken}");
        }
    }
}
