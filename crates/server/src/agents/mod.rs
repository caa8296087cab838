//! Agents: other hosts' Attestry, enrolled once, known by a client certificate that is bound to one name.

mod authority;
mod enroll;
mod sequence;
mod status;

pub(crate) use authority::Authority;
pub(crate) use enroll::{__path_enroll, __path_invite, __path_renew, enroll, invite, renew};
pub(crate) use sequence::{Accounted, account};
pub(crate) use status::{__path_status, Seen, status};

use std::sync::Arc;

use attestry_event::Nanos;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::accounts::{Agent, Progress};
use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::problem::{Problem, Refused};

/// SHA-256 of the certificate that the client of a connection has shown, after it was checked against the agents' authority. The
/// listener puts it into every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerCertificate(pub(crate) [u8; 32]);

/// An agent.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AgentAnswer {
    name: String,
    ledgers: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    enrolled_at: Nanos,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Nanos>,
    /// When its newest certificate expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Nanos>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Nanos>,
    address: Option<String>,
    /// Per ledger: how far its numbering is accounted for, and how many events nobody accounted for.
    progress: Vec<ProgressAnswer>,
    /// What it last said of itself: version, spool, sources, sinks.
    #[schema(value_type = Option<Object>)]
    status: Option<Box<RawValue>>,
}

/// How far an agent's numbering for a ledger is accounted for.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ProgressAnswer {
    ledger: String,
    epoch: u64,
    next: u64,
    lost: u64,
}

impl From<Progress> for ProgressAnswer {
    fn from(progress: Progress) -> ProgressAnswer {
        let Progress { ledger, epoch, next, lost } = progress;
        ProgressAnswer { ledger, epoch, next, lost }
    }
}

impl From<Agent> for AgentAnswer {
    fn from(agent: Agent) -> AgentAnswer {
        AgentAnswer {
            name: agent.name,
            ledgers: agent.ledgers,
            enrolled_at: agent.enrolled_at,
            revoked_at: agent.revoked_at,
            expires_at: agent.expires_at,
            last_seen: agent.last_seen,
            address: agent.address,
            progress: agent.progress.into_iter().map(ProgressAnswer::from).collect(),
            // It was checked to be JSON before it was kept.
            status: agent.status.and_then(|status| RawValue::from_string(status).ok()),
        }
    }
}

/// All agents.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AgentsAnswer {
    agents: Vec<AgentAnswer>,
}

/// List the agents, revoked ones too.
#[utoipa::path(get, path = "/agents", tag = "agents", responses((status = 200, body = AgentsAnswer)))]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<AgentsAnswer>, Problem> {
    if caller.scope(&app, None)?.filter.is_some() {
        return Err(Problem::forbidden("a filtered key or user sees no agents"));
    }
    let agents = blocking(move || Ok(app.accounts.agents()?)).await?;
    Ok(Json(AgentsAnswer { agents: agents.into_iter().map(AgentAnswer::from).collect() }))
}

/// Revoke an agent. Its certificate is refused from now on.
#[utoipa::path(
    delete,
    path = "/agents/{name}",
    tag = "agents",
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 204, description = "The agent is revoked"), Refused<404>)
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.admin_or_owner(&app)?;
    let actor = caller.actor();
    blocking(move || Ok(app.accounts.revoke_agent(&name, &actor)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
