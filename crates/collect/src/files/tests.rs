use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    time::Duration,
};

use attestry_event::Event;

use super::*;
use crate::proof::{Host, append, show_sorted};

/// The hashes of `one\n`, `two\n`.
const ONE: &str = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806";
const TWO: &str = "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a";

fn host() -> Host {
    let host = Host::new();
    // Files that were made a moment ago are not from the future.
    host.clock.advance(Duration::from_secs(60));
    for folder in ["etc", "srv/deep/er", "proc/self"] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    for (name, text) in [
        ("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
        ("etc/group", "root:x:0:\nstaff:x:50:\n"),
        ("srv/a.conf", "one\n"),
        ("srv/deep/er/b.conf", "one\n"),
        ("srv/deep/er/b.log", "one\n"),
    ] {
        fs::write(host.root(name), text).unwrap();
        fs::set_permissions(host.root(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    host
}

fn config(paths: &[&str]) -> Config {
    Config {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        built_in: false,
        diff: true,
        ..Config::default()
    }
}

fn look(host: &Host, config: &Config) -> Vec<Event> {
    let setup = host.setup("files");
    host.pass(&mut Files::new(config, &setup), &setup)
}

/// Names, paths and members but times and owners, which are not the same on every machine.
fn shown(events: &[Event]) -> Vec<String> {
    let short = |event: &Event| {
        let mut event = event.clone();
        if let Some(data) = &mut event.event_data {
            data.retain(|name, _| {
                !matches!(name.as_str(), "inferred" | "modified_at" | "old_modified_at" | "owner" | "group")
            });
        }
        show_sorted(&event)
    };
    events.iter().map(short).collect()
}

/// What a second look tells after `change`.
#[track_caller]
fn check(paths: &[&str], first: &str, change: impl FnOnce(&Host), expected: &[&str]) {
    let host = host();
    let config = config(paths);
    let baseline = shown(&look(&host, &config));
    assert_eq!(baseline, [format!("state.baseline - files - - {first}")]);
    change(&host);
    let found = look(&host, &config);
    assert_eq!(shown(&found), expected);
    assert!(found.iter().all(|event| event.event_data.as_ref().unwrap()["inferred"] == true));
    assert!(look(&host, &config).is_empty(), "a difference is told once");
    let text = format!("{:?}{:?}", host.kept.events.lock().unwrap(), host.kept.position.lock().unwrap());
    assert!(!text.contains("hunter2"), "no secret is kept: {text}");
}

#[test]
fn files_come_change_and_go() {
    check(
        &["/srv"],
        "files=3 folders=3 links=0 new=6",
        |host| {
            fs::write(host.root("srv/a.conf"), "two\n").unwrap();
            fs::remove_file(host.root("srv/deep/er/b.conf")).unwrap();
            fs::write(host.root("srv/deep/new"), "one\n").unwrap();
        },
        &[
            &format!(
                "file.modify - /srv/a.conf success - diff=@@ -1 +1 @@\n-one\n+two\n old_sha256={ONE} old_size=4 sha256={TWO} size=4 type=file"
            ),
            &format!("file.create - /srv/deep/new success - mode=0644 sha256={ONE} size=4 type=file"),
            &format!("file.delete - /srv/deep/er/b.conf success - mode=0644 sha256={ONE} size=4 type=file"),
        ],
    );
}

#[test]
fn a_whole_folder_goes() {
    check(
        &["/srv/deep"],
        "files=2 folders=2 links=0 new=4",
        |host| fs::remove_dir_all(host.root("srv/deep")).unwrap(),
        &[
            "file.delete - /srv/deep success - mode=0755 type=folder",
            "file.delete - /srv/deep/er success - mode=0755 type=folder",
            &format!("file.delete - /srv/deep/er/b.conf success - mode=0644 sha256={ONE} size=4 type=file"),
            &format!("file.delete - /srv/deep/er/b.log success - mode=0644 sha256={ONE} size=4 type=file"),
        ],
    );
}

#[test]
fn globs_name_files_in_any_folder() {
    check(
        &["/srv/**/[a-b].c*"],
        "files=2 folders=0 links=0 new=2",
        |host| {
            fs::write(host.root("srv/deep/er/b.log"), "two\n").unwrap();
            fs::write(host.root("srv/deep/b.cfg"), "").unwrap();
            fs::write(host.root("srv/deep/c.cfg"), "").unwrap();
        },
        &[
            "file.create - /srv/deep/b.cfg success - mode=0644 sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 size=0 type=file",
        ],
    );
}

#[test]
fn a_file_that_is_not_there_yet_comes() {
    check(
        &["/srv/none/yet"],
        "files=0 folders=0 links=0 new=0",
        |host| {
            fs::create_dir(host.root("srv/none")).unwrap();
            fs::write(host.root("srv/none/yet"), "one\n").unwrap();
        },
        &[&format!("file.create - /srv/none/yet success - mode=0644 sha256={ONE} size=4 type=file")],
    );
}

#[test]
fn mode_and_owner_and_what_gives_rights() {
    check(
        &["/srv/a.conf"],
        "files=1 folders=0 links=0 new=1",
        |host| {
            let file = host.root("srv/a.conf");
            std::os::unix::fs::chown(&file, Some(0), Some(50)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).unwrap();
        },
        &[
            "file.chmod - /srv/a.conf success - mode=4755 old_mode=0644 privileged=true",
            "file.chown - /srv/a.conf success - old_group=root old_owner=root",
        ],
    );
    // CAP_NET_RAW, as `setcap cap_net_raw+ep` writes it.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    check(
        &["/srv/a.conf"],
        "files=1 folders=0 links=0 new=1",
        |host| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(host.root("srv/a.conf"), "security.capability", &capability, flags)
                .unwrap();
        },
        &[
            "file.chmod - /srv/a.conf success - capabilities=0100000200200000000000000000000000000000 mode=0644 old_mode=0644 privileged=true",
        ],
    );
}

#[test]
fn a_link_is_told_by_its_target_and_content() {
    let host = host();
    let config = config(&["/srv/deep/er/link"]);
    symlink("../../a.conf", host.root("srv/deep/er/link")).unwrap();
    symlink("/proc/uptime", host.root("srv/deep/er/uptime")).unwrap();
    assert_eq!(look(&host, &config).len(), 1);
    fs::write(host.root("srv/a.conf"), "two\n").unwrap();
    let changed = shown(&look(&host, &config));
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(
        changed[0].contains(&format!("old_sha256={ONE}")) && changed[0].contains("target=../../a.conf"),
        "{changed:?}"
    );
    fs::remove_file(host.root("srv/deep/er/link")).unwrap();
    symlink("b.conf", host.root("srv/deep/er/link")).unwrap();
    let changed = shown(&look(&host, &config));
    assert!(
        changed.len() == 1
            && changed[0].contains("old_target=../../a.conf")
            && changed[0].contains("target=b.conf"),
        "{changed:?}"
    );
}

#[test]
fn a_forged_time_hides_nothing() {
    check(
        &["/srv/a.conf"],
        "files=1 folders=0 links=0 new=1",
        |host| {
            let file = host.root("srv/a.conf");
            let before = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, "two\n").unwrap();
            fs::File::options().append(true).open(&file).unwrap().set_modified(before).unwrap();
        },
        &[&format!(
            "file.modify - /srv/a.conf success - diff=@@ -1 +1 @@\n-one\n+two\n old_sha256={ONE} old_size=4 sha256={TWO} size=4 type=file"
        )],
    );
}

#[test]
fn what_no_time_tells_is_found_by_hashing_again() {
    let host = host();
    let config = config(&["/srv/a.conf"]);
    look(&host, &config);
    // As if the disk had been written past the file system: another hash is known, under the same times.
    let mut position = host.kept.position.lock().unwrap().clone().unwrap();
    position["known"]["/srv/a.conf"]["sha256"] = TWO.into();
    *host.kept.position.lock().unwrap() = Some(position);
    assert!(look(&host, &config).is_empty());
    host.clock.advance(Duration::from_secs(86_401));
    let found = look(&host, &config);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].event_data.as_ref().unwrap()["silent"], true);
}

#[test]
fn secrets_are_not_shown() {
    for (name, mode, text) in [
        ("srv/a.conf", 0o640, "password=hunter2\n"),
        ("srv/server.key", 0o644, "hunter2\n"),
        ("srv/a.conf", 0o644, "-----BEGIN PRIVATE KEY-----\nhunter2\n"),
        ("srv/a.conf", 0o644, "password: hunter2\n"),
    ] {
        let host = host();
        let config = config(&["/srv"]);
        look(&host, &config);
        for text in ["x\n", text] {
            fs::write(host.root(name), text).unwrap();
            fs::set_permissions(host.root(name), fs::Permissions::from_mode(mode)).unwrap();
            let events = look(&host, &config);
            assert!(!events.is_empty());
        }
        let text = format!("{:?}{:?}", host.kept.events.lock().unwrap(), host.kept.position.lock().unwrap());
        assert!(!text.contains("hunter2"), "{name} {text}");
    }
}

#[test]
fn what_is_excluded_or_beyond_the_depth_is_not_there() {
    let host = host();
    let mut config = config(&["/srv"]);
    config.exclude = vec!["*.log".into(), "/srv/deep/er".into()];
    assert_eq!(shown(&look(&host, &config)), ["state.baseline - files - - files=1 folders=2 links=0 new=3"]);
    config.exclude.clear();
    config.depth = 1;
    append(&host.root("srv/deep/er/b.log"), b"more\n");
    assert!(look(&host, &config).is_empty());
}

#[test]
fn other_paths_are_another_baseline_and_no_events() {
    let host = host();
    look(&host, &config(&["/srv/a.conf", "/srv/deep"]));
    fs::remove_file(host.root("srv/a.conf")).unwrap();
    assert_eq!(
        shown(&look(&host, &config(&["/srv/a.conf", "/etc"]))),
        [
            &format!("file.delete - /srv/a.conf success - mode=0644 sha256={ONE} size=4 type=file"),
            "state.baseline - files - - files=2 folders=1 links=0 new=3",
        ],
    );
}

#[test]
fn the_kernel_tells_when_to_look() {
    let host = host();
    let setup = host.setup("files");
    let mut files = Files::new(&config(&["/srv"]), &setup);
    assert_eq!(host.pass(&mut files, &setup).len(), 1);
    assert!(host.pass(&mut files, &setup).is_empty());
    append(&host.root("srv/deep/er/b.log"), b"more\n");
    files.rest_until = Instant::now();
    let events = host.pass(&mut files, &setup);
    assert_eq!(events.len(), 1, "before the five minutes are over");
    // A folder that is new is watched, too.
    fs::create_dir(host.root("srv/more")).unwrap();
    for _ in 0..2 {
        files.rest_until = Instant::now();
        host.pass(&mut files, &setup);
    }
    fs::write(host.root("srv/more/file"), "x").unwrap();
    files.rest_until = Instant::now();
    assert_eq!(host.pass(&mut files, &setup).len(), 1);
}

#[test]
fn a_crash_repeats_the_same_events() {
    let host = host();
    let config = config(&["/srv"]);
    look(&host, &config);
    let before = host.kept.position.lock().unwrap().clone();
    fs::write(host.root("srv/a.conf"), "two\n").unwrap();
    fs::remove_file(host.root("srv/deep/er/b.log")).unwrap();
    let first = look(&host, &config);
    assert_eq!(first.len(), 2);
    *host.kept.position.lock().unwrap() = before;
    host.clock.advance(Duration::from_secs(5));
    assert_eq!(look(&host, &config), first);
}

#[test]
fn pipes_and_sockets_are_not_opened() {
    let host = host();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, host.root("srv/pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(host.root("srv/socket")).unwrap();
    assert_eq!(
        shown(&look(&host, &config(&["/srv"]))),
        ["state.baseline - files - - files=3 folders=3 links=0 new=8"]
    );
}

#[test]
fn settings_are_checked() {
    for (config, items) in [
        (Config::default(), vec![]),
        (Config { paths: vec!["etc/x".into(), "/a/[".into()], ..Config::default() }, vec!["paths", "paths"]),
        (
            Config { exclude: vec!["***".into()], megabytes_per_second: 0, ..Config::default() },
            vec!["exclude", "megabytes_per_second"],
        ),
        (
            Config { every: Period::millis(10), rehash: Period::millis(5), ..Config::default() },
            vec!["every", "rehash"],
        ),
    ] {
        let found: Vec<&str> = config.check().iter().map(|(item, _)| *item).collect();
        assert_eq!(found, items);
    }
}
