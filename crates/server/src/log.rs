//! A ledger as a C2SP `tlog-tiles` log: `/log/<ledger>/checkpoint`, `tile/…`, `vkey`, byte for byte.

use std::sync::Arc;

use attestry_ledger::{Ledger, ReadError};
use attestry_tlog::tile::{FULL, Resource};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::{App, blocking};
use crate::auth::{Caller, whole_ledger};
use crate::problem::{Kind, Problem, ProblemDetails};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A tile never changes. Whoever sits between may keep one only if everybody may see it.
const TILE_PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const TILE_PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const ALWAYS_ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// The newest signed checkpoint (C2SP tlog-checkpoint).
#[utoipa::path(
    get,
    path = "/log/{ledger}/checkpoint",
    tag = "log",
    params(("ledger" = String, Path, description = "The ledger's name")),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(crate) async fn checkpoint(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let ledger = whole_ledger(&app, caller.as_ref(), &name)?;
    let missing = || Problem::not_found("nothing has been signed yet");
    let note = ledger.signed().ok_or_else(missing)?.note.to_string();
    Ok(answer(TEXT, ALWAYS_ASK, note.into_bytes()))
}

/// The verifier key in signed-note form.
#[utoipa::path(
    get,
    path = "/log/{ledger}/vkey",
    tag = "log",
    params(("ledger" = String, Path, description = "The ledger's name")),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(crate) async fn vkey(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let ledger = whole_ledger(&app, caller.as_ref(), &name)?;
    Ok(answer(TEXT, ALWAYS_ASK, format!("{}\n", ledger.vkey()).into_bytes()))
}

/// A tile of hashes (`tile/<L>/<N>[.p/<W>]`) or of entries (`tile/entries/<N>[.p/<W>]`), as C2SP tlog-tiles says.
#[utoipa::path(
    get,
    path = "/log/{ledger}/tile/{*path}",
    tag = "log",
    params(
        ("ledger" = String, Path, description = "The ledger's name"),
        ("path" = String, Path, description = "The tile's path")
    ),
    responses(
        (status = 200, body = [u8], content_type = "application/octet-stream"),
        (status = 404, body = ProblemDetails, content_type = "application/problem+json", description = "No checkpoint covers it yet"),
        (status = 410, body = ProblemDetails, content_type = "application/problem+json", description = "It was pruned"),
    )
)]
pub(crate) async fn tile(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
    Path((name, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let ledger = whole_ledger(&app, caller.as_ref(), &name)?;
    let resource = Resource::parse(&format!("tile/{path}"))
        .map_err(|_| Problem::not_found("not the path of a tile: see C2SP tlog-tiles"))?;
    let public = app.ledger(&name).is_some_and(|part| part.public);
    let bytes = blocking(move || read(&ledger, &resource)).await?;
    Ok(answer(BYTES, if public { TILE_PUBLIC } else { TILE_PRIVATE }, bytes))
}

fn read(ledger: &Ledger, resource: &Resource) -> Result<Vec<u8>, Problem> {
    let found = match resource {
        Resource::Tile(tile) => ledger.tile(tile),
        Resource::Entries(tile) => ledger.entry_tile(tile),
    };
    // A full tile whose place is filled once more entries come is asked for by its partial name until then.
    found.map_err(|error| match error {
        ReadError::Beyond { .. } => {
            Problem::not_found(format!("no checkpoint covers these {FULL} nodes or entries yet"))
        }
        error => unreadable(&error),
    })
}

/// What it means that an entry, a proof or a tile could not be read.
pub(crate) fn unreadable(error: &ReadError) -> Problem {
    match error {
        ReadError::Beyond { .. } => Problem::not_found(error.to_string()),
        ReadError::Pruned { .. } => Problem::new(Kind::Pruned, error.to_string()),
        ReadError::Segment { .. } => Problem::internal(error),
    }
}

fn answer(kind: HeaderValue, caching: HeaderValue, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching)], bytes).into_response()
}
