//! Random puts, sinks that fail at random, stops and power failures at random moments: every sink gets everything, in order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attestry_journal::disk::SimDisk;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::Failure;
use crate::dead::DeadOptions;
use crate::spool::{Options, Spool};
use crate::testing::{Answer, FakeSink, Far, batch, clock, number};

const SINKS: usize = 3;
const LEDGERS: [&str; 2] = ["audit", "logs"];

#[derive(Clone, Debug)]
enum Op {
    Put {
        ledger: usize,
        count: u64,
    },
    /// Lets the sinks work for some milliseconds.
    Work(u64),
    /// A stop and a start.
    Restart,
    /// The power fails.
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0..2_usize, 1..120_u64).prop_map(|(ledger, count)| Op::Put { ledger, count }),
        3 => (0..8_u64).prop_map(Op::Work),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
    ];
    proptest::collection::vec(op, 4..24)
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        2 => Just(Answer::Take),
        1 => (0..80_usize).prop_map(|delivered| {
            Answer::Fail(Failure::Again { delivered, reason: "busy".to_owned(), after: None })
        }),
    ];
    proptest::collection::vec(answer, 0..40)
}

struct Node {
    disk: SimDisk,
    spool: Arc<Spool<SimDisk>>,
    dead: Vec<Arc<DeadLetters<SimDisk>>>,
    stop: CancellationToken,
    running: Vec<tokio::task::JoinHandle<Ended>>,
    handles: Vec<Handle>,
}

impl Node {
    fn start(disk: SimDisk, fars: &[Arc<Mutex<Far>>]) -> Node {
        let options = Options {
            max_bytes: 64 << 20,
            segment_bytes: Some(32 << 10),
            memory_bytes: 40 << 10,
            ..Options::default()
        };
        let spool = Arc::new(Spool::open(disk.clone(), Path::new("/spool"), options, clock()).unwrap().0);
        spool.set_consumers((0..SINKS).map(|sink| format!("s{sink}")));
        let log: Arc<dyn Log> = Arc::clone(&spool) as _;
        let news = News::follow(Arc::clone(&log)).unwrap();
        let stop = CancellationToken::new();
        let (mut dead, mut running, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        for (sink, far) in fars.iter().enumerate() {
            let dir = PathBuf::from(format!("/sinks/s{sink}/dead"));
            let letters = Arc::new(DeadLetters::open(disk.clone(), &dir, DeadOptions::default()).unwrap().0);
            dead.push(Arc::clone(&letters));
            let task = Task {
                name: format!("s{sink}"),
                log: Arc::clone(&log),
                news: news.clone(),
                sink: Box::new(FakeSink(Arc::clone(far))),
                filter: Filter::default(),
                batching: Batching { events: 50, bytes: 1 << 20, wait: Duration::from_millis(1) },
                retry: Retry { first: Duration::from_millis(1), most: Duration::from_millis(3) },
                disk: disk.clone(),
                cursor: format!("/spool/s{sink}").into(),
                start: Start::First,
                dead: letters,
                declare: Arc::new(|event| panic!("nothing is lost: {event:?}")),
                clock: clock(),
            };
            let (worker, handle) = Worker::new(task, stop.clone());
            handles.push(handle);
            running.push(tokio::spawn(worker.run()));
        }
        Node { disk, spool, dead, stop, running, handles }
    }

    async fn stop(self) -> SimDisk {
        self.stop.cancel();
        for running in self.running {
            assert_eq!(running.await.unwrap(), Ended::Stopped);
        }
        self.spool.close();
        self.disk
    }

    /// What is left of the old process goes on with a disk that has no power.
    async fn crash(self) -> SimDisk {
        self.disk.crash();
        for running in self.running {
            running.abort();
            let _ = running.await;
        }
        let disk = self.disk.fork();
        disk.restart();
        disk
    }
}

fn is_refused(sink: usize, number: u64) -> bool {
    number % 11 == sink as u64
}

async fn story(ops: Vec<Op>, answers: Vec<Vec<Answer>>, seed: u64) {
    let fars: Vec<Arc<Mutex<Far>>> = answers
        .into_iter()
        .enumerate()
        .map(|(sink, answers)| {
            let far: Arc<Mutex<Far>> = Arc::default();
            far.lock().answers = answers.into();
            far.lock().refuses = (0..5_000).filter(|number| is_refused(sink, *number)).collect();
            far
        })
        .collect();
    let mut node = Node::start(SimDisk::new(seed), &fars);
    let mut next = 0;
    let mut acknowledged: Vec<(usize, u64)> = Vec::new();
    for op in ops {
        match op {
            Op::Put { ledger, count } => {
                node.spool.put(LEDGERS[ledger], batch(next..next + count)).unwrap();
                acknowledged.extend((next..next + count).map(|number| (ledger, number)));
                next += count;
            }
            Op::Work(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Op::Restart => node = Node::start(node.stop().await, &fars),
            Op::Crash => node = Node::start(node.crash().await, &fars),
        }
    }
    let total = node.spool.total();
    for _ in 0..4_000 {
        let ready = |handle: &Handle| handle.status().position >= node.spool.end();
        if node.handles.iter().all(ready) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(total, next, "each event once in the spool");
    for (sink, far) in fars.iter().enumerate() {
        assert_eq!(node.handles[sink].status().lost, 0);
        let far = far.lock();
        for (nth, ledger) in LEDGERS.iter().enumerate() {
            let mut seen = BTreeSet::new();
            let of_ledger = far.parcels.iter().filter(|parcel| &&*parcel.ledger == ledger);
            let firsts: Vec<u64> =
                of_ledger.filter_map(number).filter(|number| seen.insert(*number)).collect();
            let is_due = |(of, number): &&(usize, u64)| *of == nth && !is_refused(sink, *number);
            let expected: Vec<u64> = acknowledged.iter().filter(is_due).map(|(_, number)| *number).collect();
            assert_eq!(firsts, expected, "sink {sink}, {ledger}");
        }
        let letters = node.dead[sink].list(0, usize::MAX, u64::MAX).unwrap();
        let buried: BTreeSet<u64> = letters.iter().filter_map(|letter| number(&letter.parcel)).collect();
        let refused =
            acknowledged.iter().map(|(_, number)| *number).filter(|number| is_refused(sink, *number));
        assert_eq!(buried, refused.collect(), "sink {sink}");
    }
    node.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_sink_gets_everything_in_order(
        ops in ops(),
        answers in proptest::collection::vec(answers(), SINKS),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(story(ops, answers, seed));
    }
}
