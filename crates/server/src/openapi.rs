//! The API's description: made from the handlers themselves, as OpenAPI and as a page to read.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::auth::COOKIE;
use crate::problem::{Kind, ProblemDetails};

/// What the description says beside the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Attestry",
        description = "An audit trail that nobody can alter unnoticed. Programs send `Authorization: Bearer KEY`; people log in and \
                       then send the session cookie, and with everything but GET and HEAD the header `X-CSRF-Token`. \
                       Errors are RFC 9457 problem details.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Schemes),
    components(schemas(ProblemDetails)),
    security(("key" = []), ("session" = [])),
    tags(
        (name = "events", description = "Store events, read single ones, prove them"),
        (name = "search", description = "Find and count events"),
        (name = "ledgers", description = "What there is, and whether it is intact"),
        (name = "alerts", description = "What rules found, and who saw to it"),
        (name = "databases", description = "Databases that are watched row by row"),
        (name = "reports", description = "What is handed over, and made again from the ledger"),
        (name = "log", description = "Each ledger as a C2SP tlog-tiles log"),
        (name = "people", description = "Log in and out"),
        (name = "keys", description = "API keys"),
        (name = "operate", description = "Health and numbers"),
    )
)]
pub(crate) struct Description;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(COOKIE));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// The texts that are served, made once.
pub(crate) struct Texts {
    json: String,
    html: String,
}

impl Texts {
    pub(crate) fn new(description: &utoipa::openapi::OpenApi) -> Texts {
        // Made of strings, numbers and maps with string keys: it always serializes.
        let value = serde_json::to_value(description).unwrap_or_default();
        let json = serde_json::to_string_pretty(&value).unwrap_or_default();
        Texts { json, html: page(&value) }
    }
}

pub(crate) async fn json(State(texts): State<Arc<Texts>>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], texts.json.clone())
        .into_response()
}

pub(crate) async fn html(State(texts): State<Arc<Texts>>) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], texts.html.clone()).into_response()
}

pub(crate) async fn css() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], CSS).into_response()
}

const CSS: &str = "\
:root { color-scheme: light dark; }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, .path { font-family: ui-monospace, monospace; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
h3 { margin: 1.5rem 0 .25rem; font-size: 1rem; }
.method { display: inline-block; min-width: 4rem; font-weight: 600; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { text-align: left; vertical-align: top; padding: .15rem .75rem .15rem 0; }
";

/// Writes the description as a page without scripts.
fn page(api: &Value) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Attestry API</title>\
         <link rel=\"stylesheet\" href=\"/docs.css\"></head><body><h1>Attestry API</h1>",
    );
    let _ = write!(out, "<p>{}</p>", escape(text(&api["info"], "description")));
    out.push_str("<p>For programs: <a href=\"/openapi.json\">/openapi.json</a></p>");
    for tag in items(&api["tags"]) {
        let name = text(tag, "name");
        let _ =
            write!(out, "<h2 id=\"{0}\">{0}</h2><p>{1}</p>", escape(name), escape(text(tag, "description")));
        for (path, methods) in members(&api["paths"]) {
            for (method, operation) in members(methods) {
                if items(&operation["tags"]).iter().any(|tag| tag == name) {
                    write_operation(&mut out, path, method, operation);
                }
            }
        }
    }
    out.push_str(
        "<h2 id=\"problems\">Problems</h2><table><tr><th>Type</th><th>Status</th><th>Meaning</th></tr>",
    );
    for kind in Kind::ALL {
        let (slug, status, title) = kind.parts();
        let _ = write!(
            out,
            "<tr id=\"problem-{slug}\"><td><code>/docs#problem-{slug}</code></td><td>{}</td><td>{}</td></tr>",
            status.as_u16(),
            escape(title)
        );
    }
    out.push_str("</table></body></html>");
    out
}

fn write_operation(out: &mut String, path: &str, method: &str, operation: &Value) {
    let method = method.to_uppercase();
    let _ = write!(
        out,
        "<h3><span class=\"method\">{}</span> <span class=\"path\">{}</span></h3><p>{}</p>",
        escape(&method),
        escape(path),
        escape(text(operation, "summary"))
    );
    let long = text(operation, "description");
    if !long.is_empty() {
        let _ = write!(out, "<p>{}</p>", escape(long));
    }
    out.push_str("<table>");
    for parameter in items(&operation["parameters"]) {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(text(parameter, "name")),
            escape(text(parameter, "in")),
            escape(text(parameter, "description"))
        );
    }
    for (status, response) in members(&operation["responses"]) {
        let schema = members(&response["content"]).find_map(|(_, content)| {
            let schema = text(&content["schema"], "$ref").rsplit('/').next()?;
            (!schema.is_empty()).then_some(schema)
        });
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(status),
            escape(schema.unwrap_or_default()),
            escape(text(response, "description"))
        );
    }
    out.push_str("</table>");
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
