//! GitHub's Markdown. What comes from events is escaped: no markup, no links, one line a cell.

use std::fmt::Write;

use super::{head, left_out, printable};
use crate::Document;
use crate::body::{Chart, Content, Part, Table};
use crate::document::{MARKDOWN_CLOSE, MARKDOWN_OPEN};

pub(super) fn write(document: &Document) -> String {
    let body = &document.body;
    let mut out = format!("# {}\n\n", escape(&body.title));
    if !body.description.is_empty() {
        let _ = write!(out, "{}\n\n", escape(&body.description));
    }
    out.push_str("| | |\n|---|---|\n");
    for (name, value) in head(document) {
        let _ = writeln!(out, "| {} | {} |", escape(&name), escape(&value));
    }
    for part in &body.parts {
        section(part, &mut out);
    }
    out.push_str("\n## Evidence\n\nEvery entry shown is proved by the signed checkpoint of its ledger: `attestry verify FILE` checks this file offline, and `attestry report replay FILE` makes it again from the ledger, byte for byte. The proofs are in the comment at the end of this file.\n");
    for of in &document.evidence {
        let count = of.events.len();
        let _ = write!(
            out,
            "\n{}: {count} entries proved. Verifier key {}\n",
            escape(&of.ledger),
            code(&of.vkey)
        );
        // A checkpoint's signatures begin with a dash; as code it stays as it is.
        let _ = write!(out, "\n```text\n{}```\n", of.checkpoint.replace("```", "'''"));
    }
    let _ = writeln!(out, "\n{MARKDOWN_OPEN}{}{MARKDOWN_CLOSE}", document.line());
    out
}

fn section(part: &Part, out: &mut String) {
    let _ = write!(out, "\n## {}\n", escape(&part.title));
    for note in &part.notes {
        let _ = write!(out, "\n{}\n", escape(note));
    }
    for content in &part.content {
        out.push('\n');
        match content {
            Content::Text(text) => {
                let _ = writeln!(out, "{}", escape(text));
            }
            Content::Command(text) => {
                let _ = writeln!(out, "```sh\n{}\n```", printable(text).replace("```", "'''"));
            }
            Content::Facts(facts) => {
                for fact in facts {
                    let cite = fact.cite.as_ref().map(|cite| format!(" ({}/{})", cite.ledger, cite.index));
                    let cite = cite.unwrap_or_default();
                    let line = format!("- {}: {}{}", escape(&fact.name), escape(&fact.value), escape(&cite));
                    // A clear signature of OpenPGP leaves out spaces at the ends of lines.
                    let _ = writeln!(out, "{}", line.trim_end());
                }
            }
            Content::Table(of) => table(of, out),
            Content::Chart(of) => chart(of, out),
        }
    }
    for query in &part.queries {
        let _ = write!(out, "\nQuery: {}\n", code(query));
    }
}

fn table(table: &Table, out: &mut String) {
    if table.rows.is_empty() {
        out.push_str("None.\n");
    } else {
        let cited = table.rows.iter().any(|row| row.cite.is_some());
        let mut names: Vec<String> = table.columns.iter().map(|name| escape(name)).collect();
        let mut rule: Vec<&str> =
            table.numeric.iter().map(|number| if *number { "--:" } else { "---" }).collect();
        if cited {
            names.push("entry".to_owned());
            rule.push("---");
        }
        let _ = writeln!(out, "| {} |\n|{}|", names.join(" | "), rule.join("|"));
        for row in &table.rows {
            let mut cells: Vec<String> = row.cells.iter().map(|cell| escape(cell)).collect();
            if let Some(cite) = &row.cite {
                cells.push(escape(&format!("{}/{}", cite.ledger, cite.index)));
            }
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    if let Some(left_out) = left_out(table.left_out) {
        let _ = write!(out, "\n{left_out}\n");
    }
}

/// Counts over time, as a table of the buckets that have any.
fn chart(chart: &Chart, out: &mut String) {
    let names: Vec<String> = chart.series.iter().map(|series| escape(&series.name)).collect();
    let rule = "--:|".repeat(names.len());
    let _ = writeln!(out, "| from | {} |\n|---|{rule}", names.join(" | "));
    for (time, values) in chart.buckets().filter(|(_, values)| values.iter().any(|value| *value > 0)) {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "| {} | {} |", crate::cells::time(time), values.join(" | "));
    }
}

/// Inline code, whatever is in it.
fn code(text: &str) -> String {
    let text = printable(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    match longest {
        0 => format!("{fence}{text}{fence}"),
        _ => format!("{fence} {text} {fence}"),
    }
}

/// Text that means only itself.
pub(super) fn escape(text: &str) -> String {
    let text = printable(text);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let first = out.is_empty();
        let rest = text.get(at..).unwrap_or_default();
        let escaped = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '!' => true,
            // A list, a heading's underline, a quotation.
            '-' | '+' | '=' if first => true,
            // A numbered list; a link without a scheme.
            '.' | ')' => {
                let before = text.get(..at).unwrap_or_default();
                let numbers = before.bytes().all(|byte| byte.is_ascii_digit());
                (numbers && matches!(rest.chars().nth(1), None | Some(' ')))
                    || (c == '.' && before.to_ascii_lowercase().ends_with("www"))
            }
            // What would become a link by itself.
            ':' if rest.starts_with("://") => true,
            '@' => true,
            _ => false,
        };
        if escaped {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_means_only_itself() {
        for (text, expected) in [
            ("plain text, 12.5 %", "plain text, 12.5 %"),
            ("[x](http://evil)", "\\[x\\](http\\://evil)"),
            ("a|b\n| c |", "a\\|b\\\\n\\| c \\|"),
            ("<script>", "\\<script\\>"),
            ("- item", "\\- item"),
            ("1. item", "1\\. item"),
            ("1.9", "1.9"),
            ("# head", "\\# head"),
            ("www.evil.example", "www\\.evil.example"),
            ("a-b c.d", "a-b c.d"),
            ("a\\|b", "a\\\\\\|b"),
        ] {
            assert_eq!(escape(text), expected, "{text}");
        }
    }

    #[test]
    fn code_holds_backticks() {
        for (text, expected) in
            [("a b", "`a b`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("a|b", "`a\\|b`")]
        {
            assert_eq!(code(text), expected, "{text}");
        }
    }
}
