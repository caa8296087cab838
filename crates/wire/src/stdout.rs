//! The way out to standard output: for pipes, containers, and to look at.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use attestry_event::{Entry, Field, Text};
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::lines;

/// Standard output.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// How events are shown. Default: ndjson.
    #[serde(default)]
    pub format: Format,
}

/// How events are shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One event a line, for programs.
    #[default]
    Ndjson,
    /// Time, name, who, what, host and message, for people. Control characters are escaped.
    Pretty,
}

/// The sink.
pub struct StdoutSink {
    format: Format,
    out: Arc<Mutex<dyn Write + Send>>,
}

impl StdoutSink {
    /// A sink that writes to this process's standard output.
    pub fn new(config: &SinkConfig) -> StdoutSink {
        StdoutSink { format: config.format, out: Arc::new(Mutex::new(io::stdout())) }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let (text, refused) = match self.format {
            Format::Ndjson => lines(parcels),
            Format::Pretty => pretty(parcels),
        };
        let out = Arc::clone(&self.out);
        let written = tokio::task::spawn_blocking(move || {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(&text).and_then(|()| out.flush())
        });
        let written = written.await.map_err(|error| Failure::again(error.to_string()))?;
        written.map_err(|error| Failure::again(format!("standard output: {error}")))?;
        Ok(refused)
    }
}

impl Sink for StdoutSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

fn pretty(parcels: &[Parcel]) -> (Vec<u8>, Vec<Refused>) {
    let mut text = String::new();
    let mut refused = Vec::new();
    for (at, parcel) in parcels.iter().enumerate() {
        match parcel.event() {
            Ok(event) => write_pretty(&event, parcel, &mut text),
            Err(error) => refused.push(Refused { at, reason: error.to_string() }),
        }
    }
    (text.into_bytes(), refused)
}

fn write_pretty(event: &Entry<'_>, parcel: &Parcel, out: &mut String) {
    let time = event.event_time().to_string();
    let _ = write!(out, "{}Z  ", time.get(..23).unwrap_or(&time));
    escape(&event.event_name(), out);
    out.push_str("  ");
    escape(&event.username(), out);
    for field in [Field::Resource, Field::Host, Field::Outcome] {
        if let Some(value) = event.field(field) {
            let _ = write!(out, "  {}=", field.name());
            escape(&value, out);
        }
    }
    let message = match event.message() {
        Some(Text::Inline(message)) => Some(message),
        Some(Text::Ref { hash, .. }) => {
            let value = parcel.values.iter().find(|value| value.hash == hash);
            value.map(|value| String::from_utf8_lossy(&value.content))
        }
        None => None,
    };
    if let Some(message) = message {
        out.push_str("  ");
        escape(&message, out);
    }
    if let Some(data) = event.event_data() {
        out.push_str("  ");
        escape(&String::from_utf8_lossy(data), out);
    }
    out.push('\n');
}

/// What could move a terminal's cursor, change its colours or turn text around is written as `\u{..}`.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{parcel, parcels};
    use serde_json::json;

    async fn shown(format: Format, parcels: &[Parcel]) -> (String, Vec<Refused>) {
        let out = Arc::new(Mutex::new(Vec::new()));
        let mut sink = StdoutSink { format, out: Arc::<Mutex<Vec<u8>>>::clone(&out) };
        let refused = sink.deliver(parcels).await.unwrap();
        let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
        (text, refused)
    }

    #[tokio::test]
    async fn for_people() {
        let event = parcel(
            0,
            "audit",
            &json!({"resource": "db\x1b[2J", "message": "two\nlines \u{202e}", "host": "web1", "event_data": {"n": 1e5}}),
        );
        let (text, _) = shown(Format::Pretty, &[event]).await;
        assert_eq!(
            text,
            "2023-11-14T22:13:20.000Z  a.b  u  resource=db\\u{1b}[2J  host=web1  two\\nlines \\u{202e}  {\"n\":100000.0}\n"
        );
        let long = parcel(0, "audit", &json!({"message": "x".repeat(5_000)}));
        assert!(shown(Format::Pretty, &[long]).await.0.contains(&"x".repeat(5_000)));
    }

    #[tokio::test]
    async fn for_programs() {
        let mut events = parcels(3);
        events[0].entry = bytes::Bytes::from_static(b"{}");
        let (text, refused) = shown(Format::Ndjson, &events).await;
        assert_eq!(text.lines().count(), 2);
        assert_eq!(refused.len(), 1);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut sink = StdoutSink { format: Format::Ndjson, out: Arc::new(Mutex::new(writer)) };
        let failure = sink.deliver(&parcels(1)).await.unwrap_err();
        assert!(matches!(failure, Failure::Again { delivered: 0, .. }));
    }
}
