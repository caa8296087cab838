//! What a program that runs is asked and told: where it is reached, how its receivers are doing, and that its configuration is another.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use attestry_testkit::{Running, Scenario, wait_for};
use serde_json::{Value, json};

use crate::{ATTESTRY, SOON, event};

#[test]
fn commands_find_the_server_of_a_data_directory_wherever_it_listens() {
    for argument in [None, Some("--tls-self-signed")] {
        let mut scenario = Scenario::new(ATTESTRY);
        if let Some(argument) = argument {
            scenario = scenario.with_argument(argument);
        }
        scenario.start();
        scenario.client(&scenario.key(&["shop", "--write"])).store(&event("one"));
        // Neither the port nor TLS is in any configuration: both were arguments.
        let data = scenario.data().to_str().unwrap();
        let mut count = scenario.command(&["count", "event_source:shop", "--data-dir", data]);
        count.env_remove("ATTESTRY_SERVER_LISTEN");
        let counted = Running::start(&mut count, &scenario.dir().join("count")).finish().is(0);
        assert_eq!(counted.out, "1\n");
        scenario.stop();
        let none = scenario.attestry(&["count", "event_source:shop"]).is(1);
        let configured = format!("cannot reach the server at http://127.0.0.1:{}", scenario.port());
        assert!(none.err.contains(&configured), "{}", none.err);
        scenario.finish();
    }
}

#[test]
fn receivers_tell_what_they_saw_and_what_is_wrong() {
    let mut scenario = Scenario::new(ATTESTRY);
    let config = "
receivers:
  office: {syslog: {listen: 'udp://127.0.0.1:0'}}
  hub: {nats: {url: 'nats://127.0.0.1:1', stream: S, durable: d}}
";
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let receiver = |name: &str| -> Value {
        let told = scenario.attestry(&["spool", "list", "--json"]).is(0).out;
        let told: Value = serde_json::from_str(&told).unwrap();
        told["receivers"].as_array().unwrap().iter().find(|of| of["name"] == name).unwrap().clone()
    };
    let at = receiver("office")["address"].as_str().unwrap().replace("udp://", "");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..3 {
        socket.send_to(format!("<13>1 - - - - - - number {number}").as_bytes(), &at).unwrap();
    }
    wait_for("the datagrams are kept", SOON, || (receiver("office")["kept"] == 3).then_some(()));
    let office = receiver("office");
    assert_eq!((&office["messages"], &office["dropped"], office.get("why")), (&3.into(), &0.into(), None));
    wait_for("the broker is missed", SOON, || receiver("hub").get("why").cloned());
    scenario.attestry(&["spool", "list"]).is(0).says("cannot fetch from the broker: ");

    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let metrics = reader.get("/metrics", &[]).is(200).text();
    for line in [
        "attestry_receiver_messages_total{receiver=\"office\"} 3\n",
        "attestry_receiver_dropped_total{receiver=\"office\"} 0\n",
        "attestry_receiver_failing{receiver=\"office\"} 0\n",
        "attestry_receiver_failing{receiver=\"hub\"} 1\n",
    ] {
        assert!(metrics.contains(line), "no {line:?} in\n{metrics}");
    }
    assert!(!metrics.contains("attestry_receiver_dropped_total{receiver=\"hub\"}"), "{metrics}");
    let flow = reader.get("/api/v1/flow", &[]).is(200).json();
    assert!(flow["receivers"][0]["why"].is_string() && flow["receivers"][1]["messages"] == 3, "{flow}");
    scenario.finish();
}

/// Has the server read its configuration again; gives what it started and stopped.
#[track_caller]
fn reload(scenario: &Scenario, config: &str) -> Value {
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    let mut stream = UnixStream::connect(scenario.data().join("control.sock")).unwrap();
    writeln!(stream, r#"{{"do":"reload"}}"#).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn sources_and_the_log_follow_a_new_configuration() {
    let mut scenario = Scenario::new(ATTESTRY);
    let often = "sources: {often: {host: {every: 1s}}}\n";
    std::fs::write(scenario.dir().join("attestry.yaml"), format!("{often}log: {{level: error}}\n")).unwrap();
    scenario.start();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let comes = |query: &str| wait_for(query, SOON, || (reader.count(query) > 0).then_some(()));
    comes("event_source:often _ledger:audit");
    assert!(!scenario.log().contains("INFO"), "{}", scenario.log());

    let changed = often.replace("1s}", "1s}, ledger: logs");
    assert_eq!(reload(&scenario, &changed), json!({"started": ["often"], "stopped": ["often"]}));
    comes("event_source:often _ledger:logs");
    assert!(scenario.log().contains("INFO"), "the level of the log is info by now: {}", scenario.log());
    assert_eq!(reload(&scenario, &changed), json!({"started": [], "stopped": []}));

    // What everything stands on waits for the next start, and that is said.
    let ground = format!("{changed}ledgers: {{more: {{}}}}\nlog: {{format: json}}\n");
    assert_eq!(reload(&scenario, &ground), json!({"started": [], "stopped": []}));
    let query = "event_name:config.reload event_data.at_next_start:ledgers";
    comes(query);
    let told = reader.search(query);
    assert_eq!(told[0]["event"]["event_data"]["at_next_start"], json!(["ledgers", "log.format"]));

    assert_eq!(reload(&scenario, ""), json!({"started": [], "stopped": ["often"]}));
    let sources = reader.get("/api/v1/sources", &[]).is(200).text();
    assert!(!sources.contains("often"), "{sources}");
    let stopped = reader.count("event_source:often");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(reader.count("event_source:often"), stopped);
    // For five seconds a stop waits for whoever has not let go of a ledger.
    let took = scenario.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    scenario.finish();
}
