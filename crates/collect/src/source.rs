//! What a source is to those who run it: a name, what it needs, whether it can work here, and a thread that hands over
//! batches of events, each with the position that must be kept once the events are durable.
//!
//! A source works in *passes*: one pass reads everything that is new and returns. Resident, it makes one pass per cadence
//! until it is told to stop; with [`once`] it makes one. History is nothing special: the first pass starts at the oldest log
//! that is still there.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use attestry_event::{Clock, Event, Nanos, Outcome};
use serde_json::Value;

use crate::{follow::Gap, names::Names};

/// How often a source that follows something looks for more.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most events in one batch of a usual source.
pub const BATCH_EVENTS: usize = 1_000;

/// Takes events and keeps positions. What a source sends to.
pub trait Outlet: Send + Sync {
    /// Returns when `events` are durable (so a slow outlet slows the source down) **and then** keeps `position` for `source`, in
    /// place of the last one (of no events, only the position), usually in [`crate::Positions`]. A crash in between repeats events; those of logs come with the same
    /// `event_id` again.
    ///
    /// # Errors
    /// [`Stopped`] when the events will not be taken any more. The source then ends without another word; nothing of this
    /// batch may count as delivered.
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped>;
}

/// The outlet takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is taken any more")]
pub struct Stopped;

/// How often a source looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Follows something that may change at any time; looks as often as this.
    Follow(Duration),
    /// Observes a state at this interval.
    Every(Duration),
}

/// Whether a source can work on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// It can.
    pub on: bool,
    /// What it reads, or what is missing.
    pub why: String,
}

impl Availability {
    pub(crate) fn on(why: impl Into<String>) -> Availability {
        Availability { on: true, why: why.into() }
    }

    pub(crate) fn off(why: impl Into<String>) -> Availability {
        Availability { on: false, why: why.into() }
    }
}

/// Where a host keeps what the sources read; tests put it elsewhere.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `/`: what is not named below lies under it.
    pub root: PathBuf,
    /// `/var/log`
    pub log: PathBuf,
    /// `/proc`
    pub proc: PathBuf,
    /// `/usr/bin/journalctl` where it is, else the name to look up in `PATH`; `None` leaves journald alone.
    pub journalctl: Option<PathBuf>,
}

impl Default for Paths {
    fn default() -> Paths {
        // The absolute one where it is: what runs as root should not depend on PATH.
        let journalctl = PathBuf::from("/usr/bin/journalctl");
        let journalctl = if journalctl.exists() { journalctl } else { "journalctl".into() };
        Paths { root: "/".into(), log: "/var/log".into(), proc: "/proc".into(), journalctl: Some(journalctl) }
    }
}

impl Paths {
    /// The name this host gives itself; "localhost" when the system does not tell.
    pub fn host_name(&self) -> String {
        let name = std::fs::read_to_string(self.proc.join("sys/kernel/hostname")).unwrap_or_default();
        if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
    }
}

/// What a source is started with.
#[derive(Clone)]
pub struct Setup {
    /// The configured name: `event_source` of its events, and the name its position is kept under.
    pub name: String,
    /// The `host` of its events.
    pub host: String,
    /// Where things are.
    pub paths: Paths,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is shown of names that could not log in.
    pub names: Arc<Names>,
    /// Where the events go.
    pub outlet: Arc<dyn Outlet>,
    /// The position last kept for `name`.
    pub position: Option<Value>,
    /// Called on the source's thread after its first pass, and after each that had much to tell: much of what it needed may be given back.
    pub rest: fn(),
}

/// A kind of source with its settings: what is configured, before it runs.
pub trait Source: fmt::Debug + Send {
    /// What it is called in the configuration.
    fn kind(&self) -> &'static str;

    /// How often it looks.
    fn cadence(&self) -> Cadence;

    /// What it needs to work, for people.
    fn needs(&self) -> &'static str;

    /// Whether it can work with what is on this host. May open files or run a program (at most 5 s): not for every request of a
    /// page.
    fn availability(&self, paths: &Paths) -> Availability;

    /// What is wrong with the settings: the item and why.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Makes it ready to run. Called on the thread that it will run on.
    fn collector(&self, setup: &Setup) -> Box<dyn Collector>;
}

/// One source at work.
pub trait Collector: Send {
    /// Reads what is new, sends it, returns. `resident` when another pass will follow: a child process may stay then.
    fn pass(&mut self, feed: &mut Feed, resident: bool) -> Result<(), Stopped>;
}

/// What a source has done so far, readable while it runs.
#[derive(Debug, Default)]
pub struct Status {
    events: AtomicU64,
    losses: AtomicU64,
    last_event: Mutex<Option<Nanos>>,
    problem: Mutex<Option<String>>,
}

impl Status {
    /// Events handed over since the start.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// How often something was lost since the start; each time a `gap.collect` event says what.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The time of the newest event handed over.
    pub fn last_event(&self) -> Option<Nanos> {
        *self.last_event.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps the source from working at the moment.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Tells a source to end; it does so after the batch in hand.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Ends every wait, now and from now on.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether [`Stop::stop`] was called.
    pub fn stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`, or until stopped: then true.
    pub fn wait(&self, time: Duration) -> bool {
        let stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A source on its own thread.
pub struct Running {
    status: Arc<Status>,
    stop: Stop,
    thread: thread::JoinHandle<()>,
}

impl Running {
    /// What it has done; stays readable after its end.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Whether its thread has ended: stopped, refused by the outlet, or failed (then [`Status::problem`] says so).
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells it to end, and does not wait: to end several at once.
    pub fn signal(&self) {
        self.stop.stop();
    }

    /// Tells it to end, and waits for that. An outlet that blocks must be released first.
    pub fn stop(self) {
        self.stop.stop();
        // A thread that panicked has left its word in the status.
        let _ = self.thread.join();
    }
}

/// Starts `source` on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn start(source: Box<dyn Source>, setup: Setup) -> std::io::Result<Running> {
    let status = Arc::new(Status::default());
    let stop = Stop::default();
    let (inner_status, inner_stop) = (status.clone(), stop.clone());
    let thread = thread::Builder::new().name(format!("collect-{}", setup.name)).spawn(move || {
        let obituary = Obituary(inner_status.clone());
        let mut collector = source.collector(&setup);
        let rest = setup.rest;
        let mut feed = Feed::new(setup, inner_status, inner_stop.clone());
        let mut first = true;
        loop {
            let begun = Instant::now();
            let before = feed.status.events();
            if collector.pass(&mut feed, true).is_err() {
                break;
            }
            // The first reads what the host has kept, if only to say nothing of it.
            if std::mem::take(&mut first) || feed.status.events() - before >= BATCH_EVENTS as u64 {
                rest();
            }
            let pause = match source.cadence() {
                Cadence::Follow(pause) => pause,
                // From start to start: what a look takes is part of the interval.
                Cadence::Every(interval) => interval.saturating_sub(begun.elapsed()),
            };
            if inner_stop.wait(pause) {
                break;
            }
        }
        drop(obituary);
    })?;
    Ok(Running { status, stop, thread })
}

/// Makes one pass of `source` on this thread and returns what it did.
///
/// # Errors
/// [`Stopped`] when the outlet refused.
pub fn once(source: &dyn Source, setup: Setup) -> Result<Arc<Status>, Stopped> {
    let status = Arc::new(Status::default());
    let mut collector = source.collector(&setup);
    let mut feed = Feed::new(setup, status.clone(), Stop::default());
    collector.pass(&mut feed, false)?;
    Ok(status)
}

/// A source that dies of a bug must not look like one that has nothing to say.
struct Obituary(Arc<Status>);

impl Drop for Obituary {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .set_problem(Some("ended by a bug of its own; a restart of Attestry starts it again".into()));
        }
    }
}

/// What a collector hands its events to: makes batches of them and sends each with its position.
pub struct Feed {
    name: String,
    host: String,
    outlet: Arc<dyn Outlet>,
    clock: Arc<dyn Clock>,
    status: Arc<Status>,
    stop: Stop,
    events: Vec<Event>,
    batch: usize,
    position: Value,
}

impl Feed {
    pub(crate) fn new(setup: Setup, status: Arc<Status>, stop: Stop) -> Feed {
        Feed {
            name: setup.name,
            host: setup.host,
            outlet: setup.outlet,
            clock: setup.clock,
            status,
            stop,
            events: Vec::new(),
            batch: BATCH_EVENTS,
            position: setup.position.unwrap_or(Value::Null),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn now(&self) -> Nanos {
        self.clock.now()
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// Fails once the source is told to stop, so that reading a long history ends soon.
    pub(crate) fn go_on(&self) -> Result<(), Stopped> {
        if self.stop.stopped() { Err(Stopped) } else { Ok(()) }
    }

    /// Waits for `time`; fails as soon as the source is told to stop.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), Stopped> {
        if self.stop.wait(time) { Err(Stopped) } else { Ok(()) }
    }

    /// The configured name of the source.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// For what must end when the source is told to stop, and waits elsewhere.
    pub(crate) fn stop_flag(&self) -> Stop {
        self.stop.clone()
    }

    pub(crate) fn push(&mut self, mut event: Event) {
        if event.host.is_none() {
            event.host = Some(self.host.clone());
        }
        self.events.push(event);
    }

    /// Something was lost: counts it and leaves the event that says so.
    pub(crate) fn lose(&mut self, gap: Gap) {
        self.status.losses.fetch_add(1, Ordering::Relaxed);
        let mut event = Event::new("gap.collect", "-");
        event.event_time = Some(self.now());
        event.resource = Some(gap.file.clone());
        event.outcome = Some(Outcome::Failure);
        event.severity = Some(4);
        event.message = Some(format!("{} {}", gap.file, gap.reason));
        event = event.data("reason", gap.reason).data("file", gap.file);
        self.push(event);
    }

    /// Sends when a batch is full; `position` is asked only then, and must stand after the events pushed so far.
    pub(crate) fn send_when_full(&mut self, position: impl FnOnce() -> Value) -> Result<(), Stopped> {
        if self.is_full() { self.send(position) } else { Ok(()) }
    }

    /// Whether it is time to send.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= self.batch
    }

    /// Makes the batches of a source with many events larger than [`BATCH_EVENTS`]: one position is kept for each.
    pub(crate) fn batch_at_most(&mut self, events: usize) {
        self.batch = events;
    }

    /// Sends what is there, and keeps the position when that is nothing, too.
    pub(crate) fn keep(&mut self, position: impl FnOnce() -> Value) -> Result<(), Stopped> {
        if self.events.is_empty() {
            let position = position();
            self.outlet.send(&self.name, Vec::new(), position.clone())?;
            self.position = position;
            return Ok(());
        }
        self.send(position)
    }

    /// Sends what is there; `position` is asked only if something is. More than one batch goes with the last position until the last of them.
    pub(crate) fn send(&mut self, position: impl FnOnce() -> Value) -> Result<(), Stopped> {
        if self.events.is_empty() {
            return Ok(());
        }
        let position = position();
        while !self.events.is_empty() {
            let rest = self.events.split_off(self.events.len().min(self.batch));
            let batch = std::mem::replace(&mut self.events, rest);
            // What has no time of its own gets that of the border: now.
            let now = self.now();
            let newest = batch.iter().map(|event| event.event_time.unwrap_or(now)).max();
            let count = batch.len() as u64;
            let at = if self.events.is_empty() { position.clone() } else { self.position.clone() };
            self.outlet.send(&self.name, batch, at)?;
            self.status.events.fetch_add(count, Ordering::Relaxed);
            let mut last = self.status.last_event.lock().unwrap_or_else(PoisonError::into_inner);
            *last = (*last).max(newest);
        }
        self.position = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
