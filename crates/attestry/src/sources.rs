//! The sources of this host, each feeding a ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use attestry_collect::{
    Names, Outlet, Paths, PositionError, Positions, Running, Setup, Source, Status, Stopped,
};
use attestry_event::{Batch, Border, Clock, Event};
use attestry_ledger::{DataDir, Ledger, OnConflict, Refusal};
use attestry_server::{LedgerPart, SourceStatus};
use parking_lot::Mutex;
use serde_json::Value;

use crate::config;

/// The key with which names that are not to be kept in clear are hashed. It signs nothing, so it is not among the ledgers' keys.
pub(crate) const REDACTION_KEY_FILE: &str = "redaction.key";

/// How long a source waits before it offers events again that the ledger refused.
const RETRY: Duration = Duration::from_millis(500);

/// A source's way into a ledger.
struct ToLedger {
    stopping: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    positions: Arc<Positions>,
}

impl Outlet for ToLedger {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        loop {
            let mut batch = Batch::new();
            let border = Border {
                event_source: source,
                via: &[],
                lenient: false,
                reserved_names: true,
                agent: true,
                now: self.clock.now(),
            };
            for event in &events {
                if let Err(problems) = batch.push(event, &border) {
                    // A source's event that does not fit is a defect of ours; the others must not be lost for it.
                    tracing::error!(
                        source,
                        ?problems,
                        event = event.event_name,
                        "a source made a malformed event"
                    );
                }
            }
            match self.ledger.append(batch, OnConflict::RefuseEvent) {
                Ok(_) => break,
                Err(Refusal::Closed) => return Err(Stopped),
                // What was not taken is offered again after the next start, from the position that was kept last.
                Err(_) if self.stopping.load(Ordering::Relaxed) => return Err(Stopped),
                Err(refusal) => {
                    tracing::warn!(source, %refusal, "the ledger refused events of a source, trying again");
                    std::thread::sleep(RETRY);
                }
            }
        }
        if let Err(error) = self.positions.save(source, &position) {
            // The events are in the ledger; after a restart they come again and are recognised.
            tracing::error!(source, %error, "the position of a source was not kept");
        }
        Ok(())
    }
}

/// How each source is doing, for those who ask.
#[derive(Clone, Default)]
pub(crate) struct Statuses(Arc<Mutex<Vec<Known>>>);

/// What was said of a source at the start, and what it has done since, if it runs.
type Known = (SourceStatus, Option<Arc<Status>>);

impl Statuses {
    pub(crate) fn all(&self) -> Vec<SourceStatus> {
        let fresh = |(status, running): &Known| {
            let mut status = status.clone();
            if let Some(running) = running {
                status.last_event = running.last_event();
                status.events = running.events();
                status.why = running.problem().or(status.why);
            }
            status
        };
        self.0.lock().iter().map(fresh).collect()
    }
}

/// Where a source was; none when that is not to be known, which costs time but repeats nothing: history has the same ids again.
fn position(positions: &Positions, source: Source) -> Result<Option<Value>> {
    match positions.load(source.name()) {
        Err(error @ PositionError::Damaged { .. }) => {
            tracing::warn!(source = source.name(), %error, "the source starts from its oldest record again");
            Ok(None)
        }
        other => other.context("cannot read a source's position"),
    }
}

/// The sources that run.
pub(crate) struct Sources {
    stopping: Arc<AtomicBool>,
    running: Vec<Running>,
    statuses: Statuses,
}

impl Sources {
    /// Starts every source that is wanted and can work here.
    pub(crate) fn start(
        wanted: &config::Sources,
        ledgers: &[LedgerPart],
        data: &DataDir,
        clock: &Arc<dyn Clock>,
    ) -> Result<Sources> {
        let positions = Arc::new(
            Positions::open(data.path().join("positions")).context("cannot open the sources' positions")?,
        );
        let paths = Paths::default();
        let names = Arc::new(
            Names::open(&data.path().join(REDACTION_KEY_FILE), "/etc/passwd")
                .context("cannot read the redaction key")?,
        );
        let ledgers: HashMap<&str, &Arc<Ledger>> =
            ledgers.iter().map(|part| (part.ledger.name(), &part.ledger)).collect();
        let statuses = Statuses::default();
        let stopping = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        for (source, config) in [
            (Source::Packages, &wanted.packages),
            (Source::Logins, &wanted.logins),
            (Source::Auth, &wanted.auth),
            (Source::Host, &wanted.host),
        ] {
            let available = source.availability(&paths);
            let (on, why) = match config.enabled {
                true => (available.on, available.why),
                false => (false, "switched off in the configuration".to_owned()),
            };
            tracing::info!(source = source.name(), on, why, "source");
            let mut status = None;
            if on {
                let ledger =
                    ledgers.get(config.ledger.as_str()).context("a source's ledger does not exist")?;
                let outlet = ToLedger {
                    stopping: Arc::clone(&stopping),
                    ledger: Arc::clone(ledger),
                    clock: Arc::clone(clock),
                    positions: Arc::clone(&positions),
                };
                let setup = Setup {
                    name: source.name().to_owned(),
                    host: paths.host_name(),
                    paths: paths.clone(),
                    clock: Arc::clone(clock),
                    names: Arc::clone(&names),
                    outlet: Arc::new(outlet),
                    position: position(&positions, source)?,
                };
                let started = attestry_collect::start(source, setup)?;
                status = Some(Arc::clone(started.status()));
                running.push(started);
            }
            let shown = SourceStatus {
                name: source.name().to_owned(),
                on,
                why: Some(why),
                last_event: None,
                events: 0,
            };
            statuses.0.lock().push((shown, status));
        }
        Ok(Sources { stopping, running, statuses })
    }

    pub(crate) fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Ends them all.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.running.iter().for_each(Running::signal);
        self.running.into_iter().for_each(Running::stop);
    }
}
