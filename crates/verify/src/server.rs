//! A log as it is served: C2SP `tlog-tiles` below `/log/<ledger>/`.
//!
//! All entries that the log still serves are fetched and hashed. The tiles of leaf hashes are fetched only when the entries do not lead to
//! the signed root, to tell which of them were altered.

use attestry_tlog::note::Note;
use attestry_tlog::{Checkpoint, EntryTile, Hash, Pin, Tile, leaf_hash, subtree_root, tile};

use crate::compare::{Anchor, compare};
use crate::directory::report_lost_pins;
use crate::entries::Entries;
use crate::hashes::{Hashes, TILE};
use crate::http::Client;
use crate::ledger::{Identity, finish_entries, identify, settle_pins, state_limits};
use crate::proof::ledger_name;
use crate::report::{Damage, Kind, Ledger, Report, Subject};
use crate::{CannotCheck, Options};

/// Checks what a server serves. `url` is one log's (`https://host/log/<ledger>`), or the server's, which then is asked for its ledgers.
///
/// # Errors
/// [`CannotCheck`] when the server cannot be reached, wants a key, or serves no log there.
pub fn server(url: &str, options: &Options<'_>) -> Result<Report, CannotCheck> {
    let client = Client::new(options)?;
    let url = url.trim_end_matches('/');
    let mut report = Report::new(url, Subject::Server);
    let logs = if url.contains("/log/") { vec![url.to_owned()] } else { logs_of(&client, url)? };
    let mut origins = Vec::new();
    for log in &logs {
        let (ledger, origin) = check(&client, log, options)?;
        report.ledgers.push(ledger);
        origins.push(origin);
    }
    report_lost_pins(&mut report, &options.pins, &origins);
    Ok(report)
}

fn logs_of(client: &Client, url: &str) -> Result<Vec<String>, CannotCheck> {
    let list = format!("{url}/api/v1/ledgers");
    let malformed = || CannotCheck::Server { url: list.clone(), reason: "this is no list of ledgers".into() };
    let json: serde_json::Value = serde_json::from_str(&client.text(&list)?).map_err(|_| malformed())?;
    let ledgers = json.as_array().ok_or_else(malformed)?;
    let name = |ledger: &serde_json::Value| Some(format!("{url}/log/{}", ledger.get("name")?.as_str()?));
    ledgers.iter().map(name).collect::<Option<_>>().ok_or_else(malformed)
}

/// Checks one log; also returns the origin that it names.
fn check(client: &Client, log: &str, options: &Options<'_>) -> Result<(Ledger, String), CannotCheck> {
    let note = client.text(&format!("{log}/checkpoint"))?;
    let vkey = client.text(&format!("{log}/vkey"))?;
    let named = Note::parse(&note).ok().and_then(|note| Checkpoint::parse(&note.text).ok());
    let origin = named.map(|checkpoint| checkpoint.origin).unwrap_or_default();
    let pins: Vec<&Pin> = options.pins.iter().filter(|pin| pin.key.name() == origin).collect();
    let Identity { mut ledger, mut anchors, checkpoint } =
        identify(&ledger_name(log), &origin, &vkey, Some(&note), &pins);
    let Some(checkpoint) = checkpoint else {
        let what = "the entries: without a checkpoint that holds, how many there are is not known";
        ledger.unchecked.push(what.into());
        return Ok((ledger, origin));
    };

    let mut hashes = Hashes::new(anchors.iter().map(|anchor| anchor.size));
    let mut entries = Entries::default();
    let mut lost = Vec::new();
    let size = checkpoint.size;
    let first = first_served(client, log, size)?;
    if first > 0 {
        hashes.stand_for(nodes_before(client, log, first, size)?, first / TILE);
    }
    for tile in first / TILE..size.div_ceil(TILE) {
        let range = tile * TILE..((tile + 1) * TILE).min(size);
        match bundle(client, log, tile, size)? {
            None => lost.push((range.clone(), Kind::Missing, "missing: the server does not have them")),
            Some(bundle) => {
                let width = (range.end - range.start) as usize;
                match tile::entries(&bundle).take(width).collect::<Result<Vec<_>, _>>() {
                    Ok(found) if found.len() == width => {
                        let leaves: Vec<Hash> = found.iter().map(|entry| leaf_hash(entry)).collect();
                        if width as u64 == TILE {
                            hashes.tile_mut(tile).computed = Some(subtree_root(&leaves));
                        }
                        if hashes.is_cut(tile) {
                            range
                                .clone()
                                .zip(&leaves)
                                .for_each(|(index, leaf)| hashes.set_leaf(index, *leaf));
                        }
                        range.clone().zip(found).for_each(|(index, entry)| entries.add(index, entry));
                    }
                    _ => lost.push((range.clone(), Kind::Unreadable, "unreadable: not a bundle of entries")),
                }
            }
        }
        options.progress(&ledger.name, range.end, size);
    }
    for (range, kind, what) in &lost {
        ledger.add(Damage::of_entries(*kind, range.clone(), *what));
    }
    (ledger.first, ledger.end, ledger.hashed) = (first, size, entries.hashed);
    let prunable = entries.prunable(size);
    if first > prunable {
        let what = "not served, and no ledger.pruned event allows that they are gone";
        ledger.add(Damage::of_entries(Kind::Pruned, prunable..first, what));
    }
    for position in (1..anchors.len()).rev().filter(|position| *position > 0) {
        let pinned = anchors[position].size;
        if pinned < first {
            anchors.remove(position);
            ledger.pins.remove(position - 1);
            ledger.unchecked.push(format!(
                "the pin of {pinned} entries: its tree ends within what was pruned; take a newer pin"
            ));
        }
    }
    if anchors.iter().any(|Anchor { size, root, .. }| hashes.choose(*size, *root).is_none()) {
        fetch_stored(client, log, first, size, &mut hashes)?;
    }
    let holds = compare(&hashes, size, !lost.is_empty(), &anchors, &mut ledger);
    settle_pins(&mut ledger, &holds, true);
    finish_entries(&mut ledger, entries.damage, entries.uninterpreted);
    if !entries.references.is_empty() {
        ledger.limits.push("anything of the large values, which a log does not serve".into());
    }
    state_limits(&mut ledger);
    Ok((ledger, origin))
}

/// The entries of a tile as wide as a tree of `size` fills it; a log that has grown may only have the full one.
fn bundle(client: &Client, log: &str, index: u64, size: u64) -> Result<Option<Vec<u8>>, CannotCheck> {
    let Some(tile) = EntryTile::of(index, size) else { return Ok(None) };
    if let Some(found) = client.get(&format!("{log}/{tile}"))? {
        return Ok(Some(found));
    }
    match tile.width {
        tile::FULL => Ok(None),
        _ => client.get(&format!("{log}/{}", EntryTile { width: tile::FULL, ..tile })),
    }
}

/// The hashes of a tile, as many as a tree of `size` has there.
fn tile_hashes(
    client: &Client,
    log: &str,
    level: u8,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, CannotCheck> {
    let Some(tile) = Tile::of(level, index, size) else { return Ok(None) };
    let mut found = client.get(&format!("{log}/{tile}"))?;
    if found.is_none() && tile.width < tile::FULL {
        found = client.get(&format!("{log}/{}", Tile { width: tile::FULL, ..tile }))?;
    }
    Ok(found.and_then(|bytes| {
        let hashes: Vec<Hash> = bytes.as_chunks().0.iter().map(|hash| Hash(*hash)).collect();
        (hashes.len() >= usize::from(tile.width)).then(|| hashes[..usize::from(tile.width)].to_vec())
    }))
}

/// The first entry that is still served: 0, or the first after what was pruned, found by halving.
fn first_served(client: &Client, log: &str, size: u64) -> Result<u64, CannotCheck> {
    if size == 0 || bundle(client, log, 0, size)?.is_some() {
        return Ok(0);
    }
    let (mut absent, mut served) = (0, size.div_ceil(TILE));
    while served - absent > 1 {
        let middle = absent + (served - absent) / 2;
        if bundle(client, log, middle, size)?.is_some() { served = middle } else { absent = middle }
    }
    // When not even the newest entries are there, nothing was pruned: everything is missing.
    Ok(if served == size.div_ceil(TILE) { 0 } else { served * TILE })
}

/// The complete subtrees that stand for the entries before `first`, from tiles that a pruned log still has to serve.
fn nodes_before(client: &Client, log: &str, first: u64, size: u64) -> Result<Vec<(u8, Hash)>, CannotCheck> {
    let mut before = Vec::new();
    for level in (1..8_u8).rev() {
        let nodes = first >> (8 * level);
        let wanted = (nodes % TILE) as usize;
        if wanted == 0 {
            continue;
        }
        let hashes =
            tile_hashes(client, log, level, nodes / TILE, size)?.filter(|hashes| hashes.len() >= wanted);
        let hashes = hashes.ok_or_else(|| CannotCheck::Server {
            url: format!("{log}/tile/{level}"),
            reason: format!("the tile that stands for what was pruned before entry {first} is missing"),
        })?;
        before.extend(hashes[..wanted].iter().map(|hash| (8 * level, *hash)));
    }
    Ok(before)
}

/// Fetches the leaf hashes that the server has; where they differ from the entries, the entries once more, to tell which.
fn fetch_stored(
    client: &Client,
    log: &str,
    first: u64,
    size: u64,
    hashes: &mut Hashes,
) -> Result<(), CannotCheck> {
    for index in first / TILE..size / TILE {
        let Some(stored) = tile_hashes(client, log, 0, index, size)? else { continue };
        let tile = hashes.tile_mut(index);
        tile.stored = Some(subtree_root(&stored));
        if tile.computed.is_some_and(|computed| Some(computed) != tile.stored) {
            let bundle = bundle(client, log, index, size)?.unwrap_or_default();
            let differs = (0..=u8::MAX).zip(tile::entries(&bundle).flatten()).zip(&stored);
            tile.suspects = differs
                .filter(|((_, entry), stored)| leaf_hash(entry) != **stored)
                .map(|((nth, _), _)| nth)
                .collect();
        }
    }
    Ok(())
}
