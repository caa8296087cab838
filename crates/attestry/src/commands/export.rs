//! `attestry export`: entries with the proof that they are in the signed log, for somebody who does not trust this server.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ureq::Body;
use ureq::http::Response;

use crate::client::Connection;
use crate::terminal::note_behind;

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Which events; nothing exports the whole ledger.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// The ledger.
    #[arg(long, default_value = "audit")]
    ledger: String,
    /// Not before: RFC 3339, or relative such as -24h or -7d. Default: the first event.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Not after: RFC 3339, relative, or now. Default: the last event.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
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
    note_behind(behind(&response));
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

/// How many committed events the answer's search could not find yet, as the header of a stream tells it.
fn behind(response: &Response<Body>) -> u64 {
    let value = response.headers().get("attestry-behind").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Copies an export, and knows whether it is whole by its last line.
fn copy(from: &mut impl Read, to: &mut impl Write, progress: &ProgressBar) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut last = LastLine::default();
    loop {
        let read = from.read(&mut buffer).context("the export was broken off")?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read])?;
        progress.inc(read as u64);
        last.take(&buffer[..read]);
    }
    if !last.is_the_end() {
        bail!("the export was broken off: its last line is missing");
    }
    Ok(())
}

/// How the last line of an export begins (docs/formats.md, section 8).
const END: &[u8] = b"{\"nodes\":";

/// The beginning of the last line of what goes by, and whether it ended.
#[derive(Default)]
struct LastLine {
    begins: Vec<u8>,
    ended: bool,
}

impl LastLine {
    fn take(&mut self, bytes: &[u8]) {
        let Some((last, before)) = bytes.split_last() else { return };
        let line = match before.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                self.begins.clear();
                &bytes[end + 1..]
            }
            None => {
                if self.ended {
                    self.begins.clear();
                }
                bytes
            }
        };
        self.begins.extend(line.iter().take(END.len() - self.begins.len()));
        self.ended = *last == b'\n';
    }

    fn is_the_end(&self) -> bool {
        self.ended && self.begins == END
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_last_line_ends_an_export() {
        let entry = "{\"index\":0,\"entry\":{\"a\":1}}\n";
        let end = "{\"nodes\":[[0,1,\"aGFzaA==\"]],\"count\":1}\n";
        for (text, whole) in [
            (format!("{entry}{end}"), true),
            (end.to_owned(), true),
            (entry.to_owned(), false),
            (format!("{end}{entry}"), false),
            (format!("{entry}{}", end.trim_end()), false),
            (format!("{entry}{}", &end[..20]), false),
            (format!("{entry}\n"), false),
            (String::new(), false),
        ] {
            // However it comes in.
            for size in 1..=text.len().max(1) {
                let mut last = LastLine::default();
                text.as_bytes().chunks(size).for_each(|piece| last.take(piece));
                assert_eq!(last.is_the_end(), whole, "{text:?} in pieces of {size}");
            }
        }
    }
}
