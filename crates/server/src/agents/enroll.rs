//! How a host becomes an agent: a token for one name, then a certificate bound to it.

use std::sync::Arc;

use attestry_event::Nanos;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Authority;
use super::authority::RequestError;
use crate::accounts::{AccountsError, Actor, Invitation, TOKEN_LIFE};
use crate::app::{App, blocking, known_ledger};
use crate::auth::Caller;
use crate::body;
use crate::gate::ClientAddress;
use crate::problem::{Kind, Problem, ProblemDetails, Refused};

/// Whom a token is for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteRequest {
    /// The agent's name: 1 to 64 of A-Z, a-z, 0-9, dot, - and _.
    name: String,
    /// The ledgers it may write to. Default: all.
    #[serde(default)]
    ledgers: Vec<String>,
}

/// A token.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct InviteAnswer {
    /// `<name>.<secret>.<SHA-256 of the server's certificate>`, for `attestry agent enroll`. It is shown this once.
    token: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Nanos,
}

/// A host that wants to be an agent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrollRequest {
    /// The secret part of the token.
    token: String,
    /// A certificate signing request, PEM. Only its key is used.
    csr: String,
}

/// What makes a host an agent.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EnrollAnswer {
    name: String,
    /// The agent's certificate, PEM.
    certificate: String,
    /// The authority that signed it, PEM.
    authority: String,
    ledgers: Vec<EnrolledLedger>,
}

/// A ledger the agent may write to.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EnrolledLedger {
    name: String,
    /// The verifier key in signed-note form, for the agent's pin.
    vkey: String,
    /// The newest checkpoint, a signed note.
    checkpoint: Option<String>,
}

/// An agent that wants a new certificate.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewRequest {
    /// A certificate signing request, PEM.
    csr: String,
}

/// A new certificate.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RenewAnswer {
    certificate: String,
}

fn authority(app: &App) -> Result<&Arc<Authority>, Problem> {
    app.authority.as_ref().ok_or_else(|| {
        Problem::new(
            Kind::Unavailable,
            "agents need TLS, and this server speaks none: set server.tls_cert and tls_key, or tls_self_signed",
        )
    })
}

fn unsigned(error: RequestError) -> Problem {
    match error {
        RequestError::Malformed(_) => Problem::bad_request(error.to_string()),
        RequestError::Failed(_) => Problem::internal(&error),
    }
}

/// Make an enrolment token: for one name, once, within an hour.
#[utoipa::path(
    post,
    path = "/agents/tokens",
    tag = "agents",
    request_body = InviteRequest,
    responses(
        (status = 201, body = InviteAnswer),
        Refused<400>,
        (status = 503, body = ProblemDetails, content_type = "application/problem+json", description = "The server speaks no TLS"),
    )
)]
pub(crate) async fn invite(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.admin_or_owner(&app)?;
    let InviteRequest { name, mut ledgers } = body::json(&headers, body, &app.budget).await?;
    authority(&app)?;
    for ledger in &ledgers {
        known_ledger(&app, ledger)?;
    }
    if ledgers.is_empty() {
        ledgers = app.ledgers.iter().map(|part| part.ledger.name().to_owned()).collect();
    }
    let actor = caller.actor();
    let expires_at = Nanos(app.clock.now().0.saturating_add(TOKEN_LIFE.as_nanos() as i64));
    let invitation = Invitation { name, ledgers };
    let working = Arc::clone(&app);
    let name = invitation.name.clone();
    let secret = blocking(move || Ok(working.accounts.invite_agent(&invitation, &actor)?)).await?;
    let fingerprint = app.fingerprint.as_deref().unwrap_or_default();
    let answer = InviteAnswer { token: format!("{name}.{secret}.{fingerprint}"), expires_at };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(answer)).into_response())
}

/// Enroll this host as an agent, with a token.
#[utoipa::path(
    post,
    path = "/agents/enroll",
    tag = "agents",
    request_body = EnrollRequest,
    responses(
        (status = 201, body = EnrollAnswer),
        Refused<400>,
        (status = 403, body = ProblemDetails, content_type = "application/problem+json", description = "The token is unknown, used or expired"),
    )
)]
pub(crate) async fn enroll(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let EnrollRequest { token, csr } = body::json(&headers, body, &app.budget).await?;
    let authority = Arc::clone(authority(&app)?);
    let working = Arc::clone(&app);
    let refused = || Problem::forbidden("the token is unknown, used or older than an hour: make a new one");
    let (invitation, signed) = blocking(move || {
        let app = working;
        let invitation = app.accounts.agent_invitation(&token)?.ok_or_else(refused)?;
        let signed = authority.sign(&csr, &invitation.name, app.clock.now()).map_err(unsigned)?;
        let actor = Actor { name: invitation.name.clone(), address: address.to_string() };
        match app.accounts.enroll_agent(&token, &signed.hash, signed.expires_at, &actor) {
            Ok(invitation) => Ok((invitation, signed)),
            Err(AccountsError::NotFound(_)) => Err(refused()),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    let ledgers = invitation.ledgers.iter().filter_map(|name| app.ledger(name)).map(|part| EnrolledLedger {
        name: part.ledger.name().to_owned(),
        vkey: part.ledger.vkey(),
        checkpoint: part.ledger.signed().map(|signed| signed.note.to_string()),
    });
    let answer = EnrollAnswer {
        name: invitation.name.clone(),
        certificate: signed.pem,
        authority: app.authority.as_ref().map(|authority| authority.pem().to_owned()).unwrap_or_default(),
        ledgers: ledgers.collect(),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Renew the certificate of the agent that asks.
#[utoipa::path(
    post,
    path = "/agents/renew",
    tag = "agents",
    request_body = RenewRequest,
    responses((status = 201, body = RenewAnswer))
)]
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = Arc::clone(caller.agent()?);
    let RenewRequest { csr } = body::json(&headers, body, &app.budget).await?;
    let authority = Arc::clone(authority(&app)?);
    let actor = caller.actor();
    let certificate = blocking(move || {
        let signed = authority.sign(&csr, &agent.name, app.clock.now()).map_err(unsigned)?;
        app.accounts.renew_agent(&agent.name, &signed.hash, signed.expires_at, &actor)?;
        Ok(signed.pem)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(RenewAnswer { certificate })).into_response())
}
