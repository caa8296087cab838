use std::time::{Duration, Instant};

use attestry_event::{Batch, Border, Entry, ManualClock};
use attestry_ledger::{DataDir, OnConflict, Options as LedgerOptions};
use attestry_server::alerts::{Act, AlertState, Alerts, AlertsError, Deed, States, Wanted};

use super::*;

const START: Nanos = Nanos(1_790_000_000_000_000_000);

struct Scene {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    ledgers: Vec<LedgerPart>,
    _data: DataDir,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(START));
        let data = DataDir::open(dir.path()).unwrap();
        let open = |name: &str| {
            let clock = Arc::clone(&clock) as Arc<dyn Clock>;
            let (ledger, _) = data.ledger(name, clock, LedgerOptions::default()).unwrap();
            LedgerPart { ledger: Arc::new(ledger), public: false, retention: None }
        };
        let ledgers = vec![open("audit"), open("logs")];
        Scene { dir, clock, ledgers, _data: data }
    }

    fn write(&self, ledger: usize, events: &[String]) {
        let border = Border {
            event_source: "test",
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: false,
            now: self.clock.now(),
        };
        let mut batch = Batch::new();
        for event in events {
            batch.push_json(event.as_bytes(), &border).unwrap();
        }
        self.ledgers[ledger].ledger.append(batch, OnConflict::RefuseBatch).unwrap();
    }

    fn start(&self, rules: &str) -> Arc<Watching> {
        let folder = self.dir.path().join("rules");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.yaml"), rules).unwrap();
        let options = Options { folders: vec![folder], starter: false, ..Options::default() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Watching::start(&options, &self.ledgers, self.dir.path(), &clock).unwrap()
    }

    /// Steps of alerts in the ledger: name, alert, count.
    fn steps(&self) -> Vec<(String, String, u64)> {
        let audit = &self.ledgers[0].ledger;
        let mut steps = Vec::new();
        audit
            .scan(0, u64::MAX, &mut |_, bytes| {
                let entry = Entry::parse(bytes).unwrap();
                if entry.event_name().starts_with("alert.") {
                    let data: serde_json::Value =
                        serde_json::from_str(entry.event_data_text().unwrap()).unwrap();
                    let alert = data["alert"].as_str().unwrap().to_owned();
                    steps.push((entry.event_name().into_owned(), alert, data["count"].as_u64().unwrap_or(0)));
                }
            })
            .unwrap();
        steps
    }

    /// Lets everything settle, and waits until the rules have seen it.
    fn settle(&self, watching: &Watching) {
        self.clock.advance(Duration::from_secs(2));
        let until = Instant::now() + Duration::from_secs(20);
        // They have begun when they have told which they are; and what they write is news, too.
        let begun = || {
            Book::open_to_read(&file(self.dir.path()))
                .ok()
                .flatten()
                .is_some_and(|book| book.rules().is_ok_and(|rules| rules.is_some()))
        };
        while !begun() || watching.shared.behind() > 0 {
            assert!(Instant::now() < until, "the rules do not follow");
            std::thread::sleep(Duration::from_millis(5));
            self.clock.advance(Duration::from_millis(100));
        }
    }
}

const RULES: &str = "
rules:
  - {id: hit, title: A hit, severity: high, when: 'event_name:a.hit', by: [host]}
  - id: both
    title: Across ledgers
    by: [host]
    sequence: {within: 1h, steps: [{when: 'event_name:a.hit _ledger:audit'}, {when: 'event_name:a.log _ledger:logs'}]}
";

fn event(name: &str, host: &str) -> String {
    format!(r#"{{"event_name":"{name}","username":"u","host":"{host}"}}"#)
}

fn wanted(state: States) -> Wanted {
    Wanted { state, limit: 100, ..Wanted::default() }
}

/// Does it while time goes on: what is recorded has to settle before it is shown.
fn done(scene: &Scene, watching: &Watching, act: &Act) -> Result<(), AlertsError> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                scene.clock.advance(Duration::from_millis(100));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let result = watching.act(act);
        over.store(true, Ordering::Relaxed);
        result
    })
}

fn act(alert: &str, deed: Deed) -> Act {
    let (by, address) = ("dora".to_owned(), "192.0.2.1".to_owned());
    Act { alerts: vec![alert.to_owned()], deed, by, address, reason: "seen to".to_owned() }
}

#[test]
fn what_is_found_is_recorded_listed_and_seen_to() {
    let scene = Scene::new();
    // What was before there were rules is nobody's alert.
    scene.write(0, &[event("a.hit", "old")]);
    scene.clock.advance(Duration::from_secs(5));
    let watching = scene.start(RULES);
    scene.settle(&watching);
    assert_eq!(scene.steps(), []);
    scene.write(0, &[event("a.hit", "h1"), event("a.hit", "h1"), event("a.hit", "old")]);
    scene.settle(&watching);
    scene.write(1, &[event("a.log", "h1")]);
    scene.settle(&watching);
    let (alerts, counts) = watching.list(&wanted(States::Active)).unwrap();
    let found: Vec<(&str, &str, u64)> =
        alerts.iter().map(|alert| (alert.rule.as_str(), alert.group["host"].as_str(), alert.count)).collect();
    assert_eq!(found, [("both", "h1", 1), ("hit", "old", 1), ("hit", "h1", 1)]);
    assert_eq!((counts.open, counts.high, counts.critical), (3, 2, 0));
    // The second hit is told a minute after the first.
    scene.clock.advance(Duration::from_secs(61));
    scene.write(1, &[event("b.c", "x")]);
    scene.settle(&watching);
    let hit = alerts[2].id.clone();
    assert_eq!(watching.show(&hit).unwrap().count, 2);

    done(&scene, &watching, &act(&hit, Deed::Acknowledge)).unwrap();
    let shown = watching.show(&hit).unwrap();
    assert_eq!((shown.state, shown.acknowledged.unwrap().by.as_str()), (AlertState::Acknowledged, "dora"));
    let until = Nanos(scene.clock.now().0 + 3_600_000_000_000);
    done(&scene, &watching, &act(&hit, Deed::Silence(until))).unwrap();
    assert_eq!(watching.show(&hit).unwrap().state, AlertState::Silenced);
    done(&scene, &watching, &act(&hit, Deed::Resolve)).unwrap();
    let shown = watching.show(&hit).unwrap();
    let names: Vec<&str> = shown.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["alert.open", "alert.repeat", "alert.ack", "alert.silence", "alert.resolve"]);
    assert_eq!((shown.state, shown.resolved.unwrap().reason.as_str()), (AlertState::Resolved, "seen to"));
    let again = done(&scene, &watching, &act(&hit, Deed::Resolve)).unwrap_err();
    assert!(matches!(again, AlertsError::Done(_)), "{again}");
    let none = done(&scene, &watching, &act("nothing", Deed::Resolve)).unwrap_err();
    assert!(matches!(none, AlertsError::Unknown(_)), "{none}");
    // Silent, although it is resolved.
    let before = scene.steps().len();
    scene.write(0, &[event("a.hit", "h1")]);
    scene.settle(&watching);
    assert_eq!(scene.steps().len(), before);
    // Page by page.
    let first = Wanted { limit: 1, ..wanted(States::All) };
    let (page, _) = watching.list(&first).unwrap();
    assert_eq!(page.len(), 2);
    let (page, _) = watching.list(&Wanted { after: Some(page[0].id.clone()), ..first }).unwrap();
    assert_eq!(page[0].rule, "hit");
    watching.stop();
}

#[test]
fn nothing_is_found_twice_or_missed_whatever_is_lost() {
    let scene = Scene::new();
    let watching = scene.start(RULES);
    scene.settle(&watching);
    scene.write(0, &[event("a.hit", "h1"), event("a.hit", "h2")]);
    scene.settle(&watching);
    watching.stop();
    let before = scene.steps();
    assert_eq!(before.len(), 2);
    let list = || {
        let watching = scene.start(RULES);
        scene.settle(&watching);
        let found = format!("{:?}", watching.list(&wanted(States::All)).unwrap());
        watching.stop();
        found
    };
    let listed = list();
    // It goes on where it was; without the file, it comes to the same from the ledgers.
    let path = file(scene.dir.path());
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    assert_eq!(list(), listed);
    assert_eq!(scene.steps(), before);
    // A crash: what was found after the last save is found again, and stored once.
    let watching = scene.start(RULES);
    scene.settle(&watching);
    watching.stop();
    let saved = std::fs::read(&path).unwrap();
    let watching = scene.start(RULES);
    scene.write(0, &[event("a.hit", "h3")]);
    scene.settle(&watching);
    watching.stop();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    std::fs::write(&path, saved).unwrap();
    let after = scene.steps();
    assert_eq!(after.len(), before.len() + 1);
    let watching = scene.start(RULES);
    scene.settle(&watching);
    assert_eq!(scene.steps(), after);
    assert_eq!(watching.list(&wanted(States::All)).unwrap().0.len(), 3);
    // What happened while no rules ran is found afterwards.
    watching.stop();
    scene.write(0, &[event("a.hit", "h4")]);
    std::fs::write(&path, b"no database").unwrap();
    let watching = scene.start(RULES);
    scene.settle(&watching);
    watching.stop();
    assert_eq!(scene.steps().len(), after.len() + 1);
}

#[test]
fn a_list_that_is_made_again_is_what_the_ledger_tells_and_not_what_other_rules_would_have_found() {
    let scene = Scene::new();
    let watching = scene.start(RULES);
    scene.settle(&watching);
    let hits = |hosts: &[&str]| hosts.iter().map(|host| event("a.hit", host)).collect::<Vec<_>>();
    scene.write(0, &hits(&["kept", "silent", "both", "over"]));
    scene.write(1, &[event("a.other", "x")]);
    scene.settle(&watching);
    let named = |watching: &Watching, host: &str| {
        let (alerts, _) = watching.list(&wanted(States::Active)).unwrap();
        let of = |alert: &&attestry_server::alerts::Alert| alert.group["host"] == host;
        alerts.iter().find(of).map(|alert| alert.id.clone())
    };
    let [kept, silent, both, over] =
        ["kept", "silent", "both", "over"].map(|host| named(&watching, host).unwrap());
    let until = Nanos(scene.clock.now().0 + 3_600_000_000_000);
    for (alert, deed) in [
        (&silent, Deed::Silence(until)),
        (&both, Deed::Silence(until)),
        (&both, Deed::Resolve),
        (&over, Deed::Resolve),
    ] {
        done(&scene, &watching, &act(alert, deed)).unwrap();
    }
    let listed = format!("{:?}", watching.list(&wanted(States::All)).unwrap());
    let before = scene.steps();
    watching.stop();

    // The file is lost, a rule was written anew, and another one is there that would have found something before.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file(scene.dir.path()).display()));
    }
    let other = "  - {id: other, title: Another, when: 'event_name:a.other', by: [host]}\n";
    let rules = RULES.replace("title: A hit", "title: A hit in other words") + other;
    let watching = scene.start(&rules);
    scene.settle(&watching);
    // The new rules have looked at the beginning and told nothing of it.
    scene.write(1, &[event("a.nothing", "x")]);
    scene.settle(&watching);
    assert_eq!(scene.steps(), before);
    assert_eq!(format!("{:?}", watching.list(&wanted(States::All)).unwrap()), listed);

    scene.clock.advance(Duration::from_secs(61));
    scene.write(0, &hits(&["kept", "silent", "both", "over"]));
    scene.write(1, &[event("a.other", "x")]);
    scene.settle(&watching);
    let told = scene.steps().split_off(before.len());
    let names: Vec<(&str, u64)> = told.iter().map(|(name, _, count)| (name.as_str(), *count)).collect();
    assert_eq!(names, [("alert.repeat", 2), ("alert.open", 1), ("alert.open", 1)], "{told:?}");
    assert_eq!(told[0].1, kept);
    assert_eq!(named(&watching, "over"), Some(told[1].1.clone()));
    assert_eq!(named(&watching, "x"), Some(told[2].1.clone()));
    // A silence that is over tells what was counted, and what happened again.
    scene.clock.advance(Duration::from_secs(3_600));
    scene.write(1, &[event("a.nothing", "x")]);
    scene.settle(&watching);
    let told = scene.steps().split_off(before.len() + 3);
    let mut names: Vec<(&str, &str)> =
        told.iter().map(|(name, id, _)| (name.as_str(), id.as_str())).collect();
    names.sort_unstable();
    let again = named(&watching, "both").unwrap();
    assert_eq!(names, [("alert.open", again.as_str()), ("alert.repeat", silent.as_str())]);
    // What people do is heeded: it is the same alert.
    done(&scene, &watching, &act(&kept, Deed::Resolve)).unwrap();
    scene.write(0, &hits(&["kept"]));
    scene.settle(&watching);
    assert_eq!(
        scene.steps().last().map(|(name, id, _)| (name.as_str(), *id == kept)),
        Some(("alert.open", false))
    );
    watching.stop();
}

#[test]
fn a_clock_that_is_set_back_holds_up_nothing_for_long() {
    let scene = Scene::new();
    let watching = scene.start(RULES);
    scene.settle(&watching);
    scene.write(0, &[event("a.hit", "h1")]);
    scene.clock.set(Nanos(START.0 - 86_400_000_000_000));
    scene.write(1, &[event("a.log", "h1")]);
    scene.settle(&watching);
    // By their times the second came before the first.
    assert_eq!(scene.steps().len(), 1);
    watching.stop();
}

#[test]
fn what_was_pruned_before_it_was_looked_at_is_told() {
    let scene = Scene::new();
    let watching = scene.start(RULES);
    scene.settle(&watching);
    scene.write(0, &[event("a.hit", "h1")]);
    scene.settle(&watching);
    watching.stop();
    let events: Vec<String> = (0..600).map(|nth| event("a.other", &format!("h{nth}"))).collect();
    scene.write(1, &events);
    scene.ledgers[1].ledger.seal_now().unwrap();
    scene.ledgers[1].ledger.prune(512).unwrap();
    assert_eq!(scene.ledgers[1].ledger.first(), 512);
    for _ in 0..2 {
        let watching = scene.start(RULES);
        scene.settle(&watching);
        watching.stop();
    }
    let mut told = Vec::new();
    let mut look = |_, bytes: &[u8]| {
        let entry = Entry::parse(bytes).unwrap();
        if entry.event_name() == "gap.rules" {
            told.push(entry.field(attestry_event::Field::Message).unwrap().into_owned());
        }
    };
    scene.ledgers[0].ledger.scan(0, u64::MAX, &mut look).unwrap();
    assert_eq!(told, ["512 entries of logs were pruned before the rules had looked at them: 0 to 511"]);
}

#[test]
fn ten_thousand_alerts_lose_no_event() {
    let scene = Scene::new();
    let watching = scene.start(RULES);
    scene.settle(&watching);
    let begun = Instant::now();
    for block in 0..20 {
        let events: Vec<String> = (0..500).map(|nth| event("a.hit", &format!("h{block}-{nth}"))).collect();
        scene.write(0, &events);
    }
    let written = begun.elapsed();
    scene.settle(&watching);
    assert_eq!(scene.steps().len(), 10_000);
    assert_eq!(watching.list(&wanted(States::Active)).unwrap().1.open, 10_000);
    // 10,000 in a minute: events never wait for alerts, and alerts are there long before.
    assert!(written < Duration::from_secs(30) && begun.elapsed() < Duration::from_secs(60), "{written:?}");
    watching.stop();
}
