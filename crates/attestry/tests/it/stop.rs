//! Stopping well, and starting again.

use std::time::Duration;

use attestry_testkit::{Scenario, wait_for};

use crate::{ATTESTRY, SOON, event, lines};

/// A debug build on a busy machine; what is measured is that nothing is read through at a start.
const QUICK: Duration = Duration::from_secs(15);

#[test]
fn a_server_stops_cleanly_in_the_middle_of_work() {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    writer.post("/api/v1/events", "application/x-ndjson", lines("bulk", 10_000)).is(201);
    // Neither an open tail nor a client that goes on posting holds the server up.
    let tail = reader.tail("");
    let posting = {
        let writer = writer.clone();
        std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let id = format!("stop-{number}");
                match writer.try_post("/api/v1/events", "application/json", event(&id).to_string()) {
                    Ok(answer) if answer.status == 201 => acknowledged.push(id),
                    _ => break,
                }
            }
            acknowledged
        })
    };
    wait_for("events come in", SOON, || (reader.count("event_id:stop-*") > 5).then_some(()));
    let took = scenario.stop();
    println!("stopped after {took:?}");
    assert!(tail.ends_within(SOON).0, "the tail did not end");
    let acknowledged = posting.join().unwrap();
    // Everything is signed: no entry is newer than the checkpoint.
    for ran in scenario.verify(false) {
        let ran = ran.is(0);
        assert!(
            !ran.out.contains("unsigned") && !ran.out.contains("newer than the checkpoint"),
            "{}",
            ran.out
        );
    }
    let took = scenario.start();
    assert!(took < QUICK, "{took:?}");
    assert_eq!(reader.count("event_id:bulk-*"), 10_000);
    for id in &acknowledged {
        assert_eq!(reader.count(&format!("event_id:{id}")), 1, "{id}");
    }
    let told: Vec<_> = ["server.stop", "server.start"]
        .map(|name| reader.count(&format!("_ledger:audit event_source:attestry event_name:{name}")))
        .into();
    assert_eq!(told, [1, 2]);
    scenario.finish();
}

#[test]
fn a_server_with_sinks_signs_its_last_entries_too() {
    let mut scenario = Scenario::new(ATTESTRY);
    let config = scenario.dir().join("sinks.yaml");
    let text = "sinks:\n  kept: {file: {path: kept.ndjson}}\n  away: {webhook: {url: 'https://127.0.0.1:1/', allow_private: true}}\n";
    std::fs::write(&config, text).unwrap();
    scenario = scenario.with_argument("--config").with_argument(config.to_str().unwrap());
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    writer.post("/api/v1/events", "application/x-ndjson", lines("bulk", 1_000)).is(201);
    let kept = scenario.dir().join("kept.ndjson");
    wait_for("the file has the events", SOON, || {
        std::fs::read_to_string(&kept).ok().filter(|text| text.contains("bulk-999"))
    });
    scenario.stop();
    for ran in scenario.verify(false) {
        let ran = ran.is(0);
        assert!(!ran.out.contains("newer than the checkpoint"), "{}", ran.out);
    }
    scenario.finish();
}
