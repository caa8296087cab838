//! Everything that a body follows from: definition, parameters, window, and how much of which ledger.

use std::collections::BTreeMap;

use attestry_event::{Nanos, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Definition, Error};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Of what kind.
    pub definition: Definition,
    /// Over which time.
    pub window: Window,
    /// With which parameters.
    pub parameters: BTreeMap<String, String>,
    /// What tells this run from all others: the figures taken for it carry the same text.
    pub run: String,
    /// The report that the same schedule had made before, of which this one says what came too late for it. None: it is asked for, or the first.
    pub previous: Option<Previous>,
}

/// A stretch of `event_time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The least time in it.
    pub from: Nanos,
    /// The first time after it.
    pub to: Nanos,
}

/// So much of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAt {
    /// Its name.
    pub name: String,
    /// The log's origin, as its checkpoints say it.
    pub origin: String,
    /// The first entry that was not pruned when the report was made.
    pub first: u64,
    /// How many entries there were, the pruned ones among them: the size of the tree.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
}

/// The report before, as far as a report needs it that goes on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Where its window ended.
    pub to: Nanos,
    /// From how many entries of each ledger it was made.
    pub sizes: BTreeMap<String, u64>,
}

impl Previous {
    /// What a report needs of the one that was made by this recipe.
    pub fn of(recipe: &Recipe) -> Previous {
        let sizes = recipe.ledgers.iter().map(|at| (at.name.clone(), at.size)).collect();
        Previous { to: recipe.window.to, sizes }
    }
}

/// Everything that a body follows from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The definition's name.
    pub name: String,
    /// The definition's own version.
    pub definition_version: u32,
    /// SHA-256 of the definition as it stands in `definition`, compact JSON, hexadecimal.
    pub definition_sha256: String,
    /// The version of the sections and templates.
    pub template_version: u32,
    /// The program and its version.
    pub generator: String,
    /// Parameters by name.
    pub parameters: BTreeMap<String, String>,
    /// The time that the report is about.
    pub window: Window,
    /// What tells this run from all others.
    pub run: String,
    /// The report that the same schedule had made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// So much of these ledgers, by name.
    pub ledgers: Vec<LedgerAt>,
    /// The definition.
    pub definition: Definition,
}

impl Recipe {
    /// The recipe for a wish over so much of these ledgers.
    ///
    /// # Errors
    /// [`Error::Refused`] when a parameter is missing or unknown, the window is empty, or the definition is wrong.
    pub fn new(wish: &Wish, ledgers: Vec<LedgerAt>) -> Result<Recipe, Error> {
        let definition = wish.definition.clone();
        definition.check()?;
        if wish.window.from >= wish.window.to {
            return Err(Error::refused("the window is empty: expected a begin before its end"));
        }
        if let Some(unknown) = wish.parameters.keys().find(|name| !definition.parameters.contains_key(*name))
        {
            return Err(Error::refused(format!("{} has no parameter {unknown:?}", definition.name)));
        }
        let mut parameters = BTreeMap::new();
        for (name, parameter) in &definition.parameters {
            let given = wish.parameters.get(name).or(parameter.default.as_ref());
            let value = given.filter(|value| !value.is_empty()).ok_or_else(|| {
                Error::refused(format!("the parameter {name} is missing: {}", parameter.description))
            })?;
            parameters.insert(name.clone(), value.clone());
        }
        Ok(Recipe {
            name: definition.name.clone(),
            definition_version: definition.version,
            definition_sha256: hash_of(&definition),
            template_version: crate::TEMPLATE_VERSION,
            generator: crate::GENERATOR.to_owned(),
            parameters,
            window: wish.window,
            run: wish.run.clone(),
            previous: wish.previous.clone(),
            ledgers,
            definition,
        })
    }

    /// Whether the definition is the one whose hash the recipe tells.
    pub fn is_whole(&self) -> bool {
        hash_of(&self.definition) == self.definition_sha256
    }
}

/// SHA-256, hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

fn hash_of(definition: &Definition) -> String {
    // Maps of a definition are sorted and its numbers whole, so the text is one and the same.
    sha256(&serde_json::to_vec(definition).unwrap_or_default())
}
