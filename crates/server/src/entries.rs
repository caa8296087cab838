//! Single events: by id or by address, as they are, as exact bytes, and with their proof.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Entry, Event, Scalar, Text, hex, is_id, walk};
use attestry_ledger::{Ledger, ReadError};
use attestry_store::{Query as Search, Row};
use attestry_tlog::leaf_hash;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::{App, blocking};
use crate::auth::{Caller, Scope, whole_ledger};
use crate::commit::signed;
use crate::log::unreadable;
use crate::problem::{Problem, Refused};

/// How long a proof waits for a checkpoint that covers its entry.
const SIGN_WAIT: Duration = Duration::from_secs(5);

/// The header with a large value's salt.
const SALT_HEADER: HeaderName = HeaderName::from_static("x-attestry-salt");

/// How many other addresses of an id are listed.
const ALSO_MAX: usize = 100;

/// An event and where it stands.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EventAnswer<'a> {
    ledger: &'a str,
    /// Its number in the ledger.
    index: u64,
    /// SHA-256(0x00 ‖ entry), hexadecimal: its leaf in the Merkle tree.
    leaf_hash: String,
    /// The entry, byte for byte.
    #[schema(value_type = Object)]
    event: &'a RawValue,
    /// Other entries with this id, from other sources or older than the ledger compares.
    also: Vec<Address>,
}

/// An entry's address.
#[derive(Serialize, utoipa::ToSchema, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    ledger: String,
    index: u64,
}

struct Found {
    ledger: Arc<Ledger>,
    index: u64,
    entry: Vec<u8>,
}

/// An event by its id; the newest one when several sources used it.
#[utoipa::path(
    get,
    path = "/events/{event_id}",
    tag = "events",
    params(("event_id" = String, Path)),
    responses((status = 200, body = EventAnswer), Refused<404>)
)]
pub(crate) async fn by_id(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let scope = caller.scope(&app, None)?;
    record(&app, &caller, &id)?;
    blocking(move || {
        let mut found = find(&scope, &id)?;
        let newest = found.pop().ok_or_else(|| no_event(&id))?;
        let also = found.iter().rev().take(ALSO_MAX).map(Found::address).collect();
        newest.answer(also)
    })
    .await
}

/// The proof of an event by its id (C2SP tlog-proof@v1).
#[utoipa::path(
    get,
    path = "/events/{event_id}/proof",
    tag = "events",
    params(("event_id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), Refused<404>)
)]
pub(crate) async fn proof_by_id(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let scope = caller.scope(&app, None)?;
    if scope.filter.is_some() {
        return Err(Problem::forbidden("a filtered key or user gets no raw log and no proofs"));
    }
    let newest = blocking(move || find(&scope, &id)?.pop().ok_or_else(|| no_event(&id))).await?;
    prove(newest.ledger, newest.index).await
}

/// An event by its address.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}/entries/{index}",
    tag = "events",
    params(("ledger" = String, Path), ("index" = u64, Path)),
    responses((status = 200, body = EventAnswer), Refused<404>)
)]
pub(crate) async fn by_index(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, index)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let scope = caller.scope(&app, Some(&name))?;
    record(&app, &caller, &format!("{name}/{index}"))?;
    blocking(move || read(&scope, index)?.answer(Vec::new())).await
}

/// An entry's exact bytes: what is hashed into the tree.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}/entries/{index}/raw",
    tag = "events",
    params(("ledger" = String, Path), ("index" = u64, Path)),
    responses((status = 200, body = Object, content_type = "application/json"), Refused<404>)
)]
pub(crate) async fn raw(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, index)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let scope = caller.scope(&app, Some(&name))?;
    record(&app, &caller, &format!("{name}/{index}"))?;
    blocking(move || Ok(json(read(&scope, index)?.entry))).await
}

/// A large value of an entry: the text that a `$ref` in it stands for.
///
/// SHA-256(salt ‖ text) is the reference; the salt is in `X-Attestry-Salt`, hexadecimal.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}/entries/{index}/values/{hash}",
    tag = "events",
    params(("ledger" = String, Path), ("index" = u64, Path), ("hash" = String, Path, description = "What stands behind `sha256:`")),
    responses((status = 200, body = String, content_type = "text/plain"), Refused<404>)
)]
pub(crate) async fn value(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, index, hash)): Path<(String, u64, String)>,
) -> Result<Response, Problem> {
    let scope = caller.scope(&app, Some(&name))?;
    record(&app, &caller, &format!("{name}/{index}"))?;
    blocking(move || read_value(&read(&scope, index)?, &hash)).await
}

/// The proof of an entry (C2SP tlog-proof@v1); for anybody when the ledger is public.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}/entries/{index}/proof",
    tag = "events",
    params(("ledger" = String, Path), ("index" = u64, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), Refused<404>)
)]
pub(crate) async fn proof_by_index(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
    Path((name, index)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let ledger = whole_ledger(&app, caller.as_ref(), &name)?;
    prove(ledger, index).await
}

fn record(app: &App, caller: &Caller, what: &str) -> Result<(), Problem> {
    let what: String = what.chars().take(200).collect();
    let message = format!("{} looked at the event {what}", caller.name());
    let event = Event::new("search.event", caller.name()).resource(what).message(message);
    app.audit.record(event.source_ip_address(caller.address.to_string()).read_only(true))
}

fn no_event(id: &str) -> Problem {
    Problem::not_found(format!("there is no event with the id {id:.64?} that you may read"))
}

/// All entries with this id that the scope lets through, the newest last.
fn find(scope: &Scope, id: &str) -> Result<Vec<Found>, Problem> {
    if !is_id(id) {
        return Err(no_event(id));
    }
    let mut found = Vec::new();
    for ledger in &scope.ledgers {
        // The ledger finds by hash: what it gives is compared here.
        for index in ledger.find_id(id) {
            let same = |entry: &[u8]| {
                Entry::parse(entry).is_ok_and(|entry| entry.event_id() == id).then(|| entry.to_vec())
            };
            let entry = match ledger.with_entry(index, same) {
                Ok(Some(entry)) => entry,
                Ok(None) | Err(ReadError::Pruned { .. }) => continue,
                Err(error) => return Err(unreadable(&error)),
            };
            if visible(ledger, index, &entry, scope.filter.as_ref()) {
                found.push(Found { ledger: Arc::clone(ledger), index, entry });
            }
        }
    }
    let time =
        |found: &Found| Entry::parse(&found.entry).map(|entry| entry.received_at()).unwrap_or_default();
    found.sort_by_key(|found| (time(found), found.index));
    Ok(found)
}

/// The entry of the scope's one ledger; what the filter hides does not exist.
fn read(scope: &Scope, index: u64) -> Result<Found, Problem> {
    let missing = || Problem::not_found(format!("there is no entry {index} that you may read"));
    let ledger = scope.ledgers.first().ok_or_else(missing)?;
    let entry = match (ledger.with_entry(index, <[u8]>::to_vec), &scope.filter) {
        (Ok(entry), _) => entry,
        (Err(ReadError::Beyond { .. } | ReadError::Pruned { .. }), Some(_)) => return Err(missing()),
        (Err(error), _) => return Err(unreadable(&error)),
    };
    if !visible(ledger, index, &entry, scope.filter.as_ref()) {
        return Err(missing());
    }
    Ok(Found { ledger: Arc::clone(ledger), index, entry })
}

fn read_value(found: &Found, hash: &str) -> Result<Response, Problem> {
    let missing = || Problem::not_found("this entry refers to no such value, or the value was erased");
    // Only what this entry refers to: a hash alone, of an entry that the caller may not see, opens nothing.
    let entry = Entry::parse(&found.entry).map_err(|error| Problem::internal(&error))?;
    let wanted = digest(hash).ok_or_else(missing)?;
    let mut refers = matches!(entry.message(), Some(Text::Ref { hash, .. }) if hash == wanted);
    let walked = walk(entry.event_data().unwrap_or(b"{}"), &mut |_: &str, scalar: Scalar<'_>| {
        refers |= matches!(scalar, Scalar::Ref { hash, .. } if hash == wanted);
    });
    walked.map_err(|error| Problem::internal(&error))?;
    if !refers {
        return Err(missing());
    }
    let value = found.ledger.value(&wanted).map_err(|error| unreadable(&error))?.ok_or_else(missing)?;
    let salt = hex(value.salt);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Hexadecimal digits always are a header value.
        (SALT_HEADER, HeaderValue::from_str(&salt).unwrap_or(HeaderValue::from_static(""))),
    ];
    Ok((headers, value.content).into_response())
}

/// Reads 64 lower-case hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
    }
    Some(bytes)
}

fn visible(ledger: &Ledger, index: u64, bytes: &[u8], filter: Option<&Search>) -> bool {
    let Some(filter) = filter else { return true };
    let value_of = |hash: &[u8; 32]| ledger.value(hash).ok().flatten().map(|value| value.content);
    // What is no entry cannot be checked against the filter, so it stays hidden.
    Entry::parse(bytes).is_ok_and(|entry| {
        filter.matches(&Row { ledger: ledger.name(), index, entry: &entry, value_of: Some(&value_of) })
    })
}

impl Found {
    fn address(&self) -> Address {
        Address { ledger: self.ledger.name().to_owned(), index: self.index }
    }

    fn answer(&self, also: Vec<Address>) -> Result<Response, Problem> {
        let event: &RawValue =
            serde_json::from_slice(&self.entry).map_err(|error| Problem::internal(&error))?;
        let leaf_hash = hex(leaf_hash(&self.entry).0);
        let answer = EventAnswer { ledger: self.ledger.name(), index: self.index, leaf_hash, event, also };
        Ok(json(serde_json::to_vec(&answer).map_err(|error| Problem::internal(&error))?))
    }
}

fn json(bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::OK, headers, bytes).into_response()
}

async fn prove(ledger: Arc<Ledger>, index: u64) -> Result<Response, Problem> {
    if index >= ledger.size() {
        return Err(Problem::not_found(format!("there is no entry {index}")));
    }
    // When this is not signed in time the proof itself says so.
    signed(&ledger, index + 1, SIGN_WAIT).await;
    blocking(move || build_proof(&ledger, index)).await
}

fn build_proof(ledger: &Ledger, index: u64) -> Result<Response, Problem> {
    let proof = ledger.prove(index).map_err(|error| unreadable(&error))?;
    let name = format!("attachment; filename=\"{}-{index}.tlog-proof\"", ledger.name());
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The names of ledgers are plain.
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ];
    Ok((headers, proof.to_string()).into_response())
}
