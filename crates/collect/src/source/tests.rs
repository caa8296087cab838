use std::{
    collections::{BTreeSet, HashMap},
    sync::{Barrier, mpsc},
    time::Instant,
};

use serde_json::json;

use super::*;
use crate::{Positions, auth, built_in, host, logins, packages, proof::Host};

fn feed(setup: &Setup) -> Feed {
    Feed::new(setup.clone(), Arc::new(Status::default()), Stop::default())
}

#[test]
fn the_built_in_sources_say_what_they_are() {
    let kinds: BTreeSet<&str> = built_in().iter().map(|source| source.kind()).collect();
    assert_eq!(kinds.len(), built_in().len(), "the name of a kind is its own");
    for source in built_in() {
        assert!(!source.needs().is_empty());
        assert_eq!(source.check(), [], "{source:?}: its defaults are right");
    }
}

#[test]
fn availability_says_what_is_missing() {
    let host = Host::new();
    let setup = host.setup("host");
    for (source, missing) in [
        (Box::new(packages::Config::default()) as Box<dyn Source>, "dpkg.log"),
        (Box::new(logins::Config::default()) as Box<dyn Source>, "wtmp"),
        (Box::new(auth::Config::default()) as Box<dyn Source>, "auth.log"),
        (Box::new(host::Config::default()) as Box<dyn Source>, "loadavg"),
    ] {
        let availability = source.availability(&setup.paths);
        assert!(!availability.on && availability.why.contains(missing), "{source:?}: {availability:?}");
    }
    host.append("dpkg.log", "");
    host.append("btmp", "");
    host.append("secure", "");
    for (source, what) in [
        (Box::new(packages::Config::default()) as Box<dyn Source>, "dpkg.log"),
        (Box::new(logins::Config::default()) as Box<dyn Source>, "btmp"),
        (Box::new(auth::Config::default()) as Box<dyn Source>, "secure"),
    ] {
        let availability = source.availability(&setup.paths);
        assert!(availability.on && availability.why.contains(what), "{source:?}: {availability:?}");
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
    let mut setup = Host::new().setup("host");
    setup.outlet = batches.clone();
    setup.position = Some(json!("old"));
    let mut feed = feed(&setup);
    for _ in 0..2 * BATCH_EVENTS + 1 {
        feed.push(Event::new("host.stats", "-"));
    }
    feed.send(|| json!("new")).unwrap();
    feed.send(|| panic!("nothing is there")).unwrap();
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
    let mut feed = feed(&host.setup("auth"));
    feed.lose(Gap { file: "/var/log/auth.log".into(), reason: "was removed".into() });
    feed.send(|| Value::Null).unwrap();
    assert_eq!(feed.status().losses(), 1);
    let events = host.kept.events.lock().unwrap();
    assert_eq!(events[0].event_name, "gap.collect");
    assert_eq!(events[0].message.as_deref(), Some("/var/log/auth.log was removed"));
}

#[test]
fn a_resident_source_looks_at_once_and_ends_when_told() {
    let host = Host::new();
    let mut setup = host.setup("host");
    setup.paths.proc = "/proc".into();
    let running = start(Box::new(host::Config::default()), setup).unwrap();
    let started = Instant::now();
    while running.status().events() == 0 && started.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(running.status().last_event().is_some() && !running.ended());
    running.signal();
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
    let running = start(Box::new(packages::Config::default()), host.setup("packages")).unwrap();
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
    let mut setup = host.setup("packages");
    setup.outlet = slow.clone();
    let running = start(Box::new(packages::Config::default()), setup).unwrap();
    for size in [1_000, 1_000, 500] {
        assert_eq!(sizes.recv_timeout(Duration::from_secs(10)).unwrap(), size);
        assert!(sizes.try_recv().is_err(), "the next batch waits");
        slow.go.wait();
    }
    running.stop();
}

/// Crashes at one batch: after the events are durable, before the position is kept; or before both.
struct Crashing {
    positions: Positions,
    stored: Mutex<Vec<Event>>,
    batches: Mutex<usize>,
    at: usize,
    persisted: bool,
}

impl Outlet for Crashing {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        let mut batches = self.batches.lock().unwrap();
        *batches += 1;
        let crash = *batches == self.at;
        if !crash || self.persisted {
            self.stored.lock().unwrap().extend(events);
        }
        if crash {
            return Err(Stopped);
        }
        self.positions.save(source, &position).unwrap();
        Ok(())
    }
}

#[test]
fn a_crash_at_any_batch_loses_nothing_and_repeats_only_ids() {
    let host = Host::new();
    // Every third action ends only some hundred lines later, so that batches end with open ones.
    let line = |n: u32, what: &str| format!("2026-05-09 08:{:02}:{:02} {what}\n", n / 60 % 60, n % 60);
    let mut log = String::new();
    for n in 0..3_300 {
        log += &line(n, &format!("remove p{n}:a 1 <none>"));
        if n % 3 != 0 {
            log += &line(n, &format!("status not-installed p{n}:a"));
        }
        if n >= 300 && n % 3 == 0 {
            log += &line(n, &format!("status not-installed p{}:a", n - 300));
        }
    }
    host.append("dpkg.log", &log);
    host.append(
        "auth.log",
        (0..2_500)
            .map(|n| format!("Jan  2 03:{:02}:{:02} h su: (to root) u{n} on pts/0\n", n / 60, n % 60))
            .collect::<String>(),
    );
    for source in built_in().into_iter().filter(|source| ["packages", "auth"].contains(&source.kind())) {
        let source = &*source;
        let name = source.kind();
        let run = |at: usize, persisted: bool| {
            let folder = host.folder.path().join(format!("{name}-{at}-{persisted}"));
            let positions = Positions::open(folder).unwrap();
            let outlet = Arc::new(Crashing {
                positions,
                stored: Mutex::default(),
                batches: Mutex::default(),
                at,
                persisted,
            });
            let start = || {
                let mut setup = host.setup(name);
                setup.outlet = outlet.clone();
                setup.position = outlet.positions.load(name).unwrap();
                once(source, setup)
            };
            let crashed = start().is_err();
            if crashed {
                start().unwrap();
            }
            let stored = outlet.stored.lock().unwrap().clone();
            (stored, crashed)
        };
        let (whole, _) = run(0, false);
        assert!(whole.len() > 2 * BATCH_EVENTS);
        for at in 1..=whole.len().div_ceil(BATCH_EVENTS) {
            for persisted in [false, true] {
                let (stored, crashed) = run(at, persisted);
                assert!(crashed);
                let mut by_id: HashMap<&str, &Event> = HashMap::new();
                for event in &stored {
                    let id = event.event_id.as_deref().unwrap();
                    assert_eq!(**by_id.entry(id).or_insert(event), *event, "an id means one event");
                }
                assert_eq!(by_id.len(), whole.len(), "{name}, crash at {at}");
                if !persisted {
                    assert_eq!(stored.len(), whole.len(), "{name}, crash at {at}: nothing twice");
                }
            }
        }
    }
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
    let mut setup = host.setup("host");
    setup.paths.proc = "/proc".into();
    setup.outlet = Arc::new(Broken);
    let running = start(Box::new(host::Config::default()), setup).unwrap();
    let status = running.status().clone();
    running.stop();
    assert!(status.problem().unwrap().contains("bug"));
}
