//! Is this the log that was signed, whole and unaltered?
//!
//! Checks a data directory, a live server's log, an export, or a proof with its entry. Every entry is read and hashed again;
//! what the files store of hashes says where damage is, and is never taken as proof that there is none. Everything that is
//! damaged or missing is listed, and what a check cannot show is said.
//!
//! An auditor should be able to read all of it, so it stands on three crates of ours only: `event` (what an entry is),
//! `tlog` (what can be proved) and `segment` (how entries rest on disk). It reads the journal itself, from its description in
//! `docs/formats.md`, and shares nothing with the code that writes ledgers.
//!
//! - [`directory()`]: everything in a data directory; [`ledger()`]: one ledger of it
//! - [`server()`]: a log as it is served over HTTP
//! - [`export()`], [`proof()`]: what was handed out
//! - [`handed_over()`]: a report, in any of its renderings
//! - [`check`]: whichever of these a path or URL names

mod compare;
mod directory;
mod entries;
mod export;
mod handed_over;
mod hashes;
mod http;
mod journal;
mod ledger;
mod proof;
mod report;
mod segments;
mod server;
mod target;
mod text;
mod values;

use std::path::PathBuf;

pub use attestry_tlog::pin::PinError;
pub use attestry_tlog::{Pin, VerifierKey};

pub use crate::directory::{directory, ledger};
pub use crate::export::export;
pub use crate::handed_over::handed_over;
pub use crate::proof::proof;
pub use crate::report::{Damage, Kind, Ledger, Pinned, Report, Signed, Subject};
pub use crate::server::server;
pub use crate::target::{check, read_pin};

/// What a check is given besides its subject.
#[derive(Default)]
pub struct Options<'a> {
    /// Keys and checkpoints that were kept elsewhere. A pin that belongs to no ledger of the subject is damage.
    pub pins: Vec<Pin>,
    /// The key that a proof or an export must be signed with. A pin of the same log does as well.
    pub key: Option<VerifierKey>,
    /// The file with the entry that a proof is of. Without it, the proof's own name with the ending `.json`.
    pub entry: Option<PathBuf>,
    /// What a server is shown as `Authorization: Bearer …`.
    pub token: Option<String>,
    /// A PEM file with certificates that sign the server's; without it, the public authorities do.
    pub authorities: Option<PathBuf>,
    /// Called from several threads as the check proceeds.
    pub progress: Option<&'a (dyn Fn(&Progress<'_>) + Sync)>,
}

impl Options<'_> {
    pub(crate) fn progress(&self, ledger: &str, done: u64, total: u64) {
        if let Some(progress) = self.progress {
            progress(&Progress { ledger, done, total });
        }
    }
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The ledger that is being checked.
    pub ledger: &'a str,
    /// Entries hashed.
    pub done: u64,
    /// Entries there are, as far as known.
    pub total: u64,
}

/// The subject could be called neither clean nor damaged.
#[derive(Debug, thiserror::Error)]
pub enum CannotCheck {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is something else, or nothing at all.
    #[error("{0} is neither a data directory nor an export nor a proof nor a report")]
    Unknown(String),
    /// A newer version of Attestry wrote it.
    #[error(
        "{0:?} is a format that this version does not know; use the version of attestry-verify that belongs to it"
    )]
    Newer(String),
    /// A pin or key that was given is not one.
    #[error("{} is not a pin", path.display())]
    Pin {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PinError,
    },
    /// The server did not give what the check needs.
    #[error("{url}: {reason}")]
    Server {
        /// What was asked for.
        url: String,
        /// What came instead.
        reason: String,
    },
}

impl CannotCheck {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| CannotCheck::Io { path, source }
    }
}
