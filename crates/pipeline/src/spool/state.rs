//! What the spool must know that its chunks do not tell: how far it has counted, and what it has lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use attestry_event::{Event, Nanos};
use attestry_journal::disk::{self, Disk};
use serde::{Deserialize, Serialize};

use crate::Covered;

/// The file's greatest length in bytes.
const STATE_BYTES: usize = 4 << 20;
/// Losses that are remembered, so that a consumer which was away learns of them. Of more, the oldest are forgotten.
const LOSSES_KEPT: usize = 256;

/// How far has been counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// When this count began, in milliseconds since 1970; greater than that of any earlier one.
    pub(crate) epoch: u64,
    /// Events that were ever taken.
    pub(crate) number: u64,
    /// The next number of each ledger in this epoch.
    pub(crate) ledgers: BTreeMap<Arc<str>, u64>,
}

impl Counters {
    pub(crate) fn next(&self, ledger: &str) -> u64 {
        self.ledgers.get(ledger).copied().unwrap_or(0)
    }

    pub(crate) fn begin_epoch(&mut self, now: Nanos, beyond: u64) {
        let millis = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        self.epoch = millis.max(self.epoch.max(beyond).saturating_add(1));
        self.ledgers.clear();
    }
}

/// Events that the spool took and no longer has, though somebody still wanted them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loss {
    /// Records of the journal.
    pub(crate) records: Range<u64>,
    pub(crate) why: Why,
    /// How many bytes of the disk.
    pub(crate) bytes: u64,
    /// How many events; absent where that cannot be told.
    pub(crate) events: Option<u64>,
    /// What is known to be lost of each ledger: epoch and numbers.
    pub(crate) ledgers: Vec<LostOf>,
    /// Which consumers had not read it.
    pub(crate) consumers: Vec<String>,
    /// The damaged file and where in it.
    pub(crate) place: Option<(String, u64)>,
    /// When it was found, in nanoseconds since 1970.
    pub(crate) at: i64,
    /// Its event is durable.
    pub(crate) declared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostOf {
    pub(crate) ledger: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) seqs: Range<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// There was no more room.
    Cap,
    /// The disk does not give back what was written.
    Damage,
    /// Files were taken away.
    Removed,
}

impl Why {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Why::Cap => "cap",
            Why::Damage => "damage",
            Why::Removed => "removed",
        }
    }
}

impl Loss {
    pub(crate) fn covered(&self) -> Vec<Covered> {
        let covered = |lost: &LostOf| Covered {
            ledger: Arc::clone(&lost.ledger),
            epoch: lost.epoch,
            seqs: lost.seqs.clone(),
            lost: true,
        };
        self.ledgers.iter().map(covered).collect()
    }

    /// The event that declares it: the same, id included, however often it is made.
    pub(crate) fn event(&self, epoch: u64) -> Event {
        let events = match self.events {
            Some(0) => "no event is missing".to_owned(),
            Some(events) => format!("{events} events are missing"),
            None => "how many events are missing is unknown".to_owned(),
        };
        let message = match (self.why, &self.place) {
            (Why::Cap, _) => format!("the spool was full and its oldest part was dropped: {events}"),
            (Why::Damage, Some((file, _))) => format!("the spool is damaged in {file}: {events}"),
            (Why::Damage, None) => format!("the spool is damaged: {events}"),
            (Why::Removed, _) => format!("files of the spool were removed: {events}"),
        };
        let mut ledgers = serde_json::Map::new();
        for lost in &self.ledgers {
            let told = serde_json::json!({
                "events": lost.seqs.end - lost.seqs.start,
                "epoch": lost.epoch,
                "first": lost.seqs.start,
                "end": lost.seqs.end,
            });
            ledgers.insert(lost.ledger.to_string(), told);
        }
        let (start, end) = (self.records.start, self.records.end);
        let offset = self.place.as_ref().map_or(0, |(_, offset)| *offset);
        let mut event = Event::new("gap.spool", "-")
            .id(format!("gap.spool-{epoch}-{start}-{end}-{offset}-{}", self.at))
            .time(Nanos(self.at))
            .outcome(attestry_event::Outcome::Failure)
            .severity(if self.events == Some(0) { 4 } else { 3 })
            .message(message)
            .data("why", self.why.name())
            .data("bytes", self.bytes);
        if let Some(events) = self.events {
            event = event.data("events", events);
        }
        if !ledgers.is_empty() {
            event = event.data("ledgers", ledgers);
        }
        if !self.consumers.is_empty() {
            event = event.data("sinks", self.consumers.clone());
        }
        if let Some((file, offset)) = &self.place {
            event = event.data("file", file.clone()).data("offset", *offset);
        }
        event
    }
}

/// The small file beside the journal. Written anew before anything of the journal is removed, so that the count goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The counters of all records below this one.
    pub(crate) position: u64,
    pub(crate) counters: Counters,
    pub(crate) losses: Vec<Loss>,
}

/// What the file says.
pub(crate) enum Found {
    State(State),
    Absent,
    /// It cannot be read, or not by this version.
    Damaged,
}

impl State {
    pub(crate) fn load(disk: &impl Disk, path: &Path) -> std::io::Result<Found> {
        let bytes = match disk::read(disk, path, STATE_BYTES) {
            Ok(None) => return Ok(Found::Absent),
            Ok(Some(bytes)) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => return Ok(Found::Damaged),
            Err(error) => return Err(error),
        };
        let decoded = (|| {
            let rest = bytes.strip_prefix(MAGIC)?;
            let (crc, json) = rest.split_first_chunk::<4>()?;
            (crc32c::crc32c(json) == u32::from_le_bytes(*crc)).then(|| serde_json::from_slice(json).ok())?
        })();
        Ok(decoded.map_or(Found::Damaged, Found::State))
    }

    pub(crate) fn store(&self, disk: &impl Disk, path: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let crc = crc32c::crc32c(&json).to_le_bytes();
        disk::replace(disk, path, &[MAGIC, &crc, &json].concat())
    }

    /// Forgets losses that everybody has passed, and the oldest when there are too many.
    pub(crate) fn prune_losses(&mut self, first: u64, slowest: u64) {
        let over = self.losses.len().saturating_sub(LOSSES_KEPT);
        let mut nth = 0;
        self.losses.retain(|loss| {
            nth += 1;
            // Damage without a record is found again at every open as long as its file is there.
            let end = loss.records.end.saturating_add(u64::from(loss.place.is_some()));
            !loss.declared || (nth > over && end > first.min(slowest))
        });
    }
}

const MAGIC: &[u8] = b"ATTESTRY-SPL-1\n\0";
