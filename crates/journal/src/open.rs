use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, File},
    error::{Error, is_full},
    files::{self, Span},
    format::{HEAD_BYTES, HeaderRead, RECORDS_AT, file_name, parse_aside_name, parse_file_name},
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
    bytes: u64,
    /// None for what has no readable header, now or since an earlier open.
    good: Option<Good<F>>,
}

struct Good<F> {
    file: F,
    salt: u32,
    both_copies: bool,
}

pub(crate) fn open<D: Disk>(disk: &D, dir: &Path) -> Result<(VecDeque<Span>, Opened), Error> {
    disk.create_dir_all(dir).map_err(fatal(dir))?;
    let mut found = list(disk, dir)?;
    if let Some(last) = found.last()
        && last.good.is_none()
    {
        // What the unreadable file held is unknown, so the sequence goes on behind all that it could have held.
        let most = last.bytes.saturating_sub(RECORDS_AT) / HEAD_BYTES as u64 + 1;
        let first = last.first + most;
        files::start(disk, dir, first, RECORDS_AT).map_err(|error| match is_full(&error) {
            true => Error::Full,
            false => fatal(&dir.join(file_name(first)))(error),
        })?;
        found.push(look(disk, dir, file_name(first), first)?);
    }

    let mut opened = Opened { first: 0, next: 0, torn_bytes: 0, damage: Vec::new() };
    let mut spans = VecDeque::new();
    let limits: Vec<Option<u64>> =
        found.iter().skip(1).map(|later| Some(later.first)).chain([None]).collect();
    for (found, limit) in found.into_iter().zip(limits) {
        match found.good {
            Some(good) => {
                if !good.both_copies {
                    let (first_seq, end_seq) = (found.first, found.first);
                    opened.damage.push(Damage {
                        file: found.name.clone(),
                        offset: 0,
                        bytes: RECORDS_AT,
                        first_seq,
                        end_seq,
                    });
                }
                let path = dir.join(&found.name);
                let span = scan(good, found.name, found.first, limit, &mut opened).map_err(fatal(&path))?;
                spans.push_back(span);
            }
            None => {
                let known = parse_file_name(&found.name).is_none();
                if !(known && spans.is_empty()) {
                    opened.damage.push(Damage {
                        file: found.name.clone(),
                        offset: 0,
                        bytes: found.bytes,
                        first_seq: found.first,
                        end_seq: limit.unwrap_or(found.first),
                    });
                }
                if !known {
                    set_aside(disk, dir, &found.name)?;
                }
            }
        }
    }
    opened.first = spans.front().map_or(0, |span: &Span| span.first);
    opened.next = spans.back().map_or(0, |span| span.end);
    Ok((spans, opened))
}

fn list<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<Found<D::File>>, Error> {
    let mut found = Vec::new();
    for name in disk.list(dir).map_err(fatal(dir))? {
        if name.strip_suffix(".tmp").is_some_and(|name| parse_file_name(name).is_some()) {
            let path = dir.join(name);
            disk.remove(&path).map_err(fatal(&path))?;
        } else if let Some(first) = parse_file_name(&name).or(parse_aside_name(&name)) {
            found.push(look(disk, dir, name, first)?);
        }
    }
    Ok(found)
}

fn look<D: Disk>(disk: &D, dir: &Path, name: String, first: u64) -> Result<Found<D::File>, Error> {
    let path = dir.join(&name);
    let read = || {
        let file = disk.open(&path)?;
        let (bytes, header) = (file.len()?, files::read_header(&file)?);
        io::Result::Ok((file, bytes, header))
    };
    let (file, bytes, (header, both_copies)) = read().map_err(fatal(&path))?;
    let good = match header {
        HeaderRead::Newer => return Err(Error::Newer { path }),
        HeaderRead::Good(header) if header.first == first && parse_file_name(&name).is_some() => {
            Some(Good { file, salt: header.salt, both_copies })
        }
        _ => None,
    };
    Ok(Found { name, first, bytes, good })
}

fn scan<F: File>(
    good: Good<F>,
    name: String,
    first: u64,
    limit: Option<u64>,
    opened: &mut Opened,
) -> io::Result<Span> {
    let mut walk = Walk::new(good.file, name.clone(), good.salt, first, first, limit);
    loop {
        match walk.step()? {
            Step::Record(_) => {}
            Step::Damage(damage) => opened.damage.push(damage),
            Step::End => break,
        }
    }
    if limit.is_none() {
        opened.torn_bytes = walk.torn;
        walk = settle(walk, name, good.salt, first)?;
    }
    Ok(Span { first, end: walk.seq, bytes: walk.file().len()? })
}

/// Makes durable what the last file holds beyond what is known to be. To read it back is no proof: it may stand in the page
/// cache only, left there and called clean by a sync that failed before the process died. So the same bytes are
/// written once more, which is harmless wherever they stop, and then synced.
fn settle<F: File>(walk: Walk<F>, name: String, salt: u32, first: u64) -> io::Result<Walk<F>> {
    let (end, next, proven, torn) = (walk.at, walk.seq, walk.proven, walk.torn);
    let mut again = walk.restart(name, salt, first, proven.min(next));
    while !matches!(again.step()?, Step::End) {}
    if again.seq < next {
        let mut bytes = vec![0; 1 << 20];
        let mut at = again.at;
        while at < end {
            let want = bytes.len().min((end - at) as usize);
            let read = again.file().read_at(&mut bytes[..want], at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            again.file().write_all_at(&bytes[..read], at)?;
            at += read as u64;
        }
        again.file().sync_data()?;
    }
    // Gives back what was reserved. Where a torn write left something, it stays as it is: the next file supersedes it,
    // and whoever wants to know what happened can still look.
    if torn == 0 && end < again.file().len()? {
        let _ = again.file().set_len(end);
    }
    (again.at, again.seq) = (end, next);
    Ok(again)
}

fn set_aside<D: Disk>(disk: &D, dir: &Path, name: &str) -> Result<(), Error> {
    let path = dir.join(name);
    let mut aside = path.clone().into_os_string();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    let moved = (|| {
        if !disk.exists(&aside)? {
            disk.rename(&path, &aside)?;
            disk.sync_dir(dir)?;
        }
        Ok(())
    })();
    moved.map_err(fatal(&path))
}

pub(crate) fn fatal(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Fatal { path, source }
}
