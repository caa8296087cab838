//! `ATTESTRY_SECTION_ITEM`: every item of the configuration, overridden from the environment.

use serde_json::Value;

use super::{Mistake, Written};
use crate::client::KEY_VARIABLE;

const PREFIX: &str = "ATTESTRY_";
/// Variables of the commands that talk to a server; they are no items.
const OF_COMMANDS: [&str; 4] = ["ATTESTRY_URL", KEY_VARIABLE, "ATTESTRY_KEY_FILE", "ATTESTRY_CONFIG"];

/// Applies the environment's overrides and gives what is wrong with them.
pub(super) fn apply(
    written: &mut Written,
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut variables: Vec<(String, String)> = environment
        .filter(|(name, _)| name.starts_with(PREFIX) && !OF_COMMANDS.contains(&name.as_str()))
        .collect();
    variables.sort();
    for (name, text) in variables {
        match overridden(written, &name, &text) {
            Ok(changed) => *written = changed,
            Err(what) => mistakes.push(Mistake::new(name, what)),
        }
    }
    mistakes
}

fn overridden(written: &Written, name: &str, text: &str) -> Result<Written, String> {
    let mut whole = serde_json::to_value(written).map_err(|error| error.to_string())?;
    let known = names(&whole, PREFIX);
    let Some((_, pointer)) = known.iter().find(|(known, _)| known == name) else {
        let nearest =
            known.iter().map(|(known, _)| known).min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let nearest = nearest.map_or(String::new(), |nearest| format!(", the nearest is {nearest}"));
        return Err(format!("there is no such item{nearest}"));
    };
    let Some(slot) = whole.pointer_mut(pointer) else { return Err("there is no such item".to_owned()) };
    // A number may be meant as text, so what does not fit as it reads is tried as it is written.
    *slot = serde_saphyr::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let as_read = whole.clone();
    if let Some(slot) = whole.pointer_mut(pointer) {
        *slot = Value::String(text.to_owned());
    }
    match serde_json::from_value(as_read) {
        Ok(changed) => Ok(changed),
        Err(error) if text.starts_with(['[', '{']) => Err(error.to_string()),
        Err(_) => serde_json::from_value(whole).map_err(|error| error.to_string()),
    }
}

/// The variable's name and the JSON pointer of every item.
fn names(value: &Value, prefix: &str) -> Vec<(String, String)> {
    let Value::Object(items) = value else {
        return vec![(prefix.trim_end_matches('_').to_owned(), String::new())];
    };
    let mut found = Vec::new();
    for (key, item) in items {
        let prefix = format!("{prefix}{}_", key.to_uppercase().replace('-', "_"));
        found.extend(
            names(item, &prefix).into_iter().map(|(name, pointer)| (name, format!("/{key}{pointer}"))),
        );
    }
    found
}
