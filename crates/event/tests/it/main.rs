//! What goes in at the border, what bytes come of it, and how they are read back.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod border;
mod entries;
mod fixed;
mod random;
mod same;

use attestry_event::{Batch, Border, Nanos, Problem};

/// 2026-11-21T03:04:05.678901234Z
const NOW: Nanos = Nanos(1_795_230_245_678_901_234);

fn border<'a>() -> Border<'a> {
    Border { event_source: "shop", via: &[], lenient: false, reserved_names: false, agent: false, now: NOW }
}

/// The entry that `json` becomes.
fn accept(json: &str, border: &Border<'_>) -> Result<String, Vec<Problem>> {
    let mut batch = Batch::with_seed([7; 32]);
    batch.push_json(json.as_bytes(), border)?;
    Ok(String::from_utf8(batch.entry(0).to_vec()).unwrap())
}
