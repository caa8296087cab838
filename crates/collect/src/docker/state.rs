//! What there is: containers, images, networks and volumes, as the engine lists them and as its events leave them; and where the two
//! differ, what must have happened ([`infer`]).

mod infer;

use std::collections::{BTreeMap, BTreeSet};

use attestry_event::Nanos;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    engine::{Engine, EngineError},
    message::Message,
};
pub(super) use infer::{Differences, Object, same};

/// Everything, by id; volumes by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) containers: BTreeMap<String, Container>,
    /// None before the first look: which images there are at the start is no event.
    pub(super) images: Option<BTreeMap<String, BTreeSet<String>>>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    phase: Phase,
    /// The last start, in nanoseconds since 1970, or the time of the event that told of it, which is a little later; 0 for none.
    started: i64,
    /// `healthy` or `unhealthy`, of those that are checked and were.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<String>,
    // What follows is known only of what was looked at.
    #[serde(skip)]
    created: i64,
    #[serde(skip)]
    ended: i64,
    #[serde(skip)]
    exit_code: Option<i64>,
    #[serde(skip)]
    out_of_memory: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    #[default]
    Created,
    Running,
    Paused,
    Ended,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Network {
    name: String,
    kind: String,
    #[serde(skip)]
    created: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Volume {
    driver: String,
    #[serde(skip)]
    created: i64,
}

/// A time such as `2026-11-21T03:04:05.123456789Z`; 0 for the engine's year 1, which means never.
fn time(value: &Value) -> i64 {
    value.as_str().and_then(|text| Nanos::parse(text).ok()).map_or(0, |time| time.0.max(0))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Container {
    /// Of `GET /containers/{id}/json`.
    fn inspected(value: &Value) -> Container {
        let state = &value["State"];
        let labels = value["Config"]["Labels"].as_object().into_iter().flatten();
        Container {
            name: text(&value["Name"]).trim_start_matches('/').to_owned(),
            image: text(&value["Config"]["Image"]),
            labels: labels.map(|(name, value)| (name.clone(), text(value))).collect(),
            phase: match state["Status"].as_str().unwrap_or_default() {
                "running" => Phase::Running,
                "paused" => Phase::Paused,
                "created" => Phase::Created,
                // exited, dead, removing, and restarting: between two runs.
                _ => Phase::Ended,
            },
            started: time(&state["StartedAt"]),
            health: checked(state["Health"]["Status"].as_str().unwrap_or_default()),
            created: time(&value["Created"]),
            ended: time(&state["FinishedAt"]),
            exit_code: state["ExitCode"].as_i64(),
            out_of_memory: state["OOMKilled"].as_bool().unwrap_or_default(),
        }
    }

    fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Paused)
    }
}

/// Of a check's outcome what is one: `starting` and `none` are not.
fn checked(health: &str) -> Option<String> {
    matches!(health, "healthy" | "unhealthy").then(|| health.to_owned())
}

impl State {
    /// What there is now. What goes away meanwhile is left out.
    pub(super) fn look(engine: &Engine) -> Result<State, EngineError> {
        let mut state = State { images: Some(images(engine)?), ..State::default() };
        let list = engine.get("/containers/json?all=1")?;
        for id in list.as_array().into_iter().flatten().filter_map(|entry| entry["Id"].as_str()) {
            match engine.get(&format!("/containers/{id}/json")) {
                Ok(value) => drop(state.containers.insert(id.to_owned(), Container::inspected(&value))),
                Err(EngineError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for network in engine.get("/networks")?.as_array().into_iter().flatten() {
            // The three that the engine makes for itself at its start are nobody's doing.
            if matches!(network["Name"].as_str(), None | Some("bridge" | "host" | "none")) {
                continue;
            }
            let kind = text(&network["Driver"]);
            let found = Network { name: text(&network["Name"]), kind, created: time(&network["Created"]) };
            state.networks.insert(text(&network["Id"]), found);
        }
        for volume in engine.get("/volumes")?["Volumes"].as_array().into_iter().flatten() {
            let found = Volume { driver: text(&volume["Driver"]), created: time(&volume["CreatedAt"]) };
            state.volumes.insert(text(&volume["Name"]), found);
        }
        Ok(state)
    }

    /// Takes over what an event tells. Events of images do not tell enough: then true, and they must be listed again.
    pub(super) fn apply(&mut self, message: &Message) -> bool {
        let id = &message.id;
        match (&*message.kind, message.verb()) {
            ("container", "create") => drop(self.containers.insert(id.clone(), told(message))),
            ("container", "destroy") => drop(self.containers.remove(id)),
            ("container", verb @ ("start" | "die" | "pause" | "unpause")) => {
                let unknown = !self.containers.contains_key(id);
                let container = self.containers.entry(id.clone()).or_insert_with(|| told(message));
                container.phase = match verb {
                    "start" | "unpause" => Phase::Running,
                    "pause" => Phase::Paused,
                    _ => Phase::Ended,
                };
                if unknown || verb == "start" {
                    container.started = container.started.max(message.time.0);
                }
                if verb == "start" {
                    container.health = None;
                }
            }
            ("container", "rename") => {
                if let (Some(container), Some(name)) =
                    (self.containers.get_mut(id), message.attribute("name"))
                {
                    container.name = name.to_owned();
                }
            }
            ("container", "health_status") => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.health = checked(message.rest().unwrap_or_default());
                }
            }
            ("image", _) => return true,
            ("network", "create") => {
                let of = |name: &str| message.attribute(name).unwrap_or_default().to_owned();
                self.networks.insert(id.clone(), Network { name: of("name"), kind: of("type"), created: 0 });
            }
            ("network", "destroy" | "remove") => drop(self.networks.remove(id)),
            ("volume", "create") => {
                let driver = message.attribute("driver").unwrap_or_default().to_owned();
                self.volumes.insert(id.clone(), Volume { driver, created: 0 });
            }
            ("volume", "destroy") => drop(self.volumes.remove(id)),
            _ => {}
        }
        false
    }

    /// Lists the images again.
    pub(super) fn refresh_images(&mut self, engine: &Engine) -> Result<(), EngineError> {
        self.images = Some(images(engine)?);
        Ok(())
    }

    /// Takes one object over from `now`.
    pub(super) fn adopt(&mut self, object: &Object, now: &State) {
        fn take<T: Clone>(from: &BTreeMap<String, T>, to: &mut BTreeMap<String, T>, id: &str) {
            match from.get(id) {
                Some(value) => drop(to.insert(id.to_owned(), value.clone())),
                None => drop(to.remove(id)),
            }
        }
        match object {
            Object::Container(id) => take(&now.containers, &mut self.containers, id),
            Object::Network(id) => take(&now.networks, &mut self.networks, id),
            Object::Volume(name) => take(&now.volumes, &mut self.volumes, name),
            Object::Image(id) => {
                if let (Some(from), Some(to)) = (&now.images, &mut self.images) {
                    take(from, to, id);
                }
            }
        }
    }
}

/// The container that an event tells of.
fn told(message: &Message) -> Container {
    Container {
        name: message.attribute("name").unwrap_or(&message.id).to_owned(),
        image: message.attribute("image").unwrap_or_default().to_owned(),
        labels: message.labels(),
        ..Container::default()
    }
}

fn images(engine: &Engine) -> Result<BTreeMap<String, BTreeSet<String>>, EngineError> {
    let list = engine.get("/images/json")?;
    let images = list.as_array().into_iter().flatten().map(|image| {
        let tags = image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let tags = tags.filter(|tag| *tag != "<none>:<none>").map(str::to_owned).collect();
        (text(&image["Id"]), tags)
    });
    Ok(images.collect())
}

#[cfg(test)]
mod tests;
