//! The sources of this host, each feeding a ledger or the spool.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use attestry_collect::{
    Availability, Cadence, Names, Outlet, Paths, PositionError, Positions, Running, Setup, Stopped,
};
use attestry_event::{Clock, Event};
use attestry_ledger::DataDir;
use attestry_pipeline::{Closed, Incoming, Inlet, Intake, IntakeOptions, Landing};
use attestry_server::SourceStatus;
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::{Config, Filters, Source};
use crate::flow::{Changes, Ground, hooks, redactions};
use crate::memory;

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

/// How long a source that is told to end may take: as long as the batch in its hand, which may wait for room.
const END_MAX: Duration = Duration::from_secs(10);

/// Whether a source runs here, and why.
pub(crate) fn availability(
    source: &dyn attestry_collect::Source,
    config: &Source,
    paths: &Paths,
) -> Availability {
    match config.enabled {
        true => source.availability(paths),
        false => Availability { on: false, why: "switched off in the configuration".to_owned() },
    }
}

/// What all sources of this host are started with.
pub(crate) struct Host {
    ground: Arc<Ground>,
    clock: Arc<dyn Clock>,
    paths: Paths,
    positions: Arc<Positions>,
    names: Arc<Names>,
}

impl Host {
    pub(crate) fn new(ground: &Arc<Ground>, data: &DataDir, clock: &Arc<dyn Clock>) -> Result<Host> {
        let positions =
            Positions::open(data.path().join("positions")).context("cannot open the sources' positions")?;
        let names = Names::open(&data.path().join(REDACTION_KEY_FILE), "/etc/passwd")
            .context("cannot read the redaction key")?;
        Ok(Host {
            ground: Arc::clone(ground),
            clock: Arc::clone(clock),
            paths: Paths::default(),
            positions: Arc::new(positions),
            names: Arc::new(names),
        })
    }

    /// What a source is started with.
    pub(crate) fn setup(&self, name: &str, config: &Source, filters: &Filters) -> Result<Setup> {
        let filters = filters.clone();
        let options = IntakeOptions {
            ledger: config.ledger().to_owned(),
            event_source: name.to_owned(),
            reserved_names: true,
            // A time in the future is flagged, not refused: a broken clock must not lose evidence.
            agent: true,
            methods: filters.methods,
            ..IntakeOptions::default()
        };
        let landing = Arc::clone(&self.ground) as Arc<dyn Landing>;
        let hooks = hooks(filters.parser, filters.transform, filters.condition);
        let clock = Arc::clone(&self.clock);
        let inlet = Intake::new(landing, options, redactions(filters.redact), hooks, clock);
        Ok(Setup {
            name: name.to_owned(),
            host: self.paths.host_name(),
            paths: self.paths.clone(),
            clock: Arc::clone(&self.clock),
            names: Arc::clone(&self.names),
            outlet: Arc::new(Kept { inlet, positions: Arc::clone(&self.positions) }),
            position: position(&self.positions, name)?,
            rest: memory::rest,
        })
    }
}

/// The sources of this host, and how they are changed while they run.
pub(crate) struct Sources {
    host: Host,
    /// Only one at a time changes what runs.
    changing: Mutex<()>,
    by_name: Mutex<BTreeMap<String, Known>>,
}

/// A configured source, whether it runs or not.
struct Known {
    config: Source,
    /// What was said of it when it was started.
    shown: SourceStatus,
    running: Option<Running>,
}

impl Known {
    fn status(&self) -> SourceStatus {
        let mut status = self.shown.clone();
        if let Some(running) = self.running.as_ref().map(Running::status) {
            status.last_event = running.last_event();
            status.events = running.events();
            status.losses = running.losses();
            status.why = running.problem().or(status.why);
        }
        status
    }

    fn goes_on(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.ended())
    }

    /// Whether it is what is wanted. One that does not run, or has ended by itself, is worth another look.
    fn stays(&self, wanted: Option<&Source>) -> bool {
        wanted == Some(&self.config) && (self.goes_on() || !self.config.enabled)
    }
}

impl Sources {
    /// Starts every source that is wanted and can work here.
    pub(crate) fn start(
        config: &Config,
        ground: &Arc<Ground>,
        data: &DataDir,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Sources>> {
        let host = Host::new(ground, data, clock)?;
        let sources = Sources { host, changing: Mutex::default(), by_name: Mutex::default() };
        sources.change(config).whole()?;
        Ok(Arc::new(sources))
    }

    /// Brings what runs to what is configured: only what differs is stopped and started, each from where it was. Blocks, for at most
    /// [`END_MAX`] and what a look at the host takes. Where a source does not end or cannot be started, the others are as configured all the same.
    pub(crate) fn change(&self, config: &Config) -> Changes {
        let _alone = self.changing.lock();
        let mut changes = Changes::default();
        let wanted = |name: &str| config.sources.get(name).map(|(source, _)| source);
        let outdated: Vec<String> = {
            let by_name = self.by_name.lock();
            let outdated = by_name.iter().filter(|(name, known)| !known.stays(wanted(name)));
            outdated.map(|(name, _)| name.clone()).collect()
        };
        for (name, ended) in self.end(&outdated) {
            match ended {
                // One that has not ended still writes where it is: none may begin beside it.
                None => {
                    changes.failed.push(anyhow!("the source {name} has not ended within {END_MAX:?}"));
                }
                Some(true) => changes.stopped.push(name),
                Some(false) => {}
            }
        }
        for (name, (source, filters)) in &config.sources {
            if self.by_name.lock().contains_key(name) {
                continue;
            }
            match self.begin(name, source, filters) {
                Ok(known) => {
                    if known.running.is_some() {
                        changes.started.push(name.clone());
                    }
                    self.by_name.lock().insert(name.clone(), known);
                }
                Err(error) => changes.failed.push(error),
            }
        }
        changes
    }

    /// Ends sources and forgets them: whether each ran, none for one that goes on.
    fn end(&self, names: &[String]) -> Vec<(String, Option<bool>)> {
        let running = |name: &String| self.by_name.lock().get(name).is_some_and(Known::goes_on);
        for name in names {
            if let Some(running) = self.by_name.lock().get(name).and_then(|known| known.running.as_ref()) {
                running.signal();
            }
        }
        let begun = Instant::now();
        while names.iter().any(running) && begun.elapsed() < END_MAX {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut ended = Vec::new();
        for name in names {
            if running(name) {
                ended.push((name.clone(), None));
                continue;
            }
            let known = self.by_name.lock().remove(name);
            let ran = known.and_then(|known| known.running).map(Running::stop);
            ended.push((name.clone(), Some(ran.is_some())));
        }
        ended
    }

    /// Starts a source, if it is wanted and can work here.
    fn begin(&self, name: &str, config: &Source, filters: &Filters) -> Result<Known> {
        // A checked source has one kind.
        let source = config.kinds().pop().with_context(|| format!("the source {name} has no kind"))?;
        let cadence = source.cadence();
        let Availability { on, why } = availability(&*source, config, &self.host.paths);
        tracing::info!(source = name, on, why, "source");
        let shown = SourceStatus {
            name: name.to_owned(),
            on,
            why: Some(why),
            needs: source.needs().to_owned(),
            last_event: None,
            events: 0,
            losses: 0,
            every_s: every(config, cadence).filter(|_| on),
        };
        let mut running = None;
        if on {
            let setup = self.host.setup(name, config, filters)?;
            let started = attestry_collect::start(source, setup);
            running = Some(started.with_context(|| format!("the source {name} cannot be started"))?);
        }
        Ok(Known { config: config.clone(), shown, running })
    }

    /// How each source is doing.
    pub(crate) fn all(&self) -> Vec<SourceStatus> {
        self.by_name.lock().values().map(Known::status).collect()
    }

    /// Ends them all.
    pub(crate) fn stop(&self) {
        let all = std::mem::take(&mut *self.by_name.lock());
        let running: Vec<Running> = all.into_values().filter_map(|known| known.running).collect();
        running.iter().for_each(Running::signal);
        running.into_iter().for_each(Running::stop);
    }
}
