//! The directory of journal files: which sequences each one has, and how a new one begins.

use std::{io, path::Path};

use crate::{
    disk::{Disk, File, staged},
    format::{COPY_AT, FileHeader, HEAD_BYTES, HeaderRead, RECORDS_AT, file_name, parse_file_name},
};

/// A file's part of the sequence: its records from `first` to `end`, exclusive. What it holds beyond is superseded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
}

/// The file that is being appended to.
pub(crate) struct Active<F> {
    pub(crate) file: F,
    pub(crate) salt: u32,
    /// Where the next record goes.
    pub(crate) at: u64,
    pub(crate) size: u64,
}

/// Begins the file whose first record is `first`, in place of whatever files have that sequence or a later one: those are
/// the leftovers of what was rolled back. Everything below `first` must be durable.
///
/// The file gets its name when its header is durable, so no crash leaves a file of that name without a header. The
/// leftovers go one by one from the end, because a file's presence says that everything before it is durable.
pub(crate) fn start<D: Disk>(disk: &D, dir: &Path, first: u64, size: u64) -> io::Result<Active<D::File>> {
    let path = dir.join(file_name(first));
    let staged = staged(&path);
    let salt = disk.random() as u32;
    let written = (|| {
        let file = disk.create(&staged)?;
        file.allocate(size)?;
        let header = FileHeader { first, salt }.encode();
        file.write_all_at(&header, 0)?;
        file.write_all_at(&header, COPY_AT)?;
        file.sync_data()?;
        Ok(file)
    })();
    let file = match written {
        Ok(file) => file,
        Err(error) => {
            // Gives back the space; a crash may bring the file back, and the next open then removes it.
            let _ = disk.remove(&staged);
            return Err(error);
        }
    };
    for name in disk.list(dir)?.iter().rev() {
        if parse_file_name(name).is_some_and(|other| other > first) {
            disk.remove(&dir.join(name))?;
            disk.sync_dir(dir)?;
        }
    }
    disk.rename(&staged, &path)?;
    disk.sync_dir(dir)?;
    Ok(Active { file, salt, at: RECORDS_AT, size })
}

/// Reads a file's header from its first copy that is whole, and says whether the other one is too.
pub(crate) fn read_header(file: &impl File) -> io::Result<(HeaderRead, bool)> {
    let mut bytes = [0; HEAD_BYTES];
    let mut found = (HeaderRead::Bad, true);
    for at in [0, COPY_AT] {
        let read = file.read_at(&mut bytes, at)?;
        match (found.0, FileHeader::decode(&bytes[..read])) {
            (HeaderRead::Bad, other) => found = (other, found.1 && other != HeaderRead::Bad),
            (one, other) => found.1 &= one == other,
        }
        if found.0 == HeaderRead::Bad {
            found.1 = false;
        }
    }
    Ok(found)
}
