//! What is in order, and what is not damage although something is gone.

use crate::both::agreed;
use crate::model::{ENTRIES, Model, PINNED, SEALED, SIGNED, event, hex};

/// Writes the model, checks it with both, and expects the exit code.
fn check(model: &Model, pins: &[u64], code: i64) -> String {
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path());
    let pins: Vec<_> = pins.iter().map(|size| model.pin(*size)).collect();
    let verdict = agreed(dir.path(), &pins);
    assert_eq!(verdict.code, code, "{}", verdict.text);
    verdict.text
}

#[test]
fn an_honest_directory() {
    let text = check(&Model::sample(), &[], 0);
    for part in [
        "1,090 entries, root ",
        "0 to 1,099; 1,100 read and hashed",
        "3 large values",
        "older copy was put back",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Pins of every kind of size: nothing, within and at the end of tiles, sealed or not, up to the checkpoint.
    let text = check(&Model::sample(), &[0, 1, 256, PINNED, SEALED, SEALED + 1, SIGNED], 0);
    assert!(text.contains("pinned 700 entries") && text.contains("rewrote entries from 1090 on"), "{text}");
}

#[test]
fn sizes_at_the_borders() {
    for (entries, segments, signed) in [
        (0, vec![], 0),
        (1, vec![], 1),
        (256, vec![], 256),
        (256, vec![0..256], 256),
        (257, vec![0..256], 256),
        (257, vec![0..256], 257),
        (ENTRIES, vec![0..256, 256..SEALED], 1_000),
    ] {
        let mut model = Model::sample();
        model.entries.truncate(entries as usize);
        model.values.retain(|(index, _)| *index < entries);
        model.segments = segments;
        model.sign(signed);
        check(&model, &[signed], 0);
    }
}

#[test]
fn a_new_ledger_without_a_checkpoint() {
    let mut model = Model::sample();
    (model.checkpoint, model.segments) = (None, Vec::new());
    let text = check(&model, &[], 2);
    assert!(text.contains("there is no checkpoint yet"), "{text}");
    model.entries.clear();
    model.values.clear();
    check(&model, &[], 0);
}

#[test]
fn pruned_as_an_event_allows() {
    let mut model = Model::sample();
    model.set(1_060, event(1_060, "ledger.pruned", "attestry", "{\"ledger\":\"audit\",\"first\":512}"));
    model.recompute();
    model.sign(SIGNED);
    model.pruned = 1;
    let text = check(&model, &[PINNED, SIGNED, 256], 0);
    assert!(text.contains("everything before entry 512"), "{text}");
    // A pin that ends within what is gone can no longer be compared, and nobody is told that it was.
    let text = check(&model, &[300], 2);
    assert!(text.contains("the pin of 300 entries"), "{text}");
    // The event may allow more than was done.
    model.pruned = 0;
    check(&model, &[300], 0);
}

#[test]
fn a_value_erased_as_an_event_says() {
    let mut model = Model::sample();
    let (_, erased) = model.values.remove(0);
    let data = format!("{{\"value\":\"sha256:{}\"}}", hex(&erased.hash));
    model.set(1_070, event(1_070, "value.erased", "attestry", &data));
    model.recompute();
    model.sign(SIGNED);
    let text = check(&model, &[], 0);
    assert!(text.contains("2 large values match their hashes, 1 were erased"), "{text}");
}

#[test]
fn entries_of_a_later_version_are_checked_as_bytes() {
    let mut model = Model::sample();
    model.set(300, b"{\"v\":2,\"something\":\"else\"}".to_vec());
    model.recompute();
    model.sign(SIGNED);
    let text = check(&model, &[], 0);
    assert!(text.contains("1 entries are of a later version"), "{text}");
}

/// The journal still holds what was sealed, and a pruned segment still lies beside what stays of it.
#[test]
fn what_a_crash_leaves_behind() {
    let model = Model::sample();
    let dir = tempfile::tempdir().unwrap();
    let mut before = model.clone();
    before.segments.pop();
    before.write(dir.path());
    model.write(&dir.path().join("later"));
    let later = dir.path().join("later/ledgers/audit/segments");
    for file in std::fs::read_dir(later).unwrap().flatten() {
        std::fs::copy(file.path(), dir.path().join("ledgers/audit/segments").join(file.file_name())).unwrap();
    }
    let verdict = agreed(dir.path(), &[model.pin(PINNED)]);
    assert_eq!(verdict.code, 0, "{}", verdict.text);
}
