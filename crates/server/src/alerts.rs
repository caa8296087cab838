//! Alerts: what attention was asked for, who saw to it, and by which rules.

mod answers;

use std::sync::Arc;

use attestry_event::{Nanos, Period};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

pub use answers::{Alert, AlertState, Counts, Did, NotInForce, RuleStatus, RulesStatus, Silenced, StepTaken};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Kind, Problem, ProblemDetails};

/// The most alerts in one answer, and in one request about several.
pub const ALERTS_MAX: usize = 1_000;

/// The most that a reason may be, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// How bad an alert is.
const LEVELS: [&str; 5] = ["informational", "low", "medium", "high", "critical"];

/// The longest silence: a year.
const SILENCE_MAX: Period = Period::seconds(366 * 86_400);

/// What the binary knows of alerts. What reads them may take a while, and is called where that does no harm.
pub trait Alerts: Send + Sync {
    /// Those that are wanted, the newest first, at most `limit` and one more, to tell that there are more; and how many there are in all.
    ///
    /// # Errors
    /// When there is no alert `after`, or they cannot be read.
    fn list(&self, wanted: &Wanted) -> Result<(Vec<Alert>, Counts), AlertsError>;

    /// One, with every step.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn show(&self, id: &str) -> Result<Alert, AlertsError>;

    /// Records what a person did about alerts; returns when the events that say so are durable and shown.
    ///
    /// # Errors
    /// Names the first alert that is unknown or resolved already; then nothing is recorded.
    fn act(&self, act: &Act) -> Result<(), AlertsError>;

    /// The rules, and those that are not in force.
    fn rules(&self) -> RulesStatus;
}

/// No rules are in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAlerts;

impl Alerts for NoAlerts {
    fn list(&self, _: &Wanted) -> Result<(Vec<Alert>, Counts), AlertsError> {
        Ok((Vec::new(), Counts::default()))
    }

    fn show(&self, id: &str) -> Result<Alert, AlertsError> {
        Err(AlertsError::Unknown(format!("there is no alert {id:?}")))
    }

    fn act(&self, act: &Act) -> Result<(), AlertsError> {
        let first = act.alerts.first().map_or("", String::as_str);
        Err(AlertsError::Unknown(format!("there is no alert {first:?}")))
    }

    fn rules(&self) -> RulesStatus {
        RulesStatus::default()
    }
}

/// Why a question about alerts has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    /// There is no such alert.
    #[error("{0}")]
    Unknown(String),
    /// It is resolved already.
    #[error("{0}")]
    Done(String),
    /// They cannot be read or written at present.
    #[error("{0}")]
    Unavailable(String),
}

impl From<AlertsError> for Problem {
    fn from(error: AlertsError) -> Problem {
        let kind = match error {
            AlertsError::Unknown(_) => Kind::NotFound,
            AlertsError::Done(_) => Kind::Conflict,
            AlertsError::Unavailable(_) => Kind::Unavailable,
        };
        Problem::new(kind, error.to_string())
    }
}

/// Which alerts.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// In which states.
    pub state: States,
    /// At least so bad.
    pub level: Option<String>,
    /// Of one rule.
    pub rule: Option<String>,
    /// Only those that come after this one in the list.
    pub after: Option<String>,
    /// How many.
    pub limit: usize,
}

/// Which states are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// All that are not resolved.
    #[default]
    Active,
    /// Those that nobody has seen to.
    Open,
    /// Those that somebody has seen.
    Acknowledged,
    /// Those of which nothing is to be heard for a time.
    Silenced,
    /// Those that are over.
    Resolved,
    /// All.
    All,
}

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

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AlertsAnswer {
    /// The newest first.
    alerts: Vec<Alert>,
    /// Whether there are more.
    more: bool,
    /// How many there are in all, whatever was asked for.
    counts: Counts,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlertsQuery {
    /// `active`, `open`, `acknowledged`, `silenced`, `resolved` or `all`. Default: `active`.
    #[serde(default)]
    state: States,
    /// Only those that are at least so bad: `informational`, `low`, `medium`, `high` or `critical`.
    level: Option<String>,
    /// Only those of this rule.
    rule: Option<String>,
    /// Only those that come after this one, the last one of the page before.
    after: Option<String>,
    /// How many, at most 1000. Default: 100.
    limit: Option<usize>,
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

/// An alert may say anything that any ledger holds: for those who may read all of what is recorded.
fn may_read(app: &App, caller: &Caller) -> Result<(), Problem> {
    let refused = |_| Problem::forbidden("alerts are shown to those who may read all of the ledger audit");
    caller.whole_ledger(app, AUDIT_LEDGER).map(drop).map_err(refused)
}

/// Alerts, the newest first.
#[utoipa::path(
    get,
    path = "/alerts",
    tag = "alerts",
    params(AlertsQuery),
    responses(
        (status = 200, body = AlertsAnswer),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<AlertsQuery>,
) -> Result<Json<AlertsAnswer>, Problem> {
    may_read(&app, &caller)?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=ALERTS_MAX).contains(&limit) {
        let detail = format!("limit: found {limit}, expected 1 to {ALERTS_MAX}");
        return Err(Problem::bad_request(detail).with("field", "limit"));
    }
    if let Some(level) = query.level.as_deref().filter(|level| !LEVELS.contains(level)) {
        let detail = format!("level: {level:?}, expected {}", LEVELS.join(", "));
        return Err(Problem::bad_request(detail).with("field", "level"));
    }
    let wanted =
        Wanted { state: query.state, level: query.level, rule: query.rule, after: query.after, limit };
    let (mut alerts, counts) = blocking(move || Ok(app.alerts.list(&wanted)?)).await?;
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    Ok(Json(AlertsAnswer { alerts, more, counts }))
}

/// One alert, with every step that was recorded of it.
#[utoipa::path(
    get,
    path = "/alerts/{id}",
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id")),
    responses(
        (status = 200, body = Alert),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Alert>, Problem> {
    may_read(&app, &caller)?;
    Ok(Json(blocking(move || Ok(app.alerts.show(&id)?)).await?))
}

/// The rules in force, and those that are not, with the reason.
#[utoipa::path(get, path = "/rules", tag = "alerts", responses((status = 200, body = RulesStatus)))]
pub(crate) async fn rules(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<RulesStatus>, Problem> {
    may_read(&app, &caller)?;
    Ok(Json(blocking(move || Ok(app.alerts.rules())).await?))
}

/// Say that somebody has seen alerts. Each is an event, `alert.ack`.
#[utoipa::path(
    post,
    path = "/alerts/ack",
    tag = "alerts",
    request_body = ActRequest,
    responses(
        (status = 200, body = ActAnswer),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, content_type = "application/problem+json")
    )
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
    responses(
        (status = 200, body = ActAnswer),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, content_type = "application/problem+json")
    )
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
    responses(
        (status = 200, body = ActAnswer),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, content_type = "application/problem+json")
    )
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
    let is_owner = caller.admin_or_owner(&app)?;
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
    let actor = caller.actor();
    let by = match request.by.filter(|by| !by.is_empty()) {
        Some(_) if !is_owner => return Err(wrong("by", "by: only with the local key".to_owned())),
        Some(by) => by,
        None => actor.name,
    };
    let act = Act { alerts: request.alerts, deed, by, address: actor.address, reason };
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
