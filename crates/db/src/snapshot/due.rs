//! When snapshots were made last: a small JSON file beside the copy, so that what was missed is made up.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use attestry_event::Nanos;

use super::SnapshotConfig;

/// See the [module](self). Without its file a snapshot counts as made now.
#[derive(Debug)]
pub struct Due {
    path: PathBuf,
    /// By snapshot: nanoseconds since 1970.
    last: BTreeMap<String, i64>,
}

impl Due {
    /// What is known of the snapshots of the watch whose copy is this file; those that are new count as made now.
    ///
    /// # Errors
    /// When the file cannot be read or written. One that is damaged is as good as none.
    pub fn open(copy: &Path, snapshots: &BTreeMap<String, SnapshotConfig>, now: Nanos) -> io::Result<Due> {
        let path = copy.with_extension("snapshots.json");
        let known: BTreeMap<String, i64> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        // A time to come, of a clock that was wrong, would put it off until then.
        let last = |name: &String| known.get(name).copied().filter(|last| *last <= now.0).unwrap_or(now.0);
        let last = snapshots.keys().map(|name| (name.clone(), last(name))).collect();
        let due = Due { path, last };
        due.write()?;
        Ok(due)
    }

    /// When a snapshot is due next; none when it is only made by hand.
    pub fn next(&self, name: &str, config: &SnapshotConfig) -> Option<Nanos> {
        config.schedule()?.next(Nanos(*self.last.get(name)?))
    }

    /// It was made.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn made(&mut self, name: &str, at: Nanos) -> io::Result<()> {
        self.last.insert(name.to_owned(), at.0);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let unfinished = self.path.with_extension("json.unfinished");
        std::fs::write(&unfinished, serde_json::to_vec(&self.last)?)?;
        std::fs::File::open(&unfinished)?.sync_all()?;
        std::fs::rename(&unfinished, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn what_was_missed_is_due_once() {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("bank.sqlite");
        let yaml = "hourly: {schedule: '0 * * * *', time_zone: UTC, folder: /srv, unencrypted: true}\nby_hand: {folder: /srv, unencrypted: true}\n";
        let snapshots: BTreeMap<String, SnapshotConfig> = serde_saphyr::from_str(yaml).unwrap();
        let next = |due: &Due, name: &str| due.next(name, &snapshots[name]);
        // Begun at half past; the first is due at the hour, not at once.
        let due = Due::open(&copy, &snapshots, Nanos(HOUR / 2)).unwrap();
        assert_eq!((next(&due, "hourly"), next(&due, "by_hand")), (Some(Nanos(HOUR)), None));
        // Away for days: one is overdue, and afterwards none.
        let mut due = Due::open(&copy, &snapshots, Nanos(100 * HOUR + 1)).unwrap();
        assert_eq!(next(&due, "hourly"), Some(Nanos(HOUR)));
        due.made("hourly", Nanos(100 * HOUR + 1)).unwrap();
        assert_eq!(next(&due, "hourly"), Some(Nanos(101 * HOUR)));
        let due = Due::open(&copy, &snapshots, Nanos(100 * HOUR + 2)).unwrap();
        assert_eq!(next(&due, "hourly"), Some(Nanos(101 * HOUR)));
        // The clock was wrong, the file is damaged.
        let due = Due::open(&copy, &snapshots, Nanos(50 * HOUR)).unwrap();
        assert_eq!(next(&due, "hourly"), Some(Nanos(51 * HOUR)));
        std::fs::write(dir.path().join("bank.snapshots.json"), "{").unwrap();
        let due = Due::open(&copy, &snapshots, Nanos(60 * HOUR)).unwrap();
        assert_eq!(next(&due, "hourly"), Some(Nanos(61 * HOUR)));
    }
}
