//! Reading sealed segments: every block is decompressed, every entry hashed, on two threads.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use attestry_segment::{Error, Segment};
use attestry_tlog::{Hash, leaf_hash, subtree_root, tile};

use crate::entries::Entries;
use crate::hashes::{Hashes, TILE, TileHashes};
use crate::report::{Damage, Kind};

/// A segment, or what stays of a pruned one, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) range: Range<u64>,
    pub(crate) is_pruned: bool,
}

impl SegmentFile {
    /// The file's name as reports give it.
    pub(crate) fn name(&self) -> String {
        format!("segments/{}", self.path.file_name().unwrap_or_default().to_string_lossy())
    }
}

/// The segments in a folder, by their first entry. Where a crash left a range twice (sealed and pruned, or whole and in parts) the one
/// that says most comes first: the sealed, the whole.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut files = Vec::new();
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        listed => listed?,
    };
    for found in listed {
        let path = found?.path();
        let (Some(stem), Some(ending)) = (path.file_stem(), path.extension()) else { continue };
        let is_pruned = match ending.to_str() {
            Some("seg") => false,
            Some("pruned") => true,
            _ => continue,
        };
        if let Some(range) = stem.to_str().and_then(parse_range) {
            files.push(SegmentFile { path, range, is_pruned });
        }
    }
    files.sort_by_key(|file| (file.range.start, std::cmp::Reverse(file.range.end), file.is_pruned));
    Ok(files)
}

fn parse_range(stem: &str) -> Option<Range<u64>> {
    let (first, end) = stem.split_once('-')?;
    let is_number = |text: &str| text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(first) && is_number(end)).then(|| Some(first.parse().ok()?..end.parse().ok()?))?
}

/// What was read of a segment, or of a part of one.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) tiles: Vec<(u64, TileHashes)>,
    /// Single leaves of the tiles that are cut by a signed size.
    pub(crate) leaves: Vec<(u64, Hash)>,
    pub(crate) entries: Entries,
    /// Entries that cannot be read, and why.
    pub(crate) lost: Vec<(Range<u64>, String)>,
    pub(crate) damage: Vec<Damage>,
}

/// Reads a segment. `tick` is told how many more entries were hashed.
///
/// # Errors
/// In words, when nothing in the file can be read.
pub(crate) fn read(file: &SegmentFile, cuts: &Hashes, tick: &(dyn Fn(u64) + Sync)) -> Result<Part, String> {
    let in_words = |error: Error| format!("{}: {}", file.name(), describe(&error));
    let handle = File::open(&file.path).map_err(|error| format!("{}: {error}", file.name()))?;
    let segment = Segment::open(handle).map_err(in_words)?;
    let footer = segment.footer();
    if (footer.first..footer.end) != file.range {
        return Err(format!("{}: it says that it holds {} to {}", file.name(), footer.first, footer.end - 1));
    }
    if footer.is_pruned() != file.is_pruned {
        return Err(format!("{}: it is not what its name says", file.name()));
    }
    let nodes = segment.nodes().map_err(in_words)?;
    let prefixes = segment.prefixes().map_err(in_words)?;
    let tiles = file.range.start / TILE..file.range.end / TILE;
    let mut whole = Part::default();
    if let Err(error) = segment.check_tables() {
        whole.damage.push(Damage::general(Kind::File, in_words(error)));
    }
    if file.is_pruned {
        let stored = |node: &Hash| TileHashes { stored: Some(*node), ..TileHashes::default() };
        whole.tiles = tiles.zip(&nodes).map(|(tile, node)| (tile, stored(node))).collect();
        return Ok(whole);
    }
    let reader = Reader { file, segment: &segment, nodes: &nodes, prefixes: &prefixes, cuts, tick };
    let middle = tiles.start + (tiles.end - tiles.start) / 2;
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| reader.part(tiles.start..middle));
        let second = reader.part(middle..tiles.end);
        (first.join(), second)
    });
    // The other thread can only fail by a bug, which is passed on.
    let first = first.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for part in [first, second] {
        whole.tiles.extend(part.tiles);
        whole.leaves.extend(part.leaves);
        whole.entries.append(part.entries);
        whole.lost.extend(part.lost);
        whole.damage.extend(part.damage);
    }
    // A server prunes by these times: one that was set back would have entries go before their time is over.
    if whole.lost.is_empty()
        && whole.entries.times().is_some_and(|times| times != [footer.event_times, footer.received])
    {
        let what = format!("{}: the times in its footer are not those of its entries", file.name());
        whole.damage.push(Damage::general(Kind::File, what));
    }
    Ok(whole)
}

struct Reader<'a> {
    file: &'a SegmentFile,
    segment: &'a Segment<File>,
    nodes: &'a [Hash],
    prefixes: &'a [[u8; 4]],
    cuts: &'a Hashes,
    tick: &'a (dyn Fn(u64) + Sync),
}

impl Reader<'_> {
    fn part(&self, tiles: Range<u64>) -> Part {
        let mut part = Part::default();
        for tile in tiles {
            self.tile(tile, &mut part);
            (self.tick)(TILE);
        }
        part
    }

    fn tile(&self, tile: u64, part: &mut Part) {
        let blocks_per_tile = TILE / u64::from(self.segment.footer().entries_per_block.max(1));
        let nth = tile - self.file.range.start / TILE;
        let mut leaves = Vec::with_capacity(TILE as usize);
        let mut hashes =
            TileHashes { stored: self.nodes.get(nth as usize).copied(), ..TileHashes::default() };
        for block in nth * blocks_per_tile..(nth + 1) * blocks_per_tile {
            let range = self.segment.block_range(block as u32);
            let mut take = |index: u64, entry: &[u8]| {
                let leaf = leaf_hash(entry);
                if self.prefixes.get((index - self.file.range.start) as usize) != leaf.0.first_chunk() {
                    hashes.suspects.push((index % TILE) as u8);
                }
                if self.cuts.is_cut(tile) {
                    part.leaves.push((index, leaf));
                }
                leaves.push(leaf);
                part.entries.add(index, entry);
            };
            match self.segment.block(block as u32) {
                Ok(block) => block.entries().for_each(|(index, entry)| take(index, entry)),
                Err(error) => {
                    let what = format!("{}: {}", self.file.name(), describe(&error));
                    match self.salvage(block, range.end - range.start) {
                        Some(content) => {
                            let entries = tile::entries(&content).flatten();
                            range.zip(entries).for_each(|(index, entry)| take(index, entry));
                            part.damage.push(Damage::general(Kind::File, what));
                        }
                        None => part.lost.push((range, what)),
                    }
                }
            }
        }
        hashes.computed = (leaves.len() as u64 == TILE).then(|| subtree_root(&leaves));
        part.tiles.push((tile, hashes));
    }

    /// The content of a block whose checksum is wrong, when it decompresses to the right number of entries all the same: its hashes
    /// then tell which entries were altered.
    fn salvage(&self, block: u64, entries: u64) -> Option<Vec<u8>> {
        let mut record = [0; 12];
        let file = File::open(&self.file.path).ok()?;
        let directory = self.segment.footer().directory_offset;
        file.read_exact_at(&mut record, directory + block * 24).ok()?;
        let (offset, length) = record.split_first_chunk()?;
        let (offset, length) = (u64::from_le_bytes(*offset), u32::from_le_bytes(*length.first_chunk()?));
        if offset.checked_add(u64::from(length))? > directory {
            return None;
        }
        let mut frame = vec![0; length as usize];
        file.read_exact_at(&mut frame, offset).ok()?;
        let content = zstd::bulk::decompress(&frame, (TILE as usize) * (2 + usize::from(u16::MAX))).ok()?;
        let found = tile::entries(&content).collect::<Result<Vec<_>, _>>().ok()?.len();
        (found as u64 == entries).then_some(content)
    }
}

/// A segment's error with its cause, on one line.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::Io(source) => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let good = "00000000000000000256-00000000000000000512";
        assert_eq!(parse_range(good), Some(256..512));
        for bad in [
            "",
            "256-512",
            &good[1..],
            &format!("{good}0"),
            &good.replace('-', "_"),
            &good.replacen('0', "+", 1),
        ] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_says_most_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["256-512.seg", "0-256.pruned", "0-256.seg", "0-512.seg", "0-256.val", "512-768.tmp"] {
            let (range, ending) = name.split_once('.').unwrap();
            let (first, end) = range.split_once('-').unwrap();
            std::fs::write(dir.path().join(format!("{first:0>20}-{end:0>20}.{ending}")), "").unwrap();
        }
        let found: Vec<_> =
            list(dir.path()).unwrap().into_iter().map(|file| (file.range, file.is_pruned)).collect();
        assert_eq!(found, [(0..512, false), (0..256, false), (0..256, true), (256..512, false)]);
        assert_eq!(list(&dir.path().join("none")).unwrap(), []);
    }
}
