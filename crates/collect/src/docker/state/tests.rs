use attestry_event::Event;
use serde_json::json;

use super::*;
use crate::{catalogue, proof::show};

const LOOKED: Nanos = Nanos(1_795_000_100_000_000_000);
const SINCE: Nanos = Nanos(1_795_000_000_000_000_000);

/// A container as the engine shows it; times are seconds after `SINCE`.
fn inspected(status: &str, started: u32, ended: u32, code: i64) -> Container {
    let at = |second: u32| match second {
        0 => "0001-01-01T00:00:00Z".to_owned(),
        second => Nanos(SINCE.0 + i64::from(second) * 1_000_000_000).to_string(),
    };
    Container::inspected(&json!({
        "Name": "/web", "Created": at(1), "Config": { "Image": "nginx", "Labels": { "com.docker.compose.project": "shop" } },
        "State": { "Status": status, "StartedAt": at(started), "FinishedAt": at(ended), "ExitCode": code, "OOMKilled": code == 137 }
    }))
}

fn one(container: Container) -> State {
    State { containers: BTreeMap::from([("c1".to_owned(), container)]), ..State::default() }
}

/// What must have happened, a line each: seconds after `SINCE`, name, exit code.
fn inferred(before: &State, now: &State) -> Vec<String> {
    let events = before.differences(now, "web1", SINCE, LOOKED).into_values().flatten();
    events
        .map(|event| {
            assert_eq!(catalogue::problem(&event), None);
            let data = event.event_data.as_ref().unwrap();
            assert_eq!(data["inferred"], true);
            let time = event.event_time.unwrap();
            assert_eq!(data.contains_key("time_unknown"), time == LOOKED);
            let code = data.get("exit_code").map(|code| format!(" {code}")).unwrap_or_default();
            format!("{} {}{code}", (time.0 - SINCE.0) / 1_000_000_000, event.event_name)
        })
        .collect()
}

#[test]
fn what_happened_to_a_container_follows_from_its_state() {
    let none = State::default();
    let running = |started| one(inspected("running", started, 0, 0));
    let mut named = inspected("running", 2, 0, 0);
    named.name = "front".to_owned();
    let mut sick = inspected("running", 2, 0, 0);
    sick.health = Some("unhealthy".to_owned());
    for (before, now, expected) in [
        (&none, &one(inspected("created", 0, 0, 0)), &["1 container.create"][..]),
        (&none, &running(2), &["1 container.create", "2 container.start"]),
        (
            &none,
            &one(inspected("exited", 2, 3, 1)),
            &["1 container.create", "2 container.start", "3 container.die 1"],
        ),
        (&running(2), &running(2), &[]),
        (&running(2), &one(inspected("exited", 2, 3, 0)), &["3 container.die 0"]),
        (&running(2), &one(inspected("exited", 2, 3, 137)), &["3 container.oom", "3 container.die 137"]),
        (&running(2), &one(inspected("paused", 2, 0, 0)), &["100 container.pause"]),
        (&one(inspected("paused", 2, 0, 0)), &running(2), &["100 container.unpause"]),
        (&one(inspected("paused", 2, 0, 0)), &one(inspected("exited", 2, 3, 0)), &["3 container.die 0"]),
        // Restarted: the end before is known by its time alone.
        (&running(2), &one(inspected("running", 5, 4, 0)), &["4 container.die", "5 container.start"]),
        (&one(inspected("exited", 2, 3, 0)), &one(inspected("running", 5, 3, 0)), &["5 container.start"]),
        (
            &running(2),
            &one(inspected("exited", 5, 6, 2)),
            &["100 container.die", "5 container.start", "6 container.die 2"],
        ),
        (&running(2), &none, &["100 container.die", "100 container.destroy"]),
        (&one(inspected("exited", 2, 3, 0)), &none, &["100 container.destroy"]),
        (&running(2), &one(named.clone()), &["100 container.rename"]),
        (&running(2), &one(sick.clone()), &["100 container.health"]),
        (&one(sick.clone()), &one(sick.clone()), &[]),
    ] {
        assert_eq!(inferred(before, now), expected, "{before:?} to {now:?}");
    }
}

#[test]
fn images_networks_and_volumes_are_compared() {
    let state = |images: &[(&str, &[&str])], networks: &[&str], volumes: &[&str]| State {
        images: Some(
            images
                .iter()
                .map(|(id, tags)| ((*id).to_owned(), tags.iter().map(|tag| (*tag).to_owned()).collect()))
                .collect(),
        ),
        networks: networks
            .iter()
            .map(|id| {
                let network = Network {
                    name: format!("net-{id}"),
                    kind: "bridge".into(),
                    created: SINCE.0 + 1_000_000_000,
                };
                ((*id).to_owned(), network)
            })
            .collect(),
        volumes: volumes
            .iter()
            .map(|name| ((*name).to_owned(), Volume { driver: "local".into(), created: 0 }))
            .collect(),
        ..State::default()
    };
    let before = state(&[("sha256:a", &["a:1", "a:2"]), ("sha256:b", &["b:1"])], &["n1"], &["v1"]);
    let now = state(&[("sha256:a", &["a:2", "a:3"]), ("sha256:c", &["c:1", "c:2"])], &["n2"], &["v2"]);
    assert_eq!(
        inferred(&before, &now),
        [
            "100 image.tag",
            "100 image.untag",
            "100 image.delete",
            "100 image.create",
            "100 image.tag",
            "100 network.destroy",
            "1 network.create",
            "100 volume.destroy",
            "100 volume.create",
        ]
    );
    // What images there were before the first look nobody knows.
    assert_eq!(inferred(&State::default(), &state(&[("sha256:a", &["a:1"])], &[], &[])), [""; 0]);
    let shown: Vec<String> =
        before.differences(&now, "web1", SINCE, LOOKED).values().flatten().map(show).collect();
    assert_eq!(
        shown[3],
        "image.create - c:1 success - inferred=true time_unknown=true image_name=c:1 image_id=sha256:c"
    );
}

#[test]
fn a_difference_has_the_same_id_at_every_look_and_another_the_next_time() {
    let before = one(inspected("running", 2, 0, 0));
    let ids = |now: &State, since: Nanos, looked: i64| -> Vec<Option<String>> {
        let found = before.differences(now, "web1", since, Nanos(looked));
        found.into_values().flatten().map(|event| event.event_id).collect()
    };
    let now = State::default();
    assert_eq!(ids(&now, SINCE, 1), ids(&now, SINCE, 2));
    assert_ne!(ids(&now, SINCE, 1), ids(&now, LOOKED, 1));
    // More may have happened to others between two looks.
    let look = |now: &State, since: Nanos, looked: i64| -> Vec<Event> {
        before.differences(now, "web1", since, Nanos(looked)).into_values().flatten().collect()
    };
    assert!(same(&look(&now, SINCE, 1), &look(&now, LOOKED, 2)));
    assert!(!same(&look(&now, SINCE, 1), &look(&one(inspected("exited", 2, 3, 0)), SINCE, 1)));
    assert!(!same(
        &look(&one(inspected("exited", 2, 3, 0)), SINCE, 1),
        &look(&one(inspected("exited", 2, 4, 0)), SINCE, 1)
    ));
    let ended = one(inspected("exited", 2, 3, 0));
    assert_eq!(ids(&ended, SINCE, 1), ids(&ended, LOOKED, 2), "its time tells it apart");
}

#[test]
fn events_lead_to_the_state_that_is_looked_at() {
    let line = |second: i64, action: &str, more: &str| {
        let time = SINCE.0 + second * 1_000_000_000 + 5_000_000;
        let line = format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"c1","Attributes":{{"name":"web","image":"nginx","com.docker.compose.project":"shop"{more}}}}},"timeNano":{time}}}"#
        );
        Message::parse(line.as_bytes(), "web1").unwrap()
    };
    // Each time the state is what the events have led to: nothing is to be inferred.
    let mut known = State::default();
    for (message, now) in [
        (line(1, "create", ""), Some(inspected("created", 0, 0, 0))),
        (line(2, "start", ""), Some(inspected("running", 2, 0, 0))),
        (line(3, "pause", ""), Some(inspected("paused", 2, 0, 0))),
        (line(3, "unpause", ""), Some(inspected("running", 2, 0, 0))),
        (line(4, "die", r#","exitCode":"0""#), Some(inspected("exited", 2, 4, 0))),
        (line(5, "start", ""), Some(inspected("running", 5, 4, 0))),
        (line(6, "destroy", ""), None),
    ] {
        known.apply(&message);
        let now = now.map_or_else(State::default, one);
        assert_eq!(inferred(&known, &now), [""; 0], "after {}", message.action);
        // And so it is after it was kept in a position.
        let kept: State = serde_json::from_value(serde_json::to_value(&known).unwrap()).unwrap();
        assert_eq!(inferred(&kept, &now), [""; 0], "after {}", message.action);
    }
    // One of which only a later event is known began before that.
    for (action, now) in [("die", inspected("exited", 2, 4, 0)), ("start", inspected("running", 2, 0, 0))] {
        let mut known = State::default();
        known.apply(&line(4, action, ""));
        assert_eq!(inferred(&known, &one(now)), [""; 0], "after {action} alone");
    }
}

#[test]
fn the_labels_of_a_container_are_kept_for_its_end() {
    let shown: Vec<String> = one(inspected("exited", 2, 3, 0))
        .differences(&State::default(), "web1", SINCE, LOOKED)
        .values()
        .flatten()
        .map(show)
        .collect();
    assert_eq!(
        shown,
        [
            "container.destroy - web success - inferred=true time_unknown=true container_id=c1 container_name=web image_name=nginx compose_project=shop"
        ]
    );
}
