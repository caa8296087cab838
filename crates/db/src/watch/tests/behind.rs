//! What the stream does not say.

use std::time::Duration;

use super::bench::bench;
use super::world::{Do, row, table};

const ALL: &str = "tables: {'*': {allow: all_updates, on_delete: {fine: 'null'}}}";

fn rows(count: i64) -> Vec<Do> {
    (0..count).map(|id| Do::Put(row(id, "name", id))).collect()
}

#[tokio::test]
async fn changes_behind_the_stream_are_found_once() {
    for ordered in [true, false] {
        let bench = bench(ALL);
        bench.world(|world| {
            world.add(table("t", ordered));
            world.commit("t", &rows(5_000));
        });
        let running = bench.start().await;
        bench.same(&running, &["t"]).await;
        bench.passes(&running, 1).await;
        bench.world(|world| {
            world.tamper("t", 17, Some(row(17, "Name", 17)));
            world.tamper("t", 4_000, None);
            world.tamper("t", 9_999, Some(row(9_999, "new", 1)));
        });
        bench.until(&running, "all are found", || bench.taken.unexplained().len() == 3).await;
        bench.same(&running, &["t"]).await;
        bench.passes(&running, 2).await;
        let mut names: Vec<String> =
            bench.taken.unexplained().into_iter().map(|event| event.event_name).collect();
        names.sort();
        assert_eq!(names, ["row.delete", "row.insert", "row.update"]);
        assert_eq!(bench.broken(), ["unexplained"; 3]);
        let last = bench.taken.named("reconcile.pass").pop().unwrap().event_data.unwrap();
        assert_eq!((last["rows"].as_u64(), last["different"].as_u64()), (Some(5_000), Some(0)));
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn large_rows_are_looked_at_a_few_at_a_time() {
    const ROWS: i64 = 100;
    const BYTES: usize = 400_000;
    let bench = bench(ALL);
    let large = |id: i64, what: &str| row(id, &what.repeat(BYTES), id);
    bench.world(|world| {
        world.add(table("t", true));
        world.commit("t", &(0..ROWS).map(|id| Do::Put(large(id, "a"))).collect::<Vec<_>>());
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 1).await;
    bench.world(|world| {
        world.most_given = 0;
        world.tamper("t", 3, Some(large(3, "b")));
        world.tamper("t", 97, None);
        world.tamper("t", ROWS + 7, Some(large(ROWS + 7, "c")));
    });
    bench.until(&running, "all are found", || bench.taken.unexplained().len() == 3).await;
    let most = bench.world(|world| world.most_given);
    assert!(most > BYTES && most < 30_000_000, "{most}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn buckets_that_differ_are_read_in_one_scan() {
    let bench = bench(ALL);
    bench.world(|world| {
        world.add(table("t", false));
        world.commit("t", &rows(20_000));
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 1).await;
    let count = || (bench.world(|world| world.scans), bench.taken.named("reconcile.pass").len() as u64);
    let before = count();
    bench.world(|world| {
        for id in 0..10 {
            world.tamper("t", id * 1_999, Some(row(id * 1_999, "other", 1)));
        }
    });
    bench.until(&running, "all are found", || bench.taken.unexplained().len() == 10).await;
    bench.passes(&running, 1).await;
    let after = count();
    let (scans, passes) = (after.0 - before.0, after.1 - before.1);
    // One a pass, the one that is under way included, and the looks at rows: three, and some more until they have lasted long enough.
    assert!(scans <= passes + 1 + 10, "{scans} scans in {passes} passes");
    assert_eq!(bench.broken(), ["unexplained"; 10]);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_is_said_and_tried_again_in_parts() {
    let mut bench = bench(ALL);
    bench.remembers = Some(40);
    bench.world(|world| {
        world.add(table("t", false));
        world.add(table("u", true));
        world.before = true;
        world.commit("t", &rows(1_000));
        world.commit("u", &rows(10));
        world.busy = 60;
    });
    let running = bench.start().await;
    let of = |called: &str| {
        let passes = bench.taken.named("reconcile.pass").into_iter();
        passes
            .filter(|event| event.resource.as_deref() == Some(&format!("bank.{called}")))
            .collect::<Vec<_>>()
    };
    bench.until(&running, "it is given up", || !of("t").is_empty()).await;
    let (first, data) = (of("t").remove(0), of("t").remove(0).event_data.unwrap());
    assert!(data["undecided"].as_u64().unwrap() > 0, "{data:?}");
    let both = data["undecided"].as_u64().unwrap() + data["compared_rows"].as_u64().unwrap();
    assert_eq!(both, 1_000, "{data:?}");
    assert!(!data.contains_key("root") && !data.contains_key("rows"), "{data:?}");
    assert!(first.message.unwrap().contains("undecided"));
    bench.until(&running, "others are compared", || !of("u").is_empty()).await;
    assert_eq!(of("u")[0].event_data.as_ref().unwrap()["undecided"], 0);

    bench.world(|world| world.tamper("t", 900, None));
    let decided = || {
        let last = of("t").pop().and_then(|event| event.event_data);
        last.is_some_and(|data| data["undecided"] == 0 && data.contains_key("root"))
    };
    bench.until(&running, "it is compared in parts", decided).await;
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    bench.world(|world| world.busy = 0);
    bench.same(&running, &["t", "u"]).await;
    assert_eq!(bench.taken.unexplained().len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn whole_scans_keep_the_budget() {
    let mut bench = bench(ALL);
    bench.config.reconcile.rows_per_second = 2_000;
    bench.world(|world| {
        world.add(table("t", false));
        world.commit("t", &rows(500));
    });
    let begun = std::time::Instant::now();
    let running = bench.start().await;
    bench.passes(&running, 1).await;
    bench.world(|world| world.tamper("t", 17, Some(row(17, "other", 17))));
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    let (took, scans) = (begun.elapsed(), bench.world(|world| world.scans));
    // The last one is paid for afterwards.
    let least = std::time::Duration::from_millis(250) * u32::try_from(scans - 1).unwrap();
    assert!(scans >= 5 && took >= least, "{scans} scans in {took:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_stream_tells_of_changes_behind_it() {
    let mut bench = bench(ALL);
    // It is not compared before the stream shows it.
    bench.config.reconcile.every = attestry_event::Period::seconds(3_600);
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &rows(4));
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    let compared = || bench.taken.named("reconcile.pass").len() == 1;
    bench.until(&running, "it was compared", compared).await;
    bench.world(|world| {
        world.tamper("t", 1, Some(row(1, "other", 1)));
        world.commit("t", &[Do::Set(1, row(1, "next", 1))]);
        world.tamper("t", 2, Some(row(2, "other", 2)));
        world.commit("t", &[Do::Drop(2)]);
        world.tamper("t", 7, Some(row(7, "new", 7)));
        world.commit("t", &[Do::Set(7, row(7, "newer", 7))]);
        world.tamper("t", 3, None);
        world.commit("t", &[Do::Put(row(3, "again", 3))]);
    });
    bench.same(&running, &["t"]).await;
    let found: Vec<_> = bench.taken.unexplained().into_iter().map(|event| event.event_name).collect();
    assert_eq!(found, ["row.update", "row.update", "row.insert", "row.delete"]);
    assert_eq!(bench.broken(), ["unexplained"; 4]);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn load_and_late_commits_are_no_changes_behind_the_stream() {
    for ordered in [true, false] {
        let mut bench = bench(ALL);
        bench.config.reconcile.chunk_rows = 200;
        // The test itself may be held up, and with it what queries see.
        bench.patience.lately = Duration::from_secs(5);
        bench.world(|world| {
            world.add(table("t", ordered));
            world.before = true;
            world.commit("t", &rows(1_000));
        });
        let running = bench.start().await;
        bench.same(&running, &["t"]).await;
        bench.world(|world| world.delays = true);
        for round in 0..400i64 {
            bench.world(|world| {
                world.now = attestry_event::Clock::now(&attestry_event::SystemClock).0;
                for change in 0..5 {
                    let id = (round * 7 + change * 31) % 1_000;
                    world.commit("t", &[Do::Set(id, row(id, "name", round))]);
                }
                let moved = 1_000 + round;
                world.commit("t", &[Do::Put(row(moved, "x", 1))]);
                if round > 3 {
                    world.commit("t", &[Do::Drop(moved - 3)]);
                }
                world.show_but(15);
            });
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.world(|world| {
            world.show(usize::MAX);
            world.delays = false;
        });
        bench.same(&running, &["t"]).await;
        bench.passes(&running, 2).await;
        assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_stream_is_a_gap_and_everything_is_compared() {
    let bench = bench(ALL);
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &rows(100));
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    running.stop().await.unwrap();
    bench.world(|world| {
        world.commit("t", &[Do::Set(5, row(5, "lost", 5)), Do::Drop(6)]);
        let crate::change::Position::Wal(at) = world.position() else { unreachable!() };
        world.purged = at;
    });
    let running = bench.start().await;
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 2).await;
    assert_eq!(bench.taken.named("gap.stream").len(), 1);
    bench.world(|world| world.commit("t", &[Do::Set(7, row(7, "goes on", 7))]));
    bench.same(&running, &["t"]).await;
    assert_eq!(bench.taken.unexplained().len(), 2);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn another_server_is_a_gap_and_everything_is_compared() {
    let bench = bench(ALL);
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.server = Some("one".to_owned());
        world.commit("t", &rows(100));
    });
    for (server, gaps) in [("one", 0), ("one", 0), ("another", 1), ("another", 1)] {
        // The same positions mean something else there.
        bench.world(|world| world.server = Some(server.to_owned()));
        let running = bench.start().await;
        bench.same(&running, &["t"]).await;
        bench.until(&running, "it is told", || bench.taken.named("gap.stream").len() == gaps).await;
        running.stop().await.unwrap();
    }
    let gap = bench.taken.named("gap.stream").remove(0).event_data.unwrap();
    assert!(gap["reason"].as_str().unwrap().contains("found another, expected one"), "{gap:?}");
}

#[tokio::test]
async fn without_a_stream_it_polls_and_says_so() {
    let bench = bench("stream: false\ntables: {t: {versions: true, fields: {n: {allow: all_updates}}}}");
    bench.world(|world| {
        world.add(table("t", true));
        world.commit("t", &rows(300));
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.world(|world| {
        world.commit("t", &[Do::Set(5, row(5, "name", 77)), Do::Set(6, row(6, "cheat", 6))]);
        world.commit("t", &[Do::Drop(7), Do::Put(row(900, "new", 1))]);
    });
    bench.same(&running, &["t"]).await;
    assert!(bench.taken.unexplained().is_empty());
    assert_eq!(bench.broken(), ["deleted", "different"]);
    let events: Vec<_> =
        bench.taken.events().into_iter().filter(|event| event.event_name.starts_with("row.")).collect();
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event.event_data.as_ref().unwrap()["seen_by"] == "comparison"));
    assert_eq!(bench.taken.named("gap.polling").len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn start_empty_forgets_what_was() {
    let mut bench = bench("start_empty: true");
    bench.world(|world| {
        world.add(table("t", true));
        world.commit("t", &rows(10));
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    running.stop().await.unwrap();
    bench.world(|world| world.tamper("t", 3, Some(row(3, "before the start", 0))));
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    assert!(bench.taken.unexplained().is_empty());
    running.stop().await.unwrap();
    bench.config.start_empty = false;
    bench.world(|world| world.tamper("t", 4, Some(row(4, "between two starts", 0))));
    let running = bench.start().await;
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    running.stop().await.unwrap();
}
