//! What the tests share: an outlet that remembers, and a source that is started and stopped.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use attestry_collect::{Names, Outlet, Paths, Running, Setup, Source, Stopped, catalogue, once, start};
use attestry_event::{Batch, Border, Event, Nanos, SystemClock};
use attestry_testkit::wait_for;
use serde_json::Value;

/// How long anything may take, on a machine that builds at the same time.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Keeps events and positions as a ledger would: what comes under an id that is there already is counted, and no more.
#[derive(Default)]
pub(crate) struct Kept {
    events: Mutex<Vec<Event>>,
    ids: Mutex<HashSet<String>>,
    repeated: Mutex<usize>,
    position: Mutex<Option<Value>>,
}

impl Outlet for Kept {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        let now = Nanos(1_800_000_000_000_000_000);
        let border =
            Border { event_source: source, via: &[], lenient: false, reserved_names: true, agent: true, now };
        for event in events {
            assert_eq!(catalogue::problem(&event), None);
            assert!(
                event.severity.is_some() && event.host.is_some() && event.event_time.is_some(),
                "{event:?}"
            );
            Batch::new().push(&event, &border).unwrap_or_else(|problem| panic!("{event:?}: {problem:?}"));
            let fresh = match &event.event_id {
                Some(id) => self.ids.lock().unwrap().insert(id.clone()),
                None => true,
            };
            if fresh {
                self.events.lock().unwrap().push(event);
            } else {
                *self.repeated.lock().unwrap() += 1;
            }
        }
        *self.position.lock().unwrap() = Some(position);
        Ok(())
    }
}

impl Kept {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// How many events came again, under ids that were there.
    pub(crate) fn repeated(&self) -> usize {
        *self.repeated.lock().unwrap()
    }

    /// Events that a predicate holds for.
    pub(crate) fn of(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.events.lock().unwrap().iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// Waits until there are as many events that a predicate holds for.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut found = Vec::new();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the events", SOON, || {
                found = self.of(&wanted);
                (found.len() >= count).then_some(())
            });
        }));
        let all: Vec<String> = self.events().iter().map(show).collect();
        let last = all.len().saturating_sub(60);
        assert!(
            waited.is_ok(),
            "{count} expected, {} found; the last of all: {:#?}",
            found.len(),
            &all[last..]
        );
        found
    }

    /// Starts a source where it last stood.
    pub(crate) fn start(self: &Arc<Self>, source: impl Source + 'static) -> Running {
        let setup = self.setup(&source);
        start(Box::new(source), setup).unwrap()
    }

    /// Makes one pass of a source from where it last stood.
    pub(crate) fn once(self: &Arc<Self>, source: &impl Source) {
        let status = once(source, self.setup(source)).unwrap();
        assert_eq!(status.problem(), None);
    }

    fn setup(self: &Arc<Self>, source: &impl Source) -> Setup {
        Setup {
            name: source.kind().to_owned(),
            host: "web1".to_owned(),
            paths: Paths::default(),
            clock: Arc::new(SystemClock),
            names: Arc::new(Names::new([7; 32], "/etc/passwd")),
            outlet: Arc::<Kept>::clone(self),
            position: self.position.lock().unwrap().clone(),
            rest: || {},
        }
    }
}

pub(crate) fn data<'a>(event: &'a Event, name: &str) -> &'a Value {
    event.event_data.as_ref().and_then(|data| data.get(name)).unwrap_or(&Value::Null)
}

/// An event in a line.
pub(crate) fn show(event: &Event) -> String {
    let inferred = if data(event, "inferred") == true { " inferred" } else { "" };
    let code = data(event, "exit_code").as_i64().map(|code| format!(" {code}")).unwrap_or_default();
    let reason = data(event, "reason").as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {}{code}{inferred}{reason}", event.event_name, event.resource.as_deref().unwrap_or("-"))
}
