//! `GET /tail`: events as they come in, as server-sent events (HTML Living Standard, section 9.2).
//!
//! A reader that is too slow is told how many events it missed. One that reconnects goes on where it was: every event
//! carries the position in `id`, and browsers send it back as `Last-Event-ID`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::Outcome;
use attestry_store::{Arrivals, Error, Scope, Stop, Tail};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body::overloaded;
use crate::find::write_hit;
use crate::params::Params;
use crate::problem::{Kind, Problem, Refused, chain};
use crate::search::{StopOnDrop, Which, failed};
use crate::stream::{self, Gone, Pieces};

/// How often a quiet connection says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often is looked whether the caller may still read: a revocation acts within a second.
const RECHECK: Duration = Duration::from_millis(800);

/// How many events are sent together.
const BATCH: usize = 200;

/// Follow events.
///
/// Server-sent events: `event` with `{"ledger","index","event"}`, `dropped` with `{"count"}` when the reader was too slow for some,
/// `end` with a problem before the server ends the stream. A comment every 15 s keeps the connection open.
#[utoipa::path(
    get,
    path = "/tail",
    tag = "search",
    params(Which, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen: the stream goes on there")),
    responses((status = 200, body = String, content_type = "text/event-stream"), Refused<400>)
)]
pub(crate) async fn tail(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let scope = Scope { stop: Stop::never(), ..which.scope(&app, &caller)? };
    let place = Arc::clone(&app.tails).try_acquire_owned();
    let place = place.map_err(|_| overloaded("too many tails are open"))?;
    let from = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(positions);
    let stop = StopOnDrop(scope.stop.clone());
    let (working, from) = (Arc::clone(&app), from.unwrap_or_default());
    let tail =
        blocking(move || working.store.tail(scope, &from).map_err(|error| failed(&working, error))).await?;
    let event = which.event("search.run", &caller, "tail").outcome(Outcome::Success);
    app.audit.record(event.message(format!("{} follows what comes in", caller.name())))?;
    let (pieces, body) = stream::body();
    tokio::spawn(follow(Following { app, caller, tail, pieces, _stop: stop, _place: place }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx holds streams back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

struct Following {
    app: Arc<App>,
    caller: Caller,
    tail: Tail,
    pieces: Pieces,
    _stop: StopOnDrop,
    _place: OwnedSemaphorePermit,
}

async fn follow(mut following: Following) {
    let mut stopping = following.app.stopping.subscribe();
    let mut said = Instant::now();
    // Tells the reader that the stream has begun.
    let mut piece = b": tail\n\n".to_vec();
    loop {
        if !piece.is_empty() || said.elapsed() >= KEEP_ALIVE {
            if piece.is_empty() {
                piece.extend_from_slice(b": keep-alive\n\n");
            }
            said = Instant::now();
            if following.pieces.send(std::mem::take(&mut piece)).await.is_err() {
                return;
            }
        }
        if *stopping.borrow_and_update() {
            return;
        }
        let Some((back, polled)) = poll(following).await else { return };
        following = back;
        let more = match polled {
            Ok(arrivals) => {
                write(&mut piece, &arrivals, &following.tail);
                arrivals.more || !arrivals.hits.is_empty()
            }
            Err(why) => {
                let _: Result<(), Gone> = following.pieces.send(end_event(why)).await;
                return;
            }
        };
        if more {
            continue;
        }
        tokio::select! {
            () = following.tail.changed() => {}
            () = tokio::time::sleep(RECHECK) => {}
            () = following.pieces.closed() => return,
            _ = stopping.changed() => {}
        }
    }
}

/// Looks for news on a thread that may block, if the caller may still see them.
async fn poll(mut following: Following) -> Option<(Following, Result<Arrivals, &'static str>)> {
    let polling = tokio::task::spawn_blocking(move || {
        let polled = match following.caller.still_valid(&following.app) {
            Ok(true) => following.tail.poll(BATCH).map_err(|error| match error {
                Error::Cancelled => "the server is stopping",
                error => {
                    tracing::error!(error = chain(&error), "a tail failed");
                    "the server failed; its log has the cause"
                }
            }),
            Ok(false) => Err("the key or session is not valid any more"),
            Err(problem) => {
                tracing::error!(?problem, "a tail's caller could not be checked");
                Err("the server failed; its log has the cause")
            }
        };
        (following, polled)
    });
    polling.await.ok()
}

fn write(out: &mut Vec<u8>, arrivals: &Arrivals, tail: &Tail) {
    if arrivals.dropped > 0 {
        out.extend_from_slice(
            format!("event: dropped\ndata: {{\"count\":{}}}\n\n", arrivals.dropped).as_bytes(),
        );
    }
    let last = arrivals.hits.len().saturating_sub(1);
    for (number, hit) in arrivals.hits.iter().enumerate() {
        if number == last {
            // The position is behind all of these: going on from it repeats none and misses none.
            let positions = tail.position().into_iter().map(|(ledger, index)| format!("{ledger}:{index}"));
            let positions = positions.collect::<Vec<_>>().join(",");
            out.extend_from_slice(format!("id: {positions}\n").as_bytes());
        }
        out.extend_from_slice(b"event: event\ndata: ");
        // An entry is one line: JSON escapes line breaks.
        write_hit(out, &hit.ledger, hit.index, &hit.entry);
        out.extend_from_slice(b"\n\n");
    }
}

/// Not named `error`: browsers fire that one themselves when a connection breaks.
fn end_event(detail: &'static str) -> Vec<u8> {
    let text = Problem::new(Kind::Unavailable, detail).open_json();
    format!("event: end\ndata: {text}}}\n\n").into_bytes()
}

/// Reads `audit:17,logs:4`; what is malformed is left out, and that ledger's tail then begins now.
fn positions(text: &str) -> Vec<(String, u64)> {
    let position = |one: &str| {
        let (ledger, index) = one.split_once(':')?;
        Some((ledger.to_owned(), index.parse().ok()?))
    };
    text.split(',').filter_map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read() {
        let at = |ledger: &str, index| (ledger.to_owned(), index);
        assert_eq!(positions("audit:17,logs:4"), [at("audit", 17), at("logs", 4)]);
        assert_eq!(
            positions("audit:x,:3,logs:-1,open:18446744073709551615"),
            [at("", 3), at("open", u64::MAX)]
        );
        assert_eq!(positions(""), []);
    }

    #[test]
    fn the_end_is_one_event() {
        let event = String::from_utf8(end_event("gone")).unwrap();
        assert!(event.starts_with("event: end\ndata: {\"type\":"), "{event}");
        assert!(event.ends_with("\"detail\":\"gone\"}\n\n"), "{event}");
    }
}
