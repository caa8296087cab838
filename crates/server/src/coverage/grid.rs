//! Hours across, hosts and sources down.

use std::collections::BTreeMap;

use attestry_event::Nanos;

use super::gaps::Gap;
use super::{GapAnswer, HOUR, RowAnswer};

const SECOND: i64 = 1_000_000_000;

/// A stretch of full hours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hours {
    pub(super) from: Nanos,
    pub(super) number: usize,
}

impl Hours {
    pub(super) fn to(self) -> Nanos {
        Nanos(self.from.0.saturating_add(HOUR.saturating_mul(self.number as i64)))
    }

    /// Where each begins and ends.
    pub(super) fn each(self) -> impl Iterator<Item = (i64, i64)> {
        (0..self.number as i64).map(move |hour| {
            let from = self.from.0.saturating_add(HOUR.saturating_mul(hour));
            (from, from.saturating_add(HOUR))
        })
    }

    fn of(self, time: Nanos) -> Option<usize> {
        let hour = time.0.checked_sub(self.from.0)?.div_euclid(HOUR);
        usize::try_from(hour).ok().filter(|hour| *hour < self.number)
    }
}

/// One host's source.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) every_s: Option<u64>,
    pub(super) seen: Vec<u64>,
    pub(super) expected: Vec<Option<u64>>,
    missing: Vec<u64>,
    silences: Vec<(i64, i64)>,
    gaps: Vec<GapAnswer>,
}

/// All rows, by host and source.
pub(super) struct Grid {
    hours: Hours,
    rows: BTreeMap<(String, String), Row>,
}

impl Grid {
    pub(super) fn new(hours: Hours) -> Grid {
        Grid { hours, rows: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&mut self, host: &str, source: &str) -> &mut Row {
        self.rows.entry((host.to_owned(), source.to_owned())).or_default()
    }

    /// The host of a source that has only one; empty where it has none or several.
    pub(super) fn host_of(&self, source: &str) -> String {
        let mut hosts = self.rows.keys().filter(|(_, of)| of == source).map(|(host, _)| host);
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.clone(),
            _ => String::new(),
        }
    }

    /// Notes a gap in the hour in which it was told of.
    pub(super) fn gap(&mut self, host: &str, gap: &Gap) {
        let Some(hour) = self.hours.of(gap.time) else { return };
        let number = self.hours.number;
        let row = self.row(host, &gap.source);
        row.missing.resize(number, 0);
        if let Some(missing) = row.missing.get_mut(hour) {
            *missing = missing.saturating_add(gap.missing.unwrap_or(0));
        }
        row.gaps.push(GapAnswer {
            hour,
            name: gap.name.clone(),
            missing: gap.missing,
            why: gap.why.clone(),
            ledger: gap.ledger.clone(),
            index: gap.index,
        });
    }

    /// Notes a silence in all hours that it touches.
    pub(super) fn silence(&mut self, host: &str, gap: &Gap) {
        let Some((from, to)) = gap.silent else { return };
        let (from, to) = (from.0.max(self.hours.from.0), to.0.min(self.hours.to().0));
        if from < to {
            self.row(host, &gap.source).silences.push((from, to));
        }
    }

    pub(super) fn into_rows(self) -> Vec<RowAnswer> {
        let hours = self.hours;
        let rows = self.rows.into_iter().map(|((host, source), mut row)| {
            row.seen.resize(hours.number, 0);
            if row.missing.iter().all(|missing| *missing == 0) {
                row.missing.clear();
            }
            if row.expected.iter().all(Option::is_none) {
                row.expected.clear();
            }
            let Row { every_s, seen, expected, missing, silences, gaps } = row;
            let silent_s = silent(silences, hours);
            RowAnswer { host, source, every_s, seen, expected, missing, silent_s, gaps }
        });
        rows.collect()
    }
}

/// Seconds of silence in each hour; stretches that overlap count once.
fn silent(mut silences: Vec<(i64, i64)>, hours: Hours) -> Vec<u64> {
    if silences.is_empty() {
        return Vec::new();
    }
    silences.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::new();
    for (from, to) in silences {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    let within = |(from, to): (i64, i64)| {
        let overlaps = apart.iter().map(|(start, end)| end.min(&to) - start.max(&from));
        (overlaps.filter(|overlap| *overlap > 0).sum::<i64>() / SECOND) as u64
    };
    hours.each().map(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Hours = Hours { from: Nanos(10 * HOUR), number: 3 };

    #[test]
    fn silence_is_cut_into_hours_and_counts_once() {
        let minute = 60 * SECOND;
        let at = |minutes: i64| 10 * HOUR + minutes * minute;
        for (silences, expected) in [
            (vec![], vec![]),
            (vec![(at(50), at(70))], vec![600, 600, 0]),
            (vec![(at(0), at(180))], vec![3600, 3600, 3600]),
            (vec![(at(10), at(20)), (at(15), at(30)), (at(12), at(14))], vec![1200, 0, 0]),
            (vec![(at(130), at(140)), (at(10), at(11))], vec![60, 0, 600]),
        ] {
            assert_eq!(silent(silences.clone(), HOURS), expected, "{silences:?}");
        }
    }

    #[test]
    fn gaps_add_up_in_their_hour() {
        let mut grid = Grid::new(HOURS);
        let gap = |hours: i64, missing| Gap {
            time: Nanos(hours * HOUR + 5),
            source: "auth".to_owned(),
            name: "gap.collect".to_owned(),
            missing,
            ..Gap::default()
        };
        for (hours, missing) in
            [(10, Some(5)), (10, Some(2)), (11, None), (12, Some(u64::MAX)), (9, Some(1)), (13, Some(1))]
        {
            grid.gap("web1", &gap(hours, missing));
        }
        grid.row("web1", "packages").seen = vec![1, 2, 3];
        let rows = grid.into_rows();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].missing.as_slice(), rows[0].gaps.len()), (&[7, 0, u64::MAX][..], 4));
        assert_eq!((rows[0].seen.as_slice(), rows[1].seen.as_slice()), (&[0, 0, 0][..], &[1, 2, 3][..]));
        assert_eq!((rows[1].missing.len(), rows[1].gaps.len()), (0, 0));
    }
}
