//! What the tests of every source share: a host in a folder, and an outlet that remembers.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use attestry_event::{Batch, Border, Clock, Event, ManualClock, Nanos};
use serde_json::Value;

use crate::{
    Names, Outlet, Paths, Setup, Stopped, catalogue,
    source::{BATCH_EVENTS, Collector, Feed, Status, Stop},
};

/// Keeps what it is sent, and holds it to the catalogue and to the border of the ledger.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) position: Mutex<Option<Value>>,
    pub(crate) batches: Mutex<Vec<usize>>,
    /// After so many batches the outlet refuses.
    pub(crate) refuse_after: Mutex<Option<usize>>,
}

impl Outlet for Kept {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        let mut batches = self.batches.lock().unwrap();
        if self.refuse_after.lock().unwrap().is_some_and(|most| batches.len() >= most) {
            return Err(Stopped);
        }
        assert!(events.len() <= BATCH_EVENTS);
        batches.push(events.len());
        let border = Border {
            event_source: source,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: Nanos(1_800_000_000_000_000_000),
        };
        for event in &events {
            assert_eq!(catalogue::problem(event), None);
            assert!(event.message.as_deref().is_some_and(|message| !message.is_empty()), "{event:?}");
            assert!(
                event.severity.is_some() && event.host.is_some() && event.event_time.is_some(),
                "{event:?}"
            );
            Batch::new().push(event, &border).unwrap();
        }
        self.events.lock().unwrap().extend(events);
        *self.position.lock().unwrap() = Some(position);
        Ok(())
    }
}

/// A host of its own in a temporary folder.
pub(crate) struct Host {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) journalctl: Option<PathBuf>,
}

impl Host {
    pub(crate) fn new() -> Host {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("log/apt")).unwrap();
        fs::write(folder.path().join("passwd"), "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n")
            .unwrap();
        let clock = Arc::new(ManualClock::new(attestry_event::SystemClock.now()));
        Host { folder, clock, kept: Arc::default(), journalctl: None }
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join("log").join(name)
    }

    /// A path of this host.
    pub(crate) fn root(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        append(&self.log(name), bytes.as_ref());
    }

    pub(crate) fn setup(&self, name: &str) -> Setup {
        Setup {
            name: name.to_owned(),
            host: "web1".to_owned(),
            paths: Paths {
                root: self.folder.path().to_owned(),
                log: self.folder.path().join("log"),
                proc: self.folder.path().join("proc"),
                journalctl: self.journalctl.clone(),
            },
            clock: self.clock.clone(),
            names: Arc::new(Names::new([7; 32], self.folder.path().join("passwd"))),
            outlet: self.kept.clone(),
            position: self.kept.position.lock().unwrap().clone(),
            rest: || {},
        }
    }

    /// One pass of a collector, and the events that came of it.
    pub(crate) fn pass(&self, collector: &mut dyn Collector, setup: &Setup) -> Vec<Event> {
        let mut feed = Feed::new(setup.clone(), Arc::new(Status::default()), Stop::default());
        let before = self.kept.events.lock().unwrap().len();
        collector.pass(&mut feed, false).unwrap();
        self.kept.events.lock().unwrap()[before..].to_vec()
    }
}

pub(crate) fn append(path: &Path, bytes: &[u8]) {
    File::options().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// As [`show`], with the members of `event_data` by name.
pub(crate) fn show_sorted(event: &Event) -> String {
    let mut event = event.clone();
    if let Some(data) = &mut event.event_data {
        data.sort_keys();
    }
    show(&event)
}

/// An event in one line: name, user, resource, outcome, address, then `event_data`.
pub(crate) fn show(event: &Event) -> String {
    let outcome = event.outcome.map_or("-", attestry_event::Outcome::name);
    let mut text = format!(
        "{} {} {} {outcome} {}",
        event.event_name,
        event.username,
        event.resource.as_deref().unwrap_or("-"),
        event.source_ip_address.as_deref().unwrap_or("-"),
    );
    for (name, value) in event.event_data.iter().flatten() {
        text.push_str(&format!(
            " {name}={}",
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        ));
    }
    text
}
