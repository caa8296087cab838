//! What the engine says has happened, one JSON object a line (`GET /events`), and the event it becomes.
//!
//! The names follow the engine's own words (<https://docs.docker.com/reference/cli/docker/system/events/>): `container` `die` becomes
//! `container.die`. What the table does not know becomes `docker.other` and keeps everything that was said.

use std::collections::BTreeMap;

use attestry_event::{Event, Nanos, Outcome};
use serde::Deserialize;
use serde_json::Value;

use super::describe::{self, Labels};
use crate::{
    line::{hashed_id, put, put_some},
    redact,
};

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) time: Nanos,
    /// `container`, `image`, `network`, `volume`, `daemon`, `plugin` and those of a swarm.
    pub(crate) kind: String,
    /// `start`, or with more: `exec_create: sh -c true`, `health_status: healthy`.
    pub(crate) action: String,
    /// Of what it happened to; of a volume its name.
    pub(crate) id: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The same whenever the engine says it again.
    pub(crate) event_id: String,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: Option<BTreeMap<String, String>>,
}

impl Message {
    /// Reads a line.
    pub(crate) fn parse(line: &[u8], host: &str) -> Result<Message, String> {
        let written: Written = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        Ok(Message {
            time: Nanos(written.time_nano),
            kind: written.kind,
            action: written.action,
            id: written.actor.id,
            attributes: written.actor.attributes.unwrap_or_default(),
            event_id: hashed_id("docker", host, &[line]),
        })
    }

    /// The action without what follows its colon.
    pub(crate) fn verb(&self) -> &str {
        self.action.split_once(':').map_or(&*self.action, |(verb, _)| verb)
    }

    /// What follows the action's colon.
    pub(crate) fn rest(&self) -> Option<&str> {
        self.action.split_once(": ").map(|(_, rest)| rest)
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A container's or image's labels: all attributes but those with which the engine says something of its own.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let own = |name: &str| OWN_ATTRIBUTES.contains(&name);
        let labels = self.attributes.iter().filter(|(name, _)| !own(name));
        labels.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The event it is.
    pub(crate) fn event(&self) -> Event {
        let row = ROWS.iter().find(|row| row.kind == self.kind && row.verb == self.verb());
        let mut event = Event::new(row.map_or(OTHER, |row| row.event), "-");
        event.event_id = Some(self.event_id.clone());
        event.event_time = Some(self.time);
        event.severity = Some(row.map_or(6, |row| row.severity));
        event.outcome = Some(Outcome::Success);
        event.read_only = row.is_some_and(|row| row.read_only);
        let subject = match &*self.kind {
            "container" => {
                let name = self.attribute("name").unwrap_or(&self.id);
                describe::container(
                    &mut event,
                    &self.id,
                    name,
                    self.attribute("image"),
                    &Labels(&self.labels()),
                );
                format!("container {name}")
            }
            "image" => {
                let name = self.attribute("name").unwrap_or(&self.id);
                put(&mut event, "image_name", name);
                put_some(&mut event, "image_id", Some(&*self.id).filter(|id| id.starts_with("sha256:")));
                Labels(&self.labels()).put(&mut event);
                event.resource = Some(name.to_owned());
                format!("image {name}")
            }
            "network" => {
                let name = self.attribute("name").unwrap_or(&self.id);
                describe::network(&mut event, &self.id, name, self.attribute("type"));
                put_some(&mut event, "container_id", self.attribute("container"));
                format!("network {name}")
            }
            "volume" => {
                describe::volume(&mut event, &self.id, self.attribute("driver"));
                put_some(&mut event, "container_id", self.attribute("container"));
                put_some(&mut event, "destination", self.attribute("destination"));
                put_some(&mut event, "writable", self.attribute("read/write").map(|value| value == "true"));
                format!("volume {}", self.id)
            }
            kind => {
                event.resource = Some(self.attribute("name").unwrap_or(&self.id).to_owned());
                format!("{kind} {}", self.attribute("name").unwrap_or(&self.id))
            }
        };
        match row {
            Some(row) => self.detail(&mut event, &subject, row.said),
            None => {
                put(&mut event, "object", &*self.kind);
                put(&mut event, "action", &*redact::secrets(&self.action));
                if !matches!(&*self.kind, "container" | "image" | "network" | "volume") {
                    Labels(&self.attributes).put_as(&mut event, "attributes");
                }
                event.message = Some(format!("{subject}: {}", redact::secrets(&self.action)));
            }
        }
        event
    }

    /// What only some of them tell, and the human line.
    fn detail(&self, event: &mut Event, subject: &str, said: &str) {
        let mut line = format!("{subject} {said}");
        if let Some(code) = self.attribute("exitCode").and_then(|code| code.parse::<i64>().ok()) {
            put(event, "exit_code", code);
            line.push_str(&format!(", exit code {code}"));
            if code != 0 {
                event.outcome = Some(Outcome::Failure);
                event.severity = Some(4);
            }
        }
        if let Some(signal) = self.attribute("signal") {
            put(event, "signal", signal.parse::<u32>().map_or_else(|_| Value::from(signal), Value::from));
            line.push_str(&format!(" {signal}"));
        }
        if self.verb() == "oom" {
            event.outcome = Some(Outcome::Failure);
        }
        if self.verb() == "health_status" {
            describe::health(event, self.rest().unwrap_or("unknown"));
            line.push_str(&format!(" {}", self.rest().unwrap_or("of unknown health")));
        }
        if self.verb().starts_with("exec_") {
            put_some(event, "exec_id", self.attribute("execID"));
            if let Some(command) = self.rest() {
                let command = redact::secrets(command);
                put(event, "command_line", &*command);
                line.push_str(&format!(": {command}"));
            }
        }
        if let Some(old) = self.attribute("oldName") {
            let old = old.trim_start_matches('/');
            put(event, "old_name", old);
            line.push_str(&format!(", before {old}"));
        }
        put_some(
            event,
            "reclaimed_bytes",
            self.attribute("reclaimed").and_then(|text| text.parse::<u64>().ok()),
        );
        event.message = Some(line);
    }
}

/// Attributes that are no label, of containers and images.
const OWN_ATTRIBUTES: &[&str] =
    &["name", "image", "exitCode", "signal", "execID", "execDuration", "oldName", "reclaimed"];

/// The event of what is not in the table.
const OTHER: &str = "docker.other";

struct Row {
    kind: &'static str,
    verb: &'static str,
    event: &'static str,
    severity: u8,
    read_only: bool,
    said: &'static str,
}

const fn row(
    kind: &'static str,
    verb: &'static str,
    event: &'static str,
    severity: u8,
    said: &'static str,
) -> Row {
    Row { kind, verb, event, severity, read_only: false, said }
}

const fn look(kind: &'static str, verb: &'static str, event: &'static str, said: &'static str) -> Row {
    Row { kind, verb, event, severity: 6, read_only: true, said }
}

const ROWS: &[Row] = &[
    row("container", "create", "container.create", 6, "was created"),
    row("container", "start", "container.start", 6, "was started"),
    row("container", "stop", "container.stop", 6, "was stopped"),
    row("container", "die", "container.die", 6, "ended"),
    row("container", "kill", "container.kill", 5, "was sent signal"),
    row("container", "restart", "container.restart", 6, "was restarted"),
    row("container", "oom", "container.oom", 3, "ran out of memory"),
    row("container", "health_status", "container.health", 6, "is"),
    row("container", "exec_create", "container.exec_create", 6, "is to run"),
    row("container", "exec_start", "container.exec_start", 6, "runs"),
    row("container", "exec_die", "container.exec_die", 6, "is done with what was run in it"),
    row("container", "destroy", "container.destroy", 5, "was removed"),
    row("container", "pause", "container.pause", 6, "was paused"),
    row("container", "unpause", "container.unpause", 6, "goes on"),
    row("container", "rename", "container.rename", 5, "has a new name"),
    row("container", "update", "container.update", 5, "was given other limits"),
    row("container", "commit", "container.commit", 5, "was made an image"),
    look("container", "attach", "container.attach", "was attached to"),
    look("container", "detach", "container.detach", "was detached from"),
    look("container", "export", "container.export", "was exported"),
    look("container", "archive-path", "container.read", "had files copied out of it"),
    row("container", "extract-to-dir", "container.write", 5, "had files copied into it"),
    row("image", "pull", "image.pull", 6, "was pulled"),
    look("image", "push", "image.push", "was pushed"),
    row("image", "delete", "image.delete", 5, "was deleted"),
    row("image", "tag", "image.tag", 6, "was tagged"),
    row("image", "untag", "image.untag", 6, "lost a tag"),
    row("image", "import", "image.import", 6, "was imported"),
    row("image", "load", "image.load", 6, "was loaded"),
    look("image", "save", "image.save", "was saved"),
    row("network", "create", "network.create", 6, "was created"),
    row("network", "connect", "network.connect", 6, "got a container"),
    row("network", "disconnect", "network.disconnect", 6, "lost a container"),
    row("network", "destroy", "network.destroy", 5, "was removed"),
    // Of a network of a swarm.
    row("network", "remove", "network.destroy", 5, "was removed"),
    row("volume", "create", "volume.create", 6, "was created"),
    row("volume", "mount", "volume.mount", 6, "was mounted"),
    row("volume", "unmount", "volume.unmount", 6, "was unmounted"),
    row("volume", "destroy", "volume.destroy", 5, "was removed"),
    row("daemon", "reload", "docker.reload", 5, "read its configuration again"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, proof::show};

    fn line(kind: &str, action: &str, attributes: &str) -> String {
        format!(
            r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"5790672ab6a0","Attributes":{attributes}}},"scope":"local","time":1795000000,"timeNano":1795000000123456789}}"#
        )
    }

    /// What becomes of it, without what all containers' events have.
    fn shown(kind: &str, action: &str, attributes: &str) -> String {
        let event = Message::parse(line(kind, action, attributes).as_bytes(), "web1").unwrap().event();
        assert_eq!(catalogue::problem(&event), None);
        assert_eq!(event.event_time, Some(Nanos(1_795_000_000_123_456_789)));
        format!("{} | {} {}", show(&event), event.severity.unwrap(), event.message.unwrap())
    }

    #[test]
    fn events_of_an_engine() {
        let web = r#"{"image":"nginx:1.27","name":"web","com.docker.compose.project":"shop","com.docker.compose.service":"front","com.docker.compose.config-hash":"x","team":"a"}"#;
        let about = "container_id=5790672ab6a0 container_name=web image_name=nginx:1.27";
        let compose = r#"compose_project=shop compose_service=front labels={"team":"a"}"#;
        for (kind, action, attributes, expected) in [
            (
                "container",
                "start",
                web,
                format!("container.start - web success - {about} {compose} | 6 container web was started"),
            ),
            (
                "container",
                "die",
                r#"{"image":"nginx:1.27","name":"web","exitCode":"137"}"#,
                format!("container.die - web failure - {about} exit_code=137 | 4 container web ended, exit code 137"),
            ),
            (
                "container",
                "die",
                r#"{"image":"nginx:1.27","name":"web","exitCode":"0"}"#,
                format!("container.die - web success - {about} exit_code=0 | 6 container web ended, exit code 0"),
            ),
            (
                "container",
                "kill",
                r#"{"image":"nginx:1.27","name":"web","signal":"15"}"#,
                format!("container.kill - web success - {about} signal=15 | 5 container web was sent signal 15"),
            ),
            (
                "container",
                "exec_create: mysql -pgeheim -e x: y",
                r#"{"image":"nginx:1.27","name":"web","execID":"e1"}"#,
                format!(
                    "container.exec_create - web success - {about} exec_id=e1 command_line=mysql -p[redacted] -e x: y | 6 container web is to run: mysql -p[redacted] -e x: y"
                ),
            ),
            (
                "container",
                "health_status: unhealthy",
                r#"{"image":"nginx:1.27","name":"web"}"#,
                format!("container.health - web failure - {about} health=unhealthy | 4 container web is unhealthy"),
            ),
            (
                "container",
                "rename",
                r#"{"image":"nginx:1.27","name":"web","oldName":"/old"}"#,
                format!("container.rename - web success - {about} old_name=old | 5 container web has a new name, before old"),
            ),
            (
                "container",
                "oom",
                r#"{"image":"nginx:1.27","name":"web"}"#,
                format!("container.oom - web failure - {about} | 3 container web ran out of memory"),
            ),
            (
                "container",
                "levitate: high",
                r#"{"image":"nginx:1.27","name":"web"}"#,
                format!("docker.other - web success - {about} object=container action=levitate: high | 6 container web: levitate: high"),
            ),
            (
                "image",
                "pull",
                r#"{"name":"nginx","maintainer":"x"}"#,
                r#"image.pull - nginx success - image_name=nginx labels={"maintainer":"x"} | 6 image nginx was pulled"#.into(),
            ),
            (
                "network",
                "connect",
                r#"{"container":"c1","name":"shop_default","type":"bridge"}"#,
                "network.connect - shop_default success - network_id=5790672ab6a0 network_name=shop_default network_type=bridge container_id=c1 | 6 network shop_default got a container".into(),
            ),
            (
                "volume",
                "mount",
                r#"{"container":"c1","destination":"/data","driver":"local","propagation":"","read/write":"true"}"#,
                "volume.mount - 5790672ab6a0 success - volume_name=5790672ab6a0 driver=local container_id=c1 destination=/data writable=true | 6 volume 5790672ab6a0 was mounted".into(),
            ),
            (
                "daemon",
                "reload",
                r#"{"name":"web1","debug":"false"}"#,
                "docker.reload - web1 success - | 5 daemon web1 read its configuration again".into(),
            ),
            (
                "service",
                "create",
                r#"{"name":"front"}"#,
                r#"docker.other - front success - object=service action=create attributes={"name":"front"} | 6 service front: create"#.into(),
            ),
            ("container", "start", "null", "container.start - 5790672ab6a0 success - container_id=5790672ab6a0 container_name=5790672ab6a0 | 6 container 5790672ab6a0 was started".into()),
        ] {
            assert_eq!(shown(kind, action, attributes), expected);
        }
    }

    #[test]
    fn every_name_is_in_the_catalogue() {
        for row in ROWS {
            assert!(catalogue::CATALOGUE.iter().any(|entry| entry.name == row.event), "{}", row.event);
        }
    }

    #[test]
    fn ids_are_the_same_for_the_same_line_and_host() {
        let id = |line: &str, host: &str| Message::parse(line.as_bytes(), host).unwrap().event_id;
        let one = line("container", "start", "{}");
        assert_eq!(id(&one, "web1"), id(&one, "web1"));
        assert_ne!(id(&one, "web1"), id(&one, "web2"));
        assert_ne!(id(&one, "web1"), id(&line("container", "stop", "{}"), "web1"));
    }

    #[test]
    fn what_is_no_event_is_said() {
        for text in ["", "{}", "[]", r#"{"Type":"container"}"#] {
            assert!(Message::parse(text.as_bytes(), "web1").is_err(), "{text}");
        }
    }
}
