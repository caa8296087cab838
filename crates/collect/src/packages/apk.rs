//! What apk writes of each run that may change the database, `/var/log/apk.log` (apk-tools 3; version 2 of Alpine 3.22 and earlier keeps no log):
//! `src/print.c` and `src/commit.c`. Times are in UTC.
//!
//!     Running `apk upgrade` at 2026-09-28 06:10:04
//!     apk-tools 3.0.8-r0, compiled for x86_64.
//!     (1/2) Upgrading jq (1.8.1-r0 -> 1.8.2-r0)
//!     (2/2) Installing tzdata (2026a-r0)
//!     ERROR: tzdata-2026a-r0: IO ERROR
//!     1 error; 129.7 MiB in 208 packages
//!
//! A line is written before apk sets about the package; that it failed is said by an `ERROR` that names it before the next line. The architecture
//! is not told, nor who asked. `Purging` is a removal: apk keeps no configuration of what it removed.

use attestry_event::{Nanos, Outcome};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Log,
    compared::Manager,
    local_time,
    told::{Action, Begun, Told},
};
use crate::{
    follow::{Follower, Framing},
    line::Line,
    redact,
    source::Paths,
};

/// The log's name in the folder of logs.
pub(super) const LOG: &str = "apk.log";

pub(super) struct Apk {
    follower: Follower,
    state: State,
}

#[derive(Default, Deserialize, Serialize)]
struct State {
    /// The run that the lines belong to: when it began, and its command line without secrets.
    run: Option<(Nanos, String)>,
    /// The package named last, of which an error may follow.
    pending: Option<(String, Begun)>,
}

impl Apk {
    pub(super) fn new(paths: &Paths, position: Option<&Value>) -> Apk {
        Apk {
            follower: Follower::new(paths.log.join(LOG), Framing::Lines, position.map(|at| &at["log"])),
            state: position.and_then(|at| State::deserialize(&at["state"]).ok()).unwrap_or_default(),
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Vec<Told> {
        let Some((package, begun)) = self.state.pending.take() else { return Vec::new() };
        let command_line = self.state.run.as_ref().map(|(_, line)| line.clone());
        vec![Told { command_line, ..Told::new(Manager::Apk, package, begun, outcome) }]
    }
}

impl Log for Apk {
    fn manager(&self) -> Manager {
        Manager::Apk
    }

    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn line(&mut self, line: &Line) -> Vec<Told> {
        if let Some((command, time)) = running(&line.text) {
            // apk was killed at what it named last, or it would have said how much is installed.
            let told = self.finish(Outcome::Failure);
            self.state.run = Some((time, redact::secrets(command).into_owned()));
            return told;
        }
        if let Some(error) = line.text.strip_prefix("ERROR: ")
            && let Some((package, begun)) = &self.state.pending
        {
            let version = begun.new.as_deref().or(begun.old.as_deref()).unwrap_or_default();
            let failed = error
                .strip_prefix(package.as_str())
                .and_then(|rest| rest.strip_prefix('-')?.strip_prefix(version))
                .is_some_and(|rest| rest.starts_with(':'));
            return if failed { self.finish(Outcome::Failure) } else { Vec::new() };
        }
        if let Some((action, package, old, new)) = change(&line.text) {
            let told = self.finish(Outcome::Success);
            // Lines before the first run that is told belong to a log that was cut.
            if let Some((time, _)) = &self.state.run {
                let owned = |version: Option<&str>| version.map(str::to_owned);
                let begun =
                    Begun { action, old: owned(old), new: owned(new), time: *time, id: line.id.clone() };
                self.state.pending = Some((package.to_owned(), begun));
            }
            return told;
        }
        if ends(&line.text) { self.finish(Outcome::Success) } else { Vec::new() }
    }

    fn give_up(&mut self, limit: Nanos) -> Vec<Told> {
        match &self.state.pending {
            Some((_, begun)) if begun.time < limit => self.finish(Outcome::Failure),
            _ => Vec::new(),
        }
    }

    fn is_idle(&self) -> bool {
        self.state.pending.is_none()
    }

    fn position(&self) -> Value {
        json!({ "log": self.follower.position(), "state": self.state })
    }
}

/// The command and the time of a run's first line.
fn running(text: &str) -> Option<(&str, Nanos)> {
    let (command, time) = text.strip_prefix("Running `")?.rsplit_once("` at ")?;
    Some((command, local_time(time, &TimeZone::UTC)?))
}

/// A run's last line: `OK: 8 MiB in 19 packages`, `2 errors; 8 MiB in 19 packages`.
fn ends(text: &str) -> bool {
    text.starts_with("OK: ") || text.contains("; ") && text.ends_with(" packages")
}

/// `(1/2) Upgrading jq@edge (1.8.1-r0 -> 1.8.2-r0)`: what, which package, from and to which version.
fn change(text: &str) -> Option<(Action, &str, Option<&str>, Option<&str>)> {
    let (count, rest) = text.strip_prefix('(')?.split_once(") ")?;
    count.split_once('/')?;
    let (verb, rest) = rest.split_once(' ')?;
    let (package, versions) = rest.strip_suffix(')')?.split_once(" (")?;
    // The tag of a repository is not part of the name.
    let package = package.split_once('@').map_or(package, |(name, _)| name);
    Some(match (verb, versions.split_once(" -> ")) {
        ("Installing", None) => (Action::Install, package, None, Some(versions)),
        ("Purging", None) => (Action::Remove, package, Some(versions), None),
        ("Re-installing" | "Reinstalling", None) => {
            (Action::Upgrade, package, Some(versions), Some(versions))
        }
        ("Upgrading" | "Downgrading" | "Replacing", Some((old, new))) => {
            (Action::Upgrade, package, Some(old), Some(new))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let upgrade = (Action::Upgrade, "jq", Some("1.8.1-r0"), Some("1.8.2-r0"));
        for (text, expected) in [
            ("(1/2) Upgrading jq (1.8.1-r0 -> 1.8.2-r0)", Some(upgrade)),
            ("( 1/12) Upgrading jq@edge (1.8.1-r0 -> 1.8.2-r0)", Some(upgrade)),
            ("(2/2) Installing tzdata (2026a-r0)", Some((Action::Install, "tzdata", None, Some("2026a-r0")))),
            ("(1/1) Purging tzdata (2026a-r0)", Some((Action::Remove, "tzdata", Some("2026a-r0"), None))),
            ("(1/1) Updating pinning jq@edge (1.8.1-r0)", None),
            ("(1/1) [APK unavailable, skipped] Re-installing jq (1)", None),
            ("Executing busybox-1.37.0-r30.trigger", None),
            ("(1) Installing x (1)", None),
        ] {
            assert_eq!(change(text), expected, "{text}");
        }
        for (text, expected) in [
            ("OK: 129.7 MiB in 208 packages", true),
            ("1 error; 8 MiB in 19 packages", true),
            ("2 errors; 8 MiB in 19 packages", true),
            ("apk-tools 3.0.8-r0, compiled for x86_64.", false),
            ("* in packages", false),
        ] {
            assert_eq!(ends(text), expected, "{text}");
        }
        assert_eq!(running("Running `apk add x` at 2026-09-28 06:10:04").unwrap().0, "apk add x");
        assert!(running("Running `apk add x` at noon").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_taken(line in "\\PC{0,60}", inner in "[a-z@ ()>-]{0,20}") {
            let _ = (running(&line), change(&line), ends(&line), change(&format!("(1/2) {inner})")));
        }
    }
}
