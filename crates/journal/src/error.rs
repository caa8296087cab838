use std::{io, path::PathBuf};

/// What went wrong, told apart by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room: the disk is full, or the byte cap is reached under [`Policy::Block`](crate::Policy::Block).
    /// This append is refused (and forgotten, as under [`Error::Failed`]); appends before it still wait for their sync, or
    /// for a rollback. The same append works as soon as there is room again. From an open: make room, then open again.
    #[error("the journal has no room")]
    Full,
    /// The payload is larger than a record may be. Nothing changed; trying again does not help.
    #[error("a payload of {bytes} bytes is more than the {limit} that a record holds")]
    TooLarge {
        /// The payload's length.
        bytes: usize,
        /// [`MAX_PAYLOAD_BYTES`](crate::MAX_PAYLOAD_BYTES).
        limit: usize,
    },
    /// A write or a sync failed. Everything appended since the last sync is forgotten (it may still reappear after a
    /// crash, as what was never acknowledged may), and the next append starts a new file.
    #[error("the journal could not be written; what was not yet synced is refused")]
    Failed(#[source] io::Error),
    /// The journal cannot be opened or read: stop.
    #[error("the journal cannot use {}", path.display())]
    Fatal {
        /// The file or directory that was asked for.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file was written by a newer version of this format: stop, and leave it alone.
    #[error("{} has a newer format than this version reads", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
}

/// True for the errors that pass when somebody makes room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
