//! The kinds of sections, one module a kind.

mod aggregate;
mod coverage;
mod figures;
mod integrity;
pub(crate) mod late;
mod matrix;
mod search;
mod sums;
mod violations;

use crate::body::{Content, Part};
use crate::make::Maker;
use crate::{Error, Section};

/// Writes a section's content.
pub(crate) fn write(maker: &Maker<'_>, section: &Section, part: &mut Part) -> Result<(), Error> {
    if let Some(text) = &section.text {
        let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
        part.content.extend(paragraphs.map(|paragraph| Content::Text(maker.fill(paragraph))));
    }
    if let Some(aggregate) = &section.aggregate {
        aggregate::write(maker, section, aggregate, part)?;
    }
    if let Some(search) = &section.search {
        search::write(maker, section, search, part)?;
    }
    if let Some(coverage) = &section.coverage {
        coverage::write(maker, section, coverage, part)?;
    }
    if section.integrity.is_some() {
        integrity::write(maker, part)?;
    }
    if let Some(violations) = &section.violations {
        violations::write(maker, violations, part)?;
    }
    if !section.figures.is_empty() {
        figures::write(maker, section, part);
    }
    Ok(())
}
