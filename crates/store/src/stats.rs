//! Figures of numeric values, grouped by up to three fields.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use attestry_event::{Decimal, Kind, Scalar, walk};
use attestry_index::{Part, RowSet, Target};

use crate::column::{Column, Key};
use crate::query::Subject;
use crate::scope::{Running, Source};
use crate::sketch::Sketch;
use crate::{Error, Scope, Store, query};

/// The most fields to group by.
pub const MAX_GROUP_FIELDS: usize = 3;

/// The most figures in one answer.
pub const MAX_CALCULATIONS: usize = 32;

/// The most groups in an answer; the largest are given, and whether there were more.
pub const MAX_GROUPS: usize = 10_000;

/// The most groups that are told apart to find the largest.
const MAX_GROUPS_HELD: usize = 100_000;

/// The most values that are kept for exact percentiles: 32 MiB.
const MAX_KEPT_VALUES: usize = 4 << 20;

/// What is computed of the values of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// How many events; takes no field.
    Events,
    /// How many values.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The least value that at least this percentage (0 to 100) of all values do not exceed.
    Percentile(f64),
}

/// A figure of a field: `count`, or `sum(event_data.bytes)`, `p95(took)` and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct Calculation {
    /// What is computed.
    pub figure: Figure,
    /// Of which field; empty for [`Figure::Events`].
    pub field: String,
}

impl FromStr for Calculation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Calculation, Error> {
        let refused = || {
            Error::Refused(format!(
                "{text:?} is no calculation; count, count(f), sum(f), avg(f), min(f), max(f) and p1(f) to p99(f) are"
            ))
        };
        if text == "count" {
            return Ok(Calculation { figure: Figure::Events, field: String::new() });
        }
        let (name, field) =
            text.strip_suffix(')').and_then(|text| text.split_once('(')).ok_or_else(refused)?;
        let figure = match name {
            "count" => Figure::Count,
            "sum" => Figure::Sum,
            "avg" => Figure::Avg,
            "min" => Figure::Min,
            "max" => Figure::Max,
            _ => match name.strip_prefix('p').map(f64::from_str) {
                Some(Ok(percent)) if (0.0..=100.0).contains(&percent) => Figure::Percentile(percent),
                _ => return Err(refused()),
            },
        };
        if field.is_empty() {
            return Err(refused());
        }
        Ok(Calculation { figure, field: field.to_owned() })
    }
}

impl fmt::Display for Calculation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match self.figure {
            Figure::Events => f.write_str("count"),
            Figure::Count => write!(f, "count({field})"),
            Figure::Sum => write!(f, "sum({field})"),
            Figure::Avg => write!(f, "avg({field})"),
            Figure::Min => write!(f, "min({field})"),
            Figure::Max => write!(f, "max({field})"),
            Figure::Percentile(percent) => write!(f, "p{percent}({field})"),
        }
    }
}

/// A request for figures.
#[derive(Debug, Clone)]
pub struct StatsRequest {
    /// Which events.
    pub scope: Scope,
    /// The fields to group by, at most [`MAX_GROUP_FIELDS`].
    pub by: Vec<String>,
    /// What to compute, at most [`MAX_CALCULATIONS`].
    pub calculations: Vec<Calculation>,
    /// How many groups, the largest first; at most [`MAX_GROUPS`].
    pub limit: usize,
}

/// Figures by group.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// One row a group: the one with the most events first, then in the order of their values.
    pub rows: Vec<StatsRow>,
    /// How many groups there are.
    pub groups: u64,
    /// Whether there are more groups than rows.
    pub cut: bool,
    /// Whether percentiles may be off by [`crate::RELATIVE_ERROR`]: there were too many values to keep each.
    pub approximate: bool,
    /// How many events answer the query.
    pub count: u64,
    /// How many committed entries the index has not taken in yet.
    pub behind: u64,
}

/// The figures of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsRow {
    /// The values of the fields it is grouped by; `None` where the events have none. An event with several values is in several
    /// groups.
    pub by: Vec<Option<String>>,
    /// How many events.
    pub count: u64,
    /// The figures, in the order asked for; `None` where there was no number. Computed in 64-bit floating point. A value that an event
    /// has twice counts once.
    pub figures: Vec<Option<f64>>,
}

/// A field whose numbers are wanted, and what of them.
struct Measure {
    target: Target,
    percentiles: bool,
}

/// The numbers of one field in one group.
#[derive(Clone)]
struct Numbers {
    count: u64,
    sum: f64,
    /// What the sum lost by rounding (Neumaier).
    lost: f64,
    min: f64,
    max: f64,
    sketch: Sketch,
}

impl Numbers {
    fn new() -> Numbers {
        Numbers {
            count: 0,
            sum: 0.0,
            lost: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sketch: Sketch::new(),
        }
    }

    fn add(&mut self, value: f64, percentiles: bool) {
        self.count += 1;
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if percentiles {
            self.sketch.add(value);
        }
    }

    fn total(&self) -> f64 {
        // An infinite sum has lost an infinite amount, too.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

struct Group {
    count: u64,
    numbers: Vec<Numbers>,
}

/// The values of the fields grouped by: their numbers in `Groups::values`, [`NO_VALUE`] where there is none.
type GroupKey = [u32; MAX_GROUP_FIELDS];

const NO_VALUE: u32 = u32::MAX;

#[derive(Default)]
struct Groups {
    values: Vec<String>,
    known: HashMap<String, u32>,
    keys: HashMap<GroupKey, u32>,
    groups: Vec<Group>,
}

impl Groups {
    fn value(&mut self, value: &str) -> u32 {
        if let Some(number) = self.known.get(value) {
            return *number;
        }
        let number = self.values.len() as u32;
        self.values.push(value.to_owned());
        self.known.insert(value.to_owned(), number);
        number
    }

    fn group(&mut self, key: &GroupKey, measures: usize) -> Result<u32, Error> {
        if let Some(number) = self.keys.get(key) {
            return Ok(*number);
        }
        if self.groups.len() >= MAX_GROUPS_HELD {
            return Err(Error::TooMany { what: "groups", limit: MAX_GROUPS_HELD });
        }
        let number = self.groups.len() as u32;
        self.keys.insert(*key, number);
        self.groups.push(Group { count: 0, numbers: vec![Numbers::new(); measures] });
        Ok(number)
    }
}

impl Store {
    /// Counts, sums, averages, extremes and percentiles of numbers, grouped.
    pub fn stats(&self, request: &StatsRequest) -> Result<Stats, Error> {
        let refuse = |what: &str, limit: usize| Err(Error::Refused(format!("at most {limit} {what}")));
        if request.by.len() > MAX_GROUP_FIELDS {
            return refuse("fields to group by", MAX_GROUP_FIELDS);
        }
        if request.calculations.len() > MAX_CALCULATIONS {
            return refuse("calculations", MAX_CALCULATIONS);
        }
        if request.limit > MAX_GROUPS {
            return refuse("groups", MAX_GROUPS);
        }
        let keys: Vec<Key> = request.by.iter().map(|name| Key::parse(name)).collect::<Result<_, _>>()?;
        let (measures, of) = measures(&request.calculations)?;
        let running = self.run(&request.scope)?;
        let mut groups = Groups::default();
        let (mut count, mut approximate) = (0, false);
        running.each_part(|source, part, rows| {
            count += u64::from(rows.len());
            let members = Members::read(&running, source, part, &keys, &rows, measures.len(), &mut groups)?;
            for (place, measure) in measures.iter().enumerate() {
                running.check()?;
                let mut add = |row: u32, value: f64| {
                    for group in members.of(row) {
                        let numbers = groups
                            .groups
                            .get_mut(*group as usize)
                            .and_then(|group| group.numbers.get_mut(place));
                        if let Some(numbers) = numbers {
                            numbers.add(value, measure.percentiles);
                        }
                    }
                };
                let loose = part.numeric(&measure.target, &rows, &mut add);
                if let Target::Path(path) = &measure.target
                    && !loose.is_empty()
                {
                    running.read_entries(source, part, &loose, &mut |row, entry| {
                        let data = entry.event_data();
                        data.map_or_else(Vec::new, |data| numbers_at(data, path))
                            .into_iter()
                            .for_each(|value| add(row, value));
                        Ok(())
                    })?;
                }
                approximate |= bound_memory(&mut groups);
            }
            Ok(())
        })?;
        Ok(finish(
            request,
            groups,
            &of,
            Stats { rows: Vec::new(), groups: 0, cut: false, approximate, count, behind: running.behind },
        ))
    }
}

/// The fields to measure, each once, and for each calculation which of them it is about.
fn measures(calculations: &[Calculation]) -> Result<(Vec<Measure>, Vec<usize>), Error> {
    let mut measures: Vec<Measure> = Vec::new();
    let mut of = Vec::new();
    for calculation in calculations {
        if calculation.figure == Figure::Events {
            of.push(usize::MAX);
            continue;
        }
        let name = &calculation.field;
        let (subject, _) = query::subject(name).map_err(|error| Error::Refused(error.message))?;
        let target = match subject {
            Subject::Path(path) => Target::Path(path),
            Subject::Field(field) if field.kind() == Kind::Number => Target::Keyword(field),
            _ => return Err(Error::Refused(format!("{name} holds no numbers"))),
        };
        let percentiles = matches!(calculation.figure, Figure::Percentile(_));
        match measures.iter_mut().enumerate().find(|(_, measure)| measure.target == target) {
            Some((place, measure)) => {
                measure.percentiles |= percentiles;
                of.push(place);
            }
            None => {
                of.push(measures.len());
                measures.push(Measure { target, percentiles });
            }
        }
    }
    Ok((measures, of))
}

/// To which groups each row of a part belongs.
struct Members {
    /// Where each row's groups begin in `groups`; one more than there are rows. Empty when all rows are in the one group there is.
    starts: Vec<u32>,
    groups: Vec<u32>,
}

impl Members {
    fn read(
        running: &Running<'_>,
        source: &Source,
        part: &Part,
        keys: &[Key],
        rows: &RowSet,
        measures: usize,
        groups: &mut Groups,
    ) -> Result<Members, Error> {
        if keys.is_empty() {
            let only = groups.group(&[NO_VALUE; MAX_GROUP_FIELDS], measures)?;
            if let Some(group) = groups.groups.get_mut(only as usize) {
                group.count += u64::from(rows.len());
            }
            return Ok(Members { starts: Vec::new(), groups: vec![only] });
        }
        let mut columns: Vec<(Column, Vec<u32>)> = Vec::with_capacity(keys.len());
        for key in keys {
            let column = Column::read(running, source, part, key, rows)?;
            let numbers = column.values().iter().map(|value| groups.value(value)).collect();
            columns.push((column, numbers));
        }
        let mut members = Members {
            starts: vec![0; part.row_count() as usize + 1],
            groups: Vec::with_capacity(rows.len() as usize),
        };
        let mut at = [0_usize; MAX_GROUP_FIELDS];
        let mut next_row = 0;
        // The groups of one row: a field with several values multiplies them.
        let mut of_row: Vec<GroupKey> = Vec::new();
        for row in rows.iter() {
            of_row.clear();
            of_row.push([NO_VALUE; MAX_GROUP_FIELDS]);
            for (place, ((column, numbers), at)) in columns.iter().zip(&mut at).enumerate() {
                let start = *at;
                while column.pairs().get(*at).is_some_and(|(of, _)| *of == row) {
                    *at += 1;
                }
                let before = of_row.len();
                for (turn, (_, value)) in column.pairs().get(start..*at).unwrap_or(&[]).iter().enumerate() {
                    let value = numbers.get(*value as usize).copied().unwrap_or(NO_VALUE);
                    if turn > 0 {
                        of_row.extend_from_within(..before);
                    }
                    for slot in of_row.iter_mut().skip(turn * before).filter_map(|key| key.get_mut(place)) {
                        *slot = value;
                    }
                }
            }
            let begin = members.groups.len() as u32;
            members.fill(&mut next_row, row, begin);
            for key in &of_row {
                let number = groups.group(key, measures)?;
                if let Some(group) = groups.groups.get_mut(number as usize) {
                    group.count += 1;
                }
                members.groups.push(number);
            }
        }
        let end = members.groups.len() as u32;
        members.fill(&mut next_row, part.row_count(), end);
        Ok(members)
    }

    /// Rows up to and with `row` that have no start yet begin here.
    fn fill(&mut self, next_row: &mut u32, row: u32, begin: u32) {
        for start in self.starts.iter_mut().take(row as usize + 1).skip(*next_row as usize) {
            *start = begin;
        }
        *next_row = row + 1;
    }

    fn of(&self, row: u32) -> &[u32] {
        if self.starts.is_empty() {
            return &self.groups;
        }
        let start = |row: u32| self.starts.get(row as usize).copied().unwrap_or(0) as usize;
        self.groups.get(start(row)..start(row + 1)).unwrap_or(&[])
    }
}

/// The numbers on a path, each once.
fn numbers_at(data: &[u8], path: &str) -> Vec<f64> {
    let mut found: Vec<Decimal> = Vec::new();
    let _ = walk(data, &mut |at, scalar| {
        if let Scalar::Number(token) = scalar
            && at == path
        {
            found.extend(Decimal::parse(token));
        }
    });
    found.sort();
    found.dedup();
    found.iter().map(Decimal::to_f64).collect()
}

/// Turns single values into counts when there are too many. Says whether there are any such counts.
fn bound_memory(groups: &mut Groups) -> bool {
    let numbers = || groups.groups.iter().flat_map(|group| &group.numbers);
    let kept: usize = numbers().map(|numbers| numbers.sketch.kept()).sum();
    if kept > MAX_KEPT_VALUES {
        groups
            .groups
            .iter_mut()
            .flat_map(|group| &mut group.numbers)
            .for_each(|numbers| numbers.sketch.shrink());
        return true;
    }
    false
}

fn finish(request: &StatsRequest, groups: Groups, of: &[usize], mut stats: Stats) -> Stats {
    let Groups { values, keys, groups, .. } = groups;
    stats.groups = groups.len() as u64;
    stats.cut = groups.len() > request.limit;
    let name = |value: &u32| values.get(*value as usize).cloned();
    let mut rows: Vec<(u64, Vec<Option<String>>, u32)> = keys
        .iter()
        .map(|(key, number)| {
            let count = groups.get(*number as usize).map_or(0, |group| group.count);
            (count, key.iter().take(request.by.len()).map(name).collect(), *number)
        })
        .collect();
    rows.sort_unstable_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
    rows.truncate(request.limit);
    for (count, by, number) in rows {
        let mut numbers: Vec<Numbers> =
            groups.get(number as usize).map_or_else(Vec::new, |group| group.numbers.clone());
        numbers.iter_mut().for_each(|numbers| numbers.sketch.sort());
        let figure = |(calculation, place): (&Calculation, &usize)| {
            if calculation.figure == Figure::Events {
                return Some(count as f64);
            }
            let numbers = numbers.get(*place)?;
            if calculation.figure == Figure::Count {
                return Some(numbers.count as f64);
            }
            if numbers.count == 0 {
                return None;
            }
            Some(match calculation.figure {
                Figure::Sum => numbers.total(),
                Figure::Avg => numbers.total() / numbers.count as f64,
                Figure::Min => numbers.min,
                Figure::Max => numbers.max,
                Figure::Percentile(percent) => numbers.sketch.percentile(percent / 100.0)?,
                Figure::Events | Figure::Count => return None,
            })
        };
        let figures = request.calculations.iter().zip(of).map(figure).collect();
        stats.rows.push(StatsRow { by, count, figures });
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_calculations() {
        for text in
            ["count", "count(a.b)", "sum(x)", "avg(x)", "min(x)", "max(severity)", "p50(x)", "p99.9(x)"]
        {
            assert_eq!(text.parse::<Calculation>().unwrap().to_string(), text);
        }
        for text in
            ["", "sum", "sum()", "sum(x", "mean(x)", "p(x)", "p101(x)", "p-1(x)", "pNaN(x)", "pinf(x)"]
        {
            assert!(text.parse::<Calculation>().is_err(), "{text}");
        }
    }

    #[test]
    fn sums_keep_what_rounding_loses() {
        let mut numbers = Numbers::new();
        for value in [1e16, 1.0, 1.0, -1e16] {
            numbers.add(value, false);
        }
        assert_eq!(numbers.total(), 2.0);
    }
}
