//! The queries of the design's table: medians of seven warm runs, as the client sees them.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::generator::{Generator, event_name, user, word};
use crate::http::Connection;
use crate::server::Server;

const RUNS: usize = 7;

/// A query of the table: what it is, its path, the design's goal in milliseconds.
struct Query(&'static str, String, f64);

fn encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The rank whose count is nearest to the wanted one.
fn nearest(seen: &std::collections::HashMap<usize, u32>, wanted: u32) -> (usize, u32) {
    seen.iter()
        .map(|(rank, count)| (*rank, *count))
        .min_by_key(|(rank, count)| (count.abs_diff(wanted), *rank))
        .unwrap_or((0, 0))
}

fn table(generator: &Generator) -> Vec<Query> {
    let api = |path: &str, q: &str, more: &str| format!("/api/v1/{path}?q={}{more}", encode(q));
    let (busy, _) = nearest(&generator.users_seen, 2_900);
    let (quiet, _) = nearest(&generator.users_seen, 36);
    let (rare, _) = nearest(&generator.words_seen, 100);
    let (common, _) = nearest(&generator.words_seen, u32::MAX);
    let newest = "&limit=100";
    vec![
        Query("by event_id", format!("/api/v1/events/{}", generator.some_id), 0.5),
        Query(
            "newest 100 of a user with 2.9k",
            api("events", &format!("username:{}", user(busy)), newest),
            4.0,
        ),
        Query(
            "newest 100 of a user with 36",
            api("events", &format!("username:{}", user(quiet)), newest),
            2.0,
        ),
        Query(
            "hourly histogram of a name",
            api("histogram", &format!("event_name:{}", event_name(3)), "&interval=1h"),
            2.0,
        ),
        Query("top 10 users", api("top", "", "&field=username&limit=10"), 4.0),
        Query("newest 100 with a common word", api("events", &word(common), newest), 2.0),
        Query("newest 100 with a rare word", api("events", &word(rare), newest), 5.0),
        Query("count of a word", api("count", &word(common), ""), 0.5),
        Query("count, substring of a word", api("count", &format!("*{}*", &word(500)[..4]), ""), 10.0),
        Query("count, regex within a word", api("count", &format!("/{}/", &word(500)[..4]), ""), 10.0),
        Query(
            "count, phrase of two words",
            api("count", &format!("\"{} {}\"", word(20), word(30)), ""),
            200.0,
        ),
        Query(
            "count, phrase of the commonest",
            api("count", &format!("\"{} {}\"", word(0), word(1)), ""),
            200.0,
        ),
        Query("count, nested path=value", api("count", "event_data.request.method:DELETE", ""), 1.0),
        Query("count, numeric range", api("count", "event_data.status:>=500", ""), 1.0),
        Query("count of everything", api("count", "", ""), 0.2),
    ]
}

fn time(connection: &mut Connection, key: &str, path: &str) -> Result<(Duration, Option<String>)> {
    let begin = Instant::now();
    let (status, body) = connection.get(path, key)?;
    let took = begin.elapsed();
    if status != 200 {
        bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)]));
    }
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    Ok((took, answer.get("took_ms").map(ToString::to_string)))
}

/// Runs the table.
pub(crate) fn run(server: &Server, key: &str, generator: &Generator, out: &mut dyn Write) -> Result<()> {
    let mut connection = Connection::open(&server.authority)?;
    writeln!(out, "\n{:34} {:>9} {:>9} {:>12}", "query (ms, median of 7)", "client", "server", "goal")?;
    for Query(name, path, goal) in table(generator) {
        time(&mut connection, key, &path)?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(time(&mut connection, key, &path)?);
        }
        runs.sort_by_key(|run| run.0);
        let (took, inside) = &runs[RUNS / 2];
        let inside = inside.as_deref().unwrap_or("-");
        writeln!(out, "{name:34} {:>9.2} {inside:>9} {goal:>12}", took.as_secs_f64() * 1e3)?;
    }
    Ok(())
}

/// Runs the table over and over until told to stop, and prints the slowest.
pub(crate) fn while_ingesting(
    server: &Server,
    key: &str,
    generator: &Generator,
    stop: &AtomicUsize,
    out: &mut dyn Write,
) -> Result<()> {
    let mut connection = Connection::open(&server.authority)?;
    let table = table(generator);
    let mut all = Vec::new();
    while stop.load(Ordering::Relaxed) == 0 {
        for Query(_, path, goal) in &table {
            // Those that read rows one by one have goals of their own.
            if *goal < 10.0 {
                all.push(time(&mut connection, key, path)?.0);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    all.sort_unstable();
    let at = |part: f64| {
        all.get(((all.len() as f64 - 1.0) * part) as usize).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    writeln!(
        out,
        "\nwhile ingesting at half speed: {} queries, median {:.2} ms, 99 % {:.2} ms, slowest {:.2} ms",
        all.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )?;
    Ok(())
}
