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

/// A file that can be read: its header is known.
pub(crate) struct Source<F> {
    pub(crate) file: F,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) first: u64,
    pub(crate) salt: u32,
}

/// What a file of a journal's name turns out to be.
pub(crate) enum Look<F> {
    Good {
        source: Source<F>,
        /// Whether the header's other copy is whole too.
        both: bool,
    },
    /// From a version that this code does not know.
    Newer,
    /// No copy of the header is whole.
    Bad { bytes: u64 },
}

pub(crate) fn look<D: Disk>(disk: &D, dir: &Path, name: &str, first: u64) -> io::Result<Look<D::File>> {
    let file = disk.open(&dir.join(name))?;
    let bytes = file.len()?;
    let mut copies = [HeaderRead::Bad; 2];
    for (copy, at) in copies.iter_mut().zip([0, COPY_AT]) {
        let mut head = [0; HEAD_BYTES];
        let read = file.read_at(&mut head, at)?;
        *copy = match FileHeader::decode(&head[..read]) {
            HeaderRead::Good(header) if header.first != first => HeaderRead::Bad,
            other => other,
        };
    }
    Ok(match copies {
        [HeaderRead::Newer, _] | [_, HeaderRead::Newer] => Look::Newer,
        [HeaderRead::Good(header), other] | [other, HeaderRead::Good(header)] => {
            let source = Source { file, name: name.to_owned(), bytes, first, salt: header.salt };
            Look::Good { source, both: other == HeaderRead::Good(header) }
        }
        _ => Look::Bad { bytes },
    })
}
