//! Questions about the copies of all watches.

use std::path::PathBuf;

use attestry_db::Name;
use attestry_db::copy::{Copy, CopyError, Filter, Violation};
use attestry_server::databases::{RowVersion, States, Violation as Shown, Wanted, WatchError};

use super::view;

/// The most versions of a row in one answer.
const VERSIONS_MAX: u32 = 1_000;

/// Where a watch keeps its copy.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) watch: String,
    pub(super) path: PathBuf,
}

impl Place {
    /// The copy; none before the watch has begun for the first time.
    fn open(&self) -> Result<Option<Copy>, WatchError> {
        match self.path.exists() {
            true => Copy::open_to_read(&self.path).map(Some).map_err(|error| self.failed(error)),
            false => Ok(None),
        }
    }

    pub(super) fn failed(&self, error: CopyError) -> WatchError {
        match error {
            CopyError::NoSuch(_) => WatchError::Unknown(error.to_string()),
            CopyError::Signed { .. } => WatchError::Done(error.to_string()),
            error => {
                let told = format!("{:#}", anyhow::Error::from(error));
                tracing::error!(watch = self.watch, error = told, "a copy could not be read");
                WatchError::Unavailable(format!("the copy of {}: {told}", self.watch))
            }
        }
    }
}

/// The violations of all these watches together, the newest first; one more than wanted, to tell that there are more.
pub(super) fn violations(places: &[Place], wanted: &Wanted) -> Result<Vec<Shown>, WatchError> {
    if let Some(watch) = &wanted.watch
        && places.iter().all(|place| place.watch != *watch)
    {
        return Err(WatchError::Unknown(format!("there is no watch {watch:?}")));
    }
    if let Some(fingerprint) = &wanted.fingerprint {
        let found = find(places, fingerprint)?;
        return Ok(found.into_iter().map(|(place, _, found)| view::violation(&place.watch, found)).collect());
    }
    let after = match &wanted.after {
        None => None,
        Some(fingerprint) => {
            let (_, _, found) = find(places, fingerprint)?.ok_or_else(|| unknown(fingerprint))?;
            Some((found.opened, found.fingerprint))
        }
    };
    let mut all: Vec<(&Place, Violation)> = Vec::new();
    for place in places.iter().filter(|place| wanted.watch.as_ref().is_none_or(|watch| *watch == place.watch))
    {
        let Some(mut copy) = place.open()? else { continue };
        let tables = tables(&mut copy, wanted.table.as_deref()).map_err(|error| place.failed(error))?;
        for table in tables {
            let filter = Filter {
                pending: match wanted.state {
                    States::Pending => Some(true),
                    States::SignedOff => Some(false),
                    States::All => None,
                },
                table,
                after: after.clone(),
                ..Filter::default()
            };
            let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
            let found = copy.violations(&filter, limit).map_err(|error| place.failed(error))?;
            all.extend(found.into_iter().map(|violation| (place, violation)));
        }
    }
    all.sort_by(|(_, one), (_, other)| {
        (other.opened, &other.fingerprint).cmp(&(one.opened, &one.fingerprint))
    });
    all.truncate(wanted.limit + 1);
    Ok(all.into_iter().map(|(place, found)| view::violation(&place.watch, found)).collect())
}

/// The tables that are meant: none for any, or each that has the name, whatever its schema.
fn tables(copy: &mut Copy, name: Option<&str>) -> Result<Vec<Option<Name>>, CopyError> {
    let Some(name) = name else { return Ok(vec![None]) };
    let named = copy.watched()?.into_iter().map(|watched| watched.name().clone());
    Ok(named.filter(|table| table.table == name).map(Some).collect())
}

fn unknown(fingerprint: &str) -> WatchError {
    WatchError::Unknown(format!("there is no violation {fingerprint:?}"))
}

/// A violation by its fingerprint, with the copy that has it.
fn find<'a>(
    places: &'a [Place],
    fingerprint: &str,
) -> Result<Option<(&'a Place, Copy, Violation)>, WatchError> {
    for place in places {
        let Some(mut copy) = place.open()? else { continue };
        if let Some(found) = copy.violation(fingerprint).map_err(|error| place.failed(error))? {
            return Ok(Some((place, copy, found)));
        }
    }
    Ok(None)
}

/// What the row of a violation has been, the newest first.
pub(super) fn history(places: &[Place], fingerprint: &str) -> Result<Vec<RowVersion>, WatchError> {
    let (place, mut copy, found) = find(places, fingerprint)?.ok_or_else(|| unknown(fingerprint))?;
    let versions = copy.history(found.watched, &found.place, VERSIONS_MAX);
    Ok(versions.map_err(|error| place.failed(error))?.into_iter().map(view::version).collect())
}

/// Which violations are to be signed off in which watch. All must be there and pending.
pub(super) fn by_watch<'a>(
    places: &'a [Place],
    fingerprints: &[String],
) -> Result<Vec<(&'a Place, Vec<String>)>, WatchError> {
    let mut parts: Vec<(&Place, Vec<String>)> = Vec::new();
    for fingerprint in fingerprints {
        let (place, _, found) = find(places, fingerprint)?.ok_or_else(|| unknown(fingerprint))?;
        if let Some(signed) = found.signed {
            return Err(WatchError::Done(format!("{fingerprint} was signed off before, by {}", signed.by)));
        }
        match parts.iter_mut().find(|(known, _)| known.watch == place.watch) {
            Some((_, list)) if list.contains(fingerprint) => {}
            Some((_, list)) => list.push(fingerprint.clone()),
            None => parts.push((place, vec![fingerprint.clone()])),
        }
    }
    Ok(parts)
}
