//! A dump's bytes: unpacked, one after the other, each with its place.

use std::io::{self, BufRead as _, BufReader, Read};

use super::DumpError;

/// How much is read at once, in bytes.
const BUFFER: usize = 256 * 1024;

/// The most that one row, one value or one statement that is no data may take, in bytes. Both servers' own limit for a value is 1 GiB.
pub(super) const MAX_BYTES: usize = 1 << 30;

/// How far into a dump its writer is looked for, in bytes.
const HEAD: u64 = 16 * 1024;

/// What packed streams begin with.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BZIP2: &[u8] = b"BZh";

/// The bytes of a dump, unpacked if they are packed with gzip, zstd or bzip2; several such streams one after the other are one.
pub(super) fn unpacked<'r>(reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let mut head = Vec::new();
    // A pipe may give less than four bytes at first.
    (&mut reader).take(4).read_to_end(&mut head)?;
    let begins = |magic: &[u8]| head.starts_with(magic);
    let (gzip, zstd, bzip2) = (begins(GZIP), begins(ZSTD), begins(BZIP2));
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(head).chain(reader));
    Ok(if gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::with_buffer(whole)?)
    } else if bzip2 {
        Box::new(bzip2::bufread::MultiBzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

/// A dump that is being read.
pub(super) struct Input<'r> {
    reader: BufReader<Box<dyn Read + 'r>>,
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: u64,
    /// The byte, from 0.
    pub(super) byte: u64,
    /// Whether the mark at the end of a whole dump was seen.
    pub(super) complete: bool,
}

impl<'r> Input<'r> {
    pub(super) fn new(file: &str, reader: impl Read + 'r) -> Result<Input<'r>, DumpError> {
        let failed = |source| DumpError::Read { file: file.to_owned(), source };
        let mut whole = unpacked(reader).map_err(failed)?;
        // So much can be looked at before anything is taken, however little a pipe gives at once.
        let mut head = Vec::new();
        (&mut whole).take(HEAD).read_to_end(&mut head).map_err(failed)?;
        let whole: Box<dyn Read> = Box::new(io::Cursor::new(head).chain(whole));
        let reader = BufReader::with_capacity(BUFFER, whole);
        Ok(Input { reader, file: file.to_owned(), line: 1, byte: 0, complete: false })
    }

    /// What is there to be read without waiting, at least a byte unless the dump is at its end.
    pub(super) fn ahead(&mut self) -> Result<&[u8], DumpError> {
        match self.reader.fill_buf() {
            Ok(_) => Ok(self.reader.buffer()),
            Err(source) => Err(DumpError::Read { file: self.file.clone(), source }),
        }
    }

    pub(super) fn peek(&mut self) -> Result<Option<u8>, DumpError> {
        match self.reader.buffer().first() {
            Some(byte) => Ok(Some(*byte)),
            None => Ok(self.ahead()?.first().copied()),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<u8>, DumpError> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.skip(1);
        }
        Ok(byte)
    }

    /// Passes over what was seen ahead.
    pub(super) fn skip(&mut self, bytes: usize) {
        let passed = self.reader.buffer().get(..bytes).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.byte += passed.len() as u64;
        self.reader.consume(bytes);
    }

    /// Takes everything before the next byte of these, or all that is left.
    pub(super) fn until(&mut self, ends: &[u8], out: &mut Vec<u8>) -> Result<(), DumpError> {
        loop {
            let ahead = self.ahead()?;
            let found = match *ends {
                [one] => memchr::memchr(one, ahead),
                [one, two] => memchr::memchr2(one, two, ahead),
                _ => ahead.iter().position(|byte| ends.contains(byte)),
            };
            let taken = found.unwrap_or(ahead.len());
            if out.len() + taken > MAX_BYTES {
                return Err(self.wrong("a value that goes on", "one of at most 1 GiB"));
            }
            out.extend_from_slice(ahead.get(..taken).unwrap_or_default());
            self.skip(taken);
            if found.is_some() || taken == 0 {
                return Ok(());
            }
        }
    }

    /// Takes a line without its end; `None` at the end of the dump.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>, DumpError> {
        if self.peek()?.is_none() {
            return Ok(None);
        }
        let mut line = Vec::new();
        self.until(b"\n", &mut line)?;
        self.next()?;
        Ok(Some(line))
    }

    pub(super) fn wrong(&self, found: impl Into<String>, expected: impl Into<String>) -> DumpError {
        DumpError::Syntax {
            file: self.file.clone(),
            line: self.line,
            byte: self.byte,
            found: found.into(),
            expected: expected.into(),
        }
    }
}
