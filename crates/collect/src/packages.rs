//! Source `packages`: what dpkg did, from `/var/log/dpkg.log` and its rotations; and what is installed, by the databases of dpkg, apk and
//! rpm ([`compared`]), for what no log tells.
//!
//! Lines as dpkg 1.21 writes them (`lib/dpkg/log.c`, `dpkg(1)`), in local time:
//!
//!     2026-05-09 07:28:46 upgrade tzdata:all 2025b-0+deb12u1 2025b-0+deb12u2
//!     2026-05-09 07:28:47 configure tzdata:all 2025b-0+deb12u2 <none>
//!     2026-05-09 07:28:50 status installed tzdata:all 2025b-0+deb12u2
//!
//! One event an action, when its end is known: `install` and `upgrade` end well with the status `installed` of the new version (or
//! waiting for triggers), `remove` with `config-files` or `not-installed`, `purge` with `not-installed`; they fail when the package
//! is `installed` in the version it had, when another action on it begins, or when nothing is heard of it for an hour. A
//! `configure` belongs to its install or upgrade; only one that stands alone (`dpkg --configure -a`) is an event of its own.
//! `startup`, `trigproc` and `conffile` lines are passed over. Of the hour that comes twice in autumn, the first is meant.

mod compared;
mod rpm;

use std::{collections::HashMap, path::PathBuf};

use attestry_event::{Event, Nanos, Outcome};
use jiff::{civil::DateTime, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use compared::{Database, Manager};

use crate::{
    apt::History,
    follow::{Follower, Framing, Step},
    line::{Line, put, put_some},
    source::{Availability, Cadence, Collector, Feed, LOOK_EVERY, Paths, Setup, Source, Stopped},
};

/// An action nothing is heard of for so long was not finished.
const UNFINISHED_NANOS: i64 = 3_600_000_000_000;
/// More actions are never open at once: dpkg's largest runs have some thousands.
const MAX_PENDING: usize = 20_000;

/// What was installed, upgraded and removed: dpkg's log, and the databases of dpkg, apk and rpm compared with the last look.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "packages"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(LOOK_EVERY)
    }

    fn needs(&self) -> &'static str {
        "read access to dpkg.log, and to apt/history.log for who asked; or to the database of dpkg, apk or rpm"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        let log = paths.log.join("dpkg.log");
        let databases: Vec<&str> = Manager::ALL
            .into_iter()
            .filter(|manager| manager.database(&paths.root).is_some())
            .map(Manager::word)
            .collect();
        match (std::fs::File::open(&log), databases.join(", ")) {
            (Ok(_), databases) if databases.is_empty() => {
                Availability::on(format!("reads {} and its rotations", log.display()))
            }
            (Ok(_), databases) => {
                Availability::on(format!("reads {} and its rotations; compares {databases}", log.display()))
            }
            (Err(_), databases) if !databases.is_empty() => Availability::on(format!("compares {databases}")),
            (Err(error), _) => Availability::off(format!("{}: {error}", log.display())),
        }
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Packages::new(setup))
    }
}

pub(crate) struct Packages {
    host: String,
    follower: Follower,
    apt: History,
    zone: TimeZone,
    pending: HashMap<String, Pending>,
    root: PathBuf,
    databases: Vec<Database>,
    /// The log's time when stale actions were last looked for.
    swept: Nanos,
}

/// An action whose end has not been seen.
#[derive(Clone)]
struct Pending {
    action: Action,
    old: Option<String>,
    new: Option<String>,
    time: Nanos,
    id: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Action {
    Install,
    Upgrade,
    Remove,
    Purge,
    Configure,
}

impl Action {
    fn parse(word: &str) -> Option<Action> {
        Some(match word {
            "install" => Action::Install,
            "upgrade" => Action::Upgrade,
            "remove" => Action::Remove,
            "purge" => Action::Purge,
            "configure" => Action::Configure,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Action::Install => "install",
            Action::Upgrade => "upgrade",
            Action::Remove => "remove",
            Action::Purge => "purge",
            Action::Configure => "configure",
        }
    }

    /// What the status says about the action: done, undone, or nothing yet.
    fn judged(self, state: &str, version: Option<&str>, pending: &Pending) -> Option<Outcome> {
        match self {
            Action::Install | Action::Upgrade | Action::Configure => match state {
                "installed" | "triggers-awaited" | "triggers-pending"
                    if version == pending.new.as_deref() =>
                {
                    Some(Outcome::Success)
                }
                "installed" | "not-installed" | "config-files" => Some(Outcome::Failure),
                _ => None,
            },
            Action::Remove => match state {
                "config-files" | "not-installed" => Some(Outcome::Success),
                "installed" => Some(Outcome::Failure),
                _ => None,
            },
            Action::Purge => (state == "not-installed").then_some(Outcome::Success),
        }
    }
}

/// A line taken apart.
#[derive(Debug, PartialEq)]
enum Entry<'a> {
    Action { action: Action, package: &'a str, old: Option<&'a str>, new: Option<&'a str> },
    Status { state: &'a str, package: &'a str, version: Option<&'a str> },
}

fn parse<'a>(text: &'a str) -> Option<(&'a str, Entry<'a>)> {
    let (time, rest) = text.split_at_checked(19)?;
    let mut words = rest.split_ascii_whitespace();
    let version =
        |words: &mut std::str::SplitAsciiWhitespace<'a>| words.next().filter(|word| *word != "<none>");
    let entry = match words.next()? {
        "status" => {
            Entry::Status { state: words.next()?, package: words.next()?, version: version(&mut words) }
        }
        word => {
            let action = Action::parse(word)?;
            let package = words.next()?;
            let (first, second) = (version(&mut words), version(&mut words));
            // `configure` and `remove` tell the version in hand first; there is no other.
            let (old, new) = match action {
                Action::Configure => (None, first),
                Action::Remove | Action::Purge => (first, None),
                Action::Install | Action::Upgrade => (first, second),
            };
            Entry::Action { action, package, old, new }
        }
    };
    Some((time, entry))
}

/// A time such as `2026-05-09 07:28:46` (or with two spaces) on the clock of `zone`.
pub(crate) fn local_time(text: &str, zone: &TimeZone) -> Option<Nanos> {
    let (date, time) = text.split_once(' ')?;
    let civil: DateTime = format!("{date}T{}", time.trim_start()).parse().ok()?;
    let timestamp = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok().map(Nanos)
}

impl Packages {
    pub(crate) fn new(setup: &Setup) -> Packages {
        Packages::in_zone(setup, TimeZone::system())
    }

    fn in_zone(setup: &Setup, zone: TimeZone) -> Packages {
        let position = setup.position.as_ref();
        let pending = position.and_then(|p| p["pending"].as_object());
        Packages {
            host: setup.host.clone(),
            follower: Follower::new(
                setup.paths.log.join("dpkg.log"),
                Framing::Lines,
                position.map(|p| &p["log"]),
            ),
            apt: History::new(setup.paths.log.join("apt/history.log"), zone.clone()),
            zone,
            swept: Nanos(0),
            root: setup.paths.root.clone(),
            databases: Manager::ALL
                .map(|manager| Database::new(manager, position.map(|at| &at["compared"])))
                .into(),
            pending: pending
                .into_iter()
                .flatten()
                .filter_map(|(package, value)| Some((package.clone(), Pending::from_json(value)?)))
                .collect(),
        }
    }

    fn position(&self) -> Value {
        let pending: serde_json::Map<String, Value> =
            self.pending.iter().map(|(package, pending)| (package.clone(), pending.to_json())).collect();
        let compared: serde_json::Map<String, Value> =
            self.databases.iter().map(|of| (of.manager.word().to_owned(), of.position())).collect();
        json!({ "log": self.follower.position(), "pending": pending, "compared": compared })
    }

    fn line(&mut self, line: &Line, feed: &mut Feed) {
        let Some((time, entry)) = parse(&line.text) else { return };
        let Some(time) = local_time(time, &self.zone) else { return };
        // By the log's own time, so that reading history decides as following it did.
        if time.0.abs_diff(self.swept.0) >= 60_000_000_000 {
            self.swept = time;
            self.give_up(Some(Nanos(time.0.saturating_sub(UNFINISHED_NANOS))), feed);
        }
        match entry {
            Entry::Action { action, package, old, new } => {
                if let Some(earlier) = self.pending.get(package) {
                    if action == Action::Configure && earlier.new.as_deref() == new {
                        return;
                    }
                    let earlier = earlier.clone();
                    self.finish(package, &earlier, Outcome::Failure, None, feed);
                }
                if self.pending.len() >= MAX_PENDING {
                    self.give_up(None, feed);
                }
                let owned = |version: Option<&str>| version.map(str::to_owned);
                let pending = Pending { action, old: owned(old), new: owned(new), time, id: line.id.clone() };
                self.pending.insert(package.to_owned(), pending);
            }
            Entry::Status { state, package, version } => {
                let Some(pending) = self.pending.get(package) else { return };
                if let Some(outcome) = pending.action.judged(state, version, pending) {
                    let pending = pending.clone();
                    self.finish(package, &pending, outcome, Some(time), feed);
                }
            }
        }
    }

    /// Ends what began before `limit` (everything without one) as not finished, oldest first.
    fn give_up(&mut self, limit: Option<Nanos>, feed: &mut Feed) {
        let old = |pending: &Pending| limit.is_none_or(|limit| pending.time < limit);
        let mut stale: Vec<(String, Pending)> = self
            .pending
            .iter()
            .filter(|(_, pending)| old(pending))
            .map(|(package, pending)| (package.clone(), pending.clone()))
            .collect();
        stale.sort_by(|a, b| (a.1.time, &a.0).cmp(&(b.1.time, &b.0)));
        for (package, pending) in stale {
            self.finish(&package, &pending, Outcome::Failure, None, feed);
        }
    }

    fn finish(
        &mut self,
        package: &str,
        pending: &Pending,
        outcome: Outcome,
        end: Option<Nanos>,
        feed: &mut Feed,
    ) {
        self.pending.remove(package);
        let version = match pending.action {
            Action::Remove | Action::Purge => None,
            Action::Install | Action::Upgrade | Action::Configure => pending.new.as_deref(),
        };
        for database in self.databases.iter_mut().filter(|of| of.manager == Manager::Dpkg) {
            database.told(package, version, outcome == Outcome::Success);
        }
        let event = self.event(package, pending, outcome, end);
        feed.push(event);
    }

    fn event(&self, package: &str, pending: &Pending, outcome: Outcome, end: Option<Nanos>) -> Event {
        let (name, architecture) = match package.rsplit_once(':') {
            Some((name, architecture)) => (name, Some(architecture)),
            None => (package, None),
        };
        let run = self.apt.at(pending.time);
        // Without Requested-By apt ran as root itself; without apt nothing tells.
        let user = run.map_or("-", |run| run.requested_by.as_deref().unwrap_or("root"));
        let mut event = Event::new(format!("package.{}", pending.action.word()), user);
        event.event_id = Some(pending.id.clone());
        event.event_time = Some(pending.time);
        event.resource = Some(name.to_owned());
        event.outcome = Some(outcome);
        event.severity = Some(if outcome == Outcome::Success { 6 } else { 3 });
        event.message = Some(message(name, pending, outcome));
        put(&mut event, "package", name);
        put_some(&mut event, "architecture", architecture);
        put_some(&mut event, "old_version", pending.old.as_deref());
        put_some(&mut event, "version", pending.new.as_deref());
        if let Some(end) = end {
            put(&mut event, "duration_s", (end.0 - pending.time.0) / 1_000_000_000);
        }
        if let Some(run) = run {
            put_some(&mut event, "command_line", run.command_line.as_deref());
            put_some(&mut event, "requested_by_uid", run.requested_by_uid);
        }
        event
    }
}

fn message(name: &str, pending: &Pending, outcome: Outcome) -> String {
    let old = pending.old.as_deref().unwrap_or("an unknown version");
    let new = pending.new.as_deref().unwrap_or("an unknown version");
    let (done, doing, what) = match pending.action {
        Action::Install => ("installed", "installing", format!("{name} {new}")),
        Action::Upgrade if pending.old == pending.new => {
            ("reinstalled", "reinstalling", format!("{name} {new}"))
        }
        Action::Upgrade => ("upgraded", "upgrading", format!("{name} from {old} to {new}")),
        Action::Remove => ("removed", "removing", format!("{name} {old}")),
        Action::Purge => ("purged", "purging", format!("{name} {old}")),
        Action::Configure => ("configured", "configuring", format!("{name} {new}")),
    };
    match outcome {
        Outcome::Success => format!("{done} {what}"),
        Outcome::Failure => format!("{doing} {what} was not finished"),
    }
}

impl Pending {
    fn to_json(&self) -> Value {
        json!({ "action": self.action.word(), "old": self.old, "new": self.new, "time": self.time.0, "id": self.id })
    }

    fn from_json(value: &Value) -> Option<Pending> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Pending {
            action: Action::parse(value["action"].as_str()?)?,
            old: text("old"),
            new: text("new"),
            time: Nanos(value["time"].as_i64()?),
            id: text("id")?,
        })
    }
}

impl Collector for Packages {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let now = feed.now();
        let mut fresh = false;
        loop {
            match self.follower.next(now) {
                Step::Record(record) => {
                    if !std::mem::replace(&mut fresh, true) {
                        self.apt.refresh(now);
                    }
                    let line = Line::new(record, "packages", &self.host);
                    self.line(&line, feed);
                    feed.send_when_full(|| self.position())?;
                }
                Step::Gap(gap) => feed.lose(gap),
                Step::Idle => break,
            }
            feed.go_on()?;
        }
        self.give_up(Some(Nanos(now.0.saturating_sub(UNFINISHED_NANOS))), feed);
        for database in &mut self.databases {
            database.compare(&self.root, self.pending.is_empty(), feed);
        }
        feed.status().set_problem(self.databases.iter().find_map(|of| of.problem().map(str::to_owned)));
        feed.send(self.position())
    }
}

#[cfg(test)]
mod tests;
