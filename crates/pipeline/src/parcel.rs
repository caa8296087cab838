//! An event on its way out, with all that belongs to it.

use std::sync::Arc;

use attestry_event::{Entry, EntryError, LargeValue, write_event};
use bytes::Bytes;

/// An event on its way to a sink.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The ledger it is for or from.
    pub ledger: Arc<str>,
    /// Its position in what the sink reads: the index in a ledger, the place in a spool. It rises from event to event, in a spool with holes.
    pub number: u64,
    /// On a node without a ledger: its number among those for this ledger since the spool's epoch began. What counts losses.
    pub seq: Option<u64>,
    /// The entry's bytes; from a spool, `received_at` is when the spool took it.
    pub entry: Bytes,
    /// The strings that stand beside the entry, those that it refers to.
    pub values: Vec<LargeValue>,
}

impl Parcel {
    /// The fields.
    ///
    /// # Errors
    /// When the bytes are not an entry of a version that this program reads.
    pub fn event(&self) -> Result<Entry<'_>, EntryError> {
        Entry::parse(&self.entry)
    }

    /// Appends the event as a client would send it: one line of JSON without `v` and `received_at`, large values in their place.
    ///
    /// # Errors
    /// As [`event`](Self::event); `out` is then as it was.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        write_event(&self.entry, &self.values, out)
    }

    /// About what it takes in memory and on the wire, in bytes.
    pub fn bytes(&self) -> usize {
        self.entry.len() + self.values.iter().map(|value| value.content.len()).sum::<usize>()
    }
}
