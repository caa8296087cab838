//! RFC 4180: a block for each table, with its title before it and an empty line after it; the first column says which block it is.
//!
//! A text that a spreadsheet would compute gets an apostrophe before it, as OWASP's advice on CSV injection says; numbers stay numbers.

use super::{head, left_out, printable};
use crate::Document;
use crate::body::{Content, Part};
use crate::decimal::Exact;

pub(super) fn write(document: &Document) -> String {
    let mut out = Lines(String::new());
    out.line(["report", &document.body.title]);
    for (name, value) in head(document) {
        out.line([name.as_str(), value.as_str()]);
    }
    for of in &document.evidence {
        out.line(["verifier key", &of.vkey]);
    }
    for part in &document.body.parts {
        section(part, &mut out);
    }
    out.0.push_str("\r\nattestry-report,\"");
    out.0.push_str(&document.line().replace('"', "\"\""));
    out.0.push_str("\"\r\n");
    out.0
}

fn section(part: &Part, out: &mut Lines) {
    out.0.push_str("\r\n");
    out.line(["section", &part.title]);
    for note in &part.notes {
        out.line(["note", note]);
    }
    for query in &part.queries {
        out.line(["query", query]);
    }
    for content in &part.content {
        match content {
            Content::Text(text) => out.line(["text", text]),
            Content::Command(text) => out.line(["command", text]),
            Content::Facts(facts) => {
                for fact in facts {
                    let cite = fact.cite.as_ref().map(|cite| format!("{}/{}", cite.ledger, cite.index));
                    out.line(["fact", &fact.name, &fact.value, cite.as_deref().unwrap_or_default()]);
                }
            }
            Content::Table(table) => {
                let names = table.columns.iter().map(String::as_str);
                out.line(std::iter::once("columns").chain(names).chain(["entry"]));
                for row in &table.rows {
                    let cite = row.cite.as_ref().map(|cite| format!("{}/{}", cite.ledger, cite.index));
                    let cells = row.cells.iter().map(String::as_str);
                    out.line(
                        std::iter::once("row").chain(cells).chain([cite.as_deref().unwrap_or_default()]),
                    );
                }
                if let Some(left_out) = left_out(table.left_out) {
                    out.line(["note", &left_out]);
                }
            }
            Content::Chart(chart) => {
                let names = chart.series.iter().map(|series| series.name.as_str());
                out.line(["columns", "from"].into_iter().chain(names));
                for (time, values) in chart.buckets() {
                    let (time, values): (String, Vec<String>) =
                        (crate::cells::time(time), values.iter().map(ToString::to_string).collect());
                    out.line(["row", &time].into_iter().chain(values.iter().map(String::as_str)));
                }
            }
        }
    }
}

struct Lines(String);

impl Lines {
    fn line<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) {
        let fields: Vec<String> = fields.into_iter().map(field).collect();
        self.0.push_str(&fields.join(","));
        self.0.push_str("\r\n");
    }
}

fn field(text: &str) -> String {
    let text = printable(text);
    let computes = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) && Exact::parse(&text).is_none();
    let text = if computes { format!("'{text}") } else { text };
    match text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_computed_by_a_spreadsheet() {
        for (text, expected) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"http://evil\",\"x\")", "\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\""),
            ("+1 555", "'+1 555"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-12.50", "-12.50"),
            ("a,b", "\"a,b\""),
            ("a\nb", "a\\nb"),
            ("\t=1", "\\t=1"),
            ("'x", "''x"),
        ] {
            assert_eq!(field(text), expected, "{text}");
        }
    }
}
