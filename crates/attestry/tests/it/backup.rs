//! A backup made while events come in, restored elsewhere, and what it is worth there.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_testkit::{Scenario, wait_for};

use crate::{ATTESTRY, SOON, event, lines};

#[test]
fn a_backup_of_a_busy_server_can_be_restored_and_used() {
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let (writer, read) = (scenario.client(&key), scenario.key(&["reader", "--read"]));
    let mut large = event("large");
    large["message"] = "word ".repeat(3_000).into();
    writer.store(&large);
    writer.post("/api/v1/events?wait=checkpoint", "application/x-ndjson", lines("before", 5_000)).is(201);
    scenario.pin("audit");

    let mut posting = scenario.spawn(&["send"], &key);
    let mut pipe = posting.input();
    let enough = Arc::new(AtomicBool::new(false));
    let goes_on = {
        let enough = Arc::clone(&enough);
        std::thread::spawn(move || {
            for number in 0.. {
                if enough.load(Ordering::Relaxed) {
                    return;
                }
                pipe.write_all(lines(&format!("during-{number}"), 50).as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let reader = scenario.client(&read);
    wait_for("events come in", SOON, || (reader.count("event_id:during-*") > 100).then_some(()));
    scenario.attestry(&["backup", "saved"]).is(0).says("Clean");
    // Once more into the same folder, which brings it up to date.
    scenario.attestry(&["backup", "saved"]).is(0).says("Clean");
    enough.store(true, Ordering::Relaxed);
    goes_on.join().unwrap();
    posting.finish().is(0);
    let all = reader.count("event_source:shop");
    scenario.attestry(&["backup", "attestry-data/ledgers"]).is(1).says("is not empty");
    scenario.attestry(&["restore", "saved", "attestry-data"]).is(1).says("is not empty");
    scenario.stop();
    for ran in scenario.verify(true) {
        ran.is(0);
    }

    let restored = scenario.dir().join("elsewhere");
    scenario.attestry(&["restore", "saved", restored.to_str().unwrap()]).is(0).says("Clean");
    std::fs::remove_dir_all(scenario.data()).unwrap();
    scenario.use_data(&restored);
    for ran in scenario.verify(true) {
        ran.is(0);
    }
    scenario.start();
    let reader = scenario.client(&read);
    assert_eq!((reader.count("event_id:before-*"), reader.count("event_id:large")), (5_000, 1));
    let there = reader.count("event_source:shop");
    assert!(there > 5_000 && there <= all, "{there} of {all}");
    // The keys came along, ids are still known, and the log goes on.
    let again = scenario.client(&key).store(&event("before-17"));
    assert_eq!(again["events"][0]["duplicate"], true);
    scenario.client(&key).store(&event("afterwards"));
    assert_eq!(reader.count("event_id:afterwards"), 1);
    scenario.finish();
}
