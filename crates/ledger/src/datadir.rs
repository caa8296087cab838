//! The data directory: whose it is, which format it has, and where each ledger and its key lie in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestry_event::{Clock, hex};
use attestry_journal::disk::{self, RealDisk};
use attestry_tlog::SigningKey;

use crate::{Ledger, OpenError, Options, Recovery};

/// What `FORMAT` says of a directory that this version writes.
const FORMAT: u32 = 1;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another Attestry process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it, or it is something else.
    #[error("{} says {found:?}: this version of Attestry reads the format \"attestry-data {FORMAT}\" and no newer one", path.display())]
    Format {
        /// The file `FORMAT`.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// It has files in it, but is no data directory.
    #[error("{} is not empty and not a data directory of Attestry", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A key file is not one of this ledger.
    #[error("{}: {reason}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong; never the key.
        reason: String,
    },
    /// A ledger's name cannot be a folder's.
    #[error("{name:?} cannot be a ledger's name: expected 1 to 32 of a-z, 0-9, - and _")]
    Name {
        /// The name.
        name: String,
    },
    /// A ledger does not open.
    #[error("cannot open the ledger {name:?}")]
    Ledger {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: OpenError,
    },
}

/// A data directory that this process has to itself.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    installation: String,
    /// Locked as long as it is open.
    _lock: File,
}

impl DataDir {
    /// Opens a data directory, or makes one where nothing is.
    ///
    /// # Errors
    /// When it is in use, of a newer format, or not a data directory.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
        let format_path = path.join("FORMAT");
        let is_new = !format_path.exists();
        // What a first start that was cut short leaves behind is not foreign.
        let ours = |name: &std::ffi::OsStr| {
            ["lock", "installation", "installation.tmp", "FORMAT.tmp"].iter().any(|own| name == *own)
        };
        if is_new && fs::read_dir(path).map_err(at(path))?.flatten().any(|file| !ours(&file.file_name())) {
            return Err(DataDirError::Foreign { path: path.to_owned() });
        }
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        let lock = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => DataDirError::InUse { path: path.to_owned() },
            fs::TryLockError::Error(source) => DataDirError::Io { path: lock_path.clone(), source },
        })?;
        let installation_path = path.join("installation");
        if is_new {
            // FORMAT is written last: what a crash before it leaves is begun anew.
            let mut random = [0; 16];
            File::open("/dev/urandom")
                .and_then(|mut file| file.read_exact(&mut random))
                .map_err(at(&installation_path))?;
            let id = hex(random);
            disk::replace(&RealDisk, &installation_path, format!("{id}\n").as_bytes())
                .map_err(at(&installation_path))?;
            disk::replace(&RealDisk, &format_path, format!("attestry-data {FORMAT}\n").as_bytes())
                .map_err(at(&format_path))?;
        }
        let format = fs::read_to_string(&format_path).map_err(at(&format_path))?;
        if format != format!("attestry-data {FORMAT}\n") {
            return Err(DataDirError::Format {
                path: format_path,
                found: format.trim().chars().take(80).collect(),
            });
        }
        let installation = fs::read_to_string(&installation_path).map_err(at(&installation_path))?;
        Ok(DataDir { path: path.to_owned(), installation: installation.trim().to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The random id of this installation, which every origin begins with.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// Opens a ledger, or makes a new one with a new key.
    ///
    /// # Errors
    /// As [`Ledger::open`], and when the key's file is not right.
    pub fn ledger(
        &self,
        name: &str,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Ledger, Recovery), DataDirError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
            return Err(DataDirError::Name { name: name.to_owned() });
        }
        let key = self.key(name)?;
        Ledger::open(&self.path.join("ledgers").join(name), name, key, clock, options)
            .map_err(|source| DataDirError::Ledger { name: name.to_owned(), source })
    }

    fn key(&self, ledger: &str) -> Result<SigningKey, DataDirError> {
        let origin = format!("{}.attestry/{ledger}", self.installation);
        let dir = self.path.join("keys");
        let path = dir.join(format!("{ledger}.key"));
        let io = |source| DataDirError::Io { path: path.clone(), source };
        let wrong = |reason: String| DataDirError::Key { path: path.clone(), reason };
        if !path.exists() {
            if self.path.join("ledgers").join(ledger).join("checkpoint").exists() {
                let reason = "the signing key is missing, and the ledger has signed with it: put it back from a backup";
                return Err(wrong(reason.to_owned()));
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io)?;
            let mut seed = [0; 32];
            File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).map_err(io)?;
            let key = SigningKey::generate(&origin, seed).map_err(|error| wrong(error.to_string()))?;
            let temporary = path.with_extension("tmp");
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&temporary)
                .map_err(io)?;
            file.write_all(format!("{}\n", key.to_private_text()).as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(io)?;
            fs::rename(&temporary, &path).and_then(|()| File::open(&dir)?.sync_all()).map_err(io)?;
        }
        let mode = fs::metadata(&path).map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(io)?;
        }
        let key = SigningKey::from_private_text(fs::read_to_string(&path).map_err(io)?.trim())
            .map_err(|error| wrong(error.to_string()))?;
        match key.name() == origin {
            true => Ok(key),
            false => Err(wrong(format!("the key is of {:?}, expected {origin:?}", key.name()))),
        }
    }
}
