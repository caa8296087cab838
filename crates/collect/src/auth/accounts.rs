//! What the tools of shadow say when users and groups change (4.13: `useradd.c` … `gpasswd.c`).
//!
//! Most changes are written twice, for the file and for its shadow; the line for the shadow stays `auth.other`. Only gpasswd and
//! passwd say who did it; for the others `username` is "-", and the sudo event before tells.

use attestry_event::{Event, Outcome};

use super::message::{quoted, said};
use crate::line::{put, put_some};

pub(super) fn parse(text: &str) -> Option<Event> {
    user(text).or_else(|| group(text)).or_else(|| password(text))
}

fn changed(name: &str, by: &str, resource: &str, message: String) -> Event {
    said(name, by, Some(Outcome::Success), message).resource(resource).severity(5)
}

fn user(text: &str) -> Option<Event> {
    if let Some(rest) = text.strip_prefix("new user: ") {
        let field = |name: &str| rest.split(", ").find_map(|field| field.strip_prefix(name));
        let user = field("name=")?;
        let mut event = changed("user.add", "-", user, format!("user {user} was added"));
        put_some(&mut event, "uid", field("UID=").and_then(|id| id.parse::<u32>().ok()));
        put_some(&mut event, "gid", field("GID=").and_then(|id| id.parse::<u32>().ok()));
        put_some(&mut event, "home", field("home="));
        put_some(&mut event, "shell", field("shell="));
        put_some(&mut event, "from", field("from=").filter(|from| *from != "none"));
        return Some(event);
    }
    if let Some(rest) = text.strip_prefix("failed adding user ") {
        let (user, _) = quoted(rest)?;
        let message = format!("user {user} could not be added");
        return Some(said("user.add", "-", Some(Outcome::Failure), message).resource(user));
    }
    if let Some((user, "")) = text.strip_prefix("delete user ").and_then(quoted) {
        return Some(changed("user.remove", "-", user, format!("user {user} was removed")));
    }
    if let Some((user, rest)) = text.strip_prefix("change user ").and_then(quoted) {
        if rest == " password" {
            return Some(changed(
                "password.change",
                "-",
                user,
                format!("the password of {user} was changed"),
            ));
        }
        let (field, values) = rest.trim_start().split_once(" from '")?;
        let (old, new) = values.split_once("' to '")?;
        let mut event = change(user, field);
        put(&mut event, "old", old);
        put(&mut event, "new", new.trim_end_matches('\''));
        return Some(event);
    }
    if let Some((old, rest)) = text.strip_prefix("change user name ").and_then(quoted) {
        let (new, _) = quoted(rest.strip_prefix(" to ")?)?;
        let mut event = change(old, "name");
        put(&mut event, "old", old);
        put(&mut event, "new", new);
        return Some(event);
    }
    for (start, field) in [("lock user ", "lock"), ("unlock user ", "unlock")] {
        if let Some((user, " password")) = text.strip_prefix(start).and_then(quoted) {
            return Some(change(user, field));
        }
    }
    if let Some((user, rest)) = text.strip_prefix("changed user ").and_then(quoted) {
        if let Some((shell, _)) = rest.strip_prefix(" shell to ").and_then(quoted) {
            let mut event = change(user, "shell");
            put(&mut event, "new", shell);
            return Some(event);
        }
        return (rest == " information").then(|| change(user, "information"));
    }
    text.strip_prefix("changed password expiry for ").map(|user| change(user, "password expiry"))
}

fn change(user: &str, field: &str) -> Event {
    let mut event = changed("user.change", "-", user, format!("user {user} was changed: {field}"));
    put(&mut event, "field", field);
    event
}

fn group(text: &str) -> Option<Event> {
    if let Some(rest) = text.strip_prefix("new group: name=") {
        let (group, id) = rest.split_once(", GID=").map_or((rest, None), |(group, id)| (group, Some(id)));
        let mut event = changed("group.add", "-", group, format!("group {group} was added"));
        put_some(&mut event, "gid", id.and_then(|id| id.parse::<u32>().ok()));
        return Some(event);
    }
    if let Some((group, rest)) = text.strip_prefix("removed group ").and_then(quoted)
        && rest.starts_with(" owned by ")
    {
        return Some(changed("group.remove", "-", group, format!("group {group} was removed")));
    }
    if let Some((group, " removed")) = text.strip_prefix("group ").and_then(quoted) {
        return Some(changed("group.remove", "-", group, format!("group {group} was removed")));
    }
    if let Some(rest) = text.strip_prefix("group changed in /etc/group (group ") {
        let group = rest.split(['/', ',', ')']).next()?;
        let mut event = changed("group.change", "-", group, format!("group {group} was changed"));
        put(&mut event, "change", rest.strip_suffix(')').unwrap_or(rest));
        return Some(event);
    }
    for (start, link, name) in
        [("add ", " to group ", "group.add_member"), ("delete ", " from group ", "group.remove_member")]
    {
        if let Some((user, rest)) = text.strip_prefix(start).and_then(quoted)
            && let Some((group, "")) = rest.strip_prefix(link).and_then(quoted)
        {
            return Some(member(name, user, group, "-"));
        }
    }
    by_gpasswd(text)
}

/// `user bob added by root to group docker`
fn by_gpasswd(text: &str) -> Option<Event> {
    for (verb, link, name) in [
        (" added by ", " to group ", "group.add_member"),
        (" removed by ", " from group ", "group.remove_member"),
    ] {
        if let Some((user, rest)) = text.strip_prefix("user ").and_then(|rest| rest.split_once(verb))
            && let Some((by, group)) = rest.split_once(link)
        {
            return Some(member(name, user, group, by));
        }
    }
    let (what, rest) = text.split_once(" of group ")?;
    let (group, rest) = rest.split_once(' ')?;
    let (verb, by) = rest.split_once(" by ")?;
    if !matches!((what, verb), ("password", "removed" | "changed") | ("administrators" | "members", "set")) {
        return None;
    }
    let (by, values) = by.split_once(" to ").map_or((by, None), |(by, values)| (by, Some(values)));
    let mut event = changed("group.change", by, group, format!("{by} changed the {what} of group {group}"));
    put(&mut event, "change", what);
    put_some(&mut event, "new", values);
    Some(event)
}

fn member(name: &str, user: &str, group: &str, by: &str) -> Event {
    let message = match name {
        "group.add_member" => format!("{user} was added to group {group}"),
        _ => format!("{user} was removed from group {group}"),
    };
    let mut event = changed(name, by, group, message);
    put(&mut event, "member", user);
    event
}

/// `password for 'bob' changed by 'root'`
fn password(text: &str) -> Option<Event> {
    let (user, rest) = quoted(text.strip_prefix("password for ")?)?;
    let (by, _) = quoted(rest.strip_prefix(" changed by ")?)?;
    Some(changed("password.change", by, user, format!("{by} changed the password of {user}")))
}
