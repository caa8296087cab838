//! The databases that are watched row by row: a thread for each watch, and what the server shows of them.

mod copies;
mod snapshots;
mod view;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use attestry_db::watch::{
    Database, Handle, Mysql, Options, Outlet, Patience, Phase, Postgres, Status, Stopped, Watch,
    WatchError as Ended,
};
use attestry_db::{Engine, WatchConfig};
use attestry_event::{Clock, Event};
use attestry_openpgp::Gpg;
use attestry_pipeline::{Closed, Incoming, Inlet, Intake, IntakeOptions, Landing};
use attestry_server::AUDIT_LEDGER;
use attestry_server::databases::{
    Databases, Found, Projection, RowVersion, SignOff, TableStatus, Unreadable, Violation, Wanted,
    WatchError, WatchStatus,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::Ground;
use copies::Place;
pub(crate) use snapshots::Answer;
use snapshots::{Setting, Snapshots};

/// How long to wait before a copy that could not be opened or written is tried again.
const COPY_AGAIN: Duration = Duration::from_secs(5);

/// A watch's way in: returns when the events are durable.
#[derive(Clone)]
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
    held: Held,
    stop: CancellationToken,
    thread: JoinHandle<()>,
    /// None when it has none.
    snapshots: Option<Snapshots>,
}

/// The watch while its copy works, else why not.
type Held = Arc<Mutex<Result<Handle, String>>>;

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
            watches.places.push(Place { watch: name.clone(), path: copy.clone() });
            let options = Options {
                name: name.clone(),
                config: of.clone(),
                copy: copy.clone(),
                clock: Arc::clone(clock),
                patience: Patience::default(),
            };
            let started = start(options, Kept(Arc::new(intake(name, of, ground, clock))));
            let mut started = started.with_context(|| format!("the watch {name} cannot be started"))?;
            if !of.snapshots.is_empty() {
                let setting = Setting {
                    watch: name.clone(),
                    config: of.clone(),
                    copy,
                    gpg: Gpg::new(&config.written.openpgp),
                    clock: Arc::clone(clock),
                    inlet: intake(name, of, ground, clock),
                };
                started.snapshots = Some(Snapshots::start(setting)?);
            }
            watches.running.push(started);
        }
        Ok(Arc::new(watches))
    }

    /// Asks for a snapshot of a watch, or for all that it has; the answers come as they are made.
    pub(crate) fn snapshot(
        &self,
        watch: &str,
        name: Option<&str>,
        by: &str,
    ) -> Result<mpsc::Receiver<Answer>> {
        let running = self.running.iter().find(|running| running.name == watch);
        let running = running.with_context(|| format!("there is no watch {watch:?}"))?;
        let snapshots = running.snapshots.as_ref();
        snapshots
            .with_context(|| {
                format!("the watch {watch} has no snapshots; name some under audit: {watch}: snapshots:")
            })?
            .ask(name, by)
    }

    /// A watch that runs, or why it does not.
    fn handle(&self, watch: &str) -> Result<Handle, String> {
        let running = self.running.iter().find(|running| running.name == watch);
        running.map_or_else(
            || Err("it is not watched any more".to_owned()),
            |running| running.held.lock().clone(),
        )
    }

    /// Ends them all; each goes on at the next start exactly where it was.
    pub(crate) fn stop(&self) {
        let snapshots = || self.running.iter().filter_map(|running| running.snapshots.as_ref());
        snapshots().for_each(Snapshots::signal);
        self.running.iter().for_each(|running| running.stop.cancel());
        while self.running.iter().any(|running| !running.thread.is_finished())
            || snapshots().any(|snapshots| !snapshots.ended())
        {
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
    let held: Held = Arc::new(Mutex::new(Err("its copy is being opened".to_owned())));
    let (place, thread) = match engine {
        Engine::Mysql => {
            let database = Mysql { watch: name.clone(), config: config.clone() };
            (config.login().mysql()?.place(), spawn(database, outlet, options, &held, stop.clone())?)
        }
        Engine::Postgres => {
            let database = Postgres { watch: name.clone(), config: config.clone() };
            (config.login().postgres()?.place(), spawn(database, outlet, options, &held, stop.clone())?)
        }
    };
    Ok(Running { name, engine, place, held, stop, thread, snapshots: None })
}

/// Runs a watch on a thread of its own. A copy that cannot be opened or written any more keeps nothing else from working, and is tried again: the disk may
/// be full, or the file on one that is not there yet.
fn spawn<D: Database + Clone>(
    database: D,
    outlet: Kept,
    mut options: Options,
    held: &Held,
    stop: CancellationToken,
) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let held = Arc::clone(held);
    let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
        while !stop.is_cancelled() {
            let ended = match open(database.clone(), outlet.clone(), &options) {
                Ok((watch, handle)) => {
                    *held.lock() = Ok(handle);
                    // It begins with an empty copy once.
                    options.config.start_empty = false;
                    let ended = runtime.block_on(watch.run(stop.clone().cancelled_owned()));
                    if matches!(ended, Ok(()) | Err(Ended::Outlet(_))) {
                        return;
                    }
                    ended.map_err(anyhow::Error::from)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                let error = format!("{error:#}");
                tracing::error!(watch = options.name, error, "the watch does not work; it is tried again");
                *held.lock() = Err(error);
            }
            runtime.block_on(async {
                let _ = tokio::time::timeout(COPY_AGAIN, stop.cancelled()).await;
            });
        }
    })?;
    Ok(thread)
}

fn open<D: Database>(database: D, outlet: Kept, options: &Options) -> Result<(Watch<D, Kept>, Handle)> {
    if let Some(folder) = options.copy.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(Watch::open(database, outlet, options.clone())?)
}

impl Running {
    fn status(&self) -> WatchStatus {
        let ended = self.thread.is_finished();
        let status = match &*self.held.lock() {
            Ok(handle) => handle.status(),
            Err(why) => Status { phase: Phase::Refused, why: Some(why.clone()), ..Status::default() },
        };
        let state = if ended { "ended" } else { words(status.phase) };
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
            projection: status.projection.map(|of| Projection {
                schema: of.schema,
                state: words(of.phase).to_owned(),
                why: of.why,
            }),
            tables: status.tables.into_values().map(table).collect(),
        }
    }
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Baseline => "baseline",
        Phase::Following => "following",
        Phase::Polling => "polling",
        Phase::Waiting => "waiting",
        Phase::Refused => "refused",
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

    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError> {
        copies::violations(&self.places, wanted)
    }

    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError> {
        let (mut places, mut unreadable) = (Vec::new(), Vec::new());
        for place in copies::wanted(&self.places, wanted)? {
            // A copy that can be read may be one that cannot be written.
            match self.handle(&place.watch) {
                Ok(_) => places.push(place.clone()),
                Err(why) => unreadable.push(Unreadable { watch: place.watch.clone(), why }),
            }
        }
        let mut all = copies::matching(&places, wanted);
        all.unreadable.extend(unreadable);
        Ok(all)
    }

    fn history(&self, fingerprint: &str) -> Result<Vec<RowVersion>, WatchError> {
        copies::history(&self.places, fingerprint)
    }

    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError> {
        let mut ready = Vec::new();
        // All of them before the first is signed off.
        for (place, fingerprints) in copies::by_watch(&self.places, &sign_off.fingerprints)? {
            let watch = self.handle(&place.watch);
            let watch = watch
                .map_err(|why| WatchError::Unavailable(format!("the copy of {}: {why}", place.watch)))?;
            ready.push((place, watch, fingerprints));
        }
        for (place, watch, fingerprints) in ready {
            let done = watch.sign_off(
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
