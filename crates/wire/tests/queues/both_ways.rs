//! From a sink through a broker to a consumer, and what must be true at the end.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestry_event::{Batch, Border, Event, Nanos};
use attestry_pipeline::{Closed, Failure, Incoming, Inlet, Parcel, Refused, Sink, Taken};
use attestry_wire::queue::Counters;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How long anything may take, with a broker that is restarted on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// As many parcels, of all kinds: plain ones, large values, every odd character.
pub(crate) fn parcels(count: usize) -> Vec<Parcel> {
    let mut batch = Batch::with_seed([7; 32]);
    let border = Border {
        event_source: "billing",
        via: &[],
        lenient: false,
        reserved_names: false,
        agent: false,
        now: Nanos(1_790_000_000_000_000_000),
    };
    for number in 0..count {
        batch.push(&event(number), &border).unwrap_or_else(|problems| panic!("{number}: {problems:?}"));
    }
    batch.stamp(border.now);
    let parcel = |number: usize| Parcel {
        ledger: "audit".into(),
        number: number as u64,
        seq: None,
        entry: batch.entry(number).to_vec().into(),
        values: batch.values_of(number).to_vec(),
    };
    (0..count).map(parcel).collect()
}

fn event(number: usize) -> Event {
    let event = Event::new(format!("order.kind-{}", number % 7), "ålice \"the\" admin\\")
        .id(format!("e-{number:06}"))
        .data("number", Value::from(number));
    match number % 10 {
        1 => event
            .data("odd", "line\nbreak\r\ttab \u{0}nul \u{1b}[31m \u{2028} 🦀 e\u{301} \u{7f} MESSAGE\n\n\0"),
        2 => event.message("größer: ".repeat(2_000)),
        3 => event.data("nested", json!({"a": [1, 2.5, null, true, {"b": "c:d\\n"}]})),
        4 if number < 100 => event.data("large", "x".repeat(600_000)),
        _ => event,
    }
}

/// The body that a message of this parcel must have.
pub(crate) fn body(parcel: &Parcel) -> Vec<u8> {
    let mut body = Vec::new();
    parcel.write_json(&mut body).unwrap();
    body
}

/// Keeps what it is given, after a while.
#[derive(Default)]
pub(crate) struct Kept {
    bodies: Mutex<Vec<Vec<u8>>>,
    /// How long each `put` takes.
    slow: Duration,
}

impl Inlet for Kept {
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
        std::thread::sleep(self.slow);
        let kept = events.len();
        let bodies = events.into_iter().map(|event| match event {
            Incoming::Json(body) => body,
            Incoming::Event(event) => panic!("an event that did not come as JSON: {event:?}"),
        });
        self.bodies.lock().unwrap().extend(bodies);
        Ok(Taken { kept, ..Taken::default() })
    }
}

impl Kept {
    /// As slow as a busy disk.
    pub(crate) fn slow(slow: Duration) -> Kept {
        Kept { slow, ..Kept::default() }
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    /// Waits until all of these are there, and fails unless nothing else is.
    pub(crate) async fn has_all(&self, parcels: &[Parcel]) -> Arrived {
        let expected: Vec<Vec<u8>> = parcels.iter().map(body).collect();
        let wanted: HashSet<&[u8]> = expected.iter().map(Vec::as_slice).collect();
        let begun = Instant::now();
        loop {
            self.has(wanted.len()).await;
            let bodies = self.bodies();
            let found: HashSet<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
            let strange = bodies.iter().find(|body| !wanted.contains(body.as_slice()));
            assert!(strange.is_none(), "never sent: {:?}", strange.map(|body| String::from_utf8_lossy(body)));
            if found.len() == wanted.len() {
                let mut seen = HashSet::new();
                let first: Vec<&[u8]> =
                    bodies.iter().map(Vec::as_slice).filter(|body| seen.insert(*body)).collect();
                let in_order = first == expected.iter().map(Vec::as_slice).collect::<Vec<_>>();
                return Arrived { messages: bodies.len(), in_order };
            }
            assert!(begun.elapsed() < WITHIN, "{} of {} arrived", found.len(), wanted.len());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until at least so many messages are there.
    pub(crate) async fn has(&self, messages: usize) {
        let begun = Instant::now();
        while self.bodies.lock().unwrap().len() < messages {
            assert!(begun.elapsed() < WITHIN, "{} of {messages} messages arrived", self.bodies().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// All are there.
#[derive(Debug, PartialEq)]
pub(crate) struct Arrived {
    /// With those that came again.
    pub(crate) messages: usize,
    /// Whether each came for the first time after those that were sent before it.
    pub(crate) in_order: bool,
}

/// A consumer that runs until it is stopped.
pub(crate) struct Consuming {
    pub(crate) kept: Arc<Kept>,
    pub(crate) counters: Arc<Counters>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Consuming {
    /// `run` is one of the consumers' functions with its configuration.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        kept: Kept,
        run: impl FnOnce(Arc<dyn Inlet>, Arc<Counters>, CancellationToken) -> F,
    ) -> Consuming {
        let (kept, counters, stop) =
            (Arc::new(kept), Arc::new(Counters::default()), CancellationToken::new());
        let task =
            tokio::spawn(run(Arc::clone(&kept) as Arc<dyn Inlet>, Arc::clone(&counters), stop.clone()));
        Consuming { kept, counters, stop, task }
    }

    /// Ends it where it stands, as a crash would. What it was putting in is still put in.
    pub(crate) fn kill(self) -> Arc<Kept> {
        self.task.abort();
        self.kept
    }

    /// Stops it; it must do so at once. Then nothing may be left unacknowledged of what it took in.
    pub(crate) async fn stop(self) {
        // What was put in last is being acknowledged.
        let all = self.kept.bodies().len() as u64;
        let begun = Instant::now();
        while self.counters.acknowledged.load(Ordering::Relaxed) < all
            && begun.elapsed() < Duration::from_secs(5)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("it stops").unwrap();
    }
}

/// Offers parcels in batches until all are delivered, as a worker would. Calls `between` before each batch.
pub(crate) async fn deliver(
    sink: &mut dyn Sink,
    parcels: &[Parcel],
    mut between: impl AsyncFnMut(usize),
) -> Vec<Refused> {
    let (mut next, mut refused) = (0, Vec::new());
    let mut reasons: HashMap<String, usize> = HashMap::new();
    let begun = Instant::now();
    while next < parcels.len() {
        between(next).await;
        let batch = &parcels[next..parcels.len().min(next + 100)];
        match sink.deliver(batch).await {
            Ok(some) => {
                refused.extend(some.into_iter().map(|one| Refused { at: next + one.at, ..one }));
                next += batch.len();
            }
            Err(Failure::Again { delivered, reason, .. }) => {
                assert!(delivered < batch.len(), "a failure that delivered all");
                next += delivered;
                *reasons.entry(reason).or_default() += 1;
                assert!(begun.elapsed() < WITHIN, "{next} were delivered: {reasons:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    refused
}

/// Fails unless a batch is not delivered, and returns why.
pub(crate) async fn again(sink: &mut dyn Sink, parcels: &[Parcel]) -> (usize, String) {
    match sink.deliver(parcels).await {
        Err(Failure::Again { delivered, reason, .. }) => (delivered, reason),
        other => panic!("expected a failure, got {other:?}"),
    }
}
