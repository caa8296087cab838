//! A value in the one form in which it is compared, and rows of them.
//!
//! # The bytes of a cell
//!
//! What the database itself gives as text, under fixed settings (UTC, ISO dates, shortest exact floats), or the raw bytes where it is no text:
//!
//! | kind | bytes |
//! |---|---|
//! | integers, BIT of MySQL, YEAR | decimal, `-?[0-9]+` |
//! | decimals | decimal with the scale it is stored with |
//! | floats | the shortest text that reads back as the same bits, in the server's way of writing it |
//! | texts, ENUM, SET, JSON | text in the column's character set (MySQL) or UTF-8 (PostgreSQL), byte for byte, blanks at the end included |
//! | binary | the bytes; `BINARY(n)` with its zeros |
//! | times | `2026-11-21`, `12:30:00.5`, `2026-11-21 12:30:00.000001`, with a zone in UTC; zero dates as they stand |
//! | everything else of PostgreSQL | the text its output function gives |
//!
//! # The bytes of a row
//!
//! One cell after the other: `N` for NULL, `<length>:<bytes>` for a value (length in bytes, decimal), `M<32 bytes>` for a masked one. No two rows
//! have the same bytes. A database computes them in SQL, so they are made of what SQL can write. The *hash of a row* is SHA-256 of
//! them; the *digest of a chunk* SHA-256 of its rows' hashes, sorted. A masked value is SHA-256(key ‖ SHA-256(bytes)).

use sha2::{Digest as _, Sha256};

/// One value of a row.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Cell {
    /// NULL.
    Null,
    /// A value.
    Value(Vec<u8>),
    /// What stands for a value that is not to be known: see [`MaskKey`].
    Masked([u8; 32]),
}

impl Cell {
    /// A value.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Cell {
        Cell::Value(bytes.into())
    }

    /// The bytes, unless it is NULL or masked.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Cell::Value(bytes) => Some(bytes),
            Cell::Null | Cell::Masked(_) => None,
        }
    }

    /// The bytes as text, unless it is NULL, masked, or not UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cell::Null => f.write_str("NULL"),
            Cell::Value(bytes) => write!(f, "{:?}", bytes.escape_ascii().to_string()),
            Cell::Masked(_) => f.write_str("(masked)"),
        }
    }
}

/// What values are masked with: without it nobody can try out what a masked value might be. It goes to the database with the statements
/// that compute checksums there, because the values must not come here for that.
#[derive(Clone)]
pub struct MaskKey(pub [u8; 32]);

impl MaskKey {
    /// What stands for a value. NULL stays NULL.
    pub fn mask(&self, cell: &Cell) -> Cell {
        let Cell::Value(bytes) = cell else { return cell.clone() };
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(Sha256::digest(bytes));
        Cell::Masked(hash.finalize().into())
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a secret)")
    }
}

/// SHA-256 of a row's bytes.
pub type RowHash = [u8; 32];

/// The bytes of a row.
pub fn encode_row(cells: &[Cell]) -> Vec<u8> {
    let length = cells.iter().map(|cell| cell.bytes().map_or(33, |bytes| bytes.len() + 8)).sum();
    let mut out = Vec::with_capacity(length);
    for cell in cells {
        match cell {
            Cell::Null => out.push(b'N'),
            Cell::Value(bytes) => {
                out.extend_from_slice(bytes.len().to_string().as_bytes());
                out.push(b':');
                out.extend_from_slice(bytes);
            }
            Cell::Masked(hash) => {
                out.push(b'M');
                out.extend_from_slice(hash);
            }
        }
    }
    out
}

/// These are not the bytes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the bytes of a row, from byte {at} on")]
pub struct CellError {
    /// The first byte that cannot be read.
    pub at: usize,
}

/// The cells of a row's bytes.
///
/// # Errors
/// When they were not made by [`encode_row`].
pub fn decode_row(bytes: &[u8]) -> Result<Vec<Cell>, CellError> {
    let mut cells = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let wrong = CellError { at: bytes.len() - rest.len() };
        match first {
            b'N' => {
                cells.push(Cell::Null);
                rest = after;
            }
            b'M' => {
                let (hash, after) = after.split_first_chunk::<32>().ok_or(wrong)?;
                cells.push(Cell::Masked(*hash));
                rest = after;
            }
            _ => {
                let colon = rest.iter().take(20).position(|byte| *byte == b':').ok_or(wrong)?;
                let (digits, after) = rest.split_at_checked(colon).ok_or(wrong)?;
                let after = after.get(1..).ok_or(wrong)?;
                let plain = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || first != &b'0');
                let length: usize = std::str::from_utf8(digits)
                    .ok()
                    .filter(|_| plain)
                    .and_then(|text| text.parse().ok())
                    .ok_or(wrong)?;
                let (value, after) = after.split_at_checked(length).ok_or(wrong)?;
                cells.push(Cell::Value(value.to_vec()));
                rest = after;
            }
        }
    }
    Ok(cells)
}

/// The hash of a row.
pub fn row_hash(cells: &[Cell]) -> RowHash {
    Sha256::digest(encode_row(cells)).into()
}

/// The digest of the rows of a chunk: the order they are given in does not matter. Of no rows: SHA-256 of nothing.
pub fn chunk_digest(hashes: &mut [RowHash]) -> [u8; 32] {
    hashes.sort_unstable();
    let mut digest = Sha256::new();
    for hash in hashes {
        digest.update(*hash);
    }
    digest.finalize().into()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_bytes() {
        let masked = MaskKey([7; 32]).mask(&Cell::of("swordfish"));
        for (cells, expected) in [
            (vec![], &b""[..]),
            (vec![Cell::Null], b"N"),
            (vec![Cell::of("")], b"0:"),
            (vec![Cell::of("N"), Cell::Null, Cell::of("12:x")], b"1:NN4:12:x"),
            (vec![Cell::of([0, 255])], b"2:\0\xff"),
        ] {
            assert_eq!(encode_row(&cells), expected, "{cells:?}");
            assert_eq!(decode_row(expected).unwrap(), cells);
        }
        let row = [Cell::of("a"), masked.clone(), Cell::Null];
        assert_eq!(decode_row(&encode_row(&row)).unwrap(), row);
        assert_eq!(encode_row(&row).len(), 3 + 33 + 1);
        assert_ne!(masked, MaskKey([8; 32]).mask(&Cell::of("swordfish")));
        assert_eq!(MaskKey([7; 32]).mask(&Cell::Null), Cell::Null);
        assert_eq!(format!("{masked:?} {:?}", MaskKey([1; 32])), "(masked) (a secret)");
    }

    #[test]
    fn other_bytes_are_refused_where_they_begin() {
        for (bytes, at) in [
            (&b"x"[..], 0),
            (b"NN3:ab", 2),
            (b"1:a2", 3),
            (b"Mabc", 0),
            (b"01:a", 0),
            (b"N-1:", 1),
            (b"99999999999999999999:", 0),
        ] {
            assert_eq!(decode_row(bytes), Err(CellError { at }), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_chunk_has_no_order() {
        let (a, b) = (row_hash(&[Cell::of("a")]), row_hash(&[Cell::of("b")]));
        assert_eq!(chunk_digest(&mut [a, b]), chunk_digest(&mut [b, a]));
        assert_ne!(chunk_digest(&mut [a]), chunk_digest(&mut [a, a]));
    }
}
