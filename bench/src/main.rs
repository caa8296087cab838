//! Measures Attestry as its users meet it: durable, proved and searchable, by every way in and out. Prints figures and asserts nothing.

mod audit;
mod flows;
mod generator;
mod http;
mod process;
mod queries;
mod server;
mod store;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use attestry_db::Engine;
use clap::{Parser, ValueEnum};

#[derive(Parser)]
struct Arguments {
    /// The binary to measure.
    #[arg(long)]
    server: PathBuf,
    /// Measure only a part.
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Events of the store's main run.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Events of each flow.
    #[arg(long, default_value_t = 500_000)]
    flow_events: u64,
    /// Datagrams a second where nothing is to be lost.
    #[arg(long, default_value_t = 20_000)]
    datagrams: u64,
    /// Connections that post.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// The first of the ports that are used.
    #[arg(long, default_value_t = 17_984)]
    port: u16,
    /// Changes of rows a second that a watched database is asked for.
    #[arg(long, default_value_t = 20_000)]
    audit_rate: u64,
    /// How long a watched database is written to, and each turn with and without the watch takes, in seconds.
    #[arg(long, default_value_t = 20)]
    audit_seconds: u64,
    /// Rows of the table that is compared.
    #[arg(long, default_value_t = 2_000_000)]
    audit_rows: u64,
    /// Watches only this database.
    #[arg(long)]
    audit_engine: Option<AuditEngine>,
    /// Leaves the run with hostile events away.
    #[arg(long)]
    no_hostile: bool,
}

/// A database that is watched.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AuditEngine {
    Mariadb,
    Postgres,
}

/// A part that can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Taking in over HTTP, and queries.
    Store,
    /// Agents, receivers, sinks and queues.
    Flows,
    /// Databases that are watched.
    Audit,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The servers run in folders of their own.
    let binary = arguments.server.canonicalize().context("there is no such binary")?;
    let mut out = std::io::stdout().lock();
    let measures = |part| arguments.only.is_none_or(|only| only == part);
    if measures(Part::Store) {
        let setting = store::Setting {
            binary: &binary,
            port: arguments.port,
            events: arguments.events,
            connections: arguments.connections,
            hostile: !arguments.no_hostile,
        };
        store::run(&setting, &mut out)?;
        writeln!(out)?;
    }
    if measures(Part::Flows) {
        let setting = flows::Setting {
            binary: &binary,
            port: arguments.port,
            events: arguments.flow_events,
            datagrams: arguments.datagrams,
        };
        flows::run(&setting, &mut out)?;
        writeln!(out)?;
    }
    if measures(Part::Audit) {
        let setting = audit::Setting {
            binary: &binary,
            port: arguments.port,
            rate: arguments.audit_rate,
            seconds: arguments.audit_seconds,
            rows: arguments.audit_rows,
            engines: match arguments.audit_engine {
                None => &[Engine::Mysql, Engine::Postgres],
                Some(AuditEngine::Mariadb) => &[Engine::Mysql],
                Some(AuditEngine::Postgres) => &[Engine::Postgres],
            },
        };
        audit::run(&setting, &mut out)?;
    }
    Ok(())
}
