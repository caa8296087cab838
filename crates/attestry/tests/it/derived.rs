//! What is derived may be deleted, and is made again.

use attestry_testkit::Scenario;
use serde_json::json;

use crate::{ATTESTRY, event, lines};

#[test]
fn indexes_that_were_deleted_are_made_again() {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    writer.post("/api/v1/events", "application/x-ndjson", lines("kept", 2_000)).is(201);
    let before = reader.search("event_id:kept-1*");
    for kill in [false, true] {
        match kill {
            true => scenario.kill(),
            false => _ = scenario.stop(),
        }
        std::fs::remove_dir_all(scenario.data().join("index")).unwrap();
        for ledger in ["audit", "logs"] {
            std::fs::remove_dir_all(scenario.data().join("ledgers").join(ledger).join("ids")).unwrap();
        }
        scenario.start();
        assert_eq!(reader.count("event_id:kept-*"), 2_000);
        assert_eq!(reader.search("event_id:kept-1*"), before);
        assert_eq!(writer.store(&event("kept-7"))["events"][0]["duplicate"], true);
        let mut other = event("kept-8");
        other["username"] = json!("mallory");
        writer.post_json("/api/v1/events", &other).is(409);
    }
    scenario.finish();
}
