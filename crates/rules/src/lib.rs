//! What deserves attention?
//!
//! An [`Engine`] is fed with the entries of all ledgers, merged by (`received_at`, ledger, index), and answers with [`Step`]s of alerts:
//! opened, repeated, resolved. It is pure. Its time is the entries' own, a clock it has not, so the same log gives the same steps, live,
//! after a restart and when it is replayed. What it remembers is bounded ([`limits`]), and what goes over a bound leaves a step that says so.
//!
//! [`Rules`] are loaded from folders of YAML with a [report](LoadReport) of every rule that is not in force, and why. There are two kinds: our own
//! (`docs/rules.md`), with the search language or VRL, and Sigma rules as published, which are evaluated by `rsigma-eval` behind the field
//! names and log sources of [`sigma`]. Tests stand beside own rules as data ([`Case`]).
//!
//! This crate knows no HTTP, no ledger, and nothing of where notices go.

mod alerts;
mod cases;
mod due;
mod engine;
mod group;
mod history;
pub mod limits;
mod load;
mod message;
mod own;
mod path;
pub mod sigma;
mod starter;
mod state;
mod steps;
mod told;
mod windows;
mod written;

pub use cases::{CaseResult, run_cases};
pub use engine::{Engine, Fed};
pub use group::Group;
pub use load::{LoadReport, Loaded, NotApplicable, Options, Refused, RuleInfo, Rules};
pub use own::Kind;
pub use state::{Cursors, StateError};
pub use steps::{Step, StepKind, alert_of};
pub use told::Told;
pub use written::{Case, CaseEvent, ExpectedAlert, Severity, WrittenFile, WrittenRule};
