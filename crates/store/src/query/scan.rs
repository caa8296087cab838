//! The pieces of a query's text: bare values, quoted values, regular expressions. What a piece is depends on where it
//! stands (a `[` opens a range only behind a field), so the parser asks for what it expects.

use std::ops::Range;

use super::error::SyntaxError;
use super::pattern::Piece;

/// Where the reading of a query stands.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// What ends a bare value, besides white space and parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// A colon: what was read may be a field's name.
    Colon,
    /// Nothing more: behind a field.
    Space,
    /// A range's closing bracket.
    Bracket,
}

/// A bare value: its characters, escapes resolved.
#[derive(Debug, Clone)]
pub(super) struct Bare {
    pub(super) pieces: Vec<Piece>,
    pub(super) span: Range<usize>,
    /// The text as written, for what must not be escaped to count (`AND`, networks, numbers).
    pub(super) written: String,
}

impl Bare {
    /// The characters, when there is no wildcard among them.
    pub(super) fn literal(&self) -> Option<String> {
        self.pieces.iter().map(|piece| if let Piece::Char(c) = piece { Some(*c) } else { None }).collect()
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes `symbol` if it stands here.
    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Takes `word` if it stands here as a word of its own.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.rest().strip_prefix(word).is_some_and(|rest| match rest.chars().next() {
            None => true,
            Some(c) => c.is_whitespace() || matches!(c, '(' | ')' | '"'),
        });
        if found {
            self.at += word.len();
        }
        found
    }

    /// Reads a bare value up to what ends it; empty when it ends at once.
    pub(super) fn bare(&mut self, until: Until) -> Result<Bare, SyntaxError> {
        let start = self.at;
        let mut pieces = Vec::new();
        while let Some(c) = self.peek() {
            let ends = match c {
                '(' | ')' => true,
                ':' => until == Until::Colon,
                ']' | '}' => until == Until::Bracket,
                c => c.is_whitespace(),
            };
            if ends {
                break;
            }
            let from = self.at;
            self.bump();
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => match self.bump() {
                    Some(escaped) => Piece::Char(escaped),
                    None => {
                        return Err(SyntaxError::new(
                            from..self.at,
                            "nothing follows the backslash",
                            "the character that is meant literally, or \\\\ for a backslash",
                        ));
                    }
                },
                '"' => {
                    return Err(SyntaxError::new(
                        from..self.at,
                        "a quotation mark within a value",
                        "a space before it, or \\\" for the character itself",
                    ));
                }
                c => Piece::Char(c),
            });
        }
        Ok(Bare {
            pieces,
            span: start..self.at,
            written: self.text.get(start..self.at).unwrap_or("").to_owned(),
        })
    }

    /// Reads a quoted value; the cursor stands on its first quotation mark.
    pub(super) fn quoted(&mut self) -> Result<(String, Range<usize>), SyntaxError> {
        let start = self.at;
        self.bump();
        let mut value = String::new();
        while let Some(c) = self.bump() {
            match c {
                '"' => {
                    self.boundary("the quoted value")?;
                    return Ok((value, start..self.at));
                }
                '\\' => match self.bump() {
                    Some(escaped) => value.push(escaped),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(SyntaxError::new(start..self.at, "the quoted value has no end", "a closing \""))
    }

    /// Reads a regular expression; the cursor stands on its first slash. Gives the source, the source's first byte, and
    /// whether case is ignored.
    pub(super) fn regex(&mut self) -> Result<(String, usize, bool, Range<usize>), SyntaxError> {
        const EXPECTED: &str =
            "/expression/ or /expression/i; a value that starts with a slash must be in quotes";
        let start = self.at;
        self.bump();
        let first = self.at;
        let mut source = String::new();
        loop {
            match self.bump() {
                Some('/') => break,
                Some('\\') => match self.bump() {
                    Some('/') => source.push('/'),
                    Some(escaped) => source.extend(['\\', escaped]),
                    None => {
                        return Err(SyntaxError::new(
                            start..self.at,
                            "the regular expression has no end",
                            EXPECTED,
                        ));
                    }
                },
                Some(c) => source.push(c),
                None => {
                    return Err(SyntaxError::new(
                        start..self.at,
                        "the regular expression has no end",
                        EXPECTED,
                    ));
                }
            }
        }
        let fold = self.take("i");
        if self.boundary("the regular expression").is_err() {
            let mut rest = self.clone();
            let _ = rest.bare(Until::Space);
            return Err(SyntaxError::new(
                start..rest.at.max(self.at),
                "a regular expression ends at its second slash, but more follows",
                EXPECTED,
            ));
        }
        if source.is_empty() {
            return Err(SyntaxError::new(start..self.at, "the regular expression is empty", EXPECTED));
        }
        Ok((source, first, fold, start..self.at))
    }

    /// After a quoted value or a regular expression something must end it.
    fn boundary(&self, what: &str) -> Result<(), SyntaxError> {
        match self.peek() {
            None | Some('(' | ')' | ']' | '}') => Ok(()),
            Some(c) if c.is_whitespace() => Ok(()),
            Some(c) => Err(SyntaxError::new(
                self.at..self.at + c.len_utf8(),
                format!("{c:?} follows {what} without a space"),
                "a space, a parenthesis or the end",
            )),
        }
    }
}
