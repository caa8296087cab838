//! API keys over HTTP.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::accounts::{Key, KeyKind, NewKey};
use crate::app::{App, blocking, known_ledger};
use crate::auth::Caller;
use crate::body;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Problem, Refused};
use crate::{search, times};

/// A key to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// For a write key: the `event_source` of all it posts.
    name: String,
    kind: KeyKind,
    /// A write key's ledger (default `audit`); the ledgers a read key may read, separated by commas (default all).
    #[serde(default)]
    ledger: Option<String>,
    /// For a read key: a query; what does not match it does not exist for the key.
    #[serde(default)]
    filter: Option<String>,
    /// For a write key: unknown fields move into `event_data` instead of being refused.
    #[serde(default)]
    lenient: bool,
    /// RFC 3339, or relative such as `+90d`.
    #[serde(default)]
    expires: Option<String>,
    /// For a write key: how often something comes at least, such as `1h`; a longer silence, of 3 minutes or more, becomes a `gap.silence`.
    /// Default: it may be silent.
    #[serde(default)]
    expect: Option<String>,
}

/// A new key.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct NewKeyAnswer {
    id: String,
    /// The secret. It is shown this once.
    key: String,
}

/// A key without its secret.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct KeyAnswer {
    id: String,
    name: String,
    kind: KeyKind,
    /// Empty: all (read keys).
    ledgers: Vec<String>,
    filter: Option<String>,
    lenient: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Nanos,
    created_by: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Nanos>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Nanos>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Nanos>,
    /// For a write key: how often something should come at least, in seconds; null when it may be silent.
    expect_s: Option<u64>,
    /// For a write key: when events were last stored with it.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event_at: Option<Nanos>,
}

/// All keys.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct KeysAnswer {
    keys: Vec<KeyAnswer>,
}

impl From<Key> for KeyAnswer {
    fn from(key: Key) -> KeyAnswer {
        KeyAnswer {
            id: key.id,
            name: key.name,
            kind: key.kind,
            ledgers: key.ledgers,
            filter: key.filter,
            lenient: key.lenient,
            created_at: key.created_at,
            created_by: key.created_by,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            expect_s: key.expect.map(|expect| expect.as_secs()),
            last_event_at: key.last_event_at,
        }
    }
}

/// List all keys, revoked and expired ones too.
#[utoipa::path(get, path = "/keys", tag = "keys", responses((status = 200, body = KeysAnswer)))]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<KeysAnswer>, Problem> {
    caller.admin()?;
    let keys = blocking(move || Ok(app.accounts.keys()?)).await?;
    Ok(Json(KeysAnswer { keys: keys.into_iter().map(KeyAnswer::from).collect() }))
}

/// Make a key.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    request_body = KeyRequest,
    responses((status = 201, body = NewKeyAnswer), Refused<400>)
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.admin()?;
    let request: KeyRequest = body::json(&headers, body, &app.budget).await?;
    let new = check(&app, request)?;
    let actor = caller.actor();
    let (key, text) = blocking(move || Ok(app.accounts.create_key(&new, &actor)?)).await?;
    let answer = NewKeyAnswer { id: key.id, key: text };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(answer)).into_response())
}

fn check(app: &App, request: KeyRequest) -> Result<NewKey, Problem> {
    let KeyRequest { name, kind, ledger, filter, lenient, expires, expect } = request;
    let default = (kind == KeyKind::Write).then(|| AUDIT_LEDGER.to_owned());
    let ledgers = ledger.filter(|ledger| !ledger.is_empty()).or(default).unwrap_or_default();
    let ledgers: Vec<String> =
        ledgers.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for name in &ledgers {
        known_ledger(app, name)?;
    }
    let filter = filter.filter(|filter| !filter.trim().is_empty());
    if let Some(filter) = &filter {
        search::parse(filter)?;
    }
    let now = app.clock.now();
    let expires_at = expires.map(|expires| times::parse("expires", &expires, now)).transpose()?;
    if expires_at.is_some_and(|expires| expires <= now) {
        return Err(Problem::bad_request("expires: a time in the future"));
    }
    let time = |text: String| {
        let nanos = times::duration(&text).and_then(|nanos| u64::try_from(nanos).ok());
        nanos.map(Duration::from_nanos).ok_or_else(|| {
            Problem::bad_request("expect: a number and s, m, h, d or w, such as 1h").with("field", "expect")
        })
    };
    let expect = expect.filter(|expect| !expect.is_empty()).map(time).transpose()?;
    Ok(NewKey { name, kind, ledgers, filter, lenient, expires_at, expect })
}

/// Revoke a key. Within a second it is refused everywhere.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "The key is revoked"))
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.admin()?;
    let actor = caller.actor();
    blocking(move || Ok(app.accounts.revoke_key(&id, &actor)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
