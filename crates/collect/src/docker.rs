//! Source `docker`: what happens to containers, images, networks and volumes, through the engine's socket.
//!
//! The engine tells of it on a connection that stays. It keeps 256 events for those who come back, and none across a restart of its own;
//! so after every connect, and every few minutes, what there is ([`state`]) is compared with what its events have led to, and what is
//! missing is made up for, marked `inferred`. Between the two a moment passes in which an event may be on its way: a difference counts
//! when it is still the same after [`SETTLE`].
//!
//! The position holds the state as the events sent so far have left it, and the ids of the last of them: on the next connect the engine
//! is asked for a little more than is missing, and what is known already is passed over.

pub(crate) mod describe;
pub(crate) mod engine;
pub(crate) mod listen;
pub(crate) mod message;
mod state;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use attestry_event::Nanos;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    follow::Gap,
    source::{Availability, Cadence, Collector, Feed, Paths, Setup, Source, Stopped},
};
use engine::{Engine, EngineError};
use listen::Listener;
use message::Message;
use state::{Differences, State};

/// Where Docker listens unless told otherwise.
pub(crate) const SOCKET: &str = "/var/run/docker.sock";

/// How long a pass waits for an event. The engine buffers some 1,000 for each listener while nobody reads.
const WAIT: Duration = Duration::from_millis(200);
/// The pause between two passes; the waiting is done within them.
const PAUSE: Duration = Duration::from_millis(50);
/// After a failed connect the next is tried this much later.
const RETRY: Duration = Duration::from_secs(2);
/// How long a difference must last before it counts: an event comes milliseconds after what it tells of.
const SETTLE: Duration = Duration::from_secs(2);
/// How often what there is is compared while nothing gives a reason to.
const COMPARE_EVERY: Duration = Duration::from_secs(300);
/// So many events in one pass are a reason to compare: the engine may have left some out.
const MANY_EVENTS: usize = 256;
/// Events of one pass; one batch, with what is inferred.
const MAX_EVENTS: usize = 900;
/// On a connect the engine is asked for this much more: its events are not quite in the order of their times.
const OVERLAP_NANOS: i64 = 10_000_000_000;
/// The engine tells at most 256 again.
const MAX_SEEN: usize = 512;
/// Checks that run at once, and containers whose check is known; beyond it they are looked up again.
const MAX_CHECKS: usize = 10_000;

/// What happens to containers, images, networks and volumes.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The engine's socket. Default: `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// Whether the commands with which the engine checks a container's health are told as well: three events for every check. Its outcome
    /// is told in any case. Default: false.
    pub health_checks: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { socket: SOCKET.into(), health_checks: false }
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "docker"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(PAUSE)
    }

    fn needs(&self) -> &'static str {
        "Docker's socket (root, or the group docker, which is as much)"
    }

    fn availability(&self, _paths: &Paths) -> Availability {
        available(&self.socket)
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Docker::new(self, setup))
    }
}

/// Whether there is an engine at this socket.
pub(crate) fn available(socket: &PathBuf) -> Availability {
    match UnixStream::connect(socket) {
        Ok(_) => Availability::on(format!("listens at {}", socket.display())),
        // It will be there again: a socket of systemd's stays while the engine does not run.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Availability::on(format!("{}: {error}; tried again", socket.display()))
        }
        Err(error) => Availability::off(format!("{}: {error}", socket.display())),
    }
}

/// The source at work.
struct Docker {
    host: String,
    engine: Engine,
    health_checks: bool,
    listener: Option<Listener>,
    retry_at: Option<Instant>,
    known: State,
    /// The time of the newest event so far; none before the first look.
    newest: Option<Nanos>,
    /// The last events by time and id, for those the engine tells again.
    seen: VecDeque<(Nanos, String)>,
    /// When to compare next; none while not connected.
    compare_at: Option<Instant>,
    /// What differed, and when it was seen.
    suspected: Option<(Instant, Differences)>,
    checks: Checks,
}

impl Docker {
    fn new(config: &Config, setup: &Setup) -> Docker {
        let position = setup.position.as_ref();
        let newest = position.and_then(|at| at["newest"].as_i64()).map(Nanos);
        let seen = position.and_then(|at| at["seen"].as_array()).into_iter().flatten().take(MAX_SEEN);
        let seen = seen.filter_map(|seen| Some((Nanos(seen[0].as_i64()?), seen[1].as_str()?.to_owned())));
        let known = position.and_then(|at| State::deserialize(&at["known"]).ok());
        Docker {
            host: setup.host.clone(),
            engine: Engine::new(&config.socket),
            health_checks: config.health_checks,
            listener: None,
            retry_at: None,
            known: known.unwrap_or_default(),
            newest,
            seen: seen.collect(),
            compare_at: None,
            suspected: None,
            checks: Checks::default(),
        }
    }

    fn position(&self) -> Value {
        let seen: Vec<Value> = self.seen.iter().map(|(time, id)| json!([time.0, id])).collect();
        let known = serde_json::to_value(&self.known).unwrap_or_default();
        json!({ "newest": self.newest.map(|time| time.0), "seen": seen, "known": known })
    }

    /// Connects when it is time to; true when there is a connection.
    fn connected(&mut self, feed: &Feed) -> bool {
        if self.listener.is_some() {
            return true;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let since = Nanos(self.newest.map_or(0, |newest| newest.0.saturating_sub(OVERLAP_NANOS)));
        match Listener::since(&self.engine, since, WAIT) {
            Ok(listener) => {
                self.listener = Some(listener);
                self.suspected = None;
                self.compare_at = Some(Instant::now());
                feed.status().set_problem(None);
                true
            }
            Err(error) => {
                self.fail(&error, feed);
                false
            }
        }
    }

    fn fail(&mut self, error: &EngineError, feed: &Feed) {
        self.listener = None;
        self.retry_at = Some(Instant::now() + RETRY);
        self.compare_at = None;
        feed.status().set_problem(Some(error.told()));
    }

    /// Takes the events that have come.
    fn listen(&mut self, feed: &mut Feed) -> Result<(), EngineError> {
        let Some(mut listener) = self.listener.take() else { return Ok(()) };
        let mut lines = Vec::new();
        listener.lines(MAX_EVENTS, true, |line| lines.push(line.to_vec()));
        if lines.len() >= MANY_EVENTS {
            self.compare_at = Some(Instant::now());
        }
        if listener.ended() {
            self.compare_at = None;
            self.retry_at = None;
        } else {
            self.listener = Some(listener);
        }
        let mut images_changed = false;
        for line in &lines {
            match Message::parse(line, &self.host) {
                Ok(message) => images_changed |= self.take(&message, feed),
                Err(reason) => feed.lose(Gap {
                    file: "docker".into(),
                    reason: format!("said something that is no event: {reason}"),
                }),
            }
        }
        if images_changed && self.known.images.is_some() {
            self.known.refresh_images(&self.engine)?;
        }
        Ok(())
    }

    /// True when the images have changed.
    fn take(&mut self, message: &Message, feed: &mut Feed) -> bool {
        if self.seen.iter().any(|(_, id)| *id == message.event_id) {
            return false;
        }
        let newest = self.newest.map_or(message.time, |newest| newest.max(message.time));
        self.newest = Some(newest);
        self.seen.push_back((message.time, message.event_id.clone()));
        self.seen.retain(|(time, _)| time.0 >= newest.0.saturating_sub(OVERLAP_NANOS));
        if self.seen.len() > MAX_SEEN {
            self.seen.pop_front();
        }
        if self.health_checks || !self.checks.is_one(&self.engine, message) {
            let mut event = message.event();
            if event.event_name == "container.create" {
                // One that is gone again, or an engine that does not answer, leaves the event as it is.
                if let Ok(inspected) = self.engine.get(&format!("/containers/{}/json", message.id)) {
                    describe::power(&mut event, &inspected);
                }
            }
            feed.push(event);
        }
        self.known.apply(message)
    }

    /// Compares when it is time to, and tells what has been missing long enough.
    fn compare(&mut self, feed: &mut Feed) -> Result<(), EngineError> {
        let due = match &self.suspected {
            Some((at, _)) => at.elapsed() >= SETTLE,
            None => self.compare_at.is_some_and(|at| Instant::now() >= at),
        };
        if !due || self.listener.is_none() {
            return Ok(());
        }
        let now = State::look(&self.engine)?;
        if self.known.images.is_none() {
            self.known.images.clone_from(&now.images);
        }
        let since = self.newest.unwrap_or(Nanos(0));
        let differences = self.known.differences(&now, &self.host, since, feed.now());
        let suspected = self.suspected.take().map(|(_, suspected)| suspected).unwrap_or_default();
        let mut missed = Vec::new();
        let mut open = Differences::new();
        for (object, events) in differences {
            if suspected.get(&object).is_some_and(|before| state::same(before, &events)) {
                self.known.adopt(&object, &now);
                missed.extend(events);
            } else {
                open.insert(object, events);
            }
        }
        missed.sort_by_key(|event| event.event_time);
        missed.into_iter().for_each(|event| feed.push(event));
        self.compare_at = Some(Instant::now() + COMPARE_EVERY);
        if !open.is_empty() {
            self.suspected = Some((Instant::now(), open));
        }
        Ok(())
    }
}

impl Collector for Docker {
    fn pass(&mut self, feed: &mut Feed, resident: bool) -> Result<(), Stopped> {
        loop {
            if self.connected(feed)
                && let Err(error) = self.listen(feed).and_then(|()| self.compare(feed))
            {
                self.fail(&error, feed);
            }
            feed.send(|| self.position())?;
            // Alone, a pass must last until a difference has settled.
            if resident || self.suspected.is_none() || self.listener.is_none() {
                return Ok(());
            }
            feed.go_on()?;
        }
    }
}

/// The commands that the engine runs in containers to check their health, told from those of people.
#[derive(Default)]
struct Checks {
    /// The command of each container that has one.
    commands: HashMap<String, Option<String>>,
    /// Those that run.
    running: HashSet<String>,
}

impl Checks {
    fn is_one(&mut self, engine: &Engine, message: &Message) -> bool {
        if message.kind != "container" || !message.verb().starts_with("exec_") {
            return false;
        }
        let Some(exec) = message.attribute("execID") else { return false };
        let Some(command) = message.rest() else {
            // The end of one does not say what it was.
            return self.running.remove(exec);
        };
        if self.commands.len() > MAX_CHECKS || self.running.len() > MAX_CHECKS {
            *self = Checks::default();
        }
        let known = self.commands.entry(message.id.clone()).or_insert_with(|| {
            let container = engine.get(&format!("/containers/{}/json", message.id)).ok()?;
            check_command(&container["Config"])
        });
        let is_one = known.as_deref() == Some(command);
        if is_one {
            self.running.insert(exec.to_owned());
        }
        is_one
    }
}

/// How the engine's event writes the command of a health check (`daemon/health.go`).
fn check_command(config: &Value) -> Option<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut test = words(&config["Healthcheck"]["Test"]).into_iter();
    let command: Vec<String> = match test.next()?.as_str() {
        "CMD" => test.collect(),
        "CMD-SHELL" => {
            let mut shell = words(&config["Shell"]);
            if shell.is_empty() {
                shell = vec!["/bin/sh".into(), "-c".into()];
            }
            shell.into_iter().chain(test).collect()
        }
        _ => return None,
    };
    Some(command.join(" "))
}
