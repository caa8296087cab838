//! The comparison of all tables with the copy, again and again, within a budget.
//!
//! The database computes a digest of some thousand rows, and the stream's position is asked for before and after. Once the stream was applied up
//! to the second one, the digest must be that of the copy at some commit in between. If not, the part is looked at in smaller parts, and those that
//! differ row by row. A row is unexplained if it is at none of these commits what the copy had, and still is so in three looks over three
//! seconds: a transaction can be in the stream a moment before it can be seen (semi-synchronous and synchronous replication), and one that was
//! committed later can be seen before.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use attestry_tlog::{EMPTY_ROOT, Frontier, leaf_hash};
use tokio::sync::watch;
use tokio::time::Instant;

use super::act::table_event;
use super::compare::{Look, Odd, Verdict};
use super::events::micros;
use super::store::Tracked;
use super::{Database, Outlet, Trouble, Watch};
use crate::cell::{RowHash, chunk_digest, decode_row, encode_row};
use crate::change::Position;
use crate::copy::{Copy, Pass, Place, Span};
use crate::database::{Digest, Reader, Scan};
use crate::table::Key;

/// Looks at a row before it is unexplained.
const LOOKS: u32 = 3;

/// Digests that wait for the stream.
const WAITING_MAX: usize = 16;

/// Rows that are read as such: smaller parts are not halved any more.
const ROWS_READ: u32 = 128;

/// Into how many parts one that differs is divided.
const PARTS: u32 = 16;

/// Rows of a bucket, in tables whose order is not known.
const ROWS_OF_BUCKET: u64 = 256;

/// Parts that are looked at row by row at the same time.
const DOUBTS_MAX: usize = 256;

type Reached = Option<watch::Receiver<Option<Position>>>;

/// A part of a table in which rows are not as the copy has them.
struct Doubt {
    scan: Scan,
    /// Whether it was looked at: what comes into doubt later is for the next pass, or under load this one would never end.
    looked: bool,
    rows: HashMap<Place, Suspect>,
}

impl Doubt {
    fn new(scan: Scan) -> Doubt {
        Doubt { scan, looked: false, rows: HashMap::new() }
    }
}

struct Suspect {
    hash: Option<RowHash>,
    since: Instant,
    looks: u32,
}

/// A table's comparison.
struct TablePass<'a> {
    tracked: &'a Arc<Tracked>,
    reached: Reached,
    waiting: VecDeque<Look>,
    doubts: Vec<Doubt>,
    unexplained: u64,
    rows: u64,
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
            self.compare_all(reader, &mut pass, &reached).await?;
            pass.ended = true;
            self.keep_pass(&pass).await?;
            self.handle.compared(pass.started);
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

    async fn compare_all(
        &self,
        reader: &mut D::Reader,
        pass: &mut Pass,
        reached: &Reached,
    ) -> Result<(), Trouble> {
        let mut tables: Vec<Arc<Tracked>> = self.shared.lock().await.tables.values().cloned().collect();
        tables.sort_by_key(|tracked| tracked.id());
        for tracked in tables {
            if pass.done.contains(&tracked.id()) || tracked.watched.paused.is_some() {
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
                rows: pass.rows,
            };
            let begun = micros(self.options.clock.now());
            let carried = !self.shared.lock().await.streamed.left_out.contains(tracked.watched.name());
            let done = if tracked.table().is_ordered() {
                self.compare_ranges(reader, &mut table, pass).await
            } else {
                self.compare_buckets(reader, &mut table).await
            };
            self.shared.lock().await.window.close();
            done?;
            pass.done.push(tracked.id());
            self.end_table(&tracked, pass, &table, begun, carried).await?;
        }
        Ok(())
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
            let begun = Instant::now();
            let look = self.look(reader, table, after.as_ref(), limit).await?;
            table.rows += look.digest.rows;
            let (rows, next) = (look.digest.rows, upto(&look.digest.scan));
            table.waiting.push_back(look);
            self.judge_waiting(reader, table, WAITING_MAX).await?;
            if table.doubts.len() >= DOUBTS_MAX {
                self.resolve(reader, table).await?;
            }
            let Some(next) = next else { break };
            after = Some(next);
            if kept.elapsed() > Duration::from_secs(5) {
                // Where it goes on after a crash: not past what is still in doubt.
                self.judge_waiting(reader, table, 0).await?;
                self.resolve(reader, table).await?;
                pass.after = after.as_ref().map(|key| encode_row(key));
                (pass.rows, pass.unexplained) = (table.rows, table.unexplained);
                self.keep_pass(pass).await?;
                kept = Instant::now();
            }
            self.within_budget(rows, begun).await;
        }
        self.judge_waiting(reader, table, 0).await?;
        self.resolve(reader, table).await
    }

    async fn compare_buckets(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
    ) -> Result<(), Trouble> {
        let begun = Instant::now();
        let tracked = table.tracked;
        let id = tracked.id();
        let rows = self
            .shared
            .with(move |store| {
                Ok(store.copy.watched()?.iter().find(|one| one.id == id).map_or(0, |one| one.rows))
            })
            .await?;
        let bits = u8::try_from((rows / ROWS_OF_BUCKET).checked_ilog2().map_or(0, |bits| bits + 1))
            .unwrap_or(0)
            .min(16);
        let generation = self.shared.lock().await.window.open();
        let from = self.position(reader, table).await?;
        let digests = reader.digest_buckets(tracked.table(), &self.mask, bits).await?;
        let to = self.position(reader, table).await?;
        let between = from.zip(to);
        let mut by_bucket: HashMap<u32, Digest> = HashMap::new();
        for digest in digests {
            table.rows += digest.rows;
            if let Scan::Bucket { bucket, .. } = digest.scan {
                by_bucket.insert(bucket, digest);
            }
        }
        let count = table.rows;
        for bucket in 0..1u32 << bits {
            let scan = Scan::Bucket { bits, bucket };
            let digest = by_bucket.remove(&bucket).unwrap_or_else(|| Digest {
                scan,
                rows: 0,
                digest: chunk_digest(&mut []),
            });
            let between = between.clone();
            table.waiting.push_back(Look { tracked: Arc::clone(tracked), digest, between, generation });
        }
        self.judge_waiting(reader, table, 0).await?;
        self.resolve(reader, table).await?;
        self.within_budget(count, begun).await;
        Ok(())
    }

    /// Waits until so many rows could be read by the budget.
    async fn within_budget(&self, rows: u64, begun: Instant) {
        let rate = f64::from(self.options.config.reconcile.rows_per_second.max(1));
        tokio::time::sleep_until(begun + Duration::from_secs_f64(rows as f64 / rate)).await;
    }

    async fn position(
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
        table: &TablePass<'_>,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Look, Trouble> {
        let tracked = Arc::clone(table.tracked);
        let generation = self.shared.lock().await.window.open();
        let from = self.position(reader, table).await?;
        let digest = reader.digest_after(tracked.table(), &self.mask, after, limit).await?;
        let to = self.position(reader, table).await?;
        Ok(Look { tracked, digest, between: from.zip(to), generation })
    }

    /// Judges looks until at most `left` wait, and those that the stream has passed anyway.
    async fn judge_waiting(
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
            table.doubts.push(Doubt::new(scan));
            return Ok(());
        };
        if look.digest.rows <= u64::from(ROWS_READ) {
            table.doubts.push(Doubt::new(scan));
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
                table.doubts.push(Doubt::new(part.digest.scan));
            }
        }
        Ok(())
    }

    /// Looks at rows that are in doubt until nothing is.
    async fn resolve(&self, reader: &mut D::Reader, table: &mut TablePass<'_>) -> Result<(), Trouble> {
        loop {
            let mut doubts = std::mem::take(&mut table.doubts);
            for doubt in &mut doubts {
                self.look_at_rows(reader, table, doubt).await?;
            }
            doubts.retain(|doubt| !doubt.rows.is_empty());
            if doubts.is_empty() {
                return Ok(());
            }
            table.doubts = doubts;
            tokio::time::sleep(self.options.patience.again).await;
        }
    }

    async fn look_at_rows(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        doubt: &mut Doubt,
    ) -> Result<(), Trouble> {
        let tracked = Arc::clone(table.tracked);
        let generation = self.shared.lock().await.window.open();
        let from = self.position(reader, table).await?;
        let rows = reader.rows(tracked.table(), &self.mask, &doubt.scan).await?;
        let to = self.position(reader, table).await?;
        if let Some(to) = to {
            wait_for(&mut table.reached, &to).await?;
        }
        let (span, since) = (Span::of(tracked.table(), &doubt.scan), from.clone());
        let looked = Arc::clone(&tracked);
        let (odd, lately) = self
            .shared
            .with(move |store| {
                if store.window.generation() != generation {
                    return Ok((None, Vec::new()));
                }
                let odd = store.odd_rows(&looked, &span, rows, since.as_ref())?;
                let changed = odd.iter().map(|odd| store.changed_at(looked.id(), &odd.place));
                let changed = changed.collect::<Result<Vec<_>, _>>()?;
                Ok((Some(odd), changed))
            })
            .await?;
        // Nothing can be told: as if it had not been looked at.
        let Some(odd) = odd else {
            doubt.rows.entry(Vec::new()).or_insert(Suspect { hash: None, since: Instant::now(), looks: 0 });
            return Ok(());
        };
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
        Ok(())
    }

    /// A table is done: the root of its rows goes into the ledger.
    async fn end_table(
        &self,
        tracked: &Arc<Tracked>,
        pass: &Pass,
        table: &TablePass<'_>,
        begun: i64,
        carried: bool,
    ) -> Result<(), Trouble> {
        let (path, id) = (self.options.copy.clone(), tracked.id());
        // A view of its own: the stream goes on while every row is hashed.
        let rooted = tokio::task::spawn_blocking(move || root(&path, id)).await;
        let (root, rows, position) =
            rooted.map_err(|error| Trouble::Stop(super::WatchError::Panicked(error.to_string())))??;
        let name = tracked.watched.name().clone();
        let time = micros(self.options.clock.now());
        let took_ms = (time - begun) / 1_000;
        let period_s = (time - pass.started) / 1_000_000;
        let number = pass.number.to_be_bytes();
        let mut event = table_event(&self.options.name, "reconcile.pass", &name, time, &[&number])
            .read_only(true)
            .severity(if table.unexplained > 0 { 4 } else { 6 })
            .message(format!("{name} was compared: {} rows, {} different", table.rows, table.unexplained))
            .data("pass", pass.number)
            .data("rows", rows)
            .data("compared_rows", table.rows)
            .data("different", table.unexplained)
            .data("root", root)
            .data("took_ms", took_ms)
            .data("pass_took_s", period_s);
        if let Some(position) = position {
            event = event.data("position", position.to_string());
        }
        let pass = Pass { table: None, after: None, ..pass.clone() };
        self.shared
            .with(move |store| {
                store.copy.begin()?;
                store.copy.tell(&event)?;
                store.copy.set_pass(&pass)?;
                if carried {
                    store.carries(&name)?;
                }
                store.copy.commit()
            })
            .await?;
        self.handle.table_compared(tracked.watched.name());
        self.tell().await
    }

    /// What a watch without the stream cannot see, once per start.
    pub(super) async fn say_what_is_not_seen(&self) -> Result<(), Trouble> {
        if !self.handle.first_polling() {
            return Ok(());
        }
        let name = self.options.name.clone();
        self.shared
            .with(move |store| {
                let time = micros(store.clock.now());
                let event = attestry_event::Event::new("gap.polling", "-")
                    .id(super::events::id(&name, &[b"gap.polling", &time.to_be_bytes()]))
                    .time(super::events::time_of(time))
                    .resource(name.as_str())
                    .severity(5)
                    .message(format!("{name} is watched {}", super::status::POLLING))
                    .data("watch", name);
                store.copy.begin()?;
                store.copy.tell(&event)?;
                store.copy.commit()
            })
            .await?;
        self.tell().await
    }
}

fn upto(scan: &Scan) -> Option<Key> {
    match scan {
        Scan::Range { upto, .. } => upto.clone(),
        Scan::Bucket { .. } => None,
    }
}

/// Waits until the stream was applied up to a position.
async fn wait_for(reached: &mut Reached, to: &Position) -> Result<(), Trouble> {
    let Some(reached) = reached else { return Ok(()) };
    let waited = reached.wait_for(|at| at.as_ref().is_some_and(|at| at >= to)).await;
    waited.map(drop).map_err(|_| Trouble::Begin)
}

/// The Merkle tree hash (RFC 6962) of a table's row hashes in the order of their places: of the keys where their order is known, else of SHA-256
/// of the keys.
fn root(
    path: &std::path::Path,
    watched: i64,
) -> Result<(String, u64, Option<Position>), crate::copy::CopyError> {
    let mut copy = Copy::open_to_read(path)?;
    copy.begin_view()?;
    let position = copy.position()?;
    let mut tree = Frontier::new();
    copy.each_hash(watched, &Span { from: Vec::new(), to: None }, |_, hash| {
        tree.push(leaf_hash(&hash));
        Ok(())
    })?;
    let root = if tree.size() == 0 { EMPTY_ROOT } else { tree.root() };
    Ok((root.to_string(), tree.size(), position))
}
