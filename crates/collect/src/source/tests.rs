use std::{
    sync::{Barrier, mpsc},
    time::Instant,
};

use serde_json::json;

use super::*;
use crate::proof::Host;

fn feed(setup: &Setup) -> Feed {
    Feed::new(setup.clone(), Arc::new(Status::default()), Stop::default())
}

#[test]
fn every_source_is_found_by_its_name() {
    for source in Source::ALL {
        assert_eq!(Source::from_name(source.name()), Some(source));
        assert!(!source.needs().is_empty());
    }
    assert_eq!(Source::from_name("Auth"), None);
}

#[test]
fn availability_says_what_is_missing() {
    let host = Host::new();
    let setup = host.setup(Source::Host);
    for (source, missing) in [
        (Source::Packages, "dpkg.log"),
        (Source::Logins, "wtmp"),
        (Source::Auth, "auth.log"),
        (Source::Host, "loadavg"),
    ] {
        let availability = source.availability(&setup.paths);
        assert!(!availability.on && availability.why.contains(missing), "{source}: {availability:?}");
    }
    host.append("dpkg.log", "");
    host.append("btmp", "");
    host.append("secure", "");
    for (source, what) in [(Source::Packages, "dpkg.log"), (Source::Logins, "btmp"), (Source::Auth, "secure")]
    {
        let availability = source.availability(&setup.paths);
        assert!(availability.on && availability.why.contains(what), "{source}: {availability:?}");
    }
}

/// Remembers how many events came with which position.
#[derive(Default)]
struct Batches(Mutex<Vec<(usize, Value)>>);

impl Outlet for Batches {
    fn send(&self, _source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        self.0.lock().unwrap().push((events.len(), position));
        Ok(())
    }
}

#[test]
fn only_the_last_part_of_what_belongs_together_moves_the_position() {
    let batches = Arc::new(Batches::default());
    let mut setup = Host::new().setup(Source::Host);
    setup.outlet = batches.clone();
    setup.position = Some(json!("old"));
    let mut feed = feed(&setup);
    for _ in 0..2 * BATCH_EVENTS + 1 {
        feed.push(Event::new("host.stats", "-"));
    }
    feed.send(json!("new")).unwrap();
    feed.send(json!("newer")).unwrap();
    feed.push(Event::new("host.stats", "-"));
    feed.send_when_full(|| panic!("not full")).unwrap();
    assert_eq!(
        *batches.0.lock().unwrap(),
        [(BATCH_EVENTS, json!("old")), (BATCH_EVENTS, json!("old")), (1, json!("new"))]
    );
    assert_eq!(feed.status().events(), 2 * BATCH_EVENTS as u64 + 1);
}

#[test]
fn a_loss_is_counted_and_said() {
    let host = Host::new();
    let mut feed = feed(&host.setup(Source::Auth));
    feed.lose(Gap { file: "/var/log/auth.log".into(), reason: "was removed".into() });
    feed.send(Value::Null).unwrap();
    assert_eq!(feed.status().losses(), 1);
    let events = host.kept.events.lock().unwrap();
    assert_eq!(events[0].event_name, "gap.collect");
    assert_eq!(events[0].message.as_deref(), Some("/var/log/auth.log was removed"));
}

#[test]
fn a_resident_source_looks_at_once_and_ends_when_told() {
    let host = Host::new();
    let mut setup = host.setup(Source::Host);
    setup.paths.proc = "/proc".into();
    let running = start(Source::Host, setup).unwrap();
    let started = Instant::now();
    while running.status().events() == 0 && started.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(running.status().last_event().is_some() && !running.ended());
    running.stop();
    assert!(started.elapsed() < Duration::from_secs(10), "not after its 60 s");
}

#[test]
fn an_outlet_that_refuses_ends_the_source() {
    let host = Host::new();
    host.append(
        "dpkg.log",
        "2026-05-09 08:00:00 install x:a <none> 1\n2026-05-09 08:00:00 status installed x:a 1\n",
    );
    *host.kept.refuse_after.lock().unwrap() = Some(0);
    let running = start(Source::Packages, host.setup(Source::Packages)).unwrap();
    let started = Instant::now();
    while !running.ended() && started.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(running.ended());
    assert_eq!((running.status().events(), running.status().problem()), (0, None));
}

/// Blocks in `send` until let go, as an outlet does whose disk is slow.
struct Slow {
    entered: Mutex<mpsc::Sender<usize>>,
    go: Barrier,
}

impl Outlet for Slow {
    fn send(&self, _source: &str, events: Vec<Event>, _position: Value) -> Result<(), Stopped> {
        self.entered.lock().unwrap().send(events.len()).unwrap();
        self.go.wait();
        Ok(())
    }
}

#[test]
fn a_slow_outlet_holds_the_source_back() {
    let host = Host::new();
    let lines = |n: u32| {
        format!(
            "2026-05-09 08:00:00 remove p{n}:a 1 <none>\n2026-05-09 08:00:00 status not-installed p{n}:a\n"
        )
    };
    host.append("dpkg.log", (0..2_500).map(lines).collect::<String>());
    let (entered, sizes) = mpsc::channel();
    let slow = Arc::new(Slow { entered: Mutex::new(entered), go: Barrier::new(2) });
    let mut setup = host.setup(Source::Packages);
    setup.outlet = slow.clone();
    let running = start(Source::Packages, setup).unwrap();
    for size in [1_000, 1_000, 500] {
        assert_eq!(sizes.recv_timeout(Duration::from_secs(10)).unwrap(), size);
        assert!(sizes.try_recv().is_err(), "the next batch waits");
        slow.go.wait();
    }
    running.stop();
}

struct Broken;

impl Outlet for Broken {
    fn send(&self, _source: &str, _events: Vec<Event>, _position: Value) -> Result<(), Stopped> {
        panic!("a bug")
    }
}

#[test]
fn a_source_that_dies_of_a_bug_says_so() {
    let host = Host::new();
    let mut setup = host.setup(Source::Host);
    setup.paths.proc = "/proc".into();
    setup.outlet = Arc::new(Broken);
    let running = start(Source::Host, setup).unwrap();
    let status = running.status().clone();
    running.stop();
    assert!(status.problem().unwrap().contains("bug"));
}
