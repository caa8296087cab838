//! `attestry report`: makes reports, makes them again, and schedules them; by the server that runs, or in a data directory that is not in use.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use attestry_event::{Nanos, Period, SystemClock};
use attestry_ledger::DataDirError;
use attestry_report::{Format, Progress, render};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::key::person;
use super::verify;
use crate::client::{Client, Connection};
use crate::reports::{Wanted, offline};
use crate::terminal::{Look, Table, escape, note, paint};

#[derive(Args, Debug)]
pub(crate) struct Reports {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The reports there are.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a report.
    Run(Run),
    /// Make a report again from the ledger and compare it byte for byte; the exit code is 1 when it is another one.
    Replay {
        /// The report: HTML, Markdown, JSON or CSV, as it was handed over, also signed or encrypted with OpenPGP.
        file: PathBuf,
        /// A key whose OpenPGP signature counts, by fingerprint, id or mail address; may be given several times. Default: those that schedules sign with.
        #[arg(long, value_name = "KEY")]
        signer: Vec<String>,
    },
    /// The reports that were made, the newest first.
    Made {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// A report that was made, by its id.
    Show {
        /// The id, as `report made` lists it.
        id: String,
        #[command(flatten)]
        out: Out,
    },
    /// The definition of a report, to begin one's own with.
    Definition {
        /// The report's name.
        name: String,
    },
    /// What is made and sent by itself.
    Schedule {
        #[command(subcommand)]
        command: Schedule,
    },
}

#[derive(Args, Debug)]
struct Run {
    /// The report's name.
    name: String,
    /// How much time before the end it covers, such as 24h or 7d. Default: what the report says.
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    window: Option<Period>,
    /// Since when: RFC 3339, or relative such as -30d.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Until when: RFC 3339, relative, or now. Default: now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// A parameter of the report, such as who=alice; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    out: Out,
}

#[derive(Args, Debug)]
struct Out {
    /// html, markdown, json or csv. Default: what the file's name ends with, else markdown.
    #[arg(long)]
    format: Option<String>,
    /// Where to; default: standard output. The file appears under its name only when it is whole.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Schedule {
    /// List the schedules.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Schedule a report, or change its schedule.
    Set(Box<Set>),
    /// Remove a schedule.
    Remove {
        /// The schedule's name.
        name: String,
    },
}

#[derive(Args, Debug)]
struct Set {
    /// The schedule's name.
    name: String,
    /// The report.
    #[arg(long)]
    report: String,
    /// When: the five fields of a crontab.
    #[arg(long)]
    cron: String,
    /// The time zone of the crontab.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// How much time it covers. Default: since it was due before.
    #[arg(long, value_name = "TIME")]
    window: Option<Period>,
    /// A parameter of the report; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// html, markdown, json or csv; several separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "html")]
    format: Vec<String>,
    /// The folder it is put into, on the server.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A sink it is sent to; may be given several times.
    #[arg(long)]
    sink: Vec<String>,
    /// The OpenPGP key that signs it.
    #[arg(long, value_name = "KEY")]
    sign_with: Option<String>,
    /// An OpenPGP key that can read it; may be given several times.
    #[arg(long, value_name = "KEY")]
    encrypt_to: Vec<String>,
}

/// Whether what was compared is the same.
pub(crate) fn report(reports: &Reports) -> Result<bool> {
    let connection = &reports.connection;
    match &reports.command {
        Command::List { json } => list(connection, *json)?,
        Command::Run(run) => make(connection, run)?,
        Command::Replay { file, signer } => return replay(connection, file, signer),
        Command::Made { limit, json } => made(&connection.client()?, *limit, *json)?,
        Command::Show { id, out } => {
            let text = fetch(&connection.client()?, id, out.format()?)?;
            out.write(&text)?;
        }
        Command::Definition { name } => {
            let (kinds, _) = connection.config()?.written.reports.definitions();
            let kind = kinds.get(name).with_context(|| format!("there is no report {name:?}"))?;
            write!(io::stdout(), "{}", serde_saphyr::to_string(&kind.definition)?)?;
        }
        Command::Schedule { command } => schedule(connection, command)?,
    }
    Ok(true)
}

/// Does it in the data directory, or gives none when a server has it or is named.
fn in_directory<T>(
    connection: &Connection,
    f: impl FnOnce(&crate::reports::Desk) -> Result<T>,
) -> Result<Option<T>> {
    if connection.names_server() {
        return Ok(None);
    }
    let config = connection.config()?;
    if !config.written.data_dir.join("FORMAT").exists() {
        bail!(
            "there is no data directory at {}; --data-dir or --url names another",
            config.written.data_dir.display()
        );
    }
    match offline(&config, f) {
        Ok(done) => Ok(Some(done)),
        Err(error) if matches!(error.downcast_ref(), Some(DataDirError::InUse { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn list(connection: &Connection, as_json: bool) -> Result<()> {
    let (kinds, wrong) = connection.config()?.written.reports.definitions();
    for (file, what) in wrong {
        note(&format!("{}: {what}", file.display()));
    }
    let mut out = io::stdout().lock();
    if as_json {
        let all: Vec<Value> = kinds
            .values()
            .map(|kind| json!({"name": kind.definition.name, "title": kind.definition.title, "built_in": kind.built_in, "version": kind.definition.version}))
            .collect();
        writeln!(out, "{}", Value::from(all))?;
        return Ok(());
    }
    let mut table = Table::new(&["name", "window", "asks for", "what it tells"]);
    for kind in kinds.values() {
        let of = &kind.definition;
        let asks: Vec<&str> = of.parameters.keys().map(String::as_str).collect();
        table.row([
            (of.name.clone(), Look::Bold),
            (of.window.map_or_else(String::new, |window| window.to_string()), Look::Dim),
            (asks.join(", "), Look::Plain),
            (of.description.clone(), Look::Plain),
        ]);
    }
    table.print(&mut out).context("cannot write the list")
}

impl Out {
    fn format(&self) -> Result<Format> {
        let ending = || self.output.as_ref()?.extension()?.to_str()?.parse().ok();
        match &self.format {
            Some(name) => Ok(name.parse()?),
            None => Ok(ending().unwrap_or(Format::Markdown)),
        }
    }

    fn write(&self, text: &str) -> Result<()> {
        let Some(file) = &self.output else {
            io::stdout().lock().write_all(text.as_bytes())?;
            return Ok(());
        };
        let temporary = PathBuf::from(format!("{}.part", file.display()));
        std::fs::write(&temporary, text).with_context(|| format!("cannot write {}", temporary.display()))?;
        std::fs::rename(&temporary, file).with_context(|| format!("cannot write {}", file.display()))?;
        note(&format!(
            "Written to {0}; `attestry verify {0}` checks it, `attestry report replay {0}` makes it again.",
            file.display()
        ));
        Ok(())
    }
}

/// `a=b` as a name and a value.
fn parameters(given: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| {
        let (name, value) =
            text.split_once('=').with_context(|| format!("--set {text:?}: expected NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    given.iter().map(pair).collect()
}

/// RFC 3339, `now`, or `-7d`.
fn time(text: &str, now: Nanos) -> Result<Nanos> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(period) = text.strip_prefix('-') {
        let period: Period = period.parse().with_context(|| format!("{text:?} is no time"))?;
        return Ok(now.saturating_sub(period.0));
    }
    Nanos::parse(text)
        .with_context(|| format!("{text:?} is no time: expected RFC 3339, now, or one such as -7d"))
}

/// A bar for what has a number of steps, where somebody looks.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Result<Bar> {
        let bar = match io::stderr().is_terminal() {
            true => ProgressBar::new(1)
                .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")?),
            false => ProgressBar::hidden(),
        };
        Ok(Bar(bar))
    }

    /// For what the server does, of which nothing is known.
    fn spinner() -> Bar {
        let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_message("the server makes the report");
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Bar(bar)
    }

    fn show(&self, progress: &Progress<'_>) {
        self.0.set_length(progress.of as u64);
        self.0.set_position(progress.done as u64);
        self.0.set_message(escape(progress.what));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn make(connection: &Connection, run: &Run) -> Result<()> {
    let format = run.out.format()?;
    let given = parameters(&run.parameters)?;
    let here = in_directory(connection, |desk| {
        let now = attestry_event::Clock::now(&SystemClock);
        let to = run.to.as_deref().map(|text| time(text, now)).transpose()?;
        let from = match (run.window, &run.from) {
            (Some(window), _) => Some(to.unwrap_or(now).saturating_sub(window.0)),
            (None, Some(from)) => Some(time(from, now)?),
            (None, None) => None,
        };
        let wanted = Wanted {
            report: run.name.clone(),
            from,
            to,
            parameters: given.iter().cloned().collect(),
            by: person(),
            ..Wanted::default()
        };
        let bar = Bar::new()?;
        let (_, document) = desk.run(&wanted, &|progress| bar.show(progress))?;
        Ok(render(&document, format)?)
    })?;
    let text = match here {
        Some(text) => text,
        None => {
            let client = connection.owner_client()?;
            let mut request = json!({"report": run.name, "parameters": serde_json::Map::from_iter(given.into_iter().map(|(name, value)| (name, value.into())))});
            match (run.window, &run.from, &run.to) {
                (Some(window), _, to) => request["from"] = begin(window, to.as_deref())?.into(),
                (None, Some(from), _) => request["from"] = from.as_str().into(),
                (None, None, _) => {}
            }
            if let Some(to) = &run.to {
                request["to"] = to.as_str().into();
            }
            if !connection.names_server() {
                request["by"] = person().into();
            }
            let bar = Bar::spinner();
            let answer = client.post_json("/api/v1/reports/run", &request)?;
            let id = answer["event_id"].as_str().context("the answer is not one of an Attestry server")?;
            let text = fetch(&client, id, format)?;
            drop(bar);
            text
        }
    };
    run.out.write(&text)
}

/// Where a window begins that ends then.
fn begin(window: Period, to: Option<&str>) -> Result<String> {
    match to {
        None | Some("now") => Ok(format!("-{window}")),
        Some(to) => {
            let now = attestry_event::Clock::now(&SystemClock);
            Ok(time(to, now)?.saturating_sub(window.0).to_string())
        }
    }
}

fn fetch(client: &Client, id: &str, format: Format) -> Result<String> {
    let path = format!("/api/v1/reports/made/{}", escape(id).replace(['/', '?', '#', '%'], "_"));
    let mut answer = client.get_as(&path, &[("format", Some(format.name()))], "*/*")?;
    Ok(answer.body_mut().with_config().limit(1 << 30).read_to_string()?)
}

fn replay(connection: &Connection, file: &Path, signer: &[String]) -> Result<bool> {
    let mut text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    if text.starts_with(verify::ARMOUR) {
        let (inner, signature) = match verify::opened(signer, &text)? {
            Ok(opened) => opened,
            Err(why) => bail!("{}: {why}", file.display()),
        };
        note(&verify::told(&signature));
        text = inner;
    }
    let text = String::from_utf8(text).with_context(|| format!("{} is no report", file.display()))?;
    let here = in_directory(connection, |desk| {
        let bar = Bar::new()?;
        let done = desk.replay(&text, &|progress| bar.show(progress))?;
        Ok((done.same, done.difference, done.notes))
    })?;
    let (same, difference, notes) = match here {
        Some(done) => done,
        None => {
            let bar = Bar::spinner();
            let client = connection.client()?;
            let answered =
                client.post("/api/v1/reports/replay", "text/plain; charset=utf-8", None, text.as_bytes());
            let (status, answer) = answered.context("cannot reach the server")?;
            drop(bar);
            if status != 200 {
                bail!("{}", crate::client::problem(status, &answer));
            }
            let notes = answer["notes"].as_array().into_iter().flatten();
            let notes = notes.filter_map(|note| note.as_str().map(str::to_owned)).collect();
            (answer["same"] == true, answer["difference"].as_str().unwrap_or_default().to_owned(), notes)
        }
    };
    for told in &notes {
        note(told);
    }
    let mut out = io::stdout().lock();
    if same {
        writeln!(out, "The same, byte for byte: {}", file.display())?;
        return Ok(true);
    }
    writeln!(out, "{}", paint("The ledger gives another report:", Look::Bad))?;
    for line in difference.lines() {
        writeln!(out, "{}", escape(line))?;
    }
    Ok(false)
}

fn made(client: &Client, limit: u16, as_json: bool) -> Result<()> {
    let limit = limit.to_string();
    let answer = client.json("/api/v1/reports/made", &[("limit", Some(&limit))])?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", answer["made"])?;
        return Ok(());
    }
    let mut table = Table::new(&["made", "report", "from", "to", "by", "entries", "schedule", "id"]);
    for made in answer["made"].as_array().into_iter().flatten() {
        let text = |name: &str| escape(made[name].as_str().unwrap_or_default());
        let time = |name: &str| text(name).chars().take(19).collect::<String>();
        table.row([
            (time("at"), Look::Dim),
            (text("report"), Look::Bold),
            (time("from"), Look::Plain),
            (time("to"), Look::Plain),
            (text("by"), Look::Plain),
            (made["cited"].to_string(), Look::Plain),
            (text("schedule"), Look::Plain),
            (text("event_id"), Look::Dim),
        ]);
    }
    table.print(&mut out)?;
    if answer["more"] == true {
        note("there are more: -n shows up to 1000");
    }
    Ok(())
}

fn schedule(connection: &Connection, command: &Schedule) -> Result<()> {
    match command {
        Schedule::List { json } => schedules(&connection.client()?, *json),
        Schedule::Set(set) => {
            let given = parameters(&set.parameters)?;
            let mut planned = json!({
                "report": set.report,
                "cron": set.cron,
                "zone": set.zone,
                "formats": set.format,
                "sinks": set.sink,
                "encrypt_to": set.encrypt_to,
                "parameters": serde_json::Map::from_iter(given.into_iter().map(|(name, value)| (name, value.into()))),
            });
            if let Some(window) = set.window {
                planned["window"] = window.to_string().into();
            }
            if let Some(folder) = &set.folder {
                planned["folder"] = folder.display().to_string().into();
            }
            if let Some(key) = &set.sign_with {
                planned["sign_with"] = key.as_str().into();
            }
            let mut request = json!({"name": set.name, "planned": planned});
            if !connection.names_server() {
                request["by"] = person().into();
            }
            connection.owner_client()?.post_json("/api/v1/reports/schedules", &request)?;
            schedules(&connection.client()?, false)
        }
        Schedule::Remove { name } => {
            let by = (!connection.names_server()).then(person);
            let path =
                format!("/api/v1/reports/schedules/{}", escape(name).replace(['/', '?', '#', '%'], "_"));
            connection.owner_client()?.delete(&path, &[("by", by.as_deref())])
        }
    }
}

fn schedules(client: &Client, as_json: bool) -> Result<()> {
    let answer = client.json("/api/v1/reports", &[])?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", answer["schedules"])?;
        return Ok(());
    }
    let mut table = Table::new(&["name", "report", "when", "zone", "next", "last", "to", "by"]);
    for scheduled in answer["schedules"].as_array().into_iter().flatten() {
        let planned = &scheduled["planned"];
        let text = |value: &Value| escape(value.as_str().unwrap_or_default());
        let time = |name: &str| text(&scheduled[name]).chars().take(19).collect::<String>();
        let sinks = planned["sinks"].as_array().into_iter().flatten().map(text);
        let to: Vec<String> = planned["folder"].as_str().map(escape).into_iter().chain(sinks).collect();
        let by =
            if scheduled["configured"] == true { "configuration".to_owned() } else { text(&scheduled["by"]) };
        table.row([
            (text(&scheduled["name"]), Look::Bold),
            (text(&planned["report"]), Look::Plain),
            (text(&planned["cron"]), Look::Plain),
            (text(&planned["zone"]), Look::Dim),
            (time("next"), Look::Plain),
            (time("last"), Look::Dim),
            (to.join(", "), Look::Plain),
            (by, Look::Dim),
        ]);
    }
    table.print(&mut out).context("cannot write the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_parameters() {
        let now = Nanos::parse("2026-11-21T12:00:00Z").unwrap();
        for (text, expected) in [
            ("now", Some("2026-11-21T12:00:00.000000000Z")),
            ("-7d", Some("2026-11-14T12:00:00.000000000Z")),
            ("2026-11-01T00:00:00+01:00", Some("2026-10-31T23:00:00.000000000Z")),
            ("7d", None),
            ("yesterday", None),
        ] {
            assert_eq!(time(text, now).ok().map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(parameters(&["who=a=b".to_owned()]).unwrap(), [("who".to_owned(), "a=b".to_owned())]);
        assert!(parameters(&["who".to_owned()]).is_err());
    }

    #[test]
    fn the_format_follows_the_file() {
        for (format, output, expected) in [
            (None, None, Some(Format::Markdown)),
            (None, Some("a.html"), Some(Format::Html)),
            (None, Some("a.md"), Some(Format::Markdown)),
            (None, Some("a.txt"), Some(Format::Markdown)),
            (Some("csv"), Some("a.html"), Some(Format::Csv)),
            (Some("pdf"), None, None),
        ] {
            let out = Out { format: format.map(str::to_owned), output: output.map(PathBuf::from) };
            assert_eq!(out.format().ok(), expected, "{format:?} {output:?}");
        }
    }
}
