//! What is wrong with an event, for the one who sent it.

use std::fmt::{self, Write};

use serde::Serialize;

/// How many characters of a foreign text a problem repeats.
const FOUND_CHARS: usize = 80;

/// How many problems of one event are told. A hostile event can have one a byte; nobody reads more than these.
pub(crate) const MAX_PROBLEMS: usize = 32;

/// One thing that is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The field, as a path with dots (`event_data.user.id`), or `event` for the event as a whole.
    pub field: String,
    /// What was there, cut to 80 characters, control characters escaped.
    pub found: String,
    /// What belongs there.
    pub expected: String,
}

impl Problem {
    /// A problem of one field. What was found is cut and freed of control characters.
    pub fn new(field: &str, found: &str, expected: impl Into<String>) -> Problem {
        Problem { field: shown(field), found: shown(found), expected: expected.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: found {}, expected {}", self.field, self.found, self.expected)
    }
}

/// Foreign text made fit to be shown: cut, and free of control characters (they move a terminal's cursor).
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, ch) in text.chars().enumerate() {
        if count == FOUND_CHARS {
            out.push('…');
            break;
        }
        if ch.is_control() || is_direction(ch) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", ch as u32);
        } else {
            out.push(ch);
        }
    }
    out
}

/// The characters that reorder the text around them, and so can make a message say something else.
fn is_direction(ch: char) -> bool {
    matches!(ch, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        assert_eq!(shown("plain ü"), "plain ü");
        assert_eq!(shown("\u{1b}[2J\n\u{7f}\u{202e}"), "\\u001b[2J\\u000a\\u007f\\u202e");
        assert_eq!(shown(&"ä".repeat(80)).chars().count(), 80);
        assert_eq!(shown(&"ä".repeat(81)), format!("{}…", "ä".repeat(80)));
    }
}
