//! Whether the server lives, whether it can work, and its numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::App;
use crate::auth::{Caller, unauthorized};
use crate::gate::ClientAddress;
use crate::problem::Problem;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operate", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether events are taken and found.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    ready: bool,
    /// What is in the way.
    problems: Vec<String>,
}

/// Whether the server takes events, finds them, and can record what is done to it.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operate",
    security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let mut problems = Vec::new();
    if app.is_stopping() {
        problems.push("the server is stopping".to_owned());
    }
    if !app.audit_works() {
        problems.push("account changes wait to be recorded in the audit ledger".to_owned());
    }
    for state in app.store.states() {
        if state.failure.is_some() {
            // The cause may name files: it is in the log and, for those who may see them, in the ledger list.
            problems.push(format!("the search index of {} does not follow its ledger", state.ledger));
        } else if app.sizes_at_start.get(&*state.ledger).is_some_and(|size| state.indexed < *size) {
            let (indexed, ledger) = (state.indexed, &state.ledger);
            problems.push(format!(
                "{ledger} is being indexed after the start: {indexed} of {} entries",
                state.committed
            ));
        }
    }
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, problems })).into_response()
}

/// Metrics for Prometheus. Without a key only on the server's own host.
#[utoipa::path(get, path = "/metrics", tag = "operate", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    caller: Option<Caller>,
) -> Result<Response, Problem> {
    match caller {
        Some(caller) if caller.scope(&app, None)?.filter.is_some() => {
            return Err(Problem::forbidden("a filtered key or user does not see the metrics"));
        }
        None if !address.0.is_loopback() => return Err(unauthorized()),
        _ => {}
    }
    let text = app.metrics.text().map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
