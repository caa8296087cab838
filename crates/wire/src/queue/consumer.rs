//! What the consumers have alike: a session with the broker that is begun again for ever, and messages that are acknowledged only after they
//! are durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestry_pipeline::{Closed, Incoming, Inlet, Taken};
use futures_util::{Stream, StreamExt};
use rand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Batching, Failed};

/// How long a consumer that is told to stop waits for the inlet, to acknowledge what it still took.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What a consumer has done since it began.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages fetched, those that came again counted each time.
    pub messages: AtomicU64,
    /// Bytes of their bodies.
    pub bytes: AtomicU64,
    /// Of the messages: those that the broker says it delivered before.
    pub redelivered: AtomicU64,
    /// Of the messages: those that are no events, and were kept as `gap.malformed`.
    pub malformed: AtomicU64,
    /// Of the messages: those that a filter left out.
    pub filtered: AtomicU64,
    /// Messages acknowledged, after they were durable.
    pub acknowledged: AtomicU64,
    /// Connections made.
    pub connects: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl Counters {
    /// Why nothing is fetched at present; none while it works.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = problem;
    }

    /// A connection is made.
    pub(crate) fn connected(&self) {
        add(&self.connects, 1);
        self.set_problem(None);
    }

    /// So many messages are acknowledged.
    pub(crate) fn acknowledged(&self, messages: usize) {
        add(&self.acknowledged, messages);
    }
}

fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// A message as it came.
pub(crate) struct Fetched<T> {
    pub(crate) body: Vec<u8>,
    pub(crate) redelivered: bool,
    /// What it is acknowledged with.
    pub(crate) tag: T,
}

/// Messages that go in together.
pub(crate) struct Gathered<T> {
    pub(crate) bodies: Vec<Incoming>,
    pub(crate) tags: Vec<T>,
    bytes: usize,
}

impl<T> Gathered<T> {
    pub(crate) fn new() -> Gathered<T> {
        Gathered { bodies: Vec::new(), tags: Vec::new(), bytes: 0 }
    }

    pub(crate) fn push(&mut self, message: Fetched<T>, counters: &Counters) {
        add(&counters.messages, 1);
        add(&counters.bytes, message.body.len());
        add(&counters.redelivered, usize::from(message.redelivered));
        self.bytes += message.body.len();
        self.bodies.push(Incoming::Json(message.body));
        self.tags.push(message.tag);
    }

    pub(crate) fn is_full(&self, batching: &Batching) -> bool {
        self.tags.len() >= batching.events || self.bytes >= batching.bytes
    }
}

/// A consumer at work: where its messages go, what it counts, and when it ends.
pub(crate) struct Consuming {
    /// The broker's protocol.
    pub(crate) protocol: &'static str,
    pub(crate) inlet: Arc<dyn Inlet>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: CancellationToken,
}

impl Consuming {
    /// Holds one session after the other, until one ends well: it was told to stop, or the inlet is closed.
    pub(crate) async fn hold<F>(&self, session: impl Fn() -> F)
    where
        F: Future<Output = Result<(), Failed>>,
    {
        let (mut connects, mut backoff) = (0, Backoff::new());
        while let Err(Failed(reason)) = session().await {
            let now = self.counters.connects.load(Ordering::Relaxed);
            if now > connects {
                (connects, backoff) = (now, Backoff::new());
            }
            let delay = backoff.next();
            tracing::warn!(broker = self.protocol, reason, ?delay, "the consumer is not connected");
            self.counters.set_problem(Some(reason));
            if self.unless_stopped(tokio::time::sleep(delay)).await.is_none() {
                return;
            }
        }
    }

    /// What the broker says; none when the consumer is told to stop before it says something.
    pub(crate) async fn unless_stopped<T>(&self, said: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            said = said => Some(said),
            () = self.stop.cancelled() => None,
        }
    }

    /// Puts messages in and waits until they are durable, for as long as it takes. Calls `still` at every such interval: that is the moment to
    /// tell the broker that they are being worked on. False when the inlet is closed, or did not take them in time after a stop.
    pub(crate) async fn put<F>(
        &self,
        bodies: Vec<Incoming>,
        every: Duration,
        mut still: impl FnMut() -> F,
    ) -> bool
    where
        F: Future<Output = ()>,
    {
        let mut putting = Putting::start(&self.inlet, bodies);
        loop {
            match putting.wait_for(every, &self.counters, &self.stop).await {
                Some(taken) => return taken.is_ok(),
                None => still().await,
            }
        }
    }

    /// Takes in what the broker sends, batch by batch, and acknowledges each by its last message, until it is told to stop or the inlet is closed.
    /// The client shows the broker by itself that it is alive, however long a batch takes.
    ///
    /// # Errors
    /// When the messages end, or an acknowledgement fails.
    pub(crate) async fn take_in<T, F>(
        &self,
        messages: &mut (impl Stream<Item = Result<Fetched<T>, Failed>> + Unpin),
        batching: &Batching,
        acknowledge: impl Fn(T) -> F,
    ) -> Result<(), Failed>
    where
        F: Future<Output = Result<(), Failed>>,
    {
        loop {
            let gathered = match self.unless_stopped(gather(messages, batching, &self.counters)).await {
                None => return Ok(()),
                Some(gathered) => gathered?,
            };
            let Some(Gathered { bodies, mut tags, .. }) = gathered else {
                return Err(Failed("the broker has ended the subscription".to_owned()));
            };
            let count = tags.len();
            if !self.put(bodies, Duration::MAX, || std::future::ready(())).await {
                return Ok(());
            }
            if let Some(last) = tags.pop() {
                acknowledge(last).await?;
                self.counters.acknowledged(count);
            }
        }
    }
}

/// Waits for a message, for as long as it takes, and then for more until the batch is full or its time has passed. None when the stream
/// has ended. What was gathered before an error is dropped: it was not acknowledged, so it comes again.
async fn gather<T>(
    stream: &mut (impl Stream<Item = Result<Fetched<T>, Failed>> + Unpin),
    batching: &Batching,
    counters: &Counters,
) -> Result<Option<Gathered<T>>, Failed> {
    let mut gathered = Gathered::new();
    let Some(first) = stream.next().await else { return Ok(None) };
    gathered.push(first?, counters);
    let deadline = Instant::now() + batching.wait.0;
    while !gathered.is_full(batching) {
        match timeout_at(deadline, stream.next()).await {
            Ok(Some(message)) => gathered.push(message?, counters),
            Ok(None) => return Ok(None),
            Err(_) => break,
        }
    }
    Ok(Some(gathered))
}

/// Messages that are being put in, where blocking is allowed.
struct Putting {
    work: JoinHandle<Result<Taken, Closed>>,
    grace: Duration,
    given_up_at: Option<Instant>,
}

impl Putting {
    fn start(inlet: &Arc<dyn Inlet>, bodies: Vec<Incoming>) -> Putting {
        let inlet = Arc::clone(inlet);
        let work = tokio::task::spawn_blocking(move || inlet.put(bodies));
        Putting { work, grace: STOP_GRACE, given_up_at: None }
    }

    /// Waits until all is durable. None when it is not, after `every`: that is the moment to tell the broker that the messages are still
    /// being worked on. When `stop` is cancelled it does not wait for long.
    async fn wait_for(
        &mut self,
        every: Duration,
        counters: &Counters,
        stop: &CancellationToken,
    ) -> Option<Result<Taken, Closed>> {
        let (grace, given_up_at) = (self.grace, &mut self.given_up_at);
        let given_up = async {
            stop.cancelled().await;
            tokio::time::sleep_until(*given_up_at.get_or_insert_with(|| Instant::now() + grace)).await;
        };
        let done = tokio::select! {
            done = timeout(every, &mut self.work) => done.ok()?,
            () = given_up => return Some(Err(Closed)),
        };
        let result = match done {
            Ok(result) => result,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => Err(Closed),
        };
        if let Ok(taken) = result {
            add(&counters.malformed, taken.malformed);
            add(&counters.filtered, taken.filtered);
        }
        Some(result)
    }
}

/// The time before the next attempt doubles with each, and half of it is left to chance, so that consumers which lost the same broker do
/// not come back at the same moment.
struct Backoff {
    limit: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(30);

    fn new() -> Backoff {
        Backoff { limit: Backoff::FIRST }
    }

    fn next(&mut self) -> Duration {
        let limit = self.limit;
        self.limit = (limit * 2).min(Backoff::MOST);
        limit.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestry_event::Period;

    #[test]
    fn waiting_grows_to_a_limit() {
        let mut backoff = Backoff::new();
        let delays: Vec<Duration> = (0..12).map(|_| backoff.next()).collect();
        assert!(
            delays[0] >= Duration::from_millis(250) && delays[0] <= Duration::from_millis(500),
            "{delays:?}"
        );
        assert!(delays[11] >= Duration::from_secs(15) && delays[11] <= Duration::from_secs(30), "{delays:?}");
    }

    fn fetched(body: &str) -> Result<Fetched<u32>, Failed> {
        Ok(Fetched { body: body.as_bytes().to_vec(), redelivered: false, tag: 0 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_bounded_by_events_bytes_and_time() {
        let counters = Counters::default();
        let batching = Batching { events: 3, bytes: 10, wait: Period::millis(50) };
        let bodies = ["a", "b", "c", "a body of 20 letters", "d"].map(fetched);
        let mut stream = futures_util::stream::iter(bodies).chain(futures_util::stream::pending());
        for expected in [3, 1, 1] {
            let gathered = gather(&mut stream, &batching, &counters).await.unwrap().unwrap();
            assert_eq!(gathered.tags.len(), expected);
        }
        assert_eq!(counters.messages.load(Ordering::Relaxed), 5);
        let mut ends = futures_util::stream::iter([fetched("a"), Err(Failed("broken".to_owned()))]);
        assert!(
            gather(&mut ends, &batching, &counters).await.is_err_and(|Failed(reason)| reason == "broken")
        );
        assert!(gather(&mut ends, &batching, &counters).await.unwrap().is_none());
    }

    struct Slow(Duration);

    impl Inlet for Slow {
        fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
            std::thread::sleep(self.0);
            if events.is_empty() { Err(Closed) } else { Ok(Taken { kept: events.len(), ..Taken::default() }) }
        }
    }

    fn consuming(slow: Duration) -> Consuming {
        let inlet = Arc::new(Slow(slow));
        Consuming { protocol: "test", inlet, counters: Arc::default(), stop: CancellationToken::new() }
    }

    #[tokio::test]
    async fn a_slow_inlet_is_waited_for_and_the_broker_told() {
        let consuming = consuming(Duration::from_millis(120));
        let mut told = 0;
        let body = vec![Incoming::Json(b"{}".to_vec())];
        let still = || {
            told += 1;
            std::future::ready(())
        };
        assert!(consuming.put(body, Duration::from_millis(30), still).await);
        assert!((1..=4).contains(&told), "{told}");
        let closed = consuming.put(Vec::new(), Duration::MAX, || std::future::ready(()));
        assert!(!closed.await, "the inlet is closed");
    }

    #[tokio::test]
    async fn each_batch_is_acknowledged_by_its_last_message() {
        let consuming = consuming(Duration::ZERO);
        let batching = Batching { events: 2, ..Batching::default() };
        let one = |tag| Ok(Fetched { body: b"{}".to_vec(), redelivered: false, tag });
        let mut messages = futures_util::stream::iter([one(1), one(2), one(3), one(4)]);
        let acknowledged = Mutex::new(Vec::new());
        let acknowledge = |tag: u32| {
            acknowledged.lock().unwrap().push(tag);
            std::future::ready(Ok(()))
        };
        assert!(consuming.take_in(&mut messages, &batching, acknowledge).await.is_err(), "they end");
        assert_eq!(*acknowledged.lock().unwrap(), [2, 4]);
        assert_eq!(consuming.counters.acknowledged.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_stop_is_not_held_up_for_ever() {
        let inlet: Arc<dyn Inlet> = Arc::new(Slow(Duration::from_secs(1)));
        let (counters, stop) = (Counters::default(), CancellationToken::new());
        stop.cancel();
        let mut putting = Putting::start(&inlet, vec![Incoming::Json(b"{}".to_vec())]);
        putting.grace = Duration::from_millis(200);
        let result = loop {
            // Shorter than the grace, which must not begin anew each time.
            if let Some(result) = putting.wait_for(Duration::from_millis(20), &counters, &stop).await {
                break result;
            }
        };
        assert_eq!(result, Err(Closed));
    }
}
