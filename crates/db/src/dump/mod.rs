//! What happened between two dumps of a database, and which of it breaks rules.
//!
//! A dump is read once, from its beginning to its end, and may be a pipe, packed (gzip, zstd, bzip2) and of any size: its rows go to a temporary
//! file in the form of [`encode_row`](crate::encode_row), are sorted by their keys in parts that fit into memory, and are
//! merged with those of the other side. Keys are known only at the end (`pg_dump` adds them after the rows).

mod audit;
mod input;
mod read;
mod rows;
mod table;
mod token;
mod unclear;
mod value;

pub use audit::{DumpAudit, DumpChange, Found, KnownRows, Side, Summary};

use std::io;

use crate::rules::RuleError;

/// A dump cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It is not what it should be.
    #[error("{file}, line {line} (byte {byte}): found {found}, expected {expected}")]
    Syntax {
        /// The dump.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The byte after it was unpacked, from 0.
        byte: u64,
        /// What is there, without data.
        found: String,
        /// What belongs there.
        expected: String,
    },
    /// It cannot be read or unpacked.
    #[error("{file} cannot be read")]
    Read {
        /// The dump.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The temporary files cannot be written or read.
    #[error("temporary files in {folder} cannot be written or read")]
    Temporary {
        /// The folder.
        folder: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The rows to compare with cannot be had.
    #[error("the copy cannot be read: {0}")]
    Copy(String),
    /// Rules do not fit the tables.
    #[error("{} mistakes in rules, the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Rules(Vec<RuleError>),
    /// Whoever is told of the findings wants no more.
    #[error("the findings cannot be passed on")]
    Told(#[source] io::Error),
}

/// Something about a dump that was left out, or that makes a comparison weaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The dump.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What.
    pub text: String,
}
