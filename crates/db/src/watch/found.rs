//! What comparing found goes into the copy.

use std::collections::HashSet;

use super::act::{Act, Was, found_by_comparing};
use super::compare::Odd;
use super::events::{id, micros};
use super::store::{Batch, Open, Store, Tracked};
use crate::change::Position;
use crate::copy::{CopyError, Place, SeenBy, Span};

impl Store {
    /// When the row at a place was changed last, as far as the copy knows.
    pub(super) fn changed_at(&mut self, watched: i64, place: &[u8]) -> Result<Option<i64>, CopyError> {
        let newest = self.copy.history(watched, place, 1)?;
        Ok(newest
            .first()
            .filter(|version| version.origin.seen_by == SeenBy::Stream)
            .map(|version| version.origin.time))
    }

    /// Makes the copy what the database showed of some rows, and tells it: as unexplained where there is a stream, which should have said so. A
    /// row that the stream has changed since it was looked at stays for another look. Gives how many were put right.
    pub(super) fn put_right(
        &mut self,
        tracked: &Tracked,
        odd: Vec<Odd>,
        looked_from: Option<&Position>,
    ) -> Result<u64, CopyError> {
        let time = micros(self.clock.now());
        let whole = Span { from: Vec::new(), to: None };
        let moved: HashSet<Place> = looked_from
            .map(|from| {
                let since = self.window.since(tracked.id(), &whole, from);
                since.map(|(_, changed)| changed.place.clone()).collect()
            })
            .unwrap_or_default();
        self.copy.begin()?;
        let unexplained =
            looked_from.is_some() && !self.streamed.only_compared.contains(&tracked.table().name);
        let origin = found_by_comparing(time, unexplained);
        let origin_id = self.copy.add_origin(&origin)?;
        let (mut open, mut batch, mut done) = (Open::default(), Batch::default(), 0);
        for Odd { place, key, seen } in odd {
            if moved.contains(&place) {
                continue;
            }
            let stored = self.copy.row(tracked.id(), &place)?;
            let hashes = [stored.as_ref().map(|row| row.hash), seen.as_ref().map(|seen| seen.1)];
            if hashes[0] == hashes[1] {
                continue;
            }
            let [copied, there] = hashes.map(|hash| hash.map_or_else(Vec::new, |hash| hash.to_vec()));
            let (watched, at) = (tracked.id().to_be_bytes(), time.to_be_bytes());
            let id = id(&self.watch, &[b"found", &watched, &place, &copied, &there, &at]);
            let was = match stored {
                None => None,
                Some(stored) => {
                    let (mut cells, unknown) = self.cells_of(tracked, &stored)?;
                    // What a change of the schema added is explained; the rest is not.
                    for place in unknown {
                        let now = seen.as_ref().and_then(|(now, _)| now.get(place));
                        if let (Some(cell), Some(now)) = (cells.get_mut(place), now) {
                            cell.clone_from(now);
                        }
                    }
                    Some(Was { cells, unknown: Vec::new(), stored, displaced: false })
                }
            };
            let why = match (&was, &seen) {
                (None, _) => "the row is new, and the change stream does not say so",
                (Some(_), Some(_)) => "the row is another one, and the change stream does not say so",
                (Some(_), None) => "the row is gone, and the change stream does not say so",
            };
            let act = Act {
                tracked,
                key: &key,
                was,
                now: seen.map(|(cells, _)| cells),
                unexplained: unexplained.then_some(why),
                arrived: false,
                id,
                origin: &origin,
                origin_id,
            };
            self.act(act, &mut open, &mut batch)?;
            done += 1;
        }
        for event in &batch.events {
            self.copy.tell(event)?;
        }
        self.copy.commit()?;
        if let Some(position) = self.copy.position()? {
            self.remember(open.changed(), &position);
        }
        Ok(done)
    }
}
