//! The grammar, by recursive descent:
//!
//! ```text
//! query   = [ or ]
//! or      = and { ("OR" | "||") and }
//! and     = not { [ "AND" | "&&" ] not }
//! not     = { "-" | "!" | "+" | "NOT" } primary
//! primary = "(" or ")" | [ field ":" ] value | field ":" "(" or-of-values ")"
//! value   = bare | quoted | "/" regex "/" [ "i" ] | range | comparison
//! range   = ("[" | "{") bound "TO" bound ("]" | "}")
//! comparison = (">" | ">=" | "<" | "<=") bound
//! ```

use std::net::Ipv6Addr;
use std::ops::{Bound, Range};

use attestry_event::Decimal;

use super::ast::{Expr, Subject, Term};
use super::error::{Hint, SyntaxError, Token, TokenKind};
use super::pattern::{Piece, Regex};
use super::resolve::{self, Limit, Raw};
use super::scan::{Bare, Cursor, Until};
use super::{MAX_DEPTH, MAX_QUERY_BYTES, MAX_REGEXES, MAX_TERMS};

const TERM: &str = "a word, a \"phrase\", a field with its value (username:alice), or a group in parentheses";

/// What reading a query gives besides its meaning.
pub(super) struct Parsed {
    pub(super) expr: Expr,
    pub(super) tokens: Vec<Token>,
    pub(super) hints: Vec<Hint>,
}

pub(super) fn parse(text: &str) -> Result<Parsed, SyntaxError> {
    if text.len() > MAX_QUERY_BYTES {
        let message = format!("the query has {} bytes", text.len());
        return Err(SyntaxError::new(0..text.len(), message, format!("at most {MAX_QUERY_BYTES} bytes")));
    }
    let mut parser =
        Parser { cursor: Cursor::new(text), tokens: Vec::new(), hints: Vec::new(), terms: 0, regexes: 0 };
    parser.cursor.skip_space();
    let expr = if parser.cursor.peek().is_none() { Expr::All } else { parser.or(0, None)? };
    if let Some(c) = parser.cursor.peek() {
        let at = parser.cursor.at();
        let message = format!("{c:?} closes nothing");
        return Err(SyntaxError::new(
            at..at + c.len_utf8(),
            message,
            format!("an opening parenthesis before it, or \\{c}"),
        ));
    }
    Ok(Parsed { expr, tokens: parser.tokens, hints: parser.hints })
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    tokens: Vec<Token>,
    hints: Vec<Hint>,
    terms: usize,
    regexes: usize,
}

/// The field that a value belongs to, where one stands before it or before its group.
type Of<'f> = Option<&'f Subject>;

impl Parser<'_> {
    fn or(&mut self, depth: usize, of: Of<'_>) -> Result<Expr, SyntaxError> {
        let mut parts = vec![self.and(depth, of)?];
        while self.operator("OR", "||") {
            parts.push(self.and(depth, of)?);
        }
        Ok(joined(parts, Expr::Or))
    }

    fn and(&mut self, depth: usize, of: Of<'_>) -> Result<Expr, SyntaxError> {
        let mut parts = vec![self.not(depth, of)?];
        loop {
            if self.operator("AND", "&&") {
                parts.push(self.not(depth, of)?);
                continue;
            }
            self.cursor.skip_space();
            let mut ahead = self.cursor.clone();
            match ahead.peek() {
                None | Some(')') => break,
                Some(_) if ahead.take_word("OR") || ahead.take("||") => break,
                Some(_) => parts.push(self.not(depth, of)?),
            }
        }
        Ok(joined(parts, Expr::And))
    }

    fn not(&mut self, depth: usize, of: Of<'_>) -> Result<Expr, SyntaxError> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        if depth > MAX_DEPTH {
            return Err(SyntaxError::new(
                start..start,
                "the query is nested too deeply",
                format!("at most {MAX_DEPTH} levels"),
            ));
        }
        let negates = match self.cursor.peek() {
            Some('-' | '!') => true,
            Some('+') => false,
            _ if self.cursor.take_word("NOT") => {
                self.push(TokenKind::Operator, start..self.cursor.at());
                return Ok(Expr::Not(Box::new(self.not(depth + 1, of)?)));
            }
            _ => return self.primary(depth, of),
        };
        if self.cursor.second().is_none_or(|c| c.is_whitespace() || c == ')') {
            return Err(SyntaxError::new(
                start..start + 1,
                "nothing follows the sign",
                "a term directly behind it, or quotes around the sign",
            ));
        }
        self.cursor.bump();
        self.push(TokenKind::Operator, start..self.cursor.at());
        let inner = self.not(depth + 1, of)?;
        Ok(if negates { Expr::Not(Box::new(inner)) } else { inner })
    }

    fn primary(&mut self, depth: usize, of: Of<'_>) -> Result<Expr, SyntaxError> {
        let start = self.cursor.at();
        let Some(first) = self.cursor.peek() else {
            return Err(SyntaxError::new(start..start, "the query ends where a term is missing", TERM));
        };
        for operator in ["AND", "OR", "&&", "||"] {
            let mut ahead = self.cursor.clone();
            if ahead.take_word(operator) {
                return Err(SyntaxError::new(
                    start..ahead.at(),
                    format!("{operator} stands where a term is expected"),
                    format!("{TERM}; in quotes, {operator} is a word"),
                ));
            }
        }
        match (first, of) {
            ('(', _) => self.group(depth, of),
            (')', _) => {
                Err(SyntaxError::new(start..start + 1, "a term is missing before the parenthesis", TERM))
            }
            (_, Some(subject)) => self.value(subject),
            ('[' | '{' | '<' | '>', None) => Err(SyntaxError::new(
                start..start + 1,
                "a range has no field",
                "a field and a colon before it, such as event_data.status:>=500; or quotes around the value",
            )),
            (_, None) => self.named_or_bare(depth),
        }
    }

    fn group(&mut self, depth: usize, of: Of<'_>) -> Result<Expr, SyntaxError> {
        let open = self.cursor.at();
        self.cursor.bump();
        self.push(TokenKind::Paren, open..open + 1);
        let expr = self.or(depth + 1, of)?;
        self.cursor.skip_space();
        let close = self.cursor.at();
        if !self.cursor.take(")") {
            return Err(SyntaxError::new(
                open..open + 1,
                "the parenthesis is not closed",
                "a closing parenthesis",
            ));
        }
        self.push(TokenKind::Paren, close..close + 1);
        Ok(expr)
    }

    /// Reads a term outside of any field: `field:value`, or a value to be found anywhere.
    fn named_or_bare(&mut self, depth: usize) -> Result<Expr, SyntaxError> {
        let start = self.cursor.at();
        let mut ahead = self.cursor.clone();
        let name = match ahead.peek() {
            Some('"' | '/') => return self.value(&Subject::Anything),
            _ => ahead.bare(Until::Colon)?,
        };
        if ahead.peek() != Some(':') || self.is_address() {
            self.doubt_comparison(&name);
            return self.value(&Subject::Anything);
        }
        ahead.bump();
        if name.pieces.is_empty() {
            return Err(SyntaxError::new(
                start..ahead.at(),
                "no field stands before the colon",
                "a field's name, or \\: for the character itself",
            ));
        }
        let span = start..ahead.at();
        let subject = match name.literal() {
            Some(literal) => {
                let (subject, hint) = resolve::subject(literal, name.span)?;
                self.hints.extend(hint);
                Some(subject)
            }
            None if name.written == "*" && ahead.peek() == Some('*') => None,
            None => {
                return Err(SyntaxError::new(
                    name.span,
                    "a field's name has no wildcards",
                    "the whole name, or a value without a field to search everywhere",
                ));
            }
        };
        self.cursor = ahead;
        self.push(TokenKind::Field, span);
        self.cursor.skip_space();
        match (subject, self.cursor.peek()) {
            (None, _) => self.value(&Subject::Anything),
            (Some(subject), Some('(')) => self.group(depth, Some(&subject)),
            (Some(subject), _) => self.value(&subject),
        }
    }

    /// An IPv6 address would otherwise be taken for a field with a value.
    fn is_address(&self) -> bool {
        let whole = self.cursor.clone().bare(Until::Space);
        whole.is_ok_and(|whole| whole.written.parse::<Ipv6Addr>().is_ok())
    }

    /// `status>=500` is read as words; the colon was probably forgotten.
    fn doubt_comparison(&mut self, bare: &Bare) {
        let name: String =
            bare.written.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
        let rest = bare.written.get(name.len()..).unwrap_or("");
        if !name.is_empty() && rest.starts_with(['<', '>', '=']) {
            self.hints.push(Hint {
                position: bare.span.start,
                length: bare.span.len(),
                message: format!(
                    "read as text; to compare, put a colon behind the field: {name}:{}",
                    rest.trim_start_matches('=')
                ),
            });
        }
    }

    fn value(&mut self, subject: &Subject) -> Result<Expr, SyntaxError> {
        let start = self.cursor.at();
        let raw = match self.cursor.peek() {
            Some('"') => {
                let (text, span) = self.cursor.quoted()?;
                self.push(TokenKind::Phrase, span.clone());
                Raw::Quoted(text, span)
            }
            Some('/') => self.regex()?,
            Some('[' | '{') if *subject != Subject::Anything => self.range()?,
            Some('<' | '>') if *subject != Subject::Anything => self.comparison()?,
            _ => {
                let bare = self.cursor.bare(Until::Space)?;
                self.check_bare(&bare)?;
                let kind = match &bare {
                    bare if bare.literal().is_none() => TokenKind::Wildcard,
                    bare if Decimal::parse(&bare.written).is_some() => TokenKind::Number,
                    _ => TokenKind::Word,
                };
                self.push(kind, bare.span.clone());
                Raw::Bare(bare)
            }
        };
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let message = "the query has too many terms";
            return Err(SyntaxError::new(
                start..self.cursor.at(),
                message,
                format!("at most {MAX_TERMS} terms"),
            ));
        }
        let all = matches!(&raw, Raw::Bare(bare) if bare.pieces.iter().all(|piece| *piece == Piece::Any));
        if all && *subject == Subject::Anything {
            return Ok(Expr::All);
        }
        let test = resolve::test(subject, raw)?;
        Ok(Expr::Term(Term { subject: subject.clone(), test }))
    }

    fn check_bare(&self, bare: &Bare) -> Result<(), SyntaxError> {
        if bare.pieces.is_empty() {
            let at = bare.span.start;
            return Err(SyntaxError::new(at..at, "a value is missing", "a value; \"\" is the empty one"));
        }
        if matches!(bare.written.as_str(), "AND" | "OR" | "NOT") {
            return Err(SyntaxError::new(
                bare.span.clone(),
                format!("{} stands where a value is expected", bare.written),
                "a value; in quotes, it is a word",
            ));
        }
        Ok(())
    }

    fn regex(&mut self) -> Result<Raw, SyntaxError> {
        let (source, first, fold, span) = self.cursor.regex()?;
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            let message = "the query has too many regular expressions";
            return Err(SyntaxError::new(span, message, format!("at most {MAX_REGEXES}")));
        }
        let regex = Regex::new(&source, fold).map_err(|bad| {
            // Offsets within the source are off by one behind every `\/`; the expression's own end is the limit.
            let within = |offset: usize| (first + offset).min(span.end);
            let place = match bad.at {
                Some(at) if !source.contains('/') => within(at.start)..within(at.end),
                _ => span.clone(),
            };
            SyntaxError::new(place, bad.message, "a regular expression as in Rust's regex crate")
        })?;
        self.push(TokenKind::Regex, span.clone());
        Ok(Raw::Regex(regex, span))
    }

    fn comparison(&mut self) -> Result<Raw, SyntaxError> {
        let start = self.cursor.at();
        let (below, inclusive) = if self.cursor.take(">=") {
            (false, true)
        } else if self.cursor.take("<=") {
            (true, true)
        } else if self.cursor.take(">") {
            (false, false)
        } else {
            self.cursor.bump();
            (true, false)
        };
        self.push(TokenKind::Comparison, start..self.cursor.at());
        self.cursor.skip_space();
        let Some(limit) = self.limit(Until::Space)? else {
            let end = self.cursor.at();
            return Err(SyntaxError::new(
                start..end,
                "everything compares with *",
                "a value, or field:* for any",
            ));
        };
        let bound = if inclusive { Bound::Included(limit) } else { Bound::Excluded(limit) };
        let span = start..self.cursor.at();
        Ok(if below {
            Raw::Range(Bound::Unbounded, bound, span)
        } else {
            Raw::Range(bound, Bound::Unbounded, span)
        })
    }

    fn range(&mut self) -> Result<Raw, SyntaxError> {
        const EXPECTED: &str = "[low TO high], with { or } for a bound that is not included and * for none";
        let start = self.cursor.at();
        let low_included = self.cursor.bump() == Some('[');
        self.push(TokenKind::Range, start..self.cursor.at());
        self.cursor.skip_space();
        let low = self.limit(Until::Bracket)?;
        self.cursor.skip_space();
        let to = self.cursor.at();
        if !self.cursor.take_word("TO") {
            return Err(SyntaxError::new(start..to, "the range has no TO", EXPECTED));
        }
        self.push(TokenKind::Range, to..self.cursor.at());
        self.cursor.skip_space();
        let high = self.limit(Until::Bracket)?;
        self.cursor.skip_space();
        let close = self.cursor.at();
        let high_included = match self.cursor.bump() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(SyntaxError::new(start..close, "the range is not closed", EXPECTED)),
        };
        self.push(TokenKind::Range, close..self.cursor.at());
        let bound = |limit: Option<Limit>, included: bool| match limit {
            None => Bound::Unbounded,
            Some(limit) if included => Bound::Included(limit),
            Some(limit) => Bound::Excluded(limit),
        };
        Ok(Raw::Range(bound(low, low_included), bound(high, high_included), start..self.cursor.at()))
    }

    /// One end of a range; `None` for `*`.
    fn limit(&mut self, until: Until) -> Result<Option<Limit>, SyntaxError> {
        if self.cursor.peek() == Some('"') {
            let (text, span) = self.cursor.quoted()?;
            self.push(TokenKind::Phrase, span.clone());
            return Ok(Some(Limit { text, quoted: true, span }));
        }
        let bare = self.cursor.bare(until)?;
        self.check_bare(&bare)?;
        if bare.written == "*" {
            self.push(TokenKind::Range, bare.span);
            return Ok(None);
        }
        let Some(text) = bare.literal() else {
            return Err(SyntaxError::new(
                bare.span,
                "a bound has no wildcards",
                "a value, or * alone for no bound",
            ));
        };
        let kind = if Decimal::parse(&bare.written).is_some() { TokenKind::Number } else { TokenKind::Word };
        self.push(kind, bare.span.clone());
        Ok(Some(Limit { quoted: text != bare.written, text, span: bare.span }))
    }

    fn operator(&mut self, word: &str, symbol: &str) -> bool {
        self.cursor.skip_space();
        let start = self.cursor.at();
        let found = self.cursor.take_word(word) || self.cursor.take(symbol);
        if found {
            self.push(TokenKind::Operator, start..self.cursor.at());
        }
        found
    }

    fn push(&mut self, kind: TokenKind, span: Range<usize>) {
        self.tokens.push(Token { kind, start: span.start, end: span.end });
    }
}

fn joined(mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() > 1 {
        return join(parts);
    }
    parts.pop().unwrap_or(Expr::All)
}
