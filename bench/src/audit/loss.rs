//! What the database loses: small transactions as fast as they go, in turns without anything, with its own program that follows the same changes
//! (`mariadb-binlog`, `pg_recvlogical`), and with the watch.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use attestry_db::Engine;

use super::Setting;
use super::client::Client;
use super::database::Database;
use super::watch::{BEAT, Watch, caught_up, now};

/// Connections that write.
const CONNECTIONS: u64 = 4;

const ROWS: u64 = 100_000;

/// What stands beside the database.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Follower,
    Watch,
}

/// What drifts falls on all.
const TURNS: [Beside; 9] = {
    use Beside::{Follower, Nothing, Watch};
    [Nothing, Follower, Watch, Watch, Follower, Nothing, Nothing, Follower, Watch]
};

/// Transactions, how long they took, and CPU time of the database and of Attestry.
#[derive(Default)]
struct Turn {
    transactions: u64,
    wall: Duration,
    database: Duration,
    own: Duration,
}

pub(super) fn run(setting: &Setting<'_>, engine: Engine, out: &mut dyn Write) -> Result<()> {
    let database = Database::start(engine);
    let counter = match engine {
        Engine::Mysql => "BIGINT PRIMARY KEY AUTO_INCREMENT",
        Engine::Postgres => "BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY",
    };
    database.query(BEAT);
    database.query(&format!(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner VARCHAR(40) NOT NULL, balance DECIMAL(14, 2) NOT NULL);
         CREATE TABLE entries (id {counter}, account BIGINT NOT NULL, amount DECIMAL(14, 2) NOT NULL, note VARCHAR(100) NOT NULL);
         INSERT INTO accounts SELECT n - 1, concat('owner ', n), 100 FROM {}",
        database.numbers(ROWS)
    ));
    let mut watch = Watch::new(setting, &database.url(), "1h")?;
    watch.start()?;
    super::watch::passed(&watch.copied()?, 0)?;
    watch.kill();
    let mut sums = [Turn::default(), Turn::default(), Turn::default()];
    for beside in TURNS {
        let follower = (beside == Beside::Follower).then(|| database.follower()).transpose()?;
        let watched = beside == Beside::Watch;
        if watched {
            watch.start()?;
            let last = now();
            database.query(&format!("UPDATE beat SET at = {last}"));
            caught_up(&mut watch.copied()?, last)?;
            watch.process()?.settled()?;
        }
        let own = || watch.process().and_then(crate::process::Process::cpu).unwrap_or_default();
        let before = (database.cpu()?, own());
        let (transactions, wall) = work(engine, &database.url(), setting.seconds)?;
        let sum = &mut sums[beside as usize];
        sum.transactions += transactions;
        sum.wall += wall;
        sum.database += database.cpu()? - before.0;
        sum.own += own() - before.1;
        if watched {
            watch.kill();
        }
        if let Some(follower) = follower {
            database.followed(follower);
        }
    }
    let per_second = sums.each_ref().map(|turn| turn.transactions as f64 / turn.wall.as_secs_f64());
    let per_cpu = sums.each_ref().map(|turn| turn.transactions as f64 / turn.database.as_secs_f64());
    let less = |of: [f64; 3], beside: Beside| (1.0 - of[beside as usize] / of[0]) * 100.0;
    writeln!(
        out,
        "{:34} {:.0}/s, {:.0} per CPU-second of the database",
        "transactions of two changes", per_second[0], per_cpu[0],
    )?;
    for (beside, what) in [(Beside::Follower, "its own follower"), (Beside::Watch, "Attestry")] {
        writeln!(
            out,
            "{:34} {:.1} % less, per CPU-second {:.1} % less",
            format!("  beside {what}"),
            less(per_second, beside),
            less(per_cpu, beside),
        )?;
    }
    let own = &sums[Beside::Watch as usize];
    let each = own.own.as_secs_f64() * 1e6 / own.transactions as f64;
    writeln!(out, "{:34} {each:.0} µs of CPU for each", "  Attestry itself")?;
    Ok(out.flush()?)
}

/// Transactions of some connections in so many seconds.
fn work(engine: Engine, url: &str, seconds: u64) -> Result<(u64, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let done = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (stop, url) = (Arc::clone(&stop), url.to_owned());
            tasks.spawn(async move {
                let mut client = Client::open(engine, &url).await?;
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Nobody waits for another one's row.
                    let account = (done * 7_919 * CONNECTIONS + connection) % ROWS;
                    client
                        .run(&format!(
                            "BEGIN; UPDATE accounts SET balance = balance - 1 WHERE id = {account}; \
                             INSERT INTO entries (account, amount, note) VALUES ({account}, 1, 'a transfer, with some words'); COMMIT"
                        ))
                        .await?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        while let Some(done) = tasks.join_next().await {
            all += done??;
        }
        anyhow::Ok(all)
    })?;
    Ok((done, begun.elapsed()))
}
