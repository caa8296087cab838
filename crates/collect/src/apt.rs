//! Who asked apt for what: `/var/log/apt/history.log`, which dpkg's own log does not say.
//!
//! Stanzas separated by empty lines, of which four members count (apt 2.6, `apt-pkg/deb/dpkgpm.cc`):
//!
//!     Start-Date: 2026-05-09  07:28:46
//!     Commandline: apt-get install -y tzdata
//!     Requested-By: alice (1000)
//!     End-Date: 2026-05-09  07:28:50
//!
//! The first three are written before dpkg starts. `Requested-By` is there when sudo or pkexec was used.

use std::path::PathBuf;

use attestry_event::Nanos;
use jiff::tz::TimeZone;

use crate::{
    follow::{Follower, Framing, Record, Step},
    packages::local_time,
    redact,
};

/// So many runs are kept in memory, the newest ones: years of them on most hosts.
const MAX_RUNS: usize = 20_000;

/// One run of apt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) start: Nanos,
    /// None while it runs, or when it was killed.
    pub(crate) end: Option<Nanos>,
    /// With secrets taken out.
    pub(crate) command_line: Option<String>,
    pub(crate) requested_by: Option<String>,
    pub(crate) requested_by_uid: Option<u32>,
}

/// The runs known so far.
pub(crate) struct History {
    follower: Follower,
    zone: TimeZone,
    runs: Vec<Run>,
}

impl History {
    pub(crate) fn new(log: PathBuf, zone: TimeZone) -> History {
        History { follower: Follower::new(log, Framing::Lines, None), zone, runs: Vec::new() }
    }

    /// Reads what was added. What cannot be read is left out: these are additions to events, no events.
    pub(crate) fn refresh(&mut self, now: Nanos) {
        loop {
            match self.follower.next(now) {
                Step::Record(record) => self.line(&record),
                Step::Gap(_) => {}
                Step::Idle => break,
            }
        }
        if self.runs.len() > MAX_RUNS {
            self.runs.drain(..self.runs.len() - MAX_RUNS);
        }
    }

    /// The run during which something happened at `time`.
    pub(crate) fn at(&self, time: Nanos) -> Option<&Run> {
        let run = &self.runs[..self.runs.partition_point(|run| run.start <= time)];
        run.last().filter(|run| run.end.is_none_or(|end| time <= end))
    }

    fn line(&mut self, record: &Record) {
        let text = String::from_utf8_lossy(&record.bytes);
        let Some((name, value)) = text.split_once(": ") else { return };
        let value = value.trim();
        if name == "Start-Date" {
            let Some(start) = local_time(value, &self.zone) else { return };
            let run =
                Run { start, end: None, command_line: None, requested_by: None, requested_by_uid: None };
            let at = self.runs.partition_point(|run| run.start <= start);
            self.runs.insert(at, run);
            return;
        }
        let Some(run) = self.runs.last_mut() else { return };
        match name {
            "Commandline" => run.command_line = Some(redact::secrets(value).into_owned()),
            "Requested-By" => match value.rsplit_once(" (") {
                Some((user, uid)) => {
                    run.requested_by = Some(user.to_owned());
                    run.requested_by_uid = uid.trim_end_matches(')').parse().ok();
                }
                None => run.requested_by = Some(value.to_owned()),
            },
            "End-Date" => run.end = local_time(value, &self.zone),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use attestry_event::{Clock, SystemClock};

    use super::*;

    #[test]
    fn a_time_finds_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("history.log");
        fs::write(
            &log,
            "\nStart-Date: 2026-05-09  07:28:46\nCommandline: apt-get install -y tzdata\nRequested-By: alice (1000)\n\
             Upgrade: tzdata:amd64 (2025b-0+deb12u1, 2025b-0+deb12u2)\nEnd-Date: 2026-05-09  07:28:50\n\
             \nStart-Date: 2026-05-09  08:00:00\nCommandline: apt-get -o Acquire::http::Proxy=http://u:hunter2@p/ upgrade\n",
        )
        .unwrap();
        let mut history = History::new(log, TimeZone::UTC);
        history.refresh(SystemClock.now());
        let at = |time: &str| history.at(Nanos::parse(time).unwrap());
        assert_eq!(at("2026-05-09T07:28:45Z"), None);
        let run = at("2026-05-09T07:28:46Z").unwrap();
        assert_eq!(run.requested_by.as_deref(), Some("alice"));
        assert_eq!(run.requested_by_uid, Some(1000));
        assert_eq!(run.command_line.as_deref(), Some("apt-get install -y tzdata"));
        assert_eq!(at("2026-05-09T07:28:50Z").unwrap().start, run.start);
        assert_eq!(at("2026-05-09T07:28:51Z"), None);
        let running = at("2026-05-09T09:00:00Z").unwrap();
        assert_eq!(running.end, None);
        assert!(!running.command_line.as_ref().unwrap().contains("hunter2"));
    }
}
