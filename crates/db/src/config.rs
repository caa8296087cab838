//! What is watched, as it is written in the configuration.
//!
//! ```yaml
//! audit:
//!   bank:
//!     url: mysql://auditor@db1:3306/bank
//!     password: {file: /etc/attestry/bank.password}
//!     tables:
//!       accounts:
//!         mask: [password_hash]
//!         on_update:
//!           went_backwards: 'if .original.updated_at > .updated.updated_at { "updated_at went backwards" }'
//!         fields:
//!           sign_in_count: { allow: all_updates }
//!       'log_*': { versions: false }
//! ```

mod check;

use std::collections::BTreeMap;
use std::path::PathBuf;

use attestry_event::Period;
use attestry_outbound::Secret;
use attestry_wire::tls::ClientTls;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::CheckConfig;
use crate::snapshot::SnapshotConfig;

pub use check::{Engine, Mistake};

/// One database that is watched.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// The database: `mysql://user@host:3306/database` or `postgres://user@host:5432/database`.
    pub url: String,
    /// The user's password, which does not belong into `url`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// TLS: whom to believe, and a client certificate. Used unless the database is on this host.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// Connects to another host without TLS, for everybody on the way to read. Default: no.
    #[serde(default)]
    pub plaintext: bool,
    /// How long connecting, or one statement, may take. Default: 30s.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// The schema the tables are in. Default: `public` of PostgreSQL; of MySQL the database in `url`.
    #[serde(default)]
    pub schema: Option<String>,
    /// Tables by name, or by a pattern with `*` and `?`. The rules of all patterns that fit hold, and those of a table's own name before them.
    /// Default: every table, with the default rules.
    #[serde(default)]
    pub tables: BTreeMap<String, TableConfig>,
    /// Checks of whole tables, by name: statements that must give nothing.
    #[serde(default)]
    pub checks: BTreeMap<String, CheckConfig>,
    /// Whether the change stream is followed. Without it the tables are only compared, every `sleep`: what came and went in between is not seen.
    /// Default: true.
    #[serde(default = "yes")]
    pub stream: bool,
    /// PostgreSQL's replication slot and publication. Default: `attestry_` and the watch's name.
    #[serde(default)]
    pub slot: Option<String>,
    /// The most that a lagging slot may keep of PostgreSQL's log before the slot is given up, so that it never fills the server's disk, in
    /// MiB. Default: 1024.
    #[serde(default = "slot_mib")]
    pub slot_mib: u64,
    /// The number that this client has among MySQL's replicas; it must be nobody else's. Default: made of the watch's name.
    #[serde(default)]
    pub server_id: Option<u32>,
    /// How long to wait between two looks. Default: 1s.
    #[serde(default = "sleep")]
    pub sleep: Period,
    /// How much of the database's time comparing may take.
    #[serde(default)]
    pub reconcile: Budget,
    /// Where the copy is kept: a file on this host, or, besides, a schema of the watched server. Default: a file in the data directory.
    #[serde(default)]
    pub copy: Option<CopyPlace>,
    /// Whether to begin with an empty copy at each start: what happened before is then not compared. Default: no.
    #[serde(default)]
    pub start_empty: bool,
    /// Dumps of the database, or of the copy, that are made on a schedule, by name.
    #[serde(default)]
    pub snapshots: BTreeMap<String, SnapshotConfig>,
    /// The ledger its events go to. Default: audit.
    #[serde(default)]
    pub ledger: Option<String>,
    /// What holds for all tables, unless they say otherwise.
    #[serde(default)]
    pub defaults: Defaults,
}

fn timeout() -> Period {
    Period::seconds(30)
}

fn sleep() -> Period {
    Period::seconds(1)
}

fn slot_mib() -> u64 {
    1_024
}

fn yes() -> bool {
    true
}

/// What holds for all tables, unless they say otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Columns whose values are never copied or shown, in every table that has them.
    pub mask: Vec<String>,
    /// How long one run of a rule may take. Default: 10ms, at most 100ms.
    pub rule_time: Option<Period>,
}

/// How much comparing may take of the database.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Rows a second. Default: 20000.
    pub rows_per_second: u32,
    /// Rows that are compared at once. Default: 2000.
    pub chunk_rows: u32,
    /// How often a pass over all tables begins, at most. Default: 1h. A pass that takes longer is followed by the next at once.
    pub every: Period,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { rows_per_second: 20_000, chunk_rows: 2_000, every: Period::seconds(3_600) }
    }
}

/// Where a copy is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CopyPlace {
    /// In a file on this host.
    File(PathBuf),
    /// In a file on this host, and for others to read in a schema of the watched server.
    Schema(CopySchema),
}

/// A schema of the watched server that shows the copy, in Watchy's layout.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CopySchema {
    /// The schema (of MySQL: the database). It must be another one than the watched, and nobody else's.
    pub schema: String,
    /// The file on this host. Default: in the data directory.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// What identifies the rows of a table that has neither a primary nor a unique key.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Identify {
    /// These columns do, though the database does not know it. Rows that have the same are a violation.
    Columns(Vec<String>),
}

/// A table, or all that fit a pattern.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// Whether it is watched at all. Default: true.
    pub watch: Option<bool>,
    /// What tells its rows apart, when the database does not.
    pub identify: Option<Identify>,
    /// Columns whose values are compared by a keyed hash, and never copied, logged or shown.
    pub mask: Vec<String>,
    /// Whether every version of a row is kept. Without, a row that has a violation is not overwritten in the copy until somebody signs it off,
    /// so that what was there before stays. Default: true.
    pub versions: Option<bool>,
    /// Allows changes that would otherwise be a violation.
    pub allow: Option<Allow>,
    /// Rules for new rows, by name. They see `.row`.
    pub on_insert: Rules,
    /// Rules for changed rows, by name. They see `.original` and `.updated`.
    pub on_update: Rules,
    /// Rules for deleted rows, by name. They see `.row`. Without any, a deletion is a violation.
    pub on_delete: Rules,
    /// Rules of single columns, by name, or by a pattern with `*` and `?`.
    pub fields: BTreeMap<String, FieldRules>,
}

/// Rules by name, each a VRL program: a string is a violation, null is none.
pub type Rules = BTreeMap<String, String>;

/// Changes that are allowed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Allow {
    /// Any.
    AllUpdates,
    /// From NULL to something, once.
    UpdateFromNull,
}

/// The rules of a column.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldRules {
    /// Which updates are no violation. Default: none, unless there is a rule in `on_update`, which then decides.
    pub allow: Option<Allow>,
    /// Rules for the column in new rows, by name. They see `.row`.
    pub on_insert: Rules,
    /// Rules for changes of the column, by name. They see `.original` and `.updated`, and run only when it changed.
    pub on_update: Rules,
    /// Rules for the column in deleted rows, by name. They see `.row`.
    pub on_delete: Rules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_a_default() {
        let watch: WatchConfig = serde_saphyr::from_str(
            "url: mysql://auditor@db1/bank\n\
             tables:\n  accounts:\n    mask: [password_hash]\n    fields: {sign_in_count: {allow: all_updates}}\n  'log_*': {versions: false, identify: {columns: [at]}}\n",
        )
        .unwrap();
        assert!(watch.stream && !watch.plaintext && !watch.start_empty);
        assert_eq!(watch.sleep, Period::seconds(1));
        assert_eq!(watch.reconcile.rows_per_second, 20_000);
        let accounts = &watch.tables["accounts"];
        assert_eq!((accounts.mask.len(), accounts.watch, accounts.versions), (1, None, None));
        assert_eq!(accounts.fields["sign_in_count"].allow, Some(Allow::AllUpdates));
        assert_eq!(watch.tables["log_*"].identify, Some(Identify::Columns(vec!["at".to_owned()])));
    }

    #[test]
    fn unknown_items_are_refused() {
        for (yaml, found) in [
            ("{url: x, table: {}}", "table"),
            ("{url: x, tables: {a: {on_change: {}}}}", "on_change"),
            ("{url: x, tables: {a: {allow: everything}}}", "everything"),
            ("{}", "url"),
        ] {
            let error = serde_saphyr::from_str::<WatchConfig>(yaml).unwrap_err().to_string();
            assert!(error.contains(found), "{yaml}: {error}");
        }
    }
}
