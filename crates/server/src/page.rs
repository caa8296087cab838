//! The web page: the files of `ui/dist`, built into the program.

use std::io::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::app::App;
use crate::problem::{Kind, Problem};

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";

/// What is served instead when the program was built without the page.
const NOTICE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Attestry</title>\
<h1>Attestry</h1><p>This program was built without its web page (run <code>make build</code>). \
The API is described at <a href=\"/docs\">/docs</a>.</p></html>";

/// Files with a hash in their name never change; all others are asked for again, with their ETag.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Smaller files do not gain from compression.
const COMPRESS_BYTES: usize = 1_024;

/// Answers everything that is no route of the API: a file of the page, or, for a path that the page's own router knows, the
/// page.
pub(crate) async fn serve(State(_): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if path.starts_with("api/") || path.starts_with("log/") {
        return Problem::not_found("there is no such address; /docs lists them all").into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::new(Kind::MethodNotAllowed, "the page is read with GET").into_response();
    }
    let path = if path.is_empty() { INDEX } else { path };
    if let Some(file) = Files::get(path) {
        return answer(path, &file, request.headers());
    }
    // A missing script must be an error, not the page: a browser would try to run it.
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    if is_file && path != INDEX {
        return Problem::not_found("there is no such file").into_response();
    }
    match Files::get(INDEX) {
        Some(file) => answer(INDEX, &file, request.headers()),
        None => html(NOTICE.as_bytes().to_vec()),
    }
}

fn html(bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, REVALIDATE)], bytes).into_response()
}

fn answer(path: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = HeaderValue::from_str(&format!("W/\"{tag}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
    let caching = if path.starts_with("assets/") { IMMUTABLE } else { REVALIDATE };
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
    if known {
        return (
            axum::http::StatusCode::NOT_MODIFIED,
            [(header::ETAG, tag), (header::CACHE_CONTROL, caching)],
        )
            .into_response();
    }
    let (kind, text) = kind_of(path);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, caching),
        (header::ETAG, tag),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let accepts =
        asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let gzip = text
        && file.data.len() >= COMPRESS_BYTES
        && accepts.split(',').any(|one| one.trim().starts_with("gzip"));
    match gzip.then(|| compress(&file.data)).flatten() {
        Some(bytes) => {
            (headers, [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], bytes).into_response()
        }
        None => (headers, file.data.clone().into_owned()).into_response(),
    }
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// The content type, and whether it is text.
fn kind_of(path: &str) -> (&'static str, bool) {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => ("text/html; charset=utf-8", true),
        "js" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "json" | "webmanifest" | "map" => ("application/json", true),
        "svg" => ("image/svg+xml", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "png" => ("image/png", false),
        "ico" => ("image/x-icon", false),
        "woff2" => ("font/woff2", false),
        _ => ("application/octet-stream", false),
    }
}
