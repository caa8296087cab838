//! Errors as the client sees them: RFC 9457 problem details.

use std::borrow::Cow;
use std::collections::BTreeMap;

use attestry_event::Nanos;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::accounts::AccountsError;

/// The media type of every error answer.
const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, each with its status and title; `docs#problem-<slug>` explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    BadQuery,
    BadEvents,
    Unauthorized,
    Forbidden,
    Csrf,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    Pruned,
    TooLarge,
    UnsupportedEncoding,
    WrongHost,
    Locked,
    Overloaded,
    Unavailable,
    Internal,
}

impl Kind {
    pub(crate) const ALL: [Kind; 18] = [
        Kind::BadRequest,
        Kind::BadQuery,
        Kind::BadEvents,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::Csrf,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::Timeout,
        Kind::Conflict,
        Kind::Pruned,
        Kind::TooLarge,
        Kind::UnsupportedEncoding,
        Kind::WrongHost,
        Kind::Locked,
        Kind::Overloaded,
        Kind::Unavailable,
        Kind::Internal,
    ];

    /// Slug, status and title.
    pub(crate) fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Kind::BadRequest => ("bad-request", StatusCode::BAD_REQUEST, "The request is malformed"),
            Kind::BadQuery => ("bad-query", StatusCode::BAD_REQUEST, "The query is malformed"),
            Kind::BadEvents => {
                ("bad-events", StatusCode::UNPROCESSABLE_ENTITY, "Events were refused, nothing was stored")
            }
            Kind::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A key or a log-in is needed"),
            Kind::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed with this key or user"),
            Kind::Csrf => {
                ("csrf", StatusCode::FORBIDDEN, "The request does not come from this server's page")
            }
            Kind::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Kind::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This address does not take that method",
            ),
            Kind::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive"),
            Kind::Conflict => ("conflict", StatusCode::CONFLICT, "It exists already, with other content"),
            Kind::Pruned => ("pruned", StatusCode::GONE, "It was removed when its retention ended"),
            Kind::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            Kind::UnsupportedEncoding => {
                ("unsupported-encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The encoding is not supported")
            }
            Kind::WrongHost => {
                ("wrong-host", StatusCode::MISDIRECTED_REQUEST, "The server is not known by this name")
            }
            Kind::Locked => ("locked", StatusCode::TOO_MANY_REQUESTS, "Too many failed attempts"),
            Kind::Overloaded => {
                ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too much at once, try again")
            }
            Kind::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Not available right now"),
            Kind::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
        }
    }
}

/// An error answer. Its detail is meant for whoever sent the request: what happened, what was kept, what to do.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after_s: Option<u64>,
    members: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { kind, detail: detail.into(), retry_after_s: None, members: Map::new() }
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Adds an extension member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A failure of ours: the log gets the whole chain of causes, the client that there was one.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Problem {
        tracing::error!(error = chain(error), "a request failed");
        Problem::new(Kind::Internal, "the server's log has the cause")
    }

    pub(crate) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Kind::Forbidden, detail)
    }

    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Kind::NotFound, detail)
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Kind::BadRequest, detail)
    }

    /// The members before the extensions, for an answer that is written by hand because its lists are long. The
    /// text ends inside the object.
    pub(crate) fn open_json(&self) -> String {
        let (slug, status, title) = self.kind.parts();
        let shown = Shown {
            r#type: format!("/docs#problem-{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
        };
        let mut text = serde_json::to_string(&shown).unwrap_or_else(|_| "{}".to_owned());
        text.pop();
        text
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

/// The text of an error and of everything that caused it.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[derive(Serialize)]
struct Shown<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// The body of every error answer, for the API's description.
#[derive(ToSchema, Serialize)]
pub(crate) struct ProblemDetails {
    /// Where the kind of problem is explained, relative to the server.
    #[schema(example = "/docs#problem-bad-query")]
    r#type: String,
    /// What kind of problem it is.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened in this case.
    detail: String,
}

/// That an operation may be refused with this status, for the API's description.
pub(crate) struct Refused<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let details = Content::new(Some(Ref::from_schema_name(ProblemDetails::name())));
        let response = ResponseBuilder::new().content(PROBLEM_JSON, details);
        BTreeMap::from([(STATUS.to_string(), response.into())])
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (slug, status, title) = self.kind.parts();
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("/docs#problem-{slug}").into());
        body.insert("title".to_owned(), title.into());
        body.insert("status".to_owned(), status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into_owned().into());
        body.extend(self.members);
        let mut response = (status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"attestry\""));
        }
        response
    }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Problem {
        match &error {
            AccountsError::Invalid { field, rule } => {
                Problem::bad_request(format!("{field}: {rule}")).with("field", *field)
            }
            AccountsError::NotFound(_) => Problem::not_found(error.to_string()),
            AccountsError::Taken(_) => Problem::new(Kind::Conflict, error.to_string()),
            AccountsError::Database(_) | AccountsError::Io { .. } | AccountsError::Newer { .. } => {
                Problem::internal(&error)
            }
        }
    }
}

/// A time parameter that cannot be read.
pub(crate) fn bad_time(name: &str, text: &str) -> Problem {
    let example = Nanos(1_700_000_000_000_000_000);
    Problem::bad_request(format!(
        "{name}: {text:?} is neither an RFC 3339 time such as {example} nor relative such as -24h or now"
    ))
    .with("field", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_slug_of_its_own_and_an_error_status() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.parts().0).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let status = kind.parts().1;
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn it_is_problem_json_with_its_headers() {
        let problem = Problem::new(Kind::Overloaded, "say \"when\"").retry_after(2).with("queue", 7);
        assert_eq!(
            problem.open_json(),
            r#"{"type":"/docs#problem-overloaded","title":"Too much at once, try again","status":503,"detail":"say \"when\"""#
        );
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "2");
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["queue"], &body["status"]), (&Value::from(7), &Value::from(503)));
    }

    #[test]
    fn a_cause_of_ours_stays_in_the_log() {
        let error = AccountsError::Io { path: "/secret".into(), source: std::io::Error::other("disk") };
        let problem = Problem::from(error);
        assert_eq!(problem.kind(), Kind::Internal);
        assert!(!problem.detail.contains("secret"));
    }
}
