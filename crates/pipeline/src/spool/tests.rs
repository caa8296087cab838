use std::path::Path;

use attestry_journal::disk::SimDisk;

use super::*;
use crate::testing::{batch, clock, number, numbers, same};
use crate::{Covered, Gap, Parcel};

const DIR: &str = "/spool";

fn small() -> Options {
    Options {
        max_bytes: 512 << 10,
        segment_bytes: Some(64 << 10),
        memory_bytes: 32 << 10,
        ..Options::default()
    }
}

fn open(disk: &SimDisk, options: Options) -> (Spool<SimDisk>, Opened) {
    Spool::open(disk.clone(), Path::new(DIR), options, clock()).unwrap()
}

/// Everything from a position on, and the gaps on the way.
fn read_all(spool: &Spool<SimDisk>, mut from: u64, limits: Limits) -> (Vec<Parcel>, Vec<Gap>, Vec<Covered>) {
    let (mut parcels, mut gaps, mut covered) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let read = spool.read(from, limits).unwrap();
        assert!(read.gap.is_none() || read.parcels.is_empty());
        read.covered.into_iter().for_each(|range| range.add_to(&mut covered));
        parcels.extend(read.parcels);
        gaps.extend(read.gap);
        if read.next == from {
            assert_eq!(read.reached, spool.total());
            return (parcels, gaps, covered);
        }
        assert!(read.next > from);
        from = read.next;
    }
}

const WIDE: Limits = Limits { events: 1_000, bytes: 1 << 20 };

#[test]
fn what_is_put_comes_out_in_order_with_any_limits() {
    for memory_bytes in [0, 8 << 20] {
        let disk = SimDisk::new(1);
        let (spool, opened) = open(&disk, Options { memory_bytes, max_bytes: 64 << 20, ..small() });
        assert!(opened.new_epoch);
        assert_eq!(spool.put("logs", batch([])), Ok(0..0));
        let mut put = 0;
        for (count, ledger) in [(1, "logs"), (2_500, "logs"), (3, "audit"), (700, "logs"), (1, "audit")] {
            let seqs = spool.put(ledger, batch(put..put + count)).unwrap();
            assert_eq!(seqs.end - seqs.start, count);
            put += count;
        }
        for (events, bytes) in
            [(1_000, 1 << 20), (1, 1 << 20), (7, 1 << 20), (1_000, 1), (100_000, usize::MAX)]
        {
            let limits = Limits { events, bytes };
            let (parcels, gaps, covered) = read_all(&spool, spool.first(), limits);
            same(&numbers(&parcels), &(0..put).collect::<Vec<_>>());
            assert_eq!(gaps, []);
            let mut covered: Vec<_> =
                covered.iter().map(|range| (&*range.ledger, range.seqs.clone())).collect();
            covered.sort_by_key(|(ledger, _)| *ledger);
            assert_eq!(covered, [("audit", 0..4), ("logs", 0..3_201)]);
            // From any event on.
            for nth in [1, 2_500, 2_503, 3_204] {
                for step in [0, 1] {
                    let read = spool.read(parcels[nth].number + step, limits).unwrap();
                    let number = read.parcels.first().and_then(number);
                    let expected = nth as u64 + step;
                    assert_eq!(number, (expected < put).then_some(expected), "{nth} {step} {limits:?}");
                }
            }
        }
        assert!(parcels_are_stamped(&spool));
    }
}

fn parcels_are_stamped(spool: &Spool<SimDisk>) -> bool {
    let (parcels, ..) = read_all(spool, 0, WIDE);
    parcels.iter().all(|parcel| parcel.event().unwrap().received_at() == clock().now())
}

fn names(parcels: &[Parcel]) -> Vec<String> {
    parcels.iter().map(|parcel| parcel.event().unwrap().event_name().into_owned()).collect()
}

/// The `gap.spool` events among the parcels: their `event_data`.
fn declared(parcels: &[Parcel]) -> Vec<serde_json::Value> {
    let gaps = parcels.iter().filter(|parcel| parcel.event().unwrap().event_name() == "gap.spool");
    gaps.map(|parcel| serde_json::from_slice(parcel.event().unwrap().event_data().unwrap()).unwrap())
        .collect()
}

/// Where an event's bytes lie: file and offset.
fn find(disk: &SimDisk, event: u64) -> (PathBuf, usize) {
    let wanted = format!("\"event_id\":\"e{event}\"");
    let dir = Path::new(DIR).join("journal");
    for name in disk.list(&dir).unwrap() {
        let bytes = disk.contents(&dir.join(&name)).unwrap();
        if let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted.as_bytes()) {
            return (dir.join(name), at);
        }
    }
    panic!("e{event} is nowhere");
}

#[test]
fn counting_goes_on_after_a_restart_and_after_files_are_gone() {
    let disk = SimDisk::new(1);
    let (spool, first) = open(&disk, small());
    spool.put("audit", batch(0..3)).unwrap();
    drop(spool);
    for round in 0..4 {
        let (spool, opened) = open(&disk, small());
        assert_eq!((opened.epoch, opened.new_epoch), (first.epoch, false));
        spool.set_consumers(["a".to_owned()]);
        let begun = 1_000 * round;
        for put in 0..10 {
            let start = begun + put * 100;
            assert_eq!(spool.put("logs", batch(start..start + 100)), Ok(start..start + 100));
        }
        spool.release("a", spool.end());
        assert!(spool.fill().bytes <= 128 << 10, "{:?}", spool.fill());
        assert_eq!(spool.total(), 3 + 1_000 * (round + 1));
    }
    let (spool, _) = open(&disk, small());
    // Its only chunk has long been removed.
    assert_eq!(spool.put("audit", batch(7..8)), Ok(3..4));
}

#[test]
fn a_flipped_bit_becomes_a_gap_event_and_the_rest_arrives() {
    for closed in [true, false] {
        let disk = SimDisk::new(1);
        let (spool, first) = open(&disk, Options { memory_bytes: 0, ..small() });
        for put in 0..20 {
            spool.put("logs", batch(put * 20..put * 20 + 20)).unwrap();
            spool.put("audit", batch(1_000 + put..1_001 + put)).unwrap();
        }
        let (path, at) = find(&disk, 105);
        let (spool, told) = if closed {
            drop(spool);
            disk.flip(&path, at + 20, 3);
            let (spool, opened) = open(&disk, small());
            (spool, Some(opened))
        } else {
            disk.flip(&path, at + 20, 3);
            (spool, None)
        };
        if let Some(told) = told {
            assert_eq!((told.epoch, told.damage.len()), (first.epoch, 1));
        }
        for again in 0..3 {
            let (parcels, gaps, covered) = read_all(&spool, spool.first(), WIDE);
            let expected: Vec<u64> = (0..400).filter(|n| !(100..120).contains(n)).collect();
            let logs: Vec<Parcel> = parcels.iter().filter(|p| &*p.ledger == "logs").cloned().collect();
            same(&numbers(&logs), &expected);
            assert_eq!(gaps.len(), 1);
            assert_eq!((gaps[0].events, gaps[0].why.as_str()), (Some(20), "damage"));
            assert_eq!((gaps[0].lost[0].seqs.clone(), gaps[0].lost.len()), (100..120, 1));
            assert!(
                covered.iter().any(|range| range.seqs == (0..100))
                    && covered.iter().any(|range| range.seqs == (120..400))
            );
            // It is told once, also after the next start.
            let told = declared(&read_all(&spool, 0, WIDE).0);
            assert_eq!(told.len(), 1, "{closed} {again}");
            assert_eq!(told[0]["events"], 20);
            assert_eq!(told[0]["ledgers"]["logs"]["first"], 100);
            assert_eq!(told[0]["ledgers"]["logs"]["end"], 120);
        }
        drop(spool);
        let (spool, opened) = open(&disk, small());
        assert_eq!(opened.epoch, first.epoch);
        assert_eq!(declared(&read_all(&spool, 0, WIDE).0).len(), 1, "{closed}");
    }
}

#[test]
fn damage_to_what_everybody_has_is_the_loss_of_nothing() {
    for everybody_has_it in [true, false] {
        let disk = SimDisk::new(1);
        let (spool, first) = open(&disk, small());
        for put in 0..20 {
            spool.put("logs", batch(put * 20..put * 20 + 20)).unwrap();
        }
        let (path, at) = find(&disk, 105);
        let done = spool.end();
        drop(spool);
        disk.flip(&path, at + 20, 3);
        // A place in another spool, which had more, says nothing of this one.
        let done = if everybody_has_it { done } else { done + 1_000_000 };
        let (spool, opened) = open(&disk, Options { done, ..small() });
        assert_eq!((opened.epoch, opened.damage.len()), (first.epoch, 1));
        let told = declared(&read_all(&spool, 0, WIDE).0);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["events"], if everybody_has_it { 0 } else { 20 });
        assert_eq!(told[0]["ledgers"].is_null(), everybody_has_it);
    }
}

#[test]
fn what_cannot_go_on_counting_begins_a_new_epoch() {
    for (what, new_epoch) in
        [("nothing", false), ("state", true), ("no state", true), ("tail", true), ("journal", true)]
    {
        let disk = SimDisk::new(1);
        let (spool, first) = open(&disk, small());
        for put in 0..10 {
            spool.put("logs", batch(put * 100..put * 100 + 100)).unwrap();
            if put == 5 {
                spool.save(&mut spool.writer.lock()).unwrap();
            }
        }
        spool.queue.lock().closed = true;
        drop(spool);
        let state = Path::new(DIR).join("state");
        let journal = Path::new(DIR).join("journal");
        match what {
            "state" => disk.flip(&state, 30, 1),
            "no state" => disk.remove(&state).unwrap(),
            // The newest chunk, of which the state does not know. A later mark says that it was durable.
            "tail" => {
                let (path, at) = find(&disk, 950);
                disk.flip(&path, at, 1);
            }
            "journal" => {
                for name in disk.list(&journal).unwrap() {
                    disk.remove(&journal.join(name)).unwrap();
                }
            }
            _ => {}
        }
        let (spool, opened) = open(&disk, small());
        assert_eq!(opened.new_epoch, new_epoch, "{what}");
        assert_eq!(opened.epoch > first.epoch, new_epoch, "{what}");
        let next = if new_epoch { 0 } else { 1_000 };
        assert_eq!(spool.put("logs", batch(5_000..5_010)), Ok(next..next + 10), "{what}");
        let (parcels, _, covered) = read_all(&spool, spool.first(), WIDE);
        let kept = match what {
            "tail" => 900,
            "journal" => 0,
            _ => 1_000,
        };
        same(&numbers(&parcels), &(0..kept).chain(5_000..5_010).collect::<Vec<_>>());
        // Those of the old epoch keep their numbers.
        let old: Vec<_> = covered.iter().filter(|range| range.epoch == first.epoch).collect();
        assert!(
            old.iter().any(|range| range.seqs.start == 0 && range.seqs.end >= kept) || kept == 0,
            "{old:?}"
        );
        assert_eq!(!declared(&parcels).is_empty(), matches!(what, "tail" | "journal"), "{what}");
    }
}

#[test]
fn the_oldest_goes_when_that_is_asked_for_and_is_declared() {
    let disk = SimDisk::new(1);
    let (spool, first) = open(&disk, Options { when_full: WhenFull::DropOldest, ..small() });
    spool.set_consumers(["away".to_owned(), "here".to_owned()]);
    let mut put = 0;
    while put < 20_000 {
        spool.put(if put % 3 == 0 { "logs" } else { "audit" }, batch(put..put + 50)).unwrap();
        put += 50;
        spool.release("here", spool.end());
    }
    assert!(spool.fill().bytes <= 512 << 10);
    let (parcels, gaps, _) = read_all(&spool, 0, WIDE);
    let kept = numbers(&parcels);
    assert!(kept.len() > 500 && kept.len() < 10_000, "{}", kept.len());
    // All that is gone is declared, here or in what was dropped after it: whoever came along knows.
    assert_eq!(gaps.len(), 1);
    let events: u64 = gaps[0].events.unwrap();
    let told: u64 = declared(&parcels).iter().map(|data| data["events"].as_u64().unwrap()).sum();
    assert!(told <= events);
    assert_eq!(events + parcels.len() as u64, spool.total());
    assert_eq!(gaps[0].lost.iter().map(|lost| lost.seqs.end - lost.seqs.start).sum::<u64>(), events);
    let last = declared(&parcels).pop().unwrap();
    assert_eq!((last["why"].as_str(), &last["sinks"]), (Some("cap"), &serde_json::json!(["away"])));
    assert_eq!(last["ledgers"]["logs"]["epoch"], first.epoch);
    drop(spool);
    let (spool, opened) = open(&disk, Options { when_full: WhenFull::DropOldest, ..small() });
    assert!(!opened.new_epoch && opened.damage.is_empty());
    let (again, gaps, _) = read_all(&spool, 0, WIDE);
    same(&numbers(&again), &kept);
    assert_eq!(gaps[0].events, Some(events));
}

#[test]
fn a_full_spool_makes_its_sources_wait() {
    for (what, cap) in [("cap", 256 << 10), ("disk", 64 << 20)] {
        let disk = SimDisk::new(1);
        let (spool, _) = open(&disk, Options { max_bytes: cap, ..small() });
        if what == "disk" {
            disk.set_capacity(256 << 10);
        }
        spool.set_consumers(["a".to_owned()]);
        let spool = Arc::new(spool);
        let putting = Arc::clone(&spool);
        let putter = std::thread::spawn(move || {
            for put in 0..100 {
                putting.put("logs", batch(put * 50..put * 50 + 50)).unwrap();
            }
        });
        let stalled = loop {
            match spool.fill().stalled {
                Some(stalled) => break stalled,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(stalled.why == "the disk is full", what == "disk", "{}", stalled.why);
        assert!(!putter.is_finished());
        // Reading goes on, and makes room.
        let mut seen = Vec::new();
        let mut at = spool.first();
        while seen.len() < 5_000 {
            let read = spool.read(at, WIDE).unwrap();
            assert_eq!(read.gap, None);
            seen.extend(numbers(&read.parcels));
            at = read.next;
            spool.release("a", at);
            spool.wait(at, Duration::from_millis(100));
        }
        putter.join().unwrap();
        same(&seen, &(0..5_000).collect::<Vec<_>>());
        assert_eq!(spool.fill().stalled, None, "{what}");
    }
}

#[test]
fn who_waits_for_room_is_told_when_it_closes() {
    let disk = SimDisk::new(1);
    let (spool, _) = open(&disk, Options { max_bytes: 128 << 10, ..small() });
    let spool = Arc::new(spool);
    let putters: Vec<_> = (0..4)
        .map(|_| {
            let spool = Arc::clone(&spool);
            std::thread::spawn(move || (0..1_000).find_map(|_| spool.put("logs", batch(0..50)).err()))
        })
        .collect();
    while spool.fill().stalled.is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    spool.close();
    for putter in putters {
        assert_eq!(putter.join().unwrap(), Some(Closed));
    }
    assert_eq!(spool.put("logs", batch(0..1)), Err(Closed));
}

#[test]
fn many_threads_put_at_once() {
    let disk = SimDisk::new(1);
    let (spool, _) = open(&disk, Options { max_bytes: 64 << 20, ..small() });
    let before = disk.operations();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let spool = &spool;
            scope.spawn(move || {
                let mut last = None;
                for put in 0..50 {
                    let start = thread * 10_000 + put * 3;
                    let seqs = spool.put("logs", batch(start..start + 3)).unwrap();
                    assert!(last.is_none_or(|last| last < seqs.start));
                    last = Some(seqs.start);
                }
            });
        }
    });
    let (parcels, gaps, covered) = read_all(&spool, 0, WIDE);
    assert_eq!((parcels.len(), gaps.len()), (1_200, 0));
    assert_eq!(covered.len(), 1);
    assert_eq!(covered[0].seqs, 0..1_200);
    let numbers = numbers(&parcels);
    for thread in 0..8 {
        let own: Vec<u64> = numbers.iter().copied().filter(|n| n / 10_000 == thread).collect();
        same(&own, &(0..150).map(|n| thread * 10_000 + n).collect::<Vec<_>>());
    }
    // Each record is one write, and syncs are shared.
    assert!(disk.operations() - before < 400 * 3 + 100, "{}", disk.operations() - before);
    assert!(names(&parcels).iter().all(|name| name.starts_with("thing.")));
}

#[test]
fn a_notice_waits_for_room_without_holding_anybody_up() {
    let disk = SimDisk::new(1);
    let (spool, _) = open(&disk, Options { max_bytes: 128 << 10, ..small() });
    spool.set_consumers(["a".to_owned()]);
    while put::Put::new("logs", &batch(0..1)).is_put(&spool) {}
    spool.declare(&Event::new("gap.dead_letters", "-").data("events", 3));
    let (parcels, ..) = read_all(&spool, 0, WIDE);
    assert!(!names(&parcels).contains(&"gap.dead_letters".to_owned()));
    spool.release("a", spool.end());
    spool.put("audit", batch(0..1)).unwrap();
    let (parcels, ..) = read_all(&spool, 0, WIDE);
    assert_eq!(names(&parcels).iter().filter(|name| *name == "gap.dead_letters").count(), 1);
}
