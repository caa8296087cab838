//! Source `command`: any program on a schedule, whose output is events (NDJSON) or text.
//!
//! A run is one `command.run`, after the events and lines of its output, which are sent while it runs. Runs never overlap. When a run was
//! due while Attestry was down or the one before still ran, it is run once, and `missed` says how often it was not. The position is the
//! time the last run was due: after a crash in the middle of a run, it is run again.
//!
//! A program is started without a shell, in a process group of its own, with an environment of its own. The group is ended when it
//! takes longer than its time limit and when Attestry ends; what the program leaves running in its group ends with it.

mod account;
mod output;
mod process;
mod rhythm;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use attestry_event::{Event, Nanos, Outcome, Period};
use attestry_outbound::{InEnv, InFile, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    follow::Gap,
    line::{put, put_some},
    redact::secrets,
    source::{Availability, Cadence, Collector, Feed, LOOK_EVERY, Paths, Setup, Source, Stopped},
};
use account::Account;
use output::{Lines, Made, Veil};
use process::{Order, Ran};
use rhythm::Rhythm;

/// A clock that was set may make waiting wrong: it is looked at again after this.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);
/// How long events of a running program wait for more, at most.
const SEND_EVERY: Duration = Duration::from_secs(1);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program on a schedule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The program and its arguments. No shell reads them: `[sh, -c, "a | b"]` where one is wanted.
    pub run: Vec<String>,
    /// How often it runs, from start to start. Default: `5m`, where there is no `schedule`.
    pub every: Option<Period>,
    /// When it runs, instead of `every`: minute, hour, day of the month, month, day of the week, as in a crontab; `@daily` and so on, too.
    pub schedule: Option<String>,
    /// The time zone of `schedule`, such as `Europe/Vienna`. Default: that of the host.
    pub time_zone: Option<String>,
    /// What its output is.
    pub output: Output,
    /// How long it may run. Default: `1m`.
    pub timeout: Period,
    /// Its environment, besides `PATH`, `LANG` and `HOME`; nothing of Attestry's own. A value may be a secret: `{file: …}` or `{env: …}`.
    pub environment: BTreeMap<String, Secret>,
    /// The account it runs as, with its groups; only root can choose. Default: that of Attestry.
    pub user: Option<String>,
    /// The folder it runs in. Default: `/`.
    pub cwd: PathBuf,
    /// How much of its output is read, in bytes; more is lost, and said to be. Default: 16 MiB.
    pub max_output_bytes: u64,
}

/// What the output of a program is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A line that is an event becomes it, any other is kept as text.
    #[default]
    Auto,
    /// Every line should be an event; one that is none is kept as text, and is a warning.
    Events,
    /// Every line is kept as text.
    Text,
    /// It is not kept, only counted.
    None,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            run: Vec::new(),
            every: None,
            schedule: None,
            time_zone: None,
            output: Output::Auto,
            timeout: Period::seconds(60),
            environment: BTreeMap::new(),
            user: None,
            cwd: "/".into(),
            max_output_bytes: 16 << 20,
        }
    }
}

impl Config {
    fn every(&self) -> Period {
        self.every.unwrap_or(Period::seconds(300))
    }

    fn rhythm(&self) -> Result<Rhythm, (&'static str, String)> {
        match &self.schedule {
            Some(schedule) => Rhythm::schedule(schedule, self.time_zone.as_deref()),
            None => Ok(Rhythm::Every(self.every().0)),
        }
    }

    fn program(&self) -> &str {
        self.run.first().map_or("", String::as_str)
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn cadence(&self) -> Cadence {
        match self.schedule {
            // When it has something to say the schedule says, and not evenly.
            Some(_) => Cadence::Follow(LOOK_EVERY),
            None => Cadence::Every(self.every().0),
        }
    }

    fn needs(&self) -> &'static str {
        "the program; root to run it as somebody else"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        match Account::find(&paths.root, self.user.as_deref()) {
            Ok(_) => {
                let when = match &self.schedule {
                    Some(schedule) => format!("at {schedule}"),
                    None => format!("every {}", self.every()),
                };
                Availability::on(format!("runs {} {when}", self.program()))
            }
            Err(why) => Availability::off(why),
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.program().is_empty() {
            wrong.push(("run", "no program is given, expected [program, arguments…]".to_owned()));
        }
        if self.run.iter().any(|word| word.contains('\0')) {
            wrong.push(("run", "no word may hold the character 0".to_owned()));
        }
        if self.schedule.is_some() && self.every.is_some() {
            wrong.push(("every", "it has a schedule already, expected one of the two".to_owned()));
        }
        if self.schedule.is_none() && self.time_zone.is_some() {
            wrong.push(("time_zone", "it is of no use without a schedule".to_owned()));
        }
        wrong.extend(self.rhythm().err());
        wrong.extend(self.every().at_least(Period::seconds(1)).map(|what| ("every", what)));
        wrong.extend(self.timeout.at_least(Period::millis(1)).map(|what| ("timeout", what)));
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) {
                wrong.push(("environment", format!("{name:?} is no name of a variable")));
            }
            if matches!(value, Secret::Plain(text) if text.contains('\0')) {
                wrong.push(("environment", format!("the value of {name} holds the character 0")));
            }
        }
        if !self.cwd.is_absolute() {
            wrong.push(("cwd", format!("{} is no absolute path", self.cwd.display())));
        }
        if self.max_output_bytes == 0 {
            wrong.push(("max_output_bytes", "expected at least 1; output: none keeps nothing".to_owned()));
        }
        wrong
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        let last = setup.position.as_ref().and_then(|position| position["last"].as_i64()).map(Nanos);
        Box::new(Command {
            config: self.clone(),
            rhythm: self.rhythm().map_err(|(_, why)| why),
            root: setup.paths.root.clone(),
            started: setup.clock.now(),
            last,
            unending: None,
        })
    }
}

struct Command {
    config: Config,
    rhythm: Result<Rhythm, String>,
    root: PathBuf,
    started: Nanos,
    /// When the last run was due.
    last: Option<Nanos>,
    /// A program that was killed and has not ended: it waits for a disk that does not answer.
    unending: Option<Child>,
}

impl Collector for Command {
    fn pass(&mut self, feed: &mut Feed, resident: bool) -> Result<(), Stopped> {
        let rhythm = match &self.rhythm {
            Ok(rhythm) => rhythm,
            Err(why) => {
                feed.status().set_problem(Some(why.clone()));
                return Ok(());
            }
        };
        let mut due = rhythm.due(self.last, self.started, feed.now());
        if resident {
            while let Some(left) = due.in_the_future(feed.now()) {
                feed.wait(left.min(LOOK_AT_CLOCK))?;
                due = rhythm.due(self.last, self.started, feed.now());
            }
        } else {
            // Whoever asks for one pass has a schedule of their own.
            due = rhythm::Due { at: feed.now(), missed: 0 };
        }
        let mut told = Told::new(&self.config, due.at, due.missed, self.last);
        let mut ended = Ok(());
        match self.prepare() {
            Ok((order, veil)) => {
                ended = told.run(&order, &veil, &self.config, feed);
                self.unending = told.ran.as_mut().and_then(|ran| ran.unending.take());
            }
            Err((account, why)) => {
                told.username = account;
                told.reason = Some(why);
            }
        }
        feed.push(told.event(feed.now()));
        self.last = Some(due.at);
        // Also when it was told to stop: an outlet that still takes this keeps the run from being made again.
        let sent = feed.send(|| json!({ "last": due.at.0 }));
        ended.and(sent)
    }
}

impl Command {
    /// Everything a run needs, read now: secrets, the account. Otherwise as whom it would have run, and why it cannot.
    fn prepare(&mut self) -> Result<(Order, Veil), (String, String)> {
        let asked = || self.config.user.clone().unwrap_or_else(|| "-".to_owned());
        if let Some(child) = &mut self.unending {
            match child.try_wait() {
                Ok(None) => return Err((asked(), "the run before was killed and has not ended yet".into())),
                Ok(Some(_)) | Err(_) => self.unending = None,
            }
        }
        let account = Account::find(&self.root, self.config.user.as_deref()).map_err(|why| (asked(), why))?;
        let mut environment: BTreeMap<String, String> = BTreeMap::from([
            ("PATH".into(), PATH.into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("HOME".into(), account.home.clone()),
        ]);
        let mut hidden = Vec::new();
        for (name, value) in &self.config.environment {
            let text = value.read().map_err(|error| (account.name.clone(), error.to_string()))?;
            if matches!(value, Secret::File(InFile { .. }) | Secret::Env(InEnv { .. })) {
                hidden.push(text.clone());
            }
            environment.insert(name.clone(), text);
        }
        let order =
            Order { run: self.config.run.clone(), environment, cwd: self.config.cwd.clone(), account };
        Ok((order, Veil::new(hidden)))
    }
}

/// What is told of a run.
struct Told {
    program: String,
    command_line: String,
    username: String,
    planned: Nanos,
    missed: u64,
    /// The position while the run is not over.
    before: Value,
    ran: Option<Ran>,
    events: u64,
    lines: u64,
    lost: u64,
    stderr: Option<String>,
    reason: Option<String>,
}

impl Told {
    fn new(config: &Config, planned: Nanos, missed: u64, last: Option<Nanos>) -> Told {
        Told {
            program: config.program().to_owned(),
            command_line: secrets(&config.run.join(" ")).into_owned(),
            username: "-".to_owned(),
            planned,
            missed,
            before: last.map_or(Value::Null, |last| json!({ "last": last.0 })),
            ran: None,
            events: 0,
            lines: 0,
            lost: 0,
            stderr: None,
            reason: None,
        }
    }

    fn run(&mut self, order: &Order, veil: &Veil, config: &Config, feed: &mut Feed) -> Result<(), Stopped> {
        self.username.clone_from(&order.account.name);
        self.command_line = veil.over(&self.command_line).into_owned();
        let mut lines = Lines::new(config.max_output_bytes);
        let mut sent = Instant::now();
        let stop = feed.stop_flag();
        let mut each = |bytes: Option<&[u8]>| -> Result<(), Stopped> {
            if config.output == Output::None {
                return Ok(());
            }
            let mut made = |line: output::Line<'_>| {
                let made = output::make(&line, config.output, veil, &order.account.name, &self.program, feed);
                match made {
                    Made::Nothing => {}
                    Made::Event(event) => {
                        self.events += 1;
                        feed.push(event);
                    }
                    Made::Text(event) => {
                        self.lines += 1;
                        feed.push(event);
                    }
                }
            };
            match bytes {
                Some(bytes) => lines.take(bytes, &mut made),
                None => lines.end(&mut made),
            }
            if sent.elapsed() < SEND_EVERY && bytes.is_some() {
                return feed.send_when_full(|| self.before.clone());
            }
            sent = Instant::now();
            feed.send(|| self.before.clone())
        };
        let ended = process::run(order, config.timeout.0, &stop, &mut |bytes| each(Some(bytes)));
        let taken = match &ended {
            Ok((_, Err(Stopped))) | Err(_) => Ok(()),
            Ok((_, Ok(()))) => each(None),
        };
        self.lost = lines.lost();
        match ended {
            Err(why) => self.reason = Some(why),
            Ok((ran, outlet)) => {
                self.stderr = output::tail(&ran.stderr, veil);
                self.reason = ran.reason(config.timeout);
                self.ran = Some(ran);
                if self.lost > 0 {
                    let reason =
                        format!("wrote {} bytes more than max_output_bytes, which were not kept", self.lost);
                    feed.lose(Gap { file: self.program.clone(), reason });
                }
                outlet.and(taken)?;
            }
        }
        Ok(())
    }

    fn event(&self, now: Nanos) -> Event {
        let program = &self.program;
        let well = self.reason.is_none();
        let took = self.ran.as_ref().map(|ran| u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX));
        let message = match (&self.reason, took) {
            (None, Some(ms)) => format!("{program} ended with exit code 0 after {ms} ms"),
            (Some(why), Some(ms)) => format!("{program} {why} after {ms} ms"),
            (why, None) => {
                format!("{program} could not be run: {}", why.as_deref().unwrap_or("nobody knows why"))
            }
        };
        let mut event = Event::new("command.run", &*self.username)
            .time(now)
            .resource(program)
            .outcome(if well { Outcome::Success } else { Outcome::Failure })
            .severity(if well { 6 } else { 3 })
            .message(message)
            .data("command_line", &*self.command_line)
            .data("planned_at", self.planned.to_string());
        if let Some(ran) = &self.ran {
            put_some(&mut event, "exit_code", ran.exit_code);
            put_some(&mut event, "signal", ran.signal);
            put_some(&mut event, "duration_ms", took);
            put(&mut event, "events", self.events);
            put(&mut event, "lines", self.lines);
            put(&mut event, "stdout_bytes", ran.stdout_bytes);
            put(&mut event, "stderr_bytes", ran.stderr_bytes);
            for (name, it_is) in
                [("timed_out", ran.timed_out), ("stopped", ran.stopped), ("left_running", ran.left_running)]
            {
                if it_is {
                    put(&mut event, name, true);
                }
            }
        }
        put_some(&mut event, "stderr", self.stderr.as_deref());
        put_some(&mut event, "lost_bytes", (self.lost > 0).then_some(self.lost));
        put_some(&mut event, "missed", (self.missed > 0).then_some(self.missed));
        put_some(&mut event, "reason", self.reason.as_deref());
        event
    }
}

#[cfg(test)]
mod tests;
