//! A flipped bit in an agent's spool: the server is told which numbers are lost and how many, and the rest arrives.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use attestry_event::{Entry, Field};
use attestry_testkit::{Scenario, wait_for};
use serde_json::Value;

use crate::agents::{self, ARRIVE};
use crate::node::Node;
use crate::stored;

/// More than the spool keeps in memory.
const EVENTS: u64 = 40_000;
/// An event that is in the spool's first file, and none that is in memory.
const EARLY: u64 = 12_345;
/// One that is in the last file, which stays although everybody has it.
const LATE: u64 = EVENTS - 500;

fn fill(node: &Node) {
    let kept = node.door().stream(|out| {
        (0..EVENTS).try_for_each(|number| {
            writeln!(out, r#"{{"event_id":"n{number}","event_name":"order.place","username":"u","event_data":{{"fill":"{}"}}}}"#, "x".repeat(200))
        })
    });
    assert!(kept.unwrap().contains(&format!("\"kept\":{EVENTS},")));
}

/// Changes one bit of the event in the spool's files.
#[track_caller]
fn flip(node: &Node, event: u64) {
    let text = format!("\"n{event}\"");
    let folder = node.data().join("spool/journal");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let found = |path: &PathBuf| position(path, text.as_bytes());
    let (path, at) =
        files.filter_map(|path| Some((found(&path)?, path))).map(|(at, path)| (path, at)).next().unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at + 3).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at + 3).unwrap();
}

fn position(path: &Path, text: &[u8]) -> Option<u64> {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(text.len()).position(|found| found == text).map(|at| at as u64)
}

fn data(entry: &Entry<'_>) -> Value {
    serde_json::from_str(entry.event_data_text().unwrap_or("{}")).unwrap()
}

/// What the ledger has of the agent's events: those that are missing, the numbers that came, and the events that tell of a loss.
struct Found {
    missing: BTreeSet<u64>,
    numbers: BTreeSet<u64>,
    gaps: Vec<(String, Value)>,
}

fn found(scenario: &Scenario) -> Found {
    let mut found = Found { missing: (0..EVENTS).collect(), numbers: BTreeSet::new(), gaps: Vec::new() };
    stored::each(scenario, |entry| {
        if let Some(seq) = entry.number(Field::AgentSeq) {
            assert!(found.numbers.insert(seq), "{seq} is there twice");
        }
        if entry.event_source() == "app" {
            let number = entry.event_id()[1..].parse().unwrap();
            assert!(found.missing.remove(&number) || number > EVENTS, "{number} is there twice");
        }
        if stored::is_gap(entry) {
            found.gaps.push((entry.event_name().into_owned(), data(entry)));
        }
    });
    found
}

/// The bit is flipped before the server has the event, while the agent runs or while it does not.
#[track_caller]
fn check(running: bool) {
    let mut scenario = agents::server();
    scenario.start();
    let mut node = agents::enrolled(&scenario, "web1");
    // Without `gap.all`: what the spool lost is told all the same.
    let more = "    retry: {most: 1s}\n    methods: {exclude: [gap.all]}\n";
    node.configure(&format!("sinks:\n{}", node.server_sink(&scenario, more)));
    scenario.stop();
    node.start(&scenario);
    fill(&node);
    match running {
        true => flip(&node, EARLY),
        false => {
            node.stop();
            flip(&node, EARLY);
            node.start(&scenario);
        }
    }
    scenario.start();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("the loss is told", ARRIVE, || (reader.count("event_name:gap.spool") > 0).then_some(()));
    wait_for("nothing waits any more", ARRIVE, || (node.sink(&scenario)["lag"] == 0).then_some(()));
    node.stop();
    scenario.stop();

    let Found { missing, numbers, gaps } = found(&scenario);
    let [(name, gap)] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((name.as_str(), &gap["why"]), ("gap.spool", &"damage".into()), "{gap}");
    let lost = &gap["ledgers"]["audit"];
    let (first, end) = (lost["first"].as_u64().unwrap(), lost["end"].as_u64().unwrap());
    assert_eq!((&gap["events"], &lost["events"]), (&missing.len().into(), &missing.len().into()), "{gap}");
    // A chunk is what is lost, and nothing beside it.
    assert!(missing.contains(&EARLY) && missing.len() <= 1_000, "{missing:?}");
    assert_eq!(end - first, missing.len() as u64, "{gap}");
    let most = *numbers.last().unwrap();
    assert_eq!(
        (0..most).filter(|number| !numbers.contains(number)).collect::<Vec<_>>(),
        (first..end).collect::<Vec<_>>()
    );
    scenario.finish();
}

#[test]
fn a_flipped_bit_that_a_start_comes_upon_is_told_and_the_rest_arrives() {
    check(false);
}

#[test]
fn a_flipped_bit_that_a_read_comes_upon_is_told_and_the_rest_arrives() {
    check(true);
}

#[test]
fn a_flipped_bit_in_what_was_delivered_before_is_no_loss() {
    let mut scenario = agents::server();
    scenario.start();
    let mut node = agents::enrolled(&scenario, "web1");
    node.start(&scenario);
    fill(&node);
    wait_for("nothing waits any more", ARRIVE, || (node.sink(&scenario)["lag"] == 0).then_some(()));
    node.stop();
    flip(&node, LATE);
    node.start(&scenario);
    node.send(&[r#"{"event_id":"n1000000","event_name":"order.cancel","username":"u"}"#.to_owned()]).unwrap();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("what comes after", ARRIVE, || (reader.count("event_name:order.cancel") == 1).then_some(()));
    node.stop();
    scenario.stop();
    // That the disk is not sound is told.
    let Found { missing, gaps, .. } = found(&scenario);
    let [(name, gap)] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(
        (name.as_str(), &gap["why"], &gap["events"]),
        ("gap.spool", &"damage".into(), &0.into()),
        "{gap}"
    );
    assert!(gap["ledgers"].is_null() && missing.is_empty(), "{gap} {missing:?}");
    scenario.finish();
}
