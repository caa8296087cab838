//! Checking an archive: whether its files hold what their indexes say.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use attestry_event::hex;
use sha2::{Digest, Sha256};

use super::HashWriter;
use super::index::{Index, file_of, index_path};

/// What was found in an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that hold what their index says.
    pub files: u64,
    /// Events in them.
    pub events: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
}

/// A file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, below the archive's folder.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads all files of an archive, and compares each with its index. Blocks.
///
/// What stands behind the bytes that an index counts is no damage: it was being written when the program ended, and was never acknowledged.
/// The indexes are not signed: whoever can write to the folder can replace a file together with its index.
///
/// # Errors
/// When the folder cannot be listed.
pub fn verify(folder: &Path) -> io::Result<Verified> {
    let mut verified = Verified::default();
    let mut days: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            days.push(entry.path());
        }
    }
    days.sort();
    for day in days {
        let mut paths = fs::read_dir(&day)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            let result = match (file_of(&path), path.extension()) {
                (Some(file), _) if !file.exists() => Err("the file of this index is missing".to_owned()),
                (Some(_), _) => continue,
                (None, Some(extension)) if extension == "new" => continue,
                (None, _) => check(&path),
            };
            match result {
                Ok(None) => {}
                Ok(Some(index)) => {
                    verified.files += 1;
                    verified.events += index.events;
                }
                Err(reason) => {
                    let file = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                    verified.damages.push(Damage { file, reason });
                }
            }
        }
    }
    Ok(verified)
}

/// The index of a file that holds what it says; none when nothing of the file was ever acknowledged.
fn check(path: &Path) -> Result<Option<Index>, String> {
    let told = |error: io::Error| error.to_string();
    let Some(index) =
        Index::read(path).map_err(|error| format!("{}: {error}", index_path(path).display()))?
    else {
        return Ok(None);
    };
    let file = File::open(path).map_err(told)?;
    let mut hasher = Sha256::new();
    let bytes = io::copy(&mut file.take(index.bytes), &mut HashWriter(&mut hasher)).map_err(told)?;
    if bytes != index.bytes {
        return Err(format!("it has {bytes} bytes, its index says {}", index.bytes));
    }
    let hash = hex(hasher.finalize());
    if hash != index.sha256 {
        return Err(format!("its SHA-256 is {hash}, its index says {}", index.sha256));
    }
    let file = File::open(path).map_err(told)?.take(index.bytes);
    let mut lines = BufReader::new(zstd::stream::read::Decoder::new(file).map_err(told)?);
    let mut events = 0;
    while lines.skip_until(b'\n').map_err(told)? > 0 {
        events += 1;
    }
    if events != index.events {
        return Err(format!("it has {events} events, its index says {}", index.events));
    }
    Ok(Some(index))
}
