//! Which reports are made by themselves, and when.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::params::Params;
use crate::problem::{Problem, Refused};

/// What is made by itself.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleRequest {
    /// The schedule's name.
    name: String,
    /// What is made, when, and where it goes, as in the configuration.
    #[schema(value_type = Object)]
    planned: Value,
    /// Who, for the record. Only with the local key, which names nobody.
    #[serde(default)]
    by: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ByQuery {
    /// Who, for the record. Only with the local key, which names nobody.
    by: Option<String>,
}

/// Schedule a report, or change its schedule. For administrators, and for the local key of whoever may read the data directory.
#[utoipa::path(
    post,
    path = "/reports/schedules",
    tag = "reports",
    request_body = ScheduleRequest,
    responses((status = 204), Refused<400>, Refused<403>)
)]
pub(crate) async fn schedule(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    caller.admin_or_owner(&app)?;
    let request: ScheduleRequest = body::json(&headers, body, &app.budget).await?;
    let by = caller.on_record(&app, request.by)?;
    blocking(move || Ok(app.reports.schedule(&request.name, &request.planned, &by)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a schedule.
#[utoipa::path(
    delete,
    path = "/reports/schedules/{name}",
    tag = "reports",
    params(("name" = String, Path, description = "The schedule's name"), ByQuery),
    responses((status = 204), Refused<403>, Refused<404>)
)]
pub(crate) async fn unschedule(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(query): Params<ByQuery>,
) -> Result<StatusCode, Problem> {
    caller.admin_or_owner(&app)?;
    let by = caller.on_record(&app, query.by)?;
    blocking(move || Ok(app.reports.unschedule(&name, &by)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
