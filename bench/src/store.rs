//! Taking in over HTTP, and finding what was taken in.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::generator::{Generator, Kind};
use crate::http::Connection;
use crate::queries;
use crate::server::Server;

/// Events in one request.
pub(crate) const BATCH: u64 = 10_000;
const SOURCES: usize = 20;

/// How the store is measured.
pub(crate) struct Setting<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) port: u16,
    pub(crate) events: u64,
    /// Connections that post.
    pub(crate) connections: usize,
    /// Whether hostile events are measured as well.
    pub(crate) hostile: bool,
}

pub(crate) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    let Setting { events, connections, .. } = setting;
    writeln!(out, "# store: {events} events, {connections} connections, {BATCH} events a request\n")?;
    measure(setting, Kind::Usual, *events, out)?;
    if setting.hostile {
        writeln!(out, "\n# store: hostile events, every string and word unique\n")?;
        measure(setting, Kind::Hostile, *events / 4, out)?;
    }
    Ok(())
}

fn measure(setting: &Setting<'_>, kind: Kind, events: u64, out: &mut dyn Write) -> Result<()> {
    let mut generator = Generator::new(42, kind);
    let bodies: Vec<String> = (0..events / BATCH).map(|_| generator.batch(BATCH)).collect();
    let sent: usize = bodies.iter().map(String::len).sum();
    let server = Server::start(setting.binary, setting.port)?;
    let keys: Vec<String> =
        (0..SOURCES).map(|n| server.key(&[&format!("source{n:02}"), "--write"])).collect::<Result<_>>()?;
    let read = server.key(&["bench", "--read"])?;

    let cpu = server.process().cpu()?;
    let begin = Instant::now();
    let mut latencies = ingest(&server.authority, &keys, &bodies, setting.connections, None)?;
    let wall = begin.elapsed();
    let acknowledged = server.process().cpu()? - cpu;
    let settled = server.process().settled()? - cpu;
    let (peak, anonymous) = server.process().memory()?;
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
        let (server, ready) = server.restart()?;
        writeln!(out, "start after kill -9      {:>12.2} s", ready.as_secs_f64())?;
        server.process().settled()?;
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
pub(crate) fn ingest(
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

fn at(sorted: &[u64], part: f64) -> f64 {
    let nth = ((sorted.len() as f64 - 1.0) * part).round();
    sorted.get(nth as usize).copied().unwrap_or(0) as f64
}
