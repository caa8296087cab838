//! Makes and delivers what is due. Time is the log's: the `received_at` of the newest entry in `audit`, which ticks each minute. What was due
//! while nobody was there is made up at the start, each with its own window; a report is made even when it has nothing to tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attestry_event::{Entry, Nanos};

use super::failed::Failed;
use super::schedules::Held;
use super::{Desk, DeskError, Made, Wanted};
use crate::stopping::Stopping;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);

/// How long what could not be made or delivered waits, in nanoseconds of the log's time; what cannot be delivered again waits twice as long each time.
const AGAIN: i64 = 60_000_000_000;

/// How long it waits at most.
const AGAIN_MOST: i64 = 60 * AGAIN;

/// How often it is looked whether schedules are to be recorded again.
const RENEW: Duration = Duration::from_secs(3_600);

/// So often a report is tried that cannot be made, before it is given up and the next one is due. Delivering is tried for ever.
const ATTEMPTS: u32 = 5;

/// The thread that makes what is due.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    desk: Arc<Desk>,
    stopping: Stopping,
}

/// A schedule under way.
struct Row {
    held: Held,
    /// Up to when everything was made or given up.
    done: Nanos,
    attempts: u32,
    /// When one that could not be made is tried again.
    not_before: Nanos,
    waiting: Vec<Waiting>,
}

/// A report that was made, and has not gone to everybody yet.
struct Waiting {
    made: Made,
    not_before: Nanos,
    /// How long it waits when it fails the next time.
    pause: i64,
}

impl Waiting {
    fn new(made: Made) -> Waiting {
        Waiting { made, not_before: Nanos(i64::MIN), pause: AGAIN }
    }
}

impl Scheduler {
    /// Starts the thread. Before it returns the schedules are recorded again that a prune could take, so it comes before any prune.
    pub(crate) fn start(desk: &Arc<Desk>) -> std::io::Result<Scheduler> {
        renew(desk);
        let shared = Arc::new(Shared { desk: Arc::clone(desk), stopping: Stopping::default() });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("reports".to_owned()).spawn(move || own.run())?;
        Ok(Scheduler { shared, thread })
    }

    /// Ends, and gives up the report that is being made: it is due again at the next start.
    pub(crate) fn stop(self) {
        self.shared.stopping.tell();
        self.shared.desk.end();
        if self.thread.join().is_err() {
            tracing::error!("the thread that makes reports had ended by a panic");
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut rows: Option<BTreeMap<String, Row>> = None;
        let mut told = false;
        let mut renewed = Instant::now();
        while self.stopping.wait(LOOK) {
            if renewed.elapsed() >= RENEW.min(self.desk.renew_after()) {
                renew(&self.desk);
                renewed = Instant::now();
            }
            let done = self.turn(&mut rows);
            match done {
                Ok(()) => told = false,
                Err(error) if !told => {
                    told = true;
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::error!(error, "scheduled reports wait");
                }
                Err(_) => {}
            }
        }
    }

    fn turn(&self, rows: &mut Option<BTreeMap<String, Row>>) -> Result<(), DeskError> {
        let desk = &self.desk;
        desk.note_configured()?;
        if rows.is_none() || desk.take_changed() {
            *rows = Some(self.rows(rows.take().unwrap_or_default())?);
        }
        if let Some(rows) = rows {
            for (name, made) in desk.take_left() {
                let row = rows.get_mut(&name);
                if let Some(row) = row
                    && row.waiting.iter().all(|waiting| waiting.made.event_id != made.event_id)
                {
                    row.waiting.push(Waiting::new(made));
                }
            }
        }
        let (Some(rows), Some(now)) = (rows, desk.log_time()?) else { return Ok(()) };
        for (name, row) in rows.iter_mut() {
            self.deliver(row, now)?;
            if row.not_before > now || self.stopping.is_told() {
                continue;
            }
            let schedule = row.held.schedule()?;
            let (due, left_out) = schedule.due(row.done, now);
            if left_out > 0 {
                let why = format!("{left_out} older ones were due, too, and are not made up");
                let due = due.first().copied().unwrap_or(now);
                desk.give_up(
                    name,
                    &row.held,
                    &Failed { run: run(name, due), due: Some(due), target: None, why },
                )?;
            }
            for due in due {
                if self.stopping.is_told() {
                    return Ok(());
                }
                let from = row.held.planned.window.map(|window| due.saturating_sub(window.0));
                let wanted = Wanted {
                    report: row.held.planned.report.clone(),
                    from: Some(from.unwrap_or_else(|| schedule.window(due).from)),
                    to: Some(due),
                    parameters: row.held.planned.parameters.clone(),
                    by: row.held.by.clone(),
                    schedule: Some(name.clone()),
                    due: Some(due),
                    run: Some(run(name, due)),
                    ..Wanted::default()
                };
                match desk.run(&wanted, &|_| {}) {
                    Ok((made, _)) => {
                        (row.done, row.attempts) = (due, 0);
                        row.waiting.push(Waiting::new(made));
                        self.deliver(row, now)?;
                    }
                    Err(error) => {
                        row.attempts += 1;
                        let error = format!("{:#}", anyhow::Error::from(error));
                        tracing::warn!(schedule = name, error, "a scheduled report could not be made");
                        if row.attempts < ATTEMPTS {
                            row.not_before = Nanos(now.0.saturating_add(AGAIN));
                            break;
                        }
                        let failed = Failed { run: run(name, due), due: Some(due), target: None, why: error };
                        desk.give_up(name, &row.held, &failed)?;
                        (row.done, row.attempts) = (due, 0);
                    }
                }
            }
        }
        Ok(())
    }

    /// The schedules that hold, those under way as they are.
    fn rows(&self, mut former: BTreeMap<String, Row>) -> Result<BTreeMap<String, Row>, DeskError> {
        let mut rows = BTreeMap::new();
        let held = self.desk.schedules()?;
        self.desk.pin_keys(held.iter().map(|(name, held)| (name, &held.planned)));
        for (name, held) in held {
            let row = match former.remove(&name).filter(|row| row.held.planned == held.planned) {
                Some(row) => row,
                None => {
                    let last = self.desk.last_due(&name, &held)?;
                    let done = last.map_or(held.since, |last| last.max(held.since));
                    // What a crash came into is delivered now.
                    let waiting =
                        self.desk.undelivered(&name, &held)?.into_iter().map(Waiting::new).collect();
                    Row { held, done, attempts: 0, not_before: Nanos(i64::MIN), waiting }
                }
            };
            rows.insert(name, row);
        }
        Ok(rows)
    }

    /// Delivers what waits, the oldest first, until one fails: the next one is for the next look, after those of other schedules.
    fn deliver(&self, row: &mut Row, now: Nanos) -> Result<(), DeskError> {
        let mut at = 0;
        while let Some(waiting) = row.waiting.get_mut(at) {
            if self.stopping.is_told() {
                break;
            }
            if waiting.not_before > now {
                at += 1;
                continue;
            }
            let failed = self.desk.deliver(&waiting.made, &row.held.planned)?;
            if !failed.is_empty() {
                waiting.not_before = Nanos(now.0.saturating_add(waiting.pause));
                waiting.pause = (2 * waiting.pause).min(AGAIN_MOST);
                return self.desk.note_waiting(&waiting.made, &row.held, &failed);
            }
            row.waiting.remove(at);
        }
        Ok(())
    }
}

fn renew(desk: &Desk) {
    if let Err(error) = desk.renew_schedules() {
        let error = format!("{:#}", anyhow::Error::from(error));
        tracing::error!(error, "schedules could not be recorded again");
    }
}

impl Desk {
    /// The time of the newest entry.
    fn log_time(&self) -> Result<Option<Nanos>, DeskError> {
        let Some(last) = self.audit.size().checked_sub(1) else { return Ok(None) };
        let read = self.audit.with_entry(last, |entry| Entry::parse(entry).map(|entry| entry.received_at()));
        match read {
            Ok(Ok(time)) => Ok(Some(time)),
            Ok(Err(error)) => Err(DeskError::Failed(error.to_string())),
            Err(error) => Err(DeskError::Report(error.into())),
        }
    }
}

/// What a run is called that is made because it is due.
fn run(schedule: &str, due: Nanos) -> String {
    format!("{schedule}@{due}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use attestry_event::{Clock, ManualClock, Period};
    use attestry_ledger::{DataDir, Options};
    use attestry_server::{LedgerPart, LedgerRows};
    use attestry_store::{Order, Rows, Store};

    use super::*;
    use crate::config::Config;

    const MINUTE: i64 = 60_000_000_000;

    /// A scheduler whose schedule `board` puts what is signed into a folder that is not there.
    struct Scene {
        dir: tempfile::TempDir,
        config: Config,
        shared: Shared,
        row: Row,
        _data: DataDir,
    }

    impl Scene {
        /// Two reports wait.
        fn new() -> Scene {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("attestry.yaml");
            let text = format!(
                "data_dir: {0}/data\nopenpgp: {{program: /no/such/gpg}}\nreports:\n  schedules:\n    board: {{report: access, cron: '0 6 * * *', formats: [csv], folder: {0}/out, sign_with: a@example.org}}\n",
                dir.path().display()
            );
            std::fs::write(&path, text).unwrap();
            let config = Config::load(Some(&path), std::iter::empty(), |_| {}).unwrap();
            let clock: Arc<dyn Clock> =
                Arc::new(ManualClock::new(Nanos::parse("2026-11-21T12:00:00Z").unwrap()));
            let data = DataDir::open(&config.written.data_dir).unwrap();
            let (ledger, _) = data.ledger("audit", Arc::clone(&clock), Options::default()).unwrap();
            let ledgers = [LedgerPart { ledger: Arc::new(ledger), public: false, retention: None }];
            let rows: Vec<Arc<dyn Rows>> = vec![Arc::new(LedgerRows(Arc::clone(&ledgers[0].ledger)))];
            let index = dir.path().join("index");
            let store = Arc::new(Store::open(&index, rows, attestry_store::Options::default()).unwrap());
            let desk = Arc::new(Desk::new(&config, &ledgers, &store, &clock).unwrap());
            desk.note_configured().unwrap();
            let shared = Shared { desk, stopping: Stopping::default() };
            let (_, mut row) = shared.rows(BTreeMap::new()).unwrap().pop_first().unwrap();
            for (run, to) in [("one", "2026-11-21T11:00:00Z"), ("two", "2026-11-21T12:00:00Z")] {
                let wanted = Wanted {
                    report: "access".to_owned(),
                    to: Nanos::parse(to).ok(),
                    by: "-".to_owned(),
                    schedule: Some("board".to_owned()),
                    run: Some(run.to_owned()),
                    ..Wanted::default()
                };
                row.waiting.push(Waiting::new(shared.desk.run(&wanted, &|_| {}).unwrap().0));
            }
            Scene { dir, config, shared, row, _data: data }
        }

        fn out(&self) -> PathBuf {
            self.dir.path().join("out")
        }

        fn deliver(&mut self, now: i64) -> Result<(), DeskError> {
            self.shared.deliver(&mut self.row, Nanos(now))
        }

        /// When those that wait are tried next, in minutes.
        fn waits(&self) -> Vec<i64> {
            self.row.waiting.iter().map(|waiting| waiting.not_before.0.max(0) / MINUTE).collect()
        }
    }

    #[test]
    fn what_waits_is_tried_less_and_less_often_and_one_at_a_time() {
        let mut scene = Scene::new();
        scene.deliver(0).unwrap();
        assert_eq!(scene.waits(), [1, 0]);
        let mut now = 0;
        for expected in [1, 3, 7, 15, 31, 63, 123, 183] {
            scene.deliver(now * MINUTE).unwrap();
            scene.deliver(now * MINUTE).unwrap();
            assert_eq!(scene.waits(), [expected; 2], "after {now} minutes");
            now = expected;
        }
        // Nobody was asked to sign for a folder that is not there; now somebody is.
        let why = |scene: &Scene| {
            let told = scene.shared.desk.events("event_name:report.failed", Order::OldestFirst, 10).unwrap();
            told.iter()
                .map(|event| event["event_data"]["error"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(why(&scene).len(), 2);
        assert!(why(&scene).iter().all(|why| why.ends_with("No such file or directory (os error 2)")));
        std::fs::create_dir(scene.out()).unwrap();
        scene.deliver(now * MINUTE).unwrap();
        assert_eq!(scene.waits(), [243, 183]);
        scene.row.held.planned.sign_with = None;
        scene.deliver(243 * MINUTE).unwrap();
        assert_eq!(scene.waits(), [0; 0]);
        assert_eq!(std::fs::read_dir(scene.out()).unwrap().count(), 2);
    }

    #[test]
    fn an_error_in_between_forgets_nothing_that_waits() {
        let mut scene = Scene::new();
        std::fs::create_dir(scene.out()).unwrap();
        scene.row.held.planned.sign_with = None;
        let timeout = std::mem::replace(&mut scene.config.written.reports.timeout, Period::millis(0));
        scene.shared.desk.change(&scene.config);
        scene.deliver(0).unwrap_err();
        assert_eq!(scene.waits(), [0, 0]);
        scene.config.written.reports.timeout = timeout;
        scene.shared.desk.change(&scene.config);
        scene.deliver(0).unwrap();
        assert_eq!(scene.waits(), [0; 0]);
    }
}
