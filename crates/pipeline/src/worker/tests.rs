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
    house.far.lock().refuses = vec![800, 1_200, 2_499];
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
