//! A folder that messages are put into.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use attestry_pipeline::Closed;
use rustix::fs::OFlags;

use super::gate::{Gate, MESSAGE_BYTES_MAX};

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file must have rested: whoever writes it may still be at it.
const RESTED: Duration = Duration::from_secs(1);

/// The name of the file that is being looked at.
const TAKEN: &str = ".taken";

/// What the names begin with of files that cannot be read.
const UNREADABLE: &str = ".unreadable-";

/// Takes a message, or why it cannot be read, and returns when that is recorded.
type Hand<'a> = &'a dyn Fn(Result<&[u8], &str>) -> Result<(), Closed>;

/// Takes what is put into the folder until the program stops. A file is removed when it was looked at and that is recorded.
pub(super) fn follow(gate: &Gate, folder: &Path) {
    let source = format!("folder {}", folder.display());
    let hand = |message: Result<&[u8], &str>| match message {
        Ok(message) => gate.take(&source, message),
        Err(why) => gate.refuse(&source, why),
    };
    let mut problem = None;
    while !gate.stop.is_cancelled() {
        match look(&hand, folder) {
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
fn look(hand: Hand<'_>, folder: &Path) -> io::Result<bool> {
    let mut names: Vec<OsString> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .filter(|name: &io::Result<OsString>| !name.as_ref().is_ok_and(|name| hidden(name)))
        .collect::<io::Result<_>>()?;
    names.sort_unstable();
    // What was taken and not done with when the program ended comes first: the next one takes its place.
    if !finish(hand, folder)? {
        return Ok(false);
    }
    let mut failed = None;
    for name in names {
        match take(&folder.join(name), folder) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        }
        if !finish(hand, folder)? {
            return Ok(false);
        }
    }
    failed.map_or(Ok(true), Err)
}

/// Takes a file if it is ready. It goes out of the way before it is read: one that could not be removed afterwards would be looked at for ever.
fn take(path: &Path, folder: &Path) -> io::Result<bool> {
    let ready = is_ready(path)?;
    if ready {
        std::fs::rename(path, folder.join(TAKEN))?;
    }
    Ok(ready)
}

/// Hands over what was taken, if there is any; false when the program stops. Unless this fails, nothing has that name any more.
fn finish(hand: Hand<'_>, folder: &Path) -> io::Result<bool> {
    let taken = folder.join(TAKEN);
    match read(&taken) {
        Ok(None) => {}
        Ok(Some(message)) => {
            if hand(Ok(&message)).is_err() {
                return Ok(false);
            }
            std::fs::remove_file(&taken)?;
        }
        Err(error) => {
            let kept = free_name(folder)?;
            let why = format!("it cannot be read ({error}), and is kept as {}", kept.display());
            if hand(Err(&why)).is_err() {
                return Ok(false);
            }
            std::fs::rename(&taken, &kept)?;
        }
    }
    Ok(true)
}

/// Where a file can be kept that cannot be read.
fn free_name(folder: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u64;
    loop {
        let path = folder.join(format!("{UNREADABLE}{number}"));
        match std::fs::symlink_metadata(&path) {
            Ok(_) => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    use super::*;

    /// Looks once, and gives what was handed over.
    fn look_once(folder: &Path) -> Vec<Result<String, String>> {
        let handed = RefCell::new(Vec::new());
        let hand = |message: Result<&[u8], &str>| {
            let message = message.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            handed.borrow_mut().push(message.map_err(str::to_owned));
            Ok(())
        };
        assert!(look(&hand, folder).unwrap());
        handed.into_inner()
    }

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let rested = SystemTime::now() - 2 * RESTED;
        File::open(&path).unwrap().set_modified(rested).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_and_kept_and_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["1", "2", "3"] {
            put(folder.path(), name, name);
        }
        for name in ["1", "2"] {
            std::fs::set_permissions(path(name), Permissions::from_mode(0o000)).unwrap();
        }
        // Of this thread alone: root reads everything otherwise.
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
            .unwrap();
        let handed = look_once(folder.path());
        let kept = |number: u32| path(&format!("{UNREADABLE}{number}"));
        let why = |number: u32| {
            Err(format!(
                "it cannot be read (Permission denied (os error 13)), and is kept as {}",
                kept(number).display()
            ))
        };
        assert_eq!(handed, [why(1), why(2), Ok("3".to_owned())]);
        assert_eq!(look_once(folder.path()), []);
        for (number, text) in [(1, "1"), (2, "2")] {
            std::fs::set_permissions(kept(number), Permissions::from_mode(0o600)).unwrap();
            assert_eq!(std::fs::read_to_string(kept(number)).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_was_taken_before_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "1", "new");
        put(folder.path(), TAKEN, "old");
        assert_eq!(look_once(folder.path()), [Ok("old".to_owned()), Ok("new".to_owned())]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
