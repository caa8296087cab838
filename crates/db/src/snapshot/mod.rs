//! Snapshots: a dump of the watched database, or of the copy, packed, signed and encrypted by the user's GnuPG.
//!
//! Of the watched database its own program makes the dump (`mariadb-dump`, `mysqldump`, `pg_dump`), within one transaction, in the form that
//! `attestry db audit-dump` reads. Of the copy it is the whole SQLite file, as one transaction sees it: rows alone would leave out
//! versions and violations, which are the evidence, and a file that is put in its place goes on where it was.
//!
//! A snapshot goes into a file that begins with a dot, and gets its name when it is complete and on the disk: whoever sees a file under a
//! snapshot's name has all of it.

mod check;
mod config;
mod copied;
mod due;
mod events;
mod folder;
mod make;
mod program;

pub use check::check;
pub use config::{Compression, SnapshotConfig, What};
pub use due::Due;
pub use events::{failed, made};
pub use make::{Made, Order, make};

use std::io;
use std::path::PathBuf;

use attestry_openpgp::GpgError;

use crate::copy::CopyError;

/// There is no snapshot. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Attestry stops. It is made up at the next start.
    #[error("Attestry stops")]
    Stopped,
    /// The program that dumps cannot be started.
    #[error("{} cannot be started; {remedy}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// The command that installs it.
        remedy: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program could not dump.
    #[error("{0}")]
    Dump(String),
    /// The copy cannot be read.
    #[error("the copy cannot be read")]
    Copy(#[source] CopyError),
    /// The copy was not begun yet.
    #[error("the watch has no copy yet")]
    NoCopy,
    /// A key cannot be used, or `gpg` fails.
    #[error(transparent)]
    Openpgp(#[from] GpgError),
    /// Where the file goes, or on the way there.
    #[error("{} cannot be written", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
