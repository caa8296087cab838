//! The way in for OpenTelemetry logs: OTLP/HTTP 1.x, `POST /v1/logs`, in protobuf and in JSON, plain or with gzip.
//!
//! What becomes of a log record is said in [`Record`]. A request is answered when its records are durable. What cannot be read of a
//! request is told in `partialSuccess`; when nothing of it can be read, the answer is 400, and senders do not send it again. When nothing is
//! taken at the moment the answer is 503, and they do.

mod decode;
mod json;
mod proto;
mod record;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestry_pipeline::{Incoming, Inlet, Taken};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt, Limited};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use decode::{Malformed, Request};
pub use record::Record;

/// The largest body, in bytes, before decompression and after it.
pub const BODY_MAX_BYTES: usize = 16 << 20;

/// How many bodies are held at once; further requests wait. With what decoding makes of them it bounds the memory.
const REQUESTS_AT_ONCE: usize = 4;

/// The longest that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// An OTLP/HTTP receiver.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// The address. Whoever can reach it can send. Default: 127.0.0.1:4318.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4318))
}

/// What a receiver has seen since it began.
#[derive(Debug, Default)]
pub struct Counters {
    /// Log records.
    pub messages: AtomicU64,
    /// Bytes of bodies, as they came.
    pub bytes: AtomicU64,
    /// Log records that could not be read, and requests of which nothing could.
    pub refused: AtomicU64,
}

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    listener: TcpListener,
    address: SocketAddr,
    counters: Arc<Counters>,
}

impl Receiver {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(config: &ReceiverConfig) -> Result<Receiver, BindError> {
        let failed = |source| BindError { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Receiver { listener, address, counters: Arc::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen; it goes on counting.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Takes requests until it is stopped; those that have begun are finished.
    pub async fn run(self, inlet: Arc<dyn Inlet>, stop: CancellationToken) {
        let shared =
            Arc::new(Shared { inlet, counters: self.counters, room: Semaphore::new(REQUESTS_AT_ONCE) });
        let router = Router::new().route("/v1/logs", post(logs)).with_state(shared);
        let served = axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the OTLP receiver ended");
        }
    }
}

struct Shared {
    inlet: Arc<dyn Inlet>,
    counters: Arc<Counters>,
    room: Semaphore,
}

/// How a body is written, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

async fn logs(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    let kind = text(&headers, header::CONTENT_TYPE);
    let encoding = match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" => Encoding::Protobuf,
        "application/json" => Encoding::Json,
        _ => {
            let expected = "Content-Type: expected application/x-protobuf or application/json";
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, expected).into_response();
        }
    };
    let gzip = match text(&headers, header::CONTENT_ENCODING) {
        "" | "identity" => false,
        "gzip" => true,
        _ => {
            let expected = "Content-Encoding: expected gzip or none";
            return status(encoding, StatusCode::UNSUPPORTED_MEDIA_TYPE, expected);
        }
    };
    let Ok(_room) = shared.room.acquire().await else {
        return status(encoding, StatusCode::SERVICE_UNAVAILABLE, "nothing is taken any more");
    };
    let bytes = match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_MAX_BYTES).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return too_large(&shared, encoding);
        }
        Ok(Err(_)) => return status(encoding, StatusCode::BAD_REQUEST, "the body broke off"),
        Err(_) => return status(encoding, StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"),
    };
    shared.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    let working = Arc::clone(&shared);
    let done = tokio::task::spawn_blocking(move || take(&working, encoding, gzip, &bytes)).await;
    done.unwrap_or_else(|_| status(encoding, StatusCode::INTERNAL_SERVER_ERROR, "the receiver failed"))
}

fn take(shared: &Shared, encoding: Encoding, gzip: bool, bytes: &Bytes) -> Response {
    let plain;
    let body: &[u8] = if gzip {
        let mut decompressed = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]).take(BODY_MAX_BYTES as u64 + 1);
        if reader.read_to_end(&mut decompressed).is_err() {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            return status(encoding, StatusCode::BAD_REQUEST, "the body is not gzip");
        }
        if decompressed.len() > BODY_MAX_BYTES {
            return too_large(shared, encoding);
        }
        plain = decompressed;
        &plain
    } else {
        bytes
    };
    let request = match encoding {
        Encoding::Protobuf => Request::from_protobuf(body),
        Encoding::Json => Request::from_json(body),
    };
    let Request { records, rejected, reason } = match request {
        Ok(request) => request,
        Err(Malformed(reason)) => {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            return status(encoding, StatusCode::BAD_REQUEST, &reason);
        }
    };
    shared.counters.messages.fetch_add(records.len() as u64 + rejected, Ordering::Relaxed);
    shared.counters.refused.fetch_add(rejected, Ordering::Relaxed);
    let events: Vec<Incoming> = records.into_iter().map(|record| record.into_event().into()).collect();
    let taken = if events.is_empty() { Ok(Taken::default()) } else { shared.inlet.put(events) };
    match taken {
        Ok(Taken { malformed, .. }) => {
            let message = match (rejected, malformed) {
                (0, 0) => String::new(),
                (0, _) => format!(
                    "{malformed} records are no events that can be stored as they are: each is kept in a gap.malformed event"
                ),
                (_, _) => reason,
            };
            success(encoding, rejected, &message)
        }
        Err(closed) => status(encoding, StatusCode::SERVICE_UNAVAILABLE, &closed.to_string()),
    }
}

fn too_large(shared: &Shared, encoding: Encoding) -> Response {
    shared.counters.refused.fetch_add(1, Ordering::Relaxed);
    let reason = format!("the body has more than {BODY_MAX_BYTES} bytes");
    status(encoding, StatusCode::PAYLOAD_TOO_LARGE, &reason)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An `ExportLogsServiceResponse`.
fn success(encoding: Encoding, rejected: u64, message: &str) -> Response {
    let body = match encoding {
        Encoding::Protobuf => {
            let mut partial = Vec::new();
            if rejected > 0 {
                proto::write_number(1, rejected, &mut partial);
            }
            if !message.is_empty() {
                proto::write_bytes(2, message.as_bytes(), &mut partial);
            }
            let mut body = Vec::new();
            if !partial.is_empty() {
                proto::write_bytes(1, &partial, &mut body);
            }
            body
        }
        Encoding::Json if rejected == 0 && message.is_empty() => b"{}".to_vec(),
        Encoding::Json => {
            // An int64 is a string in the JSON of protobuf.
            let partial =
                serde_json::json!({"rejectedLogRecords": rejected.to_string(), "errorMessage": message});
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    };
    respond(encoding, StatusCode::OK, body)
}

/// A `google.rpc.Status` without a code, which OTLP/HTTP allows.
fn status(encoding: Encoding, status: StatusCode, message: &str) -> Response {
    let body = match encoding {
        Encoding::Protobuf => {
            let mut body = Vec::new();
            proto::write_bytes(2, message.as_bytes(), &mut body);
            body
        }
        Encoding::Json => serde_json::json!({ "message": message }).to_string().into_bytes(),
    };
    let mut response = respond(encoding, status, body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn respond(encoding: Encoding, status: StatusCode, body: Vec<u8>) -> Response {
    let kind = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests;
