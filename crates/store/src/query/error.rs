//! What is wrong with a query, and where: enough for a page to underline it.

/// A query that cannot be read. Positions are bytes of the query's text, on character boundaries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {position}; expected {expected})")]
pub struct SyntaxError {
    /// Where the offending part starts.
    pub position: usize,
    /// How long it is; 0 when something is missing at `position`.
    pub length: usize,
    /// What was found, in one sentence.
    pub message: String,
    /// What would have been understood there.
    pub expected: String,
}

impl SyntaxError {
    pub(super) fn new(
        span: std::ops::Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> SyntaxError {
        SyntaxError {
            position: span.start,
            length: span.end.saturating_sub(span.start),
            message: message.into(),
            expected: expected.into(),
        }
    }
}

/// A query that was read, though perhaps not as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Byte at which the part in doubt starts.
    pub position: usize,
    /// Its length in bytes.
    pub length: usize,
    /// How it was read, and what may have been meant.
    pub message: String,
}

/// What a piece of a query is, for colouring it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A field's name, with its colon.
    Field,
    /// `AND`, `OR`, `NOT`, `-`, `!`, `+`, `&&`, `||`.
    Operator,
    /// `(` or `)`.
    Paren,
    /// A bare value.
    Word,
    /// A bare value that is a number.
    Number,
    /// A quoted value.
    Phrase,
    /// A value with `*` or `?`.
    Wildcard,
    /// `/…/`.
    Regex,
    /// A range's brackets and its `TO`.
    Range,
    /// `>`, `>=`, `<`, `<=`.
    Comparison,
}

impl TokenKind {
    /// The name that the HTTP interface uses.
    pub fn name(self) -> &'static str {
        match self {
            TokenKind::Field => "field",
            TokenKind::Operator => "operator",
            TokenKind::Paren => "paren",
            TokenKind::Word => "word",
            TokenKind::Number => "number",
            TokenKind::Phrase => "phrase",
            TokenKind::Wildcard => "wildcard",
            TokenKind::Regex => "regex",
            TokenKind::Range => "range",
            TokenKind::Comparison => "comparison",
        }
    }
}

/// One coloured piece of a query's text: bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}
