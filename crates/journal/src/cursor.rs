use std::{io, path::Path};

use crate::disk::{self, Disk};

const MAGIC: [u8; 16] = *b"ATTESTRY-CUR-1\n\0";

/// How far a consumer of a journal has come: everything below this sequence is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// A cursor that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file is not a cursor, or no longer: the consumer starts again from the first record that is here.
    #[error("the cursor is unreadable")]
    Damaged,
    /// The disk failed.
    #[error("the cursor's file cannot be used")]
    Io(#[from] io::Error),
}

impl Cursor {
    /// Reads a cursor; `None` where there is none yet.
    pub fn load(disk: &impl Disk, path: &Path) -> Result<Option<Cursor>, CursorError> {
        let bytes = match disk::read(disk, path, 28) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(CursorError::Damaged),
            read => read?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let seq = bytes.get(16..24).and_then(|seq| Some(Cursor(u64::from_le_bytes(*seq.first_chunk()?))));
        match seq {
            Some(cursor) if bytes == cursor.encode() => Ok(Some(cursor)),
            _ => Err(CursorError::Damaged),
        }
    }

    /// Writes a cursor. When this returns it is durable; after an error or a crash the file has the old one or this one.
    pub fn store(self, disk: &impl Disk, path: &Path) -> Result<(), CursorError> {
        Ok(disk::replace(disk, path, &self.encode())?)
    }

    fn encode(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..16].copy_from_slice(&MAGIC);
        bytes[16..24].copy_from_slice(&self.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}
