//! What PAM's modules say in the name of any program (Linux-PAM 1.5, `pam_unix_sess.c`, `pam_unix_auth.c`).
//!
//!     pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)
//!     pam_unix(sudo:session): session closed for user root
//!     pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root
//!     pam_unix(passwd:chauthtok): password changed for alice

use attestry_event::{Event, Outcome};

use super::message::said;
use crate::{
    line::{put, put_some},
    names::Names,
};

pub(super) fn parse(text: &str, names: &Names) -> Option<Event> {
    if let Some(rest) = text.strip_prefix("PAM ")
        && let Some((count, rest)) = rest.split_once(" more authentication failure")
    {
        let fields = rest.split_once("; ")?.1;
        let mut event = failure("pam", fields, names);
        put_some(&mut event, "attempts", count.parse::<u64>().ok());
        return Some(event);
    }
    let (stack, text) = text.strip_prefix("pam_")?.split_once("): ")?;
    let (module, stack) = stack.split_once('(')?;
    let service = stack.split(':').next().unwrap_or(stack);
    let mut event = if let Some(rest) = text.strip_prefix("session opened for user ") {
        let (user, by) = rest.split_once(" by ").unwrap_or((rest, ""));
        let (user, uid) = with_uid(user);
        let (by, by_uid) = with_uid(by);
        let by_whom = if by.is_empty() { String::new() } else { format!(" by {by}") };
        let message = format!("session of {user} opened{by_whom} ({service})");
        let mut event = said("session.open", user, Some(Outcome::Success), message);
        put_some(&mut event, "uid", uid);
        put_some(&mut event, "by_user", Some(by).filter(|by| !by.is_empty()));
        put_some(&mut event, "by_uid", by_uid);
        event
    } else if let Some(user) = text.strip_prefix("session closed for user ") {
        said("session.close", user, None, format!("session of {user} closed ({service})"))
    } else if let Some(fields) = text.strip_prefix("authentication failure; ") {
        failure(service, fields, names)
    } else if let Some(user) = text.strip_prefix("password changed for ") {
        let message = format!("the password of {user} was changed");
        let mut event = said("password.change", "-", Some(Outcome::Success), message).resource(user);
        event.severity = Some(5);
        event
    } else {
        return None;
    };
    put(&mut event, "service", service);
    put(&mut event, "module", format!("pam_{module}"));
    Some(event)
}

fn failure(service: &str, fields: &str, names: &Names) -> Event {
    let field = |name: &str| {
        let start = fields.find(name).filter(|&at| at == 0 || fields.as_bytes()[at - 1] == b' ')?;
        let value = &fields[start + name.len()..];
        // The user comes last and may hold anything; the others end at a space.
        let value = if name == "user=" { value } else { value.split(' ').next().unwrap_or(value) };
        Some(value.trim()).filter(|value| !value.is_empty())
    };
    let user = names.failed(fields.rsplit_once(" user=").map_or("", |(_, user)| user.trim()));
    let remote = field("rhost=");
    let from = remote.map(|remote| format!(" from {remote}")).unwrap_or_default();
    let message = format!("{user} failed to authenticate{from} ({service})");
    let mut event = said("pam.failure", &user, Some(Outcome::Failure), message);
    if let Some(remote) = remote {
        if remote.parse::<std::net::IpAddr>().is_ok() {
            event.source_ip_address = Some(remote.to_owned());
        }
        put(&mut event, "remote_host", remote);
    }
    put_some(&mut event, "tty", field("tty="));
    put_some(&mut event, "by_user", field("ruser="));
    put_some(&mut event, "by_uid", field("uid=").and_then(|uid| uid.parse::<u32>().ok()));
    event
}

/// `root(uid=0)`, `root`, `(uid=0)`.
fn with_uid(text: &str) -> (&str, Option<u32>) {
    match text.rsplit_once("(uid=") {
        Some((name, uid)) => (name.trim(), uid.trim_end_matches(')').parse().ok()),
        None => (text.trim(), None),
    }
}
