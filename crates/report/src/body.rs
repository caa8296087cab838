//! The data of a report, before it has a look.

use attestry_event::Nanos;
use serde::{Deserialize, Serialize};

/// A report's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The heading.
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The configurations in force during the window, the oldest first; the version is SHA-256 of the text, hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configurations: Vec<InForce>,
    /// The sets of rules in force during the window, the oldest first; the version is that of event `rules.load`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<InForce>,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// What held from some time on, as the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Since when.
    pub since: Nanos,
    /// Which.
    pub version: String,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its heading.
    pub title: String,
    /// What should be known about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was searched for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<String>,
    /// What it shows, in order.
    pub content: Vec<Content>,
}

/// Something shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A paragraph.
    Text(String),
    /// A command to copy.
    Command(String),
    /// Names with their values.
    Facts(Vec<Fact>),
    /// Rows.
    Table(Table),
    /// Counts over time.
    Chart(Chart),
}

/// A name with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What.
    pub name: String,
    /// How much, or which.
    pub value: String,
    /// The event that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cite: Option<Cite>,
}

/// Where an event is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cite {
    /// In which ledger.
    pub ledger: String,
    /// Its index there.
    pub index: u64,
}

/// Rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Which columns are numbers.
    pub numeric: Vec<bool>,
    /// The rows, each with a value for every column.
    pub rows: Vec<Row>,
    /// How many rows a limit left out.
    pub left_out: u64,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// A value for every column; empty where there is none.
    pub cells: Vec<String>,
    /// The event that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cite: Option<Cite>,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chart {
    /// Where the first bucket begins.
    pub from: Nanos,
    /// The width of a bucket in seconds.
    pub interval_s: u64,
    /// What is stacked, the lowest first; each has a value for every bucket.
    pub series: Vec<Series>,
}

/// Counts of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// What is counted.
    pub name: String,
    /// How many in each bucket.
    pub values: Vec<u64>,
}

impl Table {
    /// A table without rows. A column whose name begins with `#` is of numbers.
    pub(crate) fn new(columns: &[&str]) -> Table {
        Table {
            columns: columns.iter().map(|name| name.trim_start_matches('#').to_owned()).collect(),
            numeric: columns.iter().map(|name| name.starts_with('#')).collect(),
            rows: Vec::new(),
            left_out: 0,
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>, cite: Option<Cite>) {
        self.rows.push(Row { cells: cells.into_iter().collect(), cite });
    }
}

impl Fact {
    pub(crate) fn new(name: impl Into<String>, value: impl ToString) -> Fact {
        Fact { name: name.into(), value: value.to_string(), cite: None }
    }
}

impl Body {
    /// Every event that is shown, once, by ledger and index.
    pub fn cites(&self) -> Vec<Cite> {
        let mut cites: Vec<Cite> = Vec::new();
        for content in self.parts.iter().flat_map(|part| &part.content) {
            match content {
                Content::Facts(facts) => cites.extend(facts.iter().filter_map(|fact| fact.cite.clone())),
                Content::Table(table) => cites.extend(table.rows.iter().filter_map(|row| row.cite.clone())),
                Content::Text(_) | Content::Command(_) | Content::Chart(_) => {}
            }
        }
        cites.sort();
        cites.dedup();
        cites
    }
}

impl Chart {
    /// Where a bucket begins, counted from 0.
    pub(crate) fn begin_of(&self, bucket: usize) -> Nanos {
        let seconds = self.interval_s.saturating_mul(bucket as u64);
        let offset = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        Nanos(self.from.0.saturating_add(offset))
    }

    /// Each bucket's begin, with the value of each series.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Nanos, Vec<u64>)> + '_ {
        let buckets = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        (0..buckets).map(|bucket| {
            let values = self.series.iter().map(|series| series.values.get(bucket).copied().unwrap_or(0));
            (self.begin_of(bucket), values.collect())
        })
    }
}
