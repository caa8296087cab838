//! The files of a snapshot: `WATCH@SNAPSHOT-20261121T030000Z.sql.zst.gpg`. What is not complete begins with a dot.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use attestry_event::Nanos;
use jiff::Timestamp;

/// How a time stands in a name.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
const STAMP_CHARS: usize = 16;

const SECOND: i64 = 1_000_000_000;

/// The files of one snapshot.
pub(super) struct Folder {
    path: PathBuf,
    /// Names may hold neither `@` nor `/`, so no two snapshots share it.
    prefix: String,
}

/// A file that has its name.
pub(super) struct Named {
    pub(super) name: String,
    /// Whether a power cut leaves it.
    pub(super) synced: io::Result<()>,
}

/// What became of older files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Older {
    pub(super) removed: Vec<String>,
    /// Those that could not be, and why.
    pub(super) not_removed: Vec<String>,
}

/// A file that has no name of its own yet. Dropped without one, it is removed.
pub(super) struct Part {
    path: PathBuf,
    pub(super) file: File,
    named: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.named {
            // What cannot be removed now is removed by the next one.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Folder {
    /// Makes the folder, for its owner alone, if it is not there, and removes what an earlier one left unfinished.
    pub(super) fn open(path: &Path, watch: &str, snapshot: &str) -> io::Result<Folder> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let folder = Folder { path: path.to_owned(), prefix: format!("{watch}@{snapshot}-") };
        let unfinished = folder.unfinished("");
        for name in folder.names()?.into_iter().filter(|name| name.starts_with(&unfinished)) {
            remove(&path.join(name))?;
        }
        Ok(folder)
    }

    /// The way to a file that is not complete: `what` tells several of one run apart.
    pub(super) fn unfinished(&self, what: &str) -> String {
        format!(".{}unfinished{what}", self.prefix)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Begins a file.
    pub(super) fn begin(&self) -> io::Result<Part> {
        let path = self.path.join(self.unfinished(""));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Part { path, file, named: false })
    }

    /// Makes a file durable and gives it its name, which says when it was begun. An error is one of before it has it.
    pub(super) fn finish(&self, mut part: Part, begun: Nanos, extension: &str) -> io::Result<Named> {
        part.file.sync_all()?;
        let mut at = begun.0;
        let name = loop {
            let stamp = Timestamp::from_nanosecond(at.into()).map_err(io::Error::other)?.strftime(STAMP);
            let name = format!("{}{stamp}.{extension}", self.prefix);
            // Two within a second.
            if !self.path.join(&name).exists() {
                break name;
            }
            at = at.saturating_add(SECOND);
        };
        std::fs::rename(&part.path, self.path.join(&name))?;
        part.named = true;
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(Named { name, synced })
    }

    /// Removes all but the one that was just made, whatever time the clock gave it, and the newest others, so many in all. One that cannot be
    /// removed keeps no other, and is tried again with the next snapshot.
    pub(super) fn keep(&self, made: &str, newest: usize) -> Older {
        let mut older = Older::default();
        let mut all: Vec<String> = match self.names() {
            Ok(names) => names.into_iter().filter(|name| name != made && self.is_ours(name)).collect(),
            Err(error) => {
                older.not_removed.push(format!("{}: {error}", self.path.display()));
                return older;
            }
        };
        all.sort_unstable();
        all.truncate((all.len() + 1).saturating_sub(newest));
        for name in all {
            match remove(&self.path.join(&name)) {
                Ok(true) => older.removed.push(name),
                // Somebody else removes old files here, too.
                Ok(false) => {}
                Err(error) => older.not_removed.push(format!("{name}: {error}")),
            }
        }
        older
    }

    fn is_ours(&self, name: &str) -> bool {
        let stamped = name.strip_prefix(&self.prefix).and_then(|rest| rest.split_at_checked(STAMP_CHARS));
        stamped.is_some_and(|(stamp, extension)| {
            extension.starts_with('.') && jiff::civil::DateTime::strptime(STAMP, stamp).is_ok()
        })
    }
}

/// Removes a file, and says whether it was there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_older_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let others = [
            "bank@nightly-20261121T030000.sql",
            "bank@nightly-x20261121T030000Z.sql",
            "bank@nightly2-20201121T030000Z.sql",
            "notes",
            ".bank@weekly-unfinished",
        ];
        for name in others {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::write(dir.path().join(".bank@nightly-unfinished"), "half").unwrap();
        let folder = Folder::open(dir.path(), "bank", "nightly").unwrap();
        assert!(!dir.path().join(".bank@nightly-unfinished").exists());
        let mut made = Vec::new();
        for second in [0, 0, 86_400] {
            let part = folder.begin().unwrap();
            let named = folder.finish(part, Nanos(second * SECOND), "sql.zst").unwrap();
            named.synced.unwrap();
            made.push(named.name);
        }
        assert_eq!(
            made,
            [
                "bank@nightly-19700101T000000Z.sql.zst",
                "bank@nightly-19700101T000001Z.sql.zst",
                "bank@nightly-19700102T000000Z.sql.zst"
            ]
        );
        drop(folder.begin().unwrap());
        assert_eq!(folder.keep(&made[2], 2), Older { removed: made[..1].to_vec(), not_removed: Vec::new() });
        let mut left = folder.names().unwrap();
        left.sort_unstable();
        let mut expected: Vec<&str> =
            others.into_iter().chain(made[1..].iter().map(String::as_str)).collect();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
    #[test]
    fn an_older_file_that_stays_keeps_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), "bank", "nightly").unwrap();
        let name = |day: u8| format!("bank@nightly-2026110{day}T030000Z.sql");
        // A folder is no file that can be removed.
        std::fs::create_dir(dir.path().join(name(1))).unwrap();
        for day in [2, 3, 4] {
            std::fs::write(dir.path().join(name(day)), "").unwrap();
        }
        let older = folder.keep(&name(4), 1);
        assert_eq!(older.removed, [name(2), name(3)]);
        assert_eq!(older.not_removed.len(), 1);
        assert!(older.not_removed[0].starts_with(&name(1)), "{older:?}");
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(folder.keep(&name(4), 1).not_removed.len(), 1);
    }
}
