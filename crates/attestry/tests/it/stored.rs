//! What a stopped server has stored, read from its ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestry_event::{Entry, Field, SystemClock};
use attestry_ledger::{DataDir, Options};
use attestry_testkit::Scenario;

/// Entries that are read at once.
const PIECE: u64 = 10_000;

/// Looks at every entry of the audit ledger, in order.
#[track_caller]
pub(crate) fn each(scenario: &Scenario, mut look: impl FnMut(&Entry<'_>)) {
    let data = DataDir::open(scenario.data()).unwrap();
    let (ledger, _) = data.ledger("audit", Arc::new(SystemClock), Options::default()).unwrap();
    let mut at = ledger.first();
    while at < ledger.size() {
        at = ledger.scan(at, PIECE, &mut |_, bytes| look(&Entry::parse(bytes).unwrap())).unwrap();
    }
}

/// How far the numbers of each agent go, which fails where one of them is missing, repeated or out of order.
#[derive(Default)]
pub(crate) struct InOrder(BTreeMap<String, u64>);

impl InOrder {
    #[track_caller]
    pub(crate) fn look(&mut self, entry: &Entry<'_>) {
        let Some(agent) = entry.field(Field::Agent) else { return };
        let seq = entry.number(Field::AgentSeq).unwrap();
        match self.0.get_mut(&*agent) {
            Some(next) => {
                assert_eq!(seq, *next, "{agent}");
                *next += 1;
            }
            None => {
                assert_eq!(seq, 0, "{agent}");
                self.0.insert(agent.into_owned(), 1);
            }
        }
    }

    /// How many numbers each agent has used.
    pub(crate) fn agents(&self) -> &BTreeMap<String, u64> {
        &self.0
    }
}

/// Whether an entry tells of a loss, or of something that could be one. That an agent is silent while it is away is none.
pub(crate) fn is_gap(entry: &Entry<'_>) -> bool {
    let name = entry.event_name();
    name.starts_with("gap.") && !name.starts_with("gap.silence")
}
