//! `POST /events`: one object, an array or NDJSON in; where each event went out.
//!
//! At 200,000 events a second an allocation per event is the most expensive thing here, so a body is one buffer, its
//! events one arena, the answer one text. Parsing and encoding take tens of milliseconds for a large body, and run where
//! blocking is allowed.

mod answer;
mod sender;

use std::sync::Arc;
use std::time::Instant;

use attestry_event::{Batch, Nanos, Row, flags};
use attestry_ledger::{OnConflict, Refusal};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use crate::agents::account;
use crate::app::{App, blocking, known_ledger};
use crate::auth::Caller;
use crate::body::{self, Encoding};
use crate::commit::{CHECKPOINT_WAIT, refused, searchable, signed, submit, unsigned};
use crate::params::Params;
use crate::problem::{Kind, Problem, ProblemDetails};
use crate::split::Events;

use answer::{Answer, IngestAnswer, Refused, json_response};
use sender::Sender;

/// The most events of a request.
const EVENTS_MAX: usize = 100_000;

/// Bodies below this size are parsed where they arrive: handing them over would cost more than it frees.
const INLINE_BYTES: usize = 16 << 10;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct IngestQuery {
    /// Store the good events although others are bad, and list the bad ones in `problems`.
    #[serde(default)]
    partial: bool,
    /// `checkpoint`: answer only when a signed checkpoint covers the events.
    wait: Option<Wait>,
    /// The ledger. A key's own, and need not be given; for an agent one of those it was enrolled for, `audit` by default.
    ledger: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wait {
    Checkpoint,
}

/// Store events.
///
/// The body is one event, an array of events, or NDJSON (one a line), at most 32 MiB after decompression and 100,000
/// events. All are stored or none: with one bad event the answer is 422 and lists every bad line. The answer comes when the
/// events are on the disk, in the Merkle tree, and found by searches. An event whose `event_id` the ledger already has
/// with the same content is stored once and answered with its first index.
///
/// An agent shows its certificate instead of a key, and says in `Attestry-Epoch` and `Attestry-Accounts` which of its numbers the request
/// accounts for; a hole becomes a `gap.sequence` event. What clashes with another event's id is kept in a `gap.conflict`.
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
    let sender = Sender::of(&caller, &headers)?;
    let own = sender.ledger(query.ledger.as_deref())?;
    let own = own.as_str();
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
    let posting = sender.clone();
    let work = move || {
        let bytes = body::decode(encoding, wire, &mut lease)?;
        let taken = take_in(&bytes, ndjson, &posting, now)?;
        drop(bytes);
        lease.settle(taken.bytes());
        Ok((taken, lease))
    };
    // The lease ends with the request: until then the events are in memory.
    let (mut taken, _lease) = if inline { work()? } else { blocking(work).await? };
    let parsed = Instant::now();
    meter.stage("parse", parsed - received);
    meter.refused(taken.refused.events);
    if taken.refused.events > 0 && (!query.partial || taken.batch.is_empty()) {
        return Ok(taken.refused.into_answer().respond());
    }

    let batch = std::mem::take(&mut taken.batch);
    let count = batch.len();
    let each = query.partial || matches!(sender, Sender::Agent(..));
    let on_conflict = if each { OnConflict::RefuseEvent } else { OnConflict::RefuseBatch };
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
    if let Sender::Key(key) = &sender {
        app.key_used(key, true);
    }
    for event in sender.conflicts(own, &outcome.batch, &stored) {
        app.audit.record_durably(event).await?;
    }
    if let Some((agent, accounted)) = sender.accounted() {
        account(&app, agent, own, accounted.clone()).await?;
    }
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

impl Taken {
    /// What it takes in memory, about, in bytes.
    fn bytes(&self) -> usize {
        let beside: usize = self.batch.values.iter().map(|value| value.content.capacity()).sum();
        self.batch.bytes.capacity() + beside + self.batch.len() * (size_of::<Row>() + size_of::<u32>())
    }

    /// Refuses what may not come from this sender: the whole, because a sender that errs once about its own name errs always.
    fn check(&mut self, sender: &Sender) {
        let mut wrong = 0;
        for (entry, line) in self.batch.entries().zip(&self.lines) {
            if let Err(problem) = sender.check(entry) {
                self.refused.add(*line, &problem.field, &problem.found, &problem.expected);
                wrong += 1;
            }
        }
        if wrong > 0 {
            self.refused.events += wrong;
            self.batch.clear();
            self.lines.clear();
        }
    }
}

/// Finds, checks and encodes the events of a body.
fn take_in(body: &[u8], ndjson: bool, sender: &Sender, now: Nanos) -> Result<Taken, Problem> {
    let border = sender.border(now);
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
    let nothing = events == 0 && body.iter().all(u8::is_ascii_whitespace);
    // An agent may account for numbers of which its filters left nothing.
    if nothing && sender.accounted().is_none() {
        return Err(Problem::bad_request(
            "the body is empty: expected an event, an array of events, or NDJSON",
        ));
    }
    taken.check(sender);
    taken.source_overwritten = taken.batch.rows.iter().any(|row| row.flags & flags::SOURCE_OVERWRITTEN != 0);
    Ok(taken)
}
