//! What is wrong with a watch, as far as it can be told without the database.

use std::path::PathBuf;
use std::time::Duration;

use attestry_wire::sql::Login;

use super::{CopyPlace, WatchConfig};
use crate::rules::Check;

/// Which of the two a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

impl Engine {
    /// Its name, as answers have it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Mysql => "mysql",
            Engine::Postgres => "postgresql",
        }
    }
}

/// A mistake: the item, by its path within the watch, and what was found and expected.
pub type Mistake = (Vec<&'static str>, String);

/// The longest name of a slot or a publication, in bytes (PostgreSQL's NAMEDATALEN less one).
const SLOT_BYTES_MAX: usize = 63;

impl WatchConfig {
    /// Which database it is, by the address.
    pub fn engine(&self) -> Option<Engine> {
        match self.url.split_once("://")?.0 {
            "mysql" | "mariadb" => Some(Engine::Mysql),
            "postgres" | "postgresql" => Some(Engine::Postgres),
            _ => None,
        }
    }

    /// How to come in.
    pub fn login(&self) -> Login<'_> {
        Login {
            url: &self.url,
            password: self.password.as_ref(),
            tls: self.tls.as_ref(),
            plaintext: self.plaintext,
            timeout: self.timeout.0,
        }
    }

    /// The name of PostgreSQL's slot and publication.
    pub fn slot_name(&self, watch: &str) -> String {
        self.slot.clone().unwrap_or_else(|| format!("attestry_{}", watch.replace('-', "_")))
    }

    /// The file of the copy, where one is named.
    pub fn copy_file(&self) -> Option<&PathBuf> {
        match self.copy.as_ref()? {
            CopyPlace::File(file) => Some(file),
            CopyPlace::Schema(place) => place.file.as_ref(),
        }
    }

    /// The schema of the watched server that shows the copy.
    pub fn copy_schema(&self) -> Option<&str> {
        match self.copy.as_ref()? {
            CopyPlace::File(_) => None,
            CopyPlace::Schema(place) => Some(&place.schema),
        }
    }

    /// The schema that is watched.
    pub fn watched_schema(&self) -> Option<String> {
        match (&self.schema, self.engine()?) {
            (Some(schema), _) => Some(schema.clone()),
            (None, Engine::Postgres) => Some("public".to_owned()),
            (None, Engine::Mysql) => Some(self.login().mysql().ok()?.database().to_owned()),
        }
    }

    /// All that is wrong.
    pub fn check(&self, watch: &str) -> Vec<Mistake> {
        let mut wrong: Vec<Mistake> = Vec::new();
        let mut say = |path: &[&'static str], what: String| wrong.push((path.to_vec(), what));
        let login = match self.engine() {
            Some(Engine::Mysql) => self.login().mysql().err(),
            Some(Engine::Postgres) => self.login().postgres().err(),
            None => {
                let what = "expected an address that begins with mysql:// or postgres://";
                say(&["url"], what.to_owned());
                None
            }
        };
        if let Some(error) = login {
            say(&["url"], error.reason);
        }
        if self.tls.is_some() && self.plaintext {
            say(&["plaintext"], "found true and tls, expected one of them".to_owned());
        }
        for (item, period) in [("timeout", self.timeout), ("sleep", self.sleep)] {
            if period.0 == Duration::ZERO {
                say(&[item], "found 0s, expected a time".to_owned());
            }
        }
        for (item, rows) in
            [("rows_per_second", self.reconcile.rows_per_second), ("chunk_rows", self.reconcile.chunk_rows)]
        {
            if rows == 0 {
                say(&["reconcile", item], "found 0, expected at least 1".to_owned());
            }
        }
        for (name, written) in &self.checks {
            if let Err(what) = Check::new(name, written) {
                say(&["checks"], format!("{name}: {what}"));
            }
        }
        if let Some(schema) = self.copy_schema() {
            if schema.is_empty() || schema.len() > SLOT_BYTES_MAX {
                say(&["copy"], format!("found {schema:?}, expected the name of a schema"));
            }
            // MySQL may or may not tell names apart by their case.
            if self.watched_schema().is_some_and(|watched| watched.eq_ignore_ascii_case(schema)) {
                let what = format!("found {schema}, which is watched, expected a schema of the copy's own");
                say(&["copy"], what);
            }
        }
        for (name, snapshot) in &self.snapshots {
            for (item, what) in snapshot.check(name) {
                say(&["snapshots"], format!("{name}: {item}: {what}"));
            }
        }
        let slot = self.slot_name(watch);
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if slot.len() > SLOT_BYTES_MAX || slot.is_empty() || !slot.bytes().all(fits) {
            let what =
                format!("found {slot:?}, expected a name such as attestry_bank: up to 63 of a-z, 0-9 and _");
            say(&["slot"], what);
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_by_their_place() {
        for (yaml, expected) in [
            ("{url: 'mysql://a@db/bank'}", vec![]),
            ("{url: 'postgres://a@db/bank', slot: mine}", vec![]),
            ("{url: 'postgres://a@db/bank', copy: /var/lib/bank.sqlite}", vec![]),
            ("{url: 'postgres://a@db/bank', copy: {schema: audit}}", vec![]),
            ("{url: 'postgres://a@db/bank', copy: {schema: public}}", vec!["copy"]),
            ("{url: 'mysql://a@db/bank', copy: {schema: Bank}}", vec!["copy"]),
            (
                "{url: 'mysql://a@db/bank', checks: {sum: {sql: SELECT 0, every: '0 3 * * *', tolerance: '0.01'}}}",
                vec![],
            ),
            ("{url: 'mysql://a@db/bank', checks: {sum: {sql: SELECT 0, every: now}}}", vec!["checks"]),
            (
                "{url: 'mysql://a@db/bank', snapshots: {nightly: {schedule: '0 3 * * *', folder: /srv, encrypt_to: [a@b]}}}",
                vec![],
            ),
            (
                "{url: 'mysql://a@db/bank', snapshots: {nightly: {schedule: now, folder: /srv}}}",
                vec!["snapshots", "snapshots"],
            ),
            ("{url: 'oracle://a@db/bank'}", vec!["url"]),
            ("{url: 'mysql://a@db'}", vec!["url"]),
            ("{url: 'mysql://a:swordfish@db/bank'}", vec!["url"]),
            ("{url: 'postgres://a@db/bank', slot: 'My Slot', sleep: 0s}", vec!["sleep", "slot"]),
            (
                "{url: 'mysql://a@db/bank', reconcile: {chunk_rows: 0, rows_per_second: 0}, copy: /c}",
                vec!["reconcile.rows_per_second", "reconcile.chunk_rows"],
            ),
        ] {
            let config: WatchConfig = match serde_saphyr::from_str(yaml) {
                Ok(config) => config,
                Err(error) => {
                    assert!(yaml.contains("0s") && error.to_string().contains("0s"), "{error}");
                    continue;
                }
            };
            let wrong = config.check("bank");
            let places: Vec<String> = wrong.iter().map(|(path, _)| path.join(".")).collect();
            assert_eq!(places, expected, "{yaml}: {wrong:?}");
            assert!(wrong.iter().all(|(_, what)| !what.contains("swordfish")), "{wrong:?}");
        }
    }

    #[test]
    fn a_slot_is_named_after_its_watch() {
        let config: WatchConfig = serde_saphyr::from_str("url: postgres://a@db/bank").unwrap();
        assert_eq!(config.slot_name("my-bank"), "attestry_my_bank");
        assert_eq!(config.check("My Bank").len(), 1);
        assert_eq!(config.engine().map(Engine::name), Some("postgresql"));
    }
}
