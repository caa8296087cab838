//! The way out to a file: one event a line, rotated by size and age.
//!
//! A batch counts as delivered when it is on the disk (`fsync`). What a crash or a full disk left of a line is cut before anything is
//! written behind it, so every line is whole; a batch that was being written is offered again then, and events are told apart by
//! their `event_id`. A file that another program moved away (logrotate) is noticed, and a new one begun.
//!
//! A full file is renamed to `<name>.<time>`, as `events.ndjson.20261121T030405.123Z`, and compressed if asked for.

mod rotated;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use attestry_event::Period;

/// A file of events.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The file. Its folder is made when it is missing.
    pub path: PathBuf,
    /// The most bytes of a file; then another is begun. Default: 104857600 (100 MiB).
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
    /// The longest time that a file is written to; then another is begun. Default: no limit.
    #[serde(default)]
    pub max_age: Option<Period>,
    /// How many full files are kept; older ones are deleted. Default: 10.
    #[serde(default = "keep")]
    pub keep: usize,
    /// How full files are compressed. Default: none.
    #[serde(default)]
    pub compress: Compress,
}

/// How full files are compressed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// Not at all.
    #[default]
    None,
    /// As `.gz`.
    Gzip,
    /// As `.zst`.
    Zstd,
}

fn max_bytes() -> u64 {
    100 << 20
}

fn keep() -> usize {
    10
}

impl SinkConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.path.file_name().is_none() || self.path.is_dir() {
            wrong.push(("path", format!("found {}, expected the path of a file", self.path.display())));
        }
        if self.max_bytes == 0 {
            wrong.push(("max_bytes", "found 0, expected a size in bytes".into()));
        }
        if self.max_age.is_some_and(|age| age.0.is_zero()) {
            wrong.push(("max_age", "found 0s, expected a time".into()));
        }
        wrong
    }
}

/// The sink.
#[derive(Debug)]
pub struct FileSink {
    writer: Arc<Mutex<Writer>>,
}

impl FileSink {
    /// A sink that opens its file when it is first used.
    pub fn new(config: SinkConfig) -> FileSink {
        FileSink { writer: Arc::new(Mutex::new(Writer { config, open: None })) }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let (text, refused) = lines(parcels);
        if text.is_empty() {
            return Ok(refused);
        }
        let writer = Arc::clone(&self.writer);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let path = writer.config.path.display().to_string();
            writer.write(&text, SystemTime::now()).map_err(|error| {
                writer.open = None;
                format!("{path}: {error}")
            })
        });
        let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
        written.map(|()| refused).map_err(Failure::again)
    }
}

impl Sink for FileSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

/// A line for each event; what is no entry is refused.
pub(crate) fn lines(parcels: &[Parcel]) -> (Vec<u8>, Vec<Refused>) {
    let mut text = Vec::with_capacity(parcels.iter().map(Parcel::bytes).sum());
    let mut refused = Vec::new();
    for (at, parcel) in parcels.iter().enumerate() {
        match parcel.write_json(&mut text) {
            Ok(()) => text.push(b'\n'),
            Err(error) => refused.push(Refused { at, reason: error.to_string() }),
        }
    }
    (text, refused)
}

#[derive(Debug)]
struct Writer {
    config: SinkConfig,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// How long the file is, all of it whole lines.
    bytes: u64,
    begun: SystemTime,
    inode: u64,
}

impl Writer {
    /// Appends whole lines and has them on the disk when it returns; when it fails, nothing of them is left or the next opening cuts it.
    fn write(&mut self, text: &[u8], now: SystemTime) -> io::Result<()> {
        self.rotate_if_due(text.len() as u64, now)?;
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(open_whole(&self.config.path)?),
        };
        let written = open.file.write_all(text).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // A part of the batch must not stay: it will all be offered again.
            open.file.set_len(open.bytes)?;
            return Err(error);
        }
        open.bytes += text.len() as u64;
        Ok(())
    }

    fn rotate_if_due(&mut self, more: u64, now: SystemTime) -> io::Result<()> {
        let path = &self.config.path;
        if self
            .open
            .as_ref()
            .is_some_and(|open| fs::metadata(path).map(|meta| meta.ino()).ok() != Some(open.inode))
        {
            self.open = None;
        }
        if self.open.is_none() {
            rotated::finish(&self.config)?;
            self.open = Some(open_whole(path)?);
        }
        let Some(open) = &self.open else { return Ok(()) };
        let old = self
            .config
            .max_age
            .is_some_and(|age| now.duration_since(open.begun).is_ok_and(|past| past >= age.0));
        if open.bytes > 0 && (open.bytes + more > self.config.max_bytes || old) {
            self.open = None;
            rotated::rotate(&self.config, now)?;
        }
        Ok(())
    }
}

/// Opens a file behind its last whole line.
fn open_whole(path: &Path) -> io::Result<Open> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let length = file.metadata()?.len();
    let bytes = whole_lines(&mut file, length)?;
    if bytes < length {
        tracing::warn!(file = %path.display(), bytes = length - bytes, "cut the beginning of a line that was never finished");
        file.set_len(bytes)?;
        file.sync_all()?;
    }
    if bytes == 0 {
        File::open(folder)?.sync_all()?;
    }
    let meta = file.metadata()?;
    let begun =
        if bytes == 0 { SystemTime::now() } else { meta.created().unwrap_or_else(|_| SystemTime::now()) };
    Ok(Open { file, bytes, begun, inode: meta.ino() })
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut block = [0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(start))?;
        let Some(block) = block.get_mut(..(end - start) as usize) else { break };
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
