use std::fs;

use super::*;
use crate::proof::{Host, show};

/// A record as glibc lays it out.
struct Raw {
    kind: i16,
    pid: i32,
    line: &'static str,
    user: &'static str,
    host: &'static str,
    seconds: u32,
    address: [u8; 16],
}

fn raw(kind: i16, line: &'static str, user: &'static str, host: &'static str, seconds: u32) -> Raw {
    Raw { kind, pid: 77, line, user, host, seconds, address: [0; 16] }
}

impl Raw {
    fn from(mut self, address: &[u8]) -> Raw {
        self.address[..address.len()].copy_from_slice(address);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; RECORD_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &self.kind.to_ne_bytes());
        put(4, &self.pid.to_ne_bytes());
        put(8, self.line.as_bytes());
        put(44, self.user.as_bytes());
        put(76, self.host.as_bytes());
        put(SECONDS_AT, &self.seconds.to_ne_bytes());
        put(MICROS_AT, &123_456u32.to_ne_bytes());
        put(ADDRESS_AT, &self.address);
        bytes
    }
}

fn read(host: &Host) -> Vec<String> {
    let setup = host.setup("logins");
    host.pass(&mut Logins::new(&setup), &setup).iter().map(show).collect()
}

#[test]
fn sessions_open_and_close_over_restarts_and_rotations() {
    let host = Host::new();
    for record in [
        raw(BOOT_TIME, "~", "reboot", "6.1.0-28-amd64", 1_000),
        raw(RUN_LEVEL, "~", "runlevel", "6.1.0-28-amd64", 1_001),
        raw(LOGIN_PROCESS, "tty1", "LOGIN", "", 1_002),
        raw(USER_PROCESS, "pts/0", "alice", "192.0.2.7", 1_010).from(&[192, 0, 2, 7]),
        raw(USER_PROCESS, "pts/1", "bob", "host.example", 1_011)
            .from(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        host.append("wtmp", record.bytes());
    }
    assert_eq!(
        read(&host),
        [
            "host.boot - - - - kernel=6.1.0-28-amd64",
            "session.open alice - success 192.0.2.7 remote_host=192.0.2.7 tty=pts/0 pid=77",
            "session.open bob - success 2001:db8::1 remote_host=host.example tty=pts/1 pid=77",
        ]
    );
    host.append("wtmp", raw(DEAD_PROCESS, "pts/0", "", "", 1_070).bytes());
    fs::rename(host.log("wtmp"), host.log("wtmp.1")).unwrap();
    for record in [
        raw(DEAD_PROCESS, "pts/0", "", "", 1_071),
        raw(OLD_TIME, "|", "date", "", 1_072),
        raw(NEW_TIME, "{", "date", "", 1_080),
        raw(RUN_LEVEL, "~", "shutdown", "6.1.0-28-amd64", 1_090),
        raw(DEAD_PROCESS, "pts/1", "", "", 1_091),
    ] {
        host.append("wtmp", record.bytes());
    }
    assert_eq!(
        read(&host),
        [
            "session.close alice - - 192.0.2.7 remote_host=192.0.2.7 duration_s=60 tty=pts/0 pid=77",
            "host.set_time - - - - old_time=1970-01-01T00:17:52.123456000Z new_time=1970-01-01T00:18:00.123456000Z",
            "host.shutdown - - - - kernel=6.1.0-28-amd64",
        ]
    );
    assert!(read(&host).is_empty());
}

#[test]
fn failed_names_are_hashed_unless_they_are_accounts() {
    let host = Host::new();
    host.append("btmp", raw(LOGIN_PROCESS, "ssh:notty", "alice", "192.0.2.7", 5).bytes());
    host.append("btmp", raw(LOGIN_PROCESS, "ssh:notty", "hunter2", "192.0.2.7", 6).bytes());
    host.append("btmp", raw(LOGIN_PROCESS, "tty1", "", "", 7).bytes());
    host.append("btmp", raw(DEAD_PROCESS, "tty1", "x", "", 8).bytes());
    let seen = read(&host);
    assert_eq!(seen[0], "login.failure alice - failure 192.0.2.7 remote_host=192.0.2.7 tty=ssh:notty pid=77");
    assert!(seen[1].starts_with("login.failure redacted:"), "{}", seen[1]);
    assert_eq!(seen[2], "login.failure - - failure - tty=tty1 pid=77");
    assert_eq!(seen.len(), 3);
    let messages: Vec<String> =
        host.kept.events.lock().unwrap().iter().filter_map(|event| event.message.clone()).collect();
    assert_eq!(messages[0], "alice failed to log in on ssh:notty from 192.0.2.7");
    assert_eq!(messages[2], "somebody failed to log in on tty1");
    let kept = format!("{:?}", host.kept.events.lock().unwrap());
    assert!(!kept.contains("hunter2"));
}

#[test]
fn the_layout_is_that_of_the_program_last() {
    // What utmpdump shows of the same bytes is the oracle where it is installed, as on every Debian.
    let host = Host::new();
    host.append(
        "wtmp",
        raw(USER_PROCESS, "pts/0", "alice", "192.0.2.7", 1_763_694_738).from(&[192, 0, 2, 7]).bytes(),
    );
    let shown =
        std::process::Command::new("utmpdump").arg(host.log("wtmp")).env("TZ", "UTC").output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for part in ["[7]", "[00077]", "[alice", "[pts/0", "[192.0.2.7", "[2025-11-21T03:12:18,123456+00:00]"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..1200), kind in 0i16..10) {
        let host = Host::new();
        let mut record = bytes.clone();
        record.resize(RECORD_BYTES, 0xfe);
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        host.append("wtmp", &record);
        host.append("wtmp", &bytes);
        host.append("btmp", &record);
        read(&host);
    }
}
