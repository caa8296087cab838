//! The whole index, with random rows, filters and operations: whatever was merged, written, reopened or pruned, the
//! certain rows pass, and those that pass are possible.

use std::collections::BTreeMap;
use std::path::Path;

use attestry_event::{Entry, Field};
use attestry_index::{Filter, Index, Options, Order, Part, RowSet, Snapshot, Target};

use crate::entries::{PATHS, Random, SECOND, START, entries};
use crate::filters::{filter, promises_certainty};
use crate::scan;

/// Small limits, so that few rows go through everything.
fn small(random: &mut Random) -> Options {
    let file_rows = 50 + random.below(400) as u32;
    Options {
        file_rows,
        max_file_rows: file_rows * (2 + random.below(8) as u32),
        part_rows: 1 + random.below(200) as u32,
        background: random.chance(30),
        ..Options::default()
    }
}

fn open(dir: &Path, options: &Options) -> Index {
    let (index, opened) = Index::open(dir, options.clone()).unwrap();
    assert_eq!(opened.dropped, []);
    assert_eq!(opened.rows.end, index.end());
    index
}

fn feed(index: &Index, all: &[Vec<u8>], rows: std::ops::Range<u64>) {
    let entries = &all[rows.start as usize..rows.end as usize];
    index.add(rows.start, &mut entries.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(index.end(), rows.end);
}

/// The parts of a snapshot follow each other and cover what it says.
fn check_parts(snapshot: &Snapshot) {
    let parts = snapshot.parts();
    for pair in parts.windows(2) {
        assert_eq!(pair[0].rows().end, pair[1].rows().start);
    }
    if let (Some(oldest), Some(newest)) = (parts.first(), parts.last()) {
        assert!(oldest.rows().start <= snapshot.first() && snapshot.first() < oldest.rows().end);
        assert_eq!(newest.rows().end, snapshot.end());
    } else {
        assert_eq!(snapshot.first(), snapshot.end());
    }
}

/// The rows of a set, as rows of the ledger.
fn absolute(part: &Part, rows: &RowSet) -> Vec<u64> {
    rows.iter().map(|row| part.rows().start + u64::from(row)).collect()
}

fn check_filter(snapshot: &Snapshot, all: &[Vec<u8>], entries: &[(Entry<'_>, bool)], filter: &Filter) {
    let promised = promises_certainty(filter);
    for part in snapshot.parts() {
        let found = part.eval(filter);
        let certain = absolute(part, &found.certain);
        let possible = absolute(part, &found.possible);
        let visible = part.rows().start.max(snapshot.first())..part.rows().end;
        for row in visible.clone() {
            let truth = scan::entry_passes(filter, row, &entries[row as usize].0);
            let (is_certain, is_possible) =
                (certain.binary_search(&row).is_ok(), possible.binary_search(&row).is_ok());
            let entry = || String::from_utf8_lossy(&all[row as usize]).into_owned();
            match truth {
                Some(true) => assert!(is_possible, "{part:?} misses row {row} for {filter:?}: {}", entry()),
                Some(false) => {
                    assert!(!is_certain, "{part:?} is wrong about row {row} for {filter:?}: {}", entry())
                }
                None => assert!(
                    !is_certain && is_possible,
                    "{part:?} cannot know row {row} for {filter:?}: {}",
                    entry()
                ),
            }
            if promised && entries[row as usize].1 {
                assert_eq!(
                    is_certain,
                    is_possible,
                    "{part:?} leaves row {row} open for {filter:?}: {}",
                    entry()
                );
            }
        }
        assert!(possible.iter().all(|row| visible.contains(row)), "{filter:?} finds pruned rows");
        let counted = part.count(filter);
        assert_eq!(
            (counted.certain, counted.possible),
            (found.certain.len(), found.possible.len()),
            "{filter:?}"
        );
    }
}

/// Nothing in the entry that the index keeps in part only.
fn is_plain(entry: &[u8]) -> bool {
    let entry = std::str::from_utf8(entry).unwrap();
    let long = |part: &&str| part.len() > 64;
    !entry.contains("$ref")
        && !entry.contains("nnnn")
        && !entry.split([' ', '"', '/']).any(|part| long(&part))
        && !entry.contains("segment/segment/")
}

fn check_aggregates(snapshot: &Snapshot, all: &[Vec<u8>], random: &mut Random) {
    let target = match random.below(3) {
        0 => Target::Path(random.pick(&PATHS).to_owned()),
        _ => Target::Keyword(Field::ALL[random.below(Field::ALL.len() as u64) as usize]),
    };
    let chosen = Filter::Or(vec![
        Filter::Exists(Target::Keyword(Field::Severity)),
        Filter::RowRange(random.below(all.len() as u64)..all.len() as u64 * random.below(2)),
    ]);
    let sets: Vec<RowSet> = snapshot.parts().iter().map(|part| part.eval(&chosen).certain).collect();
    let is_held = !matches!(
        target,
        Target::Keyword(Field::EventId | Field::EventTime | Field::ReceivedAt | Field::Message)
    );
    for (part, set) in snapshot.parts().iter().zip(&sets) {
        let rows = absolute(part, set);
        if is_held {
            let counts = part.counts(&target, set);
            let unlisted = absolute(part, &counts.unlisted);
            let listed = rows.iter().filter(|row| unlisted.binary_search(row).is_err());
            let expected = scan::count_values(&target, listed.map(|row| &all[*row as usize]));
            let mut found = BTreeMap::new();
            for (value, count) in &counts.values {
                *found.entry(value.clone()).or_default() += u64::from(*count);
            }
            // A text and a number of one look are two values to the scan, and one to read.
            assert_eq!(found, expected, "{target:?} in {part:?}");
            assert!(unlisted.iter().all(|row| rows.contains(row)));
        }
        let mut found: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let loose = part.numeric(&target, set, &mut |row, number| {
            found.entry(part.rows().start + u64::from(row)).or_default().push(number);
        });
        let loose = absolute(part, &loose);
        for row in &rows {
            if loose.contains(row) {
                assert!(!found.contains_key(row));
                continue;
            }
            let expected = scan::numbers(&target, &all[*row as usize]);
            assert_eq!(found.remove(row).unwrap_or_default(), expected, "{target:?} row {row}");
        }
        assert!(found.is_empty());

        let entry = |row: u64| attestry_event::Entry::parse(&all[row as usize]).unwrap();
        let mut times = Vec::new();
        part.times_of(set, &mut times);
        let expected: Vec<i64> = rows.iter().map(|row| entry(*row).event_time().0).collect();
        assert_eq!(times, expected);
        let mut buckets = vec![1; 7];
        let (start, width) = (START - 40 * SECOND, 33 * SECOND);
        part.histogram(set, start, width, &mut buckets);
        let mut counted = vec![1; 7];
        for time in &expected {
            let bucket = (time - start).div_euclid(width);
            if (0..7).contains(&bucket) {
                counted[bucket as usize] += 1;
            }
        }
        assert_eq!(buckets, counted);

        let order = if random.chance(50) { Order::Newest } else { Order::Oldest };
        let after = random
            .chance(50)
            .then(|| (expected.first().copied().unwrap_or(START), random.below(all.len() as u64)));
        let limit = random.below(40) as usize;
        let mut page: Vec<(i64, u64)> = expected.iter().copied().zip(rows.iter().copied()).collect();
        page.sort();
        if order == Order::Newest {
            page.reverse();
        }
        page.retain(|row| match (after, order) {
            (None, _) => true,
            (Some(after), Order::Newest) => *row < after,
            (Some(after), Order::Oldest) => *row > after,
        });
        page.truncate(limit);
        let found = part.page(set, order, after, limit);
        let found: Vec<(i64, u64)> =
            found.into_iter().map(|(time, row)| (time, part.rows().start + u64::from(row))).collect();
        assert_eq!(found, page, "{order:?} {limit} after {after:?}");

        let all_times: Vec<i64> = part.rows().map(|row| entry(row).event_time().0).collect();
        assert_eq!(part.times(), (*all_times.iter().min().unwrap(), *all_times.iter().max().unwrap()));
        assert_eq!(part.times_sorted(), all_times.is_sorted());
        for offset in 0..part.row_count() {
            let row = part.rows().start + u64::from(offset);
            assert_eq!(part.time(offset), entry(row).event_time().0);
            assert_eq!(part.received(offset), entry(row).received_at().0);
            if let Target::Keyword(field) = target
                && let Some(column) = part.column(field)
            {
                let value = column.ordinal(offset).map(|ordinal| column.value(ordinal));
                let expected = entry(row).field(field);
                assert_eq!(value.is_some(), expected.is_some());
                if let (Some(value), Some(expected)) = (value, expected) {
                    assert_eq!(value.whole, value.text == expected);
                    assert!(expected.starts_with(&value.text));
                }
            }
        }
    }
    if is_held {
        let tally = snapshot.tally(&target, &sets, 3);
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (part, set) in snapshot.parts().iter().zip(&sets) {
            for (value, count) in part.counts(&target, set).values {
                *sums.entry(value).or_default() += u64::from(count);
            }
        }
        let mut top: Vec<(String, u64)> = sums.into_iter().collect();
        assert_eq!(
            (tally.distinct, tally.total),
            (top.len() as u64, top.iter().map(|(_, count)| count).sum())
        );
        top.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        top.truncate(3);
        assert_eq!(tally.top, top);
    }
}

fn check(index: &Index, all: &[Vec<u8>], random: &mut Random, filters: u32) {
    let snapshot = index.snapshot();
    check_parts(&snapshot);
    // Ids to look for: those of some entries.
    let known: Vec<String> = (0..5)
        .flat_map(|_| {
            let entry = String::from_utf8(all[random.below(all.len() as u64) as usize].clone()).unwrap();
            ["\"id\":\"", "\"request_id\":\"", "\"message\":\""].into_iter().filter_map(move |name| {
                let value = entry.split_once(name)?.1;
                Some(value.split_once('"')?.0.to_owned())
            })
        })
        .collect();
    // Each entry, and whether the index holds all of it.
    let entries: Vec<(Entry<'_>, bool)> =
        all.iter().map(|bytes| (Entry::parse(bytes).unwrap(), is_plain(bytes))).collect();
    for _ in 0..filters {
        check_filter(&snapshot, all, &entries, &filter(random, all.len() as u64, &known, 0));
    }
    check_aggregates(&snapshot, all, random);
}

/// Rows come in, and between them everything else that happens to an index.
#[test]
fn any_history_gives_the_same_answers() {
    for seed in 1..=24 {
        let mut random = Random::new(seed);
        let all = entries(seed, 300 + random.below(500));
        let dir = tempfile::tempdir().unwrap();
        let options = small(&mut random);
        let mut index = open(dir.path(), &options);
        let mut pruned = 0;
        while index.end() < all.len() as u64 {
            let end = index.end();
            let most = if random.chance(70) { 10 } else { 300 };
            feed(&index, &all, end..(end + 1 + random.below(most)).min(all.len() as u64));
            match random.below(40) {
                0 => index.flush().unwrap(),
                1 => {
                    // What was in memory only is fed again.
                    drop(index);
                    index = open(dir.path(), &options);
                    assert!(index.end() <= all.len() as u64);
                }
                2 => {
                    index.flush().unwrap();
                    let end = index.end();
                    drop(index);
                    index = open(dir.path(), &options);
                    assert_eq!(index.end(), end);
                }
                3 => {
                    pruned = random.below(index.end() + 1).max(pruned);
                    index.prune(pruned).unwrap();
                }
                4..6 => check(&index, &all, &mut random, 5),
                _ => {}
            }
            assert_eq!(index.snapshot().first(), pruned, "seed {seed}");
        }
        check(&index, &all, &mut random, 25);
        index.flush().unwrap();
        check(&index, &all, &mut random, 5);
    }
}

/// Enough rows for packed lists, and for fields to be found unique.
#[test]
fn large_parts_give_the_same_answers() {
    for seed in 100..103 {
        let mut random = Random::new(seed);
        let all = entries(seed, 9_000);
        let dir = tempfile::tempdir().unwrap();
        let options =
            Options { file_rows: 4_000, max_file_rows: 20_000, background: false, ..Options::default() };
        let index = open(dir.path(), &options);
        feed(&index, &all, 0..3_500);
        feed(&index, &all, 3_500..3_600);
        check(&index, &all, &mut random, 6);
        feed(&index, &all, 3_600..9_000);
        index.flush().unwrap();
        check(&index, &all, &mut random, 12);
    }
}
