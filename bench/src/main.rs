//! Measures Attestry as its users meet it: over HTTP, durable, proved and searchable. Prints figures and asserts nothing.

mod generator;
mod http;
mod queries;
mod server;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;

use generator::{Generator, Kind};
use http::Connection;
use server::Server;

/// Events in one request.
const BATCH: u64 = 10_000;
const SOURCES: usize = 20;

#[derive(Parser)]
struct Arguments {
    /// The binary to measure.
    #[arg(long)]
    server: PathBuf,
    /// Events of the main run.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Connections that post.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    #[arg(long, default_value_t = 17_984)]
    port: u16,
    /// Leaves the run with hostile events away.
    #[arg(long)]
    no_hostile: bool,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    // The server runs in a folder of its own.
    arguments.server = arguments.server.canonicalize().context("there is no such binary")?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "# {} events, {} connections, {BATCH} events a request\n",
        arguments.events, arguments.connections
    )?;
    measure(&arguments, Kind::Usual, arguments.events, &mut out)?;
    if !arguments.no_hostile {
        writeln!(out, "\n# hostile events: every string and word unique\n")?;
        measure(&arguments, Kind::Hostile, arguments.events / 4, &mut out)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, kind: Kind, events: u64, out: &mut dyn Write) -> Result<()> {
    let mut generator = Generator::new(42, kind);
    let bodies: Vec<String> = (0..events / BATCH).map(|_| generator.batch(BATCH)).collect();
    let sent: usize = bodies.iter().map(String::len).sum();
    let mut server = Server::start(&arguments.server, arguments.port)?;
    let keys: Vec<String> =
        (0..SOURCES).map(|n| server.key(&[&format!("source{n:02}"), "--write"])).collect::<Result<_>>()?;
    let read = server.key(&["bench", "--read"])?;

    let cpu = server.cpu()?;
    let begin = Instant::now();
    let mut latencies = ingest(&server.authority, &keys, &bodies, arguments.connections, None)?;
    let wall = begin.elapsed();
    let acknowledged = server.cpu()? - cpu;
    let settled = settle(&server)? - cpu;
    let (peak, anonymous) = server.memory()?;
    latencies.sort_unstable();

    let per = |duration: Duration| events as f64 / duration.as_secs_f64();
    let each = |bytes: u64| bytes as f64 / events as f64;
    writeln!(out, "sent                     {:>12.0} bytes an event", sent as f64 / events as f64)?;
    writeln!(out, "ingest, wall             {:>12.0} events/s ({:.2} s)", per(wall), wall.as_secs_f64())?;
    writeln!(
        out,
        "ingest, CPU              {:>12.0} events per CPU-second ({:.2} s)",
        per(acknowledged),
        acknowledged.as_secs_f64()
    )?;
    writeln!(
        out,
        "  with background work   {:>12.0} events per CPU-second ({:.2} s)",
        per(settled),
        settled.as_secs_f64()
    )?;
    writeln!(
        out,
        "request, median and 99 % {:>12.0} ms, {:.0} ms",
        at(&latencies, 0.5),
        at(&latencies, 0.99)
    )?;
    writeln!(
        out,
        "peak resident memory     {:>12.0} MB ({:.0} MB of it not files, at the end)",
        peak as f64 / 1e6,
        anonymous as f64 / 1e6
    )?;
    writeln!(
        out,
        "disk, segments           {:>12.1} bytes an event",
        each(server.disk("ledgers/audit/segments"))
    )?;
    writeln!(
        out,
        "disk, ids                {:>12.1} bytes an event",
        each(server.disk("ledgers/audit/ids"))
    )?;
    writeln!(out, "disk, index              {:>12.1} bytes an event", each(server.disk("index")))?;
    writeln!(out, "disk, all                {:>12.1} bytes an event", each(server.disk("")))?;
    if kind == Kind::Usual {
        writeln!(out, "start after kill -9      {:>12.2} s", server.restart()?.as_secs_f64())?;
        settle(&server)?;
        queries::run(&server, &read, &generator, out)?;
        let more: Vec<String> = (0..100).map(|_| generator.batch(BATCH)).collect();
        let pace = Duration::from_secs_f64(2.0 * BATCH as f64 / per(wall));
        let stop = AtomicUsize::new(0);
        std::thread::scope(|scope| -> Result<()> {
            let poster = scope.spawn(|| {
                ingest(&server.authority, &keys, &more, 1, Some(pace))
                    .map(|_| stop.store(1, Ordering::Relaxed))
            });
            queries::while_ingesting(&server, &read, &generator, &stop, out)?;
            poster.join().map_err(|_| anyhow::anyhow!("the poster panicked"))?
        })?;
    }
    Ok(())
}

/// Posts all bodies over so many connections; gives the milliseconds of each request. With a pace, a request begins no sooner after the one before.
fn ingest(
    authority: &str,
    keys: &[String],
    bodies: &[String],
    connections: usize,
    pace: Option<Duration>,
) -> Result<Vec<u64>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<u64>> {
        let mut connection = Connection::open(authority)?;
        let mut latencies = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(body) = bodies.get(nth) else { return Ok(latencies) };
            let begin = Instant::now();
            loop {
                match connection.post("/api/v1/events", &keys[nth % keys.len()], body.as_bytes())? {
                    201 => break,
                    503 => std::thread::sleep(Duration::from_millis(10)),
                    status => bail!("the server answered {status}"),
                }
            }
            latencies.push(begin.elapsed().as_millis() as u64);
            if let Some(rest) = pace.and_then(|pace| pace.checked_sub(begin.elapsed())) {
                std::thread::sleep(rest);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().ok().context("a connection's thread panicked")??);
        }
        Ok(all)
    })
}

/// Waits until the server has nothing left to do; gives its CPU time.
fn settle(server: &Server) -> Result<Duration> {
    let mut before = server.cpu()?;
    loop {
        std::thread::sleep(Duration::from_millis(700));
        let now = server.cpu()?;
        if now - before < Duration::from_millis(30) {
            return Ok(now);
        }
        before = now;
    }
}

fn at(sorted: &[u64], part: f64) -> f64 {
    let nth = ((sorted.len() as f64 - 1.0) * part).round();
    sorted.get(nth as usize).copied().unwrap_or(0) as f64
}
