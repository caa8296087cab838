//! The index as it is at one moment.

use std::sync::Arc;

use crate::part::Part;
use crate::tally::Values;

/// A list of parts that does not change. Holding it keeps their memory and files.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) parts: Arc<Vec<Arc<Part>>>,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) values: Arc<Values>,
}

impl Snapshot {
    /// The parts, oldest first; each continues where the one before ends.
    pub fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    /// The first row that was not pruned.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// All rows before this one are in it.
    pub fn end(&self) -> u64 {
        self.end
    }
}
