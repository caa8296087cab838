//! A provable export: entries with the hashes that tie them to a signed checkpoint (`docs/formats.md`, section 8).
//!
//! Whoever gets the file checks it with `attestry verify` and needs nothing of this server.

use std::sync::Arc;

use attestry_event::{Entry, Outcome, Scalar, Text, hex, walk};
use attestry_ledger::{Ledger, Signed};
use attestry_store::{Order, SearchRequest, Stop};
use attestry_tlog::nodes_beside;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body::overloaded;
use crate::commit::signed;
use crate::find::EXPORT_PAGE;
use crate::log::unreadable;
use crate::params::Params;
use crate::problem::{Problem, Refused};
use crate::search::{self, StopOnDrop, Which, failed};
use crate::stream::{self, Pieces};

/// A piece of the answer goes out when it has grown to this, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Export entries with the proof that they are in the signed log, oldest first. Without `q`, `from` and `to`: the whole ledger.
///
/// One JSON object a line, as `docs/formats.md` section 8 says; `attestry verify FILE` checks it offline. The record of the export is in the
/// audit ledger before the first byte goes out. The header `Attestry-Behind` tells how many committed entries a query could not find yet.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}/export",
    tag = "events",
    params(("ledger" = String, Path), Which),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        Refused<403>,
        Refused<404>
    )
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let ledger = caller.whole_ledger(&app, &name)?;
    let which = Which { ledger: Some(name.clone()), ..which };
    let mut scope = which.scope(&app, &caller)?;
    // An export may take as long as its reader; it ends when the reader leaves.
    scope.stop = Stop::never();
    let place = Arc::clone(&app.exports).try_acquire_owned();
    let place = place.map_err(|_| overloaded("too many exports are running"))?;
    let everything = which.q.trim().is_empty() && which.from.is_none() && which.to.is_none();
    let stop = StopOnDrop(scope.stop.clone());
    let (indexes, behind) = match everything {
        true => (None, 0),
        false => {
            let permit = search::turn(&app).await?;
            let working = Arc::clone(&app);
            let found = blocking(move || matching(&working, scope)).await?;
            drop(permit);
            (Some(found.0), found.1)
        }
    };
    let first = ledger.first();
    let end = ledger.size();
    let matches = indexes.as_ref().map_or(end - first, |indexes| indexes.len() as u64);
    let event =
        which.event("export.run", &caller, "evidence").outcome(Outcome::Success).data("matches", matches);
    let event =
        event.message(format!("{} exported {matches} entries of {name} with their proof", caller.name()));
    app.audit.record_durably(event).await?;
    signed(&ledger, end, SIGN_WAIT).await;
    let Some(checkpoint) = ledger.signed() else {
        return Err(Problem::not_found("the ledger has no checkpoint yet"));
    };
    let (pieces, body) = stream::body();
    tokio::task::spawn_blocking(move || {
        let _held = (stop, place);
        let evidence = Evidence { app: &app, ledger: &ledger, pieces: &pieces, out: Vec::new() };
        let head = Head { which: &which, checkpoint: &checkpoint, range: first..end.min(checkpoint.size) };
        if let Err(problem) = evidence.write(&head, indexes) {
            if let Some(problem) = problem {
                tracing::warn!(ledger = ledger.name(), ?problem, "an export was broken off");
            }
            pieces.break_off();
        }
    });
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{name}.attestry-export\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        // The names of ledgers are plain.
        (header::CONTENT_DISPOSITION, name.unwrap_or(HeaderValue::from_static("attachment"))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, stream::behind(behind), body).into_response())
}

/// How long an export waits for a checkpoint over all of it; without one it covers what is signed.
const SIGN_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// The indexes of the matching entries, rising, and how many committed entries could not be looked at yet.
fn matching(app: &App, scope: attestry_store::Scope) -> Result<(Vec<u64>, u64), Problem> {
    let mut request = SearchRequest { scope, order: Order::OldestFirst, limit: EXPORT_PAGE, cursor: None };
    let (mut indexes, mut behind) = (Vec::new(), 0);
    loop {
        let page = app.store.search(&request).map_err(|error| failed(app, error))?;
        indexes.extend(page.hits.iter().map(|hit| hit.index));
        behind = page.behind.max(behind);
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => break,
        }
    }
    indexes.sort_unstable();
    Ok((indexes, behind))
}

struct Head<'a> {
    which: &'a Which,
    checkpoint: &'a Signed,
    range: std::ops::Range<u64>,
}

struct Evidence<'a> {
    app: &'a App,
    ledger: &'a Ledger,
    pieces: &'a Pieces,
    out: Vec<u8>,
}

impl Evidence<'_> {
    /// Writes it all. The error is none when the reader left.
    fn write(mut self, head: &Head<'_>, indexes: Option<Vec<u64>>) -> Result<(), Option<Problem>> {
        let size = head.checkpoint.size;
        let whole = indexes.is_none().then_some(&head.range);
        let query = head.which.q.trim();
        let line = format!(
            "{{\"attestry_export\":1,\"ledger\":{},\"vkey\":{},\"checkpoint\":{},\"first\":{},\"end\":{},\"query\":{}}}\n",
            json!(self.ledger.name()),
            json!(self.ledger.vkey()),
            json!(&*head.checkpoint.note),
            json!(whole.map(|range| range.start)),
            json!(whole.map(|range| range.end)),
            json!((!query.is_empty()).then_some(query)),
        );
        self.out.extend_from_slice(line.as_bytes());
        let nodes = match indexes {
            None => {
                let mut next = head.range.start;
                while next < head.range.end {
                    let mut failure = None;
                    let limit = (head.range.end - next).min(EXPORT_PAGE as u64);
                    let read = self.ledger.scan(next, limit, &mut |index, entry| {
                        if failure.is_none() {
                            failure = entry_lines(self.ledger, index, entry, &mut self.out).err();
                        }
                    });
                    next = read.map_err(|error| Some(unreadable(&error)))?;
                    if let Some(problem) = failure {
                        return Err(Some(problem));
                    }
                    self.flush(PIECE_BYTES)?;
                }
                nodes_beside(head.range.clone(), size)
            }
            Some(mut indexes) => {
                indexes.retain(|index| *index < size);
                for index in &indexes {
                    let entry = self.ledger.with_entry(*index, <[u8]>::to_vec);
                    let entry = entry.map_err(|error| Some(unreadable(&error)))?;
                    entry_lines(self.ledger, *index, &entry, &mut self.out).map_err(Some)?;
                    self.flush(PIECE_BYTES)?;
                }
                let count = indexes.len();
                let nodes = nodes_beside(indexes, size);
                return self.finish(&nodes, count as u64);
            }
        };
        self.finish(&nodes, head.range.end - head.range.start)
    }

    fn finish(mut self, nodes: &[(u8, u64)], count: u64) -> Result<(), Option<Problem>> {
        self.out.extend_from_slice(b"{\"nodes\":[");
        for (nth, (level, index)) in nodes.iter().enumerate() {
            let hash = self.ledger.tree_node(*level, *index).map_err(|error| Some(unreadable(&error)))?;
            let comma = if nth == 0 { "" } else { "," };
            self.out.extend_from_slice(format!("{comma}[{level},{index},\"{hash}\"]").as_bytes());
            self.flush(PIECE_BYTES)?;
        }
        self.out.extend_from_slice(format!("],\"count\":{count}}}\n").as_bytes());
        self.flush(0)
    }

    /// Sends what has gathered, if it is more than so many bytes.
    fn flush(&mut self, more_than: usize) -> Result<(), Option<Problem>> {
        if self.app.is_stopping() {
            return Err(Some(Problem::new(crate::problem::Kind::Unavailable, "the server is stopping")));
        }
        if self.out.len() <= more_than {
            return Ok(());
        }
        self.pieces.send_blocking(std::mem::take(&mut self.out)).map_err(|_| None)
    }
}

/// An entry's line, after one line for each large value it refers to.
fn entry_lines(ledger: &Ledger, index: u64, entry: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    // The references of what cannot be read as an entry are nobody's business: its bytes are exported all the same.
    for hash in references(entry).unwrap_or_default() {
        // One that was erased is left out, and the check says so.
        if let Some(value) = ledger.value(&hash).map_err(|error| unreadable(&error))? {
            let hash = hex(hash);
            let salt = BASE64_STANDARD.encode(value.salt);
            let content = json!(String::from_utf8_lossy(&value.content));
            out.extend_from_slice(
                format!("{{\"value\":\"sha256:{hash}\",\"salt\":\"{salt}\",\"content\":{content}}}\n")
                    .as_bytes(),
            );
        }
    }
    out.extend_from_slice(format!("{{\"index\":{index},\"entry\":").as_bytes());
    out.extend_from_slice(entry);
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn references(entry: &[u8]) -> Option<Vec<[u8; 32]>> {
    let entry = Entry::parse(entry).ok()?;
    let mut found = Vec::new();
    if let Some(Text::Ref { hash, .. }) = entry.message() {
        found.push(hash);
    }
    walk(entry.event_data().unwrap_or(b"{}"), &mut |_: &str, scalar: Scalar<'_>| {
        if let Scalar::Ref { hash, .. } = scalar {
            found.push(hash);
        }
    })
    .ok()?;
    Some(found)
}
