//! Finding out what a path or URL is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use attestry_tlog::Pin;

use crate::ledger::read_small;
use crate::{CannotCheck, Options, Report, directory, export, handed_over, proof, server};

const PROOF_HEAD: &str = "c2sp.org/tlog-proof@v1";

/// No report is longer.
const MAX_REPORT_BYTES: u64 = 256 << 20;

/// No proof is longer; an entry is at most 60 KiB, and both are read whole.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Checks whatever `target` names: a URL, a data directory, an export, a proof or a report.
///
/// # Errors
/// [`CannotCheck`] when it is none of these or cannot be read.
pub fn check(target: &str, options: &Options<'_>) -> Result<Report, CannotCheck> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return server(target, options);
    }
    let path = Path::new(target);
    if std::fs::metadata(path).map_err(CannotCheck::io(path))?.is_dir() {
        return directory(path, options);
    }
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(CannotCheck::io(path))?);
    let beginning = file.fill_buf().map_err(CannotCheck::io(path))?;
    if beginning.starts_with(crate::export::HEAD.as_bytes()) {
        return export(target, file, options);
    }
    if !beginning.starts_with(PROOF_HEAD.as_bytes()) {
        let text = String::from_utf8(read(path, MAX_REPORT_BYTES)?);
        let report = text.ok().and_then(|text| handed_over(target, &text, options));
        return report.ok_or_else(|| CannotCheck::Unknown(target.to_owned()));
    }
    let text = String::from_utf8_lossy(&read(path, MAX_FILE_BYTES)?).into_owned();
    let entry = options.entry.clone().unwrap_or_else(|| path.with_extension("json"));
    Ok(proof(target, &text, &read(&entry, MAX_FILE_BYTES)?, options))
}

/// Reads a pin from a file.
///
/// # Errors
/// [`CannotCheck`] when the file cannot be read or is no pin.
pub fn read_pin(path: &Path) -> Result<Pin, CannotCheck> {
    let absent = || CannotCheck::Io { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() };
    let text = read_small(path)?.ok_or_else(absent)?;
    text.parse().map_err(|source| CannotCheck::Pin { path: path.to_owned(), source })
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, CannotCheck> {
    let file = File::open(path).map_err(CannotCheck::io(path))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(CannotCheck::io(path))?;
    Ok(bytes)
}
