//! Which files there are: the logs that the patterns mean, each with its rotations, oldest first.
//!
//! A folder is listed again only when it was changed: thousands of files that nobody touches cost a look at their folder's time.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::pattern::{Part, Pattern};
use crate::follow::family::{Rank, rotation};

/// More files than this are not followed; what a pattern meant that finds more was something else.
pub(super) const MAX_FILES: usize = 50_000;
/// So deep goes `**`.
const MAX_DEPTH: usize = 32;
/// A folder's time may stay the same over two changes that are this close to each other: the clock of a file system is coarse.
const COARSE: Duration = Duration::from_secs(2);

/// A file that is meant.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The log it belongs to: the path that its lines were written to.
    pub(super) log: Arc<str>,
    pub(super) rank: Rank,
    pub(super) path: PathBuf,
    /// Compressed by something other than gzip.
    pub(super) unsupported: bool,
}

pub(super) struct Search {
    patterns: Vec<Pattern>,
    exclude: Vec<Pattern>,
    folders: HashMap<PathBuf, Listing>,
    members: Arc<Vec<Member>>,
    /// What kept a folder from being listed.
    problem: Option<String>,
}

struct Listing {
    modified: (i64, i64),
    /// It was changed so shortly before that it may have been changed again.
    unsure: bool,
    entries: Arc<Vec<Entry>>,
    used: bool,
}

struct Entry {
    name: String,
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Folder,
    Link,
}

impl Search {
    pub(super) fn new(patterns: Vec<Pattern>, exclude: Vec<Pattern>) -> Search {
        Search { patterns, exclude, folders: HashMap::new(), members: Arc::default(), problem: None }
    }

    /// Sorted by log, oldest first.
    pub(super) fn members(&self) -> Arc<Vec<Member>> {
        Arc::clone(&self.members)
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Looks again; whether anything may be different from the last time.
    pub(super) fn look(&mut self) -> bool {
        self.problem = None;
        self.folders.values_mut().for_each(|listing| listing.used = false);
        let mut found = Found { changed: false, seen: HashSet::new(), members: Vec::new(), full: false };
        for pattern in self.patterns.clone() {
            self.below(Path::new("/"), &pattern.parts, 0, &mut found);
        }
        let before = self.folders.len();
        self.folders.retain(|_, listing| listing.used);
        if found.full {
            self.problem =
                Some(format!("the patterns mean more than {MAX_FILES} files: the others are left out"));
        }
        if !found.changed && before == self.folders.len() && !self.members.is_empty() {
            return false;
        }
        let mut members = found.members;
        members.sort_by(|a, b| (&a.log, &a.rank, &a.path).cmp(&(&b.log, &b.rank, &b.path)));
        self.members = Arc::new(members);
        true
    }

    fn below(&mut self, folder: &Path, parts: &[Part], depth: usize, found: &mut Found) {
        let Some((part, rest)) = parts.split_first() else { return };
        if depth > MAX_DEPTH || found.full {
            return;
        }
        match part {
            Part::Name(name) if !rest.is_empty() => {
                return self.below(&folder.join(name), rest, depth + 1, found);
            }
            Part::Folders => self.below(folder, rest, depth + 1, found),
            _ => {}
        }
        let Some(entries) = self.list(folder, found) else { return };
        for entry in entries.iter() {
            match (part, entry.kind) {
                // A link may lead back up.
                (Part::Folders, Kind::Folder) if !entry.name.starts_with('.') => {
                    self.below(&entry.path, parts, depth + 1, found);
                }
                (Part::Folders, _) => {}
                (part, Kind::Folder | Kind::Link) if !rest.is_empty() && part.matches(&entry.name) => {
                    self.below(&entry.path, rest, depth + 1, found);
                }
                (part, Kind::File | Kind::Link) if rest.is_empty() => self.file(folder, part, entry, found),
                _ => {}
            }
        }
    }

    fn file(&self, folder: &Path, part: &Part, entry: &Entry, found: &mut Found) {
        let (base, rank, unsupported) = match rotation(&entry.name, |base| part.matches(base)) {
            Some(rotation) => rotation,
            None if part.matches(&entry.name) => (entry.name.as_str(), Rank::Live, false),
            None => return,
        };
        let log = folder.join(base);
        let out = |path: &Path| self.exclude.iter().any(|pattern| pattern.matches(path));
        if out(&log) || out(&entry.path) || !found.seen.insert(entry.path.clone()) {
            return;
        }
        if found.members.len() >= MAX_FILES {
            found.full = true;
            return;
        }
        let log = log.to_string_lossy().into();
        found.members.push(Member { log, rank, path: entry.path.clone(), unsupported });
    }

    fn list(&mut self, folder: &Path, found: &mut Found) -> Option<Arc<Vec<Entry>>> {
        let modified = match fs::metadata(folder) {
            Ok(meta) => (meta.mtime(), meta.mtime_nsec()),
            Err(error) => {
                self.cannot(folder, &error);
                return None;
            }
        };
        if let Some(listing) = self.folders.get_mut(folder)
            && listing.modified == modified
            && !listing.unsure
        {
            listing.used = true;
            return Some(Arc::clone(&listing.entries));
        }
        found.changed = true;
        let unsure = u64::try_from(modified.0).is_ok_and(|seconds| {
            let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            SystemTime::now().duration_since(changed).is_ok_and(|age| age < COARSE)
        });
        match entries(folder) {
            Ok(entries) => {
                let entries = Arc::new(entries);
                let listing = Listing { modified, unsure, entries: Arc::clone(&entries), used: true };
                self.folders.insert(folder.to_owned(), listing);
                Some(entries)
            }
            Err(error) => {
                self.cannot(folder, &error);
                None
            }
        }
    }

    /// A folder that is not there has no files; one that may not be read is told.
    fn cannot(&mut self, folder: &Path, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.problem = Some(format!("{} cannot be listed: {error}", folder.display()));
        }
    }
}

struct Found {
    changed: bool,
    seen: HashSet<PathBuf>,
    members: Vec<Member>,
    full: bool,
}

fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = match () {
            () if kind.is_dir() => Kind::Folder,
            () if kind.is_symlink() => Kind::Link,
            () if kind.is_file() => Kind::File,
            () => continue,
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(Entry { name, path: entry.path(), kind });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::parse;
    use super::*;

    #[test]
    fn logs_are_found_with_their_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for name in [
            "web/access.log",
            "web/access.log.1",
            "web/access.log.2.gz",
            "web/error.log",
            "web/notes.txt",
            "web/access.log-20261101.gz",
            "web/old.log.1",
            "web/.hidden.log",
            "db/a/db.log",
            "db/db.log.3.xz",
            "app-20261120.log",
            "app-20261121.log",
            "single",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let found = |patterns: &[&str], exclude: &[&str]| -> Vec<String> {
            let all = |texts: &[&str], root: &str| {
                texts.iter().flat_map(|text| parse(&text.replace('~', root)).unwrap()).collect()
            };
            let mut search = Search::new(all(patterns, &root), all(exclude, &root));
            assert!(search.look());
            let strip = |path: &str| path.replace(&format!("{root}/"), "");
            let show = |member: &Member| {
                let path = strip(&member.path.display().to_string());
                match strip(&member.log) {
                    log if log == path => path,
                    log => format!("{path} of {log}"),
                }
            };
            search.members().iter().map(show).collect()
        };
        let web = [
            "web/access.log-20261101.gz of web/access.log",
            "web/access.log.2.gz of web/access.log",
            "web/access.log.1 of web/access.log",
            "web/access.log",
            "web/error.log",
            "web/old.log.1 of web/old.log",
        ];
        assert_eq!(found(&["~/web/*.log"], &[]), web);
        assert_eq!(found(&["~/web/*.log", "~/web/acc*"], &[]), web);
        assert_eq!(found(&["~/web/*.log"], &["access*", "~/**/old.log"]), ["web/error.log"]);
        assert_eq!(found(&["~/**/db.log"], &[]), ["db/a/db.log", "db/db.log.3.xz of db/db.log"]);
        assert_eq!(
            found(&["~/app-*.log", "~/{single,double}"], &[]),
            ["app-20261120.log", "app-20261121.log", "single"]
        );
    }

    #[test]
    fn a_folder_nobody_changed_is_not_listed_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), "x").unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        let touch = || fs::File::open(folder.path()).unwrap().set_modified(old).unwrap();
        touch();
        let mut search =
            Search::new(parse(&format!("{}/*.log", folder.path().display())).unwrap(), Vec::new());
        assert!(search.look());
        assert!(!search.look());
        fs::write(folder.path().join("b.log"), "x").unwrap();
        assert!(search.look());
        assert_eq!(search.members().len(), 2);
        // So shortly after a change there may be another one at the same time.
        assert!(search.look());
    }
}
