//! The sources of this host, each feeding a ledger or the spool.

use std::sync::Arc;

use anyhow::{Context, Result};
use attestry_collect::{
    Cadence, Names, Outlet, Paths, PositionError, Positions, Running, Setup, Status, Stopped,
};
use attestry_event::{Clock, Event};
use attestry_ledger::DataDir;
use attestry_pipeline::{Closed, Incoming, Inlet, Intake, IntakeOptions, Landing};
use attestry_server::SourceStatus;
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::{Config, Source};
use crate::flow::{Ground, hooks, redactions};

/// The key with which names that are not to be kept in clear are hashed. It signs nothing, so it is not among the ledgers' keys.
pub(crate) const REDACTION_KEY_FILE: &str = "redaction.key";

/// A source's way in: events first, then where the source is.
struct Kept {
    inlet: Intake,
    positions: Arc<Positions>,
}

impl Outlet for Kept {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        let events = events.into_iter().map(Incoming::from).collect();
        let taken = self.inlet.put(events).map_err(|Closed| Stopped)?;
        if taken.malformed > 0 {
            // A source's event that does not fit is a defect of ours, or of a transform; it is kept as gap.malformed.
            tracing::error!(source, events = taken.malformed, "a source made malformed events");
        }
        if let Err(error) = self.positions.save(source, &position) {
            // The events are durable; after a restart they come again and are recognised.
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
fn position(positions: &Positions, source: &str) -> Result<Option<Value>> {
    match positions.load(source) {
        Err(error @ PositionError::Damaged { .. }) => {
            tracing::warn!(source, %error, "the source starts from its oldest record again");
            Ok(None)
        }
        other => other.context("cannot read a source's position"),
    }
}

/// How often a source gives an event at least, in seconds; none for one that may be silent.
fn every(config: &Source, cadence: Cadence) -> Option<u64> {
    let looks = match cadence {
        Cadence::Every(every) => Some(every),
        Cadence::Follow(_) => None,
    };
    config.expect.map(|expect| expect.0).or(looks).map(|every| every.as_secs().max(1))
}

/// The sources that run.
pub(crate) struct Sources {
    running: Vec<Running>,
    statuses: Statuses,
}

impl Sources {
    /// Starts every source that is wanted and can work here.
    pub(crate) fn start(
        config: &Config,
        ground: &Arc<Ground>,
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
        let statuses = Statuses::default();
        let mut running = Vec::new();
        for (name, (of, filters)) in &config.sources {
            // A checked source has one kind.
            let Some(source) = of.kinds().pop() else { continue };
            let cadence = source.cadence();
            let (on, why) = match of.enabled {
                true => {
                    let available = source.availability(&paths);
                    (available.on, available.why)
                }
                false => (false, "switched off in the configuration".to_owned()),
            };
            tracing::info!(source = name, on, why, "source");
            let mut status = None;
            if on {
                let filters = filters.clone();
                let options = IntakeOptions {
                    ledger: of.ledger().to_owned(),
                    event_source: name.clone(),
                    reserved_names: true,
                    // A time in the future is flagged, not refused: a broken clock must not lose evidence.
                    agent: true,
                    methods: filters.methods,
                    ..IntakeOptions::default()
                };
                let landing = Arc::clone(ground) as Arc<dyn Landing>;
                let hooks = hooks(filters.transform, filters.condition);
                let inlet =
                    Intake::new(landing, options, redactions(filters.redact), hooks, Arc::clone(clock));
                let outlet = Kept { inlet, positions: Arc::clone(&positions) };
                let setup = Setup {
                    name: name.clone(),
                    host: paths.host_name(),
                    paths: paths.clone(),
                    clock: Arc::clone(clock),
                    names: Arc::clone(&names),
                    outlet: Arc::new(outlet),
                    position: position(&positions, name)?,
                };
                let started = attestry_collect::start(source, setup)?;
                status = Some(Arc::clone(started.status()));
                running.push(started);
            }
            let shown = SourceStatus {
                name: name.clone(),
                on,
                why: Some(why),
                last_event: None,
                events: 0,
                every_s: every(of, cadence).filter(|_| on),
            };
            statuses.0.lock().push((shown, status));
        }
        Ok(Sources { running, statuses })
    }

    pub(crate) fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Ends them all.
    pub(crate) fn stop(self) {
        self.running.iter().for_each(Running::signal);
        self.running.into_iter().for_each(Running::stop);
    }
}
