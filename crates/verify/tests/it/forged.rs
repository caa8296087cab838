//! Forgeries, each of which both verifiers must catch, naming the entries.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use attestry_tlog::{Pin, SigningKey};

use crate::both::agreed;
use crate::model::{
    ENTRIES, Model, PINNED, SEALED, SIGNED, WITH_VALUE, edited, event, journal_header, push_record,
};

/// Which entries must be named.
enum Named {
    /// These and no others.
    Exactly(Vec<Range<u64>>),
    /// These at least: the forger left nothing that would tell them from the others.
    AtLeast(Vec<Range<u64>>),
    /// No entries: the damage is elsewhere.
    None,
}
use Named::{AtLeast, Exactly};

/// Lets a forger at the honest ledger, then at its files, and expects damage that names the entries.
#[track_caller]
fn caught(forge: impl Fn(&mut Model), patch: impl Fn(&Path), pinned: Option<u64>, named: Named) {
    let honest = Model::sample();
    let pins: Vec<Pin> = pinned.iter().map(|size| honest.pin(*size)).collect();
    let mut model = honest;
    forge(&mut model);
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path());
    patch(dir.path());
    let verdict = agreed(dir.path(), &pins);
    assert_eq!(verdict.code, 1, "{}", verdict.text);
    let set = |ranges: Vec<Range<u64>>| ranges.into_iter().flatten().collect::<BTreeSet<u64>>();
    match named {
        Exactly(ranges) => assert_eq!(verdict.named, set(ranges), "{}", verdict.text),
        AtLeast(ranges) => assert!(verdict.named.is_superset(&set(ranges)), "{}", verdict.text),
        Named::None => assert_eq!(verdict.named, BTreeSet::new(), "{}", verdict.text),
    }
}

fn untouched(_: &Path) {}

fn as_it_was(_: &mut Model) {}

fn ledger(dir: &Path) -> PathBuf {
    dir.join("ledgers/audit")
}

/// The files below `folder` with this ending, in order.
fn files(dir: &Path, folder: &str, ending: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(ledger(dir).join(folder)).unwrap().flatten().map(|file| file.path());
    let mut found: Vec<_> =
        listed.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    found.sort();
    found
}

fn change(path: &Path, by: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    by(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn edited_entry() {
    let edit = |index: u64| move |model: &mut Model| model.set(index, edited(index));
    let recomputed = |index: u64| {
        move |model: &mut Model| {
            model.set(index, edited(index));
            model.recompute();
        }
    };
    caught(edit(300), untouched, None, Exactly(vec![300..301]));
    caught(edit(300), untouched, Some(PINNED), Exactly(vec![300..301]));
    caught(recomputed(300), untouched, None, AtLeast(vec![300..301]));
    // A pin narrows it down: before the pinned size, or behind it.
    caught(recomputed(300), untouched, Some(PINNED), AtLeast(vec![300..301]));
    caught(recomputed(800), untouched, Some(PINNED), Exactly(vec![PINNED..SIGNED]));
    caught(recomputed(1_040), untouched, None, AtLeast(vec![1_040..1_041]));
    caught(recomputed(1_040), untouched, Some(SEALED), Exactly(vec![SEALED..SIGNED]));
}

/// The prefix was put right, the node not: the tile is all that can be told.
#[test]
fn edited_entry_with_its_prefix() {
    let honest = Model::sample();
    let patch = |dir: &Path| {
        // The honest node is put back among the forged ones.
        let node = attestry_tlog::subtree_root(&honest.leaves[256..512]).0;
        change(&files(dir, "segments", "seg")[0], |bytes| {
            let footer = bytes.len() - 96;
            let nodes = u64::from_le_bytes(bytes[footer + 72..footer + 80].try_into().unwrap()) as usize;
            bytes[nodes + 32..nodes + 64].copy_from_slice(&node);
            let directory = u64::from_le_bytes(bytes[footer + 48..footer + 56].try_into().unwrap()) as usize;
            let crc = crc32c::crc32c(&bytes[directory..footer]);
            bytes[footer + 80..footer + 84].copy_from_slice(&crc.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[footer..footer + 84]);
            bytes[footer + 84..footer + 88].copy_from_slice(&crc.to_le_bytes());
        });
    };
    let forge = |model: &mut Model| {
        model.set(300, edited(300));
        model.recompute();
    };
    caught(forge, patch, None, Exactly(vec![256..512]));
}

#[test]
fn dropped_entry() {
    let forge = |recompute: bool| {
        move |model: &mut Model| {
            model.entries.remove(900);
            if recompute {
                model.recompute();
            }
            model.values[2].0 -= 1;
        }
    };
    caught(forge(false), untouched, None, AtLeast(vec![900..SEALED]));
    caught(forge(true), untouched, None, AtLeast(vec![900..SIGNED]));
    caught(forge(true), untouched, Some(PINNED), Exactly(vec![PINNED..SIGNED]));
}

#[test]
fn inserted_entry() {
    let forge = |recompute: bool| {
        move |model: &mut Model| {
            model.entries.insert(900, edited(899));
            if recompute {
                model.recompute();
            }
            model.values[2].0 += 1;
        }
    };
    caught(forge(false), untouched, None, AtLeast(vec![900..SEALED]));
    caught(forge(true), untouched, Some(PINNED), Exactly(vec![PINNED..SIGNED]));
}

#[test]
fn reordered_entries() {
    let forge = |recompute: bool| {
        move |model: &mut Model| {
            model.entries.swap(300, 310);
            if recompute {
                model.recompute();
            }
        }
    };
    // 301 was received before the one that now stands in front of it.
    caught(forge(false), untouched, None, Exactly(vec![300..302, 310..311]));
    caught(forge(true), untouched, None, AtLeast(vec![300..311]));
}

#[test]
fn swapped_blocks() {
    let forge = |recompute: bool| {
        move |model: &mut Model| {
            for index in 128..256 {
                model.entries.swap(index, index + 256);
            }
            if recompute {
                model.recompute();
            }
        }
    };
    caught(forge(false), untouched, None, AtLeast(vec![128..256, 384..512]));
    caught(forge(true), untouched, None, AtLeast(vec![128..256, 384..512]));
    // The frames alone, with their records in the directory left as they were.
    let swap = |dir: &Path| {
        change(&files(dir, "segments", "seg")[0], |bytes| {
            let footer = bytes.len() - 96;
            let directory = u64::from_le_bytes(bytes[footer + 48..footer + 56].try_into().unwrap()) as usize;
            let (first, second) = bytes[directory..directory + 48].split_at(24);
            let swapped = [second, first].concat();
            bytes[directory..directory + 48].copy_from_slice(&swapped);
        });
    };
    caught(as_it_was, swap, None, AtLeast(vec![0..256]));
}

#[test]
fn cut_tail() {
    let forge = |model: &mut Model| {
        model.entries.truncate(1_060);
    };
    caught(forge, untouched, None, Exactly(vec![1_060..SIGNED]));
    let forge = |model: &mut Model| {
        model.entries.truncate(SEALED as usize);
        model.values.pop();
    };
    caught(forge, untouched, None, Exactly(vec![SEALED..SIGNED]));
}

#[test]
fn forged_checkpoint() {
    // Without the key.
    let other_size = |model: &mut Model| {
        model.checkpoint = model.checkpoint.take().map(|note| note.replace("\n1090\n", "\n1080\n"));
    };
    caught(other_size, untouched, None, Named::None);
    caught(|model| model.checkpoint = None, untouched, None, AtLeast(vec![0..ENTRIES]));
    caught(|model| model.checkpoint = Some("hello\n".into()), untouched, None, Named::None);
    // With it: a new history, recomputed and signed. Nothing in the directory can tell.
    let rewritten = |model: &mut Model| {
        model.set(300, edited(300));
        model.recompute();
        model.sign(SIGNED);
    };
    nothing_without_a_pin(rewritten);
    caught(rewritten, untouched, Some(PINNED), Exactly(vec![0..PINNED]));
    // Two trees of one size, signed by one key.
    caught(rewritten, untouched, Some(SIGNED), Exactly(vec![0..SIGNED]));
}

#[test]
fn swapped_key() {
    let swap = |model: &mut Model| {
        model.key = SigningKey::generate(model.key.name(), [8; 32]).unwrap();
        model.vkey = model.key.verifier().to_string();
        model.sign(SIGNED);
    };
    nothing_without_a_pin(swap);
    caught(swap, untouched, Some(PINNED), AtLeast(vec![0..PINNED]));
    // The key alone.
    let vkey = |model: &mut Model| {
        model.vkey = SigningKey::generate(model.key.name(), [8; 32]).unwrap().verifier().to_string()
    };
    caught(vkey, untouched, None, Named::None);
    caught(|model| model.vkey = "x".into(), untouched, None, Named::None);
    let other_ledger = |model: &mut Model| {
        model.key = SigningKey::generate(&model.key.name().replace("audit", "logs"), [7; 32]).unwrap();
        model.vkey = model.key.verifier().to_string();
        model.sign(SIGNED);
    };
    caught(other_ledger, untouched, None, Named::None);
}

#[test]
fn older_copy_restored() {
    let older = |model: &mut Model| {
        model.entries.truncate(600);
        model.leaves.truncate(600);
        model.values.retain(|(index, _)| *index < 600);
        model.segments.pop();
        model.sign(600);
    };
    nothing_without_a_pin(older);
    caught(older, untouched, Some(PINNED), Exactly(vec![600..PINNED]));
    // Only the checkpoint is older.
    caught(|model| model.sign(600), untouched, Some(PINNED), Exactly(vec![600..PINNED]));
}

/// Such a forgery is clean by itself, and the report says that it could be one.
#[track_caller]
fn nothing_without_a_pin(forge: impl Fn(&mut Model)) {
    let mut model = Model::sample();
    forge(&mut model);
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path());
    let verdict = agreed(dir.path(), &[]);
    assert_eq!((verdict.code, verdict.limits), (0, true), "{}", verdict.text);
    assert!(verdict.text.contains("without a pin"), "{}", verdict.text);
}

#[test]
fn bytes_that_rotted() {
    // A block's frame: nothing was recomputed, so the block no longer reads, or reads with its checksum wrong.
    let frame = |dir: &Path| change(&files(dir, "segments", "seg")[0], |bytes| bytes[16 + 1_000] ^= 4);
    let dir = tempfile::tempdir().unwrap();
    Model::sample().write(dir.path());
    frame(dir.path());
    let verdict = agreed(dir.path(), &[]);
    assert!(verdict.code == 1 && verdict.named.iter().all(|index| *index < 128), "{}", verdict.text);
    // The footer: nothing in the file can be found any more.
    let footer = |dir: &Path| {
        change(&files(dir, "segments", "seg")[1], |bytes| {
            let at = bytes.len() - 40;
            bytes[at] ^= 1;
        })
    };
    caught(as_it_was, footer, None, AtLeast(vec![512..SEALED]));
    // A record in the middle of the journal.
    let record = |dir: &Path| change(&files(dir, "wal", "jnl")[0], |bytes| bytes[1_024 + 500] ^= 1);
    caught(as_it_was, record, None, Exactly(vec![SEALED..SEALED + 20]));
    // The last record, which nothing behind it proves to have been acknowledged but the checkpoint.
    let last = |dir: &Path| {
        change(&files(dir, "wal", "jnl")[1], |bytes| {
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes[end - 10] ^= 1;
        })
    };
    caught(as_it_was, last, None, Exactly(vec![1_084..SIGNED]));
    // Both headers of a journal file.
    let headers = |dir: &Path| {
        change(&files(dir, "wal", "jnl")[0], |bytes| {
            bytes[20] ^= 1;
            bytes[532] ^= 1;
        })
    };
    caught(as_it_was, headers, None, Exactly(vec![SEALED..SEALED + 20, WITH_VALUE[2]..WITH_VALUE[2] + 1]));
}

#[test]
fn removed_files() {
    let segment =
        |nth: usize| move |dir: &Path| fs::remove_file(&files(dir, "segments", "seg")[nth]).unwrap();
    caught(as_it_was, segment(0), None, AtLeast(vec![0..512]));
    caught(as_it_was, segment(1), Some(PINNED), AtLeast(vec![512..SEALED]));
    let journal = |dir: &Path| fs::remove_dir_all(ledger(dir).join("wal")).unwrap();
    caught(as_it_was, journal, None, Exactly(vec![SEALED..SIGNED]));
    let all = |dir: &Path| fs::remove_dir_all(ledger(dir)).unwrap();
    caught(as_it_was, all, None, Named::None);
    caught(as_it_was, all, Some(PINNED), Exactly(vec![0..PINNED]));
    let values = |dir: &Path| fs::remove_file(&files(dir, "segments", "val")[1]).unwrap();
    caught(as_it_was, values, None, Exactly(vec![WITH_VALUE[1]..WITH_VALUE[1] + 1]));
    let installation = |dir: &Path| fs::write(dir.join("installation"), "f".repeat(32) + "\n").unwrap();
    caught(as_it_was, installation, None, Named::None);
    caught(as_it_was, installation, Some(PINNED), Exactly(vec![0..PINNED]));
}

#[test]
fn values() {
    for (nth, index) in WITH_VALUE.into_iter().enumerate() {
        let altered = |model: &mut Model| model.values[nth].1.content[0] ^= 1;
        caught(altered, untouched, None, Exactly(vec![index..index + 1]));
        let salted = |model: &mut Model| model.values[nth].1.salt[3] ^= 1;
        caught(salted, untouched, None, Exactly(vec![index..index + 1]));
        let removed = |model: &mut Model| {
            model.values.remove(nth);
        };
        caught(removed, untouched, None, Exactly(vec![index..index + 1]));
        // Somebody else's event does not erase.
        let excused = |model: &mut Model| {
            let (_, value) = model.values.remove(nth);
            let data = format!("{{\"value\":\"sha256:{}\"}}", crate::model::hex(&value.hash));
            model.set(1_070, event(1_070, "value.erased", "web", &data));
            model.recompute();
            model.sign(SIGNED);
        };
        caught(excused, untouched, None, Exactly(vec![index..index + 1]));
    }
}

#[test]
fn pruned_without_leave() {
    caught(|model| model.pruned = 1, untouched, None, Exactly(vec![0..512]));
    let more = |model: &mut Model| {
        model.set(1_060, event(1_060, "ledger.pruned", "attestry", "{\"ledger\":\"audit\",\"first\":512}"));
        model.recompute();
        model.sign(SIGNED);
        model.pruned = 2;
    };
    caught(more, untouched, None, Exactly(vec![512..SEALED]));
    let remains_gone = |dir: &Path| fs::remove_file(&files(dir, "segments", "pruned")[0]).unwrap();
    let less = |model: &mut Model| {
        more(model);
        model.pruned = 1;
    };
    caught(less, remains_gone, None, AtLeast(vec![0..512]));
}

#[test]
fn stored_hashes_only() {
    let wrong = |model: &mut Model| model.leaves[300].0[0] ^= 1;
    caught(wrong, untouched, None, Exactly(vec![256..512]));
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::sample();
    wrong(&mut model);
    model.write(dir.path());
    assert!(agreed(dir.path(), &[]).text.contains("the entries are right"));
}

/// Who can write to the disk but not sign can put an event behind the last that was signed. It excuses nothing.
#[test]
fn excuses_that_nobody_signed() {
    let pruned = |model: &mut Model| {
        model.set(1_095, event(1_095, "ledger.pruned", "attestry", "{\"ledger\":\"audit\",\"first\":512}"));
        model.recompute();
        model.pruned = 1;
    };
    caught(pruned, untouched, None, Exactly(vec![0..512]));
    let erased = |model: &mut Model| {
        let (index, value) = model.values.remove(1);
        let data = format!("{{\"value\":\"sha256:{}\"}}", crate::model::hex(&value.hash));
        model.set(1_095, event(1_095, "value.erased", "attestry", &data));
        model.recompute();
        assert_eq!(index, WITH_VALUE[1]);
    };
    caught(erased, untouched, None, Exactly(vec![WITH_VALUE[1]..WITH_VALUE[1] + 1]));
}

/// A segment that says that its entries are old would be pruned by the server itself. Only we look at it: the times are hints.
#[test]
fn aged_segment() {
    use attestry_verify::{Options, directory};
    let dir = tempfile::tempdir().unwrap();
    Model::sample().write(dir.path());
    change(&files(dir.path(), "segments", "seg")[0], |bytes| {
        let footer = bytes.len() - 96;
        bytes[footer + 47] = 0;
        bytes[footer + 46] = 0;
        let crc = crc32c::crc32c(&bytes[footer..footer + 84]);
        bytes[footer + 84..footer + 88].copy_from_slice(&crc.to_le_bytes());
    });
    let report = directory(dir.path(), &Options::default()).unwrap();
    assert!(report.exit_code() == 1 && report.to_string().contains("the times in its footer"), "{report}");
}

/// Several at once: all are listed, not only the first.
#[test]
fn everything_is_listed() {
    let forge = |model: &mut Model| {
        for index in [3, 4, 5, 300, 511, 512, 1_000] {
            model.set(index, edited(index));
        }
        model.values.remove(1);
    };
    let expected = vec![3..6, 300..301, 511..513, 600..601, 1_000..1_001];
    caught(forge, untouched, None, Exactly(expected));
}

#[test]
fn a_superseded_write_is_not_evidence_and_a_torn_one_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::sample();
    model.write(dir.path());
    let first = &files(dir.path(), "wal", "jnl")[0];
    let second = &files(dir.path(), "wal", "jnl")[1];
    let next: u64 = second.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    change(first, |bytes| {
        // A write that failed: the same sequence was written again, to the next file.
        bytes.truncate(bytes.len() - 4_096);
        push_record(bytes, next, next, &[&[1][..], &1_064_u64.to_le_bytes(), &0_u32.to_le_bytes()].concat());
    });
    change(second, |bytes| {
        // The beginning of a record whose write was cut off.
        let end = bytes.len() - 4_096;
        bytes.truncate(end);
        push_record(bytes, next + 50, 0, b"");
        bytes.extend(b"JRNL and then nothing");
    });
    let verdict = agreed(dir.path(), &[]);
    assert_eq!(verdict.code, 0, "{}", verdict.text);
    // A file set aside counts as one with nothing in it.
    let mut aside = journal_header(next + 1_000);
    aside[20] ^= 1;
    fs::write(ledger(dir.path()).join(format!("wal/{:020}.jnl.damaged", next + 2_000)), aside).unwrap();
    let verdict = agreed(dir.path(), &[]);
    assert_eq!(
        verdict.code, 1,
        "what the next file proves to have been acknowledged is gone: {}",
        verdict.text
    );
}

#[test]
fn what_cannot_be_checked_says_so() {
    use attestry_verify::{CannotCheck, Options, directory};
    let dir = tempfile::tempdir().unwrap();
    let check = || directory(dir.path(), &Options::default());
    assert!(matches!(check(), Err(CannotCheck::Unknown(_))));
    Model::sample().write(dir.path());
    assert!(check().unwrap().is_clean());
    let one = |name: &str| attestry_verify::ledger(dir.path(), name, &Options::default());
    assert!(one("audit").unwrap().is_clean());
    assert!(matches!(one("logs"), Err(CannotCheck::Io { .. })));
    fs::write(dir.path().join("FORMAT"), "attestry-data 2\n").unwrap();
    assert!(matches!(check(), Err(CannotCheck::Newer(_))));
}

/// Whatever byte of a sealed segment, a value file, the key or the checkpoint is changed, it is noticed, and nothing panics.
/// In the journal there is room that means nothing; there it is only the latter.
#[test]
fn any_changed_byte_is_noticed() {
    use attestry_verify::{Options, directory};
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::sample();
    model.segments = vec![0..256, 256..SEALED];
    model.write(dir.path());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for (folder, ending, must) in
        [("segments", "seg", true), ("segments", "val", true), ("wal", "jnl", false)]
    {
        for path in files(dir.path(), folder, ending) {
            let honest = fs::read(&path).unwrap();
            for _ in 0..25 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (at, bit) = ((random >> 32) as usize % honest.len(), random >> 29 & 7);
                let mut bytes = honest.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, bytes).unwrap();
                let code = directory(dir.path(), &Options::default()).unwrap().exit_code();
                assert!(code == 1 || !must, "bit {bit} of byte {at} of {}", path.display());
                fs::write(&path, &honest[..at]).unwrap();
                let code = directory(dir.path(), &Options::default()).unwrap().exit_code();
                assert!(code == 1 || !must, "{} cut at {at}", path.display());
            }
            fs::write(&path, honest).unwrap();
        }
    }
    for name in ["vkey", "checkpoint"] {
        let path = ledger(dir.path()).join(name);
        let honest = fs::read(&path).unwrap();
        for at in 0..honest.len() - 1 {
            let mut bytes = honest.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(
                directory(dir.path(), &Options::default()).unwrap().exit_code(),
                1,
                "byte {at} of {name}"
            );
        }
        fs::write(&path, honest).unwrap();
    }
}
