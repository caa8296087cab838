//! `attestry send --spool`: delivers what waits in this host's spool, and ends. For cron, where nothing is resident.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use attestry_collect::Paths;
use attestry_event::{Clock, Period, SystemClock};
use attestry_ledger::DataDir;
use attestry_pipeline::worker::State;
use attestry_server::SinkStatus;

use crate::client::Connection;
use crate::flow::{Base, Flow, Followable, Ground, SinkState};
use crate::node::{Report, identity, open_spool};
use crate::terminal::note;

/// How often it looks whether everything is delivered.
const LOOK: Duration = Duration::from_millis(50);

/// Delivers for at most so long; whether everything went.
pub(crate) fn drain(connection: &Connection, most: Duration, every: Period) -> Result<bool> {
    let mut config = connection.config()?;
    if config.serves {
        bail!("this host has ledgers: `attestry run` passes them on. --spool is for a host that only sends");
    }
    config.receivers.clear();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.written.data_dir)
        .context("a running `attestry run` sends by itself; without it the data directory is free")?;
    let (spool, _) = open_spool(&config, &data, &clock)?;
    let spool = Arc::new(spool);
    let ground = Arc::new(Ground::Spool(Arc::clone(&spool)));
    let agent = match &config.enrolment {
        Some(enrolment) => Some(identity(enrolment, &data, &spool)?),
        None => None,
    };
    let base = Base {
        ground: Arc::clone(&ground),
        data_dir: data.path().to_owned(),
        clock,
        host: Paths::default().host_name(),
        agent,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sinks = runtime.block_on(async {
        let flow = Arc::new(Flow::start(base, &config).await?);
        let begun = Instant::now();
        let sinks = loop {
            if flow.sinks().iter().all(|sink| is_over(sink, &flow.logs())) || begun.elapsed() >= most {
                break flow.status().sinks;
            }
            tokio::time::sleep(LOOK).await;
        };
        // What the sources are is not known here: another command looks at them.
        if let Some(report) = Report::new(&config, &data, &spool, &flow, None, every.0)? {
            // The events are there already; how this host is doing can be told next time.
            let told = tokio::task::spawn_blocking(move || report.once()).await?;
            if let Err(error) = told {
                note(&format!("the server was not told how this host is doing: {error:#}"));
            }
        }
        ground.close();
        flow.close_sinks().await;
        anyhow::Ok(sinks)
    })?;
    drop(runtime);
    report(&sinks)
}

/// Whether a sink has everything, or waits for a person.
fn is_over(sink: &SinkState, logs: &[Followable]) -> bool {
    sink.workers.iter().all(|(log, worker)| {
        let status = worker.status();
        let end = logs.iter().find(|of| of.name == *log).map_or(0, |of| of.log.end());
        // One that has not read anything yet knows of nothing that waits.
        let has_read = status.delivered + status.filtered + status.refused > 0 || status.position >= end;
        status.state == State::Halted || (has_read && status.lag == 0)
    })
}

/// Cron sends what a command says by mail: on a terminal everything, elsewhere only what is wrong.
fn report(sinks: &[SinkStatus]) -> Result<bool> {
    let mut all = true;
    for sink in sinks {
        let (waiting, dead) = (sink.lag, sink.dead);
        if waiting > 0 {
            all = false;
            let why = sink.why.as_deref().unwrap_or("the time was over");
            note(&format!("{}: {waiting} events wait: {why}", sink.name));
        } else if io::stdout().is_terminal() {
            writeln!(io::stdout(), "{}: {} events delivered, none waits", sink.name, sink.delivered)?;
        }
        if dead > 0 {
            note(&format!(
                "{}: {dead} dead letters, `attestry spool inspect {}` shows them",
                sink.name, sink.name
            ));
        }
    }
    Ok(all)
}
