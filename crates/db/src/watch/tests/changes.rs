//! What the stream says.

use serde_json::{Value, json};

use super::bench::bench;
use super::world::{Do, row, table};
use crate::cell::Cell;

const ALL: &str = "tables: {t: {allow: all_updates, on_delete: {fine: 'null'}}}";

#[tokio::test]
async fn every_change_is_an_event() {
    let bench = bench(ALL);
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &[Do::Put(row(1, "a", 1)), Do::Put(row(2, "b", 2))]);
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.world(|world| {
        world.commit("t", &[Do::Set(1, row(1, "A", 1)), Do::Drop(2)]);
        world.commit("t", &[Do::Put(row(2, "again", 7))]);
        world.commit("t", &[Do::Set(2, row(9, "again", 7))]);
    });
    bench.same(&running, &["t"]).await;
    let events: Vec<Value> = bench
        .taken
        .events()
        .into_iter()
        .filter(|event| event.event_name.starts_with("row."))
        .map(|event| {
            assert_eq!(event.username, "alice");
            let data = event.event_data.unwrap();
            let of = |name: &str| data.get(name).cloned().unwrap_or(Value::Null);
            json!([event.event_name, of("key"), of("changes"), of("row"), of("new_key")])
        })
        .collect();
    let expected = [
        // A change of case is one.
        json!(["row.update", {"id": 1}, {"name": {"old": "a", "new": "A"}}, null, null]),
        json!(["row.delete", {"id": 2}, null, {"id": 2, "name": "b", "n": 2}, null]),
        json!(["row.insert", {"id": 2}, null, {"id": 2, "name": "again", "n": 7}, null]),
        json!(["row.update", {"id": 2}, {"id": {"old": 2, "new": 9}}, null, {"id": 9}]),
    ];
    assert_eq!(events, expected);
    assert!(bench.violations().is_empty());
    // A key that was used again is an insertion, and the history goes on.
    let mut copy = bench.copy();
    let watched = copy.watched().unwrap().remove(0);
    let place = crate::copy::place_of(&watched.layout.table, &[Cell::of("2")]);
    let history = copy.history(watched.id, &place, 10).unwrap();
    let history: Vec<_> = history.iter().map(|one| format!("{} {}", one.version, one.op.name())).collect();
    assert_eq!(history, ["4 delete", "3 insert", "2 delete", "1 baseline"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn keys_are_swapped_within_a_transaction() {
    let bench = bench(ALL);
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &[Do::Put(row(1, "a", 1)), Do::Put(row(2, "b", 2)), Do::Put(row(3, "c", 3))]);
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.world(|world| {
        world.commit(
            "t",
            &[Do::Set(1, row(2, "a", 1)), Do::Set(2, row(3, "b", 2)), Do::Set(3, row(1, "c", 3))],
        );
        // A new row takes the key of one that goes.
        world.commit("t", &[Do::Put(row(1, "new", 0)), Do::Drop(1)]);
    });
    bench.same(&running, &["t"]).await;
    bench.passes(&running, 2).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert_eq!(bench.taken.named("row.update").len(), 3);
    assert!(bench.violations().is_empty());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn rules_are_broken_and_signed_off() {
    let bench = bench("");
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &[Do::Put(row(1, "a", 1)), Do::Put(row(2, "b", 2))]);
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.world(|world| {
        world.commit("t", &[Do::Set(1, row(1, "x", 1))]);
        world.commit("t", &[Do::Set(1, row(1, "y", 1))]);
        world.commit("t", &[Do::Drop(2)]);
        world.commit("t", &[Do::Empty]);
    });
    bench.same(&running, &["t"]).await;
    assert_eq!(bench.broken(), ["deleted", "different", "truncated"]);
    let names = |name: &str| bench.taken.named(name).len();
    assert_eq!((names("violation.open"), names("violation.repeat"), names("row.truncate")), (3, 1, 1));
    let fingerprints: Vec<String> = bench.violations().into_iter().map(|one| one.fingerprint).collect();
    let handle = running.handle.clone();
    let sign = |who: &str| {
        handle.sign_off(fingerprints.clone(), who.to_owned(), "192.0.2.1".to_owned(), "fine".to_owned())
    };
    sign("dora").await.unwrap();
    let told = bench.taken.named("violation.sign_off");
    assert!(told.len() == 3 && told.iter().all(|event| event.username == "dora"));
    assert!(sign("eve").await.unwrap_err().to_string().ends_with("was signed off by dora before"));
    assert_eq!(running.handle.status().pending, 0);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn masked_values_are_compared_and_never_seen() {
    let bench = bench("tables: {t: {mask: [name], allow: all_updates}}");
    bench.world(|world| {
        world.add(table("t", true));
        world.commit("t", &[Do::Put(row(1, "swordfish", 1))]);
    });
    let running = bench.start().await;
    bench.until(&running, "it is there", || bench.rows("t").len() == 1).await;
    bench.passes(&running, 1).await;
    bench.world(|world| world.tamper("t", 1, Some(row(1, "trout", 1))));
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    let data = bench.taken.unexplained()[0].event_data.clone().unwrap();
    assert_eq!(data["changes"], json!({"name": {"masked": true}}));
    running.stop().await.unwrap();
    let file = std::fs::read(bench.copy().path()).unwrap();
    let text = format!("{:?}{}", bench.taken.events(), String::from_utf8_lossy(&file));
    assert!(!text.contains("swordfish") && !text.contains("trout"));
}

#[tokio::test]
async fn without_versions_the_evidence_stays_until_the_sign_off() {
    let bench = bench("tables: {t: {versions: false, fields: {n: {allow: all_updates}}}}");
    bench.world(|world| {
        world.add(table("t", true));
        world.before = true;
        world.commit("t", &[Do::Put(row(1, "a", 1))]);
    });
    let running = bench.start().await;
    bench.same(&running, &["t"]).await;
    bench.world(|world| {
        world.commit("t", &[Do::Set(1, row(1, "a", 2))]);
        world.commit("t", &[Do::Set(1, row(1, "cheat", 2))]);
        world.commit("t", &[Do::Set(1, row(1, "cheat", 3))]);
    });
    bench.same(&running, &["t"]).await;
    let violation = bench.violations().remove(0);
    assert_eq!(violation.old.as_ref().unwrap()[1], Cell::of("a"));
    let history = |bench: &super::bench::Bench| {
        let versions = bench.copy().history(violation.watched, &violation.place, 10).unwrap();
        versions.into_iter().map(|version| version.cells.unwrap()[1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(history(&bench), [Cell::of("cheat"), Cell::of("a")]);
    let handle = running.handle.clone();
    let fingerprint = violation.fingerprint.clone();
    handle.sign_off(vec![fingerprint], "dora".to_owned(), "-".to_owned(), "fine".to_owned()).await.unwrap();
    assert_eq!(history(&bench), [Cell::of("cheat")]);
    running.stop().await.unwrap();
}
