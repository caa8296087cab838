//! A page that needs nothing else, on the screen and on A4.

use askama::Template;

use super::{chart, head, left_out, printable};
use crate::body::{Content, Part};
use crate::document::{HTML_CLOSE, HTML_OPEN};
use crate::{Document, Error};

/// The templates escape every text; what is marked safe there is made here of numbers and escaped names, or is the part for programs.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    head: Vec<(String, String)>,
    machine: String,
}

impl Page<'_> {
    fn parts(&self) -> &[Part] {
        &self.document.body.parts
    }

    fn show(&self, text: &str) -> String {
        printable(text)
    }

    fn svg(&self, of: &crate::body::Chart) -> String {
        chart::svg(of)
    }

    fn colour(&self, nth: &usize, name: &str) -> &'static str {
        chart::colour(*nth, name)
    }

    fn left_out(&self, count: &u64) -> String {
        left_out(*count).unwrap_or_default()
    }

    fn is_number(&self, table: &crate::body::Table, column: &usize) -> bool {
        table.numeric.get(*column).copied().unwrap_or(false)
    }
}

pub(super) fn write(document: &Document) -> Result<String, Error> {
    let machine = format!("{HTML_OPEN}{}{HTML_CLOSE}", document.line());
    Ok(Page { document, head: head(document), machine }.render()?)
}
