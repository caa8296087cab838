//! The copy with what is known of its tables while a watch runs.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use attestry_event::{Clock, Event};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Trouble;
use super::window::{CHANGES_MAX, Changed, Window};
use crate::cell::{Cell, decode_row};
use crate::change::Position;
use crate::config::WatchConfig;
use crate::copy::{Copy, CopyError, Place, Stored, Streamed, Watched};
use crate::rules::TableRules;
use crate::table::{Name, Table};

/// A table that is watched.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) watched: Watched,
    pub(super) rules: Arc<TableRules>,
}

impl Tracked {
    pub(super) fn id(&self) -> i64 {
        self.watched.id
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.watched.layout.table
    }
}

/// See the [module](self).
pub(super) struct Store {
    /// The watch's name.
    pub(super) watch: Arc<str>,
    pub(super) copy: Copy,
    pub(super) window: Window,
    pub(super) tables: HashMap<Name, Arc<Tracked>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Arc<WatchConfig>,
    /// Which tables the stream carries.
    pub(super) streamed: Streamed,
    /// Tables with columns that they do not have now, as the stream sent them.
    pub(super) as_sent: HashMap<i64, Arc<Tracked>>,
    /// The transaction of which only a part was applied so far.
    pub(super) open: Option<Open>,
}

/// A transaction that is being applied.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) time: i64,
    /// How many of its changes were applied, of each table.
    pub(super) done: HashMap<Name, u64>,
    /// How many of its changes were given since it was given from its beginning.
    pub(super) given: HashMap<Name, u64>,
    /// Whether the copy keeps what was done.
    pub(super) kept: bool,
    pub(super) origin: Option<i64>,
    pub(super) changed: Vec<Changed>,
    /// Whether `changed` is not all: nobody looked when it began, or it is too much to remember.
    pub(super) partly: bool,
    /// Rows whose key another row took before they left it, as swapped keys do within a transaction.
    pub(super) displaced: HashMap<(i64, Place), Stored>,
}

impl Open {
    /// The number of the next change of a table among the transaction's; none if it was applied before.
    pub(super) fn next(&mut self, table: &Name) -> Option<u64> {
        if !self.given.contains_key(table) {
            self.given.insert(table.clone(), 0);
        }
        let given = self.given.get_mut(table)?;
        let number = *given;
        *given += 1;
        let done = match self.done.get_mut(table) {
            Some(done) => done,
            None => self.done.entry(table.clone()).or_default(),
        };
        if number < *done {
            return None;
        }
        *done = number + 1;
        Some(number)
    }

    /// Remembers a change for those who look at the database meanwhile.
    pub(super) fn note(&mut self, window: &Window, changed: Changed) {
        self.partly |= !window.is_open() || self.changed.len() >= CHANGES_MAX;
        if self.partly {
            self.changed = Vec::new();
        } else {
            self.changed.push(changed);
        }
    }

    /// All that it changed, unless only a part was remembered.
    pub(super) fn changed(&mut self) -> Option<Vec<Changed>> {
        (!self.partly).then(|| std::mem::take(&mut self.changed))
    }
}

/// What a batch of changes gives.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) ended: Vec<(Option<Vec<Changed>>, Position)>,
    pub(super) changes: u64,
}

impl Store {
    pub(super) fn new(watch: &str, copy: Copy, clock: Arc<dyn Clock>, config: Arc<WatchConfig>) -> Store {
        Store {
            watch: Arc::from(watch),
            copy,
            window: Window::default(),
            tables: HashMap::new(),
            clock,
            config,
            streamed: Streamed::default(),
            as_sent: HashMap::new(),
            open: None,
        }
    }

    /// Undoes what was not committed, and forgets what was only known of it.
    pub(super) fn settle(&mut self) -> Result<(), CopyError> {
        self.open = None;
        self.as_sent.clear();
        self.window.close();
        self.copy.roll_back()
    }

    /// Whether a table is watched and there.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.tables.get(name).is_some_and(|tracked| !tracked.watched.gone)
    }

    pub(super) fn by_id(&self, watched: i64) -> Option<Arc<Tracked>> {
        self.tables.values().find(|tracked| tracked.id() == watched).cloned()
    }

    /// Makes a batch durable in the copy. Its events are durable already.
    pub(super) fn commit(&mut self, batch: &mut Batch) -> Result<(), CopyError> {
        self.copy.commit()?;
        for (changed, end) in batch.ended.drain(..) {
            self.remember(changed, &end);
        }
        Ok(())
    }

    /// What a transaction that ends here changed.
    pub(super) fn remember(&mut self, changed: Option<Vec<Changed>>, end: &Position) {
        match changed {
            Some(changed) => self.window.push(changed, end),
            None => self.window.forget(),
        }
    }

    /// A row's cells in the columns that its table has now, and the places of those that are not known: columns that were added or have another
    /// type since.
    pub(super) fn cells_of(
        &mut self,
        tracked: &Tracked,
        row: &Stored,
    ) -> Result<(Vec<Cell>, Vec<usize>), CopyError> {
        let cells = decode_row(&row.image)?;
        if row.layout == tracked.watched.layout.id {
            return Ok((cells, Vec::new()));
        }
        let old = self.copy.layout(row.layout)?.table;
        Ok(project(&old, &cells, tracked.table()))
    }
}

/// Cells of one table's columns in another one's, by name, and the places that are not known.
pub(super) fn project(from: &Table, cells: &[Cell], to: &Table) -> (Vec<Cell>, Vec<usize>) {
    let mut unknown = Vec::new();
    let cells = to.columns.iter().enumerate().map(|(place, column)| {
        let source = from.place_of(&column.name);
        let same = source.and_then(|source| from.columns.get(source)).is_some_and(|known| {
            (&known.kind, &known.sql_type, known.masked) == (&column.kind, &column.sql_type, column.masked)
        });
        if !same {
            unknown.push(place);
        }
        source.and_then(|source| cells.get(source)).cloned().unwrap_or(Cell::Null)
    });
    (cells.collect(), unknown)
}

/// Whether two rows differ in a column that is known.
pub(super) fn differ(one: &[Cell], other: &[Cell], unknown: &[usize]) -> bool {
    one.len() != other.len()
        || one
            .iter()
            .zip(other)
            .enumerate()
            .any(|(place, (one, other))| one != other && !unknown.contains(&place))
}

/// The store, for everything that runs at the same time.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Store>>);

impl Shared {
    pub(super) fn new(store: Store) -> Shared {
        Shared(Arc::new(Mutex::new(store)))
    }

    /// Does something with the store on a thread that may block.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, CopyError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let guard = self.lock().await;
        Ok(run(guard, work).await?.1)
    }

    /// The store, for as long as the watch keeps it.
    pub(super) fn downgrade(&self) -> Weak<Mutex<Store>> {
        Arc::downgrade(&self.0)
    }

    /// The store alone, for what takes several steps.
    pub(super) async fn lock(&self) -> OwnedMutexGuard<Store> {
        Arc::clone(&self.0).lock_owned().await
    }
}

/// Does something with a locked store on a thread that may block.
pub(super) async fn run<T: Send + 'static>(
    mut guard: OwnedMutexGuard<Store>,
    work: impl FnOnce(&mut Store) -> Result<T, CopyError> + Send + 'static,
) -> Result<(OwnedMutexGuard<Store>, T), Trouble> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut guard);
        (guard, done)
    });
    match done.await {
        Ok((guard, done)) => Ok((guard, done?)),
        Err(error) => Err(Trouble::Stop(super::WatchError::Panicked(error.to_string()))),
    }
}
