//! What can go wrong with a search, told apart by what to do about it.

use std::sync::Arc;

use crate::RowsError;

/// Why a search gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Its [`crate::Stop`] was cancelled: nobody waits for the answer.
    #[error("the search was cancelled")]
    Cancelled,
    /// Its deadline passed. The same search may take less time with a shorter time range.
    #[error("the search took longer than it was given")]
    TimedOut,
    /// The request names a ledger that is not there.
    #[error("there is no ledger {0:?}")]
    UnknownLedger(String),
    /// The cursor was not made by a search of the same order.
    #[error("the cursor is not one that this search gave out")]
    BadCursor,
    /// The request asks for something that has no answer.
    #[error("{0}")]
    Refused(String),
    /// The answer would be too large to compute; nothing was cut.
    #[error("the answer has more than {limit} {what}; narrow the search")]
    TooMany {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A ledger's entries cannot be read.
    #[error("entries of ledger {ledger} cannot be read")]
    Rows {
        /// The ledger.
        ledger: Arc<str>,
        /// What the ledger said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// What a ledger holds is no entry: it cannot be checked against the query.
    #[error("entry {index} of ledger {ledger} cannot be understood")]
    Entry {
        /// The ledger.
        ledger: Arc<str>,
        /// The entry's index.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: Arc<attestry_event::EntryError>,
    },
}

impl Error {
    pub(crate) fn rows(ledger: &Arc<str>, source: RowsError) -> Error {
        Error::Rows { ledger: ledger.clone(), source: source.into() }
    }

    /// Whether the request is at fault, so that asking again in the same way is useless.
    pub fn is_callers(&self) -> bool {
        matches!(
            self,
            Error::UnknownLedger(_)
                | Error::BadCursor
                | Error::Refused(_)
                | Error::TooMany { .. }
                | Error::TimedOut
        )
    }
}
