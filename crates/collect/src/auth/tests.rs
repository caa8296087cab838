use std::{fs::File, os::unix::fs::PermissionsExt, time::Duration};

use attestry_event::Clock;

use super::*;
use crate::proof::{Host, show};

fn read(host: &Host) -> Vec<Event> {
    let setup = host.setup("auth");
    host.pass(&mut Auth::in_zone(&setup, TimeZone::UTC), &setup)
}

fn shown(events: &[Event]) -> Vec<String> {
    events.iter().map(show).collect()
}

/// A program in the place of journalctl: shows `entries`, those after the cursor only, and its arguments on the side.
fn journalctl(host: &mut Host, entries: &[(u64, &str)]) {
    let program = host.folder.path().join("journalctl");
    let entries: String = entries
        .iter()
        .map(|(n, text)| {
            let micros = 1_763_694_738_000_000 + n * 1_000_000;
            format!(
                "{{\"__CURSOR\":\"c{n}\",\"__REALTIME_TIMESTAMP\":\"{micros}\",\"_HOSTNAME\":\"web1\",\
                 \"SYSLOG_IDENTIFIER\":\"sshd\",\"_PID\":\"9\",\"MESSAGE\":\"{text}\"}}\n"
            )
        })
        .collect();
    std::fs::write(host.folder.path().join("entries"), entries).unwrap();
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$*\" >> arguments\nafter=\n\
                  for a; do case $a in --after-cursor=*) after=${a#*=};; esac; done\n\
                  if [ -n \"$after\" ]; then sed \"1,/\\\"$after\\\"/d\" entries; else cat entries; fi\n\
                  case \"$*\" in *--follow*) exec sleep 60;; esac\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.journalctl = Some(program);
}

#[test]
fn a_file_with_both_layouts_is_read_once() {
    let host = Host::new();
    let year = &host.clock.now().to_string()[..4].to_owned();
    host.append(
        "auth.log",
        "2026-01-02T03:04:05.600000+01:00 web1 sshd[8]: Accepted password for alice from 192.0.2.7 port 5 ssh2\n\
         Jan  2 03:04:06 db1 su[9]: (to root) alice on pts/0\n\
         \n\
         no time at all --password=hunter2\n\
         Jan  2 03:04:07 web1 sshd[8]: Disconnected from user al\u{fffd} 192.0.2.7 port 5\n",
    );
    let events = read(&host);
    assert_eq!(
        shown(&events),
        [
            "login.success alice - success 192.0.2.7 source_port=5 method=password service=sshd program=sshd pid=8",
            "su.switch alice root success - target_user=root tty=pts/0 program=su pid=9",
            "auth.other - - - - time_unknown=true",
            "ssh.disconnect al\u{fffd} - - 192.0.2.7 source_port=5 reason=disconnected program=sshd pid=8",
        ]
    );
    assert_eq!(events[0].event_time.unwrap().to_string(), "2026-01-02T02:04:05.600000000Z");
    assert_eq!(events[1].event_time.unwrap().to_string(), format!("{year}-01-02T03:04:06.000000000Z"));
    assert_eq!(events[1].host.as_deref(), Some("db1"), "a line another host sent is that host's");
    assert_eq!(events[2].message.as_deref(), Some("no time at all --password=[redacted]"));
    assert!(read(&host).is_empty());

    host.append("auth.log", b"Jan  2 03:04:08 web1 x: bad \xff byte\n");
    let events = read(&host);
    assert_eq!(events[0].event_data.as_ref().unwrap()["invalid_utf8"], true);
}

#[test]
fn rotation_while_following() {
    let host = Host::new();
    let setup = host.setup("auth");
    host.append("auth.log", "Jan  2 03:04:06 web1 su: (to root) a on pts/0\n");
    let mut collector = Auth::in_zone(&setup, TimeZone::UTC);
    assert_eq!(host.pass(&mut collector, &setup).len(), 1);
    host.append("auth.log", "Jan  2 03:04:07 web1 su: (to root) b on pts/0\n");
    std::fs::rename(host.log("auth.log"), host.log("auth.log.1")).unwrap();
    host.append("auth.log.1", "Jan  2 03:04:08 web1 su: (to root) c on pts/0\n");
    host.append("auth.log", "Jan  2 03:04:09 web1 su: (to root) d on pts/0\n");
    let users: Vec<String> =
        host.pass(&mut collector, &setup).into_iter().map(|event| event.username).collect();
    assert_eq!(users, ["b", "c", "d"]);
}

#[test]
fn the_journal_is_read_after_its_cursor() {
    let mut host = Host::new();
    journalctl(&mut host, &[(1, "Server listening"), (2, "Invalid user bob from 192.0.2.7 port 1")]);
    let first = read(&host);
    assert_eq!(first.len(), 2);
    assert_eq!(first[1].event_name, "ssh.invalid_user");
    assert_eq!(first[1].event_time.unwrap(), Nanos(1_763_694_740_000_000_000));
    assert!(read(&host).is_empty());
    journalctl(&mut host, &[(1, "Server listening"), (2, "x"), (3, "Received SIGHUP; restarting.")]);
    assert_eq!(read(&host).len(), 1);

    // The same entries once more, when the position is lost, have the same ids.
    journalctl(&mut host, &[(1, "Server listening"), (2, "Invalid user bob from 192.0.2.7 port 1")]);
    *host.kept.position.lock().unwrap() = None;
    assert_eq!(read(&host), first);
    let arguments = std::fs::read_to_string(host.folder.path().join("arguments")).unwrap();
    assert!(
        arguments.contains("--after-cursor=c2") && arguments.contains("SYSLOG_FACILITY=10"),
        "{arguments}"
    );
}

#[test]
fn a_forged_entry_is_no_login() {
    let mut host = Host::new();
    journalctl(&mut host, &[]);
    let entry = |n: u32, exe: &str, uid: u32| {
        format!(
            "{{\"__CURSOR\":\"c{n}\",\"__REALTIME_TIMESTAMP\":\"17636947380000{n:02}\",\"_EXE\":\"{exe}\",\"_UID\":\"{uid}\",\
             \"SYSLOG_IDENTIFIER\":\"sshd\",\"MESSAGE\":\"Accepted password for root from 203.0.113.9 port 1 ssh2\"}}\n"
        )
    };
    let entries = entry(1, "/usr/bin/logger", 65534) + &entry(2, "/usr/sbin/sshd", 0);
    std::fs::write(host.folder.path().join("entries"), entries).unwrap();
    let found = shown(&read(&host));
    assert_eq!(
        found[0],
        "auth.mismatch - - failure - claimed_event=login.success program=sshd sender_uid=65534 sender=/usr/bin/logger"
    );
    assert!(found[1].starts_with("login.success root - success 203.0.113.9"), "{found:?}");
}

#[test]
fn a_resident_journal_is_followed_and_ended() {
    let mut host = Host::new();
    journalctl(&mut host, &[(1, "Server listening")]);
    let running = crate::start(Box::new(Config::default()), host.setup("auth")).unwrap();
    for _ in 0..100 {
        if running.status().events() > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(running.status().events(), 1);
    // Stopping ends the program too: `sleep 60` would hold it otherwise.
    let started = std::time::Instant::now();
    running.stop();
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn file_and_journal_are_never_read_together() {
    let mut host = Host::new();
    journalctl(&mut host, &[(1, "from the journal"), (100_000, "much later")]);
    host.append("auth.log", "2025-11-21T03:12:20+00:00 web1 sshd[9]: from the file\n");
    let messages =
        |events: Vec<Event>| -> Vec<String> { events.into_iter().filter_map(|e| e.message).collect() };
    assert_eq!(messages(read(&host)), ["sshd: from the file"]);

    // Nobody writes the file any more: the journal takes over after the newest event.
    let file = File::options().append(true).open(host.log("auth.log")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3 * 24 * 3_600)).unwrap();
    assert_eq!(messages(read(&host)), ["sshd: much later"]);

    // And back.
    host.append(
        "auth.log",
        "2025-11-21T03:12:21+00:00 web1 sshd[9]: older\n2026-01-01T00:00:00Z web1 sshd[9]: newer\n",
    );
    assert_eq!(messages(read(&host)), ["sshd: newer"]);
}

#[test]
fn without_either_it_is_off() {
    let host = Host::new();
    let setup = host.setup("auth");
    let availability = Config::default().availability(&setup.paths);
    assert!(!availability.on && availability.why.contains("auth.log"), "{availability:?}");
    assert!(read(&host).is_empty());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), text in "\\PC{0,60}") {
        let host = Host::new();
        host.append("auth.log", &bytes);
        host.append("auth.log", format!("\nNov 21 03:12:18 web1 sshd[1]: {text}\n{text}\n"));
        read(&host);
    }
}
