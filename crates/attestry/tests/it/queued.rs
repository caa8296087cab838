//! By a queue from one ledger to another, with the program killed in the middle of both ways.

use std::time::Duration;

use attestry_testkit::{Moto, Scenario, wait_for};
use serde_json::Value;

use crate::{ATTESTRY, lines};

/// The queue answers some twenty requests a second, and hides what was fetched for three seconds.
const DELIVERED_MAX: Duration = Duration::from_secs(90);

const EVENTS: usize = 300;

/// Killed between sending and its answer, and between receiving and deleting: what comes again is in the ledger once.
#[test]
fn sqs_with_kills_in_the_middle_stores_each_event_once() {
    let mut moto = Moto::new();
    moto.start();
    let queue = format!(
        "{{url: '{}', region: us-east-1, credentials: {{access_key: a, secret_key: b}}}}",
        moto.create_queue("trail")
    );
    let mut scenario = Scenario::new(ATTESTRY);
    let config = format!(
        "
sinks:
  trail: {{sqs: {{queue: {queue}}}, ledgers: [audit], methods: {{include: [door.open]}}}}
receivers:
  trail:
    sqs: {{queue: {queue}, visibility: 3s, batch: {{wait: 1s}}}}
    ledger: logs
    trusted: true
"
    );
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let shop = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["reader", "--read", "--ledger", "logs"]));
    shop.post("/api/v1/events", "application/x-ndjson", lines("e", EVENTS)).is(201);
    let arrived = || reader.count("event_name:door.open event_source:shop");
    // At other moments each time: while it sends, while it gathers, while it deletes.
    for after in [900, 1_300, 1_700, 2_100] {
        std::thread::sleep(Duration::from_millis(after));
        scenario.kill();
        scenario.start();
    }
    wait_for("all events are in the other ledger", DELIVERED_MAX, || {
        (arrived() >= EVENTS as u64).then_some(())
    });
    let receiver = || -> Value {
        let told = scenario.attestry(&["spool", "list", "--json"]).is(0).out;
        serde_json::from_str::<Value>(&told).unwrap()["receivers"][0].clone()
    };
    // What was hidden when it was killed comes again, and is deleted.
    wait_for("nothing comes any more", DELIVERED_MAX, || {
        let before = receiver();
        std::thread::sleep(Duration::from_secs(4));
        (before["messages"] == receiver()["messages"]).then_some(())
    });
    let receiver = receiver();
    assert_eq!(receiver["messages"], receiver["acknowledged"], "{receiver}");
    assert_eq!(arrived(), EVENTS as u64, "{receiver}");
    scenario.finish();
}
