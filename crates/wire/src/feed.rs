//! From a receiver's sockets into its inlet: a queue bounded in bytes, batches, and the account of what was lost.
//!
//! Streams wait until there is room in the queue, so their senders wait. Datagrams cannot: those that find no room are counted, and so are
//! those that the kernel dropped; the counts leave as `gap.datagram` events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestry_event::{Event, Outcome};
use attestry_pipeline::{Incoming, Inlet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::hostname::hostname;

/// What a receiver has seen since it was bound.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages taken in.
    pub messages: AtomicU64,
    /// Their bytes, as they came.
    pub bytes: AtomicU64,
    /// Datagrams that were lost, for whatever reason.
    pub dropped: AtomicU64,
    /// Connections and requests that were turned away.
    pub refused: AtomicU64,
    /// Connections there are now.
    pub connections: AtomicU64,
}

/// Why a datagram was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The kernel's buffer was full.
    Kernel,
    /// The receiver's queue was full.
    Queue,
    /// Some chunks of a message never came.
    Incomplete,
    /// It is no message, or it is larger than allowed.
    Unreadable,
}

impl Loss {
    const ALL: [Loss; 4] = [Loss::Kernel, Loss::Queue, Loss::Incomplete, Loss::Unreadable];

    fn name(self) -> &'static str {
        match self {
            Loss::Kernel => "kernel",
            Loss::Queue => "queue",
            Loss::Incomplete => "incomplete",
            Loss::Unreadable => "unreadable",
        }
    }

    fn because(self) -> &'static str {
        match self {
            Loss::Kernel => "the kernel's buffer was full",
            Loss::Queue => "the receiver's queue was full",
            Loss::Incomplete => "chunks of their messages did not come in time",
            Loss::Unreadable => "they are no messages, or larger than allowed",
        }
    }
}

/// How much a feed holds, and how it makes batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queue_bytes: u64,
    pub(crate) batch_events: usize,
    pub(crate) batch_wait: Duration,
}

/// What an event takes in the queue besides its bytes: about the size of an `Event` with its small strings.
const EVENT_BYTES: usize = 1_024;

/// How often losses are declared at most.
const DECLARED_EVERY: Duration = Duration::from_secs(1);

struct Lot {
    events: Vec<Incoming>,
    _room: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Shared {
    counters: Arc<Counters>,
    lost: [AtomicU64; Loss::ALL.len()],
}

/// The way into the queue.
#[derive(Clone)]
pub(crate) struct Feed {
    lots: UnboundedSender<Lot>,
    room: Arc<Semaphore>,
    queue_bytes: u32,
    shared: Arc<Shared>,
}

/// The queue's other end.
pub(crate) struct Feeder {
    lots: UnboundedReceiver<Lot>,
    limits: Limits,
    shared: Arc<Shared>,
    /// Where the receiver listens, as a gap event names it.
    listen: String,
}

/// A queue for a receiver that listens at `listen`.
pub(crate) fn feed(listen: String, limits: Limits) -> (Feed, Feeder) {
    let (sender, receiver) = unbounded_channel();
    let queue_bytes = u32::try_from(limits.queue_bytes).unwrap_or(u32::MAX).max(1);
    let shared = Arc::new(Shared::default());
    let room = Arc::new(Semaphore::new(queue_bytes as usize));
    let feed = Feed { lots: sender, room, queue_bytes, shared: Arc::clone(&shared) };
    (feed, Feeder { lots: receiver, limits, shared, listen })
}

impl Feed {
    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Queues what came as datagrams, or counts it as lost when there is no room.
    pub(crate) fn offer(&self, events: Vec<Incoming>, bytes: usize) {
        if events.is_empty() {
            return;
        }
        match Arc::clone(&self.room).try_acquire_many_owned(self.cost(&events, bytes)) {
            Ok(room) => self.queue(events, bytes, room),
            Err(_) => self.lose(Loss::Queue, events.len() as u64),
        }
    }

    /// Queues what came by a stream, when there is room.
    pub(crate) async fn send(&self, events: Vec<Incoming>, bytes: usize) {
        if events.is_empty() {
            return;
        }
        // The semaphore is never closed.
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(self.cost(&events, bytes)).await {
            self.queue(events, bytes, room);
        }
    }

    fn cost(&self, events: &[Incoming], bytes: usize) -> u32 {
        let cost = bytes.saturating_add(events.len().saturating_mul(EVENT_BYTES));
        // What is larger than the queue gets all of it.
        u32::try_from(cost).unwrap_or(u32::MAX).min(self.queue_bytes)
    }

    fn queue(&self, events: Vec<Incoming>, bytes: usize, room: OwnedSemaphorePermit) {
        self.shared.counters.messages.fetch_add(events.len() as u64, Ordering::Relaxed);
        self.shared.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // The other end is gone only when the inlet is closed: the program stops.
        let _ = self.lots.send(Lot { events, _room: room });
    }

    /// Counts lost datagrams.
    pub(crate) fn lose(&self, loss: Loss, count: u64) {
        if let Some(lost) = self.shared.lost.get(loss as usize).filter(|_| count > 0) {
            lost.fetch_add(count, Ordering::Relaxed);
            self.shared.counters.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Feeder {
    /// Puts batches into the inlet until every [`Feed`] is gone and the queue is empty, or the inlet is closed; then `closed` is
    /// cancelled, so that the sockets are given up too.
    pub(crate) async fn run(mut self, inlet: Arc<dyn Inlet>, closed: CancellationToken) {
        let mut declared = Instant::now();
        let mut tick = tokio::time::interval(DECLARED_EVERY);
        let mut going_on = true;
        while going_on {
            let mut events = Vec::new();
            let mut rooms = Vec::new();
            tokio::select! {
                lot = self.lots.recv() => match lot {
                    Some(lot) => take(lot, &mut events, &mut rooms),
                    None => going_on = false,
                },
                _ = tick.tick() => {}
            }
            let until = tokio::time::Instant::now() + self.limits.batch_wait;
            while !events.is_empty() && events.len() < self.limits.batch_events {
                match tokio::time::timeout_at(until, self.lots.recv()).await {
                    Ok(Some(lot)) => take(lot, &mut events, &mut rooms),
                    Ok(None) | Err(_) => break,
                }
            }
            if declared.elapsed() >= DECLARED_EVERY || !going_on {
                declared = Instant::now();
                events.extend(self.losses());
            }
            if events.is_empty() {
                continue;
            }
            let inlet = Arc::clone(&inlet);
            let put = tokio::task::spawn_blocking(move || inlet.put(events)).await;
            if !matches!(put, Ok(Ok(_))) {
                closed.cancel();
                return;
            }
        }
    }

    /// What was lost since the last time, as events.
    fn losses(&self) -> Vec<Incoming> {
        let mut events = Vec::new();
        for (loss, lost) in Loss::ALL.into_iter().zip(&self.shared.lost) {
            let count = lost.swap(0, Ordering::Relaxed);
            if count > 0 {
                let because = loss.because();
                let event = Event::new("gap.datagram", "-")
                    .resource(self.listen.clone())
                    .outcome(Outcome::Failure)
                    .severity(4)
                    .host(hostname())
                    .message(format!("{count} datagrams to {} were lost: {because}", self.listen))
                    .data("count", count)
                    .data("reason", loss.name());
                events.push(Incoming::from(event));
            }
        }
        events
    }
}

fn take(lot: Lot, events: &mut Vec<Incoming>, rooms: &mut Vec<OwnedSemaphorePermit>) {
    events.extend(lot.events);
    rooms.push(lot._room);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use attestry_pipeline::{Closed, Taken};

    use super::*;

    /// An inlet that remembers what was put into it.
    #[derive(Default)]
    struct Kept {
        events: Mutex<Vec<Event>>,
        batches: Mutex<Vec<usize>>,
        closed: AtomicBool,
    }

    impl Inlet for Kept {
        fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
            if self.closed.load(Ordering::SeqCst) {
                return Err(Closed);
            }
            self.batches.lock().unwrap().push(events.len());
            let kept = events.len();
            self.events.lock().unwrap().extend(events.into_iter().map(|event| match event {
                Incoming::Event(event) => *event,
                Incoming::Json(json) => panic!("{}", String::from_utf8_lossy(&json)),
            }));
            Ok(Taken { kept, ..Taken::default() })
        }
    }

    fn some(count: usize) -> Vec<Incoming> {
        (0..count).map(|at| Event::new("x", "-").message(at.to_string()).into()).collect()
    }

    const LIMITS: Limits =
        Limits { queue_bytes: 100_000, batch_events: 50, batch_wait: Duration::from_millis(20) };

    #[tokio::test]
    async fn what_finds_no_room_is_declared() {
        let kept = Arc::new(Kept::default());
        let (feed, feeder) = feed("udp://here".to_owned(), LIMITS);
        for _ in 0..5 {
            feed.offer(some(30), 3_000);
        }
        feed.lose(Loss::Kernel, 7);
        let counters = feed.counters();
        drop(feed);
        feeder.run(Arc::<Kept>::clone(&kept), CancellationToken::new()).await;
        assert_eq!(counters.messages.load(Ordering::SeqCst), 60);
        assert_eq!(counters.dropped.load(Ordering::SeqCst), 97);
        let events = kept.events.lock().unwrap();
        let gaps: Vec<_> = events.iter().filter(|event| event.event_name == "gap.datagram").collect();
        assert_eq!(events.len(), 62);
        for (gap, reason, count) in [(gaps[0], "kernel", 7), (gaps[1], "queue", 90)] {
            let data = gap.event_data.as_ref().unwrap();
            assert_eq!((data["reason"].as_str(), data["count"].as_u64()), (Some(reason), Some(count)));
            assert_eq!(gap.resource.as_deref(), Some("udp://here"));
        }
    }

    #[tokio::test]
    async fn a_stream_waits_for_room_and_nothing_of_it_is_lost() {
        let kept = Arc::new(Kept::default());
        let (feed, feeder) = feed("tcp://here".to_owned(), LIMITS);
        let running = tokio::spawn(feeder.run(Arc::<Kept>::clone(&kept), CancellationToken::new()));
        for _ in 0..40 {
            tokio::time::timeout(Duration::from_secs(10), feed.send(some(30), 3_000)).await.unwrap();
        }
        drop(feed);
        running.await.unwrap();
        assert_eq!(kept.events.lock().unwrap().len(), 1_200);
        assert!(kept.batches.lock().unwrap().iter().all(|events| *events < 80));
    }

    #[tokio::test]
    async fn a_closed_inlet_ends_the_receiver() {
        let kept = Arc::new(Kept::default());
        kept.closed.store(true, Ordering::SeqCst);
        let (feed, feeder) = feed("udp://here".to_owned(), LIMITS);
        let closed = CancellationToken::new();
        feed.offer(some(1), 1);
        feeder.run(kept, closed.clone()).await;
        assert!(closed.is_cancelled());
        // Goes nowhere, and does not wait for ever.
        feed.send(some(1), 1).await;
    }
}
