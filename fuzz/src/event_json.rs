//! The border and the readers of entries: no bytes make them panic, and what the border takes is an entry.

use attestry_event::{Batch, Border, Entry, Field, Nanos, Scalar, same_content, walk};

/// Runs the target over one input.
pub fn run(bytes: &[u8]) {
    // As if the bytes were an entry.
    if let Ok(entry) = Entry::parse(bytes) {
        for field in Field::ALL {
            entry.field(field);
        }
        entry.message();
        entry.via().count();
    }
    let _ = walk(bytes, &mut |_: &str, _: Scalar<'_>| ());

    // As a client and as an agent would send them.
    let mut batch = Batch::with_seed([0; 32]);
    let now = Nanos(1_795_230_245_000_000_000);
    let strict =
        Border { event_source: "fuzz", via: &[], lenient: false, reserved_names: false, agent: false, now };
    for border in [strict, Border { lenient: true, agent: true, reserved_names: true, ..strict }] {
        let before = batch.bytes.len();
        match batch.push_json(bytes, &border) {
            Ok(()) => {
                let bytes = batch.entry(batch.len() - 1);
                let entry = Entry::parse(bytes).expect("an entry");
                // Not a Value: 1E400 is JSON and no f64.
                serde_json::from_slice::<&serde_json::value::RawValue>(bytes).expect("JSON");
                if let Some(data) = entry.event_data() {
                    walk(data, &mut |_: &str, _: Scalar<'_>| ()).expect("an object");
                }
                assert!(same_content(bytes, bytes, true, &[], &mut |_| None));
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                assert_eq!(batch.bytes.len(), before);
            }
        }
    }
}
