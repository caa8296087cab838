//! The slot: the server's note of what of the log must be kept for us.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::PgLsn;

use super::reader::slot_name;
use super::session::{Session, login, value};
use super::snapshot::all_seen;
use crate::change::Position;
use crate::config::WatchConfig;
use crate::database::DbError;

/// How long the server may take to make a slot, which waits for transactions, or to decode a large one.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

const LOOK: &str = "
    SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(), s.slot_name IS NOT NULL, s.plugin::text, s.database = current_database(),
           s.restart_lsn, s.confirmed_flush_lsn, s.wal_status, s.active_pid IS NOT NULL AND s.active_pid NOT IN (pg_backend_pid(), $2)
    FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = $1";

/// What there is of a slot, and where the log is.
#[derive(Debug)]
pub(super) struct Slot {
    /// Where the next record will be: the end of one.
    pub(super) inserted: u64,
    /// Up to where the log is on disk; perhaps in the middle of a record.
    pub(super) flushed: u64,
    exists: bool,
    ours: bool,
    /// From where on the log is kept; none when it is not any more.
    restart: Option<u64>,
    confirmed: u64,
    lost: bool,
    /// Whether somebody else reads from it.
    taken: bool,
}

impl Slot {
    /// Looks. `own` is the number of the server's process that reads for us, if there is one.
    pub(super) async fn read(session: &mut Session, name: &str, own: Option<i32>) -> Result<Slot, DbError> {
        let row = session.row(LOOK, &[&name, &own.unwrap_or(0)]).await?;
        let lsn = |at| Ok::<_, DbError>(value::<Option<PgLsn>>(&row, at)?.map(u64::from));
        Ok(Slot {
            inserted: lsn(0)?.unwrap_or(0),
            flushed: lsn(1)?.unwrap_or(0),
            exists: value(&row, 2)?,
            ours: value::<Option<&str>>(&row, 3)? == Some("pgoutput")
                && value::<Option<bool>>(&row, 4)? == Some(true),
            restart: lsn(5)?,
            confirmed: lsn(6)?.unwrap_or(0),
            lost: value::<Option<&str>>(&row, 7)? == Some("lost"),
            taken: value::<Option<bool>>(&row, 8)? == Some(true),
        })
    }

    /// Makes it anew. Gives its beginning: everything that ends later is in the stream, and everything that ends earlier can be seen.
    pub(super) async fn make(session: &mut Session, name: &str) -> Result<u64, DbError> {
        let slot = Slot::read(session, name, None).await?;
        if slot.exists {
            slot.is_free(name)?;
            drop_slot(session, name).await?;
        }
        let made = session
            .row("SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')", &[&name])
            .await?;
        let begun = value::<PgLsn>(&made, 0)?.into();
        all_seen(session).await?;
        Ok(begun)
    }

    /// How much of the log is kept for it, in bytes.
    pub(super) fn kept(&self) -> u64 {
        self.restart.map_or(0, |restart| self.inserted.saturating_sub(restart))
    }

    /// Whether somebody else reads from it.
    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    fn is_free(&self, name: &str) -> Result<(), DbError> {
        if !self.ours {
            return Err(DbError::Refused(format!(
                "the slot {name} is somebody else's: choose another `slot`"
            )));
        }
        match self.taken {
            true => Err(DbError::Again(format!("somebody else reads from the slot {name}"))),
            false => Ok(()),
        }
    }

    /// Whether everything that ends after a position is still to be had.
    pub(super) fn goes_on_from(&self, name: &str, from: u64) -> Result<(), DbError> {
        if !self.exists {
            return Err(DbError::Lost(format!("the slot {name} is gone")));
        }
        self.is_free(name)?;
        if self.lost || self.restart.is_none() {
            return Err(DbError::Lost(format!(
                "the server gave the slot {name} up, because it kept more of the log than max_slot_wal_keep_size allows"
            )));
        }
        let at = Position::Wal(from);
        if self.confirmed > from {
            let confirmed = Position::Wal(self.confirmed);
            return Err(DbError::Lost(format!(
                "the slot {name} is at {confirmed}, beyond {at}: somebody moved it"
            )));
        }
        if self.inserted < from {
            let end = Position::Wal(self.inserted);
            return Err(DbError::Lost(format!(
                "the server's log ends at {end}, before {at}: it is another server, or one restored from before"
            )));
        }
        Ok(())
    }
}

/// How long the server may take to notice that nobody reads any more.
const LET_GO: Duration = Duration::from_secs(5);

/// Drops it, once who read from it a moment ago is gone.
pub(super) async fn drop_slot(session: &mut Session, name: &str) -> Result<(), DbError> {
    let begun = Instant::now();
    while Slot::read(session, name, None).await?.taken && begun.elapsed() < LET_GO {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    session.row("SELECT pg_drop_replication_slot($1)::text", &[&name]).await.map(drop)
}

/// Whether the slot of a watch keeps more of the log than its configuration lets it.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) async fn keeps_too_much(watch: &str, config: &WatchConfig) -> Result<bool, DbError> {
    let mut session = Session::connect(&login(config)?, config.timeout.0).await?;
    let slot = Slot::read(&mut session, &slot_name(watch, config), None).await?;
    Ok(slot.ours && slot.kept() > config.slot_mib << 20)
}

/// Drops the slot of a watch that reads from it no longer.
///
/// # Errors
/// When the server does not do it.
pub(crate) async fn let_go(watch: &str, config: &WatchConfig) -> Result<(), DbError> {
    let mut session = Session::connect(&login(config)?, config.timeout.0).await?;
    drop_slot(&mut session, &slot_name(watch, config)).await
}

/// What an error of decoding means: without its publication, or with a part of the log gone, the slot is of no use.
pub(super) fn meaning(failed: DbError, code: Option<&str>, name: &str) -> DbError {
    let useless = [SqlState::UNDEFINED_OBJECT, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    match code {
        Some(code) if useless.iter().any(|state| state.code() == code) => {
            DbError::Lost(format!("the slot {name} cannot go on: {failed}"))
        }
        _ => failed,
    }
}
