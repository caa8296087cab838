//! One watch that runs: a thread of its own, and what is told of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use attestry_db::postgres::slot_name;
use attestry_db::watch::{
    Database, Handle, Mysql, Options, Outlet, Patience, Phase, Postgres, Status, Stopped, Watch,
    WatchError as Ended,
};
use attestry_db::{Engine, WatchConfig};
use attestry_event::{Clock, Event};
use attestry_openpgp::{Gpg, OpenpgpConfig};
use attestry_pipeline::{Closed, Incoming, Inlet, Intake, IntakeOptions, Landing};
use attestry_server::AUDIT_LEDGER;
use attestry_server::databases::{Projection, TableStatus, WatchStatus};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::copies::Place;
use super::snapshots::{Setting, Snapshots};
use crate::config::Config;
use crate::flow::Ground;

/// How long to wait before a copy that could not be opened or written is tried again.
const COPY_AGAIN: Duration = Duration::from_secs(5);

/// What is said of a watch of which nothing is known yet.
const OPENING: &str = "its copy is being opened";

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

/// What a watch is made of. With others it is to be started again.
#[derive(Clone, PartialEq)]
pub(super) struct Settings {
    config: Arc<WatchConfig>,
    copy: PathBuf,
    /// None where nothing is signed or encrypted.
    openpgp: Option<OpenpgpConfig>,
}

impl Settings {
    /// Those of a watch that the configuration names.
    pub(super) fn of(config: &Config, name: &str, watch: &WatchConfig) -> Settings {
        let needs_keys = !watch.snapshots.is_empty();
        Settings {
            config: Arc::new(watch.clone()),
            copy: config.copy_of(name, watch),
            openpgp: needs_keys.then(|| config.written.openpgp.clone()),
        }
    }

    pub(super) fn copy(&self) -> &PathBuf {
        &self.copy
    }

    /// The ledger its events go to.
    pub(super) fn ledger(&self) -> &str {
        self.config.ledger.as_deref().unwrap_or(AUDIT_LEDGER)
    }
}

/// A watch that was started.
pub(super) struct Running {
    name: String,
    settings: Settings,
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

fn intake(name: &str, of: &Settings, ground: &Arc<Ground>, clock: &Arc<dyn Clock>) -> Intake {
    let options = IntakeOptions {
        ledger: of.ledger().to_owned(),
        event_source: name.to_owned(),
        reserved_names: true,
        // A server whose clock is wrong must not lose evidence.
        agent: true,
        ..IntakeOptions::default()
    };
    let landing = Arc::clone(ground) as Arc<dyn Landing>;
    Intake::new(landing, options, Vec::new(), crate::flow::hooks(None, None, None), Arc::clone(clock))
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
    /// A watch that is no longer configured leaves its slot, from which it would go on, and which keeps the server's log until then.
    pub(super) fn tell_what_stays(&self) {
        if matches!(self.engine, Engine::Postgres) && self.settings.config.stream {
            let slot = slot_name(&self.name, &self.settings.config);
            tracing::warn!(
                watch = self.name,
                slot,
                "the watch is no longer configured, and its slot keeps the server's log: unless it comes back, SELECT pg_drop_replication_slot('{slot}'); DROP PUBLICATION {slot};"
            );
        }
    }

    /// Starts a watch. Whether its database answers is for later. `goes_on` when it ran before with the same copy, which then stays as it is.
    pub(super) fn start(
        name: &str,
        settings: Settings,
        goes_on: bool,
        ground: &Arc<Ground>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Running> {
        let mut config = WatchConfig::clone(&settings.config);
        config.start_empty &= !goes_on;
        let engine = config.engine().context("its address is none that is known")?;
        let options = Options {
            name: name.to_owned(),
            config: config.clone(),
            copy: settings.copy.clone(),
            clock: Arc::clone(clock),
            patience: Patience::default(),
        };
        let outlet = Kept(Arc::new(intake(name, &settings, ground, clock)));
        let stop = CancellationToken::new();
        let held: Held = Arc::new(Mutex::new(Err(OPENING.to_owned())));
        let watch = name.to_owned();
        let (place, thread) = match engine {
            Engine::Mysql => {
                let place = config.login().mysql()?.place();
                (place, spawn(Mysql { watch, config }, outlet, options, &held, stop.clone())?)
            }
            Engine::Postgres => {
                let place = config.login().postgres()?.place();
                (place, spawn(Postgres { watch, config }, outlet, options, &held, stop.clone())?)
            }
        };
        let mut started =
            Running { name: name.to_owned(), settings, engine, place, held, stop, thread, snapshots: None };
        if let Some(openpgp) = &started.settings.openpgp {
            let Settings { config, copy, .. } = &started.settings;
            let setting = Setting {
                watch: name.to_owned(),
                config: WatchConfig::clone(config),
                copy: copy.clone(),
                gpg: Gpg::new(openpgp),
                clock: Arc::clone(clock),
                inlet: intake(name, &started.settings, ground, clock),
            };
            started.snapshots = Some(Snapshots::start(setting)?);
        }
        Ok(started)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where its copy is.
    pub(super) fn place(&self) -> Place {
        let why = self.held.lock().as_ref().err().filter(|why| *why != OPENING).cloned();
        let config = Arc::clone(&self.settings.config);
        Place { watch: self.name.clone(), path: self.settings.copy.clone(), config, why }
    }

    /// The watch while its copy works, else why not.
    pub(super) fn handle(&self) -> Result<Handle, String> {
        self.held.lock().clone()
    }

    pub(super) fn snapshots(&self) -> Option<&Snapshots> {
        self.snapshots.as_ref()
    }

    /// Tells it to end; it goes on at the next start exactly where it was.
    pub(super) fn signal(&self) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.signal();
        }
        self.stop.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished() && self.snapshots.as_ref().is_none_or(Snapshots::ended)
    }

    /// Whether it is what is wanted. One that has ended by itself, or was told to, is worth another start.
    pub(super) fn stays(&self, wanted: Option<&Settings>) -> bool {
        wanted == Some(&self.settings) && !self.stop.is_cancelled() && !self.thread.is_finished()
    }

    /// How it is doing.
    pub(super) fn status(&self) -> WatchStatus {
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
            ledger: self.settings.ledger().to_owned(),
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
        (None, Some(_), _) => ("paused", Some("its definition changed".to_owned())),
        (None, None, _) if of.gone => ("gone", Some("the database has it no longer".to_owned())),
        (None, None, Some(rows)) => ("baseline", Some(format!("{rows} rows are copied"))),
        (None, None, None) => ("watched", of.left_out.map(|why| format!("only compared: {why}"))),
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
