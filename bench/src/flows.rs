//! What it costs to move events: into an agent's spool and from there to a server, in by syslog and GELF, out by syslog, through NATS.
//!
//! Each flow runs with the real binary and a configuration file of its own. The other sides are this process: what it sends was made before,
//! what it receives is thrown away.

mod agent;
mod idle;
mod lines;
pub(crate) mod node;
mod queue;
mod receive;
mod send;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often is asked how far a flow is: often enough for the wall time, and rare enough to cost nothing.
const POLL: Duration = Duration::from_millis(20);

/// After so long without anything new, what has not come is lost: longer than losses take to be declared.
const STILL: Duration = Duration::from_secs(4);

/// The longest that a flow may stand still where nothing is to be lost.
const STUCK: Duration = Duration::from_secs(120);

/// How flows are measured.
pub(crate) struct Setting<'a> {
    pub(crate) binary: &'a Path,
    /// The first of the ports that are used.
    pub(crate) port: u16,
    /// Events of each flow.
    pub(crate) events: u64,
    /// Datagrams a second where nothing is to be lost.
    pub(crate) datagrams: u64,
}

pub(crate) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "# flows: {} events each, load {} before\n", setting.events, load())?;
    writeln!(out, "{:34} {:>10} {:>12} {:>12}   losses", "flow", "events/s", "CPU µs/event", "per CPU-s")?;
    agent::run(setting, out)?;
    receive::run(setting, out)?;
    send::run(setting, out)?;
    queue::run(setting, out)?;
    idle::run(setting, out)?;
    writeln!(out, "\nload {} after", load()).map_err(Into::into)
}

/// The load of the last minute, which says what a wall time is worth.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// A line of the table.
struct Line<'a> {
    flow: &'a str,
    events: u64,
    /// How long they took; none where that is another line's.
    wall: Option<Duration>,
    cpu: Duration,
    losses: String,
}

impl Line<'_> {
    fn print(&self, out: &mut dyn Write) -> Result<()> {
        let Line { flow, events, wall, cpu, losses } = self;
        let events = *events as f64;
        let wall = wall.map_or_else(String::new, |wall| format!("{:.0}", events / wall.as_secs_f64()));
        let each = cpu.as_secs_f64() * 1e6 / events;
        let per = events / cpu.as_secs_f64();
        writeln!(out, "{flow:34} {wall:>10} {each:>12.2} {per:>12.0}   {losses}")?;
        Ok(out.flush()?)
    }
}

/// How a count grew.
struct Grown {
    /// What was counted when it was first not nothing, and when.
    first: (u64, Instant),
    /// What was counted last, and since when.
    last: (u64, Instant),
}

impl Grown {
    /// How long all of it took: at the pace of what came after the first look, which a start or a connection does not count in.
    fn wall(&self) -> Duration {
        let (after, took) = (self.last.0 - self.first.0, self.last.1 - self.first.1);
        if after == 0 { took } else { took.mul_f64(self.last.0 as f64 / after as f64) }
    }
}

/// Counts until there are so many, or, where some may be lost, until it stands still.
fn until(events: u64, may_lose: bool, mut count: impl FnMut() -> Result<u64>) -> Result<Grown> {
    let begin = Instant::now();
    let mut grown = Grown { first: (0, begin), last: (0, begin) };
    while grown.last.0 < events {
        std::thread::sleep(POLL);
        let (found, now) = (count()?, Instant::now());
        if found > grown.last.0 {
            grown.last = (found, now);
            if grown.first.0 == 0 {
                grown.first = (found, now);
            }
        }
        let still = now - grown.last.1;
        if may_lose && still > STILL {
            break;
        }
        if still > STUCK {
            bail!("{} of {events} events came, and nothing for {} s", grown.last.0, still.as_secs());
        }
    }
    Ok(grown)
}
