//! Changes at a steady rate, and how far the copy is behind: from before the commit until everything is durable, rules, events and versions
//! included. Then a backlog, which comes as fast as it can.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use attestry_db::Engine;

use super::Setting;
use super::client::Client;
use super::database::Database;
use super::watch::{BEAT, Watch, beat, caught_up, now};

/// Rows that one statement, and one transaction, changes.
const AT_ONCE: u64 = 100;

const ROWS: u64 = 100_000;

/// Changes of the backlog.
const BACKLOG: u64 = 300_000;

pub(super) fn run(setting: &Setting<'_>, engine: Engine, out: &mut dyn Write) -> Result<()> {
    let database = Database::start(engine);
    database.query(BEAT);
    database.query(&format!(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner VARCHAR(40) NOT NULL, balance DECIMAL(14, 2) NOT NULL, note VARCHAR(100), changed BIGINT NOT NULL);
         INSERT INTO accounts SELECT n - 1, concat('owner ', n), n, 'a note of some length, as people write them', 0 FROM {}",
        database.numbers(ROWS)
    ));
    let mut watch = Watch::new(setting, &database.url(), "1h")?;
    watch.start()?;
    let mut copy = watch.copied()?;
    super::watch::passed(&copy, 0)?;

    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let before = (watch.process()?.cpu()?, database.cpu()?);
    let writer = {
        let (stop, made, url, rate) = (Arc::clone(&stop), Arc::clone(&made), database.url(), setting.rate);
        std::thread::spawn(move || write(engine, &url, rate, &stop, &made))
    };
    let (begun, mut lags) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(setting.seconds) {
        std::thread::sleep(Duration::from_millis(10));
        // Not before the first beat has arrived.
        match beat(&mut copy)? {
            0 => {}
            at => lags.push(now() - at),
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
    let (wrote, made) = (begun.elapsed(), made.load(Ordering::Relaxed));
    let last = now();
    database.query(&format!("UPDATE beat SET at = {last}"));
    caught_up(&mut copy, last)?;
    let cpu = (watch.process()?.settled()? - before.0, database.cpu()? - before.1);
    lags.sort_unstable();
    let lag = |part: usize| lags.get((lags.len() * part / 100).min(lags.len().saturating_sub(1)));
    let seconds = |lag: Option<&i64>| lag.map_or(0.0, |lag| *lag as f64 / 1e6);
    writeln!(
        out,
        "{:34} {:.0}/s; behind {:.2} s median, {:.2} s at the 99th percentile, {:.2} s at most; per change {:.1} µs here, {:.1} µs of the database",
        "changes of rows, live",
        made as f64 / wrote.as_secs_f64(),
        seconds(lag(50)),
        seconds(lag(99)),
        seconds(lag(100)),
        cpu.0.as_secs_f64() * 1e6 / made as f64,
        cpu.1.as_secs_f64() * 1e6 / made as f64,
    )?;

    watch.kill();
    for first in (0..BACKLOG).step_by(10_000) {
        let from = first % ROWS;
        database.query(&format!(
            "UPDATE accounts SET balance = balance + 1, changed = changed + 1 WHERE id >= {from} AND id < {}",
            from + 10_000
        ));
    }
    let last = now();
    database.query(&format!("UPDATE beat SET at = {last}"));
    let (before, begun) = (database.cpu()?, Instant::now());
    watch.start()?;
    caught_up(&mut copy, last)?;
    let (took, cpu) = (begun.elapsed(), database.cpu()? - before);
    let own = watch.process()?.settled()?;
    writeln!(
        out,
        "{:34} {:.0}/s; per change {:.1} µs here, {:.1} µs of the database",
        "a backlog of changes",
        BACKLOG as f64 / took.as_secs_f64(),
        own.as_secs_f64() * 1e6 / BACKLOG as f64,
        cpu.as_secs_f64() * 1e6 / BACKLOG as f64,
    )
    .context("cannot print")
}

/// Changes rows at a rate, with a beat in each transaction.
fn write(engine: Engine, url: &str, rate: u64, stop: &AtomicBool, made: &AtomicU64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = Client::open(engine, url).await?;
        let begun = Instant::now();
        let mut rows = 0;
        while !stop.load(Ordering::Relaxed) {
            let from = rows % ROWS;
            client
                .run(&format!(
                    "BEGIN; UPDATE accounts SET balance = balance + 0.01, changed = changed + 1 WHERE id >= {from} AND id < {}; UPDATE beat SET at = {}; COMMIT",
                    from + AT_ONCE,
                    now()
                ))
                .await?;
            rows += AT_ONCE;
            made.store(rows, Ordering::Relaxed);
            let due = Duration::from_secs_f64(rows as f64 / rate as f64);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
        Ok(())
    })
}
