//! A whole data directory (`docs/formats.md`, section 4).

use std::path::Path;

use attestry_tlog::Pin;

use crate::ledger::{self, read_small};
use crate::report::{Damage, Kind, Ledger, Report, Subject};
use crate::{CannotCheck, Options};

const FORMAT: &str = "attestry-data 1\n";

/// Checks the data directory at `path`: every ledger in it, and every pin.
///
/// The directory may be in use: entries that come in meanwhile are not looked at.
///
/// # Errors
/// [`CannotCheck`] when it is no data directory, of a newer format, or cannot be read.
pub fn directory(path: &Path, options: &Options<'_>) -> Result<Report, CannotCheck> {
    let (mut report, installation) = begin(path)?;
    let names = names_in(&path.join("ledgers"), "")?;
    for name in names_in(&path.join("keys"), ".key")?.iter().filter(|name| !names.contains(name)) {
        let what = format!("keys/{name}.key is of a ledger that is not here");
        report.damage.push(Damage::general(Kind::Missing, what));
    }
    let origins: Vec<String> = names.iter().map(|name| origin(&installation, name)).collect();
    report_lost_pins(&mut report, &options.pins, &origins);
    for name in &names {
        report.ledgers.push(check(path, &installation, name, options)?);
    }
    Ok(report)
}

/// Checks one ledger of the data directory at `path`, and the pins that are of it.
///
/// # Errors
/// As [`directory`], and [`CannotCheck::Io`] when there is no such ledger.
pub fn ledger(path: &Path, name: &str, options: &Options<'_>) -> Result<Report, CannotCheck> {
    let (mut report, installation) = begin(path)?;
    let dir = path.join("ledgers").join(name);
    std::fs::metadata(&dir).map_err(CannotCheck::io(&dir))?;
    report.ledgers.push(check(path, &installation, name, options)?);
    Ok(report)
}

/// Checks what is said of the directory as a whole, and gives the installation id, empty when it is damaged.
fn begin(path: &Path) -> Result<(Report, String), CannotCheck> {
    match read_small(&path.join("FORMAT"))? {
        None => return Err(CannotCheck::Unknown(path.display().to_string())),
        Some(format) if format == FORMAT => {}
        Some(format) if format.starts_with("attestry-data ") => {
            return Err(CannotCheck::Newer(format.trim().into()));
        }
        Some(_) => return Err(CannotCheck::Unknown(path.display().to_string())),
    }
    let mut report = Report::new(path.display().to_string(), Subject::Directory);
    let installation = read_small(&path.join("installation"))?.unwrap_or_default();
    let installation = installation.strip_suffix('\n').unwrap_or_default();
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if installation.len() != 32 || !installation.bytes().all(is_digit) {
        let what = "installation: the installation id is missing or damaged";
        report.damage.push(Damage::general(Kind::File, what));
    }
    Ok((report, installation.to_owned()))
}

fn origin(installation: &str, name: &str) -> String {
    format!("{installation}.attestry/{name}")
}

fn check(path: &Path, installation: &str, name: &str, options: &Options<'_>) -> Result<Ledger, CannotCheck> {
    let origin = origin(installation, name);
    let pins: Vec<&Pin> = options.pins.iter().filter(|pin| pin.key.name() == origin).collect();
    ledger::check(&path.join("ledgers").join(name), name, &origin, &pins, options)
}

/// A pin of a log that is not here: the log was removed, or the installation is another one.
pub(crate) fn report_lost_pins(report: &mut Report, pins: &[Pin], origins: &[String]) {
    for pin in pins.iter().filter(|pin| !origins.iter().any(|origin| origin == pin.key.name())) {
        let size = pin.open().map_or(0, |checkpoint| checkpoint.size);
        let what = format!("missing: the pinned log {} is not here", pin.key.name());
        report.damage.push(Damage::of_entries(Kind::Pin, 0..size, what));
    }
}

/// The names in a folder that end with `ending`, without it, sorted; none when there is no folder.
fn names_in(dir: &Path, ending: &str) -> Result<Vec<String>, CannotCheck> {
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(CannotCheck::io(dir))?,
    };
    let mut names = Vec::new();
    for found in listed {
        let name = found.map_err(CannotCheck::io(dir))?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ending).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
