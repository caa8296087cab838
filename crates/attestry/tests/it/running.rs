//! What commands find out from a program that runs: where it is reached, and how its receivers are doing.

use std::net::UdpSocket;

use attestry_testkit::{Running, Scenario, wait_for};
use serde_json::Value;

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
