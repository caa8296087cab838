use std::{fs, path::Path};

use attestry_journal::{
    Cursor, CursorError, Error, Item, Journal, MAX_PAYLOAD_BYTES, Options, Policy,
    disk::{self, Disk, RealDisk},
};

fn open(dir: &Path, options: Options) -> Journal<RealDisk> {
    let (journal, opened) = Journal::open(RealDisk, dir, options).unwrap();
    assert_eq!((opened.damage, opened.torn_bytes), (vec![], 0));
    journal
}

fn small(segment_bytes: u64) -> Options {
    Options { segment_bytes, ..Options::default() }
}

/// Everything from a sequence on, gaps as their end.
fn all(journal: &Journal<RealDisk>, from: u64) -> Vec<(u64, Option<Vec<u8>>)> {
    let (mut reader, mut all) = (journal.read(from), Vec::new());
    while let Some(item) = reader.next().unwrap() {
        all.push(match item {
            Item::Record { seq, payload } => (seq, Some(payload.to_vec())),
            Item::Gap(gap) => (gap.end, None),
        });
    }
    all
}

#[test]
fn records_come_back_over_files_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("deep/er");
    let mut expected = Vec::new();
    for round in 0..4_u8 {
        let mut journal = open(&dir, small(8 << 10));
        assert_eq!(all(&journal, 0), expected);
        for size in [0, 1, 7, 8, 100, 3_000, 5_000, 20_000] {
            let payload = vec![round; size];
            let (one, two) = payload.split_at(size / 3);
            let seq = journal.append(&[one, &[], two]).unwrap();
            expected.push((seq, Some(payload)));
        }
        assert_eq!(journal.read(journal.durable()).next().unwrap(), None, "nothing unsynced is seen");
        assert_eq!(journal.sync().unwrap(), expected.len() as u64);
    }
    let journal = open(&dir, small(8 << 10));
    assert_eq!(all(&journal, 0), expected);
    assert_eq!(all(&journal, 13), expected[13..]);
    assert!(RealDisk.list(&dir).unwrap().len() > 8);
}

#[test]
fn payloads_of_seventeen_mebibytes() {
    let dir = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..17 << 20).map(|i: u32| (i ^ i >> 9) as u8).collect();
    let mut journal = open(dir.path(), small(1 << 20));
    for payload in [&b"small"[..], &big, b"after", &big] {
        journal.append(&[payload]).unwrap();
    }
    assert!(matches!(
        journal.append(&[&vec![0; MAX_PAYLOAD_BYTES], b"x"]),
        Err(Error::TooLarge { limit: MAX_PAYLOAD_BYTES, .. })
    ));
    journal.sync().unwrap();
    let journal = open(dir.path(), small(1 << 20));
    let payloads: Vec<_> = all(&journal, 0).into_iter().map(|(_, payload)| payload.unwrap()).collect();
    assert!(payloads == [&b"small"[..], &big, b"after", &big]);
}

#[test]
fn removal_keeps_the_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small(4 << 10));
    for _ in 0..20 {
        journal.append(&[&[7; 1_000]]).unwrap();
    }
    journal.sync().unwrap();
    let before = journal.bytes();
    assert_eq!(journal.remove_before(u64::MAX).unwrap(), before - (4 << 10));
    assert_eq!((journal.first(), journal.next()), (18, 20));
    assert_eq!(all(&journal, 3)[..2], [(18, None), (18, Some(vec![7; 1_000]))]);
    for _ in 0..2 {
        let mut journal = open(dir.path(), small(4 << 10));
        assert_eq!((journal.first(), journal.next()), (18, 20));
        assert_eq!(journal.remove_before(u64::MAX).unwrap(), 0, "the newest file keeps the sequence");
    }
}

#[test]
fn the_cap_blocks_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4 << 10, cap_bytes: 8 << 10, policy: Policy::Block };
    let mut journal = open(dir.path(), options);
    let refused = (0..10).find(|_| matches!(journal.append(&[&[7; 1_000]]), Err(Error::Full)));
    assert_eq!(refused, Some(4));
    assert_eq!(journal.append(&[b"fits"]).unwrap(), 4, "what is left of the file serves smaller ones");
    assert_eq!(journal.sync().unwrap(), 5);
    assert!(matches!(journal.append(&[&[7; 1_000]]), Err(Error::Full)));
    journal.remove_before(2).unwrap();
    assert_eq!(journal.append(&[&[7; 1_000]]).unwrap(), 5);
}

#[test]
fn the_cap_drops_the_oldest_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4 << 10, cap_bytes: 8 << 10, policy: Policy::DropOldest };
    let mut journal = open(dir.path(), options);
    for seq in 0..11 {
        assert_eq!(journal.append(&[&[7; 1_000]]).unwrap(), seq);
        journal.sync().unwrap();
        assert!(journal.bytes() <= 8 << 10);
    }
    assert_eq!(journal.take_dropped(), Some(0..8));
    assert_eq!((journal.take_dropped(), journal.first()), (None, 8));
    // What is not synced is never dropped.
    let refused = (0..10).find(|_| matches!(journal.append(&[&[7; 1_000]]), Err(Error::Full)));
    assert!(refused.is_some());
    assert_eq!(journal.first(), 10);
    journal.sync().unwrap();
    journal.append(&[&[7; 1_000]]).unwrap();
}

#[test]
fn a_reader_goes_on_when_extended() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small(4 << 10));
    let mut reader = journal.read(0);
    for seq in 0..20 {
        assert_eq!(reader.next().unwrap(), None);
        journal.append(&[&[seq as u8; 1_000]]).unwrap();
        journal.sync().unwrap();
        journal.extend(&mut reader);
        assert_eq!(reader.next().unwrap(), Some(Item::Record { seq, payload: &[seq as u8; 1_000] }));
    }
}

#[test]
fn cursors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cursor");
    assert_eq!(Cursor::load(&RealDisk, &path).unwrap(), None);
    for at in [0, 1, u64::MAX] {
        Cursor(at).store(&RealDisk, &path).unwrap();
        assert_eq!(Cursor::load(&RealDisk, &path).unwrap(), Some(Cursor(at)));
    }
    let good = fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bad).unwrap();
        assert!(matches!(Cursor::load(&RealDisk, &path), Err(CursorError::Damaged)), "bit {bit}");
    }
    for bad in [&good[..27], &[&good[..], b"x"].concat(), b""] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(Cursor::load(&RealDisk, &path), Err(CursorError::Damaged)));
    }
}

#[test]
fn small_files_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small");
    assert_eq!(disk::read(&RealDisk, &path, 10).unwrap(), None);
    for content in [&b"one"[..], b"longer one", b""] {
        disk::replace(&RealDisk, &path, content).unwrap();
        assert_eq!(disk::read(&RealDisk, &path, 10).unwrap().as_deref(), Some(content));
    }
    disk::replace(&RealDisk, &path, b"eleven byte").unwrap();
    assert_eq!(disk::read(&RealDisk, &path, 10).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["small"]);
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small(4 << 10));
    journal.append(&[b"x"]).unwrap();
    let path = dir.path().join("00000000000000000000.jnl");
    let mut bytes = fs::read(&path).unwrap();
    bytes[13] = b'2';
    let crc = crc32c::crc32c(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&crc);
    fs::write(&path, &bytes).unwrap();
    let opened = Journal::open(RealDisk, dir.path(), small(4 << 10));
    assert!(matches!(opened.err(), Some(Error::Newer { path: named }) if named == path));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
