//! What a line costs from a log file to a spool on the disk, in processor time: `follow_speed [LINES]`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement at a desk")]

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_collect::{Names, Outlet, Paths, Setup, Stopped, once, tailed};
use attestry_event::{Batch, Border, Clock, Event, SystemClock};
use attestry_journal::disk::RealDisk;
use attestry_pipeline::spool::Options;
use attestry_pipeline::{Inlet, Intake, IntakeOptions, Landing, Spool};
use serde_json::Value;

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// How far the events go.
enum Until {
    Dropped,
    Encoded,
    Spooled(Box<Intake>),
}

impl Outlet for Until {
    fn send(&self, source: &str, events: Vec<Event>, _: Value) -> Result<(), Stopped> {
        match self {
            Until::Dropped => {}
            Until::Encoded => {
                let now = SystemClock.now();
                let border = Border {
                    event_source: source,
                    via: &[],
                    lenient: false,
                    reserved_names: true,
                    agent: true,
                    now,
                };
                let mut batch = Batch::new();
                events.iter().for_each(|event| batch.push(event, &border).unwrap());
            }
            Until::Spooled(intake) => {
                intake.put(events.into_iter().map(Into::into).collect()).map_err(|_| Stopped)?;
            }
        }
        Ok(())
    }
}

fn main() {
    let lines: u64 = std::env::args().nth(1).map_or(1_000_000, |arg| arg.parse().unwrap());
    let dir = tempfile::tempdir_in(".").unwrap();
    let log = dir.path().join("access.log");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&log).unwrap());
    for line in 0..lines {
        writeln!(
            file,
            "203.0.113.{} - - [21/Nov/2026:03:00:00 +0000] \"GET /shop/cart?item={line} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
            line % 250,
            line % 9_973
        )
        .unwrap();
    }
    file.flush().unwrap();
    println!("{lines} lines of {} bytes", std::fs::metadata(&log).unwrap().len() / lines);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = tailed::Config { paths: vec![log.display().to_string()], ..tailed::Config::default() };
    let spooled = || {
        let (spool, _) =
            Spool::open(RealDisk, &dir.path().join("spool"), Options::default(), Arc::clone(&clock)).unwrap();
        spool.set_consumers(["s".to_owned()]);
        let options = IntakeOptions {
            ledger: "logs".to_owned(),
            event_source: "web".to_owned(),
            reserved_names: true,
            agent: true,
            ..IntakeOptions::default()
        };
        let landing: Arc<dyn Landing> = Arc::new(spool);
        let intake = Intake::new(landing, options, Vec::new(), Vec::new(), Arc::clone(&clock));
        Until::Spooled(Box::new(intake))
    };
    for (name, until) in [("read", Until::Dropped), ("encoded", Until::Encoded), ("spooled", spooled())] {
        let setup = Setup {
            name: "web".to_owned(),
            host: "web1".to_owned(),
            paths: Paths::default(),
            clock: Arc::clone(&clock),
            names: Arc::new(Names::new([0; 32], "/etc/passwd")),
            outlet: Arc::new(until),
            position: None,
            rest: || {},
        };
        let (begun, before) = (Instant::now(), cpu());
        let status = once(&config, setup).unwrap();
        let used = cpu() - before;
        assert_eq!(status.events(), lines);
        println!(
            "{name:8} {:9.0} lines per CPU-second, {:9.0} per second",
            lines as f64 / used.as_secs_f64(),
            lines as f64 / begun.elapsed().as_secs_f64()
        );
    }
}
