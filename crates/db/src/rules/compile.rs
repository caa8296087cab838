//! Rules made of what the configuration says of a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use attestry_event::Period;
use attestry_script::{Options, Rule, RuleColumn, nearest};

use super::{Changes, Field, Named, TAKEN, TableRules, given};
use crate::choice::fits;
use crate::config::{FieldRules, Rules, TableConfig, WatchConfig};
use crate::table::{Column, Table};

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The table.
    pub table: String,
    /// The column, if it is a column's rule.
    pub field: Option<String>,
    /// The rule's name; empty when it is about the column.
    pub rule: String,
    /// The line within the rule, from 1.
    pub line: usize,
    /// The column within the line in characters, from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// The same with the rule's text: several lines, for a terminal or a page.
    pub rendered: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table)?;
        if let Some(field) = &self.field {
            write!(f, ", field {field}")?;
        }
        if !self.rule.is_empty() {
            write!(f, ", rule {}, line {}, column {}", self.rule, self.line, self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for RuleError {}

impl TableRules {
    /// The rules that hold for a table: those under its own name, then those of all patterns that fit.
    ///
    /// # Errors
    /// Every mistake in them: programs that are none, names of no column, names that are taken.
    pub fn compile(config: &WatchConfig, table: &Table) -> Result<TableRules, Vec<RuleError>> {
        TableRules::compile_without(config, table, &[]).map(|(rules, _)| rules)
    }

    /// The same for a table that is known without some of its columns; and which rules are left out, because they need them.
    pub(crate) fn compile_without(
        config: &WatchConfig,
        table: &Table,
        missing: &[Column],
    ) -> Result<(TableRules, Vec<String>), Vec<RuleError>> {
        let said: Vec<&TableConfig> = config.that_name(&table.name.table).collect();
        let own = config.tables.get(&table.name.table);
        let time = config.defaults.rule_time.map_or(Options::TIME, |Period(time)| time);
        let columns = table.columns.iter().map(given::seen).collect();
        let all = table.columns.iter().chain(missing).map(given::seen).collect();
        let (errors, left_out) = (Vec::new(), Vec::new());
        let mut compiling = Compiling { table, columns, all, time, errors, left_out };
        compiling.check_names(own);
        let mut on_insert = compiling.all(None, &["row"], &merged(&said, |table| &table.on_insert));
        let on_update = compiling.all(None, BOTH, &merged(&said, |table| &table.on_update));
        let for_deletions = merged(&said, |table| &table.on_delete);
        let keeps_rows = for_deletions.is_empty();
        let mut on_delete = compiling.all(None, &["row"], &for_deletions);
        let allow = said.iter().find_map(|table| table.allow);
        let mut fields = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let name = column.name.as_str();
            let said: Vec<&FieldRules> = said.iter().flat_map(|table| of_field(table, name)).collect();
            on_insert.extend(compiling.all(Some(name), &["row"], &merged(&said, |field| &field.on_insert)));
            on_delete.extend(compiling.all(Some(name), &["row"], &merged(&said, |field| &field.on_delete)));
            let for_updates = merged(&said, |field| &field.on_update);
            let on_update = compiling.all(Some(name), BOTH, &for_updates);
            let own_allow = said.iter().find_map(|field| field.allow);
            let default = match (own_allow, allow) {
                (Some(allow), _) => allow.into(),
                (None, _) if !for_updates.is_empty() => Changes::Any,
                (None, Some(allow)) => allow.into(),
                (None, None) => Changes::None,
            };
            fields.push(Field { on_update, default });
        }
        for column in missing {
            let said: Vec<&FieldRules> =
                said.iter().flat_map(|table| of_field(table, &column.name)).collect();
            let each = said.iter().flat_map(|field| [&field.on_insert, &field.on_update, &field.on_delete]);
            for name in each.flat_map(|rules| rules.keys()).collect::<BTreeSet<_>>() {
                compiling.leave_out(Some(&column.name), name);
            }
        }
        if !compiling.errors.is_empty() {
            return Err(compiling.errors);
        }
        let left_out = compiling.left_out;
        Ok((
            TableRules { table: table.clone(), on_insert, on_update, on_delete, fields, keeps_rows },
            left_out,
        ))
    }
}

const BOTH: &[&str] = &["original", "updated"];

/// What is said of a column in an entry: by its own name first, then by the patterns that fit it.
fn of_field<'c>(table: &'c TableConfig, name: &str) -> Vec<&'c FieldRules> {
    let fitting = table.fields.iter().filter(|(pattern, _)| *pattern != name && fits(pattern, name));
    table.fields.get(name).into_iter().chain(fitting.map(|(_, rules)| rules)).collect()
}

/// Rules by name; of several with one name the first.
fn merged<'c, T>(said: &[&'c T], rules: impl Fn(&'c T) -> &'c Rules) -> BTreeMap<&'c str, &'c str> {
    let mut all = BTreeMap::new();
    for (name, source) in said.iter().flat_map(|entry| rules(entry)) {
        all.entry(name.as_str()).or_insert(source.as_str());
    }
    all
}

struct Compiling<'t> {
    table: &'t Table,
    columns: Vec<RuleColumn>,
    /// The same with those that are missing.
    all: Vec<RuleColumn>,
    time: std::time::Duration,
    errors: Vec<RuleError>,
    left_out: Vec<String>,
}

/// The longest name of a rule, in characters: it stands in every violation.
const MAX_NAME: usize = 64;

impl Compiling<'_> {
    fn all(
        &mut self,
        field: Option<&str>,
        rows: &[&'static str],
        rules: &BTreeMap<&str, &str>,
    ) -> Vec<Named> {
        rules.iter().filter_map(|(name, source)| self.one(field, rows, name, source)).collect()
    }

    fn one(&mut self, field: Option<&str>, rows: &[&'static str], name: &str, source: &str) -> Option<Named> {
        let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            let message = format!("a rule's name has 1 to {MAX_NAME} letters, digits, _ and -");
            self.mistake(field, name, (1, 1), message, String::new());
        } else if TAKEN.contains(&name) {
            let message = format!("{name} is the name of a rule that is there by itself");
            self.mistake(field, name, (1, 1), message, String::new());
        }
        match Rule::compile(source, rows, &self.columns, self.time) {
            Ok(rule) => Some(Named { field: field.map(str::to_owned), name: name.to_owned(), rule }),
            Err(_) => {
                match Rule::compile(source, rows, &self.all, self.time) {
                    Ok(_) => self.leave_out(field, name),
                    Err(error) => {
                        for found in error.findings() {
                            let place = (found.line, found.column);
                            self.mistake(field, name, place, found.message.clone(), found.rendered.clone());
                        }
                    }
                }
                None
            }
        }
    }

    /// A column that is named for this very table must be there; one that is named in a pattern's entry may be in another table.
    fn check_names(&mut self, own: Option<&TableConfig>) {
        let Some(own) = own else { return };
        let names = own.fields.keys().filter(|name| !name.contains(['*', '?']));
        for name in names.chain(&own.mask) {
            let known = || self.all.iter().map(|column| column.name.as_str());
            if known().any(|known| known == name) {
                continue;
            }
            let message = match nearest(name, known()) {
                Some(near) => format!("the table has no column {name}: did you mean {near}?"),
                None => format!(
                    "the table has no column {name}: it has {}",
                    known().collect::<Vec<_>>().join(", ")
                ),
            };
            self.mistake(Some(name), "", (1, 1), message, String::new());
        }
    }

    fn leave_out(&mut self, field: Option<&str>, name: &str) {
        let of = field.map(|field| format!(" of the column {field}")).unwrap_or_default();
        self.left_out.push(format!("the rule {name}{of}"));
    }

    fn mistake(
        &mut self,
        field: Option<&str>,
        rule: &str,
        (line, column): (usize, usize),
        message: String,
        rendered: String,
    ) {
        let rendered = if rendered.is_empty() { message.clone() } else { rendered };
        self.errors.push(RuleError {
            table: self.table.name.to_string(),
            field: field.map(str::to_owned),
            rule: rule.to_owned(),
            line,
            column,
            message,
            rendered,
        });
    }
}
