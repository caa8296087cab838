//! A directory as the server's own code writes it.

use std::sync::Arc;

use attestry_event::{Batch, Border, ManualClock, Nanos};
use attestry_ledger::{DataDir, OnConflict, Options};

use crate::both::agreed;

const NOW: Nanos = Nanos(1_790_000_000_000_000_000);

fn batch(first: u64, count: u64) -> Batch {
    let mut batch = Batch::with_seed([first as u8; 32]);
    let border = Border {
        event_source: "web",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: false,
        now: NOW,
    };
    for index in first..first + count {
        let note =
            if index % 500 == 77 { format!("a long note {index} ").repeat(400) } else { "short".into() };
        let json = format!(
            "{{\"event_id\":\"e{index}\",\"event_name\":\"order.paid\",\"username\":\"alice\",\
             \"event_data\":{{\"amount\":{index}.50,\"note\":\"{note}\"}}}}"
        );
        batch.push_json(json.as_bytes(), &border).unwrap();
    }
    batch
}

#[test]
fn by_the_ledger_itself() {
    let dir = tempfile::tempdir().unwrap();
    let pin = {
        let data = DataDir::open(dir.path()).unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let (ledger, _) = data.ledger("audit", clock.clone(), Options::default()).unwrap();
        data.ledger("logs", clock, Options::default()).unwrap();
        for first in (0..2_000).step_by(100) {
            ledger.append(batch(first, 100), OnConflict::RefuseBatch).unwrap();
            if first == 1_000 {
                ledger.seal_now().unwrap();
            }
        }
        assert!(ledger.wait_signed(2_000, std::time::Duration::from_secs(30)));
        let checkpoint = ledger.signed().unwrap().note.to_string();
        let pin = attestry_tlog::Pin { key: ledger.vkey().parse().unwrap(), checkpoint };
        ledger.append(batch(2_000, 50), OnConflict::RefuseBatch).unwrap();
        // While the ledger is open, too.
        let verdict = agreed(dir.path(), std::slice::from_ref(&pin));
        assert_eq!(verdict.code, 0, "{}", verdict.text);
        pin
    };
    let verdict = agreed(dir.path(), &[pin]);
    assert_eq!(verdict.code, 0, "{}", verdict.text);
    for part in ["0 to 2,049; 2,050 read and hashed", "4 large values", "pinned 2,000 entries", "ledger logs"]
    {
        assert!(verdict.text.contains(part), "{part}: {}", verdict.text);
    }
}

/// A server that seals and prunes all the time never looks damaged.
#[test]
fn while_the_ledger_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let (ledger, _) = data.ledger("audit", clock.clone(), Options::default()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = 0;
            while !stopped() {
                ledger.append(batch(first, 300), OnConflict::RefuseBatch).unwrap();
                first += 300;
                clock.advance(std::time::Duration::from_secs(1));
                ledger.seal_now().unwrap();
                if first % 1_500 == 0 {
                    let now = Nanos(NOW.0 + first as i64 / 300 * 1_000_000_000);
                    let prunable = ledger.prunable(Nanos(now.0 - 3_000_000_000)).unwrap();
                    let stored = ledger.append(pruned(prunable.range.end), OnConflict::RefuseBatch).unwrap();
                    assert!(ledger.wait_signed(stored.end, std::time::Duration::from_secs(30)));
                    ledger.prune(prunable.range.end).unwrap();
                }
            }
        });
        for _ in 0..15 {
            let report = attestry_verify::ledger(dir.path(), "audit", &attestry_verify::Options::default());
            let report =
                report.inspect_err(|_| stop.store(true, std::sync::atomic::Ordering::Relaxed)).unwrap();
            if report.all_damage().next().is_some() {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{report}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let pin = attestry_tlog::Pin {
        key: ledger.vkey().parse().unwrap(),
        checkpoint: ledger.signed().unwrap().note.to_string(),
    };
    drop(ledger);
    let verdict = agreed(dir.path(), &[pin]);
    assert_eq!(verdict.code, 0, "{}", verdict.text);
}

/// The event that allows pruning.
fn pruned(first: u64) -> Batch {
    let mut batch = Batch::with_seed([first as u8 ^ 0xff; 32]);
    let border = Border {
        event_source: "attestry",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: false,
        now: NOW,
    };
    let json = format!(
        "{{\"event_name\":\"ledger.pruned\",\"username\":\"-\",\"event_data\":{{\"first\":{first}}}}}"
    );
    batch.push_json(json.as_bytes(), &border).unwrap();
    batch
}
