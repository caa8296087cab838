//! The program's own log: structured, on standard error.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Starts logging. `RUST_LOG`, if set, refines the level.
pub(crate) fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(log.level.parse().context("the log level")?)
        .from_env_lossy();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match log.format.as_str() {
        "json" => builder.json().try_init(),
        _ => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
