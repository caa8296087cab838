//! One event, one line: what could end a line, move a cursor or turn the text around is written as an escape.

use std::fmt::Write;

/// Whether a character must not stand in a line as it is: controls (C0, DEL, C1), line and paragraph separators, and what changes the
/// direction of the text around it.
pub(crate) fn is_unprintable(ch: char) -> bool {
    ch.is_control()
        || matches!(ch, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends text with `\n`, `\r`, `\t` and `\u00xx` for what must not stand in a line. Those are JSON's escapes: JSON stays JSON, because a
/// backslash of its own is left alone.
pub(crate) fn escape(out: &mut String, text: &str) {
    // All that is unprintable begins with one of these bytes in UTF-8.
    let suspect = |byte: u8| byte < 0x20 || matches!(byte, 0x7f | 0xc2 | 0xd8 | 0xe2);
    if !text.bytes().any(suspect) {
        out.push_str(text);
        return;
    }
    for ch in text.chars() {
        match ch {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ch if is_unprintable(ch) => {
                // Writing to a String cannot fail; all of these characters have at most four digits.
                let _ = write!(out, "\\u{:04x}", ch as u32);
            }
            ch => out.push(ch),
        }
    }
}

/// Appends text as a JSON string.
pub(crate) fn quote(out: &mut String, text: &str) {
    let json = serde_json::to_string(text).unwrap_or_default();
    escape(out, &json);
}

/// What is left of a text that is cut so that it takes at most `room` bytes with the mark behind it.
pub(crate) fn cut(text: &mut String, room: usize) {
    if text.len() <= room {
        return;
    }
    let mark_bytes = |cut: usize| mark(cut).len();
    let mut keep = room.saturating_sub(mark_bytes(text.len()));
    while !text.is_char_boundary(keep) {
        keep -= 1;
    }
    let cut = text.len() - keep;
    text.truncate(keep);
    text.push_str(&mark(cut));
}

fn mark(cut: usize) -> String {
    format!("…[cut {cut} bytes]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(&mut out, text);
        out
    }

    #[test]
    fn nothing_ends_a_line_or_turns_it() {
        for (text, expected) in [
            ("plain ü – “quoted”", "plain ü – “quoted”"),
            ("a\nb\r\n\tc", "a\\nb\\r\\n\\tc"),
            ("\0\u{1b}[2J\u{7f}", "\\u0000\\u001b[2J\\u007f"),
            ("\u{85}\u{9b}31m", "\\u0085\\u009b31m"),
            ("\u{202e}live\u{2066}\u{61c}\u{200f}", "\\u202elive\\u2066\\u061c\\u200f"),
            ("\u{2028}\u{2029}", "\\u2028\\u2029"),
            (r"C:\new", r"C:\new"),
            ("¢ ؛ ‰", "¢ ؛ ‰"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn a_cut_says_how_much() {
        let check = |text: &str, room: usize, expected: &str| {
            let mut cutting = text.to_owned();
            cut(&mut cutting, room);
            assert_eq!(cutting, expected);
            assert!(cutting.len() <= room);
        };
        check("short", 5, "short");
        check(&"x".repeat(50), 30, &format!("{}…[cut 37 bytes]", "x".repeat(13)));
        check(&"ä".repeat(50), 30, &format!("{}…[cut 88 bytes]", "ä".repeat(6)));
    }

    proptest! {
        #[test]
        fn a_line_is_one_line(text in any::<String>(), room in 40usize..200) {
            let mut line = escaped(&text);
            prop_assert!(!line.chars().any(is_unprintable));
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&escaped(&json)).unwrap(), text);
            cut(&mut line, room);
            prop_assert!(line.len() <= room);
        }
    }
}
