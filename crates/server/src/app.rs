//! What all requests share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attestry_event::Clock;
use attestry_ledger::Ledger;
use attestry_store::Store;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::accounts::{Accounts, Key, KeyUse};
use crate::address::Network;
use crate::agents::{Authority, Seen};
use crate::alerts::Alerts;
use crate::audit::Audit;
use crate::body::Budget;
use crate::config::Names;
use crate::databases::Databases;
use crate::metrics::Metrics;
use crate::parts::{LedgerPart, Operations};
use crate::problem::{Kind, Problem};
use crate::reports::Reports;
use crate::searched::Searched;
use crate::silence::Watch;

/// How many searches run at once. Each keeps a core busy, so more would only make all of them slow.
const SEARCHES: usize = 4;

/// How many searches wait for their turn before more are refused.
const SEARCHES_WAITING: usize = 256;

/// How many exports run at once; each has a thread for as long as its reader takes.
const EXPORTS: usize = 16;

/// How many reports are made at once; each keeps a core busy and holds what it shows in memory.
const MAKING: usize = 2;

/// How many tails are open at once; each holds a connection and looks for news every second.
const TAILS: usize = 256;

/// How many passwords are hashed at once: each takes 19 MiB and some 20 ms of a core.
const PASSWORDS: usize = 2;

/// The state of the server.
pub(crate) struct App {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) ledgers: Vec<LedgerPart>,
    pub(crate) store: Arc<Store>,
    pub(crate) data_dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) operations: Arc<dyn Operations>,
    pub(crate) databases: Arc<dyn Databases>,
    pub(crate) alerts: Arc<dyn Alerts>,
    pub(crate) reports: Arc<dyn Reports>,
    pub(crate) owner_key: Option<String>,
    /// Signs agents' certificates; there where the server speaks TLS.
    pub(crate) authority: Option<Arc<Authority>>,
    /// SHA-256 of the server's own certificate, hexadecimal.
    pub(crate) fingerprint: Option<String>,
    /// What is remembered of agents.
    pub(crate) seen: Seen,
    /// Who is waited for.
    pub(crate) watch: Watch,
    /// Held while an agent's numbering is accounted for.
    pub(crate) accounting: tokio::sync::Mutex<()>,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    pub(crate) names: Names,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) budget: Arc<Budget>,
    /// A permit a running search.
    pub(crate) searches: Arc<Semaphore>,
    /// A permit a search that waits for its turn.
    pub(crate) searches_waiting: Arc<Semaphore>,
    /// A permit a running export.
    pub(crate) exports: Arc<Semaphore>,
    /// A permit a report being made.
    pub(crate) making: Arc<Semaphore>,
    /// A permit an open tail.
    pub(crate) tails: Arc<Semaphore>,
    /// A permit a password being hashed.
    pub(crate) passwords: Arc<Semaphore>,
    /// When which key was used last; moved into the accounts now and then.
    pub(crate) keys_used: Mutex<HashMap<String, KeyUse>>,
    /// How many entries each ledger had at the start: before they can be found, searches would miss what was acknowledged long ago.
    pub(crate) sizes_at_start: HashMap<String, u64>,
    /// What was asked within the last minute, so that it is recorded once.
    pub(crate) searched: Searched,
    /// Set when the server has begun to stop: streams end, and it is not ready any more.
    pub(crate) stopping: watch::Sender<bool>,
    /// Whether the outbox of the accounts could be delivered the last time.
    pub(crate) audit_works: AtomicBool,
}

/// What an [`App`] is made of.
pub(crate) struct Setup {
    pub(crate) parts: crate::parts::Parts,
    pub(crate) audit: Audit,
    pub(crate) names: Names,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) authority: Option<Arc<Authority>>,
    pub(crate) fingerprint: Option<String>,
}

impl App {
    pub(crate) fn new(setup: Setup) -> App {
        let Setup { parts, audit, names, trusted_proxies, authority, fingerprint } = setup;
        let size = |part: &LedgerPart| (part.ledger.name().to_owned(), part.ledger.size());
        let sizes_at_start = parts.ledgers.iter().map(size).collect();
        let metrics = Metrics::new(&parts.ledgers, &parts.store, &parts.operations);
        App {
            accounts: parts.accounts,
            ledgers: parts.ledgers,
            store: parts.store,
            data_dir: parts.data_dir,
            watch: Watch::new(parts.clock.now()),
            clock: parts.clock,
            operations: parts.operations,
            databases: parts.databases,
            alerts: parts.alerts,
            reports: parts.reports,
            owner_key: parts.owner_key,
            authority,
            fingerprint,
            seen: Seen::default(),
            accounting: tokio::sync::Mutex::default(),
            audit,
            metrics,
            names,
            trusted_proxies,
            budget: Arc::new(Budget::new()),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            searches_waiting: Arc::new(Semaphore::new(SEARCHES_WAITING)),
            exports: Arc::new(Semaphore::new(EXPORTS)),
            making: Arc::new(Semaphore::new(MAKING)),
            tails: Arc::new(Semaphore::new(TAILS)),
            passwords: Arc::new(Semaphore::new(PASSWORDS)),
            keys_used: Mutex::default(),
            sizes_at_start,
            searched: Searched::default(),
            stopping: watch::Sender::new(false),
            audit_works: AtomicBool::new(true),
        }
    }

    /// The ledger with this name.
    pub(crate) fn ledger(&self, name: &str) -> Option<&LedgerPart> {
        self.ledgers.iter().find(|part| part.ledger.name() == name)
    }

    /// Remembers that a key was used, and whether events were stored with it.
    pub(crate) fn key_used(&self, key: &Key, stored: bool) {
        let at = self.clock.now();
        let mut used = self.keys_used.lock();
        let used = used.entry(key.id.clone()).or_insert(KeyUse { at, event_at: None });
        used.at = at;
        if stored {
            used.event_at = Some(at);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(crate) fn audit_works(&self) -> bool {
        self.audit_works.load(Ordering::Relaxed)
    }
}

/// The ledger of that name, or 404.
pub(crate) fn known_ledger<'a>(app: &'a App, name: &str) -> Result<&'a Arc<Ledger>, Problem> {
    let part = app.ledger(name).ok_or_else(|| Problem::not_found(format!("there is no ledger {name:?}")))?;
    Ok(&part.ledger)
}

/// Runs `work` where it may block, and turns its panic into an answer.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "a request's work ended early");
            Err(Problem::new(Kind::Internal, "the server's log has the cause"))
        }
    }
}
