use std::{collections::VecDeque, io, path::Path};

use crate::{
    disk::{Disk, File},
    error::{Error, is_full},
    files::{self, Look, Source, Span},
    format::{HEAD_BYTES, Head, RECORDS_AT, file_name, parse_aside_name, parse_file_name},
    walk::{Damage, Step, Walk},
};

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The first sequence that is here.
    pub first: u64,
    /// The sequence that the next record gets.
    pub next: u64,
    /// How many bytes at the end belonged to writes that were not acknowledged, and are cut.
    pub torn_bytes: u64,
    /// What was acknowledged and is lost, in order. It is reported again at every open, until its file is removed or, for
    /// a file set aside (`*.damaged`), nothing before it is left.
    pub damage: Vec<Damage>,
}

/// A name in the directory, looked at.
struct Found<F> {
    name: String,
    first: u64,
    /// None for what was set aside by an earlier open.
    look: Option<Look<F>>,
}

pub(crate) fn open<D: Disk>(disk: &D, dir: &Path) -> Result<(VecDeque<Span>, Opened), Error> {
    disk.create_dir_all(dir).map_err(fatal(dir))?;
    let mut found = list(disk, dir)?;
    // A file that supersedes the end of another one must not be gone after the next crash.
    disk.sync_dir(dir).map_err(fatal(dir))?;
    if let Some(Found { first, look: Some(Look::Bad { bytes }), .. }) = found.last() {
        // What the unreadable file held is unknown, so the sequence goes on behind all that it could have held.
        let first = first + bytes.saturating_sub(RECORDS_AT) / HEAD_BYTES as u64 + 1;
        let path = dir.join(file_name(first));
        files::start(disk, dir, first, RECORDS_AT).map_err(fatal(&path))?;
        found.push(see(disk, dir, file_name(first), first)?);
    }

    let mut opened = Opened { first: 0, next: 0, torn_bytes: 0, damage: Vec::new() };
    let mut spans: VecDeque<Span> = VecDeque::new();
    let limits: Vec<_> = found.iter().skip(1).map(|later| Some(later.first)).chain([None]).collect();
    for (Found { name, first, look }, limit) in found.into_iter().zip(limits) {
        let path = dir.join(&name);
        let end_seq = limit.unwrap_or(first);
        match look {
            Some(Look::Good { source, both }) => {
                if !both {
                    let file = name.clone();
                    opened.damage.push(Damage {
                        file,
                        offset: 0,
                        bytes: RECORDS_AT,
                        first_seq: first,
                        end_seq: first,
                    });
                }
                spans.push_back(scan(source, limit, &mut opened).map_err(fatal(&path))?);
            }
            Some(Look::Bad { bytes }) => {
                set_aside(disk, dir, &name).map_err(fatal(&path))?;
                opened.damage.push(Damage { file: name, offset: 0, bytes, first_seq: first, end_seq });
            }
            Some(Look::Newer) => return Err(Error::Newer { path }),
            None if spans.is_empty() => {}
            None => opened.damage.push(Damage { file: name, offset: 0, bytes: 0, first_seq: first, end_seq }),
        }
    }
    opened.first = spans.front().map_or(0, |span| span.first);
    opened.next = spans.back().map_or(0, |span| span.end);
    Ok((spans, opened))
}

fn list<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<Found<D::File>>, Error> {
    let mut found = Vec::new();
    for name in disk.list(dir).map_err(fatal(dir))? {
        if name.strip_suffix(".tmp").is_some_and(|name| parse_file_name(name).is_some()) {
            let path = dir.join(name);
            disk.remove(&path).map_err(fatal(&path))?;
        } else if let Some(first) = parse_file_name(&name) {
            found.push(see(disk, dir, name, first)?);
        } else if let Some(first) = parse_aside_name(&name) {
            found.push(Found { name, first, look: None });
        }
    }
    Ok(found)
}

fn see<D: Disk>(disk: &D, dir: &Path, name: String, first: u64) -> Result<Found<D::File>, Error> {
    let look = files::look(disk, dir, &name, first).map_err(fatal(&dir.join(&name)))?;
    Ok(Found { name, first, look: Some(look) })
}

fn scan<F: File>(source: Source<F>, limit: Option<u64>, opened: &mut Opened) -> io::Result<Span> {
    let (first, mut bytes) = (source.first, source.bytes);
    let mut walk = Walk::new(source, first, limit);
    loop {
        match walk.step()? {
            Step::Record(_) => {}
            Step::Damage(damage) => opened.damage.push(damage),
            Step::End => break,
        }
    }
    let end = walk.seq;
    if limit.is_none() {
        opened.torn_bytes = walk.torn;
        bytes = settle(walk)?;
    }
    Ok(Span { first, end, bytes })
}

/// Makes durable what the last file holds beyond what is known to be, and returns the file's length. To read it back is no
/// proof: it may stand in the page cache only, left there and called clean by a sync that failed before the process
/// died. So the same bytes are written once more, which is harmless wherever that stops, and then synced.
fn settle<F: File>(walk: Walk<F>) -> io::Result<u64> {
    let (end, next, proven, torn, marked) =
        (walk.at, walk.seq, walk.proven.min(walk.seq), walk.torn, walk.marked);
    let mut again = Walk::new(walk.into_source(), proven, Some(proven));
    while !matches!(again.step()?, Step::End) {}
    let Source { file, salt, bytes, .. } = again.source();
    if again.seq < next {
        let mut copied = vec![0; 1 << 20];
        let mut at = again.at;
        while at < end {
            let want = copied.len().min((end - at) as usize);
            let read = file.read_at(&mut copied[..want], at)?;
            if read == 0 {
                // Somebody cut the last padding.
                break;
            }
            file.write_all_at(&copied[..read], at)?;
            at += read as u64;
        }
    }
    file.sync_data()?;
    let kept = end + HEAD_BYTES as u64;
    if !marked && kept <= *bytes {
        let _ = file.write_all_at(&Head::mark(next).encode(*salt), end);
    }
    // Gives back what was reserved. Where a torn write left something, it stays as it is: the next file supersedes it,
    // and whoever wants to know what happened can still look.
    if torn == 0 && kept < *bytes && file.set_len(kept).is_ok() { Ok(kept) } else { Ok(*bytes) }
}

/// Keeps a file out of the way for somebody to look at. Under either name it marks where the file before it ends.
fn set_aside<D: Disk>(disk: &D, dir: &Path, name: &str) -> io::Result<()> {
    let aside = dir.join(format!("{name}.damaged"));
    if disk.exists(&aside)? {
        return Ok(());
    }
    disk.rename(&dir.join(name), &aside)?;
    disk.sync_dir(dir)
}

pub(crate) fn fatal(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| match is_full(&source) {
        true => Error::Full,
        false => Error::Fatal { path, source },
    }
}
