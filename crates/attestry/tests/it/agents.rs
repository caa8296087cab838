//! Agents: enrolled, known, counted; nothing they acknowledged is lost or stored twice, and a server that forgets is found out.

use std::time::Duration;

use attestry_testkit::{Scenario, copy_tree, wait_for};

use crate::ATTESTRY;
use crate::node::Node;

/// How long events may take to arrive, on a busy machine with debug builds.
pub(crate) const ARRIVE: Duration = Duration::from_secs(60);

pub(crate) fn server() -> Scenario {
    Scenario::new(ATTESTRY).with("ATTESTRY_SERVER_TLS_SELF_SIGNED", "true").with_argument("--tls-self-signed")
}

/// The node as an agent of the scenario's server.
#[track_caller]
pub(crate) fn enrolled(scenario: &Scenario, name: &str) -> Node {
    let node = Node::new(scenario, name, "");
    node.enroll(scenario, name);
    node
}

fn line(id: &str) -> String {
    format!(
        r#"{{"event_id":"{id}","event_time":"2026-01-01T00:00:00Z","event_name":"order.place","username":"alice","event_data":{{"n":9007199254740993}}}}"#
    )
}

fn count(scenario: &Scenario, query: &str) -> u64 {
    let ran = scenario.attestry(&["count", query]);
    ran.out.trim().parse().unwrap_or(0)
}

#[track_caller]
fn arrives(scenario: &Scenario, query: &str, expected: u64) {
    wait_for(&format!("{expected} events of {query}"), ARRIVE, || {
        let found = count(scenario, query);
        assert!(found <= expected, "{found} events of {query}, expected {expected}");
        (found == expected).then_some(())
    });
}

#[test]
fn what_an_agent_took_arrives_once_through_kills_of_both() {
    let mut scenario = server();
    scenario.start();
    let mut node = enrolled(&scenario, "web1");
    node.start(&scenario);
    let mut acknowledged = 0;
    for round in 0..6 {
        // Sent until the node says that all of it is kept: the same ids again, as a sender that saw no answer would.
        let lines: Vec<String> = (0..50).map(|number| line(&format!("r{round}-{number}"))).collect();
        if round % 3 == 1 {
            node.kill();
            node.start(&scenario);
        }
        if round % 3 == 2 {
            scenario.kill();
        }
        wait_for("the node keeps the lines", ARRIVE, || node.send(&lines));
        acknowledged += lines.len() as u64;
        if round % 3 == 2 {
            scenario.start();
        }
    }
    arrives(&scenario, "event_source:app agent:web1", acknowledged);
    assert_eq!(count(&scenario, "event_name:gap.sequence"), 0);
    assert_eq!(count(&scenario, "event_name:gap.conflict"), 0);
    assert_eq!(count(&scenario, "event_data.n:9007199254740993"), acknowledged);
    node.stop();
    let listed = scenario.attestry(&["agent", "list"]).is(0);
    assert!(listed.out.contains("web1"), "{}", listed.out);
    scenario.finish();
}

#[test]
fn a_lost_spool_is_said() {
    let mut scenario = server();
    scenario.start();
    let mut node = enrolled(&scenario, "web1");
    node.start(&scenario);
    node.send(&[line("one"), line("two")]).unwrap();
    arrives(&scenario, "event_source:app", 2);
    node.stop();
    std::fs::remove_dir_all(node.data().join("spool")).unwrap();
    node.start(&scenario);
    node.send(&[line("three")]).unwrap();
    arrives(&scenario, "event_source:app", 3);
    arrives(&scenario, "event_name:gap.epoch", 1);
    node.stop();
    scenario.finish();
}

#[test]
fn a_revoked_agent_is_refused_and_keeps_what_it_has() {
    let mut scenario = server();
    scenario.start();
    let mut node = enrolled(&scenario, "web1");
    node.start(&scenario);
    node.send(&[line("one")]).unwrap();
    arrives(&scenario, "event_source:app", 1);
    scenario.attestry(&["agent", "revoke", "web1"]).is(0);
    node.send(&[line("two")]).unwrap();
    wait_for("the sink waits", ARRIVE, || (node.sink(&scenario)["state"] == "waiting").then_some(()));
    assert!(node.sink(&scenario)["why"].as_str().unwrap().contains("revoked"), "{}", node.sink(&scenario));
    assert_eq!(count(&scenario, "event_source:app"), 1);
    // Enrolled anew, it sends what it kept.
    node.stop();
    node.enroll(&scenario, "web1");
    node.start(&scenario);
    arrives(&scenario, "event_source:app", 2);
    node.stop();
    scenario.finish();
}

#[test]
fn a_token_is_good_once_and_for_its_server() {
    let mut scenario = server();
    scenario.start();
    let token = scenario.attestry(&["agent", "token", "web1"]).is(0).out.trim().to_owned();
    let (node, other) = (Node::new(&scenario, "one", ""), Node::new(&scenario, "two", ""));
    let (rest, fingerprint) = token.rsplit_once('.').unwrap();
    let wrong = format!("{rest}.{}", fingerprint.chars().rev().collect::<String>());
    node.attestry(&scenario, &["agent", "enroll", &scenario.url(), &wrong]).is(1).says("Nothing was sent");
    node.attestry(&scenario, &["agent", "enroll", &scenario.url(), &token]).is(0);
    other.attestry(&scenario, &["agent", "enroll", &scenario.url(), &token]).is(1).says("used");
    arrives(&scenario, "event_name:agent.enroll resource:web1", 1);
    scenario.finish();
}

#[test]
fn a_server_that_was_put_back_is_found_out() {
    let mut scenario = server();
    scenario.start();
    let mut node = enrolled(&scenario, "web1");
    let kept = node.data().join("kept.ndjson");
    let file = format!("  kept:\n    file: {{path: {}}}\n", kept.display());
    node.configure(&format!("sinks:\n{file}{}", node.server_sink(&scenario, "")));
    node.start(&scenario);
    node.send(&[line("one")]).unwrap();
    arrives(&scenario, "event_source:app", 1);
    scenario.stop();
    let older = scenario.dir().join("older");
    copy_tree(scenario.data(), &older);
    scenario.start();
    node.send(&[line("two"), line("three")]).unwrap();
    arrives(&scenario, "event_source:app", 3);
    // The agent asks for a proof every few seconds; it must have seen the larger tree.
    std::thread::sleep(Duration::from_secs(8));
    node.send(&[line("four")]).unwrap();
    arrives(&scenario, "event_source:app", 4);
    scenario.stop();

    scenario.use_data(&older);
    scenario.start();
    // A proof is asked for with the first delivery that is five seconds after the last one.
    let mut sent = 0;
    wait_for("the sink is halted", ARRIVE, || {
        sent += 1;
        node.send(&[line(&format!("late-{sent}"))]).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        (node.sink(&scenario)["state"] == "halted").then_some(())
    });
    let why = node.sink(&scenario)["why"].to_string();
    assert!(why.contains("entries"), "{why}");
    // The alarm goes out by the other sink, with what the server had signed.
    let alarm = wait_for("the alarm", ARRIVE, || {
        let text = std::fs::read_to_string(&kept).ok()?;
        text.lines().find(|line| line.contains("\"gap.history\"")).map(str::to_owned)
    });
    assert!(alarm.contains("\"pinned\":") && alarm.contains(".attestry/audit\\n"), "{alarm}");
    node.stop();
    scenario.finish();
}

#[test]
fn a_new_configuration_is_swapped_in_or_refused() {
    let mut scenario = server();
    scenario.start();
    let mut node = enrolled(&scenario, "web1");
    node.start(&scenario);
    let first = std::fs::read_to_string(node.config()).unwrap();
    let kept = node.data().join("kept.ndjson");
    let with_file = format!(
        "{first}sinks:\n{}  kept:\n    file: {{path: {}}}\n",
        node.server_sink(&scenario, ""),
        kept.display()
    );
    std::fs::write(node.config(), &with_file).unwrap();
    node.hang_up();
    arrives(&scenario, "event_name:config.reload agent:web1", 1);
    node.send(&[line("one")]).unwrap();
    wait_for("the new sink has the event", ARRIVE, || {
        std::fs::read_to_string(&kept).ok().filter(|text| text.contains("\"one\""))
    });
    std::fs::write(node.config(), with_file.replace("file:", "fil:")).unwrap();
    node.hang_up();
    arrives(&scenario, "event_name:config.refuse agent:web1", 1);
    // The old one is in force still.
    node.send(&[line("two")]).unwrap();
    wait_for("the new sink goes on", ARRIVE, || {
        std::fs::read_to_string(&kept).ok().filter(|text| text.contains("\"two\""))
    });
    arrives(&scenario, "event_source:app", 2);
    node.stop();
    scenario.finish();
}

#[test]
fn an_agent_for_one_ledger_says_there_what_it_says_of_itself() {
    let mut scenario = server();
    scenario.start();
    let mut node = Node::new(&scenario, "web1", "    ledger: logs\n");
    node.enroll_for(&scenario, &["web1", "--ledger", "logs"]);
    node.start(&scenario);
    node.send(&[line("one")]).unwrap();
    arrives(&scenario, "event_source:app", 1);
    arrives(&scenario, "event_name:agent.start agent:web1", 1);
    node.stop();
    scenario.finish();
}
