//! What OpenSSH's server says (9.2, `auth.c`, `auth2.c`, `packet.c`).
//!
//! User names, and the texts of clients, may hold anything, so lines are taken apart from the right: in
//! `Failed password for invalid user x from 192.0.2.1 port 1 ssh2 from 198.51.100.7 port 22 ssh2` only the last address was
//! written by sshd. A name that sshd calls invalid is hashed unless it is an account: locked accounts are called so too.

use attestry_event::{Event, Outcome};

use super::message::said;
use crate::{
    line::{put, put_some},
    names::Names,
    redact,
};

pub(super) fn parse(text: &str, names: &Names) -> Option<Event> {
    let (text, preauth) = match text.strip_suffix(" [preauth]") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let text = text.strip_prefix("error: ").or_else(|| text.strip_prefix("fatal: ")).unwrap_or(text);
    let mut event = attempt(text, names)
        .or_else(|| invalid_user(text, names))
        .or_else(|| disconnect(text, names))
        .or_else(|| notice(text))
        .or_else(|| refused(text, names))?;
    if preauth {
        put(&mut event, "preauth", true);
    }
    Some(event)
}

/// `Accepted publickey for alice from 192.0.2.1 port 50022 ssh2: ED25519 SHA256:…` and `Failed …`.
fn attempt(text: &str, names: &Names) -> Option<Event> {
    let (outcome, rest) = match text.split_once(' ')? {
        ("Accepted", rest) => (Outcome::Success, rest),
        ("Failed", rest) => (Outcome::Failure, rest),
        _ => return None,
    };
    let (method, rest) = rest.split_once(" for ")?;
    if method.contains(' ') {
        return None;
    }
    let (user, peer) = rest.rsplit_once(" from ")?;
    let peer = Peer::parse(peer)?;
    let (user, known) = name(user, names);
    let (event_name, verb) = match outcome {
        Outcome::Success => ("login.success", "logged in"),
        Outcome::Failure => ("login.failure", "failed to log in"),
    };
    let message = format!("{user} {verb} from {} by {method}", peer.address);
    let mut event = said(event_name, &user, Some(outcome), message);
    peer.describe(&mut event);
    put(&mut event, "method", method);
    put(&mut event, "service", "sshd");
    if !known {
        put(&mut event, "invalid_user", true);
    }
    if let Some(info) = peer.rest.strip_prefix(" ssh2: ") {
        key(info, &mut event);
    }
    Some(event)
}

/// `ED25519 SHA256:abc`, `ED25519-CERT SHA256:abc ID alice (serial 5) CA RSA SHA256:def`, or a Kerberos principal.
fn key(info: &str, event: &mut Event) {
    let mut words = info.split(' ');
    let (Some(kind), Some(fingerprint)) = (words.next(), words.next()) else {
        return put(event, "principal", info);
    };
    put(event, "key_type", kind);
    put(event, "key_fingerprint", fingerprint);
    if let Some((id, authority)) = info.split_once(" ID ").and_then(|(_, rest)| rest.rsplit_once(" CA ")) {
        put(event, "certificate_id", id);
        put(event, "certificate_authority", authority);
    }
}

fn invalid_user(text: &str, names: &Names) -> Option<Event> {
    let (user, peer) = text.strip_prefix("Invalid user ")?.rsplit_once(" from ")?;
    let peer = Peer::parse(peer)?;
    let user = names.failed(user);
    let message = format!("{user}, which is no account, was tried from {}", peer.address);
    let mut event = said("ssh.invalid_user", &user, Some(Outcome::Failure), message);
    peer.describe(&mut event);
    Some(event)
}

/// The end of a connection: `Disconnected from user alice 192.0.2.1 port 22`, `Connection closed by invalid user … `.
fn disconnect(text: &str, names: &Names) -> Option<Event> {
    const STARTS: [(&str, &str); 7] = [
        ("Unable to negotiate with ", "nothing that both sides can do"),
        ("Connection closed by ", "closed by the client"),
        ("Connection reset by ", "reset by the client"),
        ("Disconnected from ", "disconnected"),
        ("Disconnecting ", "disconnected by the server"),
        ("Timeout before authentication for ", "timeout before authentication"),
        ("Timeout, client not responding from ", "timeout, the client does not answer"),
    ];
    let (rest, reason) =
        STARTS.iter().find_map(|(start, reason)| Some((text.strip_prefix(start)?, *reason)))?;
    let at = rest.rfind(" port ")?;
    let space = rest[..at].rfind(' ').map_or(0, |space| space + 1);
    let peer = Peer::parse(&rest[space..])?;
    let who = rest[..space].trim_end();
    let (user, known) = match who.strip_prefix("authenticating user ").or_else(|| who.strip_prefix("user ")) {
        Some(user) => (user.to_owned(), true),
        None if who.is_empty() => ("-".to_owned(), true),
        None => name(who, names),
    };
    let tells = text.starts_with("Disconnecting") || text.starts_with("Unable");
    let said_reason = peer.rest.strip_prefix(": ").filter(|_| tells);
    let reason = said_reason.unwrap_or(reason);
    let message = format!("connection of {user} from {}: {reason}", peer.address);
    let mut event = said("ssh.disconnect", &user, None, redact::secrets(&message).into_owned());
    peer.describe(&mut event);
    put(&mut event, "reason", redact::secrets(reason));
    if !known {
        put(&mut event, "invalid_user", true);
    }
    Some(event)
}

/// `Received disconnect from 192.0.2.1 port 22:11: disconnected by user`: what the client gave as its reason.
fn notice(text: &str) -> Option<Event> {
    let peer = Peer::parse(text.strip_prefix("Received disconnect from ")?)?;
    let (code, reason) = peer.rest.strip_prefix(':')?.split_once(": ")?;
    let reason = redact::secrets(reason);
    let message = format!("{} announced the end of its connection: {reason}", peer.address);
    let mut event = said("ssh.disconnect_notice", "-", None, message);
    peer.describe(&mut event);
    put_some(&mut event, "code", code.parse::<u32>().ok());
    put(&mut event, "reason", reason);
    Some(event)
}

/// What sshd's rules forbid, before or after a credential was right.
fn refused(text: &str, names: &Names) -> Option<Event> {
    let (user, known, peer, reason) =
        if let Some(rest) = text.strip_prefix("maximum authentication attempts exceeded for ") {
            let (user, peer) = rest.rsplit_once(" from ")?;
            let (user, known) = name(user, names);
            (user, known, Some(Peer::parse(peer)?), "maximum authentication attempts exceeded".to_owned())
        } else if let Some(rest) = text.strip_prefix("ROOT LOGIN REFUSED FROM ") {
            ("root".to_owned(), true, Some(Peer::parse(rest)?), "root may not log in".to_owned())
        } else if let Some(user) = text
            .strip_prefix("Access denied for user ")
            .and_then(|rest| rest.strip_suffix(" by PAM account configuration"))
        {
            (user.to_owned(), true, None, "PAM account configuration".to_owned())
        } else {
            let (who, reason) = text.strip_prefix("User ")?.rsplit_once(" not allowed because ")?;
            // Of a locked account sshd does not say where from.
            let (user, peer) = match who.rsplit_once(" from ") {
                Some((user, address)) => (user, Some(Peer { address, port: None, rest: "" })),
                None => (who, None),
            };
            (user.to_owned(), true, peer, reason.to_owned())
        };
    let from = peer.as_ref().map(|peer| format!(" from {}", peer.address)).unwrap_or_default();
    let message = format!("{user}{from} was refused: {reason}");
    let mut event = said("ssh.refuse", &user, Some(Outcome::Failure), message);
    if let Some(peer) = peer {
        peer.describe(&mut event);
    }
    put(&mut event, "reason", reason);
    if !known {
        put(&mut event, "invalid_user", true);
    }
    Some(event)
}

/// The name as it may be shown, and whether sshd knows the account.
fn name(user: &str, names: &Names) -> (String, bool) {
    match user.strip_prefix("invalid user ").or_else(|| user.strip_prefix("illegal user ")) {
        Some(user) => (names.failed(user), false),
        None if user == "invalid user" => ("-".to_owned(), false),
        None => (user.to_owned(), true),
    }
}

/// `192.0.2.1 port 50022` and what follows.
struct Peer<'a> {
    address: &'a str,
    port: Option<u16>,
    rest: &'a str,
}

impl<'a> Peer<'a> {
    fn parse(text: &'a str) -> Option<Peer<'a>> {
        let (address, rest) = text.split_once(" port ")?;
        if address.is_empty() || address.contains(' ') {
            return None;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        Some(Peer { address, port: Some(rest[..digits].parse().ok()?), rest: &rest[digits..] })
    }

    fn describe(&self, event: &mut Event) {
        event.source_ip_address = Some(self.address.to_owned());
        put_some(event, "source_port", self.port);
    }
}
