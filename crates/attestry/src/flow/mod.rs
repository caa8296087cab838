//! What flows through this node: receivers in, sinks out, and in between where events are durable.

mod followed;
mod ground;
mod noticed;
mod receivers;
mod seen;
mod sinks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use attestry_event::Clock;
use attestry_pipeline::DeadLetters;
use attestry_pipeline::worker::Handle;
use attestry_server::ReceiverStatus;
use attestry_wire::attestry::Agent;
use parking_lot::Mutex;

pub(crate) use ground::{Followable, Ground};
pub(crate) use receivers::{hooks, redactions};

use crate::config::{Config, Filters, Receiver, Sink};

/// The folder of a sink: its cursors and dead letters.
fn folder(data_dir: &Path, sink: &str) -> PathBuf {
    data_dir.join("sinks").join(sink)
}

/// Where a sink keeps how far it came in a log.
pub(crate) fn cursor(data_dir: &Path, sink: &str, log: &str) -> PathBuf {
    folder(data_dir, sink).join(format!("{log}.cursor"))
}

/// Everything that flows, and how it is changed while it does.
pub(crate) struct Flow {
    ground: Arc<Ground>,
    sinks: sinks::Setting,
    receivers: receivers::Setting,
    /// Only one at a time changes what runs.
    changing: tokio::sync::Mutex<()>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    sinks: BTreeMap<String, sinks::Running>,
    receivers: BTreeMap<String, receivers::Running>,
}

/// What a flow stands on.
pub(crate) struct Base {
    pub(crate) ground: Arc<Ground>,
    pub(crate) data_dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: String,
    pub(crate) agent: Option<Agent>,
}

/// How a sink is doing, log by log.
pub(crate) struct SinkState {
    pub(crate) name: String,
    pub(crate) protocol: &'static str,
    /// The log's name and the worker that follows it.
    pub(crate) workers: Vec<(String, Handle)>,
    pub(crate) dead: Arc<DeadLetters>,
}

/// What a change of the configuration started and stopped.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) started: Vec<String>,
    pub(crate) stopped: Vec<String>,
    /// What could not be done; all else was.
    pub(crate) failed: Vec<anyhow::Error>,
}

impl Changes {
    /// Fails with the first that could not be done.
    pub(crate) fn whole(self) -> Result<Changes> {
        match self.failed.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(Changes { failed: Vec::new(), ..self }),
        }
    }
}

impl Flow {
    /// Starts what is configured. Sinks first: what comes in has somewhere to go. A receiver that cannot listen stops the start.
    pub(crate) async fn start(base: Base, config: &Config) -> Result<Flow> {
        let logs = base.ground.logs().context("there is no thread to be had")?;
        let sinks = sinks::Setting {
            ground: Arc::clone(&base.ground),
            logs,
            data_dir: base.data_dir,
            clock: Arc::clone(&base.clock),
            agent: base.agent,
        };
        let landing = Arc::clone(&base.ground) as Arc<dyn attestry_pipeline::Landing>;
        let receivers = receivers::Setting { landing, clock: base.clock, host: base.host };
        let flow = Flow {
            ground: base.ground,
            sinks,
            receivers,
            changing: tokio::sync::Mutex::default(),
            running: Mutex::default(),
        };
        flow.change(config).await.whole()?;
        Ok(flow)
    }

    /// Brings what runs to what is configured: only what differs is stopped and started. When something cannot be started, the others are
    /// as configured all the same.
    pub(crate) async fn change(&self, config: &Config) -> Changes {
        let _alone = self.changing.lock().await;
        let mut changes = Changes::default();
        let (sinks, receivers) = self.take_outdated(config);
        sinks.values().for_each(sinks::Running::signal);
        receivers.values().for_each(receivers::Running::signal);
        for (name, receiver) in receivers {
            receiver.ended().await;
            changes.stopped.push(name);
        }
        for (name, sink) in sinks {
            sink.ended().await;
            changes.stopped.push(name);
        }
        self.feed(config);
        for (name, (wanted, filters)) in &config.sinks {
            if !wanted.enabled || self.running.lock().sinks.contains_key(name) {
                continue;
            }
            match self.sinks.start(name, wanted, filters) {
                Ok(started) => {
                    self.running.lock().sinks.insert(name.clone(), started);
                    changes.started.push(name.clone());
                }
                Err(error) => changes.failed.push(error),
            }
        }
        for (name, (wanted, filters)) in &config.receivers {
            if !wanted.enabled || self.running.lock().receivers.contains_key(name) {
                continue;
            }
            match self.receivers.start(name, wanted, filters).await {
                Ok(started) => {
                    self.running.lock().receivers.insert(name.clone(), started);
                    changes.started.push(name.clone());
                }
                Err(error) => changes.failed.push(error),
            }
        }
        changes
    }

    /// A spool keeps events for exactly the sinks that are configured, also those that are switched off.
    fn feed(&self, config: &Config) {
        if let Ground::Spool(spool) = &*self.ground {
            spool.set_consumers(config.sinks.keys().cloned());
        }
    }

    fn take_outdated(
        &self,
        config: &Config,
    ) -> (BTreeMap<String, sinks::Running>, BTreeMap<String, receivers::Running>) {
        fn outdated<T, C>(
            running: &mut BTreeMap<String, T>,
            wanted: &BTreeMap<String, (C, Filters)>,
            same: impl Fn(&T, &C) -> bool,
        ) -> BTreeMap<String, T> {
            let stays = |name: &String, of: &T| wanted.get(name).is_some_and(|(config, _)| same(of, config));
            let (stay, go): (BTreeMap<_, _>, BTreeMap<_, _>) =
                std::mem::take(running).into_iter().partition(|(name, of)| stays(name, of));
            *running = stay;
            go
        }
        let mut running = self.running.lock();
        let sinks = outdated(&mut running.sinks, &config.sinks, |of, config: &Sink| {
            of.config == *config && config.enabled
        });
        let receivers = outdated(&mut running.receivers, &config.receivers, |of, config: &Receiver| {
            of.config == *config && config.enabled
        });
        (sinks, receivers)
    }

    /// Ends the receivers: nothing comes in from others any more, and what came in is durable.
    pub(crate) async fn close_receivers(&self) {
        let receivers = std::mem::take(&mut self.running.lock().receivers);
        receivers.values().for_each(receivers::Running::signal);
        for receiver in receivers.into_values() {
            receiver.ended().await;
        }
    }

    /// Ends the sinks; each remembers how far it came.
    pub(crate) async fn close_sinks(&self) {
        let sinks = std::mem::take(&mut self.running.lock().sinks);
        sinks.values().for_each(sinks::Running::signal);
        for sink in sinks.into_values() {
            sink.ended().await;
        }
    }

    /// What can be followed here.
    pub(crate) fn logs(&self) -> Vec<Followable> {
        self.sinks.logs.clone()
    }

    pub(crate) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// How the sinks are doing.
    pub(crate) fn sinks(&self) -> Vec<SinkState> {
        let running = self.running.lock();
        let state = |(name, sink): (&String, &sinks::Running)| SinkState {
            name: name.clone(),
            protocol: sink.config.protocols().first().map_or("", |(protocol, _)| protocol),
            workers: sink.workers.iter().map(|(log, handle, _)| (log.clone(), handle.clone())).collect(),
            dead: Arc::clone(&sink.dead),
        };
        running.sinks.iter().map(state).collect()
    }

    /// How the receivers are doing.
    pub(crate) fn receivers(&self) -> Vec<ReceiverStatus> {
        let running = self.running.lock();
        running.receivers.iter().map(|(name, receiver)| receiver.status(name)).collect()
    }
}
