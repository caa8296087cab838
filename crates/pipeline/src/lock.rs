//! Who may write to a directory: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A lock on a directory, held until it is dropped or the process ends. Take it before opening the spool or the dead letters in it.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why there is no lock to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it: ask that one instead.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The file `lock` in it cannot be opened.
    #[error("cannot lock {}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DirLock {
    /// Takes the lock of a directory that exists. Does not wait.
    ///
    /// # Errors
    /// When another process has it, or its file cannot be opened.
    pub fn take(dir: &Path) -> Result<DirLock, LockError> {
        let of_io = |source| LockError::Io { dir: dir.to_owned(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(of_io)?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(of_io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::take(dir.path()).unwrap();
        assert!(matches!(DirLock::take(dir.path()), Err(LockError::InUse { .. })));
        drop(lock);
        assert!(DirLock::take(dir.path()).is_ok());
        assert!(matches!(DirLock::take(&dir.path().join("none")), Err(LockError::Io { .. })));
    }
}
