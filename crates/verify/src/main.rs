//! `attestry-verify`: the checks of this crate on the command line, and nothing else.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use attestry_verify::{Options, Progress, check, read_pin};

const HELP: &str = "\
Checks that a log is whole and as it was signed. Every entry is hashed again; stored hashes are never trusted.

Usage: attestry-verify TARGET [--pin FILE]... [options]

TARGET is a data directory, the URL of a server or of one of its logs (https://host/log/audit), an export, a
proof (.tlog-proof), or a report (HTML, Markdown, JSON or CSV; without the OpenPGP signature around it).

  --pin FILE         a verifier key and checkpoint that were kept elsewhere; may be given several times
  --vkey KEY         the verifier key that a proof, an export or a report must be signed with
  --entry FILE       the entry that a proof is of; else the proof's name with the ending .json
  --key-file FILE    the key to show to the server; or in the environment, as ATTESTRY_KEY
  --ca-file FILE     certificates, in PEM, that the server's is signed with
  --json             the report as JSON
  --quiet            no progress
  --help, --version

Exit code: 0 clean, 1 damage, 2 could not check (or not everything).
";

#[derive(Default)]
struct Arguments {
    target: String,
    pins: Vec<PathBuf>,
    vkey: Option<String>,
    entry: Option<PathBuf>,
    key_file: Option<PathBuf>,
    authorities: Option<PathBuf>,
    json: bool,
    quiet: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(None) => finish(HELP, 0),
        Ok(Some(arguments)) if arguments.target == "--version" => {
            finish(concat!("attestry-verify ", env!("CARGO_PKG_VERSION"), "\n"), 0)
        }
        Ok(Some(arguments)) => match run(&arguments) {
            Ok(code) => code,
            Err(error) => {
                complain(&format!("could not check {}: {}", arguments.target, chain(error.as_ref())))
            }
        },
        Err(mistake) => complain(&format!("{mistake}; see attestry-verify --help")),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let shown = Mutex::new(None);
    let on_terminal = !arguments.quiet && std::io::stderr().is_terminal();
    let progress = |progress: &Progress<'_>| show(progress, &shown);
    let token = match &arguments.key_file {
        Some(path) => Some(std::fs::read_to_string(path)?),
        None => std::env::var("ATTESTRY_KEY").ok(),
    };
    let options = Options {
        pins: arguments.pins.iter().map(|path| read_pin(path.as_ref())).collect::<Result<_, _>>()?,
        key: arguments.vkey.as_deref().map(|key| key.trim().parse()).transpose()?,
        entry: arguments.entry.clone(),
        token: token.map(|token| token.trim().to_owned()),
        authorities: arguments.authorities.clone(),
        progress: on_terminal.then_some(&progress),
    };
    let result = check(&arguments.target, &options);
    if on_terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let report = result?;
    let text = if arguments.json { format!("{:#}\n", report.to_json()) } else { report.to_string() };
    Ok(finish(&text, report.exit_code()))
}

/// Reads the arguments; none when help was asked for.
fn parse(mut given: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments::default();
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--version" => arguments.target = argument,
            "--json" => arguments.json = true,
            "--quiet" | "-q" => arguments.quiet = true,
            "--pin" => arguments.pins.push(value()?.into()),
            "--vkey" => arguments.vkey = Some(value()?),
            "--entry" => arguments.entry = Some(value()?.into()),
            "--key-file" | "--token-file" => arguments.key_file = Some(value()?.into()),
            "--ca-file" | "--ca" => arguments.authorities = Some(value()?.into()),
            _ if argument.starts_with('-') => return Err(format!("unknown option {argument}")),
            _ if arguments.target.is_empty() => arguments.target = argument,
            _ => return Err(format!("one target at a time, not also {argument}")),
        }
    }
    if arguments.target.is_empty() { Err("nothing to check was named".into()) } else { Ok(Some(arguments)) }
}

/// Shows progress on the terminal, a few times a second.
fn show(progress: &Progress<'_>, shown: &Mutex<Option<Instant>>) {
    let Ok(mut shown) = shown.try_lock() else { return };
    if shown.is_none_or(|last| last.elapsed() > Duration::from_millis(200)) {
        let Progress { ledger, done, total } = progress;
        let ledger: String = ledger.chars().filter(|c| !c.is_control()).collect();
        let percent = if *total == 0 { 0 } else { (done * 100 / total).min(100) };
        let _ = write!(std::io::stderr(), "\r\x1b[Kledger {ledger}: {done} of {total} entries, {percent} %");
        *shown = Some(Instant::now());
    }
}

fn finish(text: &str, code: u8) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        // A report that nobody could read has not been given.
        Err(_) => ExitCode::from(code.max(2)),
    }
}

fn complain(what: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "attestry-verify: {what}");
    ExitCode::from(2)
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
