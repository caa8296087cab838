//! The files in which the log driver `json-file` keeps a container's log: `{id}-json.log`, rotated to `.1`, `.2` … and with `compress` to
//! `.1.gz` …; one JSON object a line (moby, `daemon/logger/jsonfilelog`).
//!
//! Read directly where this process may: it costs the engine nothing, and nothing is missed at a rotation, as it is by those who ask
//! engines before version 23 to follow a log. The file in hand stays open: what was written before a rotation, or before the container was
//! removed, is read to its end. A file is known by the time of its first line, which no rotation changes.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use attestry_event::Nanos;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::groups::{End, Piece, Place, Stream};

/// A longer line of JSON is none of the driver's: it writes pieces of 16 KiB, each byte of which becomes six at most.
const MAX_LINE_BYTES: usize = 1 << 20;
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Said when a file is not there any more that should have been.
const ROTATED_AWAY: &str = "was rotated away while nobody looked: lines may be lost";
/// Docker keeps `max-file` of them; more are not looked for.
const MAX_FILES: u32 = 10_000;

/// What the next look brought.
#[derive(Debug)]
pub(super) enum Step {
    Piece(Piece),
    /// Something is missing, and will not come.
    Lost(String),
    /// Everything there is has been read.
    Idle,
}

/// One container's log.
#[derive(Debug)]
pub(super) struct JsonFile {
    path: PathBuf,
    current: Option<Open>,
    /// Where to go on; none at the beginning of the oldest file.
    place: Option<Place>,
    /// Told with the next look.
    lost: Option<String>,
    /// The disk refuses: what is left of it will not be read.
    failed: bool,
}

/// The file in hand.
struct Open {
    content: Content,
    /// What was read and not given out; `start` is where that begins.
    buffer: Vec<u8>,
    start: usize,
    /// Of the first byte not given out.
    offset: u64,
    first: Nanos,
    /// Of the live file: its identity. A rotated one is read once and then left.
    live: Option<(u64, u64)>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("first", &self.first)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

impl JsonFile {
    /// Reads the log at `path` from `place` on.
    ///
    /// # Errors
    /// When it is not there or may not be read.
    pub(super) fn open(path: &Path, place: Option<Place>) -> io::Result<JsonFile> {
        File::open(path)?;
        Ok(JsonFile { path: path.to_owned(), current: None, place, lost: None, failed: false })
    }

    /// Where the next piece begins.
    pub(super) fn place(&self) -> Option<Place> {
        self.place
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Step {
        loop {
            if let Some(lost) = self.lost.take() {
                return Step::Lost(lost);
            }
            if self.failed {
                return Step::Idle;
            }
            let Some(open) = &mut self.current else {
                if self.enter() {
                    continue;
                }
                return Step::Idle;
            };
            let place = Place { file: open.first, offset: open.offset };
            match open.line() {
                Ok(Some(line)) => {
                    let len = line.len() + 1;
                    let piece = piece(line, place);
                    open.offset += len as u64;
                    open.start += len;
                    self.place = Some(Place { offset: open.offset, ..place });
                    match piece {
                        Ok(piece) => return Step::Piece(piece),
                        Err(reason) => {
                            return Step::Lost(format!(
                                "holds at byte {} what is no line of a log: {reason}",
                                place.offset
                            ));
                        }
                    }
                }
                Ok(None) => {
                    if !self.leave() {
                        return Step::Idle;
                    }
                }
                Err(error) => {
                    self.lost = Some(format!("cannot be read: {error}"));
                    self.fail();
                }
            }
        }
    }

    /// After an error: goes on behind it where that is possible.
    fn fail(&mut self) {
        let Some(open) = &mut self.current else { return };
        if open.too_long() {
            open.drop_buffer();
        } else if open.live.is_some() {
            self.failed = true;
        } else {
            // A damaged archive: the next file may be whole.
            open.content = Content::Ended;
            open.drop_buffer();
        }
    }

    /// Opens the file to go on with; false when there is none yet.
    fn enter(&mut self) -> bool {
        let files = self.files();
        let Some(place) = self.place else {
            return files.into_iter().next().is_some_and(|file| self.begin(file, 0));
        };
        let mut later = None;
        for file in files {
            if file.first == place.file {
                return self.begin(file, place.offset);
            }
            if file.first > place.file && later.is_none() {
                later = Some(file);
            }
        }
        // The file is gone; after what was read of it nobody can say what there was.
        let Some(later) = later else { return false };
        self.lost = Some(ROTATED_AWAY.into());
        self.begin(later, 0)
    }

    fn begin(&mut self, file: Found, offset: u64) -> bool {
        let mut open = file.open;
        match open.skip(offset) {
            Ok(true) => {}
            Ok(false) => self.lost = Some("became shorter: lines may be lost".into()),
            Err(error) => {
                self.lost = Some(format!("cannot be read: {error}"));
                open.content = Content::Ended;
            }
        }
        self.place = Some(Place { file: file.first, offset: open.offset });
        self.current = Some(open);
        true
    }

    /// At the end of the file in hand: goes on to the next one, if it was rotated. False when there is nothing more for now.
    fn leave(&mut self) -> bool {
        let Some(open) = &mut self.current else { return false };
        if let Some(live) = open.live {
            match std::fs::metadata(&self.path) {
                Ok(meta) if (meta.dev(), meta.ino()) == live => {
                    if meta.len() >= open.offset {
                        return false;
                    }
                    // `max-file: 1`: the driver empties it.
                    self.lost = Some(
                        "was emptied, since Docker keeps one file only (max-file): lines may be lost".into(),
                    );
                    (self.current, self.place) = (None, None);
                    return true;
                }
                // Removed with its container, or between two names.
                Err(_) => return false,
                Ok(_) => {
                    // Rotated since the last read: nobody writes to it any more, but something may have been.
                    open.live = None;
                    return true;
                }
            }
        }
        let first = open.first;
        let files = self.files();
        let there = files.iter().any(|file| file.first == first);
        // A file without a line yet cannot be told from others; it is met later.
        let Some(next) = files.into_iter().find(|file| file.first > first) else { return false };
        if !there {
            self.lost = Some(ROTATED_AWAY.into());
        }
        self.begin(next, 0)
    }

    /// All files of the log that have a line, oldest first.
    fn files(&self) -> Vec<Found> {
        let mut files = Vec::new();
        let named = |suffix: String| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        files.extend(Found::look(&self.path, true));
        let mut missing = 0;
        for number in 1..MAX_FILES {
            let look = |suffix: &str| Found::look(&named(format!(".{number}{suffix}")), false);
            match look("").or_else(|| look(".gz")) {
                Some(found) => files.push(found),
                // One may be on its way from one number to the next.
                None => missing += 1,
            }
            if missing > 1 {
                break;
            }
        }
        files.reverse();
        files
    }
}

fn piece(line: &[u8], place: Place) -> Result<Piece, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let time = Nanos::parse(&line.time).map_err(|error| error.to_string())?;
    let stream = if line.stream == "stderr" { Stream::Err } else { Stream::Out };
    let (text, end) = match line.log.strip_suffix('\n') {
        Some(text) => (text, End::Here),
        None => (&*line.log, End::Later),
    };
    Ok(Piece { stream, time, bytes: text.as_bytes().to_vec(), end, place: Some(place) })
}

/// A file of which the first line has been read.
struct Found {
    first: Nanos,
    open: Open,
}

impl Found {
    fn look(path: &Path, live: bool) -> Option<Found> {
        let mut file = File::open(path).ok()?;
        let meta = file.metadata().ok()?;
        let mut magic = [0; 2];
        let packed = matches!(file.read(&mut magic), Ok(2)) && magic == [0x1f, 0x8b];
        file.seek(SeekFrom::Start(0)).ok()?;
        let content =
            if packed { Content::Packed(Box::new(MultiGzDecoder::new(file))) } else { Content::Plain(file) };
        let live = live.then(|| (meta.dev(), meta.ino()));
        let mut open = Open { content, buffer: Vec::new(), start: 0, offset: 0, first: Nanos(0), live };
        let line = open.line().ok()??;
        // A first line that is none names the file, too.
        open.first = piece(line, Place { file: Nanos(0), offset: 0 }).map_or(Nanos(0), |piece| piece.time);
        Some(Found { first: open.first, open })
    }
}

enum Content {
    Plain(File),
    Packed(Box<MultiGzDecoder<File>>),
    /// Nothing more will be read of it.
    Ended,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buffer),
            Content::Packed(decoder) => decoder.read(buffer),
            Content::Ended => Ok(0),
        }
    }
}

impl Open {
    /// The next whole line; none when there is none yet.
    fn line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.start;
        let end = loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                break searched + at;
            }
            searched = self.buffer.len();
            if self.start >= READ_BYTES {
                self.buffer.drain(..self.start);
                searched -= self.start;
                self.start = 0;
            }
            let have = self.buffer.len();
            if self.too_long() {
                return Err(io::Error::other(format!("it has a line of more than {MAX_LINE_BYTES} bytes")));
            }
            self.buffer.resize(have + READ_BYTES, 0);
            let read = self.content.read(self.buffer.get_mut(have..).unwrap_or_default());
            self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        Ok(self.buffer.get(self.start..end))
    }

    fn too_long(&self) -> bool {
        self.buffer.len() - self.start > MAX_LINE_BYTES
    }

    /// Leaves out what is in the buffer.
    fn drop_buffer(&mut self) {
        self.offset += (self.buffer.len() - self.start) as u64;
        self.buffer.clear();
        self.start = 0;
    }

    /// From the beginning of the file to `offset`; false when the file ends before it.
    fn skip(&mut self, offset: u64) -> io::Result<bool> {
        if let Content::Plain(file) = &mut self.content {
            let end = file.metadata()?.len();
            self.offset = offset.min(end);
            file.seek(SeekFrom::Start(self.offset))?;
            self.buffer.clear();
            self.start = 0;
            return Ok(offset <= end);
        }
        while self.offset < offset {
            let have = (self.buffer.len() - self.start) as u64;
            let step = have.min(offset - self.offset);
            self.start += usize::try_from(step).unwrap_or(usize::MAX);
            self.offset += step;
            if self.offset < offset {
                self.buffer.resize(READ_BYTES, 0);
                self.start = 0;
                let read = self.content.read(&mut self.buffer)?;
                self.buffer.truncate(read);
                if read == 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
