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
use std::sync::atomic::Ordering;

use attestry_pipeline::{Incoming, Inlet, Taken};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming as Body;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::feed::Counters;
use crate::receiving::{BindError, max_connections};
use crate::requests::{self, Answer, Answers, Bodies, Bounds};

pub use decode::{Malformed, Request};
pub use record::Record;

/// The largest body, in bytes, before decompression and after it.
pub const BODY_MAX_BYTES: usize = 16 << 20;

/// Where requests go.
const PATH: &str = "/v1/logs";

/// How many requests are decoded and stored at once; further ones wait. It bounds what decoding makes of bodies.
const AT_ONCE: usize = 4;

/// An OTLP/HTTP receiver.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// The address. Whoever can reach it can send. Default: 127.0.0.1:4318.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// How many connections there may be at once; more are closed at once. Default: 1000.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
}

impl ReceiverConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        if self.max_connections > 0 {
            return Vec::new();
        }
        vec![("max_connections", "0, expected at least 1".to_owned())]
    }
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4318))
}

/// A receiver.
pub struct Receiver {
    connections: Connections,
    address: SocketAddr,
    counters: Arc<Counters>,
    bounds: Bounds,
}

impl Receiver {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(config: &ReceiverConfig) -> Result<Receiver, BindError> {
        let failed = |source| BindError::Listen { address: config.listen.to_string(), source };
        let connections =
            Connections::listen(config.listen, None, config.max_connections).await.map_err(failed)?;
        let address = connections.local_addr().map_err(failed)?;
        Ok(Receiver { connections, address, counters: Arc::default(), bounds: Bounds::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen; it goes on counting. A log record that could not be read counts as refused.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Takes requests until it is stopped; those that have begun are finished.
    pub async fn run(self, inlet: Arc<dyn Inlet>, stop: CancellationToken) {
        let shared = Shared { inlet, counters: Arc::clone(&self.counters) };
        let logs = Logs { shared: Arc::new(shared), at_once: Semaphore::new(AT_ONCE) };
        requests::run(self.connections, logs, self.bounds, self.counters, stop).await;
    }
}

/// What answers the requests.
struct Logs {
    shared: Arc<Shared>,
    at_once: Semaphore,
}

struct Shared {
    inlet: Arc<dyn Inlet>,
    counters: Arc<Counters>,
}

/// How a body is written, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn media_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

impl Answers for Logs {
    fn path(&self) -> &str {
        PATH
    }

    async fn answer(&self, request: hyper::Request<Body>, _: SocketAddr, bodies: &Bodies) -> Answer {
        let (head, body) = request.into_parts();
        let (encoding, gzip) = match encodings(&head.headers) {
            Ok(encodings) => encodings,
            Err((Some(encoding), expected)) => {
                return status(encoding, StatusCode::UNSUPPORTED_MEDIA_TYPE, expected);
            }
            Err((None, expected)) => {
                return respond("text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE, expected.into());
            }
        };
        let body = match bodies.read(body, BODY_MAX_BYTES).await {
            Ok(body) => body,
            Err(StatusCode::PAYLOAD_TOO_LARGE) => return too_large(encoding),
            Err(refused) => return status(encoding, refused, "the body did not arrive whole and in time"),
        };
        let Ok(_turn) = self.at_once.acquire().await else {
            return status(encoding, StatusCode::SERVICE_UNAVAILABLE, "nothing is taken any more");
        };
        self.shared.counters.bytes.fetch_add(body.bytes.len() as u64, Ordering::Relaxed);
        let (shared, bytes) = (Arc::clone(&self.shared), body.bytes.clone());
        let done = tokio::task::spawn_blocking(move || take(&shared, encoding, gzip, &bytes)).await;
        done.unwrap_or_else(|_| status(encoding, StatusCode::INTERNAL_SERVER_ERROR, "the receiver failed"))
    }
}

/// How a body is written and whether it is compressed; or what was expected, and how to say it where that is known.
fn encodings(headers: &HeaderMap) -> Result<(Encoding, bool), (Option<Encoding>, &'static str)> {
    let kind = text(headers, header::CONTENT_TYPE);
    let encoding = match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" => Encoding::Protobuf,
        "application/json" => Encoding::Json,
        _ => {
            return Err((None, "Content-Type: expected application/x-protobuf or application/json"));
        }
    };
    match text(headers, header::CONTENT_ENCODING) {
        "" | "identity" => Ok((encoding, false)),
        "gzip" => Ok((encoding, true)),
        _ => Err((Some(encoding), "Content-Encoding: expected gzip or none")),
    }
}

fn take(shared: &Shared, encoding: Encoding, gzip: bool, bytes: &Bytes) -> Answer {
    let plain;
    let body: &[u8] = if gzip {
        let mut decompressed = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]).take(BODY_MAX_BYTES as u64 + 1);
        if reader.read_to_end(&mut decompressed).is_err() {
            return status(encoding, StatusCode::BAD_REQUEST, "the body is not gzip");
        }
        if decompressed.len() > BODY_MAX_BYTES {
            return too_large(encoding);
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
        Err(Malformed(reason)) => return status(encoding, StatusCode::BAD_REQUEST, &reason),
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

fn too_large(encoding: Encoding) -> Answer {
    let reason = format!("the body has more than {BODY_MAX_BYTES} bytes");
    status(encoding, StatusCode::PAYLOAD_TOO_LARGE, &reason)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An `ExportLogsServiceResponse`.
fn success(encoding: Encoding, rejected: u64, message: &str) -> Answer {
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
    respond(encoding.media_type(), StatusCode::OK, body)
}

/// A `google.rpc.Status` without a code, which OTLP/HTTP allows.
fn status(encoding: Encoding, status: StatusCode, message: &str) -> Answer {
    let body = match encoding {
        Encoding::Protobuf => {
            let mut body = Vec::new();
            proto::write_bytes(2, message.as_bytes(), &mut body);
            body
        }
        Encoding::Json => serde_json::json!({ "message": message }).to_string().into_bytes(),
    };
    respond(encoding.media_type(), status, body)
}

fn respond(media_type: &'static str, status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

#[cfg(test)]
mod tests;
