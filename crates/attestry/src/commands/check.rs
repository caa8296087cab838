//! `attestry check`: is the configuration right? Every mistake with its place.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;

use crate::client::Connection;
use crate::config::Config;

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Print the configuration as it is in force, defaults and environment included.
    #[arg(long)]
    show: bool,
    /// Print the JSON Schema of the configuration file, for editors.
    #[arg(long, conflicts_with = "show")]
    schema: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn check(check: &Check) -> Result<()> {
    let mut out = io::stdout().lock();
    if check.schema {
        writeln!(out, "{}", serde_json::to_string_pretty(&Config::schema())?)?;
        return Ok(());
    }
    let config = check.connection.config()?;
    if check.show {
        write!(out, "{}", serde_saphyr::to_string(&config.written)?)?;
        return Ok(());
    }
    writeln!(out, "The configuration is right.")?;
    Ok(())
}
