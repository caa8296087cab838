//! Files that others may put in our way. What is opened by a name in somebody's home may be a pipe that never says anything, a
//! device, or without an end.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;

/// Opens a regular file, following links, without waiting for anybody.
///
/// # Errors
/// Those of `open(2)`; [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
    }
    Ok((file, meta))
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`] and `read(2)`; [`io::ErrorKind::FileTooLarge`] for a larger one.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let (file, meta) = open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {most} bytes")));
    }
    Ok((bytes, meta))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "12345").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        let pipe = rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        pipe.unwrap();
        assert_eq!(read(&at("file"), 5).unwrap().0, b"12345");
        assert_eq!(read(&at("link"), 5).unwrap().0, b"12345");
        for (name, most, kind) in [
            ("file", 4, io::ErrorKind::FileTooLarge),
            ("pipe", 5, io::ErrorKind::InvalidInput),
            (".", 5, io::ErrorKind::InvalidInput),
            ("none", 5, io::ErrorKind::NotFound),
        ] {
            assert_eq!(read(&at(name), most).unwrap_err().kind(), kind, "{name}");
        }
    }
}
