//! A query against one entry, without any index: what the index's answers are checked against.

use std::borrow::Cow;
use std::ops::Bound;

use attestry_event::{Decimal, Entry, Field, Kind, Scalar, Text, walk};

use super::Query;
use super::ast::{Expr, Subject, Term, Test};
use super::network::address;
use super::pattern::WordPattern;
use super::words::runs;

/// Gives the large value that a `$ref` with this hash stands for, `None` when it was erased.
pub type ValueOf<'a> = &'a dyn Fn(&[u8; 32]) -> Option<Vec<u8>>;

/// An entry and where it stands.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The ledger's name, for `_ledger`.
    pub ledger: &'a str,
    /// The entry's index, for `_index`.
    pub index: u64,
    /// What the entry holds.
    pub entry: &'a Entry<'a>,
    /// Resolves large values; without it they match nothing but `field:*`.
    pub value_of: Option<ValueOf<'a>>,
}

impl Query {
    /// Whether an entry answers the query.
    pub fn matches(&self, row: &Row<'_>) -> bool {
        self.expr().matches(row)
    }
}

impl Expr {
    fn matches(&self, row: &Row<'_>) -> bool {
        match self {
            Expr::All => true,
            Expr::And(parts) => parts.iter().all(|part| part.matches(row)),
            Expr::Or(parts) => parts.iter().any(|part| part.matches(row)),
            Expr::Not(part) => !part.matches(row),
            Expr::Term(term) => term.matches(row),
        }
    }
}

impl Term {
    fn matches(&self, row: &Row<'_>) -> bool {
        match &self.subject {
            Subject::Anything => anything(&self.test, row),
            Subject::Index => self.test.holds_for_number(&row.index.to_string()),
            Subject::Ledger => self.test.holds_for(row.ledger),
            Subject::Field(field) => field_matches(*field, &self.test, row),
            Subject::Path(path) => {
                any_scalar(row, |found, scalar| found == path && scalar_matches(scalar, &self.test, row))
            }
        }
    }
}

impl Test {
    /// Whether a value that is compared as a whole is what the test asks for.
    pub(crate) fn holds_for(&self, value: &str) -> bool {
        match self {
            Test::Exists => true,
            Test::Equals(expected) => expected == value,
            Test::Wildcard(wildcard) => wildcard.matches(value),
            Test::Regex(regex) => regex.matches(value),
            Test::Network(network) => network.matches(value),
            Test::Text(low, high) => within(low, high, &value.to_owned()),
            Test::Addresses(low, high) => address(value).is_some_and(|found| {
                let family = match (low, high) {
                    (Bound::Included(bound) | Bound::Excluded(bound), _)
                    | (_, Bound::Included(bound) | Bound::Excluded(bound)) => bound.is_ipv4(),
                    _ => found.is_ipv4(),
                };
                family == found.is_ipv4() && within(low, high, &found)
            }),
            Test::Number(..) | Test::Time(..) => false,
        }
    }

    fn holds_for_number(&self, token: &str) -> bool {
        let Some(number) = Decimal::parse(token) else { return false };
        match self {
            Test::Exists => true,
            Test::Equals(expected) => Decimal::parse(expected).is_some_and(|expected| expected == number),
            Test::Number(low, high) => within(low, high, &number),
            _ => false,
        }
    }

    fn holds_for_time(&self, nanos: i64) -> bool {
        match self {
            Test::Exists => true,
            Test::Time(from, to) => from.is_none_or(|from| from <= nanos) && to.is_none_or(|to| nanos < to),
            _ => false,
        }
    }

    /// Whether a text has it: words for what was written as words, anywhere for a regular expression.
    fn holds_in(&self, text: &str) -> bool {
        match self {
            Test::Exists => true,
            Test::Equals(phrase) => {
                let phrase: Vec<&str> = runs(phrase).collect();
                side_by_side(&phrase, text)
            }
            Test::Wildcard(wildcard) => side_by_side(wildcard.words(), text),
            Test::Regex(regex) => regex.matches(text),
            _ => false,
        }
    }
}

fn within<T: PartialOrd>(low: &Bound<T>, high: &Bound<T>, value: &T) -> bool {
    let above = match low {
        Bound::Included(low) => *value >= *low,
        Bound::Excluded(low) => *value > *low,
        Bound::Unbounded => true,
    };
    above
        && match high {
            Bound::Included(high) => *value <= *high,
            Bound::Excluded(high) => *value < *high,
            Bound::Unbounded => true,
        }
}

/// What a word of a text is compared with.
trait WordTest {
    fn fits(&self, run: &str) -> bool;
}

/// A word of a phrase, as it was written: neither side is lower-cased where both are ASCII, as nearly all are.
impl WordTest for &str {
    fn fits(&self, run: &str) -> bool {
        if self.is_ascii() && run.is_ascii() {
            self.eq_ignore_ascii_case(run)
        } else {
            self.to_lowercase() == run.to_lowercase()
        }
    }
}

impl WordTest for WordPattern {
    fn fits(&self, run: &str) -> bool {
        match self {
            WordPattern::Word(word) if run.is_ascii() => word.eq_ignore_ascii_case(run),
            WordPattern::Any => true,
            _ => self.matches(&run.to_lowercase()),
        }
    }
}

/// Whether words that fit these stand one after the other in a text.
fn side_by_side<T: WordTest>(pattern: &[T], text: &str) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return false };
    let mut runs = runs(text);
    while let Some(run) = runs.next() {
        if first.fits(run) {
            // From here on with a cursor of its own: a phrase may begin within another that failed.
            let mut ahead = runs.clone();
            if rest.iter().all(|word| ahead.next().is_some_and(|run| word.fits(run))) {
                return true;
            }
        }
    }
    false
}

fn anything(test: &Test, row: &Row<'_>) -> bool {
    let is_id = matches!(test, Test::Equals(id) if *id == row.entry.event_id());
    is_id
        || Field::KEYWORDS.iter().any(|field| field_matches(*field, test, row))
        || message(row).is_some_and(|text| test.holds_in(&text))
        || any_scalar(row, |_, scalar| string(scalar, row).is_some_and(|text| test.holds_in(&text)))
}

fn field_matches(field: Field, test: &Test, row: &Row<'_>) -> bool {
    let entry = row.entry;
    match field {
        Field::EventTime => test.holds_for_time(entry.event_time().0),
        Field::ReceivedAt => test.holds_for_time(entry.received_at().0),
        Field::Via => entry.via().any(|relay| test.holds_for(&relay)),
        Field::Message if *test == Test::Exists => entry.message().is_some(),
        Field::Message => message(row).is_some_and(|text| test.holds_in(&text)),
        field if field.kind() == Kind::Number => {
            entry.raw(field).is_some_and(|token| test.holds_for_number(token))
        }
        field => entry.field(field).is_some_and(|value| test.holds_for(&value)),
    }
}

fn message<'a>(row: &Row<'a>) -> Option<Cow<'a, str>> {
    match row.entry.message()? {
        Text::Inline(text) => Some(text),
        Text::Ref { hash, .. } => resolve(&hash, row).map(Cow::Owned),
    }
}

fn string<'s>(scalar: Scalar<'s>, row: &Row<'_>) -> Option<Cow<'s, str>> {
    match scalar {
        Scalar::Str(text) => Some(Cow::Borrowed(text)),
        Scalar::Ref { hash, .. } => resolve(&hash, row).map(Cow::Owned),
        _ => None,
    }
}

fn resolve(hash: &[u8; 32], row: &Row<'_>) -> Option<String> {
    let value = row.value_of?(hash)?;
    String::from_utf8(value).ok()
}

fn scalar_matches(scalar: Scalar<'_>, test: &Test, row: &Row<'_>) -> bool {
    if *test == Test::Exists {
        return true;
    }
    match scalar {
        Scalar::Number(token) => test.holds_for_number(token),
        Scalar::Bool(true) => test.holds_for("true"),
        Scalar::Bool(false) => test.holds_for("false"),
        Scalar::Null => test.holds_for("null"),
        Scalar::Str(_) | Scalar::Ref { .. } => string(scalar, row).is_some_and(|text| test.holds_for(&text)),
    }
}

/// Whether any scalar of `event_data` will do. An entry comes from a ledger that checked it, so its data can be walked to the end.
fn any_scalar(row: &Row<'_>, mut test: impl FnMut(&str, Scalar<'_>) -> bool) -> bool {
    let Some(data) = row.entry.event_data() else { return false };
    let mut found = false;
    let _ = walk(data, &mut |path, scalar| found = found || test(path, scalar));
    found
}
