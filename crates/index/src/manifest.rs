//! The index's directory: which files are its parts.
//!
//! `MANIFEST` is replaced as a whole (written aside, synced, renamed). Its lines:
//!
//! ```text
//! attestry-index 1
//! first <row>                      rows before this one were pruned
//! part <first> <end> <bytes>       for each part, in order; its file is <first>-<end>.idx, 20 digits each
//! crc32c <8 hex digits>            of all lines before
//! ```
//!
//! Files that it does not name are leftovers and are removed. A part that is missing or damaged is dropped, and with
//! it all that follow, so that the rows stay without a hole: they are derived, and fed again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::part::Part;

const NAME: &str = "MANIFEST";
const FORMAT: &str = "attestry-index 1";

/// What was found when the index was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The rows that are in the index; what follows is to be fed.
    pub rows: Range<u64>,
    /// What was thrown away.
    pub dropped: Vec<Dropped>,
}

/// A file that was thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub file: String,
    /// The rows that it held, where that is known.
    pub rows: Option<Range<u64>>,
    /// What was wrong with it.
    pub why: String,
}

/// What a directory holds.
pub(crate) struct Found {
    pub(crate) first: u64,
    pub(crate) parts: Vec<Arc<Part>>,
    pub(crate) dropped: Vec<Dropped>,
}

/// A part in the manifest: its rows, and its size in bytes.
type Named = (Range<u64>, u64);

/// The file of the part with these rows.
pub(crate) fn file_name(rows: &Range<u64>) -> String {
    format!("{:020}-{:020}.idx", rows.start, rows.end)
}

/// Maps a part's file and checks it.
pub(crate) fn open_part(path: &Path) -> io::Result<Part> {
    let file = File::open(path)?;
    // SAFETY: the file belongs to this process's data directory and is never written again once it is complete. Who
    // cuts it short from outside while it is mapped ends the process, not the truth: all of it is derived.
    let map = unsafe { Mmap::map(&file)? };
    Part::mapped(map).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the directory, creating it where there is none, and removes what does not belong to the index.
pub(crate) fn read(dir: &Path) -> io::Result<Found> {
    fs::create_dir_all(dir)?;
    let mut found = Found { first: 0, parts: Vec::new(), dropped: Vec::new() };
    let mut named = Vec::new();
    match fs::read_to_string(dir.join(NAME)) {
        Ok(text) => match parse(&text) {
            Some((first, parts)) => {
                found.first = first;
                named = parts;
            }
            None => {
                found.drop(NAME.to_owned(), None, "not a manifest of this version, or damaged".to_owned())
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            found.drop(NAME.to_owned(), None, "not a manifest of this version, or damaged".to_owned());
        }
        Err(error) => return Err(error),
    }
    for (rows, bytes) in named {
        let name = file_name(&rows);
        if let Some(bad) = found.dropped.first() {
            let why = format!("follows {}, which was dropped", bad.file);
            found.drop(name, Some(rows), why);
            continue;
        }
        match open_part(&dir.join(&name)) {
            Ok(part) if part.rows() == rows && part.size() as u64 == bytes => {
                found.parts.push(Arc::new(part))
            }
            Ok(_) => found.drop(name, Some(rows), "not the file that the manifest means".to_owned()),
            Err(error) => found.drop(name, Some(rows), error.to_string()),
        }
    }
    if !found.dropped.is_empty() {
        write(dir, found.first, &found.parts)?;
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.ends_with(".idx") || name.ends_with(".tmp");
        if ours && !found.parts.iter().any(|part| file_name(&part.rows()) == name) {
            fs::remove_file(&path)?;
        }
    }
    Ok(found)
}

impl Found {
    fn drop(&mut self, file: String, rows: Option<Range<u64>>, why: String) {
        self.dropped.push(Dropped { file, rows, why });
    }
}

fn parse(text: &str) -> Option<(u64, Vec<Named>)> {
    let (body, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let crc = u32::from_str_radix(last.strip_prefix("crc32c ")?, 16).ok()?;
    if crc32c::crc32c(text.get(..body.len() + 1)?.as_bytes()) != crc {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != FORMAT {
        return None;
    }
    let first: u64 = lines.next()?.strip_prefix("first ")?.parse().ok()?;
    let mut parts: Vec<Named> = Vec::new();
    for line in lines {
        let mut numbers = line.strip_prefix("part ")?.split(' ').map(str::parse);
        let (start, end, bytes) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        let follows = parts.last().is_none_or(|(before, _)| before.end == start);
        if start >= end || !follows || numbers.next().is_some() {
            return None;
        }
        parts.push((start..end, bytes));
    }
    Some((first, parts))
}

/// Makes these parts, which are files, the ones that the next start finds.
pub(crate) fn write(dir: &Path, first: u64, parts: &[Arc<Part>]) -> io::Result<()> {
    let mut text = format!("{FORMAT}\nfirst {first}\n");
    for part in parts.iter().filter(|part| !part.is_in_memory()) {
        let rows = part.rows();
        text += &format!("part {} {} {}\n", rows.start, rows.end, part.size());
    }
    let crc = crc32c::crc32c(text.as_bytes());
    text += &format!("crc32c {crc:08x}\n");
    let aside = dir.join(format!("{NAME}.tmp"));
    let mut file = File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, dir.join(NAME))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a part's file with `fill`, syncs it, and maps it. The caller names it in the manifest.
pub(crate) fn write_part<T>(
    dir: &Path,
    rows: &Range<u64>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> io::Result<(Part, T)> {
    let path: PathBuf = dir.join(file_name(rows));
    let written = (|| {
        let mut file = File::create(&path)?;
        let result = fill(&mut file)?;
        file.sync_all()?;
        sync_dir(dir)?;
        Ok((open_part(&path)?, result))
    })();
    if written.is_err() {
        // Half a file, perhaps because the disk is full: give the space back. It is no loss if that fails, too.
        let _ = fs::remove_file(&path);
    }
    written
}
