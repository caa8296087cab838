//! Reports: which there are, making one, those that were made, and what is made and sent by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestry_event::Nanos;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Kind as ProblemKind, Problem, ProblemDetails};
use crate::times;

/// The most reports in one answer of the history.
const HISTORY_MAX: usize = 1_000;

/// What the binary knows of reports. All but [`Reports::kinds`] may take minutes, and is called where that does no harm.
pub trait Reports: Send + Sync {
    /// The reports there are.
    fn kinds(&self) -> Vec<Kind>;

    /// Makes a report and records it.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn run(&self, order: &Order) -> Result<Made, ReportError>;

    /// The newest that were made, and whether there are more.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn history(&self, limit: usize) -> Result<(Vec<Made>, bool), ReportError>;

    /// One that was made, in a format.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn file(&self, event_id: &str, format: &str) -> Result<File, ReportError>;

    /// Makes a report again that somebody has a file of.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn replay(&self, text: &str) -> Result<Replayed, ReportError>;

    /// What is made by itself.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn schedules(&self) -> Result<Vec<Scheduled>, ReportError>;

    /// Schedules a report, or changes its schedule; returns when that is durable.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn schedule(&self, name: &str, planned: &Value, by: &str) -> Result<(), ReportError>;

    /// Removes a schedule; returns when that is durable.
    ///
    /// # Errors
    /// See [`ReportError`].
    fn unschedule(&self, name: &str, by: &str) -> Result<(), ReportError>;
}

/// There are no reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReports;

fn none<T>() -> Result<T, ReportError> {
    Err(ReportError::Unknown("this server makes no reports".to_owned()))
}

impl Reports for NoReports {
    fn kinds(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn run(&self, _: &Order) -> Result<Made, ReportError> {
        none()
    }

    fn history(&self, _: usize) -> Result<(Vec<Made>, bool), ReportError> {
        Ok((Vec::new(), false))
    }

    fn file(&self, _: &str, _: &str) -> Result<File, ReportError> {
        none()
    }

    fn replay(&self, _: &str) -> Result<Replayed, ReportError> {
        none()
    }

    fn schedules(&self) -> Result<Vec<Scheduled>, ReportError> {
        Ok(Vec::new())
    }

    fn schedule(&self, _: &str, _: &Value, _: &str) -> Result<(), ReportError> {
        none()
    }

    fn unschedule(&self, _: &str, _: &str) -> Result<(), ReportError> {
        none()
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The one who asks is at fault.
    #[error("{0}")]
    Refused(String),
    /// There is no such report, run or schedule.
    #[error("{0}")]
    Unknown(String),
    /// Not now; the same again may work.
    #[error("{0}")]
    Unavailable(String),
    /// It cannot be done.
    #[error("{0}")]
    Failed(String),
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Problem {
        let kind = match error {
            ReportError::Refused(_) => ProblemKind::BadRequest,
            ReportError::Unknown(_) => ProblemKind::NotFound,
            ReportError::Unavailable(_) => ProblemKind::Unavailable,
            ReportError::Failed(_) => ProblemKind::Internal,
        };
        Problem::new(kind, error.to_string())
    }
}

/// A kind of report.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// The version of its definition.
    pub version: u32,
    /// Whether everybody has it.
    pub built_in: bool,
    /// How much time it covers when nothing else is asked for, in seconds.
    pub window_s: u64,
    /// The ledgers it looks in; empty: all.
    pub ledgers: Vec<String>,
    /// What is asked for when it is run.
    pub parameters: Vec<Parameter>,
    /// Whether it takes figures from databases or other servers.
    pub asks_outside: bool,
}

/// Something that is asked for when a report is run.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What to give.
    pub description: String,
    /// What is taken when nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A report that is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its kind.
    pub report: String,
    /// The begin of its window; the kind's own when none.
    pub from: Option<Nanos>,
    /// The window's end; now when none.
    pub to: Option<Nanos>,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Who asks.
    pub by: String,
    /// From which address.
    pub address: String,
}

/// A report that was made.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Made {
    /// The event that says so.
    pub event_id: String,
    /// Its kind.
    pub report: String,
    /// Its heading.
    pub title: String,
    /// Who ran or scheduled it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Nanos,
    /// The begin of its window.
    #[schema(value_type = String, format = DateTime)]
    pub from: Nanos,
    /// The window's end.
    #[schema(value_type = String, format = DateTime)]
    pub to: Nanos,
    /// The schedule it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// SHA-256 of its body.
    pub body_sha256: String,
    /// How many entries it shows, each with its proof.
    pub cited: u64,
    /// What it was made from.
    pub ledgers: Vec<LedgerSize>,
}

/// So much of a ledger.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LedgerSize {
    /// Its name.
    pub name: String,
    /// How many entries.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
}

/// A report as a file.
#[derive(Debug, Clone)]
pub struct File {
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Whether it is a page for a browser.
    pub is_page: bool,
    /// What is in it.
    pub text: String,
}

/// A report was made again.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Replayed {
    /// Whether it is the same, byte for byte.
    pub same: bool,
    /// What differs, as a unified diff; empty when nothing does.
    pub difference: String,
    /// What makes a difference likely.
    pub notes: Vec<String>,
}

/// A report that is made by itself.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Scheduled {
    /// The schedule's name.
    pub name: String,
    /// What is made, when, and where it goes, as in the configuration.
    #[schema(value_type = Object)]
    pub planned: Value,
    /// Who scheduled it; `-` for the configuration.
    pub by: String,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// Since when it is as it is.
    #[schema(value_type = String, format = DateTime)]
    pub since: Nanos,
    /// When it is due next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Nanos>,
    /// When it was due the last time that it was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Nanos>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReportsAnswer {
    reports: Vec<Kind>,
    schedules: Vec<Scheduled>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HistoryOfReports {
    /// The newest first.
    made: Vec<Made>,
    /// Whether there are more.
    more: bool,
}

/// A report that is asked for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// Its kind.
    report: String,
    /// The begin of its window: RFC 3339, or relative such as `-7d`. Default: the kind's own.
    #[serde(default)]
    from: Option<String>,
    /// The window's end: RFC 3339, relative, or `now`. Default: now.
    #[serde(default)]
    to: Option<String>,
    /// Its parameters.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// Who, for the record. Only with the local key, which names nobody.
    #[serde(default)]
    by: Option<String>,
}

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
pub(crate) struct HistoryQuery {
    /// How many, at most 1000. Default: 100.
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FormatQuery {
    /// `html`, `markdown`, `json` or `csv`. Default: `html`.
    #[serde(default)]
    format: Option<String>,
    /// Whether it is shown in a frame of the page rather than kept as a file.
    #[serde(default)]
    show: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ByQuery {
    /// Who, for the record. Only with the local key, which names nobody.
    by: Option<String>,
}

/// A report shows what is in the ledgers it is made from: for those who may read all of them.
fn may_read<'a>(
    app: &App,
    caller: &Caller,
    ledgers: impl IntoIterator<Item = &'a str>,
) -> Result<(), Problem> {
    let refused =
        |_| Problem::forbidden("reports are for those who may read all of the ledgers they are made from");
    ledgers
        .into_iter()
        .chain([AUDIT_LEDGER])
        .try_for_each(|name| caller.whole_ledger(app, name).map(drop).map_err(refused))
}

fn may_read_all(app: &App, caller: &Caller) -> Result<(), Problem> {
    may_read(app, caller, app.ledgers.iter().map(|part| part.ledger.name()))
}

/// Who does it, for the record: with the local key, who is named.
fn who(app: &App, caller: &Caller, by: Option<String>) -> Result<String, Problem> {
    match by.filter(|by| !by.is_empty()) {
        None => Ok(caller.name().to_owned()),
        Some(by) if caller.admin_or_owner(app).is_ok_and(|owner| owner) => Ok(by),
        Some(_) => Err(Problem::bad_request("by: only with the local key").with("field", "by")),
    }
}

/// The reports there are, and what is made by itself.
#[utoipa::path(get, path = "/reports", tag = "reports", responses((status = 200, body = ReportsAnswer)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<ReportsAnswer>, Problem> {
    may_read(&app, &caller, [])?;
    blocking(move || {
        Ok(Json(ReportsAnswer { reports: app.reports.kinds(), schedules: app.reports.schedules()? }))
    })
    .await
}

/// Make a report. It is an event, `report.made`, from which it can be made again; figures from outside are events before it.
#[utoipa::path(
    post,
    path = "/reports/run",
    tag = "reports",
    request_body = RunRequest,
    responses(
        (status = 201, body = Made),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: RunRequest = body::json(&headers, body, &app.budget).await?;
    let kind = app.reports.kinds().into_iter().find(|kind| kind.name == request.report);
    match kind.as_ref().map(|kind| kind.ledgers.as_slice()) {
        Some([]) | None => may_read_all(&app, &caller)?,
        Some(ledgers) => may_read(&app, &caller, ledgers.iter().map(String::as_str))?,
    }
    // Who asks other servers in this one's name must be more than a reader.
    if kind.is_some_and(|kind| kind.asks_outside) {
        caller.admin_or_owner(&app)?;
    }
    let now = app.clock.now();
    let time = |name, text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        text.map(|text| times::parse(name, text, now)).transpose()
    };
    let order = Order {
        from: time("from", &request.from)?,
        to: time("to", &request.to)?,
        report: request.report,
        parameters: request.parameters,
        by: who(&app, &caller, request.by)?,
        address: caller.actor().address,
    };
    let permit = Arc::clone(&app.making).acquire_owned().await;
    let made = blocking(move || {
        let _held = permit;
        Ok(app.reports.run(&order)?)
    });
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

/// Reports that were made, the newest first.
#[utoipa::path(
    get,
    path = "/reports/made",
    tag = "reports",
    params(HistoryQuery),
    responses((status = 200, body = HistoryOfReports))
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<HistoryOfReports>, Problem> {
    may_read(&app, &caller, [])?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=HISTORY_MAX).contains(&limit) {
        let detail = format!("limit: found {limit}, expected 1 to {HISTORY_MAX}");
        return Err(Problem::bad_request(detail).with("field", "limit"));
    }
    let (made, more) = blocking(move || Ok(app.reports.history(limit)?)).await?;
    Ok(Json(HistoryOfReports { made, more }))
}

/// The frame around a report may be this server's page, and nothing in it runs or loads anything. The styles of a report stand in it.
const FRAME_CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

/// A report that was made, made again from what its event says.
#[utoipa::path(
    get,
    path = "/reports/made/{event_id}",
    tag = "reports",
    params(("event_id" = String, Path, description = "The report.made event"), FormatQuery),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(event_id): Path<String>,
    Params(query): Params<FormatQuery>,
) -> Result<Response, Problem> {
    may_read_all(&app, &caller)?;
    let format = query.format.unwrap_or_else(|| "html".to_owned());
    let permit = Arc::clone(&app.making).acquire_owned().await;
    let file = blocking(move || {
        let _held = permit;
        Ok(app.reports.file(&event_id, &format)?)
    });
    let file = file.await?;
    let way = if query.show && file.is_page { "inline" } else { "attachment" };
    let name = HeaderValue::from_str(&format!("{way}; filename=\"{}\"", file.name));
    let mut response = file.text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CONTENT_DISPOSITION, name.unwrap_or(HeaderValue::from_static("attachment")));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FRAME_CSP));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    Ok(response)
}

/// Make a report again that somebody has a file of, and compare it byte for byte. The body is the file.
#[utoipa::path(
    post,
    path = "/reports/replay",
    tag = "reports",
    request_body(content = String, content_type = "text/plain"),
    responses(
        (status = 200, body = Replayed),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Replayed>, Problem> {
    may_read_all(&app, &caller)?;
    let text = body::text(&headers, body, &app.budget).await?;
    let permit = Arc::clone(&app.making).acquire_owned().await;
    let done = blocking(move || {
        let _held = permit;
        Ok(app.reports.replay(&text)?)
    });
    Ok(Json(done.await?))
}

/// Schedule a report, or change its schedule. For administrators, and for the local key of whoever may read the data directory.
#[utoipa::path(
    post,
    path = "/reports/schedules",
    tag = "reports",
    request_body = ScheduleRequest,
    responses(
        (status = 204),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn schedule(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    caller.admin_or_owner(&app)?;
    let request: ScheduleRequest = body::json(&headers, body, &app.budget).await?;
    let by = who(&app, &caller, request.by)?;
    blocking(move || Ok(app.reports.schedule(&request.name, &request.planned, &by)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a schedule.
#[utoipa::path(
    delete,
    path = "/reports/schedules/{name}",
    tag = "reports",
    params(("name" = String, Path, description = "The schedule's name"), ByQuery),
    responses(
        (status = 204),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn unschedule(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(query): Params<ByQuery>,
) -> Result<StatusCode, Problem> {
    caller.admin_or_owner(&app)?;
    let by = who(&app, &caller, query.by)?;
    blocking(move || Ok(app.reports.unschedule(&name, &by)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
