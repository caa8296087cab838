//! Source `logins`: login records, from `/var/log/wtmp` (sessions, boots) and `/var/log/btmp` (failures) and their rotations.
//!
//! Records of 384 bytes, `struct utmp` of glibc (`utmp(5)`, `bits/utmp.h`) on x86-64 and most others, in the byte order of the
//! machine. On aarch64 session and time are 64 bits wide, and a record has 400 bytes:
//!
//!     0 type i16 | 2 padding | 4 pid i32 | 8 line 32 | 40 id 4 | 44 user 32 | 76 host 256
//!     | 332 termination i16 | 334 exit i16
//!     | 336 session i32 | 340 seconds u32 | 344 microseconds u32 | 348 address 16 | 364 unused 20
//!     | 336 session i64 | 344 seconds i64 | 352 microseconds i64 | 360 address 16 | 376 unused 24   (aarch64)
//!
//! An IPv4 address stands in the first four bytes when the others are zero.
//!
//! The end of a session names only its terminal: who it was is remembered, and part of the position. Run levels and gettys
//! are passed over.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use attestry_event::{Event, Nanos, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    follow::{Follower, Framing, Gap, Record, Step},
    line::{event_id, put, put_some},
    names::Names,
    source::{Availability, Cadence, Collector, Feed, LOOK_EVERY, Paths, Setup, Source, Stopped},
};

const WIDE: bool = cfg!(target_arch = "aarch64");
const RECORD_BYTES: usize = if WIDE { 400 } else { 384 };
const SECONDS_AT: usize = if WIDE { 344 } else { 340 };
const MICROS_AT: usize = if WIDE { 352 } else { 344 };
const ADDRESS_AT: usize = if WIDE { 360 } else { 348 };
/// More sessions are never remembered at once; the oldest go first.
const MAX_SESSIONS: usize = 4_096;

/// Login records: wtmp and btmp.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "logins"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(LOOK_EVERY)
    }

    fn needs(&self) -> &'static str {
        "read access to wtmp, and to btmp (group utmp) for failed logins"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        let readable: Vec<String> = ["wtmp", "btmp"]
            .iter()
            .map(|name| paths.log.join(name))
            .filter(|path| std::fs::File::open(path).is_ok())
            .map(|path| path.display().to_string())
            .collect();
        if readable.is_empty() {
            Availability::off(format!("neither wtmp nor btmp in {} can be read", paths.log.display()))
        } else {
            Availability::on(format!("reads {}", readable.join(" and ")))
        }
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Logins::new(setup))
    }
}

pub(crate) struct Logins {
    host: String,
    names: Arc<Names>,
    wtmp: Follower,
    btmp: Follower,
    /// By terminal.
    sessions: BTreeMap<String, Session>,
    /// The time before a change of the clock, until the record with the new one comes.
    old_time: Option<Nanos>,
}

#[derive(Clone)]
struct Session {
    user: String,
    host: String,
    address: Option<String>,
    start: Nanos,
}

/// One record, its text made printable.
#[derive(Debug, PartialEq)]
struct Utmp {
    kind: i16,
    pid: i32,
    line: String,
    user: String,
    host: String,
    time: Nanos,
    address: Option<IpAddr>,
}

const RUN_LEVEL: i16 = 1;
const BOOT_TIME: i16 = 2;
const NEW_TIME: i16 = 3;
const OLD_TIME: i16 = 4;
const LOGIN_PROCESS: i16 = 6;
const USER_PROCESS: i16 = 7;
const DEAD_PROCESS: i16 = 8;

impl Utmp {
    fn parse(bytes: &[u8]) -> Option<Utmp> {
        let four = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
        let two = bytes.get(..2)?.try_into().ok()?;
        // The lower half is enough until 2106: wide fields are little-endian.
        let seconds = i64::from(u32::from_ne_bytes(four(SECONDS_AT)?));
        let micros = i64::from(u32::from_ne_bytes(four(MICROS_AT)?)).min(999_999);
        let address: [u8; 16] = bytes.get(ADDRESS_AT..ADDRESS_AT + 16)?.try_into().ok()?;
        Some(Utmp {
            kind: i16::from_ne_bytes(two),
            pid: i32::from_ne_bytes(four(4)?),
            line: text(bytes.get(8..40)?),
            user: text(bytes.get(44..76)?),
            host: text(bytes.get(76..332)?),
            time: Nanos(seconds * 1_000_000_000 + micros * 1_000),
            address: match address {
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => None,
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Some(Ipv4Addr::new(a, b, c, d).into()),
                _ => Some(IpAddr::V6(Ipv6Addr::from(address)).to_canonical()),
            },
        })
    }

    /// ` on pts/0 from host.example`, or what is known of it.
    fn place(&self) -> String {
        let part = |word: &str, value: &str| {
            some(value).map_or_else(String::new, |value| format!(" {word} {value}"))
        };
        part("on", &self.line) + &part("from", &self.host)
    }

    /// The address, from the host's text when the record has none.
    fn source(&self) -> Option<String> {
        let from_host = || self.host.parse::<IpAddr>().ok();
        self.address.or_else(from_host).map(|address| address.to_string())
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).trim().to_owned()
}

impl Logins {
    pub(crate) fn new(setup: &Setup) -> Logins {
        let position = setup.position.as_ref();
        let follow = |name: &str| {
            Follower::new(
                setup.paths.log.join(name),
                Framing::Records(RECORD_BYTES),
                position.map(|p| &p[name]),
            )
        };
        let sessions = position.and_then(|p| p["sessions"].as_object()).into_iter().flatten();
        Logins {
            host: setup.host.clone(),
            names: setup.names.clone(),
            wtmp: follow("wtmp"),
            btmp: follow("btmp"),
            sessions: sessions
                .filter_map(|(line, value)| Some((line.clone(), Session::from_json(value)?)))
                .collect(),
            old_time: None,
        }
    }

    fn position(&self) -> Value {
        let sessions: serde_json::Map<String, Value> =
            self.sessions.iter().map(|(line, session)| (line.clone(), session.to_json())).collect();
        json!({ "wtmp": self.wtmp.position(), "btmp": self.btmp.position(), "sessions": sessions })
    }

    /// The event of a wtmp record, for most kinds none.
    fn change(&mut self, utmp: &Utmp) -> Option<Event> {
        match utmp.kind {
            BOOT_TIME => {
                self.sessions.clear();
                let mut event = Event::new("host.boot", "-");
                event.severity = Some(5);
                event.message = Some(match utmp.host.as_str() {
                    "" => "the host started".to_owned(),
                    kernel => format!("the host started, Linux {kernel}"),
                });
                put_some(&mut event, "kernel", some(&utmp.host));
                Some(event)
            }
            RUN_LEVEL if utmp.user == "shutdown" => {
                self.sessions.clear();
                let mut event = Event::new("host.shutdown", "-");
                event.severity = Some(5);
                event.message = Some("the host was shut down".to_owned());
                put_some(&mut event, "kernel", some(&utmp.host));
                Some(event)
            }
            OLD_TIME => {
                self.old_time = Some(utmp.time);
                None
            }
            NEW_TIME => {
                let mut event = Event::new("host.set_time", "-");
                event.severity = Some(5);
                let old = self.old_time.take();
                event.message = Some(match old {
                    Some(old) => format!("the clock was set from {old} to {}", utmp.time),
                    None => format!("the clock was set to {}", utmp.time),
                });
                put_some(&mut event, "old_time", old.map(|old| old.to_string()));
                put(&mut event, "new_time", utmp.time.to_string());
                Some(event)
            }
            USER_PROCESS if !utmp.user.is_empty() => {
                let address = utmp.source();
                let mut event = Event::new("session.open", utmp.user.as_str());
                event.severity = Some(6);
                event.outcome = Some(Outcome::Success);
                let place = utmp.place();
                event.message = Some(format!("{} logged in{place}", utmp.user));
                if self.sessions.len() >= MAX_SESSIONS {
                    self.sessions.pop_first();
                }
                let session =
                    Session { user: utmp.user.clone(), host: utmp.host.clone(), address, start: utmp.time };
                session.describe(&mut event);
                self.sessions.insert(utmp.line.clone(), session);
                Some(event)
            }
            DEAD_PROCESS => {
                let session = self.sessions.remove(&utmp.line)?;
                let mut event = Event::new("session.close", session.user.as_str());
                event.severity = Some(6);
                event.message = Some(format!("{} logged out of {}", session.user, utmp.line));
                session.describe(&mut event);
                put(&mut event, "duration_s", utmp.time.0.saturating_sub(session.start.0) / 1_000_000_000);
                Some(event)
            }
            _ => None,
        }
    }

    /// The event of a btmp record.
    fn failure(&self, utmp: &Utmp) -> Option<Event> {
        if !matches!(utmp.kind, LOGIN_PROCESS | USER_PROCESS) {
            return None;
        }
        let user = self.names.failed(&utmp.user);
        let address = utmp.source();
        let place = utmp.place();
        let mut event = Event::new("login.failure", user.as_str());
        event.severity = Some(4);
        event.outcome = Some(Outcome::Failure);
        let who = if user == "-" { "somebody" } else { &user };
        event.message = Some(format!("{who} failed to log in{place}"));
        put_some(&mut event, "remote_host", some(&utmp.host));
        if let Some(address) = address {
            event.source_ip_address = Some(address);
        }
        Some(event)
    }

    fn event(&mut self, record: &Record, failures: bool) -> Option<Event> {
        let utmp = Utmp::parse(&record.bytes)?;
        // A record of zeros is what a crash leaves in a file.
        if utmp.time.0 == 0 {
            return None;
        }
        let mut event = if failures { self.failure(&utmp) } else { self.change(&utmp) }?;
        let kind = if failures { "btmp" } else { "wtmp" };
        event.event_id = Some(event_id(kind, &self.host, record));
        event.event_time = Some(utmp.time);
        if !matches!(utmp.kind, BOOT_TIME | RUN_LEVEL | NEW_TIME) {
            put_some(&mut event, "tty", some(&utmp.line));
            put(&mut event, "pid", utmp.pid);
        }
        Some(event)
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl Session {
    fn describe(&self, event: &mut Event) {
        put_some(event, "remote_host", some(&self.host));
        event.source_ip_address = self.address.clone();
    }

    fn to_json(&self) -> Value {
        json!({ "user": self.user, "host": self.host, "address": self.address, "start": self.start.0 })
    }

    fn from_json(value: &Value) -> Option<Session> {
        Some(Session {
            user: value["user"].as_str()?.to_owned(),
            host: value["host"].as_str()?.to_owned(),
            address: value["address"].as_str().map(str::to_owned),
            start: Nanos(value["start"].as_i64()?),
        })
    }
}

impl Collector for Logins {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let now = feed.now();
        for failures in [false, true] {
            loop {
                let follower = if failures { &mut self.btmp } else { &mut self.wtmp };
                match follower.next(now) {
                    Step::Record(record) => {
                        if let Some(event) = self.event(&record, failures) {
                            feed.push(event);
                        }
                        feed.send_when_full(|| self.position())?;
                    }
                    Step::Gap(Gap { file, reason }) => feed.lose(Gap { file, reason }),
                    Step::Idle => break,
                }
                feed.go_on()?;
            }
        }
        feed.send(|| self.position())
    }
}

#[cfg(test)]
mod tests;
