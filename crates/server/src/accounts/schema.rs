//! The tables, and how an older file becomes a newer one.

use rusqlite::{Connection, TransactionBehavior};

use super::AccountsError;

/// One step per schema version; `user_version` counts how many a file has taken. Never edit a released step: add one.
const STEPS: &[&str] = &[
    "
    CREATE TABLE user (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE UNIQUE,
        role TEXT NOT NULL CHECK (role IN ('admin', 'auditor', 'reader', 'writer')),
        filter TEXT,                          -- a query; what a reader may see of everything
        password TEXT NOT NULL,               -- argon2id, PHC string
        created_at INTEGER NOT NULL,          -- times: nanoseconds since 1970
        password_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE session (
        hash BLOB PRIMARY KEY,                -- SHA-256 of the cookie's token
        user INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE attempt (                    -- failed log-ins, of names that exist and names that do not
        name TEXT PRIMARY KEY COLLATE NOCASE,
        failures INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        locked_until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE api_key (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,            -- SHA-256 of the key
        name TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('write', 'read')),
        ledgers TEXT NOT NULL,                -- names separated by commas; empty: all (read keys only)
        filter TEXT,
        lenient INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_at INTEGER
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE setup (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        hash BLOB NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE outbox (                     -- audit events that are not in the ledger yet
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE agent (
        name TEXT PRIMARY KEY,
        ledgers TEXT NOT NULL,                -- names separated by commas
        enrolled_at INTEGER NOT NULL,
        revoked_at INTEGER,
        last_seen INTEGER,
        address TEXT,                         -- where it was last seen
        status TEXT                           -- what it last said of itself, JSON
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE agent_certificate (
        hash BLOB PRIMARY KEY,                -- SHA-256 of the certificate
        agent TEXT NOT NULL REFERENCES agent(name) ON DELETE CASCADE,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE agent_token (
        hash BLOB PRIMARY KEY,                -- SHA-256 of the token's secret
        name TEXT NOT NULL,
        ledgers TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE agent_progress (             -- up to where an agent's numbering is accounted for
        agent TEXT NOT NULL REFERENCES agent(name) ON DELETE CASCADE,
        ledger TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        next INTEGER NOT NULL,
        lost INTEGER NOT NULL,                -- events that nobody accounted for, since the enrolment
        PRIMARY KEY (agent, ledger)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE silence (                    -- silences that go on
        sender TEXT NOT NULL,                 -- agent, source, receiver or key
        agent TEXT NOT NULL,                  -- empty: of this host
        name TEXT NOT NULL,                   -- of the source, receiver or key; empty: the agent itself
        host TEXT,
        since INTEGER NOT NULL,               -- when it was last heard
        every_s INTEGER NOT NULL,
        PRIMARY KEY (sender, agent, name)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE api_key ADD COLUMN expect_s INTEGER;       -- write keys: how often something should come at least
    ALTER TABLE api_key ADD COLUMN last_event_at INTEGER;  -- when events were stored with it last
",
];

/// Takes the steps that the file has not taken yet, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), AccountsError> {
    let known = STEPS.len() as i64;
    loop {
        // Immediate, so that two processes that open a new file together do not both take a step.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > known || found < 0 {
            return Err(AccountsError::Newer { found, known });
        }
        let Some(sql) = STEPS.get(found as usize) else { return Ok(()) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", found + 1)?;
        step.commit()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_taken_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        for _ in 0..2 {
            migrate(&mut connection).unwrap();
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, STEPS.len() as i64);
        }
    }
}
