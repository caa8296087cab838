//! Messages that tell Attestry to do something: from a folder and a queue, believed once, by whom they may come; all others refused and recorded.

use std::io::Write as _;
use std::time::Duration;

use attestry_testkit::{GnuPg, MariaDb, NatsServer, Scenario, wait_for};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};

use crate::ATTESTRY;

const SOON: Duration = Duration::from_secs(90);

/// What was received, the newest first.
fn received(scenario: &Scenario) -> Vec<Value> {
    let out = scenario.attestry(&["messages", "--received", "--json"]).is(0).out;
    out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

/// What came of the message that `send` sends.
#[track_caller]
fn answer(scenario: &Scenario, send: impl FnOnce()) -> Value {
    // By the time of the signature, so the newest is not the first.
    let before = received(scenario);
    send();
    let mut new = wait_for("the message is recorded", SOON, || {
        let new = received(scenario).into_iter().filter(|event| !before.contains(event)).collect::<Vec<_>>();
        (!new.is_empty()).then_some(new)
    });
    assert_eq!(new.len(), 1, "{new:?}");
    new.remove(0)
}

fn drop_in(scenario: &Scenario, text: &str) {
    let folder = scenario.dir().join("inbox");
    std::fs::write(folder.join(".message"), text).unwrap();
    std::fs::rename(folder.join(".message"), folder.join("message.asc")).unwrap();
}

/// A message of a kilobyte that unpacks to so many session keys (RFC 4880, sections 5.1 and 5.6), for each of which gpg says a line.
fn packed_session_keys(count: usize) -> String {
    let key = [&[0xc1, 13, 3][..], &[0x11; 8], &[1, 0, 1, 1]].concat();
    let mut packed = DeflateEncoder::new(vec![1], Compression::best());
    packed.write_all(&key.repeat(count)).unwrap();
    let packed = packed.finish().unwrap();
    let length = u32::try_from(packed.len()).unwrap().to_be_bytes();
    let message = BASE64_STANDARD.encode([&[0xc8, 0xff][..], &length, &packed].concat());
    format!("-----BEGIN PGP MESSAGE-----\n\n{message}\n-----END PGP MESSAGE-----\n")
}

/// The pending violations under a rule, or all of them.
fn pending(scenario: &Scenario) -> Vec<Value> {
    let out = scenario.attestry(&["db", "violations", "--json"]).is(0).out;
    serde_json::from_str::<Value>(&out).unwrap().as_array().unwrap().clone()
}

#[test]
fn only_what_a_listed_key_signed_just_now_is_done_and_once() {
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(40)); INSERT INTO accounts VALUES (1, 'Ada'), (2, 'Ben'), (3, 'Cleo')");
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    let nats = NatsServer::started();
    nats.create_stream("control");
    let (us, boss, other) = (GnuPg::new(), GnuPg::new(), GnuPg::new());
    let long_ago = "--faked-system-time=20260101T000000";
    let key = boss.key_with("Boss <boss@example.org>", "", &[long_ago], "never");
    let stranger = other.key("Boss <boss@example.org>");
    us.import(&boss, &key);
    us.import(&other, &stranger);
    us.trust(&stranger, 6);
    let mut scenario = Scenario::new(ATTESTRY);
    std::fs::create_dir(scenario.dir().join("inbox")).unwrap();
    let config = format!(
        "openpgp: {{home: {home}}}\ncontrol:\n  signers: ['{key}']\n  folder: {inbox}\n  queues:\n    boss: {{nats: {{url: '{nats}', stream: control, durable: attestry}}}}\naudit:\n  bank: {{url: {url}}}\n",
        home = us.home().display(),
        inbox = scenario.dir().join("inbox").display(),
        nats = nats.url(),
        url = server.url(),
    );
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.attestry(&["check"]).is(1).says("the trust level of the key").says("--import-ownertrust");
    scenario.start();
    wait_for("the table is watched", SOON, || {
        let status: Value =
            serde_json::from_str(&scenario.attestry(&["db", "status", "--json"]).is(0).out).unwrap();
        (status[0]["tables"][0]["rows"] == 3 && status[0]["state"] == "following").then_some(())
    });
    server.query(
        "UPDATE accounts SET owner = 'Eve' WHERE id = 1; UPDATE accounts SET owner = 'Eve' WHERE id = 2",
    );
    let found =
        wait_for("both are violations", SOON, || Some(pending(&scenario)).filter(|all| all.len() == 2));
    let fingerprints: Vec<&str> = found.iter().map(|one| one["fingerprint"].as_str().unwrap()).collect();
    let sign_off = format!("SIGNOFF|{}|ticket 4711\n", fingerprints[0]);

    // The trouble of Watchy's users, and what mends it.
    let refused = answer(&scenario, || drop_in(&scenario, &boss.clear_sign(&[&key], &[], &sign_off)));
    let why = refused["event_data"]["why"].as_str().unwrap();
    assert!(
        why.contains("the trust level is too low: gpg trusts this key as undefined, expected ultimate"),
        "{why}"
    );
    assert_eq!(refused["event_data"]["signer"], key.as_str());
    let remedy = why.split_once("and: ").unwrap().1;
    assert!(std::process::Command::new("sh").arg("-c").arg(remedy).status().unwrap().success());
    scenario.attestry(&["check"]).is(0);

    for (text, says) in [
        (sign_off.clone(), "no OpenPGP data"),
        (other.clear_sign(&[&stranger], &[], &sign_off), "none of the keys that may"),
        (boss.clear_sign(&[&key], &["--faked-system-time=20260301T000000"], &sign_off), "control.fresh_for"),
        (boss.clear_sign(&[&key], &["--faked-system-time=20990301T000000"], &sign_off), "in the future"),
        (boss.clear_sign(&[&key], &[], &sign_off).replace("4711", "4712"), "does not fit the text"),
        (boss.clear_sign(&[&key], &[], "EVAL|1 + 1\n"), "expected SIGNOFF|"),
        ("x".repeat(300_000), "expected at most 262144"),
        (packed_session_keys(30_000), "far more packets than a message"),
    ] {
        let refused = answer(&scenario, || drop_in(&scenario, &text));
        assert_eq!(refused["event_name"], "control.refused", "{refused}");
        assert!(refused["event_data"]["why"].as_str().unwrap().contains(says), "{says}: {refused}");
    }
    assert_eq!(pending(&scenario).len(), 2);

    let message = boss.clear_sign(&[&key], &[], &sign_off);
    let accepted =
        answer(&scenario, || drop_in(&scenario, &format!("Dear Attestry,\n\n{message}\nSIGNOFF|ffff\n")));
    assert_eq!(
        (&accepted["event_name"], &accepted["outcome"]),
        (&"control.accepted".into(), &"success".into()),
        "{accepted}"
    );
    assert_eq!(accepted["username"], key.as_str());
    assert_eq!(pending(&scenario).len(), 1);
    let signed = scenario.attestry(&["search", "event_name:violation.sign_off", "--json"]).is(0).out;
    let signed = &serde_json::from_str::<Value>(&signed).unwrap()["event"];
    assert_eq!(
        (&signed["username"], &signed["event_data"]["reason"]),
        (&format!("openpgp:{key}").into(), &"ticket 4711".into())
    );

    // Never twice: neither now nor after a start, nor by another way.
    let replayed = answer(&scenario, || drop_in(&scenario, &message));
    assert!(replayed["event_data"]["why"].as_str().unwrap().contains("it came before"), "{replayed}");
    scenario.kill();
    scenario.start();
    let replayed = answer(&scenario, || nats.put("control", message.as_bytes()));
    assert!(replayed["event_data"]["why"].as_str().unwrap().contains("it came before"), "{replayed}");

    // What cannot be done is recorded as that, and from the queue, too, something is done.
    let unknown = boss.clear_sign(&[&key], &[], "SIGNOFF|abcdef\n");
    let undone = answer(&scenario, || nats.put("control", unknown.as_bytes()));
    assert_eq!(
        (&undone["event_name"], &undone["outcome"]),
        (&"control.accepted".into(), &"failure".into()),
        "{undone}"
    );
    let schema = boss.clear_sign(&[&key], &[], &format!("SCHEMA|{}\n", fingerprints[1]));
    let undone = answer(&scenario, || nats.put("control", schema.as_bytes()));
    assert!(undone["event_data"]["result"].as_str().unwrap().contains("no change of a schema"), "{undone}");
    let text = json!({"command": "signoff", "fingerprints": [fingerprints[1]]}).to_string();
    let signed = boss.clear_sign(&[&key], &[], &text);
    let done = answer(&scenario, || nats.put("control", signed.as_bytes()));
    assert_eq!(
        (&done["outcome"], &done["event_data"]["source"]),
        (&"success".into(), &"queue boss".into()),
        "{done}"
    );
    assert_eq!(pending(&scenario), [Value::Null; 0]);

    // A change of the columns is accepted by its own word alone.
    server.query("ALTER TABLE accounts ADD COLUMN note INT");
    let found = wait_for("the change of the schema", SOON, || pending(&scenario).first().cloned());
    assert_eq!(found["rule"], "schema", "{found}");
    let fingerprint = found["fingerprint"].as_str().unwrap();
    let wrong = boss.clear_sign(&[&key], &[], &format!("SIGNOFF|{fingerprint}\n"));
    let undone = answer(&scenario, || drop_in(&scenario, &wrong));
    assert_eq!(undone["outcome"], "failure", "{undone}");
    let right = boss.clear_sign(&[&key], &[], &format!("SCHEMA|{fingerprint}\n"));
    assert_eq!(answer(&scenario, || drop_in(&scenario, &right))["outcome"], "success");
    assert_eq!(pending(&scenario), [Value::Null; 0]);
    let report = boss.clear_sign(&[&key], &[], "REPORT|violations\n");
    let made = answer(&scenario, || drop_in(&scenario, &report));
    assert!(made["event_data"]["result"].as_str().unwrap().starts_with("made the report "), "{made}");
    assert_eq!(scenario.attestry(&["count", "event_name:report.made"]).is(0).out.trim(), "1");
    let unknown = boss.clear_sign(&[&key], &[], "REPORT|nothing\n");
    assert_eq!(answer(&scenario, || drop_in(&scenario, &unknown))["outcome"], "failure");
    wait_for("all files are removed", SOON, || {
        (std::fs::read_dir(scenario.dir().join("inbox")).unwrap().count() == 0).then_some(())
    });
    scenario.finish();
}
