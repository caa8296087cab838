//! What DNF 4 writes of each package, `/var/log/dnf.rpm.log` and its rotations, when it is done with it (`dnf/yum/rpmtrans.py`, the words
//! from `FILE_ACTIONS` in `dnf/transaction.py`):
//!
//!     2026-05-09T07:28:46+0000 SUBDEBUG Installed: jq-1.6-17.fc40.x86_64
//!     2026-05-09T07:28:46+0000 SUBDEBUG Upgrade: openssl-1:3.2.2-6.fc40.x86_64
//!     2026-05-09T07:28:47+0000 SUBDEBUG Upgraded: openssl-1:3.0.7-27.fc40.x86_64
//!     2026-05-09T07:28:48+0000 SUBDEBUG Erase: nano-7.2-1.fc40.x86_64
//!
//! `Upgrade`, `Downgrade` and `Reinstall` name the version that came, and end with the line that names the one that went. The log says neither
//! who asked nor by which command. DNF 5 has no such log: there the database is compared.

use std::collections::BTreeMap;

use attestry_event::{Nanos, Outcome};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Log, UNFINISHED_NANOS,
    compared::Manager,
    told::{Action, Begun, Told},
};
use crate::{
    follow::{Follower, Framing},
    line::Line,
    source::Paths,
};

/// The log's name in the folder of logs.
pub(super) const LOG: &str = "dnf.rpm.log";
/// More packages are never between their two lines; the upgrade of a whole release has some thousands.
const MAX_PENDING: usize = 20_000;

pub(super) struct Dnf {
    follower: Follower,
    /// What came, and whose predecessor has not gone yet, by `name:architecture`.
    pending: BTreeMap<String, Begun>,
}

impl Dnf {
    pub(super) fn new(paths: &Paths, position: Option<&Value>) -> Dnf {
        Dnf {
            follower: Follower::new(paths.log.join(LOG), Framing::Lines, position.map(|at| &at["log"])),
            pending: position.and_then(|at| BTreeMap::deserialize(&at["pending"]).ok()).unwrap_or_default(),
        }
    }
}

impl Log for Dnf {
    fn manager(&self) -> Manager {
        Manager::Rpm
    }

    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn line(&mut self, line: &Line) -> Vec<Told> {
        let Some((time, verb, package, version)) = parse(&line.text) else { return Vec::new() };
        let mut told = self.give_up(Nanos(time.0.saturating_sub(UNFINISHED_NANOS)));
        let begun = |action, old: Option<&str>, new: Option<&str>| {
            let owned = |version: Option<&str>| version.map(str::to_owned);
            Begun { action, old: owned(old), new: owned(new), time, id: line.id.clone() }
        };
        let ended = |package: &str, begun, outcome| Told::new(Manager::Rpm, package, begun, outcome);
        match verb {
            "Installed" => {
                let begun = begun(Action::Install, None, Some(version));
                told.push(ended(&package, begun, Outcome::Success));
            }
            "Erase" | "Obsoleted" => {
                let begun = begun(Action::Remove, Some(version), None);
                told.push(ended(&package, begun, Outcome::Success));
            }
            "Upgrade" | "Downgrade" | "Reinstall" => {
                if self.pending.len() >= MAX_PENDING {
                    told.extend(self.give_up(Nanos(i64::MAX)));
                }
                let begun = begun(Action::Upgrade, None, Some(version));
                if let Some(earlier) = self.pending.insert(package.clone(), begun) {
                    told.push(ended(&package, earlier, Outcome::Failure));
                }
            }
            "Upgraded" | "Downgraded" | "Reinstalled" => {
                if let Some(mut begun) = self.pending.remove(&package) {
                    begun.old = Some(version.to_owned());
                    told.push(Told { end: Some(time), ..ended(&package, begun, Outcome::Success) });
                }
            }
            _ => {}
        }
        told
    }

    fn give_up(&mut self, limit: Nanos) -> Vec<Told> {
        let stale: Vec<(String, Begun)> =
            self.pending.extract_if(.., |_, begun| begun.time < limit).collect();
        stale
            .into_iter()
            .map(|(package, begun)| Told::new(Manager::Rpm, package, begun, Outcome::Failure))
            .collect()
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    fn position(&self) -> Value {
        json!({ "log": self.follower.position(), "pending": self.pending })
    }
}

/// Time, verb, `name:architecture` and version with its epoch.
fn parse(text: &str) -> Option<(Nanos, &str, String, &str)> {
    let (time, rest) = text.split_once(" SUBDEBUG ")?;
    let time: Timestamp = time.parse().ok()?;
    let (verb, package) = rest.split_once(": ")?;
    let (name, version, architecture) = nevra(package.trim_end())?;
    let time = Nanos(i64::try_from(time.as_nanosecond()).ok()?);
    Some((time, verb, format!("{name}:{architecture}"), version))
}

/// `name-[epoch:]version-release.architecture`. A name may have hyphens and dots, version and release no hyphens.
fn nevra(text: &str) -> Option<(&str, &str, &str)> {
    let (rest, architecture) = text.rsplit_once('.')?;
    let (before, _release) = rest.rsplit_once('-')?;
    let (name, _version) = before.rsplit_once('-')?;
    let version = rest.get(name.len() + 1..)?;
    (!name.is_empty()).then_some((name, version, architecture))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_taken_apart() {
        for (text, expected) in [
            ("jq-1.6-17.fc40.x86_64", Some(("jq", "1.6-17.fc40", "x86_64"))),
            ("openssl-libs-1:3.2.2-6.el9.x86_64", Some(("openssl-libs", "1:3.2.2-6.el9", "x86_64"))),
            ("python3.11-3.11.9-1.el9.noarch", Some(("python3.11", "3.11.9-1.el9", "noarch"))),
            ("nodashes.x86_64", None),
            ("one-1.x86_64", None),
            ("-1-2.noarch", None),
            ("", None),
        ] {
            assert_eq!(nevra(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_taken(line in "\\PC{0,60}", package in "[a-z.:-]{0,20}") {
            let _ = parse(&line);
            let _ = parse(&format!("2026-05-09T07:28:46+0000 SUBDEBUG Upgrade: {package}"));
        }
    }
}
