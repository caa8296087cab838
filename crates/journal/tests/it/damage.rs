use std::{collections::BTreeMap, ops::Range, path::Path};

use attestry_journal::{
    Damage, Item, Journal, Opened, Options, Policy,
    disk::{Disk, File, SimDisk},
};

use crate::run::DIR;

const OPTIONS: Options = Options { segment_bytes: 4 << 10, cap_bytes: u64::MAX, policy: Policy::Block };
const GROUPS: &[&[usize]] = &[&[1], &[30, 100, 0, 700], &[8], &[1_500, 900, 1_000], &[5_000], &[3, 3, 3]];

/// Where a record stands.
#[derive(Debug)]
struct Place {
    file: String,
    head: usize,
    payload: Range<usize>,
}

fn payload(seq: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (seq * 31 + i * 7 + 1) as u8).collect()
}

/// A journal that was written in groups, and where everything stands in it.
fn written(groups: &[&[usize]]) -> (SimDisk, Vec<Vec<u8>>, Vec<Place>) {
    let disk = SimDisk::new(1);
    let (mut journal, _) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
    let mut payloads = Vec::new();
    for group in groups {
        for bytes in *group {
            payloads.push(payload(payloads.len(), *bytes));
            journal.append(&[payloads.last().unwrap()]).unwrap();
        }
        journal.sync().unwrap();
    }
    let names = disk.list(Path::new(DIR)).unwrap();
    let firsts: Vec<usize> = names.iter().map(|name| name[..20].parse().unwrap()).collect();
    let (mut places, mut file, mut at) = (Vec::new(), 0, 1_024);
    for (seq, payload) in payloads.iter().enumerate() {
        if firsts.get(file + 1) == Some(&seq) {
            (file, at) = (file + 1, 1_024);
        }
        let start = at + 32;
        places.push(Place { file: names[file].clone(), head: at, payload: start..start + payload.len() });
        at = (start + payload.len()).next_multiple_of(8);
    }
    (disk, payloads, places)
}

fn contents(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.into_iter().map(|name| (name.clone(), disk.contents(&Path::new(DIR).join(name)).unwrap())).collect()
}

fn overwrite(disk: &SimDisk, name: &str, at: usize, bytes: &[u8]) {
    let file = disk.open(&Path::new(DIR).join(name)).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
    file.sync_data().unwrap();
}

/// What an open finds: the records that are left, and what is told of the others.
fn reopened(disk: &SimDisk) -> (Opened, BTreeMap<usize, Vec<u8>>, Vec<Range<u64>>) {
    let (journal, opened) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
    let (mut reader, mut records, mut gaps) = (journal.read(0), BTreeMap::new(), Vec::new());
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record { seq, payload } => {
                assert!(records.insert(seq as usize, payload.to_vec()).is_none())
            }
            Item::Gap(gap) => gaps.push(gap),
        }
    }
    (opened, records, gaps)
}

/// Hits a journal, and asserts that exactly these records are lost, that this is told, and that writing goes on.
fn check(disk: &SimDisk, payloads: &[Vec<u8>], lost: &[usize], reported: bool, what: &str) -> Opened {
    let (opened, records, gaps) = reopened(disk);
    let end = payloads.len();
    for (seq, payload) in payloads.iter().enumerate() {
        match records.get(&seq) {
            Some(left) => {
                assert!(left == payload && !lost.contains(&seq), "{what}: record {seq} is another one")
            }
            None => assert!(lost.contains(&seq), "{what}: record {seq} is lost"),
        }
    }
    assert!(records.keys().all(|seq| *seq < end), "{what}: there are more records than ever");
    assert_eq!(!opened.damage.is_empty() || opened.torn_bytes > 0, reported, "{what}: {opened:?}");
    let told: Vec<Range<u64>> =
        opened.damage.iter().map(|d| d.first_seq..d.end_seq).filter(|range| !range.is_empty()).collect();
    assert_eq!(told, gaps, "{what}: readers and the open agree");
    for seq in lost {
        assert!(told.iter().any(|gap| gap.contains(&(*seq as u64))), "{what}: nobody tells of {seq}");
    }

    let (mut journal, again) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
    assert_eq!((again.next, again.damage.len()), (opened.next, opened.damage.len()), "{what}: told again");
    assert_eq!(journal.append(&[b"goes on"]).unwrap(), opened.next);
    journal.sync().unwrap();
    disk.crash();
    disk.restart();
    let (after, more, _) = reopened(disk);
    assert_eq!(after.next, opened.next + 1, "{what}");
    assert_eq!(more.get(&(opened.next as usize)).map(Vec::as_slice), Some(&b"goes on"[..]), "{what}");
    assert_eq!(more.len(), records.len() + 1, "{what}");
    opened
}

#[test]
fn a_flipped_bit_costs_at_most_the_record_it_hits() {
    let (disk, payloads, places) = written(GROUPS);
    for (name, bytes) in contents(&disk) {
        let records: Vec<(usize, &Place)> =
            places.iter().enumerate().filter(|(_, place)| place.file == name).collect();
        for offset in 0..bytes.len() {
            let hit =
                records.iter().find(|(_, p)| (p.head..p.payload.end).contains(&offset)).map(|(seq, _)| *seq);
            let header = offset < 32 || (512..544).contains(&offset);
            let end = records.last().map_or(1_024, |(_, place)| place.payload.end.next_multiple_of(8));
            // What is changed behind the last file's records looks torn; behind another file's nobody looks.
            let last = name == places.last().unwrap().file;
            let tail = last && offset >= end;
            let disk = disk.fork();
            disk.flip(&Path::new(DIR).join(&name), offset, (offset % 8) as u32);
            let lost: Vec<usize> = hit.into_iter().collect();
            check(&disk, &payloads, &lost, header || hit.is_some() || tail, &format!("{name} byte {offset}"));
        }
    }
}

#[test]
fn every_bit_of_a_record() {
    let (disk, payloads, places) = written(&[&[8, 17], &[40, 5], &[3]]);
    let end = places[4].payload.end;
    for bit in 1_024 * 8..end * 8 {
        let hit = places.iter().position(|place| (place.head..place.payload.end).contains(&(bit / 8)));
        let disk = disk.fork();
        disk.flip(&Path::new(DIR).join(&places[0].file), bit / 8, (bit % 8) as u32);
        let lost: Vec<usize> = hit.into_iter().collect();
        check(&disk, &payloads, &lost, hit.is_some(), &format!("bit {bit}"));
    }
}

#[test]
fn a_wiped_sector_costs_the_records_in_it() {
    let (disk, payloads, places) = written(GROUPS);
    for (name, bytes) in contents(&disk) {
        for at in (0..bytes.len()).step_by(512) {
            for wipe in [0, 0x55, 0xff] {
                let sector = at..(at + 512).min(bytes.len());
                let inside = |range: &Range<usize>| range.start < sector.end && sector.start < range.end;
                let lost: Vec<usize> = (0..places.len())
                    .filter(|seq| {
                        places[*seq].file == name && inside(&(places[*seq].head..places[*seq].payload.end))
                    })
                    .collect();
                let disk = disk.fork();
                overwrite(&disk, &name, at, &vec![wipe; sector.len()]);
                // The last mark goes with the last records: what is lost then is taken for a torn write, which is told
                // only as such. Everywhere else it is told what is missing.
                let last = lost.last() == Some(&(places.len() - 1));
                let what = format!("{name} at {at} with {wipe}");
                if last {
                    let (opened, records, _) = reopened(&disk);
                    assert!(records.iter().all(|(seq, left)| payloads[*seq] == *left), "{what}");
                    assert!(opened.torn_bytes > 0 || !opened.damage.is_empty() || wipe == 0, "{what}");
                } else {
                    let changed =
                        at < 1_024 || !lost.is_empty() || (wipe != 0 && name == places.last().unwrap().file);
                    check(&disk, &payloads, &lost, changed, &what);
                }
            }
        }
    }
}

#[test]
fn a_file_without_a_header_is_set_aside() {
    let (disk, payloads, places) = written(GROUPS);
    let files = contents(&disk);
    for (i, (name, bytes)) in files.iter().enumerate() {
        let disk = disk.fork();
        overwrite(&disk, name, 0, &[0xaa; 1_024]);
        let lost: Vec<usize> = (0..places.len()).filter(|seq| places[*seq].file == *name).collect();
        let (opened, records, gaps) = reopened(&disk);
        assert_eq!(records.len(), payloads.len() - lost.len());
        let [damage] = &opened.damage[..] else { panic!("{opened:?}") };
        assert_eq!(gaps.first(), Some(&(damage.first_seq..damage.end_seq)));
        assert_eq!((damage.offset, damage.bytes, &damage.file), (0, bytes.len() as u64, name));
        assert_eq!(damage.first_seq, lost[0] as u64);
        assert!(damage.end_seq > *lost.last().unwrap() as u64);
        if i + 1 < files.len() {
            assert_eq!(damage.end_seq as usize, lost.last().unwrap() + 1);
        } else {
            assert_eq!(opened.next, damage.end_seq, "a sequence is never used twice");
        }
        let aside = disk.contents(&Path::new(DIR).join(format!("{name}.damaged"))).unwrap();
        assert_eq!(aside[1_024..], bytes[1_024..], "it is kept as it was");

        let (mut journal, again) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
        assert_eq!((again.next, again.damage.len()), (opened.next, usize::from(i > 0)));
        assert_eq!(journal.append(&[b"goes on"]).unwrap(), opened.next);
        journal.sync().unwrap();
        journal.remove_before(u64::MAX).unwrap();
        drop(journal);
        assert_eq!(reopened(&disk).0.damage, [], "nothing before it is left");
    }
}

#[test]
fn what_was_superseded_by_a_file_set_aside_stays_so() {
    let disk = SimDisk::new(1);
    let (mut journal, _) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
    journal.append(&[b"good"]).unwrap();
    journal.sync().unwrap();
    journal.append(&[b"rolled back"]).unwrap();
    journal.rollback();
    for _ in 0..8 {
        journal.append(&[&[1; 1_000]]).unwrap();
    }
    journal.sync().unwrap();
    overwrite(&disk, "00000000000000000001.jnl", 0, &[0; 1_024]);
    for _ in 0..3 {
        let (opened, records, gaps) = reopened(&disk);
        assert_eq!(gaps.first(), Some(&(1..3)));
        assert_eq!(records[&0], b"good");
        assert_eq!((opened.first, opened.next), (0, 9));
    }
}

#[test]
fn a_cut_file_keeps_what_is_whole() {
    let (disk, payloads, places) = written(&[&[8, 17], &[40, 5], &[3]]);
    let name = &places[0].file;
    for len in 1_024..places[4].payload.end + 40 {
        let disk = disk.fork();
        let file = disk.open(&Path::new(DIR).join(name)).unwrap();
        file.set_len(len as u64).unwrap();
        file.sync_data().unwrap();
        let whole = places.iter().take_while(|place| place.payload.end <= len).count();
        let (opened, records, _) = reopened(&disk);
        assert_eq!(
            (opened.next, records.len(), opened.damage),
            (whole as u64, whole, vec![]),
            "cut at {len}"
        );
        assert!(records.iter().all(|(seq, left)| payloads[*seq] == *left));
        assert_eq!(reopened(&disk).0.next, whole as u64);
    }
}

/// A payload may hold anything, a journal's own bytes among it.
#[test]
fn images_of_records_in_a_payload_are_not_records() {
    let (other, ..) = written(&[&[0, 0, 0, 0, 0, 0, 0, 0]]);
    let image = contents(&other)[0].1[1_024..1_024 + 8 * 32].to_vec();
    for flipped in [1_024 + 32, 1_024 + 32 + 5, 1_024 + 64] {
        let disk = SimDisk::new(2);
        let (mut journal, _) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
        for payload in [&[][..], &image, b"after", b"end"] {
            journal.append(&[payload]).unwrap();
        }
        journal.sync().unwrap();
        disk.flip(&Path::new(DIR).join("00000000000000000000.jnl"), flipped, 0);
        let (opened, records, gaps) = reopened(&disk);
        assert_eq!((opened.next, gaps.len(), &gaps[0]), (4, 1, &(1..2)), "{:?}", opened.damage);
        assert_eq!(records[&2], b"after");
        assert_eq!(
            opened.damage,
            [Damage {
                file: "00000000000000000000.jnl".to_owned(),
                offset: 1_024 + 32,
                bytes: 32 + image.len() as u64,
                first_seq: 1,
                end_seq: 2,
            }]
        );
    }
}

#[test]
fn damage_after_the_open_is_a_gap() {
    let (disk, _, places) = written(GROUPS);
    let (journal, _) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
    let last = places.last().unwrap();
    for place in [&places[2], last] {
        disk.flip(&Path::new(DIR).join(&place.file), place.payload.start, 3);
    }
    let (mut reader, mut gaps, mut count) = (journal.read(0), Vec::new(), 0);
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Gap(gap) => gaps.push(gap),
            Item::Record { .. } => count += 1,
        }
    }
    let end = places.len() as u64;
    assert_eq!((gaps, count), (vec![2..3, end - 1..end], places.len() - 2));
}

#[test]
fn a_failing_read_can_be_tried_again() {
    let (disk, payloads, _) = written(GROUPS);
    let (journal, _) = Journal::open(disk.clone(), Path::new(DIR), OPTIONS).unwrap();
    let (mut reader, mut failures, mut read) = (journal.read(0), 0, Vec::new());
    loop {
        disk.fail_reads(1);
        match reader.next() {
            Ok(None) => break,
            Ok(Some(Item::Record { payload, .. })) => read.push(payload.to_vec()),
            Ok(Some(gap)) => panic!("{gap:?}"),
            Err(_) => {
                failures += 1;
                disk.fail_reads(0);
                match reader.next().unwrap() {
                    Some(Item::Record { payload, .. }) => read.push(payload.to_vec()),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(read == payloads && failures > 3);
    disk.fail_reads(1);
    assert!(Journal::open(disk.clone(), Path::new(DIR), OPTIONS).is_err(), "what cannot be read is not cut");
    disk.fail_reads(0);
    assert_eq!(reopened(&disk).1.len(), payloads.len());
}
