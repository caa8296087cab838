//! What it costs to watch a database: how many changes of rows are kept up with, what the database loses by it, and how a large table is compared.
//!
//! MariaDB and PostgreSQL run in temporary folders, from Debian's packages, Attestry with a configuration file; the writers are this process. All share the
//! machine, so CPU time of each says more than the wall.

mod client;
mod database;
mod loss;
mod pace;
mod relay;
mod scan;
mod watch;

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use attestry_db::Engine;

use crate::flows::load;

/// How it is measured.
pub(crate) struct Setting<'a> {
    pub(crate) binary: &'a Path,
    /// The port that Attestry listens on.
    pub(crate) port: u16,
    /// Changes of rows a second that are asked for.
    pub(crate) rate: u64,
    /// How long changes are made, and how long each turn with and without the watch takes, in seconds.
    pub(crate) seconds: u64,
    /// Rows of the table that is compared.
    pub(crate) rows: u64,
    /// Which databases.
    pub(crate) engines: &'a [Engine],
}

pub(crate) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    for &engine in setting.engines {
        writeln!(out, "# audit: {}, load {} before\n", database::name(engine), load())?;
        pace::run(setting, engine, out)?;
        loss::run(setting, engine, out)?;
        scan::run(setting, engine, out)?;
        writeln!(out)?;
    }
    Ok(())
}
