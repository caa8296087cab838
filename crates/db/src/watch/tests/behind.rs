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
