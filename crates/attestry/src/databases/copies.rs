//! Questions about the copies of all watches.

use std::collections::BTreeSet;
use std::path::PathBuf;

use attestry_db::copy::{Copy, CopyError, Filter, Violation};
use attestry_server::databases::{RowVersion, States, Violation as Shown, Wanted, WatchError};

use super::view;

/// The most versions of a row in one answer.
const VERSIONS_MAX: u32 = 1_000;

/// The fewest digits by which a fingerprint may be named.
const PREFIX_MIN: usize = 4;

/// How many fingerprints are listed when what was given fits several.
const LISTED: usize = 10;

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
    let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
    for place in of_watch(places, wanted) {
        let Some(mut copy) = place.open()? else { continue };
        for filter in filters(&mut copy, wanted, after.as_ref()).map_err(|error| place.failed(error))? {
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

/// What violations that fit are called by, at most `limit`.
pub(super) fn matching(places: &[Place], wanted: &Wanted) -> Result<Vec<String>, WatchError> {
    if let Some(watch) = &wanted.watch
        && places.iter().all(|place| place.watch != *watch)
    {
        return Err(WatchError::Unknown(format!("there is no watch {watch:?}")));
    }
    let mut all = Vec::new();
    for place in of_watch(places, wanted) {
        let Some(mut copy) = place.open()? else { continue };
        for filter in filters(&mut copy, wanted, None).map_err(|error| place.failed(error))? {
            let left = u32::try_from(wanted.limit.saturating_sub(all.len())).unwrap_or(u32::MAX);
            all.extend(copy.fingerprints(&filter, left).map_err(|error| place.failed(error))?);
        }
    }
    Ok(all)
}

fn of_watch<'a>(places: &'a [Place], wanted: &Wanted) -> impl Iterator<Item = &'a Place> {
    places.iter().filter(|place| wanted.watch.as_ref().is_none_or(|watch| *watch == place.watch))
}

/// What is asked of a copy: one filter, or one for each table that has the name, whatever its schema.
fn filters(
    copy: &mut Copy,
    wanted: &Wanted,
    after: Option<&(i64, String)>,
) -> Result<Vec<Filter>, CopyError> {
    let filter = Filter {
        pending: match wanted.state {
            States::Pending => Some(true),
            States::SignedOff => Some(false),
            States::All => None,
        },
        field: wanted.field.clone(),
        rule: wanted.rule.clone(),
        until: wanted.before.map(|time| time.0.div_euclid(1_000)),
        after: after.cloned(),
        ..Filter::default()
    };
    let Some(name) = &wanted.table else { return Ok(vec![filter]) };
    let named = copy.watched()?.into_iter().map(|watched| watched.name().clone());
    let tables = named.filter(|table| table.table == *name);
    Ok(tables.map(|table| Filter { table: Some(table), ..filter.clone() }).collect())
}

fn unknown(fingerprint: &str) -> WatchError {
    WatchError::Unknown(format!("there is no violation {fingerprint:?}"))
}

/// A violation by its fingerprint, or the beginning of it if no other begins so, with the copy that has it.
fn find<'a>(
    places: &'a [Place],
    fingerprint: &str,
) -> Result<Option<(&'a Place, Copy, Violation)>, WatchError> {
    let mut like: Vec<(&Place, String)> = Vec::new();
    for place in places {
        let Some(mut copy) = place.open()? else { continue };
        if let Some(found) = copy.violation(fingerprint).map_err(|error| place.failed(error))? {
            return Ok(Some((place, copy, found)));
        }
        if fingerprint.len() >= PREFIX_MIN {
            let limit = u32::try_from(LISTED + 1).unwrap_or(u32::MAX);
            let found = copy.fingerprints_like(fingerprint, limit).map_err(|error| place.failed(error))?;
            like.extend(found.into_iter().map(|found| (place, found)));
        }
    }
    match like.as_slice() {
        [] => Ok(None),
        [(place, one)] => {
            let Some(mut copy) = place.open()? else { return Ok(None) };
            let found = copy.violation(one).map_err(|error| place.failed(error))?;
            Ok(found.map(|found| (*place, copy, found)))
        }
        several => {
            let mut listed: Vec<&str> = several.iter().take(LISTED).map(|(_, one)| one.as_str()).collect();
            if several.len() > LISTED {
                listed.push("…");
            }
            let listed = listed.join(", ");
            Err(WatchError::Ambiguous(format!("{fingerprint:?} fits several violations: {listed}")))
        }
    }
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
    let mut copies = Vec::new();
    for place in places {
        if let Some(copy) = place.open()? {
            copies.push((place, copy, BTreeSet::new()));
        }
    }
    'next: for fingerprint in fingerprints {
        for (place, copy, list) in &mut copies {
            if let Some(found) = copy.violation(fingerprint).map_err(|error| place.failed(error))? {
                if let Some(signed) = found.signed {
                    let told = format!("{fingerprint} was signed off before, by {}", signed.by);
                    return Err(WatchError::Done(told));
                }
                list.insert(found.fingerprint);
                continue 'next;
            }
        }
        // Perhaps it is the beginning of one.
        let (of, _, found) = find(places, fingerprint)?.ok_or_else(|| unknown(fingerprint))?;
        if let Some(signed) = found.signed {
            let told = format!("{} was signed off before, by {}", found.fingerprint, signed.by);
            return Err(WatchError::Done(told));
        }
        if let Some((.., list)) = copies.iter_mut().find(|(place, ..)| place.watch == of.watch) {
            list.insert(found.fingerprint);
        }
    }
    let parts = copies.into_iter().map(|(place, _, list)| (place, list.into_iter().collect::<Vec<_>>()));
    Ok(parts.filter(|(_, list)| !list.is_empty()).collect())
}
