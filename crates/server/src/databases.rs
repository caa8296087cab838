//! Databases that are watched row by row: how each watch is doing, what broke a rule, what a row has been, and signing off.

mod answers;

use std::sync::Arc;

use attestry_event::Nanos;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

pub use answers::{
    Field, Found, Projection, RowVersion, SignedOff, TableStatus, Unreadable, Violation, WatchStatus,
};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::params::Params;
use crate::parts::AUDIT_LEDGER;
use crate::problem::{Kind, Problem, ProblemDetails};
use crate::times;

/// The most violations in one answer.
pub const VIOLATIONS_MAX: usize = 1_000;

/// The most violations that are signed off at once by what they have in common.
pub const SIGN_OFF_MAX: usize = 20_000;

/// The most that a reason for signing off may be, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// What the binary knows of the databases that it watches. What reads the copy may take a while, and is called where that does no harm.
pub trait Databases: Send + Sync {
    /// How each watch is doing. Must not block.
    fn watches(&self) -> Vec<WatchStatus>;

    /// What broke a rule, the newest first, at most `limit` (and one more, to tell that there are more). A copy that cannot be read is named, unless
    /// what is wanted is elsewhere as a whole.
    ///
    /// # Errors
    /// When there is no such watch, or no violation `after`.
    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError>;

    /// What violations that fit and can be signed off are called by, at most `limit`.
    ///
    /// # Errors
    /// When there is no such watch.
    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError>;

    /// Every known version of the row that a violation is about, the newest first. Fingerprints may be shortened, here and elsewhere, as long as they
    /// fit one violation.
    ///
    /// # Errors
    /// When there is no such violation, several begin so, or the copy that may have it cannot be read.
    fn history(&self, fingerprint: &str) -> Result<Vec<RowVersion>, WatchError>;

    /// Signs off violations and schema changes; returns when the events that say so are durable.
    ///
    /// # Errors
    /// Names the first fingerprint that is unknown or signed off already, or the copy that cannot be written; then none is signed off.
    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError>;
}

/// Nothing is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDatabases;

impl Databases for NoDatabases {
    fn watches(&self) -> Vec<WatchStatus> {
        Vec::new()
    }

    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError> {
        match &wanted.watch {
            Some(watch) => Err(WatchError::Unknown(format!("there is no watch {watch:?}"))),
            None => Ok(Found::default()),
        }
    }

    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError> {
        self.violations(wanted).map(|_| Found::default())
    }

    fn history(&self, fingerprint: &str) -> Result<Vec<RowVersion>, WatchError> {
        Err(WatchError::Unknown(format!("there is no violation {fingerprint:?}")))
    }

    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError> {
        let first = sign_off.fingerprints.first().map_or("", String::as_str);
        Err(WatchError::Unknown(format!("there is no violation {first:?}")))
    }
}

/// Why a question about a watched database has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no such watch or violation.
    #[error("{0}")]
    Unknown(String),
    /// It is signed off already.
    #[error("{0}")]
    Done(String),
    /// Several violations begin like this.
    #[error("{0}")]
    Ambiguous(String),
    /// The copy or the ledger does not work at present.
    #[error("{0}")]
    Unavailable(String),
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Problem {
        let kind = match error {
            WatchError::Unknown(_) => Kind::NotFound,
            WatchError::Done(_) | WatchError::Ambiguous(_) => Kind::Conflict,
            WatchError::Unavailable(_) => Kind::Unavailable,
        };
        Problem::new(kind, error.to_string())
    }
}

/// Which violations.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of one watch.
    pub watch: Option<String>,
    /// Of one table.
    pub table: Option<String>,
    /// Of one column.
    pub field: Option<String>,
    /// Of one rule.
    pub rule: Option<String>,
    /// Opened before this time.
    pub before: Option<Nanos>,
    /// Pending ones, signed-off ones, or all.
    pub state: States,
    /// One, by its fingerprint.
    pub fingerprint: Option<String>,
    /// Only those that come after this one in the list, by its fingerprint.
    pub after: Option<String>,
    /// How many.
    pub limit: usize,
}

/// Which states of violations are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// Those that nobody has signed off.
    #[default]
    Pending,
    /// Those that somebody has.
    SignedOff,
    /// Both.
    All,
}

/// Who signs off what, and why.
#[derive(Debug, Clone)]
pub struct SignOff {
    /// What: violations and changes of schemas, by fingerprint.
    pub fingerprints: Vec<String>,
    /// Who.
    pub by: String,
    /// From which address.
    pub address: String,
    /// Why.
    pub reason: String,
}

/// The watched databases.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct WatchesAnswer {
    watches: Vec<WatchStatus>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ViolationsAnswer {
    /// The newest first.
    violations: Vec<Violation>,
    /// Whether there are more.
    more: bool,
    /// Watches whose copies cannot be read at present: what broke a rule there is not in this answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HistoryAnswer {
    /// The newest first.
    versions: Vec<RowVersion>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ViolationsQuery {
    /// Only those of this watch.
    watch: Option<String>,
    /// Only those of this table.
    table: Option<String>,
    /// Only those of this column.
    field: Option<String>,
    /// Only those of this rule.
    rule: Option<String>,
    /// Only those that were opened before: RFC 3339, or relative such as `-24h`.
    before: Option<String>,
    /// `pending`, `signed_off` or `all`. Default: `pending`.
    #[serde(default)]
    state: States,
    /// Only the one with this fingerprint, or whose fingerprint alone begins so.
    fingerprint: Option<String>,
    /// Only those that come after the one with this fingerprint, the last one of the page before.
    after: Option<String>,
    /// How many, at most 1000. Default: 100.
    limit: Option<usize>,
}

/// What is signed off.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignOffRequest {
    /// Violations and changes of schemas, all or none of them. A fingerprint may be shortened as long as it fits one.
    #[serde(default)]
    fingerprints: Vec<String>,
    /// Or all that are pending and have this in common, at most 20000.
    #[serde(default)]
    filter: Option<SignOffFilter>,
    /// How many fit the filter, as it was answered before. Without it nothing is signed off: the answer says how many fit.
    #[serde(default)]
    count: Option<usize>,
    /// Why this is all right.
    reason: String,
    /// Who, for the record. Only with the local key, which names nobody.
    #[serde(default)]
    by: Option<String>,
}

/// What pending violations have in common.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignOffFilter {
    /// Of this watch.
    #[serde(default)]
    watch: Option<String>,
    /// Of this table.
    #[serde(default)]
    table: Option<String>,
    /// Of this column.
    #[serde(default)]
    field: Option<String>,
    /// Of this rule.
    #[serde(default)]
    rule: Option<String>,
    /// Opened before: RFC 3339, or relative such as `-24h`.
    #[serde(default)]
    before: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SignOffAnswer {
    signed_off: usize,
    /// How many fit the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    matching: Option<usize>,
    /// Watches whose violations the filter could not be held against: their copies cannot be read or written at present.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

/// The time of `before`.
fn before(app: &App, text: Option<&str>) -> Result<Option<Nanos>, Problem> {
    text.map(|text| times::parse("before", text, app.clock.now())).transpose()
}

/// Rows hold whatever the watched tables hold: for those who may read all of what is recorded.
fn may_read(app: &App, caller: &Caller) -> Result<(), Problem> {
    let refused =
        |_| Problem::forbidden("watched databases are shown to those who may read all of the ledger audit");
    caller.whole_ledger(app, AUDIT_LEDGER).map(drop).map_err(refused)
}

/// The watched databases, and how each table is doing.
#[utoipa::path(get, path = "/databases", tag = "databases", responses((status = 200, body = WatchesAnswer)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<WatchesAnswer>, Problem> {
    may_read(&app, &caller)?;
    Ok(Json(WatchesAnswer { watches: app.databases.watches() }))
}

/// Rows that broke a rule.
#[utoipa::path(
    get,
    path = "/violations",
    tag = "databases",
    params(ViolationsQuery),
    responses(
        (status = 200, body = ViolationsAnswer),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn violations(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<ViolationsQuery>,
) -> Result<Json<ViolationsAnswer>, Problem> {
    may_read(&app, &caller)?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=VIOLATIONS_MAX).contains(&limit) {
        let detail = format!("limit: found {limit}, expected 1 to {VIOLATIONS_MAX}");
        return Err(Problem::bad_request(detail).with("field", "limit"));
    }
    let wanted = Wanted {
        watch: query.watch,
        table: query.table,
        field: query.field,
        rule: query.rule,
        before: before(&app, query.before.as_deref())?,
        state: query.state,
        fingerprint: query.fingerprint,
        after: query.after,
        limit,
    };
    let answered = blocking(move || Ok(app.databases.violations(&wanted)?)).await?;
    let Found { found: mut violations, unreadable } = answered;
    let more = violations.len() > limit;
    violations.truncate(limit);
    Ok(Json(ViolationsAnswer { violations, more, unreadable }))
}

/// What the row of a violation has been.
#[utoipa::path(
    get,
    path = "/violations/{fingerprint}/history",
    tag = "databases",
    params(("fingerprint" = String, Path, description = "The violation's fingerprint")),
    responses(
        (status = 200, body = HistoryAnswer),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(fingerprint): Path<String>,
) -> Result<Json<HistoryAnswer>, Problem> {
    may_read(&app, &caller)?;
    let versions = blocking(move || Ok(app.databases.history(&fingerprint)?)).await?;
    Ok(Json(HistoryAnswer { versions }))
}

/// Sign off violations, or the change of a table's schema: somebody has looked, and says why it is all right.
///
/// For administrators, and for the local key of whoever may read the data directory. Each is an event, `violation.sign_off`.
#[utoipa::path(
    post,
    path = "/violations/sign-off",
    tag = "databases",
    request_body = SignOffRequest,
    responses(
        (status = 200, body = SignOffAnswer),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, content_type = "application/problem+json")
    )
)]
pub(crate) async fn sign_off(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SignOffAnswer>, Problem> {
    let is_owner = caller.admin_or_owner(&app)?;
    let request: SignOffRequest = body::json(&headers, body, &app.budget).await?;
    let wrong = |field: &str, detail: String| Err(Problem::bad_request(detail).with("field", field));
    let given = request.fingerprints.len();
    match &request.filter {
        None if given == 0 || given > VIOLATIONS_MAX => {
            let detail = format!("fingerprints: found {given}, expected 1 to {VIOLATIONS_MAX}, or a filter");
            return wrong("fingerprints", detail);
        }
        Some(_) if given > 0 => {
            return wrong("filter", "filter: found fingerprints, too, expected one of both".to_owned());
        }
        _ => {}
    }
    let reason = request.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let detail =
            format!("reason: expected why this is all right, in at most {REASON_CHARS_MAX} characters");
        return wrong("reason", detail);
    }
    let actor = caller.actor();
    let by = match request.by.filter(|by| !by.is_empty()) {
        Some(_) if !is_owner => return wrong("by", "by: only with the local key".to_owned()),
        Some(by) => by,
        None => actor.name,
    };
    let mut sign_off = SignOff { fingerprints: request.fingerprints, by, address: actor.address, reason };
    let (mut matching, mut unreadable) = (None, Vec::new());
    if let Some(filter) = request.filter {
        let wanted = Wanted {
            watch: filter.watch,
            table: filter.table,
            field: filter.field,
            rule: filter.rule,
            before: before(&app, filter.before.as_deref())?,
            limit: SIGN_OFF_MAX + 1,
            ..Wanted::default()
        };
        let databases = Arc::clone(&app.databases);
        let Found { found, unreadable: unread } = blocking(move || Ok(databases.matching(&wanted)?)).await?;
        unreadable = unread;
        if found.len() > SIGN_OFF_MAX {
            return wrong("filter", format!("filter: more than {SIGN_OFF_MAX} fit, expected a narrower one"));
        }
        match request.count {
            Some(count) if count != found.len() => {
                let detail = format!("count: found {count}, but {} fit now", found.len());
                return Err(Problem::new(Kind::Conflict, detail).with("field", "count"));
            }
            None => {
                return Ok(Json(SignOffAnswer { signed_off: 0, matching: Some(found.len()), unreadable }));
            }
            Some(_) => {}
        }
        (matching, sign_off.fingerprints) = (Some(found.len()), found);
    }
    let signed_off = sign_off.fingerprints.len();
    if signed_off > 0 {
        blocking(move || Ok(app.databases.sign_off(&sign_off)?)).await?;
    }
    Ok(Json(SignOffAnswer { signed_off, matching, unreadable }))
}
