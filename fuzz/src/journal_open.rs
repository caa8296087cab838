//! A journal whatever was done to its files: it opens, tells of every sequence once, and says the same the next time.

use std::{io::ErrorKind, path::Path};

use attestry_journal::{
    Error, Item, Journal, Options,
    disk::{Disk, File, SimDisk},
};

const OPTIONS: Options =
    Options { segment_bytes: 4 << 10, cap_bytes: u64::MAX, policy: attestry_journal::Policy::Block };

/// Every sequence from 0 on, and whether its record is there.
fn read(disk: &SimDisk, dir: &Path) -> Option<(u64, Vec<(u64, u64)>)> {
    let (journal, opened) = match Journal::open(disk.clone(), dir, OPTIONS) {
        Ok(opened) => opened,
        Err(Error::Newer { .. }) => return None,
        Err(error) => panic!("{error:?}"),
    };
    let (mut reader, mut next, mut gaps) = (journal.read(0), 0, Vec::new());
    while let Some(item) = reader.next().expect("the disk works") {
        next = match item {
            Item::Record { seq, .. } => {
                assert_eq!(seq, next);
                seq + 1
            }
            Item::Gap(gap) => {
                assert!(gap.start == next && gap.end > next);
                gaps.push((gap.start, gap.end));
                gap.end
            }
        };
    }
    assert_eq!(next, opened.next);
    Some((opened.next, gaps))
}

/// Runs the target over one input.
pub fn run(bytes: &[u8]) {
    let (disk, dir) = (SimDisk::new(1), Path::new("/journal"));
    let (mut journal, _) = Journal::open(disk.clone(), dir, OPTIONS).expect("a new one");
    for size in [0, 5, 40, 300, 2_000, 1_500, 9] {
        journal.append(&[&vec![7; size]]).expect("there is room");
        if size % 2 == 0 {
            journal.sync().expect("the disk works");
        }
    }
    drop(journal);

    // Each edit: a file, a place, how many bytes, the bytes. No bytes cut the file there.
    let names = disk.list(dir).expect("a directory");
    let mut rest = bytes;
    while let [file, low, high, count, tail @ ..] = rest {
        let name = &names[usize::from(*file) % names.len()];
        let (new, after) = tail.split_at(usize::from(*count).min(tail.len()));
        rest = after;
        let at = u64::from(u16::from_le_bytes([*low, *high])) % (5 << 10);
        let file = match disk.open(&dir.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file.expect("the disk works"),
        };
        match new {
            [] => file.set_len(at),
            new => file.write_all_at(new, at),
        }
        .expect("the disk works");
    }

    if let Some(first) = read(&disk, dir) {
        let again = read(&disk, dir).expect("it was not newer before");
        assert_eq!(first.0, again.0);
    }
}
