//! Output for people: escaped, so that an event cannot write to the terminal, and coloured only there.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// Whether a character is a control character or changes the direction of text.
fn controls(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes control characters and what changes the direction of text.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if controls(c) => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Says something to the person, apart from the output.
pub(crate) fn note(text: &str) {
    let mut out = io::stderr().lock();
    let painted = if io::stderr().is_terminal() { paint(text, Look::Dim) } else { text.to_owned() };
    // A closed standard error is no reason to fail.
    let _ = writeln!(out, "{painted}");
}

/// Says that the answer lacks what is not indexed yet, as after a start.
pub(crate) fn note_behind(events: u64) {
    if events > 0 {
        note(&format!(
            "{events} stored events are still being indexed; what of them matches is not in this answer"
        ));
    }
}

/// JSON as it may be shown: on a terminal what would control it is escaped, and the JSON says the same.
pub(crate) fn json(value: &Value, terminal: bool) -> String {
    let text = value.to_string();
    if !terminal {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Only within strings, where JSON has this escape for it.
            c if controls(c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// A cell as it may be shown: on a terminal what would control it is escaped.
pub(crate) fn csv(text: &str, terminal: bool) -> String {
    if terminal { csv_cell(&escape(text)) } else { csv_cell(text) }
}

/// A cell of a CSV file: quoted where needed, and never one that a spreadsheet would run.
fn csv_cell(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if guarded.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// How a cell looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Dim,
    Bold,
    Bad,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Look::Plain => "",
            Look::Dim => "\x1b[2m",
            Look::Bold => "\x1b[1m",
            Look::Bad => "\x1b[31m",
        }
    }
}

/// Whether standard output may be coloured.
pub(crate) fn coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text, looking as it should where that is possible.
pub(crate) fn paint(text: &str, look: Look) -> String {
    match look {
        Look::Plain => text.to_owned(),
        _ if coloured() => format!("{}{text}\x1b[0m", look.code()),
        _ => text.to_owned(),
    }
}

/// A column is at most so wide: longer cells push out the rest of their own line, and no other.
const COLUMN_CHARS_MAX: usize = 60;

/// A table whose columns are as wide as their widest cell; the last one is not padded.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<(String, Look)>>,
}

impl Table {
    /// A table with a heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Table { rows: vec![heading.iter().map(|cell| ((*cell).to_owned(), Look::Dim)).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Look)>) {
        self.rows.push(cells.into_iter().map(|(cell, look)| (escape(&cell), look)).collect());
    }

    /// Writes the table.
    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.0.chars().count()).max()
        };
        let widths: Vec<usize> =
            (0..columns).map(|column| width(column).unwrap_or(0).min(COLUMN_CHARS_MAX)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, look)) in row.iter().enumerate() {
                line.push_str(&paint(cell, *look));
                if column + 1 < row.len() {
                    line.extend(std::iter::repeat_n(
                        ' ',
                        widths[column].saturating_sub(cell.chars().count()) + 2,
                    ));
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_cannot_write_to_the_terminal() {
        assert_eq!(escape("a\x1b[31mb\r\n\u{202e}c\u{9b}é"), "a\\u{1b}[31mb\\u{d}\\n\\u{202e}c\\u{9b}é");
    }

    #[test]
    fn neither_can_json_or_csv() {
        let odd = "a\u{9b}31mb\n,\u{202e}";
        let value = Value::from(odd);
        assert_eq!(json(&value, true), "\"a\\u009b31mb\\n,\\u202e\"");
        assert_eq!(serde_json::from_str::<Value>(&json(&value, true)).unwrap(), value);
        assert_eq!(json(&value, false), value.to_string());
        assert_eq!(csv(odd, true), "\"a\\u{9b}31mb\\n,\\u{202e}\"");
        assert_eq!(csv(odd, false), format!("\"{odd}\""));
    }

    #[test]
    fn a_spreadsheet_runs_nothing() {
        for (text, cell) in [
            ("plain", "plain"),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("-5.5", "-5.5"),
            ("-5+cmd", "'-5+cmd"),
            ("a,b", "\"a,b\""),
            ("@x", "'@x"),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["time", "what"]);
        table.row([("1".to_owned(), Look::Plain), ("long enough".to_owned(), Look::Plain)]);
        table.row([("123456".to_owned(), Look::Plain), ("x\ny".to_owned(), Look::Plain)]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "time    what\n1       long enough\n123456  x\\ny\n");
    }

    #[test]
    fn one_long_cell_leaves_the_others_where_they_are() {
        let long = "x".repeat(200);
        let mut table = Table::new(&["who", "what"]);
        table.row([("alice".to_owned(), Look::Plain), ("in".to_owned(), Look::Plain)]);
        table.row([(long.clone(), Look::Plain), ("out".to_owned(), Look::Plain)]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let column = |name: &str| format!("{name:60}  ");
        let expected = format!("{}what\n{}in\n{long}  out\n", column("who"), column("alice"));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
