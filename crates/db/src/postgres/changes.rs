//! Following the stream: as the server sends it ([`pushed`](super::pushed)), or, where nobody may replicate, by asking for it
//! ([`poll`](super::poll)).
//!
//! Either way it is the same slot and the same messages. The slot moves with [`PostgresChanges::confirm`], once what was read is durable elsewhere;
//! what is given again after a connection was lost is passed over by its position.

use std::sync::Arc;
use std::time::Duration;

use attestry_wire::sql::PostgresLogin;

use super::assembly::Assembly;
use super::catalog;
use super::poll::Poll;
use super::publication::Publication;
use super::pushed::Pushed;
use super::reader::slot_name;
use super::session::{Session, login, value};
use super::slot::{self, Slot};
use crate::cell::MaskKey;
use crate::change::{Position, Step};
use crate::config::WatchConfig;
use crate::database::{Changes, DbError};
use crate::table::Table;

/// How long to wait, at least, before asking again when nothing was there.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// And at most.
pub(super) const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long the end of the log may lie unwritten before it is asked for.
pub(super) const UNWRITTEN: Duration = Duration::from_millis(700);

/// The first version whose decoder hands on messages.
const SAYING_VERSION: i32 = 140_000;

/// A connection that follows the stream through a slot of its own.
pub struct PostgresChanges {
    following: Following,
    way: Way,
}

/// How the stream is read.
enum Way {
    Pushed(Pushed),
    Polled(Poll),
}

/// What both ways need.
pub(super) struct Following {
    pub(super) login: PostgresLogin,
    pub(super) config: WatchConfig,
    /// What the slot and the publication are called.
    pub(super) name: String,
    pub(super) assembly: Assembly,
    /// Everything up to here may be thrown away by the server.
    pub(super) confirmed: u64,
    session: Option<Session>,
    /// Whether the publication has the tables as they were set last.
    published: bool,
    /// Whether the decoder hands on what applications say, as it does from version 14 on.
    pub(super) says: bool,
}

impl std::fmt::Debug for PostgresChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresChanges({} at {})", self.following.name, self.position())
    }
}

impl PostgresChanges {
    /// Follows the stream of a watch: from a position that everything before is durable, or, without one, from now on with a new slot.
    ///
    /// # Errors
    /// [`DbError::Lost`] when the slot cannot go on from there; others when the server cannot be used, or has to be asked again.
    pub async fn open(
        watch: &str,
        config: &WatchConfig,
        tables: Vec<Arc<Table>>,
        mask: MaskKey,
        from: Option<&Position>,
    ) -> Result<PostgresChanges, DbError> {
        let (login, name) = (login(config)?, slot_name(watch, config));
        let mut session = Session::connect(&login, slot::PATIENCE).await?;
        published(&mut session, &name, config).await?;
        let given = match from {
            Some(Position::Wal(from)) => {
                Slot::read(&mut session, &name, None).await?.goes_on_from(&name, *from)?;
                *from
            }
            Some(other) => return Err(DbError::Refused(format!("{other} is no position of a PostgreSQL"))),
            None => Slot::make(&mut session, &name).await?,
        };
        let mut assembly = Assembly::new(config, mask, given);
        assembly.set_tables(tables);
        let mut following = Following {
            login,
            config: config.clone(),
            name,
            assembly,
            confirmed: given,
            session: Some(session),
            published: false,
            says: false,
        };
        let way = match Pushed::begin(&mut following).await {
            Ok(pushed) => Way::Pushed(pushed),
            Err(said) if said.is_about_replication() => {
                tracing::warn!(
                    watch,
                    "the server does not let us replicate, so its changes are polled and come later: {}",
                    said.error
                );
                Way::Polled(Poll::new(given))
            }
            Err(said) => return Err(said.error),
        };
        Ok(PostgresChanges { following, way })
    }

    /// Where the stream is: everything that ends up to here was given.
    pub fn position(&self) -> Position {
        self.following.position()
    }

    /// Whether the server sends its changes; otherwise they are polled.
    pub fn is_pushed(&self) -> bool {
        matches!(self.way, Way::Pushed(_))
    }

    /// Gives the slot up: nobody follows this watch any more.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn drop_slot(mut self) -> Result<(), DbError> {
        self.rewind();
        let name = self.following.name.clone();
        slot::drop_slot(self.following.session().await?, &name).await
    }

    /// What was read and not given comes again.
    fn rewind(&mut self) {
        match &mut self.way {
            Way::Pushed(pushed) => pushed.rewind(),
            Way::Polled(poll) => poll.rewind(),
        }
        self.following.assembly.rewind();
    }
}

impl Following {
    pub(super) fn position(&self) -> Position {
        Position::Wal(self.assembly.given())
    }

    /// The session for statements.
    pub(super) async fn session(&mut self) -> Result<&mut Session, DbError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.session = None;
            let session = Session::connect(&self.login, slot::PATIENCE).await?;
            return Ok(self.session.insert(session));
        }
        self.session.as_mut().ok_or_else(|| DbError::Again("no connection".to_owned()))
    }

    /// What an error of the session means.
    pub(super) fn failed(&self, error: &tokio_postgres::Error) -> DbError {
        self.session
            .as_ref()
            .map_or_else(|| DbError::Again(error.to_string()), |session| session.failed(error))
    }

    /// Has the tables published and their types known, unless they are.
    pub(super) async fn prepare(&mut self) -> Result<(), DbError> {
        if !self.published {
            let (name, config) = (self.name.clone(), self.config.clone());
            published(self.session().await?, &name, &config).await?;
            self.session().await?;
            if let Some(session) = &mut self.session {
                self.assembly.ask(session).await?;
                let version = session.row("SELECT current_setting('server_version_num')::int4", &[]).await?;
                self.says = value::<i32>(&version, 0)? >= SAYING_VERSION;
            }
            self.published = true;
        }
        Ok(())
    }

    /// The slot, which can go on from here and does not keep too much of the log. `own` is the number of the server's process that reads for us.
    pub(super) async fn slot(&mut self, own: Option<i32>) -> Result<Slot, DbError> {
        let (name, given, limit) = (self.name.clone(), self.assembly.given(), self.limit());
        let slot = Slot::read(self.session().await?, &name, own).await?;
        slot.goes_on_from(&name, given)?;
        if slot.kept() <= limit {
            return Ok(slot);
        }
        Err(DbError::Lost(format!(
            "the slot {name} kept {} MiB of the server's log, more than slot_mib allows, and was given up",
            slot.kept() >> 20
        )))
    }

    /// Drops the slot if it keeps too much, so that it never fills the server's disk. Nobody may read from it.
    pub(super) async fn give_up_if_full(&mut self) -> Result<(), DbError> {
        let (name, limit) = (self.name.clone(), self.limit());
        let session = self.session().await?;
        if Slot::read(session, &name, None).await?.kept() > limit {
            slot::drop_slot(session, &name).await?;
        }
        Ok(())
    }

    /// How much of the log the slot may keep, in bytes.
    fn limit(&self) -> u64 {
        self.config.slot_mib << 20
    }
}

/// Makes the publication carry the tables.
async fn published(session: &mut Session, name: &str, config: &WatchConfig) -> Result<(), DbError> {
    let known = catalog::known(session, config).await?;
    Publication::read(session, name).await?.complete(session, name, &known).await
}

impl Changes for PostgresChanges {
    async fn next(&mut self) -> Result<Step, DbError> {
        let step = match &mut self.way {
            Way::Pushed(pushed) => pushed.step(&mut self.following).await,
            Way::Polled(poll) => poll.step(&mut self.following).await,
        };
        if let Err(error) = step {
            self.rewind();
            self.following.session = None;
            if matches!(error, DbError::Lost(_))
                && let Err(failed) = self.following.give_up_if_full().await
            {
                tracing::warn!("the slot {} could not be dropped: {failed}", self.following.name);
            }
            return Err(error);
        }
        step
    }

    async fn confirm(&mut self, position: &Position) -> Result<(), DbError> {
        let Position::Wal(at) = position else {
            return Err(DbError::Refused(format!("{position} is no position of a PostgreSQL")));
        };
        self.following.confirmed = self.following.confirmed.max(*at);
        match &mut self.way {
            Way::Pushed(pushed) => {
                pushed.durable(self.following.confirmed);
                Ok(())
            }
            Way::Polled(poll) => poll.move_slot(&mut self.following).await,
        }
    }

    fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        self.rewind();
        self.following.assembly.set_tables(tables);
        self.following.published = false;
    }
}
