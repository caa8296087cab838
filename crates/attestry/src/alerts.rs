//! Rules at work: a thread that follows the ledgers, records what it finds as `alert.*` events in `audit`, and keeps the list of alerts.
//!
//! It only reads what is committed and writes in batches, so it holds up nobody. What it remembers is saved with its position now and then,
//! after the events are durable; what it finds again after a crash has the same ids, and the ledger stores it once.

mod begin;
mod book;
mod merge;
mod people;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use attestry_event::{Clock, Entry, Event, Nanos};
use attestry_ledger::Ledger;
use attestry_rules::{Cursors, Engine, Options, Rules};
use attestry_server::{AUDIT_LEDGER, LedgerPart, record};
use parking_lot::{Condvar, Mutex};

use begin::Begun;
use book::Book;
use merge::Merge;

/// Entries that are looked at between two writes.
const BATCH: usize = 2_000;

/// How often what the rules remember is saved: after a crash so much is looked at again.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// How long the thread waits for entries before it looks whether it should end.
const WAIT: Duration = Duration::from_millis(200);

/// How long it waits for what a ledger is just making durable.
const SETTLE: Duration = Duration::from_millis(2);

/// The longest that it waits for that.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// What the thread and those who ask share.
struct Shared {
    ledgers: Vec<Arc<Ledger>>,
    audit: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    file: PathBuf,
    rules: Mutex<Arc<Rules>>,
    /// How often each rule's program failed, as far as known.
    failures: Mutex<Vec<(String, u64)>>,
    /// The index after the newest entry of each ledger that was looked at, and is in the list.
    fed: Mutex<Cursors>,
    /// The index after the newest entry of `audit` that is in the list.
    applied: Mutex<u64>,
    moved: Condvar,
    stop: AtomicBool,
}

/// The rules of this server.
pub(crate) struct Watching {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The file with the list of alerts, which can be deleted.
pub(crate) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("index").join("alerts.sqlite")
}

impl Watching {
    /// Starts the thread.
    pub(crate) fn start(
        options: &Options,
        ledgers: &[LedgerPart],
        data_dir: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Watching>> {
        let ledgers: Vec<Arc<Ledger>> = ledgers.iter().map(|part| Arc::clone(&part.ledger)).collect();
        let audit = ledgers
            .iter()
            .find(|ledger| ledger.name() == AUDIT_LEDGER)
            .context("there is no ledger audit")?;
        let shared = Arc::new(Shared {
            audit: Arc::clone(audit),
            ledgers,
            clock: Arc::clone(clock),
            file: file(data_dir),
            rules: Mutex::new(Arc::new(load(options))),
            failures: Mutex::default(),
            fed: Mutex::default(),
            applied: Mutex::new(0),
            moved: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("rules".to_owned()).spawn(move || work.run())?;
        Ok(Arc::new(Watching { shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Puts other rules in force. Those that stay as they are remember what they did.
    pub(crate) fn change(&self, options: &Options) {
        *self.shared.rules.lock() = Arc::new(load(options));
    }

    /// Ends the thread; what it remembers is saved.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the rules had ended by a panic");
        }
    }
}

fn load(options: &Options) -> Rules {
    let rules = Rules::load(options);
    let report = &rules.report;
    tracing::info!(
        rules = rules.infos().len(),
        not_applicable = report.not_applicable.len(),
        refused = report.refused.len(),
        "rules loaded"
    );
    for refused in &report.refused {
        tracing::warn!(
            file = refused.file,
            line = refused.line,
            reason = refused.reason,
            "a rule was refused"
        );
    }
    rules
}

impl Shared {
    fn run(&self) {
        while !self.stopping() {
            let Err(error) = self.follow() else { return };
            tracing::error!(
                error = format!("{error:#}"),
                "the rules cannot follow the ledgers, trying again"
            );
            let begun = Instant::now();
            while begun.elapsed() < PAUSE && !self.stopping() {
                std::thread::sleep(WAIT);
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock())
    }

    /// Follows until it is time to stop.
    fn follow(&self) -> Result<()> {
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut book = Book::open(&self.file)?;
        self.tell_applied(book.applied()?);
        let Begun { mut engine, mut quiet } = self.begin(&book)?;
        let mut merge = Merge::new(&self.ledgers, engine.cursors());
        self.fed.lock().clone_from(engine.cursors());
        let (mut saved, mut held) = (Instant::now(), None::<Instant>);
        let mut dirty = false;
        self.tell_rules(&mut book, engine.rules())?;
        loop {
            let rules = self.rules();
            if !Arc::ptr_eq(&rules, engine.rules()) {
                engine = Engine::restore(Arc::clone(&rules), &engine.save())?;
                self.tell_rules(&mut book, &rules)?;
                dirty = true;
            }
            let stopping = self.stopping();
            if dirty && quiet.is_none() && (stopping || saved.elapsed() >= SAVE_EVERY) {
                book.apply(&[], 0, Some(&engine.save()))?;
                book.tidy()?;
                (saved, dirty) = (Instant::now(), false);
            }
            if stopping {
                return Ok(());
            }
            // What another ledger is just making durable may be of an earlier time than what is there.
            let settled = self.ledgers.iter().map(|ledger| ledger.settled()).min();
            let mut taken = merge.take(BATCH, settled.unwrap_or_default())?;
            if !taken.is_empty() {
                held = None;
            } else if merge.behind() == 0 {
                held = None;
                self.audit.wait_beyond(self.audit.size(), WAIT);
                continue;
            } else if held.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                std::thread::sleep(SETTLE);
                continue;
            } else {
                // The clock was set back behind what is there, or a disk stands still; not everything is to wait for that.
                taken = merge.take(BATCH, Nanos(i64::MAX))?;
            }
            let mut steps = Vec::new();
            for entry in &taken {
                if quiet.as_ref().is_some_and(|quiet| quiet.is_over(entry.received_at)) {
                    quiet.take().into_iter().for_each(|quiet| quiet.end(&mut engine));
                }
                let found = engine.feed(&entry.ledger, entry.index, &entry.bytes).steps;
                steps.extend(
                    found.into_iter().filter(|step| quiet.as_mut().is_none_or(|quiet| quiet.lets(step))),
                );
            }
            let missed: Vec<Event> =
                merge.missed.drain(..).map(|(ledger, gone)| pruned(&ledger, &gone)).collect();
            if !steps.is_empty() || !missed.is_empty() {
                self.write(missed.iter().chain(steps.iter().map(|step| &step.event)))?;
            }
            // Only now are the steps of these entries durable, and may the position go beyond them.
            let of_audit: Vec<(u64, &[u8])> = taken
                .iter()
                .filter(|entry| &*entry.ledger == AUDIT_LEDGER)
                .map(|entry| (entry.index, entry.bytes.as_slice()))
                .collect();
            let end = engine.cursors().get(AUDIT_LEDGER).copied().unwrap_or(0);
            book.apply(&of_audit, end, None)?;
            self.tell_applied(end);
            self.fed.lock().clone_from(engine.cursors());
            let failures = engine.failures().map(|(rule, count)| (rule.to_owned(), count));
            *self.failures.lock() = failures.collect();
            dirty = true;
        }
    }

    /// Entries that the rules have not looked at yet.
    fn behind(&self) -> u64 {
        let fed = self.fed.lock();
        let of = |ledger: &Arc<Ledger>| {
            let next = fed.get(ledger.name()).copied().unwrap_or(0).max(ledger.first());
            ledger.size().saturating_sub(next)
        };
        self.ledgers.iter().map(of).sum()
    }

    fn tell_applied(&self, end: u64) {
        let mut applied = self.applied.lock();
        *applied = (*applied).max(end);
        self.moved.notify_all();
    }

    /// Waits until the list holds the entries of `audit` before `end`; whether it does.
    fn wait_applied(&self, end: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut applied = self.applied.lock();
        while *applied < end {
            if self.moved.wait_until(&mut applied, deadline).timed_out() {
                return *applied >= end;
            }
        }
        true
    }

    /// Records which rules are in force, if they are others than the last time.
    fn tell_rules(&self, book: &mut Book, rules: &Rules) -> Result<()> {
        let version = rules.version();
        if book.rules()?.as_deref() == Some(&version) {
            return Ok(());
        }
        let report = &rules.report;
        let event = Event::new("rules.load", "-")
            .severity(if report.refused.is_empty() { 6 } else { 4 })
            .message(format!(
                "{} rules are in force, {} are not applicable here, {} were refused",
                rules.infos().len(),
                report.not_applicable.len(),
                report.refused.len()
            ))
            .data("version", version.as_str())
            .data("rules", rules.infos().len() as u64)
            .data("not_applicable", report.not_applicable.len() as u64)
            .data("refused", report.refused.len() as u64)
            .data("disabled", report.disabled.clone());
        record(&self.audit, &*self.clock, event)?;
        book.set_rules(&version)
    }
}

/// Tells that entries were gone before the rules looked at them.
fn pruned(ledger: &str, gone: &Range<u64>) -> Event {
    let count = gone.end - gone.start;
    Event::new("gap.rules", "-")
        .id(format!("rules:pruned:{ledger}:{}-{}", gone.start, gone.end))
        .resource(ledger)
        .severity(4)
        .message(format!(
            "{count} entries of {ledger} were pruned before the rules had looked at them: {} to {}",
            gone.start,
            gone.end - 1
        ))
        .data("what", "entries")
        .data("count", count)
}

/// Whether an entry is a step of an alert that the rules themselves wrote.
fn is_step(entry: &Entry<'_>) -> bool {
    entry.event_source() == attestry_event::RESERVED_SOURCE
        && entry.username() == "-"
        && entry.event_name().starts_with("alert.")
}

#[cfg(test)]
mod tests;
