//! From a query to what the index is asked. Where the index cannot know (a phrase, a regular expression over text, a part of
//! one field's words) it is asked for the rows that may match, and the caller looks at the rows themselves.

use std::ops::{Bound, Range};
use std::sync::Arc;

use attestry_event::{Decimal, Field, Kind, is_id};
use attestry_index::{Bounds, Filter, Matcher, Needle, Target};

use crate::Rows;
use crate::query::{
    Expr, Piece, Query, Regex, Subject, Term, Test, Wildcard, WordPattern, matches_pieces, words,
};
use crate::{Error, RowsError};

/// What the index of one ledger is asked for a query.
pub(crate) fn plan(query: &Query, name: &Arc<str>, rows: &dyn Rows) -> Result<Filter, Error> {
    Planner { name, rows }.expr(query.expr()).map_err(|source| Error::rows(name, source))
}

struct Planner<'a> {
    name: &'a str,
    rows: &'a dyn Rows,
}

impl Planner<'_> {
    fn expr(&self, expr: &Expr) -> Result<Filter, RowsError> {
        let all = |parts: &[Expr]| parts.iter().map(|part| self.expr(part)).collect::<Result<Vec<_>, _>>();
        Ok(match expr {
            Expr::All => Filter::All,
            Expr::And(parts) => Filter::And(all(parts)?),
            Expr::Or(parts) => Filter::Or(all(parts)?),
            Expr::Not(part) => Filter::Not(Box::new(self.expr(part)?)),
            Expr::Term(term) => self.term(term)?,
        })
    }

    fn term(&self, term: &Term) -> Result<Filter, RowsError> {
        Ok(match &term.subject {
            Subject::Anything => self.anything(&term.test)?,
            Subject::Index => match &term.test {
                Test::Number(low, high) => Filter::RowRange(whole(low, high)),
                _ => Filter::All,
            },
            Subject::Ledger => {
                if term.test.holds_for(self.name) {
                    Filter::All
                } else {
                    Filter::None
                }
            }
            Subject::Field(Field::EventId) => match &term.test {
                Test::Exists => Filter::All,
                Test::Equals(id) => self.id(id)?,
                _ => maybe(Filter::All),
            },
            Subject::Field(field) => match (field.kind(), &term.test) {
                (Kind::Text, test) => message(test),
                (Kind::Time, Test::Time(from, to)) => {
                    let range = from.unwrap_or(i64::MIN)..to.unwrap_or(i64::MAX);
                    if *field == Field::EventTime {
                        Filter::EventTime(range)
                    } else {
                        Filter::ReceivedAt(range)
                    }
                }
                (Kind::Time, _) => Filter::All,
                (_, test) => value(Target::Keyword(*field), test),
            },
            Subject::Path(path) => match &term.test {
                Test::Equals(text) => {
                    let target = Target::Path(path.clone());
                    let string = Filter::Equals(target.clone(), text.clone());
                    match Decimal::parse(text) {
                        Some(number) => {
                            Filter::Or(vec![string, Filter::Number(target, Bounds::exactly(number))])
                        }
                        None => string,
                    }
                }
                test => value(Target::Path(path.clone()), test),
            },
        })
    }

    fn id(&self, id: &str) -> Result<Filter, RowsError> {
        let rows = if is_id(id) { self.rows.find_id(id)? } else { Vec::new() };
        Ok(if rows.is_empty() { Filter::None } else { Filter::Rows(rows) })
    }

    /// A value without a field: text, or the whole of a keyword field or of the id.
    fn anything(&self, test: &Test) -> Result<Filter, RowsError> {
        let keywords = Field::KEYWORDS.iter().map(|field| value(Target::Keyword(*field), test));
        let text = match test {
            Test::Equals(text) => {
                let id = self.id(text)?;
                Filter::Or(vec![phrase(text), id])
            }
            Test::Wildcard(wildcard) => pattern(wildcard),
            Test::Regex(regex) => expression(regex),
            _ => return Ok(Filter::None),
        };
        Ok(Filter::Or(std::iter::once(text).chain(keywords).collect()))
    }
}

fn maybe(filter: Filter) -> Filter {
    Filter::Maybe(Box::new(filter))
}

/// `message`: the index knows in which rows a word stands, not in which of their texts.
fn message(test: &Test) -> Filter {
    maybe(match test {
        Test::Equals(text) => phrase(text),
        Test::Wildcard(wildcard) => pattern(wildcard),
        Test::Regex(regex) => expression(regex),
        _ => Filter::All,
    })
}

fn phrase(text: &str) -> Filter {
    match words(text).collect::<Vec<String>>() {
        words if words.len() > 1 => Filter::Phrase(words),
        words => several(words.into_iter().map(Filter::Word).collect()),
    }
}

fn pattern(wildcard: &Wildcard) -> Filter {
    if wildcard.words().is_empty() {
        return Filter::None;
    }
    let known = wildcard.words().iter().filter(|word| **word != WordPattern::Any);
    let filters: Vec<Filter> = known
        .map(|word| match word {
            WordPattern::Word(word) => Filter::Word(word.clone()),
            like => Filter::WordMatch(word_matcher(like.clone())),
        })
        .collect();
    match (filters.len(), wildcard.words().len()) {
        (0, _) => maybe(Filter::All),
        (1, 1) => several(filters),
        _ => maybe(Filter::And(filters)),
    }
}

/// No word is found nowhere; one is where the index says; of several only the rows tell whether they stand side by side.
fn several(mut filters: Vec<Filter>) -> Filter {
    match filters.len() {
        0 | 1 => filters.pop().unwrap_or(Filter::None),
        _ => maybe(Filter::And(filters)),
    }
}

/// A regular expression over text. Where a match lies within one word, the index decides, unless that word was written in
/// several ways; otherwise it knows rows with the pieces that stand within words.
fn expression(regex: &Regex) -> Filter {
    let within = |needle: &String| Matcher::Contains(Needle::exact(needle.clone()));
    if regex.is_within_word() {
        return Filter::WordAsWritten {
            lower: Matcher::Contains(Needle::exact(in_every_word(regex))),
            exact: whole_match(regex),
            any_case: regex.ignores_all_case(),
        };
    }
    let needles = regex.needles();
    maybe(match needles.is_empty() {
        true => Filter::All,
        false => Filter::And(needles.iter().map(|needle| Filter::WordMatch(within(needle))).collect()),
    })
}

/// What stands in the lower case of every word that matches.
fn in_every_word(regex: &Regex) -> String {
    let needle = regex.needles().first().map_or("", String::as_str);
    let literal = if regex.literal().is_ascii() { regex.literal() } else { "" };
    if needle.len() >= literal.len() { needle.to_owned() } else { literal.to_ascii_lowercase() }
}

/// A regular expression on a whole value.
fn whole_match(regex: &Regex) -> Matcher {
    if regex.is_literal() {
        return Matcher::Contains(Needle::exact(regex.literal()));
    }
    let folded = regex.needles().first().map_or("", String::as_str);
    let needle = match folded.len() > regex.literal().len() {
        true => Needle::any_case(folded),
        false => Needle::exact(regex.literal()),
    };
    let regex = regex.clone();
    Matcher::Test { prefix: String::new(), needle, test: Arc::new(move |text: &str| regex.matches(text)) }
}

fn word_matcher(word: WordPattern) -> Matcher {
    match (word.prefix(), word.literal()) {
        ((prefix, true), _) => Matcher::Prefix(prefix),
        (_, (literal, true)) => Matcher::Contains(Needle::exact(literal)),
        ((prefix, false), (literal, false)) => Matcher::Test {
            prefix,
            needle: Needle::exact(literal),
            test: Arc::new(move |text: &str| word.matches(text)),
        },
    }
}

/// A test on values that are compared whole.
fn value(target: Target, test: &Test) -> Filter {
    match test {
        Test::Exists => Filter::Exists(target),
        Test::Equals(text) => Filter::Equals(target, text.clone()),
        Test::Number(low, high) => Filter::Number(target, Bounds { low: low.clone(), high: high.clone() }),
        Test::Wildcard(wildcard) => Filter::Match(
            target,
            match (wildcard.prefix(), wildcard.literal()) {
                ((prefix, true), _) => Matcher::Prefix(prefix),
                (_, (literal, true)) => Matcher::Contains(Needle::exact(literal)),
                ((prefix, false), (literal, false)) => {
                    let pieces: Arc<[Piece]> = wildcard.pieces().into();
                    let test = Arc::new(move |text: &str| matches_pieces(&pieces, text));
                    Matcher::Test { prefix, needle: Needle::exact(literal), test }
                }
            },
        ),
        Test::Regex(regex) => Filter::Match(target, whole_match(regex)),
        test => {
            let test = test.clone();
            let test = Arc::new(move |text: &str| test.holds_for(text));
            Filter::Match(target, Matcher::Test { prefix: String::new(), needle: Needle::none(), test })
        }
    }
}

/// Whether a filter is compared with all values of some field.
pub(crate) fn looks_through(filter: &Filter) -> bool {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().any(looks_through),
        Filter::Not(filter) | Filter::Maybe(filter) => looks_through(filter),
        Filter::Match(_, matcher) | Filter::WordMatch(matcher) => match matcher {
            Matcher::Contains(_) => true,
            Matcher::Prefix(prefix) | Matcher::Regex { prefix, .. } | Matcher::Test { prefix, .. } => {
                prefix.is_empty()
            }
        },
        Filter::WordAsWritten { .. } => true,
        _ => false,
    }
}

/// The whole numbers between two bounds.
fn whole(low: &Bound<Decimal>, high: &Bound<Decimal>) -> Range<u64> {
    let start = match low {
        Bound::Unbounded => 0,
        Bound::Included(low) => low.ceil(),
        Bound::Excluded(low) => low.floor_end(),
    };
    let end = match high {
        Bound::Unbounded => u64::MAX,
        Bound::Included(high) => high.floor_end(),
        Bound::Excluded(high) => high.ceil(),
    };
    start..end.max(start)
}
