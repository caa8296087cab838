//! What is shown of the rows of a watch, and what a reload that fails in one part says.

use attestry_testkit::Scenario;
use serde_json::Value;

use crate::ATTESTRY;
use crate::watches::{comes, configure, databases, listed, reader, wait_until_followed, watch};

fn column<'a>(row: &'a Value, name: &str) -> &'a Value {
    row.as_array().unwrap().iter().find(|field| field["column"] == name).unwrap()
}

#[test]
fn long_values_are_shown_by_their_beginnings_and_what_is_masked_since_not_at_all() {
    let server = databases(&["bank"]);
    server.query("ALTER TABLE bank.accounts ADD pin VARCHAR(20), ADD photo MEDIUMBLOB");
    let mut scenario = Scenario::new(ATTESTRY);
    configure(&scenario, &[watch(&server, "bank", "")]);
    scenario.start();
    let reader = reader(&scenario);
    wait_until_followed(&reader, &["bank"]);
    server.query("UPDATE bank.accounts SET pin = 'swordfish', photo = REPEAT('x', 100000) WHERE id = 1");
    comes(&reader, "event_name:violation.open", 2);
    let violations = listed(&scenario.attestry(&["db", "violations", "--json"]).is(0));
    assert!(violations.iter().all(|one| one["rows_left_out"] == true && one["new"].is_null()));
    let of_pin = violations.iter().find(|one| one["field"] == "pin").unwrap();
    let fingerprint = of_pin["fingerprint"].as_str().unwrap();
    let show = || scenario.attestry(&["db", "show", fingerprint, "--json"]).is(0).out;
    let shown: Value = serde_json::from_str(&show()).unwrap();
    assert_eq!(column(&shown["violation"]["new"], "pin")["value"], "swordfish");
    let photo = column(&shown["versions"][0]["row"], "photo");
    assert_eq!(photo["whole"]["bytes"], 100_000);
    assert_eq!(photo["value"].as_str().unwrap().len(), "\\x".len() + 2 * (32 << 10));
    // `yes x | head -100000 | tr -d '\n' | sha256sum`
    assert_eq!(photo["whole"]["sha256"], "d69e68988157833272305aaf21f453c800346e8a3640db6578e260215542e5d4");

    let table = scenario.attestry(&["db", "show", fingerprint]).is(0).says("… (100000 bytes, SHA-256 ").out;
    assert!(table.len() < 10_000, "{table}");

    configure(&scenario, &[watch(&server, "bank", "    tables: {accounts: {mask: [pin]}}\n")]);
    scenario.hang_up();
    comes(&reader, "event_name:config.reload", 1);
    wait_until_followed(&reader, &["bank"]);
    let masked = show();
    assert!(!masked.contains("swordfish"), "{masked}");
    let shown: Value = serde_json::from_str(&masked).unwrap();
    assert_eq!(column(&shown["violation"]["new"], "pin")["masked"], true);
    assert_eq!(column(&shown["violation"]["old"], "pin")["masked"], Value::Null);
    let all = scenario.attestry(&["db", "violations", "--json"]).is(0).out;
    assert!(!all.contains("swordfish"), "{all}");
    scenario.finish();
}

#[test]
fn a_reload_that_fails_in_one_part_is_on_record_with_what_it_did() {
    let server = databases(&["bank", "depot"]);
    let mut scenario = Scenario::new(ATTESTRY);
    configure(&scenario, &[watch(&server, "bank", "")]);
    scenario.start();
    let reader = reader(&scenario);
    wait_until_followed(&reader, &["bank"]);
    let rules = "    tables: {accounts: {allow: all_updates}}\n";
    let depot = watch(&server, "depot", "    ledger: payroll\n");
    configure(&scenario, &[watch(&server, "bank", rules), depot, "ledgers: {payroll: {}}\n".to_owned()]);
    scenario.hang_up();
    comes(&reader, "event_name:config.reload outcome:failure", 1);
    let event = &reader.search("event_name:config.reload")[0]["event"];
    let data = &event["event_data"];
    assert_eq!(data["started"], serde_json::json!(["bank"]));
    let failed = data["failed"][0].as_str().unwrap();
    assert!(failed.contains("the watch depot stays as it is: its ledger payroll"), "{event}");
    // The new rule is in force.
    wait_until_followed(&reader, &["bank"]);
    server.query("UPDATE bank.accounts SET balance = 11");
    comes(&reader, "event_name:row.update", 1);
    assert_eq!(reader.count("event_name:violation.open"), 0);
    scenario.finish();
}
