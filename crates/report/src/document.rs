//! A whole report, and how it is found again in any of its renderings.
//!
//! Each rendering ends with the document as one line of JSON, in which `<`, `>`, `&`, U+2028 and U+2029 are written as escapes:
//!
//! - HTML: in `<script type="application/json" id="attestry-report">`, the last element of the body;
//! - Markdown: in a comment `<!-- attestry-report`, the last thing of the file;
//! - CSV: in the second field of the last record, whose first field is `attestry-report`;
//! - JSON is the document itself, indented.

use serde::{Deserialize, Serialize};

use crate::{Body, Error, Evidence, Format, Recipe};

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

pub(crate) const HTML_OPEN: &str = "<script type=\"application/json\" id=\"attestry-report\">";
pub(crate) const HTML_CLOSE: &str = "</script>";
pub(crate) const MARKDOWN_OPEN: &str = "<!-- attestry-report\n";
pub(crate) const MARKDOWN_CLOSE: &str = "\n-->";
pub(crate) const CSV_OPEN: &str = "\r\nattestry-report,\"";

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this format: 1.
    pub attestry_report: u32,
    /// What it follows from.
    pub recipe: Recipe,
    /// What it says.
    pub body: Body,
    /// What proves the events that it shows.
    pub evidence: Vec<Evidence>,
}

impl Document {
    /// SHA-256 of the body as compact JSON, hexadecimal.
    pub fn body_sha256(&self) -> String {
        crate::recipe::sha256(&serde_json::to_vec(&self.body).unwrap_or_default())
    }

    /// The checkpoints, in the order of the recipe's ledgers.
    pub fn notes(&self) -> Vec<String> {
        self.evidence.iter().map(|of| of.checkpoint.clone()).collect()
    }

    /// The part for programs: one line that can stand in HTML and in a comment.
    pub(crate) fn line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(json.len());
        for c in json.chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    line.push_str(&format!("\\u{:04x}", u32::from(c)))
                }
                c => line.push(c),
            }
        }
        line
    }
}

/// Reads a report in any of its renderings.
///
/// # Errors
/// [`Error::NoReport`] when it is none.
pub fn parse(text: &str) -> Result<(Document, Format), Error> {
    let (json, format) = part(text).ok_or_else(|| {
        Error::NoReport("it has no part for programs; it may have been cut, or opened and saved".to_owned())
    })?;
    let document: Document =
        serde_json::from_str(&json).map_err(|error| Error::NoReport(error.to_string()))?;
    if document.attestry_report != VERSION {
        let found = document.attestry_report;
        return Err(Error::NoReport(format!(
            "its format is version {found}, and this program knows {VERSION}"
        )));
    }
    Ok((document, format))
}

/// The part for programs. The last one counts: what an event says cannot come after it.
fn part(text: &str) -> Option<(String, Format)> {
    if text.starts_with('{') {
        return Some((text.to_owned(), Format::Json));
    }
    let between = |open: &str, close: &str| {
        let from = text.rfind(open)? + open.len();
        let rest = text.get(from..)?;
        Some(rest.get(..rest.find(close)?)?.to_owned())
    };
    if text.starts_with("<!DOCTYPE html>") {
        return Some((between(HTML_OPEN, HTML_CLOSE)?, Format::Html));
    }
    if let Some(json) = between(MARKDOWN_OPEN, MARKDOWN_CLOSE) {
        return Some((json, Format::Markdown));
    }
    let from = text.rfind(CSV_OPEN)? + CSV_OPEN.len();
    let field = text.get(from..)?.trim_end().strip_suffix('"')?;
    Some((field.replace("\"\"", "\""), Format::Csv))
}
