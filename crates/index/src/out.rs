//! Where a part is written to: memory or a file, front to back, with its checksum.

use std::io::{self, Write};

/// How many bytes are gathered before they are checked and handed on.
const CHUNK: usize = 64 << 10;

/// A part being written.
pub(crate) struct Out<'a> {
    to: &'a mut dyn Write,
    pending: Vec<u8>,
    handed_on: u64,
    crc: u32,
}

/// A stretch of a part's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl<'a> Out<'a> {
    pub(crate) fn new(to: &'a mut dyn Write) -> Out<'a> {
        Out { to, pending: Vec::with_capacity(CHUNK / 16), handed_on: 0, crc: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.handed_on as usize + self.pending.len()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<Span> {
        let span = Span { offset: self.position(), len: bytes.len() };
        if bytes.len() >= CHUNK {
            self.hand_on()?;
            self.crc = crc32c::crc32c_append(self.crc, bytes);
            self.to.write_all(bytes)?;
            self.handed_on += bytes.len() as u64;
            return Ok(span);
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.hand_on()?;
        }
        Ok(span)
    }

    /// What was written from `start` on.
    pub(crate) fn since(&self, start: usize) -> Span {
        Span { offset: start, len: self.position() - start }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, &self.pending);
        self.to.write_all(&self.pending)?;
        self.handed_on += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Hands everything on and gives the CRC-32C of all of it.
    pub(crate) fn checksum(&mut self) -> io::Result<u32> {
        self.hand_on()?;
        Ok(self.crc)
    }
}
