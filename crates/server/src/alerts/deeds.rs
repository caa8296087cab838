//! What people do about alerts: acknowledge, silence, resolve.

use std::sync::Arc;

use attestry_event::{Nanos, Period};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::ALERTS_MAX;
use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::problem::{Problem, Refused};

/// The most that a reason may be, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// The longest silence: a year.
const SILENCE_MAX: Period = Period::seconds(366 * 86_400);

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Has seen it.
    Acknowledge,
    /// Wants to hear nothing of it until then.
    Silence(Nanos),
    /// It is over.
    Resolve,
}

/// Who does what about which alerts, and why.
#[derive(Debug, Clone)]
pub struct Act {
    /// The alerts.
    pub alerts: Vec<String>,
    /// What.
    pub deed: Deed,
    /// Who.
    pub by: String,
    /// From which address.
    pub address: String,
    /// Why.
    pub reason: String,
}

/// What is seen to.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActRequest {
    /// The alerts, all or none of them.
    alerts: Vec<String>,
    /// Why, for the record. May be empty.
    #[serde(default)]
    reason: String,
    /// Of a silence: until when (RFC 3339), or for how long, such as `+4h`.
    #[serde(default)]
    until: Option<String>,
    /// Who, for the record. Only with the local key, which names nobody.
    #[serde(default)]
    by: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ActAnswer {
    /// How many alerts it was done to.
    done: usize,
}

/// Say that somebody has seen alerts. Each is an event, `alert.ack`.
#[utoipa::path(
    post,
    path = "/alerts/ack",
    tag = "alerts",
    request_body = ActRequest,
    responses((status = 200, body = ActAnswer), Refused<400>, Refused<403>, Refused<404>, Refused<409>)
)]
pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ActAnswer>, Problem> {
    act(app, caller, headers, body, |_, _| Ok(Deed::Acknowledge)).await
}

/// Hear nothing more of alerts for a time; what happens is counted all the same. Each is an event, `alert.silence`.
#[utoipa::path(
    post,
    path = "/alerts/silence",
    tag = "alerts",
    request_body = ActRequest,
    responses((status = 200, body = ActAnswer), Refused<400>, Refused<403>, Refused<404>, Refused<409>)
)]
pub(crate) async fn silence(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ActAnswer>, Problem> {
    act(app, caller, headers, body, |until, now| until_when(until, now).map(Deed::Silence)).await
}

/// Say that alerts are over: should it happen again, another alert is opened. Each is an event, `alert.resolve`.
#[utoipa::path(
    post,
    path = "/alerts/resolve",
    tag = "alerts",
    request_body = ActRequest,
    responses((status = 200, body = ActAnswer), Refused<400>, Refused<403>, Refused<404>, Refused<409>)
)]
pub(crate) async fn resolve(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ActAnswer>, Problem> {
    act(app, caller, headers, body, |_, _| Ok(Deed::Resolve)).await
}

fn until_when(until: Option<&str>, now: Nanos) -> Result<Nanos, String> {
    let expected = "expected a time (RFC 3339) that is to come, or how long, such as +4h";
    let text = until.ok_or_else(|| format!("until: {expected}"))?;
    let found = match text.strip_prefix('+') {
        Some(period) => period.parse::<Period>().ok().map(|period| {
            let nanos = i64::try_from(period.0.as_nanos()).unwrap_or(i64::MAX);
            Nanos(now.0.saturating_add(nanos))
        }),
        None => Nanos::parse(text).ok(),
    };
    let most = i64::try_from(SILENCE_MAX.0.as_nanos()).unwrap_or(i64::MAX);
    match found {
        Some(until) if until > now && until.0 - now.0 <= most => Ok(until),
        Some(until) if until > now => Err(format!("until: {text:?}, expected at most a year")),
        _ => Err(format!("until: {text:?}, {expected}")),
    }
}

/// For administrators, and for the local key of whoever may read the data directory.
async fn act(
    app: Arc<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
    deed: impl FnOnce(Option<&str>, Nanos) -> Result<Deed, String>,
) -> Result<Json<ActAnswer>, Problem> {
    caller.admin_or_owner(&app)?;
    let request: ActRequest = body::json(&headers, body, &app.budget).await?;
    let wrong = |field: &str, detail: String| Problem::bad_request(detail).with("field", field);
    if request.alerts.is_empty() || request.alerts.len() > ALERTS_MAX {
        let found = request.alerts.len();
        return Err(wrong("alerts", format!("alerts: found {found}, expected 1 to {ALERTS_MAX}")));
    }
    let reason = request.reason.trim().to_owned();
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(wrong("reason", format!("reason: expected at most {REASON_CHARS_MAX} characters")));
    }
    let deed = deed(request.until.as_deref(), app.clock.now()).map_err(|what| wrong("until", what))?;
    if request.until.is_some() && !matches!(deed, Deed::Silence(_)) {
        return Err(wrong("until", "until: only of a silence".to_owned()));
    }
    let by = caller.on_record(&app, request.by)?;
    let act = Act { alerts: request.alerts, deed, by, address: caller.address.to_string(), reason };
    let done = act.alerts.len();
    blocking(move || Ok(app.alerts.act(&act)?)).await?;
    Ok(Json(ActAnswer { done }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_ends_in_the_future() {
        let now = Nanos::parse("2026-11-21T12:00:00Z").unwrap();
        for (text, expected) in [
            (Some("+4h"), Some("2026-11-21T16:00:00.000000000Z")),
            (Some("2026-11-22T00:00:00Z"), Some("2026-11-22T00:00:00.000000000Z")),
            (Some("2026-11-21T12:00:00Z"), None),
            (Some("+0s"), None),
            (Some("+400d"), None),
            (Some("4h"), None),
            (Some("soon"), None),
            (None, None),
        ] {
            let found = until_when(text, now).ok().map(|until| until.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}
