//! `attestry collect`: one look of this host's sources, from cron or by hand, without anything resident.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attestry_collect::{Availability, Names, Outlet, Paths, Setup, Status, Stopped, once};
use attestry_event::{Batch, Border, Clock, Event, SystemClock, write_event};
use attestry_ledger::DataDir;
use attestry_pipeline::Spool;
use clap::Args;
use parking_lot::Mutex;
use serde_json::Value;

use crate::client::Connection;
use crate::config::{Config, Filters, Source};
use crate::flow::Ground;
use crate::sources::{Host, availability};
use crate::terminal::{Look, Table, note};

/// How long the spool may take nothing before the look is given up: nothing empties it meanwhile.
const FULL_FOR: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(crate) struct Collect {
    /// The sources. Default: all that can work here.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Look once: keep what is new since the last look, and end.
    #[arg(long, required_unless_present = "print")]
    once: bool,
    /// Print as NDJSON what a first look finds, and keep nothing: neither events nor positions.
    #[arg(long, conflicts_with = "once")]
    print: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A source, its configuration, and whether it can work here.
struct Wanted<'a> {
    name: &'a str,
    config: &'a Source,
    filters: &'a Filters,
    source: Box<dyn attestry_collect::Source>,
    availability: Availability,
}

/// What a look of one source brought.
struct Looked<'a> {
    name: &'a str,
    status: Option<Arc<Status>>,
    why: String,
}

pub(crate) fn collect(collect: &Collect) -> Result<()> {
    let config = collect.connection.config()?;
    let wanted = wanted(&config, &collect.names)?;
    if collect.print {
        return print(&wanted);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.written.data_dir)
        .context("a running `attestry run` looks by itself; without it the data directory is free")?;
    let looked = match config.serves {
        true => {
            let parts = crate::run::open_ledgers(&config, &data, &clock)?;
            let ground = Arc::new(Ground::ledgers(&parts, &clock));
            let looked = look(&wanted, &Host::new(&ground, &data, &clock)?);
            drop(ground);
            crate::run::close(parts.into_iter().map(|part| part.ledger).collect());
            looked?
        }
        false => {
            let (spool, _) = crate::node::open_spool(&config, &data, &clock)?;
            let spool = Arc::new(spool);
            spool.set_consumers(config.sinks.keys().cloned());
            let ground = Arc::new(Ground::Spool(Arc::clone(&spool)));
            give_up_when_full(&spool)?;
            let looked = look(&wanted, &Host::new(&ground, &data, &clock)?);
            ground.close();
            looked?
        }
    };
    report(&looked)
}

/// The sources that are asked for; those that cannot work here only when they are asked for by name.
fn wanted<'a>(config: &'a Config, names: &[String]) -> Result<Vec<Wanted<'a>>> {
    if let Some(unknown) = names.iter().find(|name| !config.sources.contains_key(*name)) {
        let known = config.sources.keys().cloned().collect::<Vec<_>>().join(", ");
        bail!("there is no source {unknown:?}, there are {known}");
    }
    let paths = Paths::default();
    let mut wanted = Vec::new();
    for (name, (of, filters)) in &config.sources {
        let Some(source) = of.kinds().pop() else { continue };
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let availability = availability(&*source, of, &paths);
        if availability.on || !names.is_empty() {
            wanted.push(Wanted { name, config: of, filters, source, availability });
        }
    }
    Ok(wanted)
}

fn look<'a>(wanted: &[Wanted<'a>], host: &Host) -> Result<Vec<Looked<'a>>> {
    let mut looked = Vec::new();
    for of in wanted {
        let status = match of.availability.on {
            false => None,
            true => {
                let setup = host.setup(of.name, of.config, of.filters)?;
                let done = once(&*of.source, setup);
                Some(done.map_err(|Stopped| {
                    anyhow::anyhow!(
                        "what {} found was not taken: the spool is full, `attestry send --spool` empties it",
                        of.name
                    )
                })?)
            }
        };
        looked.push(Looked { name: of.name, status, why: of.availability.why.clone() });
    }
    Ok(looked)
}

/// Cron sends what a command says by mail: on a terminal a table, elsewhere only what is wrong.
fn report(looked: &[Looked<'_>]) -> Result<()> {
    let mut failed = Vec::new();
    let mut table = Table::new(&["source", "events", "losses", "why"]);
    for Looked { name, status, why } in looked {
        let problem = match status {
            Some(status) => status.problem(),
            None => Some(why.clone()),
        };
        let count =
            |of: fn(&Status) -> u64| status.as_ref().map_or(String::new(), |status| of(status).to_string());
        table.row([
            ((*name).to_owned(), Look::Bold),
            (count(Status::events), Look::Plain),
            (count(Status::losses), Look::Plain),
            match &problem {
                Some(problem) => (problem.clone(), Look::Bad),
                None => (why.clone(), Look::Dim),
            },
        ]);
        failed.extend(problem.map(|problem| format!("{name}: {problem}")));
    }
    if io::stdout().is_terminal() {
        table.print(&mut io::stdout().lock())?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("{}", failed.join("; ")),
    }
}

/// Lets the sources go when the spool takes nothing for a while.
fn give_up_when_full(spool: &Arc<Spool>) -> Result<()> {
    let spool = Arc::downgrade(spool);
    let watch = move || {
        while let Some(spool) = spool.upgrade() {
            if spool.fill().stalled.is_some_and(|stalled| stalled.since >= FULL_FOR) {
                spool.close();
                return;
            }
            drop(spool);
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    std::thread::Builder::new().name("watch-spool".to_owned()).spawn(watch)?;
    Ok(())
}

/// Prints events as they would be sent.
struct Printer {
    name: String,
    failed: Mutex<Option<io::Error>>,
}

impl Printer {
    fn write(&self, events: &[Event]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let border = Border {
            event_source: &self.name,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: SystemClock.now(),
        };
        let mut batch = Batch::new();
        for event in events {
            if let Err(problems) = batch.push(event, &border) {
                note(&format!("{}: {problems:?}", event.event_name));
            }
        }
        let mut line = Vec::new();
        for entry in batch.entries() {
            line.clear();
            write_event(entry, &batch.values, &mut line).map_err(io::Error::other)?;
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(())
    }
}

impl Outlet for Printer {
    fn send(&self, _source: &str, events: Vec<Event>, _position: Value) -> Result<(), Stopped> {
        self.write(&events).map_err(|error| {
            *self.failed.lock() = Some(error);
            Stopped
        })
    }
}

fn print(wanted: &[Wanted<'_>]) -> Result<()> {
    let paths = Paths::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Names that are not to be shown are hashed with a key that nobody keeps.
    let names = Arc::new(Names::new(rand::random(), "/etc/passwd"));
    for of in wanted {
        if !of.availability.on {
            note(&format!("{}: {}", of.name, of.availability.why));
            continue;
        }
        let printer = Arc::new(Printer { name: of.name.to_owned(), failed: Mutex::default() });
        let setup = Setup {
            name: of.name.to_owned(),
            host: paths.host_name(),
            paths: paths.clone(),
            clock: Arc::clone(&clock),
            names: Arc::clone(&names),
            outlet: Arc::clone(&printer) as Arc<dyn Outlet>,
            position: None,
            rest: || {},
        };
        let done = once(&*of.source, setup);
        if let Some(error) = printer.failed.lock().take() {
            return Err(error).context("cannot write the events");
        }
        if let Ok(status) = done
            && let Some(problem) = status.problem()
        {
            note(&format!("{}: {problem}", of.name));
        }
    }
    Ok(())
}
