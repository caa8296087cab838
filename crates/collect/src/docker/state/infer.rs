//! What must have happened between two states, where nobody told.
//!
//! The engine remembers 256 events, none of them across a restart of its own, and leaves out those who listen slowly. So what it says is
//! compared with what there is, and the events that are missing are made here, marked `inferred`: with the time that the state tells
//! (a container's creation, start and end, a network's and a volume's creation), else with that of the look.

use std::collections::{BTreeMap, BTreeSet};

use attestry_event::{Event, Nanos, Outcome};

use super::{Container, Network, Phase, State, Volume};
use crate::{
    docker::describe::{self, Labels},
    line::{hashed_id, put},
};

/// Something that can differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Container(String),
    Image(String),
    Network(String),
    Volume(String),
}

/// What must have happened, by what it happened to.
pub(crate) type Differences = BTreeMap<Object, Vec<Event>>;

/// Whether two looks have led to the same. Where no time is known, each look has its own.
pub(crate) fn same(one: &[Event], other: &[Event]) -> bool {
    let unknown =
        |event: &Event| event.event_data.as_ref().is_some_and(|data| data.contains_key("time_unknown"));
    let alike = |(one, other): (&Event, &Event)| {
        one.event_name == other.event_name
            && one.message == other.message
            && unknown(one) == unknown(other)
            && (unknown(one) || one.event_time == other.event_time)
    };
    one.len() == other.len() && one.iter().zip(other).all(alike)
}

impl State {
    /// What must have happened between this and `now`. `since` is the time of the last event: it tells apart two differences that look
    /// the same, and so do the ids that follow from it.
    pub(crate) fn differences(&self, now: &State, host: &str, since: Nanos, looked: Nanos) -> Differences {
        let mut found = Differences::new();
        let mut inferring = Inferring { host, since, looked, events: Vec::new() };
        for id in keys(&self.containers, &now.containers) {
            inferring.container(id, self.containers.get(id), now.containers.get(id));
            inferring.collect_into(&mut found, || Object::Container(id.clone()));
        }
        if let (Some(before), Some(after)) = (&self.images, &now.images) {
            for id in keys(before, after) {
                inferring.image(id, before.get(id), after.get(id));
                inferring.collect_into(&mut found, || Object::Image(id.clone()));
            }
        }
        for id in keys(&self.networks, &now.networks) {
            inferring.network(id, self.networks.get(id), now.networks.get(id));
            inferring.collect_into(&mut found, || Object::Network(id.clone()));
        }
        for name in keys(&self.volumes, &now.volumes) {
            inferring.volume(name, self.volumes.get(name), now.volumes.get(name));
            inferring.collect_into(&mut found, || Object::Volume(name.clone()));
        }
        found
    }
}

fn keys<'a, T>(one: &'a BTreeMap<String, T>, other: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

struct Inferring<'a> {
    host: &'a str,
    since: Nanos,
    looked: Nanos,
    events: Vec<Event>,
}

impl Inferring<'_> {
    fn collect_into(&mut self, found: &mut Differences, object: impl FnOnce() -> Object) {
        if !self.events.is_empty() {
            found.insert(object(), std::mem::take(&mut self.events));
        }
    }

    /// An event of which nobody told. Without a time of its own it has that of the look.
    fn event(&mut self, name: &str, id: &str, of: &str, time: i64, line: String) -> &mut Event {
        let known = if time > 0 { time } else { self.since.0 };
        let mut event = Event::new(name, "-")
            .id(hashed_id(
                "docker",
                self.host,
                &[name.as_bytes(), id.as_bytes(), of.as_bytes(), &known.to_be_bytes()],
            ))
            .time(if time > 0 { Nanos(time) } else { self.looked })
            .outcome(Outcome::Success)
            .severity(6)
            .message(line);
        put(&mut event, "inferred", true);
        if time == 0 {
            put(&mut event, "time_unknown", true);
        }
        self.events.push(event);
        let last = self.events.len() - 1;
        &mut self.events[last]
    }

    fn of_container(
        &mut self,
        name: &str,
        id: &str,
        container: &Container,
        time: i64,
        said: &str,
    ) -> &mut Event {
        let line = format!("container {} {said}", container.name);
        let event = self.event(name, id, "", time, line);
        let image = Some(&*container.image).filter(|image| !image.is_empty());
        describe::container(event, id, &container.name, image, &Labels(&container.labels));
        event
    }

    fn died(&mut self, id: &str, container: &Container, time: i64, exit_code: Option<i64>) {
        let said = match exit_code {
            Some(code) => format!("ended, exit code {code}"),
            None => "ended".to_owned(),
        };
        let event = self.of_container("container.die", id, container, time, &said);
        if let Some(code) = exit_code {
            put(event, "exit_code", code);
            if code != 0 {
                event.outcome = Some(Outcome::Failure);
                event.severity = Some(4);
            }
        }
    }

    fn container(&mut self, id: &str, before: Option<&Container>, after: Option<&Container>) {
        let Some(after) = after else {
            let Some(before) = before else { return };
            if before.runs() {
                self.died(id, before, 0, None);
            }
            self.of_container("container.destroy", id, before, 0, "was removed").severity = Some(5);
            return;
        };
        let blank = Container { name: after.name.clone(), ..Container::default() };
        if before.is_none() {
            self.of_container("container.create", id, after, after.created, "was created");
        }
        let before = before.unwrap_or(&blank);
        if before.name != after.name {
            let said = format!("has a new name, before {}", before.name);
            let event = self.of_container("container.rename", id, after, 0, &said);
            event.severity = Some(5);
            put(event, "old_name", &*before.name);
        }
        let mut ran = before.runs();
        let mut paused = before.phase == Phase::Paused;
        if after.started > before.started {
            if ran {
                // The end before that start: its code is lost, its time is not while it is the last end.
                let ended = if after.runs() && after.ended < after.started { after.ended } else { 0 };
                self.died(id, after, ended, None);
            }
            self.of_container("container.start", id, after, after.started, "was started");
            (ran, paused) = (true, false);
        }
        if ran && !after.runs() {
            if after.out_of_memory {
                let event = self.of_container("container.oom", id, after, after.ended, "ran out of memory");
                (event.outcome, event.severity) = (Some(Outcome::Failure), Some(3));
            }
            self.died(id, after, after.ended, after.exit_code);
        }
        if after.runs() && paused != (after.phase == Phase::Paused) {
            let (name, said) =
                if paused { ("container.unpause", "goes on") } else { ("container.pause", "was paused") };
            self.of_container(name, id, after, 0, said);
        }
        if let Some(health) = &after.health
            && after.runs()
            && before.health.as_ref() != Some(health)
        {
            let event = self.of_container("container.health", id, after, 0, &format!("is {health}"));
            describe::health(event, health);
        }
    }

    fn image(&mut self, id: &str, before: Option<&BTreeSet<String>>, after: Option<&BTreeSet<String>>) {
        let none = BTreeSet::new();
        let (had, has) = (before.unwrap_or(&none), after.unwrap_or(&none));
        let mut of = |name: &str, tag: Option<&String>, said: &str, severity| {
            let called = tag.map_or(id, |tag| tag);
            let event = self.event(name, id, called, 0, format!("image {called} {said}"));
            put(event, "image_name", called);
            put(event, "image_id", id);
            event.resource = Some(called.to_owned());
            event.severity = Some(severity);
        };
        if before.is_none() {
            of("image.create", has.first(), "is there: pulled, built, loaded or imported", 6);
        }
        for tag in has.difference(had).skip(usize::from(before.is_none())) {
            of("image.tag", Some(tag), "was tagged", 6);
        }
        if after.is_none() {
            of("image.delete", had.first(), "was deleted", 5);
        } else {
            for tag in had.difference(has) {
                of("image.untag", Some(tag), "lost a tag", 6);
            }
        }
    }

    fn network(&mut self, id: &str, before: Option<&Network>, after: Option<&Network>) {
        let (name, network, time, said) = match (before, after) {
            (None, Some(network)) => ("network.create", network, network.created, "was created"),
            (Some(network), None) => ("network.destroy", network, 0, "was removed"),
            _ => return,
        };
        let event = self.event(name, id, "", time, format!("network {} {said}", network.name));
        describe::network(event, id, &network.name, Some(&network.kind));
        event.severity = Some(if after.is_some() { 6 } else { 5 });
    }

    fn volume(&mut self, id: &str, before: Option<&Volume>, after: Option<&Volume>) {
        let (name, volume, time, said) = match (before, after) {
            (None, Some(volume)) => ("volume.create", volume, volume.created, "was created"),
            (Some(volume), None) => ("volume.destroy", volume, 0, "was removed"),
            _ => return,
        };
        let event = self.event(name, id, "", time, format!("volume {id} {said}"));
        describe::volume(event, id, Some(&volume.driver));
        event.severity = Some(if after.is_some() { 6 } else { 5 });
    }
}
