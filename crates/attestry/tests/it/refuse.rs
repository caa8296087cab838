//! What is refused, and with which words.

use attestry_testkit::Scenario;

use crate::{ATTESTRY, event};

#[test]
fn a_data_directory_of_another_kind_is_left_alone() {
    let mut scenario = Scenario::started(ATTESTRY);
    // A second server, on another port, must not touch it.
    let second = ["run", "--listen", "127.0.0.1:1"];
    scenario.attestry(&second).is(1).says("is in use by another Attestry process");
    scenario.stop();

    let format = scenario.data().join("FORMAT");
    let good = std::fs::read(&format).unwrap();
    std::fs::write(&format, "attestry-data 2\n").unwrap();
    let newer =
        "\"attestry-data 2\": this version of Attestry reads the format \"attestry-data 1\" and no newer one";
    scenario.attestry(&["run"]).is(1).says(newer);
    let data = scenario.data().to_str().unwrap().to_owned();
    for ran in [scenario.attestry(&["verify", &data]), scenario.verifier(&[&data])] {
        ran.is(2).says("attestry-data 2");
    }
    scenario.script(&[&data]).is(2).says("format");
    std::fs::write(&format, good).unwrap();

    let foreign = scenario.dir().join("photographs");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("cat.jpg"), "x").unwrap();
    let ran = scenario.attestry(&["run", "--data-dir", foreign.to_str().unwrap()]).is(1);
    assert!(ran.err.contains("is not empty and not a data directory of Attestry"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1);
    scenario.attestry(&["key", "list", "--data-dir", "photographs"]).is(1).says("is no data directory");
    scenario.start();
    scenario.finish();
}

#[test]
fn every_mistake_of_a_configuration_is_told_with_its_line() {
    let scenario = Scenario::new(ATTESTRY).with("ATTESTRY_LOG_LEVL", "info");
    let text = "\
server:
  listn: 127.0.0.1:1
  trusted_proxies: [10.0.0.0/99]
ledgers:
  audit:
    retention: a while
sources:
  auth:
    ledger: nowhere
";
    std::fs::write(scenario.dir().join("attestry.yaml"), text).unwrap();
    let expected = [
        "attestry.yaml:2: ",
        "attestry.yaml:3: ",
        "attestry.yaml:6: ",
        "attestry.yaml:9: ",
        "ATTESTRY_LOG_LEVL: ",
    ];
    for command in ["check", "run"] {
        let ran = scenario.attestry(&[command]).is(1);
        for place in expected {
            assert!(ran.err.contains(place), "{place:?} is missing:\n{}", ran.err);
        }
        assert!(ran.err.contains("listen") && ran.err.contains("ATTESTRY_LOG_LEVEL"), "{}", ran.err);
    }
    std::fs::write(scenario.dir().join("good.yaml"), "ledgers:\n  audit: {retention: 365d}\n").unwrap();
    let mut check = scenario.command(&["check", "-c", "good.yaml"]);
    let ran = check.env_remove("ATTESTRY_LOG_LEVL").output().unwrap();
    assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(0), &b"The configuration is right.\n"[..]));
    scenario.finish_without_data();
}

#[test]
fn the_open_network_needs_encryption() {
    let scenario = Scenario::new(ATTESTRY);
    let open = format!("0.0.0.0:{}", scenario.port());
    scenario.attestry(&["run", "--listen", &open]).is(1).says("without encryption");
    scenario.attestry(&["run", "--listen", "[::]:7984"]).is(1).says("without encryption");
    scenario.attestry(&["run", "--listen", "somewhere"]).is(1).says("is no address");
    scenario.finish_without_data();
}

#[test]
fn a_server_does_not_go_on_over_a_forged_or_shortened_log() {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    for id in ["first", "second", "third"] {
        writer.post_json("/api/v1/events?wait=checkpoint", &event(id)).is(201);
    }
    scenario.stop();
    let journal = scenario.data().join("ledgers/audit/wal");
    let file = std::fs::read_dir(journal).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&file).unwrap();
    let at = good.windows(8).position(|found| found == b"\"second\"").unwrap();
    let mut forged = good.clone();
    forged[at + 1] = b'S';
    for (bytes, words) in [
        (&forged[..], "are lost: the journal is damaged where they were"),
        (&good[..at], "entries were removed, or an older copy was put back"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        scenario.attestry(&["run"]).is(1).says(words);
        for ran in scenario.verify(false) {
            ran.is(1);
        }
    }
    std::fs::write(&file, good).unwrap();
    scenario.start();
    scenario.finish();
}
