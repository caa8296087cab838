//! Reports on this node: which there are, making them, and what the ledger remembers of those that were made.
//!
//! Nothing is kept beside the ledger: a report that was made is an event with its recipe, from which it is made again when somebody wants to see it.

mod deliver;
mod failed;
mod figures;
mod keys;
mod made;
mod making;
mod offline;
mod ordered;
mod recorded;
mod scheduler;
mod schedules;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_db::WatchConfig;
use attestry_event::{Clock, Event};
use attestry_ledger::Ledger;
use attestry_openpgp::{Fingerprint, Gpg, KeyUse};
use attestry_report::{Document, Error, Logs};
use attestry_server::{AUDIT_LEDGER, LedgerPart, RecordError, record};
use attestry_store::{Stop, Store};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::config::{Config, ReportKind, Reports};

pub(crate) use keys::key_problems;
pub(crate) use made::Made;
pub(crate) use making::Wanted;
pub(crate) use offline::offline;
pub(crate) use scheduler::Scheduler;

/// How long the signing and the indexing of the newest entries may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much time a report covers whose definition does not say.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// A schedule whose event is so old is recorded again, so that pruning what is older takes none; half of the retention, when that is less.
const RENEW_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    /// The one who asks is at fault, or the log does not have it.
    #[error("{0}")]
    Refused(String),
    /// There is no such report, run or schedule.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Report(#[from] Error),
    #[error("the ledger did not take the record of the report")]
    Record(#[from] RecordError),
    #[error("{0}")]
    Failed(String),
}

impl From<attestry_store::Error> for DeskError {
    fn from(error: attestry_store::Error) -> DeskError {
        DeskError::Report(Error::Search(error))
    }
}

/// Where reports are made.
pub(crate) struct Desk {
    logs: Logs,
    audit: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    given: Mutex<Arc<Given>>,
    kept: Mutex<VecDeque<(String, Arc<Document>)>>,
    /// What ends the reports that are being made, the newest last.
    making: Mutex<VecDeque<Stop>>,
    /// Held while a report is delivered: two that look at once what was delivered would both deliver the rest.
    delivering: Mutex<()>,
    /// Reports for the scheduler to deliver, each with its schedule.
    left: Mutex<Vec<(String, Made)>>,
    /// Whether the ledger says of the configuration's schedules what stands there; held while schedules are looked at to record something of them.
    noted: Mutex<bool>,
    /// Whether schedules were changed since the scheduler looked.
    changed: AtomicBool,
}

/// What the configuration says of reports, and of what they are made and sent with.
struct Given {
    kinds: BTreeMap<String, ReportKind>,
    settings: Reports,
    watches: BTreeMap<String, WatchConfig>,
    sinks: Vec<String>,
    gpg: Gpg,
    /// Which keys are meant by what the schedules name, since the configuration was read.
    keys: Mutex<BTreeMap<(String, KeyUse), Fingerprint>>,
    /// How old the event of a schedule may become before it is recorded again.
    renew_after: Duration,
}

impl Given {
    fn of(config: &Config) -> Given {
        let written = &config.written;
        // What is wrong with a file was told when the configuration was checked.
        let (kinds, _) = written.reports.definitions();
        let audit = config.ledgers.iter().find(|ledger| ledger.name == AUDIT_LEDGER);
        let retention = audit.and_then(|ledger| ledger.retention);
        Given {
            kinds,
            settings: written.reports.clone(),
            watches: written.audit.clone(),
            sinks: written.sinks.keys().cloned().collect(),
            gpg: Gpg::new(&written.openpgp),
            keys: Mutex::default(),
            renew_after: retention.map_or(RENEW_AFTER, |retention| RENEW_AFTER.min(retention / 2)),
        }
    }
}

impl Desk {
    pub(crate) fn new(
        config: &Config,
        ledgers: &[LedgerPart],
        store: &Arc<Store>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Desk> {
        let ledgers: Vec<Arc<Ledger>> = ledgers.iter().map(|part| Arc::clone(&part.ledger)).collect();
        let audit = ledgers.iter().find(|ledger| ledger.name() == AUDIT_LEDGER);
        let audit = Arc::clone(audit.ok_or_else(|| anyhow::anyhow!("there is no ledger {AUDIT_LEDGER}"))?);
        Ok(Desk {
            logs: Logs { store: Arc::clone(store), ledgers },
            audit,
            clock: Arc::clone(clock),
            given: Mutex::new(Arc::new(Given::of(config))),
            kept: Mutex::default(),
            making: Mutex::default(),
            delivering: Mutex::default(),
            left: Mutex::default(),
            noted: Mutex::default(),
            changed: AtomicBool::new(false),
        })
    }

    /// Follows a new configuration: reports that are being made are made by the one before, schedules are noted by the scheduler. Reads the files of the
    /// own definitions, also when the section is as it was.
    pub(crate) fn change(&self, config: &Config) {
        *self.given.lock() = Arc::new(Given::of(config));
        *self.noted.lock() = false;
        self.changed.store(true, Ordering::Release);
    }

    /// What holds now.
    fn given(&self) -> Arc<Given> {
        Arc::clone(&self.given.lock())
    }

    /// Whether schedules were changed since this was asked the last time.
    fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    fn record(&self, event: Event) -> Result<(), DeskError> {
        Ok(record(&self.audit, &*self.clock, event)?)
    }
}

/// The beginning of a text's SHA-256, long enough for an id.
fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}
