//! Pruning: the event that allows it is signed before anything goes. Retention does it by the clock, people by
//! `POST /ledgers/{ledger}/prune`, and the command line in a directory that no server has open.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Clock, Entry, EntryError, Event, Nanos};
use attestry_ledger::{Ledger, Prunable, ReadError, UpkeepError};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::accounts::Actor;
use crate::app::{App, blocking};
use crate::audit::{RecordError, record};
use crate::auth::Caller;
use crate::body;
use crate::problem::{Kind, Problem, Refused, chain};
use crate::times;

/// How long pruning waits for the checkpoint that it needs.
const SIGN_WAIT: Duration = Duration::from_secs(10);

/// Held while a ledger is pruned: retention and a person at the same moment must not both say that they did it.
static PRUNING: Mutex<()> = Mutex::new(());

/// Why nothing, or not all of it, was pruned. It can be tried again, except after [`PruneError::Footer`].
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The newest entry to go cannot be read.
    #[error("cannot read entry {index}, the newest one to go")]
    Read {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The newest entry to go is none that this version writes.
    #[error("cannot read entry {index}, the newest one to go")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: EntryError,
    },
    /// A segment says another time than its entries do.
    #[error("the segment before entry {0} does not say truly when its entries came in: it was tampered with")]
    Footer(u64),
    /// The event that allows it was not stored.
    #[error("the event that allows pruning was not stored")]
    Record(#[from] RecordError),
    /// No checkpoint came in time.
    #[error("no checkpoint covers the event that allows pruning; nothing was pruned")]
    Unsigned,
    /// The files could not be removed, or not all of them.
    #[error("cannot prune")]
    Upkeep(#[from] UpkeepError),
}

/// Prunes what a ledger received before `cutoff`, by whole segments; `None` when there is nothing. Blocks until it is done.
///
/// # Errors
/// See [`PruneError`].
pub fn prune(
    ledger: &Ledger,
    clock: &dyn Clock,
    cutoff: Nanos,
    actor: &Actor,
) -> Result<Option<Prunable>, PruneError> {
    let _one = PRUNING.lock();
    let Some(prunable) = ledger.prunable(cutoff) else { return Ok(None) };
    let (first, end) = (prunable.range.start, prunable.range.end);
    // The times come from footers, which nothing signs; that of the newest entry to go is in the signed tree.
    let index = end - 1;
    let received = ledger.with_entry(index, |entry| Entry::parse(entry).map(|entry| entry.received_at()));
    let received = received.map_err(|source| PruneError::Read { index, source })?;
    if received.map_err(|source| PruneError::Entry { index, source })? != prunable.received.1 {
        return Err(PruneError::Footer(end));
    }
    let event = Event::new("ledger.pruned", &actor.name)
        .source_ip_address(&actor.address)
        .resource(ledger.name())
        .message(format!("entries {first}..{end} of {} are pruned", ledger.name()))
        .data("first", end)
        .data("pruned_from", first)
        .data("received_from", prunable.received.0.to_string())
        .data("received_to", prunable.received.1.to_string())
        .data("bytes", prunable.bytes);
    record(ledger, clock, event)?;
    // Unsigned, the event could be anybody's who can write to the disk, and a verifier would not let it excuse anything.
    if !ledger.wait_signed(ledger.size(), SIGN_WAIT) {
        return Err(PruneError::Unsigned);
    }
    ledger.prune(end)?;
    Ok(Some(prunable))
}

/// What is to go.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PruneRequest {
    /// Age from which entries go, such as `365d` (units: s, m, h, d, w). Default: the ledger's retention.
    #[serde(default)]
    older_than: Option<String>,
    /// Only say what would go.
    #[serde(default)]
    dry_run: bool,
    /// Who asks, for the record. Only with the local key, which names nobody.
    #[serde(default)]
    by: Option<String>,
}

/// What went, or would go.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PruneAnswer {
    /// Null: nothing is old enough. Only whole sealed segments are pruned.
    pruned: Option<PrunedRange>,
    /// Whether it is only what would go.
    dry_run: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PrunedRange {
    /// Index of the first entry.
    first: u64,
    /// Index behind the last one.
    end: u64,
    /// When the first one came in.
    #[schema(value_type = String, format = DateTime)]
    received_from: Nanos,
    /// When the last one came in.
    #[schema(value_type = String, format = DateTime)]
    received_to: Nanos,
    /// Size of their files.
    bytes: u64,
}

impl From<Prunable> for PrunedRange {
    fn from(Prunable { range, received, bytes }: Prunable) -> PrunedRange {
        let (received_from, received_to) = received;
        PrunedRange { first: range.start, end: range.end, received_from, received_to, bytes }
    }
}

/// Remove the entries that came in before a time, by whole segments from the oldest on.
///
/// For administrators, and for the local key of whoever may read the data directory. The event `ledger.pruned` that says so goes into the
/// ledger first. Proofs that were handed out stand.
#[utoipa::path(
    post,
    path = "/ledgers/{ledger}/prune",
    tag = "ledgers",
    params(("ledger" = String, Path, description = "The ledger's name")),
    request_body = PruneRequest,
    responses((status = 200, body = PruneAnswer), Refused<400>, Refused<403>, Refused<404>)
)]
pub(crate) async fn by_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PruneAnswer>, Problem> {
    caller.admin_or_owner(&app)?;
    let request: PruneRequest = body::json(&headers, body, &app.budget).await?;
    let part = app.ledger(&name).ok_or_else(|| Problem::not_found(format!("there is no ledger {name:?}")))?;
    let age = match (request.older_than.as_deref(), part.retention) {
        (Some(text), _) => times::duration(text).filter(|age| *age > 0).ok_or_else(|| {
            Problem::bad_request("older_than: expected a time such as 365d").with("field", "older_than")
        })?,
        (None, Some(retention)) => i64::try_from(retention.as_nanos()).unwrap_or(i64::MAX),
        (None, None) => {
            let detail = "older_than: the ledger keeps its entries for ever, so it must be said which go";
            return Err(Problem::bad_request(detail).with("field", "older_than"));
        }
    };
    let actor = Actor { name: caller.on_record(&app, request.by)?, ..caller.actor() };
    let cutoff = Nanos(app.clock.now().0.saturating_sub(age));
    let (ledger, dry_run) = (Arc::clone(&part.ledger), request.dry_run);
    let pruned = blocking(move || match dry_run {
        true => Ok(ledger.prunable(cutoff)),
        false => prune(&ledger, &*app.clock, cutoff, &actor).map_err(|error| {
            tracing::error!(ledger = ledger.name(), error = chain(&error), "pruning failed");
            Problem::new(Kind::Internal, chain(&error))
        }),
    })
    .await?;
    Ok(Json(PruneAnswer { pruned: pruned.map(PrunedRange::from), dry_run }))
}
