//! The tables of a copy, and how an older file becomes a newer one.

use rusqlite::{Connection, TransactionBehavior};

use super::CopyError;

/// One step per format version; `user_version` counts how many a file has taken. Never edit a released step: add one.
const STEPS: &[&str] = &["
    CREATE TABLE meta (                       -- mask_key, position, part, pass, numbers
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE watched (
        id INTEGER PRIMARY KEY,
        schema TEXT NOT NULL,
        name TEXT NOT NULL,
        layout INTEGER NOT NULL,              -- the columns that its rows have now
        versions INTEGER NOT NULL,            -- whether every version is kept
        first TEXT,                           -- the position of the first snapshot that rows were taken from
        last TEXT,                            -- and of the last one
        after BLOB,                           -- the key of the last row that was taken, row bytes
        taken INTEGER NOT NULL DEFAULT 0,     -- rows that were taken
        done INTEGER NOT NULL DEFAULT 0,      -- whether all were
        rows INTEGER NOT NULL DEFAULT 0,      -- how many there are now
        paused TEXT,                          -- the fingerprint of the violation that has to be signed off before it goes on
        gone INTEGER NOT NULL DEFAULT 0,      -- whether the database has it no longer
        UNIQUE (schema, name)
    ) STRICT;

    CREATE TABLE layout (
        id INTEGER PRIMARY KEY,
        watched INTEGER NOT NULL,
        definition TEXT NOT NULL              -- JSON of `Table`
    ) STRICT;

    CREATE TABLE origin (                     -- where changes come from: a transaction, a snapshot, a pass
        id INTEGER PRIMARY KEY,
        seen_by TEXT NOT NULL CHECK (seen_by IN ('baseline', 'stream', 'comparison')),
        position TEXT,
        txn TEXT,
        time INTEGER NOT NULL,                -- times: microseconds since 1970
        account TEXT
    ) STRICT;

    CREATE TABLE row (                        -- as the database has it now
        watched INTEGER NOT NULL,
        place BLOB NOT NULL,                  -- order bytes of the key, or SHA-256 of its row bytes
        key BLOB NOT NULL,                    -- row bytes
        layout INTEGER NOT NULL,
        image BLOB NOT NULL,                  -- row bytes
        hash BLOB NOT NULL,                   -- SHA-256 of them
        version INTEGER NOT NULL,             -- counts from 1, also over deletions
        op TEXT NOT NULL,
        origin INTEGER NOT NULL,
        event TEXT,
        PRIMARY KEY (watched, place)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE version (                    -- as it had it before, and that it was deleted (no image)
        watched INTEGER NOT NULL,
        place BLOB NOT NULL,
        version INTEGER NOT NULL,
        key BLOB NOT NULL,
        layout INTEGER NOT NULL,
        image BLOB,
        op TEXT NOT NULL,
        origin INTEGER NOT NULL,
        event TEXT,
        PRIMARY KEY (watched, place, version)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE violation (
        fingerprint TEXT PRIMARY KEY,
        watched INTEGER NOT NULL,
        place BLOB NOT NULL,                  -- empty: of the table
        key BLOB NOT NULL,
        field TEXT NOT NULL,                  -- empty: of the row
        rule TEXT NOT NULL,
        description TEXT NOT NULL,
        layout INTEGER NOT NULL,
        old_image BLOB,
        new_image BLOB,
        old_version INTEGER,
        new_version INTEGER,
        event TEXT,                           -- the change's event
        opened INTEGER NOT NULL,
        repeated INTEGER NOT NULL DEFAULT 0,
        last_seen INTEGER NOT NULL,
        signed_by TEXT,
        signed_from TEXT,
        signed_why TEXT,
        signed_at INTEGER,                    -- null: pending
        told INTEGER NOT NULL DEFAULT 1       -- whether the event of the sign-off is durable
    ) STRICT;
    CREATE UNIQUE INDEX pending ON violation (watched, place, field, rule) WHERE signed_at IS NULL;
    CREATE INDEX untold ON violation (told) WHERE told = 0;
    CREATE INDEX opened ON violation (opened);

    CREATE TABLE schema_change (              -- what a violation of the rule `schema` is about
        fingerprint TEXT PRIMARY KEY,
        watched INTEGER NOT NULL,
        definition TEXT,                      -- the new one, JSON; none: the table is gone
        accepted INTEGER NOT NULL DEFAULT 0   -- whether the copy has followed
    ) STRICT;

    CREATE TABLE parked (                     -- changes of tables that are paused, in order
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        watched INTEGER NOT NULL,
        change BLOB NOT NULL
    ) STRICT;
    CREATE INDEX parked_of ON parked (watched, id);

    CREATE TABLE outbox (                     -- events that are not durable elsewhere yet
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event TEXT NOT NULL                   -- JSON
    ) STRICT;

    CREATE TABLE counter (
        day INTEGER NOT NULL,                 -- since 1970, UTC
        watched INTEGER NOT NULL,
        inserts INTEGER NOT NULL DEFAULT 0,
        updates INTEGER NOT NULL DEFAULT 0,
        deletes INTEGER NOT NULL DEFAULT 0,
        violations INTEGER NOT NULL DEFAULT 0,
        unexplained INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (day, watched)
    ) STRICT, WITHOUT ROWID;
",
"
    CREATE TABLE changed (                    -- rows that a projection of the copy lacks; filled by triggers where there is one
        watched INTEGER NOT NULL,
        place BLOB NOT NULL,
        number INTEGER NOT NULL,              -- rises with every change
        since INTEGER NOT NULL,               -- versions from this one on are new
        PRIMARY KEY (watched, place)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX changed_by ON changed (number);
    CREATE INDEX violation_of ON violation (watched, place);
",
"
    ALTER TABLE origin ADD COLUMN seen INTEGER;       -- when it was read; null: it was kept before that was noted
    ALTER TABLE origin ADD COLUMN unexplained INTEGER; -- whether the stream should have said it; null: if it was found by comparing
    ALTER TABLE violation ADD COLUMN account TEXT;    -- whose change opened it
"];

/// Takes the steps that the file has not taken yet, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), CopyError> {
    let known = STEPS.len();
    loop {
        // Immediate, so that two processes that open a new file together do not both take a step.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let taken = usize::try_from(found)
            .ok()
            .filter(|taken| *taken <= known)
            .ok_or(CopyError::Newer { found, known })?;
        let Some(sql) = STEPS.get(taken) else { return Ok(()) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", found + 1)?;
        step.commit()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_taken_once_and_a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        for _ in 0..2 {
            migrate(&mut connection).unwrap();
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, STEPS.len() as i64);
        }
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(migrate(&mut connection), Err(CopyError::Newer { found: 99, .. })));
    }
}
