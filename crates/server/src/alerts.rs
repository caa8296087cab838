//! Alerts: what attention was asked for, who saw to it, and by which rules.

mod answers;
pub(crate) mod deeds;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

pub use answers::{Alert, AlertState, Counts, Did, NotInForce, RuleStatus, RulesStatus, Silenced, StepTaken};
pub use deeds::{Act, Deed};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::limit::{USUAL, cut, limit};
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Kind, Problem, Refused};

/// The most alerts in one answer, and in one request about several.
pub const ALERTS_MAX: usize = 1_000;

/// How bad an alert is.
const LEVELS: [&str; 5] = ["informational", "low", "medium", "high", "critical"];

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
    responses((status = 200, body = AlertsAnswer), Refused<404>)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<AlertsQuery>,
) -> Result<Json<AlertsAnswer>, Problem> {
    may_read(&app, &caller)?;
    let limit = limit(query.limit, USUAL, ALERTS_MAX)?;
    if let Some(level) = query.level.as_deref().filter(|level| !LEVELS.contains(level)) {
        let detail = format!("level: {level:?}, expected {}", LEVELS.join(", "));
        return Err(Problem::bad_request(detail).with("field", "level"));
    }
    let wanted =
        Wanted { state: query.state, level: query.level, rule: query.rule, after: query.after, limit };
    let (mut alerts, counts) = blocking(move || Ok(app.alerts.list(&wanted)?)).await?;
    let more = cut(&mut alerts, limit);
    Ok(Json(AlertsAnswer { alerts, more, counts }))
}

/// One alert, with every step that was recorded of it.
#[utoipa::path(
    get,
    path = "/alerts/{id}",
    tag = "alerts",
    params(("id" = String, Path, description = "The alert's id")),
    responses((status = 200, body = Alert), Refused<404>)
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
