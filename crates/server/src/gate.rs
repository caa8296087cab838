//! What every request passes on its way in, and every answer on its way out: the client's address, the `Host` and `Origin`
//! checks, the security headers, the request metrics.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;

use crate::address::{client, host_allowed, host_of, same_origin};
use crate::app::App;
use crate::problem::{Kind, Problem};

/// The peer of the connection; the listener puts it into every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The address the request comes from, seen through trusted proxies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Everything from our own server; no inline script, no frame around us, no form to elsewhere.
const CSP: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What the API tells is for the one who asked, and true for now, unless its handler knows better.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Browsers shall come back encrypted only, for half a year.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15768000");

/// The middleware around all routes.
pub(crate) async fn pass(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let private = request.uri().path().starts_with("/api/");
    let has_body = !request.body().is_end_stream();
    let mut response = match admit(&app, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let status = response.status();
    let headers = response.headers_mut();
    if private {
        headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    }
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if has_body && refused_unread(status) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if app.names.secure {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    }
    let (route, took) = (route.as_deref().unwrap_or("other"), started.elapsed());
    app.metrics.request(&method, route, status, took);
    // The route, not the address: that may hold what people searched for.
    tracing::debug!(%method, route, status = status.as_u16(), ?took, "answered");
    response
}

/// Whether a request was answered without reading its body. The connection ends then, and a client that is not told so would send its
/// next request into it.
fn refused_unread(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::MISDIRECTED_REQUEST
    )
}

fn admit(app: &App, request: &mut Request) -> Result<(), Problem> {
    let unknown = || Problem::new(Kind::Internal, "the client's address is unknown");
    let peer = request.extensions().get::<Peer>().copied().ok_or_else(unknown)?;
    let address = client(peer.0.ip(), request.headers(), &app.trusted_proxies);
    request.extensions_mut().insert(ClientAddress(address));
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok()).and_then(host_of);
    let allowed = host.is_some_and(|host| host_allowed(&host, app.names.host.as_deref()));
    if !allowed || hosts.next().is_some() {
        return Err(Problem::new(
            Kind::WrongHost,
            "use the server's address or localhost, or set server.public_url to the name it is reached by",
        ));
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe && !same_origin(headers, app.names.origin.as_deref()) {
        return Err(Problem::new(Kind::Csrf, "Origin: the request was sent by a page of another site"));
    }
    Ok(())
}
