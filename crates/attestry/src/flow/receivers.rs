//! The receivers at work: each takes in events until it is told to stop.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use attestry_event::Clock;
use attestry_pipeline::{Closed, Hook, Incoming, Inlet, Intake, IntakeOptions, Landing, Taken, Verdict};
use attestry_script::{Applied, Condition, Parser, RunError, Transform};
use attestry_server::ReceiverStatus;
use attestry_wire::{amqp, gelf, nats, ndjson, otlp, queue, sqs, stomp, syslog};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::seen::Seen;
use crate::config::{Filters, Receiver as Config};

/// A receiver at work.
pub(crate) struct Running {
    pub(crate) config: Config,
    pub(crate) taken: Arc<Counted>,
    pub(crate) seen: Seen,
    /// Where it listens, as the system says; none for what fetches.
    pub(crate) address: Option<String>,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

/// Counts what goes in, for everybody who asks how a receiver is doing.
pub(crate) struct Counted {
    inlet: Intake,
    clock: Arc<dyn Clock>,
    so_far: Mutex<SoFar>,
}

/// What has come in since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SoFar {
    pub(crate) taken: Taken,
    /// When something came in last.
    pub(crate) last: Option<attestry_event::Nanos>,
}

impl Counted {
    pub(crate) fn so_far(&self) -> SoFar {
        *self.so_far.lock()
    }
}

impl Inlet for Counted {
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
        let taken = self.inlet.put(events)?;
        let mut so_far = self.so_far.lock();
        so_far.taken.kept += taken.kept;
        so_far.taken.filtered += taken.filtered;
        so_far.taken.malformed += taken.malformed;
        so_far.last = Some(self.clock.now());
        Ok(taken)
    }
}

/// What receivers are started with.
pub(crate) struct Setting {
    pub(crate) landing: Arc<dyn Landing>,
    pub(crate) clock: Arc<dyn Clock>,
    /// This host's name, for events that name none.
    pub(crate) host: String,
}

impl Setting {
    fn inlet(&self, name: &str, config: &Config, filters: &Filters) -> Arc<Counted> {
        let unauthenticated = config.syslog.as_ref().is_some_and(syslog::ReceiverConfig::is_unauthenticated)
            || config.gelf.as_ref().is_some_and(gelf::ReceiverConfig::is_unauthenticated);
        let options = IntakeOptions {
            ledger: config.ledger().to_owned(),
            event_source: config.source.clone().unwrap_or_else(|| name.to_owned()),
            lenient: config.lenient,
            reserved_names: config.trusted,
            agent: config.trusted,
            host: Some(self.host.clone()),
            unauthenticated,
            methods: filters.methods.clone(),
        };
        let hooks = hooks(filters.parser.clone(), filters.transform.clone(), filters.condition.clone());
        let clock = Arc::clone(&self.clock);
        let redactions = redactions(filters.redact.clone());
        let inlet = Intake::new(Arc::clone(&self.landing), options, redactions, hooks, Arc::clone(&clock));
        Arc::new(Counted { inlet, clock, so_far: Mutex::default() })
    }

    /// Opens a receiver. Call it within the runtime.
    pub(crate) async fn start(&self, name: &str, config: &Config, filters: &Filters) -> Result<Running> {
        let taken = self.inlet(name, config, filters);
        let inlet = Arc::clone(&taken) as Arc<dyn Inlet>;
        let stop = CancellationToken::new();
        let ends = stop.clone();
        let cannot = || format!("the receiver {name} cannot listen");
        let mut address = None;
        let (seen, task) = match config {
            Config { syslog: Some(of), .. } => {
                let receiver = syslog::Receiver::bind(of).await.with_context(cannot)?;
                address = Some(receiver.address().to_string());
                (Seen::Feed(receiver.counters()), tokio::spawn(receiver.run(inlet, ends)))
            }
            Config { gelf: Some(of), .. } => {
                let receiver = gelf::Receiver::bind(of).await.with_context(cannot)?;
                address = Some(receiver.address().to_string());
                (Seen::Feed(receiver.counters()), tokio::spawn(receiver.run(inlet, ends)))
            }
            Config { otlp: Some(of), .. } => {
                let receiver = otlp::Receiver::bind(of).await.with_context(cannot)?;
                address = Some(receiver.address().to_string());
                (Seen::Feed(receiver.counters()), tokio::spawn(receiver.run(inlet, ends)))
            }
            Config { ndjson: Some(of), .. } => {
                let receiver = ndjson::Receiver::bind(of).await.with_context(cannot)?;
                (Seen::Ndjson(receiver.counters()), tokio::spawn(receiver.run(inlet, ends)))
            }
            Config { nats: Some(of), .. } => {
                fetching(|counters| nats::run(of.clone(), inlet, counters, ends))
            }
            Config { amqp: Some(of), .. } => {
                fetching(|counters| amqp::run(of.clone(), inlet, counters, ends))
            }
            Config { stomp: Some(of), .. } => {
                fetching(|counters| stomp::run(of.clone(), inlet, counters, ends))
            }
            Config { sqs: Some(of), .. } => fetching(|counters| sqs::run(of.clone(), inlet, counters, ends)),
            _ => bail!("the receiver {name} has no protocol"),
        };
        tracing::info!(receiver = name, address, ledger = config.ledger(), "receiver opened");
        Ok(Running { config: config.clone(), taken, seen, address, task, stop })
    }
}

/// Starts what fetches from a queue.
fn fetching<F>(run: impl FnOnce(Arc<queue::Counters>) -> F) -> (Seen, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let counters = Arc::<queue::Counters>::default();
    let task = tokio::spawn(run(Arc::clone(&counters)));
    (Seen::Queue(counters), task)
}

impl Running {
    /// How it is doing.
    pub(crate) fn status(&self, name: &str) -> ReceiverStatus {
        let SoFar { taken, last } = self.taken.so_far();
        let mut status = ReceiverStatus {
            name: name.to_owned(),
            protocol: self.config.protocols().first().map_or("", |(protocol, _)| protocol).to_owned(),
            address: self.address.clone(),
            ledger: self.config.ledger().to_owned(),
            kept: taken.kept as u64,
            filtered: taken.filtered as u64,
            malformed: taken.malformed as u64,
            last,
            every_s: self.config.expect.map(|expect| expect.0.as_secs()),
            ..ReceiverStatus::default()
        };
        self.seen.tell(&mut status);
        status
    }

    /// Tells it to end.
    pub(crate) fn signal(&self) {
        self.stop.cancel();
    }

    /// Waits until what it had taken in is durable.
    pub(crate) async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a receiver ended early");
        }
    }
}

/// What takes out what must not be kept. Why it fails is not said in full: that could quote what it was to take out.
pub(crate) fn redactions(redact: Option<Transform>) -> Vec<Hook> {
    let Some(redact) = redact else { return Vec::new() };
    vec![Box::new(move |json| match redact.apply(json, attestry_event::SystemClock.now()) {
        Ok(Applied::Unchanged) => Verdict::Keep,
        Ok(Applied::Changed(changed)) => Verdict::Change(changed),
        Ok(Applied::Dropped) => Verdict::Drop,
        Err(RunError::Failed { line, column, .. }) => {
            Verdict::Fail(format!("the redaction fails at line {line}, column {column}"))
        }
        Err(_) => Verdict::Fail("the redaction fails".to_owned()),
    })]
}

/// The parser, the transform, then the condition of what they left.
pub(crate) fn hooks(
    parser: Option<Parser>,
    transform: Option<Transform>,
    condition: Option<Condition>,
) -> Vec<Hook> {
    let mut hooks: Vec<Hook> = Vec::new();
    let now = || attestry_event::SystemClock.now();
    if let Some(parser) = parser {
        hooks.push(Box::new(move |json| match parser.apply(json, now()) {
            Applied::Changed(changed) => Verdict::Change(changed),
            // A parser drops nothing.
            Applied::Unchanged | Applied::Dropped => Verdict::Keep,
        }));
    }
    if let Some(transform) = transform {
        hooks.push(Box::new(move |json| match transform.apply(json, now()) {
            Ok(Applied::Unchanged) => Verdict::Keep,
            Ok(Applied::Changed(changed)) => Verdict::Change(changed),
            Ok(Applied::Dropped) => Verdict::Drop,
            Err(error) => Verdict::Fail(format!("transform: {error}")),
        }));
    }
    if let Some(condition) = condition {
        hooks.push(Box::new(move |json| match condition.holds(json, now()) {
            Ok(true) => Verdict::Keep,
            Ok(false) => Verdict::Drop,
            Err(error) => Verdict::Fail(format!("where: {error}")),
        }));
    }
    hooks
}
