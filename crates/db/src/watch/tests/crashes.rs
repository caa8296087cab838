//! A watch that is killed anywhere goes on exactly there.

use attestry_event::Period;
use proptest::test_runner::{Config, TestRunner};

use super::bench::{Bench, Running, bench};
use super::world::{Do, row, table};
use crate::cell::Cell;
use crate::change::Op;

const ALL: &str = "tables: {'*': {allow: all_updates, on_delete: {fine: 'null'}}}";

const HOUR: Period = Period::seconds(3_600);
const SOON: Period = Period::millis(5);

/// Waits until the first pass, of so many tables, is done.
async fn compared(bench: &Bench, running: &Running, tables: usize) {
    bench.until(running, "all is compared", || bench.taken.named("reconcile.pass").len() >= tables).await;
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Some transactions of any kind.
fn work(bench: &Bench, dice: &mut Dice, transactions: u64) {
    for _ in 0..transactions {
        bench.world(|world| {
            let known: Vec<i64> = world.rows[&super::world::name("t")]
                .values()
                .map(|row| row[0].text().unwrap().parse().unwrap())
                .collect();
            let any = |dice: &mut Dice| known.get(dice.below(known.len().max(1) as u64) as usize).copied();
            let n = dice.below(1_000) as i64;
            let free = (0..).find(|id| !known.contains(id) && dice.below(3) > 0).unwrap();
            let mut dos = Vec::new();
            match (dice.below(6), any(dice), any(dice)) {
                (0, Some(id), _) => dos.push(Do::Drop(id)),
                (1, Some(id), _) => dos.push(Do::Set(id, row(free, "moved", n))),
                (2, Some(one), Some(other)) if one != other => {
                    dos.push(Do::Set(one, row(other, "swapped", n)));
                    dos.push(Do::Set(other, row(one, "swapped", n)));
                }
                (3, Some(id), _) => {
                    dos.extend((0..3).map(|more| Do::Set(id, row(id, "thrice", n + more))));
                }
                (4, ..) => {
                    dos.extend(
                        (0..1 + dice.below(9) as i64)
                            .map(|more| Do::Put(row(5_000 + free * 10 + more, "many", n))),
                    );
                    dos.retain(|one| match one {
                        Do::Put(row) => !known.contains(&row[0].text().unwrap().parse().unwrap()),
                        _ => true,
                    });
                }
                _ => dos.push(Do::Put(row(free, "new", n))),
            }
            if !dos.is_empty() {
                world.commit("t", &dos);
            }
        });
    }
}

/// Each change after the last snapshot is one event, in order.
fn check_events(bench: &Bench) {
    let after = bench.world(|world| world.snapshots.last().copied().unwrap_or(0));
    let expected: Vec<(String, String)> = bench.world(|world| {
        let changes = world.changes_after(after).into_iter();
        let named = changes.filter_map(|(id, op)| match op {
            Op::Insert { .. } => Some((id, "row.insert")),
            Op::Update { before: Some(before), new, .. } => {
                let same =
                    new.iter().zip(&before).all(|(new, old)| *new == crate::change::Sent::Cell(old.clone()));
                (!same).then_some((id, "row.update"))
            }
            Op::Update { before: None, .. } => Some((id, "row.update")),
            Op::Delete { .. } => Some((id, "row.delete")),
            Op::Truncate => Some((id, "row.truncate")),
        });
        named.map(|(id, name)| (id, name.to_owned())).collect()
    });
    let first: u64 = expected.first().map_or(0, |(id, _)| id.parse().unwrap());
    let found: Vec<(String, String)> = bench
        .taken
        .events()
        .into_iter()
        .filter(|event| event.event_name.starts_with("row."))
        .map(|event| (event.request_id.unwrap_or_default(), event.event_name))
        .filter(|(id, _)| id.parse::<u64>().unwrap_or(0) >= first)
        .collect();
    assert_eq!(found, expected);
}

async fn crash_often(seed: u64, ordered: bool, part: usize) {
    let bench = bench(ALL);
    let mut dice = Dice(seed);
    bench.world(|world| {
        world.add(table("t", ordered));
        world.before = true;
        world.part = part;
        world.commit("t", &(0..30).map(|id| Do::Put(row(id, "first", id))).collect::<Vec<_>>());
    });
    for round in 0..25 {
        let fails = Some((dice.below(6) as u32, dice.below(2) == 0));
        let of_copy = if round % 2 == 0 { fails } else { None };
        bench.taken.fail_after(if round % 2 == 1 { fails } else { None });
        let running = bench.start_failing(of_copy).await;
        work(&bench, &mut dice, 8);
        tokio::time::sleep(std::time::Duration::from_millis(dice.below(20))).await;
        if dice.below(4) == 0 || !running.ended() {
            let _ = running.stop().await;
        }
    }
    bench.taken.fail_after(None);
    let running = bench.start().await;
    work(&bench, &mut dice, 20);
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 2).await;
    assert!(bench.taken.unexplained().is_empty(), "seed {seed}: {:#?}", bench.taken.unexplained());
    assert!(bench.violations().is_empty());
    check_events(&bench);
    running.stop().await.unwrap();
    check_versions(&bench);
}

/// The versions of each row count up without a hole, and the newest is the row as it is.
fn check_versions(bench: &Bench) {
    let mut copy = bench.copy();
    let watched = copy.watched().unwrap().remove(0);
    for row in copy.rows_from(watched.id, &[], u32::MAX).unwrap() {
        let history = copy.history(watched.id, &row.place, u32::MAX).unwrap();
        let versions: Vec<u64> = history.iter().map(|version| version.version).collect();
        assert_eq!(versions, (1..=row.version).rev().collect::<Vec<_>>());
        assert_eq!(crate::cell::encode_row(history[0].cells.as_ref().unwrap()), row.image);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_goes_on_there() {
    for seed in 1..9u64 {
        let part = [100, 2, 1][usize::try_from(seed % 3).unwrap()];
        crash_often(seed * 0x9e37_79b9, seed % 4 != 0, part).await;
    }
}

#[tokio::test]
async fn killed_between_two_parts_it_knows_whose_key_was_taken() {
    let mut bench = bench(ALL);
    // What the stream holds back for so long, comparing would call unexplained.
    bench.config.reconcile.every = HOUR;
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.part = 1;
        world.commit("t", &[Do::Put(row(1, "a", 1)), Do::Put(row(2, "b", 2))]);
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    compared(&bench, &running, 1).await;
    let part = bench.world(|world| {
        world.commit("t", &[Do::Set(1, row(2, "a", 1)), Do::Set(2, row(1, "b", 2))]);
        world.withhold()
    });
    bench.until(&running, "a part is applied", || bench.copy().part().unwrap().is_some()).await;
    running.stop().await.unwrap();
    bench.world(|world| world.release(part));
    bench.config.reconcile.every = SOON;
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert_eq!(bench.taken.named("row.update").len(), 2);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_is_given_again_may_be_one_of_fewer_tables() {
    let mut bench = bench(ALL);
    bench.config.reconcile.every = HOUR;
    bench.world(|world| {
        for called in ["log", "t"] {
            world.add(table(called, true));
            world.commit(called, &[Do::Put(row(100, "before", 1))]);
        }
        world.part = 1;
    });
    let running = bench.start().await;
    bench.same(&running, &["log", "t"]).await;
    compared(&bench, &running, 2).await;
    let put = |ids: std::ops::Range<i64>| ids.map(|id| Do::Put(row(id, "a", id))).collect::<Vec<_>>();
    let part = bench.world(|world| {
        world.commit("log", &put(0..3));
        world.commit("t", &put(0..4));
        world.join();
        world.withhold()
    });
    let done = || {
        bench.copy().part().unwrap().map(|part| part.done.iter().map(|(_, done)| *done).collect::<Vec<_>>())
    };
    bench.until(&running, "a part is applied", || done() == Some(vec![3, 3])).await;
    running.stop().await.unwrap();
    bench.world(|world| world.release(part));
    bench.config.tables.insert("log".to_owned(), serde_saphyr::from_str("watch: false").unwrap());
    bench.config.reconcile.every = SOON;
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 1).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert_eq!(bench.taken.named("row.insert").len(), 7);
    assert!(bench.copy().part().unwrap().is_none());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_value_that_is_not_sent_of_a_row_that_is_not_known_is_not_null() {
    let mut bench = bench(ALL);
    bench.config.reconcile.every = HOUR;
    bench.world(|world| {
        world.add(table("t", true));
        world.large = true;
    });
    let running = bench.start().await;
    compared(&bench, &running, 1).await;
    bench.world(|world| {
        world.tamper("t", 5, Some(row(5, "large", 1)));
        world.commit("t", &[Do::Set(5, row(5, "large", 2))]);
    });
    bench.until(&running, "it is told", || bench.taken.unexplained().len() == 1).await;
    running.stop().await.unwrap();
    let told = bench.taken.unexplained().pop().unwrap().event_data.unwrap();
    let told = serde_json::Value::Object(told).to_string();
    assert!(!told.contains("null"), "{told}");
    assert_eq!(bench.rows("t"), [[Cell::of("5"), Cell::of("2")]]);
    // It is completed, without a word.
    bench.config.reconcile.every = SOON;
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    assert_eq!(bench.taken.unexplained().len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_baseline_that_is_interrupted_goes_on_in_another_snapshot() {
    for (commits, written) in [(1, false), (2, true), (3, false), (4, true)] {
        let bench = bench(ALL);
        bench.world(|world| {
            world.add(table("t", true));
            world.before = true;
            world.commit("t", &(0..7_000).map(|id| Do::Put(row(id, "first", id))).collect::<Vec<_>>());
        });
        let running = bench.start_failing(Some((commits, written))).await;
        while !running.ended() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        // In what was taken, in what was not, and from the one to the other.
        bench.world(|world| {
            for id in [5, 6_500] {
                world.commit("t", &[Do::Set(id, row(id, "meanwhile", 0))]);
                world.commit("t", &[Do::Drop(id + 1)]);
                world.commit("t", &[Do::Drop(id + 2)]);
                world.commit("t", &[Do::Put(row(id + 2, "again", 0))]);
            }
            world.commit("t", &[Do::Set(6_800, row(-5, "to the begin", 0))]);
            world.commit("t", &[Do::Set(20, row(8_000, "to the end", 0))]);
            world.commit("t", &[Do::Put(row(9_000, "new", 0))]);
            world.commit("t", &[Do::Drop(9_000)]);
        });
        let running = bench.start().await;
        bench.same(&running, &["t"]).await;
        bench.world(|world| world.commit("t", &[Do::Set(6_500, row(6_500, "after", 0))]));
        bench.same(&running, &["t"]).await;
        bench.passes(&running, 2).await;
        assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
        assert_eq!(bench.taken.named("table.baseline").len(), 1);
        let interrupted = usize::from(commits > 1 || written);
        assert!(bench.taken.named("gap.baseline").len() <= interrupted);
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_sign_off_is_told_once_over_a_crash() {
    let bench = bench("");
    bench.world(|world| {
        world.add(table("t", true));
        world.commit("t", &[Do::Put(row(1, "a", 1))]);
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.world(|world| world.commit("t", &[Do::Drop(1)]));
    bench.until(&running, "it is a violation", || bench.violations().len() == 1).await;
    let fingerprint = bench.violations().remove(0).fingerprint;
    bench.taken.fail_after(Some((0, true)));
    let handle = running.handle.clone();
    let signed = tokio::spawn(async move {
        handle.sign_off(vec![fingerprint], "dora".to_owned(), "-".to_owned(), "fine".to_owned()).await
    });
    while !running.ended() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    signed.abort();
    bench.taken.fail_after(None);
    let running = bench.start().await;
    bench.until(&running, "it is told", || bench.taken.named("violation.sign_off").len() == 1).await;
    assert!(bench.violations().is_empty());
    running.stop().await.unwrap();
}

#[test]
fn row_bytes_survive_parking() {
    let mut runner = TestRunner::new(Config::with_cases(64));
    let cells = proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..20), 0..6);
    runner
        .run(&cells, |cells| {
            let row: Vec<Cell> = cells.into_iter().map(Cell::of).collect();
            proptest::prop_assert_eq!(crate::cell::decode_row(&crate::cell::encode_row(&row)).unwrap(), row);
            Ok(())
        })
        .unwrap();
}
