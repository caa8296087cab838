//! The comparison of all tables with the copy, again and again, within a budget.
//!
//! The database computes a digest of some thousand rows, and the stream's position is asked for before and after. Once the stream was applied up
//! to the second one, the digest must be that of the copy at some commit in between. If not, the part is looked at in smaller parts, and those that
//! differ row by row. A row is unexplained if it is at none of these commits what the copy had, and still is so in three looks over three
//! seconds: a transaction can be in the stream a moment before it can be seen (semi-synchronous and synchronous replication), and one that was
//! committed later can be seen before. What cannot be decided, because too much happens meanwhile, is counted as undecided, and the next pass
//! tries again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::buckets::more_ranges;
use super::compare::{Look, Verdict};
use super::doubts::Doubt;
use super::events::micros;
use super::store::Tracked;
use super::{Database, Outlet, Trouble, Watch};
use crate::cell::{decode_row, encode_row};
use crate::change::Position;
use crate::copy::{Pass, Span};
use crate::database::{Reader, Scan};
use crate::table::Key;

/// Digests that wait for the stream.
const WAITING_MAX: usize = 16;

/// Rows that are read as such: smaller parts are not halved any more.
const ROWS_READ: u32 = 128;

/// Into how many parts one that differs is divided.
const PARTS: u32 = 16;

/// Parts that are looked at row by row at the same time.
const DOUBTS_MAX: usize = 256;

/// The longest that is waited for the budget after one look, in seconds: 30 days.
const OWED_MAX: f64 = 30.0 * 86_400.0;

type Reached = Option<watch::Receiver<Option<Position>>>;

/// A table's comparison.
pub(super) struct TablePass<'a> {
    pub(super) tracked: &'a Arc<Tracked>,
    pub(super) reached: Reached,
    pub(super) waiting: VecDeque<Look>,
    pub(super) doubts: Vec<Doubt>,
    pub(super) unexplained: u64,
    /// Rows that were left undecided.
    pub(super) undecided: u64,
    /// Rows that the database counted.
    pub(super) rows: u64,
    /// Rows that a scan of the whole table reads.
    pub(super) whole: u64,
    /// When the budget has been waited for.
    free_at: Instant,
}

impl TablePass<'_> {
    pub(super) fn give_up(&mut self, doubt: &Doubt) {
        self.undecided += doubt.undecided();
    }
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Compares until the connection ends.
    pub(super) async fn compare_for_ever(
        &self,
        reader: &mut D::Reader,
        reached: Reached,
    ) -> Result<(), Trouble> {
        let every = if reached.is_some() {
            self.options.config.reconcile.every.0
        } else {
            self.options.config.sleep.0
        };
        let mut first = true;
        // Into how many ranges of buckets tables are divided, for as long as the connection lasts.
        let mut ranges: HashMap<i64, u32> = HashMap::new();
        loop {
            let last = self.shared.with(|store| store.copy.pass()).await?;
            let now = micros(self.options.clock.now());
            if let Some(last) = last.as_ref().filter(|last| last.ended) {
                let due = last.started.saturating_add(i64::try_from(every.as_micros()).unwrap_or(i64::MAX));
                // A clock that was set back must not stop the comparison.
                let wait = Duration::from_micros(u64::try_from(due - now).unwrap_or(0)).min(every);
                tokio::time::sleep(wait).await;
                if !first && self.differs(reader).await? {
                    return Err(Trouble::Begin);
                }
            }
            first = false;
            let mut pass = match last {
                Some(begun) if !begun.ended => begun,
                last => Pass {
                    number: last.map_or(0, |last| last.number) + 1,
                    started: micros(self.options.clock.now()),
                    ..Pass::default()
                },
            };
            let decided = self.compare_all(reader, &mut pass, &reached, &mut ranges).await?;
            pass.ended = true;
            self.keep_pass(&pass).await?;
            if decided {
                self.handle.compared(pass.started);
            }
            self.handle.refresh(&self.shared).await?;
        }
    }

    async fn keep_pass(&self, pass: &Pass) -> Result<(), Trouble> {
        let pass = pass.clone();
        self.shared
            .with(move |store| {
                store.copy.begin()?;
                store.copy.set_pass(&pass)?;
                store.copy.commit()
            })
            .await
    }

    /// Compares every table once; says whether all of every one was decided.
    async fn compare_all(
        &self,
        reader: &mut D::Reader,
        pass: &mut Pass,
        reached: &Reached,
        ranges: &mut HashMap<i64, u32>,
    ) -> Result<bool, Trouble> {
        let mut decided = true;
        let mut tables: Vec<Arc<Tracked>> = self.shared.lock().await.tables.values().cloned().collect();
        tables.sort_by_key(|tracked| tracked.id());
        for tracked in tables {
            if pass.done.contains(&tracked.id()) || tracked.watched.paused.is_some() || tracked.watched.gone {
                continue;
            }
            if pass.table != Some(tracked.id()) {
                (pass.table, pass.after, pass.rows, pass.unexplained) = (Some(tracked.id()), None, 0, 0);
            }
            let mut table = TablePass {
                tracked: &tracked,
                reached: reached.clone(),
                waiting: VecDeque::new(),
                doubts: Vec::new(),
                unexplained: pass.unexplained,
                undecided: 0,
                rows: pass.rows,
                whole: 0,
                free_at: Instant::now(),
            };
            let begun = micros(self.options.clock.now());
            let carried = !self.shared.lock().await.streamed.left_out.contains(tracked.watched.name());
            let done = if tracked.table().is_ordered() {
                self.compare_ranges(reader, &mut table, pass).await
            } else {
                let ranges = ranges.get(&tracked.id()).copied().unwrap_or(1);
                self.compare_buckets(reader, &mut table, ranges).await
            };
            self.shared.lock().await.window.close();
            done?;
            if table.undecided == 0 {
                pass.done.push(tracked.id());
            } else {
                decided = false;
                let ranges = ranges.entry(tracked.id()).or_insert(1);
                *ranges = more_ranges(*ranges);
            }
            self.end_table(&tracked, pass, &table, begun, carried).await?;
        }
        Ok(decided)
    }

    async fn compare_ranges(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        pass: &mut Pass,
    ) -> Result<(), Trouble> {
        let limit = self.options.config.reconcile.chunk_rows.max(1);
        let mut after: Option<Key> =
            pass.after.as_deref().map(decode_row).transpose().map_err(crate::copy::CopyError::from)?;
        let mut kept = Instant::now();
        loop {
            let look = self.look(reader, table, after.as_ref(), limit).await?;
            table.rows += look.digest.rows;
            let next = upto(&look.digest.scan);
            table.waiting.push_back(look);
            self.judge_waiting(reader, table, WAITING_MAX).await?;
            if table.doubts.len() >= DOUBTS_MAX {
                self.resolve(reader, table).await?;
            }
            let Some(next) = next else { break };
            after = Some(next);
            // Where it goes on after a crash: not past what is still in doubt, or was left so.
            if kept.elapsed() > Duration::from_secs(5) && table.undecided == 0 {
                self.judge_waiting(reader, table, 0).await?;
                self.resolve(reader, table).await?;
                kept = Instant::now();
                if table.undecided > 0 {
                    continue;
                }
                pass.after = after.as_ref().map(|key| encode_row(key));
                (pass.rows, pass.unexplained) = (table.rows, table.unexplained);
                self.keep_pass(pass).await?;
            }
        }
        self.judge_waiting(reader, table, 0).await?;
        self.resolve(reader, table).await?;
        self.within_budget(table).await;
        Ok(())
    }

    /// Waits until what was read is within the budget.
    pub(super) async fn within_budget(&self, table: &TablePass<'_>) {
        tokio::time::sleep_until(table.free_at).await;
    }

    /// The database read so many rows for a look.
    pub(super) fn charge(&self, table: &mut TablePass<'_>, rows: u64, begun: Instant) {
        let rate = f64::from(self.options.config.reconcile.rows_per_second.max(1));
        let owed = Duration::from_secs_f64((rows as f64 / rate).min(OWED_MAX));
        table.free_at = begun.max(table.free_at) + owed;
    }

    pub(super) async fn position(
        &self,
        reader: &mut D::Reader,
        table: &TablePass<'_>,
    ) -> Result<Option<Position>, Trouble> {
        if table.reached.is_none() {
            return Ok(None);
        }
        Ok(Some(reader.position().await?))
    }

    async fn look(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Look, Trouble> {
        self.within_budget(table).await;
        let tracked = Arc::clone(table.tracked);
        let generation = self.shared.lock().await.window.open(tracked.id(), vec![whole_table()]);
        let begun = Instant::now();
        let from = self.position(reader, table).await?;
        let digest = reader.digest_after(tracked.table(), &self.mask, after, limit).await?;
        let to = self.position(reader, table).await?;
        self.charge(table, digest.rows, begun);
        Ok(Look { tracked, digest, between: from.zip(to), generation })
    }

    /// Judges looks until at most `left` wait, and those that the stream has passed anyway.
    pub(super) async fn judge_waiting(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        left: usize,
    ) -> Result<(), Trouble> {
        while let Some(first) = table.waiting.front() {
            let ready = match (&first.between, &table.reached) {
                (Some((_, to)), Some(reached)) => reached.borrow().as_ref().is_some_and(|at| at >= to),
                _ => true,
            };
            if !ready && table.waiting.len() <= left {
                break;
            }
            if let Some((_, to)) = first.between.clone() {
                wait_for(&mut table.reached, &to).await?;
            }
            let Some(look) = table.waiting.pop_front() else { break };
            let judged = look.clone();
            let oldest = table.waiting.front().and_then(|look| look.between.clone());
            let verdict = self
                .shared
                .with(move |store| {
                    let verdict = store.judge(&judged)?;
                    match (&judged.between, oldest) {
                        // Nobody asks for what was before the oldest look that waits.
                        (Some(_), Some((from, _))) => store.window.forget_until(&from),
                        (Some((_, to)), None) => store.window.forget_until(to),
                        _ => {}
                    }
                    Ok(verdict)
                })
                .await?;
            if verdict != Verdict::Same {
                self.divide(reader, table, look).await?;
            }
        }
        Ok(())
    }

    /// Looks at smaller parts of one that differs, or about which nothing could be told.
    async fn divide(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        look: Look,
    ) -> Result<(), Trouble> {
        let scan = look.digest.scan.clone();
        let Scan::Range { after, upto: last } = &scan else {
            table.doubts.push(Doubt::new(scan, look.digest.rows));
            return Ok(());
        };
        if look.digest.rows <= u64::from(ROWS_READ) {
            table.doubts.push(Doubt::new(scan, look.digest.rows));
            return Ok(());
        }
        let limit = u32::try_from(look.digest.rows / u64::from(PARTS)).unwrap_or(ROWS_READ).max(ROWS_READ);
        let end = Span::of(look.tracked.table(), &scan).to;
        let mut at = after.clone();
        let mut parts = Vec::new();
        loop {
            let part = self.look(reader, table, at.as_ref(), limit).await?;
            let next = upto(&part.digest.scan);
            parts.push(part);
            let Some(next) = next else { break };
            let place = crate::copy::place_of(look.tracked.table(), &next);
            at = Some(next);
            if last.is_some() && end.as_ref().is_some_and(|end| place >= *end) || at == *last {
                break;
            }
        }
        for part in parts {
            if let Some((_, to)) = part.between.clone() {
                wait_for(&mut table.reached, &to).await?;
            }
            let judged = part.clone();
            if self.shared.with(move |store| store.judge(&judged)).await? != Verdict::Same {
                table.doubts.push(Doubt::new(part.digest.scan, part.digest.rows));
            }
        }
        Ok(())
    }
}

pub(super) fn whole_table() -> Span {
    Span { from: Vec::new(), to: None }
}

fn upto(scan: &Scan) -> Option<Key> {
    match scan {
        Scan::Range { upto, .. } => upto.clone(),
        Scan::Bucket { .. } => None,
    }
}

/// Waits until the stream was applied up to a position.
pub(super) async fn wait_for(reached: &mut Reached, to: &Position) -> Result<(), Trouble> {
    let Some(reached) = reached else { return Ok(()) };
    let waited = reached.wait_for(|at| at.as_ref().is_some_and(|at| at >= to)).await;
    waited.map(drop).map_err(|_| Trouble::Begin)
}
