//! `attestry send`: posts NDJSON from a file or standard input.
//!
//! Each event gets an id here if it has none, so that a batch whose answer was lost can be sent again and is stored once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use attestry_event::Period;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::client::{Client, Connection, problem};

/// A batch is sent when it has so many events …
const BATCH_EVENTS: usize = 5_000;
/// … or so many bytes, well under the server's limit of 32 MiB.
const BATCH_BYTES: usize = 8 << 20;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(crate) struct Send {
    /// A file with one JSON object a line. Without it, or as -, standard input.
    file: Option<PathBuf>,
    /// Deliver what waits in this host's spool to its sinks, as `attestry run` would, and end.
    #[arg(long, conflicts_with_all = ["file", "ledger"])]
    spool: bool,
    /// The ledger, when the key may write to several.
    #[arg(long)]
    ledger: Option<String>,
    /// How long to go on trying when the server cannot be reached or is overloaded, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_for: u64,
    /// With --spool: how often this is run, so that the server knows when this host is silent.
    #[arg(long, value_name = "PERIOD", default_value = "1h", requires = "spool")]
    every: Period,
    #[command(flatten)]
    connection: Connection,
}

/// Only whether there is an id; null stands for itself, the server makes one then.
#[derive(Deserialize)]
struct Identified {
    #[serde(default, deserialize_with = "present")]
    event_id: bool,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Lines on their way, with the number of each in the input.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    numbers: Vec<u64>,
}

impl Batch {
    fn push(&mut self, number: u64, line: &[u8]) {
        let start = line.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
        let is_object = line.get(start) == Some(&b'{');
        let missing = is_object && matches!(serde_json::from_slice(line), Ok(Identified { event_id: false }));
        if missing {
            let rest = &line[start + 1..];
            let empty = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
            let comma = if empty { "" } else { "," };
            self.body
                .extend_from_slice(format!("{{\"event_id\":\"{}\"{comma}", uuid::Uuid::now_v7()).as_bytes());
            self.body.extend_from_slice(rest);
        } else {
            self.body.extend_from_slice(line);
        }
        if !self.body.ends_with(b"\n") {
            self.body.push(b'\n');
        }
        self.numbers.push(number);
    }

    fn is_full(&self) -> bool {
        self.numbers.len() >= BATCH_EVENTS || self.body.len() >= BATCH_BYTES
    }
}

/// How it went.
#[derive(Default)]
struct Sent {
    stored: u64,
    repeated: u64,
    refused: u64,
}

pub(crate) fn send(send: &Send) -> Result<bool> {
    if send.spool {
        return super::drain::drain(&send.connection, Duration::from_secs(send.retry_for), send.every);
    }
    let client = send.connection.client()?;
    let file = send.file.as_ref().filter(|path| path.as_os_str() != "-");
    let (file, bytes) = match file {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            let bytes = file.metadata()?.len();
            (file, Some(bytes))
        }
        None => (File::from(io::stdin().as_fd().try_clone_to_owned()?), None),
    };
    let mut input = BufReader::with_capacity(1 << 20, file);
    let progress = progress(bytes)?;
    let mut sent = Sent::default();
    let mut batch = Batch::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).context("cannot read the input")?;
        if read == 0 {
            break;
        }
        number += 1;
        progress.inc(read as u64);
        if !line.iter().all(u8::is_ascii_whitespace) {
            batch.push(number, &line);
        }
        // What a pipe has ready goes at once: a slow source must not wait for five thousand lines.
        let idle = bytes.is_none() && !batch.numbers.is_empty() && would_wait(&input);
        if batch.is_full() || idle {
            post(send, &client, &std::mem::take(&mut batch), &mut sent, &progress)?;
        }
    }
    if !batch.numbers.is_empty() {
        post(send, &client, &batch, &mut sent, &progress)?;
    }
    progress.finish_and_clear();
    let Sent { stored, repeated, refused } = sent;
    writeln!(io::stderr(), "{stored} events stored, {repeated} were there already, {refused} refused")?;
    Ok(refused == 0)
}

/// Whether reading on would wait for the other end of a pipe.
fn would_wait(input: &BufReader<File>) -> bool {
    let mut polled = [rustix::event::PollFd::new(input.get_ref(), rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    input.buffer().is_empty() && rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|ready| ready == 0)
}

fn progress(bytes: Option<u64>) -> Result<ProgressBar> {
    if !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    Ok(match bytes {
        Some(bytes) => ProgressBar::new(bytes).with_style(ProgressStyle::with_template(
            "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg}",
        )?),
        None => ProgressBar::new_spinner()
            .with_style(ProgressStyle::with_template("{bytes} {bytes_per_sec} {msg}")?),
    })
}

fn post(send: &Send, client: &Client, batch: &Batch, sent: &mut Sent, progress: &ProgressBar) -> Result<()> {
    let path = match &send.ledger {
        Some(ledger) => format!("/api/v1/events?partial=true&ledger={ledger}"),
        None => "/api/v1/events?partial=true".to_owned(),
    };
    let body = zstd::bulk::compress(&batch.body, 1).context("cannot compress")?;
    let give_up = Instant::now() + Duration::from_secs(send.retry_for);
    let mut pause = Duration::from_millis(200);
    loop {
        let why = match client.post(&path, "application/x-ndjson", Some("zstd"), &body) {
            // With `partial`, conflicts come with a stored part or with none.
            Ok((201 | 409 | 422, answer)) => return tally(batch, &answer, sent, progress),
            Ok((status @ (429 | 502..=504), answer)) => problem(status, &answer),
            Ok((status, answer)) => bail!("{}", problem(status, &answer)),
            Err(error) => error.to_string(),
        };
        if Instant::now() + pause > give_up {
            bail!("gave up after {} s: {why} ({} events were stored before)", send.retry_for, sent.stored);
        }
        progress.set_message(format!("waiting: {why}"));
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Counts what was stored and tells each line that was refused.
fn tally(batch: &Batch, answer: &Value, sent: &mut Sent, progress: &ProgressBar) -> Result<()> {
    progress.set_message("");
    let list = |name: &str| answer[name].as_array().map(Vec::as_slice).unwrap_or_default();
    for stored in list("events") {
        match stored["duplicate"] == true {
            true => sent.repeated += 1,
            false => sent.stored += 1,
        }
    }
    let number = |of: &Value| {
        let line = of["line"].as_u64().unwrap_or(0);
        batch.numbers.get((line as usize).wrapping_sub(1)).copied().unwrap_or(line)
    };
    let mut refused: Vec<u64> = Vec::new();
    let mut out = io::stderr().lock();
    for bad in list("problems") {
        let text = |name: &str| crate::terminal::escape(bad[name].as_str().unwrap_or(""));
        writeln!(
            out,
            "line {}: {}: found {}, expected {}",
            number(bad),
            text("field"),
            text("found"),
            text("expected")
        )?;
        refused.push(number(bad));
    }
    for taken in list("conflicts") {
        let at = format!("{}/{}", taken["ledger"].as_str().unwrap_or(""), taken["index"]);
        writeln!(
            out,
            "line {}: event_id {} is taken by other content at {at}",
            number(taken),
            taken["event_id"]
        )?;
        refused.push(number(taken));
    }
    refused.sort_unstable();
    refused.dedup();
    sent.refused += refused.len() as u64;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_without_an_id_get_one() {
        let cases = [
            (r#" {"event_name":"a"}"#, true),
            (r#"{"event_id":"x","event_name":"a"}"#, false),
            (r#"{"event_data":{"event_id":"x"}}"#, true),
            ("{}", true),
            ("{ }", true),
            (r#"{"event_id":null}"#, false),
            ("not json", false),
            (r#"{"a":1"#, false),
        ];
        for (line, given) in cases {
            let mut batch = Batch::default();
            batch.push(1, line.as_bytes());
            let text = String::from_utf8(batch.body).unwrap();
            assert_eq!(text.starts_with("{\"event_id\":\"0"), given, "{text}");
            if given {
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["event_id"].as_str().unwrap().len(), 36, "{text}");
            }
        }
    }
}
