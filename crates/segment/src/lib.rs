//! How do entries rest on disk?
//!
//! A sealed segment holds a contiguous range of a ledger's entries in log order, and beside it rest the large values these
//! entries refer to. The formats are written down in `docs/formats.md`, sections 5 and 6, plainly enough that anyone
//! can write a reader; this crate is ours. It does not know who writes segments or who asks for entries, and it
//! never says that a log is whole: what it stores of hashes tells where damage is, and only rehashing tells that there is none.

mod block;
mod footer;
mod read;
mod values;
mod write;

pub use block::Block;
pub use footer::Footer;
pub use read::{ReadAt, Segment};
pub use values::{StoredValue, ValueRecord, Values, ValuesWriter};
pub use write::Writer;

/// Segments begin and end at multiples of this, so that every full tile of leaves lies in one segment.
pub const ALIGNMENT: u64 = 256;

/// What is wrong with a file that should be a segment or a value file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("cannot access the file")]
    Io(#[from] std::io::Error),
    /// The file's bytes contradict its format; `offset` is where.
    #[error("at byte {offset}: {what}")]
    Damaged {
        /// Byte offset in the file.
        offset: u64,
        /// What was found and what was expected.
        what: String,
    },
    /// An index outside of the segment was asked for.
    #[error("entry {index} is not in the segment {first}..{end}")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// First entry of the segment.
        first: u64,
        /// End of the segment, exclusive.
        end: u64,
    },
}

impl Error {
    pub(crate) fn damaged(offset: u64, what: impl Into<String>) -> Self {
        Error::Damaged { offset, what: what.into() }
    }
}
