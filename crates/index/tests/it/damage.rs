//! Files that were cut, changed, lost or mixed up: the index says so and asks for the rows again, and never answers
//! from what is damaged.

use std::fs;
use std::path::{Path, PathBuf};

use attestry_event::Field;
use attestry_index::{Filter, Index, Opened, Options, Target};

use crate::entries::{Random, entries};
use crate::scan;

const ROWS: u64 = 400;

fn options() -> Options {
    Options { file_rows: 100, max_file_rows: 150, part_rows: 50, background: false, ..Options::default() }
}

/// An index with several files, and the entries that are in it.
fn written(dir: &Path) -> Vec<Vec<u8>> {
    let all = entries(5, ROWS);
    let (index, _) = Index::open(dir, options()).unwrap();
    index.add(0, &mut all.iter().map(Vec::as_slice)).unwrap();
    index.flush().unwrap();
    assert!(index.stats().files >= 3);
    all
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Opens, feeds what is missing, and compares with a scan.
fn repair(dir: &Path, all: &[Vec<u8>]) -> Opened {
    let (index, opened) = Index::open(dir, options()).unwrap();
    assert_eq!(opened.rows, 0..index.end());
    check(&index, all);
    let missing = &all[index.end() as usize..];
    index.add(index.end(), &mut missing.iter().map(Vec::as_slice)).unwrap();
    index.flush().unwrap();
    check(&index, all);
    drop(index);
    let (index, clean) = Index::open(dir, options()).unwrap();
    assert_eq!((clean.rows, clean.dropped), (0..ROWS, vec![]));
    check(&index, all);
    opened
}

fn check(index: &Index, all: &[Vec<u8>]) {
    let filters = [
        Filter::Word("connection".to_owned()),
        Filter::Equals(Target::Keyword(Field::Username), "alice".to_owned()),
        Filter::Exists(Target::Path("status".to_owned())),
    ];
    for filter in &filters {
        for part in index.snapshot().parts() {
            let found = part.eval(filter);
            for offset in 0..part.row_count() {
                let row = part.rows().start + u64::from(offset);
                match scan::passes(filter, row, &all[row as usize]) {
                    Some(true) => assert!(found.possible.contains(offset)),
                    Some(false) => assert!(!found.certain.contains(offset)),
                    None => {}
                }
            }
        }
    }
}

/// Damages each file of an index in turn; what is dropped must be that file.
fn each_file(damage: impl Fn(&Path, &mut Vec<u8>, &mut Random)) {
    let template = tempfile::tempdir().unwrap();
    let all = written(template.path());
    let mut random = Random::new(1);
    for (place, victim) in files(template.path()).into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        for file in files(template.path()) {
            fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
        let victim = dir.path().join(victim.file_name().unwrap());
        let mut bytes = fs::read(&victim).unwrap();
        let before = bytes.clone();
        damage(&victim, &mut bytes, &mut random);
        if bytes != before {
            fs::write(&victim, bytes).unwrap();
        }
        let opened = repair(dir.path(), &all);
        let dropped: Vec<&str> = opened.dropped.iter().map(|dropped| dropped.file.as_str()).collect();
        let name = victim.file_name().unwrap().to_str().unwrap();
        assert_eq!(dropped.first(), Some(&name), "file {place}");
        if name != "MANIFEST" {
            // It and all that follow, which the rows before it say.
            let start: u64 = name.split('-').next().unwrap().parse().unwrap();
            assert_eq!(opened.rows.end, start);
            assert!(opened.dropped[0].rows.as_ref().is_some_and(|rows| rows.start == start));
        } else {
            assert_eq!(opened.rows, 0..0);
        }
    }
}

#[test]
fn a_changed_byte_is_found() {
    for _ in 0..8 {
        each_file(|_, bytes, random| {
            let place = random.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << random.below(8);
        });
    }
}

#[test]
fn a_changed_head_or_tail_is_found() {
    each_file(|_, bytes, _| bytes[0] ^= 1);
    each_file(|_, bytes, _| *bytes.last_mut().unwrap() ^= 1);
}

#[test]
fn a_cut_file_is_found() {
    each_file(|_, bytes, random| bytes.truncate(random.below(bytes.len() as u64) as usize));
    each_file(|_, bytes, _| bytes.clear());
    each_file(|_, bytes, _| bytes.push(0));
}

#[test]
fn a_lost_part_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let all = written(dir.path());
    fs::remove_file(&files(dir.path())[1]).unwrap();
    let opened = repair(dir.path(), &all);
    assert!(!opened.dropped.is_empty());
    assert_eq!(opened.rows.end, opened.dropped[0].rows.as_ref().unwrap().start);
}

/// Without a manifest nothing is known to be complete.
#[test]
fn a_lost_manifest_is_a_new_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let all = written(dir.path());
    fs::remove_file(dir.path().join("MANIFEST")).unwrap();
    let opened = repair(dir.path(), &all);
    assert_eq!((opened.rows, opened.dropped), (0..0, vec![]));
}

/// A file of another index, sound in itself.
#[test]
fn a_file_under_a_wrong_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let all = written(dir.path());
    let files = files(dir.path());
    fs::copy(&files[0], &files[1]).unwrap();
    let opened = repair(dir.path(), &all);
    assert_eq!(opened.dropped[0].file, files[1].file_name().unwrap().to_str().unwrap());
}

/// What a crash leaves: files that the manifest does not name yet, or no longer.
#[test]
fn leftovers_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let all = written(dir.path());
    let before = files(dir.path());
    fs::write(dir.path().join("00000000000000000400-00000000000000000500.idx"), b"half a part").unwrap();
    fs::write(dir.path().join("MANIFEST.tmp"), b"attestry-index 1\nfirst").unwrap();
    fs::write(dir.path().join("a file of somebody else"), b"stays").unwrap();
    let opened = repair(dir.path(), &all);
    assert_eq!((opened.rows, opened.dropped), (0..ROWS, vec![]));
    let after = files(dir.path());
    assert_eq!(after.len(), before.len() + 1);
}

/// A newer version's manifest is not interpreted.
#[test]
fn another_version_is_fed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let all = written(dir.path());
    let manifest = dir.path().join("MANIFEST");
    let text = fs::read_to_string(&manifest).unwrap().replace("attestry-index 1", "attestry-index 2");
    fs::write(&manifest, text).unwrap();
    let opened = repair(dir.path(), &all);
    assert_eq!(opened.dropped[0].file, "MANIFEST");
    assert_eq!(opened.rows, 0..0);
}

/// The disk refuses writes for a while: rows stay searchable in memory, the writer is told when that is full, and
/// nothing is lost when the disk works again.
#[test]
fn a_refusing_disk_is_reported_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("index");
    let all = entries(6, ROWS);
    for background in [false, true] {
        let options = Options { background, memory_bytes: 20_000, ..options() };
        let (index, _) = Index::open(&home, options).unwrap();
        // No directory, no file.
        fs::remove_dir_all(&home).unwrap();
        let mut refused = false;
        for row in 0..ROWS {
            let end = index.end();
            if end < ROWS
                && index.add(end, &mut all[end as usize..].iter().take(50).map(Vec::as_slice)).is_err()
            {
                refused = true;
                break;
            }
            check(&index, &all);
            assert!(row < ROWS);
        }
        assert!(refused);
        check(&index, &all);
        fs::create_dir_all(&home).unwrap();
        index.flush().unwrap();
        while index.end() < ROWS {
            let end = index.end();
            index.add(end, &mut all[end as usize..].iter().map(Vec::as_slice)).unwrap();
        }
        index.flush().unwrap();
        drop(index);
        let (index, opened) = Index::open(&home, self::options()).unwrap();
        assert_eq!((opened.rows, opened.dropped), (0..ROWS, vec![]));
        check(&index, &all);
        drop(index);
        fs::remove_dir_all(&home).unwrap();
    }
}

#[test]
fn rows_must_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let all = entries(7, 30);
    let (index, opened) = Index::open(dir.path(), options()).unwrap();
    assert_eq!(opened.rows, 0..0);
    let add = |first: u64, rows: std::ops::Range<usize>| {
        index.add(first, &mut all[rows].iter().map(Vec::as_slice)).map_err(|error| error.to_string())
    };
    // A pruned ledger's first row is not 0.
    assert_eq!(add(1_000, 0..10), Ok(()));
    assert_eq!(index.stats().rows, 10);
    for wrong in [0, 999, 1_009, 1_011] {
        assert!(add(wrong, 10..20).is_err_and(|error| error.contains("1010")), "{wrong}");
    }
    assert_eq!(add(1_010, 10..20), Ok(()));
    index.prune(1_015).unwrap();
    let snapshot = index.snapshot();
    assert_eq!((snapshot.first(), snapshot.end()), (1_015, 1_020));
    let rows: u32 = snapshot.parts().iter().map(|part| part.count(&Filter::All).certain).sum();
    assert_eq!(rows, 5);
    index.prune(5_000).unwrap();
    assert_eq!(index.snapshot().parts().len(), 0);
    assert_eq!(index.end(), 5_000);
    drop(index);
    let (index, opened) = Index::open(dir.path(), options()).unwrap();
    assert_eq!(opened.rows, 5_000..5_000);
    assert!(index.add(10, &mut all.iter().map(Vec::as_slice)).is_err());
    index.add(5_000, &mut all.iter().map(Vec::as_slice)).unwrap();
}
