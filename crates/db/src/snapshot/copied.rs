//! The copy as one transaction sees it, in a file of its own.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::SnapshotError;
use super::folder::Folder;
use crate::copy::{Copy, CopyError};

/// Writes the whole copy into a file that has no name any more when this returns, and says where in the stream it is. The watch goes on
/// meanwhile: `VACUUM INTO` reads within one transaction, where SQLite's backup interface begins anew with each change.
pub(super) fn written(folder: &Folder, copy: &Path) -> Result<(File, Option<String>), SnapshotError> {
    if !copy.exists() {
        return Err(SnapshotError::NoCopy);
    }
    let sqlite = |error: rusqlite::Error| SnapshotError::Copy(CopyError::from(error));
    let failed = |source| SnapshotError::Folder { folder: folder.path().to_owned(), source };
    let path = folder.path().join(folder.unfinished("-copy"));
    // SQLite takes a file that is there and empty, and keeps its mode.
    let file = {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?
    };
    let written = (|| -> Result<Option<String>, SnapshotError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(copy, flags).map_err(sqlite)?;
        connection.execute("VACUUM INTO ?1", [path.to_string_lossy()]).map_err(sqlite)?;
        let position =
            Copy::open_to_read(&path).and_then(|copy| copy.position()).map_err(SnapshotError::Copy)?;
        Ok(position.map(|position| position.to_string()))
    })();
    std::fs::remove_file(&path).map_err(failed)?;
    Ok((file, written?))
}
