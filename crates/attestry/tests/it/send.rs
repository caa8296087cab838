//! `attestry send`: nothing is lost and nothing comes twice, whatever happens to the server.

use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Duration;

use attestry_testkit::{Client, Scenario, wait_for};
use serde_json::json;

use crate::{ATTESTRY, SOON, lines};

const LINES: usize = 20_000;

/// So many events without an id of their own, each with its number.
fn numbered(from: usize, to: usize) -> String {
    let line = |number: usize| {
        json!({"event_name": "line.read", "username": "alice", "event_data": {"number": number}}).to_string()
            + "\n"
    };
    (from..to).map(line).collect()
}

/// Every number is there once.
fn stored_once(reader: &Client) {
    let export = [("q", "event_name:line.read"), ("format", "ndjson"), ("limit", "0")];
    let text = reader.get("/api/v1/events", &export).is(200).text();
    let mut numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|found| found["event"]["event_data"]["number"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers.len(), LINES);
    assert!(
        numbers.iter().zip(0..).all(|(number, wanted)| *number == wanted),
        "one is missing, another there twice"
    );
}

/// The totals that `send` tells at its end: stored, there already, refused.
fn totals(err: &str) -> [u64; 3] {
    let line = err.lines().last().unwrap_or_default();
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let told =
        format!("{} events stored, {} were there already, {} refused", numbers[0], numbers[1], numbers[2]);
    assert_eq!(line, told);
    [numbers[0], numbers[1], numbers[2]]
}

#[test]
fn a_file_is_sent_over_a_restart_of_the_server() {
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    std::fs::write(scenario.dir().join("events.ndjson"), numbered(0, LINES)).unwrap();
    let sending = scenario.spawn(&["send", "events.ndjson"], &key);
    let stored = wait_for("the first batch is stored", SOON, || {
        Some(reader.count("event_name:line.read")).filter(|stored| *stored > 0)
    });
    scenario.kill();
    assert!(stored < LINES as u64, "all was sent before the server was killed");
    scenario.start();
    let ran = sending.finish().is(0);
    let [stored, repeated, refused] = totals(&ran.err);
    assert_eq!((stored + repeated, refused, ran.out.as_str()), (LINES as u64, 0, ""));
    stored_once(&reader);
    scenario.finish();
}

#[test]
fn a_pipe_is_sent_over_a_restart_of_the_server() {
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let mut sending = scenario.spawn(&["send"], &key);
    let mut pipe = sending.input();
    // What a pipe holds is sent at once, not when there is enough of it.
    pipe.write_all(numbered(0, 3).as_bytes()).unwrap();
    wait_for("the first lines are stored", SOON, || {
        (reader.count("event_name:line.read") == 3).then_some(())
    });
    let (go_on, told) = channel();
    let writing = std::thread::spawn(move || {
        pipe.write_all(numbered(3, LINES / 2).as_bytes()).unwrap();
        told.recv().unwrap();
        for from in (LINES / 2..LINES).step_by(2_500) {
            pipe.write_all(numbered(from, from + 2_500).as_bytes()).unwrap();
        }
    });
    wait_for("more is stored", SOON, || (reader.count("event_name:line.read") > 3).then_some(()));
    scenario.kill();
    go_on.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(sending.ended().is_none(), "it gave up");
    scenario.start();
    writing.join().unwrap();
    let [stored, repeated, refused] = totals(&sending.finish().is(0).err);
    assert_eq!((stored + repeated, refused), (LINES as u64, 0));
    stored_once(&reader);
    scenario.finish();
}

#[test]
fn bad_lines_are_named_and_the_others_stored() {
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let good = lines("good", 4);
    let mut input: Vec<&str> = good.lines().collect();
    input.insert(2, "");
    input.insert(3, r#"{"event_name":"a.b"}"#);
    input.push("not json");
    let input = input.join("\n");
    let ran = scenario.attestry_with(&["send"], &key, input.as_bytes()).is(1);
    assert!(ran.err.contains("line 4: username: found "), "{}", ran.err);
    assert!(ran.err.contains("line 7: event: found "), "{}", ran.err);
    assert_eq!(totals(&ran.err), [4, 0, 2]);
    assert_eq!(reader.count("event_source:shop"), 4);
    // Lines with ids can be sent again, whole.
    let ran = scenario.attestry_with(&["send", "-"], &key, good.as_bytes()).is(0);
    assert_eq!(totals(&ran.err), [0, 4, 0]);
    // An id that is taken by something else is named as well.
    let other = r#"{"event_id":"good-1","event_name":"a.b","username":"u"}"#;
    let ran = scenario.attestry_with(&["send"], &key, other.as_bytes()).is(1);
    assert!(
        ran.err.contains("line 1: event_id \"good-1\" is taken by other content at audit/"),
        "{}",
        ran.err
    );
    assert_eq!(totals(&ran.err), [0, 0, 1]);

    scenario.attestry_with(&["send"], "ak_wrong", good.as_bytes()).is(1).says("A key or a log-in is needed");
    scenario.attestry_with(&["send", "nothing-there.ndjson"], &key, b"").is(1).says("nothing-there.ndjson");
    scenario.stop();
    scenario
        .attestry_with(&["send", "--retry-for", "1"], &key, good.as_bytes())
        .is(1)
        .says("gave up after 1 s");
    scenario.finish();
}
