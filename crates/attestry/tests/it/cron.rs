//! Without anything resident: `collect --once` and `send --spool`, as cron calls them.

use attestry_testkit::{Scenario, wait_for};

use crate::node::Node;
use crate::{ATTESTRY, SOON};

/// A source that needs nothing of the host; a scenario switches off those that run by themselves.
const SOURCES: &str = "sources: {look: {host: {every: 1h}}}\n";

fn count(scenario: &Scenario, query: &str) -> u64 {
    scenario.attestry(&["count", query]).out.trim().parse().unwrap_or(0)
}

#[test]
fn an_agent_that_cron_runs_sends_everything_once() {
    let mut scenario = Scenario::new(ATTESTRY)
        .with("ATTESTRY_SERVER_TLS_SELF_SIGNED", "true")
        .with_argument("--tls-self-signed");
    scenario.start();
    let node = Node::new(&scenario, "web1", SOURCES);
    let token = scenario.attestry(&["agent", "token", "web1"]).is(0).out.trim().to_owned();
    node.attestry(&scenario, &["agent", "enroll", &scenario.url(), &token]).is(0);
    node.attestry(&scenario, &["collect", "nothing", "--once"]).is(1).says("there is no source \"nothing\"");

    // Away, nothing is lost.
    scenario.stop();
    node.attestry(&scenario, &["collect", "look", "--once"]).is(0);
    node.attestry(&scenario, &["send", "--spool", "--retry-for", "1"]).is(1).says("events wait");
    scenario.start();
    node.attestry(&scenario, &["collect", "look", "--once"]).is(0);
    node.attestry(&scenario, &["send", "--spool", "--every", "5m"]).is(0);
    wait_for("both looks", SOON, || {
        (count(&scenario, "event_name:host.stats agent:web1") == 2).then_some(())
    });
    node.attestry(&scenario, &["send", "--spool", "--every", "5m"]).is(0);
    assert_eq!(count(&scenario, "event_name:host.stats agent:web1"), 2);
    assert_eq!(count(&scenario, "event_name:gap.*"), 0);
    let listed = scenario.attestry(&["agent", "list"]).is(0);
    assert!(listed.out.contains("web1"), "{}", listed.out);
    scenario.finish();
}

#[test]
fn on_a_host_with_ledgers_a_look_goes_into_them() {
    let mut scenario = Scenario::new(ATTESTRY);
    std::fs::write(scenario.dir().join("attestry.yaml"), SOURCES).unwrap();
    scenario.attestry(&["collect", "look", "--once"]).is(0);
    scenario.attestry(&["send", "--spool"]).is(1).says("this host has ledgers");
    scenario.start();
    // A running program looks by itself, the first time at its start.
    wait_for("a second look", SOON, || {
        (count(&scenario, "event_name:host.stats event_source:look") == 2).then_some(())
    });
    scenario.attestry(&["collect", "look", "--once"]).is(1).says("attestry run");
    scenario.finish();
}

#[test]
fn what_is_printed_is_kept_nowhere() {
    let mut scenario = Scenario::new(ATTESTRY);
    std::fs::write(scenario.dir().join("attestry.yaml"), SOURCES).unwrap();
    let printed = scenario.attestry(&["collect", "look", "--print"]).is(0);
    let first: serde_json::Value = serde_json::from_str(printed.out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["event_name"], &first["event_source"]), (&"host.stats".into(), &"look".into()));
    assert!(!scenario.data().exists(), "no data directory is made");
    scenario.start();
    scenario.finish();
}

#[test]
fn sources_are_listed_whether_or_not_something_runs() {
    let mut scenario = Scenario::new(ATTESTRY);
    std::fs::write(scenario.dir().join("attestry.yaml"), SOURCES).unwrap();
    let listed = scenario.attestry(&["sources"]).is(0);
    let line = |ran: &attestry_testkit::Ran, name: &str| {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not listed: {}", ran.out)).to_owned()
    };
    assert!(line(&listed, "look").contains(" on "), "{}", listed.out);
    let off = line(&listed, "auth");
    assert!(off.contains("switched off in the configuration (needs read access to auth.log"), "{off}");
    scenario.start();
    let listed = wait_for("the first look is told", SOON, || {
        let ran = scenario.attestry(&["sources", "--json"]).is(0);
        let all: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
        let look = all.into_iter().find(|source| source["name"] == "look").unwrap();
        look["last_event"].is_string().then_some(look)
    });
    assert!(listed["events"].as_u64() >= Some(2) && listed["losses"] == 0, "{listed}");
    scenario.finish();
}
