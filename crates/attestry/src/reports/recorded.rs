//! What the ledger `audit` says of reports.

use attestry_event::RESERVED_SOURCE;
use attestry_server::AUDIT_LEDGER;
use attestry_store::{Order, Query, Scope, SearchRequest};
use serde_json::Value;

use super::{Desk, DeskError, Made, PATIENCE};

impl Desk {
    pub(super) fn find_made(&self, event_id: &str) -> Result<Made, DeskError> {
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
    pub(super) fn events(&self, query: &str, order: Order, limit: usize) -> Result<Vec<Value>, DeskError> {
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
    pub(super) fn has(&self, event_id: &str) -> Result<bool, DeskError> {
        self.knows(RESERVED_SOURCE, event_id)
    }

    /// Whether the ledger has an event with this id from this source.
    pub(crate) fn knows(&self, source: &str, event_id: &str) -> Result<bool, DeskError> {
        let query = format!("event_id:\"{event_id}\"");
        Ok(!self.events_of(source, &query, Order::NewestFirst, 1)?.is_empty())
    }
}
