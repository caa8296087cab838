//! What can go wrong, and what the caller is to do about it.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use attestry_tlog::ProofError;

use crate::Conflict;

/// Why a ledger does not open. None of these goes away by itself: each needs a person, and `attestry verify` says more.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder cannot be accessed.
    #[error("cannot access the ledger's files")]
    Io(#[from] io::Error),
    /// The journal does not open.
    #[error("cannot open the ledger's journal")]
    Journal(#[from] attestry_journal::Error),
    /// A segment is damaged.
    #[error("{} is damaged", path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: attestry_segment::Error,
    },
    /// Entries cannot be read.
    #[error("cannot read the ledger's entries")]
    Read(#[from] ReadError),
    /// No segment holds a range of entries.
    #[error("entries {}..{} are missing: no segment holds them, the next one is {}", range.start, range.end, next.display())]
    Missing {
        /// The entries.
        range: Range<u64>,
        /// The segment after the hole.
        next: PathBuf,
    },
    /// The journal lost acknowledged entries.
    #[error("entries {}..{} are lost: the journal is damaged where they were", range.start, range.end)]
    Lost {
        /// The entries.
        range: Range<u64>,
    },
    /// A journal record is whole but holds nothing a ledger writes.
    #[error("the journal's record {sequence} holds no entries and no value")]
    Record {
        /// The record's sequence.
        sequence: u64,
    },
    /// The checkpoint's file is not one of this ledger's key.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are fewer entries than were signed.
    #[error(
        "a tree of {signed} entries was signed, but there are only {found}: entries were removed, or an older copy was put back"
    )]
    Shrunk {
        /// Size of the last checkpoint.
        signed: u64,
        /// Entries there are.
        found: u64,
    },
    /// The entries are not the ones that were signed.
    #[error("the first {signed} entries are not the ones that were signed")]
    Diverged {
        /// Size of the last checkpoint.
        signed: u64,
    },
}

/// Why a batch was not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Too much waits already: try again in a moment.
    #[error("too many events wait to be stored")]
    Overloaded,
    /// The disk, or the ledger's share of it, is full: try again later.
    #[error("the disk is full")]
    Full,
    /// The write failed and left nothing behind: try again.
    #[error("the events could not be written: {0}")]
    Failed(String),
    /// The ledger is closed, or its disk is lost: nothing will be stored until a new start.
    #[error("the ledger is closed")]
    Closed,
    /// Some ids are taken by other content; nothing of the batch was stored.
    #[error("{} events have ids that other events have", .0.len())]
    Conflicts(Vec<Conflict>),
}

impl Refusal {
    pub(crate) fn from_journal(error: attestry_journal::Error) -> Self {
        match error {
            attestry_journal::Error::Full => Refusal::Full,
            other => Refusal::Failed(describe(&other)),
        }
    }
}

/// Why sealing or pruning did not happen. What was being sealed stays in the journal; it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// A file cannot be written.
    #[error("cannot write the ledger's files")]
    Io(#[from] io::Error),
    /// A segment cannot be written or read back.
    #[error("cannot write a segment")]
    Segment(#[from] attestry_segment::Error),
    /// The journal cannot be shortened.
    #[error("cannot shorten the journal")]
    Journal(#[from] attestry_journal::Error),
}

/// An error with its sources, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// Why an entry, a proof or a value was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there yet.
    #[error("there is no entry {index} yet, the ledger has {size}")]
    Beyond {
        /// What was asked for.
        index: u64,
        /// Entries there are.
        size: u64,
    },
    /// It was pruned.
    #[error("entry {index} was pruned, the first one left is {first}")]
    Pruned {
        /// What was asked for.
        index: u64,
        /// First entry there is.
        first: u64,
    },
    /// Its segment cannot be read.
    #[error("cannot read {}", path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: attestry_segment::Error,
    },
}

impl ReadError {
    pub(crate) fn from_proof(error: ProofError<ReadError>) -> Self {
        match error {
            ProofError::OutOfRange { asked, size } => ReadError::Beyond { index: asked, size },
            ProofError::Nodes(error) => error,
        }
    }
}
