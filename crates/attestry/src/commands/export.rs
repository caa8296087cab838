//! `attestry export`: entries with the proof that they are in the signed log, for somebody who does not trust this server.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::Connection;

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Which events; nothing exports the whole ledger.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// The ledger.
    #[arg(long, default_value = "audit")]
    ledger: String,
    /// Not before: RFC 3339, or relative such as -24h.
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// Not after.
    #[arg(long, allow_hyphen_values = true)]
    to: Option<String>,
    /// Where to; default: standard output. The file appears under its name only when it is whole.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn export(export: &Export) -> Result<()> {
    let query = export.query.join(" ");
    let parameters = [
        ("q", (!query.is_empty()).then_some(query.as_str())),
        ("from", export.from.as_deref()),
        ("to", export.to.as_deref()),
    ];
    let path = format!("/api/v1/ledgers/{}/export", export.ledger);
    let response = export.connection.client()?.get_as(&path, &parameters, "application/x-ndjson")?;
    let mut body = response.into_body().into_reader();
    let Some(output) = &export.output else {
        return copy(&mut body, &mut io::stdout().lock(), &ProgressBar::hidden());
    };
    let temporary = PathBuf::from(format!("{}.part", output.display()));
    let mut file =
        File::create(&temporary).with_context(|| format!("cannot write {}", temporary.display()))?;
    let progress = match io::stderr().is_terminal() {
        true => {
            ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{bytes} {bytes_per_sec}")?)
        }
        false => ProgressBar::hidden(),
    };
    copy(&mut body, &mut file, &progress)?;
    file.sync_all()?;
    progress.finish_and_clear();
    std::fs::rename(&temporary, output).with_context(|| format!("cannot write {}", output.display()))?;
    writeln!(io::stderr(), "Exported to {0}; `attestry verify {0}` checks it.", output.display())?;
    Ok(())
}

/// Copies an export, and knows whether it is whole by its last line.
fn copy(from: &mut impl Read, to: &mut impl Write, progress: &ProgressBar) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut end = Vec::new();
    loop {
        let read = from.read(&mut buffer).context("the export was broken off")?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read])?;
        progress.inc(read as u64);
        end.extend_from_slice(&buffer[..read]);
        end.drain(..end.len().saturating_sub(2));
    }
    if end != b"}\n" {
        bail!("the export was broken off: its last line is missing");
    }
    Ok(())
}
