//! The index as it is at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use crate::filter::Target;
use crate::part::Part;
use crate::rows::RowSet;

/// A list of parts that does not change. Holding it keeps their memory and files.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) parts: Arc<Vec<Arc<Part>>>,
    pub(crate) first: u64,
    pub(crate) end: u64,
}

/// How often each value occurs in some rows of a ledger.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The values with their counts, most frequent first, equally frequent ones in the order of their bytes.
    pub top: Vec<(String, u64)>,
    /// How many different values there are.
    pub distinct: u64,
    /// The sum of all counts.
    pub total: u64,
    /// For each part the rows that were not counted, because the index does not hold their values whole: look into
    /// the rows, and add what is there.
    pub unlisted: Vec<RowSet>,
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

    /// Counts the values of a target in `rows`, which has a set for each part, and gives the `limit` most frequent.
    pub fn tally(&self, target: &Target, rows: &[RowSet], limit: usize) -> Tally {
        let mut sums: HashMap<String, u64> = HashMap::new();
        let mut tally = Tally::default();
        for (part, rows) in self.parts.iter().zip(rows) {
            let counts = part.counts(target, rows);
            tally.unlisted.push(counts.unlisted);
            for (value, count) in counts.values {
                tally.total += u64::from(count);
                *sums.entry(value).or_default() += u64::from(count);
            }
        }
        tally.distinct = sums.len() as u64;
        let mut top: Vec<(String, u64)> = sums.into_iter().collect();
        top.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        top.truncate(limit);
        tally.top = top;
        tally
    }
}
