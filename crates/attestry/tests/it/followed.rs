//! Log files that are followed, and parsers for their lines.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use attestry_testkit::{Scenario, wait_for};

use crate::ATTESTRY;

const SOON: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
sources:
  web:
    follow: {paths: ["DIR/web/*.log"]}
    parser: nginx
    transform: |
      if .event_data.path == "/health" { abort }
    tests:
      - name: health checks go
        event: {event_name: log.line, username: "-", message: '10.0.0.1 - - [21/Nov/2026:03:00:00 +0000] "GET /health HTTP/1.1" 200 2 "-" "-"'}
        expect: dropped
      - name: the rest stays
        event: {event_name: log.line, username: "-", message: '10.0.0.1 - bob [21/Nov/2026:03:00:00 +0000] "GET /x HTTP/1.1" 404 2'}
        expect: {event_name: http.request, username: bob, outcome: failure, event_data: {status: 404}}
receivers:
  lines:
    ndjson: {listen: "unix://DIR/lines.sock"}
    parser: json
"#;

fn scenario(config: &str) -> Scenario {
    let scenario = Scenario::new(ATTESTRY);
    fs::create_dir(scenario.dir().join("web")).unwrap();
    let config = config.replace("DIR", scenario.dir().to_str().unwrap());
    fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario
}

fn request(path: &str, number: usize) -> String {
    format!(
        "10.0.0.7 - alice [21/Nov/2026:03:00:00 +0000] \"GET {path}?n={number} HTTP/1.1\" 200 2 \"-\" \"curl\"\n"
    )
}

#[test]
fn lines_of_a_web_server_become_requests_through_rotation_and_restart() {
    let mut scenario = scenario(CONFIG);
    let log = scenario.dir().join("web/access.log");
    let write = |lines: &[String]| {
        let mut file = File::options().create(true).append(true).open(&log).unwrap();
        lines.iter().for_each(|line| file.write_all(line.as_bytes()).unwrap());
    };
    let requests = |from: usize, to: usize| (from..to).map(|n| request("/cart", n)).collect::<Vec<_>>();
    // What was there before the first start.
    write(&requests(0, 100));
    scenario.start();
    let client = scenario.client(&scenario.key(&["reader", "--read"]));
    let all = "event_name:http.request username:alice event_data.path:\"/cart\"";
    let reach = |count: u64| wait_for("the requests", SOON, || (client.count(all) == count).then_some(()));
    reach(100);
    write(&requests(100, 200));
    write(&[request("/health", 0), "no request at all\n".to_owned()]);
    fs::rename(&log, log.with_extension("log.1")).unwrap();
    write(&requests(200, 300));
    reach(300);
    assert_eq!(client.count("event_name:log.line event_data.unparsed:true \"no request at all\""), 1);
    assert_eq!(client.count("\"GET /health\""), 0);
    scenario.kill();
    write(&requests(300, 350));
    fs::rename(&log, log.with_extension("log.0")).unwrap();
    write(&requests(350, 400));
    scenario.start();
    reach(400);
    scenario.finish();
}

#[test]
fn what_a_parser_does_is_shown() {
    let scenario = scenario(CONFIG);
    scenario.attestry(&["check", "--test"]).is(0).says("2 cases, 0 failed");
    let event = scenario.dir().join("event.json");
    for (message, said) in [
        ("10.0.0.7 - - [21/Nov/2026:03:00:00 +0000] 'GET'", "attestry.yaml:5: the parser cannot read it"),
        (request("/a", 1).trim_end(), "attestry.yaml:5: the parser makes http.request of it"),
        (request("/health", 1).trim_end(), "attestry.yaml:6: the transform drops it"),
    ] {
        let text = serde_json::json!({ "event_name": "log.line", "username": "-", "message": message });
        fs::write(&event, text.to_string()).unwrap();
        let ran = scenario.attestry(&["explain", event.to_str().unwrap()]).is(0);
        assert!(ran.out.contains(said), "no {said:?} in\n{}", ran.out);
    }
    let config = scenario.dir().join("attestry.yaml");
    let wrong = fs::read_to_string(&config)
        .unwrap()
        .replace("parser: nginx", "parser: ngnix")
        .replace("parser: json", "parser: json\n    input: json");
    fs::write(&config, wrong).unwrap();
    let ran = scenario.attestry(&["check"]).is(1);
    for said in [
        "attestry.yaml:5: parser: there is no parser \"ngnix\", there are apache, auditd, json",
        "attestry.yaml:18: parser: it reads events, and `input` is json",
    ] {
        assert!(ran.err.contains(said), "no {said:?} in\n{}", ran.err);
    }
    scenario.finish_without_data();
}
