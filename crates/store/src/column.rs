//! The values of one field, row by row: what rows are grouped and stacked by.

use std::collections::HashMap;

use attestry_event::{Decimal, Entry, Field, Scalar, Text, walk};
use attestry_index::{Part, RowSet, Target};

use crate::query::Subject;
use crate::scope::{Running, Source};
use crate::tally::MAX_VALUE_BYTES;
use crate::top::having;
use crate::{Error, query};

/// A field that values are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// The ledger's name.
    Ledger,
    Target(Target),
}

/// With more values than this in a part, its rows are read rather than each value looked up.
const LOOKED_UP_VALUES: usize = 4096;

impl Key {
    /// From a field's name, as in a query.
    pub(crate) fn parse(name: &str) -> Result<Key, Error> {
        let (subject, _) = query::subject(name).map_err(|error| Error::Refused(error.message))?;
        match subject {
            Subject::Ledger => Ok(Key::Ledger),
            Subject::Path(path) => Ok(Key::Target(Target::Path(path))),
            Subject::Field(Field::EventTime | Field::ReceivedAt) => {
                Err(Error::Refused(format!("{name} is a time: ask for a histogram")))
            }
            Subject::Field(field) => Ok(Key::Target(Target::Keyword(field))),
            Subject::Index | Subject::Anything => {
                Err(Error::Refused(format!("{name} has no values to group by")))
            }
        }
    }

    /// The values an entry has, each once: strings, tokens of bools and nulls, numbers in one form for equal ones.
    fn values(&self, source: &Source, entry: &Entry<'_>) -> Result<Vec<String>, Error> {
        let value_of = |hash: &[u8; 32]| -> Result<Option<String>, Error> {
            let value = source.rows.value(hash).map_err(|error| Error::rows(&source.name, error))?;
            Ok(value.and_then(|bytes| String::from_utf8(bytes).ok()))
        };
        let mut values: Vec<String> = match self {
            Key::Ledger => vec![source.name.to_string()],
            Key::Target(Target::Keyword(Field::Via)) => entry.via().map(|relay| relay.into_owned()).collect(),
            Key::Target(Target::Keyword(Field::Message)) => match entry.message() {
                Some(Text::Inline(text)) => vec![text.into_owned()],
                Some(Text::Ref { hash, .. }) => value_of(&hash)?.into_iter().collect(),
                None => Vec::new(),
            },
            Key::Target(Target::Keyword(field)) => {
                entry.field(*field).map(|value| value.into_owned()).into_iter().collect()
            }
            Key::Target(Target::Path(path)) => {
                let mut values = Vec::new();
                let mut failure = None;
                let visited = entry.event_data().map(|data| {
                    walk(data, &mut |found, scalar| {
                        if found != path {
                            return;
                        }
                        match scalar {
                            Scalar::Str(text) => values.push(text.to_owned()),
                            Scalar::Number(token) => values.push(number(token)),
                            Scalar::Bool(is) => values.push(is.to_string()),
                            Scalar::Null => values.push("null".to_owned()),
                            Scalar::Ref { hash, .. } => match value_of(&hash) {
                                Ok(value) => values.extend(value),
                                Err(error) => failure = Some(error),
                            },
                        }
                    })
                });
                match (failure, visited) {
                    (Some(error), _) => return Err(error),
                    (None, _) => values,
                }
            }
            Key::Target(Target::AnyKeyword) => Vec::new(),
        };
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

/// A number in the form that the index gives it.
fn number(token: &str) -> String {
    Decimal::parse(token).map_or_else(|| token.to_owned(), |number| number.to_string())
}

/// Reads rows and calls `f` with each one's offset and values of the key; rows without any are left out.
pub(crate) fn read_values(
    running: &Running<'_>,
    source: &Source,
    part: &Part,
    key: &Key,
    rows: &RowSet,
    mut f: impl FnMut(u32, Vec<String>) -> Result<(), Error>,
) -> Result<(), Error> {
    running.read_entries(source, part, rows, &mut |row, entry| {
        let values = key.values(source, entry)?;
        if values.is_empty() { Ok(()) } else { f(row, values) }
    })
}

/// Values of some rows of a part.
pub(crate) struct Column {
    values: Vec<String>,
    /// Row and place in `values`, ascending. A row with several values is there several times, one without any is not.
    pairs: Vec<(u32, u32)>,
}

impl Column {
    pub(crate) fn read(
        running: &Running<'_>,
        source: &Source,
        part: &Part,
        key: &Key,
        rows: &RowSet,
    ) -> Result<Column, Error> {
        let mut column = Column { values: Vec::new(), pairs: Vec::new() };
        let mut known: HashMap<String, u32> = HashMap::new();
        let target = match key {
            Key::Ledger => {
                column.values.push(source.name.to_string());
                rows.for_each(|row| column.pairs.push((row, 0)));
                return Ok(column);
            }
            Key::Target(target) => target,
        };
        let unlisted = match (target, column.read_ordinals(part, target, rows)) {
            (_, Some(unlisted)) => unlisted,
            (Target::Keyword(Field::EventId), None) => rows.clone(),
            (_, None) => column.look_up(running, part, target, rows, &mut known)?,
        };
        if !unlisted.is_empty() {
            for (place, value) in column.values.iter().enumerate() {
                known.insert(value.clone(), place as u32);
            }
            let mut bytes = 0;
            read_values(running, source, part, key, &unlisted, |row, values| {
                for value in values {
                    bytes += value.len();
                    let place = column.place(&mut known, value);
                    column.pairs.push((row, place));
                }
                if bytes > MAX_VALUE_BYTES {
                    return Err(Error::TooMany { what: "bytes of values", limit: MAX_VALUE_BYTES });
                }
                Ok(())
            })?;
            column.pairs.sort_unstable();
        }
        Ok(column)
    }

    /// Where the index has one value a row. Gives the rows whose value it does not hold whole.
    fn read_ordinals(&mut self, part: &Part, target: &Target, rows: &RowSet) -> Option<RowSet> {
        let Target::Keyword(field) = target else { return None };
        let column = part.column(*field)?;
        let mut places: Vec<Option<u32>> = vec![None; column.count() as usize];
        // Ordinals whose value is not whole: u32::MAX.
        let mut cut: Vec<u32> = Vec::new();
        rows.for_each(|row| {
            let Some(ordinal) = column.ordinal(row) else { return };
            let Some(place) = places.get_mut(ordinal as usize) else { return };
            let place = *place.get_or_insert_with(|| {
                let value = column.value(ordinal);
                if !value.whole {
                    return u32::MAX;
                }
                self.values.push(value.text);
                self.values.len() as u32 - 1
            });
            if place == u32::MAX { cut.push(row) } else { self.pairs.push((row, place)) }
        });
        Some(RowSet::Sorted(cut.into()))
    }

    /// Where it has rows for each value. Gives the rows that it cannot tell about.
    fn look_up(
        &mut self,
        running: &Running<'_>,
        part: &Part,
        target: &Target,
        rows: &RowSet,
        known: &mut HashMap<String, u32>,
    ) -> Result<RowSet, Error> {
        let counts = part.counts(target, rows);
        if counts.values.len() > LOOKED_UP_VALUES {
            return Ok(rows.clone());
        }
        let listed = rows.minus(&counts.unlisted, part.row_count());
        for (value, _) in counts.values {
            running.check()?;
            if known.contains_key(&value) {
                continue;
            }
            let with = part.eval(&having(target, &value)).possible.and(&listed);
            let place = self.place(known, value);
            with.for_each(|row| self.pairs.push((row, place)));
        }
        self.pairs.sort_unstable();
        Ok(counts.unlisted)
    }

    fn place(&mut self, known: &mut HashMap<String, u32>, value: String) -> u32 {
        if let Some(place) = known.get(&value) {
            return *place;
        }
        let place = self.values.len() as u32;
        self.values.push(value.clone());
        known.insert(value, place);
        place
    }

    /// The values that occur.
    pub(crate) fn values(&self) -> &[String] {
        &self.values
    }

    /// Row and place of its value in [`Column::values`], ascending.
    pub(crate) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }
}
