//! One snapshot, from the database to a file that is complete.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use attestry_event::Nanos;
use attestry_openpgp::{Fingerprint, Form, Gpg, GpgError, KeyUse, Protection};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::folder::{Folder, Older};
use super::program::Dumping;
use super::{Compression, SnapshotConfig, SnapshotError, What, copied};
use crate::cell::hex;
use crate::config::WatchConfig;

/// Level 3 packs a dump faster than a database makes it.
const ZSTD_LEVEL: i32 = 3;

/// What is to be made.
pub struct Order<'a> {
    /// The watch's name.
    pub watch: &'a str,
    /// The snapshot's name.
    pub name: &'a str,
    /// The watch.
    pub watched: &'a WatchConfig,
    /// The snapshot.
    pub config: &'a SnapshotConfig,
    /// The file that the watch keeps its copy in.
    pub copy: &'a Path,
    /// Who signs and encrypts.
    pub gpg: &'a Gpg,
    /// When it begins.
    pub now: Nanos,
    /// Up to where in the stream the copy is.
    pub position: &'a dyn Fn() -> Option<String>,
    /// Ends it.
    pub stop: &'a Arc<AtomicBool>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The file's name in the folder.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
    /// The length of the dump before it was packed and encrypted, in bytes.
    pub dump_bytes: u64,
    /// SHA-256 of that.
    pub dump_sha256: String,
    /// Of the copy: where in the stream it is. Of the database: where the copy was when the dump began, and the dump is not older than that.
    pub position: Option<String>,
    /// Of the database: where the copy was when the dump had ended.
    pub position_after: Option<String>,
    /// The primary key that it is signed with.
    pub signer: Option<Fingerprint>,
    /// The primary keys that it is encrypted to.
    pub recipients: Vec<Fingerprint>,
    /// How long it took.
    pub took: Duration,
    /// Older files that were removed.
    pub removed: Vec<String>,
    /// Those that could not be removed, and why.
    pub not_removed: Vec<String>,
    /// Why the folder could not be synced: after a power cut the file may not be there.
    pub not_synced: Option<String>,
}

/// Makes a snapshot. Blocks until it is there.
///
/// # Errors
/// See [`SnapshotError`]. Nothing is left of it then.
pub fn make(order: &Order<'_>) -> Result<Made, SnapshotError> {
    let begun = Instant::now();
    let Order { config, gpg, .. } = order;
    let key = |wanted: &String, purpose| gpg.key(wanted, purpose).map(|key| key.fingerprint);
    let signer = config.sign_with.as_ref().map(|wanted| key(wanted, KeyUse::Sign)).transpose()?;
    let recipients: Vec<Fingerprint> =
        config.encrypt_to.iter().map(|wanted| key(wanted, KeyUse::Encrypt)).collect::<Result<_, _>>()?;
    let failed = |source: io::Error| SnapshotError::Folder { folder: config.folder.clone(), source };
    let folder = Folder::open(&config.folder, order.watch, order.name).map_err(failed)?;

    let failure = Arc::new(Mutex::new(None));
    let (source, position): (Box<dyn Read + Send>, _) = match config.what {
        What::Watched => {
            let position = (order.position)();
            (Box::new(Dumping::start(order.watched, config, order.stop, &failure)?), position)
        }
        What::Copy => {
            let (file, position) = copied::written(&folder, order.copy)?;
            (Box::new(file), position)
        }
    };
    let mut dump = Hashed::new(source);
    let mut part = folder.begin().map_err(failed)?;
    let mut file = Hashed::new(&mut part.file);
    let how = Protection { sign_with: signer.as_ref(), encrypt_to: &recipients, form: Form::Binary };
    let protected = signer.is_some() || !recipients.is_empty();
    let written = match config.compression {
        Compression::Zst => packed(&mut dump).map_err(failed).and_then(|mut packed| {
            through(gpg, protected.then_some(&how), &mut packed, &mut file, &config.folder)
        }),
        Compression::None => through(gpg, protected.then_some(&how), &mut dump, &mut file, &config.folder),
    };
    // Whoever reads the dump sees only that reading failed; the dump itself knows why.
    if let Some(why) = failure.lock().take() {
        return Err(why);
    }
    written?;
    let ((bytes, sha256), (dump_bytes, dump_sha256)) = (file.told(), dump.told());
    drop(dump);
    let named = folder.finish(part, order.now, &extension(config, protected)).map_err(failed)?;
    // It is made: whatever fails from here on is told with it.
    let Older { removed, not_removed } = folder.keep(&named.name, config.keep);
    let position_after = (config.what == What::Watched).then(|| (order.position)()).flatten();
    Ok(Made {
        file: named.name,
        bytes,
        sha256,
        dump_bytes,
        dump_sha256,
        position,
        position_after,
        signer,
        recipients,
        took: begun.elapsed(),
        removed,
        not_removed,
        not_synced: named.synced.err().map(|error| error.to_string()),
    })
}

fn packed<R: Read>(from: R) -> io::Result<zstd::stream::read::Encoder<'static, io::BufReader<R>>> {
    let mut encoder = zstd::stream::read::Encoder::new(from, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn through(
    gpg: &Gpg,
    how: Option<&Protection<'_>>,
    from: &mut (dyn Read + Send),
    to: &mut (dyn Write + Send),
    folder: &Path,
) -> Result<(), SnapshotError> {
    let failed = |source| SnapshotError::Folder { folder: folder.to_owned(), source };
    match how {
        Some(how) => gpg.protect(how, from, to).map(|_| ()).map_err(|error| match error {
            GpgError::Data { source, .. } => failed(source),
            error => SnapshotError::Openpgp(error),
        }),
        None => io::copy(from, to).map(|_| ()).map_err(failed),
    }
}

fn extension(config: &SnapshotConfig, protected: bool) -> String {
    let mut extension = match config.what {
        What::Watched => "sql".to_owned(),
        What::Copy => "sqlite".to_owned(),
    };
    if config.compression == Compression::Zst {
        extension.push_str(".zst");
    }
    if protected {
        extension.push_str(".gpg");
    }
    extension
}

/// Counts and hashes what goes through.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Hashed<T> {
        Hashed { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn told(&self) -> (u64, String) {
        (self.bytes, hex(&self.hash.clone().finalize()))
    }

    fn saw(&mut self, bytes: Option<&[u8]>) {
        let bytes = bytes.unwrap_or_default();
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.saw(into.get(..read));
        Ok(read)
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.saw(bytes.get(..written));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
