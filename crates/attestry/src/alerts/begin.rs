//! Where the rules begin: where they were, or, when nothing is remembered, from the ledgers alone.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result};
use attestry_event::{Entry, Nanos};
use attestry_rules::{Engine, Step};

use super::book::Book;
use super::merge::first_since;
use super::{Shared, is_step};

/// So far back a server that never had rules looks, to learn what is usual; nothing of it is an alert.
const LEARN: Duration = Duration::from_secs(8 * 86_400);

/// Entries read at once.
const BLOCK: u64 = 4_096;

/// An engine, and what of it is not to be written.
pub(super) struct Begun {
    pub(super) engine: Engine,
    /// Until then it only makes up for what it has forgotten.
    pub(super) quiet: Option<Quiet>,
}

/// What was written before, or is not to be.
pub(super) struct Quiet {
    /// Steps before this time on the log were written.
    until: Nanos,
    /// Steps at that time that were.
    written: HashSet<String>,
    /// Whether there were no rules before: what is found until then is no alert.
    first: bool,
}

impl Quiet {
    pub(super) fn is_over(&self, received_at: i64) -> bool {
        received_at > self.until.0
    }

    pub(super) fn lets(&self, step: &Step) -> bool {
        let id = step.event.event_id.as_deref().unwrap_or_default();
        !self.first && step.at >= self.until && !self.written.contains(id)
    }

    pub(super) fn end(self, engine: &mut Engine) {
        if self.first {
            engine.forget_alerts();
        }
    }
}

impl Shared {
    pub(super) fn begin(&self, book: &Book) -> Result<Begun> {
        let rules = self.rules();
        if let Some(state) = book.state()? {
            match Engine::restore(rules.clone(), &state) {
                Ok(engine) => return Ok(Begun { engine, quiet: None }),
                Err(error) => tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "what the rules remember is made again from the ledgers"
                ),
            }
        }
        let mut engine = Engine::new(rules);
        let quiet = match self.newest_step()? {
            Some((until, written)) => Quiet { until, written, first: false },
            None => {
                let now = self.clock.now();
                let since = Nanos(now.0.saturating_sub(i64::try_from(LEARN.as_nanos()).unwrap_or(i64::MAX)));
                for ledger in &self.ledgers {
                    engine.begin_at(ledger.name(), first_since(ledger, since)?);
                }
                Quiet { until: now, written: HashSet::new(), first: true }
            }
        };
        Ok(Begun { engine, quiet: Some(quiet) })
    }

    /// The time of the newest step that is in the ledger, and the ids of all that are of it.
    fn newest_step(&self) -> Result<Option<(Nanos, HashSet<String>)>> {
        let mut newest: Option<(Nanos, HashSet<String>)> = None;
        let mut next = self.audit.first();
        while next < self.audit.size() {
            let mut look = |_, bytes: &[u8]| {
                // Most are none; looking for the name is faster than reading them.
                if memchr::memmem::find(bytes, b"\"event_name\":\"alert.").is_none() {
                    return;
                }
                let Ok(entry) = Entry::parse(bytes) else { return };
                if !is_step(&entry) {
                    return;
                }
                let (at, id) = (entry.event_time(), entry.event_id().into_owned());
                match &mut newest {
                    Some((time, ids)) if *time == at => drop(ids.insert(id)),
                    Some((time, _)) if *time > at => {}
                    _ => newest = Some((at, HashSet::from([id]))),
                }
            };
            next = self.audit.scan(next, BLOCK, &mut look).context("the ledger audit cannot be read")?;
        }
        Ok(newest)
    }
}
