//! Which files belong to a log, and their order in time, by the names logrotate (`logrotate.conf(5)`: `rotate`, `dateext`,
//! `compress`) and savelog give: `log`, `log.1`, `log.2.gz`, `log-20261101.gz`.

use std::{
    cmp::Reverse,
    fs,
    path::{Path, PathBuf},
};

/// A file that belongs to the log.
pub(super) struct Member {
    pub(super) rank: Rank,
    pub(super) path: PathBuf,
    /// Compressed by something other than gzip.
    pub(super) unsupported: bool,
}

/// Where it stands in time, oldest first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rank {
    Dated(String),
    Numbered(Reverse<u32>),
    Live,
}

/// All members of the log at `path`, oldest first; `None` when the folder cannot be listed.
pub(super) fn members(path: &Path) -> Option<Vec<Member>> {
    let base = path.file_name()?.to_str()?;
    let mut found: Vec<Member> = fs::read_dir(path.parent()?)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (rank, unsupported) = rank(name.strip_prefix(base)?)?;
            Some(Member { rank, path: entry.path(), unsupported })
        })
        .collect();
    found.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.path.cmp(&b.path)));
    Some(found)
}

/// The rank, by what follows the log's own name, and whether it is compressed by something other than gzip.
fn rank(suffix: &str) -> Option<(Rank, bool)> {
    if suffix.is_empty() {
        return Some((Rank::Live, false));
    }
    let (stem, packing) = match suffix.rsplit_once('.') {
        Some((stem, packing @ ("gz" | "xz" | "bz2" | "zst" | "lz4"))) => (stem, packing),
        _ => (suffix, ""),
    };
    let unsupported = !matches!(packing, "" | "gz");
    if let Some(number) = stem.strip_prefix('.') {
        // `dateformat .%Y%m%d`
        if number.len() >= 8 && number.bytes().all(|b| b.is_ascii_digit()) {
            return Some((Rank::Dated(number.to_owned()), unsupported));
        }
        return Some((Rank::Numbered(Reverse(number.parse().ok()?)), unsupported));
    }
    let date = stem.strip_prefix('-')?;
    let dated = date.len() >= 8 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    dated.then(|| (Rank::Dated(date.to_owned()), unsupported))
}

/// The log that a file of this name is a rotation of, if `is_log` says that it is one, with the rank and whether it is compressed by
/// something other than gzip.
pub(crate) fn rotation(name: &str, is_log: impl Fn(&str) -> bool) -> Option<(&str, Rank, bool)> {
    name.match_indices(['.', '-']).find_map(|(at, _)| {
        let (base, suffix) = name.split_at(at);
        let (rank, unsupported) = rank(suffix)?;
        is_log(base).then_some((base, rank, unsupported))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_order() {
        let live = || Some((Rank::Live, false));
        let numbered = |n, unsupported| Some((Rank::Numbered(Reverse(n)), unsupported));
        let dated = |date: &str| Some((Rank::Dated(date.to_owned()), false));
        for (suffix, expected) in [
            ("", live()),
            (".1", numbered(1, false)),
            (".12.gz", numbered(12, false)),
            (".2.xz", numbered(2, true)),
            ("-20261101", dated("20261101")),
            ("-20261101.gz", dated("20261101")),
            ("-2026-11-01-03", dated("2026-11-01-03")),
            (".gz", None),
            (".old", None),
            (".1.bak", None),
            ("-old", None),
            ("-1", None),
            (".", None),
            (".9999999x", None),
            (".20261101.gz", dated("20261101")),
            ("x.1", None),
        ] {
            assert_eq!(rank(suffix), expected, "{suffix:?}");
        }
        assert!(dated("20251231") < dated("20260101") && dated("20260101") < numbered(9, false));
        assert!(numbered(9, false) < numbered(1, false) && numbered(1, false) < live());
    }
}
