//! Which events go together in requests, and which of an agent's numbers they account for.

use std::ops::Range;
use std::sync::Arc;

use attestry_pipeline::{Covered, Parcel};

/// Events of one ledger that are sent one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) rows: Vec<usize>,
    /// What they account for together; the events' own numbers lie in it.
    pub(super) numbers: Option<Numbers>,
}

/// Numbers of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) epoch: u64,
    pub(super) range: Range<u64>,
}

/// Each ledger's events, in order; the ledgers in the order of their first events, then those of which nothing is left to send.
pub(super) fn by_ledger(parcels: &[Parcel], covered: &[Covered]) -> Vec<(Arc<str>, Vec<usize>)> {
    let mut groups: Vec<(Arc<str>, Vec<usize>)> = Vec::new();
    for (row, parcel) in parcels.iter().enumerate() {
        match groups.iter_mut().find(|(ledger, _)| *ledger == parcel.ledger) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((Arc::clone(&parcel.ledger), vec![row])),
        }
    }
    for range in covered {
        if !groups.iter().any(|(ledger, _)| *ledger == range.ledger) {
            groups.push((Arc::clone(&range.ledger), Vec::new()));
        }
    }
    groups
}

/// One turn for each range of numbers without holes. A hole between two is what nobody could count: it must not be accounted for.
pub(super) fn turns(parcels: &[Parcel], rows: Vec<usize>, ledger: &str, covered: &[Covered]) -> Vec<Turn> {
    let of_ledger = || covered.iter().filter(|range| *range.ledger == *ledger);
    // What is lost may be of an older count, which the server hears no more of: the event that declares it says so.
    let epoch = of_ledger().find(|range| !range.lost).or_else(|| of_ledger().next()).map(|range| range.epoch);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for range in of_ledger().filter(|range| Some(range.epoch) == epoch && !range.seqs.is_empty()) {
        match ranges.last_mut() {
            Some(last) if last.end == range.seqs.start => last.end = range.seqs.end,
            _ => ranges.push(range.seqs.clone()),
        }
    }
    let mut rest = rows;
    let mut turns = Vec::new();
    for range in ranges {
        let seq = |row: &usize| parcels.get(*row).and_then(|parcel| parcel.seq);
        let (within, others) =
            rest.into_iter().partition(|row| seq(row).is_some_and(|seq| range.contains(&seq)));
        rest = others;
        turns.push(Turn { rows: within, numbers: epoch.map(|epoch| Numbers { epoch, range }) });
    }
    if !rest.is_empty() {
        turns.push(Turn { rows: rest, numbers: None });
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::parcel;
    use serde_json::json;

    fn covered(epoch: u64, seqs: Range<u64>, lost: bool) -> Covered {
        Covered { ledger: "audit".into(), epoch, seqs, lost }
    }

    /// The events have the numbers 100, 101, 102 and 103.
    #[test]
    fn follow_the_ranges() {
        for (covers, expected) in [
            (vec![], vec![(vec![0, 1, 2, 3], None)]),
            (vec![covered(7, 90..110, false)], vec![(vec![0, 1, 2, 3], Some((7, 90..110)))]),
            (
                vec![covered(7, 90..95, false), covered(7, 95..98, true), covered(7, 98..110, false)],
                vec![(vec![0, 1, 2, 3], Some((7, 90..110)))],
            ),
            (
                vec![covered(7, 90..102, false), covered(7, 102..102, false), covered(7, 103..104, false)],
                vec![(vec![0, 1], Some((7, 90..102))), (vec![3], Some((7, 103..104))), (vec![2], None)],
            ),
            (
                vec![covered(6, 500..600, true), covered(7, 0..104, false)],
                vec![(vec![0, 1, 2, 3], Some((7, 0..104)))],
            ),
            (vec![covered(7, 0..10, true)], vec![(vec![], Some((7, 0..10))), (vec![0, 1, 2, 3], None)]),
        ] {
            let parcels: Vec<Parcel> = (0..4).map(|number| parcel(number, "audit", &json!({}))).collect();
            let found = turns(&parcels, vec![0, 1, 2, 3], "audit", &covers);
            let found: Vec<_> = found
                .into_iter()
                .map(|turn| (turn.rows, turn.numbers.map(|numbers| (numbers.epoch, numbers.range))))
                .collect();
            assert_eq!(found, expected, "{covers:?}");
        }
    }

    #[test]
    fn a_ledger_with_nothing_to_send_comes_last() {
        let parcels =
            [parcel(0, "logs", &json!({})), parcel(1, "other", &json!({})), parcel(2, "logs", &json!({}))];
        let found = by_ledger(&parcels, &[covered(1, 0..1, false)]);
        let found: Vec<(&str, &[usize])> =
            found.iter().map(|(ledger, rows)| (&**ledger, &rows[..])).collect();
        assert_eq!(found, [("logs", &[0, 2][..]), ("other", &[1]), ("audit", &[])]);
    }
}
