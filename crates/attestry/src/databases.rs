//! The databases that are watched row by row: a thread for each watch, and what the server shows of them.

mod copies;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use attestry_db::watch::{
    Database, Handle, Mysql, Options, Outlet, Patience, Phase, Postgres, Stopped, Watch,
};
use attestry_db::{Engine, WatchConfig};
use attestry_event::{Clock, Event};
use attestry_pipeline::{Closed, Incoming, Inlet, Intake, IntakeOptions, Landing};
use attestry_server::AUDIT_LEDGER;
use attestry_server::databases::{
    Databases, RowVersion, SignOff, TableStatus, Violation, Wanted, WatchError, WatchStatus,
};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::Ground;
use copies::Place;

/// A watch's way in: returns when the events are durable.
struct Kept(Arc<Intake>);

impl Outlet for Kept {
    async fn send(&self, events: Vec<Event>) -> Result<(), Stopped> {
        let inlet = Arc::clone(&self.0);
        let put =
            tokio::task::spawn_blocking(move || inlet.put(events.into_iter().map(Incoming::from).collect()));
        match put.await {
            Ok(Ok(taken)) => {
                if taken.malformed > 0 {
                    // A defect of ours; they are kept as gap.malformed.
                    tracing::error!(events = taken.malformed, "a watch made malformed events");
                }
                Ok(())
            }
            Ok(Err(Closed)) | Err(_) => Err(Stopped),
        }
    }
}

/// A watch that was started.
struct Running {
    name: String,
    engine: Engine,
    place: String,
    handle: Handle,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

/// The watches of this node.
pub(crate) struct Watches {
    running: Vec<Running>,
    places: Vec<Place>,
}

impl Watches {
    /// Starts all that the configuration names. Whether their databases answer is for later.
    pub(crate) fn start(
        config: &Config,
        ground: &Arc<Ground>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Watches>> {
        let mut watches = Watches { running: Vec::new(), places: Vec::new() };
        for (name, of) in &config.written.audit {
            let copy = config.copy_of(name, of);
            if let Some(folder) = copy.parent() {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
            }
            watches.places.push(Place { watch: name.clone(), path: copy.clone() });
            let options = Options {
                name: name.clone(),
                config: of.clone(),
                copy,
                clock: Arc::clone(clock),
                patience: Patience::default(),
            };
            let started = start(options, Kept(Arc::new(intake(name, of, ground, clock))));
            watches.running.push(started.with_context(|| format!("the watch {name} cannot be started"))?);
        }
        Ok(Arc::new(watches))
    }

    /// Ends them all; each goes on at the next start exactly where it was.
    pub(crate) fn stop(&self) {
        self.running.iter().for_each(|running| running.stop.cancel());
        while self.running.iter().any(|running| !running.thread.is_finished()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

fn intake(name: &str, of: &WatchConfig, ground: &Arc<Ground>, clock: &Arc<dyn Clock>) -> Intake {
    let options = IntakeOptions {
        ledger: of.ledger.clone().unwrap_or_else(|| AUDIT_LEDGER.to_owned()),
        event_source: name.to_owned(),
        reserved_names: true,
        // A server whose clock is wrong must not lose evidence.
        agent: true,
        ..IntakeOptions::default()
    };
    let landing = Arc::clone(ground) as Arc<dyn Landing>;
    Intake::new(landing, options, Vec::new(), crate::flow::hooks(None, None, None), Arc::clone(clock))
}

fn start(options: Options, outlet: Kept) -> Result<Running> {
    let (name, config) = (options.name.clone(), options.config.clone());
    let engine = config.engine().context("its address is none that is known")?;
    let stop = CancellationToken::new();
    let (place, (handle, thread)) = match engine {
        Engine::Mysql => {
            let database = Mysql { watch: name.clone(), config: config.clone() };
            (config.login().mysql()?.place(), spawn(database, outlet, options, stop.clone())?)
        }
        Engine::Postgres => {
            let database = Postgres { watch: name.clone(), config: config.clone() };
            (config.login().postgres()?.place(), spawn(database, outlet, options, stop.clone())?)
        }
    };
    Ok(Running { name, engine, place, handle, stop, thread })
}

fn spawn<D: Database>(
    database: D,
    outlet: Kept,
    options: Options,
    stop: CancellationToken,
) -> Result<(Handle, JoinHandle<()>)> {
    let name = options.name.clone();
    let (watch, handle) = Watch::open(database, outlet, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(watch.run(stop.cancelled_owned())) {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(watch = name, error, "the watch ended");
        }
    })?;
    Ok((handle, thread))
}

impl Running {
    fn status(&self) -> WatchStatus {
        let status = self.handle.status();
        let ended = self.thread.is_finished();
        let state = match status.phase {
            _ if ended => "ended",
            Phase::Starting => "starting",
            Phase::Baseline => "baseline",
            Phase::Following => "following",
            Phase::Polling => "polling",
            Phase::Waiting => "waiting",
            Phase::Refused => "refused",
        };
        let why = if ended { Some("it ended by itself; the log says why".to_owned()) } else { status.why };
        WatchStatus {
            name: self.name.clone(),
            engine: self.engine.name().to_owned(),
            place: self.place.clone(),
            state: state.to_owned(),
            why,
            position: status.position,
            lag_ms: status.lag_ms,
            last_change: status.last_change,
            compared_at: status.compared_at,
            pass_s: status.pass_s,
            pending: status.pending,
            tables: status.tables.into_values().map(table).collect(),
        }
    }
}

fn table(of: attestry_db::watch::TableStatus) -> TableStatus {
    let (state, why) = match (&of.refused, &of.paused, of.taken) {
        (Some(why), ..) => ("refused", Some(why.clone())),
        (None, Some(_), _) => ("paused", Some("its columns changed".to_owned())),
        (None, None, _) if of.gone => ("gone", Some("the database has it no longer".to_owned())),
        (None, None, Some(rows)) => ("baseline", Some(format!("{rows} rows are copied"))),
        (None, None, None) => ("watched", None),
    };
    TableStatus {
        name: of.name.table,
        state: state.to_owned(),
        why,
        fingerprint: of.paused,
        rows: of.rows,
        inserts: of.inserts,
        updates: of.updates,
        deletes: of.deletes,
        pending: of.pending,
    }
}

impl Databases for Watches {
    fn watches(&self) -> Vec<WatchStatus> {
        self.running.iter().map(Running::status).collect()
    }

    fn violations(&self, wanted: &Wanted) -> Result<Vec<Violation>, WatchError> {
        copies::violations(&self.places, wanted)
    }

    fn history(&self, fingerprint: &str) -> Result<Vec<RowVersion>, WatchError> {
        copies::history(&self.places, fingerprint)
    }

    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError> {
        let running: BTreeMap<&str, &Running> =
            self.running.iter().map(|running| (running.name.as_str(), running)).collect();
        for (place, fingerprints) in copies::by_watch(&self.places, &sign_off.fingerprints)? {
            let Some(running) = running.get(place.watch.as_str()) else { continue };
            let done = running.handle.sign_off(
                fingerprints,
                sign_off.by.clone(),
                sign_off.address.clone(),
                sign_off.reason.clone(),
            );
            let handle = tokio::runtime::Handle::try_current()
                .map_err(|error| WatchError::Unavailable(error.to_string()))?;
            handle.block_on(done).map_err(|error| place.failed(error))?;
        }
        Ok(())
    }
}
