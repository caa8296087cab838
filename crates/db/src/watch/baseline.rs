//! The rows that are there when watching begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::act::table_event;
use super::events::micros;
use super::status::Phase;
use super::store::{Store, Tracked};
use super::{Database, Outlet, Trouble, Watch};
use crate::cell::{Cell, encode_row, row_hash};
use crate::change::Position;
use crate::copy::{CopyError, Op, Opening, Origin, Put, SeenBy, place_of};
use crate::database::Reader;
use crate::rules::DUPLICATE_KEY;

/// Rows that are taken at once, at most.
const ROWS_AT_ONCE: u32 = 2_000;

/// Rows that are taken first, before anything is known of how large they are.
pub(super) const ROWS_FIRST: u32 = 50;

/// What is taken at once, in bytes, is about so much at most, as far as rows are as large as those before them.
pub(super) const BYTES_AT_ONCE: u64 = 16 << 20;

/// How long a transaction that is in the stream may take to be seen: a server waits 10 s for its replicas, unless it is set up otherwise.
const UNSEEN_MAX: Duration = Duration::from_secs(30);

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Takes the rows of all tables that are not done, of one snapshot.
    pub(super) async fn take_baseline(&self, reader: &mut D::Reader) -> Result<(), Trouble> {
        let left = self
            .shared
            .with(|store| {
                let tables = store.tables.values();
                let mut left: Vec<Arc<Tracked>> = tables
                    .filter(|table| {
                        !table.watched.done && !table.watched.gone && table.watched.paused.is_none()
                    })
                    .cloned()
                    .collect();
                left.sort_by_key(|table| table.id());
                Ok(left)
            })
            .await?;
        if left.is_empty() {
            return Ok(());
        }
        self.handle.phase(Phase::Baseline, None);
        let snapshot = self.begin_snapshot(reader).await?;
        for tracked in &left {
            self.take_table(reader, tracked, &snapshot).await?;
        }
        reader.end_snapshot().await?;
        // Where the snapshots lie decides how the stream is applied.
        self.shared.with(Store::reload_tables).await?;
        self.tell().await?;
        self.handle.refresh(&self.shared).await
    }

    /// A view that has all that was applied. A transaction may be in the stream before it can be seen (semi-synchronous replication), and one that is
    /// in neither would be lost.
    async fn begin_snapshot(&self, reader: &mut D::Reader) -> Result<Position, Trouble> {
        let applied = self.shared.with(|store| store.copy.position()).await?;
        let begun = Instant::now();
        loop {
            let snapshot = reader.begin_snapshot().await?;
            let lacks = applied.as_ref().is_some_and(|applied| snapshot < *applied);
            if !lacks {
                return Ok(snapshot);
            }
            if begun.elapsed() > UNSEEN_MAX {
                // Or the server numbers its log anew, which taking the stream up will tell.
                let watch = self.options.name.as_str();
                tracing::warn!(watch, %snapshot, "the view is still older than what was read of the stream");
                return Ok(snapshot);
            }
            reader.end_snapshot().await?;
            tokio::time::sleep(self.options.patience.again).await;
        }
    }

    async fn take_table(
        &self,
        reader: &mut D::Reader,
        tracked: &Arc<Tracked>,
        snapshot: &Position,
    ) -> Result<(), Trouble> {
        let mut after = tracked.watched.after.clone();
        let mut taken = tracked.watched.taken;
        if after.is_some() && self.options.config.stream {
            self.tell_interrupted(tracked, snapshot).await?;
        }
        let mut limit = ROWS_FIRST;
        loop {
            let rows = reader.rows_after(tracked.table(), &self.mask, after.as_ref(), limit).await?;
            let done = rows.len() < limit as usize;
            limit = next_limit(limit, &rows);
            if let Some(last) = rows.last() {
                after = Some(tracked.table().key_of(last));
            }
            taken += rows.len() as u64;
            let (tracked, snapshot, after) = (Arc::clone(tracked), snapshot.clone(), after.clone());
            let name = tracked.watched.name().clone();
            let stream = self.options.config.stream;
            self.shared
                .with(move |store| {
                    store.copy.begin()?;
                    store.take_rows(&tracked, &snapshot, &rows)?;
                    let id = tracked.id();
                    store.copy.set_baseline(id, &snapshot, after.as_ref(), taken, done)?;
                    if !stream {
                        // Without a stream nothing is ever compared with where a row comes from.
                        store.copy.forget_snapshots(id)?;
                    }
                    if done {
                        let time = micros(store.clock.now());
                        let position = snapshot.to_string();
                        let event =
                            table_event(&store.watch, "table.baseline", tracked.watched.name(), time, &[])
                                .severity(5)
                                .message(format!(
                                    "{} is watched from now on: {taken} rows",
                                    tracked.watched.name()
                                ))
                                .data("rows", taken)
                                .data("position", position);
                        store.copy.tell(&event)?;
                    }
                    store.copy.commit()
                })
                .await?;
            self.handle.taken(&name, taken);
            if done {
                return Ok(());
            }
        }
    }

    /// What happened to rows that were still to be taken when the baseline was interrupted is in none of its snapshots.
    async fn tell_interrupted(&self, tracked: &Arc<Tracked>, snapshot: &Position) -> Result<(), Trouble> {
        let (name, to) = (tracked.watched.name().clone(), snapshot.to_string());
        let from = tracked.watched.last.as_ref().map(ToString::to_string).unwrap_or_default();
        self.shared
            .with(move |store| {
                let time = micros(store.clock.now());
                let event = table_event(&store.watch, "gap.baseline", &name, time, &[to.as_bytes()])
                    .severity(4)
                    .message(format!(
                        "the baseline of {name} was interrupted: of the rows that it had not taken yet, changes before {to} are in the copy but have no events"
                    ))
                    .data("from", from)
                    .data("to", to.as_str());
                store.copy.begin()?;
                store.copy.tell(&event)?;
                store.copy.commit()
            })
            .await
    }
}

/// How many rows are taken after these.
pub(super) fn next_limit(limit: u32, rows: &[Vec<Cell>]) -> u32 {
    let fit = BYTES_AT_ONCE.saturating_mul(rows.len() as u64) / bytes_of(rows).max(1);
    u32::try_from(fit).unwrap_or(u32::MAX).clamp(1, limit.saturating_mul(4).min(ROWS_AT_ONCE))
}

/// The bytes of all cells.
pub(super) fn bytes_of(rows: &[Vec<Cell>]) -> u64 {
    rows.iter().flatten().map(|cell| cell.bytes().map_or(0, <[u8]>::len) as u64).sum()
}

impl Store {
    fn take_rows(
        &mut self,
        tracked: &Tracked,
        snapshot: &Position,
        rows: &[Vec<Cell>],
    ) -> Result<(), CopyError> {
        if rows.is_empty() {
            return Ok(());
        }
        let time = micros(self.clock.now());
        let origin = Origin {
            seen_by: SeenBy::Baseline,
            position: Some(snapshot.to_string()),
            transaction: None,
            time,
            seen: Some(time),
            account: None,
            unexplained: false,
        };
        let origin_id = self.copy.add_origin(&origin)?;
        for row in rows {
            let key = tracked.table().key_of(row);
            let (place, key_bytes) = (place_of(tracked.table(), &key), encode_row(&key));
            let image = encode_row(row);
            let there = self.copy.row(tracked.id(), &place)?;
            if let Some(there) = there.as_ref().filter(|there| there.origin == origin_id) {
                let opening = Opening {
                    watched: tracked.id(),
                    layout: tracked.watched.layout.id,
                    place: &place,
                    key: &key_bytes,
                    field: None,
                    rule: DUPLICATE_KEY,
                    description: "several rows have this key, and only one of them is watched",
                    old: Some((&there.image, there.version)),
                    new: Some((&image, there.version + 1)),
                    event: None,
                    account: None,
                    time,
                };
                let event = self.breach(tracked.table(), &key, &opening, &origin)?;
                self.copy.tell(&event)?;
            }
            let put = Put {
                watched: tracked.id(),
                place: &place,
                key: &key_bytes,
                layout: tracked.watched.layout.id,
                image: &image,
                hash: &row_hash(row),
                op: Op::Baseline,
                origin: origin_id,
                event: None,
            };
            self.copy.put(&put, there.as_ref(), tracked.watched.versions)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_rows_are_taken_a_few_at_a_time() {
        let rows = |count: usize, bytes: usize| vec![vec![Cell::of(vec![0; bytes]), Cell::Null]; count];
        for (limit, rows, expected) in [
            (50, rows(50, 10), 200),
            (1_000, rows(1_000, 10), ROWS_AT_ONCE),
            (50, rows(50, 1 << 20), 16),
            (16, rows(16, 10), 64),
            (50, rows(2, 64 << 20), 1),
            (1, rows(1, 64 << 20), 1),
            (50, rows(0, 0), 1),
        ] {
            assert_eq!(next_limit(limit, &rows), expected, "{limit} {}", rows.len());
        }
    }
}
