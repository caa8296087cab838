//! What `su` and `login` say (util-linux 2.38, and the older ones of shadow).

use attestry_event::{Event, Outcome};

use super::message::{quoted, said};
use crate::{line::put, names::Names};

pub(super) fn parse(text: &str, names: &Names) -> Option<Event> {
    su(text, names).or_else(|| old_su(text, names)).or_else(|| login(text, names))
}

/// `(to root) alice on pts/0`, and after `FAILED SU ` the same.
fn su(text: &str, names: &Names) -> Option<Event> {
    let (outcome, rest) = match text.strip_prefix("FAILED SU ") {
        Some(rest) => (Outcome::Failure, rest),
        None => (Outcome::Success, text),
    };
    let (target, rest) = rest.strip_prefix("(to ")?.split_once(") ")?;
    let (user, tty) = rest.rsplit_once(" on ")?;
    Some(switch(outcome, user, target, Some(tty), names))
}

/// `Successful su for root by alice`, `FAILED su for root by alice`.
fn old_su(text: &str, names: &Names) -> Option<Event> {
    let (outcome, rest) = match text.strip_prefix("Successful su for ") {
        Some(rest) => (Outcome::Success, rest),
        None => (Outcome::Failure, text.strip_prefix("FAILED su for ")?),
    };
    let (target, user) = rest.rsplit_once(" by ")?;
    Some(switch(outcome, user, target, None, names))
}

fn switch(outcome: Outcome, user: &str, target: &str, tty: Option<&str>, names: &Names) -> Event {
    let (target, message) = match outcome {
        Outcome::Success => (target.to_owned(), format!("{user} became {target}")),
        Outcome::Failure => {
            let target = names.failed(target);
            let message = format!("{user} failed to become {target}");
            (target, message)
        }
    };
    let mut event = said("su.switch", user, Some(outcome), message).resource(target.as_str());
    event.severity = Some(if outcome == Outcome::Failure { 4 } else { 5 });
    put(&mut event, "target_user", target);
    // util-linux writes "none" where there is no terminal.
    if let Some(tty) = tty.filter(|tty| *tty != "none") {
        put(&mut event, "tty", tty);
    }
    event
}

/// `FAILED LOGIN (1) on '/dev/tty1' FOR 'alice', Authentication failure`, `LOGIN ON tty1 BY alice`, `ROOT LOGIN ON tty1`.
fn login(text: &str, names: &Names) -> Option<Event> {
    if let Some(rest) = text.strip_prefix("FAILED LOGIN ") {
        let (_, rest) = rest.split_once(" on ")?;
        let (tty, rest) = quoted(rest)?;
        let (user, rest) = rest.split_once(" FOR '")?.1.rsplit_once('\'')?;
        let user = names.failed(user);
        let message = format!("{user} failed to log in on {tty}");
        let mut event = said("login.failure", &user, Some(Outcome::Failure), message);
        put(&mut event, "tty", tty);
        put(&mut event, "method", "password");
        put(&mut event, "service", "login");
        put(&mut event, "reason", rest.trim_start_matches([',', ' ']));
        return Some(event);
    }
    let (tty, user) = match text.strip_prefix("LOGIN ON ") {
        Some(rest) => rest.split_once(" BY ")?,
        None => (text.strip_prefix("ROOT LOGIN ")?.trim_start().get(3..)?.trim_matches('\''), "root"),
    };
    let (user, from) = user.split_once(" FROM ").map_or((user, None), |(user, from)| (user, Some(from)));
    let tty = tty.split(" FROM ").next().unwrap_or(tty);
    let mut event = said("login.success", user, Some(Outcome::Success), format!("{user} logged in on {tty}"));
    put(&mut event, "tty", tty);
    put(&mut event, "method", "password");
    put(&mut event, "service", "login");
    if let Some(from) = from {
        put(&mut event, "remote_host", from);
    }
    Some(event)
}
