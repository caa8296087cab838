//! Reports on this node: which there are, making them, and what the ledger remembers of those that were made.
//!
//! Nothing is kept beside the ledger: a report that was made is an event with its recipe, from which it is made again when somebody wants to see it.

mod deliver;
mod figures;
mod ordered;
mod planning;
mod schedules;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_db::WatchConfig;
use attestry_event::{Clock, Event, Nanos, Outcome, RESERVED_SOURCE};
use attestry_ledger::Ledger;
use attestry_openpgp::{Fingerprint, Gpg, KeyUse};
use attestry_report::{
    Document, Error, Logs, Progress, Recipe, Replayed, Window, Wish, make, recipe_of, replay,
};
use attestry_server::{AUDIT_LEDGER, LedgerPart, RecordError, record};
use attestry_store::{Order, Query, Scope, SearchRequest, Stop, Store};
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::{Config, ReportKind, Reports};

pub(crate) use schedules::Scheduler;

/// How long the signing and the indexing of the newest entries may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much time a report covers whose definition does not say.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// Documents that are kept in memory for whoever asks for them right after they were made.
const KEPT: usize = 4;

/// A schedule whose event is so old is recorded again, so that pruning what is older takes none; half of the retention, when that is less.
const RENEW_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// No more reports are made at once: the server makes two, the scheduler one, each with some searches before and after.
const MAKING: usize = 32;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    /// The one who asks is at fault, or the log does not have it.
    #[error("{0}")]
    Refused(String),
    /// There is no such report, run or schedule.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Report(#[from] Error),
    #[error("the ledger did not take the record of the report")]
    Record(#[from] RecordError),
    #[error("{0}")]
    Failed(String),
}

impl From<attestry_store::Error> for DeskError {
    fn from(error: attestry_store::Error) -> DeskError {
        DeskError::Report(Error::Search(error))
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) report: String,
    /// Without, the definition's window before `to`.
    pub(crate) from: Option<Nanos>,
    /// Without, now.
    pub(crate) to: Option<Nanos>,
    /// How much time before `to` it covers when there is no `from`. Without, as much as the definition says.
    pub(crate) window: Option<Duration>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) by: String,
    pub(crate) address: Option<String>,
    /// The schedule it is made for.
    pub(crate) schedule: Option<String>,
    /// When it was due; none when somebody asked for it.
    pub(crate) due: Option<Nanos>,
    /// What tells this run from all others, also after a crash. Without, nobody will ask for it again.
    pub(crate) run: Option<String>,
}

/// A report that was made, as the ledger remembers it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) event_id: String,
    pub(crate) report: String,
    pub(crate) title: String,
    pub(crate) by: String,
    pub(crate) at: Nanos,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    pub(crate) run: String,
    pub(crate) schedule: Option<String>,
    pub(crate) due: Option<Nanos>,
    pub(crate) body_sha256: String,
    pub(crate) cited: u64,
    recipe: String,
    checkpoints: Vec<String>,
}

/// Where reports are made.
pub(crate) struct Desk {
    logs: Logs,
    audit: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    given: Mutex<Arc<Given>>,
    kept: Mutex<VecDeque<(String, Arc<Document>)>>,
    /// What ends the reports that are being made, the newest last.
    making: Mutex<VecDeque<Stop>>,
    /// Held while a report is delivered: two that look at once what was delivered would both deliver the rest.
    delivering: Mutex<()>,
    /// Reports for the scheduler to deliver, each with its schedule.
    left: Mutex<Vec<(String, Made)>>,
    /// Whether the ledger says of the configuration's schedules what stands there; held while schedules are looked at to record something of them.
    noted: Mutex<bool>,
    /// Whether schedules were changed since the scheduler looked.
    changed: AtomicBool,
}

/// What the configuration says of reports, and of what they are made and sent with.
struct Given {
    kinds: BTreeMap<String, ReportKind>,
    settings: Reports,
    watches: BTreeMap<String, WatchConfig>,
    sinks: Vec<String>,
    gpg: Gpg,
    /// Which keys are meant by what the schedules name, since the configuration was read.
    keys: Mutex<BTreeMap<(String, KeyUse), Fingerprint>>,
    /// How old the event of a schedule may become before it is recorded again.
    renew_after: Duration,
}

impl Given {
    fn of(config: &Config) -> Given {
        let written = &config.written;
        // What is wrong with a file was told when the configuration was checked.
        let (kinds, _) = written.reports.definitions();
        let audit = config.ledgers.iter().find(|ledger| ledger.name == AUDIT_LEDGER);
        let retention = audit.and_then(|ledger| ledger.retention);
        Given {
            kinds,
            settings: written.reports.clone(),
            watches: written.audit.clone(),
            sinks: written.sinks.keys().cloned().collect(),
            gpg: Gpg::new(&written.openpgp),
            keys: Mutex::default(),
            renew_after: retention.map_or(RENEW_AFTER, |retention| RENEW_AFTER.min(retention / 2)),
        }
    }
}

impl Desk {
    pub(crate) fn new(
        config: &Config,
        ledgers: &[LedgerPart],
        store: &Arc<Store>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Desk> {
        let ledgers: Vec<Arc<Ledger>> = ledgers.iter().map(|part| Arc::clone(&part.ledger)).collect();
        let audit = ledgers.iter().find(|ledger| ledger.name() == AUDIT_LEDGER);
        let audit = Arc::clone(audit.ok_or_else(|| anyhow::anyhow!("there is no ledger {AUDIT_LEDGER}"))?);
        Ok(Desk {
            logs: Logs { store: Arc::clone(store), ledgers },
            audit,
            clock: Arc::clone(clock),
            given: Mutex::new(Arc::new(Given::of(config))),
            kept: Mutex::default(),
            making: Mutex::default(),
            delivering: Mutex::default(),
            left: Mutex::default(),
            noted: Mutex::default(),
            changed: AtomicBool::new(false),
        })
    }

    /// Follows a new configuration: reports that are being made are made by the one before, schedules are noted by the scheduler. Reads the files of the
    /// own definitions, also when the section is as it was.
    pub(crate) fn change(&self, config: &Config) {
        *self.given.lock() = Arc::new(Given::of(config));
        *self.noted.lock() = false;
        self.changed.store(true, Ordering::Release);
    }

    /// What holds now.
    fn given(&self) -> Arc<Given> {
        Arc::clone(&self.given.lock())
    }

    /// Whether schedules were changed since this was asked the last time.
    fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    fn record(&self, event: Event) -> Result<(), DeskError> {
        Ok(record(&self.audit, &*self.clock, event)?)
    }

    fn stop(&self) -> Stop {
        let stop = Stop::after(self.given().settings.timeout.0);
        let mut making = self.making.lock();
        making.push_back(stop.clone());
        let old = making.len().saturating_sub(MAKING);
        making.drain(..old);
        stop
    }

    /// Ends what is being made: the program stops.
    fn end(&self) {
        self.making.lock().iter().for_each(Stop::cancel);
    }

    /// Makes a report, figures from outside first, and records it.
    pub(crate) fn run(
        &self,
        wanted: &Wanted,
        progress: &dyn Fn(&Progress<'_>),
    ) -> Result<(Made, Arc<Document>), DeskError> {
        let given = self.given();
        let kind = given.kinds.get(&wanted.report).ok_or_else(|| {
            let known: Vec<&str> = given.kinds.keys().map(String::as_str).collect();
            DeskError::Unknown(format!(
                "there is no report {:?}, there are {}",
                wanted.report,
                known.join(", ")
            ))
        })?;
        let now = self.clock.now();
        // A whole second reads better; with its end, what happened just now is in the window.
        let second = 1_000_000_000;
        let to =
            wanted.to.unwrap_or(Nanos(now.0.div_euclid(second).saturating_add(1).saturating_mul(second)));
        let window = wanted.window.or(kind.definition.window.map(|window| window.0)).unwrap_or(WINDOW);
        let from = wanted.from.unwrap_or_else(|| to.saturating_sub(window));
        let run = wanted.run.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let wish = Wish {
            definition: kind.definition.clone(),
            window: Window { from, to },
            parameters: wanted.parameters.clone(),
            run,
            previous: match (&wanted.schedule, wanted.due) {
                (Some(schedule), Some(due)) => self.previous(schedule, &wanted.report, due)?,
                _ => None,
            },
        };
        // A wrong wish asks nobody for figures.
        Recipe::new(&wish, Vec::new())?;
        self.take_figures(&given, &wish, &wanted.by, progress)?;
        let (recipe, notes) = recipe_of(&self.logs, &wish, PATIENCE)?;
        let document = Arc::new(make(&self.logs, recipe, &notes, &self.stop(), progress)?);
        let made = self.made_of(wanted, &document, now)?;
        let mut event = made.event();
        if let Some(address) = &wanted.address {
            event = event.source_ip_address(address.as_str());
        }
        self.record(event)?;
        self.keep(&made.event_id, &document);
        Ok((made, document))
    }

    fn made_of(&self, wanted: &Wanted, document: &Document, at: Nanos) -> Result<Made, DeskError> {
        let recipe = &document.recipe;
        let failed = |error: serde_json::Error| DeskError::Failed(error.to_string());
        Ok(Made {
            event_id: wanted.run.as_deref().map_or_else(|| recipe.run.clone(), made_id),
            report: recipe.name.clone(),
            title: document.body.title.clone(),
            by: wanted.by.clone(),
            at,
            from: recipe.window.from,
            to: recipe.window.to,
            run: recipe.run.clone(),
            schedule: wanted.schedule.clone(),
            due: wanted.due,
            body_sha256: document.body_sha256(),
            cited: document.evidence.iter().map(|of| of.events.len() as u64).sum(),
            recipe: serde_json::to_string(recipe).map_err(failed)?,
            checkpoints: document.notes(),
        })
    }

    fn keep(&self, event_id: &str, document: &Arc<Document>) {
        let mut kept = self.kept.lock();
        kept.retain(|(id, _)| id != event_id);
        kept.push_front((event_id.to_owned(), Arc::clone(document)));
        kept.truncate(KEPT);
    }

    /// A report that was made, made again from its recipe unless it is still at hand.
    pub(crate) fn document(&self, event_id: &str) -> Result<(Made, Arc<Document>), DeskError> {
        let made = self.find_made(event_id)?;
        let kept = self.kept.lock().iter().find(|(id, _)| id == event_id).map(|(_, found)| Arc::clone(found));
        if let Some(document) = kept {
            return Ok((made, document));
        }
        let recipe = made
            .recipe()
            .ok_or_else(|| DeskError::Failed(format!("the recipe in {event_id} cannot be read")))?;
        let document = make(&self.logs, recipe, &made.checkpoints, &self.stop(), &|_| {})?;
        if document.body_sha256() != made.body_sha256 {
            return Err(DeskError::Failed(format!(
                "made again, the report is another one than was recorded ({} instead of {}): the program was changed since, or entries it was made from are gone",
                document.body_sha256(),
                made.body_sha256
            )));
        }
        let document = Arc::new(document);
        self.keep(event_id, &document);
        Ok((made, document))
    }

    /// Makes a report again that somebody has a file of.
    pub(crate) fn replay(&self, text: &str, progress: &dyn Fn(&Progress<'_>)) -> Result<Replayed, DeskError> {
        Ok(replay(&self.logs, text, &self.stop(), progress)?)
    }

    fn find_made(&self, event_id: &str) -> Result<Made, DeskError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let unknown = || DeskError::Unknown(format!("no report was made with the id {event_id:.80?}"));
        if event_id.is_empty() || !event_id.chars().all(plain) {
            return Err(unknown());
        }
        let found =
            self.events(&format!("event_name:report.made event_id:\"{event_id}\""), Order::NewestFirst, 1)?;
        found.first().and_then(Made::read).ok_or_else(unknown)
    }

    /// The newest reports that were made, and whether there are more.
    pub(crate) fn history(&self, limit: usize) -> Result<(Vec<Made>, bool), DeskError> {
        let found = self.events("event_name:report.made", Order::NewestFirst, limit + 1)?;
        let more = found.len() > limit;
        Ok((found.iter().take(limit).filter_map(Made::read).collect(), more))
    }

    /// Events of ours in `audit`, with their large values.
    fn events(&self, query: &str, order: Order, limit: usize) -> Result<Vec<Value>, DeskError> {
        self.events_of(RESERVED_SOURCE, query, order, limit)
    }

    fn events_of(
        &self,
        source: &str,
        query: &str,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Value>, DeskError> {
        let text = format!("event_source:{source} ({query})");
        let query = Query::parse(&text).map_err(|error| DeskError::Failed(error.message))?;
        let mut scope = Scope::new(query);
        scope.ledgers = Some(vec![AUDIT_LEDGER.to_owned()]);
        scope.stop = self.stop();
        self.logs.store.wait_indexed(AUDIT_LEDGER, self.audit.size(), PATIENCE)?;
        let mut request = SearchRequest { scope, order, limit: limit.clamp(1, 1_000), cursor: None };
        let mut found = Vec::new();
        loop {
            let page = self.logs.store.search(&request)?;
            for hit in &page.hits {
                found.push(self.logs.event(hit)?);
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Whether the ledger has an event of ours with this id.
    fn has(&self, event_id: &str) -> Result<bool, DeskError> {
        self.knows(RESERVED_SOURCE, event_id)
    }

    /// Whether the ledger has an event with this id from this source.
    pub(crate) fn knows(&self, source: &str, event_id: &str) -> Result<bool, DeskError> {
        let query = format!("event_id:\"{event_id}\"");
        Ok(!self.events_of(source, &query, Order::NewestFirst, 1)?.is_empty())
    }
}

impl Made {
    fn event(&self) -> Event {
        let mut event = Event::new("report.made", self.by.as_str())
            .id(self.event_id.as_str())
            .resource(self.report.as_str())
            .read_only(true)
            .outcome(Outcome::Success)
            .message(format!("{} made the report {}", self.by, self.report))
            .data("title", self.title.as_str())
            .data("run", self.run.as_str());
        if let Some(schedule) = &self.schedule {
            event = event.data("schedule", schedule.as_str());
        }
        if let Some(due) = self.due {
            event = event.data("due", due.to_string());
        }
        event
            .data("from", self.from.to_string())
            .data("to", self.to.to_string())
            .data("body_sha256", self.body_sha256.as_str())
            .data("cited", self.cited)
            .data("recipe", self.recipe.as_str())
            .data("checkpoints", self.checkpoints.clone())
    }

    /// Reads a `report.made` event.
    fn read(event: &Value) -> Option<Made> {
        let data = &event["event_data"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = |value: &Value| Nanos::parse(value.as_str()?).ok();
        Some(Made {
            event_id: text(&event["event_id"])?,
            report: text(&event["resource"])?,
            title: text(&data["title"])?,
            by: text(&event["username"])?,
            at: time(&event["event_time"])?,
            from: time(&data["from"])?,
            to: time(&data["to"])?,
            run: text(&data["run"])?,
            schedule: text(&data["schedule"]),
            due: time(&data["due"]),
            body_sha256: text(&data["body_sha256"])?,
            cited: data["cited"].as_u64()?,
            recipe: text(&data["recipe"])?,
            checkpoints: data["checkpoints"].as_array()?.iter().filter_map(text).collect(),
        })
    }

    /// What it was made from.
    fn recipe(&self) -> Option<Recipe> {
        serde_json::from_str(&self.recipe).ok()
    }

    /// What its file is called, without the ending.
    pub(crate) fn file_stem(&self) -> String {
        let time: String = self.to.to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
        match &self.schedule {
            // Several schedules may have it made for one folder, for the same second.
            Some(schedule) => format!("{}-{schedule}-{time}Z", self.report),
            None => format!("{}-{time}Z", self.report),
        }
    }
}

/// The id of the event that says that a run was made.
fn made_id(run: &str) -> String {
    format!("rm-{}", short_hash(run))
}

/// The beginning of a text's SHA-256, long enough for an id.
fn short_hash(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with the keys that the configuration's schedules name, each with the command that mends it.
pub(crate) fn key_problems(config: &Config) -> Vec<String> {
    let gpg = Gpg::new(&config.written.openpgp);
    let mut wrong = Vec::new();
    for (name, planned) in &config.written.reports.schedules {
        let sign = planned.sign_with.iter().map(|key| ("sign_with", key, KeyUse::Sign));
        let encrypt = planned.encrypt_to.iter().map(|key| ("encrypt_to", key, KeyUse::Encrypt));
        for (item, key, purpose) in sign.chain(encrypt) {
            if let Err(error) = gpg.key(key, purpose) {
                let place = config.lines.place(&["reports", "schedules", name, item]);
                wrong.push(format!("{place}: {item}: {:#}", anyhow::Error::from(error)));
            }
        }
    }
    wrong
}

/// Opens what an offline command needs, calls `f`, and closes it.
pub(crate) fn offline<T>(config: &Config, f: impl FnOnce(&Desk) -> anyhow::Result<T>) -> anyhow::Result<T> {
    use attestry_event::SystemClock;
    use attestry_ledger::DataDir;
    use attestry_server::LedgerRows;
    use attestry_store::Rows;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.written.data_dir)?;
    let ledgers = crate::run::open_ledgers(config, &data, &clock)?;
    let rows = ledgers.iter().map(|part| Arc::new(LedgerRows(Arc::clone(&part.ledger))) as Arc<dyn Rows>);
    let index: &Path = &data.path().join("index");
    let store = Arc::new(Store::open(index, rows.collect(), attestry_store::Options::default())?);
    let desk = Desk::new(config, &ledgers, &store, &clock)?;
    let done = f(&desk);
    store.close();
    let closing = ledgers.iter().map(|part| Arc::clone(&part.ledger)).collect();
    drop((desk, store, ledgers));
    crate::run::close(closing);
    done
}
