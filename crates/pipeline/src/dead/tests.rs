use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use attestry_event::Clock;
use attestry_journal::disk::{Lie, SimDisk};

use super::*;
use crate::testing::{Answer, FakeSink, Far, batch, clock, number};
use crate::{Failure, Parcel};

const DIR: &str = "/sinks/siem/dead";

fn small() -> DeadOptions {
    DeadOptions { max_bytes: 128 << 10, segment_bytes: Some(16 << 10) }
}

fn open(disk: &SimDisk) -> DeadLetters<SimDisk> {
    DeadLetters::open(disk.clone(), Path::new(DIR), small()).unwrap().0
}

fn parcel(number: u64) -> Parcel {
    let attestry_event::Batch { bytes, values, .. } = batch([number]);
    Parcel { ledger: "logs".into(), number: 7, seq: Some(5), entry: bytes.into(), values }
}

/// Puts one letter; the evicted ones are added up.
fn put(dead: &DeadLetters<SimDisk>, number: u64, evicted: &mut u64) -> Result<(), Error> {
    let parcel = parcel(number);
    let reason = format!("no {number} here");
    let refusal = Refusal { parcel: &parcel, reason: &reason, attempts: 2 };
    dead.put(&[refusal], clock().now(), &mut |gone| *evicted += gone.letters.unwrap())
}

fn all(dead: &DeadLetters<SimDisk>) -> Vec<u64> {
    let letters = dead.list(0, usize::MAX, u64::MAX).unwrap();
    letters.iter().map(|letter| number(&letter.parcel).unwrap()).collect()
}

#[test]
fn letters_are_kept_read_and_forgotten() {
    let disk = SimDisk::new(1);
    let dead = open(&disk);
    let mut evicted = 0;
    for number in 0..10 {
        put(&dead, number, &mut evicted).unwrap();
    }
    let dead = open(&disk);
    assert_eq!((dead.len(), evicted), (10, 0));
    let letter = dead.get(dead.ids()[5]).unwrap().unwrap();
    assert_eq!((letter.reason.as_str(), letter.attempts, letter.at), ("no 5 here", 2, clock().now()));
    assert_eq!((letter.parcel.entry.clone(), &*letter.parcel.ledger), (parcel(5).entry, "logs"));
    assert_eq!((letter.parcel.values.len(), letter.parcel.seq), (1, None));
    assert_eq!(dead.list(dead.ids()[3], 4, u64::MAX).unwrap().len(), 4);
    assert_eq!(dead.list(0, 100, 1).unwrap().len(), 1);
    let ids = dead.ids();
    assert_eq!(dead.forget(&[ids[0], ids[4], ids[4], 9_999], &mut |_| ()).unwrap(), 2);
    assert_eq!(all(&dead), [1, 2, 3, 5, 6, 7, 8, 9]);
    let dead = open(&disk);
    assert_eq!(all(&dead), [1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(dead.get(ids[4]).unwrap().map(|letter| letter.id), None);
    assert_eq!(dead.forget(&dead.ids(), &mut |_| ()).unwrap(), 8);
    assert!(open(&disk).is_empty());
}

#[test]
fn what_goes_over_the_bound_is_told() {
    let disk = SimDisk::new(1);
    let mut dead = open(&disk);
    let (mut evicted, mut done) = (0, 0);
    for number in 0..2_000 {
        put(&dead, number, &mut evicted).unwrap();
        if number % 500 == 250 {
            dead = open(&disk);
        }
        if number % 100 == 50 {
            let ids = dead.ids();
            done += dead.forget(&ids[ids.len() - 3..], &mut |gone| evicted += gone.letters.unwrap()).unwrap()
                as u64;
        }
    }
    assert!(dead.bytes() <= 128 << 10);
    assert!(evicted > 1_000, "{evicted}");
    assert_eq!(dead.len() as u64 + evicted + done, 2_000);
    assert_eq!(all(&dead).len(), dead.len());
    let event = Evicted { letters: Some(3), why: "cap" }.event("siem");
    assert_eq!((event.event_name.as_str(), event.resource.as_deref()), ("gap.dead_letters", Some("siem")));
}

#[test]
fn a_crash_at_any_operation_keeps_every_letter() {
    // Puts, forgets, puts; returns what was surely kept and what was surely forgotten.
    let story = |disk: &SimDisk| {
        let (mut kept, mut forgotten, mut offered) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let Ok((dead, _)) = DeadLetters::open(disk.clone(), Path::new(DIR), small()) else {
            return (kept, forgotten, offered);
        };
        let mut evicted = 0;
        for number in 0..60 {
            offered.insert(number);
            if put(&dead, number, &mut evicted).is_ok() {
                kept.insert(number);
            }
            if number % 10 == 7
                && let Some(oldest) = dead.ids().first().copied()
                && let Ok(Some(letter)) = dead.get(oldest)
                && let Some(number) = crate::testing::number(&letter.parcel)
            {
                kept.remove(&number);
                if dead.forget(&[oldest], &mut |_| ()).is_ok() {
                    forgotten.insert(number);
                }
            }
        }
        assert_eq!(evicted, 0);
        (kept, forgotten, offered)
    };
    let disk = SimDisk::new(0);
    assert_eq!(story(&disk).0.len(), 54);
    for operation in 0..disk.operations() {
        for lie in [None, Some(Lie::Lost), Some(Lie::Kept), Some(Lie::Part)] {
            let disk = SimDisk::new(operation);
            match lie {
                None => disk.crash_at(operation),
                Some(lie) => disk.fail_at(operation, lie),
            }
            let (kept, forgotten, offered) = story(&disk);
            disk.crash();
            disk.restart();
            let found: BTreeSet<u64> = all(&open(&disk)).into_iter().collect();
            let context = format!("operation {operation}, {lie:?}");
            assert!(found.is_superset(&kept), "{context}: {:?}", kept.difference(&found));
            assert!(found.is_disjoint(&forgotten), "{context}");
            assert!(offered.is_superset(&found), "{context}");
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_record_and_is_told() {
    let disk = SimDisk::new(1);
    let dead = open(&disk);
    for number in 0..5 {
        put(&dead, number, &mut 0).unwrap();
    }
    drop(dead);
    let dir = Path::new(DIR);
    let file = dir.join(&disk.list(dir).unwrap()[0]);
    let bytes = disk.contents(&file).unwrap();
    let at = bytes.windows(4).position(|window| window == b"\"e2\"").unwrap();
    disk.flip(&file, at, 2);
    let (dead, evicted) = DeadLetters::open(disk.clone(), dir, small()).unwrap();
    assert_eq!(evicted, Some(Evicted { letters: None, why: "damage" }));
    assert_eq!(all(&dead), [0, 1, 3, 4]);
}

#[tokio::test]
async fn replaying_offers_each_once() {
    let disk = SimDisk::new(1);
    let dead = Arc::new(open(&disk));
    for number in 0..250 {
        put(&dead, number, &mut 0).unwrap();
    }
    let far: Arc<parking_lot::Mutex<Far>> = Arc::default();
    let clock: Arc<dyn Clock> = clock();
    let evict: Arc<dyn Fn(Evicted) + Send + Sync> = Arc::new(|_| panic!("there is room"));
    let mut sink = FakeSink(Arc::clone(&far));

    // Some.
    let ids = dead.ids();
    let replayed = replay(&dead, &mut sink, Some(&[ids[3], ids[120], 9_999]), &clock, &evict).await.unwrap();
    assert_eq!(replayed, Replayed { delivered: 2, refused: 0 });
    assert_eq!(dead.len(), 248);

    // All, and the far side goes away in the middle.
    far.lock().answers = [
        Answer::Take,
        Answer::Fail(Failure::Again { delivered: 30, reason: "busy".to_owned(), after: None }),
    ]
    .into();
    let failed = replay(&dead, &mut sink, None, &clock, &evict).await;
    assert!(matches!(failed, Err(ReplayError::Sink(_))));
    assert_eq!(dead.len(), 118);

    // The rest, of which some are refused again: they are letters again, and offered no second time.
    far.lock().refuses = [200, 201].into();
    let replayed = replay(&dead, &mut sink, None, &clock, &evict).await.unwrap();
    assert_eq!(replayed, Replayed { delivered: 116, refused: 2 });
    let letters = dead.list(0, 10, u64::MAX).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [3, 3]);
    let mut delivered = crate::testing::numbers(&far.lock().parcels);
    delivered.sort_unstable();
    assert_eq!(delivered, (0..250).filter(|n| ![200, 201].contains(n)).collect::<Vec<u64>>());
}
