//! What a program writes: lines, and the events they become.

use std::borrow::Cow;

use attestry_event::{Batch, Border, Event, MAX_EVENT_BYTES, Nanos, Outcome};
use serde_json::{Map, Value};

use super::Output;
use crate::{
    line::{put, put_some},
    redact::secrets,
    source::Feed,
};

/// A longer line is no event, and its end is not kept.
const MAX_LINE_BYTES: usize = 1 << 20;
const _: () = assert!(MAX_LINE_BYTES <= MAX_EVENT_BYTES);
/// Lines of text are cut here, as those of a log.
const MAX_TEXT_BYTES: usize = crate::follow::MAX_LINE_BYTES;
/// How much is kept of what a program wrote to its standard error: the end, where it says why it gave up.
pub(super) const STDERR_BYTES: usize = 4 * 1024;
/// Shorter secrets are not looked for: they would be found everywhere.
const MIN_HIDDEN_BYTES: usize = 4;

/// Takes out the secrets that a program was given, wherever it writes them.
pub(super) struct Veil(Vec<String>);

impl Veil {
    pub(super) fn new(mut hidden: Vec<String>) -> Veil {
        hidden.retain(|secret| secret.len() >= MIN_HIDDEN_BYTES);
        // One may be a part of another.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Veil(hidden)
    }

    pub(super) fn over<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            if text.contains(secret) {
                text = Cow::Owned(text.replace(secret, "[redacted]"));
            }
        }
        text
    }
}

/// A line without its end.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// How many bytes of it were left out.
    pub(super) cut: u64,
    pub(super) number: u64,
}

/// Makes lines of pieces, and stops taking them when it is enough.
pub(super) struct Lines {
    buffer: Vec<u8>,
    cut: u64,
    number: u64,
    left: u64,
    lost: u64,
}

impl Lines {
    /// Takes at most `most` bytes.
    pub(super) fn new(most: u64) -> Lines {
        Lines { buffer: Vec::new(), cut: 0, number: 0, left: most, lost: 0 }
    }

    /// How many bytes were not taken.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
        self.left -= taken.len() as u64;
        self.lost += rest.len() as u64;
        for piece in taken.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = MAX_LINE_BYTES.saturating_sub(self.buffer.len());
            let fits = text.get(..room).unwrap_or(text);
            self.buffer.extend_from_slice(fits);
            self.cut += (text.len() - fits.len()) as u64;
            if ends {
                self.flush(each);
            }
        }
    }

    /// No more comes: what is there is the last line.
    pub(super) fn end(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if !self.buffer.is_empty() {
            self.flush(each);
        }
    }

    fn flush(&mut self, each: &mut impl FnMut(Line<'_>)) {
        self.number += 1;
        let bytes = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        each(Line { bytes, cut: self.cut, number: self.number });
        self.buffer.clear();
        self.cut = 0;
    }
}

/// What a line became.
#[derive(Debug)]
pub(super) enum Made {
    /// It was empty.
    Nothing,
    Event(Event),
    /// It is none.
    Text(Event),
}

/// What `program`, run as `account`, has written in a line.
pub(super) fn make(
    line: &Line<'_>,
    output: Output,
    veil: &Veil,
    account: &str,
    program: &str,
    feed: &Feed,
) -> Made {
    if line.bytes.trim_ascii().is_empty() {
        return Made::Nothing;
    }
    let text = String::from_utf8_lossy(line.bytes);
    let invalid = matches!(text, Cow::Owned(_));
    let text = veil.over(&text);
    let tried = match output {
        // What does not begin like an event is not meant to be one.
        Output::Auto if !text.trim_start().starts_with('{') => None,
        Output::Text | Output::None => None,
        Output::Auto | Output::Events if line.cut > 0 => {
            Some(Err(format!("longer than {MAX_LINE_BYTES} bytes")))
        }
        Output::Auto | Output::Events if invalid => Some(Err("not UTF-8".to_owned())),
        Output::Auto | Output::Events => Some(event(&text, feed.name(), feed.now())),
    };
    let reason = match tried {
        Some(Ok(event)) => return Made::Event(event),
        Some(Err(why)) => Some(why),
        None => None,
    };
    let shown = secrets(&text);
    let end = shown.floor_char_boundary(MAX_TEXT_BYTES);
    let kept = shown.get(..end).unwrap_or_default();
    let cut = line.cut + (shown.len() - kept.len()) as u64;
    let warning = reason.is_some() && output == Output::Events;
    let mut event = Event::new("command.output", account)
        .time(feed.now())
        .resource(program)
        .severity(if warning { 4 } else { 6 })
        .message(kept)
        .data("line", line.number);
    put_some(&mut event, "reason", reason.map(|why| secrets(&why).into_owned()));
    put_some(&mut event, "cut_bytes", (cut > 0).then_some(cut));
    if invalid {
        put(&mut event, "invalid_utf8", true);
    }
    Made::Text(event)
}

/// The event in a line, held to what an ordinary key may send, secrets taken out; or why there is none.
fn event(text: &str, source: &str, now: Nanos) -> Result<Event, String> {
    let border =
        Border { event_source: source, via: &[], lenient: false, reserved_names: false, agent: false, now };
    let taken = Batch::new().push_json(text.as_bytes(), &border);
    taken.map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))?;
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        return Err("a number in it does not fit".to_owned());
    };
    redact(&mut fields);
    let word = |name: &str| {
        fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let time =
        word("event_time").map(|text| Nanos::parse(&text).map_err(|error| error.to_string())).transpose()?;
    Ok(Event {
        event_id: word("event_id"),
        event_time: Some(time.unwrap_or(now)),
        event_name: word("event_name").unwrap_or_default(),
        username: word("username").unwrap_or_default(),
        resource: word("resource"),
        source_ip_address: word("source_ip_address"),
        request_id: word("request_id"),
        read_only: fields.get("read_only").and_then(Value::as_bool).unwrap_or(false),
        outcome: match word("outcome").as_deref() {
            Some("success") => Some(Outcome::Success),
            Some("failure") => Some(Outcome::Failure),
            _ => None,
        },
        severity: fields
            .get("severity")
            .and_then(Value::as_u64)
            .and_then(|severity| u8::try_from(severity).ok()),
        message: word("message"),
        host: word("host"),
        event_data: fields.get("event_data").and_then(Value::as_object).cloned(),
        ..Event::default()
    })
}

/// Takes secrets out of what people read and of every text in `event_data`; identifiers stay.
fn redact(fields: &mut Map<String, Value>) {
    for name in ["message", "resource", "event_data"] {
        if let Some(value) = fields.get_mut(name) {
            clean(value);
        }
    }
}

/// The border has seen to it that nothing nests deeper than 32.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(changed) = secrets(text) {
                *text = changed;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(members) => members.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The end of what was written to the standard error, fit to be shown; none of nothing.
pub(super) fn tail(bytes: &[u8], veil: &Veil) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = secrets(&veil.over(text.trim())).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]], most: u64) -> (Vec<(Vec<u8>, u64)>, u64) {
        let mut found = Vec::new();
        let mut lines = Lines::new(most);
        let mut each = |line: Line<'_>| found.push((line.bytes.to_vec(), line.cut));
        pieces.iter().for_each(|piece| lines.take(piece, &mut each));
        lines.end(&mut each);
        let lost = lines.lost();
        (found, lost)
    }

    #[test]
    fn pieces_become_lines() {
        let of = |texts: &[&str]| texts.iter().map(|text| (text.as_bytes().to_vec(), 0)).collect::<Vec<_>>();
        for (pieces, most, expected, lost) in [
            (&["a\nb", "c\n", "", "d"][..], 100, &["a", "bc", "d"][..], 0),
            (&["a\r\n\nb\n"], 100, &["a", "", "b"], 0),
            (&["abc\ndef\n", "ghi\n"], 5, &["abc", "d"], 7),
            (&[], 100, &[], 0),
        ] {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(lines(&pieces, most), (of(expected), lost), "{pieces:?}");
        }
        let long = vec![b'x'; MAX_LINE_BYTES + 10];
        let (found, _) = lines(&[&long, b"yy\nz"], u64::MAX);
        assert_eq!((found[0].0.len(), found[0].1, &*found[1].0), (MAX_LINE_BYTES, 12, &b"z"[..]));
    }

    #[test]
    fn an_event_is_what_an_ordinary_key_may_send() {
        let now = Nanos::parse("2026-11-21T10:00:00Z").unwrap();
        let read = |text: &str| event(text, "cron", now);
        let full = read(
            r#"{"event_name":"backup.done","username":"bob","event_time":"2026-11-21T09:59:00Z","resource":"db","read_only":true,
               "outcome":"failure","severity":4,"message":"psql postgres://u:hunter2@db","host":"","event_id":"a-1",
               "event_data":{"files":412,"rows":[9007199254740993],"log":["--password=hunter2"]}}"#,
        );
        let full = full.unwrap();
        assert_eq!(full.event_time, Nanos::parse("2026-11-21T09:59:00Z").ok());
        assert_eq!((full.outcome, full.severity, full.read_only), (Some(Outcome::Failure), Some(4), true));
        assert_eq!((full.host.as_deref(), full.event_id.as_deref()), (None, Some("a-1")));
        assert_eq!(full.event_data.as_ref().unwrap()["rows"][0].as_u64(), Some(9_007_199_254_740_993));
        assert!(!format!("{full:?}").contains("hunter2"));
        assert_eq!(read(r#"{"event_name":"a.b","username":"c"}"#).unwrap().event_time, Some(now));
        for (text, why) in [
            ("{", "event"),
            ("[]", "event"),
            (r#"{"event_name":"a.b"}"#, "username"),
            (r#"{"event_name":"a.b","username":"c","user":"d"}"#, "user"),
            (r#"{"event_name":"a.b","username":"c","username":"d"}"#, "username"),
            (r#"{"event_name":"a.b","username":"c","severity":9}"#, "severity"),
            (r#"{"event_name":"gap.agent","username":"-"}"#, "gap.agent"),
            (r#"{"event_name":"login.success","username":"root"}"#, "login.success"),
            (r#"{"event_name":"a.b","username":"c","agent":"web2"}"#, "agent"),
            (r#"{"event_name":"a.b","username":"c","event_data":{"n":1e999}}"#, "number"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn secrets_given_to_a_program_are_not_shown() {
        let veil = Veil::new(vec!["abc".into(), "hunter2".into(), "hunter2000".into()]);
        assert_eq!(veil.over("a hunter2000 b hunter2 abc"), "a [redacted] b [redacted] abc");
        assert_eq!(tail(b"\nfailed: hunter2\n", &veil).as_deref(), Some("failed: [redacted]"));
        assert_eq!(tail(b" \n", &veil), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_an_event_is_called_the_border_takes_it(text in "\\PC{0,80}", number in proptest::num::f64::ANY) {
            let written = serde_json::json!({ "event_name": "a.b", "username": "c", "message": text, "event_data": { "n": number, "t": text } });
            if let Ok(event) = event(&written.to_string(), "cron", Nanos(0)) {
                let border = Border { event_source: "cron", via: &[], lenient: false, reserved_names: false, agent: false, now: Nanos(0) };
                proptest::prop_assert!(Batch::new().push(&event, &border).is_ok());
            }
        }
    }
}
