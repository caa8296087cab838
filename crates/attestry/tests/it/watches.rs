//! Several watches at once, by the real program: the copy of one that cannot be read, one that a server refuses to show, and a new configuration.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use attestry_testkit::{Client, MariaDb, Postgres, Ran, Scenario, wait_for};
use serde_json::{Value, json};

use crate::ATTESTRY;

/// A refused schema is tried again after a minute, on a machine that does other things.
const SOON: Duration = Duration::from_secs(120);

/// A server with databases of one table that has one row, each with a user of its name.
pub(crate) fn databases(names: &[&str]) -> MariaDb {
    let server = MariaDb::started_with_log(&[]);
    for name in names {
        server.query(&format!(
            "CREATE DATABASE {name}; CREATE USER {name}@'127.0.0.1'; GRANT ALL ON {name}.* TO {name}@'127.0.0.1';
             GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {name}@'127.0.0.1';
             CREATE TABLE {name}.accounts (id INT PRIMARY KEY, balance INT NOT NULL);
             INSERT INTO {name}.accounts VALUES (1, 10)"
        ));
    }
    server
}

/// A watch of a database with further items.
pub(crate) fn watch(server: &MariaDb, name: &str, more: &str) -> String {
    let url = server.url_for(name).replace("/test", &format!("/{name}"));
    format!("  {name}:\n    url: {url}\n    reconcile: {{every: 1s}}\n{more}")
}

pub(crate) fn configure(scenario: &Scenario, watches: &[String]) {
    std::fs::write(scenario.dir().join("attestry.yaml"), format!("audit:\n{}", watches.concat())).unwrap();
}

/// Somebody who reads: commands would refuse to work with a configuration that is wrong.
pub(crate) fn reader(scenario: &Scenario) -> Client {
    scenario.client(&scenario.key(&["reader", "--read"]))
}

fn status(reader: &Client) -> Vec<Value> {
    let answer = reader.get("/api/v1/databases", &[]).is(200).json();
    answer["watches"].as_array().unwrap().clone()
}

#[track_caller]
pub(crate) fn wait_until_followed(reader: &Client, names: &[&str]) {
    wait_for("all are followed", SOON, || {
        let watches = status(reader);
        let well = watches
            .iter()
            .filter(|watch| watch["state"] == "following" && watch["tables"][0]["state"] == "watched");
        let well: Vec<&str> = well.map(|watch| watch["name"].as_str().unwrap()).collect();
        (well == names && watches.len() == names.len()).then_some(())
    });
}

pub(crate) fn listed(ran: &Ran) -> Vec<Value> {
    serde_json::from_str(&ran.out).unwrap()
}

#[track_caller]
pub(crate) fn comes(reader: &Client, query: &str, expected: u64) {
    wait_for(query, SOON, || (reader.count(query) == expected).then_some(()));
}

#[test]
fn a_damaged_copy_hides_nothing_of_the_others() {
    let server = databases(&["bank", "shop"]);
    let mut scenario = Scenario::new(ATTESTRY);
    configure(&scenario, &[watch(&server, "bank", ""), watch(&server, "shop", "")]);
    scenario.start();
    let reader = reader(&scenario);
    wait_until_followed(&reader, &["bank", "shop"]);
    server.query("UPDATE bank.accounts SET balance = 11; UPDATE shop.accounts SET balance = 12");
    let both = wait_for("both are violations", SOON, || {
        let both = listed(&scenario.attestry(&["db", "violations", "--json"]).is(0));
        (both.len() == 2).then_some(both)
    });
    let of = |watch: &str| {
        let found = both.iter().find(|violation| violation["watch"] == watch).unwrap();
        found["fingerprint"].as_str().unwrap().to_owned()
    };
    let (bank, shop) = (of("bank"), of("shop"));
    scenario.stop();

    let copy = scenario.data().join("databases/shop.sqlite");
    let whole = std::fs::read(&copy).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[0xa5; 4_096]).unwrap();
    drop(file);
    scenario.start();

    let lacks_shop = |ran: &Ran| {
        let told = ran.err.contains("without the violations of shop") && ran.err.contains("not a database");
        assert!(told, "{}", ran.err);
    };
    let some = scenario.attestry(&["db", "violations", "--json"]).is(1);
    lacks_shop(&some);
    assert_eq!(listed(&some).len(), 1);
    assert_eq!(listed(&some)[0]["watch"], "bank");
    assert_eq!(listed(&scenario.attestry(&["db", "violations", "--watch", "bank", "--json"]).is(0)).len(), 1);
    let none = scenario.attestry(&["db", "violations", "--watch", "shop", "--json"]).is(1);
    lacks_shop(&none);
    assert_eq!(listed(&none).len(), 0);
    let answer = reader.get("/api/v1/violations", &[]).is(200).json();
    assert_eq!((&answer["unreadable"][0]["watch"], &answer["more"]), (&json!("shop"), &json!(false)));

    // What can be read whole is shown whole; what may be in the copy that cannot be read is not said to be nowhere.
    scenario.attestry(&["db", "show", &bank]).is(0).says("balance");
    lacks_shop(&scenario.attestry(&["db", "show", &shop]).is(1));
    lacks_shop(&scenario.attestry(&["db", "show", &bank[..8]]).is(1).says("balance"));
    let by = |what: &[&str]| scenario.attestry(&[&["db", "sign-off", "--reason", "looked"], what].concat());
    by(&[&shop]).is(1).says("not a database");
    // Of a part nobody knows whether it is another one's, too.
    by(&[&bank[..8]]).is(1).says("not a database");
    lacks_shop(&by(&["--table", "accounts"]).is(1).says("1 pending violations fit"));
    lacks_shop(&by(&["--table", "accounts", "--yes"]).is(1).says("Signed off: 1."));
    assert_eq!(reader.count("event_name:violation.sign_off"), 1);

    std::fs::write(&copy, whole).unwrap();
    wait_until_followed(&reader, &["bank", "shop"]);
    let left = listed(&scenario.attestry(&["db", "violations", "--json"]).is(0));
    assert_eq!((left.len(), &left[0]["fingerprint"]), (1, &json!(shop)));
    scenario.finish();
}

#[test]
fn a_schema_that_the_server_refuses_is_told_once() {
    let server = databases(&["bank"]);
    server.query("CREATE DATABASE audit; GRANT ALL ON audit.* TO bank@'127.0.0.1'");
    let mut scenario = Scenario::new(ATTESTRY);
    configure(&scenario, &[watch(&server, "bank", "    copy: {schema: audit}\n")]);
    scenario.start();
    let reader = reader(&scenario);
    let becomes = |state: &str| {
        wait_for(state, SOON, || {
            let projection = status(&reader)[0]["projection"].clone();
            (projection["state"] == state).then_some(projection)
        })
    };
    assert_eq!(becomes("following"), json!({"schema": "audit", "state": "following"}));

    server.query("REVOKE INSERT ON audit.* FROM bank@'127.0.0.1'");
    server.query("UPDATE bank.accounts SET balance = 11");
    let refused = becomes("refused");
    assert!(refused["why"].as_str().unwrap().contains("denied"), "{refused}");
    scenario.attestry(&["db", "status"]).is(0).says("copy in the schema audit: refused: ");
    comes(&reader, "event_name:projection.refuse event_source:bank event_data.schema:audit", 1);

    // It goes on being refused, which is no news.
    scenario.kill();
    scenario.start();
    becomes("refused");
    server.query("GRANT INSERT ON audit.* TO bank@'127.0.0.1'");
    assert_eq!(becomes("following"), json!({"schema": "audit", "state": "following"}));
    comes(&reader, "event_name:projection.resume event_source:bank event_data.refused_at:*", 1);
    assert_eq!(reader.count("event_name:projection.refuse"), 1);
    assert_eq!(server.query("SELECT balance FROM audit.accounts"), "11");
    scenario.finish();
}

#[test]
fn two_watches_of_one_database_tell_it_each_in_its_own_words() {
    let server = databases(&["bank"]);
    let mut scenario = Scenario::new(ATTESTRY);
    let bank = watch(&server, "bank", "");
    let auditors = bank.replace("  bank:", "  auditors:");
    configure(&scenario, &[auditors, bank]);
    scenario.start();
    let reader = reader(&scenario);
    wait_until_followed(&reader, &["auditors", "bank"]);
    server.query("UPDATE bank.accounts SET balance = 11 /* user=mallory */");
    comes(&reader, "event_name:violation.open", 2);
    for name in ["auditors", "bank"] {
        comes(&reader, &format!("event_name:row.update event_source:{name}"), 1);
    }
    assert_eq!(reader.count("event_name:gap.conflict"), 0);

    // Whose change it was is said of each, and what one watch's auditor has looked at is the other's still to do.
    let found = listed(&scenario.attestry(&["db", "violations", "--json"]).is(0));
    assert_eq!(found.iter().map(|one| &one["account"]).collect::<Vec<_>>(), [&json!("mallory"); 2]);
    let of =
        |name: &str| found.iter().find(|one| one["watch"] == name).unwrap()["fingerprint"].as_str().unwrap();
    assert_ne!(of("auditors"), of("bank"));
    scenario.attestry(&["db", "sign-off", of("bank"), "--reason", "looked"]).is(0);
    let left = listed(&scenario.attestry(&["db", "violations", "--json"]).is(0));
    assert_eq!((left.len(), &left[0]["watch"]), (1, &json!("auditors")));
    scenario.finish();
}

#[test]
fn a_postgresql_that_is_taken_out_and_comes_back_has_lost_nothing() {
    let server = Postgres::started_logical(&[]);
    server.query(
        "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT); INSERT INTO accounts VALUES (1, 10)",
    );
    let mut scenario = Scenario::new(ATTESTRY);
    let bank = format!("  bank:\n    url: {}\n    reconcile: {{every: 1s}}\n", server.url());
    configure(&scenario, std::slice::from_ref(&bank));
    scenario.start();
    let reader = reader(&scenario);
    wait_until_followed(&reader, &["bank"]);
    configure(&scenario, &["  {}\n".to_owned()]);
    scenario.hang_up();
    comes(&reader, "event_name:config.reload", 1);
    // What it left on the server is said, with what removes it.
    assert!(scenario.log().contains("pg_drop_replication_slot('attestry_bank')"), "{}", scenario.log());
    assert_eq!(server.query("SELECT slot_name FROM pg_replication_slots"), "attestry_bank");
    server.query("UPDATE accounts SET balance = 11; UPDATE accounts SET balance = 12");
    configure(&scenario, std::slice::from_ref(&bank));
    scenario.hang_up();
    comes(&reader, "event_name:row.update event_source:bank", 2);
    wait_until_followed(&reader, &["bank"]);
    for query in ["event_name:gap.stream", "event_name:gap.conflict", "event_data.unexplained:true"] {
        assert_eq!(reader.count(query), 0, "{query}");
    }
    scenario.finish();
}

/// The number of the connection by which the till is followed.
fn follower(server: &MariaDb) -> String {
    server.query(
        "SELECT id FROM information_schema.processlist WHERE user = 'till' AND command LIKE 'Binlog Dump%'",
    )
}

#[test]
fn a_new_configuration_disturbs_only_what_it_changes() {
    let server = databases(&["bank", "depot", "shop", "till"]);
    let mut scenario = Scenario::new(ATTESTRY);
    let rule = |least: &str| {
        let rule = format!("if .updated.balance {least} {{ \"too much\" }}");
        watch(
            &server,
            "bank",
            &format!(
                "    start_empty: true\n    tables: {{accounts: {{fields: {{balance: {{on_update: {{small: '{rule}'}}}}}}}}}}\n"
            ),
        )
    };
    let (shop, till) = (watch(&server, "shop", ""), watch(&server, "till", ""));
    let first = [rule("> 100"), shop.clone(), till.clone()];
    configure(&scenario, &first);
    scenario.start();
    let reader = reader(&scenario);
    wait_until_followed(&reader, &["bank", "shop", "till"]);
    let undisturbed = wait_for("the till's log is followed", SOON, || {
        let follower = follower(&server);
        (!follower.is_empty()).then_some(follower)
    });
    server.query("UPDATE bank.accounts SET balance = 60");
    comes(&reader, "event_name:row.update event_source:bank", 1);

    // A wrong configuration changes nothing, whether it is wrong by itself or by the tables that are watched.
    let wrong_rule = rule("> \"100\"");
    for (nth, wrong) in
        [[wrong_rule.as_str(), till.as_str()], [till.as_str(), "  depot: {url: 'oracle://db/depot'}\n"]]
            .iter()
            .enumerate()
    {
        configure(&scenario, &wrong.map(str::to_owned));
        scenario.hang_up();
        comes(&reader, "event_name:config.refuse", nth as u64 + 1);
        wait_until_followed(&reader, &["bank", "shop", "till"]);
    }
    let refused: Vec<String> =
        reader.search("event_name:config.refuse").iter().map(|of| of["event"].to_string()).collect();
    let named = |what: &str| refused.iter().any(|refused| refused.contains(what));
    assert!(
        named("audit.bank: table bank.accounts, field balance, rule small")
            && named("expected an address that begins with"),
        "{refused:?}"
    );

    configure(&scenario, &[rule("> 50"), till.clone(), watch(&server, "depot", "")]);
    scenario.hang_up();
    comes(&reader, "event_name:config.reload", 1);
    wait_until_followed(&reader, &["bank", "depot", "till"]);
    let told = &reader.search("event_name:config.reload")[0]["event"]["event_data"];
    assert_eq!(
        (&told["started"], &told["stopped"], &told["at_next_start"]),
        (&json!(["bank", "depot"]), &json!(["bank", "shop"]), &json!([]))
    );
    // The new rule holds from here on; nothing was begun anew, and nothing of the time in between is lost.
    server.query("UPDATE bank.accounts SET balance = 70; UPDATE shop.accounts SET balance = 70");
    server.query("UPDATE depot.accounts SET balance = 70; UPDATE till.accounts SET balance = 70");
    comes(&reader, "event_name:row.update", 4);
    for (query, expected) in [
        ("event_name:violation.open event_source:bank event_data.rule:small", 1),
        ("event_name:violation.open event_source:depot event_data.rule:different", 1),
        ("event_name:row.update event_source:bank", 2),
        ("event_name:row.update event_source:shop", 0),
        ("event_name:table.baseline", 4),
        ("event_data.unexplained:true", 0),
    ] {
        comes(&reader, query, expected);
    }
    scenario.attestry(&["db", "violations", "--watch", "shop"]).is(1).says("there is no watch");

    // What was away goes on from where it was.
    configure(&scenario, &first);
    scenario.hang_up();
    comes(&reader, "event_name:config.reload", 2);
    comes(&reader, "event_name:row.update event_source:shop", 1);
    wait_until_followed(&reader, &["bank", "shop", "till"]);
    assert_eq!(reader.count("event_name:table.baseline"), 4);
    assert_eq!(reader.count("event_data.unexplained:true"), 0);
    assert_eq!(follower(&server), undisturbed);
    scenario.finish();
}
