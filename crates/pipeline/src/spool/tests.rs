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
