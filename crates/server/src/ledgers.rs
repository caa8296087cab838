//! The ledgers and the sources, as the page and the command line show them.

use std::sync::Arc;

use attestry_event::Nanos;
use attestry_ledger::{Ledger, Signed};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::app::{App, blocking, known_ledger};
use crate::auth::{Caller, Who, whole_ledger};
use crate::params::Params;
use crate::parts::{LedgerPart, SourceStatus, VerifyStatus};
use crate::problem::{Kind, Problem, ProblemDetails, Refused};

/// A ledger.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LedgerAnswer {
    name: String,
    /// Committed entries, pruned ones included. Null, as all numbers of the whole, for a filtered key or user.
    size: Option<u64>,
    /// Index of the first entry that is not pruned.
    first: Option<u64>,
    /// The C2SP origin.
    origin: String,
    /// The verifier key in signed-note form.
    vkey: String,
    /// The newest checkpoint.
    checkpoint: Option<CheckpointAnswer>,
    /// What the entries take on the disk.
    bytes: Option<u64>,
    /// Whether anybody may read the raw log and proofs.
    public: bool,
    /// How long entries are kept, in days; null: for ever.
    retention_days: Option<u64>,
    /// How many entries searches find.
    indexed: Option<u64>,
    /// Why the search index does not follow at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    index_failure: Option<String>,
    /// The last verification.
    last_verify: Option<VerifyStatus>,
}

/// A signed checkpoint.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CheckpointAnswer {
    size: u64,
    /// Base64.
    root: String,
    #[schema(value_type = String, format = DateTime)]
    time: Nanos,
    /// The C2SP signed note.
    note: String,
}

impl From<Signed> for CheckpointAnswer {
    fn from(signed: Signed) -> CheckpointAnswer {
        let note = signed.note.to_string();
        CheckpointAnswer { size: signed.size, root: signed.root.to_string(), time: signed.time, note }
    }
}

/// How the sources of this node are doing.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SourcesAnswer {
    sources: Vec<SourceStatus>,
}

/// The ledgers that the caller may read.
#[utoipa::path(get, path = "/ledgers", tag = "ledgers", responses((status = 200, body = Vec<LedgerAnswer>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Vec<LedgerAnswer>>, Problem> {
    let scope = caller.scope(&app, None)?;
    let may = |part: &&LedgerPart| scope.ledgers.iter().any(|ledger| Arc::ptr_eq(ledger, &part.ledger));
    Ok(Json(app.ledgers.iter().filter(may).map(|part| answer(&app, part, scope.filter.is_none())).collect()))
}

/// One ledger.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}",
    tag = "ledgers",
    params(("ledger" = String, Path, description = "The ledger's name")),
    responses((status = 200, body = LedgerAnswer), Refused<404>)
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<LedgerAnswer>, Problem> {
    let scope = caller.scope(&app, Some(&name))?;
    let part = app.ledger(&name).ok_or_else(|| Problem::not_found("there is no such ledger"))?;
    Ok(Json(answer(&app, part, scope.filter.is_none())))
}

/// Start verifying a ledger: everything is hashed anew, in the background. The result is part of the ledger.
#[utoipa::path(
    post,
    path = "/ledgers/{ledger}/verify",
    tag = "ledgers",
    params(("ledger" = String, Path, description = "The ledger's name")),
    responses((status = 202, description = "It is running"))
)]
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.session()?;
    caller.whole_ledger(&app, &name)?;
    known_ledger(&app, &name)?;
    app.operations.verify(&name);
    Ok(StatusCode::ACCEPTED)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyQuery {
    /// The size of the tree that the asker has seen before.
    from: u64,
}

/// The newest checkpoint, and the proof that its tree goes on from an older one.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ConsistencyAnswer {
    /// The C2SP signed note.
    checkpoint: String,
    /// The hashes of an RFC 6962 consistency proof, base64.
    proof: Vec<String>,
}

/// Prove that a ledger only grew since somebody last looked.
///
/// For everybody who may read the raw log, and for agents that write to the ledger: hashes tell nothing of the entries.
#[utoipa::path(
    get,
    path = "/ledgers/{ledger}/consistency",
    tag = "ledgers",
    params(("ledger" = String, Path, description = "The ledger's name"), ConsistencyQuery),
    responses(
        (status = 200, body = ConsistencyAnswer),
        (status = 409, body = ProblemDetails, content_type = "application/problem+json", description = "The signed tree is smaller than `from`"),
        (status = 503, body = ProblemDetails, content_type = "application/problem+json", description = "No checkpoint is signed yet"),
    )
)]
pub(crate) async fn consistency(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
    Path(name): Path<String>,
    Params(query): Params<ConsistencyQuery>,
) -> Result<Json<ConsistencyAnswer>, Problem> {
    let writes_there = match caller.as_ref().map(|caller| &caller.who) {
        Some(Who::Agent(agent)) => agent.ledgers.contains(&name),
        _ => false,
    };
    let ledger = match writes_there {
        true => Arc::clone(known_ledger(&app, &name)?),
        false => whole_ledger(&app, caller.as_ref(), &name)?,
    };
    let signed = ledger.signed();
    let signed = signed.ok_or_else(|| {
        Problem::new(Kind::Unavailable, "this ledger has no signed checkpoint yet").retry_after(1)
    })?;
    if query.from > signed.size {
        let detail = format!("the signed tree has {} entries, fewer than {}", signed.size, query.from);
        return Err(Problem::new(Kind::Conflict, detail).with("size", signed.size));
    }
    let size = signed.size;
    let proof = match query.from {
        0 => Vec::new(),
        from => {
            blocking(move || ledger.consistency(from, size).map_err(|error| Problem::internal(&error)))
                .await?
        }
    };
    let proof = proof.iter().map(ToString::to_string).collect();
    Ok(Json(ConsistencyAnswer { checkpoint: signed.note.to_string(), proof }))
}

/// The sources of this node.
#[utoipa::path(get, path = "/sources", tag = "ledgers", responses((status = 200, body = SourcesAnswer)))]
pub(crate) async fn sources(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<SourcesAnswer>, Problem> {
    if caller.scope(&app, None)?.filter.is_some() {
        return Err(Problem::forbidden("a filtered key or user does not see the sources"));
    }
    Ok(Json(SourcesAnswer { sources: app.operations.sources() }))
}

/// A filtered caller does not learn from the numbers of the whole how much there is that the filter hides.
fn answer(app: &App, part: &LedgerPart, whole: bool) -> LedgerAnswer {
    let ledger: &Ledger = &part.ledger;
    let sizes = ledger.sizes();
    let state = app.store.states().into_iter().find(|state| &*state.ledger == ledger.name());
    LedgerAnswer {
        name: ledger.name().to_owned(),
        size: whole.then_some(sizes.entries),
        first: whole.then_some(sizes.first),
        origin: ledger.origin().to_owned(),
        vkey: ledger.vkey(),
        checkpoint: ledger.signed().filter(|_| whole).map(CheckpointAnswer::from),
        bytes: whole.then_some(sizes.sealed_bytes + sizes.tail_bytes),
        public: part.public,
        retention_days: part.retention.map(|retention| retention.as_secs() / 86_400),
        indexed: state.as_ref().filter(|_| whole).map(|state| state.indexed),
        index_failure: state.filter(|_| whole).and_then(|state| state.failure),
        last_verify: app.operations.last_verify(ledger.name()).filter(|_| whole),
    }
}
