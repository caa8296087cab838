//! Source `container_logs`: what containers write to their standard output and error, line by line.
//!
//! Of containers with the log driver `json-file` the files are read ([`json_file`]) where this process may; of all others, and through a
//! socket alone, the engine gives the log out ([`api`]). The engine's events tell of containers that begin and end, so that the log of one that
//! runs for a moment is opened before it is removed. A container says by a label that its log is not to be read, or what a first line
//! of an event looks like in it.
//!
//! The position holds for each container the place up to which everything has been sent, and the time of each stream's last line: with it
//! nothing is lost or repeated when this, the container or the engine is started again ([`groups`]).

mod api;
mod following;
mod groups;
mod json_file;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use attestry_event::Nanos;
use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    docker::{
        self,
        engine::{Engine, EngineError},
        listen::Listener,
        message::Message,
    },
    follow::Gap,
    source::{Availability, Cadence, Collector, Feed, Paths, Setup, Source, Stopped},
};
use following::{About, Following};

/// How long a pass waits for an event of the engine when no log has anything new.
const WAIT: Duration = Duration::from_millis(200);
/// The pause between two passes; the waiting is done within them.
const PAUSE: Duration = Duration::from_millis(10);
/// After a failed connect the next is tried this much later.
const RETRY: Duration = Duration::from_secs(2);
/// How often the containers are listed, beside what the engine's events tell.
const LIST_EVERY: Duration = Duration::from_secs(60);
/// Events of the engine in one go.
const MAX_MESSAGES: usize = 1_000;

/// What containers write to their standard output and error.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The engine's socket. Default: `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// A container with this label set to `false` is left alone. Default: `attestry.logs`.
    pub label: String,
    /// What the first line of an event looks like, as a regular expression: a line that does not match goes on the one before, of the same
    /// stream. `^\S` takes indented lines to the line before. A container's label `attestry.first_line` goes before it. Default: every line
    /// is an event of its own.
    pub first_line: Option<String>,
    /// Whether the files of the driver `json-file` are read where they can be, rather than asking the engine. Default: true.
    pub files: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { socket: docker::SOCKET.into(), label: "attestry.logs".into(), first_line: None, files: true }
    }
}

/// A container's own [`Config::first_line`].
const FIRST_LINE_LABEL: &str = "attestry.first_line";

impl Source for Config {
    fn kind(&self) -> &'static str {
        "container_logs"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(PAUSE)
    }

    fn needs(&self) -> &'static str {
        "Docker's socket (root, or the group docker, which is as much); root reads the log files directly"
    }

    fn availability(&self, _paths: &Paths) -> Availability {
        docker::available(&self.socket)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let pattern = self.first_line.as_deref().map(Regex::new);
        pattern.and_then(Result::err).map(|error| ("first_line", error.to_string())).into_iter().collect()
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(ContainerLogs::new(self, setup))
    }
}

/// The source at work.
struct ContainerLogs {
    host: String,
    engine: Engine,
    config: Config,
    listener: Option<Listener>,
    retry_at: Option<Instant>,
    list_at: Option<Instant>,
    /// The time of the engine's last event of a container.
    newest: Nanos,
    following: BTreeMap<String, Following>,
    /// Positions of containers that have not been met since the start.
    kept: BTreeMap<String, Value>,
}

impl ContainerLogs {
    fn new(config: &Config, setup: &Setup) -> ContainerLogs {
        let position = setup.position.as_ref();
        let newest = position.and_then(|at| at["newest"].as_i64()).map(Nanos);
        let kept = position.and_then(|at| at["containers"].as_object());
        ContainerLogs {
            host: setup.host.clone(),
            engine: Engine::new(&config.socket),
            config: config.clone(),
            listener: None,
            retry_at: None,
            list_at: None,
            newest: newest.unwrap_or_else(|| setup.clock.now()),
            following: BTreeMap::new(),
            kept: kept.into_iter().flatten().map(|(id, at)| (id.clone(), at.clone())).collect(),
        }
    }

    fn position(&self) -> Value {
        let followed = self.following.iter().map(|(id, following)| (id.clone(), following.position()));
        let kept = self.kept.iter().map(|(id, at)| (id.clone(), at.clone()));
        let containers: serde_json::Map<String, Value> = kept.chain(followed).collect();
        json!({ "newest": self.newest.0, "containers": containers })
    }

    /// Listens, and learns of containers that begin and end.
    fn listen(&mut self, wait: bool, resident: bool, feed: &mut Feed) -> Result<(), EngineError> {
        if self.listener.is_none() {
            if self.retry_at.is_some_and(|at| Instant::now() < at) {
                return Ok(());
            }
            self.listener =
                Some(Listener::since(&self.engine, Nanos(self.newest.0.saturating_add(1)), WAIT)?);
            self.list_at = None;
            self.following.values_mut().for_each(Following::read_again);
            feed.status().set_problem(None);
        }
        let mut lines = Vec::new();
        if let Some(listener) = &mut self.listener {
            listener.lines(MAX_MESSAGES, wait, |line| lines.push(line.to_vec()));
            if listener.ended() {
                (self.listener, self.retry_at) = (None, None);
            }
        }
        for line in &lines {
            // What is no event the source of events says.
            let Ok(message) = Message::parse(line, &self.host) else { continue };
            if message.kind == "container" {
                self.newest = self.newest.max(message.time);
                self.hear(&message, resident, feed)?;
            }
        }
        if self.listener.is_some() && self.list_at.is_none_or(|at| Instant::now() >= at) {
            self.list(resident, feed)?;
            self.list_at = Some(Instant::now() + LIST_EVERY);
        }
        Ok(())
    }

    fn hear(&mut self, message: &Message, resident: bool, feed: &mut Feed) -> Result<(), EngineError> {
        let id = &message.id;
        match message.verb() {
            "start" => {
                let there = self.look(id, resident, feed)?;
                if !there && !self.following.contains_key(id) && !self.kept.contains_key(id) {
                    let name = message.attribute("name").unwrap_or(id);
                    feed.lose(gap(name, "was removed with its container before it could be read"));
                }
            }
            "die" | "rename" => drop(self.look(id, resident, feed)?),
            "destroy" => match self.following.get_mut(id) {
                Some(following) => following.removed = true,
                None => self.gone(id, feed),
            },
            _ => {}
        }
        Ok(())
    }

    /// All containers there are.
    fn list(&mut self, resident: bool, feed: &mut Feed) -> Result<(), EngineError> {
        let list = self.engine.get("/containers/json?all=1")?;
        let list = list.as_array().into_iter().flatten();
        let ids: BTreeSet<String> = list.filter_map(|entry| Some(entry["Id"].as_str()?.to_owned())).collect();
        for id in &ids {
            self.look(id, resident, feed)?;
        }
        let gone = self.following.iter_mut().filter(|(id, _)| !ids.contains(*id));
        gone.for_each(|(_, following)| following.removed = true);
        let gone: Vec<String> = self.kept.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        gone.iter().for_each(|id| self.gone(id, feed));
        Ok(())
    }

    /// A container whose log was not being read is no more.
    fn gone(&mut self, id: &str, feed: &mut Feed) {
        let Some(at) = self.kept.remove(id) else { return };
        let name = at["name"].as_str().unwrap_or(id);
        feed.lose(gap(name, "was removed with its container while nobody read it: lines may be lost"));
    }

    /// Learns how a container is, and reads its log if it should; false when it is gone.
    fn look(&mut self, id: &str, resident: bool, feed: &mut Feed) -> Result<bool, EngineError> {
        let about = match self.engine.get(&format!("/containers/{id}/json")) {
            Ok(value) => About::inspected(&value),
            // Its end is told by an event of its own.
            Err(EngineError::Gone(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        if !about.keeps_a_log() || about.labels.get(&self.config.label).is_some_and(|value| value == "false")
        {
            self.kept.remove(id);
            return Ok(true);
        }
        match self.following.get_mut(id) {
            Some(following) => following.know(about),
            None => {
                let first_line = self.first_line(&about, feed);
                let position = self.kept.remove(id);
                let following = Following::new(about, first_line, position.as_ref());
                self.following.insert(id.to_owned(), following);
            }
        }
        if let Some(following) = self.following.get_mut(id) {
            following.open(&self.engine, self.config.files, resident, feed)?;
        }
        Ok(true)
    }

    fn first_line(&self, about: &About, feed: &mut Feed) -> Option<Regex> {
        let own = about.labels.get(FIRST_LINE_LABEL);
        let pattern = own.or(self.config.first_line.as_ref())?;
        match Regex::new(pattern) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let what = format!(
                    "container {} has a label {FIRST_LINE_LABEL} that is no pattern: {error}",
                    about.name
                );
                feed.status().set_problem(Some(what));
                None
            }
        }
    }

    fn fail(&mut self, error: &EngineError, feed: &Feed) {
        feed.status().set_problem(Some(error.told()));
        (self.listener, self.retry_at) = (None, Some(Instant::now() + RETRY));
    }

    /// Reads all logs once round; true when there may be more at once.
    fn read(&mut self, resident: bool, feed: &mut Feed) -> Result<bool, Stopped> {
        let mut more = false;
        let (mut done, mut hung_up) = (Vec::new(), Vec::new());
        let ids: Vec<String> = self.following.keys().cloned().collect();
        for id in ids {
            let Some(following) = self.following.get_mut(&id) else { continue };
            let again = following.read(&self.host, feed);
            more |= again;
            if !again && following.done() {
                done.push(id);
            } else if following.hung_up() && self.listener.is_some() {
                hung_up.push(id);
            }
            feed.send_when_full(|| self.position())?;
            feed.go_on()?;
        }
        for id in &hung_up {
            if let Err(error) = self.look(id, resident, feed) {
                self.fail(&error, feed);
                break;
            }
        }
        for id in &done {
            let Some(following) = self.following.remove(id) else { continue };
            if following.about.started() && !following.met {
                feed.lose(gap(
                    &following.about.name,
                    "was removed with its container before it could be read",
                ));
            }
        }
        if done.is_empty() {
            feed.send(|| self.position())?
        } else {
            feed.keep(|| self.position())?
        }
        Ok(more)
    }
}

fn gap(container: &str, reason: &str) -> Gap {
    Gap { file: format!("the log of container {container}"), reason: reason.to_owned() }
}

impl Collector for ContainerLogs {
    fn pass(&mut self, feed: &mut Feed, resident: bool) -> Result<(), Stopped> {
        let mut more = false;
        loop {
            // What begins and ends is heard between two rounds, however much there is to read.
            if let Err(error) = self.listen(!more, resident, feed) {
                self.fail(&error, feed);
            }
            more = self.read(resident, feed)?;
            if !more {
                return Ok(());
            }
        }
    }
}
