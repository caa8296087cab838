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
