//! A node without ledgers: it collects, keeps in its spool, and sends to where its sinks say.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use attestry_collect::Paths;
use attestry_event::{Clock, Event, SystemClock};
use attestry_journal::Cursor;
use attestry_journal::disk::RealDisk;
use attestry_ledger::DataDir;
use attestry_pipeline::Spool;
use attestry_pipeline::spool;
use attestry_wire::attestry::{Agent, OnAlarm};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::config::{Config, WhenFull};
use crate::control::Control;
use crate::enrolment::{Enrolment, Folder};
use crate::flow::{Base, Flow, Ground};
use crate::logging::Level;
use crate::memory;
use crate::reload::{self, Reloader};
use crate::run::{Run, StopSignals};
use crate::sources::Sources;

/// How often an agent says how it is doing.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// The folder of the spool in the data directory.
const SPOOL: &str = "spool";

pub(crate) fn node(run: &Run, config: Config, log: Level) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let signals = {
        let _within = runtime.enter();
        StopSignals::listen().context("cannot listen for signals")?
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.written.data_dir)?;
    let host = Paths::default().host_name();
    let (spool, opened) = open_spool(&config, &data, &clock)?;
    let spool = Arc::new(spool);
    let ground = Arc::new(Ground::Spool(Arc::clone(&spool)));
    let agent = match &config.enrolment {
        Some(enrolment) => Some(identity(enrolment, &data, &spool)?),
        None => None,
    };
    let start = Event::new("agent.start", "-")
        .message(format!("Attestry {} started", env!("CARGO_PKG_VERSION")))
        .data("epoch", opened.epoch)
        .data("config_sha256", config.hash.as_str());
    ground.declare(start.host(host.as_str()));

    let ended: Result<()> = runtime.block_on(async {
        let base = Base {
            ground: Arc::clone(&ground),
            data_dir: data.path().to_owned(),
            clock: Arc::clone(&clock),
            host: host.clone(),
            agent,
        };
        let flow = Arc::new(Flow::start(base, &config).await?);
        let sources = Sources::start(&config, &ground, &data, &clock)?;
        let parts = reload::Parts {
            flow: Arc::clone(&flow),
            sources: Arc::clone(&sources),
            rules: None,
            watches: None,
            reports: None,
            log,
        };
        let reloader = Arc::new(Reloader::new(parts, config.clone(), run.loader()));
        let control = Control::open(data.path(), Arc::clone(&flow), Arc::clone(&reloader), None, None)?;
        let stop = CancellationToken::new();
        let report = Report::new(&config, &data, &spool, &flow, Some(Arc::clone(&sources)), STATUS_EVERY)?;
        let reporting = report.map(|report| tokio::spawn(report.repeat(stop.clone())));
        let small = tokio::spawn(stay_small(stop.clone()));
        announce(&config, &host)?;
        signals.stopped(&reloader).await;

        // From the outside in: nothing new comes in, then what is in is durable, then the sinks remember where they are.
        control.close().await;
        stop.cancel();
        let _ = small.await;
        if let Some(reporting) = reporting {
            let _ = reporting.await;
        }
        flow.close_receivers().await;
        ground.declare(Event::new("agent.stop", "-").message("Attestry stopped").host(host.as_str()));
        ground.close();
        // A source that waits for room is let go by the line above, so this does not wait for it.
        tokio::task::spawn_blocking(move || sources.stop()).await?;
        flow.close_sinks().await;
        Ok(())
    });
    drop(runtime);
    tracing::info!("stopped");
    ended
}

/// Gives back what the start and the history of the host took.
async fn stay_small(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(STATUS_EVERY)).await.is_some() {
        memory::forget_code();
        memory::rest();
    }
}

/// Opens what events rest in until the sinks have them.
pub(crate) fn open_spool(
    config: &Config,
    data: &DataDir,
    clock: &Arc<dyn Clock>,
) -> Result<(Spool, spool::Opened)> {
    let options = spool::Options {
        max_bytes: config.written.spool.max_bytes,
        when_full: match config.written.spool.when_full {
            WhenFull::Block => spool::WhenFull::Block,
            WhenFull::DropOldest => spool::WhenFull::DropOldest,
        },
        host: Some(Paths::default().host_name()),
        gap_ledger: own_ledger(config.enrolment.as_ref()),
        done: done(config, data.path()),
        ..spool::Options::default()
    };
    let (spool, opened) = Spool::open(RealDisk, &data.path().join(SPOOL), options, Arc::clone(clock))
        .context("cannot open the spool")?;
    tracing::info!(
        epoch = opened.epoch,
        new_epoch = opened.new_epoch,
        torn_bytes = opened.torn_bytes,
        "spool opened"
    );
    Ok((spool, opened))
}

/// The ledger of what this node says of itself: `audit`, unless this host was enrolled for others only, which are all it may write to.
fn own_ledger(enrolment: Option<&Enrolment>) -> String {
    let own = attestry_server::AUDIT_LEDGER;
    let others = enrolment.map(|enrolment| &enrolment.ledgers).filter(|ledgers| !ledgers.contains_key(own));
    others.and_then(|ledgers| ledgers.keys().next()).map_or_else(|| own.to_owned(), String::clone)
}

/// The position in the spool below which every sink has everything; 0 where a sink is new, or its place unknown.
fn done(config: &Config, data_dir: &Path) -> u64 {
    let places = config.sinks.keys().map(|sink| {
        let file = crate::flow::cursor(data_dir, sink, SPOOL);
        Cursor::load(&RealDisk, &file).ok().flatten().map_or(0, |Cursor(at)| at)
    });
    places.min().unwrap_or(0)
}

/// What this host shows as an agent.
pub(crate) fn identity(enrolment: &Enrolment, data: &DataDir, spool: &Arc<Spool>) -> Result<Agent> {
    let mut keys = HashMap::new();
    for (ledger, vkey) in &enrolment.ledgers {
        let key =
            vkey.parse().with_context(|| format!("the verifier key of {ledger} in the enrolment is none"))?;
        keys.insert(ledger.clone(), key);
    }
    let alarms = Arc::clone(spool);
    let name = enrolment.name.clone();
    let on_alarm: OnAlarm = Arc::new(move |alarm| {
        let event = Event::new("gap.history", "-")
            .resource(alarm.ledger.as_str())
            .severity(1)
            .message(alarm.reason.clone())
            .data("agent", name.as_str())
            .data("ledger", alarm.ledger.as_str());
        // Both are signed by the server, so together they prove what it did to whoever sees them.
        let notes = [("pinned", &alarm.pinned), ("shown", &alarm.shown)];
        let event = notes.into_iter().fold(event, |event, (name, note)| match note {
            Some(note) => event.data(name, note.as_str()),
            None => event,
        });
        alarms.declare(&event);
    });
    Ok(Agent { name: enrolment.name.clone(), pins: Folder::of(data.path()).pins(), keys, on_alarm })
}

fn announce(config: &Config, host: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match &config.enrolment {
        Some(enrolment) => writeln!(
            out,
            "\nAttestry sends the events of {host} to {} as {:?}.",
            enrolment.url, enrolment.name
        )?,
        None => {
            let sinks: Vec<&str> = config.sinks.keys().map(String::as_str).collect();
            writeln!(out, "\nAttestry sends the events of {host} to {}.", sinks.join(", "))?
        }
    }
    writeln!(out, "`attestry spool list` says how it is doing.\n")?;
    out.flush()?;
    Ok(())
}

/// Tells the server how this agent is doing.
pub(crate) struct Report {
    client: Arc<Client>,
    spool: Arc<Spool>,
    flow: Arc<Flow>,
    sources: Option<Arc<Sources>>,
    folder: Folder,
    every: Duration,
}

impl Report {
    /// None for a host that is no agent. `every` is how often the server may expect to be told.
    pub(crate) fn new(
        config: &Config,
        data: &DataDir,
        spool: &Arc<Spool>,
        flow: &Arc<Flow>,
        sources: Option<Arc<Sources>>,
        every: Duration,
    ) -> Result<Option<Report>> {
        let Some(enrolment) = &config.enrolment else { return Ok(None) };
        let folder = Folder::of(data.path());
        Ok(Some(Report {
            client: Arc::new(Client::as_agent(&enrolment.url, &folder, enrolment.pinned_server)?),
            spool: Arc::clone(spool),
            flow: Arc::clone(flow),
            sources,
            folder,
            every,
        }))
    }

    async fn repeat(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let report = Arc::new(self);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            let working = Arc::clone(&report);
            match tokio::task::spawn_blocking(move || working.once()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(
                    error = format!("{error:#}"),
                    "the server did not hear how this agent is doing"
                ),
                Err(error) => tracing::error!(%error, "the report to the server ended early"),
            }
        }
    }

    pub(crate) fn once(&self) -> Result<()> {
        let answer = self.client.post_json("/api/v1/agents/self/status", &self.status())?;
        if answer["renew"].as_bool() == Some(true) {
            self.renew()?;
        }
        Ok(())
    }

    fn status(&self) -> Value {
        let fill = self.spool.fill();
        let flow = self.flow.status();
        let now = SystemClock.now();
        let waiting = flow.sinks.iter().map(|sink| sink.lag).max().unwrap_or(0);
        let sources = self.sources.iter().flat_map(|sources| sources.all()).map(|source| {
            json!({
                "name": source.name,
                "on": source.on,
                "why": source.why,
                "every_s": source.every_s,
                "last_event": source.last_event,
                "events": source.events,
                "losses": source.losses,
            })
        });
        let receivers = self.flow.receivers().into_iter().map(|receiver| {
            json!({
                "name": receiver.name,
                "on": true,
                "every_s": receiver.every_s,
                "last_event": receiver.last,
                "events": receiver.kept,
            })
        });
        let sinks = flow.sinks.iter().map(|sink| {
            json!({"name": sink.name, "state": sink.state, "lag": sink.lag, "dead": sink.dead, "why": sink.why})
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "now": now,
            "every_s": self.every.as_secs(),
            "spool": {
                "epoch": fill.epoch,
                "events": waiting,
                "bytes": fill.bytes,
                "oldest_s": self.oldest_s(now),
                "stalled": fill.stalled.map(|stalled| stalled.why),
            },
            "sources": sources.chain(receivers).collect::<Vec<_>>(),
            "sinks": sinks.collect::<Vec<_>>(),
        })
    }

    /// Age of the oldest event that waits, in seconds.
    fn oldest_s(&self, now: attestry_event::Nanos) -> Option<u64> {
        let handles = self.flow.sinks().into_iter().flat_map(|sink| sink.workers);
        let oldest = handles.filter_map(|(_, handle)| handle.status().oldest).min()?;
        Some(now.0.saturating_sub(oldest.0).max(0) as u64 / 1_000_000_000)
    }

    /// A new certificate for the same key.
    fn renew(&self) -> Result<()> {
        let pem = std::fs::read_to_string(self.folder.key()).context("cannot read this agent's key")?;
        let key = rcgen::KeyPair::from_pem(&pem).context("this agent's key is none")?;
        let csr = rcgen::CertificateParams::default().serialize_request(&key)?.pem()?;
        let answer = self.client.post_json("/api/v1/agents/renew", &json!({"csr": csr}))?;
        let certificate = answer["certificate"].as_str().context("the server's answer has no certificate")?;
        crate::run::private_file(&self.folder.certificate(), certificate)
            .context("cannot keep the new certificate")?;
        tracing::info!("this agent's certificate was renewed");
        Ok(())
    }
}
