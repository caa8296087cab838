//! A file that is open: plain, or decompressed on the way.

use std::{
    fs,
    io::{self, BufRead, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use super::super::known::{Inode, Print, read_at};
use crate::follow::{HEAD_BYTES, content::Content};

/// An open file, at the place where reading goes on.
pub(super) enum Input {
    Plain(fs::File),
    Packed(Box<dyn BufRead + Send>),
}

impl Input {
    /// The next bytes, those at `at`; none at the end.
    pub(super) fn fill(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            let filled = match self {
                Input::Plain(file) => file.read_at(buffer, at),
                Input::Packed(reader) => reader.read(buffer),
            };
            match filled {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                filled => return filled,
            }
        }
    }
}

/// An open file of which nothing was read but its start.
pub(super) enum Opened {
    Plain(fs::File),
    Packed(Box<Content>),
}

impl Opened {
    /// Opens the file at `path` if it is the one that was looked at.
    pub(super) fn of(path: &Path, inode: Inode) -> io::Result<Opened> {
        let file = fs::File::open(path)?;
        let meta = file.metadata()?;
        if (meta.dev(), meta.ino()) != inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        // By its first bytes: gzip's output is found under any name.
        if read_at(&file, 0, 2)? == [0x1f, 0x8b] {
            return Content::of(file).map(Box::new).map(Opened::Packed);
        }
        Ok(Opened::Plain(file))
    }

    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Opened::Plain(file) => read_at(file, 0, HEAD_BYTES),
            Opened::Packed(content) => Ok(content.head.clone()),
        }
    }

    /// At `offset`, if the bytes before it are those that are expected there.
    pub(super) fn at(self, offset: u64, tail: &Print) -> io::Result<Option<Input>> {
        match self {
            Opened::Plain(file) => Ok(Some(Input::Plain(file))),
            Opened::Packed(content) => {
                let from = offset.saturating_sub(tail.len as u64);
                let (mut reader, at) = content.read_from(from)?;
                let mut before = Vec::new();
                reader.by_ref().take(tail.len as u64).read_to_end(&mut before)?;
                Ok((at == from && tail.ends(&before)).then_some(Input::Packed(reader)))
            }
        }
    }
}
