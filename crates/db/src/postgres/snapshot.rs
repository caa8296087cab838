//! A view of the database, and where in the stream it stands: exactly.
//!
//! A transaction becomes visible a moment after its commit is in the log, and not always in the log's order: a view may have one and lack an
//! earlier one. So a position that is read beside a view says nothing exact. What is exact: which transactions a view has
//! (`pg_current_snapshot`, by their numbers) and where in the log each was committed (the stream). A temporary slot is made, so that the stream can be
//! looked at from a moment before; a view is begun; the stream between is read; and when the transactions that the view has and those that it
//! lacks are parted by a position, that is it. When they are not, another view is begun.

use std::time::{Duration, Instant};

use tokio_postgres::types::PgLsn;

use super::session::{Session, value};
use crate::database::DbError;

/// How long transactions may run that must end before a view can begin.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// How often to look whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// How many views to try. With hundreds of commits a second about one in twenty is in the middle of two that overtake each other.
const TRIES: usize = 200;

/// Begins a view: its snapshot's text, and the log's end just after.
pub(super) async fn begin(session: &mut Session) -> Result<(String, u64), DbError> {
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let row = session.row("SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()", &[]).await?;
    Ok((value(&row, 0)?, value::<PgLsn>(&row, 1)?.into()))
}

/// Begins a view of which the position is exact, for changes of the tables in `publication`.
pub(super) async fn exact(
    session: &mut Session,
    helper: &mut Session,
    publication: &str,
) -> Result<u64, DbError> {
    let made = helper
        .row(
            "SELECT lsn FROM pg_create_logical_replication_slot('attestry_view_' || pg_backend_pid(), 'pgoutput', true)",
            &[],
        )
        .await?;
    let begun: u64 = value::<PgLsn>(&made, 0)?.into();
    // A transaction whose commit is in the log before the slot's beginning, but which cannot be seen yet, would be in neither.
    all_seen(helper).await?;
    for _ in 0..TRIES {
        let (snapshot, end) = begin(session).await?;
        flushed(helper, end).await?;
        let rows = helper
            .rows(
                "SELECT lsn, xid::text FROM pg_logical_slot_peek_binary_changes('attestry_view_' || pg_backend_pid(), $1, NULL, \
                 'proto_version', '1', 'publication_names', $2) WHERE get_byte(data, 0) = 67",
                &[&PgLsn::from(end), &super::expression::quoted(publication)],
            )
            .await?;
        let snapshot = Snapshot::parse(&snapshot)
            .ok_or_else(|| DbError::Refused(format!("a snapshot of another form: {snapshot}")))?;
        let (mut has, mut lacks) = (begun, u64::MAX);
        for row in rows {
            let at: u64 = value::<PgLsn>(&row, 0)?.into();
            let number: u32 = value::<&str>(&row, 1)?.parse().unwrap_or(0);
            match snapshot.has(number) {
                true => has = has.max(at),
                false => lacks = lacks.min(at),
            }
        }
        if has < lacks {
            return Ok(has);
        }
        session.run("ROLLBACK").await?;
    }
    Err(DbError::Again(format!("of {TRIES} views none was between two transactions")))
}

/// Waits until every transaction that runs now has ended, and can be seen or never will.
pub(super) async fn all_seen(session: &mut Session) -> Result<(), DbError> {
    let row = session.row("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint", &[]).await?;
    let newest: i64 = value(&row, 0)?;
    let begun = Instant::now();
    loop {
        let row = session.row("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint", &[]).await?;
        if value::<i64>(&row, 0)? >= newest {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(DbError::Again(format!(
                "transactions that began before this have been running for {} minutes",
                PATIENCE.as_secs() / 60
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the log is on disk up to a position: what is decoded ends there. An asynchronous commit is flushed within moments; what is no commit may
/// lie for long, until a message is committed behind it.
pub(super) async fn flushed(session: &mut Session, upto: u64) -> Result<(), DbError> {
    let begun = Instant::now();
    loop {
        let row = session.row("SELECT pg_current_wal_flush_lsn()", &[]).await?;
        if u64::from(value::<PgLsn>(&row, 0)?) >= upto {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(DbError::Again("the server does not write its log to disk".to_owned()));
        }
        nudge(session).await?;
    }
}

/// Has the log written to disk up to now, by committing an empty message.
pub(super) async fn nudge(session: &mut Session) -> Result<(), DbError> {
    session.row("SELECT pg_logical_emit_message(true, 'attestry', '')", &[]).await.map(drop)
}

/// Which transactions a view has: `xmin:xmax:running,…`.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    /// The first that is not ended.
    first: u64,
    /// The first that had not begun.
    next: u64,
    /// Those between that are not ended.
    running: Vec<u64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.splitn(3, ':');
        let (first, next) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let running = parts.next()?.split(',').filter(|number| !number.is_empty());
        Some(Snapshot {
            first,
            next,
            running: running.map(|number| number.parse().ok()).collect::<Option<_>>()?,
        })
    }

    /// Whether a transaction that was committed is in the view. Of its number the low 32 bits are known: it is the nearest such.
    fn has(&self, number: u32) -> bool {
        let base = self.next & !0xffff_ffff | u64::from(number);
        let full = match i64::try_from(base).unwrap_or(0) - i64::try_from(self.next).unwrap_or(0) {
            more if more > 1 << 31 => base.saturating_sub(1 << 32),
            less if less < -(1 << 31) => base + (1 << 32),
            _ => base,
        };
        full < self.first || full < self.next && !self.running.contains(&full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_transactions_a_view_has() {
        let old = 5_u64 << 32;
        for (text, number, expected) in [
            ("10:20:10,15".to_owned(), 9, true),
            ("10:20:10,15".to_owned(), 10, false),
            ("10:20:10,15".to_owned(), 11, true),
            ("10:20:10,15".to_owned(), 20, false),
            ("10:10:".to_owned(), 9, true),
            (format!("{}:{}:", old + 3, old + 3), u32::MAX, true),
            (format!("{}:{}:", old + 3, old + 3), 4, false),
            (format!("{}:{}:", old - 2, old - 1), 1, false),
        ] {
            assert_eq!(Snapshot::parse(&text).unwrap().has(number), expected, "{text} {number}");
        }
        for wrong in ["", "1", "1:2", "a:b:", "1:2:x"] {
            assert_eq!(Snapshot::parse(wrong), None, "{wrong}");
        }
    }
}
