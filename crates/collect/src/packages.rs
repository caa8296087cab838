//! Source `packages`: what the logs of the package managers tell ([`dpkg`], [`dnf`], [`apk`]), and what is installed, by the databases of
//! dpkg, apk and rpm ([`compared`]), for what no log tells.

mod apk;
mod compared;
mod dnf;
mod dpkg;
mod rpm;
mod told;

use std::path::PathBuf;

use attestry_event::Nanos;
use jiff::{civil::DateTime, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use compared::{Database, Manager};
use told::Told;

use crate::{
    follow::{Follower, Step},
    line::Line,
    source::{Availability, Cadence, Collector, Feed, LOOK_EVERY, Paths, Setup, Source, Stopped},
};

/// An action nothing is heard of for so long was not finished.
const UNFINISHED_NANOS: i64 = 3_600_000_000_000;

/// What was installed, upgraded and removed: the logs of dpkg, dnf and apk, and the databases of dpkg, apk and rpm compared with the last look.
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
        "read access to dpkg.log, and to apt/history.log for who asked; to dnf.rpm.log or apk.log; or to the database of dpkg, apk or rpm"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        let logs = ["dpkg.log", dnf::LOG, apk::LOG].map(|name| paths.log.join(name));
        let readable: Vec<String> = logs
            .iter()
            .filter(|log| std::fs::File::open(log).is_ok())
            .map(|log| log.display().to_string())
            .collect();
        let databases: Vec<&str> = Manager::ALL
            .into_iter()
            .filter(|manager| manager.database(&paths.root).is_some())
            .map(Manager::word)
            .collect();
        let mut doing = Vec::new();
        if !readable.is_empty() {
            doing.push(format!("reads {} and its rotations", readable.join(", ")));
        }
        if !databases.is_empty() {
            doing.push(format!("compares {}", databases.join(", ")));
        }
        if doing.is_empty() {
            let [dpkg, ..] = &logs;
            let why = std::fs::File::open(dpkg).err().map_or_else(String::new, |error| format!(": {error}"));
            return Availability::off(format!("{}{why}", dpkg.display()));
        }
        Availability::on(doing.join("; "))
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Packages::new(setup))
    }
}

/// The log of a package manager, and what has begun in it and not ended.
trait Log: Send {
    /// Whose database its lines explain.
    fn manager(&self) -> Manager;

    fn follower(&mut self) -> &mut Follower;

    /// Before the first new line of a look.
    fn refresh(&mut self, _now: Nanos) {}

    /// Takes a line, and gives what is known by it.
    fn line(&mut self, line: &Line) -> Vec<Told>;

    /// Ends what began before `limit` as not finished, oldest first.
    fn give_up(&mut self, limit: Nanos) -> Vec<Told>;

    /// Whether nothing is open.
    fn is_idle(&self) -> bool;

    fn position(&self) -> Value;
}

/// A time such as `2026-05-09 07:28:46` (or with two spaces) on the clock of `zone`.
pub(crate) fn local_time(text: &str, zone: &TimeZone) -> Option<Nanos> {
    let (date, time) = text.split_once(' ')?;
    let civil: DateTime = format!("{date}T{}", time.trim_start()).parse().ok()?;
    let timestamp = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok().map(Nanos)
}

pub(crate) struct Packages {
    host: String,
    /// By the name they have in the position.
    logs: [(&'static str, Box<dyn Log>); 3],
    root: PathBuf,
    databases: Vec<Database>,
}

impl Packages {
    pub(crate) fn new(setup: &Setup) -> Packages {
        Packages::in_zone(setup, &TimeZone::system())
    }

    fn in_zone(setup: &Setup, zone: &TimeZone) -> Packages {
        let position = setup.position.as_ref();
        let of = |name: &str| position.map(|position| &position[name]);
        Packages {
            host: setup.host.clone(),
            logs: [
                ("dpkg", Box::new(dpkg::Dpkg::new(&setup.paths, zone, of("dpkg")))),
                ("dnf", Box::new(dnf::Dnf::new(&setup.paths, of("dnf")))),
                ("apk", Box::new(apk::Apk::new(&setup.paths, of("apk")))),
            ],
            root: setup.paths.root.clone(),
            databases: Manager::ALL.map(|manager| Database::new(manager, of("compared"))).into(),
        }
    }

    fn position(&self) -> Value {
        let databases = self.databases.iter().map(|of| (of.manager.word().to_owned(), of.position()));
        let logs = self.logs.iter().map(|(name, log)| ((*name).to_owned(), log.position()));
        let compared = ("compared".to_owned(), Value::Object(databases.collect()));
        Value::Object(logs.chain([compared]).collect())
    }

    /// Reads what is new in a log.
    fn follow(&mut self, which: usize, feed: &mut Feed) -> Result<(), Stopped> {
        let now = feed.now();
        let mut fresh = false;
        while let Some((_, log)) = self.logs.get_mut(which) {
            match log.follower().next(now) {
                Step::Record(record) => {
                    if !std::mem::replace(&mut fresh, true) {
                        log.refresh(now);
                    }
                    let line = Line::new(record, "packages", &self.host);
                    let told = log.line(&line);
                    self.tell(told, feed);
                    feed.send_when_full(|| self.position())?;
                }
                Step::Gap(gap) => feed.lose(gap),
                Step::Idle => {
                    let told = log.give_up(Nanos(now.0.saturating_sub(UNFINISHED_NANOS)));
                    self.tell(told, feed);
                    break;
                }
            }
            feed.go_on()?;
        }
        Ok(())
    }

    fn tell(&mut self, all: Vec<Told>, feed: &mut Feed) {
        for told in all {
            for database in self.databases.iter_mut().filter(|of| of.manager == told.manager) {
                database.told(&told);
            }
            feed.push(told.event());
        }
    }
}

impl Collector for Packages {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        for which in 0..self.logs.len() {
            self.follow(which, feed)?;
        }
        for database in &mut self.databases {
            let mut logs = self.logs.iter().filter(|(_, log)| log.manager() == database.manager);
            let idle = logs.all(|(_, log)| log.is_idle());
            database.compare(&self.root, idle, feed);
        }
        feed.status().set_problem(self.databases.iter().find_map(|of| of.problem().map(str::to_owned)));
        feed.send(|| self.position())
    }
}

#[cfg(test)]
mod tests;
