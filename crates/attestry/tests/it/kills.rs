//! Kill -9 of an agent, of its server, of a node that sends by a broker, and of the broker, at any moment, starts included, while events keep
//! coming: what was acknowledged arrives, and once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use attestry_testkit::{NatsServer, wait_for};

use crate::agents::{self, ARRIVE};
use crate::crash::Random;
use crate::node::{Door, Node};
use crate::stored;

const KILLS: u32 = 200;
/// The longest that all of them are left alone before the next kill, in milliseconds: about as long as the slowest takes to start, so that some kills
/// hit a start and others the work.
const ROUND_MAX: u64 = 1_000;
/// A pause after each answer, which keeps the ledger small.
const PAUSE: Duration = Duration::from_millis(15);

/// Sends lines to a node until it is told to stop and everything is acknowledged. What has no answer is sent again, unchanged, as the
/// receiver's documentation asks for.
fn sender(door: Door, name: &'static str, seed: u64, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    let mut random = Random(seed);
    std::thread::spawn(move || {
        let mut acknowledged = 0;
        while !stop.load(Ordering::Relaxed) {
            let end = acknowledged + 1 + random.below(15);
            let lines: Vec<String> = (acknowledged..end).map(|number| line(name, number)).collect();
            while door.send(&lines).is_none() {
                std::thread::sleep(Duration::from_millis(20));
            }
            acknowledged = end;
            std::thread::sleep(PAUSE);
        }
        acknowledged
    })
}

fn line(name: &str, number: u64) -> String {
    format!(
        r#"{{"event_id":"{name}-{number}","event_time":"2026-01-01T00:00:00Z","event_name":"order.place","username":"u","event_data":{{"n":{number}}}}}"#
    )
}

#[test]
fn two_hundred_kills_lose_nothing_that_was_acknowledged_and_store_nothing_twice() {
    let mut random = Random::seeded();
    let mut broker = NatsServer::started();
    let mut scenario = agents::server();
    let queue = format!("url: \"{}\", stream: EVENTS", broker.url());
    let config = format!(
        "receivers:\n  queue:\n    nats: {{{queue}, durable: attestry, ack_wait: 5s}}\n    trusted: true\n"
    );
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let retry = "    retry: {first: 100ms, most: 1s}\n    batch: {wait: 100ms}\n";
    let mut agent = agents::enrolled(&scenario, "web1");
    agent.configure(&format!("sinks:\n{}", agent.server_sink(&scenario, retry)));
    let sink =
        format!("server: {{enabled: false}}\nsinks:\n  queue:\n    nats: {{{queue}, create: {{}}}}\n{retry}");
    let mut node = Node::new(&scenario, "node", &sink);
    agent.start(&scenario);
    node.start(&scenario);

    let stop = Arc::new(AtomicBool::new(false));
    let senders = [(agent.door(), "agent"), (node.door(), "node")]
        .map(|(door, name)| sender(door, name, random.below(u64::MAX), Arc::clone(&stop)));
    let mut killed = [0; 4];
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(random.below(ROUND_MAX)));
        let victim = random.below(4) as usize;
        killed[victim] += 1;
        match victim {
            0 => {
                agent.kill();
                agent.launch(&scenario);
            }
            1 => {
                node.kill();
                node.launch(&scenario);
            }
            2 => {
                scenario.kill();
                scenario.launch();
            }
            _ => {
                broker.kill();
                broker.start();
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    scenario.wait_until_ready();
    let [by_agent, by_node] = senders.map(|sender| sender.join().unwrap());
    assert!(by_agent.min(by_node) > u64::from(KILLS), "only {by_agent} and {by_node} events");
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("all that was acknowledged is there", ARRIVE, || {
        std::thread::sleep(Duration::from_millis(200));
        (reader.count("event_name:order.place") >= by_agent + by_node).then_some(())
    });
    agent.stop();
    node.stop();
    scenario.stop();

    let mut missing: BTreeSet<String> = (0..by_agent).map(|number| format!("agent-{number}")).collect();
    missing.extend((0..by_node).map(|number| format!("node-{number}")));
    stored::each(&scenario, |entry| {
        assert!(!stored::is_gap(entry), "{}: {:?}", entry.event_name(), entry.event_data_text());
        if entry.event_name() == "order.place" {
            assert!(missing.remove(&*entry.event_id()), "{} is stored twice", entry.event_id());
        }
    });
    assert!(missing.is_empty(), "acknowledged and not there: {missing:?}");
    #[allow(clippy::print_stdout, reason = "figures for whoever wants them")]
    {
        let [agent, node, server, broker] = killed;
        println!(
            "{by_agent} events by the agent, {by_node} by the broker; kills: agent {agent}, node {node}, server {server}, broker {broker}"
        );
    }
    scenario.finish();
}
