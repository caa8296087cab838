use std::{fs, sync::PoisonError};

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

use super::*;
use crate::proof::{Host, show};

fn read(host: &Host) -> Vec<Event> {
    let setup = host.setup("packages");
    host.pass(&mut Packages::in_zone(&setup, TimeZone::UTC), &setup)
}

/// The events of a log, one line each, with their times.
#[track_caller]
fn check(log: &str, expected: &[&str]) {
    let host = Host::new();
    host.append("dpkg.log", log);
    let found: Vec<String> = read(&host)
        .iter()
        .map(|event| format!("{} {}", &event.event_time.unwrap().to_string()[..19], show(event)))
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
    let mut collector = Packages::in_zone(&setup, TimeZone::UTC);
    host.clock.set(Nanos::parse("2026-05-09T08:10:00Z").unwrap());
    host.append("dpkg.log", "2026-05-09 08:00:00 install x:amd64 <none> 1\n");
    assert!(host.pass(&mut collector, &setup).is_empty());
    host.clock.set(Nanos::parse("2026-05-09T09:00:01Z").unwrap());
    let events = host.pass(&mut collector, &setup);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome, Some(Outcome::Failure));
}

proptest::proptest! {
    #[test]
    fn any_line_is_taken(line in "\\PC{0,80}", action in "(install|upgrade|remove|purge|configure|status installed)") {
        let _ = parse(&line);
        let host = Host::new();
        host.append("dpkg.log", format!("2026-05-09 07:00:00 {action} {line}\n{line}\n"));
        read(&host);
    }
}
