//! The store: ledgers, their indexes, and what can be asked of them.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::follow::{Followed, State};
use crate::scope::Running;
use crate::search::search;
use crate::signal::Signal;
use crate::tally::Fingerprints;
use crate::{Error, Page, Rows, Scope, SearchRequest};

/// Finds events of several ledgers. Searching needs `&self` only, from any number of threads; it blocks, so an asynchronous
/// caller gives it a thread.
pub struct Store {
    /// In the order of their names.
    pub(crate) ledgers: Vec<Arc<Followed>>,
    pub(crate) any: Arc<Signal>,
    pub(crate) fingerprints: Fingerprints,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the indexes in `dir`, one folder a ledger, and starts to follow the ledgers. An index that cannot be opened is no
    /// error: its ledger's entries are found once it has been built anew.
    ///
    /// Errors when a thread cannot be started.
    pub fn open(
        dir: &Path,
        ledgers: Vec<Arc<dyn Rows>>,
        options: attestry_index::Options,
    ) -> io::Result<Store> {
        let any = Arc::new(Signal::new());
        let follow = |rows: Arc<dyn Rows>| {
            let folder = dir.join(rows.name());
            Arc::new(Followed::new(rows, folder, options.clone(), any.clone()))
        };
        let mut ledgers: Vec<Arc<Followed>> = ledgers.into_iter().map(follow).collect();
        ledgers.sort_by(|left, right| left.name.cmp(&right.name));
        let store = Store { ledgers, any, fingerprints: Fingerprints::default(), threads: Mutex::default() };
        for ledger in &store.ledgers {
            let followed = ledger.clone();
            let thread = thread::Builder::new()
                .name(format!("index {}", ledger.name))
                .spawn(move || followed.run())?;
            store.threads.lock().push(thread);
        }
        Ok(store)
    }

    /// Stops following and writes the indexes, within a moment. What is found stays found; nothing new is.
    pub fn close(&self) {
        self.ledgers.iter().for_each(|ledger| ledger.ask_to_stop());
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that feeds a search index has panicked");
            }
        }
    }

    /// How each ledger's index is doing.
    pub fn states(&self) -> Vec<State> {
        self.ledgers.iter().map(|ledger| ledger.state()).collect()
    }

    /// Waits until a ledger's entries below `end` can be found; false when the time is up first.
    pub fn wait_indexed(&self, ledger: &str, end: u64, timeout: Duration) -> Result<bool, Error> {
        let deadline = Instant::now().checked_add(timeout);
        Ok(self.followed(ledger)?.indexed.wait(deadline, |indexed| indexed >= end))
    }

    /// The same for a task: `wait_for(|indexed| *indexed >= end)` on the receiver.
    pub fn indexed(&self, ledger: &str) -> Result<watch::Receiver<u64>, Error> {
        Ok(self.followed(ledger)?.indexed.subscribe())
    }

    /// A page of events.
    pub fn search(&self, request: &SearchRequest) -> Result<Page, Error> {
        search(&self.run(&request.scope)?, request)
    }

    pub(crate) fn run<'a>(&self, scope: &'a Scope) -> Result<Running<'a>, Error> {
        Running::start(&self.ledgers, scope)
    }

    pub(crate) fn followed(&self, ledger: &str) -> Result<&Arc<Followed>, Error> {
        self.ledgers
            .iter()
            .find(|followed| *followed.name == *ledger)
            .ok_or_else(|| Error::UnknownLedger(ledger.to_owned()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}
