//! The events that lie between two looks at a file.

use attestry_event::{Event, Nanos};

use super::{
    secret,
    seen::{Kind, Owners, Seen},
};
use crate::{
    compared::difference,
    line::{put, put_some},
};

/// Set user id, set group id.
const SET_ID: u32 = 0o6000;

pub(super) fn created(path: &str, seen: &Seen, owners: &Owners) -> Event {
    let message = format!("{} {path} is new", seen.kind.word());
    let event = described(difference("file.create", path, seen.changed, message), seen, owners);
    if rights(seen) { event.severity(4).data("privileged", true) } else { event }
}

pub(super) fn deleted(path: &str, seen: &Seen, time: Nanos, owners: &Owners) -> Event {
    let message = format!("{} {path} is gone", seen.kind.word());
    described(difference("file.delete", path, time, message), seen, owners)
}

pub(super) fn changed(path: &str, old: &Seen, new: &Seen, owners: &Owners) -> Vec<Event> {
    let mut events = Vec::new();
    if old.kind != new.kind || old.target != new.target || old.sha256 != new.sha256 || unhashed(old, new) {
        events.push(modified(path, old, new));
    }
    if (old.mode, &old.capabilities, &old.acl) != (new.mode, &new.capabilities, &new.acl)
        && new.kind != Kind::Link
    {
        let message = format!("the mode of {path} was changed from {:04o} to {:04o}", old.mode, new.mode);
        let mut event = difference("file.chmod", path, new.changed, message)
            .data("old_mode", format!("{:04o}", old.mode))
            .data("mode", format!("{:04o}", new.mode));
        for (name, old_name, before, now) in [
            ("capabilities", "old_capabilities", &old.capabilities, &new.capabilities),
            ("acl", "old_acl", &old.acl, &new.acl),
        ] {
            if before != now {
                put_some(&mut event, old_name, before.as_deref());
                put_some(&mut event, name, now.as_deref());
            }
        }
        events.push(if rights(new) && !rights(old) {
            event.severity(4).data("privileged", true)
        } else {
            event
        });
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        let named = |seen: &Seen| format!("{}:{}", owners.user(seen.uid), owners.group(seen.gid));
        let message = format!("the owner of {path} was changed from {} to {}", named(old), named(new));
        let event = difference("file.chown", path, new.changed, message)
            .data("old_owner", owners.user(old.uid))
            .data("old_group", owners.group(old.gid))
            .data("owner", owners.user(new.uid))
            .data("group", owners.group(new.gid));
        events.push(event);
    }
    events
}

/// A file too large to be hashed has another size or time.
fn unhashed(old: &Seen, new: &Seen) -> bool {
    new.kind == Kind::File
        && new.sha256.is_none()
        && new.unread.is_none()
        && (old.size, old.modified, old.inode) != (new.size, new.modified, new.inode)
}

fn modified(path: &str, old: &Seen, new: &Seen) -> Event {
    // Neither size nor any time nor the inode tells of it: it was not written through the file system, or the clock was set back.
    let silent = old.stamp == new.stamp && old.kind == new.kind && old.sha256 != new.sha256;
    let message = match (&new.target, old.kind == new.kind) {
        (_, false) => format!("{path} was a {} and is a {}", old.kind.word(), new.kind.word()),
        (Some(target), true) if old.target != new.target => format!("{path} points at {target}"),
        _ if silent => format!("the content of {path} was changed, and its times do not tell"),
        _ => format!("the content of {path} was changed"),
    };
    let time = if silent { new.hashed } else { new.changed };
    let mut event = difference("file.modify", path, time, message).severity(if silent { 3 } else { 5 });
    if old.kind != new.kind {
        put(&mut event, "old_type", old.kind.word());
    }
    put(&mut event, "type", new.kind.word());
    if old.target != new.target {
        put_some(&mut event, "old_target", old.target.as_deref());
    }
    put_some(&mut event, "target", new.target.as_deref());
    if new.kind == Kind::File {
        put(&mut event, "old_size", old.size);
        put(&mut event, "size", new.size);
        put(&mut event, "old_modified_at", old.modified.to_string());
        put(&mut event, "modified_at", new.modified.to_string());
    }
    put_some(&mut event, "old_sha256", old.sha256.as_deref());
    put_some(&mut event, "sha256", new.sha256.as_deref());
    if old.inode != new.inode {
        put(&mut event, "replaced", true);
    }
    if silent {
        put(&mut event, "silent", true);
    }
    if let (Some(old), Some(new)) = (&old.text, &new.text)
        && old != new
    {
        let (text, cut) = secret::diff(old, new);
        put(&mut event, "diff", text);
        if cut {
            put(&mut event, "diff_cut", true);
        }
    }
    event
}

/// Whether running it gives more rights than its caller has.
fn rights(seen: &Seen) -> bool {
    seen.kind == Kind::File && (seen.mode & SET_ID != 0 || seen.capabilities.is_some())
}

fn described(mut event: Event, seen: &Seen, owners: &Owners) -> Event {
    put(&mut event, "type", seen.kind.word());
    put(&mut event, "mode", format!("{:04o}", seen.mode));
    put(&mut event, "owner", owners.user(seen.uid));
    put(&mut event, "group", owners.group(seen.gid));
    if seen.kind == Kind::File {
        put(&mut event, "size", seen.size);
        put(&mut event, "modified_at", seen.modified.to_string());
    }
    put_some(&mut event, "target", seen.target.as_deref());
    put_some(&mut event, "sha256", seen.sha256.as_deref());
    put_some(&mut event, "capabilities", seen.capabilities.as_deref());
    put_some(&mut event, "acl", seen.acl.as_deref());
    event
}
