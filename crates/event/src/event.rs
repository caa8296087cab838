//! Events that are made inside Attestry: by its sources, and by the server about itself.

use serde_json::{Map, Value};

use crate::canonical::{Canonical, Stop, TOO_DEEP};
use crate::encode::{Draft, Parts};
use crate::problem::Problem;
use crate::text::Str;
use crate::{Border, Field, Nanos};

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or failed.
    Failure,
}

impl Outcome {
    /// The value in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        }
    }
}

/// An event before it is encoded. [`Batch::push`](crate::Batch::push) holds it to the same rules as a client's.
///
/// ```text
/// Event::new("login.success", "alice").resource("web").outcome(Outcome::Success).data("method", "password")
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// Generated when `None`.
    pub event_id: Option<String>,
    /// The border's time when `None`.
    pub event_time: Option<Nanos>,
    /// What happened.
    pub event_name: String,
    /// Who did it; `-` when nobody in particular.
    pub username: String,
    /// What it was done to.
    pub resource: Option<String>,
    /// Kept only at an agent's border, as with a client.
    pub event_source: Option<String>,
    /// Taken only at an agent's border.
    pub via: Vec<String>,
    /// The address it was done from.
    pub source_ip_address: Option<String>,
    /// The request it belongs to.
    pub request_id: Option<String>,
    /// Whether nothing was changed by it.
    pub read_only: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// 0 to 7, RFC 5424.
    pub severity: Option<u8>,
    /// The human line.
    pub message: Option<String>,
    /// The host it happened on.
    pub host: Option<String>,
    /// Taken only at an agent's border.
    pub agent: Option<String>,
    /// Taken only at an agent's border.
    pub agent_epoch: Option<u64>,
    /// Taken only at an agent's border.
    pub agent_seq: Option<u64>,
    /// Everything else.
    pub event_data: Option<Map<String, Value>>,
}

impl Event {
    /// An event with its two required fields.
    pub fn new(event_name: impl Into<String>, username: impl Into<String>) -> Event {
        Event { event_name: event_name.into(), username: username.into(), ..Event::default() }
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, event_id: impl Into<String>) -> Event {
        self.event_id = Some(event_id.into());
        self
    }

    /// Sets the time.
    #[must_use]
    pub fn time(mut self, event_time: Nanos) -> Event {
        self.event_time = Some(event_time);
        self
    }

    /// Sets what it was done to.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Event {
        self.resource = Some(resource.into());
        self
    }

    /// Sets the address it was done from.
    #[must_use]
    pub fn source_ip_address(mut self, address: impl Into<String>) -> Event {
        self.source_ip_address = Some(address.into());
        self
    }

    /// Sets the request it belongs to.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Event {
        self.request_id = Some(request_id.into());
        self
    }

    /// Says whether nothing was changed by it.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Event {
        self.read_only = read_only;
        self
    }

    /// Says how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Event {
        self.outcome = Some(outcome);
        self
    }

    /// Sets the severity, 0 to 7.
    #[must_use]
    pub fn severity(mut self, severity: u8) -> Event {
        self.severity = Some(severity);
        self
    }

    /// Sets the human line.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Event {
        self.message = Some(message.into());
        self
    }

    /// Sets the host it happened on.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Event {
        self.host = Some(host.into());
        self
    }

    /// Adds a member to `event_data`. The name is taken as it is: a dot in it does not nest.
    #[must_use]
    pub fn data(mut self, name: impl Into<String>, value: impl Into<Value>) -> Event {
        self.event_data.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    pub(crate) fn draft(
        &self,
        border: &Border<'_>,
        visitor: &mut Canonical<'_>,
        parts: &mut Parts,
    ) -> Draft<'_> {
        let mut draft = Draft {
            event_time: self.event_time,
            read_only: self.read_only,
            severity: self.severity.map(u64::from),
            ..Draft::default()
        };
        for (field, text) in [
            (Field::EventId, self.event_id.as_deref()),
            (Field::EventName, Some(self.event_name.as_str())),
            (Field::Username, Some(self.username.as_str())),
            (Field::Resource, self.resource.as_deref()),
            (Field::EventSource, self.event_source.as_deref()),
            (Field::SourceIpAddress, self.source_ip_address.as_deref()),
            (Field::RequestId, self.request_id.as_deref()),
            (Field::Outcome, self.outcome.map(Outcome::name)),
            (Field::Message, self.message.as_deref()),
            (Field::Host, self.host.as_deref()),
        ] {
            if let Some(text) = text {
                draft.set_text(field, Str::plain(text));
            }
        }
        self.agents_part(border, visitor, parts, &mut draft);
        if let Some(data) = &self.event_data {
            let known = visitor.problems.len();
            let result = visitor.tree_object(data, &mut parts.data, 2);
            for problem in visitor.problems.iter_mut().skip(known) {
                problem.field = format!("event_data.{}", problem.field);
            }
            if let Err(Stop::TooDeep) = result {
                visitor.problems.push(Problem::new("event_data", "deeper nesting", TOO_DEEP));
            }
        }
        draft
    }

    fn agents_part<'a>(
        &'a self,
        border: &Border<'_>,
        visitor: &mut Canonical<'_>,
        parts: &mut Parts,
        draft: &mut Draft<'a>,
    ) {
        if !border.agent {
            for (field, given) in [
                (Field::Via, !self.via.is_empty()),
                (Field::Agent, self.agent.is_some()),
                (Field::AgentEpoch, self.agent_epoch.is_some()),
                (Field::AgentSeq, self.agent_seq.is_some()),
            ] {
                if given {
                    let expected = "no such field: only an enrolled agent sets it";
                    visitor.problems.push(Problem::new(field.name(), "a value", expected));
                }
            }
            return;
        }
        if let Some(agent) = &self.agent {
            draft.set_text(Field::Agent, Str::plain(agent));
        }
        draft.agent_epoch = self.agent_epoch;
        draft.agent_seq = self.agent_seq;
        for relay in &self.via {
            if !parts.via.is_empty() {
                parts.via.push(b',');
            }
            Str::plain(relay).write_quoted(&mut parts.via);
        }
    }
}
