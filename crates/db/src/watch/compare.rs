//! Whether what the database showed of a part of a table is what the copy had at some commit in between.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::store::{Store, Tracked, differ};
use super::window::Changed;
use crate::cell::{Cell, RowHash, chunk_digest, encode_row, row_hash};
use crate::change::Position;
use crate::copy::{CopyError, Op, Place, Put, Span, Stored, place_of};
use crate::database::Digest;
use crate::table::Key;

/// How many commits the copy is taken back at most for a digest; with more in between, the rows are looked at one by one.
const STATES_MAX: usize = 64;

/// A look at a part of a table, from one position of the stream to another.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) tracked: Arc<Tracked>,
    pub(super) digest: Digest,
    /// Positions before and after; none without a stream, when nothing changes the copy in between.
    pub(super) between: Option<(Position, Position)>,
    pub(super) generation: u64,
}

/// What a [`Look`] comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Different,
    /// Too much happened in between: nothing can be told.
    Unknown,
}

/// A row that is not as the copy has it.
#[derive(Clone, Debug)]
pub(super) struct Odd {
    pub(super) place: Place,
    pub(super) key: Key,
    /// What the database showed; none: nothing.
    pub(super) seen: Option<(Vec<Cell>, RowHash)>,
}

impl Store {
    /// Judges a look once the stream was applied up to its second position.
    pub(super) fn judge(&self, look: &Look) -> Result<Verdict, CopyError> {
        let span = Span::of(look.tracked.table(), &look.digest.scan);
        let watched = look.tracked.id();
        let mut hashes: BTreeMap<Place, RowHash> = BTreeMap::new();
        self.copy.each_hash(watched, &span, |place, hash| {
            hashes.insert(place.to_vec(), hash);
            Ok(())
        })?;
        let same = |hashes: &BTreeMap<Place, RowHash>| {
            hashes.len() as u64 == look.digest.rows
                && chunk_digest(&mut hashes.values().copied().collect::<Vec<_>>()) == look.digest.digest
        };
        if same(&hashes) {
            return Ok(Verdict::Same);
        }
        if look.generation != self.window.generation() {
            return Ok(Verdict::Unknown);
        }
        let Some((from, _)) = &look.between else { return Ok(Verdict::Different) };
        let mut states = 0;
        let mut undone: Option<u64> = None;
        for (commit, changed) in self.window.since(watched, &span, from) {
            if undone.is_some_and(|undone| undone != commit) {
                if same(&hashes) {
                    return Ok(Verdict::Same);
                }
                states += 1;
                if states == STATES_MAX {
                    return Ok(Verdict::Different);
                }
            }
            undone = Some(commit);
            match changed.before {
                Some(hash) => hashes.insert(changed.place.clone(), hash),
                None => hashes.remove(&changed.place),
            };
        }
        Ok(if undone.is_some() && same(&hashes) { Verdict::Same } else { Verdict::Different })
    }

    /// The rows of some parts that are at no commit since `from` what the database showed. Rows that only lack what a change of the schema added
    /// are completed.
    pub(super) fn odd_rows(
        &mut self,
        tracked: &Tracked,
        spans: &[Span],
        rows: Vec<Vec<Cell>>,
        from: Option<&Position>,
    ) -> Result<Vec<Odd>, CopyError> {
        let (table, watched) = (tracked.table(), tracked.id());
        let mut seen: BTreeMap<Place, (Key, Vec<Cell>, RowHash)> = BTreeMap::new();
        for row in rows {
            let key = table.key_of(&row);
            let hash = row_hash(&row);
            seen.insert(place_of(table, &key), (key, row, hash));
        }
        let mut known: BTreeMap<Place, RowHash> = BTreeMap::new();
        for span in spans {
            self.copy.each_hash(watched, span, |place, hash| {
                known.insert(place.to_vec(), hash);
                Ok(())
            })?;
        }
        // The window remembers little of what is beside several parts.
        let span = match spans {
            [span] => span.clone(),
            _ => Span { from: Vec::new(), to: None },
        };
        let (mut odd, mut lacking) = (Vec::new(), Vec::new());
        let mut behind = Vec::new();
        {
            let earlier = from.map(|from| self.window.earlier(watched, &span, from)).unwrap_or_default();
            let was = |place: &[u8], hash: Option<RowHash>| {
                earlier.get(place).is_some_and(|states| states.contains(&hash))
            };
            let places: HashSet<&Place> = seen.keys().chain(known.keys()).collect();
            for place in places {
                let shown = seen.get(place).map(|(.., hash)| *hash);
                if known.get(place).copied() != shown && !was(place, shown) {
                    behind.push(place.clone());
                }
            }
        }
        behind.sort();
        for place in behind {
            let shown = seen.remove(&place);
            let stored = self.copy.row(watched, &place)?;
            let key = match (&shown, &stored) {
                (Some((key, ..)), _) => key.clone(),
                (None, Some(stored)) => crate::cell::decode_row(&stored.key)?,
                (None, None) => continue,
            };
            let seen = shown.map(|(_, cells, hash)| (cells, hash));
            if let (Some(stored), Some((cells, hash))) = (&stored, &seen)
                && stored.layout != tracked.watched.layout.id
            {
                let (was, unknown) = self.cells_of(tracked, stored)?;
                if !differ(&was, cells, &unknown) {
                    lacking.push((stored.clone(), cells.clone(), *hash));
                    continue;
                }
            }
            odd.push(Odd { place, key, seen });
        }
        if !lacking.is_empty() {
            self.complete(tracked, &lacking)?;
        }
        Ok(odd)
    }

    /// Rows lack columns that a change of the schema added: that they have them now is explained.
    fn complete(
        &mut self,
        tracked: &Tracked,
        rows: &[(Stored, Vec<Cell>, RowHash)],
    ) -> Result<(), CopyError> {
        let watched = tracked.id();
        self.copy.begin()?;
        let mut changes = Vec::new();
        for (stored, cells, hash) in rows {
            let put = Put {
                watched,
                place: &stored.place,
                key: &stored.key,
                layout: tracked.watched.layout.id,
                image: &encode_row(cells),
                hash,
                op: Op::Schema,
                origin: stored.origin,
                event: stored.event.as_deref(),
            };
            self.copy.put(&put, Some(stored), tracked.watched.versions)?;
            changes.push(Changed { watched, place: stored.place.clone(), before: Some(stored.hash) });
        }
        self.copy.commit()?;
        if let Some(position) = self.copy.position()? {
            self.window.push(changes, &position);
        }
        Ok(())
    }
}
