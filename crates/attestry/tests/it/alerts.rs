//! Alerts, end to end: events come in, rules of both kinds find something, people and programs are told and that is recorded, somebody sees to it, and a
//! kill at any moment loses nothing of it and tells nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestry_event::Field;
use attestry_testkit::{Authority, Client, Rsyslog, Scenario, SmtpServer, wait_for};
use serde_json::{Value, json};

use crate::{ATTESTRY, stored, texts};

/// How long something may take that happens within a second or two, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const OWN: &str = "
rules:
  - id: door-forced
    title: A door was forced
    description: Somebody is where nobody should be.
    severity: high
    when: event_name:door.force
    by: [host]
    message: 'the door of {host} was forced'
    tests:
      - name: once
        events: [{event_name: door.force, host: gate}]
        alerts: [{group: {host: gate}, message: the door of gate}]
";

const SIGMA: &str = "
title: Somebody walks out of the web root
id: 5b8a2f9e-0000-4000-8000-000000000042
status: test
logsource:
    category: webserver
detection:
    selection:
        cs-uri-query|contains: '../'
    condition: selection
level: critical
";

/// A receiver of web hooks that keeps the events it is sent, alone or many in a body.
struct Hook {
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    fn start() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Hook { port: listener.local_addr().unwrap().port(), taken: Arc::default() };
        let taken = Arc::clone(&hook.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    // Whoever was killed while it spoke sent nothing.
                    if stream.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    let line = line.to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                if length == 0 || stream.read_exact(&mut body).is_err() {
                    continue;
                }
                match serde_json::from_slice(&body).unwrap() {
                    Value::Array(events) => taken.lock().unwrap().extend(events),
                    event => taken.lock().unwrap().push(event),
                }
                let _ = stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        hook
    }

    /// Name and alert of each event, in the order in which they came.
    fn taken(&self) -> Vec<(String, String)> {
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|event| (text(event, "event_name"), text(event, "resource"))).collect()
    }

    fn sink(&self, format: &str) -> String {
        format!(
            "webhook: {{url: 'http://127.0.0.1:{}/hook', format: {format}, allow_private: true}}",
            self.port
        )
    }
}

/// A server with these rules and sinks that has begun to look. What was there before is nobody's alert.
fn watched(rules: &[(&str, &str)], sinks: &[(&str, String, &str)]) -> (Scenario, Client) {
    let mut scenario = Scenario::new(ATTESTRY);
    let folder = scenario.dir().join("rules");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in rules {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut config = format!("rules: {{folders: ['{}'], starter: false}}\nsinks:\n", folder.display());
    for (name, sink, include) in sinks {
        config.push_str(&format!(
            "  {name}:\n    {sink}\n    methods: {{include: [{include}]}}\n    start: now\n    retry: {{first: 100ms, most: 500ms}}\n    batch: {{wait: 100ms}}\n"
        ));
    }
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    wait_for("the rules are in force", SOON, || (reader.count("event_name:rules.load") == 1).then_some(()));
    (scenario, reader)
}

fn alerts(reader: &Client, state: &str) -> Vec<Value> {
    let answer = reader.get("/api/v1/alerts", &[("state", state)]).is(200).json();
    answer["alerts"].as_array().unwrap().clone()
}

/// The alert of a rule and host that is open or silenced.
fn alert(reader: &Client, rule: &str, host: &str) -> Option<Value> {
    alerts(reader, "active").into_iter().find(|alert| alert["rule"] == rule && alert["host"] == host)
}

/// Each once: a sink that was killed may send again what it has sent, with the same id.
fn once(taken: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    taken.into_iter().filter(|step| seen.insert(step.clone())).collect()
}

/// How many steps of alerts each sink took, as it is recorded.
fn recorded(reader: &Client) -> BTreeMap<String, u64> {
    let mut by_sink = BTreeMap::new();
    for found in reader.search("event_name:notice.sent") {
        let data = &found["event"]["event_data"];
        *by_sink.entry(data["sink"].as_str().unwrap().to_owned()).or_default() +=
            data["events"].as_u64().unwrap();
    }
    by_sink
}

#[test]
fn an_alert_is_found_told_seen_to_and_survives_a_kill() {
    let (authority, hook) = (Authority::new(), Hook::start());
    let mails = SmtpServer::start(Some(&authority.server()));
    let rsyslog = Rsyslog::started(|dir, port| {
        let file = dir.join("seen").display().to_string();
        format!(
            "module(load=\"imtcp\")\ntemplate(name=\"seen\" type=\"string\" string=\"%msgid%|%msg%\\n\")\n\
             ruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{file}\" template=\"seen\") }}\n\
             input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\" ruleset=\"all\")"
        )
    });
    let mail = format!(
        "mail: {{host: 127.0.0.1, port: {}, ca: {}, from: attestry@example.org, to: [oncall@example.org]}}",
        mails.port(),
        authority.ca().display()
    );
    let syslog = format!("syslog: {{address: 'tcp://127.0.0.1:{}'}}", rsyslog.port());
    let (mut scenario, reader) = watched(
        &[("own.yaml", OWN), ("sigma.yml", SIGMA)],
        &[
            ("oncall", mail, "alert.all"),
            ("pager", hook.sink("single"), "alert.open, alert.resolve"),
            ("siem", syslog, "alert.all"),
        ],
    );
    scenario
        .attestry(&["rules", "list"])
        .is(0)
        .says("door-forced")
        .says("2 in force, 0 not applicable, 0 refused");
    scenario.attestry(&["rules", "test"]).is(0).says("ok     door-forced: once").says("1 cases, 0 failed");
    scenario.attestry(&["rules", "alerts"]).is(0).says("no alert is open");

    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let force =
        |host: &str| writer.store(&json!({"event_name": "door.force", "username": "eve", "host": host}));
    force("gate");
    writer.store(&json!({"event_name": "http.request", "username": "-", "host": "web1", "event_data": {
        "method": "GET", "path": "/download", "query": "file=../../etc/passwd", "status": 200,
    }}));
    let found = |rule: &str, host: &str| {
        let found = wait_for(rule, SOON, || alert(&reader, rule, host));
        (found["id"].as_str().unwrap().to_owned(), found)
    };
    let (door, shown) = found("door-forced", "gate");
    assert_eq!((&shown["level"], &shown["message"]), (&"high".into(), &"the door of gate was forced".into()));
    let (web, shown) = found("5b8a2f9e-0000-4000-8000-000000000042", "web1");
    assert_eq!((&shown["level"], &shown["state"]), (&"critical".into(), &"open".into()));

    // Everybody is told, and it is recorded that they were.
    let told = |sink: &str, count: u64| {
        let what = format!("{sink} has taken {count}");
        wait_for(&what, SOON, || (recorded(&reader).get(sink) >= Some(&count)).then_some(()));
    };
    ["oncall", "pager", "siem"].iter().for_each(|sink| told(sink, 2));
    let opened = |alert: &str| ("alert.open".to_owned(), alert.to_owned());
    assert_eq!(hook.taken(), [opened(&door), opened(&web)]);
    let mailed =
        || mails.said().iter().filter(|said| said.taken).map(|said| said.message()).collect::<String>();
    assert!(mailed().contains("the door of gate was forced"), "{}", mailed());
    let lines = rsyslog.lines("seen", 2);
    assert!(lines.iter().any(|line| line.starts_with("alert.open|") && line.contains("the door of gate")));
    let of_pager = reader.search("event_name:notice.sent resource:pager");
    let named: BTreeSet<&str> = of_pager
        .iter()
        .flat_map(|found| found["event"]["event_data"]["alerts"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(named, BTreeSet::from([door.as_str(), web.as_str()]));

    // What led to it, and what the rules would have found in what is there.
    scenario
        .attestry(&["rules", "explain", &door])
        .is(0)
        .says("Somebody is where nobody should be.")
        .says("door.force")
        .says("alert.open");
    let backtest = scenario.attestry(&["rules", "backtest", "--since", "1h", "--json"]).is(0).out;
    let would: Vec<Value> = backtest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(texts(&would, "/alert"), [&door, &web]);

    // Somebody sees to them.
    scenario.attestry(&["rules", "ack", &door, "--reason", "on my way"]).is(0);
    assert_eq!(alert(&reader, "door-forced", "gate").unwrap()["state"], "acknowledged");
    scenario
        .attestry(&["rules", "silence", &door, "--until", "+4h", "--reason", "the locksmith is there"])
        .is(0);
    scenario.attestry(&["rules", "resolve", &web, "--reason", "it was a scanner"]).is(0);
    scenario.attestry(&["rules", "resolve", &web]).is(1).says("was resolved at");
    told("oncall", 5);
    told("siem", 5);
    told("pager", 3);
    assert_eq!(hook.taken().last(), Some(&("alert.resolve".to_owned(), web.clone())));
    scenario.attestry(&["rules", "alerts"]).is(0).says("silenced");
    scenario.attestry(&["rules", "explain", &web]).is(0).says("resolved").says("alert.resolve");

    // A kill right after something was acknowledged: it is found after the start, once, and nothing else is told again.
    force("gate");
    force("cellar");
    scenario.kill();
    scenario.start();
    let (cellar, _) = found("door-forced", "cellar");
    told("pager", 4);
    told("siem", 6);
    assert_eq!(once(hook.taken()).split_off(3), [opened(&cellar)]);
    let silenced = alert(&reader, "door-forced", "gate").unwrap();
    assert_eq!((&silenced["id"], &silenced["state"]), (&door.as_str().into(), &"silenced".into()));
    let resolved = alerts(&reader, "resolved");
    assert_eq!(texts(&resolved, "/id"), [&web]);
    // And once more, without the list: it follows from the ledger.
    scenario.kill();
    let mut steps = steps_of(&scenario);
    let mut taken = once(hook.taken());
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(scenario.data().join(format!("index/alerts.sqlite{end}")));
    }
    scenario.start();
    wait_for("the list is there again", SOON, || {
        (alert(&reader, "door-forced", "cellar")?["id"] == cellar.as_str()).then_some(())
    });
    force("roof");
    let (roof, _) = found("door-forced", "roof");
    steps.push(opened(&roof));
    taken.push(opened(&roof));
    wait_for("the pager hears of it", SOON, || (once(hook.taken()) == taken).then_some(()));
    scenario.stop();
    assert_eq!(steps_of(&scenario), steps);
    scenario.finish();
}

/// Every step of an alert that the ledger has: its name and the alert.
fn steps_of(scenario: &Scenario) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    stored::each(scenario, |entry| {
        if entry.event_name().starts_with("alert.") {
            let alert = entry.field(Field::Resource).unwrap_or_default();
            steps.push((entry.event_name().into_owned(), alert.into_owned()));
        }
    });
    steps
}

const FLOOD: u64 = 10_000;
/// Those who post ordinary events while the alerts are opened and sent, the requests that each makes at least, and the events in each.
const POSTERS: u64 = 2;
const POSTS: usize = 150;
const EVENTS: u64 = 20;
/// What an acknowledgement may take longer, 99 of 100 times, while alerts are opened: on two cores the rules and the sink take time, but nobody waits for
/// them, which would be seconds.
const SLOWER: f64 = 5.0;
const SLOWER_BY: Duration = Duration::from_millis(300);

/// The time that 99 of 100 requests took at most.
struct Acknowledged {
    /// Of those that began before all alerts were opened.
    opening: Duration,
    /// Of all, until the last alert was sent.
    all: Duration,
}

/// The id of an ordinary event: of which poster, in which of its requests, and where in that.
fn order(poster: u64, post: usize, event: u64) -> String {
    format!("order-{poster}-{post}-{event}")
}

/// Posts ordinary events until it is over; gives how long each request took, and whether alerts were still being opened.
fn post(writer: &Client, poster: u64, opened: &AtomicBool, over: &AtomicBool) -> Vec<(Duration, bool)> {
    let mut times = Vec::new();
    while times.len() < POSTS || !over.load(Ordering::Relaxed) {
        let line = |event: u64| {
            let id = order(poster, times.len(), event);
            json!({"event_id": id, "event_name": "order.place", "username": "alice"}).to_string() + "\n"
        };
        let body: String = (0..EVENTS).map(line).collect();
        let (begun, opening) = (Instant::now(), !opened.load(Ordering::Relaxed));
        writer.post("/api/v1/events", "application/x-ndjson", body).is(201);
        times.push((begun.elapsed(), opening));
    }
    times
}

/// Posts 10,000 events of this name at once and others all the while, which are all there at the end.
fn flooded(name: &str) -> Acknowledged {
    let hook = Hook::start();
    let (mut scenario, reader) = watched(&[("own.yaml", OWN)], &[("pager", hook.sink("array"), "alert.all")]);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let doors = scenario.client(&scenario.key(&["doors", "--write"]));
    let expected = if name == "door.force" { FLOOD } else { 0 };
    let (opened, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let times: Vec<Vec<(Duration, bool)>> = std::thread::scope(|scope| {
        let (writer, opened, over) = (&writer, &opened, &over);
        let posters: Vec<_> =
            (0..POSTERS).map(|poster| scope.spawn(move || post(writer, poster, opened, over))).collect();
        let begun = Instant::now();
        for block in 0..FLOOD / 500 {
            let line = |nth: u64| {
                let host = format!("door-{}", block * 500 + nth);
                json!({"event_name": name, "username": "eve", "host": host}).to_string() + "\n"
            };
            let body: String = (0..500).map(line).collect();
            doors.post("/api/v1/events", "application/x-ndjson", body).is(201);
        }
        wait_for("all alerts are opened within a minute", Duration::from_secs(60), || {
            std::thread::sleep(Duration::from_millis(200));
            (reader.count("event_name:alert.open") == expected).then_some(())
        });
        opened.store(true, Ordering::Relaxed);
        let within = begun.elapsed();
        wait_for("all alerts are sent, and it is recorded", 2 * SOON, || {
            std::thread::sleep(Duration::from_millis(200));
            let told = recorded(&reader).get("pager").copied().unwrap_or_default();
            (told == expected && hook.taken().len() as u64 == expected).then_some(())
        });
        over.store(true, Ordering::Relaxed);
        #[allow(clippy::print_stdout, reason = "figures for whoever wants them")]
        {
            println!("{name}: {expected} alerts opened after {within:?}, sent after {:?}", begun.elapsed());
        }
        posters.into_iter().map(|poster| poster.join().unwrap()).collect()
    });
    scenario.stop();

    let posts =
        (0..POSTERS).zip(&times).flat_map(|(poster, times)| (0..times.len()).map(move |post| (poster, post)));
    let mut missing: BTreeSet<String> =
        posts.flat_map(|(poster, post)| (0..EVENTS).map(move |event| order(poster, post, event))).collect();
    let mut alerts = BTreeSet::new();
    stored::each(&scenario, |entry| {
        assert!(!stored::is_gap(entry), "{}: {:?}", entry.event_name(), entry.event_data_text());
        match &*entry.event_name() {
            "order.place" => {
                assert!(missing.remove(&*entry.event_id()), "{} is there twice", entry.event_id())
            }
            "alert.open" => {
                assert!(alerts.insert(entry.field(Field::Resource).unwrap_or_default().into_owned()));
            }
            _ => {}
        }
    });
    assert!(missing.is_empty(), "acknowledged and not there: {missing:?}");
    let sent: BTreeSet<String> = hook.taken().into_iter().map(|(_, alert)| alert).collect();
    assert_eq!((alerts.len() as u64, &sent), (expected, &alerts));
    scenario.finish();

    let p99 = |which: &dyn Fn(bool) -> bool| {
        let of = times.iter().flatten().filter(|(_, opening)| which(*opening)).map(|(time, _)| *time);
        let mut of: Vec<Duration> = of.collect();
        of.sort_unstable();
        let found = of[(of.len() - 1) * 99 / 100];
        #[allow(clippy::print_stdout, reason = "figures for whoever wants them")]
        {
            println!(
                "{name}: {} requests, p50 {:?}, p99 {found:?}, most {:?}",
                of.len(),
                of[of.len() / 2],
                of.last()
            );
        }
        found
    };
    Acknowledged { opening: p99(&|opening| opening), all: p99(&|_| true) }
}

#[test]
fn ten_thousand_alerts_in_a_minute_lose_and_hold_up_no_event() {
    let (without, with) = (flooded("door.open"), flooded("door.force"));
    for (without, with) in [(without.opening, with.opening), (without.all, with.all)] {
        let most = without.mul_f64(SLOWER) + SLOWER_BY;
        assert!(
            with <= most,
            "99 of 100 were acknowledged within {with:?}, without alerts within {without:?}"
        );
    }
}
