//! What the house does by itself: the clock's tick, retention, verification on demand.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use attestry_event::{Clock, Event};
use attestry_ledger::{Ledger, Recovery};
use attestry_server::accounts::Actor;
use attestry_server::{FlowStatus, LedgerPart, Operations, SourceStatus, VerifyStatus, prune, record};
use parking_lot::Mutex;

use crate::flow::Flow;
use crate::sources::Sources;
use crate::stopping::Stopping;

/// The tick moves the timers of rules and schedules, so that a replayed log gives the same alerts.
const TICK: Duration = Duration::from_secs(60);
/// How often retention is looked at.
const RETENTION: Duration = Duration::from_secs(3600);
/// Problems of a verification that are kept for the page; `attestry verify` lists all.
const SHOWN_PROBLEMS: usize = 100;

/// Tells what a start found: bytes of a torn write need no event, damage does.
pub(crate) fn report_recovery(
    audit: &Ledger,
    clock: &dyn Clock,
    name: &str,
    recovery: &Recovery,
) -> Result<()> {
    for damage in &recovery.damage {
        let event = Event::new("gap.journal", "-")
            .resource(name)
            .severity(3)
            .message(format!("the journal of {name} is damaged in {}; no entry is missing", damage.file))
            .data("file", damage.file.clone())
            .data("offset", damage.offset)
            .data("bytes", damage.bytes);
        record(audit, clock, event)?;
    }
    Ok(())
}

struct Shared {
    ledgers: Vec<LedgerPart>,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    sources: Arc<Sources>,
    flow: Arc<Flow>,
    verified: Mutex<HashMap<String, VerifyStatus>>,
    stopping: Stopping,
}

/// The house's threads.
pub(crate) struct House {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl House {
    pub(crate) fn start(
        ledgers: &[LedgerPart],
        clock: &Arc<dyn Clock>,
        data_dir: &Path,
        sources: Arc<Sources>,
        flow: Arc<Flow>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            ledgers: ledgers.to_vec(),
            clock: Arc::clone(clock),
            data_dir: data_dir.to_owned(),
            sources,
            flow,
            verified: Mutex::default(),
            stopping: Stopping::default(),
        });
        let (ticks, retains) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::Builder::new().name("tick".to_owned()).spawn(move || ticks.tick())?,
            std::thread::Builder::new().name("retention".to_owned()).spawn(move || retains.retain())?,
        ];
        Ok(House { shared, threads })
    }

    pub(crate) fn operations(&self) -> Arc<dyn Operations> {
        Arc::new(HouseOperations(Arc::clone(&self.shared)))
    }

    pub(crate) fn stop(self) {
        self.shared.stopping.tell();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the house had ended by a panic");
            }
        }
    }
}

impl Shared {
    fn tick(&self) {
        let Some(audit) =
            self.ledgers.iter().find(|part| part.ledger.name() == attestry_server::AUDIT_LEDGER)
        else {
            return;
        };
        while self.stopping.wait(TICK) {
            let event = Event::new("clock.tick", "-").read_only(true).severity(7).message("the clock ticked");
            if let Err(error) = record(&audit.ledger, &*self.clock, event) {
                tracing::error!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "the clock's tick was not recorded"
                );
            }
        }
    }

    fn retain(&self) {
        loop {
            for part in &self.ledgers {
                let Some(retention) = part.retention else { continue };
                let cutoff = self.clock.now().saturating_sub(retention);
                match prune(&part.ledger, &*self.clock, cutoff, &Actor::local("-")) {
                    Ok(None) => {}
                    Ok(Some(pruned)) => {
                        tracing::info!(
                            ledger = part.ledger.name(),
                            first = pruned.range.end,
                            bytes = pruned.bytes,
                            "pruned"
                        );
                    }
                    Err(error) => {
                        tracing::error!(
                            ledger = part.ledger.name(),
                            error = format!("{:#}", anyhow::Error::from(error)),
                            "retention failed, trying again"
                        );
                    }
                }
            }
            if !self.stopping.wait(RETENTION) {
                return;
            }
        }
    }
}

/// What the server asks the house.
struct HouseOperations(Arc<Shared>);

impl Operations for HouseOperations {
    fn sources(&self) -> Vec<SourceStatus> {
        self.0.sources.all()
    }

    fn flow(&self) -> FlowStatus {
        self.0.flow.status()
    }

    fn verify(&self, ledger: &str) {
        let Some(part) = self.0.ledgers.iter().find(|part| part.ledger.name() == ledger) else { return };
        let begun = VerifyStatus {
            time: self.0.clock.now(),
            running: true,
            clean: false,
            entries: 0,
            problems: Vec::new(),
        };
        {
            let mut verified = self.0.verified.lock();
            if verified.get(ledger).is_some_and(|status| status.running) {
                return;
            }
            verified.insert(ledger.to_owned(), begun);
        }
        let (shared, ledger) = (Arc::clone(&self.0), Arc::clone(&part.ledger));
        let name = ledger.name().to_owned();
        let spawned = std::thread::Builder::new().name("verify".to_owned()).spawn(move || {
            let status = shared.verify(&ledger);
            shared.verified.lock().insert(ledger.name().to_owned(), status);
        });
        if let Err(error) = spawned {
            let problems = vec![format!("cannot start: {error}")];
            let time = self.0.clock.now();
            self.0
                .verified
                .lock()
                .insert(name, VerifyStatus { time, running: false, clean: false, entries: 0, problems });
        }
    }

    fn last_verify(&self, ledger: &str) -> Option<VerifyStatus> {
        self.0.verified.lock().get(ledger).cloned()
    }
}

impl Shared {
    /// Verifies a ledger from its files, as anybody else would, and records the result.
    fn verify(&self, ledger: &Ledger) -> VerifyStatus {
        let (clean, entries, problems) =
            match crate::commands::verify::one_ledger(&self.data_dir, ledger.name()) {
                Ok(report) => report,
                Err(error) => (false, 0, vec![format!("could not check: {error:#}")]),
            };
        let outcome = if clean { attestry_event::Outcome::Success } else { attestry_event::Outcome::Failure };
        let event = Event::new("ledger.verified", "-")
            .resource(ledger.name())
            .read_only(true)
            .outcome(outcome)
            .severity(if clean { 6 } else { 2 })
            .message(format!("{} entries hashed, {} problems", entries, problems.len()))
            .data("entries", entries)
            .data("problems", problems.len() as u64);
        if let Err(error) = record(ledger, &*self.clock, event) {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "a verification was not recorded"
            );
        }
        let shown = problems.into_iter().take(SHOWN_PROBLEMS).collect();
        VerifyStatus { time: self.clock.now(), running: false, clean, entries, problems: shown }
    }
}
