//! What a syslog message says: RFC 5424, RFC 3164 and what programs and routers really send.
//!
//! Nothing is thrown away: what is not understood stays in the text.

use std::borrow::Cow;

use attestry_event::{Event, Nanos};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::priority::{Facility, Level};
use super::stamp;

/// What a message does not say itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// When it was received: tells the year.
    pub received: Nanos,
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// Whether it is from a program of this host, by a unix socket: such messages name no host.
    pub local: bool,
}

/// How much of a message was understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// RFC 5424.
    Rfc5424,
    /// The older form, RFC 3164: at least a time.
    Bsd,
    /// Neither; all of it, without the priority, is text.
    #[default]
    Plain,
}

impl Form {
    /// As `event_data.format` has it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Rfc5424 => "rfc5424",
            Form::Bsd => "bsd",
            Form::Plain => "plain",
        }
    }
}

/// An element of structured data: its id, and names and values in order.
pub type Element<'a> = (&'a str, Vec<(&'a str, Cow<'a, str>)>);

/// A message's parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// How much of it was understood.
    pub form: Form,
    /// What part of the system it is from.
    pub facility: Option<Facility>,
    /// How urgent it is.
    pub level: Option<Level>,
    /// When it was written.
    pub time: Option<Nanos>,
    /// A time that cannot be read.
    pub unknown_time: Option<&'a str>,
    /// The host it is from, as it says.
    pub host: Option<&'a str>,
    /// The program.
    pub app_name: Option<&'a str>,
    /// Its process.
    pub procid: Option<&'a str>,
    /// The kind of message.
    pub msgid: Option<&'a str>,
    /// A number that Cisco devices count with.
    pub sequence: Option<&'a str>,
    /// RFC 5424, section 6.3.
    pub structured_data: Vec<Element<'a>>,
    /// The text.
    pub text: &'a str,
}

/// Reads a message. Line ends and NULs at its end are no part of it.
pub fn parse<'a>(message: &'a str, context: &Context) -> Message<'a> {
    let message = message.trim_end_matches(['\n', '\r', '\0']);
    let Some((priority, rest)) = priority(message) else {
        return bsd(message, context);
    };
    let mut found = rfc_5424(rest).unwrap_or_else(|| bsd(rest, context));
    found.facility = Facility::new(priority / 8);
    found.level = Level::new(priority % 8);
    found
}

/// `<0>` to `<191>`.
fn priority(message: &str) -> Option<(u8, &str)> {
    let (number, rest) = message.strip_prefix('<')?.split_once('>')?;
    let well_formed = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| *number <= 191 && well_formed)?;
    Some((number, rest))
}

fn rfc_5424(rest: &str) -> Option<Message<'_>> {
    let rest = rest.strip_prefix("1 ")?;
    let (stamp, rest) = rest.split_once(' ')?;
    let (host, rest) = rest.split_once(' ')?;
    let (app_name, rest) = rest.split_once(' ')?;
    let (procid, rest) = rest.split_once(' ')?;
    let (msgid, rest) = rest.split_once(' ')?;
    if [stamp, host, app_name, procid, msgid].contains(&"") {
        return None;
    }
    let given = |token: &'_ str| token != "-";
    let (structured_data, text) = if rest.starts_with('[') {
        // What is not well-formed stays in the text.
        structured_data(rest).unwrap_or((Vec::new(), rest))
    } else {
        (Vec::new(), rest.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' '))?)
    };
    let text = if structured_data.is_empty() && rest.starts_with('[') {
        text
    } else {
        text.strip_prefix(' ').unwrap_or(text)
    };
    let time = Nanos::parse(stamp).ok();
    Some(Message {
        form: Form::Rfc5424,
        time,
        unknown_time: (time.is_none() && given(stamp)).then_some(stamp),
        host: Some(host).filter(|host| given(host)),
        app_name: Some(app_name).filter(|app_name| given(app_name)),
        procid: Some(procid).filter(|procid| given(procid)),
        msgid: Some(msgid).filter(|msgid| given(msgid)),
        structured_data,
        text: text.strip_prefix('\u{feff}').unwrap_or(text),
        ..Message::default()
    })
}

/// `[id name="value" …][id …]`, and what is behind.
fn structured_data(mut rest: &str) -> Option<(Vec<Element<'_>>, &str)> {
    let mut elements = Vec::new();
    while let Some(inside) = rest.strip_prefix('[') {
        let end = inside.find([' ', ']'])?;
        let (id, mut params_rest) = inside.split_at(end);
        if id.is_empty() || id.contains(['"', '=']) {
            return None;
        }
        let mut params = Vec::new();
        while let Some(param) = params_rest.strip_prefix(' ') {
            let (name, value) = param.split_once("=\"")?;
            if name.is_empty() || name.contains([' ', ']', '"', '=']) {
                return None;
            }
            let (value, behind) = quoted(value)?;
            params.push((name, value));
            params_rest = behind;
        }
        rest = params_rest.strip_prefix(']')?;
        elements.push((id, params));
    }
    (rest.is_empty() || rest.starts_with(' ')).then_some((elements, rest))
}

/// A value up to its closing quote. A backslash before anything but `"`, `\` and `]` is itself (section 6.3.3).
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes().get(end) == Some(&b'"') {
        return Some((Cow::Borrowed(text.get(..end)?), text.get(end + 1..)?));
    }
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, ch)) = chars.next() {
        match ch {
            '"' => return Some((Cow::Owned(value), text.get(at + 1..)?)),
            '\\' => match chars.next()? {
                (_, escaped @ ('"' | '\\' | ']')) => value.push(escaped),
                (_, other) => value.extend(['\\', other]),
            },
            ch => value.push(ch),
        }
    }
    None
}

fn bsd<'a>(rest: &'a str, context: &Context) -> Message<'a> {
    let timed = |text: &'a str| {
        // Cisco: not synchronised (`*`), or was once (`.`).
        let text = text.strip_prefix(['*', '.']).unwrap_or(text);
        stamp::read(text, context.received, &context.zone)
    };
    if let Some(stamp) = timed(rest) {
        return after_time(stamp, None, None, context);
    }
    // Cisco: `29: `, `29: router: ` or `: ` before the time.
    if let Some((sequence, after)) = rest.split_once(": ")
        && sequence.bytes().all(|byte| byte.is_ascii_digit())
    {
        let sequence = Some(sequence).filter(|sequence| !sequence.is_empty());
        if let Some(stamp) = timed(after) {
            return after_time(stamp, sequence, None, context);
        }
        if let Some((host, after)) = after.split_once(": ")
            && is_host(host)
            && let Some(stamp) = timed(after)
        {
            return after_time(stamp, sequence, Some(host), context);
        }
    }
    // Without a time only what cannot be anything else is a program's name.
    match tag(rest).filter(|tag| tag.procid.is_some() || tag.name.starts_with('%')) {
        Some(tag) => tag.message(Message::default()),
        None => Message { text: rest, ..Message::default() },
    }
}

fn after_time<'a>(
    stamp: stamp::Stamp<'a>,
    sequence: Option<&'a str>,
    host: Option<&'a str>,
    context: &Context,
) -> Message<'a> {
    let found = Message { form: Form::Bsd, time: Some(stamp.time), sequence, host, ..Message::default() };
    let colon = stamp.rest.strip_prefix(':');
    let rest = colon.unwrap_or(stamp.rest);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    if let Some(tag) = tag(rest) {
        return tag.message(found);
    }
    if colon.is_some() || host.is_some() {
        return Message { text: rest, ..found };
    }
    let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    // `asa1 : %ASA-6-302013: …`
    let behind = behind.strip_prefix(": ").unwrap_or(behind);
    if is_host(first) {
        if let Some(tag) = tag(behind) {
            return tag.message(Message { host: Some(first), ..found });
        }
        // A word alone could be the first of the text as well: it stays there, unless it can only be an address.
        if !context.local && first.contains(['.', ':']) && !behind.is_empty() {
            return Message { host: Some(first), text: behind, ..found };
        }
    }
    Message { text: rest, ..found }
}

/// Whether a word can be a host's name or address.
fn is_host(word: &str) -> bool {
    let fits = |ch: char| ch.is_alphanumeric() || matches!(ch, '.' | '-' | '_' | ':' | '%');
    (1..=255).contains(&word.len()) && word.chars().all(fits) && !word.ends_with([':', '.'])
}

/// `name:`, `name[process]:`, `name[process]`.
struct Tag<'a> {
    name: &'a str,
    procid: Option<&'a str>,
    text: &'a str,
}

impl<'a> Tag<'a> {
    fn message(self, found: Message<'a>) -> Message<'a> {
        Message { app_name: Some(self.name), procid: self.procid, text: self.text, ..found }
    }
}

fn tag(text: &str) -> Option<Tag<'_>> {
    let (word, behind) = text.split_once(' ').unwrap_or((text, ""));
    // `name[1]:text`, without the space.
    if let Some(end) = word.find("]:")
        && let Some((name, procid)) = word.get(..end)?.split_once('[')
        && !name.is_empty()
    {
        let after = text.get(end + 2..)?;
        return Some(Tag { name, procid: Some(procid), text: after.strip_prefix(' ').unwrap_or(after) });
    }
    if let Some((name, procid)) = word.strip_suffix(']').and_then(|word| word.split_once('['))
        && !name.is_empty()
    {
        return Some(Tag { name, procid: Some(procid), text: behind });
    }
    let name = word.strip_suffix(':').filter(|name| !name.is_empty())?;
    Some(Tag { name, procid: None, text: behind })
}

impl Message<'_> {
    /// The event it is. A time more than 24 hours in the future is not taken for when it happened, but kept in
    /// `event_data.claimed_time`.
    pub fn event(&self, event_name: &str, received: Nanos) -> Event {
        let mut event = Event::new(event_name, "-");
        let plausible =
            |time: &Nanos| time.0 <= received.0.saturating_add(attestry_event::FUTURE_LIMIT_NANOS);
        event.event_time = self.time.filter(plausible);
        event.severity = self.level.map(Level::number);
        event.host = self.host.map(str::to_owned);
        event.message = (!self.text.is_empty()).then(|| self.text.to_owned());
        let mut data = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                data.insert(name.to_owned(), Value::from(value));
            }
        };
        put("app_name", self.app_name);
        put("procid", self.procid);
        put("msgid", self.msgid);
        put("facility", self.facility.map(Facility::name));
        put("format", Some(self.form.name()));
        put("sequence", self.sequence);
        put("claimed_time", self.unknown_time);
        let claimed = self.time.filter(|time| !plausible(time)).map(|time| time.to_string());
        put("claimed_time", claimed.as_deref());
        if !self.structured_data.is_empty() {
            data.insert("structured_data".to_owned(), self.structured_json());
        }
        event.event_data = Some(data);
        event
    }

    /// `{"id": {"name": "value"}}`; where a name or an id comes again, the values stand in an array.
    fn structured_json(&self) -> Value {
        let mut elements: Map<String, Value> = Map::new();
        for (id, params) in &self.structured_data {
            let element = elements.entry(*id).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(element) = element else { continue };
            for (name, value) in params {
                let value = Value::from(value.as_ref());
                match element.get_mut(*name) {
                    None => {
                        element.insert((*name).to_owned(), value);
                    }
                    Some(Value::Array(values)) => values.push(value),
                    Some(first) => *first = Value::Array(vec![first.take(), value]),
                }
            }
        }
        Value::Object(elements)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
