//! What a query means, with all names and values resolved. `Display` writes text that parses to the same meaning.

use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;

use attestry_event::{Decimal, Field, Nanos};

use super::network::Network;
use super::pattern::{Piece, Regex, Wildcard};

/// A condition on an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Every entry.
    All,
    /// Every one of these holds; at least two.
    And(Vec<Expr>),
    /// At least one of these holds; at least two.
    Or(Vec<Expr>),
    /// This does not hold.
    Not(Box<Expr>),
    /// A single test.
    Term(Term),
}

/// One test of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// What is looked at.
    pub subject: Subject,
    /// What it must be.
    pub test: Test,
}

/// What a term looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// No field given: the text of `message` and of all strings in `event_data`, and the keyword fields and `event_id` as a whole.
    Anything,
    /// A field of the entry.
    Field(Field),
    /// A path of `event_data`, without that prefix.
    Path(String),
    /// The entry's index in its ledger: `_index`.
    Index,
    /// The ledger's name: `_ledger`.
    Ledger,
}

/// What a term's subject must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is there.
    Exists,
    /// It equals this; in text, it contains these words one after the other. A number on a path also equals numbers of the same value.
    Equals(String),
    /// The whole matches; in text, consecutive words do.
    Wildcard(Wildcard),
    /// It occurs somewhere in the value.
    Regex(Regex),
    /// The value is an address in the network (or the network's own text).
    Network(Network),
    /// A number between these.
    Number(Bound<Decimal>, Bound<Decimal>),
    /// A string between these, in the order of its UTF-8 bytes.
    Text(Bound<String>, Bound<String>),
    /// An address between these, of the same family.
    Addresses(Bound<IpAddr>, Bound<IpAddr>),
    /// Nanoseconds since 1970 from the first (inclusive) to the second (exclusive).
    Time(Option<i64>, Option<i64>),
}

impl Expr {
    /// How many terms it has.
    pub fn terms(&self) -> usize {
        match self {
            Expr::All => 0,
            Expr::And(parts) | Expr::Or(parts) => parts.iter().map(Expr::terms).sum(),
            Expr::Not(part) => part.terms(),
            Expr::Term(_) => 1,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, within: Within) -> fmt::Result {
        match self {
            Expr::All => f.write_str("*"),
            Expr::And(parts) => write_list(f, parts, " ", Within::And, within == Within::And),
            Expr::Or(parts) => write_list(f, parts, " OR ", Within::Or, within != Within::Nothing),
            Expr::Not(part) => {
                f.write_str("NOT ")?;
                part.write(f, Within::And)
            }
            Expr::Term(term) => write!(f, "{term}"),
        }
    }
}

/// What an expression stands in. Only the parentheses that are needed are written, so that the text never nests deeper than
/// the one it came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Or,
    /// Or behind a `NOT`.
    And,
}

fn write_list(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expr],
    between: &str,
    list: Within,
    parenthesised: bool,
) -> fmt::Result {
    if parenthesised {
        f.write_str("(")?;
    }
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        part.write(f, list)?;
    }
    if parenthesised { f.write_str(")") } else { Ok(()) }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Within::Nothing)
    }
}

impl fmt::Display for Subject {
    /// The name as it is written before the colon; nothing for [`Subject::Anything`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Anything => Ok(()),
            Subject::Field(field) => f.write_str(field.name()),
            Subject::Path(path) => {
                f.write_str("event_data.")?;
                path.chars().try_for_each(|c| write_escaped(f, c))
            }
            Subject::Index => f.write_str("_index"),
            Subject::Ledger => f.write_str("_ledger"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject != Subject::Anything {
            write!(f, "{}:", self.subject)?;
        }
        match &self.test {
            Test::Exists => f.write_str("*"),
            Test::Equals(value) => write_value(f, value),
            Test::Wildcard(wildcard) => wildcard.pieces().iter().try_for_each(|piece| match piece {
                Piece::Char(c) => write_escaped(f, *c),
                Piece::One => f.write_str("?"),
                Piece::Any => f.write_str("*"),
            }),
            Test::Regex(regex) => write_regex(f, regex),
            Test::Network(network) => f.write_str(network.text()),
            // On a path a single number would mean more: a string that reads the same.
            Test::Number(Bound::Included(low), Bound::Included(high))
                if low == high && !matches!(self.subject, Subject::Path(_)) =>
            {
                write!(f, "{low}")
            }
            Test::Number(low, high) => write_range(f, low, high, |f, number| write!(f, "{number}")),
            Test::Text(low, high) => write_range(f, low, high, |f, text| write_quoted(f, text)),
            Test::Addresses(low, high) => write_range(f, low, high, |f, address| write!(f, "{address}")),
            Test::Time(from, to) => {
                let low = from.map_or(Bound::Unbounded, Bound::Included);
                let high = to.map_or(Bound::Unbounded, Bound::Excluded);
                write_range(f, &low, &high, |f, nanos| write!(f, "{}", Nanos(*nanos)))
            }
        }
    }
}

fn write_range<T>(
    f: &mut fmt::Formatter<'_>,
    low: &Bound<T>,
    high: &Bound<T>,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(if matches!(low, Bound::Excluded(_)) { "{" } else { "[" })?;
    let mut end = |f: &mut fmt::Formatter<'_>, bound: &Bound<T>| match bound {
        Bound::Included(value) | Bound::Excluded(value) => write(f, value),
        Bound::Unbounded => f.write_str("*"),
    };
    end(f, low)?;
    f.write_str(" TO ")?;
    end(f, high)?;
    f.write_str(if matches!(high, Bound::Excluded(_)) { "}" } else { "]" })
}

fn write_regex(f: &mut fmt::Formatter<'_>, regex: &Regex) -> fmt::Result {
    f.write_str("/")?;
    let mut chars = regex.source().chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                write!(f, "\\")?;
                if let Some(escaped) = chars.next() {
                    write!(f, "{escaped}")?;
                }
            }
            '/' => f.write_str("\\/")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str(if regex.ignores_case() { "/i" } else { "/" })
}

/// Whether a character never means anything but itself.
fn is_plain(c: char) -> bool {
    c == '_' || c == '.' || c == '@' || c.is_alphanumeric()
}

fn write_escaped(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    if is_plain(c) { write!(f, "{c}") } else { write!(f, "\\{c}") }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let plain = !value.is_empty() && value.chars().all(is_plain) && !matches!(value, "AND" | "OR" | "NOT");
    if plain { f.write_str(value) } else { write_quoted(f, value) }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
