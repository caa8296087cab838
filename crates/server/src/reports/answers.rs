//! What is told of reports.

use attestry_event::Nanos;
use serde::Serialize;
use serde_json::Value;

/// A kind of report.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// The version of its definition.
    pub version: u32,
    /// Whether everybody has it.
    pub built_in: bool,
    /// How much time it covers when nothing else is asked for, in seconds.
    pub window_s: u64,
    /// The ledgers it looks in; empty: all.
    pub ledgers: Vec<String>,
    /// What is asked for when it is run.
    pub parameters: Vec<Parameter>,
    /// Whether it takes figures from databases or other servers.
    pub asks_outside: bool,
}

/// Something that is asked for when a report is run.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What to give.
    pub description: String,
    /// What is taken when nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A report that was made.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Made {
    /// The event that says so.
    pub event_id: String,
    /// Its kind.
    pub report: String,
    /// Its heading.
    pub title: String,
    /// Who ran or scheduled it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Nanos,
    /// The begin of its window.
    #[schema(value_type = String, format = DateTime)]
    pub from: Nanos,
    /// The window's end.
    #[schema(value_type = String, format = DateTime)]
    pub to: Nanos,
    /// The schedule it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// SHA-256 of its body.
    pub body_sha256: String,
    /// How many entries it shows, each with its proof.
    pub cited: u64,
    /// What it was made from.
    pub ledgers: Vec<LedgerSize>,
}

/// So much of a ledger.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LedgerSize {
    /// Its name.
    pub name: String,
    /// How many entries.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
}

/// A report as a file.
#[derive(Debug, Clone)]
pub struct File {
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Whether it is a page for a browser.
    pub is_page: bool,
    /// What is in it.
    pub text: String,
}

/// A report was made again.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Replayed {
    /// Whether it is the same, byte for byte.
    pub same: bool,
    /// What differs, as a unified diff; empty when nothing does.
    pub difference: String,
    /// What makes a difference likely.
    pub notes: Vec<String>,
}

/// A report that is made by itself.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Scheduled {
    /// The schedule's name.
    pub name: String,
    /// What is made, when, and where it goes, as in the configuration.
    #[schema(value_type = Object)]
    pub planned: Value,
    /// Who scheduled it; `-` for the configuration.
    pub by: String,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// Since when it is as it is.
    #[schema(value_type = String, format = DateTime)]
    pub since: Nanos,
    /// When it is due next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Nanos>,
    /// When it was due the last time that it was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Nanos>,
}
