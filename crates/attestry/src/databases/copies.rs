//! Questions about the copies of all watches.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use attestry_db::WatchConfig;
use attestry_db::copy::{Copy, CopyError, Filter, Violation};
use attestry_server::databases::{
    Found, RowVersion, States, Unreadable, Violation as Shown, Wanted, WatchError,
};

use super::view;

/// The most versions of a row in one answer.
const VERSIONS_MAX: u32 = 1_000;

/// About how many bytes of versions are in one answer at most, but for the last one.
const VERSIONS_BYTES: usize = 8 << 20;

/// The fewest digits by which a fingerprint may be named.
const PREFIX_MIN: usize = 4;

/// How many fingerprints are listed when what was given fits several.
const LISTED: usize = 10;

/// Where a watch keeps its copy.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) watch: String,
    pub(super) path: PathBuf,
    pub(super) config: Arc<WatchConfig>,
    /// Why the copy does not work, if so.
    pub(super) why: Option<String>,
}

impl Place {
    /// The copy; none before the watch has begun for the first time.
    fn open(&self) -> Result<Option<Copy>, CopyError> {
        let failed = |source| CopyError::Io { path: self.path.clone(), source };
        match (self.path.try_exists().map_err(failed)?, &self.why) {
            (true, _) => Copy::open_to_read(&self.path).map(Some),
            (false, None) => Ok(None),
            // It was there, perhaps, on a disk that is not.
            (false, Some(why)) => Err(failed(io::Error::other(why.clone()))),
        }
    }

    pub(super) fn failed(&self, error: CopyError) -> WatchError {
        match error {
            CopyError::NoSuch(_) => WatchError::Unknown(error.to_string()),
            CopyError::Signed { .. } => WatchError::Done(error.to_string()),
            error => {
                let Unreadable { watch, why } = self.unreadable(error);
                WatchError::Unavailable(format!("the copy of {watch}: {why}"))
            }
        }
    }

    fn unreadable(&self, error: CopyError) -> Unreadable {
        let why = format!("{:#}", anyhow::Error::from(error));
        tracing::error!(watch = self.watch, error = why, "a copy could not be read");
        Unreadable { watch: self.watch.clone(), why }
    }
}

/// Asks every copy. One that cannot be read is named, and keeps nobody from the others.
fn ask_all<'a, T>(
    places: impl Iterator<Item = &'a Place>,
    mut ask: impl FnMut(&'a Place, Copy) -> Result<Vec<T>, CopyError>,
) -> Found<T> {
    let mut all = Found::default();
    for place in places {
        let asked = place.open().and_then(|copy| copy.map_or(Ok(Vec::new()), |copy| ask(place, copy)));
        match asked {
            Ok(found) => all.found.extend(found),
            Err(error) => all.unreadable.push(place.unreadable(error)),
        }
    }
    all
}

/// The violations of all these watches together, the newest first; one more than wanted, to tell that there are more.
pub(super) fn violations(places: &[Place], wanted: &Wanted) -> Result<Found<Shown>, WatchError> {
    let of_watch = self::wanted(places, wanted)?;
    if let Some(fingerprint) = &wanted.fingerprint {
        let (found, unreadable) = find(places, fingerprint)?;
        let found = found.into_iter().map(|(place, _, found)| view::violation(place, found)).collect();
        return Ok(Found { found, unreadable });
    }
    let after = match &wanted.after {
        None => None,
        Some(fingerprint) => {
            let (_, _, found) = find_one(places, fingerprint)?;
            Some((found.opened, found.fingerprint))
        }
    };
    let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
    let mut all = ask_all(of_watch.into_iter(), |place, mut copy| {
        let mut found = Vec::new();
        for filter in filters(&mut copy, wanted, after.as_ref())? {
            found.extend(copy.violations(&filter, limit)?.into_iter().map(|violation| (place, violation)));
        }
        Ok(found)
    });
    all.found.sort_by(|(_, one), (_, other)| {
        (other.opened, &other.fingerprint).cmp(&(one.opened, &one.fingerprint))
    });
    all.found.truncate(wanted.limit + 1);
    let shown = all.found.into_iter().map(|(place, found)| view::violation(place, found));
    Ok(Found { found: shown.collect(), unreadable: all.unreadable })
}

/// What violations of these watches are called by that fit, at most `limit`.
pub(super) fn matching(places: &[Place], wanted: &Wanted) -> Found<String> {
    let limit = u32::try_from(wanted.limit).unwrap_or(u32::MAX);
    let mut all = ask_all(places.iter(), |_, mut copy| {
        let mut found = Vec::new();
        for filter in filters(&mut copy, wanted, None)? {
            found.extend(copy.fingerprints(&filter, limit)?);
        }
        Ok(found)
    });
    all.found.truncate(wanted.limit);
    all
}

/// The copies that are asked.
pub(super) fn wanted<'a>(places: &'a [Place], wanted: &Wanted) -> Result<Vec<&'a Place>, WatchError> {
    let Some(watch) = &wanted.watch else { return Ok(places.iter().collect()) };
    let place = places.iter().find(|place| place.watch == *watch);
    let place = place.ok_or_else(|| WatchError::Unknown(format!("there is no watch {watch:?}")))?;
    Ok(vec![place])
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

/// There is no such violation, as far as can be told.
fn unknown(fingerprint: &str, unreadable: &[Unreadable]) -> WatchError {
    let what = format!("there is no violation {fingerprint:?}");
    match unreadable {
        [] => WatchError::Unknown(what),
        some => {
            let copies: Vec<String> =
                some.iter().map(|copy| format!("the copy of {}: {}", copy.watch, copy.why)).collect();
            WatchError::Unavailable(format!("{what} in the copies that can be read; {}", copies.join("; ")))
        }
    }
}

/// A violation and the copy that has it.
type InCopy<'a> = (&'a Place, Copy, Violation);

/// A violation by its fingerprint, or the beginning of it if no other begins so, and the copies that may have it, too, and cannot be read.
fn find<'a>(
    places: &'a [Place],
    fingerprint: &str,
) -> Result<(Option<InCopy<'a>>, Vec<Unreadable>), WatchError> {
    let mut exact = None;
    let like = ask_all(places.iter(), |place, mut copy| {
        if exact.is_some() {
            return Ok(Vec::new());
        }
        if let Some(found) = copy.violation(fingerprint)? {
            exact = Some((place, copy, found));
            return Ok(Vec::new());
        }
        if fingerprint.len() < PREFIX_MIN {
            return Ok(Vec::new());
        }
        let limit = u32::try_from(LISTED + 1).unwrap_or(u32::MAX);
        let found = copy.fingerprints_like(fingerprint, limit)?;
        Ok(found.into_iter().map(|found| (place, found)).collect())
    });
    if exact.is_some() {
        return Ok((exact, Vec::new()));
    }
    match like.found.as_slice() {
        [] => Ok((None, like.unreadable)),
        [(place, one)] => {
            let again = || -> Result<_, CopyError> {
                let Some(mut copy) = place.open()? else { return Ok(None) };
                Ok(copy.violation(one)?.map(|found| (*place, copy, found)))
            };
            Ok((again().map_err(|error| place.failed(error))?, like.unreadable))
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

fn find_one<'a>(places: &'a [Place], fingerprint: &str) -> Result<InCopy<'a>, WatchError> {
    let (found, unreadable) = find(places, fingerprint)?;
    found.ok_or_else(|| unknown(fingerprint, &unreadable))
}

/// What the row of a violation has been before a version, the newest first, and whether there is more.
pub(super) fn history(
    places: &[Place],
    fingerprint: &str,
    before: Option<u64>,
) -> Result<(Vec<RowVersion>, bool), WatchError> {
    let (place, mut copy, found) = find_one(places, fingerprint)?;
    let versions = copy.history_before(found.watched, &found.place, before, VERSIONS_MAX, VERSIONS_BYTES);
    let (versions, more) = versions.map_err(|error| place.failed(error))?;
    Ok((versions.into_iter().map(|version| view::version(place, version)).collect(), more))
}

/// Which violations are to be signed off in which watch. All must be there and pending.
pub(super) fn by_watch<'a>(
    places: &'a [Place],
    fingerprints: &[String],
) -> Result<Vec<(&'a Place, Vec<String>)>, WatchError> {
    let (mut copies, mut unreadable) = (Vec::new(), Vec::new());
    for place in places {
        match place.open() {
            Ok(Some(copy)) => copies.push((place, copy, BTreeSet::new())),
            Ok(None) => {}
            Err(error) => unreadable.push(place.unreadable(error)),
        }
    }
    'next: for fingerprint in fingerprints {
        let mut at = 0;
        while let Some((place, copy, list)) = copies.get_mut(at) {
            match copy.violation(fingerprint) {
                Ok(Some(found)) => {
                    list.insert(pending(found)?);
                    continue 'next;
                }
                Ok(None) => at += 1,
                // What is to be signed off is elsewhere, perhaps.
                Err(error) if list.is_empty() => {
                    unreadable.push(place.unreadable(error));
                    copies.remove(at);
                }
                Err(error) => return Err(place.failed(error)),
            }
        }
        // Perhaps it is the beginning of one; of which one can only be told where all copies can be read.
        let (of, _, found) = match unreadable.as_slice() {
            [] => find_one(places, fingerprint)?,
            some => return Err(unknown(fingerprint, some)),
        };
        let found = pending(found)?;
        if let Some((.., list)) = copies.iter_mut().find(|(place, ..)| place.watch == of.watch) {
            list.insert(found);
        }
    }
    let parts = copies.into_iter().map(|(place, _, list)| (place, list.into_iter().collect::<Vec<_>>()));
    Ok(parts.filter(|(_, list)| !list.is_empty()).collect())
}

/// What a violation is called that nobody has signed off.
fn pending(found: Violation) -> Result<String, WatchError> {
    match found.signed {
        Some(signed) => {
            let told = format!("{} was signed off before, by {}", found.fingerprint, signed.by);
            Err(WatchError::Done(told))
        }
        None => Ok(found.fingerprint),
    }
}
