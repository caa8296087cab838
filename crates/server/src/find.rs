//! `GET /events`: a page of events, or all of them as a stream.

use std::fmt::Write;
use std::sync::Arc;

use attestry_event::{Entry, Outcome};
use attestry_store::{Cursor, Error, Hit, MAX_PAGE, Order, Page, Scope, SearchRequest, Stop};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body::overloaded;
use crate::csv;
use crate::params::BothParams;
use crate::problem::{Problem, ProblemDetails, chain};
use crate::search::{self, StopOnDrop, Which, failed, run};
use crate::stream::{self, Pieces};

/// How many events a page has when nothing is said.
const LIMIT: usize = 100;

/// How many events an export reads at a time.
pub(crate) const EXPORT_PAGE: usize = 1_000;

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Newest first.
    #[default]
    Desc,
    /// Oldest first.
    Asc,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// One object with a page of events.
    Json,
    /// A stream with an object a line.
    Ndjson,
    /// A stream for spreadsheets.
    Csv,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FindQuery {
    /// Newest or oldest first, by `event_time`.
    #[serde(default)]
    order: Direction,
    /// How many: 1 to 10,000; for NDJSON and CSV also more, and 0 for all.
    limit: Option<u64>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Instead of the `Accept` header (`application/json`, `application/x-ndjson`, `text/csv`), for links.
    format: Option<Form>,
}

/// A page of events.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct FindAnswer {
    events: Vec<FoundEvent>,
    /// The cursor of the next page; null when this is the last.
    next: Option<String>,
    /// How many committed events searches do not find yet; absent when there are none.
    behind: Option<u64>,
    /// Milliseconds of the server.
    took_ms: f64,
}

/// An event and its address.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct FoundEvent {
    ledger: String,
    index: u64,
    /// The entry, byte for byte.
    #[schema(value_type = Object)]
    event: serde_json::Value,
}

/// Find events.
///
/// Sorted by (`event_time`, ledger, index). With `Accept: application/x-ndjson` or `text/csv` the answer is an export: a
/// stream of as many events as asked for, which is recorded before it begins; what `behind` says is in the header `Attestry-Behind`.
#[utoipa::path(
    get,
    path = "/events",
    tag = "search",
    params(Which, FindQuery),
    responses(
        (status = 200, content((FindAnswer = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 400, body = ProblemDetails, content_type = "application/problem+json", description = "`position`, `length` and `expected` say what is wrong with the query"),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    caller: Caller,
    BothParams(which, query): BothParams<Which, FindQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let form = query.format.unwrap_or_else(|| accepted(&headers));
    let order = match query.order {
        Direction::Desc => Order::NewestFirst,
        Direction::Asc => Order::OldestFirst,
    };
    let cursor = query.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(Cursor::decode).transpose();
    let cursor = cursor.map_err(|error| failed(&app, error))?;
    if form != Form::Json {
        let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        return export(app, caller, which, order, cursor, limit, form).await;
    }
    let limit = query.limit.map_or(Some(LIMIT), |limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(bad_limit)?;
    let work = move |store: &attestry_store::Store, scope| {
        store.search(&SearchRequest { scope, order, limit, cursor })
    };
    let page = run(&app, &caller, &which, "search", work, |page| page.hits.len() as u64).await?;
    let text = write_page(&page.result, page.took_ms());
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text)
        .into_response())
}

fn bad_limit() -> Problem {
    Problem::bad_request(format!("limit: a number from 1 to {MAX_PAGE}, more only as NDJSON or CSV"))
        .with("field", "limit")
}

fn accepted(headers: &HeaderMap) -> Form {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first =
        accept.split(',').filter_map(|kind| match kind.split(';').next().unwrap_or_default().trim() {
            "application/json" => Some(Form::Json),
            "application/x-ndjson" => Some(Form::Ndjson),
            "text/csv" => Some(Form::Csv),
            _ => None,
        });
    first.into_iter().next().unwrap_or(Form::Json)
}

fn write_page(page: &Page, took_ms: f64) -> Vec<u8> {
    let bytes: usize = page.hits.iter().map(|hit| hit.entry.len() + 64).sum();
    let mut out = Vec::with_capacity(bytes + 256);
    out.extend_from_slice(b"{\"events\":[");
    for (number, hit) in page.hits.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_hit(&mut out, &hit.ledger, hit.index, &hit.entry);
    }
    // Cursors are base64url.
    let next = page.next.as_ref().map_or("null".to_owned(), |next| format!("\"{}\"", next.encode()));
    let behind = if page.behind > 0 { format!(",\"behind\":{}", page.behind) } else { String::new() };
    out.extend_from_slice(format!("],\"next\":{next}{behind},\"took_ms\":{took_ms}}}").as_bytes());
    out
}

/// Writes an event with its address: the names of ledgers need no escaping, and an entry is JSON.
pub(crate) fn write_hit(out: &mut Vec<u8>, ledger: &str, index: u64, entry: &[u8]) {
    out.extend_from_slice(b"{\"ledger\":\"");
    out.extend_from_slice(ledger.as_bytes());
    out.extend_from_slice(format!("\",\"index\":{index},\"event\":").as_bytes());
    out.extend_from_slice(entry);
    out.push(b'}');
}

async fn export(
    app: Arc<App>,
    caller: Caller,
    which: Which,
    order: Order,
    cursor: Option<Cursor>,
    limit: u64,
    form: Form,
) -> Result<Response, Problem> {
    // An export may take as long as its reader; it ends when the reader leaves.
    let scope = Scope { stop: Stop::never(), ..which.scope(&app, &caller)? };
    let kind = if form == Form::Csv { "csv" } else { "ndjson" };
    let place = Arc::clone(&app.exports).try_acquire_owned();
    let place = place.map_err(|_| overloaded("too many exports are running"))?;
    let permit = search::turn(&app).await?;
    let (working, counted) = (Arc::clone(&app), scope.clone());
    let stop = StopOnDrop(scope.stop.clone());
    let count =
        blocking(move || working.store.count(&counted).map_err(|error| failed(&working, error))).await?;
    drop(permit);
    let mut event = which.event("export.run", &caller, kind).outcome(Outcome::Success);
    event = event.data("matches", count.count);
    event = event.message(format!("{} exported {} events as {kind}", caller.name(), count.count.min(limit)));
    if limit != u64::MAX {
        event = event.data("limit", limit);
    }
    app.audit.record_durably(event).await?;
    let (pieces, body) = stream::body();
    tokio::task::spawn_blocking(move || {
        let _held = (stop, place);
        let request = SearchRequest { scope, order, limit: EXPORT_PAGE, cursor };
        if let Err(error) = send_all(&app, request, limit, form, &pieces) {
            tracing::warn!(error = chain(&error), "an export was broken off");
            pieces.break_off();
        }
    });
    let (kind, name) = match form {
        Form::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"events.csv\""),
        Form::Json | Form::Ndjson => ("application/x-ndjson", "attachment; filename=\"events.ndjson\""),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(name)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, stream::behind(count.behind), body).into_response())
}

fn send_all(
    app: &App,
    mut request: SearchRequest,
    mut left: u64,
    form: Form,
    pieces: &Pieces,
) -> Result<(), Error> {
    if form == Form::Csv && pieces.send_blocking(csv::header().into_bytes()).is_err() {
        return Ok(());
    }
    while left > 0 && !app.is_stopping() {
        request.limit = usize::try_from(left).unwrap_or(EXPORT_PAGE).clamp(1, EXPORT_PAGE);
        let page = app.store.search(&request)?;
        left = left.saturating_sub(page.hits.len() as u64);
        let piece = match form {
            Form::Csv => csv_lines(&page.hits),
            Form::Json | Form::Ndjson => json_lines(&page.hits),
        };
        if !piece.is_empty() && pieces.send_blocking(piece).is_err() {
            return Ok(());
        }
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => return Ok(()),
        }
    }
    if left > 0 { Err(Error::Cancelled) } else { Ok(()) }
}

fn json_lines(hits: &[Hit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(hits.iter().map(|hit| hit.entry.len() + 64).sum());
    for hit in hits {
        write_hit(&mut out, &hit.ledger, hit.index, &hit.entry);
        out.push(b'\n');
    }
    out
}

fn csv_lines(hits: &[Hit]) -> Vec<u8> {
    let mut out = String::new();
    for hit in hits {
        match Entry::parse(&hit.entry) {
            Ok(entry) => csv::write(&mut out, &hit.ledger, hit.index, &entry),
            // What a newer version wrote stands in the line as it is.
            Err(_) => {
                csv::cell(&mut out, &hit.ledger);
                let _ = write!(out, ",{},", hit.index);
                csv::cell(&mut out, &String::from_utf8_lossy(&hit.entry));
                out.push_str("\r\n");
            }
        }
    }
    out.into_bytes()
}
