//! What the stream says, into the copy: each change once, in order.
//!
//! The rows of a baseline are of a snapshot, or after a crash of several ones; the stream begins before the first. So until the stream has passed
//! the last snapshot, a change is compared with where the row in the copy comes from: what is in the row already is not applied again.
//! After that everything is strict: a row that is not as the stream says it was before has been changed behind the stream.

use std::sync::Arc;

use super::act::{Act, Was};
use super::events::{change_id, micros, row_event};
use super::follow::same_columns;
use super::store::{Batch, Open, Store, Tracked, differ};
use crate::cell::Cell;
use crate::change::{Change, Op, Position, Sent, Transaction};
use crate::copy::{CopyError, Op as Made, Opening, Origin, Part, SeenBy, Stored, place_of};
pub use crate::rules::TRUNCATED;
use crate::table::{Key, Name, Table};

/// A change, and what it belongs to.
struct At<'a> {
    tracked: &'a Tracked,
    origin: &'a Origin,
    origin_id: i64,
    /// Its event.
    id: String,
    /// A place [within](Transaction::within) the transaction, while the stream has not passed the last snapshot of the table's baseline.
    catching_up: Option<&'a Position>,
}

impl Store {
    /// Applies a transaction, or a part, in a transaction of the copy.
    pub(super) fn apply(&mut self, transaction: &Transaction, batch: &mut Batch) -> Result<(), CopyError> {
        let time = transaction.time.0;
        let mut open = match self.open.take() {
            Some(open) if open.id == transaction.id && open.time == time => open,
            _ => {
                let open = Open { id: transaction.id.clone(), time, ..Open::default() };
                match self.copy.part()?.filter(|part| part.id == transaction.id && part.time == time) {
                    None => open,
                    Some(part) => Open {
                        done: part.done.into_iter().collect(),
                        kept: true,
                        origin: Some(part.origin),
                        displaced: part.displaced.into_iter().collect(),
                        ..open
                    },
                }
            }
        };
        let origin = Origin {
            seen_by: SeenBy::Stream,
            position: transaction.ends.as_ref().map(ToString::to_string),
            transaction: Some(transaction.id.clone()),
            time: micros(transaction.time),
            seen: Some(micros(self.clock.now())),
            account: transaction.who(),
            unexplained: false,
        };
        if transaction.first == 0 {
            open.given.clear();
        }
        for change in &transaction.changes {
            let Some(number) = open.next(&change.table.name) else { continue };
            let Some(tracked) = self.tables.get(&change.table.name).cloned() else { continue };
            let origin_id = match open.origin {
                Some(known) => known,
                None => *open.origin.insert(self.copy.add_origin(&origin)?),
            };
            if tracked.watched.paused.is_some() {
                self.park(&tracked, transaction, number, change)?;
                continue;
            }
            if tracked.watched.gone {
                batch.events.push(self.unapplied(&tracked, transaction, number, change)?);
                continue;
            }
            let tracked = if Arc::ptr_eq(tracked.table(), &change.table)
                || same_columns(tracked.table(), &change.table)
            {
                tracked
            } else {
                // Of before or after a change of the schema that is undone, or not looked at yet.
                let layout = self.copy.layout_of(tracked.id(), &change.table)?;
                let layout = self.copy.layout(layout)?;
                self.as_sent(&tracked, layout)?
            };
            self.change(&tracked, transaction, &origin, origin_id, number, change, &mut open, batch)?;
            batch.changes += 1;
        }
        match &transaction.ends {
            Some(end) => {
                if open.kept {
                    self.copy.remove_part()?;
                }
                if let Some(origin_id) = open.origin {
                    self.displaced_for_good(&origin, origin_id, &mut open, batch)?;
                    if transaction.first > 0 {
                        self.copy.set_origin_position(origin_id, &end.to_string())?;
                    }
                }
                batch.ended.push((open.changed(), end.clone()));
            }
            None => {
                if let Some(origin) = open.origin {
                    let displaced = open.displaced.clone().into_iter().collect();
                    let mut done: Vec<(Name, u64)> = open.done.clone().into_iter().collect();
                    done.sort();
                    self.copy.set_part(&Part { id: open.id.clone(), time, done, origin, displaced })?;
                    open.kept = true;
                }
                self.open = Some(open);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "a change, and what it belongs to")]
    pub(super) fn change(
        &mut self,
        tracked: &Tracked,
        transaction: &Transaction,
        origin: &Origin,
        origin_id: i64,
        number: u64,
        change: &Change,
        open: &mut Open,
        batch: &mut Batch,
    ) -> Result<(), CopyError> {
        let id = change_id(&self.watch, &transaction.id, transaction.time.0, &change.table.name, number);
        let last = tracked.watched.last.as_ref();
        let catching_up = last.is_some_and(|last| transaction.within <= *last).then_some(&transaction.within);
        let at = At { tracked, origin, origin_id, id, catching_up };
        match &change.op {
            Op::Insert { new } => self.inserted(&at, new, open, batch),
            Op::Update { key, before, new } => self.updated(&at, key, before.as_ref(), new, open, batch),
            Op::Delete { key, before } => self.deleted(&at, key, before.as_ref(), open, batch),
            Op::Truncate => self.truncated(&at, batch),
        }
    }

    fn inserted(
        &mut self,
        at: &At<'_>,
        new: &[Sent],
        open: &mut Open,
        batch: &mut Batch,
    ) -> Result<(), CopyError> {
        let now = resolve(new, None);
        let key = at.tracked.table().key_of(&now);
        if let Some(within) = at.catching_up {
            let there = self.copy.row(at.tracked.id(), &place_of(at.tracked.table(), &key))?;
            let known = match &there {
                Some(row) => self.holds(row, at, within)?,
                // What came before the first snapshot and is not in it was deleted before it, too.
                None => at.tracked.watched.first.as_ref().is_some_and(|first| within <= first),
            };
            if known {
                return Ok(());
            }
        }
        self.act(at.act(&key, None, Some(now), None), open, batch)
    }

    fn updated(
        &mut self,
        at: &At<'_>,
        key: &Key,
        before: Option<&Vec<Cell>>,
        new: &[Sent],
        open: &mut Open,
        batch: &mut Batch,
    ) -> Result<(), CopyError> {
        let mut was = self.was(at.tracked, key, before, open)?;
        if let Some(within) = at.catching_up {
            let known = match &was {
                Some(was) => self.holds(&was.stored, at, within)?,
                None => true,
            };
            if known {
                // The row as it was before is in the copy no longer; under a new key it may not be there yet, or the one there may still have to leave it.
                let now = resolve(new, before.map(Vec::as_slice));
                let new_key = at.tracked.table().key_of(&now);
                let place = place_of(at.tracked.table(), &new_key);
                let later = at.tracked.watched.first.as_ref().is_some_and(|first| within > first);
                if later && new_key != *key {
                    let there = self.copy.row(at.tracked.id(), &place)?;
                    let arrived = there.map(|row| self.holds(&row, at, within)).transpose()?.unwrap_or(false);
                    if !arrived {
                        return self.appeared(at, &new_key, new, now, None, open, batch);
                    }
                }
                return Ok(());
            }
        }
        match (&was, before) {
            (None, Some(before)) => {
                let why = "the stream changes a row that was not there";
                self.act(at.before(key, None, before, why), open, batch)?;
                was = self.was(at.tracked, key, None, open)?;
            }
            (None, None) => {
                let now = resolve(new, None);
                let key = at.tracked.table().key_of(&now);
                let why = "the stream changes a row that was not there";
                return self.appeared(at, &key, new, now, Some(why), open, batch);
            }
            (Some(old), Some(before)) if differ(&old.cells, before, &old.unknown) => {
                let why = "the row was another one before the stream changed it";
                self.act(at.before(key, was.take(), before, why), open, batch)?;
                was = self.was(at.tracked, key, None, open)?;
            }
            _ => {}
        }
        // What a migrated row lacks, the image before tells.
        if let (Some(old), Some(before)) = (&mut was, before) {
            old.cells.clone_from(before);
            old.unknown.clear();
        }
        let now = resolve(new, was.as_ref().map(|was| was.cells.as_slice()));
        if let Some(old) = &mut was {
            let unknown = std::mem::take(&mut old.unknown);
            for place in unknown {
                if let (Some(cell), Some(now)) = (old.cells.get_mut(place), now.get(place)) {
                    cell.clone_from(now);
                }
            }
        }
        let new_key = at.tracked.table().key_of(&now);
        let mut arrived = false;
        if let Some(within) = at.catching_up.filter(|_| new_key != *key) {
            let there = self.copy.row(at.tracked.id(), &place_of(at.tracked.table(), &new_key))?;
            arrived = there.map(|row| self.holds(&row, at, within)).transpose()?.unwrap_or(false);
        }
        self.act(Act { arrived, ..at.act(key, was, Some(now), None) }, open, batch)
    }

    /// There is a row that the copy did not have. What was not sent of it is kept as not known: comparing completes it.
    #[allow(clippy::too_many_arguments, reason = "a change, and what it belongs to")]
    fn appeared(
        &mut self,
        at: &At<'_>,
        key: &Key,
        sent: &[Sent],
        now: Vec<Cell>,
        why: Option<&str>,
        open: &mut Open,
        batch: &mut Batch,
    ) -> Result<(), CopyError> {
        let places: Vec<usize> = sent
            .iter()
            .enumerate()
            .filter_map(|(place, sent)| matches!(sent, Sent::Cell(_)).then_some(place))
            .collect();
        let table = at.tracked.table();
        let among_sent = |place: &usize| places.iter().position(|sent| sent == place);
        let key_sent: Option<Vec<usize>> = table.key.iter().map(among_sent).collect();
        let Some(key_sent) = key_sent.filter(|_| places.len() < now.len()) else {
            return self.act(at.act(key, None, Some(now), why), open, batch);
        };
        let columns = places.iter().filter_map(|place| table.columns.get(*place)).cloned().collect();
        let now = places.iter().filter_map(|place| now.get(*place)).cloned().collect();
        let as_sent = Arc::new(Table { name: table.name.clone(), columns, key: key_sent });
        let layout = self.copy.layout_of(at.tracked.id(), &as_sent)?;
        let layout = self.copy.layout(layout)?;
        let tracked = self.as_sent(at.tracked, layout)?;
        let at = At { tracked: &tracked, id: at.id.clone(), ..*at };
        self.act(at.act(key, None, Some(now), why), open, batch)
    }

    fn deleted(
        &mut self,
        at: &At<'_>,
        key: &Key,
        before: Option<&Vec<Cell>>,
        open: &mut Open,
        batch: &mut Batch,
    ) -> Result<(), CopyError> {
        let mut was = self.was(at.tracked, key, before, open)?;
        if let Some(within) = at.catching_up {
            let known = match &was {
                Some(was) => self.holds(&was.stored, at, within)?,
                None => true,
            };
            if known {
                return Ok(());
            }
        }
        match (&was, before) {
            (None, Some(before)) => {
                let why = "the stream deletes a row that was not there";
                self.act(at.before(key, None, before, why), open, batch)?;
                was = self.was(at.tracked, key, None, open)?;
            }
            (None, None) => {
                let why = "the stream deletes a row that was not there";
                return self.act(at.act(key, None, None, Some(why)), open, batch);
            }
            (Some(old), Some(before)) if differ(&old.cells, before, &old.unknown) => {
                let why = "the row was another one before the stream deleted it";
                self.act(at.before(key, was.take(), before, why), open, batch)?;
                was = self.was(at.tracked, key, None, open)?;
            }
            _ => {}
        }
        self.act(at.act(key, was, None, None), open, batch)
    }

    fn truncated(&mut self, at: &At<'_>, batch: &mut Batch) -> Result<(), CopyError> {
        let (tracked, watched) = (at.tracked, at.tracked.id());
        let mut rows = 0;
        match at.catching_up {
            Some(within) if tracked.watched.first.as_ref().is_some_and(|first| within <= first) => {
                return Ok(());
            }
            Some(within) => {
                let mut after = Vec::new();
                while let Some((last, some)) = {
                    let some = self.copy.rows_from(watched, &after, 1_000)?;
                    some.last().map(|last| last.place.clone()).map(|last| (last, some))
                } {
                    after = last;
                    for row in some {
                        if !self.holds(&row, at, within)? {
                            self.copy.remove(
                                watched,
                                &row,
                                Made::Truncate,
                                at.origin_id,
                                Some(&at.id),
                                true,
                            )?;
                            rows += 1;
                        }
                    }
                }
            }
            // Every deletion is kept: it is a violation.
            None => {
                rows = self.copy.remove_all(watched, Made::Truncate, at.origin_id, Some(&at.id), true)?;
            }
        }
        self.window.forget();
        self.copy.count(watched, at.origin.time, |counts| {
            counts.deletes += rows;
            counts.violations += 1;
        });
        let table = tracked.table();
        let description = format!("the table was emptied: {rows} rows");
        batch.events.push(
            row_event("row.truncate", at.id.clone(), table, at.origin)
                .severity(4)
                .message(format!("{} was emptied: {rows} rows", table.name))
                .data("rows", rows),
        );
        let opening = Opening {
            event: Some(&at.id),
            account: at.origin.account.as_deref(),
            ..Opening::of_table(watched, tracked.watched.layout.id, TRUNCATED, &description, at.origin.time)
        };
        let event = self.breach(table, &Vec::new(), &opening, at.origin)?;
        batch.events.push(event);
        Ok(())
    }

    /// Whether a row comes from a snapshot that has this transaction, or from a later transaction.
    fn holds(&self, row: &Stored, at: &At<'_>, within: &Position) -> Result<bool, CopyError> {
        let from = self.copy.origin(row.origin)?;
        let own = from.transaction.is_some()
            && from.transaction == at.origin.transaction
            && from.time == at.origin.time;
        let Some(position) = from.position.and_then(|text| text.parse::<Position>().ok()).filter(|_| !own)
        else {
            return Ok(false);
        };
        Ok(position >= *within && row.op == Made::Baseline || position > *within)
    }

    /// The row that a key stood for before a change.
    fn was(
        &mut self,
        tracked: &Tracked,
        key: &Key,
        before: Option<&Vec<Cell>>,
        open: &mut Open,
    ) -> Result<Option<Was>, CopyError> {
        let place = place_of(tracked.table(), key);
        let at = (tracked.id(), place);
        if let Some(displaced) = open.displaced.get(&at).cloned() {
            let (cells, unknown) = self.cells_of(tracked, &displaced)?;
            if before.is_none_or(|before| !differ(&cells, before, &unknown)) {
                open.displaced.remove(&at);
                return Ok(Some(Was { cells, unknown, stored: displaced, displaced: true }));
            }
        }
        let Some(stored) = self.copy.row(at.0, &at.1)? else { return Ok(None) };
        let (cells, unknown) = self.cells_of(tracked, &stored)?;
        Ok(Some(Was { cells, unknown, stored, displaced: false }))
    }
}

impl<'a> At<'a> {
    fn act(
        &self,
        key: &'a Key,
        was: Option<Was>,
        now: Option<Vec<Cell>>,
        unexplained: Option<&'a str>,
    ) -> Act<'a>
    where
        Self: 'a,
    {
        Act {
            tracked: self.tracked,
            key,
            was,
            now,
            unexplained,
            arrived: false,
            id: self.id.clone(),
            origin: self.origin,
            origin_id: self.origin_id,
        }
    }

    /// That the row had become what the stream says it was before.
    fn before(&self, key: &'a Key, was: Option<Was>, before: &[Cell], why: &'a str) -> Act<'a> {
        let id = format!("{}-u", self.id);
        Act { id, ..self.act(key, was, Some(before.to_vec()), Some(why)) }
    }
}

/// A row as it is sent; what was not sent is as it was.
fn resolve(new: &[Sent], was: Option<&[Cell]>) -> Vec<Cell> {
    let cells = new.iter().enumerate().map(|(place, sent)| match sent {
        Sent::Cell(cell) => cell.clone(),
        Sent::AsBefore => was.and_then(|was| was.get(place)).cloned().unwrap_or(Cell::Null),
    });
    cells.collect()
}
