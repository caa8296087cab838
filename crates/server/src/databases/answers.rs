//! What is told of watched databases.

use attestry_event::Nanos;
use serde::Serialize;

/// How a watched database is doing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WatchStatus {
    /// Its name.
    pub name: String,
    /// `mysql` or `postgresql`.
    pub engine: String,
    /// Host, port and schema.
    pub place: String,
    /// The ledger that has its events: whoever may read all of it may see its rows.
    pub ledger: String,
    /// `starting`, `baseline`, `following`, `polling`, `waiting` to try again, or `refused` until somebody changes something.
    pub state: String,
    /// Why it waits or is refused, or what it cannot see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where it is in the change stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// How far behind the last change was when it was applied, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// When the last change was committed there.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_change: Option<Nanos>,
    /// When the last comparison of all tables ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub compared_at: Option<Nanos>,
    /// How long it took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass_s: Option<u64>,
    /// Violations that nobody has signed off.
    pub pending: u64,
    /// The schema of the watched server that shows the copy, if one is to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<Projection>,
    /// Its tables, by name.
    pub tables: Vec<TableStatus>,
}

/// How the copy in a schema of the watched server is doing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Projection {
    /// The schema.
    pub schema: String,
    /// `starting`, `following`, `waiting` to try again, or `refused` until somebody changes something.
    pub state: String,
    /// Why it waits or is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a watched table is doing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TableStatus {
    /// Its name, without the schema.
    pub name: String,
    /// `baseline`, `watched`, `paused` until a change of its schema is signed off, or `refused`.
    pub state: String,
    /// Why it is not watched, or only compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What a sign-off needs to resume it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Rows in the copy.
    pub rows: u64,
    /// Changes since the watch began.
    pub inserts: u64,
    /// Changes since the watch began.
    pub updates: u64,
    /// Changes since the watch began.
    pub deletes: u64,
    /// Violations that nobody has signed off.
    pub pending: u64,
}

/// What was found in the copies that can be read.
#[derive(Debug, Clone)]
pub struct Found<T> {
    /// What was found.
    pub found: Vec<T>,
    /// The copies that cannot be read at present.
    pub unreadable: Vec<Unreadable>,
}

impl<T> Default for Found<T> {
    fn default() -> Found<T> {
        Found { found: Vec::new(), unreadable: Vec::new() }
    }
}

/// A watch whose copy cannot be read at present: what is in it is missing in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Unreadable {
    /// The watch.
    pub watch: String,
    /// Why.
    pub why: String,
}

/// A row broke a rule.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Violation {
    /// What it is called when it is signed off.
    pub fingerprint: String,
    /// The watch.
    pub watch: String,
    /// The table.
    pub table: String,
    /// The column; none when it is about the whole row, or the whole table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The row's key; empty when it is about the whole table.
    pub key: Vec<Field>,
    /// The rule.
    pub rule: String,
    /// What it says.
    pub description: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened: Nanos,
    /// When it was seen last.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Nanos,
    /// How often it was seen.
    pub count: u64,
    /// The event that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Whose change it was, where the database tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The row before; none for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Vec<Field>>,
    /// The row since then; none for one that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Vec<Field>>,
    /// Whether both rows are missing because they are too large for a list: asked for by its fingerprint, the violation has them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rows_left_out: bool,
    /// Who signed it off, when and why; none while it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_off: Option<SignedOff>,
}

/// A column's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Field {
    /// The column.
    pub column: String,
    /// Its value as text, bytes in hexadecimal after `\x`; null is NULL, or a masked value.
    pub value: Option<String>,
    /// Whether there is a value that is not to be shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
    /// Of a value of which only the beginning is shown: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
}

/// A value that is too large to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Whole {
    /// How many bytes it has.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
}

/// That somebody looked at it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SignedOff {
    /// Who.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Nanos,
    /// Why.
    pub reason: String,
}

/// What a row was at a time.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RowVersion {
    /// Its number, from 1.
    pub version: u64,
    /// Since when: when it was committed, or found by comparing. With microseconds; MariaDB says whole seconds.
    #[schema(value_type = String, format = DateTime)]
    pub at: Nanos,
    /// When Attestry read it, by its own clock, with microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Nanos>,
    /// `baseline`, `insert`, `update` or `delete`.
    pub operation: String,
    /// The database's name of the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// Whose change it was, where the database tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether the change stream did not say it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unexplained: bool,
    /// The row; none when it was deleted.
    pub row: Option<Vec<Field>>,
}
