//! One ledger of a data directory: key, checkpoint, segments, values, journal.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use attestry_tlog::note::MAX_NOTE_BYTES;
use attestry_tlog::{Checkpoint, Pin, VerifierKey, leaf_hash};

use crate::compare::{Anchor, compare};
use crate::entries::Entries;
use crate::hashes::{Hashes, TILE};
use crate::journal::{Journal, Payload};
use crate::report::{Damage, Kind, Ledger, Pinned, Signed};
use crate::values::{Loose, settle_file, settle_rest};
use crate::{CannotCheck, Options, segments};

const NO_PIN: &str = "without a pin: that an older copy was put back, that the newest entries were cut off together with \
    their checkpoint, or that key and checkpoint were replaced together";

/// What is read of a ledger before its entries.
pub(crate) struct Identity {
    pub(crate) ledger: Ledger,
    pub(crate) anchors: Vec<Anchor>,
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// Opens key, checkpoint and pins. The checkpoint, if any, is the first anchor; then come the pins in order.
pub(crate) fn identify(name: &str, origin: &str, vkey: &str, note: Option<&str>, pins: &[&Pin]) -> Identity {
    let mut ledger = Ledger::new(name);
    let key: Option<VerifierKey> = match vkey.strip_suffix('\n').unwrap_or(vkey).parse() {
        Ok(key) => Some(key),
        Err(error) => {
            ledger.add(Damage::general(Kind::Key, format!("the verifier key: {error}")));
            None
        }
    };
    let mut checkpoint = None;
    if let Some(key) = &key {
        ledger.key = Some(key.to_string());
        if key.name() != origin {
            ledger.add(Damage::general(Kind::Key, format!("the key is of {}, not of {origin}", key.name())));
        }
        match note.map(|note| Checkpoint::open(note, key)) {
            Some(Ok(found)) => checkpoint = Some(found),
            Some(Err(error)) => {
                ledger.add(Damage::general(Kind::Checkpoint, format!("the checkpoint: {error}")))
            }
            None => {}
        }
    }
    let mut anchors = Vec::new();
    if let Some(found) = &checkpoint {
        ledger.checkpoint = Some(Signed { size: found.size, root: found.root.to_string() });
        anchors.push(Anchor { size: found.size, root: found.root, whose: "the checkpoint" });
    }
    for pin in pins {
        // A pin whose checkpoint its own key did not sign cannot be parsed.
        let Ok(pinned) = pin.open() else { continue };
        if key.as_ref() != Some(&pin.key) {
            let what = "the key is another than the pinned one: what it signs is not this log's word";
            ledger.add(Damage::of_entries(Kind::Pin, 0..pinned.size, what));
        }
        if let Some(found) = checkpoint.as_ref().filter(|found| found.size < pinned.size) {
            let (present, pinned) = (found.size, pinned.size);
            let what = format!(
                "the checkpoint is of {present} entries, the pinned one of {pinned}: an older state was put back"
            );
            ledger.add(Damage::of_entries(Kind::Pin, present..pinned, what));
        }
        ledger.pins.push(Pinned { size: pinned.size, holds: key.as_ref() == Some(&pin.key) });
        anchors.push(Anchor { size: pinned.size, root: pinned.root, whose: "the pinned checkpoint" });
    }
    Identity { ledger, anchors, checkpoint }
}

/// How often a ledger is checked again because its segments were replaced while they were read.
const MAX_TRIES: u32 = 3;

/// Checks the ledger in `dir`.
///
/// A running server may seal, prune or pack segments meanwhile. Damage is believed when the files are the same afterwards.
pub(crate) fn check(
    dir: &Path,
    name: &str,
    origin: &str,
    pins: &[&Pin],
    options: &Options<'_>,
) -> Result<Ledger, CannotCheck> {
    let folder = dir.join("segments");
    let list = || segments::list(&folder).map_err(CannotCheck::io(&folder));
    for _ in 1..MAX_TRIES {
        let before = list()?;
        let ledger = check_once(dir, name, origin, pins, options)?;
        if ledger.damage.is_empty() || list()? == before {
            return Ok(ledger);
        }
    }
    check_once(dir, name, origin, pins, options)
}

fn check_once(
    dir: &Path,
    name: &str,
    origin: &str,
    pins: &[&Pin],
    options: &Options<'_>,
) -> Result<Ledger, CannotCheck> {
    let text = |file: &str| read_small(&dir.join(file));
    let vkey = text("vkey")?.unwrap_or_default();
    let note = text("checkpoint")?;
    let Identity { mut ledger, mut anchors, checkpoint } =
        identify(name, origin, &vkey, note.as_deref(), pins);
    let wal = dir.join("wal");
    let journal = Journal::open(&wal).map_err(CannotCheck::io(&wal))?;

    let mut hashes = Hashes::new(anchors.iter().map(|anchor| anchor.size));
    let total = anchors.iter().map(|anchor| anchor.size).max().unwrap_or(0);
    let done = AtomicU64::new(0);
    let tick =
        |entries: u64| options.progress(name, done.fetch_add(entries, Ordering::Relaxed) + entries, total);

    let mut entries = Entries::default();
    let mut pending = Vec::new();
    let mut lost: Vec<(std::ops::Range<u64>, Kind, String)> = Vec::new();
    let (mut sealed_end, mut pruned_end) = (0, 0);
    let folder = dir.join("segments");
    for file in segments::list(&folder).map_err(CannotCheck::io(&folder))? {
        if file.range.end <= sealed_end || file.range.is_empty() {
            continue;
        }
        if file.range.start > sealed_end {
            lost.push((sealed_end..file.range.start, Kind::Missing, "missing: no segment holds them".into()));
        } else if file.range.start < sealed_end {
            ledger.add(Damage::general(Kind::File, format!("{}: overlaps the segment before", file.name())));
        }
        match segments::read(&file, &hashes, &tick) {
            Ok(part) => {
                if file.is_pruned && file.range.start == pruned_end {
                    pruned_end = file.range.end;
                } else if file.is_pruned {
                    lost.push((
                        file.range.clone(),
                        Kind::Pruned,
                        "pruned, but entries before them are not".into(),
                    ));
                }
                part.tiles.into_iter().for_each(|(tile, found)| hashes.set_tile(tile, found));
                part.leaves.into_iter().for_each(|(index, leaf)| hashes.set_leaf(index, leaf));
                lost.extend(
                    part.lost
                        .into_iter()
                        .map(|(range, why)| (range, Kind::Unreadable, format!("unreadable: {why}"))),
                );
                part.damage.into_iter().for_each(|damage| ledger.add(damage));
                entries.append(part.entries);
            }
            Err(why) => lost.push((file.range.clone(), Kind::Unreadable, format!("unreadable: {why}"))),
        }
        let references = std::mem::take(&mut entries.references);
        pending.extend(settle_file(&file.path.with_extension("val"), references, &mut ledger));
        sealed_end = file.range.end;
    }

    let mut end = sealed_end;
    let mut values = Loose::default();
    let (damage, aside) = journal
        .read(&mut |payload| match payload {
            Payload::Value { hash, salt, content } => values.add(hash, &salt, content),
            Payload::Entries { first, entries: found } => {
                if first > end {
                    lost.push((end..first, Kind::Missing, "missing: the journal does not hold them".into()));
                }
                for (index, entry) in (first..).zip(&found).filter(|(index, _)| *index >= end) {
                    hashes.set_leaf(index, leaf_hash(entry));
                    entries.add(index, entry);
                }
                end = end.max(first + found.len() as u64);
                tick(found.len() as u64);
            }
        })
        .map_err(CannotCheck::io(&wal))?;
    damage.into_iter().for_each(|damage| ledger.add(damage));
    hashes.complete_tiles();
    pending.append(&mut entries.references);

    for (range, kind, what) in &lost {
        ledger.add(Damage::of_entries(*kind, range.clone(), what.clone()));
    }
    (ledger.first, ledger.end, ledger.hashed) = (pruned_end, end, entries.hashed);
    let signed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let prunable = entries.prunable(signed);
    if pruned_end > prunable {
        let what = "pruned, and no ledger.pruned event that was signed allows it";
        ledger.add(Damage::of_entries(Kind::Pruned, prunable..pruned_end, what));
    }
    leave_out_pruned_pins(&mut anchors, checkpoint.is_some(), pruned_end, &mut ledger);
    let holds = compare(&hashes, end, !lost.is_empty(), &anchors, &mut ledger);
    settle_pins(&mut ledger, &holds, checkpoint.is_some());
    let rest = values.settle(pending, &mut ledger);
    settle_rest(&rest, &entries, signed, &mut ledger);
    finish_entries(&mut ledger, entries.damage, entries.uninterpreted);

    ledger.unsigned = checkpoint.as_ref().map_or(0, |signed| end.saturating_sub(signed.size));
    if checkpoint.is_none() && note.is_none() {
        let what = "there is no checkpoint";
        match () {
            () if sealed_end > 0 => ledger.add(Damage::of_entries(Kind::Checkpoint, 0..end, what)),
            () if end > 0 => ledger.unchecked.push(format!("the entries: {what} yet")),
            () => ledger.notes.push("nothing has been written to this ledger yet".into()),
        }
    } else if checkpoint.is_none() && end > 0 {
        ledger.unchecked.push(
            "the entries: without a checkpoint that holds, nothing says that they are the signed ones".into(),
        );
    }
    for name in aside {
        ledger
            .notes
            .push(format!("wal/{name} was set aside by the server because its header was unreadable"));
    }
    state_limits(&mut ledger);
    Ok(ledger)
}

/// A pinned tree that ends within what was pruned has no root that could still be computed, unless it ends with a tile.
fn leave_out_pruned_pins(
    anchors: &mut Vec<Anchor>,
    has_checkpoint: bool,
    pruned_end: u64,
    ledger: &mut Ledger,
) {
    let first_pin = usize::from(has_checkpoint);
    for position in (first_pin..anchors.len()).rev() {
        let size = anchors[position].size;
        if size < pruned_end && !size.is_multiple_of(TILE) {
            anchors.remove(position);
            ledger.pins.remove(position - first_pin);
            ledger.unchecked.push(format!(
                "the pin of {size} entries: its tree ends within what was pruned; take a newer pin"
            ));
        }
    }
}

pub(crate) fn settle_pins(ledger: &mut Ledger, holds: &[bool], has_checkpoint: bool) {
    let pins = holds.get(usize::from(has_checkpoint)..).unwrap_or_default();
    for (pin, holds) in ledger.pins.iter_mut().zip(pins) {
        pin.holds &= holds;
    }
}

pub(crate) fn finish_entries(ledger: &mut Ledger, damage: Vec<Damage>, uninterpreted: u64) {
    damage.into_iter().for_each(|damage| ledger.add(damage));
    if uninterpreted > 0 {
        ledger.notes.push(format!(
            "{uninterpreted} entries are of a later version: their bytes were checked, not their meaning"
        ));
    }
}

pub(crate) fn state_limits(ledger: &mut Ledger) {
    match ledger.pins.iter().map(|pin| pin.size).max() {
        None => ledger.limits.push(NO_PIN.into()),
        Some(size) => ledger.limits.push(format!(
            "that whoever holds the signing key rewrote entries from {size} on, which are newer than the newest pin"
        )),
    }
}

/// A small text file; none when it is not there. What is not UTF-8 is read with replacement characters, and then refused for what it is.
pub(crate) fn read_small(path: &Path) -> Result<Option<String>, CannotCheck> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(CannotCheck::io(path))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_NOTE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(CannotCheck::io(path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
