//! What can be asked of a part.

use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

use attestry_event::{Decimal, Field};
use regex_automata::meta;

use crate::Needle;

/// A condition on rows.
#[derive(Debug, Clone)]
pub enum Filter {
    /// Every row.
    All,
    /// No row.
    None,
    /// All of these; every row when there are none.
    And(Vec<Filter>),
    /// Any of these; no row when there are none.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// One word, lower-cased as [`words`](crate::words) gives it, of `message` or of any string in `event_data`.
    Word(String),
    /// These words, lower-cased, stand side by side in `message` or in a string in `event_data`.
    Phrase(Vec<String>),
    /// A word of `message` or of any string in `event_data` that matches; words are in lower case.
    WordMatch(Matcher),
    /// A word of `message` or of any string in `event_data` matches `exact` as it is written there. `lower` must match
    /// every such word in lower case: that is what the index knows of words that were written in several ways.
    WordAsWritten {
        /// What the word must match.
        exact: Matcher,
        /// What its lower case matches at least.
        lower: Matcher,
        /// `exact` does not tell upper from lower case.
        any_case: bool,
    },
    /// A value of the target is this text: a string, or the token of a bool or null. Upper and lower case differ.
    Equals(Target, String),
    /// A value of the target matches: a string, or the token of a bool or null.
    Match(Target, Matcher),
    /// A value of the target is a number within bounds.
    Number(Target, Bounds),
    /// The target has a value; null is one.
    Exists(Target),
    /// `event_time` lies in this range of nanoseconds since 1970.
    EventTime(Range<i64>),
    /// `received_at` lies in this range of nanoseconds since 1970.
    ReceivedAt(Range<i64>),
    /// One of these rows of the ledger, in any order.
    Rows(Vec<u64>),
    /// The rows of the ledger in this range.
    RowRange(Range<u64>),
    /// What the index can only narrow down: nothing is certain, the rest as within.
    Maybe(Box<Filter>),
}

/// Where a value is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A field of the entry. `EventId` is not in the index: every row is possible. `EventTime` and `ReceivedAt` have
    /// filters of their own: other than that they exist, every row is possible.
    Keyword(Field),
    /// A path of `event_data`, as [`attestry_event::walk`] gives it.
    Path(String),
    /// Any of [`Field::KEYWORDS`].
    AnyKeyword,
}

/// A test on text.
#[derive(Clone)]
pub enum Matcher {
    /// The text starts with this.
    Prefix(String),
    /// The text contains this.
    Contains(Needle),
    /// The expression finds a match: anchor it where the whole text is meant.
    Regex {
        /// What every match starts with; narrows down where to look. Empty when not known.
        prefix: String,
        /// The compiled expression.
        regex: meta::Regex,
    },
    /// Anything else, an address range for instance.
    Test {
        /// What every text that passes starts with; empty when not known.
        prefix: String,
        /// What every text that passes contains.
        needle: Needle,
        /// The test.
        test: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    },
}

impl Matcher {
    /// Whether a whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Matcher::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Matcher::Regex { prefix, regex } => text.starts_with(prefix.as_str()) && regex.is_match(text),
            Matcher::Contains(needle) => needle.is_in(text),
            Matcher::Test { prefix, needle, test } => {
                text.starts_with(prefix.as_str()) && needle.is_in(text) && test(text)
            }
        }
    }

    /// What every match starts with.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Matcher::Prefix(prefix) | Matcher::Regex { prefix, .. } | Matcher::Test { prefix, .. } => prefix,
            Matcher::Contains(_) => "",
        }
    }

    /// What every match contains.
    pub(crate) fn needle(&self) -> &Needle {
        static NONE: Needle = Needle::none();
        match self {
            Matcher::Contains(needle) | Matcher::Test { needle, .. } => needle,
            Matcher::Prefix(_) | Matcher::Regex { .. } => &NONE,
        }
    }

    /// What can be said of a longer text of which only the start is known.
    pub(crate) fn of_start(&self, start: &str) -> Verdict {
        let prefix = self.prefix();
        if start.starts_with(prefix) {
            match self {
                Matcher::Prefix(_) => Verdict::Yes,
                Matcher::Contains(needle) if needle.is_in(start) => Verdict::Yes,
                _ => Verdict::Maybe,
            }
        } else if prefix.starts_with(start) {
            Verdict::Maybe
        } else {
            Verdict::No
        }
    }
}

/// What the index can say of a value that it does not hold whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    Maybe,
    No,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matcher::Prefix(prefix) => write!(f, "Prefix({prefix:?})"),
            Matcher::Regex { prefix, regex } => write!(f, "Regex({prefix:?}, {regex:?})"),
            Matcher::Contains(needle) => write!(f, "Contains({needle:?})"),
            Matcher::Test { prefix, needle, .. } => write!(f, "Test({prefix:?}, {needle:?}, …)"),
        }
    }
}

/// A range of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Where it begins.
    pub low: Bound<Decimal>,
    /// Where it ends.
    pub high: Bound<Decimal>,
}

impl Bounds {
    /// This number alone.
    pub fn exactly(number: Decimal) -> Bounds {
        Bounds { low: Bound::Included(number.clone()), high: Bound::Included(number) }
    }

    /// Whether a number is within.
    pub fn contain(&self, number: &Decimal) -> bool {
        let above = match &self.low {
            Bound::Unbounded => true,
            Bound::Included(low) => number >= low,
            Bound::Excluded(low) => number > low,
        };
        above
            && match &self.high {
                Bound::Unbounded => true,
                Bound::Included(high) => number <= high,
                Bound::Excluded(high) => number < high,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_of_longer_texts() {
        let prefix = Matcher::Prefix("abc".into());
        let test = Matcher::Test {
            prefix: "abc".into(),
            needle: Needle::none(),
            test: Arc::new(|text| text.len() > 4),
        };
        let contains = Matcher::Contains(Needle::exact("bc"));
        for (matcher, start, verdict) in [
            (&prefix, "abcd", Verdict::Yes),
            (&prefix, "ab", Verdict::Maybe),
            (&prefix, "abd", Verdict::No),
            (&test, "abcd", Verdict::Maybe),
            (&test, "a", Verdict::Maybe),
            (&test, "b", Verdict::No),
            (&contains, "abcd", Verdict::Yes),
            (&contains, "abd", Verdict::Maybe),
            (&contains, "", Verdict::Maybe),
        ] {
            assert_eq!(matcher.of_start(start), verdict, "{matcher:?} {start}");
        }
        assert!(test.is_match("abcde") && !test.is_match("abcd") && !test.is_match("xbcde"));
    }
}
