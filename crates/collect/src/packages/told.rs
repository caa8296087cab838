//! What a package manager's log tells of one package, and the event it becomes.

use attestry_event::{Event, Nanos, Outcome};
use serde::{Deserialize, Serialize};

use super::compared::Manager;
use crate::line::{put, put_some};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Install,
    Upgrade,
    Remove,
    Purge,
    Configure,
}

impl Action {
    pub(super) fn word(self) -> &'static str {
        match self {
            Action::Install => "install",
            Action::Upgrade => "upgrade",
            Action::Remove => "remove",
            Action::Purge => "purge",
            Action::Configure => "configure",
        }
    }
}

/// An action that a log has begun to tell.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Begun {
    pub(super) action: Action,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
    pub(super) time: Nanos,
    /// The id of the line that told it first, which the event keeps.
    pub(super) id: String,
}

/// An action with its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) manager: Manager,
    /// `name:architecture`, or only the name where the log does not say more.
    pub(super) package: String,
    pub(super) begun: Begun,
    pub(super) outcome: Outcome,
    /// When it ended, where the log tells.
    pub(super) end: Option<Nanos>,
    /// Who asked for it, how, and under which number; "-" when nothing tells.
    pub(super) user: String,
    pub(super) command_line: Option<String>,
    pub(super) uid: Option<u32>,
}

impl Told {
    pub(super) fn new(manager: Manager, package: impl Into<String>, begun: Begun, outcome: Outcome) -> Told {
        let package = package.into();
        Told { manager, package, begun, outcome, end: None, user: "-".into(), command_line: None, uid: None }
    }

    /// The version there is now, if it ended well.
    pub(super) fn version(&self) -> Option<&str> {
        match self.begun.action {
            Action::Remove | Action::Purge => None,
            Action::Install | Action::Upgrade | Action::Configure => self.begun.new.as_deref(),
        }
    }

    pub(super) fn event(&self) -> Event {
        let (name, architecture) = match self.package.rsplit_once(':') {
            Some((name, architecture)) => (name, Some(architecture)),
            None => (self.package.as_str(), None),
        };
        let Begun { action, old, new, time, id } = &self.begun;
        let mut event = Event::new(format!("package.{}", action.word()), self.user.as_str());
        event.event_id = Some(id.clone());
        event.event_time = Some(*time);
        event.resource = Some(name.to_owned());
        event.outcome = Some(self.outcome);
        event.severity = Some(if self.outcome == Outcome::Success { 6 } else { 3 });
        event.message = Some(self.message(name));
        put(&mut event, "package", name);
        put_some(&mut event, "architecture", architecture);
        put_some(&mut event, "old_version", old.as_deref());
        put_some(&mut event, "version", new.as_deref());
        put(&mut event, "manager", self.manager.word());
        put_some(&mut event, "duration_s", self.end.map(|end| (end.0 - time.0) / 1_000_000_000));
        put_some(&mut event, "command_line", self.command_line.as_deref());
        put_some(&mut event, "requested_by_uid", self.uid);
        event
    }

    fn message(&self, name: &str) -> String {
        let Begun { action, old, new, .. } = &self.begun;
        let before = old.as_deref().unwrap_or("an unknown version");
        let after = new.as_deref().unwrap_or("an unknown version");
        let (done, doing, what) = match action {
            Action::Install => ("installed", "installing", format!("{name} {after}")),
            Action::Upgrade if old == new => ("reinstalled", "reinstalling", format!("{name} {after}")),
            Action::Upgrade => ("upgraded", "upgrading", format!("{name} from {before} to {after}")),
            Action::Remove => ("removed", "removing", format!("{name} {before}")),
            Action::Purge => ("purged", "purging", format!("{name} {before}")),
            Action::Configure => ("configured", "configuring", format!("{name} {after}")),
        };
        match self.outcome {
            Outcome::Success => format!("{done} {what}"),
            Outcome::Failure => format!("{doing} {what} was not finished"),
        }
    }
}
