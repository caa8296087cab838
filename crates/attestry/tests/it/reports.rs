//! Reports by the real program: made, checked, made again; when they are due; with figures from outside; signed and encrypted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestry_testkit::{Client, GnuPg, Scenario, copy_tree, wait_for};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::ATTESTRY;

/// A report is made within seconds of when it is due, on a machine that does other things.
const SOON: Duration = Duration::from_secs(60);

fn package(id: &str, outcome: &str) -> Value {
    json!({"event_id": id, "event_name": "package.upgrade", "username": "root", "host": "web1", "outcome": outcome,
        "resource": "openssl", "message": "openssl was upgraded", "event_data": {"package": "openssl", "version": "3.0"}})
}

fn json_of(scenario: &Scenario, arguments: &[&str]) -> Value {
    serde_json::from_str(&scenario.attestry(arguments).is(0).out).unwrap()
}

/// The files of a folder that are whole, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    found.sort();
    found
}

#[test]
fn a_report_is_made_checked_and_made_again() {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    for (id, outcome) in [("p-1", "success"), ("p-2", "failure"), ("p-3", "success")] {
        writer.store(&package(id, outcome));
    }
    let dir = scenario.dir().to_owned();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let names = ["html", "md", "json", "csv"].map(|ending| path(&format!("packages.{ending}")));
    for name in &names {
        scenario.attestry(&["report", "run", "packages", "-o", name]).is(0);
        scenario.attestry(&["verify", name]).is(0).says("Clean");
        scenario.verifier(&[name]).is(0).says("Clean");
    }
    let markdown = fs::read_to_string(&names[1]).unwrap();
    assert!(
        markdown.contains("- upgraded: 2\n") && markdown.contains("- failed or not finished: 1\n"),
        "{markdown}"
    );
    let pin = scenario.pin("audit");
    scenario.attestry(&["verify", &names[0], "--pin", pin.to_str().unwrap()]).is(0);

    // More of the same does not change what was handed over.
    writer.store(&package("p-4", "success"));
    let again = |scenario: &Scenario, when: &str| {
        for name in &names {
            let ran = scenario.attestry(&["report", "replay", name]);
            assert_eq!(ran.code, Some(0), "{when}: {name}\n{}\n{}", ran.out, ran.err);
        }
    };
    again(&scenario, "with the server");
    // What is in the history is shown by making it again.
    let made = json_of(&scenario, &["report", "made", "--json"]);
    assert_eq!(made.as_array().unwrap().len(), 4, "{made}");
    let id = made[2]["event_id"].as_str().unwrap().to_owned();
    scenario.stop();
    again(&scenario, "without it");
    fs::remove_dir_all(scenario.data().join("index")).unwrap();
    again(&scenario, "without its index");
    scenario.attestry(&["report", "run", "integrity", "-o", &path("offline.md")]).is(0);
    scenario.start();
    let shown = scenario.attestry(&["report", "show", &id, "--format", "markdown"]).is(0).out;
    assert!(names.iter().any(|name| fs::read_to_string(name).unwrap() == shown), "{shown}");
    scenario.stop();
    let elsewhere = scenario.dir().join("copied");
    copy_tree(scenario.data(), &elsewhere);
    scenario.use_data(&elsewhere);
    again(&scenario, "on another machine");

    // Somebody changes what is shown, an entry, a count in the data.
    let html = fs::read_to_string(&names[0]).unwrap();
    let json = fs::read_to_string(&names[2]).unwrap();
    for (nth, forged, said) in [
        (0, html.replacen("openssl was upgraded", "nothing happened", 1), "changed by hand"),
        (1, html.replace("openssl was upgraded", "nothing happened"), "the proof does not lead to the root"),
        (2, json.replacen("\"value\": \"2\"", "\"value\": \"7\"", 1), ""),
    ] {
        let name = path(&format!("forged-{nth}"));
        fs::write(&name, forged).unwrap();
        if said.is_empty() {
            // A count has no proof of its own: only the ledger tells.
            scenario.attestry(&["verify", &name]).is(0);
        } else {
            let ran = scenario.attestry(&["verify", &name]).is(1);
            assert!(ran.out.contains(said), "{}", ran.out);
        }
        let ran = scenario.attestry(&["report", "replay", &name]).is(1);
        assert!(ran.out.contains("another report"), "{}", ran.out);
    }
    scenario.finish();
}

/// Lets the log's time go on, as the tick of each minute does.
fn tick(writer: &Client, number: &mut u32) {
    *number += 1;
    writer.store(&package(&format!("tick-{number}"), "success"));
}

#[test]
fn what_is_due_is_made_delivered_and_made_up() {
    let mut scenario = Scenario::new(ATTESTRY);
    let folder = scenario.dir().join("out");
    let (first, second) = (folder.join("first"), folder.join("second"));
    fs::create_dir_all(&first).unwrap();
    let taken = folder.join("taken.ndjson");
    let config = format!(
        "reports:\n  schedules:\n    often:\n      report: packages\n      cron: '*/5 * * * * *'\n      formats: [markdown, csv]\n      folder: {}\n      sinks: [office]\n\
         sinks:\n  office:\n    file: {{path: {}}}\n    methods: {{include: [report.sent]}}\n    where: .event_data.target == \"office\"\n",
        first.display(),
        taken.display()
    );
    fs::write(scenario.dir().join("attestry.yaml"), &config).unwrap();
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let mut number = 0;
    wait_for("the first reports", SOON, || {
        tick(&writer, &mut number);
        (files(&first).len() >= 4).then_some(())
    });
    let text =
        wait_for("the sink", SOON, || fs::read_to_string(&taken).ok().filter(|text| text.contains("\n")));
    let sent: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let document = sent["event_data"]["document"].as_str().unwrap();
    assert!(document.contains("Package changes") && sent["event_data"]["target"] == "office", "{sent}");

    // While nobody is there, several are due; a folder that cannot be written to keeps none of them for ever.
    scenario.kill();
    let known = files(&first).len();
    let away = std::time::Instant::now();
    wait_for("some more to be due", SOON, || (away.elapsed() > Duration::from_secs(11)).then_some(()));
    fs::rename(&first, &second).unwrap();
    scenario.start();
    wait_for("what cannot be delivered is said", SOON, || {
        tick(&writer, &mut number);
        (writer_count(&scenario, "event_name:report.failed") > 0).then_some(())
    });
    scenario.stop();
    fs::rename(&second, &first).unwrap();
    scenario.start();
    wait_for("what was due meanwhile", SOON, || {
        tick(&writer, &mut number);
        (files(&first).len() >= known + 6).then_some(())
    });
    let made = json_of(&scenario, &["report", "made", "-n", "1000", "--json"]);
    let mut windows: Vec<(String, String)> = made
        .as_array()
        .unwrap()
        .iter()
        .map(|made| (made["from"].as_str().unwrap().to_owned(), made["to"].as_str().unwrap().to_owned()))
        .collect();
    windows.sort();
    // Each begins where the one before ends: none is missing, none is there twice.
    assert!(windows.len() > 4 && windows.windows(2).all(|pair| pair[0].1 == pair[1].0), "{windows:#?}");
    for file in files(&first) {
        scenario.attestry(&["verify", file.to_str().unwrap()]).is(0);
    }

    // Those of people are events, too, and go with the ledger.
    scenario.attestry(&["report", "schedule", "remove", "often"]).is(1).says("configuration");
    scenario
        .attestry(&[
            "report",
            "schedule",
            "set",
            "yearly",
            "--report",
            "integrity",
            "--cron",
            "0 0 1 1 *",
            "--zone",
            "Europe/Paris",
        ])
        .is(0)
        .says("yearly");
    scenario
        .attestry(&["report", "schedule", "set", "x", "--report", "packages", "--cron", "never"])
        .is(1)
        .says("cron");
    scenario.stop();
    fs::write(scenario.dir().join("attestry.yaml"), "").unwrap();
    scenario.start();
    let left = wait_for("the configuration's schedule is gone", SOON, || {
        let left = json_of(&scenario, &["report", "schedule", "list", "--json"]);
        (left.as_array().unwrap().len() == 1).then_some(left)
    });
    assert_eq!(left[0]["name"], "yearly");
    scenario.attestry(&["report", "schedule", "remove", "yearly"]).is(0);
    scenario.finish();
}

fn writer_count(scenario: &Scenario, query: &str) -> u64 {
    scenario.attestry(&["count", query]).is(0).out.trim().replace(',', "").parse().unwrap()
}

/// What a ledger seals at once; only what is sealed is pruned.
const SEGMENT_ENTRIES: usize = 65_536;

#[test]
fn what_is_pruned_takes_no_schedule_and_no_report_that_does_without_it() {
    let mut scenario = Scenario::new(ATTESTRY);
    let set = |scenario: &Scenario, name: &str, cron: &str| {
        scenario
            .attestry(&["report", "schedule", "set", name, "--report", "packages", "--cron", cron])
            .is(0)
            .says(name);
    };
    let configured = "reports:\n  schedules:\n    monthly: {report: logins, cron: '0 0 1 * *'}\n";
    fs::write(scenario.dir().join("attestry.yaml"), configured).unwrap();
    scenario.start();
    let key = scenario.key(&["shop", "--write"]);
    let writer = scenario.client(&key);
    set(&scenario, "yearly", "0 0 1 1 *");
    set(&scenario, "often", "*/5 * * * * *");
    set(&scenario, "gone", "0 0 1 1 *");
    scenario.attestry(&["report", "schedule", "remove", "gone"]).is(0);
    let schedules = |scenario: &Scenario| {
        let mut all = json_of(scenario, &["report", "schedule", "list", "--json"]);
        let names: Vec<String> =
            all.as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap().to_owned()).collect();
        let since: Vec<Value> = all.as_array_mut().unwrap().iter_mut().map(|of| of["since"].take()).collect();
        (names, since)
    };
    let mut number = 0;
    let due = |scenario: &Scenario| {
        let query = "event_name:report.made event_data.schedule:often";
        writer_count(scenario, query)
    };
    wait_for("a report that is due", SOON, || {
        tick(&writer, &mut number);
        (due(&scenario) > 0).then_some(())
    });
    // Nothing becomes due for the rest of this test, but what was made is.
    let held =
        wait_for("all schedules", SOON, || Some(schedules(&scenario)).filter(|(names, _)| names.len() == 3));
    assert_eq!(held.0, ["monthly", "often", "yearly"]);
    let path = |name: &str| scenario.dir().join(name).to_str().unwrap().to_owned();
    let (whole, recent) = (path("whole.md"), path("recent.json"));
    scenario.attestry(&["report", "run", "packages", "-o", &whole]).is(0);

    let line = "{\"event_name\":\"a.b\",\"username\":\"-\"}\n";
    writer.post("/api/v1/events", "application/x-ndjson", line.repeat(SEGMENT_ENTRIES)).is(201);
    let dry = ["ledger", "prune", "audit", "--older-than", "1s", "--dry-run"];
    wait_for("a segment is sealed", SOON, || {
        (!scenario.attestry(&dry).is(0).out.starts_with("nothing")).then_some(())
    });
    scenario.stop();
    scenario.start();
    // About what is kept, but for which rules were in force.
    writer.store(&package("recent", "success"));
    let only = "name: recent\ntitle: Recent\nsections:\n  - search: {query: 'event_id:recent'}\n";
    fs::create_dir(scenario.dir().join("own")).unwrap();
    fs::write(scenario.dir().join("own/recent.yaml"), only).unwrap();
    let own = format!("  folders: [{}]\n", scenario.dir().join("own").display());
    fs::write(scenario.dir().join("attestry.yaml"), format!("{configured}{own}")).unwrap();
    scenario.hang_up();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("the own report", SOON, || {
        let list = reader.get("/api/v1/reports", &[]).is(200).json();
        list["reports"].as_array().unwrap().iter().any(|report| report["name"] == "recent").then_some(())
    });
    scenario.attestry(&["report", "run", "recent", "--window", "1s", "-o", &recent]).is(0);
    scenario.stop();

    // Older than any retention that anybody has, so its events go at the next start.
    scenario = scenario.with("ATTESTRY_LEDGERS_AUDIT_RETENTION", "1s");
    for round in 0..2 {
        scenario.start();
        wait_for("the entries are gone", SOON, || {
            (writer_count(&scenario, "event_name:ledger.pruned resource:audit") > 0).then_some(())
        });
        wait_for("searches do not find them", SOON, || {
            (writer_count(&scenario, "event_name:report.unschedule") == 0).then_some(())
        });
        assert_eq!(schedules(&scenario), held, "round {round}");
        scenario.stop();
    }

    let ran = scenario.attestry(&["report", "replay", &recent]).is(0);
    assert!(
        ran.err.contains("were pruned since") && ran.err.contains("taken from the report"),
        "{}",
        ran.err
    );
    let ran = scenario.attestry(&["report", "replay", &whole]).is(1);
    assert!(ran.err.contains("whether it was changed cannot be told"), "{}", ran.err);
    scenario.finish();
}

#[test]
fn what_comes_late_is_in_the_next_scheduled_report() {
    let mut scenario = Scenario::new(ATTESTRY);
    let out = scenario.dir().join("out");
    fs::create_dir_all(&out).unwrap();
    let config = format!(
        "reports:\n  schedules:\n    often: {{report: packages, cron: '*/5 * * * * *', formats: [markdown], folder: {}}}\n",
        out.display()
    );
    fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let mut number = 0;
    wait_for("the first report", SOON, || {
        tick(&writer, &mut number);
        (!files(&out).is_empty()).then_some(())
    });
    let mut late = package("late", "success");
    late["event_time"] = "2026-01-01T00:00:00Z".into();
    late["resource"] = "curl".into();
    writer.store(&late);
    let (file, text) = wait_for("it is told of", SOON, || {
        tick(&writer, &mut number);
        files(&out).into_iter().find_map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            text.contains("- came late: 1\n").then_some((file, text))
        })
    });
    assert!(text.contains("| 2026-01-01T00:00:00Z |") && text.contains("| curl |"), "{text}");
    scenario.attestry(&["verify", file.to_str().unwrap()]).is(0);
    scenario.attestry(&["report", "replay", file.to_str().unwrap()]).is(0);
    // Once, and in none before.
    let told = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("- came late: 1\n");
    assert_eq!(files(&out).iter().filter(|file| told(file)).count(), 1);
    assert!(!fs::read_to_string(&files(&out)[0]).unwrap().contains("came late"));
    scenario.finish();
}

/// Answers calls of JSON-RPC as bitcoind does: a login, an error with status 500, numbers with eight digits after the point.
struct Node {
    port: u16,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Node {
    fn start() -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                let body = loop {
                    let read = stream.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        name.eq_ignore_ascii_case("content-length")
                            .then(|| value.trim().parse::<usize>().unwrap())
                    });
                    if body.len() >= length.unwrap_or(0) {
                        seen.lock().unwrap().push(head.to_owned());
                        break body.to_owned();
                    }
                };
                let call: Value = serde_json::from_str(&body).unwrap_or_default();
                let (status, result, error) = match call["method"].as_str() {
                    Some("getbalance") => ("200 OK", "21.00000001", "null"),
                    Some("getblockchaininfo") => ("200 OK", r#"{"chain":"main","blocks":922833}"#, "null"),
                    Some("listunspent") => (
                        "200 OK",
                        r#"[{"txid":"aa","amount":0.1},{"txid":"bb","amount":20.90000001}]"#,
                        "null",
                    ),
                    Some(_) => (
                        "500 Internal Server Error",
                        "null",
                        r#"{"code":-32601,"message":"Method not found"}"#,
                    ),
                    None => ("200 OK", "7", "null"),
                };
                let answer = format!("{{\"result\":{result},\"error\":{error},\"id\":\"attestry\"}}");
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                    answer.len()
                )
                .unwrap();
            }
        });
        Node { port, calls }
    }
}

#[test]
fn figures_of_a_node_are_events_before_they_are_shown() {
    let node = Node::start();
    let mut scenario = Scenario::new(ATTESTRY);
    let folder = scenario.dir().join("own");
    fs::create_dir_all(&folder).unwrap();
    let example = include_str!("../../../../docs/reports/btc.yaml");
    fs::write(
        folder.join("btc.yaml"),
        example.replace("127.0.0.1:8332", &format!("127.0.0.1:{}", node.port)),
    )
    .unwrap();
    let http = format!(
        "name: http\ntitle: Over HTTP\nsections:\n  - figures: [{{name: seven, http: {{url: 'http://127.0.0.1:{}/a', pointer: /result}}}}]\n",
        node.port
    );
    fs::write(folder.join("http.yaml"), http).unwrap();
    let config = |private: bool| {
        format!(
            "reports:\n  folders: [{}]\n  allow_private: {private}\n  figure_timeout: 10s\n  logins: {{node: {{user: attestry, password: swordfish}}}}\n",
            folder.display()
        )
    };
    fs::write(scenario.dir().join("attestry.yaml"), config(true)).unwrap();
    scenario.start();
    let path = scenario.dir().join("btc.md").to_str().unwrap().to_owned();
    scenario.attestry(&["report", "run", "btc", "-o", &path]).is(0);
    let text = fs::read_to_string(&path).unwrap();
    for said in [
        // 1e-8 is not lost.
        "- balance: 21.00000001 (audit/",
        "- height: 922833 (audit/",
        "could not be had: getbalances failed: Method not found",
        "- unspent: 2 rows",
        "20.90000001",
        "could not be had: the configuration has no audit \"bank\"",
        "At block 922833 the wallet holds 21.00000001 BTC",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    let basic = format!("Basic {}", BASE64_STANDARD.encode("attestry:swordfish"));
    assert!(node.calls.lock().unwrap().iter().all(|head| head.contains(&basic)), "each call is logged in");
    assert!(!text.contains("swordfish"));
    assert_eq!(writer_count(&scenario, "event_name:report.figure outcome:success"), 3);
    assert_eq!(writer_count(&scenario, "event_name:report.figure outcome:failure"), 2);
    scenario.attestry(&["report", "run", "http", "--format", "csv"]).is(0).says("fact,seven,7,");
    // Made again, nobody is asked.
    let asked = node.calls.lock().unwrap().len();
    scenario.attestry(&["report", "replay", &path]).is(0);
    assert_eq!(node.calls.lock().unwrap().len(), asked);
    scenario.stop();

    // Without the permission no request reaches this host.
    fs::write(scenario.dir().join("attestry.yaml"), config(false)).unwrap();
    scenario.attestry(&["report", "run", "btc"]).is(0).says("private network or of this host");
    assert_eq!(node.calls.lock().unwrap().len(), asked);
    scenario.finish();
}

#[test]
fn own_reports_schedules_and_keys_follow_a_new_configuration() {
    let gpg = GnuPg::new();
    gpg.key("auditor@example.org");
    let mut scenario = Scenario::new(ATTESTRY);
    let dir = scenario.dir().to_owned();
    let (own, out) = (dir.join("own"), dir.join("out"));
    fs::create_dir_all(&own).unwrap();
    fs::create_dir_all(&out).unwrap();
    let configure = |text: &str| fs::write(dir.join("attestry.yaml"), text).unwrap();
    let reports = format!("reports:\n  folders: [{}]\n", own.display());
    configure(&reports);
    scenario.start();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let known = || {
        let list = reader.get("/api/v1/reports", &[]).is(200).json();
        list["reports"].as_array().unwrap().iter().any(|report| report["name"] == "doors")
    };
    assert!(!known());

    // The section is as it was, the folder is not.
    let doors = |text: &str| {
        fs::write(own.join("doors.yaml"), format!("name: doors\ntitle: Doors\nsections: [{text}]")).unwrap();
    };
    doors("{text: All doors.}");
    scenario.hang_up();
    wait_for("the own report", SOON, || known().then_some(()));

    let scheduled = format!(
        "{reports}  schedules:\n    often: {{report: doors, cron: '*/5 * * * * *', formats: [markdown], folder: {}, sign_with: auditor@example.org}}\nopenpgp: {{home: {}}}\n",
        out.display(),
        gpg.home().display()
    );
    configure(&scheduled);
    scenario.hang_up();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let mut number = 0;
    wait_for("a signed report", SOON, || {
        tick(&writer, &mut number);
        (!files(&out).is_empty()).then_some(())
    });
    let signed = fs::read_to_string(&files(&out)[0]).unwrap();
    assert!(signed.contains("BEGIN PGP SIGNED MESSAGE") && signed.contains("All doors."), "{signed}");

    // A definition that is none keeps what there was; a schedule that is gone makes nothing more.
    doors("");
    configure(&reports);
    scenario.hang_up();
    wait_for("it is refused", SOON, || (reader.count("event_name:config.refuse") == 1).then_some(()));
    assert_eq!(reader.count("event_name:report.unschedule"), 0);
    doors("{text: Some doors.}");
    scenario.hang_up();
    wait_for("the schedule is gone", SOON, || {
        (reader.count("event_name:report.unschedule event_data.configured:true") == 1).then_some(())
    });
    let waiting = "event_name:config.reload event_data.at_next_start:*";
    assert_eq!(reader.count(waiting), 0, "nothing of it waits for the next start");
    scenario.finish();
}

#[test]
fn a_report_is_signed_and_encrypted_by_gnupg() {
    let gpg = GnuPg::new();
    let (signer, reader) = (gpg.key("auditor@example.org"), gpg.key("boss@example.org"));
    let mut scenario = Scenario::new(ATTESTRY);
    let dir = scenario.dir().to_owned();
    let folder = |name: &str| {
        let folder = dir.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let (signed, sealed) = (folder("signed"), folder("sealed"));
    let config = |signer: &str| {
        format!(
            "openpgp: {{home: {}}}\nreports:\n  schedules:\n    signed: {{report: integrity, cron: '*/5 * * * * *', formats: [markdown, html], folder: {}, sign_with: {signer}}}\n    \
             sealed: {{report: access, cron: '*/5 * * * * *', formats: [html], folder: {}, sign_with: auditor@example.org, encrypt_to: [boss@example.org]}}\n",
            gpg.home().display(),
            signed.display(),
            sealed.display()
        )
    };
    fs::write(scenario.dir().join("attestry.yaml"), config("nobody@example.org")).unwrap();
    scenario.attestry(&["check"]).is(1).says("nobody@example.org");
    fs::write(scenario.dir().join("attestry.yaml"), config("auditor@example.org")).unwrap();
    scenario.attestry(&["check"]).is(0);
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let mut number = 0;
    wait_for("signed reports", SOON, || {
        tick(&writer, &mut number);
        (files(&signed).len() >= 3 && !files(&sealed).is_empty()).then_some(())
    });
    scenario.stop();
    let of = |folder: &Path, ending: &str| {
        files(folder).into_iter().find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
    };
    for (file, how) in [
        (of(&signed, ".md.asc"), "clear-signed"),
        (of(&signed, ".html"), "with a signature beside it"),
        (of(&sealed, ".html.asc"), "encrypted"),
    ] {
        let ran = scenario.attestry(&["verify", file.to_str().unwrap()]).is(0);
        assert!(ran.out.contains(&format!("OpenPGP signature by {signer}")), "{how}: {}", ran.out);
        // Of somebody whose signature does not count.
        let ran = scenario.attestry(&["verify", file.to_str().unwrap(), "--signer", &reader]);
        assert_ne!(ran.code, Some(0), "{how}: {}", ran.out);
        // Made again as it was handed over.
        scenario.attestry(&["report", "replay", file.to_str().unwrap()]).is(0);
        if how != "with a signature beside it" {
            let ran = scenario.attestry(&["report", "replay", file.to_str().unwrap(), "--signer", &reader]);
            assert!(ran.code == Some(1) && ran.err.contains("none of the keys"), "{how}: {}", ran.err);
        }
    }
    let clear = of(&signed, ".md.asc");
    let forged =
        fs::read_to_string(&clear).unwrap().replacen("Integrity of the log", "Integrity of the dog", 1);
    let path = scenario.dir().join("forged.md.asc");
    fs::write(&path, forged).unwrap();
    let ran = scenario.attestry(&["verify", path.to_str().unwrap()]);
    assert!(ran.code != Some(0) && ran.err.contains("changed on the way"), "{}", ran.err);
    let ran = scenario.attestry(&["report", "replay", path.to_str().unwrap()]);
    assert!(ran.code != Some(0) && ran.err.contains("changed on the way"), "{}", ran.err);
    // Plain gpg opens it, and what comes out is made again.
    let plain = scenario.dir().join("plain.html");
    gpg.decrypt(&of(&sealed, ".html.asc"), &plain).is(0);
    scenario.attestry(&["report", "replay", plain.to_str().unwrap()]).is(0);
    scenario.finish();
}

#[test]
fn a_key_is_the_one_that_was_meant_at_the_start() {
    let gpg = GnuPg::new();
    let first = gpg.key("Auditor <auditor@example.org>");
    let mut scenario = Scenario::new(ATTESTRY);
    let out = scenario.dir().join("out");
    fs::create_dir_all(&out).unwrap();
    let config = format!(
        "openpgp: {{home: {0}}}\nreports:\n  schedules:\n    often: {{report: access, cron: '*/5 * * * * *', formats: [markdown], folder: {1}, sign_with: auditor@example.org}}\n    \
         lost: {{report: access, cron: '0 0 1 1 *', folder: {1}, sign_with: nobody@example.org}}\n",
        gpg.home().display(),
        out.display()
    );
    fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    // Told when it starts, long before it is due.
    wait_for("the missing key is told", SOON, || {
        let log = scenario.log();
        (log.contains("a scheduled report cannot be delivered with this key")
            && log.contains("nobody@example.org"))
        .then_some(())
    });
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let mut number = 0;
    let mut signed = |scenario: &Scenario, more: usize| {
        let before = files(&out);
        let new = wait_for("signed reports", SOON, || {
            tick(&writer, &mut number);
            let new: Vec<PathBuf> = files(&out).into_iter().filter(|file| !before.contains(file)).collect();
            (new.len() >= more).then_some(new)
        });
        for file in new {
            scenario.attestry(&["verify", file.to_str().unwrap(), "--signer", &first]).is(0);
        }
    };
    signed(&scenario, 1);
    // Somebody imports another key under the address: `check` tells, and what is sent is signed as before.
    gpg.key("Auditor <auditor@example.org>");
    scenario.attestry(&["check"]).is(1).says("auditor@example.org");
    signed(&scenario, 2);
    assert_eq!(writer_count(&scenario, "event_name:report.failed"), 0);
    // The configuration is read again, and says no more which one is meant.
    scenario.hang_up();
    wait_for("what cannot be delivered is said", SOON, || {
        tick(&writer, &mut number);
        (writer_count(&scenario, "event_name:report.failed event_data.schedule:often") > 0).then_some(())
    });
    scenario.finish();
}
