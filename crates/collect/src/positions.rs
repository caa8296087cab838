//! How far each source has come, one small file a source.
//!
//! The file `<name>.json` holds `{"position":1,"source":NAME,"at":VALUE}` and is replaced in one step, so a crash leaves the
//! old or the new one. It is written *after* the events before it are durable: a crash in between repeats events, whose ids are
//! the same again, and never skips any.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// The positions of all sources, in one folder.
pub struct Positions {
    folder: PathBuf,
}

/// Why a position could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The disk refused. Saving may be tried again; until it succeeds a restart repeats events, under the same ids.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not one of ours. Going on without it is safe: the source starts from the oldest again, under the same ids.
    #[error("{} holds no position: {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
}

impl Positions {
    /// Opens the folder, and creates it where it is missing.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Positions, PositionError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|source| PositionError::Io { path: folder.clone(), source })?;
        Ok(Positions { folder })
    }

    /// The folder the positions are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last position saved for `source`; none when there never was one.
    pub fn load(&self, source: &str) -> Result<Option<Value>, PositionError> {
        let path = self.path(source);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PositionError::Io { path, source }),
        };
        let mut file: Value = serde_json::from_slice(&text)
            .map_err(|error| PositionError::Damaged { path: path.clone(), found: error.to_string() })?;
        if file["position"] != 1 || file["source"] != source {
            return Err(PositionError::Damaged { path, found: "another version or another source".into() });
        }
        Ok(Some(file["at"].take()))
    }

    /// Keeps `position` for `source`; on return it survives a power cut.
    pub fn save(&self, source: &str, position: &Value) -> Result<(), PositionError> {
        let path = self.path(source);
        let written = path.with_extension("new");
        let text = json!({ "position": 1, "source": source, "at": position }).to_string();
        let replace = || {
            let mut file = fs::File::create(&written)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            fs::rename(&written, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        replace().map_err(|source| PositionError::Io { path: path.clone(), source })
    }

    /// Names are configured by people: what is not a plain letter becomes %XX, so no name leaves the folder or meets another.
    fn path(&self, source: &str) -> PathBuf {
        let mut name = String::new();
        for byte in source.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
                _ => name.push_str(&format!("%{byte:02X}")),
            }
        }
        self.folder.join(name + ".json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let positions = Positions::open(folder.path().join("positions")).unwrap();
        assert_eq!(positions.load("auth").unwrap(), None);
        for name in ["auth", "Auth", "../../etc/x", "a b", "é"] {
            positions.save(name, &json!({ "of": name })).unwrap();
        }
        for name in ["auth", "Auth", "../../etc/x", "a b", "é"] {
            assert_eq!(positions.load(name).unwrap(), Some(json!({ "of": name })));
        }
        positions.save("auth", &json!(2)).unwrap();
        assert_eq!(positions.load("auth").unwrap(), Some(json!(2)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lands outside");
    }

    #[test]
    fn a_damaged_file_is_told_from_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let positions = Positions::open(folder.path()).unwrap();
        for text in [
            "",
            "{",
            "{}",
            r#"{"position":2,"source":"auth","at":1}"#,
            r#"{"position":1,"source":"x","at":1}"#,
        ] {
            fs::write(folder.path().join("auth.json"), text).unwrap();
            assert!(matches!(positions.load("auth"), Err(PositionError::Damaged { .. })), "{text:?}");
        }
    }
}
