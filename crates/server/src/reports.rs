//! Reports: which there are, making one, those that were made, and what is made and sent by itself.

mod answers;
pub(crate) mod schedules;

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

pub use answers::{File, Kind, LedgerSize, Made, Parameter, Replayed, Scheduled};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::limit::{USUAL, limit};
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Kind as ProblemKind, Problem, Refused};
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

/// Does what makes a report, once it is its turn: only some are made at once.
async fn making<T: Send + 'static>(
    app: Arc<App>,
    work: impl FnOnce(&dyn Reports) -> Result<T, ReportError> + Send + 'static,
) -> Result<T, Problem> {
    let permit = Arc::clone(&app.making).acquire_owned().await;
    blocking(move || {
        let _held = permit;
        Ok(work(&*app.reports)?)
    })
    .await
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
    responses((status = 201, body = Made), Refused<400>, Refused<403>, Refused<404>, Refused<503>)
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
        by: caller.on_record(&app, request.by)?,
        address: caller.address.to_string(),
    };
    let made = making(app, move |reports| reports.run(&order)).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
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
    let limit = limit(query.limit, USUAL, HISTORY_MAX)?;
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
    responses((status = 200, body = String, content_type = "text/html"), Refused<404>)
)]
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(event_id): Path<String>,
    Params(query): Params<FormatQuery>,
) -> Result<Response, Problem> {
    may_read_all(&app, &caller)?;
    let format = query.format.unwrap_or_else(|| "html".to_owned());
    let file = making(app, move |reports| reports.file(&event_id, &format)).await?;
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
    responses((status = 200, body = Replayed), Refused<400>)
)]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Replayed>, Problem> {
    may_read_all(&app, &caller)?;
    let text = body::text(&headers, body, &app.budget).await?;
    Ok(Json(making(app, move |reports| reports.replay(&text)).await?))
}
