//! Encoded events, ready to be sequenced.

use std::ops::Range;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::border::read_json;
use crate::canonical::{Canonical, Scratch};
use crate::encode::{Draft, ENTRY_HEAD, Parts, encode};
use crate::same::same_content;
use crate::{Border, Event, LARGE_VALUE_BYTES, MAX_ENTRY_BYTES, MAX_EVENT_BYTES, Nanos, Problem, TIME_LEN};

/// What the border did to an event; bits of [`Row::flags`].
pub mod flags {
    /// The client named another `event_source` than its key's; it was replaced.
    pub const SOURCE_OVERWRITTEN: u8 = 1;
    /// An agent's `event_time` lies more than 24 hours ahead: to be declared as `gap.clock`.
    pub const FUTURE: u8 = 2;
    /// Unknown top-level fields were moved into `event_data` (lenient).
    pub const MOVED: u8 = 4;
}

/// Encoded events: one arena for all of them, so that ten thousand events are a handful of allocations.
///
/// Salts and generated ids come from a generator that a new batch seeds from the operating system.
#[derive(Debug)]
pub struct Batch {
    /// The entries, back to back. `received_at` holds a placeholder until [`Batch::stamp`].
    pub bytes: Vec<u8>,
    /// One row an entry.
    pub rows: Vec<Row>,
    /// The large values of all entries; a row's range says which are its own.
    pub values: Vec<LargeValue>,
    work: Work,
}

/// Where one entry lies in its batch, and what the sequencer needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where the entry begins in [`Batch::bytes`].
    pub start: u32,
    /// The entry's length in bytes, at most [`MAX_ENTRY_BYTES`].
    pub len: u32,
    /// Where within the entry the 30 characters of `received_at` begin.
    pub received_at: u16,
    /// [`id_hash`](crate::id_hash) of the `event_id`.
    pub id_hash: u64,
    /// When it happened.
    pub event_time: Nanos,
    /// Whether the sender gave the time; otherwise it is the border's.
    pub time_given: bool,
    /// See [`flags`].
    pub flags: u8,
    /// The row's large values in [`Batch::values`].
    pub values: Range<u32>,
}

/// A string that stands beside its entry: the entry holds `{"$ref":"sha256:<hash>","bytes":<length>}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeValue {
    /// SHA-256(salt ‖ content).
    pub hash: [u8; 32],
    /// Keeps the hash from telling the value after an erasure.
    pub salt: [u8; 16],
    /// The unescaped string in UTF-8.
    pub content: Vec<u8>,
}

/// Memory kept from event to event.
#[derive(Debug)]
struct Work {
    scratch: Scratch,
    parts: Parts,
    random: StdRng,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::with_random(StdRng::from_rng(&mut rand::rng()))
    }

    /// An empty batch whose salts and ids follow from `seed`. For tests: whoever knows the seed knows the salts.
    pub fn with_seed(seed: [u8; 32]) -> Batch {
        Batch::with_random(StdRng::from_seed(seed))
    }

    fn with_random(random: StdRng) -> Batch {
        let work = Work { scratch: Scratch::default(), parts: Parts::default(), random };
        Batch { bytes: Vec::new(), rows: Vec::new(), values: Vec::new(), work }
    }

    /// Checks one event as a client sent it and adds its entry. On an error the batch is as it was before.
    ///
    /// The list holds all that is wrong with the event, not only the first thing (but at most 32 problems); where the
    /// text stops being JSON, reading ends.
    pub fn push_json(&mut self, json: &[u8], border: &Border<'_>) -> Result<(), Vec<Problem>> {
        self.add(border, |visitor, parts| read_json(json, border, visitor, parts))
    }

    /// Adds the entry of an event made inside Attestry, by the same rules.
    pub fn push(&mut self, event: &Event, border: &Border<'_>) -> Result<(), Vec<Problem>> {
        self.add(border, |visitor, parts| Some(event.draft(border, visitor, parts)))
    }

    fn add<'a>(
        &mut self,
        border: &Border<'_>,
        fill: impl FnOnce(&mut Canonical<'_>, &mut Parts) -> Option<Draft<'a>>,
    ) -> Result<(), Vec<Problem>> {
        let (start, first_value) = (self.bytes.len(), self.values.len());
        let row_start = u32::try_from(start).ok().filter(|start| *start <= BATCH_BYTES_MAX);
        let value_start = u32::try_from(first_value).ok();
        let (Some(row_start), Some(value_start)) = (row_start, value_start) else {
            return Err(vec![Problem::new("event", "a full batch", "batches of at most 4 GiB of entries")]);
        };
        let mut problems = Vec::new();
        let Work { scratch, parts, random } = &mut self.work;
        parts.clear();
        let mut visitor = Canonical { scratch, values: &mut self.values, problems: &mut problems, random };
        let draft = fill(&mut visitor, parts);
        visitor.reset();
        if let Some(draft) = &draft {
            draft.check(border, visitor.problems);
        }
        if let Some(draft) = draft.filter(|_| problems.is_empty()) {
            let mut visitor =
                Canonical { scratch, values: &mut self.values, problems: &mut problems, random };
            let placed = encode(&draft, border, &mut visitor, parts, &mut self.bytes);
            let len = self.bytes.len() - start;
            let beside: usize = self.values.iter().skip(first_value).map(|value| value.content.len()).sum();
            if len > MAX_ENTRY_BYTES {
                problems.push(Problem::new("event", &format!("an entry of {len} bytes"), too_large()));
            } else if len + beside > MAX_EVENT_BYTES {
                // Only an event made inside gets here: a client's was measured as it came.
                let found = format!("{} bytes", len + beside);
                problems.push(Problem::new("event", &found, format!("at most {MAX_EVENT_BYTES} bytes")));
            } else {
                self.rows.push(Row {
                    start: row_start,
                    // Both are bounded by MAX_ENTRY_BYTES.
                    len: len as u32,
                    received_at: (placed.received_at - start) as u16,
                    id_hash: placed.id_hash,
                    event_time: placed.event_time,
                    time_given: draft.event_time.is_some(),
                    flags: placed.flags,
                    values: value_start..self.values.len() as u32,
                });
                return Ok(());
            }
        }
        self.bytes.truncate(start);
        self.values.truncate(first_value);
        Err(problems)
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The entry of row `row`; empty if there is no such row.
    pub fn entry(&self, row: usize) -> &[u8] {
        self.rows.get(row).map(|row| self.entry_of(row)).unwrap_or_default()
    }

    /// All entries in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.rows.iter().map(|row| self.entry_of(row))
    }

    fn entry_of(&self, row: &Row) -> &[u8] {
        let start = row.start as usize;
        self.bytes.get(start..start + row.len as usize).unwrap_or_default()
    }

    /// The `event_id` of row `row`; empty if there is no such row.
    pub fn event_id(&self, row: usize) -> &str {
        let after = self.entry(row).get(ENTRY_HEAD.len()..).unwrap_or_default();
        let len = after.iter().position(|byte| *byte == b'"').unwrap_or(0);
        std::str::from_utf8(after.get(..len).unwrap_or_default()).unwrap_or_default()
    }

    /// The large values of row `row`.
    pub fn values_of(&self, row: usize) -> &[LargeValue] {
        let range = self.rows.get(row).map(|row| row.values.start as usize..row.values.end as usize);
        range.and_then(|range| self.values.get(range)).unwrap_or_default()
    }

    /// Writes `received_at` into all entries.
    pub fn stamp(&mut self, received_at: Nanos) {
        let text = received_at.to_bytes();
        for row in &self.rows {
            let start = row.start as usize + usize::from(row.received_at);
            if let Some(place) = self.bytes.get_mut(start..start + TIME_LEN) {
                place.copy_from_slice(&text);
            }
        }
    }

    /// Writes `received_at` into the entry of row `row`.
    pub fn stamp_row(&mut self, row: usize, received_at: Nanos) {
        let Some(row) = self.rows.get(row) else { return };
        let start = row.start as usize + usize::from(row.received_at);
        if let Some(place) = self.bytes.get_mut(start..start + TIME_LEN) {
            place.copy_from_slice(&received_at.to_bytes());
        }
    }

    /// Whether a stored entry is the same event as row `row` to the one who sent it: see [`same_content`]. `salt_of`
    /// gives the salt of a stored large value by its hash.
    pub fn is_same(
        &self,
        row: usize,
        stored: &[u8],
        salt_of: &mut dyn FnMut(&[u8; 32]) -> Option<[u8; 16]>,
    ) -> bool {
        let time_given = self.rows.get(row).is_some_and(|row| row.time_given);
        same_content(stored, self.entry(row), time_given, self.values_of(row), salt_of)
    }

    /// Forgets all events and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.values.clear();
    }
}

/// What may stand in the arena before one more entry, so that every offset fits 32 bits.
const BATCH_BYTES_MAX: u32 = u32::MAX - MAX_ENTRY_BYTES as u32;

fn too_large() -> String {
    format!(
        "at most {MAX_ENTRY_BYTES} bytes (strings over {LARGE_VALUE_BYTES} bytes in message and event_data are kept \
         beside the entry and do not count)"
    )
}
