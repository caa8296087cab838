//! A disk that is soon full.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{geteuid, getuid};
use tempfile::TempDir;

/// A tmpfs of a few MiB, mounted for one test. Mounting takes root, or `sudo` without a password, as `scripts/test-deps` does.
///
/// It stands for any file system that says ENOSPC: what is allocated before is kept, a write that finds no room fails at once. Dropping it
/// unmounts it, so it has to outlive the [`Scenario`](crate::Scenario) on it.
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// A disk of this size.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[track_caller]
    pub fn new(mib: u32) -> SmallDisk {
        let dir = TempDir::with_prefix("attestry-disk-").expect("a temporary folder can be made");
        let options = format!("size={mib}m,mode=0700,uid={}", getuid().as_raw());
        let mount = [Path::new("mount"), "-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref()];
        privileged(&[&mount[..], &["tmpfs".as_ref(), dir.path()]].concat());
        SmallDisk { dir }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    /// When that fails for another reason than that there is no more room.
    #[track_caller]
    pub fn fill(&self) {
        let mut file = File::create(self.ballast()).expect("there is room for a file's name");
        for size in [1 << 20, 4096] {
            let zeros = vec![0; size];
            let full = loop {
                if let Err(error) = file.write_all(&zeros) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Gives back the room that [`SmallDisk::fill`] took.
    ///
    /// # Panics
    /// When it was not filled.
    #[track_caller]
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        privileged(&[Path::new("umount"), "--lazy".as_ref(), self.path()]);
    }
}

#[track_caller]
fn privileged(command: &[&Path]) {
    let sudo = ["sudo", "-n"].map(Path::new);
    let command = if geteuid().is_root() { command.to_vec() } else { [&sudo[..], command].concat() };
    let ran = Command::new(command[0]).args(&command[1..]).output();
    let ran = ran.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
