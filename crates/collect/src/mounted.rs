//! Which paths lie on file systems of the network. A dead server blocks whoever looks at a file there for ever, so the sources that
//! look at files of other people's choosing leave them out, and say so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::host::unescape;

/// File systems whose files are elsewhere, and those that fetch them when they are looked at.
const REMOTE: [&str; 16] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "9p",
    "lustre",
    "glusterfs",
    "gfs2",
    "ocfs2",
    "orangefs",
    "beegfs",
    "ncpfs",
    "autofs",
];

/// What is mounted where, later mounts last.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Vec<(PathBuf, bool)>);

impl Mounts {
    pub(crate) fn read(proc: &Path) -> Mounts {
        let text = fs::read(proc.join("self/mounts")).unwrap_or_default();
        Mounts::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Mounts {
        let mount = |line: &str| {
            let mut words = line.split(' ').skip(1);
            let point = unescape(words.next()?);
            let kind = words.next()?;
            Some((point, REMOTE.contains(&kind) || kind.starts_with("fuse.")))
        };
        Mounts(text.lines().filter_map(mount).collect())
    }

    /// Whether a path, as it is written, lies on such a file system. What this host itself runs from is not counted.
    pub(crate) fn remote(&self, path: &Path) -> bool {
        let under = self.0.iter().filter(|(point, _)| path.starts_with(point));
        let deepest = under.enumerate().max_by_key(|(at, (point, _))| (point.as_os_str().len(), *at));
        deepest.is_some_and(|(_, (point, remote))| *remote && point != Path::new("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_decides() {
        let mounts = Mounts::parse(
            "x / 9p rw 0 0\nserver:/h /home nfs4 rw 0 0\n/dev/a /home/local ext4 rw 0 0\nu@h: /mnt/a\\040b fuse.sshfs rw 0 0\n\
             auto /net autofs rw 0 0\nn /twice nfs rw 0 0\n/dev/b /twice ext4 rw 0 0\nbroken\n",
        );
        for (path, remote) in [
            ("/etc/passwd", false),
            ("/home/alice/.ssh/authorized_keys", true),
            ("/homes/alice", false),
            ("/home/local/bob", false),
            ("/mnt/a b/c", true),
            ("/net/x", true),
            ("/twice/x", false),
        ] {
            assert_eq!(mounts.remote(Path::new(path)), remote, "{path}");
        }
    }
}
