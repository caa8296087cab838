//! Signing off: somebody has looked at what broke a rule, or at a table's new schema, and says why it is all right.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Found, Unreadable, VIOLATIONS_MAX, Wanted, before};
use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body;
use crate::problem::{Kind, Problem, Refused};

/// The most violations that are signed off at once by what they have in common.
pub const SIGN_OFF_MAX: usize = 20_000;

/// The most that a reason for signing off may be, in characters.
const REASON_CHARS_MAX: usize = 1_000;

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

/// Sign off violations, or the change of a table's schema: somebody has looked, and says why it is all right.
///
/// For administrators, and for the local key of whoever may read the data directory. Each is an event, `violation.sign_off`.
#[utoipa::path(
    post,
    path = "/violations/sign-off",
    tag = "databases",
    request_body = SignOffRequest,
    responses((status = 200, body = SignOffAnswer), Refused<400>, Refused<403>, Refused<404>, Refused<409>)
)]
pub(crate) async fn sign_off(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SignOffAnswer>, Problem> {
    caller.admin_or_owner(&app)?;
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
    let mut sign_off = SignOff {
        fingerprints: request.fingerprints,
        by: caller.on_record(&app, request.by)?,
        address: caller.address.to_string(),
        reason,
    };
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
