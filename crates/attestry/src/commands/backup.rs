//! `attestry backup` and `attestry restore`: everything that cannot be made again, in one folder that is a data directory.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use attestry_event::SystemClock;
use attestry_server::accounts::Accounts;
use attestry_verify::Options;
use clap::Args;

use crate::client::Connection;
use crate::run::ACCOUNTS_FILE;
use crate::sources::REDACTION_KEY_FILE;

#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// Where to: a folder that is not there yet, or an earlier backup of the same directory, which is brought up to date.
    to: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The backup.
    from: PathBuf,
    /// Where to: a folder that is not there yet.
    to: PathBuf,
}

/// Backs a data directory up, whether or not the server runs, and verifies the copy.
///
/// The order makes the copy whole while entries move: the checkpoint first, so that everything it covers is already on the disk; then the
/// journal; then the segments, which hold whatever left the journal meanwhile.
pub(crate) fn backup(backup: &Backup) -> Result<u8> {
    let from = backup.connection.config()?.written.data_dir;
    let installation = fs::read_to_string(from.join("installation"))
        .with_context(|| format!("{} is no data directory of Attestry", from.display()))?;
    let to = &backup.to;
    if to.exists()
        && fs::read_dir(to)?.next().is_some()
        && fs::read_to_string(to.join("installation")).ok().as_ref() != Some(&installation)
    {
        bail!("{} is not empty, and no backup of {}", to.display(), from.display());
    }
    private_dir(to)?;
    for ledger in sorted(&from.join("ledgers"))? {
        let (source, target) = (from.join("ledgers").join(&ledger), to.join("ledgers").join(&ledger));
        private_dir(&target)?;
        copy_if_there(&source.join("checkpoint"), &target.join("checkpoint"))?;
        copy_if_there(&source.join("vkey"), &target.join("vkey"))?;
        replace_journal(&source.join("wal"), &target.join("wal"))?;
        copy_segments(&source.join("segments"), &target.join("segments"))?;
    }
    for folder in ["keys", "positions", "agents", "agent", "agent/pins"] {
        copy_files(&from.join(folder), &to.join(folder))?;
    }
    for sink in sorted(&from.join("sinks"))? {
        let (source, target) = (from.join("sinks").join(&sink), to.join("sinks").join(&sink));
        // Cursors first: an event that is refused meanwhile is then offered again, instead of being in neither.
        copy_files(&source, &target)?;
        replace_journal(&source.join("dead"), &target.join("dead"))?;
    }
    for file in ["tls.cert", "tls.key", REDACTION_KEY_FILE, "installation", "FORMAT"] {
        copy_if_there(&from.join(file), &to.join(file))?;
    }
    Accounts::open(&from.join(ACCOUNTS_FILE), Arc::new(SystemClock))?
        .back_up(&to.join(ACCOUNTS_FILE))
        .context("cannot back up the accounts")?;
    verified(to)
}

/// Puts a backup in place, and verifies it there.
pub(crate) fn restore(restore: &Restore) -> Result<u8> {
    let Restore { from, to } = restore;
    if !from.join("FORMAT").exists() {
        bail!("{} is no backup of Attestry", from.display());
    }
    if to.exists() && fs::read_dir(to)?.next().is_some() {
        bail!("{} is not empty: a backup is restored to a new folder", to.display());
    }
    copy_tree(from, to)?;
    writeln!(
        io::stderr(),
        "Restored. What was acknowledged after the backup is not in it: whoever keeps a newer checkpoint will see that the log shrank."
    )?;
    verified(to)
}

fn verified(dir: &Path) -> Result<u8> {
    let report = attestry_verify::directory(dir, &Options::default())?;
    write!(io::stdout(), "{report}")?;
    Ok(report.exit_code())
}

/// Copies the files of a folder, not those of folders in it.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for name in sorted(from)? {
        if from.join(&name).is_file() {
            private_dir(to)?;
            copy_if_there(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

fn private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn sorted(dir: &Path) -> Result<Vec<String>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Copies a file through a temporary name, synced, with its mode; false when it is not there (any more).
fn copy_if_there(from: &Path, to: &Path) -> Result<bool> {
    let temporary = PathBuf::from(format!("{}.tmp", to.display()));
    match fs::copy(from, &temporary) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot copy {}", from.display())),
    }
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, to)?;
    Ok(true)
}

/// Sealed files never change, so those that are there stay, and those that are gone at the source go.
fn copy_segments(from: &Path, to: &Path) -> Result<()> {
    private_dir(to)?;
    let wanted: Vec<String> = sorted(from)?.into_iter().filter(|name| !name.ends_with(".tmp")).collect();
    for name in &wanted {
        if !to.join(name).exists() && !copy_if_there(&from.join(name), &to.join(name))? {
            // Pruned meanwhile; what stays of it has another name.
            copy_if_there(
                &from.join(name).with_extension("pruned"),
                &to.join(name).with_extension("pruned"),
            )?;
        }
    }
    for name in sorted(to)?.iter().filter(|name| !wanted.contains(name) && !name.ends_with(".pruned")) {
        fs::remove_file(to.join(name))?;
    }
    Ok(())
}

/// Copies the journal's files, each as far as it did not change while it was read.
fn replace_journal(from: &Path, to: &Path) -> Result<()> {
    private_dir(to)?;
    for old in sorted(to)? {
        fs::remove_file(to.join(old))?;
    }
    for name in sorted(from)?.iter().filter(|name| name.ends_with(".jnl")) {
        match stable_prefix(&from.join(name)) {
            Ok(bytes) => {
                let mut file = fs::File::create(to.join(name))?;
                file.write_all(&bytes)?;
                file.sync_all()?;
            }
            // Sealed meanwhile: its entries are in a segment, and those are copied next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot copy {}/{name}", from.display()));
            }
        }
    }
    Ok(())
}

/// A file that is being appended to, up to where two readings of it agree. A single reading could hold the end of a write without its
/// middle, which would look like damage; what two readings agree on was complete when the first one ended.
fn stable_prefix(path: &Path) -> io::Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(path)?.read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let (mut first, second) = (read()?, read()?);
    let same = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
    first.truncate(same);
    Ok(first)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    private_dir(to)?;
    for name in sorted(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        match fs::metadata(&from)?.is_dir() {
            true => copy_tree(&from, &to)?,
            false => drop(copy_if_there(&from, &to)?),
        }
    }
    Ok(())
}
