use std::path::Path;

use attestry_journal::disk::SimDisk;
use parking_lot::Mutex;

use super::*;
use crate::Failure;
use crate::dead::DeadOptions;
use crate::spool::{Options, Spool};
use crate::testing::{Answer, FakeSink, Far, batch, clock, numbers, same};

/// A spool, a sink's far side, and the files between them; workers come and go.
struct House {
    disk: SimDisk,
    spool: Arc<Spool<SimDisk>>,
    dead: Arc<DeadLetters<SimDisk>>,
    far: Arc<Mutex<Far>>,
    declared: Arc<Mutex<Vec<Event>>>,
}

impl House {
    fn new() -> House {
        let disk = SimDisk::new(1);
        let spool = Spool::open(disk.clone(), Path::new("/spool"), Options::default(), clock()).unwrap().0;
        let dead =
            DeadLetters::open(disk.clone(), Path::new("/spool/dead"), DeadOptions::default()).unwrap().0;
        House {
            disk,
            spool: Arc::new(spool),
            dead: Arc::new(dead),
            far: Arc::default(),
            declared: Arc::default(),
        }
    }

    fn task(&self) -> Task<SimDisk> {
        let log: Arc<dyn Log> = Arc::clone(&self.spool) as _;
        let declared = Arc::clone(&self.declared);
        Task {
            name: "sink".to_owned(),
            news: News::follow(Arc::clone(&log)).unwrap(),
            log,
            sink: Box::new(FakeSink(Arc::clone(&self.far))),
            filter: Filter::default(),
            batching: Batching { wait: Duration::from_millis(1), ..Batching::default() },
            retry: Retry { first: Duration::from_millis(1), most: Duration::from_millis(4) },
            disk: self.disk.clone(),
            cursor: "/spool/sink".into(),
            start: Start::First,
            dead: Arc::clone(&self.dead),
            declare: Arc::new(move |event| declared.lock().push(event)),
            clock: clock(),
        }
    }

    fn put(&self, numbers: std::ops::Range<u64>) {
        self.spool.put("logs", batch(numbers)).unwrap();
    }
}

/// Waits for something that another task does.
async fn until(mut happened: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen within ten seconds");
}

#[tokio::test]
async fn delivers_retries_and_remembers() {
    let house = House::new();
    house.put(0..2_500);
    let again =
        |delivered| Answer::Fail(Failure::Again { delivered, reason: "busy".to_owned(), after: None });
    house.far.lock().answers = [again(0), again(700), Answer::Take, again(5)].into();
    house.far.lock().refuses = [800, 1_200, 2_499].into();
    for round in 0..3_u64 {
        let stop = CancellationToken::new();
        let (worker, handle) = Worker::new(house.task(), stop.clone());
        let running = tokio::spawn(worker.run());
        let end = 2_500 + round * 10;
        house.put(end..end + 10);
        let expected: Vec<u64> = (0..end + 10).filter(|n| ![800, 1_200, 2_499].contains(n)).collect();
        until(|| house.far.lock().parcels.len() >= expected.len()).await;
        until(|| handle.status().lag == 0).await;
        stop.cancel();
        assert_eq!(running.await.unwrap(), Ended::Stopped);
        same(&numbers(&house.far.lock().parcels), &expected);
        let status = handle.status();
        assert_eq!(status.state, State::Stopped);
        assert_eq!(status.trouble, None);
        if round == 0 {
            assert_eq!((status.delivered, status.refused, status.retries), (2_507, 3, 3));
            assert_eq!(status.last_error.unwrap().reason, "busy");
        } else {
            assert_eq!((status.delivered, status.retries), (10, 0));
        }
    }
    let letters = house.dead.list(0, 10, u64::MAX).unwrap();
    let told: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(told, ["no 800 here", "no 1200 here", "no 2499 here"]);
}

#[tokio::test]
async fn what_waits_is_told_from_the_first_attempt_on() {
    let house = House::new();
    house.put(0..100);
    house.far.lock().answers.push_back(Answer::Hang);
    let (stop, handle, running) = start(house.task());
    until(|| house.far.lock().deliveries == 1).await;
    assert_eq!(handle.status().lag, 100);
    stop.cancel();
    running.await.unwrap();
}

fn start(task: Task<SimDisk>) -> (CancellationToken, Handle, tokio::task::JoinHandle<Ended>) {
    let stop = CancellationToken::new();
    let (worker, handle) = Worker::new(task, stop.clone());
    (stop, handle, tokio::spawn(worker.run()))
}

#[tokio::test]
async fn a_sink_that_hangs_halts_or_panics_holds_up_nobody() {
    let house = House::new();
    house.spool.set_consumers(["hangs", "halts", "panics", "well"].map(str::to_owned));
    let halt = Failure::Halt { reason: "another history".to_owned() };
    let answers = [
        ("hangs", Some(Answer::Hang)),
        ("halts", Some(Answer::Fail(halt))),
        ("panics", Some(Answer::Panic)),
        ("well", None),
    ];
    let mut workers = Vec::new();
    for (name, answer) in answers {
        let far: Arc<Mutex<Far>> = Arc::default();
        far.lock().answers.extend(answer);
        let task = Task {
            name: name.to_owned(),
            sink: Box::new(FakeSink(Arc::clone(&far))),
            cursor: format!("/spool/{name}").into(),
            ..house.task()
        };
        workers.push((name, far, start(task)));
    }
    house.put(0..100);
    for (name, far, (_, handle, _)) in &workers {
        match *name {
            "well" => until(|| far.lock().parcels.len() == 100).await,
            "hangs" => until(|| far.lock().deliveries == 1).await,
            _ => until(|| handle.status().state == State::Halted).await,
        }
        let lag = if *name == "well" { 0 } else { 100 };
        until(|| handle.status().lag == lag || handle.status().oldest.is_some()).await;
    }
    let begun = std::time::Instant::now();
    for (name, far, (stop, handle, running)) in workers {
        stop.cancel();
        match name {
            "panics" => assert!(running.await.unwrap_err().is_panic()),
            "halts" => {
                assert_eq!(running.await.unwrap(), Ended::Halted("another history".to_owned()));
                let trouble = handle.status().trouble.unwrap();
                assert_eq!((trouble.reason.as_str(), trouble.since), ("another history", clock().now()));
                assert!(matches!(handle.replay(None).await, Err(ReplayError::Ended)));
            }
            _ => assert_eq!(running.await.unwrap(), Ended::Stopped),
        }
        assert_eq!(far.lock().parcels.len(), if name == "well" { 100 } else { 0 });
    }
    assert!(begun.elapsed() < GRACE + Duration::from_secs(5));
}

#[tokio::test]
async fn a_sink_that_accounts_is_told_of_every_number() {
    let house = House::new();
    house.far.lock().accounts = true;
    let methods = attestry_event::Methods::new(&["thing.n3".to_owned()], &[]).unwrap();
    let task = Task { filter: Filter { methods: Some(methods), hooks: Vec::new() }, ..house.task() };
    let (stop, handle, running) = start(task);
    house.put(0..1_000);
    // Of these none is wanted; and yet they must be accounted for.
    house.spool.put("logs", batch((0..50).map(|n| n * 10))).unwrap();
    let covered = || {
        let mut whole = Vec::new();
        house.far.lock().covered.iter().cloned().for_each(|range| range.add_to(&mut whole));
        whole
    };
    until(|| covered().last().is_some_and(|last| last.seqs.end == 1_050)).await;
    until(|| handle.status().lag == 0).await;
    stop.cancel();
    running.await.unwrap();
    let covered = covered();
    assert_eq!(
        (covered.len(), covered[0].seqs.clone(), covered[0].epoch),
        (1, 0..1_050, house.spool.epoch())
    );
    assert_eq!(numbers(&house.far.lock().parcels), (0..100).map(|n| n * 10 + 3).collect::<Vec<u64>>());
    assert_eq!(handle.status().filtered, 950);
}

#[tokio::test]
async fn only_a_far_side_that_counts_hears_of_losses_that_the_filter_leaves_out() {
    for accounts in [true, false] {
        let house = House::new();
        house.far.lock().accounts = accounts;
        let methods = attestry_event::Methods::new(&[], &["gap.all".to_owned()]).unwrap();
        let hook: crate::SinkHook = Box::new(|_| crate::Verdict::Drop);
        let task = Task { filter: Filter { methods: Some(methods), hooks: vec![hook] }, ..house.task() };
        let (stop, handle, running) = start(task);
        house.put(0..10);
        house.spool.declare(&Event::new("gap.spool", "-").data("why", "damage"));
        house.spool.declare(&Event::new("gap.datagram", "-"));
        let done = || handle.status().filtered + handle.status().delivered;
        until(|| done() == 12).await;
        stop.cancel();
        running.await.unwrap();
        let far = house.far.lock();
        let names: Vec<_> =
            far.parcels.iter().map(|parcel| parcel.event().unwrap().event_name().into_owned()).collect();
        assert_eq!(names, if accounts { vec!["gap.spool"] } else { vec![] });
    }
}

#[tokio::test]
async fn what_the_filter_cannot_decide_is_a_dead_letter() {
    let house = House::new();
    let hook: crate::SinkHook = Box::new(|parcel| match crate::testing::number(parcel) {
        Some(7) => crate::Verdict::Fail("no such path".to_owned()),
        _ => crate::Verdict::Keep,
    });
    let task = Task { filter: Filter { methods: None, hooks: vec![hook] }, ..house.task() };
    let (stop, handle, running) = start(task);
    house.put(0..10);
    until(|| handle.status().lag == 0 && handle.status().refused == 1).await;

    // Replayed past the filter, by the worker that runs.
    let replayed = handle.replay(None).await.unwrap();
    assert_eq!(replayed, Replayed { delivered: 1, refused: 0 });
    stop.cancel();
    running.await.unwrap();
    assert_eq!(numbers(&house.far.lock().parcels), [0, 1, 2, 3, 4, 5, 6, 8, 9, 7]);
    assert!(house.dead.is_empty());
}

#[tokio::test]
async fn a_cursor_that_does_not_fit_begins_again() {
    for (what, first) in
        [("none", 0), ("damaged", 0), ("of another log", 0), ("none, and only news wanted", 20)]
    {
        let house = House::new();
        house.put(0..20);
        let path = Path::new("/spool/sink");
        match what {
            "damaged" => attestry_journal::disk::replace(&house.disk, path, b"nonsense").unwrap(),
            "of another log" => Cursor(house.spool.end() + 1).store(&house.disk, path).unwrap(),
            _ => {}
        }
        let start_at = if first == 0 { Start::First } else { Start::End };
        let (stop, _, running) = start(Task { start: start_at, ..house.task() });
        // It is remembered at once where it begins.
        let begins = if first == 0 { house.spool.first() } else { house.spool.end() };
        until(|| {
            Cursor::load(&house.disk, path)
                .is_ok_and(|at| at.is_some_and(|at| at.0 <= house.spool.end() && at.0 >= begins))
        })
        .await;
        house.put(20..30);
        until(|| house.far.lock().parcels.len() as u64 >= 30 - first).await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(numbers(&house.far.lock().parcels), (first..30).collect::<Vec<_>>(), "{what}");
    }
}

/// A log that has lost its beginning, as a ledger that was pruned.
struct Pruned(Arc<Spool<SimDisk>>);

impl Log for Pruned {
    fn read(&self, from: u64, limits: crate::Limits) -> Result<crate::Read, crate::ReadError> {
        if from == self.first() {
            let gap =
                Gap { range: from..from + 1, events: Some(1), why: "pruned".to_owned(), lost: Vec::new() };
            return Ok(crate::Read { next: from + 1, gap: Some(gap), ..crate::Read::default() });
        }
        self.0.read(from, limits)
    }

    fn wait(&self, position: u64, timeout: Duration) -> u64 {
        self.0.wait(position, timeout)
    }

    fn first(&self) -> u64 {
        self.0.first()
    }

    fn end(&self) -> u64 {
        self.0.end()
    }

    fn total(&self) -> u64 {
        self.0.total()
    }
}

#[tokio::test]
async fn a_gap_is_counted_and_declared() {
    let house = House::new();
    house.put(0..10);
    let log: Arc<dyn Log> = Arc::new(Pruned(Arc::clone(&house.spool)));
    let (stop, handle, running) = start(Task { log, ..house.task() });
    until(|| house.far.lock().parcels.len() == 9).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(handle.status().lost, 1);
    let declared = house.declared.lock();
    assert_eq!(declared.len(), 1);
    assert_eq!(declared[0].event_name, "gap.sink");
    assert_eq!(declared[0].event_data.as_ref().unwrap()["why"], "pruned");
}

#[tokio::test]
async fn dead_letters_that_cannot_be_written_hold_back_only_what_was_refused() {
    let house = House::new();
    house.put(0..10);
    house.far.lock().refuses = [4].into();
    house.disk.set_capacity(1);
    let (stop, handle, running) = start(house.task());
    until(|| handle.status().trouble.is_some_and(|trouble| trouble.reason.contains("dead letters"))).await;
    assert_eq!(handle.status().refused, 0);
    stop.cancel();
    running.await.unwrap();
    house.disk.set_capacity(u64::MAX);
    let (stop, handle, running) = start(house.task());
    until(|| handle.status().refused == 1).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(house.dead.len(), 1);
    let seen = numbers(&house.far.lock().parcels);
    assert!((0..10).filter(|n| *n != 4).all(|n| seen.contains(&n)) && !seen.contains(&4), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sinks() {
    /// Counts, and looks at nothing else.
    struct Counting(Arc<std::sync::atomic::AtomicU64>);
    impl Sink for Counting {
        fn deliver<'a>(
            &'a mut self,
            parcels: &'a [crate::Parcel],
        ) -> crate::Pending<'a, Result<Vec<crate::Refused>, Failure>> {
            self.0.fetch_add(parcels.len() as u64, Ordering::Relaxed);
            Box::pin(std::future::ready(Ok(Vec::new())))
        }
    }
    const SINKS: u64 = 200;
    const EVENTS: u64 = 5_000;
    let house = House::new();
    house.spool.set_consumers((0..SINKS).map(|sink| format!("s{sink}")));
    let counted = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let news = house.task().news;
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    for sink in 0..SINKS {
        let log: Arc<dyn Log> = Arc::clone(&house.spool) as _;
        let task = Task {
            name: format!("s{sink}"),
            log,
            news: news.clone(),
            sink: Box::new(Counting(Arc::clone(&counted))),
            filter: Filter::default(),
            batching: Batching::default(),
            retry: Retry::default(),
            disk: house.disk.clone(),
            cursor: format!("/spool/s{sink}").into(),
            start: Start::First,
            dead: Arc::clone(&house.dead),
            declare: Arc::new(|_| ()),
            clock: clock(),
        };
        running.push(tokio::spawn(Worker::new(task, stop.clone()).0.run()));
    }
    let spool = Arc::clone(&house.spool);
    tokio::task::spawn_blocking(move || {
        for put in 0..EVENTS / 500 {
            spool.put("logs", batch(put * 500..put * 500 + 500)).unwrap();
        }
    })
    .await
    .unwrap();
    for _ in 0..12_000 {
        if counted.load(Ordering::Relaxed) == SINKS * EVENTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(counted.load(Ordering::Relaxed), SINKS * EVENTS);
    stop.cancel();
    for running in running {
        assert_eq!(running.await.unwrap(), Ended::Stopped);
    }
}
