//! The kernel's word that something changed in a folder (`inotify(7)`). Only a reason to look: what changed, the look tells. Where it
//! cannot be had, or for folders beyond the bound, changes are found by the regular looks alone.

use std::{
    collections::BTreeSet,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

/// A host allows 8,192 watches to a user at least; these are for all programs.
const MAX_FOLDERS: usize = 2_048;

pub(super) struct Watch {
    inotify: Option<OwnedFd>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    pub(super) fn new() -> Watch {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Watch { inotify, watched: BTreeSet::new() }
    }

    /// Watches these folders from now on.
    pub(super) fn folders<'a>(&mut self, folders: impl Iterator<Item = &'a PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        for folder in folders {
            if self.watched.len() >= MAX_FOLDERS {
                return;
            }
            if !self.watched.contains(folder) && add(inotify, folder) {
                self.watched.insert(folder.clone());
            }
        }
    }

    /// Whether something changed since it was last asked.
    pub(super) fn changed(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut changed = false;
        let mut gone = false;
        let mut reader = Reader::new(inotify, &mut buffer);
        // No more than what the kernel keeps, 16,384 by default.
        for _ in 0..16_384 {
            match reader.next() {
                Ok(event) => {
                    changed = true;
                    gone |= event.events().intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF);
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if gone {
            // A folder of that name may come again, and a moved one is still watched under its old name: begin anew.
            *self = Watch::new();
        }
        changed
    }
}

fn add(inotify: &OwnedFd, folder: &Path) -> bool {
    let what = WatchFlags::ATTRIB
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW;
    inotify::add_watch(inotify, folder, what).is_ok()
}
