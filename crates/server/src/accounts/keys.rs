//! API keys: made, listed, revoked, and found again at every request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::{Nanos, RESERVED_SOURCE};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::outbox::{Note, record};
use super::{Accounts, AccountsError, Actor, secret};

/// What every key begins with, so that a leaked one is recognised.
const PREFIX: &str = "ak_";

/// The most characters of a key's name.
const NAME_MAX_CHARS: usize = 64;

/// How long the keys in memory are trusted before the file is asked whether anything changed: well below the second
/// within which a revocation must act, and rare enough to cost nothing.
const FRESH: Duration = Duration::from_millis(250);

/// The rarest that something can be expected of a write key: once in ten years.
const EXPECT_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// How many different keys are kept in memory; beyond it the memory is emptied and filled anew.
const CACHED_KEYS: usize = 10_000;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Posts events, to one ledger, as one source; reads nothing.
    Write,
    /// Reads, what its filter and its ledgers let through.
    Read,
}

impl KeyKind {
    /// The name as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            KeyKind::Write => "write",
            KeyKind::Read => "read",
        }
    }
}

/// A key, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is revoked by.
    pub id: String,
    /// For a write key: the `event_source` of everything it posts.
    pub name: String,
    /// What it is for.
    pub kind: KeyKind,
    /// A write key's one ledger; the ledgers a read key reads, none meaning all.
    pub ledgers: Vec<String>,
    /// A query that limits what a read key sees.
    pub filter: Option<String>,
    /// Unknown fields of an event move into `event_data` instead of being refused.
    pub lenient: bool,
    /// When it was made.
    pub created_at: Nanos,
    /// Who made it.
    pub created_by: String,
    /// From when on it is refused.
    pub expires_at: Option<Nanos>,
    /// Since when it is refused.
    pub revoked_at: Option<Nanos>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Nanos>,
    /// For a write key: how often something should come at least; a longer silence is an event. None: it may be silent.
    pub expect: Option<Duration>,
    /// For a write key: when events were last stored with it, to about a minute.
    pub last_event_at: Option<Nanos>,
}

/// How a key was used last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// When anything was asked with it.
    pub at: Nanos,
    /// When events were stored with it.
    pub event_at: Option<Nanos>,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// See [`Key::name`]. Two keys may share a name: that is how one replaces another.
    pub name: String,
    /// See [`Key::kind`].
    pub kind: KeyKind,
    /// See [`Key::ledgers`]. The caller has checked that they exist.
    pub ledgers: Vec<String>,
    /// See [`Key::filter`]. The caller has checked that it parses.
    pub filter: Option<String>,
    /// See [`Key::lenient`].
    pub lenient: bool,
    /// See [`Key::expires_at`].
    pub expires_at: Option<Nanos>,
    /// See [`Key::expect`]; in whole seconds, at most [`EXPECT_MAX`].
    pub expect: Option<Duration>,
}

/// The connection for look-ups, and the keys it found lately.
pub(super) struct Reader {
    connection: Connection,
    /// By hash; a secret that is no key is not kept, or anybody could fill the memory.
    keys: HashMap<[u8; 32], Arc<Key>>,
    /// `PRAGMA data_version` when `keys` was begun: it differs as soon as anybody else, in this process or another,
    /// has committed.
    version: i64,
    checked: Option<Instant>,
}

impl Reader {
    pub(super) fn new(connection: Connection) -> Reader {
        Reader { connection, keys: HashMap::new(), version: 0, checked: None }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn refresh(&mut self) -> Result<(), rusqlite::Error> {
        if self.checked.is_some_and(|checked| checked.elapsed() < FRESH) {
            return Ok(());
        }
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if version != self.version || self.keys.len() >= CACHED_KEYS {
            self.keys.clear();
            self.version = version;
        }
        self.checked = Some(Instant::now());
        Ok(())
    }
}

const COLUMNS: &str = "id, name, kind, ledgers, filter, lenient, created_at, created_by, expires_at, revoked_at, last_used_at, expect_s, last_event_at";

fn key_of(row: &Row<'_>) -> rusqlite::Result<Key> {
    let ledgers: String = row.get(3)?;
    Ok(Key {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: if row.get::<_, String>(2)? == "write" { KeyKind::Write } else { KeyKind::Read },
        ledgers: ledgers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        filter: row.get(4)?,
        lenient: row.get(5)?,
        created_at: Nanos(row.get(6)?),
        created_by: row.get(7)?,
        expires_at: row.get::<_, Option<i64>>(8)?.map(Nanos),
        revoked_at: row.get::<_, Option<i64>>(9)?.map(Nanos),
        last_used_at: row.get::<_, Option<i64>>(10)?.map(Nanos),
        expect: row.get::<_, Option<u32>>(11)?.map(|seconds| Duration::from_secs(seconds.into())),
        last_event_at: row.get::<_, Option<i64>>(12)?.map(Nanos),
    })
}

impl Accounts {
    /// Makes a key. The text returned beside it is the secret; it is shown once and not stored.
    pub fn create_key(&self, new: &NewKey, actor: &Actor) -> Result<(Key, String), AccountsError> {
        check(new)?;
        let text = format!("{PREFIX}{}", secret::random()?);
        let key = Key {
            id: secret::random_id()?,
            name: new.name.clone(),
            kind: new.kind,
            ledgers: new.ledgers.clone(),
            filter: new.filter.clone(),
            lenient: new.lenient,
            created_at: self.now(),
            created_by: actor.name.clone(),
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
            expect: new.expect.map(|expect| Duration::from_secs(expect.as_secs())),
            last_event_at: None,
        };
        self.change(|tx| {
            tx.execute(
                "INSERT INTO api_key (id, hash, name, kind, ledgers, filter, lenient, created_at, created_by, expires_at, expect_s)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    key.id,
                    secret::hash(&text),
                    key.name,
                    key.kind.name(),
                    key.ledgers.join(","),
                    key.filter,
                    key.lenient,
                    key.created_at.0,
                    key.created_by,
                    key.expires_at.map(|time| time.0),
                    key.expect.map(|expect| expect.as_secs() as i64),
                ],
            )?;
            let mut note = Note::new("key.create").resource(&key.name).data("id", key.id.as_str());
            note = note.data("kind", key.kind.name()).data("ledgers", key.ledgers.clone());
            if let Some(filter) = &key.filter {
                note = note.data("filter", filter.as_str());
            }
            if let Some(expires) = key.expires_at {
                note = note.data("expires_at", expires.to_string());
            }
            if let Some(expect) = key.expect {
                note = note.data("expect_s", expect.as_secs());
            }
            record(tx, key.created_at, actor, note)
        })?;
        Ok((key, text))
    }

    /// All keys, revoked and expired ones too, the newest first.
    pub fn keys(&self) -> Result<Vec<Key>, AccountsError> {
        let reader = self.reader.lock();
        let sql = format!("SELECT {COLUMNS} FROM api_key ORDER BY created_at DESC, id");
        let mut query = reader.connection.prepare(&sql)?;
        let keys = query.query_map([], key_of)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Revokes the key with this id, or with this name when only one valid key has it. Within a second no server
    /// takes it any more. Revoking a revoked key changes nothing and succeeds.
    pub fn revoke_key(&self, id_or_name: &str, actor: &Actor) -> Result<Key, AccountsError> {
        let now = self.now();
        let key = self.change(|tx| {
            let sql = format!("SELECT {COLUMNS} FROM api_key WHERE id = ?1");
            let by_id = tx.query_row(&sql, [id_or_name], key_of).optional()?;
            let mut key = match by_id {
                Some(key) => key,
                None => {
                    let sql = format!(
                        "SELECT {COLUMNS} FROM api_key WHERE name = ?1 AND revoked_at IS NULL LIMIT 2"
                    );
                    let mut query = tx.prepare(&sql)?;
                    let mut named = query.query_map([id_or_name], key_of)?.collect::<Result<Vec<_>, _>>()?;
                    if named.len() > 1 {
                        return Err(AccountsError::invalid(
                            "key",
                            "several keys have this name: give the id",
                        ));
                    }
                    named.pop().ok_or(AccountsError::NotFound("key"))?
                }
            };
            if key.revoked_at.is_none() {
                tx.execute("UPDATE api_key SET revoked_at = ?1 WHERE id = ?2", params![now.0, key.id])?;
                record(
                    tx,
                    now,
                    actor,
                    Note::new("key.revoke").resource(&key.name).data("id", key.id.as_str()),
                )?;
                key.revoked_at = Some(now);
            }
            Ok(key)
        })?;
        // Not only within the second: at once, in this process.
        self.reader.lock().checked = None;
        Ok(key)
    }

    /// The valid key behind a bearer token; `None` when it is unknown, expired or revoked.
    pub fn find_key(&self, text: &str) -> Result<Option<Arc<Key>>, AccountsError> {
        if !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let hash = secret::hash(text);
        let mut reader = self.reader.lock();
        reader.refresh()?;
        let key = match reader.keys.get(&hash) {
            Some(key) => Arc::clone(key),
            None => {
                let sql = format!("SELECT {COLUMNS} FROM api_key WHERE hash = ?1 AND revoked_at IS NULL");
                let found = reader.connection.prepare_cached(&sql)?.query_row([hash], key_of).optional()?;
                let Some(found) = found else { return Ok(None) };
                let found = Arc::new(found);
                reader.keys.insert(hash, Arc::clone(&found));
                found
            }
        };
        let expired = key.expires_at.is_some_and(|expires| expires <= self.now());
        Ok((!expired).then_some(key))
    }

    /// Whether the key with this id is valid now: for what goes on long after it was let in.
    pub fn key_is_valid(&self, id: &str) -> Result<bool, AccountsError> {
        let now = self.now().0;
        let reader = self.reader.lock();
        let mut query = reader.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM api_key WHERE id = ?1 AND revoked_at IS NULL
                            AND (expires_at IS NULL OR expires_at > ?2))",
        )?;
        Ok(query.query_row(params![id, now], |row| row.get(0))?)
    }

    /// Notes when keys were last used. Called with what was gathered over some time, so that a request never waits
    /// for a write.
    pub fn keys_used(&self, used: &HashMap<String, KeyUse>) -> Result<(), AccountsError> {
        self.change(|tx| {
            // The greater of two, one of which may be missing.
            let mut update = tx.prepare(
                "UPDATE api_key SET last_used_at = max(?1, ifnull(last_used_at, ?1)),
                                    last_event_at = ifnull(max(?2, last_event_at), ifnull(?2, last_event_at))
                 WHERE id = ?3",
            )?;
            for (id, used) in used {
                update.execute(params![used.at.0, used.event_at.map(|time| time.0), id])?;
            }
            Ok(())
        })
    }
}

fn check(new: &NewKey) -> Result<(), AccountsError> {
    let length = new.name.chars().count();
    let shown = |char: char| !char.is_control() && char != ',';
    if length == 0 || length > NAME_MAX_CHARS || !new.name.chars().all(shown) || new.name.trim() != new.name {
        let rule =
            format!("1 to {NAME_MAX_CHARS} characters without control characters, commas and outer spaces");
        return Err(AccountsError::invalid("name", rule));
    }
    if new.name.eq_ignore_ascii_case(RESERVED_SOURCE) {
        return Err(AccountsError::invalid("name", format!("{RESERVED_SOURCE} is the server's own source")));
    }
    let ledger_name = |name: &String| !name.is_empty() && !name.contains(',');
    if !new.ledgers.iter().all(ledger_name) {
        return Err(AccountsError::invalid("ledger", "names of ledgers"));
    }
    if new.expect.is_some_and(|expect| expect.as_secs() == 0 || expect > EXPECT_MAX) {
        return Err(AccountsError::invalid("expect", "a time from 1s to ten years"));
    }
    match new.kind {
        KeyKind::Write if new.ledgers.len() != 1 => {
            Err(AccountsError::invalid("ledger", "a write key writes to exactly one ledger"))
        }
        KeyKind::Write if new.filter.is_some() => {
            Err(AccountsError::invalid("filter", "only a read key has a filter"))
        }
        KeyKind::Read if new.lenient => {
            Err(AccountsError::invalid("lenient", "only a write key can be lenient"))
        }
        KeyKind::Read if new.expect.is_some() => {
            Err(AccountsError::invalid("expect", "only a write key is expected to send something"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, bench, root};
    use super::*;

    fn new_key(kind: KeyKind) -> NewKey {
        let ledgers = if kind == KeyKind::Write { vec!["audit".to_owned()] } else { Vec::new() };
        NewKey {
            name: "web".to_owned(),
            kind,
            ledgers,
            filter: None,
            lenient: false,
            expires_at: None,
            expect: None,
        }
    }

    fn valid(bench: &Bench, text: &str) -> bool {
        bench.accounts.find_key(text).unwrap().is_some()
    }

    #[test]
    fn a_key_is_found_until_revoked() {
        let bench = bench();
        let (key, text) = bench.accounts.create_key(&new_key(KeyKind::Write), &root()).unwrap();
        assert!(text.starts_with("ak_") && text.len() == 46, "{text}");
        assert_eq!(*bench.accounts.find_key(&text).unwrap().unwrap(), key);
        for other in ["", "ak_", "ak_x", &text[3..], &format!("{text}x")] {
            assert!(!valid(&bench, other), "{other}");
        }
        assert!(bench.accounts.key_is_valid(&key.id).unwrap());
        bench.accounts.revoke_key(&key.id, &root()).unwrap();
        assert!(!valid(&bench, &text));
        assert!(!bench.accounts.key_is_valid(&key.id).unwrap());
    }

    #[test]
    fn a_revocation_by_another_process_acts_within_a_second() {
        let bench = bench();
        let (_, text) = bench.accounts.create_key(&new_key(KeyKind::Read), &root()).unwrap();
        assert!(valid(&bench, &text));
        let other = Accounts::open(&bench.dir.path().join("attestry.db"), bench.clock.clone()).unwrap();
        other.revoke_key("web", &root()).unwrap();
        let started = Instant::now();
        while valid(&bench, &text) {
            assert!(started.elapsed() < Duration::from_secs(1));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_key_expires_although_it_is_in_memory() {
        let bench = bench();
        let expires_at = Some(super::super::plus(bench.accounts.now(), Duration::from_secs(60)));
        let new = NewKey { expires_at, ..new_key(KeyKind::Read) };
        let (key, text) = bench.accounts.create_key(&new, &root()).unwrap();
        for (seconds, good) in [(59, true), (1, false)] {
            bench.clock.advance(Duration::from_secs(seconds));
            assert_eq!(valid(&bench, &text), good);
            assert_eq!(bench.accounts.key_is_valid(&key.id).unwrap(), good);
        }
    }

    #[test]
    fn rules() {
        let bench = bench();
        let (write, read) = (new_key(KeyKind::Write), new_key(KeyKind::Read));
        let named = |name: &str| NewKey { name: name.to_owned(), ..read.clone() };
        for (new, good) in [
            (write.clone(), true),
            (read.clone(), true),
            (named("Attestry"), false),
            (named(""), false),
            (named(" web"), false),
            (named("a\nb"), false),
            (named(&"x".repeat(65)), false),
            (NewKey { ledgers: vec![], ..write.clone() }, false),
            (NewKey { ledgers: vec!["audit".into(), "logs".into()], ..write.clone() }, false),
            (NewKey { ledgers: vec!["audit".into(), "logs".into()], ..read.clone() }, true),
            (NewKey { filter: Some("a:b".into()), ..write.clone() }, false),
            (NewKey { filter: Some("a:b".into()), ..read.clone() }, true),
            (NewKey { lenient: true, ..write.clone() }, true),
            (NewKey { expect: Some(Duration::from_secs(3_600)), ..write.clone() }, true),
            (NewKey { expect: Some(Duration::from_millis(999)), ..write.clone() }, false),
            (NewKey { expect: Some(Duration::MAX), ..write }, false),
            (NewKey { expect: Some(Duration::from_secs(3_600)), ..read.clone() }, false),
            (NewKey { lenient: true, ..read.clone() }, false),
        ] {
            assert_eq!(bench.accounts.create_key(&new, &root()).is_ok(), good, "{new:?}");
        }
        let ambiguous = bench.accounts.revoke_key("web", &root());
        assert!(matches!(ambiguous, Err(AccountsError::Invalid { .. })));
        assert!(matches!(bench.accounts.revoke_key("nobody", &root()), Err(AccountsError::NotFound(_))));
    }

    #[test]
    fn use_is_noted() {
        let bench = bench();
        let expect = Some(Duration::from_secs(3_600));
        let new = NewKey { expect, ..new_key(KeyKind::Write) };
        let (key, _) = bench.accounts.create_key(&new, &root()).unwrap();
        for (at, event_at, noted, noted_event) in [
            (5, None, 5, None),
            (9, Some(8), 9, Some(8)),
            (7, Some(6), 9, Some(8)),
            (11, None, 11, Some(8)),
            (12, Some(12), 12, Some(12)),
        ] {
            let used = KeyUse { at: Nanos(at), event_at: event_at.map(Nanos) };
            bench.accounts.keys_used(&HashMap::from([(key.id.clone(), used)])).unwrap();
            let found = bench.accounts.keys().unwrap().remove(0);
            assert_eq!(found.last_used_at, Some(Nanos(noted)));
            assert_eq!((found.last_event_at, found.expect), (noted_event.map(Nanos), expect));
        }
    }
}
