//! Integers in bytes: LEB128 varints, and columns of one width in bits.
//!
//! The readers are total: past the end they give zeros. What they read was verified by its checksum when it was
//! opened, so that is a matter of never panicking, not of an answer.

/// Appends `value` as a LEB128 varint: seven bits a byte, least first, the high bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads bytes from front to back.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> u64 {
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return u64::from(first);
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> u64 {
        let mut value = 0;
        let mut shift = 0;
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            value |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        value
    }

    /// The varint as a `u32`; larger ones cannot have been written.
    #[inline]
    pub(crate) fn varint32(&mut self) -> u32 {
        self.varint() as u32
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The bytes `offset … offset + len`, or what there is of them.
pub(crate) fn slice(bytes: &[u8], offset: usize, len: usize) -> &[u8] {
    let start = offset.min(bytes.len());
    let end = offset.saturating_add(len).min(bytes.len());
    bytes.get(start..end).unwrap_or(&[])
}

/// The little-endian `u32` at `offset`.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// The little-endian `u64` at `offset`.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// How many bits hold every number up to `greatest`.
pub(crate) fn bits_for(greatest: u64) -> u8 {
    (64 - greatest.leading_zeros()) as u8
}

/// Zero bytes after a packed column, so that a number is read with one load of eight bytes and one byte more.
const PADDING: usize = 8;

/// The bytes that [`pack`] writes for `count` numbers of `bits` bits.
pub(crate) fn packed_len(count: usize, bits: u8) -> usize {
    if bits == 0 { 0 } else { (count * usize::from(bits)).div_ceil(8) + PADDING }
}

/// Appends numbers of `bits` bits each, least significant bit first, without gaps; then the padding.
pub(crate) fn pack(out: &mut Vec<u8>, bits: u8, values: impl Iterator<Item = u64>) {
    if bits == 0 {
        return;
    }
    let bits = u32::from(bits);
    let mut word = 0_u64;
    let mut filled = 0;
    for value in values {
        word |= value << filled;
        filled += bits;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            word = if filled == 0 { 0 } else { value >> (bits - filled) };
        }
    }
    let used = filled.div_ceil(8) as usize;
    out.extend_from_slice(word.to_le_bytes().get(..used).unwrap_or(&[]));
    out.extend_from_slice(&[0; PADDING]);
}

/// A column that [`pack`] wrote.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    bytes: &'a [u8],
    bits: u32,
    mask: u64,
}

impl<'a> Packed<'a> {
    pub(crate) fn new(bytes: &'a [u8], bits: u8) -> Packed<'a> {
        let bits = u32::from(bits.min(64));
        Packed { bytes, bits, mask: 1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1) }
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> u64 {
        if self.bits == 0 {
            return 0;
        }
        let bit = at * self.bits as usize;
        let shift = (bit & 7) as u32;
        let Some(rest) = self.bytes.get(bit >> 3..) else { return 0 };
        let Some(chunk) = rest.first_chunk::<8>() else { return 0 };
        let low = u64::from_le_bytes(*chunk) >> shift;
        if shift + self.bits <= 64 {
            return low & self.mask;
        }
        let high = u64::from(rest.get(8).copied().unwrap_or(0));
        (low | high << (64 - shift)) & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        let numbers = [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put_varint(&mut bytes, *number));
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(numbers.map(|_| cursor.varint()), numbers);
        assert!(cursor.is_empty());
        assert_eq!(cursor.varint(), 0, "past the end");
        assert_eq!(Cursor::new(&[0xFF; 20]).varint(), u64::MAX, "too long");
    }

    #[test]
    fn every_width_comes_back() {
        for bits in 0..=64_u8 {
            let mask = 1_u64.checked_shl(u32::from(bits)).unwrap_or(0).wrapping_sub(1);
            let values: Vec<u64> =
                (0..131_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
            let mut bytes = Vec::new();
            pack(&mut bytes, bits, values.iter().copied());
            assert_eq!(bytes.len(), packed_len(values.len(), bits), "{bits} bits");
            let packed = Packed::new(&bytes, bits);
            let back: Vec<u64> = (0..values.len()).map(|i| packed.get(i)).collect();
            assert_eq!(back, values, "{bits} bits");
            assert_eq!(packed.get(1 << 40), 0);
        }
    }
}
