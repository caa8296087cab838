//! `POST /events`: one object, an array or NDJSON in; where each event went out.
//!
//! At 200,000 events a second an allocation per event is the most expensive thing here, so a body is one buffer, its
//! events one arena, the answer one text. Parsing and encoding take tens of milliseconds for a large body, and run where
//! blocking is allowed.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use attestry_event::{Batch, Border, Nanos, flags};
use attestry_ledger::{OnConflict, Placed, Refusal, Stored};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::accounts::Key;
use crate::app::{App, blocking, known_ledger};
use crate::auth::Caller;
use crate::body::{self, Encoding};
use crate::commit::{CHECKPOINT_WAIT, refused, searchable, signed, submit, unsigned};
use crate::params::Params;
use crate::problem::{Kind, Problem, ProblemDetails};
use crate::split::Events;

/// The most events of a request.
const EVENTS_MAX: usize = 100_000;

/// The most bytes of the list of what is wrong. A body can hold millions of lines that are wrong in ten ways each; what
/// goes beyond is counted.
const PROBLEMS_MAX_BYTES: usize = 8 << 20;

/// Bodies below this size are parsed where they arrive: handing them over would cost more than it frees.
const INLINE_BYTES: usize = 16 << 10;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IngestQuery {
    /// Store the good events although others are bad, and list the bad ones in `problems`.
    #[serde(default)]
    partial: bool,
    /// `checkpoint`: answer only when a signed checkpoint covers the events.
    wait: Option<Wait>,
    /// The ledger; it must be the key's own, and need not be given.
    ledger: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wait {
    Checkpoint,
}

/// Where the events went.
#[derive(utoipa::ToSchema, Serialize)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct IngestAnswer {
    /// One item an event that is in the ledger now, in the order they were sent.
    events: Vec<PlacedEvent>,
    /// Fields that the server replaced because they are not the sender's to set.
    overwritten: Option<Vec<String>>,
    /// `false` when the index lags: the events are durable, but searches do not find them yet.
    searchable: Option<bool>,
    /// With `wait=checkpoint`: the signed checkpoint that covers the events.
    checkpoint: Option<String>,
    /// With `partial=true`: what was not stored and why.
    problems: Option<Vec<LineProblem<'static>>>,
    /// With `partial=true`: events that were not stored because their id is taken by other content.
    conflicts: Option<Vec<LineConflict>>,
}

#[derive(utoipa::ToSchema, Serialize)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct PlacedEvent {
    /// The event's own id, or the one that was made for it.
    event_id: String,
    ledger: String,
    /// Its number in the ledger: `<ledger>/<index>` is its address for ever.
    index: u64,
    /// Present when the ledger had the event already.
    duplicate: Option<bool>,
}

/// One thing that is wrong with one event.
#[derive(utoipa::ToSchema, Serialize)]
pub(crate) struct LineProblem<'a> {
    /// The line of NDJSON or the element of an array, counted from 1.
    line: u32,
    /// The field, as a path with dots; `event` for the event as a whole.
    field: &'a str,
    /// What was there, cut to 80 characters.
    found: &'a str,
    /// What belongs there.
    expected: &'a str,
}

#[derive(utoipa::ToSchema, Serialize)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct LineConflict {
    line: u32,
    event_id: String,
    ledger: String,
    /// The entry that has the id.
    index: u64,
}

/// Store events.
///
/// The body is one event, an array of events, or NDJSON (one a line), at most 32 MiB after decompression and 100,000
/// events. All are stored or none: with one bad event the answer is 422 and lists every bad line. The answer comes when the
/// events are on the disk, in the Merkle tree, and found by searches. An event whose `event_id` the ledger already has
/// with the same content is stored once and answered with its first index.
#[utoipa::path(
    post,
    path = "/events",
    tag = "events",
    params(IngestQuery),
    request_body(
        description = "Events as JSON or NDJSON; `Content-Encoding: gzip` or `zstd` may be used.",
        content((serde_json::Value = "application/json"), (String = "application/x-ndjson"))
    ),
    responses(
        (status = 201, body = IngestAnswer),
        (status = 409, body = ProblemDetails, content_type = "application/problem+json", description = "Ids are taken by other content; `conflicts` lists them, nothing was stored"),
        (status = 413, body = ProblemDetails, content_type = "application/problem+json", description = "More than 32 MiB or 100,000 events"),
        (status = 422, body = ProblemDetails, content_type = "application/problem+json", description = "`problems` lists every bad line, nothing was stored"),
        (status = 503, body = ProblemDetails, content_type = "application/problem+json", description = "Too much at once, or the disk is full; `Retry-After` says when to try again"),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<IngestQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = Arc::clone(caller.writer()?);
    let own = key.ledgers.first().ok_or_else(|| Problem::forbidden("the key has no ledger"))?.clone();
    let own = own.as_str();
    if query.ledger.as_ref().is_some_and(|asked| asked != own) {
        return Err(Problem::forbidden(format!("this key writes to the ledger {own:?} and no other")));
    }
    let ledger = Arc::clone(known_ledger(&app, own)?);
    let ndjson = is_ndjson(&headers);
    let encoding = Encoding::of(&headers)?;
    let meter = app.metrics.ingest(own);

    let started = Instant::now();
    let mut lease = app.budget.lease();
    let wire = body::read(body, &headers, &mut lease).await?;
    meter.bytes(wire.len());
    let received = Instant::now();
    meter.stage("receive", received - started);
    let now = app.clock.now();
    let inline = encoding == Encoding::Identity && wire.len() < INLINE_BYTES;
    let work = move || {
        let bytes = body::decode(encoding, wire, &mut lease)?;
        take_in(&bytes, ndjson, &key, now)
    };
    let mut taken = if inline { work()? } else { blocking(work).await? };
    let parsed = Instant::now();
    meter.stage("parse", parsed - received);
    meter.refused(taken.refused.events);
    if taken.refused.events > 0 && (!query.partial || taken.batch.is_empty()) {
        return Ok(taken.refused.into_problem().respond());
    }

    let batch = std::mem::take(&mut taken.batch);
    let count = batch.len();
    let on_conflict = if query.partial { OnConflict::RefuseEvent } else { OnConflict::RefuseBatch };
    let outcome = submit(&ledger, batch, on_conflict).await;
    let stored = match outcome.result {
        Ok(stored) => stored,
        Err(Refusal::Conflicts(conflicts)) => {
            let list = conflicts.iter().map(|conflict| {
                let line = taken.lines.get(conflict.row).copied().unwrap_or(0);
                serde_json::json!({
                    "line": line,
                    "event_id": outcome.batch.event_id(conflict.row),
                    "ledger": own,
                    "index": conflict.index,
                })
            });
            let detail = "other events have these ids; nothing was stored";
            return Err(Problem::new(Kind::Conflict, detail).with("conflicts", list.collect::<Vec<_>>()));
        }
        Err(refusal) => {
            meter.refused(count);
            return Err(refused(refusal));
        }
    };
    let committed = Instant::now();
    meter.stage("commit", committed - parsed);
    meter.stored(&stored.placed);
    let found = searchable(&app, own, stored.end).await;
    meter.stage("index", committed.elapsed());
    let checkpoint = match query.wait {
        Some(Wait::Checkpoint) => {
            let signed = signed(&ledger, stored.end, CHECKPOINT_WAIT).await;
            Some(signed.ok_or_else(unsigned)?.note)
        }
        None => None,
    };
    let answer = Answer {
        batch: &outcome.batch,
        ledger: own,
        stored: &stored,
        taken: &taken,
        found,
        checkpoint: checkpoint.as_deref(),
    };
    Ok(json_response(StatusCode::CREATED, "application/json", answer.write(query.partial)))
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        kind.as_str(),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines"
    )
}

/// A body's events, encoded.
struct Taken {
    batch: Batch,
    /// The line of each row of the batch.
    lines: Vec<u32>,
    /// Whether an event named another source than the key's.
    source_overwritten: bool,
    refused: Refused,
}

/// What was wrong with a body's events, as the items of a JSON array.
#[derive(Default)]
struct Refused {
    events: usize,
    text: String,
    omitted: usize,
}

impl Refused {
    fn add(&mut self, line: u32, field: &str, found: &str, expected: &str) {
        if self.text.len() > PROBLEMS_MAX_BYTES {
            self.omitted += 1;
            return;
        }
        let problem = LineProblem { line, field, found, expected };
        if !self.text.is_empty() {
            self.text.push(',');
        }
        // A struct of strings and a number always serializes.
        self.text.push_str(&serde_json::to_string(&problem).unwrap_or_default());
    }

    fn into_problem(self) -> RefusedAnswer {
        let events = if self.events == 1 { "1 event is" } else { &format!("{} events are", self.events) };
        RefusedAnswer {
            problem: Problem::new(Kind::BadEvents, format!("{events} not acceptable")),
            refused: self,
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str("\"problems\":[");
        out.push_str(&self.text);
        out.push(']');
        if self.omitted > 0 {
            let _ = write!(out, ",\"problems_omitted\":{}", self.omitted);
        }
    }
}

/// The 422 answer, whose list may be long.
struct RefusedAnswer {
    problem: Problem,
    refused: Refused,
}

impl RefusedAnswer {
    fn respond(self) -> Response {
        let mut text = self.problem.open_json();
        text.push(',');
        self.refused.write(&mut text);
        text.push('}');
        json_response(self.problem.kind().parts().1, "application/problem+json", text)
    }
}

fn json_response(status: StatusCode, kind: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, text).into_response()
}

/// Finds, checks and encodes the events of a body.
fn take_in(body: &[u8], ndjson: bool, key: &Key, now: Nanos) -> Result<Taken, Problem> {
    let border = Border {
        event_source: &key.name,
        via: &[],
        lenient: key.lenient,
        reserved_names: false,
        agent: false,
        now,
    };
    let mut batch = Batch::new();
    // Entries are about as long as what they were made from; a quarter more covers defaults and generated ids.
    batch.bytes.reserve(body.len() + body.len() / 4);
    let mut taken =
        Taken { batch, lines: Vec::new(), source_overwritten: false, refused: Refused::default() };
    let mut events = 0;
    for (line, event) in Events::new(body, ndjson) {
        events += 1;
        if events > EVENTS_MAX {
            return Err(Problem::new(
                Kind::TooLarge,
                format!("at most {EVENTS_MAX} events a request; nothing was stored"),
            )
            .with("max_events", EVENTS_MAX));
        }
        match event {
            Ok(event) => match taken.batch.push_json(event, &border) {
                Ok(()) => taken.lines.push(line),
                Err(problems) => {
                    taken.refused.events += 1;
                    for problem in problems {
                        taken.refused.add(line, &problem.field, &problem.found, &problem.expected);
                    }
                }
            },
            Err(expected) => {
                taken.refused.events += 1;
                taken.refused.add(line, "event", "something else", expected);
            }
        }
    }
    if events == 0 && body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::bad_request(
            "the body is empty: expected an event, an array of events, or NDJSON",
        ));
    }
    taken.source_overwritten = taken.batch.rows.iter().any(|row| row.flags & flags::SOURCE_OVERWRITTEN != 0);
    Ok(taken)
}

/// The 201 answer.
struct Answer<'a> {
    batch: &'a Batch,
    ledger: &'a str,
    stored: &'a Stored,
    taken: &'a Taken,
    found: bool,
    checkpoint: Option<&'a str>,
}

impl Answer<'_> {
    fn write(&self, partial: bool) -> String {
        // Ids are of a set of characters that needs no escaping, and so are the names of ledgers.
        let mut out = String::with_capacity(64 + self.stored.placed.len() * (90 + self.ledger.len()));
        let mut conflicts = String::new();
        out.push_str("{\"events\":[");
        let mut first = true;
        for (row, placed) in self.stored.placed.iter().enumerate() {
            let (id, ledger, index) = (self.batch.event_id(row), self.ledger, placed.index());
            if let Placed::Conflict(_) = placed {
                let line = self.taken.lines.get(row).copied().unwrap_or(0);
                let comma = if conflicts.is_empty() { "" } else { "," };
                let _ = write!(
                    conflicts,
                    "{comma}{{\"line\":{line},\"event_id\":\"{id}\",\"ledger\":\"{ledger}\",\"index\":{index}}}"
                );
                continue;
            }
            out.push_str(if first { "{\"event_id\":\"" } else { ",{\"event_id\":\"" });
            first = false;
            out.push_str(id);
            out.push_str("\",\"ledger\":\"");
            out.push_str(ledger);
            out.push_str("\",\"index\":");
            let _ = write!(out, "{index}");
            out.push_str(if matches!(placed, Placed::Duplicate(_)) { ",\"duplicate\":true}" } else { "}" });
        }
        out.push(']');
        if self.taken.source_overwritten {
            out.push_str(",\"overwritten\":[\"event_source\"]");
        }
        if !self.found {
            out.push_str(",\"searchable\":false");
        }
        if let Some(checkpoint) = self.checkpoint {
            out.push_str(",\"checkpoint\":");
            out.push_str(&serde_json::to_string(checkpoint).unwrap_or_default());
        }
        if partial {
            out.push(',');
            self.taken.refused.write(&mut out);
            if !conflicts.is_empty() {
                let _ = write!(out, ",\"conflicts\":[{conflicts}]");
            }
        }
        out.push('}');
        out
    }
}
