//! Messages that tell Attestry to do something, from a folder or a queue. What they may ask for is in `command`, when they are believed in `gate`.

mod command;
mod folder;
mod gate;
mod orders;
mod seen;

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use attestry_event::Clock;
use attestry_openpgp::{Gpg, KeyUse};
use attestry_pipeline::{Inlet, Intake, IntakeOptions, Landing};
use attestry_server::AUDIT_LEDGER;
use attestry_server::databases::Databases;
use attestry_wire::{amqp, nats, queue, sqs, stomp};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ControlQueue};
use crate::flow::Ground;
use crate::reports::Desk;
use gate::{FromQueue, Gate};
use orders::Orders;
use seen::Seen;

/// What came before, in the data directory.
const SEEN_FILE: &str = "control-messages.json";

/// The `event_source` of what is told of messages.
const SOURCE: &str = "control";

/// The ways in, open.
pub(crate) struct ControlMessages {
    stop: CancellationToken,
    queues: Vec<tokio::task::JoinHandle<()>>,
    folder: Option<JoinHandle<()>>,
}

impl ControlMessages {
    /// Opens what the configuration names. Call it within the runtime.
    pub(crate) fn start(
        config: &Config,
        ground: &Arc<Ground>,
        clock: &Arc<dyn Clock>,
        databases: Arc<dyn Databases>,
        reports: Arc<Desk>,
    ) -> Result<ControlMessages> {
        let control = &config.written.control;
        let stop = CancellationToken::new();
        let mut open = ControlMessages { stop: stop.clone(), queues: Vec::new(), folder: None };
        if !control.is_open() {
            return Ok(open);
        }
        let gpg = Gpg::new(&config.written.openpgp);
        for signer in &control.signers {
            if let Err(problem) = gpg.key(signer.as_str(), KeyUse::Believe) {
                // It can be mended while Attestry runs.
                tracing::error!(%problem, "messages signed by this key will be refused");
            }
        }
        let seen = config.written.data_dir.join(SEEN_FILE);
        let seen = Seen::open(&seen).with_context(|| format!("cannot read {}", seen.display()))?;
        let options = IntakeOptions {
            ledger: AUDIT_LEDGER.to_owned(),
            event_source: SOURCE.to_owned(),
            reserved_names: true,
            agent: true,
            ..IntakeOptions::default()
        };
        let landing = Arc::clone(ground) as Arc<dyn Landing>;
        let hooks = crate::flow::hooks(None, None, None);
        let gate = Arc::new(Gate {
            gpg,
            signers: control.signers.clone(),
            fresh_for: control.fresh_for.0,
            clock: Arc::clone(clock),
            seen: Mutex::new(seen),
            orders: Orders { databases, reports },
            ledger: Intake::new(landing, options, Vec::new(), hooks, Arc::clone(clock)),
            stop: stop.clone(),
        });
        for (name, queue) in &control.queues {
            let inlet = Arc::new(FromQueue { name: format!("queue {name}"), gate: Arc::clone(&gate) });
            open.queues.push(consume(name, queue, inlet, stop.clone())?);
        }
        if let Some(folder) = control.folder.clone() {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let runtime = tokio::runtime::Handle::current();
            let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
                let _within = runtime.enter();
                folder::follow(&gate, &folder);
            })?;
            open.folder = Some(thread);
        }
        Ok(open)
    }

    /// Ends them; a message that is being done is done.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for queue in self.queues {
            if let Err(error) = queue.await {
                tracing::error!(%error, "a queue of control messages ended early");
            }
        }
        if let Some(folder) = self.folder
            && let Err(error) = tokio::task::spawn_blocking(move || folder.join()).await
        {
            tracing::error!(%error, "the folder of control messages ended early");
        }
    }
}

fn consume(
    name: &str,
    queue: &ControlQueue,
    inlet: Arc<dyn Inlet>,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>> {
    let counters = Arc::<queue::Counters>::default();
    Ok(match queue {
        ControlQueue { nats: Some(of), .. } => tokio::spawn(nats::run(of.clone(), inlet, counters, stop)),
        ControlQueue { amqp: Some(of), .. } => tokio::spawn(amqp::run(of.clone(), inlet, counters, stop)),
        ControlQueue { stomp: Some(of), .. } => tokio::spawn(stomp::run(of.clone(), inlet, counters, stop)),
        ControlQueue { sqs: Some(of), .. } => tokio::spawn(sqs::run(of.clone(), inlet, counters, stop)),
        _ => bail!("the queue {name} has no protocol"),
    })
}
