//! What the binary hands to the server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Clock, Nanos};
use attestry_ledger::Ledger;
use attestry_store::Store;
use serde::Serialize;

use crate::accounts::Accounts;
use crate::alerts::Alerts;
use crate::databases::Databases;
use crate::flow::FlowStatus;
use crate::reports::Reports;

/// The ledger that holds what was done to Attestry itself. There is always one.
pub const AUDIT_LEDGER: &str = "audit";

/// Everything the server serves.
pub struct Parts {
    /// Users, sessions and keys.
    pub accounts: Arc<Accounts>,
    /// The ledgers, one of them named [`AUDIT_LEDGER`].
    pub ledgers: Vec<LedgerPart>,
    /// The search over these ledgers.
    pub store: Arc<Store>,
    /// The data directory, for the set-up link.
    pub data_dir: PathBuf,
    /// The clock of relative times and of sessions.
    pub clock: Arc<dyn Clock>,
    /// What only the binary can answer or do.
    pub operations: Arc<dyn Operations>,
    /// The databases that are watched.
    pub databases: Arc<dyn Databases>,
    /// What the rules found.
    pub alerts: Arc<dyn Alerts>,
    /// What makes reports.
    pub reports: Arc<dyn Reports>,
    /// The id of the key that lies in the data directory. Whoever can read it could as well stop the server and change the files, so it
    /// may do what the command line does in a directory that is not in use.
    pub owner_key: Option<String>,
}

/// One ledger, and how it is shown.
#[derive(Clone)]
pub struct LedgerPart {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// Whether anybody may read its raw log and proofs.
    pub public: bool,
    /// How long its entries are kept; `None`: for ever.
    pub retention: Option<Duration>,
}

/// What the binary knows and does, and the server only shows and starts.
pub trait Operations: Send + Sync {
    /// The sources of this node. Called for every request: it must not block.
    fn sources(&self) -> Vec<SourceStatus>;

    /// The receivers and sinks of this node. Called for every request: it must not block.
    fn flow(&self) -> FlowStatus;

    /// Starts verifying a ledger in the background and returns at once; nothing new when that is running already.
    fn verify(&self, ledger: &str);

    /// How the last verification of a ledger ended, or that one is running.
    fn last_verify(&self, ledger: &str) -> Option<VerifyStatus>;
}

/// How a source is doing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SourceStatus {
    /// The source's name, which is the `event_source` of its events.
    pub name: String,
    /// Whether it is running.
    pub on: bool,
    /// Why it is off, or what it lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it needs to work.
    pub needs: String,
    /// The time of its newest event.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_event: Option<Nanos>,
    /// How many events it has sent since the start.
    pub events: u64,
    /// How often it lost something since the start; each time an event says what.
    pub losses: u64,
    /// How often it gives an event at least, in seconds; none when it may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_s: Option<u64>,
}

/// The result of a verification.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VerifyStatus {
    /// When it ended, or began if it is running.
    #[schema(value_type = String, format = DateTime)]
    pub time: Nanos,
    /// Whether it is running; the other members then tell of its progress.
    pub running: bool,
    /// Whether everything that was looked at is as it was signed.
    pub clean: bool,
    /// How many entries were hashed.
    pub entries: u64,
    /// Everything that is damaged or missing.
    pub problems: Vec<String>,
}
