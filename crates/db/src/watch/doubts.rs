//! Rows that are not as the copy has them: looked at until each is as it should be, unexplained, or left undecided.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::baseline::{BYTES_AT_ONCE, ROWS_FIRST, bytes_of, next_limit};
use super::compare::Odd;
use super::events::micros;
use super::reconcile::{TablePass, wait_for, whole_table};
use super::{Database, Outlet, Trouble, Watch};
use crate::cell::{Cell, RowHash};
use crate::copy::{Place, Span, place_of};
use crate::database::{Reader, Scan};
use crate::table::{Key, Table};

/// Looks at a row before it is unexplained.
const LOOKS: u32 = 3;

/// Looks at a part until it is left undecided: its rows are something else each time. And the time, in [`Patience::lately`](super::Patience).
const LOOKS_MAX: u32 = 100;
const LATELY_MAX: u32 = 4;

/// Looks one after the other about which nothing can be told until a part is left undecided.
const FORGOTTEN_MAX: u32 = 3;

/// Parts of a table in which rows are not as the copy has them, and which are looked at together.
pub(super) struct Doubt {
    /// Each with the rows that the database counted in it. Several only if they are buckets, in their order.
    pub(super) parts: Vec<(Scan, u64)>,
    /// Whether it was looked at: what comes into doubt later is for the next pass, or under load this one would never end.
    looked: bool,
    since: Instant,
    looks: u32,
    /// Looks one after the other about which nothing could be told.
    forgotten: u32,
    rows: HashMap<Place, Suspect>,
}

impl Doubt {
    pub(super) fn new(scan: Scan, rows: u64) -> Doubt {
        let parts = vec![(scan, rows)];
        Doubt { parts, looked: false, since: Instant::now(), looks: 0, forgotten: 0, rows: HashMap::new() }
    }

    /// Where its rows are kept.
    fn spans(&self, table: &Table) -> Vec<Span> {
        self.parts.iter().map(|(scan, _)| Span::of(table, scan)).collect()
    }

    fn is_decided(&self) -> bool {
        self.forgotten == 0 && self.rows.is_empty()
    }

    /// How many rows were not decided: of parts about which nothing could be told all, and of an empty one the row that may be missing.
    pub(super) fn undecided(&self) -> u64 {
        if self.looked {
            return self.rows.len() as u64;
        }
        self.parts.iter().map(|(_, rows)| (*rows).max(1)).sum()
    }
}

struct Suspect {
    hash: Option<RowHash>,
    since: Instant,
    looks: u32,
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Looks at rows that are in doubt until nothing is, or until it is given up.
    pub(super) async fn resolve(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
    ) -> Result<(), Trouble> {
        loop {
            let mut left = Vec::new();
            for mut doubt in std::mem::take(&mut table.doubts) {
                self.look_at_rows(reader, table, &mut doubt).await?;
                if doubt.is_decided() {
                    continue;
                }
                let long = doubt.since.elapsed() > self.options.patience.lately * LATELY_MAX;
                if doubt.forgotten >= FORGOTTEN_MAX || doubt.looks >= LOOKS_MAX && long {
                    table.give_up(&doubt);
                } else {
                    left.push(doubt);
                }
            }
            // What was too large to be looked at at once.
            left.append(&mut table.doubts);
            if left.is_empty() {
                return Ok(());
            }
            table.doubts = left;
            tokio::time::sleep(self.options.patience.again).await;
        }
    }

    /// The rows of what is in doubt, within the budget. Of a range that has more bytes than are read at once, what is left becomes a doubt of its own.
    async fn rows_of(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        doubt: &mut Doubt,
    ) -> Result<Vec<Vec<Cell>>, Trouble> {
        let (tracked, begun) = (table.tracked, Instant::now());
        let (mut bits, mut buckets, mut rows) = (0, Vec::new(), Vec::new());
        for (scan, count) in &mut doubt.parts {
            match scan {
                Scan::Bucket { bits: of, bucket } => {
                    bits = *of;
                    buckets.push(*bucket);
                }
                Scan::Range { after, upto } => {
                    let (some, left) = self.some_rows(reader, tracked.table(), after, upto, *count).await?;
                    if let Some(last) = left {
                        let rest = Scan::Range { after: Some(last.clone()), upto: upto.replace(last) };
                        let left = count.saturating_sub(some.len() as u64).max(1);
                        table.doubts.push(Doubt::new(rest, left));
                        *count = some.len() as u64;
                    }
                    rows.extend(some);
                }
            }
        }
        let mut read = rows.len() as u64;
        if !buckets.is_empty() {
            rows.extend(reader.rows_of_buckets(tracked.table(), &self.mask, bits, &buckets).await?);
            read += table.whole;
        }
        self.charge(table, read, begun);
        Ok(rows)
    }

    /// Rows of a range in which there were so many, until they have more bytes than are read at once: then also the last one's key.
    async fn some_rows(
        &self,
        reader: &mut D::Reader,
        table: &Arc<Table>,
        after: &Option<Key>,
        upto: &Option<Key>,
        count: u64,
    ) -> Result<(Vec<Vec<Cell>>, Option<Key>), Trouble> {
        let end = upto.as_ref().map(|key| place_of(table, key));
        let (mut rows, mut bytes, mut last): (Vec<Vec<Cell>>, _, _) = (Vec::new(), 0, after.clone());
        let mut limit = ROWS_FIRST;
        loop {
            // One more than there were, so that it is seen that there are no others.
            let asked = match count.checked_sub(rows.len() as u64) {
                Some(left) => limit.min(u32::try_from(left).unwrap_or(u32::MAX).saturating_add(1)),
                None => limit,
            };
            let some = reader.rows_after(table, &self.mask, last.as_ref(), asked).await?;
            let more = some.len() >= asked as usize;
            limit = next_limit(limit, &some);
            bytes += bytes_of(&some);
            for row in some {
                let key = table.key_of(&row);
                if end.as_ref().is_some_and(|end| place_of(table, &key) > *end) {
                    return Ok((rows, None));
                }
                last = Some(key);
                rows.push(row);
            }
            if !more || last == *upto {
                return Ok((rows, None));
            }
            if bytes >= BYTES_AT_ONCE {
                return Ok((rows, last));
            }
        }
    }

    async fn look_at_rows(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        doubt: &mut Doubt,
    ) -> Result<(), Trouble> {
        self.within_budget(table).await;
        let tracked = Arc::clone(table.tracked);
        let generation = {
            let mut store = self.shared.lock().await;
            if tracked.table().is_ordered() {
                // Looks at other ranges may still wait to be judged.
                store.window.open(tracked.id(), vec![whole_table()])
            } else {
                store.window.close();
                store.window.open(tracked.id(), doubt.spans(tracked.table()))
            }
        };
        let from = self.position(reader, table).await?;
        let rows = self.rows_of(reader, table, doubt).await?;
        let to = self.position(reader, table).await?;
        if let Some(to) = to {
            wait_for(&mut table.reached, &to).await?;
        }
        doubt.looks += 1;
        let spans = doubt.spans(tracked.table());
        let (looked, since, looked_at) = (Arc::clone(&tracked), from.clone(), spans.clone());
        let (odd, lately) = self
            .shared
            .with(move |store| {
                if store.window.generation() != generation {
                    return Ok((None, Vec::new()));
                }
                let odd = store.odd_rows(&looked, &looked_at, rows, since.as_ref())?;
                let changed = odd.iter().map(|odd| store.changed_at(looked.id(), &odd.place));
                let changed = changed.collect::<Result<Vec<_>, _>>()?;
                Ok((Some(odd), changed))
            })
            .await?;
        // Nothing can be told: as if it had not been looked at.
        let Some(odd) = odd else {
            doubt.forgotten += 1;
            return Ok(());
        };
        doubt.forgotten = 0;
        let (now, wait) = (micros(self.options.clock.now()), self.options.patience);
        let mut before = std::mem::take(&mut doubt.rows);
        let mut sure: Vec<Odd> = Vec::new();
        for (odd, changed) in odd.into_iter().zip(lately) {
            let hash = odd.seen.as_ref().map(|seen| seen.1);
            let age = changed.map_or(u64::MAX, |changed| u64::try_from(now - changed).unwrap_or(0));
            let lately = Duration::from_micros(age) < wait.lately;
            let known = before.remove(&odd.place).filter(|known| known.hash == hash);
            if known.is_none() && doubt.looked && lately {
                continue;
            }
            let mut suspect = known.unwrap_or(Suspect { hash, since: Instant::now(), looks: 0 });
            suspect.looks += 1;
            let patience = if lately { wait.lately } else { wait.over };
            let enough = suspect.looks >= LOOKS && suspect.since.elapsed() >= patience;
            let place = odd.place.clone();
            if enough || from.is_none() {
                sure.push(odd);
            }
            doubt.rows.insert(place, suspect);
        }
        doubt.looked = true;
        if !sure.is_empty() {
            let places: Vec<Place> = sure.iter().map(|odd| odd.place.clone()).collect();
            let looked = Arc::clone(&tracked);
            let done = self
                .shared
                .with(move |store| {
                    if from.is_some() && store.window.generation() != generation {
                        return Ok(None);
                    }
                    store.put_right(&looked, sure, from.as_ref()).map(Some)
                })
                .await?;
            if let Some(done) = done {
                table.unexplained += done;
                for place in places {
                    doubt.rows.remove(&place);
                }
                self.tell().await?;
                self.handle.refresh(&self.shared).await?;
            }
        }
        // What is as it should be is not read again.
        let mut spans = spans.iter();
        doubt
            .parts
            .retain(|_| spans.next().is_some_and(|span| doubt.rows.keys().any(|place| span.holds(place))));
        Ok(())
    }
}
