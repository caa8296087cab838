//! Tiles and entry bundles of C2SP `tlog-tiles`: their paths, what they hold, when a tree has them.
//!
//! A tile is up to 256 consecutive nodes of a level that is a multiple of eight; an entry tile is the entries below a
//! level 0 tile. Indexes are written in groups of three digits, all but the last with an `x` in front:
//! 1234067 is `x001/x234/067`. A tile that the tree does not fill is partial, `….p/<width>`.

use std::fmt;

use crate::checkpoint::decimal;
use crate::{Hash, Nodes};

/// How many nodes or entries a full tile holds.
pub const FULL: u16 = 256;

/// How many levels of the tree one level of tiles spans.
pub const HEIGHT: u8 = 8;

/// The highest tile level that a path may name. Nothing above 7 exists in a tree of less than 2^64 leaves.
const MAX_LEVEL: u8 = 63;

/// A path that names no tile.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the path of a tile")]
pub struct NoTile;

/// A tile of hashes, `tile/<level>/<index>[.p/<width>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Level 0 holds leaf hashes, level l the nodes of tree level 8·l; 0 to 63.
    pub level: u8,
    /// The tile's number within its level.
    pub index: u64,
    /// How many hashes, 1 to 256.
    pub width: u16,
}

/// A bundle of entries, `tile/entries/<index>[.p/<width>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryTile {
    /// The number of the level 0 tile with the same range.
    pub index: u64,
    /// How many entries, 1 to 256.
    pub width: u16,
}

/// What a path below `tile/` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Hashes.
    Tile(Tile),
    /// Entries.
    Entries(EntryTile),
}

impl Resource {
    /// Reads a path that begins with `tile/`. Every tile has one path only.
    ///
    /// # Errors
    /// [`NoTile`] for anything else.
    pub fn parse(path: &str) -> Result<Self, NoTile> {
        let (level, rest) = path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(NoTile)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => {
                let width = decimal(width).and_then(|width| u16::try_from(width).ok());
                (index, width.filter(|width| (1..FULL).contains(width)).ok_or(NoTile)?)
            }
            None => (rest, FULL),
        };
        let index = parse_index(index).ok_or(NoTile)?;
        if level == "entries" {
            return Ok(Resource::Entries(EntryTile { index, width }));
        }
        let level = decimal(level).and_then(|level| u8::try_from(level).ok());
        let level = level.filter(|level| *level <= MAX_LEVEL).ok_or(NoTile)?;
        Ok(Resource::Tile(Tile { level, index, width }))
    }
}

impl Tile {
    /// The tile's path.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads the path of a tile of hashes.
    ///
    /// # Errors
    /// [`NoTile`] for anything else.
    pub fn parse(path: &str) -> Result<Self, NoTile> {
        match Resource::parse(path)? {
            Resource::Tile(tile) => Ok(tile),
            Resource::Entries(_) => Err(NoTile),
        }
    }

    /// The tile at this place as wide as a tree of `size` leaves fills it; `None` when it has no such tile.
    pub fn of(level: u8, index: u64, size: u64) -> Option<Self> {
        let shift = u32::from(level) * u32::from(HEIGHT);
        let nodes = size.checked_shr(shift).unwrap_or(0);
        let width = nodes.saturating_sub(index.checked_mul(u64::from(FULL))?).min(u64::from(FULL));
        (width > 0).then_some(Self { level, index, width: width as u16 })
    }

    /// Whether a tree of `size` leaves has all the nodes of this tile. A partial tile remains true of a tree that grew.
    pub fn is_in(&self, size: u64) -> bool {
        Self::of(self.level, self.index, size).is_some_and(|tile| tile.width >= self.width)
    }

    /// One past the last entry below the full tile, at most `u64::MAX`: a log pruned up to there need not serve it.
    pub fn end_index(&self) -> u64 {
        let entries = u128::from(self.index) + 1;
        let shift = u32::from(HEIGHT) * (u32::from(self.level) + 1);
        entries
            .checked_shl(shift)
            .filter(|end| end >> shift == entries)
            .map_or(u64::MAX, |end| u64::try_from(end).unwrap_or(u64::MAX))
    }

    /// The tile's content, 32 bytes a hash. Check [`is_in`](Self::is_in) before: only nodes within the tree are asked for.
    ///
    /// # Errors
    /// Whatever `nodes` fails with.
    pub fn read<N: Nodes>(&self, nodes: &N) -> Result<Vec<u8>, N::Error> {
        let mut content = Vec::with_capacity(usize::from(self.width) * 32);
        let first = self.index * u64::from(FULL);
        for index in first..first + u64::from(self.width) {
            let Hash(bytes) = nodes.node(self.level * HEIGHT, index)?;
            content.extend_from_slice(&bytes);
        }
        Ok(content)
    }
}

impl EntryTile {
    /// The bundle's path.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// The bundle of this number as wide as a log of `size` entries fills it; `None` when it has no such bundle.
    pub fn of(index: u64, size: u64) -> Option<Self> {
        Tile::of(0, index, size).map(|Tile { index, width, .. }| Self { index, width })
    }

    /// Whether a log of `size` entries has all these.
    pub fn is_in(&self, size: u64) -> bool {
        Self::of(self.index, size).is_some_and(|tile| tile.width >= self.width)
    }

    /// One past the last entry of the full bundle, at most `u64::MAX`.
    pub fn end_index(&self) -> u64 {
        Tile { level: 0, index: self.index, width: self.width }.end_index()
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_index(f, self.index, self.width)
    }
}

impl fmt::Display for EntryTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_index(f, self.index, self.width)
    }
}

fn write_index(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    // 2^64 has 20 digits, which is seven groups.
    let above = (1..7).filter(|group| index >= 1000_u64.pow(*group)).max().unwrap_or(0);
    for group in (1..=above).rev() {
        write!(f, "x{:03}/", index / 1000_u64.pow(group) % 1000)?;
    }
    write!(f, "{:03}", index % 1000)?;
    if width < FULL { write!(f, ".p/{width}") } else { Ok(()) }
}

fn parse_index(text: &str) -> Option<u64> {
    let mut groups = text.split('/').peekable();
    let mut index = 0_u64;
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // A leading group of zeros would be a second path of the same tile.
        if first && digits == "000" && groups.peek().is_some() {
            return None;
        }
        first = false;
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

/// An entry that a bundle cannot hold: more than 65,535 bytes.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("an entry of {0} bytes does not fit a bundle")]
pub struct TooLong(pub usize);

/// A bundle that ends within an entry.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the bundle ends within an entry")]
pub struct Truncated;

/// Appends an entry to a bundle: its length as big-endian u16, then its bytes.
///
/// # Errors
/// [`TooLong`] above 65,535 bytes; the bundle is as before.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TooLong> {
    let len = u16::try_from(entry.len()).map_err(|_| TooLong(entry.len()))?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order. After an error there is nothing more.
pub fn entries(bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], Truncated>> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = rest.split_first_chunk().and_then(|(len, after)| {
            let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = after;
            Some(entry)
        });
        if entry.is_none() {
            rest = &[];
        }
        Some(entry.ok_or(Truncated))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    #[test]
    fn paths() {
        for (path, level, index, width) in [
            ("tile/0/x001/x234/067", 0, 1_234_067, 256),
            ("tile/0/000", 0, 0, 256),
            ("tile/0/000.p/1", 0, 0, 1),
            ("tile/1/x001/000.p/255", 1, 1_000, 255),
            ("tile/63/999", 63, 999, 256),
            ("tile/0/x018/x446/x744/x073/x709/x551/615", 0, u64::MAX, 256),
        ] {
            let tile = Tile { level, index, width };
            assert_eq!(Tile::parse(path), Ok(tile));
            assert_eq!(tile.path(), path);
        }
        let entries = EntryTile { index: 273, width: 112 };
        assert_eq!(Resource::parse("tile/entries/273.p/112"), Ok(Resource::Entries(entries)));
        assert_eq!(entries.path(), "tile/entries/273.p/112");
    }

    #[test]
    fn paths_that_name_nothing() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/1234067",
            "tile/00/000",
            "tile/+1/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/x/000",
            "tile/Entries/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/x001/",
            "tile/0/x01/002",
            "tile/0/X001/002",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/65537",
            "tile/0/000.p/+1",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000 ",
            "tile/0/٠٠٠",
            "tile/0/..",
            "tile/0/../000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x100/x000/x000/x000/x000/x000/x000/000",
        ] {
            assert_eq!(Resource::parse(path), Err(NoTile), "{path:?}");
        }
        assert_eq!(Tile::parse("tile/entries/000"), Err(NoTile));
    }

    /// The example of the specification: a tree of 70,000.
    #[test]
    fn what_a_tree_of_70000_has() {
        for (level, index, width) in [
            (0, 272, Some(256)),
            (0, 273, Some(112)),
            (0, 274, None),
            (1, 0, Some(256)),
            (1, 1, Some(17)),
            (1, 2, None),
            (2, 0, Some(1)),
            (3, 0, None),
            (8, 0, None),
            (63, 0, None),
            (0, u64::MAX, None),
        ] {
            let tile = Tile::of(level, index, 70_000);
            assert_eq!(tile.map(|tile| tile.width), width, "level {level} index {index}");
        }
        assert!(Tile { level: 0, index: 273, width: 111 }.is_in(70_000));
        assert!(!Tile { level: 0, index: 273, width: 113 }.is_in(70_000));
        assert!(!Tile { level: 0, index: 273, width: 256 }.is_in(70_000));
        assert_eq!(Tile::of(1, 0, 256).map(|tile| tile.width), Some(1));
        assert_eq!(Tile::of(0, 0, 0), None);
        assert_eq!(EntryTile::of(273, 70_000), Some(EntryTile { index: 273, width: 112 }));
        assert_eq!(EntryTile { index: 273, width: 112 }.end_index(), 70_144);
        assert_eq!(Tile { level: 1, index: 1, width: 17 }.end_index(), 131_072);
        assert_eq!(Tile { level: 7, index: 1, width: 1 }.end_index(), u64::MAX);
        assert_eq!(Tile { level: 63, index: 1, width: 1 }.end_index(), u64::MAX);
        assert_eq!(Tile { level: 14, index: u64::MAX, width: 1 }.end_index(), u64::MAX);
    }

    #[test]
    fn a_tile_holds_its_nodes() {
        let tree = naive::Leaves(naive::leaves(600));
        let leaves = Tile::of(0, 2, 600).unwrap().read(&tree).unwrap();
        let expected: Vec<u8> = tree.0[512..600].iter().flat_map(|hash| hash.0).collect();
        assert_eq!(leaves, expected);
        let above = Tile::of(1, 0, 600).unwrap().read(&tree).unwrap();
        assert_eq!(above, [naive::root(&tree.0[..256]).0, naive::root(&tree.0[256..512]).0].concat());
    }

    #[test]
    fn bundles_end_where_they_end() {
        let mut bundle = Vec::new();
        let long = vec![b'x'; 65_535];
        let all: [&[u8]; 4] = [b"a", b"", b"bcd", &long];
        all.iter().for_each(|entry| push_entry(&mut bundle, entry).unwrap());
        assert_eq!(bundle[..8], [0, 1, b'a', 0, 0, 0, 3, b'b']);
        assert_eq!(entries(&bundle).collect::<Result<Vec<_>, _>>().unwrap(), all);
        let len = bundle.len();
        assert_eq!(push_entry(&mut bundle, &[0; 65_536]), Err(TooLong(65_536)));
        assert_eq!(bundle.len(), len);
        for cut in [1, 2, 4, 6, 8, len - 1] {
            let whole = entries(&bundle[..cut]).filter(Result::is_ok).count();
            assert_eq!(entries(&bundle[..cut]).last(), Some(Err(Truncated)), "cut at {cut}");
            assert_eq!(entries(&bundle[..cut]).count(), whole + 1);
        }
    }

    proptest! {
        #[test]
        fn one_tile_one_path(level in 0_u8..64, index in any::<u64>(), shift in 0_u32..64, width in 1_u16..=256) {
            let tile = Tile { level, index: index >> shift, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Ok(tile));
        }

        #[test]
        fn what_is_read_is_written_the_same(path in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
            match Resource::parse(&path) {
                Ok(Resource::Tile(tile)) => prop_assert_eq!(tile.path(), path),
                Ok(Resource::Entries(tile)) => prop_assert_eq!(tile.path(), path),
                Err(NoTile) => {}
            }
        }

        #[test]
        fn agrees_with_another_implementation(level in 0_u8..64, index in 0_u64..1 << 50, width in 1_u16..=256) {
            let theirs = tlog_tiles::Tile::new(8, level, index, width.into(), false).path();
            // The older form of the path names the tile's height after `tile/`.
            let ours = Tile { level, index, width }.path().replacen("tile/", "tile/8/", 1);
            prop_assert_eq!(ours, theirs);
        }
    }
}
