//! What the store needs of a ledger.

use std::time::Duration;

/// Why rows could not be read.
pub type RowsError = Box<dyn std::error::Error + Send + Sync>;

/// The committed entries of one ledger, numbered from 0 without a hole; `first()..end()` can be read. What is below `end()`
/// never changes; `end()` only rises, and so does `first()`, by pruning.
///
/// Every method may be called from many threads at once.
pub trait Rows: Send + Sync {
    /// The ledger's name; the same for as long as it is open.
    fn name(&self) -> &str;

    /// The least index that has not been pruned.
    fn first(&self) -> u64;

    /// The number of committed entries: the index after the last.
    fn end(&self) -> u64;

    /// Calls `f` with the entry bytes of each of these indexes, in the order asked for. An index below [`Rows::first`] is left
    /// out, however recently it was pruned. Any other that cannot be read is an error, and so is one at or above [`Rows::end`].
    fn read(&self, rows: &[u64], f: &mut dyn FnMut(u64, &[u8])) -> Result<(), RowsError>;

    /// The indexes of the entries with this `event_id`, ascending, however many sources used it.
    fn find_id(&self, event_id: &str) -> Result<Vec<u64>, RowsError>;

    /// The large value that a `$ref` with this hash stands for; `None` once it was erased.
    fn value(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, RowsError>;

    /// Waits until [`Rows::end`] is greater than `index` or the time is up, and gives `end()`.
    fn wait_beyond(&self, index: u64, timeout: Duration) -> u64;
}
