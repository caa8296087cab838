//! The program's own log: structured, on standard error.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;

use anyhow::{Context, Result};
use tracing_subscriber::reload::{Error, Handle};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::Log;

/// Changes what a log that has started writes.
#[derive(Clone)]
pub(crate) struct Level(Arc<dyn Fn(EnvFilter) -> Result<(), Error> + Send + Sync>);

impl Level {
    /// Sets the level that is configured. The format stays.
    pub(crate) fn set(&self, log: &Log) -> Result<()> {
        (self.0)(filter(log)?).context("the log does not take another level")
    }
}

/// Starts logging.
pub(crate) fn start(log: &Log) -> Result<Level> {
    let failed = |error| anyhow::anyhow!("cannot start logging: {error}");
    let filter = filter(log)?;
    let builder = fmt().with_writer(stderr).with_target(false);
    match log.format.as_str() {
        "json" => {
            let builder = builder.json().with_env_filter(filter).with_filter_reloading();
            let level = level(builder.reload_handle());
            builder.try_init().map_err(failed)?;
            Ok(level)
        }
        _ => {
            let builder =
                builder.with_ansi(stderr().is_terminal()).with_env_filter(filter).with_filter_reloading();
            let level = level(builder.reload_handle());
            builder.try_init().map_err(failed)?;
            Ok(level)
        }
    }
}

/// `RUST_LOG`, if set, refines the level.
fn filter(log: &Log) -> Result<EnvFilter> {
    let level = log.level.parse().context("the log level")?;
    Ok(EnvFilter::builder().with_default_directive(level).from_env_lossy())
}

fn level<S: 'static>(handle: Handle<EnvFilter, S>) -> Level {
    Level(Arc::new(move |filter| handle.reload(filter)))
}
