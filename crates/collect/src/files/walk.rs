//! Which files there are: patterns followed through the folders.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use attestry_event::Nanos;
use glob::{Pattern, PatternError};

use super::Config;
use crate::{compared, mounted::Mounts};

/// So many files, folders and links are watched; with their hashes they take some 10 MB.
pub(super) const MAX_FOUND: usize = 20_000;

/// Checks a pattern and makes it ready.
pub(super) fn glob(pattern: &str) -> Result<Pattern, PatternError> {
    Pattern::new(pattern)
}

/// Something that was found.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) meta: Metadata,
}

/// What one walk found.
pub(super) struct Walk<'a> {
    root: &'a Path,
    mounts: Mounts,
    exclude: Vec<Pattern>,
    /// By path as it is told.
    pub(super) found: BTreeMap<String, Found>,
    /// The folders in which changes are to be noticed.
    pub(super) folders: BTreeSet<PathBuf>,
    /// What could not be read, and why.
    pub(super) unread: BTreeMap<String, String>,
    /// Whether there is more than is watched.
    pub(super) cut: bool,
}

impl Walk<'_> {
    pub(super) fn take<'a>(root: &'a Path, proc: &Path, patterns: &[String], config: &Config) -> Walk<'a> {
        let exclude = config.exclude.iter().filter_map(|pattern| glob(pattern).ok()).collect();
        let mut walk = Walk {
            root,
            mounts: Mounts::read(proc),
            exclude,
            found: BTreeMap::new(),
            folders: BTreeSet::new(),
            unread: BTreeMap::new(),
            cut: false,
        };
        for pattern in patterns {
            let names: Vec<&str> = pattern.split('/').filter(|name| !name.is_empty()).collect();
            walk.follow(root.to_owned(), &names, config.depth);
        }
        if walk.cut {
            let reason = format!("has more than the {MAX_FOUND} files that are watched");
            walk.unread.insert("/".into(), reason);
        }
        walk
    }

    /// Whether a path lies where nothing could be seen.
    pub(super) fn hidden(&self, path: &str) -> bool {
        self.unread.keys().any(|unread| Path::new(path).starts_with(unread))
    }

    /// The path as it is told.
    fn told(&self, path: &Path) -> String {
        let inner = path.strip_prefix(self.root).unwrap_or(path);
        format!("/{}", inner.display())
    }

    fn follow(&mut self, path: PathBuf, names: &[&str], depth: usize) {
        let Some((name, rest)) = names.split_first() else { return self.enter(path, depth) };
        if *name == "**" {
            if depth > 0 {
                for inner in self.listed(&path) {
                    if fs::symlink_metadata(&inner).is_ok_and(|meta| meta.is_dir()) {
                        self.follow(inner, names, depth - 1);
                    }
                }
            }
            return self.follow(path, rest, depth);
        }
        if !name.contains(['*', '?', '[']) {
            return self.follow(path.join(name), rest, depth);
        }
        let Ok(pattern) = Pattern::new(name) else { return };
        for inner in self.listed(&path) {
            if inner.file_name().is_some_and(|name| pattern.matches(&name.to_string_lossy())) {
                self.follow(inner, rest, depth);
            }
        }
    }

    /// Takes a path, and what is in it.
    fn enter(&mut self, path: PathBuf, depth: usize) {
        let told = self.told(&path);
        if self.exclude.iter().any(|pattern| pattern.matches(&told)) || self.found.contains_key(&told) {
            return;
        }
        if self.mounts.remote(Path::new(&told)) {
            self.unread.insert(told, "lies on a file system of the network, which is not looked at".into());
            return;
        }
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) => {
                // It may come: its folder is where that will be seen.
                self.folders.extend(path.parent().map(Path::to_owned));
                return self.cannot(told, &error);
            }
        };
        if self.found.len() >= MAX_FOUND {
            self.cut = true;
            return;
        }
        let folder = meta.is_dir();
        self.folders.extend(path.parent().map(Path::to_owned));
        self.found.insert(told, Found { path: path.clone(), meta });
        if folder && depth > 0 {
            for inner in self.listed(&path) {
                self.enter(inner, depth - 1);
            }
        }
    }

    /// What is in a folder, by name.
    fn listed(&mut self, folder: &Path) -> Vec<PathBuf> {
        if self.mounts.remote(Path::new(&self.told(folder))) {
            return Vec::new();
        }
        self.folders.insert(folder.to_owned());
        match fs::read_dir(folder) {
            Ok(listed) => {
                // No more than can be watched, and one to see that there are more.
                let mut inner: Vec<PathBuf> =
                    listed.flatten().map(|entry| entry.path()).take(MAX_FOUND + 1).collect();
                inner.sort();
                inner
            }
            Err(error) => {
                let told = self.told(folder);
                self.cannot(told, &error);
                Vec::new()
            }
        }
    }

    fn cannot(&mut self, told: String, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.unread.insert(told, format!("cannot be read: {error}"));
        }
    }
}

/// When something that was there went, where it is not there any more: its folder changed then.
pub(super) fn gone(root: &Path, told: &str, now: Nanos) -> Option<Nanos> {
    let path = root.join(told.trim_start_matches('/'));
    match fs::symlink_metadata(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let folder = path.ancestors().skip(1).find_map(|folder| fs::metadata(folder).ok());
            Some(folder.map_or(now, |meta| compared::changed(&meta, now)))
        }
        _ => None,
    }
}
