//! Where events become durable on this node: its ledgers, or the spool of a node without any.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_event::{Batch, Clock, Event};
use attestry_ledger::{Ledger, OnConflict, Outcome, Refusal};
use attestry_pipeline::{Closed, Landing, Log, News, Spool};
use attestry_server::{AUDIT_LEDGER, LedgerPart, clashes, record};

use super::followed::Followed;

/// How long what a ledger refused waits before it is offered again.
const RETRY: Duration = Duration::from_millis(500);

/// Where events become durable.
pub(crate) enum Ground {
    /// A server: in a ledger.
    Ledgers(Ledgers),
    /// A node without ledgers: in the spool, until its sinks have them.
    Spool(Arc<Spool>),
}

/// The ledgers as what receivers and sources write to.
pub(crate) struct Ledgers {
    by_name: HashMap<String, Arc<Ledger>>,
    clock: Arc<dyn Clock>,
    stopping: AtomicBool,
}

/// What a sink can follow.
#[derive(Clone)]
pub(crate) struct Followable {
    /// The ledger's name, or `spool`.
    pub(crate) name: String,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) news: News,
}

impl Ground {
    pub(crate) fn ledgers(parts: &[LedgerPart], clock: &Arc<dyn Clock>) -> Ground {
        let by_name = parts.iter().map(|part| (part.ledger.name().to_owned(), Arc::clone(&part.ledger)));
        Ground::Ledgers(Ledgers {
            by_name: by_name.collect(),
            clock: Arc::clone(clock),
            stopping: AtomicBool::new(false),
        })
    }

    /// What sinks follow here.
    pub(crate) fn logs(&self) -> std::io::Result<Vec<Followable>> {
        let followable = |name: &str, log: Arc<dyn Log>| {
            let news = News::follow(Arc::clone(&log))?;
            Ok(Followable { name: name.to_owned(), log, news })
        };
        match self {
            Ground::Ledgers(ledgers) => {
                let mut ledgers: Vec<_> = ledgers.by_name.iter().collect();
                ledgers.sort_by_key(|(name, _)| *name);
                let logs = ledgers.into_iter();
                logs.map(|(name, ledger)| followable(name, Arc::new(Followed::new(Arc::clone(ledger)))))
                    .collect()
            }
            Ground::Spool(spool) => Ok(vec![followable("spool", Arc::clone(spool) as Arc<dyn Log>)?]),
        }
    }

    /// Whether events can go to this ledger: a node without any hands on whatever it is for.
    pub(crate) fn has(&self, ledger: &str) -> bool {
        match self {
            Ground::Ledgers(ledgers) => ledgers.by_name.contains_key(ledger),
            Ground::Spool(_) => true,
        }
    }

    /// Makes an event about this node durable; the log has it where that is not to be done now.
    pub(crate) fn declare(&self, event: Event) {
        match self {
            Ground::Spool(spool) => spool.declare(&event),
            Ground::Ledgers(ledgers) => {
                let Some(audit) = ledgers.by_name.get(AUDIT_LEDGER) else { return };
                let name = event.event_name.clone();
                if let Err(error) = record(audit, &*ledgers.clock, event) {
                    tracing::error!(
                        error = format!("{:#}", anyhow::Error::from(error)),
                        event = name,
                        "an event about this node was not recorded"
                    );
                }
            }
        }
    }

    /// Nothing is taken any more; who waits is let go.
    pub(crate) fn close(&self) {
        match self {
            Ground::Ledgers(ledgers) => ledgers.stopping.store(true, Ordering::Relaxed),
            Ground::Spool(spool) => spool.close(),
        }
    }
}

impl Landing for Ground {
    fn land(&self, ledger: &str, batch: Batch) -> Result<usize, Closed> {
        match self {
            Ground::Spool(spool) => spool.land(ledger, batch),
            Ground::Ledgers(ledgers) => ledgers.land(ledger, batch),
        }
    }
}

impl Ledgers {
    /// Offers a batch until the ledger takes it.
    fn land(&self, name: &str, mut batch: Batch) -> Result<usize, Closed> {
        let ledger = self.by_name.get(name).ok_or_else(|| {
            tracing::error!(ledger = name, "there is no such ledger: nothing is taken in for it");
            Closed
        })?;
        loop {
            let Outcome { batch: back, result } = ledger.offer(batch, OnConflict::RefuseEvent);
            match result {
                Ok(stored) => {
                    let source =
                        back.entries().next().and_then(|entry| attestry_event::Entry::parse(entry).ok());
                    let source = source.map_or_else(String::new, |entry| entry.event_source().into_owned());
                    for clash in clashes(&source, name, &back, &stored) {
                        let audit = self.by_name.get(AUDIT_LEDGER).unwrap_or(ledger);
                        record(audit, &*self.clock, clash).map_err(|error| {
                            tracing::error!(
                                error = format!("{:#}", anyhow::Error::from(error)),
                                "an event that clashes with another was not kept"
                            );
                            Closed
                        })?;
                    }
                    return Ok(back.len());
                }
                Err(Refusal::Closed) => return Err(Closed),
                // What was not taken is offered again after the next start, by whoever has it still.
                Err(_) if self.stopping.load(Ordering::Relaxed) => return Err(Closed),
                Err(refusal) => {
                    tracing::warn!(ledger = name, %refusal, "the ledger refused events, trying again");
                    std::thread::sleep(RETRY);
                    batch = back;
                }
            }
        }
    }
}
