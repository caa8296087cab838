use std::{sync::Arc, thread, time::Duration};

use attestry_collect::docker::Config;
use attestry_event::Event;
use attestry_testkit::{BUSYBOX, Docker};
use serde_json::json;

use crate::world::{Kept, data, show};

const SHOP: [&str; 6] = [
    "--label",
    "com.docker.compose.project=shop",
    "--label",
    "com.docker.compose.service=front",
    "--label",
    "team=a",
];

/// What is known of one object, but for what is noise here.
fn told(kept: &Kept, resource: &str) -> Vec<String> {
    let of = |event: &Event| event.resource.as_deref() == Some(resource);
    kept.of(of).iter().map(|event| show(event).replacen(&format!(" {resource}"), "", 1)).collect()
}

/// A script that ends at once when it is told to.
const WAITING: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

#[test]
fn what_happens_is_told_and_what_was_missed_is_inferred() {
    let mut docker = Docker::started();
    let kept = Arc::new(Kept::default());
    let config = Config { socket: docker.socket(), health_checks: false };
    let running = kept.start(config.clone());
    // The engine still knows where its first image came from.
    kept.wait(1, |event| event.event_name == "image.import");

    while_somebody_listens(&docker, &kept);
    running.stop();
    while_nobody_does(&docker, &kept, &config);
    while_the_engine_restarts(&mut docker, &kept, &config);
    assert_eq!(kept.repeated(), 0);
}

/// All of it is told by the engine; nothing is inferred.
fn while_somebody_listens(docker: &Docker, kept: &Kept) {
    let mut options = SHOP.to_vec();
    options.extend(["--name", "web", "-v", "shop_db:/data"]);
    let id = docker.run_detached(&options, WAITING);
    docker.docker(&["pause", "web"]);
    docker.docker(&["unpause", "web"]);
    docker.docker(&["exec", "web", "sh", "-c", "echo mysql -pgeheim"]);
    docker.docker(&["rename", "web", "front"]);
    docker.docker(&["restart", "front"]);
    docker.docker(&["kill", "front"]);
    docker.docker(&["start", "front"]);
    docker.docker(&["stop", "front"]);
    docker.docker(&["rm", "front"]);
    docker.docker(&["volume", "rm", "shop_db"]);
    assert_eq!(docker.run(&["--name", "code", "--rm"], "exit 7"), 7);
    assert_eq!(docker.run(&["--name", "greedy", "-m", "16m", "--memory-swap", "16m"], "tail /dev/zero"), 137);
    docker.docker(&["network", "create", "--subnet", "10.213.71.0/24", "shop_default"]);
    docker.docker(&["network", "rm", "shop_default"]);
    docker.docker(&["tag", BUSYBOX, "other:1"]);
    docker.docker(&["rmi", "other:1"]);
    docker.import_busybox("third:1");
    docker.docker(&["rmi", "third:1"]);
    let healthy = ["--name", "checked", "--health-cmd", "true", "--health-interval", "200ms"];
    docker.run_detached(&healthy, WAITING);
    kept.wait(1, |event| event.event_name == "container.health");
    docker.docker(&["rm", "-f", "checked"]);
    kept.wait(1, |event| show(event) == "container.destroy checked");

    assert_eq!(
        told(kept, "web"),
        [
            "container.create",
            "container.start",
            "container.pause",
            "container.unpause",
            "container.exec_create",
            "container.exec_start",
            "container.exec_die 0",
        ]
    );
    // `docker restart` and `docker stop` send a signal first.
    let ended = ["container.kill", "container.die 0", "container.stop"];
    let again = ["container.start", "container.restart"];
    let killed = ["container.kill", "container.die 137", "container.start"];
    let expected: Vec<&str> = ["container.rename"]
        .into_iter()
        .chain(ended)
        .chain(again)
        .chain(killed)
        .chain(ended)
        .chain(["container.destroy"])
        .collect();
    assert_eq!(told(kept, "front"), expected);
    let watched = ["container.create", "container.attach", "container.start"];
    assert_eq!(told(kept, "code"), [&watched[..], &["container.die 7", "container.destroy"]].concat());
    // Which of the two the engine tells first is its own affair.
    let mut greedy = told(kept, "greedy");
    greedy[watched.len()..].sort();
    assert_eq!(greedy, [&watched[..], &["container.die 137", "container.oom"]].concat());
    // What checks its health is nobody's doing.
    let begun = ["container.create", "container.start"];
    let checked = ["container.health", "container.kill", "container.die 137", "container.destroy"];
    assert_eq!(told(kept, "checked"), [&begun[..], &checked].concat());
    assert_eq!(told(kept, "shop_default"), ["network.create", "network.destroy"]);
    let volume: Vec<_> = told(kept, "shop_db");
    assert_eq!((&*volume[0], &*volume[volume.len() - 1]), ("volume.create", "volume.destroy"), "{volume:?}");
    assert!(
        volume.contains(&"volume.mount".into()) && volume.contains(&"volume.unmount".into()),
        "{volume:?}"
    );
    for name in ["image.tag", "image.untag", "image.import", "image.delete"] {
        assert!(!kept.of(|event| event.event_name == name).is_empty(), "{name}");
    }

    let start = &kept.of(|event| show(event) == "container.start web")[0];
    assert_eq!((data(start, "container_id"), data(start, "image_name")), (&json!(id), &json!(BUSYBOX)));
    assert_eq!(
        (data(start, "compose_project"), data(start, "compose_service")),
        (&json!("shop"), &json!("front"))
    );
    assert_eq!(data(start, "labels"), &json!({ "team": "a" }));
    let exec = &kept.of(|event| event.event_name == "container.exec_start")[0];
    assert_eq!(data(exec, "command_line"), "sh -c echo mysql -p[redacted]");
    let inferred = kept.of(|event| data(event, "inferred") == true);
    assert!(inferred.is_empty(), "{:?}", inferred.iter().map(show).collect::<Vec<_>>());
}

/// More happens than the engine remembers.
fn while_nobody_does(docker: &Docker, kept: &Arc<Kept>, config: &Config) {
    for name in ["ends", "stays", "goes", "again"] {
        docker.run_detached(&["--name", name], WAITING);
    }
    docker.docker(&["volume", "create", "old"]);
    let running = kept.start(config.clone());
    kept.wait(1, |event| show(event) == "volume.create old");
    running.stop();
    let before = kept.count();

    docker.docker(&["kill", "ends"]);
    docker.docker(&["rm", "-f", "goes"]);
    docker.docker(&["restart", "-t", "0", "again"]);
    docker.run_detached(&["--name", "comes"], "exit 5");
    docker.docker(&["wait", "comes"]);
    docker.docker(&["volume", "rm", "old"]);
    docker.docker(&["volume", "create", "new"]);
    docker.docker(&["tag", BUSYBOX, "other:2"]);
    docker.docker(&["network", "create", "--subnet", "10.213.72.0/24", "missed"]);
    let last = docker.docker(&["inspect", "--format", "{{.State.FinishedAt}}", "ends"]);
    // The rest pushes them out of the engine's memory.
    let updates: Vec<&str> =
        ["update", "--cpu-shares", "512"].into_iter().chain(std::iter::repeat_n("stays", 260)).collect();
    docker.docker(&updates);

    let running = kept.start(config.clone());
    kept.wait(250, |event| event.event_name == "container.update");
    kept.wait(1, |event| show(event) == "network.create missed inferred");
    running.stop();
    let mut missed: Vec<String> =
        kept.events()[before..].iter().filter(|event| data(event, "inferred") == true).map(show).collect();
    missed.sort();
    assert_eq!(
        missed,
        [
            "container.create comes inferred",
            "container.destroy goes inferred",
            "container.die again inferred",
            "container.die comes 5 inferred",
            "container.die ends 137 inferred",
            "container.die goes inferred",
            "container.start again inferred",
            "container.start comes inferred",
            "image.tag other:2 inferred",
            "network.create missed inferred",
            "volume.create new inferred",
            "volume.destroy old inferred",
        ]
    );
    let ended = &kept.of(|event| show(event) == "container.die ends 137 inferred")[0];
    assert_eq!(ended.event_time.unwrap(), attestry_event::Nanos::parse(&last).unwrap());
    // Nothing of it is missed a second time, and one pass alone tells what came since.
    docker.docker(&["volume", "rm", "new"]);
    let all = kept.count();
    kept.once(config);
    assert_eq!(kept.events()[all..].iter().map(show).collect::<Vec<_>>(), ["volume.destroy new"]);
    let all = kept.count();
    let running = kept.start(config.clone());
    docker.docker(&["rm", "comes"]);
    kept.wait(1, |event| show(event) == "container.destroy comes");
    thread::sleep(Duration::from_secs(3));
    running.stop();
    assert_eq!(kept.events()[all..].iter().map(show).collect::<Vec<_>>(), ["container.destroy comes"]);
}

/// The engine is stopped, and killed: what runs ends each time, and it is told once.
fn while_the_engine_restarts(docker: &mut Docker, kept: &Arc<Kept>, config: &Config) {
    docker.run_detached(&["--name", "always", "--restart", "always"], WAITING);
    let running = kept.start(config.clone());
    kept.wait(1, |event| show(event) == "container.start always");
    let count = |name: &str, of: &str| {
        kept.of(|event| event.event_name == name && event.resource.as_deref() == Some(of)).len()
    };
    for round in 1..=2 {
        if round == 1 {
            docker.stop()
        } else {
            docker.kill()
        }
        attestry_testkit::wait_for("the source misses the engine", crate::world::SOON, || {
            running.status().problem()
        });
        docker.start();
        docker.docker(&["start", "stays"]);
        kept.wait(round + 1, |event| show(event).starts_with("container.start always"));
        kept.wait(round, |event| show(event).starts_with("container.die stays"));
        assert_eq!(running.status().problem(), None);
    }
    thread::sleep(Duration::from_secs(3));
    running.stop();
    for (name, of, times) in [
        ("container.die", "always", 2),
        ("container.start", "always", 3),
        ("container.die", "stays", 2),
        ("container.start", "stays", 3),
        ("container.destroy", "stays", 0),
    ] {
        let all: Vec<_> = told(kept, of).into_iter().filter(|line| !line.contains("update")).collect();
        assert_eq!(count(name, of), times, "{name} {of}: {all:#?}");
    }
}
