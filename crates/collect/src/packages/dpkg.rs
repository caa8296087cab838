//! dpkg's log, `/var/log/dpkg.log` and its rotations, with who asked apt.
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

use std::collections::BTreeMap;

use attestry_event::{Nanos, Outcome};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Log, UNFINISHED_NANOS,
    compared::Manager,
    local_time,
    told::{Action, Begun, Told},
};
use crate::{
    apt::History,
    follow::{Follower, Framing},
    line::Line,
    source::Paths,
};

/// More actions are never open at once: dpkg's largest runs have some thousands.
const MAX_PENDING: usize = 20_000;

pub(super) struct Dpkg {
    follower: Follower,
    apt: History,
    zone: TimeZone,
    pending: BTreeMap<String, Begun>,
    /// The log's time when stale actions were last looked for.
    swept: Nanos,
}

/// A line taken apart.
#[derive(Debug, PartialEq)]
enum Entry<'a> {
    Action { action: Action, package: &'a str, old: Option<&'a str>, new: Option<&'a str> },
    Status { state: &'a str, package: &'a str, version: Option<&'a str> },
}

impl Dpkg {
    pub(super) fn new(paths: &Paths, zone: &TimeZone, position: Option<&Value>) -> Dpkg {
        let log = paths.log.join("dpkg.log");
        Dpkg {
            follower: Follower::new(log, Framing::Lines, position.map(|at| &at["log"])),
            apt: History::new(paths.log.join("apt/history.log"), zone.clone()),
            zone: zone.clone(),
            pending: position.and_then(|at| BTreeMap::deserialize(&at["pending"]).ok()).unwrap_or_default(),
            swept: Nanos(0),
        }
    }

    fn finish(&mut self, package: &str, outcome: Outcome, end: Option<Nanos>) -> Option<Told> {
        let begun = self.pending.remove(package)?;
        let mut told = Told { end, ..Told::new(Manager::Dpkg, package, begun, outcome) };
        if let Some(run) = self.apt.at(told.begun.time) {
            // Without Requested-By apt ran as root itself; without apt nothing tells.
            told.user = run.requested_by.clone().unwrap_or_else(|| "root".to_owned());
            told.command_line = run.command_line.clone();
            told.uid = run.requested_by_uid;
        }
        Some(told)
    }
}

impl Log for Dpkg {
    fn manager(&self) -> Manager {
        Manager::Dpkg
    }

    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn refresh(&mut self, now: Nanos) {
        self.apt.refresh(now);
    }

    fn line(&mut self, line: &Line) -> Vec<Told> {
        let Some((time, entry)) = parse(&line.text) else { return Vec::new() };
        let Some(time) = local_time(time, &self.zone) else { return Vec::new() };
        let mut told = Vec::new();
        // By the log's own time, so that reading history decides as following it did.
        if time.0.abs_diff(self.swept.0) >= 60_000_000_000 {
            self.swept = time;
            told = self.give_up(Nanos(time.0.saturating_sub(UNFINISHED_NANOS)));
        }
        match entry {
            Entry::Action { action, package, old, new } => {
                if let Some(earlier) = self.pending.get(package) {
                    if action == Action::Configure && earlier.new.as_deref() == new {
                        return told;
                    }
                    told.extend(self.finish(package, Outcome::Failure, None));
                }
                if self.pending.len() >= MAX_PENDING {
                    told.extend(self.give_up(Nanos(i64::MAX)));
                }
                let owned = |version: Option<&str>| version.map(str::to_owned);
                let begun = Begun { action, old: owned(old), new: owned(new), time, id: line.id.clone() };
                self.pending.insert(package.to_owned(), begun);
            }
            Entry::Status { state, package, version } => {
                let outcome = self.pending.get(package).and_then(|begun| judged(begun, state, version));
                if let Some(outcome) = outcome {
                    told.extend(self.finish(package, outcome, Some(time)));
                }
            }
        }
        told
    }

    fn give_up(&mut self, limit: Nanos) -> Vec<Told> {
        let stale = self.pending.iter().filter(|(_, begun)| begun.time < limit);
        let mut stale: Vec<(Nanos, String)> =
            stale.map(|(package, begun)| (begun.time, package.clone())).collect();
        stale.sort();
        stale.iter().filter_map(|(_, package)| self.finish(package, Outcome::Failure, None)).collect()
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    fn position(&self) -> Value {
        json!({ "log": self.follower.position(), "pending": self.pending })
    }
}

/// What the status says about the action: done, undone, or nothing yet.
fn judged(begun: &Begun, state: &str, version: Option<&str>) -> Option<Outcome> {
    match begun.action {
        Action::Install | Action::Upgrade | Action::Configure => match state {
            "installed" | "triggers-awaited" | "triggers-pending" if version == begun.new.as_deref() => {
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

fn parse<'a>(text: &'a str) -> Option<(&'a str, Entry<'a>)> {
    let (time, rest) = text.split_at_checked(19)?;
    let mut words = rest.split_ascii_whitespace();
    let version =
        |words: &mut std::str::SplitAsciiWhitespace<'a>| words.next().filter(|word| *word != "<none>");
    let action = match words.next()? {
        "status" => {
            let (state, package) = (words.next()?, words.next()?);
            return Some((time, Entry::Status { state, package, version: version(&mut words) }));
        }
        "install" => Action::Install,
        "upgrade" => Action::Upgrade,
        "remove" => Action::Remove,
        "purge" => Action::Purge,
        "configure" => Action::Configure,
        _ => return None,
    };
    let package = words.next()?;
    let (first, second) = (version(&mut words), version(&mut words));
    // `configure` and `remove` tell the version in hand first; there is no other.
    let (old, new) = match action {
        Action::Configure => (None, first),
        Action::Remove | Action::Purge => (first, None),
        Action::Install | Action::Upgrade => (first, second),
    };
    Some((time, Entry::Action { action, package, old, new }))
}
