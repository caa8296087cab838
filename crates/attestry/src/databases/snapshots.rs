//! Snapshots of a watched database: when they are due, and when somebody asks for one. A thread for each watch that has some makes one after the
//! other.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attestry_db::WatchConfig;
use attestry_db::copy::Copy;
use attestry_db::snapshot::{Due, Made, Order, SnapshotError, failed, made, make};
use attestry_event::{Clock, Event, Nanos};
use attestry_openpgp::Gpg;
use attestry_pipeline::{Incoming, Inlet, Intake};

/// How often is looked for one that is due, at least: the clock may be set.
const LOOK: Duration = Duration::from_secs(60);

/// How long after a failure one is tried again.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// What came of a snapshot that was asked for: its name, and what was made.
pub(crate) type Answer = (String, Result<Made, SnapshotError>);

struct Ask {
    name: String,
    by: String,
    answer: mpsc::Sender<Answer>,
}

/// What a watch's snapshots are made with.
pub(super) struct Setting {
    pub(super) watch: String,
    pub(super) config: WatchConfig,
    pub(super) copy: PathBuf,
    pub(super) gpg: Gpg,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inlet: Intake,
}

/// The snapshots of one watch.
pub(super) struct Snapshots {
    names: Vec<String>,
    asks: mpsc::Sender<Option<Ask>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Snapshots {
    pub(super) fn start(setting: Setting) -> Result<Snapshots> {
        let (asks, asked) = mpsc::channel();
        let stop = Arc::<AtomicBool>::default();
        let names = setting.config.snapshots.keys().cloned().collect();
        let ends = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || Maker { setting, due: None, stop: ends, again: Vec::new() }.run(&asked))?;
        Ok(Snapshots { names, asks, stop, thread })
    }

    /// Asks for one, or for all of them; the answers come as they are made.
    pub(super) fn ask(&self, name: Option<&str>, by: &str) -> Result<mpsc::Receiver<Answer>> {
        if let Some(name) = name
            && !self.names.iter().any(|known| known == name)
        {
            bail!("there is no snapshot {name:?}, there are: {}", self.names.join(", "));
        }
        let (answer, answers) = mpsc::channel();
        for known in self.names.iter().filter(|known| name.is_none_or(|name| *known == name)) {
            let ask = Ask { name: known.clone(), by: by.to_owned(), answer: answer.clone() };
            self.asks.send(Some(ask)).ok().context("no snapshots are made any more")?;
        }
        Ok(answers)
    }

    /// Tells it to end; what is being made is given up, and made up at the next start.
    pub(super) fn signal(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // When it has ended it hears nothing.
        let _ = self.asks.send(None);
    }

    pub(super) fn ended(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Maker {
    setting: Setting,
    /// None until it could be read.
    due: Option<Due>,
    stop: Arc<AtomicBool>,
    /// Those that failed, and when they are tried again.
    again: Vec<(String, Nanos)>,
}

impl Maker {
    fn run(&mut self, asked: &mpsc::Receiver<Option<Ask>>) {
        loop {
            let wait = self.make_due();
            match asked.recv_timeout(wait) {
                Ok(Some(ask)) => {
                    let done = self.make(&ask.name, &ask.by);
                    // Who asked may have gone.
                    let _ = ask.answer.send((ask.name, done));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Makes all that are due, and says how long there is nothing to do.
    fn make_due(&mut self) -> Duration {
        let mut wait = LOOK;
        if self.due.is_none() {
            self.due = self.open_due();
        }
        let names: Vec<String> = self.setting.config.snapshots.keys().cloned().collect();
        for name in names {
            if self.stop.load(Ordering::Relaxed) {
                return wait;
            }
            let now = self.setting.clock.now();
            let Some(next) = self.next(&name) else { continue };
            if next <= now {
                // The reason is in its event.
                let _ = self.make(&name, "-");
            }
            let left =
                self.next(&name).map_or(i64::MAX, |next| next.0.saturating_sub(self.setting.clock.now().0));
            wait = wait.min(Duration::from_nanos(u64::try_from(left).unwrap_or(0)));
        }
        wait
    }

    /// What is known of when they were made; none while the disk that it is on does not work, which is then tried again.
    fn open_due(&self) -> Option<Due> {
        let Setting { copy, config, clock, watch, .. } = &self.setting;
        let folder = copy.parent().map_or(Ok(()), std::fs::create_dir_all);
        let opened = folder.and_then(|()| Due::open(copy, &config.snapshots, clock.now()));
        opened.map_err(|error| tracing::error!(watch, %error, "when snapshots are due cannot be told")).ok()
    }

    fn next(&self, name: &str) -> Option<Nanos> {
        let due = self.due.as_ref()?.next(name, self.setting.config.snapshots.get(name)?)?;
        let again = self.again.iter().find(|(failed, _)| failed == name).map(|(_, at)| *at);
        Some(again.map_or(due, |again| again.max(due)))
    }

    fn make(&mut self, name: &str, by: &str) -> Result<Made, SnapshotError> {
        let Setting { watch, config: watched, copy, gpg, clock, .. } = &self.setting;
        let Some(config) = watched.snapshots.get(name) else { return Err(SnapshotError::NoCopy) };
        let now = clock.now();
        // As it is on the disk: the watch may not have come to say it yet.
        let position = || Some(Copy::open_to_read(copy).ok()?.position().ok()??.to_string());
        let done = make(&Order {
            watch,
            name,
            watched,
            config,
            copy,
            gpg,
            now,
            position: &position,
            stop: &self.stop,
        });
        let at = clock.now();
        let event = match &done {
            Ok(snapshot) => made(watch, name, config, by, at, snapshot),
            Err(SnapshotError::Stopped) => return done,
            Err(why) => failed(watch, name, config, by, at, why),
        };
        let retry = at.0.saturating_add(i64::try_from(AGAIN.as_nanos()).unwrap_or(i64::MAX));
        self.again.retain(|(failed, _)| failed != name);
        match &done {
            Ok(snapshot) => {
                tracing::info!(
                    watch,
                    snapshot = name,
                    file = snapshot.file,
                    bytes = snapshot.bytes,
                    "snapshot made"
                );
            }
            Err(why) => {
                tracing::error!(watch, snapshot = name, %why, "the snapshot was not made");
                self.again.push((name.to_owned(), Nanos(retry)));
            }
        }
        // First in the ledger: one that is made twice does less harm than one that nobody knows of.
        let told = self.tell(event);
        if done.is_ok()
            && told
            && let Some(due) = &mut self.due
            && let Err(error) = due.made(name, now)
        {
            tracing::error!(%error, "when the snapshot was made cannot be kept");
        }
        done
    }

    fn tell(&self, event: Event) -> bool {
        // Closed: the program stops.
        self.setting.inlet.put(vec![Incoming::from(event)]).is_ok()
    }
}
