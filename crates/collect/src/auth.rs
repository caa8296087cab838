//! Source `auth`: logins over SSH, sudo, su, cron, sessions, changes of users and groups, from the auth log.
//!
//! The same lines may be in a file (`/var/log/auth.log` on Debian, `/var/log/secure` on Red Hat) and in journald, so only one is
//! read, decided at the start: the file when it is written to, because it reaches further back; else the journal. After
//! a change from one to the other what is not newer than the newest event is passed over.
//!
//! Whoever may write to `/dev/log` can write any line, in the name of any program. Journald tells who really did: a line of an
//! ordinary user that bears another program's name becomes `auth.mismatch`. A file does not tell.
//!
//! [`header`] takes a line's start apart, [`message`] finds the parser for its program; one file a family of programs.

mod accounts;
mod console;
mod cron;
mod header;
mod journal;
mod message;
mod pam;
mod sshd;
mod sudo;

use std::{fs, path::PathBuf, sync::Arc, time::SystemTime};

use attestry_event::{Event, Nanos};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    follow::{Follower, Framing, Gap, Step},
    line::{Line, hashed_id, put, put_some},
    names::Names,
    source::{Availability, Cadence, Collector, Feed, LOOK_EVERY, Paths, Setup, Source, Stopped},
};
use header::Message;
use journal::{Entry, From, Journal, Next, Origin};

/// A file nobody has written to for so long is a leftover when there is a journal: cron alone writes once an hour.
const STALE_SECONDS: u64 = 48 * 3_600;

/// A journalctl that ends is started again, but not more often than this.
const RESTART_NANOS: i64 = 30_000_000_000;

/// What will be read.
enum Choice {
    File(PathBuf),
    Journal(PathBuf),
    Nothing(String),
}

fn choose(paths: &Paths) -> Choice {
    let mut reasons = Vec::new();
    let mut file = None;
    for name in ["auth.log", "secure"] {
        let path = paths.log.join(name);
        match fs::File::open(&path).and_then(|open| open.metadata()) {
            Ok(meta) => {
                let age = meta.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
                let fresh = age.is_none_or(|age| age.as_secs() < STALE_SECONDS);
                if fresh {
                    return Choice::File(path);
                }
                file = file.or(Some(path));
            }
            Err(error) => reasons.push(format!("{}: {error}", path.display())),
        }
    }
    match paths.journalctl.as_deref().map(|program| (program, journal::readable(program))) {
        Some((program, Ok(()))) => return Choice::Journal(program.to_owned()),
        Some((_, Err(reason))) => reasons.push(reason),
        None => {}
    }
    match file {
        Some(path) => Choice::File(path),
        None => Choice::Nothing(reasons.join("; ")),
    }
}

/// The auth log, from its file or from journald.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "auth"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Follow(LOOK_EVERY)
    }

    fn needs(&self) -> &'static str {
        "read access to auth.log or secure (group adm), or journalctl and the group systemd-journal"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        match choose(paths) {
            Choice::File(path) => Availability::on(format!("reads {} and its rotations", path.display())),
            Choice::Journal(program) => {
                Availability::on(format!("reads the journal by {}", program.display()))
            }
            Choice::Nothing(reason) => Availability::off(reason),
        }
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Auth::new(setup))
    }
}

pub(crate) struct Auth {
    host: String,
    names: Arc<Names>,
    zone: TimeZone,
    reading: Reading,
    /// The time of the newest event so far.
    newest: Nanos,
    /// After a change of the log: nothing up to this is taken again.
    pass_over: Nanos,
}

enum Reading {
    File(Box<Follower>),
    Journal { program: PathBuf, cursor: Option<String>, running: Option<Journal>, not_before: Nanos },
    Nothing(String),
}

impl Auth {
    pub(crate) fn new(setup: &Setup) -> Auth {
        Auth::in_zone(setup, TimeZone::system())
    }

    fn in_zone(setup: &Setup, zone: TimeZone) -> Auth {
        let position = setup.position.as_ref().unwrap_or(&Value::Null);
        let newest = Nanos(position["newest"].as_i64().unwrap_or(0));
        let from = position["from"].as_str();
        // To the second, as a file may tell it: better a second twice than something not at all.
        let before =
            Nanos(newest.0.div_euclid(1_000_000_000).saturating_mul(1_000_000_000).saturating_sub(1));
        let mut pass_over = Nanos(0);
        let reading = match choose(&setup.paths) {
            Choice::File(path) => {
                if from == Some("journal") {
                    pass_over = before;
                }
                Reading::File(Box::new(Follower::new(path, Framing::Lines, Some(&position["log"]))))
            }
            Choice::Journal(program) => {
                if from == Some("file") {
                    pass_over = before;
                }
                let cursor = position["cursor"].as_str().map(str::to_owned);
                Reading::Journal { program, cursor, running: None, not_before: Nanos(0) }
            }
            Choice::Nothing(reason) => Reading::Nothing(reason),
        };
        Auth { host: setup.host.clone(), names: setup.names.clone(), zone, reading, newest, pass_over }
    }

    fn position(&self) -> Value {
        let newest = self.newest.0;
        match &self.reading {
            Reading::File(follower) => {
                json!({ "from": "file", "log": follower.position(), "newest": newest })
            }
            Reading::Journal { cursor, .. } => {
                json!({ "from": "journal", "cursor": cursor, "newest": newest })
            }
            Reading::Nothing(_) => Value::Null,
        }
    }

    /// Completes `event` with time and host; none when it was taken before.
    fn complete(&mut self, mut event: Event, time: Nanos, host: &str, now: Nanos) -> Option<Event> {
        if time <= self.pass_over {
            return None;
        }
        // A time in the future must not make us pass over what is really new.
        self.newest = self.newest.max(time.min(now));
        event.event_time = Some(time);
        let ours = host.is_empty() || self.host == host || self.host.split('.').next() == Some(host);
        event.host = Some(if ours { self.host.clone() } else { host.to_owned() });
        Some(event)
    }

    fn of_line(&mut self, line: &Line, modified: Nanos, now: Nanos) -> Option<Event> {
        if line.text.trim().is_empty() {
            return None;
        }
        let mut event = match header::parse(&line.text, modified, &self.zone) {
            Some(message) => {
                let event = message::event(&message, &self.names);
                self.complete(event, message.time, message.host, now)?
            }
            None => {
                let mut event =
                    Event::new("auth.other", "-").severity(6).message(self.names.line(&line.text));
                put(&mut event, "time_unknown", true);
                self.complete(event, modified, "", now)?
            }
        };
        line.mark(&mut event);
        Some(event)
    }

    fn of_entry(&mut self, entry: &Entry, now: Nanos) -> Option<Event> {
        let message = Message {
            time: entry.time,
            host: &entry.host,
            program: &entry.program,
            pid: entry.pid,
            text: entry.text.trim(),
        };
        let mut event = message::event(&message, &self.names);
        let origin = entry.sender.origin(&entry.program);
        if event.event_name != "auth.other" && origin == Origin::Other {
            event = message::mismatch(&message, &event.event_name, &self.names);
        }
        let mut event = self.complete(event, entry.time, &entry.host, now)?;
        if origin != Origin::Sure {
            put_some(&mut event, "sender_uid", entry.sender.uid);
            let sender = entry.sender.exe.as_deref().or(entry.sender.comm.as_deref());
            put_some(&mut event, "sender", sender.map(|sender| self.names.line(sender)));
        }
        event.event_id = Some(hashed_id("auth-journal", &self.host, &[entry.cursor.as_bytes()]));
        if entry.damaged {
            put(&mut event, "invalid_utf8", true);
        }
        Some(event)
    }

    fn pass_file(&mut self, feed: &mut Feed) -> Result<(), Stopped> {
        let now = feed.now();
        loop {
            let Reading::File(follower) = &mut self.reading else { return Ok(()) };
            match follower.next(now) {
                Step::Record(record) => {
                    let modified = record.modified;
                    let line = Line::new(record, "auth", &self.host);
                    if let Some(event) = self.of_line(&line, modified, now) {
                        feed.push(event);
                    }
                    feed.send_when_full(|| self.position())?;
                }
                Step::Gap(gap) => feed.lose(gap),
                Step::Idle => return feed.send(|| self.position()),
            }
            feed.go_on()?;
        }
    }

    fn pass_journal(&mut self, feed: &mut Feed, resident: bool) -> Result<(), Stopped> {
        let now = feed.now();
        let since = self.pass_over;
        let Reading::Journal { program, cursor, running, not_before } = &mut self.reading else {
            return Ok(());
        };
        if running.is_none() {
            if now < *not_before {
                return Ok(());
            }
            *not_before = Nanos(now.0.saturating_add(RESTART_NANOS));
            let from = match cursor {
                Some(cursor) => From::AfterCursor(cursor),
                None if since > Nanos(0) => From::Since(since),
                None => From::Oldest,
            };
            match Journal::start(program, &from, resident) {
                Ok(started) => *running = Some(started),
                Err(error) => {
                    feed.status().set_problem(Some(format!("{}: {error}", program.display())));
                    return Ok(());
                }
            }
            feed.status().set_problem(None);
        }
        loop {
            let Reading::Journal { cursor, running: Some(journal), .. } = &mut self.reading else {
                return Ok(());
            };
            match journal.next(!resident) {
                Next::Entry(entry) => {
                    *cursor = Some(entry.cursor.clone());
                    if let Some(event) = self.of_entry(&entry, now) {
                        feed.push(event);
                    }
                    feed.send_when_full(|| self.position())?;
                }
                Next::Unreadable => feed.lose(Gap {
                    file: "journal".to_owned(),
                    reason: "gave an entry that cannot be read or is longer than 1 MiB".to_owned(),
                }),
                Next::Nothing => return feed.send(|| self.position()),
                Next::Ended(words) => {
                    self.end_journal();
                    // Resident it is started again by the next pass, after the last entry.
                    if resident {
                        let words = words.unwrap_or_else(|| "no reason given".to_owned());
                        feed.status().set_problem(Some(format!("journalctl ended: {words}")));
                    }
                    return feed.send(|| self.position());
                }
            }
            feed.go_on()?;
        }
    }

    fn end_journal(&mut self) {
        if let Reading::Journal { running, .. } = &mut self.reading {
            *running = None;
        }
    }
}

impl Collector for Auth {
    fn pass(&mut self, feed: &mut Feed, resident: bool) -> Result<(), Stopped> {
        match &self.reading {
            Reading::File(_) => self.pass_file(feed),
            Reading::Journal { .. } => self.pass_journal(feed, resident),
            Reading::Nothing(reason) => {
                feed.status().set_problem(Some(reason.clone()));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
