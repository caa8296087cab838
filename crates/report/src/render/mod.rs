//! How a document looks in each format. The same document gives the same bytes.

mod chart;
mod csv;
mod html;
mod markdown;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cells::time;
use crate::{Document, Error};

/// How a report is written.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A page that needs nothing else, printable to A4.
    Html,
    /// GitHub's Markdown.
    Markdown,
    /// The document as JSON, indented.
    Json,
    /// RFC 4180; one block a section.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Html, Format::Markdown, Format::Json, Format::Csv];

    /// Its name, as in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Format::Html => "html",
            Format::Markdown => "markdown",
            Format::Json => "json",
            Format::Csv => "csv",
        }
    }

    /// What files of it end with, without the point.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Markdown => "md",
            other => other.name(),
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Markdown => "text/markdown; charset=utf-8",
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8; header=absent",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Format, Error> {
        let found = Format::ALL.into_iter().find(|format| format.name() == text || format.ending() == text);
        found
            .ok_or_else(|| Error::refused(format!("{text:?} is no format; html, markdown, json and csv are")))
    }
}

/// Writes a document.
///
/// # Errors
/// [`Error::Render`] is a mistake of ours.
pub fn render(document: &Document, format: Format) -> Result<String, Error> {
    Ok(match format {
        Format::Html => html::write(document)?,
        Format::Markdown => markdown::write(document),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
            text.push('\n');
            text
        }
        Format::Csv => csv::write(document),
    })
}

/// What the recipe says, as names and values, for all renderings.
pub(crate) fn head(document: &Document) -> Vec<(String, String)> {
    let recipe = &document.recipe;
    let mut head = vec![
        ("window".to_owned(), format!("{} to {}", time(recipe.window.from), time(recipe.window.to))),
        (
            "report".to_owned(),
            format!(
                "{} version {} ({})",
                recipe.name,
                recipe.definition_version,
                recipe.definition_sha256.get(..16).unwrap_or_default()
            ),
        ),
        (
            "made by".to_owned(),
            format!("{}, templates version {}", recipe.generator, recipe.template_version),
        ),
        ("run".to_owned(), recipe.run.clone()),
    ];
    head.extend(recipe.parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
    for at in &recipe.ledgers {
        let pruned = if at.first > 0 { format!(", the first {} pruned", at.first) } else { String::new() };
        head.push((format!("ledger {}", at.name), format!("{} entries{pruned}, root {}", at.size, at.root)));
    }
    for of in &document.body.configurations {
        head.push((format!("configuration since {}", time(of.since)), of.version.clone()));
    }
    for of in &document.body.rules {
        head.push((format!("rules since {}", time(of.since)), of.version.clone()));
    }
    head
}

/// Text without what steers a terminal or turns the direction of writing: such characters are shown as escapes.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            let shown = if steers(c) { c.escape_default().to_string() } else { c.to_string() };
            shown.chars().collect::<Vec<char>>()
        })
        .collect()
}

/// `... and 12 more, left out by the limit`.
pub(crate) fn left_out(count: u64) -> Option<String> {
    (count > 0).then(|| format!("{count} more rows are left out by the limit of this section."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers() {
        for (text, expected) in [
            ("plain é 漢", "plain é 漢"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\r", "a\\nb\\r"),
            ("exe\u{202e}fdp", "exe\\u{202e}fdp"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
