//! What each key may do, and that it ends when it should.

use std::time::{Duration, Instant};

use attestry_testkit::{Client, Scenario, wait_for};
use serde_json::json;

use crate::{ATTESTRY, SOON, event, texts};

/// A revocation acts within a second; the rest is for a busy machine.
const REVOKED_MAX: Duration = Duration::from_secs(2);

/// How long it takes until a key is refused.
fn refused(client: &Client, path: &str, since: Instant) -> Duration {
    wait_for("the key is refused", SOON, || (client.get(path, &[]).status == 401).then(|| since.elapsed()))
}

#[test]
fn keys_do_what_they_are_for_and_nothing_else() {
    let scenario = Scenario::started(ATTESTRY);
    // All of them are made while the server runs, and work at once.
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let logger = scenario.client(&scenario.key(&["containers", "--write", "--ledger", "logs"]));
    let lenient = scenario.client(&scenario.key(&["old-app", "--write", "--lenient"]));
    let reader = scenario.client(&scenario.key(&["auditor", "--read"]));
    let of_logs = scenario.client(&scenario.key(&["operator", "--read", "--ledger", "logs"]));

    writer.store(&event("one"));
    assert_eq!(logger.store(&event("two"))["events"][0]["ledger"], "logs");
    writer.post_json("/api/v1/events?ledger=logs", &event("three")).is(403);
    for path in
        ["/api/v1/events", "/api/v1/count", "/api/v1/tail", "/api/v1/ledgers", "/log/audit/checkpoint"]
    {
        writer.get(path, &[]).is(403);
    }
    reader.post_json("/api/v1/events", &event("four")).is(403);
    for (client, status) in [(scenario.anonymous(), 401), (scenario.client("ak_guess"), 401)] {
        client.get("/api/v1/events", &[]).is(status);
        client.post_json("/api/v1/events", &event("five")).is(status);
    }
    // Nobody manages keys with a key.
    reader.get("/api/v1/keys", &[]).is(403);
    reader.post_json("/api/v1/keys", &json!({"name": "more", "kind": "read"})).is(403);

    assert_eq!((reader.count("event_name:door.open"), of_logs.count("event_name:door.open")), (2, 1));
    of_logs.get("/api/v1/events", &[("ledger", "audit")]).is(404);
    of_logs.get("/log/audit/checkpoint", &[]).is(404);
    of_logs.get("/log/logs/vkey", &[]).is(200);

    let mut odd = event("six");
    odd["colour"] = json!("red");
    writer.post_json("/api/v1/events", &odd).is(422);
    lenient.store(&odd);
    assert_eq!(reader.search("event_id:six")[0]["event"]["event_data"], json!({"colour": "red"}));

    // A search is seen in `audit`, with who and what.
    reader.search("username:somebody-special");
    let query = "event_name:search.run username:auditor event_data.q:*somebody-special*";
    wait_for(query, SOON, || (reader.count(query) > 0).then_some(()));
    wait_for("the keys are recorded", SOON, || (reader.count("event_name:key.create") == 6).then_some(()));
    let made = reader.search("event_name:key.create");
    let mut names = texts(&made, "/event/resource");
    names.sort_unstable();
    assert_eq!(names, ["auditor", "containers", "local", "old-app", "operator", "shop"]);
    assert_eq!(texts(&made, "/event/event_source"), ["attestry"; 6]);
    scenario.finish();
}

#[test]
fn a_filtered_key_sees_its_own_and_no_trace_of_the_rest() {
    let scenario = Scenario::started(ATTESTRY);
    let shop = scenario.client(&scenario.key(&["shop", "--write"]));
    let bank = scenario.client(&scenario.key(&["bank", "--write"]));
    let auditor = scenario.client(&scenario.key(&["auditor", "--read"]));
    let filtered = scenario.client(&scenario.key(&["of-shop", "--read", "--filter", "event_source:shop"]));
    scenario.attestry(&["key", "create", "x", "--read", "--filter", "a:("]).is(1).says("the filter");

    let tail = filtered.tail("");
    let (mut theirs, mut secret) = (event("bank-1"), event("bank-2"));
    theirs["username"] = json!("bob");
    secret["event_data"] = json!({"account": "DE-secret"});
    let theirs = bank.store(&json!([theirs, secret]))["events"][0]["index"].as_u64().unwrap();
    let own = shop.store(&event("shop-1"))["events"][0]["index"].as_u64().unwrap();

    let first = tail.next_within(SOON).unwrap();
    assert_eq!((first.kind.as_str(), &first.data["event"]["event_id"]), ("event", &json!("shop-1")));
    assert_eq!(auditor.count("event_source:(shop OR bank)"), 3);
    for query in
        ["", "event_source:bank OR event_source:shop", "-event_source:shop OR event_name:*", "username:alice"]
    {
        let found = filtered.search(query);
        assert_eq!(texts(&found, "/event/event_id"), ["shop-1"], "{query:?}");
        assert_eq!(filtered.count(query), 1, "{query:?}");
    }
    assert_eq!(filtered.count("event_source:bank"), 0);
    let values =
        |path: &str, field: &str| filtered.get(path, &[("field", field)]).is(200).json()["values"].clone();
    for path in ["/api/v1/top", "/api/v1/values"] {
        assert_eq!(values(path, "username"), json!([{"value": "alice", "count": 1}]), "{path}");
        assert_eq!(values(path, "event_data.account"), json!([]), "{path}");
    }
    let fields = filtered.get("/api/v1/fields", &[]).is(200).text();
    assert!(!fields.contains("account"), "{fields}");
    let export = filtered.get("/api/v1/events", &[("format", "csv"), ("limit", "0")]).is(200).text();
    assert!(export.contains("shop-1") && !export.contains("bank"), "{export}");

    filtered.get("/api/v1/events/shop-1", &[]).is(200);
    filtered.get("/api/v1/events/bank-1", &[]).is(404);
    filtered.get(&format!("/api/v1/ledgers/audit/entries/{own}"), &[]).is(200);
    for path in ["", "/raw"] {
        filtered.get(&format!("/api/v1/ledgers/audit/entries/{theirs}{path}"), &[]).is(404);
        // The same answer as for what is not there at all.
        filtered.get(&format!("/api/v1/ledgers/audit/entries/1000000{path}"), &[]).is(404);
    }
    for path in [
        "/log/audit/checkpoint",
        "/log/audit/tile/0/000",
        "/log/audit/tile/entries/000.p/1",
        "/api/v1/events/shop-1/proof",
        "/api/v1/events/bank-1/proof",
        "/metrics",
    ] {
        filtered.get(path, &[]).is(403);
    }
    bank.store(&event("bank-3"));
    shop.store(&event("shop-2"));
    let next = tail.next_within(SOON).unwrap();
    assert_eq!(next.data["event"]["event_id"], "shop-2");
    scenario.finish();
}

#[test]
fn a_key_ends_when_it_is_revoked_or_its_time_is_over() {
    let scenario = Scenario::started(ATTESTRY);
    let keeper = scenario.client(&scenario.key(&["keeper", "--read"]));
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["leaked", "--read"]));
    let begun = Instant::now();
    let short = scenario.client(&scenario.key(&["guest", "--read", "--expires", "5s"]));
    short.get("/api/v1/events", &[]).is(200);
    let tail = reader.tail("event_source:shop");
    writer.store(&event("seen"));
    assert_eq!(tail.next_within(SOON).unwrap().data["event"]["event_id"], "seen");

    scenario.attestry(&["key", "revoke", "leaked"]).is(0).says("is revoked");
    let took = refused(&reader, "/api/v1/events", Instant::now());
    assert!(took < REVOKED_MAX, "{took:?}");
    let (ended, rest) = tail.ends_within(SOON);
    assert!(ended, "the tail of a revoked key goes on");
    assert_eq!(rest.last().map(|message| message.kind.as_str()), Some("end"));
    scenario.attestry(&["key", "revoke", "shop"]).is(0);
    wait_for("the write key is refused", REVOKED_MAX, || {
        (writer.post_json("/api/v1/events", &event("late")).status == 401).then_some(())
    });
    assert!(refused(&short, "/api/v1/events", begun) >= Duration::from_secs(5));

    scenario.attestry(&["key", "revoke", "nobody"]).is(1);
    let list = scenario.attestry(&["key", "list"]).is(0).out;
    let state =
        |name: &str| list.lines().find(|line| line.contains(name)).unwrap_or_default().trim_end().to_owned();
    assert!(state("leaked").ends_with("revoked") && state("guest").ends_with("expired"), "{list}");
    assert!(state("keeper").ends_with("good") && !list.contains("ak_"), "{list}");
    wait_for("the revocations are recorded", SOON, || {
        let revoked = keeper.search("event_name:key.revoke");
        (texts(&revoked, "/event/resource") == ["shop", "leaked"]).then_some(())
    });
    assert_eq!(keeper.count("event_id:late"), 0);
    scenario.finish();
}
