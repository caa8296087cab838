//! The harness itself: its last step finds what it is there to find.

use std::os::unix::fs::FileExt;

use attestry_testkit::Scenario;

use crate::{ATTESTRY, event};

/// A scenario whose only event was changed on the disk.
fn forged() -> Scenario {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    writer.post_json("/api/v1/events?wait=checkpoint", &event("victim-of-forgery")).is(201);
    scenario.stop();
    let journal = scenario.data().join("ledgers/audit/wal");
    let file = std::fs::read_dir(journal).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    let name = b"victim-of-forgery";
    let at = bytes.windows(name.len()).position(|found| found == name).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(b"V", at as u64).unwrap();
    scenario
}

#[test]
fn all_three_verifiers_find_a_forged_event() {
    forged().finish_damaged("DAMAGE");
}

#[test]
#[should_panic(expected = "DAMAGED")]
fn a_forged_event_fails_the_last_step() {
    forged().finish();
}

#[test]
#[should_panic(expected = "without its last step")]
fn a_scenario_without_its_last_step_fails() {
    drop(Scenario::new(ATTESTRY));
}
