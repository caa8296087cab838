//! Filters, transforms and what explains them.

use attestry_testkit::Scenario;

use crate::ATTESTRY;

const CONFIG: &str = r#"
receivers:
  orders:
    ndjson: {listen: unix:///tmp/attestry-never-opened.sock}
    transform: |
      .username = downcase(.username)
      if .event_name == "order.noise" { abort }
    tests:
      - name: user names are lower case
        event: {event_name: order.place, username: ALICE}
        expect: {username: alice}
      - name: noise goes
        event: {event_name: order.noise, username: a}
        expect: dropped
sinks:
  siem:
    stdout: {}
    methods: {include: [order.all], exclude: [order.view]}
    where: .read_only != true
  everything:
    stdout: {}
    enabled: false
"#;

fn scenario(config: &str) -> (Scenario, String) {
    let scenario = Scenario::new(ATTESTRY);
    let path = scenario.dir().join("attestry.yaml");
    std::fs::write(&path, config).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (scenario, path)
}

#[test]
fn explain_names_the_line_that_decided() {
    let (scenario, path) = scenario(CONFIG);
    for (event, said) in [
        (
            r#"{"event_name":"order.place","username":"A"}"#,
            vec![
                "included by \"order.all\"",
                "the transform changes it",
                "the condition holds",
                "attestry.yaml:22: it is switched off",
            ],
        ),
        (
            r#"{"event_name":"order.view","username":"a"}"#,
            vec!["attestry.yaml:18: excluded by \"order.view\""],
        ),
        (
            r#"{"event_name":"order.place","username":"a","read_only":true}"#,
            vec!["attestry.yaml:19: the condition does not hold"],
        ),
        (r#"{"event_name":"order.noise","username":"a"}"#, vec!["attestry.yaml:5: the transform drops it"]),
        (r#"{"event_name":"page.view","username":"a"}"#, vec!["nothing includes it"]),
    ] {
        let file = scenario.dir().join("event.json");
        std::fs::write(&file, event).unwrap();
        let ran = scenario.attestry(&["explain", file.to_str().unwrap(), "-c", &path]).is(0);
        for said in said {
            assert!(ran.out.contains(said), "{event}: no {said:?} in\n{}", ran.out);
        }
    }
    std::fs::write(scenario.dir().join("event.json"), r#"{"event_name":"a"}"#).unwrap();
    let file = scenario.dir().join("event.json");
    scenario.attestry(&["explain", file.to_str().unwrap(), "-c", &path]).is(1).says("username");
    scenario.finish_without_data();
}

#[test]
fn cases_beside_the_configuration_are_run() {
    let (scenario, path) = scenario(CONFIG);
    scenario.attestry(&["check", "--test", "-c", &path]).is(0).says("2 cases, 0 failed");
    std::fs::write(&path, CONFIG.replace("expect: {username: alice}", "expect: {username: bob}")).unwrap();
    scenario.attestry(&["check", "--test", "-c", &path]).is(1).says("bob");
    scenario.finish_without_data();
}

#[test]
fn every_mistake_of_a_filter_is_told_with_its_line() {
    let (scenario, path) = scenario(
        r#"
sinks:
  a:
    stdout: {}
    methods: {include: [], exclude: []}
  b:
    stdout: {}
    methods: {include: [package.instal]}
  c:
    stdout: {}
    where: .read_only
    transform: |
      .username = downcase(.username)
      .message = nonsense(.message)
  d: {}
  e:
    stdout: {}
    webhook: {url: "https://hooks.example.org/x"}
"#,
    );
    let ran = scenario.attestry(&["check", "-c", &path]).is(1);
    for said in [
        "attestry.yaml:5: methods: include and exclude are both empty",
        "attestry.yaml:8: methods: there is no event \"package.instal\", the nearest is \"package.install\"",
        "attestry.yaml:14: transform:",
        "attestry.yaml:15: it has no protocol",
        "attestry.yaml:16: it has webhook and stdout, expected one protocol",
    ] {
        assert!(ran.err.contains(said), "no {said:?} in\n{}", ran.err);
    }
    scenario.finish_without_data();
}
