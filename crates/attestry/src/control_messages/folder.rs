//! A folder that messages are put into.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::gate::{Gate, MESSAGE_BYTES_MAX};

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file must have rested: whoever writes it may still be at it.
const RESTED: Duration = Duration::from_secs(1);

/// The name of the file that is being looked at.
const TAKEN: &str = ".taken";

/// How many files are looked at in one go.
const FILES_AT_ONCE: usize = 100;

/// Takes what is put into the folder until the program stops. A file is removed when it was looked at and that is recorded.
pub(super) fn follow(gate: &Gate, folder: &Path) {
    let source = format!("folder {}", folder.display());
    let mut problem = None;
    while !gate.stop.is_cancelled() {
        match look(gate, folder, &source) {
            Ok(true) => problem = None,
            Ok(false) => return,
            Err(error) => {
                let told = Some(error.to_string());
                if problem != told {
                    tracing::error!(folder = %folder.display(), %error, "the folder for control messages cannot be read");
                    problem = told;
                }
            }
        }
        let begun = std::time::Instant::now();
        while begun.elapsed() < LOOK && !gate.stop.is_cancelled() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Looks once; false when the program stops. A file that cannot be taken holds up no other.
fn look(gate: &Gate, folder: &Path, source: &str) -> io::Result<bool> {
    let mut names: Vec<OsString> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .filter(|name: &io::Result<OsString>| !name.as_ref().is_ok_and(|name| hidden(name)))
        .collect::<io::Result<_>>()?;
    names.sort_unstable();
    let mut failed = None;
    // What was taken and not done with when the program ended comes first.
    let left = [None].into_iter().chain(names.into_iter().map(Some)).take(FILES_AT_ONCE);
    for name in left {
        match take(gate, folder, name.as_deref(), source) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(true), Err)
}

/// Takes a file, or the one that was taken before; false when the program stops. It goes out of the way first: one that could not be removed
/// afterwards would be looked at for ever.
fn take(gate: &Gate, folder: &Path, name: Option<&OsStr>, source: &str) -> io::Result<bool> {
    let taken = folder.join(TAKEN);
    if let Some(name) = name {
        let path = folder.join(name);
        if !is_ready(&path)? {
            return Ok(true);
        }
        std::fs::rename(&path, &taken)?;
    }
    let Some(message) = read(&taken)? else { return Ok(true) };
    if gate.take(source, &message).is_err() {
        return Ok(false);
    }
    std::fs::remove_file(&taken)?;
    Ok(true)
}

fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether it is a file that nobody writes any more. What a link points to is nobody's message.
fn is_ready(path: &Path) -> io::Result<bool> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let rested = SystemTime::now().duration_since(meta.modified()?).unwrap_or(RESTED) >= RESTED;
    Ok(meta.is_file() && rested)
}

/// What is in a file, or the beginning of it when it is too long; none when there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut options = OpenOptions::new();
    // Neither what a link points to nor the end of a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file: File = match options.read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = Vec::new();
    file.take(MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut message)?;
    Ok(Some(message))
}
