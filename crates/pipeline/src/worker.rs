//! Feeds one sink from one log.

mod backoff;
mod fill;
mod hand_over;
#[cfg(test)]
mod random;
mod status;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_event::{Clock, Event, Outcome};
use attestry_journal::disk::{Disk, RealDisk};
use attestry_journal::{Cursor, CursorError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::backoff::Retry;
use self::status::Shared;
pub use self::status::{State, Status, Trouble};
use crate::dead::{DeadLetters, Evicted, ReplayError, Replayed, replay};
use crate::{Filter, Gap, Limits, Log, News, Sink};

/// A cursor is written at most this often while there is work, and always at the end.
const CURSOR_EVERY: Duration = Duration::from_millis(200);
/// How long a delivery may still take when the program stops.
const GRACE: Duration = Duration::from_secs(3);
/// How long a failing disk is left alone.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// How events are offered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Events at most.
    pub events: usize,
    /// Bytes at most, as [`Parcel::bytes`](crate::Parcel::bytes) counts them; a single event may have more.
    pub bytes: usize,
    /// How long a batch that is not full waits for more.
    pub wait: Duration,
}

impl Default for Batching {
    /// 1,000 events, 1 MiB, 1 second.
    fn default() -> Self {
        Batching { events: 1_000, bytes: 1 << 20, wait: Duration::from_secs(1) }
    }
}

/// Where a sink without a cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is there.
    First,
    /// With what comes from now on.
    End,
}

/// All that feeding a sink takes.
pub struct Task<D: Disk = RealDisk> {
    /// The sink's name: it is the consumer's name at the log, too.
    pub name: String,
    /// What is read.
    pub log: Arc<dyn Log>,
    /// Tells when there is more of it.
    pub news: News,
    /// Where the events go.
    pub sink: Box<dyn Sink>,
    /// What is left out or changed on the way.
    pub filter: Filter,
    /// How they are offered together.
    pub batching: Batching,
    /// How a failure is tried again.
    pub retry: Retry,
    /// Where the cursor is.
    pub disk: D,
    /// The cursor's file; its directory exists. One a (sink, log).
    pub cursor: PathBuf,
    /// Where to begin when there is none.
    pub start: Start,
    /// What the sink refuses.
    pub dead: Arc<DeadLetters<D>>,
    /// Makes an event that declares a loss durable. Called where blocking is allowed, but it must not wait for this very sink to make
    /// progress: for a spool use [`Spool::declare`](crate::Spool::declare).
    pub declare: Arc<dyn Fn(Event) + Send + Sync>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// The sink asked for a person, and why.
    Halted(String),
}

/// What others can do with a worker while it runs.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    replays: mpsc::Sender<ReplayRequest>,
}

struct ReplayRequest {
    ids: Option<Vec<u64>>,
    reply: oneshot::Sender<Result<Replayed, ReplayError>>,
}

impl Handle {
    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Offers dead letters to the sink once more, between two batches: those with these numbers, or all. While the sink is away this waits.
    ///
    /// # Errors
    /// When the sink does not take them now, or the worker has ended.
    pub async fn replay(&self, ids: Option<Vec<u64>>) -> Result<Replayed, ReplayError> {
        let (reply, answer) = oneshot::channel();
        let request = ReplayRequest { ids, reply };
        self.replays.send(request).await.map_err(|_| ReplayError::Ended)?;
        answer.await.unwrap_or(Err(ReplayError::Ended))
    }
}

/// Feeds one sink from one log: reads from the cursor on, leaves out what the filter says, delivers in batches, tries again for as long as
/// it takes, puts what is refused for good to the dead letters, and remembers how far it came. Every event is delivered at least once and
/// in order. Nothing that happens here holds up another worker.
pub struct Worker<D: Disk = RealDisk> {
    name: String,
    log: Arc<dyn Log>,
    news: News,
    sink: Box<dyn Sink>,
    filter: Arc<Filter>,
    batching: Batching,
    retry: Retry,
    disk: D,
    cursor: PathBuf,
    start: Start,
    dead: Arc<DeadLetters<D>>,
    declare: Arc<dyn Fn(Event) + Send + Sync>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    replays: mpsc::Receiver<ReplayRequest>,
    stop: CancellationToken,
    random: StdRng,
    /// Where to read on.
    next: u64,
    /// Everything below is delivered, refused or left out.
    done: u64,
    /// What the cursor's file says.
    stored: u64,
    stored_at: Instant,
}

impl<D: Disk> Worker<D> {
    /// A worker that has not begun, and what others see of it. It ends soon after `stop` is cancelled.
    pub fn new(task: Task<D>, stop: CancellationToken) -> (Worker<D>, Handle) {
        let shared = Arc::new(Shared::new(Arc::clone(&task.log)));
        let (replays, requests) = mpsc::channel(8);
        let handle = Handle { shared: Arc::clone(&shared), replays };
        let worker = Worker {
            name: task.name,
            log: task.log,
            news: task.news,
            sink: task.sink,
            filter: Arc::new(task.filter),
            batching: task.batching,
            retry: task.retry,
            disk: task.disk,
            cursor: task.cursor,
            start: task.start,
            dead: task.dead,
            declare: task.declare,
            clock: task.clock,
            shared,
            replays: requests,
            stop,
            random: StdRng::from_rng(&mut rand::rng()),
            next: 0,
            done: 0,
            stored: 0,
            stored_at: Instant::now(),
        };
        (worker, handle)
    }

    /// Works until it is told to stop, or the sink asks for a person.
    pub async fn run(mut self) -> Ended {
        let mut guard = PanicGuard { shared: Some(Arc::clone(&self.shared)), name: self.name.clone() };
        let ended = self.work().await;
        self.store_cursor().await;
        match &ended {
            Ended::Stopped => self.shared.state(State::Stopped),
            Ended::Halted(reason) => {
                tracing::error!(
                    sink = self.name,
                    reason,
                    "the sink is halted: nothing is sent until a person has looked"
                );
                self.shared.trouble(State::Halted, reason.clone(), self.clock.now());
            }
        }
        // It ended as it should, and lets go of the log.
        guard.shared = None;
        ended
    }

    async fn work(&mut self) -> Ended {
        if !self.load_cursor().await {
            return Ended::Stopped;
        }
        while let Some(batch) = self.fill().await {
            match self.hand_over(batch).await {
                None => {}
                Some(ended) => return ended,
            }
            self.store_cursor_when_due().await;
            while let Ok(request) = self.replays.try_recv() {
                self.replay(request).await;
            }
        }
        Ended::Stopped
    }

    async fn replay(&mut self, request: ReplayRequest) {
        let evict = self.evict();
        let stop = self.stop.clone();
        let replaying = replay(&self.dead, &mut *self.sink, request.ids.as_deref(), &self.clock, &evict);
        let replayed = tokio::select! {
            biased;
            replayed = replaying => replayed,
            () = after(&stop, GRACE) => Err(ReplayError::Ended),
        };
        // Who asked may have gone.
        let _ = request.reply.send(replayed);
    }

    fn evict(&self) -> Arc<dyn Fn(Evicted) + Send + Sync> {
        let (declare, sink) = (Arc::clone(&self.declare), self.name.clone());
        Arc::new(move |evicted: Evicted| declare(evicted.event(&sink)))
    }

    /// Finds out where to begin; false when it is told to stop before.
    async fn load_cursor(&mut self) -> bool {
        loop {
            let (disk, path, log, start) =
                (self.disk.clone(), self.cursor.clone(), Arc::clone(&self.log), self.start);
            let loaded = blocking(move || {
                Ok(match Cursor::load(&disk, &path) {
                    // Positions end before it: it belongs to a log that is no longer there.
                    Ok(Some(Cursor(at))) if at > log.end() => (log.first(), true),
                    Ok(Some(Cursor(at))) => (at, false),
                    Ok(None) if start == Start::End => (log.end(), false),
                    Ok(None) => (log.first(), false),
                    Err(CursorError::Damaged) => (log.first(), true),
                    Err(error @ CursorError::Io(_)) => return Err(crate::describe(&error)),
                })
            })
            .await;
            match loaded {
                Ok((at, again)) => {
                    if again {
                        tracing::warn!(
                            sink = self.name,
                            "the cursor does not fit: beginning with the oldest event again"
                        );
                    }
                    (self.next, self.done) = (at, at);
                    // Also when it is where it was: the log has to know who holds what.
                    self.store_cursor().await;
                    return true;
                }
                Err(reason) => {
                    if !self.pause(reason, DISK_PAUSE).await {
                        return false;
                    }
                }
            }
        }
    }

    async fn store_cursor_when_due(&mut self) {
        if self.done != self.stored && self.stored_at.elapsed() >= CURSOR_EVERY {
            self.store_cursor().await;
        }
    }

    /// Remembers how far it came. Where that fails, some events may be delivered again, no more.
    async fn store_cursor(&mut self) {
        let (disk, path, log, name) =
            (self.disk.clone(), self.cursor.clone(), Arc::clone(&self.log), self.name.clone());
        let done = self.done;
        self.shared.position.store(done, Ordering::Relaxed);
        let stored = blocking(move || {
            Cursor(done).store(&disk, &path).map_err(|error| crate::describe(&error))?;
            log.release(&name, done);
            Ok(())
        })
        .await;
        self.stored_at = Instant::now();
        match stored {
            Ok(()) => self.stored = done,
            Err(reason) => {
                tracing::warn!(sink = self.name, reason, "the cursor was not written, trying again")
            }
        }
    }

    /// Says what is wrong and waits; false when it is told to stop.
    async fn pause(&mut self, reason: String, wait: Duration) -> bool {
        self.shared.trouble(State::Waiting, reason, self.clock.now());
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    fn limits(&self) -> Limits {
        Limits { events: self.batching.events.max(1), bytes: self.batching.bytes.max(1) }
    }
}

/// The event that declares what a sink did not get.
fn gap_event(sink: &str, gap: &Gap) -> Event {
    let count = gap.events.map_or("an unknown number of".to_owned(), |events| events.to_string());
    let event = Event::new("gap.sink", "-")
        .resource(sink)
        .outcome(Outcome::Failure)
        .severity(3)
        .message(format!("{count} events were gone before {sink} had read them"))
        .data("why", gap.why.clone())
        .data("first", gap.range.start)
        .data("end", gap.range.end);
    match gap.events {
        Some(events) => event.data("events", events),
        None => event,
    }
}

/// Ends some time after the stop.
async fn after(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// Runs what blocks. A panic in it is an error like any other: the worker goes on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(format!("it did not end well: {error}")),
    }
}

/// Shows that a worker ended by a panic in its sink. It is dropped only then, or when the runtime ends.
struct PanicGuard {
    /// None when there is nothing to say.
    shared: Option<Arc<Shared>>,
    name: String,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        shared.state(State::Halted);
        if std::thread::panicking() {
            tracing::error!(sink = self.name, "the worker of the sink ended by a panic");
        }
    }
}
