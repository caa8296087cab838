//! Two ledgers in a folder, and the search over them, with keys and times that are the same in each run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Batch, Border, Event, ManualClock, Nanos, RESERVED_SOURCE};
use attestry_ledger::{Ledger, OnConflict, Options};
use attestry_report::{Definition, Document, Error, Logs, Window, Wish, built_in, make, recipe_of};
use attestry_server::LedgerRows;
use attestry_store::{Rows, Stop, Store};
use attestry_tlog::SigningKey;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn time(text: &str) -> Nanos {
    Nanos::parse(text).unwrap()
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) logs: Logs,
    batches: u64,
}

impl World {
    /// Opens what is in a folder, or begins there.
    pub(crate) fn open(dir: &Path) -> World {
        World::with(dir, Options::default())
    }

    pub(crate) fn with(dir: &Path, options: Options) -> World {
        let clock = Arc::new(ManualClock::new(time("2026-10-01T00:00:00Z")));
        let ledgers: Vec<Arc<Ledger>> = ["audit", "logs"]
            .iter()
            .enumerate()
            .map(|(nth, name)| {
                let origin = format!("00112233445566778899aabbccddeeff.attestry/{name}");
                let key = SigningKey::generate(&origin, [nth as u8 + 1; 32]).unwrap();
                let folder = dir.join("ledgers").join(name);
                std::fs::create_dir_all(&folder).unwrap();
                let (ledger, _) = Ledger::open(&folder, name, key, clock.clone(), options.clone()).unwrap();
                Arc::new(ledger)
            })
            .collect();
        let rows =
            ledgers.iter().map(|ledger| Arc::new(LedgerRows(Arc::clone(ledger))) as Arc<dyn Rows>).collect();
        let store = Store::open(&dir.join("index"), rows, attestry_store::Options::default()).unwrap();
        World { clock, logs: Logs { store: Arc::new(store), ledgers }, batches: 0 }
    }

    /// Puts events into a ledger, received when the last of them happened.
    pub(crate) fn put(&mut self, ledger: &str, source: &str, events: Vec<Event>) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.batches.to_le_bytes());
        let mut batch = Batch::with_seed(seed);
        self.batches += 1;
        let border = Border {
            event_source: source,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: attestry_event::Clock::now(&*self.clock),
        };
        events.iter().for_each(|event| batch.push(event, &border).unwrap());
        self.logs.ledger(ledger).unwrap().append(batch, OnConflict::RefuseEvent).unwrap();
    }

    /// As [`World::put`], by Attestry itself.
    pub(crate) fn own(&mut self, event: Event) {
        let now = attestry_event::Clock::now(&*self.clock);
        self.put("audit", RESERVED_SOURCE, vec![event.time(now)]);
    }

    pub(crate) fn make(&self, wish: &Wish) -> Result<Document, Error> {
        let (recipe, notes) = recipe_of(&self.logs, wish, PATIENCE)?;
        make(&self.logs, recipe, &notes, &Stop::never(), &|_| {})
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.logs.store.close();
    }
}

/// A wish for a built-in report over October 2026.
pub(crate) fn wish(name: &str, parameters: &[(&str, &str)]) -> Wish {
    let definition = built_in().iter().find(|of| of.name == name).unwrap().clone();
    wish_of(definition, parameters)
}

pub(crate) fn wish_of(definition: Definition, parameters: &[(&str, &str)]) -> Wish {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Wish {
        run: format!("{}@test", definition.name),
        definition,
        window: Window { from: time("2026-10-01T00:00:00Z"), to: time("2026-11-01T00:00:00Z") },
        parameters: parameters.iter().map(own).collect(),
        previous: None,
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => assert!(std::fs::copy(&path, &target).is_ok(), "{}", path.display()),
        }
    }
}
