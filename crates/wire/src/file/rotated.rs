//! Full files: renamed, compressed, and the oldest deleted. Each step is found and finished when it was cut short.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use attestry_event::Nanos;

use super::{Compress, SinkConfig};

/// What a file is called while it is being compressed.
const UNFINISHED: &str = "tmp";

/// Sets the file aside.
pub(super) fn rotate(config: &SinkConfig, now: SystemTime) -> io::Result<()> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut time = Nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
    loop {
        let aside = config.path.with_added_extension(stamp(time));
        if !taken(&aside)? {
            fs::rename(&config.path, &aside)?;
            break;
        }
        time = Nanos(time.0 + 1_000_000);
    }
    finish(config)
}

/// Compresses what is full and not compressed yet, and deletes what is more than is kept.
pub(super) fn finish(config: &SinkConfig) -> io::Result<()> {
    let mut full = Vec::new();
    for path in rotated(config)? {
        let extension = path.extension().unwrap_or_default();
        if extension == UNFINISHED {
            fs::remove_file(&path)?;
        } else {
            full.push(path);
        }
    }
    full.sort();
    let old = full.len().saturating_sub(config.keep);
    for path in full.drain(..old) {
        fs::remove_file(path)?;
    }
    for path in full {
        if path.extension().is_some_and(|extension| extension != "gz" && extension != "zst") {
            compress(&path, config.compress)?;
        }
    }
    match config.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => match File::open(folder) {
            Ok(folder) => folder.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        },
        _ => Ok(()),
    }
}

/// The files that were set aside, in no order.
fn rotated(config: &SinkConfig) -> io::Result<Vec<PathBuf>> {
    let Some(name) = config.path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let folder = match config.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let other = entry.file_name();
        let rest = other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
        if rest.is_some_and(|rest| is_stamp(rest.get(..STAMP_LEN).unwrap_or_default())) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn compress(path: &Path, how: Compress) -> io::Result<()> {
    let extension = match how {
        Compress::None => return Ok(()),
        Compress::Gzip => "gz",
        Compress::Zstd => "zst",
    };
    let done = path.with_added_extension(extension);
    let unfinished = done.with_added_extension(UNFINISHED);
    let mut from = File::open(path)?;
    let to = File::create(&unfinished)?;
    let to = match how {
        Compress::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
            io::copy(&mut from, &mut encoder)?;
            encoder.finish()?
        }
        Compress::Zstd | Compress::None => {
            let mut encoder = zstd::stream::write::Encoder::new(to, 6)?;
            encoder.include_checksum(true)?;
            io::copy(&mut from, &mut encoder)?;
            encoder.finish()?
        }
    };
    (&to).flush()?;
    to.set_permissions(from.metadata()?.permissions())?;
    to.sync_all()?;
    fs::rename(&unfinished, &done)?;
    fs::remove_file(path)
}

/// Whether a file of this time is there, compressed or not.
fn taken(aside: &Path) -> io::Result<bool> {
    for path in [aside.to_owned(), aside.with_added_extension("gz"), aside.with_added_extension("zst")] {
        if path.try_exists()? {
            return Ok(true);
        }
    }
    Ok(false)
}

const STAMP_LEN: usize = "20261121T030405.123Z".len();

/// `20261121T030405.123Z`: sorts as times do, and is a name everywhere.
fn stamp(time: Nanos) -> String {
    let text = time.to_string();
    let to_millis = text.get(..23).unwrap_or(&text);
    to_millis.chars().filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
}

fn is_stamp(text: &str) -> bool {
    text.len() == STAMP_LEN
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'.',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        let stamp = stamp(Nanos::parse("2026-11-21T03:04:05.1239Z").unwrap());
        assert_eq!(stamp, "20261121T030405.123Z");
        assert!(is_stamp(&stamp));
        for other in ["", "1", "20261121T030405.123Zx", "20261121 030405.123Z", "20261121T030405-123Z"] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
