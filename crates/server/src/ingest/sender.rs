//! Who posts events, and as what they are taken.

use std::sync::Arc;

use attestry_event::{Batch, Border, Entry, Event, Field, Nanos, Problem as EventProblem};
use attestry_ledger::Stored;
use axum::http::HeaderMap;

use crate::accounts::{Agent, Key};
use crate::agents::Accounted;
use crate::auth::{Caller, Who};
use crate::clash::clashes;
use crate::parts::AUDIT_LEDGER;
use crate::problem::Problem;

/// Who posts.
#[derive(Clone)]
pub(super) enum Sender {
    /// A program with a write key: one source, one ledger.
    Key(Arc<Key>),
    /// Another host: it names its sources itself, and says what it accounts for.
    Agent(Arc<Agent>, Option<Accounted>),
}

impl Sender {
    pub(super) fn of(caller: &Caller, headers: &HeaderMap) -> Result<Sender, Problem> {
        Ok(match &caller.who {
            Who::Agent(agent) => Sender::Agent(Arc::clone(agent), Accounted::of(headers)?),
            _ => Sender::Key(Arc::clone(caller.writer()?)),
        })
    }

    /// The ledger that is written to.
    pub(super) fn ledger(&self, asked: Option<&str>) -> Result<String, Problem> {
        match self {
            Sender::Key(key) => {
                let own = key.ledgers.first().ok_or_else(|| Problem::forbidden("the key has no ledger"))?;
                match asked {
                    Some(asked) if asked != own => {
                        Err(Problem::forbidden(format!("this key writes to the ledger {own:?} and no other")))
                    }
                    _ => Ok(own.clone()),
                }
            }
            Sender::Agent(agent, _) => {
                let asked = asked.unwrap_or(AUDIT_LEDGER);
                match agent.ledgers.iter().any(|ledger| ledger == asked) {
                    true => Ok(asked.to_owned()),
                    false => Err(Problem::forbidden(format!(
                        "this agent writes to {}, not to {asked:.64?}",
                        agent.ledgers.join(", ")
                    ))),
                }
            }
        }
    }

    pub(super) fn border(&self, now: Nanos) -> Border<'_> {
        let (event_source, lenient) = match self {
            Sender::Key(key) => (key.name.as_str(), key.lenient),
            Sender::Agent(agent, _) => (agent.name.as_str(), false),
        };
        let agent = matches!(self, Sender::Agent(..));
        Border { event_source, via: &[], lenient, reserved_names: agent, agent, now }
    }

    /// Whether an entry may come from this sender. An agent's events bear the name of its certificate, or were passed on by it.
    pub(super) fn check(&self, entry: &[u8]) -> Result<(), EventProblem> {
        let Sender::Agent(agent, _) = self else { return Ok(()) };
        let expected =
            || format!("{}, the agent of the certificate, or its name at the end of via", agent.name);
        let Ok(entry) = Entry::parse(entry) else { return Ok(()) };
        match entry.field(Field::Agent) {
            Some(name) if name == agent.name => Ok(()),
            _ if entry.via().last().is_some_and(|last| last == agent.name) => Ok(()),
            Some(name) => Err(EventProblem::new("agent", &name, expected())),
            None => Err(EventProblem::new("agent", "nothing", expected())),
        }
    }

    /// What a request accounts for, even one without events.
    pub(super) fn accounted(&self) -> Option<(&Arc<Agent>, &Accounted)> {
        match self {
            Sender::Agent(agent, Some(accounted)) => Some((agent, accounted)),
            _ => None,
        }
    }

    /// For an agent: what was not stored because its id is taken by other content, as events that keep it.
    pub(super) fn conflicts(&self, ledger: &str, batch: &Batch, stored: &Stored) -> Vec<Event> {
        match self {
            Sender::Agent(agent, _) => clashes(&agent.name, ledger, batch, stored),
            Sender::Key(_) => Vec::new(),
        }
    }
}
