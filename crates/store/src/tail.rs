//! Events as they come in. A tail holds nothing but how far it has read, so a slow reader costs no memory; one that is too far
//! behind is told how many events it missed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_index::Filter;
use tokio::sync::watch;

use crate::follow::Followed;
use crate::scope::Running;
use crate::search::fetch;
use crate::signal::Signal;
use crate::{Error, Hit, Scope, Store};

/// How many events may wait for a slow reader; older ones are dropped and counted.
pub const TAIL_BACKLOG: usize = 10_000;

/// A live view of the events that answer a query, in the order in which they were committed.
pub struct Tail {
    scope: Scope,
    /// With the index from which each is still to be read.
    ledgers: Vec<(Arc<Followed>, u64)>,
    any: Arc<Signal>,
    news: watch::Receiver<u64>,
    seen: u64,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// The events, each ledger's in its order.
    pub hits: Vec<Hit>,
    /// How many events were left out before these because the reader was too slow.
    pub dropped: u64,
    /// More are there already: ask again without waiting.
    pub more: bool,
}

impl Store {
    /// Follows a query: from now on, or in the ledgers named in `from` from the given index. The scope's time range holds as well.
    pub fn tail(&self, scope: Scope, from: &[(String, u64)]) -> Result<Tail, Error> {
        let running = self.run(&scope)?;
        let mut ledgers = Vec::new();
        for source in &running.sources {
            let followed = self.followed(&source.name)?;
            let start = from.iter().find(|(name, _)| **name == *source.name);
            ledgers
                .push((followed.clone(), start.map_or_else(|| followed.indexed.get(), |(_, index)| *index)));
        }
        drop(running);
        let news = self.any.subscribe();
        Ok(Tail { scope, ledgers, any: self.any.clone(), news, seen: u64::MAX })
    }
}

impl Tail {
    /// Up to `limit` events that came in since the last call.
    pub fn poll(&mut self, limit: usize) -> Result<Arrivals, Error> {
        self.seen = self.any.get();
        let mut arrivals = Arrivals { hits: Vec::new(), dropped: 0, more: false };
        // A tail's ledgers were chosen when it began.
        let scope = Scope { ledgers: None, ..self.scope.clone() };
        let mut read_to = Vec::new();
        for (followed, next) in &self.ledgers {
            let next = *next;
            let room = limit - arrivals.hits.len();
            let ledger = [followed.clone()];
            let running = Running::start(&ledger, &scope)?;
            let Some(source) = running.sources.first() else { continue };
            // Below `next` while the index is built anew.
            let end = source.parts.last().map_or(0, |part| part.rows().end);
            let mut found: Vec<(i64, u32, u64)> = Vec::new();
            for part in source.parts.iter().filter(|part| part.rows().end > next && running.reaches(part)) {
                let filter = running.filter(source, part, Some(Filter::RowRange(next..end)));
                let rows = running.exact(source, part, part.eval(&filter))?;
                let first = part.rows().start;
                rows.for_each(|row| found.push((part.time(row), 0, first + u64::from(row))));
            }
            let too_many = found.len().saturating_sub(TAIL_BACKLOG);
            let wanted: Vec<_> = found.iter().skip(too_many).take(room).copied().collect();
            let (hits, read) = fetch(&running, &wanted)?;
            arrivals.hits.extend(hits);
            let after_these = found.get(too_many + read).map(|(.., index)| *index);
            arrivals.dropped += too_many as u64;
            arrivals.more |= after_these.is_some();
            read_to.push(after_these.unwrap_or(end.max(next)));
        }
        // After an error nothing counts as read, and the same is asked again.
        for ((_, next), read_to) in self.ledgers.iter_mut().zip(read_to) {
            *next = read_to;
        }
        Ok(arrivals)
    }

    /// Blocks until something may have come in since the last [`Tail::poll`], or the time is up; says which.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.any.wait(Instant::now().checked_add(timeout), |now| now != self.seen)
    }

    /// The same for a task. Also returns when the store is gone.
    pub async fn changed(&mut self) {
        let seen = self.seen;
        // An error says that nothing will change any more.
        let _ = self.news.wait_for(|now| *now != seen).await;
    }

    /// Where it stands: what to give to [`Store::tail`] to go on from here.
    pub fn position(&self) -> Vec<(String, u64)> {
        self.ledgers.iter().map(|(followed, next)| (followed.name.to_string(), *next)).collect()
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("query", &self.scope.query.to_string())
            .field("position", &self.position())
            .finish()
    }
}
