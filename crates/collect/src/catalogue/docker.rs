//! What containers do, and what is done to them: the sources `docker` and `container_logs`.

use super::Entry;

const INFERRED: (&str, &str) =
    ("inferred", "true when the engine did not tell: it follows from what there is now and was not before");
const TIME_UNKNOWN: (&str, &str) =
    ("time_unknown", "true when that does not tell when, either; the time is that of the look");
const CONTAINER_ID: (&str, &str) = ("container_id", "of which container");
const EXIT_CODE: (&str, &str) = ("exit_code", "of the program; 137 for one that was killed");
const EXEC_ID: (&str, &str) = ("exec_id", "the command's id, the same until it ends");
const LABELS_LEFT_OUT: (&str, &str) = ("labels_left_out", "how many more it has");
const IMAGE_ID: (&str, &str) = ("image_id", "its id");
const NETWORK_ID: (&str, &str) = ("network_id", "its id");
const NETWORK_NAME: (&str, &str) = ("network_name", "its name");
const NETWORK_TYPE: (&str, &str) = ("network_type", "bridge, overlay, macvlan, …");
const VOLUME_NAME: (&str, &str) = ("volume_name", "its name");
const DRIVER: (&str, &str) = ("driver", "local, or what else keeps it");

/// What tells which container it is, and then these.
macro_rules! container_and {
    ($($more:expr),* $(,)?) => {
        &[
            ("container_id", "its id"),
            ("container_name", "its name"),
            ("image_name", "the image it was made of, as it was asked for"),
            ("compose_project", "the project, of a container of Docker Compose"),
            ("compose_service", "its service there"),
            ("labels", "its labels, those of Compose left out; at most 64, each of at most 512 characters"),
            LABELS_LEFT_OUT,
            $($more),*
        ]
    };
}

/// What tells which image it is, and then these.
macro_rules! image_and {
    ($($more:expr),*) => {
        &[
            ("image_name", "its name, or its id"),
            IMAGE_ID,
            ("compose_project", "the project it was built for"),
            ("compose_service", "the service it was built for"),
            ("labels", "its labels; at most 64"),
            LABELS_LEFT_OUT,
            $($more),*
        ]
    };
}

type Fields = &'static [(&'static str, &'static str)];

const CONTAINER: Fields = container_and![INFERRED, TIME_UNKNOWN];
const CONTAINER_CREATE: Fields = container_and![
    ("privileged", "true when it is: who is in it is root on the host"),
    (
        "engine_socket",
        "true when an engine's socket, or a folder with one, is mounted into it: who is in it is root on the host"
    ),
    INFERRED,
    TIME_UNKNOWN,
];
const CONTAINER_DIE: Fields = container_and![EXIT_CODE, INFERRED, TIME_UNKNOWN];
const CONTAINER_EXEC_CREATE: Fields =
    container_and![EXEC_ID, ("command_line", "what, secrets taken out"), INFERRED, TIME_UNKNOWN];
const CONTAINER_EXEC_DIE: Fields = container_and![EXEC_ID, EXIT_CODE, INFERRED, TIME_UNKNOWN];
const CONTAINER_HEALTH: Fields = container_and![("health", "healthy or unhealthy"), INFERRED, TIME_UNKNOWN];
const CONTAINER_KILL: Fields = container_and![("signal", "its number or name"), INFERRED, TIME_UNKNOWN];
const CONTAINER_RENAME: Fields = container_and![("old_name", "the name before"), INFERRED, TIME_UNKNOWN];
const LOG: Fields = container_and![
    ("stream", "stdout or stderr"),
    ("lines", "how many lines were joined, when more than one"),
    ("cut_bytes", "how many bytes of a line over 1 MiB were left out"),
];
const OTHER: Fields = container_and![
    IMAGE_ID,
    NETWORK_ID,
    NETWORK_NAME,
    NETWORK_TYPE,
    VOLUME_NAME,
    DRIVER,
    ("object", "what it is: plugin, service, node, container, …"),
    ("action", "the engine's word for what happened"),
    ("attributes", "what it says about it"),
];
const IMAGE: Fields = image_and![INFERRED, TIME_UNKNOWN];
const IMAGE_PULL: Fields = image_and![];
const NETWORK: Fields = &[NETWORK_ID, NETWORK_NAME, NETWORK_TYPE, CONTAINER_ID, INFERRED, TIME_UNKNOWN];
const NETWORK_CREATE: Fields = &[NETWORK_ID, NETWORK_NAME, NETWORK_TYPE, INFERRED, TIME_UNKNOWN];
const VOLUME: Fields = &[VOLUME_NAME, DRIVER, INFERRED, TIME_UNKNOWN];
const VOLUME_MOUNT: Fields = &[
    VOLUME_NAME,
    DRIVER,
    CONTAINER_ID,
    ("destination", "where in the container"),
    ("writable", "whether it may write there"),
    INFERRED,
    TIME_UNKNOWN,
];
const VOLUME_UNMOUNT: Fields = &[VOLUME_NAME, DRIVER, CONTAINER_ID, INFERRED, TIME_UNKNOWN];

/// All of them, by name.
pub(super) const DOCKER: &[Entry] = &[
    Entry {
        name: "container.attach",
        sources: "docker",
        meaning: "somebody attached to a container's input or output",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.attach","username":"-","resource":"web","read_only":true,"outcome":"success","severity":6,"message":"container web was attached to","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.commit",
        sources: "docker",
        meaning: "an image was made of a container",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.commit","username":"-","resource":"web","outcome":"success","severity":5,"message":"container web was made an image","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.create",
        sources: "docker",
        meaning: "a container was created",
        who: "resource is the container's name",
        fields: CONTAINER_CREATE,
        example: r#"{"event_name":"container.create","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web was created","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.destroy",
        sources: "docker",
        meaning: "a container was removed, with its log",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.destroy","username":"-","resource":"web","outcome":"success","severity":5,"message":"container web was removed","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.detach",
        sources: "docker",
        meaning: "somebody detached from a container",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.detach","username":"-","resource":"web","read_only":true,"outcome":"success","severity":6,"message":"container web was detached from","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.die",
        sources: "docker",
        meaning: "a container's program ended",
        who: "resource is the container's name",
        fields: CONTAINER_DIE,
        example: r#"{"event_name":"container.die","username":"-","resource":"web","outcome":"failure","severity":4,"message":"container web ended, exit code 137","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","exit_code":137}}"#,
    },
    Entry {
        name: "container.exec_create",
        sources: "docker",
        meaning: "a command is about to be run in a running container",
        who: "resource is the container's name",
        fields: CONTAINER_EXEC_CREATE,
        example: r#"{"event_name":"container.exec_create","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web is to run: mysql -p[redacted] shop","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","exec_id":"e1","command_line":"mysql -p[redacted] shop"}}"#,
    },
    Entry {
        name: "container.exec_die",
        sources: "docker",
        meaning: "a command run in a container ended",
        who: "resource is the container's name",
        fields: CONTAINER_EXEC_DIE,
        example: r#"{"event_name":"container.exec_die","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web is done with what was run in it, exit code 0","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","exec_id":"e1","exit_code":0}}"#,
    },
    Entry {
        name: "container.exec_start",
        sources: "docker",
        meaning: "a command was run in a running container",
        who: "resource is the container's name",
        fields: CONTAINER_EXEC_CREATE,
        example: r#"{"event_name":"container.exec_start","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web runs: mysql -p[redacted] shop","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","exec_id":"e1","command_line":"mysql -p[redacted] shop"}}"#,
    },
    Entry {
        name: "container.export",
        sources: "docker",
        meaning: "a container's files were exported as a whole",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.export","username":"-","resource":"web","read_only":true,"outcome":"success","severity":6,"message":"container web was exported","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.health",
        sources: "docker",
        meaning: "the check of a container's health came to another outcome",
        who: "resource is the container's name",
        fields: CONTAINER_HEALTH,
        example: r#"{"event_name":"container.health","username":"-","resource":"web","outcome":"failure","severity":4,"message":"container web is unhealthy","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","health":"unhealthy"}}"#,
    },
    Entry {
        name: "container.kill",
        sources: "docker",
        meaning: "a signal was sent to a container; stopping one sends it, too",
        who: "resource is the container's name",
        fields: CONTAINER_KILL,
        example: r#"{"event_name":"container.kill","username":"-","resource":"web","outcome":"success","severity":5,"message":"container web was sent signal 15","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","signal":15}}"#,
    },
    Entry {
        name: "container.log",
        sources: "container_logs",
        meaning: "a line that a container wrote to its standard output or error; several where they belong together",
        who: "resource is the container's name; the message is the line as it was written",
        fields: LOG,
        example: r#"{"event_name":"container.log","username":"-","resource":"web","severity":6,"message":"GET /cart 200","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","stream":"stdout"}}"#,
    },
    Entry {
        name: "container.oom",
        sources: "docker",
        meaning: "a container had no memory left and the kernel ended a program in it",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.oom","username":"-","resource":"web","outcome":"failure","severity":3,"message":"container web ran out of memory","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.pause",
        sources: "docker",
        meaning: "a container was paused",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.pause","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web was paused","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.read",
        sources: "docker",
        meaning: "files were copied out of a container",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.read","username":"-","resource":"web","read_only":true,"outcome":"success","severity":6,"message":"container web had files copied out of it","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.rename",
        sources: "docker",
        meaning: "a container was given another name",
        who: "resource is the container's name",
        fields: CONTAINER_RENAME,
        example: r#"{"event_name":"container.rename","username":"-","resource":"web","outcome":"success","severity":5,"message":"container web has a new name, before web-old","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front","old_name":"web-old"}}"#,
    },
    Entry {
        name: "container.restart",
        sources: "docker",
        meaning: "a container was stopped and started by one command",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.restart","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web was restarted","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.start",
        sources: "docker",
        meaning: "a container was started",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.start","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web was started","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.stop",
        sources: "docker",
        meaning: "a container was stopped",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.stop","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web was stopped","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.unpause",
        sources: "docker",
        meaning: "a paused container goes on",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.unpause","username":"-","resource":"web","outcome":"success","severity":6,"message":"container web goes on","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.update",
        sources: "docker",
        meaning: "a container was given other limits or another restart policy",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.update","username":"-","resource":"web","outcome":"success","severity":5,"message":"container web was given other limits","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "container.write",
        sources: "docker",
        meaning: "files were copied into a container",
        who: "resource is the container's name",
        fields: CONTAINER,
        example: r#"{"event_name":"container.write","username":"-","resource":"web","outcome":"success","severity":5,"message":"container web had files copied into it","event_data":{"container_id":"5790672ab6a0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4","container_name":"web","image_name":"nginx:1.27","compose_project":"shop","compose_service":"front"}}"#,
    },
    Entry {
        name: "docker.other",
        sources: "docker",
        meaning: "the engine told of something that has no name of its own here: plugins, swarms, prunes, what a newer engine knows",
        who: "resource is the object's name",
        fields: OTHER,
        example: r#"{"event_name":"docker.other","username":"-","resource":"front","outcome":"success","severity":6,"message":"service front: update","event_data":{"object":"service","action":"update","attributes":{"name":"front"}}}"#,
    },
    Entry {
        name: "docker.reload",
        sources: "docker",
        meaning: "the engine read its configuration again",
        who: "resource is the engine's host",
        fields: &[],
        example: r#"{"event_name":"docker.reload","username":"-","resource":"web1","outcome":"success","severity":5,"message":"daemon web1 read its configuration again"}"#,
    },
    Entry {
        name: "image.create",
        sources: "docker",
        meaning: "an image is there that was not at the last look, however it came: only inferred",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.create","username":"-","resource":"nginx:1.27","outcome":"success","severity":6,"message":"image nginx:1.27 is there: pulled, built, loaded or imported","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3","inferred":true,"time_unknown":true}}"#,
    },
    Entry {
        name: "image.delete",
        sources: "docker",
        meaning: "an image was deleted",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.delete","username":"-","resource":"nginx:1.27","outcome":"success","severity":5,"message":"image nginx:1.27 was deleted","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.import",
        sources: "docker",
        meaning: "an image was made of an archive of files",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.import","username":"-","resource":"nginx:1.27","outcome":"success","severity":6,"message":"image nginx:1.27 was imported","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.load",
        sources: "docker",
        meaning: "an image was loaded from a file",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.load","username":"-","resource":"nginx:1.27","outcome":"success","severity":6,"message":"image nginx:1.27 was loaded","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.pull",
        sources: "docker",
        meaning: "an image was fetched from a registry",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE_PULL,
        example: r#"{"event_name":"image.pull","username":"-","resource":"nginx:1.27","outcome":"success","severity":6,"message":"image nginx:1.27 was pulled","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.push",
        sources: "docker",
        meaning: "an image was sent to a registry",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.push","username":"-","resource":"nginx:1.27","read_only":true,"outcome":"success","severity":6,"message":"image nginx:1.27 was pushed","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.save",
        sources: "docker",
        meaning: "an image was written to a file",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.save","username":"-","resource":"nginx:1.27","read_only":true,"outcome":"success","severity":6,"message":"image nginx:1.27 was saved","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.tag",
        sources: "docker",
        meaning: "an image was given a name",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.tag","username":"-","resource":"nginx:1.27","outcome":"success","severity":6,"message":"image nginx:1.27 was tagged","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "image.untag",
        sources: "docker",
        meaning: "an image lost a name",
        who: "resource is the image's name, or its id where it has none",
        fields: IMAGE,
        example: r#"{"event_name":"image.untag","username":"-","resource":"nginx:1.27","outcome":"success","severity":6,"message":"image nginx:1.27 lost a tag","event_data":{"image_name":"nginx:1.27","image_id":"sha256:6ddc1d0f91833b36aac1c6f0c8cea005c87d94bab132d46cc06d9b060a81cca3"}}"#,
    },
    Entry {
        name: "network.connect",
        sources: "docker",
        meaning: "a container was connected to a network",
        who: "resource is the network's name",
        fields: NETWORK,
        example: r#"{"event_name":"network.connect","username":"-","resource":"shop_default","outcome":"success","severity":6,"message":"network shop_default got a container","event_data":{"network_id":"f61cf0a1a2b3","network_name":"shop_default","network_type":"bridge","container_id":"5790672ab6a0"}}"#,
    },
    Entry {
        name: "network.create",
        sources: "docker",
        meaning: "a network was created",
        who: "resource is the network's name",
        fields: NETWORK_CREATE,
        example: r#"{"event_name":"network.create","username":"-","resource":"shop_default","outcome":"success","severity":6,"message":"network shop_default was created","event_data":{"network_id":"f61cf0a1a2b3","network_name":"shop_default","network_type":"bridge"}}"#,
    },
    Entry {
        name: "network.destroy",
        sources: "docker",
        meaning: "a network was removed",
        who: "resource is the network's name",
        fields: NETWORK_CREATE,
        example: r#"{"event_name":"network.destroy","username":"-","resource":"shop_default","outcome":"success","severity":5,"message":"network shop_default was removed","event_data":{"network_id":"f61cf0a1a2b3","network_name":"shop_default","network_type":"bridge"}}"#,
    },
    Entry {
        name: "network.disconnect",
        sources: "docker",
        meaning: "a container was disconnected from a network",
        who: "resource is the network's name",
        fields: NETWORK,
        example: r#"{"event_name":"network.disconnect","username":"-","resource":"shop_default","outcome":"success","severity":6,"message":"network shop_default lost a container","event_data":{"network_id":"f61cf0a1a2b3","network_name":"shop_default","network_type":"bridge","container_id":"5790672ab6a0"}}"#,
    },
    Entry {
        name: "volume.create",
        sources: "docker",
        meaning: "a volume was created",
        who: "resource is the volume's name",
        fields: VOLUME,
        example: r#"{"event_name":"volume.create","username":"-","resource":"shop_db","outcome":"success","severity":6,"message":"volume shop_db was created","event_data":{"volume_name":"shop_db","driver":"local"}}"#,
    },
    Entry {
        name: "volume.destroy",
        sources: "docker",
        meaning: "a volume was removed, with its content",
        who: "resource is the volume's name",
        fields: VOLUME,
        example: r#"{"event_name":"volume.destroy","username":"-","resource":"shop_db","outcome":"success","severity":5,"message":"volume shop_db was removed","event_data":{"volume_name":"shop_db","driver":"local"}}"#,
    },
    Entry {
        name: "volume.mount",
        sources: "docker",
        meaning: "a volume was mounted into a container that starts",
        who: "resource is the volume's name",
        fields: VOLUME_MOUNT,
        example: r#"{"event_name":"volume.mount","username":"-","resource":"shop_db","outcome":"success","severity":6,"message":"volume shop_db was mounted","event_data":{"volume_name":"shop_db","driver":"local","container_id":"5790672ab6a0","destination":"/data","writable":true}}"#,
    },
    Entry {
        name: "volume.unmount",
        sources: "docker",
        meaning: "a volume was unmounted from a container that ended",
        who: "resource is the volume's name",
        fields: VOLUME_UNMOUNT,
        example: r#"{"event_name":"volume.unmount","username":"-","resource":"shop_db","outcome":"success","severity":6,"message":"volume shop_db was unmounted","event_data":{"volume_name":"shop_db","driver":"local","container_id":"5790672ab6a0"}}"#,
    },
];
