//! `attestry verify`: is it whole? The checks are those of `attestry-verify`, to which nothing is added.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use attestry_verify::{Options, Progress, check, read_pin};
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A data directory, the URL of a server or of one of its logs, an export, or a proof.
    target: String,
    /// A verifier key and checkpoint that were kept elsewhere (`attestry ledger show --pin`); may be given several times.
    #[arg(long, value_name = "FILE")]
    pin: Vec<PathBuf>,
    /// The verifier key that a proof or an export must be signed with.
    #[arg(long, value_name = "KEY")]
    vkey: Option<String>,
    /// The entry that a proof is of; else the proof's name with the ending .json.
    #[arg(long, visible_alias = "event", value_name = "FILE")]
    entry: Option<PathBuf>,
    /// A file with the key to show to the server; or the variable ATTESTRY_KEY.
    #[arg(long, env = "ATTESTRY_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A PEM file with the certificate to trust.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks, prints the report and gives the exit code: 0 clean, 1 damage, 2 could not check.
pub(crate) fn verify(verify: &Verify) -> Result<u8> {
    let shown = Mutex::new(None);
    let terminal = io::stderr().is_terminal();
    let progress = |progress: &Progress<'_>| show(progress, &shown);
    let token = match &verify.key_file {
        Some(file) => {
            Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?)
        }
        None => std::env::var("ATTESTRY_KEY").ok(),
    };
    let options = Options {
        pins: verify.pin.iter().map(|path| read_pin(path)).collect::<Result<_, _>>()?,
        key: verify.vkey.as_deref().map(|key| key.trim().parse()).transpose().context("--vkey")?,
        entry: verify.entry.clone(),
        token: token.map(|token| token.trim().to_owned()),
        authorities: verify.ca_file.clone(),
        progress: terminal.then_some(&progress),
    };
    let report = check(&verify.target, &options)?;
    if terminal {
        write!(io::stderr(), "\r\x1b[K")?;
    }
    let mut out = io::stdout().lock();
    match verify.json {
        true => writeln!(out, "{:#}", report.to_json())?,
        false => write!(out, "{report}")?,
    }
    Ok(report.exit_code())
}

fn show(progress: &Progress<'_>, shown: &Mutex<Option<Instant>>) {
    let Ok(mut shown) = shown.try_lock() else { return };
    if shown.is_none_or(|last| last.elapsed() > Duration::from_millis(200)) {
        let Progress { ledger, done, total } = progress;
        // Progress that cannot be shown is not worth failing for.
        let _ =
            write!(io::stderr(), "\r\x1b[K{}: {done} of {total} entries", crate::terminal::escape(ledger));
        *shown = Some(Instant::now());
    }
}

/// Verifies one ledger of a data directory: whether it is clean, how many entries were hashed, and what is wrong.
pub(crate) fn one_ledger(data_dir: &Path, name: &str) -> Result<(bool, u64, Vec<String>)> {
    let report = attestry_verify::ledger(data_dir, name, &Options::default())?;
    let mut problems = Vec::new();
    for (_, damage) in report.all_damage() {
        let range = match (damage.first, damage.end) {
            (Some(first), Some(end)) if end == first + 1 => format!("entry {first}: "),
            (Some(first), Some(end)) => format!("entries {first}..{end}: "),
            _ => String::new(),
        };
        problems.push(format!("{range}{}", damage.what));
    }
    let found = report
        .ledgers
        .iter()
        .find(|ledger| ledger.name == name)
        .context("the ledger is not in the data directory")?;
    problems.extend(found.unchecked.iter().map(|what| format!("not checked: {what}")));
    Ok((problems.is_empty(), found.hashed, problems))
}
