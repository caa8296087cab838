//! Source `users`: who may be on this host and what they may do, by compared state: accounts, passwords' state, groups, sudo's rules and
//! the keys that open an account over SSH.
//!
//! The auth log tells of what was done with the tools that write it; this source finds what was done with an editor, by a program or
//! while nobody looked. So a change made with `useradd` is told twice, once by each source, and `event_source` tells them apart.
//!
//! The files are `passwd(5)`, `shadow(5)`, `group(5)`, `sudoers(5)` and those of `sshd(8)`. Who did it no file tells: `username` is "-".
//! Of a password only a keyed hash of its hash is kept, in the position, to see that it changed. Accounts that only a directory service
//! knows are not seen, and neither is what was done and undone between two looks.

mod differences;
mod keys;
mod read;
mod sudoers;

use std::{path::PathBuf, sync::Arc};

use attestry_event::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    compared::{self, baseline},
    follow::Gap,
    names::Names,
    source::{Availability, Cadence, Collector, Feed, Paths, Setup, Source, Stopped},
};
use read::{Look, State};

/// Accounts, groups, sudo's rules and SSH keys, compared with the last look.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often it looks. Default: `1m`.
    pub every: Period,
    /// Whether the SSH keys of every account are looked at, in their homes. Default: true.
    pub keys: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { every: Period::seconds(60), keys: true }
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "users"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(self.every.0)
    }

    fn needs(&self) -> &'static str {
        "/etc/passwd and group; for passwords the group shadow, for sudo's rules and everybody's SSH keys root (CAP_DAC_READ_SEARCH)"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        let passwd = paths.root.join("etc/passwd");
        match std::fs::File::open(&passwd) {
            Ok(_) => {
                Availability::on(format!("compares {} and others every {}", passwd.display(), self.every))
            }
            Err(error) => Availability::off(format!("{}: {error}", passwd.display())),
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        self.every.at_least(Period::seconds(1)).map(|what| ("every", what)).into_iter().collect()
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Users::new(self, setup))
    }
}

struct Users {
    root: PathBuf,
    proc: PathBuf,
    keys: bool,
    names: Arc<Names>,
    /// As it was at the last look; none before the first.
    known: Option<State>,
    /// What could not be read at the last look.
    unread: Vec<String>,
}

impl Users {
    fn new(config: &Config, setup: &Setup) -> Users {
        let position = setup.position.as_ref();
        let known = position.and_then(|at| State::deserialize(&at["known"]).ok());
        let unread = position.and_then(|at| Vec::deserialize(&at["unread"]).ok());
        Users {
            root: setup.paths.root.clone(),
            proc: setup.paths.proc.clone(),
            keys: config.keys,
            names: setup.names.clone(),
            known,
            unread: unread.unwrap_or_default(),
        }
    }

    /// What is not readable is said in the status; what could be read before and cannot be now is a loss.
    fn tell_unread(&mut self, look: &Look, feed: &mut Feed) {
        let told: Vec<String> =
            look.unread.iter().map(|gap| format!("{} {}", gap.file, gap.reason)).collect();
        for (gap, text) in look.unread.iter().zip(&told) {
            if self.known.is_some()
                && !self.unread.contains(text)
                && look.was_read(self.known.as_ref(), &gap.file)
            {
                feed.lose(Gap { file: gap.file.clone(), reason: gap.reason.clone() });
            }
        }
        feed.status().set_problem((!told.is_empty()).then(|| told.join("; ")));
        self.unread = told;
    }
}

impl Collector for Users {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let now = feed.now();
        let mut look = Look::take(&self.root, &self.proc, self.keys, &self.names, now);
        self.tell_unread(&look, feed);
        look.keep_unread_of(self.known.as_ref());
        match &self.known {
            None if look.state.users.is_empty() => return feed.send(|| Value::Null),
            None => {
                let keys = look.state.keys.values().map(std::collections::BTreeSet::len).sum();
                let rules = look.state.rules.values().map(std::collections::BTreeSet::len).sum();
                let counted = [
                    ("users", look.state.users.len()),
                    ("groups", look.state.groups.len()),
                    ("sudo_rules", rules),
                    ("ssh_keys", keys),
                ];
                compared::push(feed, "users", baseline("users", now, &counted));
            }
            Some(known) => {
                for event in differences::events(known, &look) {
                    compared::push(feed, "users", event);
                }
            }
        }
        self.known = Some(look.state);
        feed.send(|| json!({ "known": self.known, "unread": self.unread }))
    }
}

#[cfg(test)]
mod tests;
