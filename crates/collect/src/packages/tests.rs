use std::{fs, sync::PoisonError};

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

use attestry_event::{Event, Outcome};

use super::*;
use crate::proof::{Host, show};

fn read(host: &Host) -> Vec<Event> {
    let setup = host.setup("packages");
    host.pass(&mut Packages::in_zone(&setup, &TimeZone::UTC), &setup)
}

/// The events of a log, one line each, with their times.
#[track_caller]
fn check(log: &str, expected: &[&str]) {
    check_log("dpkg.log", log, expected);
}

#[track_caller]
fn check_log(name: &str, log: &str, expected: &[&str]) {
    let host = Host::new();
    host.append(name, log);
    let found: Vec<String> = read(&host)
        .iter()
        .map(|event| format!("{} {}", &event.event_time.unwrap().to_string()[..19], show(event)))
        .map(|shown| shown.replace(" manager=dpkg", ""))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn an_install_ends_when_it_is_installed() {
    check(
        "2026-05-09 07:29:02 startup archives unpack\n\
         2026-05-09 07:29:02 install jq:amd64 <none> 1.6-2.1\n\
         2026-05-09 07:29:02 status half-installed jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:02 status triggers-pending man-db:amd64 2.11.2-2\n\
         2026-05-09 07:29:02 status unpacked jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:05 startup packages configure\n\
         2026-05-09 07:29:05 configure jq:amd64 1.6-2.1 <none>\n\
         2026-05-09 07:29:05 status half-configured jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:06 status installed jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:06 trigproc man-db:amd64 2.11.2-2 <none>\n\
         2026-05-09 07:29:07 status installed man-db:amd64 2.11.2-2\n",
        &[
            "2026-05-09T07:29:02 package.install - jq success - package=jq architecture=amd64 version=1.6-2.1 duration_s=4",
        ],
    );
}

#[test]
fn an_upgrade_a_removal_and_a_purge() {
    check(
        "2026-09-22 04:51:17 upgrade nodejs:amd64 20.1 20.2\n\
         2026-09-22 04:51:17 status half-configured nodejs:amd64 20.1\n\
         2026-09-22 04:51:17 status unpacked nodejs:amd64 20.1\n\
         2026-09-22 04:51:17 status half-installed nodejs:amd64 20.1\n\
         2026-09-22 04:51:18 status unpacked nodejs:amd64 20.2\n\
         2026-09-22 04:51:18 configure nodejs:amd64 20.2 <none>\n\
         2026-09-22 04:51:18 status installed nodejs:amd64 20.2\n\
         2026-09-22 04:52:00 remove cmake-data:all 3.25.1-1 <none>\n\
         2026-09-22 04:52:00 status half-configured cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:00 status half-installed cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:00 status config-files cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:01 purge cmake-data:all 3.25.1-1 <none>\n\
         2026-09-22 04:52:01 status config-files cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:01 status not-installed cmake-data:all <none>\n",
        &[
            "2026-09-22T04:51:17 package.upgrade - nodejs success - package=nodejs architecture=amd64 \
             old_version=20.1 version=20.2 duration_s=1",
            "2026-09-22T04:52:00 package.remove - cmake-data success - package=cmake-data architecture=all \
             old_version=3.25.1-1 duration_s=0",
            "2026-09-22T04:52:01 package.purge - cmake-data success - package=cmake-data architecture=all \
             old_version=3.25.1-1 duration_s=0",
        ],
    );
}

#[test]
fn what_does_not_end_well_is_a_failure() {
    check(
        // Rolled back to the old version.
        "2026-09-22 04:00:00 upgrade a:amd64 1 2\n\
         2026-09-22 04:00:01 status installed a:amd64 1\n\
         2026-09-22 04:01:00 install b:amd64 <none> 1\n\
         2026-09-22 04:01:00 status unpacked b:amd64 1\n\
         2026-09-22 04:02:00 remove c:amd64 1 <none>\n\
         2026-09-22 04:02:01 status installed c:amd64 1\n\
         2026-09-22 04:03:00 install b:amd64 <none> 1\n\
         2026-09-22 06:00:00 startup packages configure\n\
         2026-09-22 06:00:00 configure b:amd64 1 <none>\n\
         2026-09-22 06:00:01 status installed b:amd64 1\n",
        &[
            "2026-09-22T04:00:00 package.upgrade - a failure - package=a architecture=amd64 old_version=1 version=2 \
             duration_s=1",
            "2026-09-22T04:02:00 package.remove - c failure - package=c architecture=amd64 old_version=1 duration_s=1",
            "2026-09-22T04:01:00 package.install - b failure - package=b architecture=amd64 version=1",
            "2026-09-22T04:03:00 package.install - b failure - package=b architecture=amd64 version=1",
            "2026-09-22T06:00:00 package.configure - b success - package=b architecture=amd64 version=1 duration_s=1",
        ],
    );
}

#[test]
fn dnf_tells_what_came_and_what_went() {
    check_log(
        "dnf.rpm.log",
        "2026-05-09T09:28:46+0200 INFO --- logging initialized ---\n\
         2026-05-09T09:28:46+0200 SUBDEBUG Installed: jq-1.6-17.fc40.x86_64\n\
         2026-05-09T09:28:47+0200 SUBDEBUG Upgrade: openssl-libs-1:3.2.2-6.el9.x86_64\n\
         2026-05-09T09:28:47+0200 SUBDEBUG Downgrade: bash-5.1-2.el9.x86_64\n\
         2026-05-09T09:28:48+0200 SUBDEBUG Upgraded: openssl-libs-1:3.0.7-27.el9.x86_64\n\
         2026-05-09T09:28:49+0200 INFO warning: /etc/x created as /etc/x.rpmnew\n\
         2026-05-09T09:28:50+0200 SUBDEBUG Downgraded: bash-5.2-1.el9.x86_64\n\
         2026-05-09T07:29:00Z SUBDEBUG Erase: nano-7.2-1.el9.x86_64\n\
         2026-05-09T07:29:01Z SUBDEBUG Reinstall: less-1-1.noarch\n\
         2026-05-09T07:29:02Z SUBDEBUG Reinstalled: less-1-1.noarch\n\
         2026-05-09T07:30:00Z SUBDEBUG Upgrade: killed-2-1.noarch\n\
         2026-05-09T09:30:00Z SUBDEBUG Obsoleted: old-1-1.noarch\n",
        &[
            "2026-05-09T07:28:46 package.install - jq success - package=jq architecture=x86_64 version=1.6-17.fc40 \
             manager=rpm",
            "2026-05-09T07:28:47 package.upgrade - openssl-libs success - package=openssl-libs architecture=x86_64 \
             old_version=1:3.0.7-27.el9 version=1:3.2.2-6.el9 manager=rpm duration_s=1",
            "2026-05-09T07:28:47 package.upgrade - bash success - package=bash architecture=x86_64 \
             old_version=5.2-1.el9 version=5.1-2.el9 manager=rpm duration_s=3",
            "2026-05-09T07:29:00 package.remove - nano success - package=nano architecture=x86_64 \
             old_version=7.2-1.el9 manager=rpm",
            "2026-05-09T07:29:01 package.upgrade - less success - package=less architecture=noarch old_version=1-1 \
             version=1-1 manager=rpm duration_s=1",
            "2026-05-09T07:30:00 package.upgrade - killed failure - package=killed architecture=noarch version=2-1 \
             manager=rpm",
            "2026-05-09T09:30:00 package.remove - old success - package=old architecture=noarch old_version=1-1 \
             manager=rpm",
        ],
    );
}

#[test]
fn apk_tells_the_run_and_its_command() {
    check_log(
        "apk.log",
        "(1/1) Installing cut (1-r0)\n\n\
         Running `apk add --password=hunter2 jq tzdata` at 2026-09-28 06:10:04\n\
         apk-tools 3.0.8-r0, compiled for x86_64.\n\
         (1/3) Upgrading jq (1.8.1-r0 -> 1.8.2-r0)\n\
         (2/3) Installing tzdata@edge (2026a-r0)\n\
         ERROR: tzdata-2026a-r0: IO ERROR\n\
         (3/3) Purging nano (8-r0)\n\
         Executing busybox-1.37.0-r30.trigger\n\
         1 error; 129.7 MiB in 208 packages\n\n\
         Running `apk fix` at 2026-09-28 07:00:00\n\
         (1/1) Re-installing musl (1-r0)\n\n\
         Running `apk info` at 2026-09-28 08:00:00\n",
        &[
            "2026-09-28T06:10:04 package.upgrade - jq success - package=jq old_version=1.8.1-r0 version=1.8.2-r0 manager=apk \
             command_line=apk add --password=[redacted] jq tzdata",
            "2026-09-28T06:10:04 package.install - tzdata failure - package=tzdata version=2026a-r0 manager=apk \
             command_line=apk add --password=[redacted] jq tzdata",
            "2026-09-28T06:10:04 package.remove - nano success - package=nano old_version=8-r0 manager=apk \
             command_line=apk add --password=[redacted] jq tzdata",
            "2026-09-28T07:00:00 package.upgrade - musl failure - package=musl old_version=1-r0 version=1-r0 manager=apk \
             command_line=apk fix",
        ],
    );
}

#[test]
fn who_asked_comes_from_apt() {
    let host = Host::new();
    host.append(
        "apt/history.log",
        "\nStart-Date: 2026-05-09  07:29:00\nCommandline: apt install jq --password=hunter2\nRequested-By: alice (1000)\n\
         End-Date: 2026-05-09  07:30:00\n\nStart-Date: 2026-05-10  07:29:00\nCommandline: /usr/bin/unattended-upgrade\n",
    );
    for day in ["08", "09", "10"] {
        host.append("dpkg.log", format!("2026-05-{day} 07:29:02 install jq:amd64 <none> 1\n"));
        host.append("dpkg.log", format!("2026-05-{day} 07:29:02 status installed jq:amd64 1\n"));
    }
    let events = read(&host);
    let users: Vec<&str> = events.iter().map(|event| event.username.as_str()).collect();
    assert_eq!(users, ["-", "alice", "root"]);
    let data = events[1].event_data.as_ref().unwrap();
    assert_eq!(data["command_line"], "apt install jq --password=[redacted]");
    assert_eq!(data["requested_by_uid"], 1000);
}

#[test]
fn local_time_becomes_utc() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for (text, expected) in [
        ("2026-07-01 12:00:00", Some("2026-07-01T10:00:00.000000000Z")),
        ("2026-12-01  12:00:00", Some("2026-12-01T11:00:00.000000000Z")),
        ("2026-10-25 02:30:00", Some("2026-10-25T00:30:00.000000000Z")),
        ("2026-03-29 02:30:00", Some("2026-03-29T01:30:00.000000000Z")),
        ("2026-13-01 12:00:00", None),
        ("2026-12-01", None),
        ("", None),
    ] {
        assert_eq!(local_time(text, &zone).map(|time| time.to_string()).as_deref(), expected, "{text}");
    }
}

/// A log of `count` installs, each with its end.
fn installs(range: std::ops::Range<u32>) -> String {
    range
        .map(|n| {
            format!(
                "2026-05-09 07:{:02}:{:02} install p{n}:amd64 <none> 1\n\
                 2026-05-09 07:{:02}:{:02} status installed p{n}:amd64 1\n",
                n / 60 % 60,
                n % 60,
                n / 60 % 60,
                n % 60,
            )
        })
        .collect()
}

#[test]
fn history_in_rotated_files_comes_once_over_restarts_and_rotations() {
    let host = Host::new();
    host.clock.set(Nanos::parse("2026-05-09T09:00:05Z").unwrap());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(installs(0..1_500).as_bytes()).unwrap();
    fs::write(host.log("dpkg.log.2.gz"), packed.finish().unwrap()).unwrap();
    host.append("dpkg.log.1", installs(1_500..1_600));
    host.append("dpkg.log", installs(1_600..1_700));
    // An outlet that refuses the second batch: the first has been kept, with its position.
    *host.kept.refuse_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(1);
    let setup = host.setup("packages");
    assert_eq!(crate::once(&Config::default(), setup).unwrap_err(), Stopped);
    assert_eq!(host.kept.events.lock().unwrap().len(), 1_000);
    *host.kept.refuse_after.lock().unwrap() = None;

    read(&host);
    // An action is open across a restart and a rotation.
    host.append("dpkg.log", "2026-05-09 09:00:00 install open:amd64 <none> 1\n");
    assert!(read(&host).is_empty());
    host.append("dpkg.log", installs(1_700..1_701));
    read(&host);
    fs::rename(host.log("dpkg.log"), host.log("dpkg.log.0")).unwrap();
    host.append("dpkg.log", "2026-05-09 09:00:09 status installed open:amd64 1\n");
    let last = read(&host);
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].event_data.as_ref().unwrap()["duration_s"], 9);

    let events = host.kept.events.lock().unwrap();
    let names: Vec<&str> = events.iter().filter_map(|event| event.resource.as_deref()).collect();
    let expected: Vec<String> = (0..1_701).map(|n| format!("p{n}")).chain(["open".to_owned()]).collect();
    assert_eq!(names, expected);
    let mut ids: Vec<&str> = events.iter().filter_map(|event| event.event_id.as_deref()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
    assert!(host.kept.batches.lock().unwrap().iter().all(|&size| size <= 1_000));
}

#[test]
fn a_lost_position_repeats_the_same_events() {
    let host = Host::new();
    host.append("dpkg.log", installs(0..50));
    host.append(
        "dpkg.log",
        "2026-05-09 08:00:00 install never:amd64 <none> 1\n2026-05-09 10:00:00 startup archives x\n",
    );
    let first = read(&host);
    assert_eq!(first.len(), 51);
    *host.kept.position.lock().unwrap() = None;
    fs::rename(host.log("dpkg.log"), host.log("dpkg.log.1")).unwrap();
    assert_eq!(read(&host), first);
}

#[test]
fn an_open_action_is_given_up_after_an_hour_of_silence() {
    let host = Host::new();
    let setup = host.setup("packages");
    let mut collector = Packages::in_zone(&setup, &TimeZone::UTC);
    host.clock.set(Nanos::parse("2026-05-09T08:10:00Z").unwrap());
    host.append("dpkg.log", "2026-05-09 08:00:00 install x:amd64 <none> 1\n");
    assert!(host.pass(&mut collector, &setup).is_empty());
    host.clock.set(Nanos::parse("2026-05-09T09:00:01Z").unwrap());
    let events = host.pass(&mut collector, &setup);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome, Some(Outcome::Failure));
}

/// Lets the database be looked at again.
fn again(packages: &mut Packages) {
    packages.databases =
        Manager::ALL.map(|manager| Database::new(manager, Some(&packages.position()["compared"]))).into();
}

#[test]
fn what_the_log_does_not_tell_is_found_in_the_status() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    fs::create_dir_all(host.root("var/lib/dpkg/updates")).unwrap();
    let status = |packages: &[(&str, &str)]| {
        let stanza = |(name, version): &(&str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        fs::write(host.root("var/lib/dpkg/status"), packages.iter().map(stanza).collect::<String>()).unwrap();
    };
    let setup = host.setup("packages");
    let mut packages = Packages::in_zone(&setup, &TimeZone::UTC);
    let look = |packages: &mut Packages| -> Vec<String> {
        again(packages);
        host.pass(packages, &setup).iter().map(crate::proof::show_sorted).collect()
    };
    host.append(
        "dpkg.log",
        "2026-05-09 07:29:02 install b:amd64 <none> 1\n2026-05-09 07:29:02 status installed b:amd64 1\n",
    );
    status(&[("a", "1"), ("b", "1")]);
    let first = look(&mut packages);
    assert_eq!(first[1], "state.baseline - packages - - inferred=true manager=dpkg packages=2", "{first:?}");
    // The log tells of c; nobody tells of a and b.
    status(&[("a", "2"), ("c", "1")]);
    host.append(
        "dpkg.log",
        "2026-05-10 07:29:02 install c:amd64 <none> 1\n2026-05-10 07:29:02 status installed c:amd64 1\n",
    );
    let second = look(&mut packages);
    assert_eq!(
        second,
        [
            "package.install - c success - architecture=amd64 duration_s=0 manager=dpkg package=c version=1",
            "package.upgrade - a success - architecture=amd64 inferred=true manager=dpkg old_version=1 package=a version=2",
            "package.remove - b success - architecture=amd64 inferred=true manager=dpkg old_version=1 package=b",
        ]
    );
    // While dpkg is at work its status is not what it will be.
    status(&[]);
    fs::write(host.root("var/lib/dpkg/updates/0001"), "").unwrap();
    assert!(look(&mut packages).is_empty());
    fs::remove_file(host.root("var/lib/dpkg/updates/0001")).unwrap();
    assert_eq!(look(&mut packages).len(), 2);
    // And over a restart.
    status(&[("d", "1")]);
    assert_eq!(read(&host).len(), 1);
    assert!(read(&host).is_empty());
}

#[test]
fn apk_with_and_without_its_log() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    fs::create_dir_all(host.root("lib/apk/db")).unwrap();
    let setup = host.setup("packages");
    let mut packages = Packages::in_zone(&setup, &TimeZone::UTC);
    let mut look = |log: &str, installed: &[(&str, &str)]| -> Vec<String> {
        let stanza = |(name, version): &(&str, &str)| format!("P:{name}\nV:{version}\nA:x86_64\n\n");
        let text: String = installed.iter().map(stanza).collect();
        fs::write(host.root("lib/apk/db/installed"), text).unwrap();
        if !log.is_empty() {
            host.append(
                "apk.log",
                format!("\nRunning `apk x` at 2026-09-28 07:00:00\n{log}OK: 8 MiB in 9 packages\n"),
            );
        }
        again(&mut packages);
        let events = host.pass(&mut packages, &setup);
        events.iter().map(|event| crate::proof::show_sorted(event).replace(" manager=apk", "")).collect()
    };
    assert!(!Config::default().availability(&setup.paths).on);
    let first = look("", &[("musl", "1"), ("jq", "1"), ("jq-doc", "1")]);
    assert_eq!(first, ["state.baseline - packages - - inferred=true packages=3"]);
    assert!(Config::default().availability(&setup.paths).on);
    // Without a log, as apk-tools 2 is, everything is found by comparing.
    assert_eq!(
        look("", &[("musl", "2"), ("jq-doc", "1")]),
        [
            "package.remove - jq success - architecture=x86_64 inferred=true old_version=1 package=jq",
            "package.upgrade - musl success - architecture=x86_64 inferred=true old_version=1 package=musl version=2",
        ]
    );
    // With one, what it told is no difference, though it names no architecture; what it did not tell is.
    assert_eq!(
        look(
            "(1/3) Upgrading musl (2 -> 3)\n(2/3) Installing zlib (1)\n(3/3) Purging jq-doc (1)\n",
            &[("musl", "3"), ("zlib", "1"), ("curl", "1")]
        ),
        [
            "package.upgrade - musl success - command_line=apk x old_version=2 package=musl version=3",
            "package.install - zlib success - command_line=apk x package=zlib version=1",
            "package.remove - jq-doc success - command_line=apk x old_version=1 package=jq-doc",
            "package.install - curl success - architecture=x86_64 inferred=true package=curl version=1",
        ]
    );
    // A log that does not tell the truth does not hide it.
    assert_eq!(
        look("(1/1) Upgrading zlib (1 -> 2)\n", &[("musl", "3"), ("zlib", "1.5")])[1..],
        [
            "package.remove - curl success - architecture=x86_64 inferred=true old_version=1 package=curl",
            "package.upgrade - zlib success - architecture=x86_64 inferred=true old_version=2 package=zlib version=1.5",
        ]
    );
}

/// A real dpkg, on a root of the test's own: once with a log, once without.
#[test]
fn a_real_dpkg_with_and_without_its_log() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    for folder in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "tiny/DEBIAN"] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    fs::write(host.root("var/lib/dpkg/status"), "").unwrap();
    let root = format!("--root={}", host.root("").display());
    let logged = format!("--log={}", host.log("dpkg.log").display());
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        // dpkg wants to find ldconfig and start-stop-daemon.
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let deb = |version: &str| {
        let control = format!(
            "Package: tiny\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n"
        );
        fs::write(host.root("tiny/DEBIAN/control"), control).unwrap();
        let deb = host.root(&format!("tiny-{version}.deb")).display().to_string();
        run("dpkg-deb", &["--build", host.root("tiny").to_str().unwrap(), &deb]);
        deb
    };
    assert_eq!(read(&host).len(), 1, "the baseline");
    let dpkg = |log: &str, arguments: &[&str]| -> Vec<String> {
        run("dpkg", &[&[root.as_str(), log, "--force-not-root"], arguments].concat());
        read(&host)
            .iter()
            .map(|event| {
                crate::proof::show_sorted(event).replace(" duration_s=0", "").replace(" duration_s=1", "")
            })
            .collect()
    };
    let about = "tiny success - architecture=all";
    let silent = "--log=/dev/null";
    for (log, arguments, expected) in [
        (
            &*logged,
            ["-i", &deb("1")],
            format!("package.install - {about} manager=dpkg package=tiny version=1"),
        ),
        (
            &*logged,
            ["-i", &deb("2")],
            format!("package.upgrade - {about} manager=dpkg old_version=1 package=tiny version=2"),
        ),
        (
            &*logged,
            ["-r", "tiny"],
            format!("package.remove - {about} manager=dpkg old_version=2 package=tiny"),
        ),
        (
            silent,
            ["-i", &deb("3")],
            format!("package.install - {about} inferred=true manager=dpkg package=tiny version=3"),
        ),
        (
            silent,
            ["-i", &deb("4")],
            format!(
                "package.upgrade - {about} inferred=true manager=dpkg old_version=3 package=tiny version=4"
            ),
        ),
        (
            silent,
            ["-P", "tiny"],
            format!("package.remove - {about} inferred=true manager=dpkg old_version=4 package=tiny"),
        ),
    ] {
        let found = dpkg(log, &arguments);
        assert_eq!(found.first(), Some(&expected), "{found:?}");
        // Once it is told by the log it is no difference, though a purge of what has no configuration may follow.
        assert!(found.iter().skip(1).all(|event| event.starts_with("package.purge")), "{found:?}");
    }
}

/// A real apt-get, with a package of the test's own, on a root of its own.
#[test]
fn a_real_apt_get_says_who_asked() {
    let host = Host::new();
    let root = host.root("").display().to_string();
    for folder in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "tiny/DEBIAN",
        "log/apt",
    ] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    fs::write(host.root("var/lib/dpkg/status"), "").unwrap();
    let control = "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n";
    fs::write(host.root("tiny/DEBIAN/control"), control).unwrap();
    let deb = host.root("tiny.deb").display().to_string();
    let run = |program: &str, arguments: &[String]| {
        let mut command = std::process::Command::new(program);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("TZ", "UTC");
        let output = command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {told}");
    };
    run("dpkg-deb", &["--build".to_owned(), host.root("tiny").display().to_string(), deb.clone()]);
    let apt = |words: &[&str]| {
        let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        for option in [
            format!("Dir={root}"),
            format!("Dir::State::status={root}/var/lib/dpkg/status"),
            format!("Dir::Log={root}/log/apt"),
            format!("Dpkg::Options::=--root={root}"),
            "Dpkg::Options::=--force-not-root".to_owned(),
            format!("Dpkg::Options::=--log={root}/log/dpkg.log"),
            "Debug::NoLocking=1".to_owned(),
        ] {
            arguments.extend(["-o".to_owned(), option]);
        }
        run("apt-get", &arguments);
        let found = read(&host);
        let event = found.iter().find(|event| event.event_name.starts_with("package.")).cloned();
        let event = event.unwrap_or_else(|| panic!("{found:?}"));
        let data = event.event_data.unwrap_or_default();
        assert!(
            data["command_line"].as_str().unwrap().starts_with(&format!("apt-get {}", words[0])),
            "{data:?}"
        );
        (event.event_name, event.resource)
    };
    let tiny = Some("tiny".to_owned());
    assert_eq!(apt(&["-yq", "install", &deb]), ("package.install".to_owned(), tiny.clone()));
    assert_eq!(apt(&["-yq", "remove", "tiny"]), ("package.remove".to_owned(), tiny));
}

/// With Debian's rpm, a package of its own making, and a database in the test's folder.
#[test]
fn a_real_rpm_installs_upgrades_and_removes() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    let database = host.root("var/lib/rpm");
    fs::create_dir_all(&database).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        let output = command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let top = format!("_topdir {}", host.root("build").display());
    let path = database.to_str().unwrap().to_owned();
    for version in ["1", "2"] {
        let spec = host.root("tiny.spec");
        fs::write(
            &spec,
            format!("Name: tiny\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n%files\n"),
        )
        .unwrap();
        run("rpmbuild", &["-bb", "--quiet", "--define", &top, spec.to_str().unwrap()]);
    }
    run("rpm", &["--dbpath", &path, "--initdb"]);
    assert_eq!(read(&host).len(), 1, "the baseline");
    let rpm = |version: &str| {
        host.root("build").join(format!("RPMS/noarch/tiny-{version}-1.noarch.rpm")).display().to_string()
    };
    let root = host.root("root").display().to_string();
    fs::create_dir_all(&root).unwrap();
    let about = "architecture=noarch inferred=true manager=rpm";
    for (arguments, expected) in [
        (["-i", &rpm("1")], format!("package.install - tiny success - {about} package=tiny version=1-1")),
        (
            ["-U", &rpm("2")],
            format!("package.upgrade - tiny success - {about} old_version=1-1 package=tiny version=2-1"),
        ),
        (["-e", "tiny"], format!("package.remove - tiny success - {about} old_version=2-1 package=tiny")),
    ] {
        run("rpm", &["--dbpath", &path, "--nodeps", "--noscripts", "--justdb", arguments[0], arguments[1]]);
        let shown: Vec<String> = read(&host).iter().map(crate::proof::show_sorted).collect();
        assert_eq!(shown, [expected]);
    }
}

/// Debian's dnf on a root of its own, whose log and database agree.
#[test]
fn a_real_dnf_is_told_by_its_log_and_not_again_by_the_database() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    let root = host.root("").display().to_string();
    let root = root.trim_end_matches('/');
    for folder in ["log", "var/lib", "root/.rpmdb"] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    // Debian's rpm has its database at home; and dnf puts its root before the folder of logs, its library does not.
    std::os::unix::fs::symlink("../../root/.rpmdb", host.root("var/lib/rpm")).unwrap();
    let twice = host.root(root.trim_start_matches('/'));
    fs::create_dir_all(twice.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(root, &twice).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{program} {arguments:?}: {said:?}");
    };
    let top = format!("_topdir {}", host.root("build").display());
    let spec = host.root("tiny.spec");
    for version in ["1", "2"] {
        let text = format!(
            "Name: tiny\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n%files\n"
        );
        fs::write(&spec, text).unwrap();
        run("rpmbuild", &["-bb", "--quiet", "--define", &top, spec.to_str().unwrap()]);
    }
    let rpm = |version: &str| {
        host.root("build").join(format!("RPMS/noarch/tiny-{version}-1.noarch.rpm")).display().to_string()
    };
    let options = [
        "-y".to_owned(),
        format!("--installroot={root}"),
        format!("--setopt=logdir={root}/log"),
        format!("--setopt=cachedir={root}/cache"),
        format!("--setopt=persistdir={root}/persist"),
        format!("--setopt=reposdir={root}/none"),
        "--releasever=1".to_owned(),
    ];
    for (arguments, expected) in [
        (
            ["install", &rpm("1")],
            "package.install - tiny success - architecture=noarch manager=rpm package=tiny version=1-1",
        ),
        (
            ["upgrade", &rpm("2")],
            "package.upgrade - tiny success - architecture=noarch manager=rpm old_version=1-1 package=tiny version=2-1",
        ),
        (
            ["downgrade", &rpm("1")],
            "package.upgrade - tiny success - architecture=noarch manager=rpm old_version=2-1 package=tiny version=1-1",
        ),
        (
            ["remove", "tiny"],
            "package.remove - tiny success - architecture=noarch manager=rpm old_version=1-1 package=tiny",
        ),
    ] {
        let all: Vec<&str> = options.iter().map(String::as_str).chain(arguments).collect();
        run("dnf", &all);
        let mut shown: Vec<String> = read(&host)
            .iter()
            .map(|event| {
                crate::proof::show_sorted(event).replace(" duration_s=0", "").replace(" duration_s=1", "")
            })
            .collect();
        shown.retain(|event| !event.starts_with("state.baseline"));
        assert_eq!(shown, [expected]);
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_taken(line in "\\PC{0,80}", action in "(install|upgrade|remove|purge|configure|status installed)") {
        let host = Host::new();
        host.append("dpkg.log", format!("2026-05-09 07:00:00 {action} {line}\n{line}\n"));
        read(&host);
    }
}
