//! What is to be written of a row: all of its state that is known, read from the copy.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

use crate::copy::{Behind, Copy, CopyError, NO_TABLE, Version, Violation, Watched};

/// How many versions of a row are read at once.
const VERSIONS_AT_ONCE: u32 = 500;

/// A row, a table, or what is about none, with all that is written of it.
#[derive(Debug)]
pub(super) struct State {
    /// The table, if it is about one.
    pub(super) watched: Option<Watched>,
    /// What it is called there: its place has no bound, and this has.
    pub(super) id: [u8; 32],
    /// The row; none when nothing is kept of one that is gone, or it is a table.
    pub(super) row: Option<Shown>,
    /// It is not in the database, and nothing is kept of what it was.
    pub(super) vanished: bool,
    /// Versions that are not there yet.
    pub(super) versions: Vec<Version>,
    /// From which version on more of them are to be written.
    pub(super) rest: Option<u64>,
    /// Its violations.
    pub(super) violations: Vec<Violation>,
}

/// A row as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// The version of which the values are.
    pub(super) version: Version,
    /// When the row was copied first, in microseconds since 1970.
    pub(super) copied_at: i64,
    /// Whether the database has it otherwise: it is not overwritten before its violations are signed off.
    pub(super) has_delta: bool,
    /// Whether a violation is pending.
    pub(super) has_violation: bool,
    /// When it was deleted, or that was found: microseconds since 1970.
    pub(super) deleted_at: Option<i64>,
}

/// Reads it. `now` in microseconds since 1970.
pub(super) fn read(
    copy: &mut Copy,
    tables: &BTreeMap<i64, Watched>,
    behind: &Behind,
    now: i64,
) -> Result<Option<State>, CopyError> {
    let watched = tables.get(&behind.watched);
    if watched.is_none() && behind.watched != NO_TABLE {
        return Ok(None);
    }
    let (table, place) = (behind.watched, behind.place.as_slice());
    let violations = copy.violations_of(table, place)?;
    let mut state = State {
        watched: watched.cloned(),
        id: Sha256::digest(place).into(),
        row: None,
        vanished: false,
        versions: Vec::new(),
        rest: None,
        violations,
    };
    // Of the table itself, and of what is about none, there are only violations.
    let Some(watched) = watched.filter(|_| !place.is_empty()) else { return Ok(Some(state)) };
    if watched.versions {
        state.versions = copy.versions_from(table, place, behind.since, VERSIONS_AT_ONCE)?;
        if state.versions.len() == VERSIONS_AT_ONCE as usize {
            state.rest = state.versions.last().map(|last| last.version + 1);
        }
    }
    let current = copy.history(table, place, 1)?.pop();
    let present = copy.row(table, place)?.is_some();
    let kept = if watched.versions { None } else { copy.evidence(table, place)? };
    let (has_delta, version) = match kept {
        Some(kept) => (present, Some(kept)),
        None => (false, copy.last_image(table, place)?),
    };
    let Some(version) = version else {
        state.vanished = !present;
        return Ok(Some(state));
    };
    // What is gone without a trace is known to be gone when it is looked at.
    let end = current.filter(Version::is_end).map_or(now, |end| end.origin.time);
    state.row = Some(Shown {
        copied_at: copy.first_made(table, place)?.unwrap_or(version.origin.time),
        has_delta,
        has_violation: copy.is_pending(table, place)?,
        deleted_at: (!present).then_some(end),
        version,
    });
    Ok(Some(state))
}

/// The tables by number.
pub(super) fn tables(copy: &mut Copy) -> Result<BTreeMap<i64, Watched>, CopyError> {
    Ok(copy.watched()?.into_iter().map(|watched| (watched.id, watched)).collect())
}
