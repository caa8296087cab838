//! The content of one log file, decompressed where it is gzip: its head, a place in it, its lines.

use std::{
    fs::{File, Metadata},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::{HEAD_BYTES, MAX_LINE_BYTES};

/// An open file of which only the head has been read.
pub(crate) struct Content {
    pub(crate) meta: Metadata,
    /// Its first [`HEAD_BYTES`], or all of it.
    pub(crate) head: Vec<u8>,
    rest: Rest,
}

enum Rest {
    Plain(File),
    Packed(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

impl Content {
    pub(crate) fn open(path: &Path) -> io::Result<Content> {
        Content::of(File::open(path)?)
    }

    /// A file that is open at its start.
    pub(crate) fn of(mut file: File) -> io::Result<Content> {
        let meta = file.metadata()?;
        let mut head = Vec::new();
        file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        // By its first bytes: gzip's output is found under any name.
        if !head.starts_with(&[0x1f, 0x8b]) {
            return Ok(Content { meta, head, rest: Rest::Plain(file) });
        }
        file.seek(SeekFrom::Start(0))?;
        let mut content = Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))));
        head.clear();
        content.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(Content { meta, head, rest: Rest::Packed(content) })
    }

    pub(crate) fn packed(&self) -> bool {
        matches!(self.rest, Rest::Packed(_))
    }

    /// A reader at `offset`, or at the end where the content ends before it, and where it stands.
    pub(crate) fn read_from(self, offset: u64) -> io::Result<(Box<dyn BufRead + Send>, u64)> {
        match self.rest {
            Rest::Plain(mut file) => {
                let at = offset.min(file.metadata()?.len());
                file.seek(SeekFrom::Start(at))?;
                Ok((Box::new(BufReader::with_capacity(64 * 1024, file)), at))
            }
            Rest::Packed(mut content) => {
                let unread =
                    self.head.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
                if !unread.is_empty() {
                    return Ok((Box::new(io::Cursor::new(unread.to_vec()).chain(content)), offset));
                }
                let mut at = self.head.len() as u64;
                at += io::copy(&mut content.by_ref().take(offset.saturating_sub(at)), &mut io::sink())?;
                Ok((content, at))
            }
        }
    }
}

/// One line without its newline, how much of it was left out, and its length with the newline. `None` at the end, and for a last
/// line without a newline unless `complete`.
pub(super) fn read_line(reader: &mut dyn BufRead, complete: bool) -> io::Result<Option<(Vec<u8>, u64, u64)>> {
    let mut line = Vec::new();
    let mut taken = 0u64;
    let mut cut = 0u64;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok((complete && taken > 0).then_some((line, cut, taken)));
        }
        let newline = memchr::memchr(b'\n', available);
        let part = &available[..newline.unwrap_or(available.len())];
        let room = part.len().min(MAX_LINE_BYTES - line.len());
        line.extend_from_slice(&part[..room]);
        cut += (part.len() - room) as u64;
        let used = part.len() + usize::from(newline.is_some());
        taken += used as u64;
        reader.consume(used);
        if newline.is_some() {
            return Ok(Some((line, cut, taken)));
        }
    }
}
