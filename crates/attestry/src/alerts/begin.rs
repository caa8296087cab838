//! Where the rules begin: where they were, or, when nothing is remembered, from the ledgers alone.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result};
use attestry_event::{Entry, Nanos};
use attestry_rules::{Engine, Step, StepKind, Told};
use serde_json::Value;

use super::book::Book;
use super::merge::first_since;
use super::{Shared, is_step};

/// So far back a server that never had rules looks, to learn what is usual; nothing of it is an alert.
const LEARN: Duration = Duration::from_secs(8 * 86_400);

/// Entries read at once.
const BLOCK: u64 = 4_096;

/// Where a step says which version of its rule it is of.
const VERSION: &str = "rule_version";

/// An engine, and what of it is not to be written.
pub(super) struct Begun {
    pub(super) engine: Engine,
    /// Until then it only makes up for what it has forgotten.
    pub(super) quiet: Option<Quiet>,
}

/// What was written before, or is not to be.
pub(super) struct Quiet {
    newest: Newest,
    /// The alerts that the ledger tells of, as they were then.
    told: Told,
    /// Alerts that were opened at that time and are written only now.
    opened: HashSet<String>,
}

/// The newest steps that were written. All that came before them on the log were, too; of those of the same time a crash may have kept some back.
#[derive(Default)]
struct Newest {
    at: Nanos,
    ids: HashSet<String>,
    /// The versions of their rules: what another rule finds at that time was not missed then.
    rules: HashSet<String>,
}

impl Quiet {
    pub(super) fn is_over(&self, received_at: i64) -> bool {
        received_at > self.newest.at.0
    }

    pub(super) fn lets(&mut self, step: &Step) -> bool {
        let id = step.event.event_id.as_deref().unwrap_or_default();
        let version = step.event.event_data.as_ref().and_then(|data| data.get(VERSION)?.as_str());
        let missed = step.at >= self.newest.at
            && !self.newest.ids.contains(id)
            && version.is_some_and(|version| self.newest.rules.contains(version));
        if missed && step.kind == StepKind::Open {
            self.opened.insert(step.alert.clone());
        }
        missed
    }

    pub(super) fn end(self, engine: &mut Engine) {
        engine.set_alerts(self.told, &self.opened);
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
        let (newest, told) = match self.newest()? {
            Some(newest) => {
                let told = self.told(newest.at)?;
                (newest, told)
            }
            None => {
                let now = self.clock.now();
                let since = Nanos(now.0.saturating_sub(i64::try_from(LEARN.as_nanos()).unwrap_or(i64::MAX)));
                for ledger in &self.ledgers {
                    engine.begin_at(ledger.name(), first_since(ledger, since)?);
                }
                // There were no rules before: what is found until now is nobody's alert.
                (Newest { at: now, ..Newest::default() }, Told::default())
            }
        };
        let quiet = Quiet { newest, told, opened: HashSet::new() };
        Ok(Begun { engine, quiet: Some(quiet) })
    }

    /// The alerts as the ledger tells of them, at the time of its newest step. What people did later comes to the engine after it.
    fn told(&self, until: Nanos) -> Result<Told> {
        let mut told = Told::default();
        self.each_of_alerts(|entry| {
            if is_step(entry) || entry.received_at() <= until {
                told.take(entry);
            }
        })?;
        Ok(told)
    }

    fn newest(&self) -> Result<Option<Newest>> {
        let mut newest: Option<Newest> = None;
        self.each_of_alerts(|entry| {
            let at = entry.event_time();
            if !is_step(entry) || newest.as_ref().is_some_and(|newest| newest.at > at) {
                return;
            }
            let newest = match &mut newest {
                Some(newest) if newest.at == at => newest,
                newest => newest.insert(Newest { at, ..Newest::default() }),
            };
            newest.ids.insert(entry.event_id().into_owned());
            let data = entry.event_data_text().and_then(|text| serde_json::from_str::<Value>(text).ok());
            newest.rules.extend(data.and_then(|data| Some(data.get(VERSION)?.as_str()?.to_owned())));
        })?;
        Ok(newest)
    }

    /// Looks at each entry of `audit` that is named `alert.…`.
    fn each_of_alerts(&self, mut look: impl FnMut(&Entry<'_>)) -> Result<()> {
        let mut next = self.audit.first();
        while next < self.audit.size() {
            let mut entry = |_, bytes: &[u8]| {
                // Most are none; looking for the name is faster than reading them.
                if memchr::memmem::find(bytes, b"\"event_name\":\"alert.").is_some()
                    && let Ok(entry) = Entry::parse(bytes)
                {
                    look(&entry);
                }
            };
            next = self.audit.scan(next, BLOCK, &mut entry).context("the ledger audit cannot be read")?;
        }
        Ok(())
    }
}
