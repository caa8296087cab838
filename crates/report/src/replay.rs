//! Making a report again from the ledger, and telling what is different.

use attestry_store::Stop;
use similar::TextDiff;

use crate::{Document, Error, Format, InForce, Logs, Progress, make, parse, render};

/// A report was made again.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// Whether it is the same, byte for byte.
    pub same: bool,
    /// What differs, as a unified diff from the file to what the ledger gives now; empty when nothing does.
    pub difference: String,
    /// What makes a difference likely: another version of the program, entries that were pruned.
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
/// [`Error::NoReport`] when the text is none, [`Error::OtherLog`] when these are not the ledgers it was made from, or lack entries it needs.
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
    let mut pruned = Vec::new();
    for at in &given.recipe.ledgers {
        pruned.extend(logs.holds(at)?);
    }
    // What the report says of itself is made again, but for the ledgers' state, which was compared.
    let wish = crate::Wish {
        definition: given.recipe.definition.clone(),
        window: given.recipe.window,
        parameters: given.recipe.parameters.clone(),
        run: given.recipe.run.clone(),
        previous: given.recipe.previous.clone(),
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
    let mut document = make(logs, recipe, &given.notes(), stop, progress)?;
    if !pruned.is_empty() {
        let body = &mut document.body;
        let configurations = fill_in(&mut body.configurations, &given.body.configurations);
        if fill_in(&mut body.rules, &given.body.rules) || configurations {
            pruned.push("what was in force when the window began is taken from the report".to_owned());
        }
    }
    let made = render(&document, format)?;
    let same = made == text;
    if document != given && !pruned.is_empty() {
        return Err(Error::OtherLog(format!(
            "{}, and without them it is another report: whether it was changed cannot be told",
            pruned.join(", ")
        )));
    }
    notes.extend(pruned);
    let difference = if same { String::new() } else { difference(&given, text, &document, &made) };
    Ok(Replayed { same, difference, notes, text: made, format, document })
}

/// Gives what was in force its begin as the report says, when what is `made` fits it but for an announcement that was pruned: it may be as old as the
/// ledger. True when there was something to give.
fn fill_in(made: &mut Vec<InForce>, given: &[InForce]) -> bool {
    let Some(known) = given.len().checked_sub(made.len()).and_then(|from| given.get(from..)) else {
        return false;
    };
    let fits = known.iter().zip(made.iter()).enumerate().all(|(nth, (given, made))| {
        given.version == made.version && (given.since == made.since || nth == 0 && given.since < made.since)
    });
    let other = made.as_slice() != given;
    if fits && other {
        *made = given.to_vec();
    }
    fits && other
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

#[cfg(test)]
mod tests {
    use super::*;

    /// In force as `version@since`.
    fn in_force(text: &str) -> Vec<InForce> {
        let one = |one: &str| {
            let (version, since) = one.split_once('@').unwrap();
            InForce { since: attestry_event::Nanos(since.parse().unwrap()), version: version.to_owned() }
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn only_the_begin_of_what_was_in_force_is_taken_from_the_report() {
        for (made, given, filled) in [
            ("", "a@1", true),
            ("b@5", "a@1 b@5", true),
            ("a@3 b@5", "a@1 b@5", true),
            ("", "", false),
            ("a@1", "a@1", false),
            ("a@1 b@5", "b@5", false),
            ("b@5", "a@1 c@5", false),
            ("b@4", "a@1 b@5", false),
            ("a@1 b@6", "a@1 b@5", false),
        ] {
            let mut found = in_force(made);
            assert_eq!(fill_in(&mut found, &in_force(given)), filled, "{made}, {given}");
            assert_eq!(found, in_force(if filled { given } else { made }), "{made}, {given}");
        }
    }
}
