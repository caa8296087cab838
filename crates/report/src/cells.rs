//! What of an event stands in a column.

use attestry_event::{Entry, Field, Nanos, Scalar, Text, walk};

/// A value that is kept beside the entry is named, not shown: it may be erased, and the report must stay what it was.
fn reference(hash: &[u8; 32], bytes: u64) -> String {
    let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("[large value {hash}…, {bytes} bytes]")
}

/// A time in RFC 3339, exact, without the zeros at the end of its fraction.
pub(crate) fn time(time: Nanos) -> String {
    let text = time.to_string();
    let short = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{short}Z")
}

/// The value of a field, or of a path of `event_data` (whose prefix may be left out); several are separated by commas. Empty when there is none.
pub(crate) fn cell(entry: &Entry<'_>, name: &str) -> String {
    values(entry, name).join(", ")
}

/// All values of a field or path.
pub(crate) fn values(entry: &Entry<'_>, name: &str) -> Vec<String> {
    if let Some(field) = Field::from_name(name) {
        return match field {
            Field::Message => match entry.message() {
                Some(Text::Inline(text)) => vec![text.into_owned()],
                Some(Text::Ref { hash, bytes }) => vec![reference(&hash, bytes)],
                None => Vec::new(),
            },
            Field::Via => entry.via().map(|via| via.into_owned()).collect(),
            Field::EventTime => vec![time(entry.event_time())],
            Field::ReceivedAt => vec![time(entry.received_at())],
            field => entry.field(field).map(|value| value.into_owned()).into_iter().collect(),
        };
    }
    let path = name.strip_prefix("event_data.").unwrap_or(name);
    let mut found = Vec::new();
    let below = format!("{path}.");
    // An entry whose data cannot be walked is shown without it; that it is malformed is for `verify` to say.
    let _ = walk(entry.event_data().unwrap_or(b"{}"), &mut |at: &str, scalar| {
        let text = match scalar {
            Scalar::Str(text) => text.to_owned(),
            Scalar::Number(token) => token.to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Null => "null".to_owned(),
            Scalar::Ref { hash, bytes } => reference(&hash, bytes),
        };
        if at == path {
            found.push(text);
        } else if let Some(rest) = at.strip_prefix(&below) {
            // An object is shown by its members.
            found.push(format!("{rest}={text}"));
        }
    });
    found
}

/// The heading of a column, for people.
pub(crate) fn heading(name: &str) -> &str {
    match name {
        "event_time" => "time",
        "received_at" => "received",
        "event_name" => "event",
        "username" => "who",
        "event_source" => "source",
        "source_ip_address" => "address",
        other => other.strip_prefix("event_data.").unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_and_short() {
        for text in [
            "2026-10-10T10:10:10Z",
            "2026-10-10T10:10:00Z",
            "2026-10-10T10:10:10.5Z",
            "2026-10-10T10:10:10.000000001Z",
        ] {
            assert_eq!(time(Nanos::parse(text).unwrap()), text);
        }
    }
}
