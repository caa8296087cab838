//! Changes of a paused table: kept in the copy in the form they came in, applied in order once it goes on.

use std::sync::Arc;

use attestry_event::{Event, Nanos};
use serde::{Deserialize, Serialize};

use super::act::found_by_comparing;
use super::events::{Shown, change_id, micros, row_event};
use super::follow::same_columns;
use super::store::{Batch, Open, Store, Tracked, run};
use super::tables::without_rules;
use super::{Database, Outlet, Trouble, Watch};
use crate::cell::{Cell, decode_row, encode_row};
use crate::change::{Change, Op, Position, Sent, Transaction};
use crate::copy::{CopyError, Layout, Opening, Origin, SeenBy, Watched};
use crate::rules::{TableRules, UNAPPLIED};
use crate::table::Table;

/// Changes that are applied at once.
const CHANGES_AT_ONCE: u32 = 500;

/// A change as it is kept; rows as row bytes.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    id: String,
    time: i64,
    /// When it was read; changes that were kept by an earlier version do not say it.
    #[serde(default)]
    seen: Option<i64>,
    account: Option<String>,
    ends: Option<String>,
    /// A place within the transaction; an earlier version kept only whole transactions' ends.
    #[serde(default)]
    within: Option<String>,
    number: u64,
    layout: i64,
    op: KeptOp,
}

#[derive(Debug, Deserialize, Serialize)]
enum KeptOp {
    Insert { new: KeptRow },
    Update { key: Vec<u8>, before: Option<Vec<u8>>, new: KeptRow },
    Delete { key: Vec<u8>, before: Option<Vec<u8>> },
    Truncate,
}

/// A new row, and the places of what was not sent.
#[derive(Debug, Deserialize, Serialize)]
struct KeptRow {
    image: Vec<u8>,
    as_before: Vec<usize>,
}

impl KeptRow {
    fn of(sent: &[Sent]) -> KeptRow {
        let as_before =
            sent.iter().enumerate().filter(|(_, sent)| **sent == Sent::AsBefore).map(|(place, _)| place);
        let cells: Vec<Cell> = sent
            .iter()
            .map(|sent| match sent {
                Sent::Cell(cell) => cell.clone(),
                Sent::AsBefore => Cell::Null,
            })
            .collect();
        KeptRow { image: encode_row(&cells), as_before: as_before.collect() }
    }

    fn sent(&self) -> Result<Vec<Sent>, CopyError> {
        let cells = decode_row(&self.image)?.into_iter().enumerate();
        let sent = cells.map(|(place, cell)| match self.as_before.contains(&place) {
            true => Sent::AsBefore,
            false => Sent::Cell(cell),
        });
        Ok(sent.collect())
    }
}

impl Store {
    pub(super) fn park(
        &mut self,
        tracked: &Tracked,
        transaction: &Transaction,
        number: u64,
        change: &Change,
    ) -> Result<(), CopyError> {
        let kept = self.kept(tracked, transaction, number, change)?;
        let bytes = serde_json::to_vec(&kept).map_err(|error| CopyError::damaged(error.to_string()))?;
        self.copy.park(tracked.id(), &bytes)
    }

    /// The event of a change of a table that is gone, which nothing can be applied to.
    pub(super) fn unapplied(
        &mut self,
        tracked: &Tracked,
        transaction: &Transaction,
        number: u64,
        change: &Change,
    ) -> Result<Event, CopyError> {
        self.kept(tracked, transaction, number, change)?.unapplied(&self.watch, &change.table)
    }

    fn kept(
        &mut self,
        tracked: &Tracked,
        transaction: &Transaction,
        number: u64,
        change: &Change,
    ) -> Result<Kept, CopyError> {
        let row = |cells: &Option<Vec<Cell>>| cells.as_deref().map(encode_row);
        let op = match &change.op {
            Op::Insert { new } => KeptOp::Insert { new: KeptRow::of(new) },
            Op::Update { key, before, new } => {
                KeptOp::Update { key: encode_row(key), before: row(before), new: KeptRow::of(new) }
            }
            Op::Delete { key, before } => KeptOp::Delete { key: encode_row(key), before: row(before) },
            Op::Truncate => KeptOp::Truncate,
        };
        let layout = if same_columns(tracked.table(), &change.table) {
            tracked.watched.layout.id
        } else {
            self.copy.layout_of(tracked.id(), &change.table)?
        };
        Ok(Kept {
            id: transaction.id.clone(),
            time: transaction.time.0,
            seen: Some(micros(self.clock.now())),
            account: transaction.who(),
            ends: transaction.ends.as_ref().map(ToString::to_string),
            within: Some(transaction.within.to_string()),
            number,
            layout,
            op,
        })
    }

    /// The table with the columns that a change of it has: its row is kept with those, and what the table has beyond them is read later.
    pub(super) fn as_sent(&mut self, tracked: &Tracked, layout: Layout) -> Result<Arc<Tracked>, CopyError> {
        if let Some(known) = self.as_sent.get(&layout.id) {
            return Ok(Arc::clone(known));
        }
        let config = Arc::clone(&self.config);
        let rules = TableRules::compile(&config, &layout.table)
            .or_else(|_| TableRules::compile(&without_rules(&config), &layout.table));
        let rules = rules.map_err(|_| CopyError::damaged("a table for which no rules can be made"))?;
        let id = layout.id;
        let watched = crate::copy::Watched { layout, ..tracked.watched.clone() };
        let tracked = Arc::new(Tracked { watched, rules: Arc::new(rules) });
        self.as_sent.insert(id, Arc::clone(&tracked));
        Ok(tracked)
    }

    /// Applies the oldest changes that wait for a table, in a transaction that is still to be committed.
    fn apply_some_parked(&mut self, tracked: &Arc<Tracked>) -> Result<Option<Batch>, CopyError> {
        let mut parked = Vec::new();
        for (number, bytes) in self.copy.parked(tracked.id(), CHANGES_AT_ONCE)? {
            let kept: Kept =
                serde_json::from_slice(&bytes).map_err(|error| CopyError::damaged(error.to_string()))?;
            parked.push((number, kept));
        }
        // A transaction is applied whole, if it is not larger than that: within one, rows may have each other's keys for a while.
        if parked.len() == CHANGES_AT_ONCE as usize
            && let Some(cut) = parked.last().map(|(_, kept)| kept.id.clone())
            && parked.first().is_some_and(|(_, kept)| kept.id != cut)
        {
            parked.retain(|(_, kept)| kept.id != cut);
        }
        let Some((last, _)) = parked.last() else { return Ok(None) };
        let last = *last;
        self.copy.begin()?;
        let mut batch = Batch::default();
        let mut open = Open::default();
        let mut current: Option<(Transaction, Origin, i64)> = None;
        for (_, kept) in parked {
            let layout = self.copy.layout(kept.layout)?;
            let as_sent = if layout.id == tracked.watched.layout.id {
                Arc::clone(tracked)
            } else {
                self.as_sent(tracked, layout)?
            };
            let op = match &kept.op {
                KeptOp::Insert { new } => Op::Insert { new: new.sent()? },
                KeptOp::Update { key, before, new } => Op::Update {
                    key: decode_row(key)?,
                    before: before.as_deref().map(decode_row).transpose()?,
                    new: new.sent()?,
                },
                KeptOp::Delete { key, before } => Op::Delete {
                    key: decode_row(key)?,
                    before: before.as_deref().map(decode_row).transpose()?,
                },
                KeptOp::Truncate => Op::Truncate,
            };
            let change = Change { table: Arc::clone(as_sent.table()), op };
            if current.as_ref().is_none_or(|(transaction, ..)| transaction.id != kept.id) {
                if let Some((_, origin, origin_id)) = current.take() {
                    self.displaced_for_good(&origin, origin_id, &mut open, &mut batch)?;
                }
                let origin = kept.origin();
                let origin_id = self.copy.add_origin(&origin)?;
                current = Some((kept.transaction()?, origin, origin_id));
            }
            if let Some((transaction, origin, origin_id)) = &current {
                let (transaction, origin, origin_id) = (transaction.clone(), origin.clone(), *origin_id);
                self.change(
                    &as_sent,
                    &transaction,
                    &origin,
                    origin_id,
                    kept.number,
                    &change,
                    &mut open,
                    &mut batch,
                )?;
            }
        }
        if let Some((_, origin, origin_id)) = current {
            self.displaced_for_good(&origin, origin_id, &mut open, &mut batch)?;
        }
        self.copy.unpark(tracked.id(), last)?;
        Ok(Some(batch))
    }
}

impl Store {
    /// What waits for a table cannot be applied any more, because its rows are taken anew: each change is told as the stream said it, and a violation
    /// that the copy has not followed them. In a transaction.
    pub(super) fn give_up_parked(&mut self, watched: &Watched) -> Result<(), CopyError> {
        let mut count = 0_u64;
        loop {
            let parked = self.copy.parked(watched.id, CHANGES_AT_ONCE)?;
            let Some((last, _)) = parked.last() else { break };
            let last = *last;
            for (_, bytes) in parked {
                let kept: Kept =
                    serde_json::from_slice(&bytes).map_err(|error| CopyError::damaged(error.to_string()))?;
                let table = self.copy.layout(kept.layout)?.table;
                self.copy.tell(&kept.unapplied(&self.watch, &table)?)?;
                count += 1;
            }
            self.copy.unpark(watched.id, last)?;
        }
        if count == 0 {
            return Ok(());
        }
        let time = micros(self.clock.now());
        let description = format!(
            "the rows were taken anew: {count} changes that came while the table was paused are told, and not held against the rules"
        );
        let opening = Opening::of_table(watched.id, watched.layout.id, UNAPPLIED, &description, time);
        let origin = found_by_comparing(time, false);
        let event = self.breach(&watched.layout.table, &Vec::new(), &opening, &origin)?;
        self.copy.tell(&event)
    }
}

impl Kept {
    fn origin(&self) -> Origin {
        Origin {
            seen_by: SeenBy::Stream,
            position: self.ends.clone(),
            transaction: Some(self.id.clone()),
            time: micros(Nanos(self.time)),
            seen: self.seen,
            account: self.account.clone(),
            unexplained: false,
        }
    }

    /// What it was a part of.
    fn transaction(&self) -> Result<Transaction, CopyError> {
        let position =
            |text: &String| text.parse::<Position>().map_err(|error| CopyError::damaged(error.to_string()));
        let ends = self.ends.as_ref().map(position).transpose()?;
        let within = self.within.as_ref().map(position).transpose()?;
        Ok(Transaction {
            id: self.id.clone(),
            time: Nanos(self.time),
            account: self.account.clone(),
            connection: None,
            comment: None,
            // Neither: a part that an earlier version kept, which only came after every snapshot.
            within: within.or_else(|| ends.clone()).unwrap_or(Position::Wal(u64::MAX)),
            first: 0,
            changes: Vec::new(),
            ends,
        })
    }

    /// Its event, when the copy does not have the row.
    fn unapplied(&self, watch: &str, table: &Table) -> Result<Event, CopyError> {
        let mut shown = Shown::default();
        let known = |row: &KeptRow, shown: &mut Shown| -> Result<_, CopyError> {
            let mut cells = shown.row(table, &decode_row(&row.image)?);
            for column in row.as_before.iter().filter_map(|place| table.columns.get(*place)) {
                cells.remove(&column.name);
            }
            Ok(cells)
        };
        let key = |key: &[u8], shown: &mut Shown| Ok::<_, CopyError>(shown.key(table, &decode_row(key)?));
        let (name, data) = match &self.op {
            KeptOp::Insert { new } => ("row.insert", vec![("row", known(new, &mut shown)?)]),
            KeptOp::Update { key: of, before, new } => {
                let mut data = vec![("key", key(of, &mut shown)?)];
                match before {
                    Some(before) if new.as_before.is_empty() => {
                        let (before, new) = (decode_row(before)?, decode_row(&new.image)?);
                        data.push(("changes", shown.changes(table, &before, &new)));
                    }
                    _ => data.push(("row", known(new, &mut shown)?)),
                }
                ("row.update", data)
            }
            KeptOp::Delete { key: of, .. } => ("row.delete", vec![("key", key(of, &mut shown)?)]),
            KeptOp::Truncate => ("row.truncate", Vec::new()),
        };
        let id = change_id(watch, &self.id, self.time, &table.name, self.number);
        let mut event = row_event(name, id, table, &self.origin())
            .severity(4)
            .message(format!("a change of {} could not be applied, and is not in the copy", table.name))
            .data("unapplied", true);
        for (name, fields) in data {
            event = event.data(name, fields);
        }
        Ok(event)
    }
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Applies what waited for tables that go on.
    pub(super) async fn apply_parked(&self) -> Result<(), Trouble> {
        let tables: Vec<Arc<Tracked>> = {
            let guard = self.shared.lock().await;
            guard
                .tables
                .values()
                .filter(|tracked| tracked.watched.paused.is_none() && !tracked.watched.gone)
                .cloned()
                .collect()
        };
        for tracked in tables {
            loop {
                let guard = self.shared.lock().await;
                let table = Arc::clone(&tracked);
                let applied = run(guard, move |store| store.apply_some_parked(&table)).await?;
                let (guard, Some(mut batch)) = applied else { break };
                let events = std::mem::take(&mut batch.events);
                if !events.is_empty() {
                    self.outlet.send(events).await?;
                }
                run(guard, move |store| store.commit(&mut batch)).await?;
            }
        }
        Ok(())
    }
}
