//! What a report consists of, as YAML. The built-in reports are written the same way.

use std::collections::BTreeMap;

use attestry_event::{Decimal, Period};
use attestry_store::Query;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::figures::Figure;

/// The most sections of a report.
const SECTIONS_MAX: usize = 64;
/// The most rows of a section; each that shows an event brings about two kilobytes of proof.
const ROWS_MAX: usize = 10_000;
/// The most fields to group by.
const GROUP_FIELDS_MAX: usize = attestry_store::MAX_GROUP_FIELDS;
/// The most characters of a name.
const NAME_CHARS_MAX: usize = 64;

/// A kind of report.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Definition {
    /// What it is called: letters, digits, `-` and `_`.
    pub name: String,
    /// The heading.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Counts up whenever this file changes; replaying an older report takes the definition that is in it.
    pub version: u32,
    /// How much time before its end it covers unless something else is asked for, such as `24h` or `7d`.
    pub window: Option<Period>,
    /// The ledgers it looks in. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ledgers: Vec<String>,
    /// What is asked for when it is run, by name; `{name}` in a query stands for the value, quoted, and in a text for the value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// What every event that it looks at must answer, in the search language.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The parts, in order.
    pub sections: Vec<Section>,
}

/// Something that is asked for when a report is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameter {
    /// What to give.
    pub description: String,
    /// What is taken when nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A part of a report: exactly one of `text`, `aggregate`, `search`, `coverage`, `integrity`, `violations`, `figures`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What should be known about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether it looks at all that happened before the window's end, however long ago.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub since_ever: bool,
    /// Paragraphs, separated by empty lines. `{name}` stands for a parameter, a figure's name, `window.from` or `window.to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Counts, sums, the most frequent values, counts over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// A list of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Per host and source: what came, when nothing did, and what is known to be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// The ledgers' trees, and what was done to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
    /// Violations of watched databases that nobody has signed off at the end of the window, with the command that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<Violations>,
    /// Figures from outside: each is taken when the report is run and becomes an event, `report.figure`, before it is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
}

/// Figures of events; exactly one of its members.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Aggregate {
    /// How many events, or how many different values, each by its name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<Counted>,
    /// The most frequent values of a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<Top>,
    /// Values in rows, counts in columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// Counts over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// Counts, sums, least and greatest values by group, computed exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sums: Option<Sums>,
}

/// A named count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Counted {
    /// What is counted, in words.
    pub name: String,
    /// Which events.
    pub query: String,
    /// Counts the different values of this field instead of the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<String>,
}

/// The most frequent values of a field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Top {
    /// Which events.
    pub query: String,
    /// The field.
    pub field: String,
    /// How many values. Default: 20.
    pub limit: usize,
}

/// Values in rows, counts in columns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Which events.
    pub query: String,
    /// The fields whose values make the rows, up to three.
    pub by: Vec<String>,
    /// The columns: which of the events are counted in each.
    pub columns: Vec<Counted>,
    /// How many rows, those with the most events first. Default: 100.
    pub limit: usize,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Histogram {
    /// Which events.
    pub query: String,
    /// A field whose most frequent values are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How many of its values. Default: 5.
    pub values: usize,
    /// The width of a bucket, such as `1h`. Default: a round one that makes at most 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
}

/// Counts, sums, least and greatest values by group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sums {
    /// Which events.
    pub query: String,
    /// The fields to group by, up to three.
    pub by: Vec<String>,
    /// The fields whose numbers are added up. Numbers that stand in strings count, too.
    pub of: Vec<String>,
    /// How many groups, those with the most events first. Default: 100.
    pub limit: usize,
}

/// A list of events.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    /// Which events.
    pub query: String,
    /// The columns: fields, or paths of `event_data`; `path as name` gives the column a name. Default: time, host, who, what, to what, message.
    pub columns: Vec<String>,
    /// How many rows. Default: 500.
    pub limit: usize,
    /// Whether the newest comes first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub newest_first: bool,
}

/// What came, when nothing did, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Coverage {
    /// Which events count.
    pub query: String,
}

/// The ledgers' trees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Integrity {}

/// Pending violations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Violations {
    /// How many. Default: 500.
    pub limit: usize,
}

impl Default for Top {
    fn default() -> Self {
        Top { query: String::new(), field: String::new(), limit: 20 }
    }
}

impl Default for Matrix {
    fn default() -> Self {
        Matrix { query: String::new(), by: Vec::new(), columns: Vec::new(), limit: 100 }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { query: String::new(), by: None, values: 5, interval: None }
    }
}

impl Default for Sums {
    fn default() -> Self {
        Sums { query: String::new(), by: Vec::new(), of: Vec::new(), limit: 100 }
    }
}

impl Default for Search {
    fn default() -> Self {
        Search { query: String::new(), columns: Vec::new(), limit: 500, newest_first: false }
    }
}

impl Default for Violations {
    fn default() -> Self {
        Violations { limit: 500 }
    }
}

impl Definition {
    /// Reads a definition and checks it.
    ///
    /// # Errors
    /// [`Error::Refused`] says what is wrong, with the line where that is known.
    pub fn parse(yaml: &str) -> Result<Definition, Error> {
        let definition: Definition = serde_saphyr::from_str(yaml).map_err(|error| {
            let line = error.location().map_or(String::new(), |at| format!("line {}: ", at.line()));
            Error::refused(format!("{line}{}", error.without_snippet()))
        })?;
        definition.check()?;
        Ok(definition)
    }

    /// Whether a report can be made of it.
    ///
    /// # Errors
    /// [`Error::Refused`] names the section and what is wrong there.
    pub fn check(&self) -> Result<(), Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > NAME_CHARS_MAX || !self.name.chars().all(plain) {
            return Err(Error::refused(format!(
                "name: found {:?}, expected 1 to {NAME_CHARS_MAX} of a-z, A-Z, 0-9, - and _",
                self.name.chars().take(80).collect::<String>()
            )));
        }
        if self.title.is_empty() {
            return Err(Error::refused("title: expected a heading"));
        }
        if self.sections.is_empty() || self.sections.len() > SECTIONS_MAX {
            let found = self.sections.len();
            return Err(Error::refused(format!("sections: found {found}, expected 1 to {SECTIONS_MAX}")));
        }
        self.check_query(&self.query).map_err(|what| Error::refused(format!("query: {what}")))?;
        let figures = self.sections.iter().flat_map(|section| &section.figures);
        let mut names: Vec<&str> = figures.map(|figure| figure.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::refused(format!("figures: {:?} is there twice", twice[0])));
        }
        if !names.is_empty() && !self.ledgers.is_empty() && !self.ledgers.iter().any(|name| name == "audit") {
            return Err(Error::refused("ledgers: figures stand in audit, which is missing here"));
        }
        for (nth, section) in self.sections.iter().enumerate() {
            let place = match section.title.as_str() {
                "" => format!("section {}", nth + 1),
                title => format!("section {} ({title})", nth + 1),
            };
            self.check_section(section).map_err(|what| Error::refused(format!("{place}: {what}")))?;
        }
        Ok(())
    }

    fn check_section(&self, section: &Section) -> Result<(), String> {
        let given = [
            section.text.is_some(),
            section.aggregate.is_some(),
            section.search.is_some(),
            section.coverage.is_some(),
            section.integrity.is_some(),
            section.violations.is_some(),
            !section.figures.is_empty(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(
                "expected exactly one of text, aggregate, search, coverage, integrity, violations, figures"
                    .to_owned(),
            );
        }
        if let Some(aggregate) = &section.aggregate {
            self.check_aggregate(aggregate)?;
        }
        if let Some(search) = &section.search {
            self.check_query(&search.query)?;
            limit(search.limit)?;
            search.columns.iter().try_for_each(|column| field(column_of(column).0))?;
        }
        if let Some(coverage) = &section.coverage {
            self.check_query(&coverage.query)?;
        }
        if let Some(violations) = &section.violations {
            limit(violations.limit)?;
        }
        section.figures.iter().try_for_each(Figure::check)
    }

    fn check_aggregate(&self, aggregate: &Aggregate) -> Result<(), String> {
        let Aggregate { counts, top, matrix, histogram, sums } = aggregate;
        let given =
            [!counts.is_empty(), top.is_some(), matrix.is_some(), histogram.is_some(), sums.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err("aggregate: expected exactly one of counts, top, matrix, histogram, sums".to_owned());
        }
        self.check_counts(counts)?;
        if let Some(top) = top {
            self.check_query(&top.query)?;
            limit(top.limit)?;
            field(&top.field)?;
        }
        if let Some(matrix) = matrix {
            self.check_query(&matrix.query)?;
            limit(matrix.limit)?;
            fields("by", &matrix.by)?;
            self.check_counts(&matrix.columns)?;
        }
        if let Some(histogram) = histogram {
            self.check_query(&histogram.query)?;
            histogram.by.iter().try_for_each(|by| field(by))?;
            if histogram.values > attestry_store::MAX_STACK {
                return Err(format!("values: expected at most {}", attestry_store::MAX_STACK));
            }
            if let Some(why) = histogram.interval.and_then(|every| every.at_least(Period::seconds(1))) {
                return Err(format!("interval: {why}"));
            }
        }
        if let Some(sums) = sums {
            self.check_query(&sums.query)?;
            limit(sums.limit)?;
            fields("by", &sums.by)?;
            sums.of.iter().try_for_each(|of| field(of))?;
        }
        Ok(())
    }

    fn check_counts(&self, counts: &[Counted]) -> Result<(), String> {
        for counted in counts {
            if counted.name.is_empty() {
                return Err("name: expected what is counted, in words".to_owned());
            }
            self.check_query(&counted.query)?;
            counted.distinct.iter().try_for_each(|name| field(name))?;
        }
        Ok(())
    }

    /// Whether a query can be read, with any value for each parameter.
    fn check_query(&self, text: &str) -> Result<(), String> {
        let any: BTreeMap<String, String> =
            self.parameters.keys().map(|name| (name.clone(), "x".to_owned())).collect();
        query(text, &any).map(drop)
    }
}

fn limit(limit: usize) -> Result<(), String> {
    match limit {
        1..=ROWS_MAX => Ok(()),
        _ => Err(format!("limit: found {limit}, expected 1 to {ROWS_MAX}")),
    }
}

fn fields(what: &str, names: &[String]) -> Result<(), String> {
    if names.is_empty() || names.len() > GROUP_FIELDS_MAX {
        return Err(format!("{what}: expected 1 to {GROUP_FIELDS_MAX} fields"));
    }
    names.iter().try_for_each(|name| field(name))
}

fn field(name: &str) -> Result<(), String> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{name:?} is no field and no path"));
    }
    Ok(())
}

/// `path as name`: the path, and what the column is called.
pub(crate) fn column_of(column: &str) -> (&str, &str) {
    column.split_once(" as ").map_or((column, column), |(path, name)| (path.trim(), name.trim()))
}

/// A query with the values of its parameters put in, quoted.
pub(crate) fn query(text: &str, parameters: &BTreeMap<String, String>) -> Result<Query, String> {
    let filled = fill(text, |name| {
        let value = parameters.get(name)?;
        // A number stays one: a quoted one would not be compared by value.
        match Decimal::parse(value) {
            Some(_) => Some(value.clone()),
            None => Some(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))),
        }
    });
    Query::parse(&filled).map_err(|error| {
        format!("{filled:?}: {} (at byte {}; expected {})", error.message, error.position, error.expected)
    })
}

/// Text in which `{name}` is replaced where the name is known; other braces stay (the search language has its own).
pub(crate) fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        filled.push_str(before);
        let inside = from.find('}').and_then(|close| Some((from.get(1..close)?, from.get(close + 1..)?)));
        match inside.and_then(|(name, after)| Some((value(name)?, after))) {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place() {
        let head = "name: a\ntitle: A\nsections:\n";
        for (yaml, expected) in [
            ("", "name: found"),
            ("name: a b\ntitle: A\nsections: [{text: x}]", "name: found"),
            ("name: a\nsections: [{text: x}]", "title"),
            ("name: a\ntitle: A", "sections: found 0"),
            (&format!("{head}  - words: x"), "line 4: "),
            (
                &format!("{head}  - {{title: T, text: x, integrity: {{}}}}"),
                "section 1 (T): expected exactly one",
            ),
            (&format!("{head}  - {{title: T}}"), "section 1 (T): expected exactly one"),
            (&format!("{head}  - search: {{query: 'a:('}}"), "section 1: \"a:(\": "),
            (&format!("{head}  - search: {{limit: 0}}"), "section 1: limit: found 0"),
            (&format!("{head}  - search: {{columns: ['a b']}}"), "is no field"),
            (&format!("{head}  - aggregate: {{}}"), "aggregate: expected exactly one"),
            (&format!("{head}  - aggregate: {{matrix: {{by: []}}}}"), "by: expected 1 to 3"),
            (&format!("{head}  - aggregate: {{counts: [{{query: x}}]}}"), "expected what is counted"),
            (
                "name: a\ntitle: A\nledgers: [logs]\nsections: [{figures: [{name: x, sql: {watch: w, query: SELECT 1}}]}]",
                "figures stand in audit",
            ),
            (&format!("{head}  - figures: [{{name: x}}]"), "expected exactly one of sql, http, json_rpc"),
        ] {
            let error = Definition::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml}\n{error}");
        }
    }

    #[test]
    fn parameters_are_values_and_nothing_else() {
        let check = |value: &str, expected: &str| {
            let parameters = [("who".to_owned(), value.to_owned())].into();
            let query = query("username:{who} status:[1 TO 5}", &parameters).unwrap();
            assert_eq!(query.to_string(), expected, "{value}");
        };
        let rest = "event_data.status:[1 TO 5}";
        check("alice", &format!("username:alice {rest}"));
        check("a* OR b", &format!("username:\"a* OR b\" {rest}"));
        check(r#"a" OR username:"b\"#, &format!(r#"username:"a\" OR username:\"b\\" {rest}"#));
    }

    #[test]
    fn braces_that_name_nothing_stay() {
        let value = |name: &str| (name == "a").then(|| "1".to_owned());
        for (text, expected) in
            [("{a}{a}", "11"), ("{b} {a", "{b} {a"), ("{{a}}", "{1}"), ("}{", "}{"), ("", "")]
        {
            assert_eq!(fill(text, value), expected, "{text}");
        }
    }
}
