//! Source `files`: what becomes of files that should rarely change: content, owner, mode, and where links point.
//!
//! Every [`Config::every`] all of them are looked at, and sooner when the kernel tells (`inotify(7)`) that something in their folders
//! changed. A look asks for each file's size, times and inode, and hashes anew what differs in any of them. `ctime` is set by the kernel
//! alone, so a forged `mtime` hides nothing. What is written past the file system, on the raw disk or with the clock set back, shows
//! only when everything is hashed again, every [`Config::rehash`]. What was changed and changed back between two looks shows not at all,
//! and who did it is not known; the audit subsystem of the kernel tells that.

mod differences;
mod secret;
mod seen;
mod walk;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use attestry_event::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    compared::{self, baseline},
    follow::Gap,
    source::{Availability, Cadence, Collector, Feed, Paths, Setup, Source, Stopped},
};
use seen::{Budget, Owners, Seen};
use walk::Walk;
use watch::Watch;

/// How often the kernel is asked whether something changed.
const PAUSE: Duration = Duration::from_secs(2);
/// Looks that the kernel causes take no more than this part of the time.
const REST: u32 = 50;
/// All texts that are kept for differences, in bytes.
const MAX_TEXTS: usize = 2 << 20;

/// What is watched on every host: who may log in, what starts by itself, what is loaded into every program, where names lead.
const BUILT_IN: [&str; 22] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d",
    "/etc/ssh/ssh_host_*_key.pub",
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/spool/cron",
    "/etc/systemd/system",
    "/etc/rc.local",
    "/etc/ld.so.preload",
    "/etc/pam.d",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/resolv.conf",
];

/// Files and folders whose changes are told.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Files, folders with all that is in them, and globs (`*`, `?`, `[a-z]` within a name, `**` for any folders). Default: none.
    pub paths: Vec<String>,
    /// Whether the built-in list is watched too. Default: true.
    pub built_in: bool,
    /// Globs over whole paths, for what is left out; of a folder, with all that is in it. Default: none.
    pub exclude: Vec<String>,
    /// How many folders deep a folder is walked. Default: 8.
    pub depth: usize,
    /// How often everything is looked at. Default: `5m`.
    pub every: Period,
    /// How often a file is hashed again though nothing says that it changed. Default: `1d`.
    pub rehash: Period,
    /// The most that is read for hashing, in MB a second. Default: 10.
    pub megabytes_per_second: u32,
    /// A larger file is not hashed, only its size and times are looked at; in MB. Default: 256.
    pub largest_megabytes: u64,
    /// Whether changes of small text files are shown line by line. Files that not everybody on the host may read, and those that look
    /// like secrets, are never shown. Default: false.
    pub diff: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            paths: Vec::new(),
            built_in: true,
            exclude: Vec::new(),
            depth: 8,
            every: Period::seconds(300),
            rehash: Period::seconds(86_400),
            megabytes_per_second: 10,
            largest_megabytes: 256,
            diff: false,
        }
    }
}

impl Config {
    /// Everything that is watched, as it is written.
    fn patterns(&self) -> Vec<String> {
        let built_in = BUILT_IN.iter().filter(|_| self.built_in).map(|path| (*path).to_owned());
        let all: BTreeSet<String> = built_in.chain(self.paths.iter().cloned()).collect();
        all.into_iter().collect()
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "files"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(PAUSE.min(self.every.0))
    }

    fn needs(&self) -> &'static str {
        "read access to the files: root or CAP_DAC_READ_SEARCH for those that not everybody may read"
    }

    fn availability(&self, _paths: &Paths) -> Availability {
        match self.patterns().len() {
            0 => Availability::off("no paths are given"),
            count => Availability::on(format!("watches {count} paths, looks every {}", self.every)),
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong: Vec<(&'static str, String)> =
            self.every.at_least(Period::seconds(1)).map(|what| ("every", what)).into_iter().collect();
        wrong.extend(self.rehash.at_least(self.every).map(|what| ("rehash", what)));
        for path in self.paths.iter().filter(|path| !path.starts_with('/')) {
            wrong.push(("paths", format!("{path:?} does not begin with /")));
        }
        for (item, patterns) in [("paths", &self.paths), ("exclude", &self.exclude)] {
            for pattern in patterns {
                if let Err(error) = walk::glob(pattern) {
                    wrong.push((item, format!("{pattern:?}: {error}")));
                }
            }
        }
        for (item, value) in [
            ("megabytes_per_second", u64::from(self.megabytes_per_second)),
            ("largest_megabytes", self.largest_megabytes),
        ] {
            if value == 0 {
                wrong.push((item, "0 is too few, expected at least 1".into()));
            }
        }
        wrong
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Files::new(self, setup))
    }
}

struct Files {
    config: Config,
    patterns: Vec<String>,
    root: PathBuf,
    proc: PathBuf,
    /// By path, as it is told. None before the first look.
    known: Option<BTreeMap<String, Seen>>,
    /// The patterns `known` was found with.
    known_patterns: Vec<String>,
    watch: Watch,
    /// When everything is looked at again, and before when the kernel causes no look.
    look_at: Instant,
    rest_until: Instant,
    /// What is being told as unreadable.
    unread: BTreeSet<String>,
}

impl Files {
    fn new(config: &Config, setup: &Setup) -> Files {
        let position = setup.position.as_ref();
        let known = position.and_then(|at| BTreeMap::deserialize(&at["known"]).ok());
        let known_patterns = position.and_then(|at| Vec::deserialize(&at["patterns"]).ok());
        let unread = position.and_then(|at| BTreeSet::deserialize(&at["unread"]).ok());
        Files {
            config: config.clone(),
            patterns: config.patterns(),
            root: setup.paths.root.clone(),
            proc: setup.paths.proc.clone(),
            known,
            known_patterns: known_patterns.unwrap_or_default(),
            watch: Watch::new(),
            look_at: Instant::now(),
            rest_until: Instant::now(),
            unread: unread.unwrap_or_default(),
        }
    }

    fn look(&mut self, feed: &mut Feed) -> Result<(), Stopped> {
        let now = feed.now();
        let walk = Walk::take(&self.root, &self.proc, &self.patterns, &self.config);
        self.watch.folders(walk.folders.iter());
        let mut budget = Budget::new(self.config.megabytes_per_second, self.config.largest_megabytes);
        let owners = Owners::read(&self.root);
        let mut known = self.known.take();
        let first = known.is_none();
        // With other patterns than before, what is seen for the first time has not come about just now.
        let others = !first && self.known_patterns != self.patterns;
        let before = known.get_or_insert_default();
        let mut unread = walk.unread.clone();
        let mut state = BTreeMap::new();
        let mut new = 0;
        let mut texts = 0;
        for (path, found) in &walk.found {
            let old = before.get(path);
            let due = old.is_some_and(|old| now.0.saturating_sub(old.hashed.0) >= nanos(self.config.rehash));
            let mut seen = match Seen::take(found, path, old, due, now, &mut budget, feed) {
                Ok(seen) => seen,
                Err(seen::Unseen::Stopped) => {
                    self.known = (!first).then_some(known.unwrap_or_default());
                    return Err(Stopped);
                }
                // It went while it was looked at; the next look tells.
                Err(seen::Unseen::Gone) => continue,
            };
            if let Some(reason) = &seen.unread {
                unread.insert(path.clone(), reason.clone());
            }
            if !self.config.diff || texts > MAX_TEXTS {
                seen.text = None;
            }
            texts += seen.text.as_ref().map_or(0, String::len);
            match old {
                Some(old) => {
                    for event in differences::changed(path, old, &seen, &owners) {
                        compared::push(feed, "files", event);
                    }
                }
                None if first || others => new += 1,
                None => compared::push(feed, "files", differences::created(path, &seen, &owners)),
            }
            state.insert(path.clone(), seen);
        }
        for (path, old) in before.iter().filter(|(path, _)| !walk.found.contains_key(*path)) {
            match walk::gone(&self.root, path, now) {
                Some(time) => compared::push(feed, "files", differences::deleted(path, old, time, &owners)),
                // Beyond the bound, or in a folder that cannot be read now: not gone.
                None if walk.cut || walk.hidden(path) => {
                    state.insert(path.clone(), old.clone());
                }
                // Not watched any more.
                None => {}
            }
        }
        if first || others {
            let kind = |kind: seen::Kind| state.values().filter(|seen| seen.kind == kind).count();
            let counted = [
                ("files", kind(seen::Kind::File)),
                ("folders", kind(seen::Kind::Folder)),
                ("links", kind(seen::Kind::Link)),
                ("new", new),
            ];
            compared::push(feed, "files", baseline("files", now, &counted));
        }
        self.tell_unread(unread, first, feed);
        self.known = Some(state);
        self.known_patterns.clone_from(&self.patterns);
        feed.send(|| json!({ "known": self.known, "patterns": self.patterns, "unread": self.unread }))
    }

    /// What cannot be read is in the status; what could be read and cannot be any more is a loss.
    fn tell_unread(&mut self, unread: BTreeMap<String, String>, first: bool, feed: &mut Feed) {
        let told = unread.iter().next().map(|(path, reason)| format!("{path} {reason}"));
        let told = match (told, unread.len()) {
            (Some(told), 2..) => Some(format!("{told}; and {} others", unread.len() - 1)),
            (told, _) => told,
        };
        feed.status().set_problem(told);
        for (path, reason) in &unread {
            if !first && !self.unread.contains(path) {
                feed.lose(Gap { file: path.clone(), reason: reason.clone() });
            }
        }
        self.unread = unread.into_keys().collect();
    }
}

fn nanos(period: Period) -> i64 {
    i64::try_from(period.0.as_nanos()).unwrap_or(i64::MAX)
}

impl Collector for Files {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let begun = Instant::now();
        let told = begun >= self.rest_until && self.watch.changed();
        if begun < self.look_at && !told {
            return Ok(());
        }
        let looked = self.look(feed);
        let took = begun.elapsed();
        self.rest_until = Instant::now() + took * REST;
        self.look_at = begun + self.config.every.0;
        looked
    }
}

#[cfg(test)]
mod tests;
