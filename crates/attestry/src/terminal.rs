//! Output for people: escaped, so that an event cannot write to the terminal, and coloured only there.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Escapes control characters and what changes the direction of text.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// A cell of a CSV file: quoted where needed, and never one that a spreadsheet would run.
pub(crate) fn csv_cell(text: &str) -> String {
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
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, look)) in row.iter().enumerate() {
                line.push_str(&paint(cell, *look));
                if column + 1 < row.len() {
                    line.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count() + 2));
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
}
