//! Events as they come in.

use std::time::Duration;

use attestry_testkit::{Scenario, wait_for};
use serde_json::{Value, json};

use crate::{ATTESTRY, SOON, event};

#[test]
fn what_comes_after_the_tail_began_is_seen_if_it_matches() {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let key = scenario.key(&["reader", "--read"]);
    let reader = scenario.client(&key);
    let of = |id: &str, outcome: &str| {
        let mut event = event(id);
        event["outcome"] = json!(outcome);
        event
    };
    writer.store(&of("before", "failure"));
    reader.get("/api/v1/tail", &[("q", "outcome:(")]).is(400);
    let tail = reader.tail("event_source:shop outcome:failure");
    let mut shown = scenario.spawn(&["tail", "event_source:shop", "outcome:failure", "--json"], &key);
    // A program of its own says nothing before the first event: when it follows is seen in `audit`.
    let follows = "event_name:search.run event_data.kind:tail";
    wait_for("both follow", SOON, || (reader.count(follows) == 2).then_some(()));

    writer.store(&json!([of("bad-1", "failure"), of("good-1", "success"), of("bad-2", "failure")]));
    let mut last = None;
    for id in ["bad-1", "bad-2"] {
        let message = tail.next_within(SOON).unwrap();
        assert_eq!((message.kind.as_str(), &message.data["event"]["event_id"]), ("event", &json!(id)));
        assert_eq!(message.data["ledger"], "audit");
        last = message.id.or(last);
    }
    writer.store(&of("good-2", "success"));
    assert_eq!(tail.next_within(Duration::from_millis(1_500)), None);
    wait_for("the command shows both", SOON, || (shown.out().lines().count() == 2).then_some(()));
    let lines = shown.out();
    let ids: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["event_id"].clone())
        .collect();
    assert_eq!(ids, ["bad-1", "bad-2"]);
    assert!(shown.ended().is_none(), "the tail ended by itself");

    // The connection breaks; whoever comes back misses nothing and sees nothing twice.
    scenario.kill();
    assert!(tail.ends_within(SOON).0);
    wait_for("the command notices", SOON, || shown.ended());
    scenario.start();
    writer.store(&of("bad-3", "failure"));
    let back = reader.clone().with("last-event-id", &last.unwrap()).tail("event_source:shop outcome:failure");
    assert_eq!(back.next_within(SOON).unwrap().data["event"]["event_id"], "bad-3");
    assert_eq!(back.next_within(Duration::from_millis(500)), None);
    scenario.finish();
}
