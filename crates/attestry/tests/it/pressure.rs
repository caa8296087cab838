//! More than the server can take: too much at once, and a disk with no room left.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use attestry_testkit::{Answer, Client, Scenario, SmallDisk, wait_for};

use crate::{ATTESTRY, SOON, event};

/// Bytes of the largest body.
const BODY_MAX: usize = 32 << 20;
/// Bytes that may wait to be committed, and one batch beyond it: the most that a full queue holds.
const QUEUE_MAX: f64 = (64 << 20) as f64;

/// Begins a body of the largest size and does not go on: the server keeps room for all of it.
fn unfinished(scenario: &Scenario, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", scenario.port())).unwrap();
    write!(
        stream,
        "POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: {BODY_MAX}\r\n\r\n",
        scenario.port()
    )
    .unwrap();
    stream
}

/// Begins such bodies until there is no room for another request, whose answer is given. One that finds the room taken by the requests that ask is
/// refused, so it is not told beforehand how many that takes.
#[track_caller]
fn without_room(scenario: &Scenario, key: &str, id: &str) -> (Vec<TcpStream>, Answer) {
    let (writer, mut held) = (scenario.client(key), Vec::new());
    let refused = wait_for("a small request is refused", SOON, || {
        held.push(unfinished(scenario, key));
        std::thread::sleep(Duration::from_millis(20));
        Some(writer.post_json("/api/v1/events", &event(id))).filter(|answer| answer.status != 201)
    });
    (held, refused.is(503))
}

/// Ends a watch when the test ends, well or not.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// So many events of about 3 KiB each, as NDJSON.
fn large_lines(prefix: &str, count: usize) -> String {
    let message = "word ".repeat(600);
    let line = |number| {
        format!(
            "{{\"event_id\":\"{prefix}-{number}\",\"event_name\":\"load.test\",\"username\":\"-\",\"message\":\"{message}\"}}\n"
        )
    };
    (0..count).map(line).collect()
}

#[track_caller]
fn queued(anonymous: &Client) -> f64 {
    let metrics = anonymous.get("/metrics", &[]).is(200).text();
    let line = metrics.lines().find(|line| line.starts_with("attestry_ledger_queue_bytes{ledger=\"audit\"}"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn overloaded_it_tells_senders_to_come_back_and_loses_nothing() {
    const SENDERS: usize = 6;
    const EVENTS: usize = 2_500;
    let scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let writer = scenario.client(&key);
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    writer.store(&event("before"));
    let (held, refused) = without_room(&scenario, &key, "refused");
    assert_eq!((refused.header("retry-after"), &refused.json()["status"]), ("1", &503.into()));
    assert!(refused.text().contains("/docs#problem-overloaded"), "{}", refused.text());
    // Whoever only asks is answered.
    assert_eq!(reader.count("event_id:before"), 1);
    drop(held);
    wait_for("the room is given back", SOON, || {
        (writer.post_json("/api/v1/events", &event("after")).status == 201).then_some(())
    });

    // Senders for whom there is no room at first, each of which comes back as it is told.
    let (held, _) = without_room(&scenario, &key, "filler");
    let (turned_away, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let send = |sender: usize| {
        let body = large_lines(&format!("load-{sender}"), EVENTS);
        loop {
            // Who is still sending when he is refused may see the connection end rather than the answer.
            let wait = match writer.try_post("/api/v1/events", "application/x-ndjson", &body) {
                Ok(answer) if answer.status == 201 => return,
                Ok(answer) => answer.is(503).header("retry-after").parse().unwrap(),
                Err(_) => 1,
            };
            turned_away.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_secs(wait));
        }
    };
    let most = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (anonymous, mut most) = (scenario.anonymous(), 0.0_f64);
            while !done.load(Ordering::Relaxed) {
                most = most.max(queued(&anonymous));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let ends = Done(&done);
        let send = &send;
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        wait_for("they are turned away", SOON, || {
            (turned_away.load(Ordering::Relaxed) >= SENDERS as u64).then_some(())
        });
        drop(held);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        drop(ends);
        watch.join().unwrap()
    });
    assert!(most <= QUEUE_MAX, "{most} bytes waited to be committed");
    assert_eq!(reader.count("event_name:load.test"), (SENDERS * EVENTS) as u64);
    assert_eq!(reader.count("event_id:after"), 1);
    scenario.finish();
}

#[test]
fn on_a_full_tmpfs_it_refuses_writes_answers_searches_and_recovers_by_itself() {
    let disk = SmallDisk::new(192);
    let mut scenario = Scenario::new(ATTESTRY);
    scenario.use_data(&disk.path().join("data"));
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let proven = writer.post_json("/api/v1/events?wait=checkpoint", &event("before")).is(201).json();
    scenario.pin("audit");
    disk.fill();
    // What the journal has allocated already is still used; then there is no more, for less and less.
    let mut acknowledged = 0;
    let mut until_refused = |events: usize| loop {
        let body = large_lines(&format!("full-{acknowledged}"), events);
        let answer = writer.post("/api/v1/events", "application/x-ndjson", body);
        if answer.status != 201 {
            break answer.is(503);
        }
        acknowledged += events as u64;
        assert!(acknowledged < 100_000, "the disk is full and takes everything");
    };
    until_refused(300);
    until_refused(20);
    let refused = until_refused(1);
    let told = refused.json();
    assert_eq!(told["detail"], "the server's disk is full; nothing was stored");
    assert_eq!((&told["title"], refused.header("retry-after")), (&"Not available right now".into(), "60"));
    // What reads needs no room.
    assert_eq!(reader.count("event_name:load.test"), acknowledged);
    assert_eq!(reader.search("event_id:before")[0]["index"], proven["events"][0]["index"]);
    reader.get("/api/v1/events/before/proof", &[]).is(200);
    reader.get("/log/audit/checkpoint", &[]).is(200);
    scenario.anonymous().get("/healthz", &[]).is(200);

    disk.free();
    wait_for("events are taken again", SOON, || {
        (writer.post_json("/api/v1/events?wait=checkpoint", &event("after")).status == 201).then_some(())
    });
    assert_eq!(reader.count("event_name:load.test"), acknowledged);
    assert_eq!(reader.count("event_id:after"), 1);
    // What was asked meanwhile is recorded now.
    let asked = "event_name:search.run username:reader event_data.q:\"event_name:load.test\"";
    wait_for("the searches are recorded", SOON, || (reader.count(asked) > 0).then_some(()));
    scenario.stop();
    scenario.start();
    assert_eq!(reader.count("event_name:load.test"), acknowledged);
    scenario.finish();
}
