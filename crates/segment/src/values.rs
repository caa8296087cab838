//! Value files: the large or erasable strings that entries refer to by a salted hash.
//!
//! The hash is salted so that an erased value cannot be confirmed by guessing it.

use std::collections::HashMap;
use std::io::{self, Write};

use attestry_event::value_hash;
use attestry_tlog::Hash;

use crate::{Error, ReadAt};

const HEADER: &[u8; 16] = b"ATTESTRY-VAL-1\n\0";
const RECORD_BYTES: u64 = 60;
/// The longest value: no event is larger.
const MAX_VALUE_BYTES: u32 = 16 << 20;

/// A value with its salt, as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// What was hashed before the content.
    pub salt: [u8; 16],
    /// The unescaped string.
    pub content: Vec<u8>,
}

/// Writes a value file.
pub struct ValuesWriter<W> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
}

impl<W: Write> ValuesWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// [`Error::Io`] when the header cannot be written.
    pub fn new(mut out: W, level: i32) -> Result<Self, Error> {
        out.write_all(HEADER)?;
        Ok(ValuesWriter { out, compressor: zstd::bulk::Compressor::new(level)? })
    }

    /// Adds a value under the hash its entry names.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn push(&mut self, hash: &Hash, salt: &[u8; 16], content: &[u8]) -> Result<(), Error> {
        let frame = self.compressor.compress(content)?;
        self.out.write_all(&hash.0)?;
        self.out.write_all(salt)?;
        self.out.write_all(&(content.len() as u32).to_le_bytes())?;
        self.out.write_all(&(frame.len() as u32).to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&frame).to_le_bytes())?;
        self.out.write_all(&frame)?;
        Ok(())
    }

    /// Flushes and gives the sink back.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn finish(mut self) -> Result<W, Error> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Where one value stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRecord {
    /// Byte offset of the record.
    pub offset: u64,
    salt: [u8; 16],
    length: u32,
    frame_length: u32,
    crc: u32,
}

/// A value file, open for reading; the records' headers are held in memory.
#[derive(Debug)]
pub struct Values<R> {
    file: R,
    records: HashMap<Hash, ValueRecord>,
}

impl<R: ReadAt> Values<R> {
    /// Opens a value file and reads where each value stands.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the offset from which on records cannot be told apart.
    pub fn open(file: R) -> Result<Self, Error> {
        let bytes = file.byte_len()?;
        let mut header = [0; HEADER.len()];
        file.read_exact_at(&mut header, 0).map_err(|error| eof_is_damage(error, 0))?;
        if &header != HEADER {
            return Err(Error::damaged(0, "no value file header"));
        }
        let mut records = HashMap::new();
        let mut offset = HEADER.len() as u64;
        while offset < bytes {
            let mut record = [0; RECORD_BYTES as usize];
            file.read_exact_at(&mut record, offset).map_err(|error| eof_is_damage(error, offset))?;
            let u32_at = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap_or_default());
            let hash = Hash(record[..32].try_into().unwrap_or_default());
            let found = ValueRecord {
                offset,
                salt: record[32..48].try_into().unwrap_or_default(),
                length: u32_at(48),
                frame_length: u32_at(52),
                crc: u32_at(56),
            };
            let next = offset + RECORD_BYTES + u64::from(found.frame_length);
            if found.length > MAX_VALUE_BYTES || next > bytes {
                return Err(Error::damaged(offset, "a value record that does not fit in its file"));
            }
            records.insert(hash, found);
            offset = next;
        }
        Ok(Values { file, records })
    }

    /// The hashes of all values in the file.
    pub fn hashes(&self) -> impl Iterator<Item = &Hash> {
        self.records.keys()
    }

    /// Reads a value and checks it against its hash; none when the file does not hold it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when what is stored is not what was hashed.
    pub fn get(&self, hash: &Hash) -> Result<Option<StoredValue>, Error> {
        let Some(record) = self.records.get(hash) else { return Ok(None) };
        let mut frame = vec![0; record.frame_length as usize];
        self.file.read_exact_at(&mut frame, record.offset + RECORD_BYTES)?;
        if crc32c::crc32c(&frame) != record.crc {
            return Err(Error::damaged(record.offset, "a value does not match its checksum"));
        }
        let content = zstd::bulk::decompress(&frame, record.length as usize).map_err(|error| {
            Error::damaged(record.offset, format!("a value does not decompress: {error}"))
        })?;
        if content.len() != record.length as usize || value_hash(&record.salt, &content) != hash.0 {
            return Err(Error::damaged(record.offset, "a value does not match its hash"));
        }
        Ok(Some(StoredValue { salt: record.salt, content }))
    }
}

fn eof_is_damage(error: io::Error, offset: u64) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::damaged(offset, "the file ends within a record"),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(values: &[(&[u8; 16], &[u8])]) -> Vec<u8> {
        let mut writer = ValuesWriter::new(Vec::new(), 3).unwrap();
        for (salt, content) in values {
            writer.push(&Hash(value_hash(salt, content)), salt, content).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn gives_values_back_and_knows_which_it_lacks() {
        let long = b"needle ".repeat(2_000);
        let values = Values::open(file(&[(&[1; 16], &long), (&[2; 16], b"")])).unwrap();
        let hash = Hash(value_hash(&[1; 16], &long));
        assert_eq!(values.get(&hash).unwrap(), Some(StoredValue { salt: [1; 16], content: long.clone() }));
        assert_eq!(values.get(&Hash(value_hash(&[2; 16], b""))).unwrap().unwrap().content, b"");
        assert_eq!(values.get(&Hash(value_hash(&[3; 16], &long))).unwrap(), None);
        assert_eq!(values.hashes().count(), 2);
    }

    /// A flipped bit is an error, or the value is missed under its name: never another value.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let (salt, content) = ([7; 16], b"what was written, all of it".as_slice());
        let whole = file(&[(&salt, content)]);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let found = Values::open(bytes).and_then(|values| values.get(&Hash(value_hash(&salt, content))));
            assert!(matches!(found, Err(_) | Ok(None)), "a flipped bit in byte {at} went unnoticed");
        }
    }
}
