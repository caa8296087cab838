//! Values in a description: bounded, in one line, and unable to disguise themselves.

use std::fmt::Write as _;

use super::given::decoded;
use crate::cell::Cell;
use crate::table::{Column, Kind};

/// The most of one value that is shown, in characters; what follows is only counted.
const MAX_VALUE: usize = 200;

/// The most of what a rule says, in characters.
const MAX_DESCRIPTION: usize = 2_000;

/// A value as it stands in a description.
pub(super) fn cell(column: &Column, cell: &Cell) -> String {
    if column.masked {
        return "(masked)".to_owned();
    }
    let bytes = match cell {
        Cell::Null => return "NULL".to_owned(),
        Cell::Masked(_) => return "(masked)".to_owned(),
        Cell::Value(bytes) => bytes,
    };
    let decoded = match &column.kind {
        Kind::Bytes => None,
        Kind::TextIn(set) => Some(decoded(set, bytes)),
        _ => Some(bytes.as_slice().into()),
    };
    match decoded.as_deref().map(std::str::from_utf8) {
        Some(Ok(text)) => bounded(text, MAX_VALUE),
        // Two characters a byte.
        _ => {
            let mut out = String::from("0x");
            for byte in bytes.iter().take(MAX_VALUE / 2) {
                let _ = write!(out, "{byte:02x}");
            }
            match bytes.len().checked_sub(MAX_VALUE / 2) {
                Some(more) if more > 0 => out + &format!("… ({} bytes)", bytes.len()),
                _ => out,
            }
        }
    }
}

/// Any text as it stands in a description.
pub(super) fn text(text: &str) -> String {
    bounded(text, MAX_VALUE)
}

/// What a rule says, as it stands in a violation.
pub(super) fn description(says: &str) -> String {
    bounded(says, MAX_DESCRIPTION)
}

fn bounded(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (at, char) in text.chars().enumerate() {
        if at == most {
            let _ = write!(out, "… ({} bytes)", text.len());
            return out;
        }
        match char {
            '\\' => out.push_str("\\\\"),
            char if char.is_control() || disguises(char) => out.extend(char.escape_default()),
            char => out.push(char),
        }
    }
    out
}

/// Characters that are not seen or turn the order of others.
fn disguises(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_plain() {
        let check = |kind: Kind, value: Cell, expected: &str| {
            let column = Column {
                name: "c".to_owned(),
                kind,
                sql_type: String::new(),
                nullable: true,
                generated: false,
                binary_order: false,
                masked: false,
            };
            assert_eq!(cell(&column, &value), expected);
        };
        check(Kind::Text, Cell::Null, "NULL");
        check(Kind::Text, Cell::of("Zoë \\ \n\x1b[31m\u{202e}x"), "Zoë \\\\ \\n\\u{1b}[31m\\u{202e}x");
        check(Kind::Text, Cell::of("a\x00"), "a\\u{0}");
        check(Kind::Text, Cell::of(b"\xff\x00"), "0xff00");
        check(Kind::Bytes, Cell::of("abc"), "0x616263");
        check(Kind::TextIn("latin1".to_owned()), Cell::of(b"Zo\xeb"), "Zoë");
        check(Kind::Text, Cell::of("é".repeat(201)), &format!("{}… (402 bytes)", "é".repeat(200)));
        check(Kind::Bytes, Cell::of([7; 101]), &format!("0x{}… (101 bytes)", "07".repeat(100)));
        check(Kind::Int, Cell::Masked([1; 32]), "(masked)");
        assert_eq!(description(&"x".repeat(3_000)).len(), 2_000 + "… (3000 bytes)".len());
    }
}
