//! The events that lie between two states of users and groups, in the names and members of the auth log's.

use std::collections::{BTreeMap, BTreeSet};

use attestry_event::{Event, Nanos};
use jiff::civil::Date;

use super::{
    keys::Key,
    read::{AGES, GROUP, Group, Kind, Look, PASSWD, SHADOW, Shadow, State},
};
use crate::{
    compared::difference,
    line::{put, put_some},
};

/// Whoever is in one of these is, or can become, root.
const PRIVILEGED: [&str; 14] = [
    "root",
    "sudo",
    "wheel",
    "admin",
    "adm",
    "docker",
    "podman",
    "lxd",
    "libvirt",
    "disk",
    "shadow",
    "staff",
    "kmem",
    "systemd-journal",
];

/// What changed between `known` and `look`.
pub(super) fn events(known: &State, look: &Look) -> Vec<Event> {
    let mut events = Vec::new();
    users(known, look, &mut events);
    groups(known, look, &mut events);
    rules(known, look, &mut events);
    keys(known, look, &mut events);
    events
}

fn time(look: &Look, file: &str) -> Nanos {
    look.times.get(file).copied().unwrap_or(look.now)
}

fn users(known: &State, look: &Look, events: &mut Vec<Event>) {
    let at = time(look, PASSWD);
    for (name, user) in &look.state.users {
        match known.users.get(name) {
            None => {
                let mut event = difference("user.add", name, at, format!("user {name} was added"));
                put_some(&mut event, "uid", user.uid.parse::<u32>().ok());
                put_some(&mut event, "gid", user.gid.parse::<u32>().ok());
                put(&mut event, "home", user.home.as_str());
                put(&mut event, "shell", user.shell.as_str());
                if let Some(shadow) = &user.shadow {
                    put(&mut event, "password", word(shadow.kind));
                }
                events.push(if user.uid == "0" { privileged(event) } else { event });
            }
            Some(before) => {
                for (field, old, new) in [
                    ("uid", &before.uid, &user.uid),
                    ("gid", &before.gid, &user.gid),
                    ("information", &before.information, &user.information),
                    ("home", &before.home, &user.home),
                    ("shell", &before.shell, &user.shell),
                ] {
                    if old != new {
                        let event = change(name, field, Some(old), Some(new), at);
                        events.push(if (field, new.as_str()) == ("uid", "0") {
                            privileged(event)
                        } else {
                            event
                        });
                    }
                }
                if let (Some(old), Some(new)) = (&before.shadow, &user.shadow) {
                    shadow(name, old, new, time(look, SHADOW), events);
                }
            }
        }
    }
    for name in known.users.keys().filter(|name| !look.state.users.contains_key(*name)) {
        events.push(difference("user.remove", name, at, format!("user {name} was removed")));
    }
}

fn change(user: &str, field: &str, old: Option<&str>, new: Option<&str>, at: Nanos) -> Event {
    let mut event = difference("user.change", user, at, format!("user {user} was changed: {field}"));
    put(&mut event, "field", field);
    put_some(&mut event, "old", old);
    put_some(&mut event, "new", new);
    event
}

fn shadow(user: &str, old: &Shadow, new: &Shadow, at: Nanos, events: &mut Vec<Event>) {
    let same = old.password == new.password;
    match (old.kind, new.kind) {
        (Kind::Set, Kind::Locked) if same => events.push(change(user, "lock", None, None, at)),
        (Kind::Locked, Kind::Set) if same => events.push(change(user, "unlock", None, None, at)),
        (before, now) if before != now || !same => {
            let message = match now {
                Kind::None => format!("{user} has no password any more that gives entry"),
                Kind::Empty => format!("{user} needs no password any more"),
                Kind::Locked => format!("the password of {user} was changed, and is locked"),
                Kind::Set => format!("the password of {user} was changed"),
            };
            let event = difference("password.change", user, at, message)
                .data("old_state", word(before))
                .data("state", word(now));
            events.push(if now == Kind::Empty { privileged(event) } else { event });
        }
        _ => {}
    }
    for (index, field) in AGES.iter().enumerate() {
        let value = |shadow: &Shadow| shadow.ages.get(index).cloned().unwrap_or_default();
        let (old, new) = (value(old), value(new));
        // The day of the last change says the same as password.change, but when it alone was set.
        if old != new && (index > 0 || same) {
            let day = |value: &str| if index == 0 || index == 5 { date(value) } else { value.to_owned() };
            events.push(change(user, field, Some(&day(&old)), Some(&day(&new)), at));
        }
    }
}

/// A day of shadow as a date; what is none stays as it is.
fn date(days: &str) -> String {
    let day = days
        .parse::<i32>()
        .ok()
        .and_then(|days| Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok());
    day.map_or_else(|| days.to_owned(), |day| day.to_string())
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::None => "none",
        Kind::Set => "set",
        Kind::Locked => "locked",
        Kind::Empty => "empty",
    }
}

/// Marks what can make somebody root.
fn privileged(event: Event) -> Event {
    event.severity(4).data("privileged", true)
}

fn groups(known: &State, look: &Look, events: &mut Vec<Event>) {
    let at = time(look, GROUP);
    let none = Group::default();
    for (name, group) in &look.state.groups {
        let before = known.groups.get(name);
        match before {
            None => {
                let mut event = difference("group.add", name, at, format!("group {name} was added"));
                put_some(&mut event, "gid", group.gid.parse::<u32>().ok());
                events.push(event);
            }
            Some(before) if before.gid != group.gid => {
                let event = difference("group.change", name, at, format!("group {name} was changed: id"))
                    .data("change", "id")
                    .data("old", before.gid.as_str())
                    .data("new", group.gid.as_str());
                events.push(event);
            }
            Some(_) => {}
        }
        let before = before.unwrap_or(&none);
        for (event_name, members, said) in [
            ("group.add_member", group.members.difference(&before.members), "added to"),
            ("group.remove_member", before.members.difference(&group.members), "removed from"),
        ] {
            for member in members {
                let event = difference(event_name, name, at, format!("{member} was {said} group {name}"))
                    .data("member", member.as_str());
                events.push(if PRIVILEGED.contains(&name.as_str()) { privileged(event) } else { event });
            }
        }
    }
    for name in known.groups.keys().filter(|name| !look.state.groups.contains_key(*name)) {
        events.push(difference("group.remove", name, at, format!("group {name} was removed")));
    }
}

fn rules(known: &State, look: &Look, events: &mut Vec<Event>) {
    let none = BTreeSet::new();
    let files: BTreeSet<&String> = known.rules.keys().chain(look.state.rules.keys()).collect();
    for file in files {
        let before = known.rules.get(file).unwrap_or(&none);
        let now = look.state.rules.get(file).unwrap_or(&none);
        let at = time(look, file);
        for (name, rules, verb) in [
            ("sudo.add_rule", now.difference(before), "added to"),
            ("sudo.remove_rule", before.difference(now), "removed from"),
        ] {
            for rule in rules {
                let event = difference(name, file, at, format!("a rule was {verb} {file}: {rule}"));
                events.push(event.severity(4).data("rule", rule.as_str()));
            }
        }
    }
}

fn keys(known: &State, look: &Look, events: &mut Vec<Event>) {
    let none = BTreeSet::new();
    for (user, now) in &look.state.keys {
        let before = match known.keys.get(user) {
            Some(before) => before,
            None if !known.users.contains_key(user) => &none,
            // Seen for the first time: nothing to compare with.
            None => continue,
        };
        // Of the same key there may be several lines.
        let mut gone: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for key in before.difference(now) {
            gone.entry(&key.fingerprint).or_default().push(key);
        }
        for key in now.difference(before) {
            let at = time(look, &key.file);
            let shown = shown(key);
            let event = match gone.get_mut(key.fingerprint.as_str()).and_then(Vec::pop) {
                Some(old) => {
                    let mut event = difference(
                        "ssh.change_key",
                        user,
                        at,
                        format!("what {shown} may do as {user} was changed"),
                    );
                    for (name, old, new) in [
                        ("old_options", &old.options, &key.options),
                        ("old_comment", &old.comment, &key.comment),
                        ("old_file", &old.file, &key.file),
                    ] {
                        if old != new {
                            put(&mut event, name, old.as_str());
                        }
                    }
                    event
                }
                None => difference("ssh.authorize_key", user, at, format!("{shown} may log in as {user}")),
            };
            events.push(described(event.severity(4), key));
        }
        for key in gone.into_values().flatten() {
            let message = format!("{} may not log in as {user} any more", shown(key));
            let event = difference("ssh.revoke_key", user, time(look, &key.file), message);
            events.push(described(event, key));
        }
    }
}

fn shown(key: &Key) -> String {
    if key.comment.is_empty() {
        format!("the key {}", key.fingerprint)
    } else {
        format!("the key {} ({})", key.fingerprint, key.comment)
    }
}

fn described(mut event: Event, key: &Key) -> Event {
    put(&mut event, "key_type", key.key_type.as_str());
    put(&mut event, "key_fingerprint", key.fingerprint.as_str());
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    put_some(&mut event, "comment", some(&key.comment));
    put_some(&mut event, "options", some(&key.options));
    put(&mut event, "file", key.file.as_str());
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::read::User;

    #[test]
    fn days_become_dates() {
        for (days, expected) in
            [("20780", "2026-11-23"), ("0", "1970-01-01"), ("", ""), ("99999999", "99999999"), ("x", "x")]
        {
            assert_eq!(date(days), expected);
        }
    }

    /// A user in it is told of where it is looked for.
    #[test]
    fn a_user_is_whole() {
        let user = User { uid: "0".into(), ..User::default() };
        let users = [("toor".to_owned(), user)].into();
        let look = Look::of(State { users, ..State::default() });
        let events = events(&State::default(), &look);
        assert_eq!((events[0].severity, events.len()), (Some(4), 1));
    }
}
