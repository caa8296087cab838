//! The way in: redacts, transforms, filters, checks, and puts to where it is durable.

mod json;
mod malformed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use attestry_event::{Batch, Border, Clock, Entry, Event, Methods, Problem};
use attestry_journal::disk::Disk;

use crate::filter::ask;
use crate::{Closed, Incoming, Inlet, Spool, Taken, Verdict};

/// Bytes of events that are put to the landing at once, about.
const LAND_BYTES: usize = 4 << 20;

/// Where events become durable: a spool, or a ledger.
pub trait Landing: Send + Sync {
    /// Takes the events of a batch, in order, and returns how many are durable now: all of them, though a ledger that has some of
    /// them already may keep those only once. Waits as long as there is no room. Blocks.
    ///
    /// # Errors
    /// [`Closed`] when nothing is taken any more; some of the events may be durable nonetheless.
    fn land(&self, ledger: &str, batch: Batch) -> Result<usize, Closed>;
}

impl<D: Disk> Landing for Spool<D> {
    fn land(&self, ledger: &str, batch: Batch) -> Result<usize, Closed> {
        let seqs = self.put(ledger, batch)?;
        Ok((seqs.end - seqs.start) as usize)
    }
}

/// What a redaction, a condition or a transform says of an event: it is given the event as one JSON object, as a client sends it. What panics has failed.
pub type Hook = Box<dyn Fn(&[u8]) -> Verdict + Send + Sync>;

/// How one receiver's or source's events are taken in.
#[derive(Clone, Debug, Default)]
pub struct IntakeOptions {
    /// The ledger they are for.
    pub ledger: String,
    /// What their `event_source` becomes.
    pub event_source: String,
    /// Moves unknown top-level fields into `event_data`.
    pub lenient: bool,
    /// They may have names of Attestry's own catalogue.
    pub reserved_names: bool,
    /// They come from an enrolled agent, which names its sources itself and may set `agent`, `agent_epoch`, `agent_seq` and `via`.
    pub agent: bool,
    /// The `host` of those that name none.
    pub host: Option<String>,
    /// Nobody can know who sent them: `event_data.unauthenticated` is true in each.
    pub unauthenticated: bool,
    /// Which event names are kept; all of them when absent.
    pub methods: Option<Methods>,
}

/// The [`Inlet`] of one receiver or source.
///
/// What cannot be an event is kept inside of a `gap.malformed` event: `event_data.raw` is its text (cut to 1 MiB, `cut_bytes` says by how
/// much; `invalid_utf8` where bytes were no UTF-8), `bytes` its length, `problems` what is wrong. Redaction sees that event, too; where it
/// fails, the text is left out.
pub struct Intake {
    landing: Arc<dyn Landing>,
    options: IntakeOptions,
    redactions: Vec<Hook>,
    hooks: Vec<Hook>,
    clock: Arc<dyn Clock>,
}

/// What became of one event.
enum Fate {
    Kept,
    Filtered,
    Malformed { raw: Option<Vec<u8>>, problems: Vec<Told> },
}

/// One thing that is wrong.
struct Told {
    field: String,
    found: String,
    expected: String,
}

impl From<Problem> for Told {
    fn from(problem: Problem) -> Told {
        Told { field: problem.field, found: problem.found, expected: problem.expected }
    }
}

impl Told {
    fn hook(what: &str, reason: String) -> Told {
        Told { field: "event".to_owned(), found: reason, expected: format!("a {what} that does not fail") }
    }
}

impl Intake {
    /// The way in to a landing.
    ///
    /// `redactions` see everything, first, what is malformed included; `hooks` are conditions and transforms, asked in their order.
    pub fn new(
        landing: Arc<dyn Landing>,
        options: IntakeOptions,
        redactions: Vec<Hook>,
        hooks: Vec<Hook>,
        clock: Arc<dyn Clock>,
    ) -> Intake {
        Intake { landing, options, redactions, hooks, clock }
    }

    fn border(&self) -> Border<'_> {
        Border {
            event_source: &self.options.event_source,
            via: &[],
            lenient: self.options.lenient,
            reserved_names: self.options.reserved_names,
            agent: self.options.agent,
            now: self.clock.now(),
        }
    }

    fn take(&self, incoming: Incoming, batch: &mut Batch, taken: &mut Taken) {
        let fate = match incoming {
            // What a receiver says it has lost has a name of ours, and is kept whatever the filters say of events.
            Incoming::Event(event) if is_loss(&event) => {
                let fate = self.loss(*event, batch);
                if matches!(fate, Fate::Kept) {
                    taken.kept += 1;
                    return;
                }
                fate
            }
            Incoming::Event(event) if self.redactions.is_empty() && self.hooks.is_empty() => {
                self.event(*event, batch)
            }
            Incoming::Event(event) => self.json(json::of_event(&event), batch),
            Incoming::Json(json) => self.json(json, batch),
        };
        match fate {
            Fate::Kept => {
                if self.is_wanted(batch) {
                    taken.kept += 1;
                } else {
                    pop(batch);
                    taken.filtered += 1;
                }
            }
            Fate::Filtered => taken.filtered += 1,
            Fate::Malformed { raw, problems } => {
                self.keep_malformed(raw, problems, batch);
                taken.kept += 1;
                taken.malformed += 1;
            }
        }
    }

    /// An event that nobody wants to look at on its way.
    fn event(&self, mut event: Event, batch: &mut Batch) -> Fate {
        self.decorate(&mut event);
        match batch.push(&event, &self.border()) {
            Ok(()) => Fate::Kept,
            Err(problems) => malformed(json::of_event(&event), problems),
        }
    }

    fn loss(&self, mut event: Event, batch: &mut Batch) -> Fate {
        self.decorate(&mut event);
        let border = Border { reserved_names: true, ..self.border() };
        if self.redactions.is_empty() {
            return match batch.push(&event, &border) {
                Ok(()) => Fate::Kept,
                Err(problems) => malformed(json::of_event(&event), problems),
            };
        }
        let mut json = json::of_event(&event);
        for redaction in &self.redactions {
            match ask(|| redaction(&json)) {
                Verdict::Keep | Verdict::Drop => {}
                Verdict::Change(changed) => json = changed,
                Verdict::Fail(reason) => {
                    return Fate::Malformed { raw: None, problems: vec![Told::hook("redaction", reason)] };
                }
            }
        }
        match batch.push_json(&json, &border) {
            Ok(()) => Fate::Kept,
            Err(problems) => malformed(json, problems),
        }
    }

    fn decorate(&self, event: &mut Event) {
        if event.host.as_ref().is_none_or(String::is_empty) {
            event.host = self.options.host.clone();
        }
        if self.options.unauthenticated {
            event.event_data.get_or_insert_default().insert("unauthenticated".to_owned(), true.into());
        }
    }

    fn json(&self, mut json: Vec<u8>, batch: &mut Batch) -> Fate {
        // A hook needs an object to look at; what is none goes on to be refused, and redaction sees what is kept of it.
        if json::is_object(&json) {
            for (what, hooks) in [("redaction", &self.redactions), ("condition or transform", &self.hooks)] {
                for hook in hooks {
                    match ask(|| hook(&json)) {
                        Verdict::Keep => {}
                        Verdict::Drop => return Fate::Filtered,
                        Verdict::Change(changed) => json = changed,
                        Verdict::Fail(reason) => {
                            // What was not redacted must not be kept.
                            let raw = (what != "redaction").then_some(json);
                            return Fate::Malformed { raw, problems: vec![Told::hook(what, reason)] };
                        }
                    }
                }
            }
        }
        let decorated = json::decorated(&json, self.options.host.as_deref(), self.options.unauthenticated);
        match batch.push_json(decorated.as_deref().unwrap_or(&json), &self.border()) {
            Ok(()) => Fate::Kept,
            Err(problems) => malformed(json, problems),
        }
    }

    /// Whether the name of the batch's last event is one that is kept.
    fn is_wanted(&self, batch: &Batch) -> bool {
        let Some(methods) = &self.options.methods else { return true };
        let last = batch.entry(batch.len().saturating_sub(1));
        Entry::parse(last).is_ok_and(|entry| methods.take(&entry.event_name()))
    }

    fn land(&self, batch: Batch) -> Result<(), Closed> {
        if batch.is_empty() {
            return Ok(());
        }
        self.landing.land(&self.options.ledger, batch).map(|_| ())
    }
}

impl Inlet for Intake {
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
        let mut taken = Taken::default();
        let mut batch = Batch::new();
        let mut beside = 0;
        for incoming in events {
            let values = batch.values.len();
            self.take(incoming, &mut batch, &mut taken);
            beside += batch.values.iter().skip(values).map(|value| value.content.len()).sum::<usize>();
            if batch.bytes.len() + beside >= LAND_BYTES {
                self.land(std::mem::take(&mut batch))?;
                beside = 0;
            }
        }
        self.land(batch)?;
        Ok(taken)
    }
}

/// Whether a receiver itself says that something is lost. In JSON that is only a sender's word.
fn is_loss(event: &Event) -> bool {
    event.event_name.starts_with("gap.")
}

fn malformed(raw: Vec<u8>, problems: Vec<Problem>) -> Fate {
    Fate::Malformed { raw: Some(raw), problems: problems.into_iter().map(Told::from).collect() }
}

/// Takes the last event out again.
fn pop(batch: &mut Batch) {
    if let Some(row) = batch.rows.pop() {
        batch.bytes.truncate(row.start as usize);
        batch.values.truncate(row.values.start as usize);
    }
}
