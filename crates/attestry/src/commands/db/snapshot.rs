//! `attestry db snapshot`: one now, by the program that runs.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use crate::commands::key::person;
use crate::config::Config;
use crate::control::{Request, ask};
use crate::terminal::escape;

#[derive(Args, Debug)]
pub(super) struct Snapshot {
    /// The watch.
    watch: String,
    /// The snapshot. Default: all that the watch has.
    name: Option<String>,
    /// As JSON, a line each.
    #[arg(long)]
    json: bool,
}

pub(super) fn snapshot(of: &Snapshot, config: &Config) -> Result<()> {
    let request = Request::Snapshot { watch: of.watch.clone(), name: of.name.clone(), by: person() };
    let mut failed = 0;
    let asked = ask(&config.written.data_dir, &request, &mut |line| {
        let mut out = io::stdout().lock();
        failed += usize::from(line["failed"].is_string());
        let text = |name: &str| escape(line[name].as_str().unwrap_or_default());
        match (of.json, &line["failed"]) {
            (true, _) => writeln!(out, "{line}")?,
            (false, Value::String(why)) => writeln!(out, "{}: {}", text("snapshot"), escape(why))?,
            (false, _) => {
                writeln!(
                    out,
                    "{}: {}, {} bytes, SHA-256 {}",
                    text("snapshot"),
                    text("file"),
                    line["bytes"],
                    text("sha256")
                )?;
            }
        }
        Ok(())
    })?;
    if !asked {
        bail!("nothing runs on {}: `attestry run` makes snapshots", config.written.data_dir.display());
    }
    if failed > 0 {
        bail!("{failed} of them failed");
    }
    Ok(())
}
