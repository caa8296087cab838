//! What sudo (1.9, `plugins/sudoers/logging.c`) and pkexec say when somebody runs something as somebody else.
//!
//!     alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/apt update
//!     alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh
//!
//! Without a terminal, from a script or a service, there is no `TTY=`. The fields come in a fixed order: TTY, CHROOT, PWD, USER, GROUP, TSID, ENV, COMMAND. A folder may be called
//! `x ; USER=nobody ; COMMAND=/bin/true`, and then two readings are possible: the event says `ambiguous`.

use attestry_event::{Event, Outcome};

use super::message::said;
use crate::{
    line::{put, put_some},
    names::Names,
    redact,
};

pub(super) fn parse(text: &str, names: &Names) -> Option<Event> {
    let (user, rest) = text.split_once(" : ")?;
    let user = user.trim();
    if user.is_empty() || user.contains(' ') {
        return None;
    }
    let (before, command) = match rest.split_once("COMMAND=") {
        Some((before, command)) => (before, Some(command)),
        None => (rest, None),
    };
    let fields: Vec<&str> = before.split(" ; ").map(str::trim).collect();
    let field = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
    // Where there is no terminal there is no field for it; without a folder, too, it is none of these lines.
    let tty = field("TTY=");
    tty.or(field("PWD="))?;
    let named = |field: &&&str| ["TTY=", "CHROOT=", "PWD="].iter().any(|name| field.starts_with(name));
    let refused = fields.first().filter(|first| !named(first) && !first.is_empty());
    let target = field("USER=").unwrap_or("root");
    let command = command.map(redact::secrets);
    let shown = command.as_deref().unwrap_or("nothing");
    let outcome = if refused.is_some() { Outcome::Failure } else { Outcome::Success };
    let message = match refused {
        Some(reason) => format!("{user} was refused to run {shown} as {target}: {reason}"),
        None => format!("{user} ran {shown} as {target}"),
    };
    let user = if refused.is_some() { names.failed(user) } else { user.to_owned() };
    let mut event = said("sudo.run", &user, Some(outcome), message);
    event.severity = Some(if refused.is_some() { 4 } else { 5 });
    event.resource = command.as_deref().and_then(|command| command.split(' ').next()).map(str::to_owned);
    put(&mut event, "target_user", target);
    put_some(&mut event, "command_line", command.as_deref());
    put_some(&mut event, "tty", tty);
    put_some(&mut event, "cwd", field("PWD="));
    put_some(&mut event, "target_group", field("GROUP="));
    put_some(&mut event, "chroot", field("CHROOT="));
    put_some(&mut event, "session_log", field("TSID="));
    put_some(&mut event, "environment", field("ENV=").map(redact::secrets));
    put_some(&mut event, "reason", refused.copied());
    if text.matches(" ; USER=").count() > 1 || text.matches(" ; COMMAND=").count() > 1 {
        put(&mut event, "ambiguous", true);
    }
    Some(event)
}

/// `alice: Executing command [USER=root] [TTY=/dev/pts/0] [CWD=/home/alice] [COMMAND=/usr/bin/id]` (polkit, `pkexec.c`).
pub(super) fn parse_pkexec(text: &str) -> Option<Event> {
    let (user, rest) = text.split_once(": ")?;
    if user.contains(' ') {
        return None;
    }
    let (said_first, fields) = rest.split_once(" [USER=")?;
    let outcome = if said_first == "Executing command" { Outcome::Success } else { Outcome::Failure };
    let (target, fields) = fields.split_once(']')?;
    let field = |name: &str| fields.split_once(name)?.1.split(']').next();
    let command = fields.split_once(" [COMMAND=").map(|(_, rest)| rest.strip_suffix(']').unwrap_or(rest));
    let command = command.map(redact::secrets);
    let shown = command.as_deref().unwrap_or("nothing");
    let message = match outcome {
        Outcome::Success => format!("{user} ran {shown} as {target} by pkexec"),
        Outcome::Failure => format!("{user} was refused to run {shown} as {target} by pkexec: {said_first}"),
    };
    let mut event = said("pkexec.run", user, Some(outcome), message);
    event.resource = command.as_deref().and_then(|command| command.split(' ').next()).map(str::to_owned);
    put(&mut event, "target_user", target);
    put_some(&mut event, "command_line", command.as_deref());
    put_some(&mut event, "tty", field(" [TTY="));
    put_some(&mut event, "cwd", field(" [CWD="));
    if outcome == Outcome::Failure {
        put(&mut event, "reason", said_first);
    }
    Some(event)
}
