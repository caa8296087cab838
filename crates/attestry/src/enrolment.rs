//! What makes this host an agent of a server: a folder in the data directory, written by `attestry agent enroll`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::run::private_file;

/// The folder in the data directory.
const FOLDER: &str = "agent";
const FILE: &str = "enrolment.json";
/// The format of the file.
const FORMAT: u32 = 1;

/// An enrolment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolment {
    format: u32,
    /// The name the server knows this host by.
    pub(crate) name: String,
    /// The server's address.
    pub(crate) url: String,
    /// The ledgers this host may write to, with their verifier keys.
    pub(crate) ledgers: BTreeMap<String, String>,
    /// Whether the server's certificate is kept here, because no public authority vouches for it.
    pub(crate) pinned_server: bool,
}

/// Where the parts of an enrolment are.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn of(data_dir: &Path) -> Folder {
        Folder(data_dir.join(FOLDER))
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.0.join("pins")
    }

    /// The enrolment; none when this host is no agent.
    pub(crate) fn load(&self) -> Result<Option<Enrolment>> {
        let path = self.0.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreadable(error)),
        };
        let found: Enrolment = serde_json::from_str(&text)
            .with_context(|| format!("{} is no enrolment: enroll this host again", path.display()))?;
        if found.format > FORMAT {
            bail!("{} has format {}, this program knows up to {FORMAT}", path.display(), found.format);
        }
        Ok(Some(found))
    }

    /// Why it cannot be read. It is the first thing in a data directory that a command reads, so it is here that somebody who does not own
    /// the directory learns it.
    fn unreadable(&self, error: io::Error) -> anyhow::Error {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return anyhow::Error::new(error).context(format!("cannot read {}", self.0.join(FILE).display()));
        }
        let dir = self.0.parent().unwrap_or(&self.0);
        let owner = fs::metadata(dir).map(|found| format!(", user id {}", found.uid())).unwrap_or_default();
        anyhow::Error::new(error).context(format!(
            "the data directory can only be used by its owner{owner}, and by root; others name the server with --url and give a key"
        ))
    }

    /// Keeps an enrolment. The file that makes it one is written last.
    pub(crate) fn save(&self, new: &New) -> Result<Enrolment> {
        let cannot = || format!("cannot write to {}", self.0.display());
        fs::create_dir_all(self.pins()).with_context(cannot)?;
        private_file(&self.key(), &new.key).with_context(cannot)?;
        private_file(&self.certificate(), &new.certificate).with_context(cannot)?;
        if let Some(server) = &new.server {
            private_file(&self.server(), server).with_context(cannot)?;
        }
        for (ledger, pin) in &new.pins {
            private_file(&self.pins().join(ledger), pin).with_context(cannot)?;
        }
        let enrolment = Enrolment {
            format: FORMAT,
            name: new.name.clone(),
            url: new.url.clone(),
            ledgers: new.ledgers.clone(),
            pinned_server: new.server.is_some(),
        };
        private_file(&self.0.join(FILE), &serde_json::to_string_pretty(&enrolment)?).with_context(cannot)?;
        Ok(enrolment)
    }
}

/// What an enrolment is made of.
pub(crate) struct New {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) ledgers: BTreeMap<String, String>,
    /// By ledger, in the form of `attestry verify --pin`.
    pub(crate) pins: BTreeMap<String, String>,
    pub(crate) key: String,
    pub(crate) certificate: String,
    /// Certificates to believe the server by.
    pub(crate) server: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn comes_back_as_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path());
        assert_eq!(folder.load().unwrap(), None);
        let new = New {
            name: "web1".to_owned(),
            url: "https://audit.example.org".to_owned(),
            ledgers: [("audit".to_owned(), "vkey".to_owned())].into(),
            pins: [("audit".to_owned(), "pin".to_owned())].into(),
            key: "KEY".to_owned(),
            certificate: "CERT".to_owned(),
            server: Some("SERVER".to_owned()),
        };
        let saved = folder.save(&new).unwrap();
        assert_eq!(folder.load().unwrap(), Some(saved));
        assert_eq!(folder.key().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(folder.pins().join("audit")).unwrap(), "pin");
    }

    #[test]
    fn a_newer_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FOLDER)).unwrap();
        let text = r#"{"format":2,"name":"a","url":"u","ledgers":{},"pinned_server":false}"#;
        fs::write(dir.path().join(FOLDER).join(FILE), text).unwrap();
        assert!(Folder::of(dir.path()).load().unwrap_err().to_string().contains("format 2"));
    }

    #[test]
    fn whoever_does_not_own_the_directory_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path());
        // Root, as whom tests may run, is never denied anything.
        let denied = format!("{:#}", folder.unreadable(io::ErrorKind::PermissionDenied.into()));
        let owner = dir.path().metadata().unwrap().uid();
        assert!(denied.contains(&format!("by its owner, user id {owner}, and by root")), "{denied}");
        fs::write(dir.path().join(FOLDER), "").unwrap();
        let other = format!("{:#}", folder.load().unwrap_err());
        assert!(other.contains("enrolment.json: Not a directory"), "{other}");
    }
}
