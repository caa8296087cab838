//! What an agent says of itself, every half minute.

use std::collections::HashMap;
use std::sync::Arc;

use attestry_event::{Event, Nanos};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::problem::{Problem, Refused};

/// How far an agent's clock may be off before it is said, in nanoseconds: a minute.
const SKEW_MAX: i64 = 60_000_000_000;

/// How an agent is doing.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub(crate) struct AgentStatus {
    /// The program's version.
    version: String,
    /// The agent's time.
    #[schema(value_type = String, format = DateTime)]
    now: Nanos,
    /// How often it says this, in seconds; 30 when it does not say. An agent that is run by cron says it once a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_s: Option<u64>,
    /// Its spool.
    spool: SpoolStatus,
    /// Its sources and receivers.
    #[serde(default)]
    sources: Vec<SourceReport>,
    /// Its sinks.
    #[serde(default)]
    sinks: Vec<SinkReport>,
}

/// What waits on an agent.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub(crate) struct SpoolStatus {
    /// Which numbering.
    epoch: u64,
    /// Events that the slowest sink has not had.
    events: u64,
    /// What the spool takes on the disk.
    bytes: u64,
    /// Age of the oldest event that waits, in seconds.
    oldest_s: Option<u64>,
    /// Why the spool takes nothing; none when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stalled: Option<String>,
}

/// A source or receiver of an agent.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub(crate) struct SourceReport {
    /// Its name, which is the `event_source` of its events.
    name: String,
    on: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// How often it gives an event at least, in seconds; none when it may be silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event: Option<Nanos>,
    events: u64,
    /// Events it knows it has lost.
    #[serde(default)]
    losses: u64,
}

/// A sink of an agent.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub(crate) struct SinkReport {
    name: String,
    /// `running`, `waiting` or `halted`.
    state: String,
    /// Events that wait for it.
    lag: u64,
    /// Events in its dead letters.
    #[serde(default)]
    dead: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What the server answers.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct StatusAnswer {
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    now: Nanos,
    /// Whether the agent should renew its certificate.
    renew: bool,
}

/// What the server remembers of agents while it runs.
#[derive(Default)]
pub(crate) struct Seen {
    /// The agents whose clocks are off.
    skewed: Mutex<HashMap<String, bool>>,
}

impl Seen {
    /// Notes how far an agent's clock is off; the event when that has changed.
    fn clock(&self, agent: &str, theirs: Nanos, ours: Nanos) -> Option<Event> {
        let off = theirs.0.saturating_sub(ours.0);
        let skewed = off.unsigned_abs() > SKEW_MAX as u64;
        let before = self.skewed.lock().insert(agent.to_owned(), skewed).unwrap_or(false);
        if before == skewed {
            return None;
        }
        let seconds = off / 1_000_000_000;
        let message = match skewed {
            true => format!(
                "the clock of {agent} is {} s {}",
                seconds.abs(),
                if off > 0 { "ahead" } else { "behind" }
            ),
            false => format!("the clock of {agent} is right again"),
        };
        let severity = if skewed { 4 } else { 6 };
        Some(
            Event::new("gap.clock", "-")
                .resource(agent)
                .severity(severity)
                .message(message)
                .data("agent", agent)
                .data("offset_s", seconds),
        )
    }
}

/// Say how this agent is doing.
#[utoipa::path(
    post,
    path = "/agents/self/status",
    tag = "agents",
    request_body = AgentStatus,
    responses((status = 200, body = StatusAnswer), Refused<400>)
)]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<StatusAnswer>, Problem> {
    let agent = Arc::clone(caller.agent()?);
    let status: AgentStatus = body::json(&headers, body, &app.budget).await?;
    let now = app.clock.now();
    if let Some(event) = app.seen.clock(&agent.name, status.now, now) {
        app.audit.record(event)?;
    }
    let text = serde_json::to_string(&status).map_err(|error| Problem::internal(&error))?;
    let (working, of, address) = (Arc::clone(&app), Arc::clone(&agent), caller.address.to_string());
    blocking(move || Ok(working.accounts.agent_seen(&of.name, &address, Some(&text))?)).await?;
    let left = agent.expires_at.map_or(0, |expires| expires.0.saturating_sub(now.0));
    let third = super::authority::CERTIFICATE_LIFE.as_nanos() as i64 / 3;
    Ok(Json(StatusAnswer { now, renew: left < third }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_said_once() {
        let seen = Seen::default();
        let second = 1_000_000_000;
        for (off, said) in [
            (0, None),
            (59, None),
            (61, Some("ahead")),
            (3_600, None),
            (-60, Some("right again")),
            (-90, Some("behind")),
        ] {
            let event = seen.clock("web1", Nanos((1_000 + off) * second), Nanos(1_000 * second));
            let message = event.and_then(|event| event.message);
            assert_eq!(message.is_some(), said.is_some(), "{off}: {message:?}");
            if let (Some(message), Some(said)) = (message, said) {
                assert!(message.contains(said), "{message}");
            }
        }
    }
}
