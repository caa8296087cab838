//! Services under systemd: signals are taken, what they name is asked for, and what differs from what was known is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use attestry_event::Event;
use serde::Deserialize;
use serde_json::json;

use super::{
    bus::{Bus, BusError, Place},
    unit::{self, Unit},
    wire::{Message, Value},
};
use crate::{
    compared::{self, baseline, difference},
    line::{put, put_some},
    source::{Collector, Feed, Setup, Stopped},
};

/// How long a pass waits for a signal.
const WAIT: Duration = Duration::from_millis(300);
/// Signals of one pass.
const MAX_SIGNALS: usize = 2_000;
/// After a failed connect the next is tried this much later.
const RETRY: Duration = Duration::from_secs(5);
/// Hosts have some hundred.
const MAX_UNITS: usize = 20_000;

const UNITS: &str = "/org/freedesktop/systemd1/unit/";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

pub(super) struct Systemd {
    place: Place,
    compare: Duration,
    bus: Option<Bus>,
    retry_at: Instant,
    compare_at: Instant,
    /// By name, as the events so far have left them. None before the first look.
    known: Option<BTreeMap<String, Unit>>,
    /// Unit files by name: enabled, disabled, masked …
    files: BTreeMap<String, String>,
    /// What changed and is on its way to something else.
    passing: BTreeSet<String>,
}

/// What the signals of one pass name.
#[derive(Default)]
struct Named {
    /// With what the signals tell of them.
    changed: BTreeMap<String, Unit>,
    reloaded: Vec<String>,
    removed: BTreeSet<String>,
    files: bool,
    all: bool,
}

impl Named {
    fn take(&mut self, signal: &Message) {
        let of_unit = signal.path.strip_prefix(UNITS).map(unescape).filter(|name| name.ends_with(".service"));
        let argument = |at: usize| signal.body.get(at).map(Value::text).unwrap_or_default();
        match (signal.member.as_str(), of_unit) {
            ("PropertiesChanged", Some(name)) => {
                let state = signal.body.get(1).and_then(|changed| changed.get("ActiveState"));
                if state.is_some_and(|state| state.text() == "reloading") {
                    self.reloaded.push(name.clone());
                }
                let unit = self.changed.entry(name).or_default();
                unit.ran |= state.is_some_and(|state| matches!(state.text(), "activating" | "active"));
                if let Some(changed) = signal.body.get(1) {
                    unit.apply(changed);
                }
            }
            ("JobRemoved", _) if argument(2).ends_with(".service") => {
                self.changed.entry(argument(2).to_owned()).or_default();
            }
            ("UnitNew", _) => {
                self.removed.remove(argument(0));
            }
            // Asking for it would load it again.
            ("UnitRemoved", _) if argument(0).ends_with(".service") => {
                self.removed.insert(argument(0).to_owned());
            }
            ("UnitFilesChanged", _) => self.files = true,
            ("Reloading", _) => (self.files, self.all) = (true, true),
            _ => {}
        }
    }
}

impl Systemd {
    pub(super) fn new(place: Place, compare: Duration, setup: &Setup) -> Systemd {
        let position = setup.position.as_ref();
        let known = position.and_then(|at| BTreeMap::deserialize(&at["units"]).ok());
        let files = position.and_then(|at| BTreeMap::deserialize(&at["files"]).ok());
        Systemd {
            place,
            compare,
            bus: None,
            retry_at: Instant::now(),
            compare_at: Instant::now(),
            known,
            files: files.unwrap_or_default(),
            passing: BTreeSet::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn retry_now(&mut self) {
        self.retry_at = Instant::now();
    }

    /// One pass over a connection.
    fn hear(&mut self, bus: &mut Bus, feed: &mut Feed) -> Result<(), BusError> {
        let mut named = Named::default();
        let mut wait = if self.known.is_none() { Duration::ZERO } else { WAIT };
        for _ in 0..MAX_SIGNALS {
            let Some(signal) = bus.signal(wait)? else { break };
            named.take(&signal);
            wait = Duration::ZERO;
        }
        let late = Instant::now() >= self.compare_at;
        if late || named.all || std::mem::take(&mut bus.overflowed) {
            self.compare_all(bus, feed)?;
            self.compare_at = Instant::now() + self.compare;
        }
        if named.files {
            self.compare_files(bus, false, feed)?;
        }
        let now = feed.now();
        for name in named.reloaded {
            let unit = self.known.as_ref().and_then(|known| known.get(&name)).cloned().unwrap_or_default();
            feed.push(unit::event(
                &name,
                "reload",
                format!("{name} was told to read its configuration again"),
                &unit,
                now,
            ));
        }
        for name in std::mem::take(&mut self.passing) {
            named.changed.entry(name).or_default();
        }
        for name in named.changed.keys().filter(|name| !named.removed.contains(*name)) {
            let path = format!("{UNITS}{}", escape(name));
            if let Some(unit) = ask(bus, &path)? {
                self.settle(name, unit, false, feed);
            }
        }
        for name in &named.removed {
            self.gone(name, named.changed.get(name), false, feed);
        }
        Ok(())
    }

    /// Tells what differs, and keeps what is now.
    fn settle(&mut self, name: &str, unit: Unit, inferred: bool, feed: &mut Feed) {
        if unit.passing() {
            self.passing.insert(name.to_owned());
            return;
        }
        let now = feed.now();
        let known = self.known.get_or_insert_default();
        let before = known.get(name).cloned().unwrap_or_default();
        for event in unit::between(name, &before, &unit, now) {
            tell(event, inferred, feed);
        }
        if known.len() < MAX_UNITS || known.contains_key(name) {
            known.insert(name.to_owned(), unit);
        }
    }

    /// A unit that systemd has forgotten runs no more. How it ended, signals may have told: asking would load it again.
    fn gone(&mut self, name: &str, said: Option<&Unit>, inferred: bool, feed: &mut Feed) {
        let known = self.known.get_or_insert_default();
        let before = known.remove(name).unwrap_or_default();
        let mut after = Unit { active: "inactive".into(), sub: "dead".into(), main_pid: 0, ..before.clone() };
        if let Some(said) = said.filter(|said| said.inactive_since > before.inactive_since) {
            after = Unit { invocation: before.invocation.clone(), busy: false, ..said.clone() };
        } else {
            // When and how it ended nobody can tell any more.
            (after.inactive_since, after.code) = (0, 0);
            after.result.clear();
        }
        if !after.passing() {
            for event in unit::between(name, &before, &after, feed.now()) {
                tell(event, inferred, feed);
            }
        }
    }

    fn compare_all(&mut self, bus: &mut Bus, feed: &mut Feed) -> Result<(), BusError> {
        let listed = bus.manager("ListUnits", &[])?;
        let first = self.known.is_none();
        let mut units = BTreeMap::new();
        for line in listed.first().map(Value::list).unwrap_or_default().iter().take(MAX_UNITS) {
            let field = |at: usize| line.list().get(at).map(Value::text).unwrap_or_default();
            if field(0).ends_with(".service")
                && field(2) != "not-found"
                && let Some(unit) = ask(bus, field(6))?
            {
                units.insert(field(0).to_owned(), unit);
            }
        }
        if first {
            let running = units.values().filter(|unit| unit.active == "active").count();
            let failed = units.values().filter(|unit| unit.active == "failed").count();
            self.known = Some(units.clone());
            self.compare_files(bus, true, feed)?;
            let enabled = self.files.values().filter(|state| enabled(state)).count();
            let counted =
                [("services", units.len()), ("running", running), ("failed", failed), ("enabled", enabled)];
            compared::push(feed, "services", baseline("services", feed.now(), &counted));
            return Ok(());
        }
        let known: Vec<String> = self.known.iter().flatten().map(|(name, _)| name.clone()).collect();
        for name in known.iter().filter(|name| !units.contains_key(*name)) {
            self.gone(name, None, true, feed);
        }
        for (name, unit) in units {
            self.settle(&name, unit, true, feed);
        }
        self.compare_files(bus, false, feed)
    }

    /// Which services start with the host.
    fn compare_files(&mut self, bus: &mut Bus, first: bool, feed: &mut Feed) -> Result<(), BusError> {
        let listed = bus.manager("ListUnitFiles", &[])?;
        let mut files = BTreeMap::new();
        for line in listed.first().map(Value::list).unwrap_or_default().iter().take(MAX_UNITS) {
            if let [path, state] = line.list()
                && let Some(name) = path.text().rsplit('/').next().filter(|name| name.ends_with(".service"))
            {
                files.insert(name.to_owned(), state.text().to_owned());
            }
        }
        let now = feed.now();
        let names: BTreeSet<&String> = self.files.keys().chain(files.keys()).collect();
        for name in names.into_iter().filter(|_| !first) {
            let (old, new) = (self.files.get(name), files.get(name));
            let on = |state: Option<&String>| state.is_some_and(|state| enabled(state));
            let masked = |state: Option<&String>| state.is_some_and(|state| state.starts_with("masked"));
            let (verb, said) = match (on(old), on(new)) {
                (false, true) => ("service.enable", format!("{name} will start with the host")),
                (true, false) => ("service.disable", format!("{name} will not start with the host any more")),
                _ if !masked(old) && masked(new) => {
                    ("service.disable", format!("{name} was masked: it cannot be started"))
                }
                _ if masked(old) && !masked(new) => {
                    ("service.enable", format!("{name} is not masked any more"))
                }
                _ => continue,
            };
            let mut event = difference(verb, name, now, said).data("unit", name.as_str());
            put_some(&mut event, "old_state", old.map(String::as_str));
            put(&mut event, "state", new.map_or("removed", String::as_str));
            compared::push(feed, "services", event);
        }
        self.files = files;
        Ok(())
    }
}

fn enabled(state: &str) -> bool {
    state.starts_with("enabled") || state.starts_with("linked") && state.ends_with("runtime")
}

fn tell(event: Event, inferred: bool, feed: &mut Feed) {
    let event = if inferred { event.data("inferred", true) } else { event };
    compared::push(feed, "services", event);
}

/// What a unit is now; none when it cannot be loaded.
fn ask(bus: &mut Bus, path: &str) -> Result<Option<Unit>, BusError> {
    let unit = bus.properties(path, UNIT);
    let service = bus.properties(path, SERVICE);
    match (unit, service) {
        (Ok(unit), Ok(service)) => Ok(Some(Unit::from(&unit, &service))),
        (Err(error), _) | (_, Err(error)) if !error.harmless() => Err(error),
        _ => Ok(None),
    }
}

/// The name in a path: what is no letter or digit is `_` and two hexadecimal digits (`bus_label_escape` of systemd).
fn escape(name: &str) -> String {
    let mut path = String::new();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => path.push(byte.into()),
            b'0'..=b'9' if at > 0 => path.push(byte.into()),
            _ => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

fn unescape(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, left)) = rest.split_first() {
        let code = left.first_chunk::<2>().filter(|_| *byte == b'_').and_then(|digits| {
            std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
        });
        bytes.push(code.unwrap_or(*byte));
        rest = left.get(if code.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Collector for Systemd {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let connected = match self.bus.take() {
            Some(bus) => Ok(bus),
            None if Instant::now() < self.retry_at => return Ok(()),
            None => {
                self.compare_at = Instant::now();
                Bus::connect(&self.place)
            }
        };
        let heard = connected.and_then(|mut bus| {
            let heard = self.hear(&mut bus, feed);
            let harmless = heard.as_ref().err().is_none_or(BusError::harmless);
            self.bus = harmless.then_some(bus);
            heard
        });
        feed.status().set_problem(heard.as_ref().err().map(BusError::told));
        if heard.is_err() {
            self.retry_at = Instant::now() + RETRY;
        }
        feed.send(|| json!({ "units": self.known, "files": self.files }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_path() {
        for (name, path) in [
            ("ssh.service", "ssh_2eservice"),
            ("getty@tty1.service", "getty_40tty1_2eservice"),
            ("1a_b-é.service", "_31a_5fb_2d_c3_a9_2eservice"),
        ] {
            assert_eq!(escape(name), path);
            assert_eq!(unescape(path), name);
        }
        assert_eq!(unescape("a_zz_é_"), "a_zz_é_");
    }
}
