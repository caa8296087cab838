//! Reading what comes from a server, without believing its lengths.

/// Bytes that are taken from the front. `None` when there are not so many.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Bytes<'a> {
        Bytes { rest }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of 1 to 8 bytes, the least first.
    pub(super) fn little(&mut self, count: usize) -> Option<u64> {
        let mut whole = [0; 8];
        whole.get_mut(..count)?.copy_from_slice(self.take(count)?);
        Some(u64::from_le_bytes(whole))
    }

    /// A number of 0 to 8 bytes, the greatest first.
    pub(super) fn big(&mut self, count: usize) -> Option<u64> {
        let mut whole = [0; 8];
        whole.get_mut(8_usize.checked_sub(count)?..)?.copy_from_slice(self.take(count)?);
        Some(u64::from_be_bytes(whole))
    }

    /// MySQL's length-encoded number.
    pub(super) fn packed(&mut self) -> Option<u64> {
        match self.u8()? {
            0xfc => self.little(2),
            0xfd => self.little(3),
            0xfe => self.little(8),
            0xfb | 0xff => None,
            small => Some(u64::from(small)),
        }
    }

    /// As many bytes as a number of `count` bytes before them says.
    pub(super) fn counted(&mut self, count: usize) -> Option<&'a [u8]> {
        let length = self.little(count)?;
        self.take(usize::try_from(length).ok()?)
    }

    /// What stands before a zero byte, which is taken, too.
    pub(super) fn until_zero(&mut self) -> Option<&'a [u8]> {
        let at = self.rest.iter().position(|byte| *byte == 0)?;
        let taken = self.take(at)?;
        self.take(1)?;
        Some(taken)
    }
}
