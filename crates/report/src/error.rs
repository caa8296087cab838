//! Why there is no report, told apart by what to do about it.

use attestry_ledger::ReadError;

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The definition, its parameters or the window are wrong. The same again is useless.
    #[error("{0}")]
    Refused(String),
    /// The log that the report was made from is another one, or was altered.
    #[error("{0}")]
    OtherLog(String),
    /// The index has not taken in what the report is about, or no checkpoint covers it yet. Try again.
    #[error("{0}")]
    Behind(String),
    /// A search failed.
    #[error("a search of the report failed")]
    Search(#[from] attestry_store::Error),
    /// A ledger cannot be read.
    #[error("a ledger cannot be read")]
    Read(#[from] ReadError),
    /// What was to be read is no report.
    #[error("this is no report: {0}")]
    NoReport(String),
    /// The page could not be rendered; a mistake of ours.
    #[error("the page could not be rendered")]
    Render(#[from] askama::Error),
}

impl Error {
    pub(crate) fn refused(what: impl Into<String>) -> Error {
        Error::Refused(what.into())
    }

    /// Whether the one who asked is at fault.
    pub fn is_callers(&self) -> bool {
        match self {
            Error::Refused(_) | Error::NoReport(_) | Error::OtherLog(_) => true,
            Error::Search(error) => error.is_callers(),
            _ => false,
        }
    }
}
