//! The sinks at work: for each, a worker a log, and its dead letters.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use attestry_event::{Clock, Entry};
use attestry_journal::disk::RealDisk;
use attestry_pipeline::dead::DeadOptions;
use attestry_pipeline::worker::{Ended, Handle, Task};
use attestry_pipeline::{DeadLetters, Filter, Parcel, Sink, SinkHook, Verdict, Worker};
use attestry_script::Applied;
use attestry_wire::{
    amqp, archive, attestry, file, gelf, mail, nats, sql, sqs, stdout, stomp, syslog, webhook,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ground::{Followable, Ground};
use super::noticed::{Noticed, Recorded};
use crate::config::{Filters, Sink as Config};

/// A sink at work.
pub(crate) struct Running {
    pub(crate) config: Config,
    /// By log: the ledger's name, or `spool`.
    pub(crate) workers: Vec<(String, Handle, JoinHandle<Ended>)>,
    pub(crate) dead: Arc<DeadLetters>,
    stop: CancellationToken,
}

/// What sinks are started with.
pub(crate) struct Setting {
    pub(crate) ground: Arc<Ground>,
    pub(crate) logs: Vec<Followable>,
    /// Beneath which cursors and dead letters are.
    pub(crate) data_dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who this node is to the server it is enrolled with.
    pub(crate) agent: Option<attestry::Agent>,
}

impl Setting {
    /// Starts a sink. Call it within the runtime.
    pub(crate) fn start(&self, name: &str, config: &Config, filters: &Filters) -> Result<Running> {
        let dir = super::folder(&self.data_dir, name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let options = DeadOptions { max_bytes: config.dead_letter_bytes, ..DeadOptions::default() };
        let (dead, evicted) = DeadLetters::open(RealDisk, &dir.join("dead"), options)
            .with_context(|| format!("cannot open the dead letters of {name}"))?;
        if let Some(evicted) = evicted {
            self.ground.declare(evicted.event(name));
        }
        let dead = Arc::new(dead);
        let stop = CancellationToken::new();
        let wanted = |log: &&Followable| {
            let spool = matches!(*self.ground, Ground::Spool(_));
            spool || config.ledgers.is_empty() || config.ledgers.contains(&log.name)
        };
        let mut workers = Vec::new();
        for log in self.logs.iter().filter(wanted) {
            let ground = Arc::clone(&self.ground);
            let task = Task {
                name: name.to_owned(),
                log: Arc::clone(&log.log),
                news: log.news.clone(),
                sink: self
                    .noticed(name, config)
                    .with_context(|| format!("the sink {name} cannot be made"))?,
                filter: filter(config, filters),
                batching: config.batching(),
                retry: config.retrying(),
                disk: RealDisk,
                cursor: super::cursor(&self.data_dir, name, &log.name),
                start: config.begins(),
                dead: Arc::clone(&dead),
                declare: Arc::new(move |event| ground.declare(event)),
                clock: Arc::clone(&self.clock),
            };
            let (worker, handle) = Worker::new(task, stop.clone());
            workers.push((log.name.clone(), handle, tokio::spawn(worker.run())));
        }
        Ok(Running { config: config.clone(), workers, dead, stop })
    }

    /// The sink, its deliveries recorded where they are messages to people, reports or alerts.
    fn noticed(&self, name: &str, config: &Config) -> Result<Box<dyn Sink>> {
        let sink = self.sink(config)?;
        let recorded = match (config.tells_people(), config.takes_messages()) {
            (true, _) => Recorded::All,
            (false, true) => Recorded::Messages,
            (false, false) => return Ok(sink),
        };
        Ok(Box::new(Noticed::new(sink, name, Arc::clone(&self.ground), recorded)))
    }

    fn sink(&self, config: &Config) -> Result<Box<dyn Sink>> {
        if let Some(of) = &config.attestry {
            let sink = attestry::AttestrySink::new(of)?;
            // Only the server that this node is enrolled with knows its certificate.
            return Ok(match self.agent.clone().filter(|_| of.tls.cert.is_some()) {
                Some(agent) => Box::new(sink.as_agent(agent)),
                None => Box::new(sink),
            });
        }
        Ok(match config {
            Config { syslog: Some(of), .. } => Box::new(syslog::SyslogSink::new(of)?),
            Config { gelf: Some(of), .. } => Box::new(gelf::GelfSink::new(of)?),
            Config { nats: Some(of), .. } => Box::new(nats::NatsSink::new(of.clone())),
            Config { amqp: Some(of), .. } => Box::new(amqp::AmqpSink::new(of.clone())),
            Config { stomp: Some(of), .. } => Box::new(stomp::StompSink::new(of.clone())),
            Config { sqs: Some(of), .. } => Box::new(sqs::SqsSink::new(of.clone())),
            Config { webhook: Some(of), .. } => Box::new(webhook::WebhookSink::new(of.clone())?),
            Config { mail: Some(of), .. } => Box::new(mail::MailSink::new(of.clone())),
            Config { sql: Some(of), .. } => Box::new(sql::SqlSink::new(of)?),
            Config { file: Some(of), .. } => Box::new(file::FileSink::new(of.clone())),
            Config { archive: Some(of), .. } => Box::new(archive::ArchiveSink::new(of.clone())),
            Config { stdout: Some(of), .. } => Box::new(stdout::StdoutSink::new(of)),
            _ => bail!("no protocol is given"),
        })
    }
}

impl Running {
    /// Tells it to end.
    pub(crate) fn signal(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) {
        for (log, _, worker) in self.workers {
            if let Err(error) = worker.await {
                tracing::error!(%error, log, "a sink's worker ended early");
            }
        }
    }
}

/// Names first, which is cheap; then the transform; then the condition of what it left.
fn filter(config: &Config, filters: &Filters) -> Filter {
    let mut hooks: Vec<SinkHook> = Vec::new();
    if config.tells_people() {
        // The records of its own messages: each would make another one.
        hooks.push(Box::new(|parcel| match parcel.event() {
            Ok(entry) if entry.event_name().starts_with("notice.") => Verdict::Drop,
            _ => Verdict::Keep,
        }));
    }
    if !config.ledgers.is_empty() {
        // In a spool the events of all ledgers stand in one row.
        let ledgers = config.ledgers.clone();
        hooks.push(Box::new(move |parcel| match ledgers.iter().any(|ledger| **ledger == *parcel.ledger) {
            true => Verdict::Keep,
            false => Verdict::Drop,
        }));
    }
    if let Some(transform) = filters.transform.clone() {
        hooks.push(Box::new(move |parcel| {
            with_json(parcel, |json, received| match transform.apply(json, received) {
                Ok(Applied::Unchanged) => Verdict::Keep,
                Ok(Applied::Changed(changed)) => Verdict::Change(changed),
                Ok(Applied::Dropped) => Verdict::Drop,
                Err(error) => Verdict::Fail(format!("transform: {error}")),
            })
        }));
    }
    if let Some(condition) = filters.condition.clone() {
        hooks.push(Box::new(move |parcel| {
            with_json(parcel, |json, received| match condition.holds(json, received) {
                Ok(true) => Verdict::Keep,
                Ok(false) => Verdict::Drop,
                Err(error) => Verdict::Fail(format!("where: {error}")),
            })
        }));
    }
    Filter { methods: filters.methods.clone(), hooks }
}

fn with_json(parcel: &Parcel, ask: impl FnOnce(&[u8], attestry_event::Nanos) -> Verdict) -> Verdict {
    let mut json = Vec::with_capacity(parcel.bytes());
    let received = match Entry::parse(&parcel.entry) {
        Ok(entry) => entry.received_at(),
        Err(error) => return Verdict::Fail(error.to_string()),
    };
    match parcel.write_json(&mut json) {
        Ok(()) => ask(&json, received),
        Err(error) => Verdict::Fail(error.to_string()),
    }
}
