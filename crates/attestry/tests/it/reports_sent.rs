//! Reports on their way out: what a message asks for goes to a web hook, four brokers and a mail server, is read there again, and anybody can check it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attestry_testkit::{Authority, GnuPg, Said, Scenario, SmtpServer, free_port, wait_for};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ATTESTRY;
use crate::brokers::Broker;

/// How long a delivery may take, with seven servers on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// Somebody who asks for reports, and the keyring of Attestry, which signs them.
struct Keys {
    boss: GnuPg,
    us: GnuPg,
    boss_key: String,
    our_key: String,
}

impl Keys {
    fn new() -> Keys {
        let (boss, us) = (GnuPg::new(), GnuPg::new());
        let boss_key = boss.key("Boss <boss@example.org>");
        us.import(&boss, &boss_key);
        us.trust(&boss_key, 6);
        let our_key = us.key("Attestry <attestry@example.org>");
        Keys { boss, us, boss_key, our_key }
    }

    /// A scenario whose schedule `board` sends two formats, signed, to these sinks when a message asks for it.
    fn scenario(&self, sinks: &[(&str, String)]) -> Scenario {
        let scenario = Scenario::new(ATTESTRY);
        std::fs::create_dir(scenario.dir().join("inbox")).unwrap();
        let names: Vec<&str> = sinks.iter().map(|(name, _)| *name).collect();
        let mut config = format!(
            "openpgp: {{home: {}}}\ncontrol: {{signers: ['{}'], folder: inbox}}\nreports:\n  schedules:\n    board: {{report: packages, cron: '0 0 1 1 *', formats: [markdown, html], sinks: [{}], sign_with: attestry@example.org}}\nsinks:\n",
            self.us.home().display(),
            self.boss_key,
            names.join(", ")
        );
        for (name, sink) in sinks {
            config.push_str(&format!(
                "  {name}:\n    {sink}\n    methods: {{include: [report.sent]}}\n    where: .event_data.target == \"{name}\"\n    retry: {{first: 100ms, most: 500ms}}\n"
            ));
        }
        std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
        scenario
    }

    /// Asks for a report, and gives what came of it.
    #[track_caller]
    fn ask(&self, scenario: &Scenario, command: &str) -> Value {
        let before = messages(scenario, "--received");
        let message = self.boss.clear_sign(&[&self.boss_key], &[], &format!("{command}\n"));
        std::fs::write(scenario.dir().join("inbox/message.asc"), message).unwrap();
        wait_for("the message is recorded", SOON, || {
            messages(scenario, "--received").into_iter().find(|event| !before.contains(event))
        })
    }

    /// Whether a report is what Attestry signed, as anybody with the file finds out.
    #[track_caller]
    fn check(&self, scenario: &Scenario, from: &str, sent: &Document) {
        let folder = scenario.dir().join(from);
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let document = path(&sent.file);
        std::fs::write(&document, &sent.document).unwrap();
        let ran = match &sent.signature {
            Some(signature) => {
                let beside = path(&format!("{}.asc", sent.file));
                std::fs::write(&beside, signature).unwrap();
                self.us.run(&["--status-fd", "1", "--verify", &beside, &document], b"")
            }
            None => self.us.run(&["--status-fd", "1", "--verify", &document], b""),
        };
        let ran = ran.is(0);
        assert!(ran.out.contains(&format!("VALIDSIG {}", self.our_key)), "{from}: {}", ran.out);
        let ran = scenario.attestry(&["verify", &document]).is(0);
        assert!(ran.out.contains(&format!("OpenPGP signature by {}", self.our_key)), "{from}: {}", ran.out);
    }
}

/// A report as a sink got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Document {
    file: String,
    document: String,
    signature: Option<String>,
}

impl Document {
    fn of(event: &Value) -> Document {
        assert_eq!(event["event_name"], "report.sent", "{event}");
        let text = |name: &str| event["event_data"][name].as_str().map(str::to_owned);
        let (file, document) = (text("file").unwrap(), text("document").unwrap());
        let sha256: String = Sha256::digest(&document).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(event["event_data"]["sha256"], sha256);
        Document { file, document, signature: text("signature") }
    }
}

/// What `attestry messages` tells, the newest first.
fn messages(scenario: &Scenario, which: &str) -> Vec<Value> {
    let out = scenario.attestry(&["messages", which, "-n", "1000", "--json"]).is(0).out;
    out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

/// What is told of a sink.
fn sink(scenario: &Scenario, name: &str) -> Value {
    let out = scenario.attestry(&["spool", "list", "--json"]).is(0).out;
    let status: Value = serde_json::from_str(&out).unwrap();
    let all = status["sinks"].as_array().unwrap().iter().filter(|sink| sink["name"] == name);
    // The one of `audit` is the one that something goes through.
    all.clone().find(|sink| sink["log"] == "audit").cloned().unwrap()
}

const SECRET: &str = "swordfish of the hook";

/// A receiver of web hooks that refuses reports of one format until it is told to take them.
struct Hook {
    bodies: Arc<Mutex<Vec<Value>>>,
    refusal: Arc<AtomicU16>,
}

impl Hook {
    fn start(port: u16) -> Hook {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (bodies, refusal) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::new(AtomicU16::new(422)));
        let (taken, status) = (Arc::clone(&bodies), Arc::clone(&refusal));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = Vec::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    match line.trim_end() {
                        "" => break,
                        line => head.push(line.to_owned()),
                    }
                }
                let header = |name: &str| {
                    let of = |line: &String| {
                        let (found, value) = line.split_once(':')?;
                        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                    };
                    head.iter().find_map(of).unwrap_or_default()
                };
                let mut body = vec![0; header("content-length").parse().unwrap()];
                stream.read_exact(&mut body).unwrap();
                let event: Value = serde_json::from_slice(&body).unwrap();
                let answer = match status.load(Ordering::Relaxed) {
                    _ if !is_signed(&header("attestry-signature"), &body) => 403,
                    200 => 200,
                    refusal if event["event_data"]["format"] == "html" => refusal,
                    _ => 200,
                };
                if answer == 200 {
                    taken.lock().unwrap().push(event);
                }
                let text =
                    format!("HTTP/1.1 {answer} x\r\nContent-Length: 7\r\nConnection: close\r\n\r\nno html");
                stream.get_mut().write_all(text.as_bytes()).unwrap();
            }
        });
        Hook { bodies, refusal }
    }

    fn documents(&self) -> Vec<Document> {
        self.bodies.lock().unwrap().iter().map(Document::of).collect()
    }
}

/// HMAC-SHA256 as RFC 2104 has it, over time and body, and not older than five minutes.
fn is_signed(header: &str, body: &[u8]) -> bool {
    let Some((time, hex)) = header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else {
        return false;
    };
    let mut key = [0_u8; 64];
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    let padded = |with: u8| key.map(|byte| byte ^ with);
    let inner =
        Sha256::new().chain_update(padded(0x36)).chain_update(time).chain_update(".").chain_update(body);
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner.finalize());
    let expected: String = outer.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    hex == expected && time.parse::<u64>().unwrap().abs_diff(now) < 300
}

#[test]
fn a_report_goes_to_a_web_hook_nats_rabbitmq_activemq_and_sqs_with_moto() {
    let keys = Keys::new();
    let brokers = Broker::all(&["reports"]);
    let port = free_port();
    let mut sinks: Vec<(&str, String)> =
        brokers.iter().map(|broker| (broker.name(), broker.sink("reports"))).collect();
    sinks.push((
        "hook",
        format!(
            "webhook: {{url: 'http://127.0.0.1:{port}/reports', format: single, secret: '{SECRET}', allow_private: true}}"
        ),
    ));
    let mut scenario = keys.scenario(&sinks);
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    writer.store(
        &json!({"event_name": "package.upgrade", "username": "root", "host": "web1", "resource": "openssl",
        "message": "größer, <b>besser</b>", "event_data": {"package": "openssl", "version": "3.0"}}),
    );

    // By the report's name: its schedule says where it goes.
    let answer = keys.ask(&scenario, "REPORT|packages");
    let result = answer["event_data"]["result"].as_str().unwrap();
    let names: Vec<&str> = sinks.iter().map(|(name, _)| *name).collect();
    assert!(result.contains(&format!("for board, delivered to {}", names.join(", "))), "{answer}");
    assert_eq!((&answer["event_name"], &answer["outcome"]), (&"control.accepted".into(), &"success".into()));

    for broker in &brokers {
        let name = broker.name();
        let mut documents = Vec::new();
        wait_for(&format!("both formats by {name}"), SOON, || {
            documents.extend(
                broker.take("reports").map(|body| Document::of(&serde_json::from_slice(&body).unwrap())),
            );
            (documents.len() == 2).then_some(())
        });
        assert_eq!(broker.take("reports"), None, "{name} has more than was sent");
        let endings = ["-board-", ".md.asc", ".html"]
            .map(|part| documents.iter().filter(|sent| sent.file.contains(part)).count());
        assert_eq!(endings, [2, 1, 1], "{documents:?}");
        for sent in &documents {
            keys.check(&scenario, name, sent);
        }
    }

    // Nobody listens; then somebody does, and does not want all of it.
    let waits = wait_for("the hook is waited for", SOON, || {
        Some(sink(&scenario, "hook")).filter(|sink| sink["state"] == "waiting" && sink["retries"] != 0)
    });
    assert!(waits["why"].as_str().unwrap().contains("refused"), "{waits}");
    let hook = Hook::start(port);
    wait_for("one is refused", SOON, || (sink(&scenario, "hook")["dead"] == 1).then_some(()));
    let dead = scenario.attestry(&["spool", "inspect", "hook"]).is(0).out;
    let dead: Value = serde_json::from_str(dead.trim()).unwrap();
    assert_eq!(dead["reason"], "the hook answered 422: no html");
    assert_eq!(hook.documents().len(), 1);
    hook.refusal.store(200, Ordering::Relaxed);
    scenario.attestry(&["spool", "replay", "hook"]).is(0);
    let documents =
        wait_for("the other one, too", SOON, || Some(hook.documents()).filter(|all| all.len() == 2));
    assert!(documents[0].file.ends_with(".md.asc") && documents[1] == Document::of(&dead["event"]));
    documents.iter().for_each(|sent| keys.check(&scenario, "hook", sent));

    // All of it is history, and stays so.
    let history = |scenario: &Scenario| -> (BTreeSet<String>, BTreeSet<String>) {
        let all = messages(scenario, "--sent");
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let (sent, told): (Vec<_>, Vec<_>) =
            all.iter().partition(|event| event["event_name"] == "report.sent");
        assert_eq!(sent.len(), 2 * names.len());
        let of = |event: &&Value| {
            format!("{} {}", text(&event["event_data"]["target"]), text(&event["event_data"]["format"]))
        };
        let said = |event: &&Value| format!("{} {}", text(&event["event_name"]), text(&event["message"]));
        (sent.iter().map(of).collect(), told.iter().map(said).collect())
    };
    let (sent, told) = wait_for("the replay is recorded", SOON, || {
        let (sent, told) = history(&scenario);
        told.iter().find(|line| *line == "notice.sent hook took 1 reports")?;
        Some((sent, told))
    });
    assert_eq!(sent.len(), 2 * names.len(), "{sent:?}");
    let said = |part: &str| assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:#?}");
    said(" reports do not get through to hook now: ");
    said("notice.failed hook refused 1 reports: the hook answered 422: no html");
    brokers.iter().for_each(|broker| said(&format!("notice.sent {} took", broker.name())));
    scenario.attestry(&["messages"]).is(0).says("rabbitmq").says("delivered to");
    scenario.kill();
    scenario.start();
    assert_eq!(history(&scenario), (sent, told));
    scenario.finish();
}

#[test]
fn a_message_has_every_schedule_of_a_report_delivered_and_what_fails_is_tried_again() {
    let keys = Keys::new();
    let mut scenario = keys.scenario(&[]);
    let folder = |name: &str| scenario.dir().join(name);
    let (here, missing) = (folder("here"), folder("missing"));
    std::fs::create_dir(&here).unwrap();
    let path = scenario.dir().join("attestry.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let schedules = format!(
        "    board: {{report: packages, cron: '0 0 1 1 *', formats: [csv], folder: {here}}}\n    \
             boss: {{report: packages, cron: '0 0 1 1 *', formats: [csv, json], folder: {missing}, window: 1h}}\n    \
             scope: {{report: breach-scope, cron: '0 0 1 1 *', parameters: {{who: mallory}}, folder: {here}}}\nsinks: {{}}\n",
        here = here.display(),
        missing = missing.display()
    );
    let begins = config.find("    board:").unwrap();
    std::fs::write(&path, format!("{}{schedules}", &config[..begins])).unwrap();
    scenario.start();
    let files = |folder: &Path| -> BTreeSet<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    };

    let answer = keys.ask(&scenario, "REPORT|packages");
    let result = answer["event_data"]["result"].as_str().unwrap();
    assert!(result.contains(&format!("for board, delivered to {}", here.display())), "{result}");
    assert!(result.contains("for boss, not delivered to everybody yet: "), "{result}");
    assert_eq!(answer["outcome"], "success", "{answer}");
    assert_eq!(files(&here).len(), 1);
    let failed = messages(&scenario, "--sent");
    assert!(failed.iter().any(|event| event["event_name"] == "report.failed"), "{failed:#?}");

    // A schedule by its name, with its parameters; a report that no schedule has; one that nobody has.
    let answer = keys.ask(&scenario, "REPORT|scope");
    assert_eq!(answer["outcome"], "success", "{answer}");
    assert!(files(&here).iter().any(|name| name.starts_with("breach-scope-scope-")), "{:?}", files(&here));
    let answer = keys.ask(&scenario, "REPORT|integrity");
    assert!(
        answer["event_data"]["result"].as_str().unwrap().contains("no schedule says where it goes"),
        "{answer}"
    );
    assert_eq!(keys.ask(&scenario, "REPORT|nonsense")["outcome"], "failure");

    // What waited goes out when there is room for it, also after a crash; once a minute of the log's time.
    scenario.kill();
    std::fs::create_dir(&missing).unwrap();
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    wait_for("what waited is delivered", SOON, || {
        writer.store(&json!({"event_name": "a.b", "username": "u"}));
        (files(&missing).len() == 2).then_some(())
    });
    for folder in [&here, &missing] {
        for file in files(folder) {
            scenario.attestry(&["verify", folder.join(file).to_str().unwrap()]).is(0);
        }
    }
    // None of this counts as what was due.
    let due = scenario.attestry(&["report", "schedule", "list", "--json"]).is(0).out;
    let due: Value = serde_json::from_str(&due).unwrap();
    assert!(due.as_array().unwrap().iter().all(|of| of["last"].is_null()), "{due:#}");
    scenario.finish();
}

/// What is attached to a mail, by name, as Python's `email` reads it.
fn attached(scenario: &Scenario, said: &Said) -> Vec<(String, String)> {
    const READ: &str = "import email, email.policy, json, sys\n\
        mail = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)\n\
        print(json.dumps([[part.get_filename(), part.get_payload(decode=True).decode()] for part in mail.iter_attachments()]))";
    let file = scenario.dir().join("message.eml");
    std::fs::write(&file, said.message()).unwrap();
    let read = Command::new("python3").args(["-c", READ]).arg(&file).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

#[test]
fn a_report_by_mail_goes_through_tls_or_not_at_all() {
    let keys = Keys::new();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = SmtpServer::start(Some(&authority.server()));
    let plain = SmtpServer::start(None);
    let unknown = SmtpServer::start(Some(&stranger.server()));
    let elsewhere = SmtpServer::start(Some(&authority.issue("elsewhere", &["mail.example.org"])));
    let of = |server: &SmtpServer| {
        format!(
            "mail: {{host: 127.0.0.1, port: {}, ca: {}, user: attestry, password: tuna, from: attestry@example.org, to: [board@example.org]}}",
            server.port(),
            authority.ca().display()
        )
    };
    let sinks = [
        ("good", of(&good)),
        ("plain", of(&plain)),
        ("unknown", of(&unknown)),
        ("elsewhere", of(&elsewhere)),
    ];
    let mut scenario = keys.scenario(&sinks);
    scenario.start();
    assert_eq!(keys.ask(&scenario, "REPORT|board")["outcome"], "success");

    for (name, server, in_clear, why) in [
        ("plain", &plain, &["EHLO"][..], "offers no STARTTLS"),
        ("unknown", &unknown, &["EHLO", "STARTTLS"], "UnknownIssuer"),
        ("elsewhere", &elsewhere, &["EHLO", "STARTTLS"], "not valid for name"),
    ] {
        let waits = wait_for(name, SOON, || {
            Some(sink(&scenario, name)).filter(|sink| sink["why"].is_string() && !server.said().is_empty())
        });
        assert!(waits["why"].as_str().unwrap().contains(why), "{name}: {waits}");
        assert_eq!((&waits["state"], &waits["delivered"]), (&"waiting".into(), &0.into()), "{name}: {waits}");
        for said in server.said() {
            let verbs: Vec<&str> = said
                .in_clear
                .iter()
                .filter_map(|line| line.split(' ').next())
                .filter(|verb| *verb != "QUIT")
                .collect();
            assert!(in_clear.starts_with(&verbs), "{name}: {said:?}");
            assert!(said.sealed.is_empty() && !said.taken, "{name}: {said:?}");
        }
    }

    let mails = wait_for("both formats by mail", SOON, || {
        let taken: Vec<Said> = good.said().into_iter().filter(|said| said.taken).collect();
        (taken.len() == 2).then_some(taken)
    });
    for said in &mails {
        assert!(
            matches!(said.in_clear.as_slice(), [ehlo, starttls] if ehlo.starts_with("EHLO") && starttls == "STARTTLS")
        );
        assert!(said.sealed.iter().any(|line| line.starts_with("AUTH PLAIN ")));
        let mut parts = attached(&scenario, said).into_iter();
        let (file, document) = parts.next().unwrap();
        let signature = parts.next().map(|(name, signature)| {
            assert_eq!(name, format!("{file}.asc"));
            signature
        });
        assert_eq!(signature.is_none(), file.ends_with(".md.asc"), "{file}");
        keys.check(&scenario, "mail", &Document { file, document, signature });
    }
    let history = messages(&scenario, "--sent");
    let said = |name: &str, sink: &str| {
        history.iter().filter(|event| event["event_name"] == name && event["resource"] == sink).count()
    };
    assert_eq!(
        [said("notice.failed", "plain"), said("notice.sent", "plain"), said("notice.failed", "good")],
        [1, 0, 0]
    );
    assert!(said("notice.sent", "good") >= 1);
    scenario.finish();
}
