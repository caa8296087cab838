//! What is installed, by the package managers' own databases, compared with what was: it finds what no log tells, or a log that is gone
//! told. dpkg's `/var/lib/dpkg/status` (`dpkg-query(1)`), apk's `/lib/apk/db/installed` (`apk-installed(5)`), rpm by the program `rpm`, because its
//! database has had four formats.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use attestry_event::{Event, Nanos, Outcome};
use serde::{Deserialize, Serialize};

use super::{rpm, told::Told};
use crate::{
    compared::{self, baseline, difference},
    line::{put, put_some},
    regular,
    source::Feed,
};

/// Debian's whole archive has a list of 60 MB; a host's is some MB.
const MAX_DATABASE: u64 = 64 << 20;
/// A database that changed so recently may change again, and its log may not have been read.
const SETTLED_NANOS: i64 = 10_000_000_000;
/// How often is looked whether a database changed.
const LOOK: Duration = Duration::from_secs(15);

/// Versions by `name:architecture`; several where several are installed at once, as kernels are.
pub(super) type Installed = BTreeMap<String, BTreeSet<String>>;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Manager {
    Dpkg,
    Apk,
    Rpm,
}

impl Manager {
    pub(super) const ALL: [Manager; 3] = [Manager::Dpkg, Manager::Apk, Manager::Rpm];

    pub(super) fn word(self) -> &'static str {
        match self {
            Manager::Dpkg => "dpkg",
            Manager::Apk => "apk",
            Manager::Rpm => "rpm",
        }
    }

    /// The file that changes when something is installed, where this manager is used.
    pub(super) fn database(self, root: &Path) -> Option<PathBuf> {
        let places: &[&str] = match self {
            Manager::Dpkg => &["var/lib/dpkg/status"],
            Manager::Apk => &["lib/apk/db/installed", "usr/lib/apk/db/installed"],
            Manager::Rpm => &[
                "usr/lib/sysimage/rpm/rpmdb.sqlite",
                "var/lib/rpm/rpmdb.sqlite",
                "var/lib/rpm/Packages.db",
                "var/lib/rpm/Packages",
            ],
        };
        places.iter().map(|place| root.join(place)).find(|path| path.exists())
    }

    fn read(self, root: &Path, database: &Path) -> io::Result<Installed> {
        let text = || regular::read(database, MAX_DATABASE).map(|(bytes, _)| bytes);
        Ok(match self {
            Manager::Dpkg => dpkg(&String::from_utf8_lossy(&text()?)),
            Manager::Apk => apk(&String::from_utf8_lossy(&text()?)),
            Manager::Rpm => rpm::installed(root, database)?,
        })
    }

    /// Whether it is at work, and its database not yet what it will be.
    fn busy(self, root: &Path) -> bool {
        let waiting =
            || fs::read_dir(root.join("var/lib/dpkg/updates")).is_ok_and(|mut inner| inner.next().is_some());
        self == Manager::Dpkg && waiting()
    }
}

/// A database, as it was when it was last compared.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) manager: Manager,
    /// None before the first look.
    known: Option<Installed>,
    /// Of what the log told that did not end well, the next look takes what is, and tells nothing.
    unsure: BTreeSet<String>,
    stamp: Option<[i64; 4]>,
    look_at: Instant,
    problem: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Kept {
    known: Installed,
    #[serde(default)]
    unsure: BTreeSet<String>,
}

impl Database {
    pub(super) fn new(manager: Manager, position: Option<&serde_json::Value>) -> Database {
        let kept = position.and_then(|at| Kept::deserialize(&at[manager.word()]).ok());
        let (known, unsure) = kept.map_or((None, BTreeSet::new()), |kept| (Some(kept.known), kept.unsure));
        Database { manager, known, unsure, stamp: None, look_at: Instant::now(), problem: None }
    }

    pub(super) fn position(&self) -> serde_json::Value {
        let kept =
            self.known.as_ref().map(|known| Kept { known: known.clone(), unsure: self.unsure.clone() });
        serde_json::to_value(kept).unwrap_or_default()
    }

    /// What the log told is no difference any more.
    pub(super) fn told(&mut self, told: &Told) {
        let Some(known) = &mut self.known else { return };
        let package = match known.range(format!("{}:", told.package)..).next() {
            // A log that does not tell the architecture means the one there is.
            Some((installed, _))
                if installed.rsplit_once(':').is_some_and(|(name, _)| name == told.package) =>
            {
                installed.clone()
            }
            _ => told.package.clone(),
        };
        if told.outcome != Outcome::Success {
            self.unsure.insert(package);
            return;
        }
        let versions = known.entry(package.clone()).or_default();
        match &told.begun.old {
            // Several versions of a package, as of kernels, are only there with rpm.
            Some(old) if self.manager == Manager::Rpm => {
                versions.remove(old);
            }
            None if self.manager == Manager::Rpm => {}
            _ => versions.clear(),
        }
        versions.extend(told.version().map(str::to_owned));
        if versions.is_empty() {
            known.remove(&package);
        }
    }

    /// Looks whether the database changed, and tells what differs. `idle` when the log has nothing open.
    pub(super) fn compare(&mut self, root: &Path, idle: bool, feed: &mut Feed) {
        if Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + LOOK;
        let now = feed.now();
        let Some(database) = self.manager.database(root) else { return };
        let Ok(meta) = fs::metadata(&database) else { return };
        // SQLite writes beside its file first.
        let beside = fs::metadata(format!("{}-wal", database.display())).map_or(0, |meta| meta.mtime());
        let inode = i64::from_ne_bytes(meta.ino().to_ne_bytes());
        let stamp = [meta.mtime(), meta.mtime_nsec(), inode, beside];
        let changed = compared::changed(&meta, now);
        if self.stamp == Some(stamp)
            || !idle
            || self.manager.busy(root)
            || self.known.is_some() && now.0.saturating_sub(changed.0) < SETTLED_NANOS
        {
            return;
        }
        let installed = match self.manager.read(root, &database) {
            Ok(installed) => installed,
            Err(error) => {
                self.problem = Some(format!("{}: {error}", database.display()));
                return;
            }
        };
        self.problem = None;
        self.name_architectures(&installed);
        // Changed while it was read: once more.
        if fs::metadata(&database)
            .is_ok_and(|after| after.ctime_nsec() == meta.ctime_nsec() && after.ino() == meta.ino())
        {
            self.stamp = Some(stamp);
        }
        match &self.known {
            None => {
                let mut event = baseline("packages", now, &[("packages", installed.len())]);
                put(&mut event, "manager", self.manager.word());
                compared::push(feed, "packages", event);
            }
            Some(known) => {
                for event in differences(self.manager, known, &installed, &self.unsure, changed) {
                    compared::push(feed, "packages", event);
                }
            }
        }
        self.unsure.clear();
        self.known = Some(installed);
    }

    /// What a log told without an architecture has that of the database from now on.
    fn name_architectures(&mut self, installed: &Installed) {
        let Some(known) = &mut self.known else { return };
        let bare: Vec<String> = known
            .keys()
            .filter(|name| !name.contains(':') && !installed.contains_key(*name))
            .cloned()
            .collect();
        for name in bare {
            let found = installed.range(format!("{name}:")..).next().map(|(full, _)| full);
            if let Some(full) = found.filter(|full| full.rsplit_once(':').is_some_and(|(of, _)| of == name))
                && !known.contains_key(full)
                && let Some(versions) = known.remove(&name)
            {
                known.insert(full.clone(), versions);
            }
        }
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

fn differences(
    manager: Manager,
    known: &Installed,
    now: &Installed,
    unsure: &BTreeSet<String>,
    time: Nanos,
) -> Vec<Event> {
    let none = BTreeSet::new();
    let names: BTreeSet<&String> =
        known.keys().chain(now.keys()).filter(|name| !unsure.contains(*name)).collect();
    let mut events = Vec::new();
    for package in names {
        let before = known.get(package).unwrap_or(&none);
        let after = now.get(package).unwrap_or(&none);
        let mut gone: Vec<&String> = before.difference(after).collect();
        for version in after.difference(before) {
            // The one that went, if one did, is what this one replaced.
            let old = gone.pop();
            events.push(event(manager, package, old, Some(version), time));
        }
        events.extend(gone.into_iter().map(|old| event(manager, package, Some(old), None, time)));
    }
    events
}

fn event(manager: Manager, package: &str, old: Option<&String>, new: Option<&String>, time: Nanos) -> Event {
    let (name, architecture) = match package.rsplit_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (package, None),
    };
    let (verb, said) = match (old, new) {
        (Some(old), Some(new)) => ("package.upgrade", format!("upgraded {name} from {old} to {new}")),
        (None, Some(new)) => ("package.install", format!("installed {name} {new}")),
        (old, None) => ("package.remove", format!("removed {name} {}", old.map_or("", String::as_str))),
    };
    let mut event = difference(verb, name, time, said).severity(6).data("package", name);
    put_some(&mut event, "architecture", architecture);
    put_some(&mut event, "old_version", old.map(String::as_str));
    put_some(&mut event, "version", new.map(String::as_str));
    put(&mut event, "manager", manager.word());
    event
}

/// Stanzas apart by empty lines, as mails have them.
fn dpkg(text: &str) -> Installed {
    let mut installed = Installed::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::trim))
        };
        // `deinstall ok config-files` is only configuration.
        let there = field("Status")
            .is_some_and(|status| !status.ends_with("not-installed") && !status.ends_with("config-files"));
        if let (true, Some(name), Some(version)) = (there, field("Package"), field("Version")) {
            let package = field("Architecture")
                .map_or_else(|| name.to_owned(), |architecture| format!("{name}:{architecture}"));
            installed.entry(package).or_default().insert(version.to_owned());
        }
    }
    installed
}

/// Stanzas of lines of a letter and a colon: `P:musl`, `V:1.2.4-r2`, `A:x86_64`.
fn apk(text: &str) -> Installed {
    let mut installed = Installed::new();
    for stanza in text.split("\n\n") {
        let field = |letter: &str| stanza.lines().find_map(|line| line.strip_prefix(letter));
        if let (Some(name), Some(version)) = (field("P:"), field("V:")) {
            let package =
                field("A:").map_or_else(|| name.to_owned(), |architecture| format!("{name}:{architecture}"));
            installed.entry(package).or_default().insert(version.to_owned());
        }
    }
    installed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::show_sorted;

    fn installed(list: &[(&str, &[&str])]) -> Installed {
        let versions = |list: &[&str]| list.iter().map(|version| (*version).to_owned()).collect();
        list.iter().map(|(name, list)| ((*name).to_owned(), versions(list))).collect()
    }

    #[test]
    fn databases_are_read() {
        let text = "Package: jq\nStatus: install ok installed\nArchitecture: amd64\nDescription: x\n Package: no\nVersion: 1.6-2\n\n\
             Package: old\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
             Package: half\nStatus: install ok unpacked\nArchitecture: all\nVersion: 2\n\nbroken\n";
        assert_eq!(dpkg(text), installed(&[("jq:amd64", &["1.6-2"]), ("half:all", &["2"])]));
        let text = "C:Q1p78yvTLG094tHE1+dToJGbmYzQE=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld-musl.so\n\nP:zlib\nV:1.3-r0\nA:x86_64\n\n";
        assert_eq!(apk(text), installed(&[("musl:x86_64", &["1.2.4-r2"]), ("zlib:x86_64", &["1.3-r0"])]));
    }

    #[test]
    fn versions_become_events() {
        let known =
            installed(&[("a:x", &["1"]), ("b:x", &["1"]), ("kernel:x", &["1", "2"]), ("unsure:x", &["1"])]);
        let now =
            installed(&[("a:x", &["2"]), ("c", &["1"]), ("kernel:x", &["2", "3"]), ("d:x", &["1", "2"])]);
        let unsure = ["unsure:x".to_owned()].into();
        let events = differences(Manager::Rpm, &known, &now, &unsure, Nanos(1));
        let shown: Vec<String> =
            events.iter().map(|event| show_sorted(event).replace(" inferred=true manager=rpm", "")).collect();
        assert_eq!(
            shown,
            [
                "package.upgrade - a success - architecture=x old_version=1 package=a version=2",
                "package.remove - b success - architecture=x old_version=1 package=b",
                "package.install - c success - package=c version=1",
                "package.install - d success - architecture=x package=d version=1",
                "package.install - d success - architecture=x package=d version=2",
                "package.upgrade - kernel success - architecture=x old_version=1 package=kernel version=3",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken(text in "[A-Za-z: \\n.é]{0,120}") {
            let _ = (dpkg(&text), apk(&text));
        }
    }
}
