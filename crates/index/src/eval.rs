//! Which rows of a part pass a filter.

use attestry_event::{Decimal, Field};

use crate::build::{cut_word, term_of_value, value_hash};
use crate::filter::{Bounds, Filter, Matcher, Target};
use crate::gather::{AsWritten, find_times, matching, matching_as_written, rows_with};
use crate::needle::Bigrams;
use crate::part::Part;
use crate::postings::List;
use crate::rows::RowSet;
use crate::slot::{FieldSpan, Slot};
use crate::words::{MAX_WORD_BYTES, words};

/// Dictionaries with fewer terms are searched more quickly than 2 KiB about them are kept.
const MANY_TERMS: u32 = 1_024;

/// What a filter finds in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// These rows pass.
    pub certain: RowSet,
    /// No others can pass; it holds the certain ones. Which of the rest do, only the rows can tell.
    pub possible: RowSet,
}

/// How many rows a filter finds in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// So many pass.
    pub certain: u32,
    /// No more than these can pass.
    pub possible: u32,
}

/// Like [`Matches`]; where all is certain, it is said once.
struct Found {
    possible: RowSet,
    /// `None`: all that is possible.
    certain: Option<RowSet>,
}

impl Found {
    fn exact(rows: RowSet) -> Found {
        Found { possible: rows, certain: None }
    }

    fn none() -> Found {
        Found::exact(RowSet::empty())
    }

    fn only_possible(rows: RowSet) -> Found {
        let certain = (!rows.is_empty()).then(RowSet::empty);
        Found { possible: rows, certain }
    }

    fn certain(&self) -> &RowSet {
        self.certain.as_ref().unwrap_or(&self.possible)
    }

    fn or(self, other: Found, rows: u32) -> Found {
        let certain = match (&self.certain, &other.certain) {
            (None, None) => None,
            _ => Some(self.certain().or(other.certain(), rows)),
        };
        Found { possible: self.possible.or(&other.possible, rows), certain }
    }

    /// Some more rows are possible.
    fn or_maybe(self, rows: &RowSet, all: u32) -> Found {
        if rows.is_empty() { self } else { self.or(Found::only_possible(rows.clone()), all) }
    }
}

impl Part {
    /// The rows that pass a filter.
    pub fn eval(&self, filter: &Filter) -> Matches {
        let found = self.find(filter, &RowSet::Range(self.hidden()..self.row_count()));
        let certain = found.certain.unwrap_or_else(|| found.possible.clone());
        Matches { certain, possible: found.possible }
    }

    /// How many rows pass a filter; faster than [`eval`](Part::eval) where the index holds the number.
    pub fn count(&self, filter: &Filter) -> Counted {
        if let Some(count) = self.quick_count(filter) {
            return Counted { certain: count, possible: count };
        }
        let found = self.find(filter, &RowSet::Range(self.hidden()..self.row_count()));
        Counted { certain: found.certain().len(), possible: found.possible.len() }
    }

    /// How many rows pass, where the index holds the number.
    pub fn quick_count(&self, filter: &Filter) -> Option<u32> {
        if self.hidden() == 0 { self.known_count(filter) } else { None }
    }

    fn known_count(&self, filter: &Filter) -> Option<u32> {
        let certain = |field: &FieldSpan| field.refs.count == 0 && field.hashes.count == 0;
        match filter {
            Filter::All => Some(self.row_count()),
            Filter::None => Some(0),
            Filter::And(filters) => {
                let mut rest = filters.iter().filter(|filter| !self.passes_all(filter));
                match (rest.next(), rest.next()) {
                    (None, _) => Some(self.row_count()),
                    (Some(only), None) => self.known_count(only),
                    _ => None,
                }
            }
            Filter::Word(word) if word.len() <= MAX_WORD_BYTES => match self.field(&Slot::Words) {
                Some(field) if !certain(field) => None,
                Some(field) => {
                    Some(self.dict(field).find(word.as_bytes()).map_or(0, |(_, list)| list.count()))
                }
                None => Some(0),
            },
            Filter::Equals(target @ (Target::Keyword(_) | Target::Path(_)), value) => {
                let field = match target {
                    Target::Keyword(field) if !is_dictionary(*field) => return None,
                    Target::Path(_) if self.field(&Slot::Loose).is_some() => return None,
                    _ => self.target(target),
                };
                match field {
                    Some(field) if !certain(field) => None,
                    Some(field) => {
                        Some(self.dict(field).find(&term_of_value(value)).map_or(0, |(_, list)| list.count()))
                    }
                    None => Some(0),
                }
            }
            Filter::Number(target, bounds) => {
                if matches!(target, Target::Path(_)) && self.field(&Slot::Loose).is_some() {
                    return None;
                }
                match self.target(target) {
                    Some(field) if field.several => None,
                    Some(field) if field.numbers.count > 0 => {
                        let numbers = self.numbers(field);
                        Some(numbers.len(&numbers.within(bounds)) as u32)
                    }
                    _ => Some(0),
                }
            }
            _ => None,
        }
    }

    /// Whether every row certainly passes, as is cheap to say.
    fn passes_all(&self, filter: &Filter) -> bool {
        let (least, greatest) = self.times();
        match filter {
            Filter::All => true,
            Filter::EventTime(range) => range.start <= least && greatest < range.end,
            Filter::RowRange(range) => range.start <= self.rows().start && self.rows().end <= range.end,
            Filter::And(filters) => filters.iter().all(|filter| self.passes_all(filter)),
            _ => false,
        }
    }

    /// The rows of `within` that pass.
    fn find(&self, filter: &Filter, within: &RowSet) -> Found {
        let rows = self.row_count();
        if within.is_empty() {
            return Found::none();
        }
        match filter {
            Filter::All => Found::exact(within.clone()),
            Filter::None => Found::none(),
            Filter::And(filters) => self.find_all_of(filters, within),
            Filter::Or(filters) => {
                filters.iter().fold(Found::none(), |found, filter| found.or(self.find(filter, within), rows))
            }
            Filter::Not(filter) => {
                let found = self.find(filter, within);
                let possible = within.minus(found.certain(), rows);
                let certain = found.certain.as_ref().map(|_| within.minus(&found.possible, rows));
                Found { possible, certain }
            }
            Filter::Maybe(filter) => Found::only_possible(self.find(filter, within).possible),
            Filter::Word(word) => self.find_word(word, within),
            Filter::Phrase(words) => self.find_phrase(words, within),
            Filter::WordMatch(matcher) => match self.field(&Slot::Words) {
                Some(field) => {
                    let found = self.find_matching(field, matcher, within);
                    found.or_maybe(&self.list(&field.refs).within(within), rows)
                }
                None => Found::none(),
            },
            Filter::WordAsWritten { exact, lower, any_case } => match self.field(&Slot::Words) {
                Some(field) => {
                    let written = AsWritten { exact, any_case: *any_case, cased: self.cased(field).to_set() };
                    let (certain, maybe) =
                        matching_as_written(&self.dict(field), field.cut, lower, &written, rows);
                    Found::exact(certain.and(within))
                        .or_maybe(&maybe.and(within), rows)
                        .or_maybe(&self.list(&field.refs).within(within), rows)
                }
                None => Found::none(),
            },
            Filter::Equals(target, value) => self.find_equal(target, value, within),
            Filter::Match(target, matcher) => self.find_match(target, matcher, within),
            Filter::Number(target, bounds) => self.find_number(target, bounds, within),
            Filter::Exists(target) => self.find_existing(target, within),
            Filter::EventTime(range) => {
                if self.passes_all(filter) {
                    return Found::exact(within.clone());
                }
                Found::exact(find_times(&self.event_times(), self.times_sorted(), range, within, rows))
            }
            Filter::ReceivedAt(range) => {
                Found::exact(find_times(&self.received_times(), false, range, within, rows))
            }
            Filter::Rows(wanted) => {
                let own = self.rows();
                let offsets =
                    wanted.iter().filter(|row| own.contains(row)).map(|row| (row - own.start) as u32);
                Found::exact(RowSet::from_unsorted(offsets.collect(), rows).and(within))
            }
            Filter::RowRange(range) => {
                let own = self.rows();
                let offset = |row: u64| (row.clamp(own.start, own.end) - own.start) as u32;
                let start = offset(range.start);
                Found::exact(RowSet::Range(start..offset(range.end).max(start)).and(within))
            }
        }
    }

    /// The rarest first, so that the others need only look at few rows.
    fn find_all_of(&self, filters: &[Filter], within: &RowSet) -> Found {
        let mut order: Vec<(u32, &Filter)> =
            filters.iter().map(|filter| (self.estimate(filter), filter)).collect();
        order.sort_by_key(|(estimate, _)| *estimate);
        let mut found = Found::exact(within.clone());
        for (_, filter) in order {
            let next = self.find(filter, &found.possible);
            let certain = match (found.certain, next.certain) {
                (None, certain) => certain,
                (Some(certain), None) => Some(certain.and(&next.possible)),
                (Some(left), Some(right)) => Some(left.and(&right)),
            };
            found = Found { possible: next.possible, certain };
            if found.possible.is_empty() {
                return Found::none();
            }
        }
        found
    }

    /// At most about how many rows can pass.
    fn estimate(&self, filter: &Filter) -> u32 {
        let rows = self.row_count();
        match filter {
            Filter::None => 0,
            Filter::Word(word) => match self.field(&Slot::Words) {
                Some(field) => {
                    let list = self.dict(field).find(word.as_bytes()).map_or(0, |(_, list)| list.count());
                    list.saturating_add(field.refs.count)
                }
                None => 0,
            },
            Filter::Phrase(words) => {
                let estimate = |word: &String| self.estimate(&Filter::Word(word.clone()));
                words.iter().map(estimate).min().unwrap_or(0)
            }
            Filter::Equals(Target::AnyKeyword, value) => Field::KEYWORDS
                .iter()
                .map(|field| self.estimate(&Filter::Equals(Target::Keyword(*field), value.clone())))
                .fold(0, u32::saturating_add),
            Filter::Equals(target @ Target::Keyword(field), _) if !is_dictionary(*field) => {
                self.target(target).map_or(rows, |field| field.exists.count)
            }
            Filter::Equals(target, value) => match self.target(target) {
                Some(field) => {
                    let list =
                        self.dict(field).find(&term_of_value(value)).map_or(0, |(_, list)| list.count());
                    list.saturating_add(field.refs.count)
                }
                None => 0,
            },
            Filter::Number(target, bounds) => self.target(target).map_or(0, |field| {
                if field.numbers.count == 0 {
                    return 0;
                }
                let numbers = self.numbers(field);
                numbers.len(&numbers.within(bounds)) as u32
            }),
            Filter::Exists(target) => self.target(target).map_or(0, |field| field.exists.count),
            Filter::And(filters) => filters.iter().map(|filter| self.estimate(filter)).min().unwrap_or(rows),
            Filter::Or(filters) => {
                filters.iter().map(|filter| self.estimate(filter)).fold(0, u32::saturating_add)
            }
            Filter::Rows(wanted) => wanted.len().min(rows as usize) as u32,
            Filter::RowRange(range) => {
                let own = self.rows();
                range.end.min(own.end).saturating_sub(range.start.max(own.start)) as u32
            }
            Filter::EventTime(_) | Filter::ReceivedAt(_) => rows,
            Filter::All => rows,
            Filter::Maybe(filter) => self.estimate(filter),
            // These look at the whole dictionary, however few rows are asked for.
            Filter::WordMatch(_) | Filter::WordAsWritten { .. } | Filter::Match(..) | Filter::Not(_) => {
                rows.saturating_add(1)
            }
        }
    }

    fn target(&self, target: &Target) -> Option<&FieldSpan> {
        match target {
            Target::Keyword(field) => self.keyword(*field),
            Target::Path(path) => self.path(path),
            Target::AnyKeyword => None,
        }
    }

    /// For a path: the rows whose paths are not all indexed are possible, too.
    fn with_loose(&self, target: &Target, found: Found, within: &RowSet) -> Found {
        match (target, self.field(&Slot::Loose)) {
            (Target::Path(_), Some(loose)) => {
                found.or_maybe(&self.list(&loose.exists).within(within), self.row_count())
            }
            _ => found,
        }
    }

    fn find_word(&self, word: &str, within: &RowSet) -> Found {
        let Some(field) = self.field(&Slot::Words) else { return Found::none() };
        let dict = self.dict(field);
        let rows = |term: &[u8]| dict.find(term).map_or(RowSet::empty(), |(_, list)| list.within(within));
        let found = if word.len() <= MAX_WORD_BYTES {
            Found::exact(rows(word.as_bytes()))
        } else {
            let mut term = Vec::new();
            cut_word(word, &mut term);
            Found::only_possible(rows(&term))
        };
        found.or_maybe(&self.list(&field.refs).within(within), self.row_count())
    }

    /// Of one word the dictionary knows all; of two that are common, the pairs; otherwise nothing is certain.
    fn find_phrase(&self, words: &[String], within: &RowSet) -> Found {
        let (Some(field), [first, rest @ ..]) = (self.field(&Slot::Words), words) else {
            return Found::none();
        };
        if rest.is_empty() {
            return self.find_word(first, within);
        }
        let mut pairs = words.iter().zip(rest).map(|(left, right)| self.rows_of_pair(left, right));
        let found = match (pairs.next().flatten(), rest.len()) {
            (Some(rows), 1) => Found::exact(rows.within(within)),
            (first, _) => {
                let mut possible = within.clone();
                for rows in first.into_iter().chain(pairs.flatten()) {
                    possible = rows.within(&possible);
                }
                for word in words {
                    possible = self.find_word(word, &possible).possible;
                }
                Found::only_possible(possible)
            }
        };
        found.or_maybe(&self.list(&field.refs).within(within), self.row_count())
    }

    fn find_equal(&self, target: &Target, value: &str, within: &RowSet) -> Found {
        let rows = self.row_count();
        match target {
            Target::AnyKeyword => Field::KEYWORDS.iter().fold(Found::none(), |found, field| {
                found.or(self.find_equal(&Target::Keyword(*field), value, within), rows)
            }),
            Target::Keyword(Field::EventId | Field::EventTime | Field::ReceivedAt) => {
                Found::only_possible(within.clone())
            }
            Target::Keyword(Field::Message) => self.find_message(value, within),
            Target::Keyword(Field::AgentEpoch | Field::AgentSeq) => match value.parse::<u64>() {
                Ok(number) if number.to_string() == value => {
                    self.find_number(target, &Bounds::exactly(Decimal::from(number)), within)
                }
                _ => Found::none(),
            },
            Target::Keyword(_) | Target::Path(_) => {
                let found = match self.target(target) {
                    Some(field) => self.find_value(field, value, within),
                    None => Found::none(),
                };
                self.with_loose(target, found, within)
            }
        }
    }

    fn find_value(&self, field: &FieldSpan, value: &str, within: &RowSet) -> Found {
        let rows = self.row_count();
        let term = term_of_value(value);
        let list = self.dict(field).find(&term).map_or(List::none(), |(_, list)| list);
        let found = if list.count() == 0 { Found::none() } else { Found::exact(list.within(within)) };
        let found = if field.hashes.count == 0 {
            found
        } else {
            let hashed = self.hashes(field).find(value_hash(&term, 0));
            found.or_maybe(&RowSet::from_unsorted(hashed, rows).and(within), rows)
        };
        found.or_maybe(&self.list(&field.refs).within(within), rows)
    }

    /// A message is not kept whole: it must have all the words.
    fn find_message(&self, message: &str, within: &RowSet) -> Found {
        let Some(field) = self.keyword(Field::Message) else { return Found::none() };
        let mut possible = self.list(&field.exists).within(within);
        words(message, &mut |word| possible = self.find_word(word, &possible).possible);
        Found::only_possible(possible)
    }

    fn find_match(&self, target: &Target, matcher: &Matcher, within: &RowSet) -> Found {
        let rows = self.row_count();
        let found = match target {
            Target::AnyKeyword => {
                return Field::KEYWORDS.iter().fold(Found::none(), |found, field| {
                    found.or(self.find_match(&Target::Keyword(*field), matcher, within), rows)
                });
            }
            Target::Keyword(Field::EventId | Field::EventTime | Field::ReceivedAt) => {
                return Found::only_possible(within.clone());
            }
            Target::Keyword(Field::Message | Field::AgentEpoch | Field::AgentSeq) => {
                let exists = self.target(target).map_or(List::none(), |field| self.list(&field.exists));
                return Found::only_possible(if exists.count() == 0 {
                    RowSet::empty()
                } else {
                    exists.within(within)
                });
            }
            Target::Keyword(_) | Target::Path(_) => match self.target(target) {
                Some(field) => {
                    let mut found = self.find_matching(field, matcher, within);
                    if field.hashes.count > 0 {
                        let hashed = RowSet::from_unsorted(self.hashes(field).rows(), rows);
                        found = found.or_maybe(&hashed.and(within), rows);
                    }
                    found.or_maybe(&self.list(&field.refs).within(within), rows)
                }
                None => Found::none(),
            },
        };
        self.with_loose(target, found, within)
    }

    /// The rows of all terms that match.
    fn find_matching(&self, field: &FieldSpan, matcher: &Matcher, within: &RowSet) -> Found {
        let (dict, rows) = (self.dict(field), self.row_count());
        // Without whole values nothing can be said of a term's bytes.
        if !field.cut && dict.count() >= MANY_TERMS && matcher.prefix().is_empty() {
            let bigrams = field.bigrams.get_or_init(|| Box::new(Bigrams::of(&dict)));
            if !bigrams.may_hold(matcher.needle()) {
                return Found::none();
            }
        }
        let (certain, maybe) = matching(&dict, field.cut, matcher, rows);
        Found::exact(certain.and(within)).or_maybe(&maybe.and(within), rows)
    }

    fn find_number(&self, target: &Target, bounds: &Bounds, within: &RowSet) -> Found {
        let rows = self.row_count();
        let found = match self.target(target) {
            Some(field) if field.numbers.count > 0 => {
                let numbers = self.numbers(field);
                let range = numbers.within(bounds);
                let all = field.numbers.entries as usize;
                let set = |range| rows_with(&numbers, range, rows);
                let one_a_row = !field.several && field.numbers.entries == field.exists.count;
                if one_a_row && numbers.len(&range) * 2 > all {
                    // Most of them: leaving out the rest is less work.
                    let rest = set(0..range.start).or(&set(range.end..numbers.count()), rows);
                    Found::exact(self.list(&field.exists).within(within).minus(&rest, rows))
                } else {
                    Found::exact(set(range).and(within))
                }
            }
            _ => Found::none(),
        };
        self.with_loose(target, found, within)
    }

    fn find_existing(&self, target: &Target, within: &RowSet) -> Found {
        match target {
            Target::AnyKeyword | Target::Keyword(Field::EventId | Field::EventTime | Field::ReceivedAt) => {
                Found::exact(within.clone())
            }
            Target::Keyword(_) | Target::Path(_) => {
                let found = match self.target(target) {
                    Some(field) => Found::exact(self.list(&field.exists).within(within)),
                    None => Found::none(),
                };
                self.with_loose(target, found, within)
            }
        }
    }
}

/// Whether a field's values are in a dictionary.
fn is_dictionary(field: Field) -> bool {
    !matches!(
        field,
        Field::EventId
            | Field::EventTime
            | Field::ReceivedAt
            | Field::Message
            | Field::AgentEpoch
            | Field::AgentSeq
    )
}
