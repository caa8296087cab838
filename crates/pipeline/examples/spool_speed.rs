//! What an event costs between being put into a spool and being delivered, in CPU time: `spool_speed [EVENTS] [SINKS] [EVENTS A PUT]`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement at a desk")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestry_event::{Batch, Border, Nanos, SystemClock};
use attestry_journal::disk::RealDisk;
use attestry_pipeline::dead::DeadOptions;
use attestry_pipeline::spool::Options;
use attestry_pipeline::worker::{Batching, Retry, Start, Task};
use attestry_pipeline::{
    DeadLetters, Failure, Filter, Log, News, Parcel, Pending, Refused, Sink, Spool, Worker,
};
use tokio_util::sync::CancellationToken;

struct Null(Arc<AtomicU64>);

impl Sink for Null {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        self.0.fetch_add(parcels.len() as u64, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn batch(events: usize) -> Batch {
    let border = Border {
        event_source: "bench",
        via: &[],
        lenient: false,
        reserved_names: false,
        agent: false,
        now: Nanos(1_800_000_000_000_000_000),
    };
    let mut batch = Batch::new();
    for event in 0..events {
        let json = format!(
            r#"{{"event_name":"http.request","username":"u{event}","resource":"/a/b/c","message":"{}","host":"web1","event_data":{{"status":200,"path":"/a/b/c?d=e","bytes":{event}}}}}"#,
            "m".repeat(120)
        );
        batch.push_json(json.as_bytes(), &border).unwrap();
    }
    batch
}

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().unwrap());
    let events = args.next().unwrap_or(1_000_000);
    let sinks = args.next().unwrap_or(1);
    let a_put = args.next().unwrap_or(1_000);
    let dir = tempfile::tempdir_in(".").unwrap();
    let clock = Arc::new(SystemClock);
    let (spool, _) =
        Spool::open(RealDisk, &dir.path().join("spool"), Options::default(), clock.clone()).unwrap();
    let spool = Arc::new(spool);
    spool.set_consumers((0..sinks).map(|sink| format!("s{sink}")));
    let log: Arc<dyn Log> = spool.clone();
    let news = News::follow(log.clone()).unwrap();
    let stop = CancellationToken::new();
    let counted = Arc::new(AtomicU64::new(0));

    let made = cpu();
    let batches: Vec<Batch> = (0..events / a_put).map(|_| batch(a_put)).collect();
    let bytes: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
    println!("{} bytes an entry, made for {:?} CPU", bytes / events, cpu() - made);

    let mut running = Vec::new();
    for sink in 0..sinks {
        let dead =
            DeadLetters::open(RealDisk, &dir.path().join(format!("dead{sink}")), DeadOptions::default());
        let task = Task {
            name: format!("s{sink}"),
            log: log.clone(),
            news: news.clone(),
            sink: Box::new(Null(counted.clone())),
            filter: Filter::default(),
            batching: Batching::default(),
            retry: Retry::default(),
            disk: RealDisk,
            cursor: dir.path().join(format!("s{sink}")),
            start: Start::First,
            dead: Arc::new(dead.unwrap().0),
            declare: Arc::new(|_| ()),
            clock: clock.clone(),
        };
        running.push(tokio::spawn(Worker::new(task, stop.clone()).0.run()));
    }
    let (begun, before) = (Instant::now(), cpu());
    let putting = spool.clone();
    tokio::task::spawn_blocking(move || {
        for batch in batches {
            putting.put("logs", batch).unwrap();
        }
    })
    .await
    .unwrap();
    let put = begun.elapsed();
    while counted.load(Ordering::Relaxed) < (events / a_put * a_put * sinks) as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (all, used) = (begun.elapsed(), cpu() - before);
    println!("{events} events, {a_put} a put: put in {put:?}, at {sinks} sinks after {all:?}");
    println!(
        "CPU {used:?}: {:.2} µs an event, {:.3} µs an event and sink",
        used.as_secs_f64() * 1e6 / events as f64,
        used.as_secs_f64() * 1e6 / (events * sinks) as f64
    );
    stop.cancel();
    for running in running {
        running.await.unwrap();
    }
}
