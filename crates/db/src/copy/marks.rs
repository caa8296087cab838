//! Where the watch is: the stream's position, the pass, counters, and events that are still to be told.

use std::collections::BTreeSet;

use attestry_event::{Event, Nanos, Outcome};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Copy, CopyError, Place, Stored, signed, unsigned};
use crate::change::{Position, Prepared};
use crate::table::Name;

const POSITION: &str = "position";
const PREPARED: &str = "prepared";
const PART: &str = "part";
const PASS: &str = "pass";
const SERVER: &str = "server";
const REFUSED_SCHEMA: &str = "refused_schema";
const STREAMED: &str = "streamed";

/// What of a transaction was applied before its end was there: the stream will give it again from its beginning.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Part {
    /// The transaction.
    pub id: String,
    /// When it was committed, in nanoseconds since 1970.
    pub time: i64,
    /// How many of its changes were applied, of each table: which tables are watched may be others when it is given again.
    #[serde(default)]
    pub done: Vec<(Name, u64)>,
    /// Its origin.
    pub origin: i64,
    /// Rows whose place another row took before they left it, by table and place.
    #[serde(default)]
    pub displaced: Vec<((i64, Place), Stored)>,
}

/// A comparison of all tables.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pass {
    /// Counts from 1.
    pub number: u64,
    /// When it began, in microseconds since 1970.
    pub started: i64,
    /// The tables that are done, by number.
    pub done: Vec<i64>,
    /// The table that is being compared.
    pub table: Option<i64>,
    /// The row bytes of the key after which it goes on.
    pub after: Option<Vec<u8>>,
    /// Rows that were compared in that table.
    pub rows: u64,
    /// Rows of that table that were different.
    pub unexplained: u64,
    /// Whether all tables are done.
    pub ended: bool,
}

/// A schema of the watched server that was to show the copy, and is refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusedSchema {
    /// Its name.
    pub schema: String,
    /// Since when, in microseconds since 1970.
    pub since: i64,
}

/// Which tables the stream carries.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Streamed {
    /// Those that it carries, or carried.
    pub carried: BTreeSet<Name>,
    /// Those that it never carried, or did not before they were compared last: what comparing finds there is no change behind the stream.
    pub only_compared: BTreeSet<Name>,
    /// Those that it leaves out now, and that was told.
    pub left_out: BTreeSet<Name>,
}

/// What happened to a table on a day.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// New rows.
    pub inserts: u64,
    /// Changed rows.
    pub updates: u64,
    /// Deleted rows, truncated ones included.
    pub deletes: u64,
    /// Violations opened or repeated.
    pub violations: u64,
    /// Changes that nobody can explain; they are in the other numbers, too.
    pub unexplained: u64,
}

/// A table's day.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Day {
    /// Since 1970, in UTC.
    pub day: i64,
    /// The table, by number.
    pub watched: i64,
    /// What happened.
    pub counts: Counts,
}

impl Copy {
    /// A small value by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, CopyError> {
        let mut select = self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        Ok(select.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Keeps a small value.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_mark(&mut self, name: &str, value: &[u8]) -> Result<(), CopyError> {
        let mut insert =
            self.connection.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
        insert.execute(params![name, value])?;
        Ok(())
    }

    /// Keeps it no longer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove_mark(&mut self, name: &str) -> Result<(), CopyError> {
        self.connection.execute("DELETE FROM meta WHERE name = ?1", [name])?;
        Ok(())
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, CopyError> {
        let parsed = self.mark(name)?.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        parsed.map_err(|error| CopyError::damaged(format!("{name}: {error}")))
    }

    fn set_json<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), CopyError> {
        let bytes =
            serde_json::to_vec(value).map_err(|error| CopyError::damaged(format!("{name}: {error}")))?;
        self.set_mark(name, &bytes)
    }

    /// Up to where the stream was applied.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn position(&self) -> Result<Option<Position>, CopyError> {
        let Some(bytes) = self.mark(POSITION)? else { return Ok(None) };
        let position = String::from_utf8_lossy(&bytes).parse();
        position.map(Some).map_err(|error: crate::PositionError| CopyError::damaged(error.to_string()))
    }

    /// The stream was applied up to here, all of the last transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_position(&mut self, position: &Position) -> Result<(), CopyError> {
        self.set_mark(POSITION, position.to_string().as_bytes())
    }

    /// What XA had prepared there and before.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn prepared(&self) -> Result<Vec<Prepared>, CopyError> {
        Ok(self.json(PREPARED)?.unwrap_or_default())
    }

    /// This is prepared at the position.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_prepared(&mut self, prepared: &[Prepared]) -> Result<(), CopyError> {
        match prepared {
            [] => self.remove_mark(PREPARED),
            some => self.set_json(PREPARED, &some),
        }
    }

    /// The server that the position is of, if it says so.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn server(&self) -> Result<Option<String>, CopyError> {
        Ok(self.mark(SERVER)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The position is of this server.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_server(&mut self, server: Option<&str>) -> Result<(), CopyError> {
        match server {
            Some(server) => self.set_mark(SERVER, server.as_bytes()),
            None => self.remove_mark(SERVER),
        }
    }

    /// What was applied of a transaction after the position. It is kept until that was applied to its end: positions between the two may be told again.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn part(&self) -> Result<Option<Part>, CopyError> {
        self.json(PART)
    }

    /// So much of the transaction after the position was applied.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_part(&mut self, part: &Part) -> Result<(), CopyError> {
        self.set_json(PART, part)
    }

    /// It was applied to its end.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove_part(&mut self) -> Result<(), CopyError> {
        self.remove_mark(PART)
    }

    /// Where the comparison is.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn pass(&self) -> Result<Option<Pass>, CopyError> {
        self.json(PASS)
    }

    /// The comparison is here.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_pass(&mut self, pass: &Pass) -> Result<(), CopyError> {
        self.set_json(PASS, pass)
    }

    /// The schema that the server refuses, if it does.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn refused_schema(&self) -> Result<Option<RefusedSchema>, CopyError> {
        self.json(REFUSED_SCHEMA)
    }

    /// The server refuses this schema, or none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_refused_schema(&mut self, refused: Option<&RefusedSchema>) -> Result<(), CopyError> {
        match refused {
            Some(refused) => self.set_json(REFUSED_SCHEMA, refused),
            None => self.remove_mark(REFUSED_SCHEMA),
        }
    }

    /// Which tables the stream carries, as it was found last; none before the first time.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn streamed(&self) -> Result<Option<Streamed>, CopyError> {
        self.json(STREAMED)
    }

    /// Keeps which tables the stream carries.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_streamed(&mut self, streamed: &Streamed) -> Result<(), CopyError> {
        self.set_json(STREAMED, streamed)
    }

    /// Something happened to a table, at a time in microseconds since 1970; counted with the transaction.
    pub fn count(&mut self, watched: i64, time: i64, count: impl FnOnce(&mut Counts)) {
        count(self.counts.entry((time.div_euclid(86_400_000_000), watched)).or_default());
    }

    pub(super) fn write_counts(&mut self) -> Result<(), CopyError> {
        for ((day, watched), counts) in std::mem::take(&mut self.counts) {
            let mut insert = self.connection.prepare_cached(
                "INSERT INTO counter (day, watched, inserts, updates, deletes, violations, unexplained)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
                 inserts = inserts + excluded.inserts, updates = updates + excluded.updates,
                 deletes = deletes + excluded.deletes, violations = violations + excluded.violations,
                 unexplained = unexplained + excluded.unexplained",
            )?;
            insert.execute(params![
                day,
                watched,
                signed(counts.inserts),
                signed(counts.updates),
                signed(counts.deletes),
                signed(counts.violations),
                signed(counts.unexplained)
            ])?;
        }
        for (watched, difference) in std::mem::take(&mut self.rows) {
            let mut update = self
                .connection
                .prepare_cached("UPDATE watched SET rows = max(0, rows + ?2) WHERE id = ?1")?;
            update.execute([watched, difference])?;
        }
        Ok(())
    }

    /// What happened on the days from `first` to `last`, days since 1970.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn days(&self, first: i64, last: i64) -> Result<Vec<Day>, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT day, watched, inserts, updates, deletes, violations, unexplained FROM counter
             WHERE day BETWEEN ?1 AND ?2 ORDER BY day, watched",
        )?;
        let days = select.query_map([first, last], |row| {
            let counts = Counts {
                inserts: unsigned(row, 2)?,
                updates: unsigned(row, 3)?,
                deletes: unsigned(row, 4)?,
                violations: unsigned(row, 5)?,
                unexplained: unsigned(row, 6)?,
            };
            Ok(Day { day: row.get(0)?, watched: row.get(1)?, counts })
        })?;
        Ok(days.collect::<Result<_, _>>()?)
    }

    /// An event to be told once the transaction is durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn tell(&mut self, event: &Event) -> Result<(), CopyError> {
        let json =
            serde_json::to_string(&Told::of(event)).map_err(|error| CopyError::damaged(error.to_string()))?;
        self.connection.prepare_cached("INSERT INTO outbox (event) VALUES (?1)")?.execute([json])?;
        Ok(())
    }

    /// The oldest events that are still to be told, with the number of the last one.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn untold(&self, limit: u32) -> Result<(Vec<Event>, i64), CopyError> {
        let mut select =
            self.connection.prepare_cached("SELECT id, event FROM outbox ORDER BY id LIMIT ?1")?;
        let mut rows = select.query([limit])?;
        let (mut events, mut last) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let json: String = row.get(1)?;
            let told: Told =
                serde_json::from_str(&json).map_err(|error| CopyError::damaged(error.to_string()))?;
            events.push(told.event());
        }
        Ok((events, last))
    }

    /// Everything up to a number was told.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_told(&mut self, upto: i64) -> Result<(), CopyError> {
        self.connection.prepare_cached("DELETE FROM outbox WHERE id <= ?1")?.execute([upto])?;
        Ok(())
    }

    /// The bytes of a paused table's change, to be applied later.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn park(&mut self, watched: i64, change: &[u8]) -> Result<(), CopyError> {
        let mut insert =
            self.connection.prepare_cached("INSERT INTO parked (watched, change) VALUES (?1, ?2)")?;
        insert.execute(params![watched, change])?;
        Ok(())
    }

    /// The oldest changes that wait for a table, with their numbers.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn parked(&self, watched: i64, limit: u32) -> Result<Vec<(i64, Vec<u8>)>, CopyError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT id, change FROM parked WHERE watched = ?1 ORDER BY id LIMIT ?2")?;
        let rows = select.query_map(params![watched, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Changes of a table up to a number wait no longer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn unpark(&mut self, watched: i64, upto: i64) -> Result<(), CopyError> {
        self.connection.execute("DELETE FROM parked WHERE watched = ?1 AND id <= ?2", [watched, upto])?;
        Ok(())
    }
}

/// An event in the outbox: what events of a watch have.
#[derive(Deserialize, Serialize)]
struct Told {
    id: Option<String>,
    time: Option<i64>,
    name: String,
    username: String,
    resource: Option<String>,
    request_id: Option<String>,
    failed: Option<bool>,
    severity: Option<u8>,
    message: Option<String>,
    data: Option<Map<String, Value>>,
}

impl Told {
    fn of(event: &Event) -> Told {
        Told {
            id: event.event_id.clone(),
            time: event.event_time.map(|time| time.0),
            name: event.event_name.clone(),
            username: event.username.clone(),
            resource: event.resource.clone(),
            request_id: event.request_id.clone(),
            failed: event.outcome.map(|outcome| outcome == Outcome::Failure),
            severity: event.severity,
            message: event.message.clone(),
            data: event.event_data.clone(),
        }
    }

    fn event(self) -> Event {
        Event {
            event_id: self.id,
            event_time: self.time.map(Nanos),
            resource: self.resource,
            request_id: self.request_id,
            outcome: self.failed.map(|failed| if failed { Outcome::Failure } else { Outcome::Success }),
            severity: self.severity,
            message: self.message,
            event_data: self.data,
            ..Event::new(self.name, self.username)
        }
    }
}
