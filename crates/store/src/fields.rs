//! Which fields there are, and what values they have: for completing a query while it is typed.

use std::collections::BTreeMap;

use attestry_event::{Field, Kind, Scalar, walk};
use attestry_index::{Filter, Kinds, Target};

use crate::column::Key;
use crate::tally::Tally;
use crate::{Error, Scope, Store};

/// The most fields in an answer.
pub const MAX_FIELDS: usize = 10_000;

/// How many values of each part are looked at to suggest some, when all events are looked at.
const SUGGESTED_FROM: usize = 10_000;

/// What a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Strings compared as a whole.
    Keyword,
    /// Words.
    Text,
    /// Numbers.
    Number,
    /// Times.
    Time,
    /// True or false.
    Bool,
    /// More than one of these.
    Mixed,
}

impl FieldKind {
    /// The name that the HTTP interface uses.
    pub fn name(self) -> &'static str {
        match self {
            FieldKind::Keyword => "keyword",
            FieldKind::Text => "text",
            FieldKind::Number => "number",
            FieldKind::Time => "time",
            FieldKind::Bool => "bool",
            FieldKind::Mixed => "mixed",
        }
    }

    fn of_field(field: Field) -> FieldKind {
        match field.kind() {
            Kind::Keyword => FieldKind::Keyword,
            Kind::Text => FieldKind::Text,
            Kind::Number => FieldKind::Number,
            Kind::Time => FieldKind::Time,
            Kind::Bool => FieldKind::Bool,
        }
    }
}

/// Which of strings, numbers and bools a path was seen with.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    string: bool,
    number: bool,
    bool: bool,
}

impl Seen {
    fn add(&mut self, kinds: Kinds) {
        self.string |= kinds.string();
        self.number |= kinds.number();
        self.bool |= kinds.bool();
    }

    fn add_scalar(&mut self, scalar: Scalar<'_>) {
        match scalar {
            Scalar::Str(_) | Scalar::Ref { .. } => self.string = true,
            Scalar::Number(_) => self.number = true,
            Scalar::Bool(_) => self.bool = true,
            Scalar::Null => {}
        }
    }

    /// A path that was only null may become anything.
    fn kind(self) -> FieldKind {
        match (self.string, self.number, self.bool) {
            (true, false, false) => FieldKind::Keyword,
            (false, true, false) => FieldKind::Number,
            (false, false, true) => FieldKind::Bool,
            _ => FieldKind::Mixed,
        }
    }
}

/// The fields of some events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Name and kind: the event's own fields in their order, then the paths of `event_data` by name.
    pub fields: Vec<(String, FieldKind)>,
    /// Whether there are more than [`MAX_FIELDS`].
    pub cut: bool,
    /// Committed entries that the index has not taken in yet, and which were therefore not looked at.
    pub behind: u64,
}

/// Suggested values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Values and in how many events each is, the most frequent first.
    pub values: Vec<(String, u64)>,
    /// Whether more values than were looked at start so: the counts may then be too low.
    pub cut: bool,
    /// As in [`Fields`].
    pub behind: u64,
}

impl Store {
    /// The fields that the events of a scope have. A path's kind is that of all its values, in the scope or not.
    pub fn fields(&self, scope: &Scope) -> Result<Fields, Error> {
        let running = self.run(scope)?;
        let mut own = [false; Field::ALL.len()];
        let mut paths: BTreeMap<String, Seen> = BTreeMap::new();
        let mut cut = false;
        running.each_part(|source, part, rows| {
            let every = rows.len() == part.row_count();
            // What is only possible is in rows whose paths the index does not all know: those are read below.
            let has = |target: Target| !part.eval(&Filter::Exists(target)).certain.and(&rows).is_empty();
            for (field, seen) in Field::ALL.into_iter().zip(&mut own) {
                *seen = *seen
                    || matches!(field, Field::EventId | Field::EventTime | Field::ReceivedAt)
                    || (part.rows_with(field) > 0 && (every || has(Target::Keyword(field))));
            }
            for info in part.paths() {
                running.check()?;
                if let Some(seen) = paths.get_mut(info.path) {
                    seen.add(info.kinds);
                } else if every || has(Target::Path(info.path.to_owned())) {
                    let mut seen = Seen::default();
                    seen.add(info.kinds);
                    paths.insert(info.path.to_owned(), seen);
                }
            }
            // Any path will do to learn which rows have some that the index does not know.
            let loose = part.numeric(&Target::Path(String::new()), &rows, &mut |_, _| {});
            running.read_entries(source, part, &loose, &mut |_, entry| {
                let data = entry.event_data().unwrap_or(b"{}");
                let _ = walk(data, &mut |path, scalar| {
                    if let Some(seen) = paths.get_mut(path) {
                        seen.add_scalar(scalar);
                    } else if paths.len() <= MAX_FIELDS {
                        let mut seen = Seen::default();
                        seen.add_scalar(scalar);
                        paths.insert(path.to_owned(), seen);
                    }
                });
                Ok(())
            })?;
            while paths.len() > MAX_FIELDS {
                cut = true;
                paths.pop_last();
            }
            Ok(())
        })?;
        let own = Field::ALL.into_iter().zip(own).filter(|(_, seen)| *seen);
        let own = own.map(|(field, _)| (field.name().to_owned(), FieldKind::of_field(field)));
        let paths = paths.into_iter().map(|(path, seen)| (format!("event_data.{path}"), seen.kind()));
        Ok(Fields { fields: own.chain(paths).collect(), cut, behind: running.behind })
    }

    /// Values of a field that start with `prefix`, the most frequent first. For completing only: values that the index does not hold
    /// (ids, numbers on request of everything, very long strings) are not suggested. [`Store::top`] is exact.
    pub fn values(&self, scope: &Scope, field: &str, prefix: &str, limit: usize) -> Result<Values, Error> {
        let key = Key::parse(field)?;
        let running = self.run(scope)?;
        let mut tally = Tally::new(&self.fingerprints);
        let mut cut = false;
        let unrestricted = scope.query.is_all() && scope.from.is_none() && scope.to.is_none();
        let target = match &key {
            Key::Ledger => {
                running.each_part(|source, _, rows| match source.name.starts_with(prefix) {
                    true => tally.add(source.name.to_string(), u64::from(rows.len())),
                    false => Ok(()),
                })?;
                return Ok(Values { values: tally.into_largest(limit), cut, behind: running.behind });
            }
            Key::Target(target) => target,
        };
        if unrestricted {
            for part in running.sources.iter().flat_map(|source| &source.parts) {
                running.check()?;
                let found = part.values_with_prefix(target, prefix, SUGGESTED_FROM);
                cut |= found.len() >= SUGGESTED_FROM;
                found.into_iter().try_for_each(|(value, count)| tally.add(value, u64::from(count)))?;
            }
        } else {
            running.each_part(|_, part, rows| {
                let counts = part.counts(target, &rows);
                let fitting = counts.values.into_iter().filter(|(value, _)| value.starts_with(prefix));
                fitting.into_iter().try_for_each(|(value, count)| tally.add(value, u64::from(count)))
            })?;
        }
        Ok(Values { values: tally.into_largest(limit), cut, behind: running.behind })
    }
}
