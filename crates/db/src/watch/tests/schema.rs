//! Changes of the watched schema.

use super::bench::{Bench, Running, bench};
use super::world::{Do, Row, column, name, row, table};
use crate::cell::Cell;
use crate::table::{Kind, Table};

const ALL: &str = "tables: {'*': {allow: all_updates, on_delete: {fine: 'null'}}}";

fn with_column(table: &Table) -> Table {
    let mut table = table.clone();
    let mut added = column("colour", Kind::Text);
    added.nullable = true;
    table.columns.insert(1, added);
    table
}

fn wider(row: &Row) -> Row {
    let mut row = row.clone();
    row.insert(1, Cell::of("green"));
    row
}

async fn accept(bench: &Bench, running: &Running) {
    bench.until(running, "it is paused", || bench.broken().contains(&"schema".to_owned())).await;
    let waits = bench.violations().into_iter().find(|violation| violation.rule == "schema").unwrap();
    let handle = running.handle.clone();
    handle
        .sign_off(vec![waits.fingerprint], "dora".to_owned(), "-".to_owned(), "planned".to_owned())
        .await
        .unwrap();
}

async fn watched(bench: &Bench) -> Running {
    bench.world(|world| {
        world.add(table("t", true));
        world.add(table("other", true));
        world.before = true;
        world.commit("t", &(0..500).map(|id| Do::Put(row(id, "a", id))).collect::<Vec<_>>());
    });
    let running = bench.start().await;
    bench.same(&running, &["t", "other"]).await;
    running
}

/// What waited is held against the rows that are taken after the sign-off, not against those that were there.
#[tokio::test]
async fn a_table_that_changes_while_it_is_first_copied_is_copied_to_its_end() {
    let bench = bench(ALL);
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &(0..7_000).map(|id| Do::Put(row(id, "first", id))).collect::<Vec<_>>());
    });
    let running = bench.start_failing(Some((4, true))).await;
    while !running.ended() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!((1..7_000).contains(&bench.rows("t").len()), "{}", bench.rows("t").len());
    bench.world(|world| {
        world.alter(with_column(&table("t", true)), wider);
        let set = |id: i64| Do::Set(id, wider(&row(id, "meanwhile", 0)));
        world.commit("t", &[set(5), set(6_500), Do::Drop(6_600), Do::Put(wider(&row(8_000, "new", 0)))]);
    });
    let running = bench.start().await;
    let waiting = || {
        let mut copy = bench.copy();
        let watched = copy.watched_table(&name("t")).unwrap().unwrap();
        copy.parked(watched.id, 10).unwrap().len()
    };
    bench.until(&running, "the changes wait", || waiting() == 4).await;
    accept(&bench, &running).await;
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 2).await;
    assert_eq!(waiting(), 0);
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_table_waits_until_its_change_is_signed_off() {
    let bench = bench(ALL);
    let running = watched(&bench).await;
    bench.world(|world| {
        world.commit("t", &[Do::Set(1, row(1, "before", 1))]);
        world.alter(with_column(&table("t", true)), wider);
        world.commit("t", &[Do::Set(2, wider(&row(2, "after", 2)))]);
        world.commit("t", &[Do::Put(wider(&row(600, "after", 2))), Do::Drop(3)]);
        world.commit("other", &[Do::Put(row(1, "goes on", 1))]);
    });
    bench.until(&running, "it is paused", || bench.broken() == ["schema"]).await;
    bench.until(&running, "the others go on", || bench.rows("other").len() == 1).await;
    // Nothing that came after the change is applied.
    assert_eq!(bench.rows("t").len(), 500);
    assert!(bench.taken.named("row.delete").is_empty());
    bench.until(&running, "it is told", || bench.taken.named("schema.pause").len() == 1).await;
    let paused = bench.taken.named("schema.pause");
    assert_eq!(paused[0].event_data.as_ref().unwrap()["added"], serde_json::json!(["colour"]));
    // Still so after a start.
    running.stop().await.unwrap();
    let running = bench.start().await;
    accept(&bench, &running).await;
    bench.same(&running, &["t", "other"]).await;
    bench.passes(&running, 3).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert_eq!(bench.taken.named("row.delete").len(), 1);
    assert_eq!(bench.taken.named("schema.accept").len(), 1);
    // And then it is watched as before.
    bench.world(|world| world.tamper("t", 9, Some(wider(&row(9, "cheat", 9)))));
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_change_that_the_stream_does_not_tell_is_seen_too() {
    let mut bench = bench(ALL);
    bench.patience.tables = std::time::Duration::from_millis(30);
    // No comparison begins that would look.
    bench.config.reconcile.every = attestry_event::Period::seconds(3_600);
    let running = watched(&bench).await;
    bench.world(|world| {
        world.silent = true;
        world.alter(with_column(&table("t", true)), wider);
    });
    accept(&bench, &running).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_changes_beside_a_new_column_is_unexplained() {
    let bench = bench(ALL);
    let running = watched(&bench).await;
    bench.world(|world| {
        world.alter(with_column(&table("t", true)), wider);
        world.tamper("t", 9, Some(wider(&row(9, "cheat", 9))));
    });
    accept(&bench, &running).await;
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 2).await;
    assert_eq!(bench.taken.unexplained().len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_column_stays_in_the_history() {
    let bench = bench(ALL);
    let running = watched(&bench).await;
    bench.world(|world| {
        let mut narrow = table("t", true);
        narrow.columns.remove(1);
        world.alter(narrow, |row| vec![row[0].clone(), row[2].clone()]);
    });
    accept(&bench, &running).await;
    bench.same(&running, &["t"]).await;
    assert!(bench.taken.unexplained().is_empty());
    let mut copy = bench.copy();
    let watched = copy.watched_table(&name("t")).unwrap().unwrap();
    let place = crate::copy::place_of(&watched.layout.table, &[Cell::of("5")]);
    let history = copy.history(watched.id, &place, 10).unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1].layout.table.columns[1].name, "name");
    assert_eq!(history[1].cells.as_ref().unwrap()[1], Cell::of("a"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn rows_follow_another_key() {
    let bench = bench(ALL);
    let running = watched(&bench).await;
    bench.world(|world| {
        let mut other = table("t", true);
        other.key = vec![2];
        world.alter(other, Row::clone);
    });
    accept(&bench, &running).await;
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 2).await;
    assert!(bench.taken.unexplained().is_empty());
    bench.world(|world| world.tamper("t", 9, Some(row(77, "cheat", 9))));
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    running.stop().await.unwrap();
}

/// What waits is applied some hundred changes at a time: a transaction in which two rows take each other's key is not cut in two.
#[tokio::test]
async fn rows_that_swap_their_keys_may_wait_too() {
    let bench = bench(ALL);
    let running = watched(&bench).await;
    bench.world(|world| {
        world.alter(with_column(&table("t", true)), wider);
        for n in 0..499 {
            world.commit("t", &[Do::Set(3, wider(&row(3, "often", n)))]);
        }
        world.commit("t", &[Do::Set(1, wider(&row(2, "a", 1))), Do::Set(2, wider(&row(1, "a", 2)))]);
        world.commit("other", &[Do::Put(row(1, "goes on", 1))]);
    });
    bench.until(&running, "the others go on", || bench.rows("other").len() == 1).await;
    accept(&bench, &running).await;
    bench.same(&running, &["t", "other"]).await;
    bench.passes(&running, 2).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn tables_come_and_go() {
    let bench = bench(ALL);
    let running = watched(&bench).await;
    bench.world(|world| {
        world.add(table("new", true));
        world.alter(table("new", true), Row::clone);
        world.commit("new", &[Do::Put(row(1, "x", 1))]);
    });
    bench.same(&running, &["t", "new"]).await;
    bench.world(|world| {
        world.tables.remove(&name("other"));
        world.alter(table("t", true), Row::clone);
    });
    bench.until(&running, "it is missed", || bench.broken() == ["schema"]).await;
    bench.until(&running, "it is told", || bench.taken.named("schema.drop").len() == 1).await;
    accept(&bench, &running).await;
    bench.world(|world| world.commit("t", &[Do::Set(1, row(1, "on", 1))]));
    bench.same(&running, &["t", "new"]).await;
    assert!(bench.taken.unexplained().is_empty());
    running.stop().await.unwrap();
}
