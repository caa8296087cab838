//! From what a program said to an event: asks the program's own parser, then PAM's, and keeps what neither knows as
//! `auth.other`.

use attestry_event::{Event, Outcome};

use super::{accounts, console, cron, header::Message, pam, sshd, sudo};
use crate::{
    line::{put, put_some},
    names::Names,
};

/// Names and the like are cut here (in characters): Linux allows 32 for a user, sshd logs 100.
const MAX_NAME_CHARS: usize = 256;

/// The event of a message, without id and time. Every name and text in it that came from the line has been redacted.
pub(super) fn event(message: &Message<'_>, names: &Names) -> Event {
    let (text, repeated) = repeated(message.text);
    let parsed = match program(message.program) {
        "sshd" | "sshd-session" | "sshd-auth" => sshd::parse(text, names),
        "sudo" => sudo::parse(text, names),
        "pkexec" => sudo::parse_pkexec(text),
        "su" | "login" => console::parse(text, names),
        "cron" | "CRON" | "crond" | "CROND" | "crontab" | "anacron" => cron::parse(text),
        "useradd" | "userdel" | "usermod" | "groupadd" | "groupdel" | "groupmod" | "gpasswd" | "passwd"
        | "chpasswd" | "chage" | "chfn" | "chsh" | "newusers" => accounts::parse(text),
        _ => None,
    };
    let mut event = parsed.or_else(|| pam::parse(text, names)).unwrap_or_else(|| {
        let text = names.line(text);
        Event::new("auth.other", "-").severity(6).message(format!("{}: {text}", message.program))
    });
    event.username = short(&event.username);
    event.resource = event.resource.as_deref().map(short);
    put(&mut event, "program", short(message.program));
    put_some(&mut event, "pid", message.pid);
    put_some(&mut event, "repeated", repeated);
    event
}

/// The event of a message that was not written by the program it names: what it would have been is only told.
pub(super) fn mismatch(message: &Message<'_>, event_name: &str, names: &Names) -> Event {
    let text = format!("{}: {}", message.program, names.line(message.text));
    let mut event = Event::new("auth.mismatch", "-").severity(4).message(text);
    event.outcome = Some(Outcome::Failure);
    put(&mut event, "claimed_event", event_name);
    put(&mut event, "program", short(message.program));
    put_some(&mut event, "pid", message.pid);
    event
}

/// What most parsers start with.
pub(super) fn said(name: &str, user: &str, outcome: Option<Outcome>, message: String) -> Event {
    let severity = match outcome {
        Some(Outcome::Failure) => 4,
        _ => 6,
    };
    let mut event =
        Event::new(name, if user.is_empty() { "-" } else { user }).severity(severity).message(message);
    event.outcome = outcome;
    event
}

/// Journald gives the identifier some programs decorate: `(systemd)`, `polkitd(authority=local)`, `/usr/sbin/cron`.
fn program(identifier: &str) -> &str {
    let name = identifier.rsplit('/').next().unwrap_or(identifier);
    name.split('(').next().filter(|name| !name.is_empty()).unwrap_or(name)
}

/// rsyslog folds repetitions: `message repeated 3 times: [ Failed password for … ]`.
fn repeated(text: &str) -> (&str, Option<u64>) {
    let unfolded = || {
        let (count, rest) = text.strip_prefix("message repeated ")?.split_once(" times: [")?;
        Some((rest.strip_suffix(']').unwrap_or(rest).trim(), Some(count.parse().ok()?)))
    };
    unfolded().unwrap_or((text, None))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `'bob' rest`: what stands in quotes, and what follows.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('\'')?.split_once('\'')
}

#[cfg(test)]
mod tests;
