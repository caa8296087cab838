//! Reading the stream by asking for it in SQL, for where nobody may replicate: `max_wal_senders` is used up, or what is between us and the server
//! hands statements on and nothing else.
//!
//! `pg_logical_slot_peek_binary_changes` gives what was committed after the slot's position, without moving it; it is read row by row. The slot
//! moves once what was read is durable elsewhere. Between, a part of the log may be given twice: what was given is passed over by its position.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_postgres::RowStream;
use tokio_postgres::types::PgLsn;

use super::changes::{Following, MAX_PAUSE, PAUSE, UNWRITTEN};
use super::expression::quoted;
use super::session::value;
use super::slot;
use super::snapshot::nudge;
use crate::change::Step;
use crate::database::DbError;

/// How much of the log is decoded at once, in bytes: the server keeps what it decodes until the last of it was read. A transaction is decoded as
/// a whole, however large.
const WINDOW: u64 = 16 << 20;

/// The slot is moved at most so often: the server reads the log once more for it.
const MOVE: Duration = Duration::from_secs(1);

/// Or when so much was confirmed since.
const MOVE_BYTES: u64 = 8 << 20;

/// Where the reading is.
pub(super) struct Poll {
    /// What is being read, and up to where in the log it goes.
    reading: Option<(Pin<Box<RowStream>>, u64)>,
    /// Where the log ended when it was last looked at.
    end: u64,
    /// Whether there is more than the last look showed.
    more: bool,
    looked: Instant,
    began: Instant,
    /// Up to where the slot was moved.
    moved: u64,
    moved_at: Instant,
    /// How long the last look took: the next waits as long, so that the server is not kept busy by looks alone.
    cost: Duration,
    /// Since when the log's end is not written to disk.
    unwritten: Option<Instant>,
}

impl Poll {
    pub(super) fn new(given: u64) -> Poll {
        let now = Instant::now();
        Poll {
            reading: None,
            end: 0,
            more: false,
            looked: now,
            began: now,
            moved: given,
            moved_at: now,
            cost: Duration::ZERO,
            unwritten: None,
        }
    }

    /// What is being read comes again.
    pub(super) fn rewind(&mut self) {
        self.reading = None;
    }

    pub(super) async fn step(&mut self, following: &mut Following) -> Result<Step, DbError> {
        let begun = Instant::now();
        loop {
            if let Some(step) = self.read(following).await? {
                return Ok(step);
            }
            let news = following.assembly.news();
            if !self.more && (news || begun.elapsed() >= MAX_PAUSE) {
                return Ok(Step::Reached(following.position()));
            }
            if !self.more {
                let pause = self.cost.clamp(PAUSE, MAX_PAUSE);
                tokio::time::sleep(pause.saturating_sub(self.looked.elapsed())).await;
            }
            self.look(following).await?;
        }
    }

    /// One step, or none if the end of a look was reached.
    async fn read(&mut self, following: &mut Following) -> Result<Option<Step>, DbError> {
        loop {
            if let Some(step) = following.assembly.next() {
                return Ok(Some(step));
            }
            let Some((stream, upto)) = &mut self.reading else { return Ok(None) };
            match tokio::time::timeout(slot::PATIENCE, stream.next()).await {
                Ok(Some(Ok(row))) => following.assembly.take(value(&row, 0)?)?,
                Ok(Some(Err(error))) => {
                    let failed = following.failed(&error);
                    let code = error.code().map(tokio_postgres::error::SqlState::code);
                    return Err(slot::meaning(failed, code, &following.name));
                }
                Ok(None) => {
                    following.assembly.reached(*upto);
                    self.reading = None;
                    self.cost = self.began.elapsed();
                    return Ok(None);
                }
                Err(_) => {
                    return Err(DbError::Again("the server stopped in the middle of its changes".to_owned()));
                }
            }
        }
    }

    /// Has the server throw away what is durable, when it is worth the while. The session is busy until everything that it was asked for was
    /// read; then the next look does it.
    pub(super) async fn move_slot(&mut self, following: &mut Following) -> Result<(), DbError> {
        let confirmed = following.confirmed;
        let due = self.moved_at.elapsed() >= MOVE || confirmed.saturating_sub(self.moved) >= MOVE_BYTES;
        if due && confirmed > self.moved && self.reading.is_none() {
            let (name, to) = (following.name.clone(), PgLsn::from(confirmed));
            let session = following.session().await?;
            session.row("SELECT pg_replication_slot_advance($1, $2)::text", &[&name, &to]).await?;
            (self.moved, self.moved_at) = (confirmed, Instant::now());
        }
        Ok(())
    }

    /// Asks for what was committed since.
    async fn look(&mut self, following: &mut Following) -> Result<(), DbError> {
        following.prepare().await?;
        self.move_slot(following).await?;
        let slot = following.slot(None).await?;
        let given = following.assembly.given();
        self.looked = Instant::now();
        // What is on disk may end in the middle of a record, and what of it was read would not be known; where the next record begins is an end.
        let whole = match self.end {
            _ if slot.flushed >= slot.inserted => slot.inserted,
            end if slot.flushed >= end => end,
            _ => given,
        };
        if self.end <= whole {
            self.end = slot.inserted;
        }
        if whole <= given {
            self.more = false;
            return self.behind(slot.inserted, following).await;
        }
        self.unwritten = None;
        let upto = whole.min(given.saturating_add(WINDOW));
        self.more = upto < whole;
        self.began = Instant::now();
        let name = following.name.clone();
        let names = quoted(&name);
        let says = if following.says { ", 'messages', 'true'" } else { "" };
        let sql = format!(
            "SELECT data FROM pg_logical_slot_peek_binary_changes($1, $2, NULL, 'proto_version', '1', 'publication_names', $3{says})"
        );
        let session = following.session().await?;
        let stream = session.stream(&sql, &[&name, &PgLsn::from(upto), &names]).await?;
        self.reading = Some((Box::pin(stream), upto));
        Ok(())
    }

    /// The end of the log that lies unwritten is no commit that somebody waits for; it may lie for long, and the reader's position with it.
    async fn behind(&mut self, inserted: u64, following: &mut Following) -> Result<(), DbError> {
        if inserted <= following.assembly.given() {
            self.unwritten = None;
            return Ok(());
        }
        let since = *self.unwritten.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNWRITTEN {
            self.unwritten = None;
            nudge(following.session().await?).await?;
        }
        Ok(())
    }
}
