//! Making a report again from the ledger, and telling what is different.

use attestry_store::Stop;
use similar::TextDiff;

use crate::{Document, Error, Format, Logs, Progress, make, parse, render};

/// A report was made again.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// Whether it is the same, byte for byte.
    pub same: bool,
    /// What differs, as a unified diff from the file to what the ledger gives now; empty when nothing does.
    pub difference: String,
    /// What makes a difference likely: another version of the program.
    pub notes: Vec<String>,
    /// The report as it was made now.
    pub text: String,
    /// In which format.
    pub format: Format,
    /// As data.
    pub document: Document,
}

/// Reads a report and makes it again from the same prefix of the ledgers.
///
/// # Errors
/// [`Error::NoReport`] when the text is none, [`Error::OtherLog`] when these are not the ledgers it was made from.
pub fn replay(
    logs: &Logs,
    text: &str,
    stop: &Stop,
    progress: &dyn Fn(&Progress<'_>),
) -> Result<Replayed, Error> {
    let (given, format) = parse(text)?;
    let mut notes = Vec::new();
    if !given.recipe.is_whole() {
        notes.push("the definition in the file is not the one whose hash it tells".to_owned());
    }
    if given.recipe.template_version != crate::TEMPLATE_VERSION {
        notes.push(format!(
            "the report was made with version {} of the templates, and this program has {}",
            given.recipe.template_version,
            crate::TEMPLATE_VERSION
        ));
    }
    for at in &given.recipe.ledgers {
        logs.holds(at)?;
    }
    // What the report says of itself is made again, but for the ledgers' state, which was compared.
    let wish = crate::Wish {
        definition: given.recipe.definition.clone(),
        window: given.recipe.window,
        parameters: given.recipe.parameters.clone(),
        run: given.recipe.run.clone(),
    };
    let mut recipe = crate::Recipe::new(&wish, given.recipe.ledgers.clone())?;
    // Another version of the program that makes the same bytes is as good.
    recipe.generator.clone_from(&given.recipe.generator);
    if given.recipe.generator != crate::GENERATOR {
        notes.push(format!(
            "the report was made by {}, and this is {}",
            given.recipe.generator,
            crate::GENERATOR
        ));
    }
    let document = make(logs, recipe, &given.notes(), stop, progress)?;
    let made = render(&document, format)?;
    let same = made == text;
    let difference = if same { String::new() } else { difference(&given, text, &document, &made) };
    Ok(Replayed { same, difference, notes, text: made, format, document })
}

/// The body is compared as data where that shows the difference, since a line of it is one value; else the files are.
fn difference(given: &Document, text: &str, document: &Document, made: &str) -> String {
    let pretty = |document: &Document| serde_json::to_string_pretty(document).unwrap_or_default();
    let (old, new) = (pretty(given), pretty(document));
    let (old, new) = if old == new { (text, made) } else { (old.as_str(), new.as_str()) };
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(2)
        .header("the report", "from the ledger")
        .to_string()
}
