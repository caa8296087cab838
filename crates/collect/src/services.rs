//! Source `services`: which services start, stop, fail, are restarted, reloaded, enabled and disabled.
//!
//! With systemd, over D-Bus ([`bus`]): its signals say which unit changed, its properties what it is now. After a connect, every
//! [`Config::compare`] and whenever signals may have been lost everything is compared with what was known, and what is found then is marked
//! `inferred`. Without systemd, as in most containers, by processes ([`process`]).
//!
//! A restart is one event, `service.restart`, however many states lie between. Who did it systemd does not say; sudo's line in the auth log does.

mod bus;
mod process;
mod systemd;
mod unit;
mod wire;

use std::{collections::BTreeSet, time::Duration};

use attestry_event::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::{Availability, Cadence, Collector, Paths, Setup, Source};
use bus::Place;
use process::Processes;
use systemd::Systemd;

/// The pause between two passes; waiting for signals is done within them.
const PAUSE: Duration = Duration::from_millis(500);

/// Services that start, stop and fail.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// With systemd: how often everything is compared, besides being listened to. Default: `5m`.
    pub compare: Period,
    /// Without systemd: how often the processes are looked at. Default: `10s`.
    pub every: Period,
    /// Without systemd: the names of programs that are services. Default: none.
    pub programs: BTreeSet<String>,
    /// Without systemd: whether every program that listens at a port is a service. Default: true.
    pub listening: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            compare: Period::seconds(300),
            every: Period::seconds(10),
            programs: BTreeSet::new(),
            listening: true,
        }
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "services"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(PAUSE)
    }

    fn needs(&self) -> &'static str {
        "systemd's bus; without systemd /proc, and root (CAP_SYS_PTRACE) to see who listens"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        match Place::find(&paths.root) {
            Ok(place) => Availability::on(format!("listens to systemd at {}", place.path().display())),
            Err(_) if !self.listening && self.programs.is_empty() => {
                Availability::off("there is no systemd, and no programs are given")
            }
            Err(_) => {
                Availability::on(format!("there is no systemd; looks at processes every {}", self.every))
            }
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let least = Period::seconds(1);
        let items = [("compare", self.compare.at_least(least)), ("every", self.every.at_least(least))];
        items.into_iter().filter_map(|(item, what)| Some((item, what?))).collect()
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        match Place::find(&setup.paths.root) {
            Ok(place) => Box::new(Systemd::new(place, self.compare.0, setup)),
            Err(_) => Box::new(Processes::new(self, setup)),
        }
    }
}

#[cfg(test)]
mod tests;
