//! The copy as one transaction sees it, in a file of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::SnapshotError;
use super::folder::{Folder, remove};
use crate::copy::{Copy, CopyError};

/// What SQLite may put beside a file.
const BESIDE: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// Writes the whole copy into a file that has no name any more when this returns, and says where in the stream it is. The watch goes on
/// meanwhile: `VACUUM INTO` reads within one transaction, where SQLite's backup interface begins anew with each change.
///
/// The file is beside the copy, where the same is in clear anyway: into the folder of a snapshot goes only what may be read there.
pub(super) fn written(folder: &Folder, copy: &Path) -> Result<(File, Option<String>), SnapshotError> {
    if !copy.exists() {
        return Err(SnapshotError::NoCopy);
    }
    let sqlite = |error: rusqlite::Error| SnapshotError::Copy(CopyError::from(error));
    let path = copy.with_file_name(folder.unfinished("-copy"));
    let failed = |source| SnapshotError::Folder { folder: path.parent().unwrap_or(&path).to_owned(), source };
    // What a crash left.
    remove_all(&path).map_err(failed)?;
    // SQLite takes a file that is there and empty, and keeps its mode.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path).map_err(failed)?;
    let written = (|| -> Result<Option<String>, SnapshotError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(copy, flags).map_err(sqlite)?;
        connection.execute("VACUUM INTO ?1", [path.to_string_lossy()]).map_err(sqlite)?;
        let position =
            Copy::open_to_read(&path).and_then(|copy| copy.position()).map_err(SnapshotError::Copy)?;
        Ok(position.map(|position| position.to_string()))
    })();
    remove_all(&path).map_err(failed)?;
    Ok((file, written?))
}

/// Removes the file, and what SQLite put beside it.
fn remove_all(path: &Path) -> io::Result<()> {
    for beside in BESIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(beside);
        remove(Path::new(&name))?;
    }
    Ok(())
}
