//! What may happen to a row.
//!
//! Without rules of its own, a table may get new rows; a change of any column is a breach, and so is a deletion. A rule is a program in VRL
//! that sees the row (`.row`) or both (`.original`, `.updated`): a string is a breach, null is none. A rule that fails or takes too long
//! is a breach of its own and stops nothing.
//!
//! | what | rule's name | when |
//! |---|---|---|
//! | `Field X is different (old -- new)` | [`DIFFERENT`] | a column changed that has no rule for updates, and no `allow` that covers it |
//! | `Row was deleted` | [`DELETED`] | the table has no rule for deletions |
//! | what a rule says | its own | it says something |
//! | `The rule X failed …` | its own and `:failed` | it could not say anything |
//!
//! A table's rule for updates does not switch the columns' default off; `allow: all_updates` does. Of several rules with one name, the one
//! under the table's own name holds, so that a pattern's rule can be replaced for one table.

mod check;
mod compile;
mod given;
mod shown;

pub use check::{CHECK_ROWS, Check, CheckConfig};
pub use compile::RuleError;
pub(crate) use given::windows_1252;

use attestry_script::{Rule, RunError};

use crate::cell::Cell;
use crate::config::Allow;
use crate::table::Table;

/// The name of the rule that a column without rules does not change.
pub const DIFFERENT: &str = "different";

/// The name of the rule that no row is deleted from a table without rules for that.
pub const DELETED: &str = "deleted";

/// The watch's own rules: that every change is in the stream.
pub const UNEXPLAINED: &str = "unexplained";

/// That a table's definition does not change.
pub const SCHEMA: &str = "schema";

/// That a table is not emptied as a whole.
pub const TRUNCATED: &str = "truncated";

/// That what is said to identify rows does.
pub(crate) const DUPLICATE_KEY: &str = "duplicate_key";

/// That no change is left out of the copy.
pub(crate) const UNAPPLIED: &str = "unapplied";

/// Names that no rule may have that somebody writes.
const TAKEN: &[&str] = &[DIFFERENT, DELETED, UNEXPLAINED, SCHEMA, TRUNCATED, DUPLICATE_KEY, UNAPPLIED];

/// A rule was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The column, if it is a column's rule.
    pub field: Option<String>,
    /// The rule's name.
    pub rule: String,
    /// What is wrong, in one line. Holds values of the row, though never masked ones.
    pub description: String,
}

/// The rules of one table, ready to run.
#[derive(Clone, Debug)]
pub struct TableRules {
    table: Table,
    on_insert: Vec<Named>,
    on_update: Vec<Named>,
    on_delete: Vec<Named>,
    fields: Vec<Field>,
    /// Whether a deletion is a breach as such.
    keeps_rows: bool,
}

/// A rule with its name.
#[derive(Clone, Debug)]
struct Named {
    field: Option<String>,
    name: String,
    rule: Rule,
}

/// What holds for changes of a column.
#[derive(Clone, Debug, Default)]
struct Field {
    on_update: Vec<Named>,
    default: Changes,
}

/// Which changes of a column are a breach as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Changes {
    /// All.
    #[default]
    None,
    /// Those that do not come from NULL.
    FromNull,
    /// None: they are allowed, or rules decide.
    Any,
}

impl From<Allow> for Changes {
    fn from(allow: Allow) -> Changes {
        match allow {
            Allow::AllUpdates => Changes::Any,
            Allow::UpdateFromNull => Changes::FromNull,
        }
    }
}

impl TableRules {
    /// What a new row breaches.
    pub fn inserted(&self, row: &[Cell]) -> Vec<Breach> {
        self.run(&self.on_insert, &[row])
    }

    /// What the change of a row breaches.
    pub fn updated(&self, original: &[Cell], updated: &[Cell]) -> Vec<Breach> {
        let rows = [original, updated];
        let mut breaches = self.run(&self.on_update, &rows);
        for (place, (column, field)) in self.table.columns.iter().zip(&self.fields).enumerate() {
            let cell = |row: &'_ [Cell]| row.get(place).cloned().unwrap_or(Cell::Null);
            let (before, now) = (cell(original), cell(updated));
            if before == now {
                continue;
            }
            let allowed = match field.default {
                Changes::Any => true,
                Changes::FromNull => before == Cell::Null,
                Changes::None => false,
            };
            if !allowed {
                let (before, now) = (shown::cell(column, &before), shown::cell(column, &now));
                let description =
                    format!("Field {} is different ({before} -- {now})", shown::text(&column.name));
                breaches.push(Breach {
                    field: Some(column.name.clone()),
                    rule: DIFFERENT.to_owned(),
                    description,
                });
            }
            breaches.extend(self.run(&field.on_update, &rows));
        }
        breaches
    }

    /// What it breaches that a row is gone.
    pub fn deleted(&self, row: &[Cell]) -> Vec<Breach> {
        let gone =
            Breach { field: None, rule: DELETED.to_owned(), description: "Row was deleted".to_owned() };
        let mut breaches: Vec<Breach> = self.keeps_rows.then_some(gone).into_iter().collect();
        breaches.extend(self.run(&self.on_delete, &[row]));
        breaches
    }

    /// The table they are for.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn run(&self, rules: &[Named], rows: &[&[Cell]]) -> Vec<Breach> {
        let columns = &self.table.columns;
        let given = |row: usize, place: usize| match (
            rows.get(row).and_then(|row| row.get(place)),
            columns.get(place),
        ) {
            (Some(cell), Some(column)) => given::given(column, cell),
            _ => attestry_script::Given::Null,
        };
        let each = rules.iter().filter_map(|named| {
            let (rule, description) = match named.rule.run(given) {
                Ok(None) => return None,
                Ok(Some(says)) => (named.name.clone(), shown::description(&says)),
                Err(error) => (format!("{}:failed", named.name), failed(&named.name, &error)),
            };
            Some(Breach { field: named.field.clone(), rule, description })
        });
        each.collect()
    }
}

/// What is said of a rule that failed: where, and none of the row's values, which the program's own message may quote.
fn failed(name: &str, error: &RunError) -> String {
    match error {
        // Of an operator that fails VRL does not say where it stands.
        RunError::Failed { line: 1, column: 1, .. } => format!("The rule {name} failed"),
        RunError::Failed { line, column, .. } => {
            format!("The rule {name} failed at line {line}, column {column}")
        }
        RunError::TooSlow(time) => format!("The rule {name} took longer than {} ms", time.as_millis()),
        RunError::Output { .. } => format!("The rule {name} gave neither a string nor null"),
        RunError::TooLarge(bytes) => format!("The rule {name} gave more than {bytes} bytes"),
        RunError::Json { .. } | RunError::Input { .. } | RunError::Panicked => {
            format!("The rule {name} failed")
        }
    }
}

#[cfg(test)]
mod tests;
