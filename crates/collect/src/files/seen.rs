//! What is remembered of a file, and how it is had: by looking, and by hashing when the look says that something changed.

use std::{
    collections::HashMap,
    fs::Metadata,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use attestry_event::Nanos;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{secret, walk::Found};
use crate::{compared, follow::to_hex, regular, source::Feed};

/// What is read at once.
const CHUNK: usize = 256 * 1024;

/// What something in a folder is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Pipe,
    Socket,
    Device,
}

impl Kind {
    fn of(meta: &Metadata) -> Kind {
        let kind = meta.file_type();
        if kind.is_symlink() {
            Kind::Link
        } else if kind.is_dir() {
            Kind::Folder
        } else if kind.is_fifo() {
            Kind::Pipe
        } else if kind.is_socket() {
            Kind::Socket
        } else if kind.is_block_device() || kind.is_char_device() {
            Kind::Device
        } else {
            Kind::File
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Link => "link",
            Kind::Pipe => "pipe",
            Kind::Socket => "socket",
            Kind::Device => "device",
        }
    }
}

/// A file, folder or link as it was.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) modified: Nanos,
    /// When the kernel last saw a change of it.
    pub(super) changed: Nanos,
    pub(super) inode: u64,
    /// Of a link: where it points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    /// Of the content; of a link, that of the file it points at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    /// The extended attributes that give rights, in hexadecimal: `security.capability` and `system.posix_acl_access`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) capabilities: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) acl: Option<String>,
    /// When it was hashed.
    pub(super) hashed: Nanos,
    /// What the hash belongs to: size, times and inode of the file that was read. Another one is another content, perhaps.
    #[serde(default)]
    pub(super) stamp: [i64; 5],
    /// Lines, secrets taken out, for the next difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// Why its content could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unread: Option<String>,
}

/// Why there is nothing to remember.
pub(super) enum Unseen {
    Gone,
    Stopped,
}

impl Seen {
    /// Looks at `found`, and hashes it when it differs from `old` or is `due`.
    pub(super) fn take(
        found: &Found,
        told: &str,
        old: Option<&Seen>,
        due: bool,
        now: Nanos,
        budget: &mut Budget,
        feed: &Feed,
    ) -> Result<Seen, Unseen> {
        let meta = &found.meta;
        let kind = Kind::of(meta);
        let of_file = kind == Kind::File;
        let mut seen = Seen {
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size: if of_file { meta.size() } else { 0 },
            modified: Nanos(meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())),
            changed: compared::changed(meta, now),
            inode: meta.ino(),
            target: None,
            sha256: None,
            capabilities: None,
            acl: None,
            hashed: now,
            stamp: stamp(meta),
            text: None,
            unread: None,
        };
        if kind == Kind::Link {
            // Links to what the kernel makes up have a content that is never the same.
            match std::fs::read_link(&found.path) {
                Ok(target) => seen.target = Some(target.display().to_string()),
                Err(_) => return Err(Unseen::Gone),
            }
            match std::fs::canonicalize(&found.path) {
                Ok(end)
                    if !["/proc", "/sys", "/dev", "/run/udev"]
                        .iter()
                        .any(|made_up| end.starts_with(made_up)) =>
                {
                    match std::fs::metadata(&end) {
                        Ok(end) if end.is_file() => seen.stamp = stamp(&end),
                        _ => return Ok(seen),
                    }
                }
                _ => return Ok(seen),
            }
        }
        if !matches!(kind, Kind::File | Kind::Link) {
            return Ok(seen);
        }
        if kind == Kind::File {
            seen.capabilities = attribute(&found.path, "security.capability");
            seen.acl = attribute(&found.path, "system.posix_acl_access");
        }
        if let Some(old) = old
            && old.stamp == seen.stamp
            && !due
            && old.unread.is_none()
        {
            seen.sha256.clone_from(&old.sha256);
            seen.text.clone_from(&old.text);
            seen.hashed = old.hashed;
            return Ok(seen);
        }
        seen.read(&found.path, told, old, budget, feed)?;
        Ok(seen)
    }

    fn read(
        &mut self,
        path: &Path,
        told: &str,
        old: Option<&Seen>,
        budget: &mut Budget,
        feed: &Feed,
    ) -> Result<(), Unseen> {
        match digest(path, budget, feed) {
            Ok((meta, digest, text)) => {
                self.stamp = stamp(&meta);
                self.sha256 = digest;
                self.text = text.and_then(|text| secret::showable(told, &meta, &text));
                Ok(())
            }
            Err(Failed::Stopped) => Err(Unseen::Stopped),
            Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound && self.kind == Kind::File => {
                Err(Unseen::Gone)
            }
            Err(Failed::Io(error)) => {
                // What it was is all that is known of its content.
                self.sha256 = old.and_then(|old| old.sha256.clone());
                self.unread = Some(format!("cannot be read: {error}"));
                Ok(())
            }
        }
    }
}

/// What changes whenever a file's content or name does.
fn stamp(meta: &Metadata) -> [i64; 5] {
    let signed = |value: u64| i64::from_ne_bytes(value.to_ne_bytes());
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    [
        signed(meta.size()),
        nanos(meta.mtime(), meta.mtime_nsec()),
        nanos(meta.ctime(), meta.ctime_nsec()),
        signed(meta.ino()),
        signed(meta.dev()),
    ]
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut value = vec![0u8; 4096];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.get(..length).map(to_hex)
}

enum Failed {
    Io(io::Error),
    Stopped,
}

/// The hash of a file, and the content of a small one.
type Content = (Metadata, Option<String>, Option<Vec<u8>>);

fn digest(path: &Path, budget: &mut Budget, feed: &Feed) -> Result<Content, Failed> {
    let (mut file, meta) = regular::open(path).map_err(Failed::Io)?;
    if meta.size() > budget.largest {
        return Ok((meta, None, None));
    }
    let mut hash = Sha256::new();
    let mut small = Some(Vec::new());
    let mut chunk = vec![0; CHUNK.min(usize::try_from(meta.size()).unwrap_or(CHUNK) + 1)];
    let mut total = 0u64;
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failed::Io(error)),
        };
        let part = chunk.get(..read).unwrap_or_default();
        hash.update(part);
        small = small.filter(|kept| kept.len() + read <= secret::MAX_TEXT_BYTES);
        if let Some(kept) = &mut small {
            kept.extend_from_slice(part);
        }
        total += read as u64;
        // It grows as fast as it is read.
        if total > budget.largest {
            return Ok((meta, None, None));
        }
        feed.go_on().map_err(|_| Failed::Stopped)?;
        budget.pay(read);
    }
    Ok((meta, Some(to_hex(&hash.finalize())), small))
}

/// How much may be read: so much a second, and no file larger than that.
pub(super) struct Budget {
    per_second: f64,
    largest: u64,
    begun: Instant,
    read: f64,
}

impl Budget {
    pub(super) fn new(megabytes_per_second: u32, largest_megabytes: u64) -> Budget {
        Budget {
            per_second: f64::from(megabytes_per_second.max(1)) * 1e6,
            largest: largest_megabytes.saturating_mul(1_000_000),
            begun: Instant::now(),
            read: 0.0,
        }
    }

    /// Waits until `bytes` more were allowed to be read; at most the 262 ms that a chunk takes at 1 MB/s.
    fn pay(&mut self, bytes: usize) {
        self.read += bytes as f64;
        let due = Duration::from_secs_f64(self.read / self.per_second);
        thread::sleep(due.saturating_sub(self.begun.elapsed()).min(Duration::from_millis(300)));
    }
}

/// The names of users and groups.
pub(super) struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    pub(super) fn read(root: &Path) -> Owners {
        let names = |file: &str| {
            let bytes = regular::read(&root.join(file), 16 << 20).map(|(bytes, _)| bytes).unwrap_or_default();
            let mut names = HashMap::new();
            for line in String::from_utf8_lossy(&bytes).lines() {
                let mut fields = line.split(':');
                if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
                    names.entry(id).or_insert_with(|| name.to_owned());
                }
            }
            names
        };
        Owners { users: names("etc/passwd"), groups: names("etc/group") }
    }

    /// The user's name, or the number of one that has none.
    pub(super) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    pub(super) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}
