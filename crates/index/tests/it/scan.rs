//! What a filter means, said by looking at one entry. Written apart from the index: it splits words and compares
//! values in the plainest way there is.

use attestry_event::{Decimal, Entry, Field, Nanos, Scalar, Text, walk};
use attestry_index::{Filter, Target};

/// A value as the filters see it.
enum Value {
    Text(String),
    Number(String),
    /// It stands beside the entry: nobody here knows it.
    Unknown,
}

/// Whether a row passes. `None`: it depends on a value that stands beside the entry.
pub(crate) fn passes(filter: &Filter, row: u64, bytes: &[u8]) -> Option<bool> {
    entry_passes(filter, row, &Entry::parse(bytes).unwrap())
}

/// [`passes`] with the entry already read.
pub(crate) fn entry_passes(filter: &Filter, row: u64, entry: &Entry<'_>) -> Option<bool> {
    match filter {
        Filter::All => Some(true),
        Filter::None => Some(false),
        Filter::And(filters) => all(filters.iter().map(|filter| entry_passes(filter, row, entry))),
        Filter::Or(filters) => any(filters.iter().map(|filter| entry_passes(filter, row, entry))),
        Filter::Not(filter) => entry_passes(filter, row, entry).map(|passes| !passes),
        Filter::Maybe(filter) => entry_passes(filter, row, entry),
        Filter::Word(word) => {
            any(texts(entry).iter().map(|text| has_word(text, |found| found.to_lowercase() == *word)))
        }
        Filter::WordMatch(matcher) => any(texts(entry)
            .iter()
            .map(|text| has_word(text, |found| matcher.is_match(&found.to_lowercase())))),
        Filter::Phrase(words) => any(texts(entry).iter().map(|text| has_phrase(text, words))),
        Filter::WordAsWritten { exact, .. } => {
            any(texts(entry).iter().map(|text| has_word(text, |found| exact.is_match(found))))
        }
        Filter::Equals(target, wanted) => text_of(entry, target, |value| value == wanted),
        Filter::Match(target, matcher) => text_of(entry, target, |value| matcher.is_match(value)),
        Filter::Number(target, bounds) => Some(values(entry, target).iter().any(|value| match value {
            Value::Number(token) => bounds.contain(&Decimal::parse(token).unwrap()),
            _ => false,
        })),
        Filter::Exists(target) => Some(!values(entry, target).is_empty()),
        Filter::EventTime(range) => Some(range.contains(&entry.event_time().0)),
        Filter::ReceivedAt(range) => Some(range.contains(&entry.received_at().0)),
        Filter::Rows(rows) => Some(rows.contains(&row)),
        Filter::RowRange(range) => Some(range.contains(&row)),
    }
}

fn any(found: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let found: Vec<Option<bool>> = found.collect();
    if found.contains(&Some(true)) {
        Some(true)
    } else if found.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn all(found: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(found.map(|passes| passes.map(|passes| !passes))).map(|fails| !fails)
}

fn text_of(entry: &Entry<'_>, target: &Target, test: impl Fn(&str) -> bool) -> Option<bool> {
    // Numbers in event_data are not text; those of the entry's own fields are.
    let in_data = matches!(target, Target::Path(_));
    any(values(entry, target).iter().map(|value| match value {
        Value::Text(text) => Some(test(text)),
        Value::Number(token) => Some(!in_data && test(token)),
        Value::Unknown => None,
    }))
}

fn has_word(text: &Value, test: impl Fn(&str) -> bool) -> Option<bool> {
    match text {
        Value::Text(text) => Some(
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|run| !run.is_empty()).any(&test),
        ),
        Value::Number(_) => Some(false),
        Value::Unknown => None,
    }
}

fn has_phrase(text: &Value, words: &[String]) -> Option<bool> {
    match text {
        Value::Text(text) => {
            let runs = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|run| !run.is_empty());
            let found: Vec<String> = runs.map(str::to_lowercase).collect();
            Some(!words.is_empty() && found.windows(words.len()).any(|window| window == words))
        }
        Value::Number(_) => Some(false),
        Value::Unknown if words.is_empty() => Some(false),
        Value::Unknown => None,
    }
}

/// Everything whose words are searched.
fn texts(entry: &Entry<'_>) -> Vec<Value> {
    let mut found = values(entry, &Target::Keyword(Field::Message));
    each(entry, |_, scalar| match scalar {
        Scalar::Str(text) => found.push(Value::Text(text.to_owned())),
        Scalar::Ref { .. } => found.push(Value::Unknown),
        _ => {}
    });
    found
}

fn each(entry: &Entry<'_>, mut visit: impl FnMut(&str, Scalar<'_>)) {
    if let Some(data) = entry.event_data() {
        walk(data, &mut visit).unwrap();
    }
}

fn values(entry: &Entry<'_>, target: &Target) -> Vec<Value> {
    let mut found = Vec::new();
    match target {
        Target::AnyKeyword => {
            for field in Field::KEYWORDS {
                found.extend(values(entry, &Target::Keyword(field)));
            }
        }
        Target::Keyword(Field::Via) if entry.raw(Field::Via).is_some() => {
            found.extend(entry.via().map(|relay| Value::Text(relay.into_owned())));
        }
        Target::Keyword(Field::Via) => {}
        Target::Keyword(Field::Message) => found.extend(entry.message().map(|text| match text {
            Text::Inline(text) => Value::Text(text.into_owned()),
            Text::Ref { .. } => Value::Unknown,
        })),
        Target::Keyword(field @ (Field::Severity | Field::AgentEpoch | Field::AgentSeq)) => {
            found.extend(entry.raw(*field).map(|token| Value::Number(token.to_owned())));
        }
        Target::Keyword(Field::EventTime) => found.push(Value::Text(Nanos::to_string(&entry.event_time()))),
        Target::Keyword(Field::ReceivedAt) => found.push(Value::Text(Nanos::to_string(&entry.received_at()))),
        Target::Keyword(field) => {
            found.extend(entry.field(*field).map(|value| Value::Text(value.into_owned())));
        }
        Target::Path(path) => each(entry, |at, scalar| {
            if at == path {
                found.push(match scalar {
                    Scalar::Str(text) => Value::Text(text.to_owned()),
                    Scalar::Number(token) => Value::Number(token.to_owned()),
                    Scalar::Bool(value) => Value::Text(value.to_string()),
                    Scalar::Null => Value::Text("null".to_owned()),
                    Scalar::Ref { .. } => Value::Unknown,
                });
            }
        }),
    }
    found
}

/// How often each value of a target occurs in some rows, with the same rules as the index: once a row and value.
pub(crate) fn count_values<'a>(
    target: &Target,
    rows: impl Iterator<Item = &'a Vec<u8>>,
) -> std::collections::BTreeMap<String, u64> {
    let mut counts = std::collections::BTreeMap::new();
    for bytes in rows {
        let entry = Entry::parse(bytes).unwrap();
        let mut of_row: Vec<(bool, String)> = values(&entry, target)
            .into_iter()
            .filter_map(|value| match value {
                Value::Text(text) => Some((false, text)),
                Value::Number(token) => Some((true, Decimal::parse(&token).unwrap().to_string())),
                Value::Unknown => None,
            })
            .collect();
        of_row.sort();
        of_row.dedup();
        for (_, value) in of_row {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

/// The numbers of a target in a row.
pub(crate) fn numbers(target: &Target, bytes: &[u8]) -> Vec<f64> {
    let entry = Entry::parse(bytes).unwrap();
    let found = values(&entry, target).into_iter().filter_map(|value| match value {
        Value::Number(token) => Some(Decimal::parse(&token).unwrap()),
        _ => None,
    });
    let mut decimals: Vec<Decimal> = found.collect();
    decimals.sort();
    decimals.dedup();
    decimals.iter().map(Decimal::to_f64).collect()
}
