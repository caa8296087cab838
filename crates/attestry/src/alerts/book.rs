//! Alerts as they are shown: a projection of the `alert.*` events in `audit`, in an SQLite file. It can be deleted, and is then made again.
//!
//! The state of the rules rests in the same file. Both are written with their positions in one transaction; the events that the rules made
//! are in the ledger before that.

use std::path::Path;

use anyhow::{Context, Result};
use attestry_event::{Entry, Field, Nanos, RESERVED_SOURCE};
use attestry_rules::Severity;
use attestry_server::alerts::{Alert, AlertState, Counts, Did, Silenced, States, StepTaken, Wanted};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, params_from_iter};
use serde_json::Value;

/// Of what is written here; a file of another one is made again.
const VERSION: i64 = 1;

/// Steps of an alert that are kept, the newest.
const STEPS_MAX: u32 = 1_000;

/// Resolved alerts that are shown, the newest; older ones are found by a search for their events.
const RESOLVED_MAX: u32 = 100_000;

const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, rule TEXT NOT NULL, rule_version TEXT NOT NULL, title TEXT NOT NULL,
    level INTEGER NOT NULL, message TEXT NOT NULL, host TEXT, grouped TEXT NOT NULL, count INTEGER NOT NULL, events INTEGER NOT NULL,
    opened INTEGER NOT NULL, last INTEGER NOT NULL, evidence TEXT NOT NULL,
    ack_by TEXT, ack_at INTEGER, ack_reason TEXT, silent_by TEXT, silent_until INTEGER, silent_reason TEXT,
    over_by TEXT, over_at INTEGER, over_reason TEXT
) STRICT;
CREATE INDEX by_over ON alerts (over_at, number);
CREATE INDEX by_rule ON alerts (rule, number);
CREATE TABLE steps (
    alert TEXT NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (alert, place)
) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str = "number, id, rule, rule_version, title, level, message, host, grouped, count, events, opened, last, evidence, \
                       ack_by, ack_at, ack_reason, silent_by, silent_until, silent_reason, over_by, over_at, over_reason";

/// The file.
pub(super) struct Book {
    connection: Connection,
}

impl Book {
    /// Opens the file, or begins a new one: also when it is of another version, or damaged.
    pub(super) fn open(path: &Path) -> Result<Book> {
        match Book::try_open(path) {
            Ok(book) => Ok(book),
            Err(error) => {
                tracing::warn!(
                    file = %path.display(),
                    error = format!("{error:#}"),
                    "the list of alerts is made again from the ledgers"
                );
                for end in ["", "-wal", "-shm"] {
                    let file = format!("{}{end}", path.display());
                    if let Err(error) = std::fs::remove_file(&file)
                        && error.kind() != std::io::ErrorKind::NotFound
                    {
                        return Err(error).with_context(|| format!("cannot remove {file}"));
                    }
                }
                Book::try_open(path)
            }
        }
    }

    fn try_open(path: &Path) -> Result<Book> {
        let connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // What is lost in a power cut is made again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 => {
                connection.execute_batch(SCHEMA)?;
                connection.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            other => anyhow::bail!("it has version {other}, this program reads version {VERSION}"),
        }
        Ok(Book { connection })
    }

    /// Opens the file beside the thread that writes it; none before there is one.
    pub(super) fn open_to_read(path: &Path) -> Result<Option<Book>> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((version == VERSION).then_some(Book { connection }))
    }

    /// The version of the rules that were told of last.
    pub(super) fn rules(&self) -> Result<Option<String>> {
        let found = self
            .connection
            .query_row("SELECT value FROM meta WHERE name = 'rules'", [], |row| row.get(0))
            .optional()?;
        Ok(found)
    }

    pub(super) fn set_rules(&mut self, version: &str) -> Result<()> {
        self.connection.execute(
            "INSERT INTO meta (name, value) VALUES ('rules', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
            [version],
        )?;
        Ok(())
    }

    /// What the rules remembered when it was saved.
    pub(super) fn state(&self) -> Result<Option<Vec<u8>>> {
        let found = self
            .connection
            .query_row("SELECT value FROM meta WHERE name = 'state'", [], |row| row.get(0))
            .optional()?;
        Ok(found)
    }

    /// The index after the newest entry of `audit` that is in the list.
    pub(super) fn applied(&self) -> Result<u64> {
        let found: Option<i64> = self
            .connection
            .query_row("SELECT value FROM meta WHERE name = 'applied'", [], |row| row.get(0))
            .optional()?;
        Ok(found.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
    }

    /// Takes over entries of `audit` from what is in the list on, up to `end`, and what the rules remember.
    pub(super) fn apply(&mut self, entries: &[(u64, &[u8])], end: u64, state: Option<&[u8]>) -> Result<()> {
        let applied = self.applied()?;
        let transaction = self.connection.transaction()?;
        for (index, bytes) in entries.iter().filter(|(index, _)| *index >= applied) {
            if let Ok(entry) = Entry::parse(bytes) {
                apply(&transaction, *index, &entry)?;
            }
        }
        if end > applied {
            transaction.execute(
                "INSERT INTO meta (name, value) VALUES ('applied', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
                [i64::try_from(end).unwrap_or(i64::MAX)],
            )?;
        }
        if let Some(state) = state {
            transaction.execute(
                "INSERT INTO meta (name, value) VALUES ('state', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
                [state],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Forgets resolved alerts beyond the bound.
    pub(super) fn tidy(&mut self) -> Result<()> {
        self.connection.execute(
            "DELETE FROM alerts WHERE over_at IS NOT NULL AND number <= (SELECT number FROM alerts WHERE over_at IS NOT NULL
             ORDER BY number DESC LIMIT 1 OFFSET ?1)",
            [RESOLVED_MAX],
        )?;
        self.connection
            .execute("DELETE FROM steps WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE id = alert)", [])?;
        Ok(())
    }

    /// The alerts that are wanted, and one more than `limit`.
    pub(super) fn list(&self, wanted: &Wanted, now: Nanos) -> Result<Option<Vec<Alert>>> {
        let mut clauses = vec![match wanted.state {
            States::Active => "over_at IS NULL".to_owned(),
            States::Open => {
                format!("over_at IS NULL AND ack_at IS NULL AND coalesce(silent_until, 0) <= {}", now.0)
            }
            States::Acknowledged => {
                format!("over_at IS NULL AND ack_at IS NOT NULL AND coalesce(silent_until, 0) <= {}", now.0)
            }
            States::Silenced => format!("over_at IS NULL AND silent_until > {}", now.0),
            States::Resolved => "over_at IS NOT NULL".to_owned(),
            States::All => "1".to_owned(),
        }];
        let mut values: Vec<String> = Vec::new();
        if let Some(level) = wanted.level.as_deref().and_then(Severity::named) {
            clauses.push(format!("level <= {}", level.number()));
        }
        if let Some(rule) = &wanted.rule {
            clauses.push("rule = ?".to_owned());
            values.push(rule.clone());
        }
        if let Some(after) = &wanted.after {
            let number: Option<i64> = self
                .connection
                .query_row("SELECT number FROM alerts WHERE id = ?1", [after], |row| row.get(0))
                .optional()?;
            let Some(number) = number else { return Ok(None) };
            clauses.push(format!("number < {number}"));
        }
        let text = format!(
            "SELECT {COLUMNS} FROM alerts WHERE {} ORDER BY number DESC LIMIT {}",
            clauses.join(" AND "),
            wanted.limit + 1
        );
        let mut statement = self.connection.prepare(&text)?;
        let rows = statement.query_map(params_from_iter(values), |row| alert(row, now))?;
        Ok(Some(rows.collect::<rusqlite::Result<_>>()?))
    }

    /// How many there are.
    pub(super) fn counts(&self, now: Nanos) -> Result<Counts> {
        let text = "SELECT
            sum(over_at IS NULL AND ack_at IS NULL AND coalesce(silent_until, 0) <= ?1),
            sum(over_at IS NULL AND ack_at IS NOT NULL AND coalesce(silent_until, 0) <= ?1),
            sum(over_at IS NULL AND coalesce(silent_until, 0) > ?1), sum(over_at IS NOT NULL),
            sum(over_at IS NULL AND level <= 2), sum(over_at IS NULL AND level = 3) FROM alerts";
        let counts = self.connection.query_row(text, [now.0], |row| {
            let count = |at| row.get::<_, Option<i64>>(at).map(|found| found.unwrap_or(0).unsigned_abs());
            Ok(Counts {
                open: count(0)?,
                acknowledged: count(1)?,
                silenced: count(2)?,
                resolved: count(3)?,
                critical: count(4)?,
                high: count(5)?,
            })
        })?;
        Ok(counts)
    }

    /// One, with its steps.
    pub(super) fn show(&self, id: &str, now: Nanos) -> Result<Option<Alert>> {
        let text = format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1");
        let found = self.connection.query_row(&text, [id], |row| alert(row, now)).optional()?;
        let Some(mut found) = found else { return Ok(None) };
        let mut statement = self.connection.prepare(
            "SELECT name, at, who, message, place FROM steps WHERE alert = ?1 ORDER BY place DESC LIMIT ?2",
        )?;
        let steps = statement.query_map(params![id, STEPS_MAX], |row| {
            Ok(StepTaken {
                name: row.get(0)?,
                at: Nanos(row.get(1)?),
                by: row.get(2)?,
                message: row.get(3)?,
                index: row.get::<_, i64>(4)?.unsigned_abs(),
            })
        })?;
        found.steps = steps.collect::<rusqlite::Result<_>>()?;
        found.steps.reverse();
        Ok(Some(found))
    }
}

/// Takes over an entry, if it is a step of an alert and Attestry's own.
fn apply(connection: &Connection, index: u64, entry: &Entry<'_>) -> Result<()> {
    let name = entry.event_name();
    if !name.starts_with("alert.") || entry.event_source() != RESERVED_SOURCE {
        return Ok(());
    }
    let data: Value =
        entry.event_data_text().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let Some(id) = entry.field(Field::Resource) else { return Ok(()) };
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let (at, who) = (entry.event_time().0, entry.username());
    let message = entry.field(Field::Message).unwrap_or_default();
    let place = i64::try_from(index).unwrap_or(i64::MAX);
    match &*name {
        "alert.open" | "alert.repeat" => {
            let number = |name: &str| data[name].as_i64().unwrap_or(1);
            let level = Severity::named(&text("level")).unwrap_or_default().number();
            // A repetition of an alert that is not here came from rules that were not in force when it was made: it is shown all the same.
            connection.execute(
                "INSERT INTO alerts (number, id, rule, rule_version, title, level, message, host, grouped, count, events, opened, last,
                 evidence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13)
                 ON CONFLICT (id) DO UPDATE SET message = ?7, host = ?8, count = ?10, events = ?11, last = ?12, evidence = ?13",
                params![
                    place,
                    id,
                    text("rule"),
                    text("rule_version"),
                    text("title"),
                    level,
                    message,
                    entry.field(Field::Host),
                    data["group"].to_string(),
                    number("count"),
                    number("events"),
                    at,
                    data["evidence"].to_string(),
                ],
            )?;
        }
        "alert.ack" => {
            connection.execute(
                "UPDATE alerts SET ack_by = ?2, ack_at = ?3, ack_reason = ?4 WHERE id = ?1",
                params![id, who, at, text("reason")],
            )?;
        }
        "alert.silence" => {
            let until = Nanos::parse(&text("until")).map_or(0, |until| until.0);
            connection.execute(
                "UPDATE alerts SET silent_by = ?2, silent_until = ?3, silent_reason = ?4 WHERE id = ?1",
                params![id, who, until, text("reason")],
            )?;
        }
        "alert.resolve" => {
            let reason = if data["reason"].is_string() { text("reason") } else { text("why") };
            connection.execute(
                "UPDATE alerts SET over_by = ?2, over_at = ?3, over_reason = ?4 WHERE id = ?1 AND over_at IS NULL",
                params![id, who, at, reason],
            )?;
        }
        _ => return Ok(()),
    }
    connection.execute(
        "INSERT OR IGNORE INTO steps (alert, place, name, at, who, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id, place, name, at, who, message],
    )?;
    Ok(())
}

fn alert(row: &Row<'_>, now: Nanos) -> rusqlite::Result<Alert> {
    let did = |at: usize| -> rusqlite::Result<Option<Did>> {
        let by: Option<String> = row.get(at)?;
        let (time, reason): (Option<i64>, Option<String>) = (row.get(at + 1)?, row.get(at + 2)?);
        Ok(by.zip(time).map(|(by, time)| Did { by, at: Nanos(time), reason: reason.unwrap_or_default() }))
    };
    let (acknowledged, silent, resolved) = (did(14)?, did(17)?, did(20)?);
    let silenced = silent.filter(|silent| silent.at > now).map(|silent| Silenced {
        by: silent.by,
        until: silent.at,
        reason: silent.reason,
    });
    let state = match (&resolved, &silenced, &acknowledged) {
        (Some(_), ..) => AlertState::Resolved,
        (_, Some(_), _) => AlertState::Silenced,
        (_, _, Some(_)) => AlertState::Acknowledged,
        _ => AlertState::Open,
    };
    let level: u8 = row.get(5)?;
    let name = Severity::ALL.iter().find(|severity| severity.number() == level).map(|found| found.name());
    let json = |at: usize| row.get::<_, String>(at);
    let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
    Ok(Alert {
        id: row.get(1)?,
        rule: row.get(2)?,
        rule_version: row.get(3)?,
        title: row.get(4)?,
        level: name.unwrap_or_default().to_owned(),
        state,
        message: row.get(6)?,
        host: row.get(7)?,
        group: serde_json::from_str(&json(8)?).unwrap_or_default(),
        count: count(9)?,
        events: count(10)?,
        opened: Nanos(row.get(11)?),
        last: Nanos(row.get(12)?),
        evidence: serde_json::from_str(&json(13)?).unwrap_or_default(),
        acknowledged,
        silenced,
        resolved,
        description: None,
        steps: Vec::new(),
    })
}
