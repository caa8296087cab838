//! Control messages over the real brokers, and what a kill at any step of one leaves behind: its effect is there once, and is recorded once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestry_testkit::{GnuPg, MariaDb, NatsServer, Scenario, free_port, wait_for};
use rusqlite::Connection;
use serde_json::Value;

use crate::ATTESTRY;
use crate::brokers::Broker;

/// How long anything may take, with seven servers on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// A bank whose accounts nobody may change, and somebody who may sign that off.
struct Bank {
    server: MariaDb,
    boss: GnuPg,
    /// The keyring that Attestry has, with a key of its own.
    us: GnuPg,
    key: String,
}

impl Bank {
    fn open() -> Bank {
        let server = MariaDb::started_with_log(&[]);
        let rows: Vec<String> = (0..50).map(|row| format!("({row}, 'Ada')")).collect();
        server.query("CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(40))");
        server.query(&format!("INSERT INTO accounts VALUES {}", rows.join(", ")));
        server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
        let (boss, us) = (GnuPg::new(), GnuPg::new());
        let key = boss.key("Boss <boss@example.org>");
        us.import(&boss, &key);
        us.trust(&key, 6);
        us.key("Attestry <attestry@example.org>");
        Bank { server, boss, us, key }
    }

    /// A scenario that watches the bank and takes messages as `control` says, with `more` in its configuration.
    fn scenario(&self, control: &str, more: &str) -> Scenario {
        let scenario = Scenario::new(ATTESTRY);
        let config = format!(
            "openpgp: {{home: {home}, program: {program}}}\ncontrol:\n  signers: ['{key}']\n{control}audit:\n  bank: {{url: {url}}}\n{more}",
            home = self.us.home().display(),
            program = file(&scenario, "gpg").display(),
            key = self.key,
            url = self.server.url(),
        );
        std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
        let script = "#!/bin/sh\n\
            if [ -e \"$0.hold\" ]; then case \"$*\" in *\"$(cat \"$0.hold\")\"*)\n\
            : > \"$0.held\"; while [ -e \"$0.hold\" ]; do sleep 0.05; done;;\nesac; fi\nexec gpg \"$@\"\n";
        let path = file(&scenario, "gpg");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        scenario
    }

    fn signed(&self, text: &str) -> String {
        self.boss.clear_sign(&[&self.key], &[], &format!("{text}\n"))
    }

    /// Breaks the rule in this row, and gives the violation's fingerprint.
    fn violation(&self, scenario: &Scenario, row: usize) -> String {
        let before = pending(scenario);
        self.server.query(&format!("UPDATE accounts SET owner = 'Eve' WHERE id = {row}"));
        wait_for("the violation", SOON, || {
            pending(scenario).into_iter().find(|fingerprint| !before.contains(fingerprint))
        })
    }
}

/// A file in the scenario's folder.
fn file(scenario: &Scenario, name: &str) -> PathBuf {
    scenario.dir().join(name)
}

/// Runs `during` while each call of gpg waits whose arguments have `argument`, and returns when one does. They wait until [`go_on`].
fn hold_gpg(scenario: &Scenario, argument: &str, during: impl FnOnce()) {
    std::fs::write(file(scenario, "gpg.new"), argument).unwrap();
    std::fs::rename(file(scenario, "gpg.new"), file(scenario, "gpg.hold")).unwrap();
    during();
    wait_for("gpg is asked", SOON, || file(scenario, "gpg.held").exists().then_some(()));
}

fn go_on(scenario: &Scenario) {
    std::fs::remove_file(file(scenario, "gpg.hold")).unwrap();
    std::fs::remove_file(file(scenario, "gpg.held")).unwrap();
}

/// What was received, as `attestry messages` tells it.
fn received(scenario: &Scenario) -> Vec<Value> {
    let out = scenario.attestry(&["messages", "--received", "-n", "1000", "--json"]).is(0).out;
    out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

/// What came of the messages that `send` sends: so many new events, and no more.
#[track_caller]
fn answers(scenario: &Scenario, count: usize, send: impl FnOnce()) -> Vec<Value> {
    let before = received(scenario);
    send();
    let new = wait_for("the messages are recorded", SOON, || {
        let new = received(scenario).into_iter().filter(|event| !before.contains(event)).collect::<Vec<_>>();
        (new.len() >= count).then_some(new)
    });
    assert_eq!(new.len(), count, "{new:#?}");
    new
}

fn count(scenario: &Scenario, query: &str) -> u64 {
    scenario.attestry(&["count", query]).is(0).out.trim().replace(',', "").parse().unwrap()
}

/// The pending violations' fingerprints, by the names of their watches.
fn pending(scenario: &Scenario) -> Vec<String> {
    let out = scenario.attestry(&["db", "violations", "--json"]).is(0).out;
    let mut found: Vec<Value> = serde_json::from_str(&out).unwrap();
    found.sort_by_key(|one| one["watch"].to_string());
    found.iter().map(|one| one["fingerprint"].as_str().unwrap().to_owned()).collect()
}

fn watched(scenario: &Scenario) {
    wait_for("the table is watched", SOON, || {
        let out = scenario.attestry(&["db", "status", "--json"]).is(0).out;
        let status: Value = serde_json::from_str(&out).unwrap();
        status.as_array().unwrap().iter().all(|watch| watch["state"] == "following").then_some(())
    });
}

/// Signed off once, and said once: in the copy, in the ledger, and as what came of the message.
#[track_caller]
fn is_done_once(scenario: &Scenario, fingerprint: &str) {
    assert!(!pending(scenario).iter().any(|pending| pending == fingerprint), "{fingerprint} is pending");
    for query in [
        format!("event_name:violation.sign_off event_data.fingerprint:{fingerprint}"),
        format!("event_name:control.accepted outcome:success event_data.fingerprints:{fingerprint}"),
    ] {
        assert_eq!(count(scenario, &query), 1, "{query}: {:#?}", received(scenario));
    }
    assert_eq!(count(scenario, "event_name:gap.conflict"), 0);
}

#[test]
fn signed_messages_by_rabbitmq_activemq_nats_and_sqs_with_moto() {
    let bank = Bank::open();
    let brokers = Broker::all(&["control"]);
    let queues: String = brokers
        .iter()
        .map(|broker| format!("    {}: {}\n", broker.name(), broker.consumer("control")))
        .collect();
    let mut scenario = bank.scenario(&format!("  queues:\n{queues}"), "");
    scenario.start();
    watched(&scenario);
    for (row, broker) in brokers.iter().enumerate() {
        let name = broker.name();
        let send = |text: &str| broker.put("control", text);
        let from =
            |event: &Value| assert_eq!(event["event_data"]["source"], format!("queue {name}"), "{event}");

        let fingerprint = bank.violation(&scenario, 10 * row);
        let message = bank.signed(&format!("SIGNOFF|{fingerprint}|ticket 4711"));
        let done = answers(&scenario, 1, || send(&message)).remove(0);
        from(&done);
        assert_eq!(done["event_name"], "control.accepted", "{name}: {done}");
        is_done_once(&scenario, &fingerprint);

        for (text, why) in [(message.as_str(), "it came before"), ("SIGNOFF|00ff00ff", "no OpenPGP data")] {
            let refused = answers(&scenario, 1, || send(text)).remove(0);
            from(&refused);
            assert_eq!(refused["event_name"], "control.refused", "{name}: {refused}");
            assert!(refused["event_data"]["why"].as_str().unwrap().contains(why), "{name}: {refused}");
        }

        // Received, and not acknowledged.
        let fingerprint = bank.violation(&scenario, 10 * row + 1);
        let message = bank.signed(&format!("SIGNOFF|{fingerprint}|ticket 4712"));
        hold_gpg(&scenario, "--decrypt", || send(&message));
        scenario.kill();
        go_on(&scenario);
        scenario.launch();
        scenario.wait_until_ready();
        wait_for("it comes again", SOON, || (!pending(&scenario).contains(&fingerprint)).then_some(()));
        wait_for("it is recorded", SOON, || {
            let query = format!("event_name:control.accepted event_data.fingerprints:{fingerprint}");
            (count(&scenario, &query) > 0).then_some(())
        });
        is_done_once(&scenario, &fingerprint);
        watched(&scenario);
    }
    // Nothing that was handled comes again. The last acknowledgement may be on its way: a stop waits for it.
    scenario.stop();
    for broker in &brokers {
        assert_eq!(broker.unacknowledged("control"), 0, "{}", broker.name());
    }
    scenario.start();
    let all = received(&scenario);
    let accepted = all.iter().filter(|event| event["event_name"] == "control.accepted").count();
    assert_eq!((accepted, all.len()), (2 * brokers.len(), 4 * brokers.len()), "{all:#?}");
    scenario.finish();
}

fn drop_in(scenario: &Scenario, text: &str) {
    let folder = scenario.dir().join("inbox");
    std::fs::write(folder.join(".message"), text).unwrap();
    std::fs::rename(folder.join(".message"), folder.join("message.asc")).unwrap();
}

/// The copy of a watched database, as another process opens it.
fn copy(scenario: &Scenario, watch: &str) -> Connection {
    let connection = Connection::open(scenario.data().join(format!("databases/{watch}.sqlite"))).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// The file that says what came before.
fn seen(scenario: &Scenario) -> String {
    std::fs::read_to_string(scenario.data().join("control-messages.json")).unwrap_or_default()
}

#[test]
fn a_sign_off_that_is_cut_off_at_any_step_is_done_once_and_recorded_once() {
    let bank = Bank::open();
    let mut scenario = bank.scenario("  folder: inbox\n", "");
    std::fs::create_dir(scenario.dir().join("inbox")).unwrap();
    scenario.start();
    watched(&scenario);
    let unfinished = scenario.data().join("control-messages.unfinished");
    let recorded = |scenario: &Scenario, fingerprint: &str| {
        let query = format!("event_name:control.accepted event_data.fingerprints:{fingerprint}");
        count(scenario, &query)
    };
    let comes_again = |scenario: &mut Scenario, fingerprint: &str, step: &str| {
        scenario.start();
        wait_for(step, SOON, || {
            let done = std::fs::read_dir(scenario.dir().join("inbox")).unwrap().count() == 0;
            (done && recorded(scenario, fingerprint) > 0).then_some(())
        });
        is_done_once(scenario, fingerprint);
        watched(scenario);
    };

    // Done and in the ledger, and nobody has said that a message was the cause: the copy cannot note that the event is out.
    let fingerprint = bank.violation(&scenario, 1);
    copy(&scenario, "bank")
        .execute_batch(
            "CREATE TRIGGER stuck BEFORE UPDATE OF told ON violation WHEN NEW.told = 1 BEGIN SELECT RAISE(ABORT, 'stuck'); END",
        )
        .unwrap();
    drop_in(&scenario, &bank.signed(&format!("SIGNOFF|{fingerprint}")));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("the deed", SOON, || {
        let query = format!("event_name:violation.sign_off event_data.fingerprint:{fingerprint}");
        (reader.count(&query) > 0).then_some(())
    });
    scenario.kill();
    copy(&scenario, "bank").execute_batch("DROP TRIGGER stuck").unwrap();
    assert!(seen(&scenario).contains("begun"));
    comes_again(&mut scenario, &fingerprint, "after the deed");

    // Done and recorded, and not remembered as done, so not acknowledged either.
    let fingerprint = bank.violation(&scenario, 2);
    let message = bank.signed(&format!("SIGNOFF|{fingerprint}"));
    let held = copy(&scenario, "bank");
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop_in(&scenario, &message);
    wait_for("it is begun", SOON, || seen(&scenario).contains("begun").then_some(()));
    std::fs::create_dir(&unfinished).unwrap();
    held.execute_batch("ROLLBACK").unwrap();
    wait_for("it is recorded", SOON, || (recorded(&scenario, &fingerprint) > 0).then_some(()));
    scenario.kill();
    std::fs::remove_dir(&unfinished).unwrap();
    assert!(seen(&scenario).contains("begun"));
    comes_again(&mut scenario, &fingerprint, "after the record");
    let replayed = answers(&scenario, 1, || drop_in(&scenario, &message)).remove(0);
    assert_eq!(replayed["event_data"]["why"], "it came before", "{replayed}");
    scenario.finish();
}

#[test]
fn what_cannot_be_done_now_holds_up_no_other_way_in_and_is_refused_in_the_end() {
    let bank = Bank::open();
    let nats = NatsServer::started();
    nats.create_stream("control");
    let control = format!(
        "  folder: inbox\n  queues:\n    boss: {{nats: {{url: '{}', stream: control, durable: attestry}}}}\n",
        nats.url()
    );
    let more = format!("  shop: {{url: 'mysql://test@127.0.0.1:{}/test'}}\n", free_port());
    let mut scenario = bank.scenario(&control, &more);
    std::fs::create_dir(scenario.dir().join("inbox")).unwrap();
    scenario.start();
    // It may be in there.
    let shop = scenario.data().join("databases/shop.sqlite");
    wait_for("the copy", SOON, || std::fs::remove_file(&shop).ok());
    std::fs::create_dir(&shop).unwrap();
    let message = bank.signed("SIGNOFF|00ff00ff");
    drop_in(&scenario, &message);
    wait_for("it is begun", SOON, || seen(&scenario).contains("begun").then_some(()));
    nats.put("control", bank.signed("REPORT|violations").as_bytes());
    drop_in(&scenario, &bank.signed("REPORT|access"));
    let answered = wait_for("all are recorded", SOON, || {
        let all = received(&scenario);
        (all.len() == 3).then_some(all)
    });
    let received_at = |name: &str, source: &str| {
        let of = |event: &&Value| {
            event["event_name"] == name && event["event_data"]["source"].as_str().unwrap().starts_with(source)
        };
        let found = answered.iter().find(of).unwrap_or_else(|| panic!("{name} {source}: {answered:#?}"));
        found["received_at"].as_str().unwrap().to_owned()
    };
    let refused = received_at("control.refused", "folder");
    assert!(received_at("control.accepted", "queue") < refused, "{answered:#?}");
    assert!(refused < received_at("control.accepted", "folder"), "{answered:#?}");
    let refused = answered.iter().find(|event| event["event_name"] == "control.refused").unwrap();
    let why = refused["event_data"]["why"].as_str().unwrap();
    assert!(
        why.starts_with("it could not be done within 30 s: there is no violation \"00ff00ff\", and the copy of shop cannot be read"),
        "{why}"
    );
    assert_eq!(refused["event_data"]["signer"], bank.key.as_str());

    // That is its answer, also for whoever sends it again when the copy can be read.
    scenario.kill();
    std::fs::remove_dir(&shop).unwrap();
    scenario.start();
    let replayed = answers(&scenario, 1, || drop_in(&scenario, &message)).remove(0);
    assert_eq!(replayed["event_data"]["why"], "it came before", "{replayed}");
    scenario.finish();
}

#[test]
fn a_sign_off_of_two_databases_that_is_cut_off_in_between_is_done_to_its_end() {
    let (bank, shop) = (Bank::open(), Bank::open());
    let more = format!("  shop: {{url: {}}}\n", shop.server.url());
    let mut scenario = bank.scenario("  folder: inbox\n", &more);
    std::fs::create_dir(scenario.dir().join("inbox")).unwrap();
    scenario.start();
    watched(&scenario);
    // Violations of the same row would have the same fingerprint.
    bank.server.query("UPDATE accounts SET owner = 'Eve' WHERE id = 1");
    shop.server.query("UPDATE accounts SET owner = 'Eve' WHERE id = 2");
    let found = wait_for("both see it", SOON, || Some(pending(&scenario)).filter(|found| found.len() == 2));
    copy(&scenario, "shop")
        .execute_batch("CREATE TRIGGER stuck BEFORE UPDATE OF signed_at ON violation BEGIN SELECT RAISE(ABORT, 'stuck'); END")
        .unwrap();
    drop_in(&scenario, &bank.signed(&format!("SIGNOFF|{}|ticket 4713", found.join(","))));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("the first half", SOON, || (reader.count("event_name:violation.sign_off") > 0).then_some(()));
    scenario.kill();
    copy(&scenario, "shop").execute_batch("DROP TRIGGER stuck").unwrap();
    scenario.start();
    wait_for("the second half", SOON, || (count(&scenario, "event_name:control.accepted") > 0).then_some(()));
    found.iter().for_each(|fingerprint| is_done_once(&scenario, fingerprint));
    assert_eq!(received(&scenario).len(), 1);
    scenario.finish();
}

#[test]
fn a_report_that_is_cut_off_is_made_once_and_delivered_once() {
    let bank = Bank::open();
    let more = "reports:\n  schedules:\n    board: {report: access, cron: '0 0 1 1 *', formats: [markdown], folder: OUT, sign_with: attestry@example.org, sinks: [office]}\n\
        sinks:\n  office: {file: {path: OUT/taken.ndjson}, methods: {include: [report.sent]}, where: '.event_data.target == \"office\"'}\n";
    let out = tempfile::tempdir().unwrap();
    let more = more.replace("OUT", out.path().to_str().unwrap());
    let mut scenario = bank.scenario("  folder: inbox\n", &more);
    std::fs::create_dir(scenario.dir().join("inbox")).unwrap();
    scenario.start();
    let message = bank.signed("REPORT|board");
    // It is made, and is being signed for its readers.
    hold_gpg(&scenario, "--clearsign", || drop_in(&scenario, &message));
    assert_eq!(count(&scenario, "event_name:report.made"), 1);
    assert_eq!(count(&scenario, "event_name:control.accepted"), 0);
    scenario.kill();
    go_on(&scenario);
    scenario.start();
    wait_for("it comes again", SOON, || (count(&scenario, "event_name:control.accepted") > 0).then_some(()));
    let files = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".md.asc")).count()
    };
    assert_eq!(files(out.path()), 1);
    for (query, times) in [
        ("event_name:report.made", 1),
        ("event_name:report.sent", 2),
        ("event_name:control.accepted outcome:success", 1),
        ("event_name:gap.conflict", 0),
    ] {
        assert_eq!(count(&scenario, query), times, "{query}");
    }
    let taken = wait_for("the sink", SOON, || {
        std::fs::read_to_string(out.path().join("taken.ndjson")).ok().filter(|text| text.ends_with('\n'))
    });
    assert_eq!(taken.lines().count(), 1, "{taken}");
    let told = received(&scenario);
    let result = told[0]["event_data"]["result"].as_str().unwrap();
    assert!(result.contains(&format!("delivered to {}, office", out.path().display())), "{result}");
    scenario.finish();
}
