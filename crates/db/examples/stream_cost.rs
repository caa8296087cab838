//! What it costs to follow a PostgreSQL, and how far behind that is: `cargo run --release -p attestry-db --example stream_cost [SECONDS]`.
//!
//! First changes as they come, 400 transactions of 50 a second, then a backlog of 200,000; once sent by the server, once polled.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for whoever measures")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attestry_db::postgres::{PostgresChanges, PostgresReader};
use attestry_db::{Changes, MaskKey, Reader, Step, WatchConfig};
use attestry_testkit::Postgres;

/// Rows that a transaction changes.
const ROWS: u64 = 50;

/// Transactions a second.
const RATE: u64 = 400;

/// Clock ticks a second, in /proc.
const TICKS: f64 = 100.0;

/// The CPU time of a process or thread, in seconds.
fn cpu(stat: &str) -> f64 {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// The server's processes that work for us.
fn serving(server: &Postgres) -> Vec<String> {
    let pids = server.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'attestry'");
    pids.lines().map(|pid| format!("/proc/{pid}/stat")).collect()
}

fn write(url: &str, seconds: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let update = client
            .prepare("UPDATE a SET v = v + 1, t = md5(v::text) WHERE id BETWEEN $1 AND $1 + 49")
            .await
            .unwrap();
        let begun = Instant::now();
        for at in 0..seconds * RATE {
            let due = Duration::from_secs_f64(at as f64 / RATE as f64);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            client.execute(&update, &[&i32::try_from(at * ROWS % 100_000).unwrap()]).await.unwrap();
        }
    });
}

async fn follow(changes: &mut PostgresChanges, count: u64, lags: &mut Vec<f64>) {
    let mut seen = 0;
    while seen < count {
        let Step::Transaction(transaction) = changes.next().await.unwrap() else { continue };
        seen += transaction.changes.len() as u64;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        lags.push(now - transaction.time.0 as f64 / 1e9);
        if let Some(end) = transaction.ends {
            changes.confirm(&end).await.unwrap();
        }
    }
}

async fn measure(settings: &[&str], seconds: u64) {
    let server = Postgres::started_logical(settings);
    server.query("CREATE TABLE a (id integer PRIMARY KEY, v bigint, t text); INSERT INTO a SELECT n, 0, '' FROM generate_series(0, 100100) n");
    let config: WatchConfig = serde_saphyr::from_str(&format!("url: {}", server.url())).unwrap();
    let mut reader = PostgresReader::new("cost", &config).unwrap();
    let tables: Vec<_> =
        reader.tables(&config).await.unwrap().into_iter().map(|found| Arc::new(found.table)).collect();
    let mut changes = PostgresChanges::open("cost", &config, tables, MaskKey([7; 32]), None).await.unwrap();
    println!("sent by the server: {}", changes.is_pushed());
    for live in [true, false] {
        let (url, mut lags) = (server.url(), Vec::new());
        let writer = live.then(|| std::thread::spawn(move || write(&url, seconds)));
        let count = if live { seconds * RATE * ROWS } else { 200_000 };
        if !live {
            for _ in 0..40 {
                server.query("UPDATE a SET v = v + 1 WHERE id < 5000");
            }
        }
        let theirs = serving(&server);
        let sum = || theirs.iter().map(|stat| cpu(stat)).sum::<f64>();
        let (own, server_cpu, begun) = (cpu("/proc/thread-self/stat"), sum(), Instant::now());
        follow(&mut changes, count, &mut lags).await;
        let (own, server_cpu) = (cpu("/proc/thread-self/stat") - own, sum() - server_cpu);
        println!(
            "{} {count} changes in {:.1} s; CPU-s here {own:.2}, of the server {server_cpu:.2}",
            if live { "live:" } else { "backlog:" },
            begun.elapsed().as_secs_f64()
        );
        if live {
            lags.sort_by(f64::total_cmp);
            let at = |part: f64| lags[(lags.len() as f64 * part) as usize];
            println!(
                "lag: median {:.3} s, 99 % {:.3} s, most {:.3} s",
                at(0.5),
                at(0.99),
                lags[lags.len() - 1]
            );
        }
        if let Some(writer) = writer {
            writer.join().unwrap();
        }
    }
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(20, |seconds| seconds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for settings in [&["wal_sender_timeout=60s"][..], &["max_wal_senders=0"]] {
        runtime.block_on(measure(settings, seconds));
    }
}
