//! Checks of whole tables, when they are due.

use super::bench::bench;
use super::world::table;
use crate::copy::Copy;

/// The clock said next year once: the check does not wait for it.
#[tokio::test]
async fn a_check_is_run_again_after_the_clock_was_ahead() {
    const MARK: &str = "check.balanced";
    let bench = bench("checks: {balanced: {sql: SELECT 0, every: 1h}}");
    bench.world(|world| world.add(table("t", true)));
    let last = || Some(i64::from_be_bytes(bench.copy().mark(MARK).unwrap()?.try_into().unwrap()));
    let running = bench.start().await;
    bench.until(&running, "it was run", || last().is_some()).await;
    running.stop().await.unwrap();
    let ahead = last().unwrap() + 365 * 86_400 * 1_000_000_000;
    Copy::open(bench.copy().path()).unwrap().set_mark(MARK, &ahead.to_be_bytes()).unwrap();
    let running = bench.start().await;
    bench.until(&running, "it was run again", || last().is_some_and(|last| last < ahead)).await;
    running.stop().await.unwrap();
}
