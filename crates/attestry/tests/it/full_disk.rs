//! No room left on an agent: who can wait waits and is not acknowledged, what cannot wait is counted, and it goes on when there is room.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use attestry_testkit::{SmallDisk, wait_for};
use serde_json::Value;

use crate::agents::{self, ARRIVE};
use crate::node::Node;
use crate::{SOON, stored};

/// Datagrams that are more than the receiver's queue of 2 MiB holds.
const DATAGRAMS: u64 = 6_000;
/// Lines of a batch.
const LINES: u64 = 200;

/// A batch that takes about 200 KiB.
fn batch(number: u64) -> Vec<String> {
    let message = "word ".repeat(200);
    let line = |nth| {
        format!(
            r#"{{"event_id":"b{number}-{nth}","event_name":"order.place","username":"u","message":"{message}"}}"#
        )
    };
    (0..LINES).map(line).collect()
}

#[test]
fn an_agent_without_room_makes_senders_wait_counts_what_cannot_and_goes_on() {
    let disk = SmallDisk::new(64);
    let mut scenario = agents::server();
    scenario.start();
    let udp =
        "  net:\n    syslog: {listen: \"udp://127.0.0.1:0\", queue_bytes: 2097152}\n    ledger: audit\n";
    let mut node = Node::on(&disk.path().join("data"), &scenario, "web1", udp);
    node.enroll(&scenario, "web1");
    node.configure(&format!("sinks:\n{}", node.server_sink(&scenario, "    retry: {most: 1s}\n")));
    node.start(&scenario);
    node.send(&batch(0)).unwrap();
    scenario.stop();

    disk.fill();
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let sender = {
        let (door, acknowledged, stop) = (node.door(), Arc::clone(&acknowledged), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let next = acknowledged.load(Ordering::Relaxed);
                let answer = door.send(&batch(next)).unwrap();
                assert!(answer.contains(&format!("\"kept\":{LINES},")), "{answer}");
                acknowledged.store(next + 1, Ordering::Relaxed);
            }
        })
    };
    let told = wait_for("the spool says that it takes nothing", ARRIVE, || {
        Some(node.status(&scenario)["spool"].clone()).filter(|spool| spool["stalled"].is_object())
    });
    assert_eq!(told["stalled"]["why"], "the disk is full", "{told}");
    node.attestry(&scenario, &["spool", "list"]).is(0).says("takes nothing: the disk is full");
    assert!(node.log().contains("the disk is full"), "{}", node.log());
    let waiting = acknowledged.load(Ordering::Relaxed);

    let receivers = node.status(&scenario)["receivers"].clone();
    let net = receivers.as_array().unwrap().iter().find(|receiver| receiver["name"] == "net").unwrap();
    let address = net["address"].as_str().unwrap().trim_start_matches("udp://").to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 0;
    let mut datagram = || {
        socket.send_to(format!("<13>app: datagram {sent} {}", "x".repeat(900)).as_bytes(), &address).unwrap();
        sent += 1;
    };
    for number in 0..DATAGRAMS {
        datagram();
        // As fast as it can read: those that are lost are to be lost because nothing can be kept.
        if number % 20 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    assert_eq!(acknowledged.load(Ordering::Relaxed), waiting, "acknowledged without room to keep it");

    disk.free();
    wait_for("lines are taken again", SOON, || {
        (acknowledged.load(Ordering::Relaxed) > waiting).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    wait_for("the spool takes everything", SOON, || {
        node.status(&scenario)["spool"]["stalled"].is_null().then_some(())
    });
    // The kernel tells how many it dropped with the next one that it does not drop.
    datagram();

    scenario.start();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let lines = acknowledged.load(Ordering::Relaxed) * LINES;
    wait_for("all lines that were acknowledged", ARRIVE, || {
        (reader.count("event_source:app") == lines).then_some(())
    });
    let mut declared = 0;
    wait_for("all datagrams, or how many of them were lost", ARRIVE, || {
        let gaps = reader.search("event_name:gap.datagram");
        declared = gaps.iter().filter_map(|gap| gap["event"]["event_data"]["count"].as_u64()).sum();
        let arrived = reader.count("event_name:syslog.message");
        assert!(arrived + declared <= sent, "{arrived} arrived, {declared} declared lost, {sent} sent");
        (arrived + declared == sent).then_some(())
    });
    assert!(declared > 0, "the queue holds more than it says");
    node.stop();
    scenario.stop();
    stored::each(&scenario, |entry| {
        let data = || serde_json::from_str::<Value>(entry.event_data_text().unwrap_or("{}")).unwrap();
        assert!(
            !stored::is_gap(entry) || entry.event_name() == "gap.datagram",
            "{}: {}",
            entry.event_name(),
            data()
        );
    });
    scenario.finish();
}
