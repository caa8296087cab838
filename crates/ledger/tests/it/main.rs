//! A ledger on a real disk, as its users see it.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Batch, Border, Clock, Entry, ManualClock, Nanos};
use attestry_ledger::{
    Conflict, DataDir, DataDirError, Ledger, OnConflict, Options, Placed, ReadError, Refusal,
};
use attestry_tlog::{Checkpoint, EntryTile, Tile, VerifierKey, leaf_hash, verify_consistency};

const NOW: Nanos = Nanos(1_800_000_000_000_000_000);
const WAIT: Duration = Duration::from_secs(10);

fn small() -> Options {
    Options {
        segment_entries: 512,
        entries_per_block: 64,
        sign_every: Duration::from_millis(20),
        ..Options::default()
    }
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> (DataDir, Ledger) {
    let data = DataDir::open(dir).unwrap();
    let ledger = data.ledger("audit", Arc::clone(clock) as Arc<dyn Clock>, small()).unwrap().0;
    (data, ledger)
}

fn batch(clock: &ManualClock, source: &str, events: &[String]) -> Batch {
    let mut batch = Batch::new();
    let now = clock.now();
    let border =
        Border { event_source: source, via: &[], lenient: false, reserved_names: true, agent: false, now };
    events.iter().for_each(|event| batch.push_json(event.as_bytes(), &border).unwrap());
    batch
}

fn numbered(range: std::ops::Range<u64>) -> Vec<String> {
    range
        .map(|n| {
            format!(r#"{{"event_id":"e{n}","event_name":"a.b","username":"u","event_data":{{"n":{n}}}}}"#)
        })
        .collect()
}

#[test]
fn an_event_is_stored_once_and_another_under_its_id_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let (_data, ledger) = open(dir.path(), &clock);
    let add = |source: &str, events: &[&str], on: OnConflict| {
        let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
        ledger.append(batch(&clock, source, &events), on)
    };
    let one = r#"{"event_id":"one","event_name":"a.b","username":"u","event_data":{"x":1,"y":2}}"#;
    let reordered = r#"{"username":"u","event_name":"a.b","event_data":{"y":2, "x":1.0},"event_id":"one"}"#;
    let other = r#"{"event_id":"one","event_name":"a.b","username":"u","event_data":{"x":2}}"#;
    let two = r#"{"event_id":"two","event_name":"a.b","username":"u"}"#;
    let large = format!(
        r#"{{"event_id":"large","event_name":"a.b","username":"u","message":"{}"}}"#,
        "m".repeat(9_000)
    );
    let larger = large.replace("mm\"", "mn\"");

    let placed = |stored: Result<attestry_ledger::Stored, Refusal>| stored.unwrap().placed;
    assert_eq!(placed(add("s", &[one], OnConflict::RefuseBatch)), [Placed::New(0)]);
    clock.advance(Duration::from_secs(5));
    // Again, in another spelling and without a time of its own; twice within one batch; from another source.
    let again = add("s", &[reordered, two, two], OnConflict::RefuseBatch);
    assert_eq!(placed(again), [Placed::Duplicate(0), Placed::New(1), Placed::Duplicate(1)]);
    assert_eq!(placed(add("t", &[one], OnConflict::RefuseBatch)), [Placed::New(2)]);
    // Large values have salts of their own and are compared by content.
    assert_eq!(placed(add("s", &[&large], OnConflict::RefuseBatch)), [Placed::New(3)]);
    assert_eq!(
        placed(add("s", &[&large, &larger], OnConflict::RefuseEvent)),
        [Placed::Duplicate(3), Placed::Conflict(3)]
    );
    // All or nothing: the new event beside a conflict is not stored, and its id is free afterwards.
    let three = r#"{"event_id":"three","event_name":"a.b","username":"u"}"#;
    let refused = add("s", &[three, other, &larger], OnConflict::RefuseBatch).unwrap_err();
    let expected = [Conflict { row: 1, index: 0 }, Conflict { row: 2, index: 3 }];
    assert!(matches!(&refused, Refusal::Conflicts(conflicts) if conflicts == &expected), "{refused:?}");
    assert_eq!(ledger.size(), 4);
    assert_eq!(
        placed(add("s", &[three, other], OnConflict::RefuseEvent)),
        [Placed::New(4), Placed::Conflict(0)]
    );
    // After the window the id may be used again.
    clock.advance(Duration::from_secs(33 * 24 * 3600));
    assert_eq!(placed(add("s", &[other], OnConflict::RefuseBatch)), [Placed::New(5)]);
    assert_eq!(ledger.find_id("one"), [5, 2, 0]);
}

#[test]
fn received_at_never_decreases() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let (data, ledger) = open(dir.path(), &clock);
    let received = |ledger: &Ledger, index| {
        ledger.with_entry(index, |entry| Entry::parse(entry).unwrap().received_at()).unwrap()
    };
    ledger.append(batch(&clock, "s", &numbered(0..1)), OnConflict::RefuseBatch).unwrap();
    clock.set(Nanos(NOW.0 - 1_000_000_000));
    ledger.append(batch(&clock, "s", &numbered(1..2)), OnConflict::RefuseBatch).unwrap();
    assert_eq!((received(&ledger, 0), received(&ledger, 1)), (NOW, NOW));
    drop((ledger, data));
    let (_data, ledger) = open(dir.path(), &clock);
    ledger.append(batch(&clock, "s", &numbered(2..3)), OnConflict::RefuseBatch).unwrap();
    assert_eq!(received(&ledger, 2), NOW, "nor over a restart");
}

/// Through sealing, a restart and pruning: entries, ids, values, tiles and proofs are what they were.
#[test]
fn what_was_stored_is_read_and_proved_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let (data, ledger) = open(dir.path(), &clock);
    let key: VerifierKey = ledger.vkey().parse().unwrap();
    let message = "long ".repeat(2_000);
    let large = format!(r#"{{"event_id":"large","event_name":"a.b","username":"u","message":"{message}"}}"#);
    ledger.append(batch(&clock, "s", &[large]), OnConflict::RefuseBatch).unwrap();
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    for step in 0..9 {
        clock.advance(Duration::from_secs(60));
        ledger
            .append(batch(&clock, "s", &numbered(step * 150..step * 150 + 150)), OnConflict::RefuseBatch)
            .unwrap();
        assert!(ledger.wait_signed(ledger.size(), WAIT));
        checkpoints.push(Checkpoint::open(&ledger.signed().unwrap().note, &key).unwrap());
    }
    let entries = all(&ledger);
    assert_eq!(entries.len(), 1_351);

    let check = |ledger: &Ledger, first: u64, stage: &str| {
        assert!(ledger.wait_signed(ledger.size(), WAIT), "{stage}");
        let size = ledger.size();
        for (index, entry) in entries.iter().enumerate().skip(first as usize) {
            let index = index as u64;
            assert_eq!(&ledger.with_entry(index, <[u8]>::to_vec).unwrap(), entry, "{stage}: {index}");
            if index.is_multiple_of(37) || index + 1 == size {
                let proof = ledger.prove(index).unwrap();
                assert_eq!(proof.verify(entry, &key).unwrap().size, size, "{stage}: {index}");
            }
        }
        let now = ledger.signed().unwrap();
        for old in checkpoints
            .iter()
            .filter(|old| old.size > 0 && (old.size >= first || old.size.is_multiple_of(256)))
        {
            let proof = ledger.consistency(old.size, now.size).unwrap();
            verify_consistency(old.size, old.root, now.size, now.root, &proof).unwrap();
        }
        let tile = Tile { level: 1, index: 0, width: 5 };
        let hashes = ledger.tile(&tile).unwrap();
        assert_eq!(hashes.len(), 5 * 32, "{stage}");
        let leaves: Vec<_> = entries[1024..1280].iter().map(|entry| leaf_hash(entry)).collect();
        assert_eq!(hashes[4 * 32..], attestry_tlog::subtree_root(&leaves).0, "{stage}");
        let bundle = ledger.entry_tile(&EntryTile { index: 4, width: 256 }).unwrap();
        let found: Vec<&[u8]> = attestry_tlog::tile::entries(&bundle).map(Result::unwrap).collect();
        assert_eq!(found, entries[1024..1280], "{stage}");
        let beyond = Tile { level: 1, index: 0, width: 6 };
        assert!(
            matches!(ledger.tile(&beyond), Err(ReadError::Beyond { .. })),
            "{stage}: no tile beyond the checkpoint"
        );
    };
    check(&ledger, 0, "in the journal");
    ledger.seal_now().unwrap();
    assert!(ledger.sizes().sealed_bytes > 0);
    check(&ledger, 0, "sealed");
    assert_eq!(ledger.find_id("e700"), [701]);
    assert_eq!(value(&ledger, &entries[0]), message);
    let unsigned = ledger.size();
    drop((ledger, data));

    let (data, ledger) = open(dir.path(), &clock);
    assert_eq!(ledger.size(), unsigned);
    check(&ledger, 0, "after a restart");
    assert_eq!(ledger.find_id("e700"), [701]);
    assert_eq!(value(&ledger, &entries[0]), message);

    // The first segment holds 0..512; what came in with step 4 is in the second one, too.
    let cutoff = Nanos(NOW.0 + 5 * 60_000_000_000);
    let prunable = ledger.prunable(cutoff).unwrap();
    assert_eq!(prunable.range, 0..512);
    assert_eq!(ledger.prunable(NOW), None);
    ledger.prune(prunable.range.end).unwrap();
    for ledger in [
        ledger,
        {
            drop(data);
            open(dir.path(), &clock)
        }
        .1,
    ] {
        assert_eq!(ledger.first(), 512);
        assert!(matches!(ledger.with_entry(511, <[u8]>::len), Err(ReadError::Pruned { first: 512, .. })));
        check(&ledger, 512, "pruned");
        drop(ledger);
    }
}

fn all(ledger: &Ledger) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    ledger.scan(0, u64::MAX, &mut |_, entry| entries.push(entry.to_vec())).unwrap();
    entries
}

fn value(ledger: &Ledger, entry: &[u8]) -> String {
    let entry = Entry::parse(entry).unwrap();
    let Some(attestry_event::Text::Ref { hash, .. }) = entry.message() else {
        panic!("the message is not kept beside")
    };
    String::from_utf8(ledger.value(&hash).unwrap().unwrap().content).unwrap()
}

#[test]
fn a_tree_that_shrank_or_changed_is_not_signed_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let files = dir.path().join("ledgers/audit");
    let (data, ledger) = open(dir.path(), &clock);
    ledger.append(batch(&clock, "s", &numbered(0..1_100)), OnConflict::RefuseBatch).unwrap();
    ledger.seal_now().unwrap();
    drop((ledger, data));
    let newest = std::fs::read(files.join("checkpoint")).unwrap();

    let refused = |what: &str| {
        let data = DataDir::open(dir.path()).unwrap();
        let error = data.ledger("audit", Arc::clone(&clock) as Arc<dyn Clock>, small()).err().unwrap();
        let DataDirError::Ledger { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains(what), "{source} does not say {what}");
        assert_eq!(std::fs::read(files.join("checkpoint")).unwrap(), newest, "nothing was signed");
    };
    let journal = std::fs::read_dir(files.join("wal")).unwrap().next().unwrap().unwrap().path();
    let kept = std::fs::read(&journal).unwrap();
    std::fs::remove_file(&journal).unwrap();
    refused("a tree of 1100 entries was signed, but there are only 1024");
    std::fs::write(&journal, kept).unwrap();

    let segment = files.join(format!("segments/{:020}-{:020}.seg", 0, 512));
    let moved = segment.with_extension("away");
    std::fs::rename(&segment, &moved).unwrap();
    refused("entries 0..512 are missing");
    std::fs::rename(&moved, &segment).unwrap();
    let (_data, ledger) = open(dir.path(), &clock);
    assert_eq!(ledger.size(), 1_100);
}

#[test]
fn a_data_directory_is_used_by_one_and_not_by_an_older_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let data = DataDir::open(&path).unwrap();
    assert_eq!(data.installation().len(), 32);
    assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse { .. })));
    let installation = data.installation().to_owned();
    drop(data);
    assert_eq!(DataDir::open(&path).unwrap().installation(), installation);
    std::fs::write(path.join("FORMAT"), "attestry-data 2\n").unwrap();
    let error = DataDir::open(&path).unwrap_err().to_string();
    assert!(error.contains("attestry-data 2") && error.contains("no newer"), "{error}");
    // A first start that was cut short is begun anew.
    std::fs::remove_file(path.join("FORMAT")).unwrap();
    drop(DataDir::open(&path).unwrap());
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("thesis.doc"), "x").unwrap();
    assert!(matches!(DataDir::open(foreign.path()), Err(DataDirError::Foreign { .. })));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    std::fs::write(path.join("FORMAT"), "attestry-data 1\n").unwrap();
    let data = DataDir::open(&path).unwrap();
    for name in ["", "..", "a/b", "Audit", &"x".repeat(33)] {
        assert!(
            matches!(data.ledger(name, Arc::clone(&clock), small()), Err(DataDirError::Name { .. })),
            "{name}"
        );
    }
    drop(data.ledger("audit", Arc::clone(&clock), small()).unwrap());
    std::fs::remove_file(path.join("keys/audit.key")).unwrap();
    let error = data.ledger("audit", clock, small()).err().unwrap().to_string();
    assert!(error.contains("signing key is missing"), "no other key is made in its place: {error}");
}

/// What was committed before the process died is there, and its ids are known, also those of segments whose ids were deleted.
#[test]
fn derived_files_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let (data, ledger) = open(dir.path(), &clock);
    ledger.append(batch(&clock, "s", &numbered(0..1_300)), OnConflict::RefuseBatch).unwrap();
    ledger.seal_now().unwrap();
    drop((ledger, data));
    std::fs::remove_dir_all(dir.path().join("ledgers/audit/ids")).unwrap();
    let (_data, ledger) = open(dir.path(), &clock);
    let again = ledger.append(batch(&clock, "s", &numbered(0..1_300)), OnConflict::RefuseBatch).unwrap();
    assert_eq!(again.placed, (0..1_300).map(Placed::Duplicate).collect::<Vec<_>>());
    assert_eq!(ledger.size(), 1_300);
}
