//! The watch of a database: baseline, change stream, comparison, violations.
//!
//! A *session* lasts as long as the connections do: tables are read and compared with what the copy knows of them, a baseline is taken of those
//! that are new, then the stream is followed while every table is compared, again and again. When a connection is lost, a table changes or
//! a change of the schema is signed off, the next session begins, from what the copy says: recovery is the ordinary path.
//!
//! Exactly once: a batch of changes goes into an open transaction of the copy, its events are made durable by the [`Outlet`], then the
//! transaction is committed with the stream's position. After a crash in between, the stream gives the same changes again, and they give
//! the same events with the same ids. What does not come from the stream (a comparison, a sign-off, a change of a schema) is first durable in
//! the copy together with its events, and those are told from there until they were taken.

mod act;
mod apply;
mod away;
mod baseline;
mod buckets;
mod checks;
mod compare;
mod compared;
mod connect;
mod doubts;
mod errands;
mod events;
mod feed;
mod follow;
mod found;
mod parked;
mod project;
mod reconcile;
mod schema;
mod status;
mod store;
mod streamed;
mod tables;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Clock, Event};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::cell::MaskKey;
use crate::change::{Position, Prepared};
use crate::config::WatchConfig;
use crate::copy::{Copy, CopyError};
use crate::database::{Changes, DbError, Reader};
use crate::table::{Name, Table};

pub use act::UNEXPLAINED;
pub use apply::TRUNCATED;
pub use connect::{Mysql, Postgres};
pub use schema::SCHEMA;
pub use status::{Handle, Phase, Projection, Status, TableStatus};

use store::{Shared, Store};

/// How long to wait before a lost connection is tried again, at first; doubled each time, up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// The longest wait before a lost connection is tried again.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Steps of the stream that wait to be applied.
const STEPS_AHEAD: usize = 64;

/// What can be connected to.
pub trait Database: Send + Sync + 'static {
    /// Reads tables.
    type Reader: Reader;
    /// Follows the stream.
    type Changes: Changes;

    /// A connection that reads.
    fn reader(&self) -> impl Future<Output = Result<Self::Reader, DbError>> + Send;

    /// The stream of these tables, each with what it is now and after that with what it was before, which is how what comes first may have it; from a position on; without one from now on, with whatever has to be made on the server for that. Gives
    /// [`DbError::Lost`] when the stream cannot be taken up from there. `prepared` is what [`Step::Prepared`](crate::Step::Prepared) said last before
    /// it, and `server` what [`Reader::server`] said when the first position was noted.
    fn changes(
        &self,
        tables: Vec<Arc<Table>>,
        mask: &MaskKey,
        from: Option<&Position>,
        prepared: &[Prepared],
        server: Option<&str>,
    ) -> impl Future<Output = Result<Self::Changes, DbError>> + Send;

    /// Whether the server keeps more of its log for this watch than the configuration lets it.
    fn keeps_too_much(&self) -> impl Future<Output = Result<bool, DbError>> + Send {
        async { Ok(false) }
    }

    /// Has the server keep nothing for this watch any more, which must not be reading. The stream cannot be taken up again then.
    fn let_go(&self) -> impl Future<Output = Result<(), DbError>> + Send {
        async { Ok(()) }
    }
}

/// Where events go.
pub trait Outlet: Send + Sync + 'static {
    /// Returns when the events are durable. The same events may come again with the same ids and contents.
    ///
    /// # Errors
    /// [`Stopped`] when nothing is taken any more.
    fn send(&self, events: Vec<Event>) -> impl Future<Output = Result<(), Stopped>> + Send;
}

/// The outlet takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is taken any more")]
pub struct Stopped;

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The copy does not work.
    #[error("the copy of the watch does not work")]
    Copy(#[from] CopyError),
    /// Its events are not taken.
    #[error("its events are not taken any more")]
    Outlet(#[from] Stopped),
    /// A defect.
    #[error("it panicked: {0}")]
    Panicked(String),
}

/// Why a session ended.
#[derive(Debug)]
enum Trouble {
    Database(DbError),
    Stop(WatchError),
    /// Something changed; begin at once.
    Begin,
}

impl From<DbError> for Trouble {
    fn from(error: DbError) -> Trouble {
        Trouble::Database(error)
    }
}

impl From<CopyError> for Trouble {
    fn from(error: CopyError) -> Trouble {
        Trouble::Stop(WatchError::Copy(error))
    }
}

impl From<Stopped> for Trouble {
    fn from(error: Stopped) -> Trouble {
        Trouble::Stop(WatchError::Outlet(error))
    }
}

/// Where the stream is taken up.
#[derive(Clone)]
struct Begin {
    position: Position,
    prepared: Vec<Prepared>,
    server: Option<String>,
}

/// What a watch is started with.
#[derive(Clone)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// What is watched.
    pub config: WatchConfig,
    /// The copy's file.
    pub copy: PathBuf,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long rows are looked at before they are unexplained.
    pub patience: Patience,
}

/// How long rows that are not as the copy has them are looked at before they are unexplained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Between two looks.
    pub again: Duration,
    /// The least time over which the looks are spread.
    pub over: Duration,
    /// The same for rows that the stream has changed within this time: what is seen may be what it was before, for as long as a commit
    /// waits for a replica.
    pub lately: Duration,
    /// Between two looks at the tables' definitions: not every stream tells of a change before the next change of a row.
    pub tables: Duration,
    /// How long the database may be away, or refuse us, before that is an event.
    pub away: Duration,
    /// Between two looks at what the server keeps for us.
    pub tend: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            again: Duration::from_secs(1),
            over: Duration::from_secs(3),
            lately: Duration::from_secs(30),
            tables: Duration::from_secs(60),
            away: Duration::from_secs(300),
            tend: Duration::from_secs(60),
        }
    }
}

/// A watch, ready to run.
pub struct Watch<D, O> {
    database: D,
    outlet: O,
    options: Options,
    shared: Shared,
    handle: Handle,
    mask: MaskKey,
    /// Columns in the stream that are not those of their table, and were looked into.
    strange: Mutex<HashSet<(Name, String)>>,
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Opens the copy. Blocks.
    ///
    /// # Errors
    /// When the copy cannot be opened.
    pub fn open(database: D, outlet: O, options: Options) -> Result<(Watch<D, O>, Handle), CopyError> {
        let mut copy = Copy::open(&options.copy)?;
        crate::projection::prepare(&mut copy, &options.config)?;
        if options.config.start_empty {
            copy.begin()?;
            copy.start_again()?;
            copy.commit()?;
        }
        let mask = copy.mask().clone();
        let config = Arc::new(options.config.clone());
        let shared = Shared::new(Store::new(&options.name, copy, Arc::clone(&options.clock), config));
        let handle = Handle::new(&options, &shared);
        let watch = Watch {
            database,
            outlet,
            options,
            shared,
            handle: handle.clone(),
            mask,
            strange: Mutex::default(),
        };
        Ok((watch, handle))
    }

    /// Watches until `stop` is done; then at once, and the next run goes on exactly there.
    ///
    /// # Errors
    /// When the copy or the outlet does not work; a database that does not is tried again.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), WatchError> {
        let ended = tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = self.sessions() => ended,
            ended = self.errands() => ended,
            ended = self.tend() => ended,
            ended = self.project() => ended,
        };
        // A commit that is under way goes on on its thread. Another watch of the same copy must not begin at a position from before it.
        let settled = self.shared.with(Store::settle).await;
        match (ended, settled) {
            (Ok(()), Err(Trouble::Stop(error))) => Err(error),
            (ended, _) => ended,
        }
    }

    async fn sessions(&self) -> Result<(), WatchError> {
        let mut wait = WAIT_FIRST;
        loop {
            let begun = tokio::time::Instant::now();
            let ended = tokio::select! {
                ended = self.session() => ended,
                () = self.handle.restarted() => Err(Trouble::Begin),
            };
            let settled = self.shared.with(Store::settle).await;
            // It worked for longer than it was waited for: what ended it is something new.
            if begun.elapsed() > wait {
                wait = WAIT_FIRST;
            }
            let (phase, why) = match settled.and(ended) {
                Ok(()) | Err(Trouble::Begin) => {
                    wait = WAIT_FIRST;
                    continue;
                }
                Err(Trouble::Stop(error)) => return Err(error),
                Err(Trouble::Database(DbError::Again(why))) => (Phase::Waiting, why),
                Err(Trouble::Database(DbError::Refused(why))) => {
                    wait = WAIT_MAX;
                    (Phase::Refused, why)
                }
                Err(Trouble::Database(DbError::Lost(why))) => {
                    self.lost(why.clone()).await?;
                    (Phase::Waiting, why)
                }
            };
            tracing::warn!(watch = self.options.name, why, ?wait, "the watch begins again after a while");
            self.handle.phase(phase, Some(why.clone()));
            if let Err(Trouble::Stop(error)) = self.is_away(&why).await {
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.handle.restarted() => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn session(&self) -> Result<(), Trouble> {
        self.handle.phase(Phase::Starting, None);
        let mut reader = self.database.reader().await?;
        let found = reader.tables(&self.options.config).await?;
        let tables = self.settle_tables(found).await?;
        self.tell().await?;
        self.handle.refresh(&self.shared).await?;
        if !self.options.config.stream {
            self.take_baseline(&mut reader).await?;
            self.handle.phase(Phase::Polling, Some(status::POLLING.to_owned()));
            self.say_what_is_not_seen().await?;
            self.is_back().await?;
            return tokio::select! {
                ended = self.compare_for_ever(&mut reader, None) => ended,
                ended = self.check_for_ever() => ended,
            };
        }
        let tables = self.shared.with(move |store| store.with_earlier(tables)).await?;
        let Begin { position, prepared, server } = self.begin_of_stream(&mut reader, &tables).await?;
        self.take_baseline(&mut reader).await?;
        // After the baseline: what it took over again is in its rows.
        self.apply_parked().await?;
        let server = server.as_deref();
        let changes = self.database.changes(tables, &self.mask, Some(&position), &prepared, server).await?;
        let left_out = reader.left_out(&self.options.config).await?;
        self.note_streamed(left_out).await?;
        self.handle.phase(Phase::Following, None);
        self.is_back().await?;
        let (steps, waiting) = mpsc::channel(STEPS_AHEAD);
        let (confirm, confirmed) = watch::channel(None);
        let (applied, reached) = watch::channel(Some(position));
        tokio::select! {
            ended = feed::feed(changes, steps, confirmed) => ended.map_err(Trouble::from),
            ended = self.follow(waiting, confirm, applied) => ended,
            ended = self.compare_for_ever(&mut reader, Some(reached)) => ended,
            ended = self.check_for_ever() => ended,
            ended = self.look_at_tables_for_ever() => ended,
        }
    }

    /// Where the stream is taken up. The first time its end now is noted before the first snapshot, which is then after it.
    async fn begin_of_stream(&self, reader: &mut D::Reader, tables: &[Arc<Table>]) -> Result<Begin, Trouble> {
        let known =
            |store: &mut Store| Ok((store.copy.position()?, store.copy.prepared()?, store.copy.server()?));
        let (known, mut prepared, expected) = self.shared.with(known).await?;
        let server = reader.server().await?;
        let other = expected.is_some() && server.is_some() && expected != server;
        if let Some(position) = known {
            if let (true, Some(expected), Some(found)) = (other, &expected, &server) {
                return Err(Trouble::Database(DbError::Lost(format!(
                    "this is another server than the one that was read before, or it was restored: found {found}, expected {expected}"
                ))));
            }
            return Ok(Begin { position, prepared, server: expected.or(server) });
        }
        if other {
            prepared.clear();
        }
        let changes = self.database.changes(tables.to_vec(), &self.mask, None, &prepared, server.as_deref());
        let mut changes = changes.await?;
        let (position, now) = feed::first_reached(&mut changes).await?;
        let mut prepared = now.unwrap_or(prepared);
        // The log may begin anew, with numbers that it had before.
        prepared.retain(|one| one.since < position);
        let begin = Begin { position, prepared, server };
        let kept = begin.clone();
        self.shared
            .with(move |store| {
                store.copy.begin()?;
                store.copy.set_position(&kept.position)?;
                store.copy.set_prepared(&kept.prepared)?;
                store.copy.set_server(kept.server.as_deref())?;
                store.copy.commit()
            })
            .await?;
        changes.confirm(&begin.position).await?;
        Ok(begin)
    }

    /// The stream cannot be taken up again: a gap, and all tables have to be compared.
    async fn lost(&self, why: String) -> Result<(), WatchError> {
        let name = self.options.name.clone();
        let done = self.shared.with(move |store| {
            let time = events::micros(store.clock.now());
            let position = store.copy.position()?.map(|position| position.to_string());
            let message = format!("the change stream of {name} cannot be taken up where it was: {why}");
            let event = events::gap(&name, time, position.as_deref(), message, why);
            store.copy.begin()?;
            for watched in store.copy.watched()?.iter().filter(|watched| !watched.done) {
                // Its rows are taken again.
                store.give_up_parked(watched)?;
            }
            store.copy.lose_stream()?;
            store.copy.tell(&event)?;
            store.copy.commit()
        });
        match done.await {
            Ok(()) => Ok(()),
            Err(Trouble::Stop(error)) => Err(error),
            Err(_) => Ok(()),
        }
    }
}
