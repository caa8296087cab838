//! What the queues have alike: how an event becomes a message, and how a consumer takes messages in.
//!
//! A message is one event: its body is what a client would send ([`Parcel::write_json`]), its id tells the event from all others, so that
//! a broker which knows ids stores it once. A consumer acknowledges what it fetched only after the inlet has returned, so what it has not
//! acknowledged comes again: at least once from end to end, and once in the ledger, which recognises an event by its id.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestry_pipeline::{Closed, Failure, Incoming, Inlet, Parcel, Refused, Taken};
use futures_util::{Stream, StreamExt};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use attestry_event::Period;

/// The media type of a body.
pub(crate) const CONTENT_TYPE: &str = "application/json";

/// The longest id, in bytes: what SQS takes for de-duplication, the strictest of all.
const ID_BYTES_MAX: usize = 128;

/// How long a consumer that is told to stop waits for the inlet, to acknowledge what it still took.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// An event as it is put into a queue.
#[derive(Debug)]
pub(crate) struct Message {
    /// Which of the parcels it is.
    pub(crate) at: usize,
    /// The same for the same event, and for no other: ledger, source and id, or their hash.
    pub(crate) id: String,
    pub(crate) ledger: Arc<str>,
    pub(crate) event_name: String,
    pub(crate) body: Vec<u8>,
}

/// The parcels as messages; those that are no events, or larger than `limit` bytes, are refused.
pub(crate) fn messages(parcels: &[Parcel], limit: Option<usize>) -> (Vec<Message>, Vec<Refused>) {
    let (mut messages, mut refused) = (Vec::with_capacity(parcels.len()), Vec::new());
    for (at, parcel) in parcels.iter().enumerate() {
        match message(at, parcel, limit) {
            Ok(message) => messages.push(message),
            Err(reason) => refused.push(Refused { at, reason }),
        }
    }
    (messages, refused)
}

fn message(at: usize, parcel: &Parcel, limit: Option<usize>) -> Result<Message, String> {
    let event = parcel.event().map_err(|error| error.to_string())?;
    let mut body = Vec::with_capacity(parcel.bytes());
    parcel.write_json(&mut body).map_err(|error| error.to_string())?;
    if let Some(limit) = limit.filter(|limit| body.len() > *limit) {
        return Err(too_large(body.len(), limit));
    }
    Ok(Message {
        at,
        id: id(&parcel.ledger, &event.event_source(), &event.event_id()),
        ledger: Arc::clone(&parcel.ledger),
        event_name: event.event_name().into_owned(),
        body,
    })
}

/// The parcel `failed` and those behind it are to be offered again; those behind it that were stored are recognised by their ids. A
/// refused one before it is offered again as well, because only a whole answer can tell of it.
pub(crate) fn again(failed: usize, refused: &[Refused], reason: String) -> Failure {
    let delivered = refused.iter().map(|refused| refused.at).fold(failed, usize::min);
    Failure::Again { delivered, reason, after: None }
}

/// Why an event is not sent that is larger than the broker takes.
pub(crate) fn too_large(bytes: usize, limit: usize) -> String {
    format!("the event has {bytes} bytes, and the queue takes at most {limit}")
}

/// A ledger knows an event by its source and its id together: two sources may use the same id.
fn id(ledger: &str, source: &str, event_id: &str) -> String {
    let id = format!("{ledger}/{source}/{event_id}");
    if id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return id;
    }
    Sha256::digest(id.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text for a header, where no protocol takes control characters: each is replaced by a space.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How many messages a consumer takes in at once.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Messages that are made durable at once, and acknowledged together, at most. Default: 1000.
    pub events: usize,
    /// Bytes of bodies after which a batch is complete. Default: 8388608 (8 MiB).
    pub bytes: usize,
    /// How long a batch that is not full waits for more. Default: 100ms.
    pub wait: Period,
}

impl Default for Batching {
    fn default() -> Batching {
        Batching { events: 1_000, bytes: 8 << 20, wait: Period::millis(100) }
    }
}

impl Batching {
    /// What is wrong with it: the field, and what was found and expected.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if !(1..=65_535).contains(&self.events) {
            wrong.push(("batch.events", format!("{}, expected 1 to 65535", self.events)));
        }
        if self.bytes == 0 {
            wrong.push(("batch.bytes", "0, expected at least 1".to_owned()));
        }
        wrong
    }
}

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

/// Waits for a message, for as long as it takes, and then for more until the batch is full or its time has passed. None when the stream
/// has ended. What was gathered before an error is dropped: it was not acknowledged, so it comes again.
pub(crate) async fn gather<T, E>(
    stream: &mut (impl Stream<Item = Result<Fetched<T>, E>> + Unpin),
    batching: &Batching,
    counters: &Counters,
) -> Result<Option<Gathered<T>>, E> {
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
pub(crate) struct Putting {
    work: JoinHandle<Result<Taken, Closed>>,
    grace: Duration,
    given_up_at: Option<Instant>,
}

impl Putting {
    pub(crate) fn start(inlet: &Arc<dyn Inlet>, bodies: Vec<Incoming>) -> Putting {
        let inlet = Arc::clone(inlet);
        let work = tokio::task::spawn_blocking(move || inlet.put(bodies));
        Putting { work, grace: STOP_GRACE, given_up_at: None }
    }

    /// Waits until all is durable. None when it is not, after `every`: that is the moment to tell the broker that the messages are still
    /// being worked on. When `stop` is cancelled it does not wait for long.
    pub(crate) async fn wait_for(
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

    /// As [`wait_for`](Self::wait_for), where the broker needs not be told.
    pub(crate) async fn wait(
        mut self,
        counters: &Counters,
        stop: &CancellationToken,
    ) -> Result<Taken, Closed> {
        loop {
            if let Some(result) = self.wait_for(STOP_GRACE, counters, stop).await {
                return result;
            }
        }
    }
}

/// Why a session with a broker ended, for people. Holds no secret.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    /// With the place where it happened before it.
    pub(crate) fn at(self, place: &impl std::fmt::Display) -> Failed {
        Failed(format!("{place}: {}", self.0))
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(reason(&error))
    }
}

/// An error with what is behind it, each said once: not all libraries leave the source out of the text.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// The attempts to hold a session with a broker, which never end.
pub(crate) struct Attempts<'a> {
    broker: &'static str,
    counters: &'a Counters,
    connects: u64,
    backoff: Backoff,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(broker: &'static str, counters: &'a Counters) -> Attempts<'a> {
        Attempts { broker, counters, connects: 0, backoff: Backoff::new() }
    }

    /// Waits for the next attempt; false when there is to be none.
    pub(crate) async fn wait(&mut self, Failed(reason): Failed, stop: &CancellationToken) -> bool {
        let connects = self.counters.connects.load(Ordering::Relaxed);
        if connects > self.connects {
            (self.connects, self.backoff) = (connects, Backoff::new());
        }
        let delay = self.backoff.next();
        tracing::warn!(broker = self.broker, reason, ?delay, "the consumer is not connected");
        self.counters.set_problem(Some(reason));
        tokio::select! {
            () = tokio::time::sleep(delay) => true,
            () = stop.cancelled() => false,
        }
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

    #[test]
    fn an_id_is_the_events_alone() {
        assert_eq!(id("audit", "billing", "e1"), "audit/billing/e1");
        let long = "x".repeat(200);
        for source in ["Büro", "a b", long.as_str()] {
            let id = id("audit", source, "e1");
            assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
        assert_ne!(id("audit", &long, "e1"), id("audit", &long, "e2"));
        assert_ne!(id("audit", "a", "e1"), id("audit", "b", "e1"));
        assert_eq!(id("audit", &long, "e1"), id("audit", &long, "e1"));
    }

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

    fn fetched(body: &str) -> Result<Fetched<u32>, String> {
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
        let mut ends = futures_util::stream::iter([fetched("a"), Err("broken".to_owned())]);
        assert_eq!(gather(&mut ends, &batching, &counters).await.err(), Some("broken".to_owned()));
        assert!(gather(&mut ends, &batching, &counters).await.unwrap().is_none());
    }

    struct Slow(Duration);

    impl Inlet for Slow {
        fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
            std::thread::sleep(self.0);
            if events.is_empty() { Err(Closed) } else { Ok(Taken { kept: events.len(), ..Taken::default() }) }
        }
    }

    #[tokio::test]
    async fn a_slow_inlet_is_waited_for_and_the_broker_told() {
        let inlet: Arc<dyn Inlet> = Arc::new(Slow(Duration::from_millis(120)));
        let (counters, stop) = (Counters::default(), CancellationToken::new());
        let (mut told, every) = (0, Duration::from_millis(30));
        let mut putting = Putting::start(&inlet, vec![Incoming::Json(b"{}".to_vec())]);
        let taken = loop {
            match putting.wait_for(every, &counters, &stop).await {
                Some(taken) => break taken,
                None => told += 1,
            }
        };
        assert_eq!(taken, Ok(Taken { kept: 1, ..Taken::default() }));
        assert!((1..=4).contains(&told), "{told}");
        assert_eq!(Putting::start(&inlet, Vec::new()).wait(&counters, &stop).await, Err(Closed));
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
