//! An archive: compressed files by day and event name, each with a small file beside it that says what it must hold.
//!
//! ```text
//! <folder>/2026-11-21/login.failure.ndjson.zst         zstd frames, one a batch; the events as clients would send them, a line each
//! <folder>/2026-11-21/login.failure.ndjson.zst.index   {"format":1,"bytes":…,"sha256":"…","events":…,"first":"…","last":"…"}
//! ```
//!
//! The day is that of `event_time`, in UTC; `first` and `last` are event times. What a name may not have in a file's name is written `%XX`.
//!
//! A batch is appended to its files and synced, then the indexes are replaced. A file that is longer than its index says was being written
//! when the program ended: the rest is cut before anything is appended, and comes again. A file that does not hold what its index says
//! is never written to: it is set aside as `<name>.damaged-<n>`, which [`verify`] reports, and a new one is begun. Delivery is
//! at least once: an event may stand in it twice, with one `event_id`.

mod index;
mod verify;

pub use verify::{Damage, Verified, verify};

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use attestry_event::{Nanos, hex};
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use index::Index;

/// How many files' hashes are kept in memory; that of another is computed again when it is written to, from all of it.
const REMEMBERED_FILES: usize = 512;

/// An archive.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The folder. It is made when it is missing.
    pub folder: PathBuf,
    /// How hard zstd tries, 1 to 19. Default: 6.
    #[serde(default = "level")]
    pub level: i32,
}

fn level() -> i32 {
    6
}

impl SinkConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.folder.is_file() {
            wrong.push(("folder", format!("{} is a file, expected a folder", self.folder.display())));
        }
        if !(1..=19).contains(&self.level) {
            wrong.push(("level", format!("found {}, expected 1 to 19", self.level)));
        }
        wrong
    }
}

/// The sink.
#[derive(Debug)]
pub struct ArchiveSink {
    archive: Arc<Mutex<Archive>>,
}

impl ArchiveSink {
    /// A sink that opens its files when they are first written to.
    pub fn new(config: SinkConfig) -> ArchiveSink {
        ArchiveSink { archive: Arc::new(Mutex::new(Archive { config, known: HashMap::new() })) }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        let mut parts: BTreeMap<PathBuf, Part> = BTreeMap::new();
        for (at, parcel) in parcels.iter().enumerate() {
            if let Err(error) = sort(parcel, &mut parts) {
                refused.push(Refused { at, reason: error.to_string() });
            }
        }
        let archive = Arc::clone(&self.archive);
        let written = tokio::task::spawn_blocking(move || {
            archive.lock().unwrap_or_else(PoisonError::into_inner).append(parts)
        });
        let written = written.await.map_err(|error| Failure::again(error.to_string()))?;
        written.map(|()| refused).map_err(|error| Failure::again(format!("the archive: {error}")))
    }
}

impl Sink for ArchiveSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

/// What a batch has for one file.
#[derive(Debug)]
struct Part {
    text: Vec<u8>,
    events: u64,
    first: Nanos,
    last: Nanos,
}

fn sort(parcel: &Parcel, parts: &mut BTreeMap<PathBuf, Part>) -> Result<(), attestry_event::EntryError> {
    let event = parcel.event()?;
    let time = event.event_time();
    let day = time.to_string().get(..10).unwrap_or_default().to_owned();
    let path = Path::new(&day).join(file_name(&event.event_name()));
    let part = parts.entry(path).or_insert(Part { text: Vec::new(), events: 0, first: time, last: time });
    parcel.write_json(&mut part.text)?;
    part.text.push(b'\n');
    part.events += 1;
    part.first = part.first.min(time);
    part.last = part.last.max(time);
    Ok(())
}

/// `login.failure.ndjson.zst`. A long name is cut, and told from others by its hash.
fn file_name(event_name: &str) -> String {
    const NAME_MAX_BYTES: usize = 160;
    let mut name = String::new();
    for byte in event_name.bytes() {
        match byte {
            b'.' if name.is_empty() => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > NAME_MAX_BYTES {
        let hash = hex(Sha256::digest(event_name.as_bytes()));
        name.truncate(NAME_MAX_BYTES);
        name.push('~');
        name.push_str(hash.get(..16).unwrap_or_default());
    }
    name + ".ndjson.zst"
}

#[derive(Debug)]
struct Archive {
    config: SinkConfig,
    /// Files as they are on the disk.
    known: HashMap<PathBuf, State>,
}

/// A file: what its index says, and the hash so far.
#[derive(Clone, Debug, Default)]
struct State {
    index: Index,
    hasher: Sha256,
}

impl Archive {
    /// All parts are on the disk before any index counts them, so that a failure leaves none of them.
    fn append(&mut self, parts: BTreeMap<PathBuf, Part>) -> io::Result<()> {
        fs::create_dir_all(&self.config.folder)?;
        let mut written: Vec<(PathBuf, File, State)> = Vec::new();
        let mut failed = None;
        for (path, part) in parts {
            let path = self.config.folder.join(path);
            match self.append_part(&path, &part) {
                Ok((file, state)) => written.push((path, file, state)),
                Err(error) => {
                    failed = Some(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
                    self.known.remove(&path);
                    break;
                }
            }
        }
        if let Some(error) = failed {
            for (path, file, _) in written {
                let before = self.known.get(&path).map_or(0, |state| state.index.bytes);
                file.set_len(before)?;
            }
            return Err(error);
        }
        for (path, _, state) in written {
            state.index.write(&path)?;
            if self.known.len() >= REMEMBERED_FILES {
                self.known.clear();
            }
            self.known.insert(path, state);
        }
        Ok(())
    }

    /// The file with the part at its end, and what will be known of it.
    fn append_part(&mut self, path: &Path, part: &Part) -> io::Result<(File, State)> {
        let frame = zstd::bulk::compress(&part.text, self.config.level)?;
        let (file, mut state) = self.open(path)?;
        let written = (&file).write_all(&frame).and_then(|()| file.sync_data());
        if let Err(error) = written {
            file.set_len(state.index.bytes)?;
            return Err(error);
        }
        state.hasher.update(&frame);
        state.index.bytes += frame.len() as u64;
        state.index.sha256 = hex(state.hasher.clone().finalize());
        state.index.first = Some(state.index.first.map_or(part.first, |first| first.min(part.first)));
        state.index.last = Some(state.index.last.map_or(part.last, |last| last.max(part.last)));
        state.index.events += part.events;
        Ok((file, state))
    }

    fn open(&mut self, path: &Path) -> io::Result<(File, State)> {
        if let Some(state) = self.known.get(path)
            && let Ok(file) = OpenOptions::new().append(true).open(path)
            && file.metadata()?.len() == state.index.bytes
        {
            return Ok((file, state.clone()));
        }
        self.known.remove(path);
        if let Some(folder) = path.parent()
            && !folder.is_dir()
        {
            fs::create_dir_all(folder)?;
            File::open(&self.config.folder)?.sync_all()?;
        }
        let state = match recover(path)? {
            Some(state) => state,
            None => {
                index::set_aside(path)?;
                State::default()
            }
        };
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        file.set_len(state.index.bytes)?;
        self.known.insert(path.to_owned(), state.clone());
        Ok((file, state))
    }
}

/// What a file holds, as its index says and as it is; none when the two do not agree.
fn recover(path: &Path) -> io::Result<Option<State>> {
    let index = match Index::read(path) {
        Ok(Some(index)) => index,
        // Without an index nothing of the file was ever acknowledged.
        Ok(None) => return Ok(Some(State::default())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hasher = Sha256::new();
    match File::open(path) {
        Ok(file) => {
            let copied = io::copy(&mut file.take(index.bytes), &mut HashWriter(&mut hasher))?;
            let whole = copied == index.bytes && hex(hasher.clone().finalize()) == index.sha256;
            Ok(whole.then_some(State { index, hasher }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
