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
            std::fs::remove_file(path.join(name))?;
        }
        Ok(folder)
    }

    /// The way to a file that is not complete: `what` tells several of one run apart.
    pub(super) fn unfinished(&self, what: &str) -> String {
        format!(".{}unfinished{what}", self.prefix)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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

    /// Makes a file durable and gives it its name, which says when it was begun.
    pub(super) fn finish(&self, mut part: Part, begun: Nanos, extension: &str) -> io::Result<String> {
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
        File::open(&self.path)?.sync_all()?;
        Ok(name)
    }

    /// Removes all but the newest ones, and says which.
    pub(super) fn keep(&self, newest: usize) -> io::Result<Vec<String>> {
        let mut all: Vec<String> = self.names()?.into_iter().filter(|name| self.is_ours(name)).collect();
        all.sort_unstable();
        all.truncate(all.len().saturating_sub(newest));
        for name in &all {
            std::fs::remove_file(self.path.join(name))?;
        }
        Ok(all)
    }

    fn is_ours(&self, name: &str) -> bool {
        let stamped = name.strip_prefix(&self.prefix).and_then(|rest| rest.split_at_checked(STAMP_CHARS));
        stamped.is_some_and(|(stamp, extension)| {
            extension.starts_with('.') && jiff::civil::DateTime::strptime(STAMP, stamp).is_ok()
        })
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
            made.push(folder.finish(part, Nanos(second * SECOND), "sql.zst").unwrap());
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
        assert_eq!(folder.keep(2).unwrap(), made[..1]);
        let mut left = folder.names().unwrap();
        left.sort_unstable();
        let mut expected: Vec<&str> =
            others.into_iter().chain(made[1..].iter().map(String::as_str)).collect();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
