//! Snapshots, as they are written in the configuration.

use std::path::PathBuf;

use attestry_event::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// A dump that is made on a schedule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotConfig {
    /// When: the five fields of a crontab, such as `0 3 * * *`. What was missed is made up once. Default: only by hand (`attestry db snapshot`).
    #[serde(default)]
    pub schedule: Option<String>,
    /// The time zone of `schedule`, such as `Europe/Berlin`. Default: this host's.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// What: `watched`, the database's own dump of the watched schema, or `copy`, all that the watch keeps of it. Default: watched.
    #[serde(default)]
    pub what: What,
    /// Where the files go, on this host.
    pub folder: PathBuf,
    /// How many files of this snapshot are kept; older ones are removed after a new one is complete. Default: 7.
    #[serde(default = "keep")]
    pub keep: usize,
    /// How it is packed: `zst` or `none`. Default: zst.
    #[serde(default)]
    pub compression: Compression,
    /// The key it is signed with: fingerprint, id of 16 digits or mail address. Default: it is not signed; its hash is in the ledger anyway.
    #[serde(default)]
    pub sign_with: Option<String>,
    /// The keys it is encrypted to: fingerprints, ids of 16 digits or mail addresses. Each of them can read it, and nobody else.
    #[serde(default)]
    pub encrypt_to: Vec<String>,
    /// Writes it without encryption, for whoever can read the folder. Default: no.
    #[serde(default)]
    pub unencrypted: bool,
    /// The program that dumps. Default: `mariadb-dump`, or `mysqldump` where that is missing; `pg_dump`.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// Further arguments for the program, such as `--events`. Everybody on this host sees them.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// How long the program may give nothing. Default: 10m.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn keep() -> usize {
    7
}

fn timeout() -> Period {
    Period::seconds(600)
}

/// What is dumped.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The database that is watched.
    #[default]
    Watched,
    /// The watch's copy: rows, versions, violations.
    Copy,
}

impl What {
    /// Its name in the configuration and in events.
    pub fn name(self) -> &'static str {
        match self {
            What::Watched => "watched",
            What::Copy => "copy",
        }
    }
}

/// How a dump is packed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard (RFC 8878), with a checksum.
    #[default]
    Zst,
    /// Not at all.
    None,
}

impl Compression {
    /// Its name in the configuration and in events.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Zst => "zst",
            Compression::None => "none",
        }
    }
}

impl SnapshotConfig {
    /// When it is due; none when it is only made by hand, or what is written is no schedule.
    pub fn schedule(&self) -> Option<Schedule> {
        Schedule::new(self.schedule.as_deref()?, self.time_zone.as_deref()).ok()
    }

    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.starts_with('.') {
            wrong.push(("name", format!("found {name:?}, expected 1 to 64 of A-Z, a-z, 0-9, -, _ and .")));
        }
        if let Some(text) = &self.schedule
            && let Err(why) = Schedule::new(text, self.time_zone.as_deref())
        {
            wrong.push((
                "schedule",
                format!("found {text:?}, expected a crontab such as \"0 3 * * *\": {why}"),
            ));
        }
        if self.folder.as_os_str().is_empty() {
            wrong.push(("folder", "found nothing, expected a folder".to_owned()));
        }
        if self.keep == 0 {
            wrong.push(("keep", "found 0, expected at least 1".to_owned()));
        }
        match (self.encrypt_to.is_empty(), self.unencrypted) {
            (true, false) => wrong.push((
                "encrypt_to",
                "found nothing, expected keys that may read it, or `unencrypted: true`".to_owned(),
            )),
            (false, true) => {
                wrong.push(("unencrypted", "found true and encrypt_to, expected one of them".to_owned()));
            }
            _ => {}
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "found 0s, expected a time".to_owned()));
        }
        if self.what == What::Copy && (self.program.is_some() || !self.arguments.is_empty()) {
            wrong.push(("program", "found with `what: copy`, which no program dumps".to_owned()));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_by_their_field() {
        for (yaml, fields) in [
            ("{folder: /srv, encrypt_to: [a@b]}", vec![]),
            ("{folder: /srv, unencrypted: true, what: copy, compression: none, sign_with: a@b}", vec![]),
            ("{folder: /srv}", vec!["encrypt_to"]),
            ("{folder: /srv, unencrypted: true, encrypt_to: [a@b]}", vec!["unencrypted"]),
            ("{folder: '', keep: 0, timeout: 0s, encrypt_to: [a@b]}", vec!["folder", "keep", "timeout"]),
            ("{folder: /srv, encrypt_to: [a@b], schedule: '0 3 * *'}", vec!["schedule"]),
            ("{folder: /srv, encrypt_to: [a@b], schedule: '@daily', time_zone: Nowhere}", vec!["schedule"]),
            ("{folder: /srv, encrypt_to: [a@b], what: copy, arguments: [--events]}", vec!["program"]),
        ] {
            let config: SnapshotConfig = serde_saphyr::from_str(yaml).unwrap();
            let found: Vec<&str> = config.check("nightly").into_iter().map(|(field, _)| field).collect();
            assert_eq!(found, fields, "{yaml}");
        }
        let config: SnapshotConfig = serde_saphyr::from_str("{folder: /srv, encrypt_to: [a@b]}").unwrap();
        assert_eq!(config.check("a/b").len(), 1);
        assert_eq!((config.keep, config.what, config.schedule().is_none()), (7, What::Watched, true));
        assert!(serde_saphyr::from_str::<SnapshotConfig>("{encrypt_to: [a@b]}").is_err());
    }
}
