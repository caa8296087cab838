//! Everything that durable code asks of the machine, so that a test can answer instead.
//!
//! The contract is about what is *durable*: there after the power fails. A call that has returned without error is seen
//! at once by every other call, but it is durable only where its description says so. After a call that returned an
//! error, what it was to do may have happened wholly, in part, or not at all, and may or may not be durable.

mod real;
mod sim;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use real::RealDisk;
pub use sim::{Lie, SimDisk, SimFile};

/// Directories and the names in them.
///
/// Making, renaming and removing a name is durable only after [`sync_dir`](Disk::sync_dir) of its directory returned;
/// until then a crash may keep any of these changes and lose others, whatever their order.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes a file, readable by its owner only. One that exists is emptied.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes a file, readable by its owner only. Fails with [`io::ErrorKind::AlreadyExists`] when there is one.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;

    /// The names in a directory, sorted, in no way recursive. Names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is something of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Removes a file. Those who have it open go on using it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of the file that had it. After a crash the name stands for either the one or
    /// the other file, and never for none.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// When this returns, everything done to names in this directory before is durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a directory and those above it, for their owner only. When this returns, they are durable.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// A number that nobody who sends us bytes can foresee.
    fn random(&self) -> u64;
}

/// The bytes of an open file. Reads and writes at different places may run at the same time.
#[expect(clippy::len_without_is_empty, reason = "an empty file is nothing special")]
pub trait File: Send + Sync + 'static {
    /// Reads into `buffer` from `offset` bytes on and returns how many there were: fewer than asked for only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it, growing the file where needed; the bytes between an old end and `offset` become zero.
    /// Not durable before [`sync_data`](File::sync_data); a crash before that may keep any part of it, in any order.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// When this returns, everything written to the file before is durable, and so is its length; its name is not.
    ///
    /// After an error nothing may be assumed of what was written since the last success, not even that a later success
    /// covers it: Linux reports a failed write-back once and calls the pages clean (<https://lwn.net/Articles/752063/>).
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the file `len` bytes long, never shorter, with space reserved for all of them and zeros in the new part.
    /// Where the file system cannot reserve, the length is all that changes, and a write may find the disk full.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or makes it longer by zeros. Durable with the next [`sync_data`](File::sync_data).
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// Reads a whole small file; `None` when there is none, [`io::ErrorKind::FileTooLarge`] when it has more than `limit` bytes.
pub fn read(disk: &impl Disk, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?;
    if len > limit as u64 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Puts a small file in place of the one of that name, if any. When this returns, the new content is durable; after an
/// error or a crash the file is wholly the old or wholly the new one. Uses `<path>.tmp`, so one caller a path at a time.
pub fn replace(disk: &impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = staged(path);
    let file = disk.create(&staged)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&staged, path)?;
    disk.sync_dir(parent(path))
}

/// Where a file is prepared before it gets its name.
pub(crate) fn staged(path: &Path) -> PathBuf {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".tmp");
    staged.into()
}

/// The directory a name stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
