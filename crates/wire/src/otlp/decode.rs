//! A request's log records.

use super::record::Record;

/// The most records of a request.
pub(super) const RECORDS_MAX: usize = 50_000;

/// The largest record, in bytes as it came. Decoding makes up to forty times as much of it.
pub(super) const RECORD_MAX_BYTES: usize = 1 << 20;

/// What a request brought: an `ExportLogsServiceRequest`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The records that could be read.
    pub records: Vec<Record>,
    /// How many could not.
    pub rejected: u64,
    /// Why the first of those could not, for people.
    pub reason: String,
}

/// Nothing of a request can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Request {
    /// Adds a record that was read, or notes that it could not be.
    pub(super) fn add(&mut self, record: Result<Record, Malformed>) -> Result<(), Malformed> {
        if self.records.len() as u64 + self.rejected == RECORDS_MAX as u64 {
            return Err(Malformed(format!("more than {RECORDS_MAX} log records in a request")));
        }
        match record {
            Ok(record) => self.records.push(record),
            Err(Malformed(reason)) => {
                if self.rejected == 0 {
                    self.reason = format!("log record {}: {reason}", self.records.len() + 1);
                }
                self.rejected += 1;
            }
        }
        Ok(())
    }
}

/// Refuses what is too large to be looked into.
pub(super) fn bounded(bytes: usize) -> Result<(), Malformed> {
    if bytes > RECORD_MAX_BYTES {
        return Err(Malformed(format!("{bytes} bytes, at most {RECORD_MAX_BYTES} are taken")));
    }
    Ok(())
}
