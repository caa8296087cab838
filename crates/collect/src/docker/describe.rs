//! How events tell of containers, networks and volumes: the same members whether the engine said it or it was inferred.

use std::collections::BTreeMap;

use attestry_event::{Event, Outcome};
use serde_json::{Map, Value};

use crate::{
    line::{put, put_some},
    redact,
};

/// More labels than this are not put into an event: Kubernetes' nodes have some thirty.
const MAX_LABELS: usize = 64;
/// A longer label is cut: some carry whole files.
const MAX_LABEL_CHARS: usize = 512;

/// Compose's own labels: its project and service become members, the rest (hashes, paths, versions) says nothing.
const COMPOSE: &str = "com.docker.compose.";

/// Labels of a container or an image.
pub(crate) struct Labels<'a>(pub(crate) &'a BTreeMap<String, String>);

impl Labels<'_> {
    pub(crate) fn put(&self, event: &mut Event) {
        let compose = |name: &str| self.0.get(&format!("{COMPOSE}{name}")).map(String::as_str);
        put_some(event, "compose_project", compose("project"));
        put_some(event, "compose_service", compose("service"));
        self.put_as(event, "labels");
    }

    /// Under another member's name.
    pub(crate) fn put_as(&self, event: &mut Event, member: &str) {
        let mut labels = Map::new();
        let mut left_out = 0;
        for (name, value) in self.0.iter().filter(|(name, _)| !name.starts_with(COMPOSE)) {
            if labels.len() >= MAX_LABELS {
                left_out += 1;
                continue;
            }
            let value = redact::secrets(value);
            let kept: String = value.chars().take(MAX_LABEL_CHARS).collect();
            labels.insert(name.clone(), Value::from(kept));
        }
        if !labels.is_empty() {
            put(event, member, labels);
        }
        put_some(event, "labels_left_out", Some(left_out).filter(|count| *count > 0));
    }
}

pub(crate) fn container(event: &mut Event, id: &str, name: &str, image: Option<&str>, labels: &Labels<'_>) {
    put(event, "container_id", id);
    put(event, "container_name", name);
    put_some(event, "image_name", image);
    labels.put(event);
    event.resource = Some(name.to_owned());
}

/// Whether a container can take over its host, as `GET /containers/{id}/json` tells: it is privileged, or an engine's socket is mounted
/// into it, or a folder in which one is.
pub(crate) fn power(event: &mut Event, inspected: &Value) {
    let privileged = inspected["HostConfig"]["Privileged"] == true;
    let mounts = inspected["Mounts"].as_array().into_iter().flatten();
    let socket = mounts.filter_map(|mount| mount["Source"].as_str()).any(|source| {
        let source = source.trim_end_matches('/');
        let sockets = ["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];
        let folders = ["", "/run", "/var/run", "/var", "/run/docker", "/run/containerd", "/run/podman"];
        folders.contains(&source) || sockets.iter().any(|name| source.rsplit('/').next() == Some(name))
    });
    put_some(event, "privileged", Some(true).filter(|_| privileged));
    put_some(event, "engine_socket", Some(true).filter(|_| socket));
    if privileged || socket {
        event.severity = Some(4);
    }
}

pub(crate) fn network(event: &mut Event, id: &str, name: &str, kind: Option<&str>) {
    put(event, "network_id", id);
    put(event, "network_name", name);
    put_some(event, "network_type", kind);
    event.resource = Some(name.to_owned());
}

pub(crate) fn volume(event: &mut Event, name: &str, driver: Option<&str>) {
    put(event, "volume_name", name);
    put_some(event, "driver", driver);
    event.resource = Some(name.to_owned());
}

pub(crate) fn health(event: &mut Event, health: &str) {
    put(event, "health", health);
    if health == "unhealthy" {
        event.outcome = Some(Outcome::Failure);
        event.severity = Some(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_can_take_over_its_host_is_told() {
        let mount = |source: &str| json!({"HostConfig": {"Privileged": false}, "Mounts": [{"Source": "/srv"}, {"Source": source}]});
        for (inspected, privileged, socket) in [
            (json!({"HostConfig": {"Privileged": true}, "Mounts": []}), true, false),
            (mount("/var/run/docker.sock"), false, true),
            (mount("/run/"), false, true),
            (mount("/"), false, true),
            (mount("/srv/docker.sock.d"), false, false),
            (json!({}), false, false),
        ] {
            let mut event = Event::new("container.create", "-");
            power(&mut event, &inspected);
            let data = event.event_data.unwrap_or_default();
            assert_eq!(
                (data.contains_key("privileged"), data.contains_key("engine_socket")),
                (privileged, socket)
            );
            assert_eq!(event.severity, (privileged || socket).then_some(4), "{inspected}");
        }
    }
}
