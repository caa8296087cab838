//! What is known of a service, and which events lie between two states of it.

use attestry_event::{Event, Nanos, Outcome};
use serde::{Deserialize, Serialize};

use super::wire::Value;
use crate::line::{put, put_some};

/// A service as systemd describes it (`org.freedesktop.systemd1(5)`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Unit {
    /// active, inactive, failed, activating …
    pub(super) active: String,
    /// running, exited, auto-restart …
    pub(super) sub: String,
    /// Which run of it this is; another one for each start.
    pub(super) invocation: String,
    pub(super) main_pid: u32,
    /// success, exit-code, signal, timeout, oom-kill …
    pub(super) result: String,
    /// How the main process ended: 1 exited, 2 killed, 3 killed with a core; and its exit code or signal.
    pub(super) code: i32,
    pub(super) status: i32,
    /// How often systemd has started it again by itself.
    pub(super) restarts: u32,
    /// Microseconds since 1970.
    pub(super) active_since: i64,
    pub(super) inactive_since: i64,
    /// A job waits or runs: what it is now it will not stay.
    pub(super) busy: bool,
    /// It ran since, by systemd's word, though of which run this tells is not known any more.
    #[serde(skip)]
    pub(super) ran: bool,
}

impl Unit {
    /// From the properties of a unit and of a service.
    pub(super) fn from(unit: &Value, service: &Value) -> Unit {
        let mut found = Unit::default();
        found.apply(unit);
        found.apply(service);
        found
    }

    /// Takes over the properties that are given.
    pub(super) fn apply(&mut self, properties: &Value) {
        let text = |name: &str, into: &mut String| {
            if let Some(value) = properties.get(name) {
                value.text().clone_into(into);
            }
        };
        text("ActiveState", &mut self.active);
        text("SubState", &mut self.sub);
        text("Result", &mut self.result);
        let number = |name: &str| properties.get(name).map(Value::number);
        self.main_pid = number("MainPID").map_or(self.main_pid, |value| value as u32);
        self.code = number("ExecMainCode").map_or(self.code, |value| value as i32);
        self.status = number("ExecMainStatus").map_or(self.status, |value| value as i32);
        self.restarts = number("NRestarts").map_or(self.restarts, |value| value as u32);
        self.active_since = number("ActiveEnterTimestamp").map_or(self.active_since, |value| value as i64);
        self.inactive_since =
            number("InactiveEnterTimestamp").map_or(self.inactive_since, |value| value as i64);
        if let Some(id) = properties.get("InvocationID") {
            self.invocation = id.list().iter().map(|byte| format!("{:02x}", byte.number() as u8)).collect();
        }
        if let Some(id) = properties.get("Job").and_then(|job| job.list().first()) {
            self.busy = id.number() != 0;
        }
    }

    fn up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    fn down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed" | "")
    }

    fn failed(&self) -> bool {
        self.active == "failed" || self.sub.starts_with("auto-restart") && self.result != "success"
    }

    /// Whether this is on the way to something else that will be told.
    pub(super) fn passing(&self) -> bool {
        !self.failed() && (self.busy && self.active != "reloading" || !self.up() && !self.down())
    }
}

/// The events between `old` and `new`, which is not passing; oldest first.
pub(super) fn between(name: &str, old: &Unit, new: &Unit, now: Nanos) -> Vec<Event> {
    let another = new.ran || old.invocation != new.invocation && !new.invocation.is_empty();
    let mut events = Vec::new();
    let mut tell = |verb: &str, said: String, time: i64| {
        let time = if time > 0 { Nanos(time.saturating_mul(1_000)).min(now) } else { now };
        events.push(event(name, verb, said, new, time));
    };
    if new.failed() {
        // Two failures of one run are one; a run that began and failed between two looks is one too.
        if !old.failed() || another {
            tell("fail", format!("{name} failed: {}", reason(new)), new.inactive_since);
        }
    } else if new.up() {
        if old.up() && another || new.restarts > old.restarts && !old.invocation.is_empty() {
            let by = if new.restarts > old.restarts { " by systemd itself" } else { "" };
            tell("restart", format!("{name} was restarted{by}"), new.active_since);
        } else if !old.up() {
            tell("start", format!("{name} was started"), new.active_since);
        }
    } else if new.down() {
        if !old.up() && another {
            tell(
                "start",
                format!("{name} was started"),
                if new.active_since > 0 { new.active_since } else { new.inactive_since },
            );
        }
        if old.up() || another {
            tell("stop", format!("{name} has ended"), new.inactive_since);
        }
    }
    events
}

fn reason(unit: &Unit) -> String {
    match (unit.result.as_str(), unit.code) {
        ("exit-code", _) => format!("exit code {}", unit.status),
        ("signal" | "core-dump", _) => format!("signal {}", unit.status),
        ("", _) => "no reason is known".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// An event of a service.
pub(super) fn event(name: &str, verb: &str, said: String, unit: &Unit, time: Nanos) -> Event {
    let failed = verb == "fail";
    let mut event = Event::new(format!("service.{verb}"), "-")
        .time(time)
        .resource(name)
        .outcome(if failed { Outcome::Failure } else { Outcome::Success })
        .severity(if failed { 3 } else { 5 })
        .message(said)
        .data("unit", name);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    put_some(&mut event, "invocation", some(&unit.invocation));
    if unit.main_pid > 0 {
        put(&mut event, "main_pid", unit.main_pid);
    }
    if matches!(verb, "fail" | "stop") {
        put_some(&mut event, "result", some(&unit.result));
        match unit.code {
            1 => put(&mut event, "exit_code", unit.status),
            2 | 3 => put(&mut event, "signal", unit.status),
            _ => {}
        }
    }
    if unit.restarts > 0 && matches!(verb, "restart" | "fail") {
        put(&mut event, "restarts", unit.restarts);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::show;

    fn unit(active: &str, sub: &str, invocation: &str) -> Unit {
        Unit {
            active: active.into(),
            sub: sub.into(),
            invocation: invocation.into(),
            result: "success".into(),
            ..Unit::default()
        }
    }

    #[test]
    fn states_become_events() {
        let up = unit("active", "running", "a");
        let down = Unit { code: 1, ..unit("inactive", "dead", "a") };
        let failed = Unit { result: "exit-code".into(), code: 1, status: 3, ..unit("failed", "failed", "a") };
        let again = Unit {
            result: "exit-code".into(),
            code: 1,
            status: 3,
            ..unit("activating", "auto-restart", "a")
        };
        let restarted = Unit { restarts: 1, ..unit("active", "running", "b") };
        for (old, new, expected) in [
            (&down, &up, vec!["service.start"]),
            (&up, &up, vec![]),
            (&up, &down, vec!["service.stop"]),
            (&up, &failed, vec!["service.fail"]),
            (&failed, &failed, vec![]),
            (&failed, &Unit { invocation: "b".into(), ..failed.clone() }, vec!["service.fail"]),
            (&up, &again, vec!["service.fail"]),
            (&again, &restarted, vec!["service.restart"]),
            (&up, &unit("active", "running", "b"), vec!["service.restart"]),
            (&failed, &unit("active", "running", "b"), vec!["service.start"]),
            // A job that runs once, between two looks.
            (&down, &unit("inactive", "dead", "b"), vec!["service.start", "service.stop"]),
            (&Unit::default(), &up, vec!["service.start"]),
            (&failed, &down, vec![]),
        ] {
            let events = between("x.service", old, new, Nanos(1));
            let names: Vec<&str> = events.iter().map(|event| event.event_name.as_str()).collect();
            assert_eq!(names, expected, "{old:?} {new:?}");
        }
        let event = &between("x.service", &up, &failed, Nanos(1))[0];
        assert_eq!(
            show(event),
            "service.fail - x.service failure - unit=x.service invocation=a result=exit-code exit_code=3"
        );
        for (passing, unit) in [
            (true, unit("activating", "start", "a")),
            (true, unit("deactivating", "stop-sigterm", "a")),
            (true, Unit { busy: true, ..down.clone() }),
            (false, again),
            (false, down),
            (false, up),
        ] {
            assert_eq!(unit.passing(), passing, "{unit:?}");
        }
    }
}
