//! The stream, batch by batch: into the copy, out as events, committed. The commit point of a watch.

use std::time::{Duration, Instant};

use attestry_event::Event;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::events::{gap, id, micros};
use super::store::{Batch, Store, run};
use super::{Database, Outlet, Trouble, Watch};
use crate::change::{Position, Step};
use crate::copy::CopyError;
use crate::table::Table;

/// How many changes are committed at once, at most and apart from what one step holds.
const CHANGES_AT_ONCE: usize = 2_000;

/// While one batch follows another so closely, the next waits as long for more: a commit costs as much as many small transactions.
const GATHER: Duration = Duration::from_millis(20);

/// How often the position is kept while nothing of the watched tables changes.
const IDLE: Duration = Duration::from_secs(10);

/// What a batch did, for the pages.
struct Done {
    batch: Batch,
    position: Option<Position>,
    last_change: Option<i64>,
    schema: bool,
}

impl<D: Database, O: Outlet> Watch<D, O> {
    pub(super) async fn follow(
        &self,
        mut waiting: mpsc::Receiver<Step>,
        confirm: watch::Sender<Option<Position>>,
        applied: watch::Sender<Option<Position>>,
    ) -> Result<(), Trouble> {
        let mut kept = Instant::now();
        let mut ended: Option<Instant> = None;
        while let Some(first) = waiting.recv().await {
            if ended.is_some_and(|ended| ended.elapsed() < GATHER) {
                tokio::time::sleep(GATHER).await;
            }
            let mut steps = vec![first];
            let mut changes = steps.iter().map(changes_of).sum::<usize>();
            while changes < CHANGES_AT_ONCE && !matches!(steps.last(), Some(Step::Schema { .. })) {
                let Ok(step) = waiting.try_recv() else { break };
                changes += changes_of(&step);
                steps.push(step);
            }
            self.look_into_strange_columns(&steps).await?;
            let guard = self.shared.lock().await;
            if changes == 0
                && kept.elapsed() < IDLE
                && steps.iter().all(|step| matches!(step, Step::Reached(_)))
            {
                if let Some(Step::Reached(position)) = steps.pop() {
                    applied.send_replace(Some(position));
                    self.handle.reached();
                }
                continue;
            }
            kept = Instant::now();
            let name = self.options.name.clone();
            let (guard, mut done) = run(guard, move |store| store.take(&name, &steps)).await?;
            let events = std::mem::take(&mut done.batch.events);
            if !events.is_empty() {
                self.outlet.send(events).await?;
            }
            // The events are durable. If this does not come to an end, the same ones come again.
            let (guard, done) = run(guard, move |store| {
                store.commit(&mut done.batch)?;
                Ok(done)
            })
            .await?;
            drop(guard);
            ended = Some(Instant::now());
            self.handle.applied(done.position.as_ref(), done.last_change, done.batch.changes);
            if let Some(position) = done.position {
                applied.send_replace(Some(position.clone()));
                confirm.send_replace(Some(position));
            }
            if done.schema && self.schema_differs().await? {
                return Err(Trouble::Begin);
            }
        }
        Ok(())
    }

    /// Rows in the stream that have other columns than their table: what the database says of the table now is looked at, once.
    async fn look_into_strange_columns(&self, steps: &[Step]) -> Result<(), Trouble> {
        let mut strange = Vec::new();
        {
            let guard = self.shared.lock().await;
            for step in steps {
                let Step::Transaction(transaction) = step else { continue };
                for change in &transaction.changes {
                    let Some(tracked) = guard.tables.get(&change.table.name) else { continue };
                    let same = std::sync::Arc::ptr_eq(tracked.table(), &change.table)
                        || same_columns(tracked.table(), &change.table);
                    if !same && tracked.watched.paused.is_none() {
                        let names: Vec<&str> =
                            change.table.columns.iter().map(|column| column.name.as_str()).collect();
                        strange.push((change.table.name.clone(), names.join(",")));
                    }
                }
            }
        }
        let mut known = self.strange.lock();
        let news = strange.into_iter().filter(|one| known.insert(one.clone())).count();
        if news > 0 { Err(Trouble::Begin) } else { Ok(()) }
    }
}

/// Whether rows of both have the same columns.
pub(super) fn same_columns(one: &Table, other: &Table) -> bool {
    one.key == other.key
        && one.columns.len() == other.columns.len()
        && one.columns.iter().zip(&other.columns).all(|(one, other)| one.name == other.name)
}

fn changes_of(step: &Step) -> usize {
    match step {
        Step::Transaction(transaction) => transaction.changes.len(),
        Step::Schema { .. } | Step::Prepared { .. } | Step::Gap { .. } | Step::Reached(_) => 0,
    }
}

impl Store {
    /// Applies steps, in a transaction that is still to be committed.
    fn take(&mut self, watch: &str, steps: &[Step]) -> Result<Done, CopyError> {
        self.copy.begin()?;
        let mut done = Done { batch: Batch::default(), position: None, last_change: None, schema: false };
        let mut prepared = None;
        for step in steps {
            match step {
                Step::Transaction(transaction) => {
                    self.apply(transaction, &mut done.batch)?;
                    done.last_change = Some(micros(transaction.time));
                    if let Some(end) = &transaction.ends {
                        done.position = Some(end.clone());
                    }
                }
                Step::Reached(position) => done.position = Some(position.clone()),
                Step::Prepared { position, prepared: now } => {
                    done.position = Some(position.clone());
                    prepared = Some(now);
                }
                Step::Gap { position, time, reason } => {
                    let message = format!("the change stream of {watch} leaves something out: {reason}");
                    let at = position.to_string();
                    let event = gap(watch, micros(*time), Some(&at), message, reason.clone());
                    done.batch.events.push(event);
                    done.position = Some(position.clone());
                }
                Step::Schema { position, time, tables, statement, account } => {
                    let at = position.to_string();
                    let mut event = Event::new("schema.change", account.as_deref().unwrap_or("-"))
                        .id(id(
                            watch,
                            &[b"schema.change", at.as_bytes(), statement.as_deref().unwrap_or("").as_bytes()],
                        ))
                        .time(*time)
                        .resource(watch)
                        .severity(5)
                        .message("the definition of tables changed")
                        .data("position", at);
                    let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
                    event = event.data("tables", names);
                    if let Some(statement) = statement {
                        let statement = match self.config.masks_any() {
                            true => crate::mysql::without_values(statement),
                            false => statement.clone(),
                        };
                        event = event.data("statement", Value::from(bounded(&statement)));
                    }
                    done.batch.events.push(event);
                    done.position = Some(position.clone());
                    done.schema = true;
                }
            }
        }
        if let Some(position) = &done.position {
            self.copy.set_position(position)?;
        }
        if let Some(prepared) = prepared {
            self.copy.set_prepared(prepared)?;
        }
        Ok(done)
    }
}

/// The beginning of a statement.
fn bounded(statement: &str) -> &str {
    const STATEMENT_BYTES: usize = 2_000;
    let mut end = statement.len().min(STATEMENT_BYTES);
    while !statement.is_char_boundary(end) {
        end -= 1;
    }
    statement.get(..end).unwrap_or_default()
}
