//! The small file beside an archive's file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use attestry_event::Nanos;
use serde::{Deserialize, Serialize};

/// What a file must hold.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Index {
    /// 1.
    pub(super) format: u32,
    /// How many bytes of the file count.
    pub(super) bytes: u64,
    /// Their SHA-256, in hex.
    pub(super) sha256: String,
    /// How many events are in them.
    pub(super) events: u64,
    /// The least event time.
    pub(super) first: Option<Nanos>,
    /// The greatest event time.
    pub(super) last: Option<Nanos>,
}

impl Index {
    /// The index of a file; none when it has none.
    pub(super) fn read(path: &Path) -> io::Result<Option<Index>> {
        let text = match fs::read(index_path(path)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let index: Index = serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if index.format != 1 {
            let reason = format!("the index has format {}, this program reads format 1", index.format);
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        Ok(Some(index))
    }

    /// Replaces the index of a file as a whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let index = Index { format: 1, ..self.clone() };
        let target = index_path(path);
        let temporary = target.with_added_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(serde_json::to_string(&index)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Where the index of a file is.
pub(super) fn index_path(path: &Path) -> PathBuf {
    path.with_added_extension("index")
}

/// Moves a damaged file and its index out of the way, to be looked at.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    let mut number = 1;
    let aside = loop {
        let aside = path.with_added_extension(format!("damaged-{number}"));
        if !aside.try_exists()? && !index_path(&aside).try_exists()? {
            break aside;
        }
        number += 1;
    };
    tracing::error!(file = %path.display(), "the archive's file does not hold what its index says: it is set aside");
    for (from, to) in [(path.to_owned(), aside.clone()), (index_path(path), index_path(&aside))] {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The file that an index is of.
pub(super) fn file_of(index: &Path) -> Option<PathBuf> {
    (index.extension()? == "index").then(|| index.with_extension(OsString::new()))
}
