//! GELF over HTTP: `POST /gelf` with a message, or with one on each line. The answer, 202, comes when they are stored.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_event::{Clock, SystemClock};
use attestry_pipeline::{Incoming, Inlet};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming as Body;
use hyper::header::{ALLOW, CONTENT_ENCODING, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::frames::JsonFrames;
use super::inflate::{Inflated, inflate};
use super::receiver::Reader;
use crate::feed::Counters;

/// Where it listens, and what it allows.
pub(super) struct Server {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) path: String,
    pub(super) most: usize,
    pub(super) idle: Duration,
    pub(super) counters: Arc<Counters>,
    pub(super) reader: Reader,
}

/// What all requests share.
struct Shared {
    path: String,
    /// A body may take so long to come, and a head.
    idle: Duration,
    counters: Arc<Counters>,
    reader: Reader,
    inlet: Arc<dyn Inlet>,
    /// So many bodies are in memory at once.
    bodies: Semaphore,
    stop: CancellationToken,
}

const BODIES: usize = 32;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(30);

impl Server {
    /// Answers until `stop`; what is being answered then is finished.
    pub(super) async fn run(self, inlet: Arc<dyn Inlet>, stop: CancellationToken) {
        let shared = Arc::new(Shared {
            path: self.path,
            idle: self.idle,
            counters: self.counters,
            reader: self.reader,
            inlet,
            bodies: Semaphore::new(BODIES),
            stop: stop.clone(),
        });
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = running.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok(_) if running.len() >= self.most => {
                        shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok((stream, from)) => {
                        let (shared, tls) = (Arc::clone(&shared), self.tls.clone());
                        running.spawn(async move {
                            match tls {
                                None => serve(stream, from, shared).await,
                                Some(tls) => {
                                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                                        serve(stream, from, shared).await;
                                    }
                                }
                            }
                        });
                    }
                    // Out of file descriptors, say: some will be free again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        while running.join_next().await.is_some() {}
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send, from: SocketAddr, shared: Arc<Shared>) {
    let counters = Arc::clone(&shared.counters);
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let stop = shared.stop.clone();
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, from, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A connection that breaks is its client's affair: it was told what was stored.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    counters.connections.fetch_sub(1, Ordering::Relaxed);
}

async fn answer(request: Request<Body>, from: SocketAddr, shared: &Shared) -> Response<Empty<Bytes>> {
    match take(request, from, shared).await {
        Ok(()) => status(StatusCode::ACCEPTED),
        Err(refused) => {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            let mut response = status(refused);
            match refused {
                StatusCode::METHOD_NOT_ALLOWED => {
                    response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("POST"));
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    response.headers_mut().insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("5"));
                }
                _ => {}
            }
            response
        }
    }
}

async fn take(request: Request<Body>, from: SocketAddr, shared: &Shared) -> Result<(), StatusCode> {
    if request.uri().path() != shared.path {
        return Err(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let encoding =
        request.headers().get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes().to_ascii_lowercase());
    if !matches!(encoding.as_deref(), None | Some(b"gzip" | b"x-gzip" | b"deflate" | b"identity")) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let max_bytes = shared.reader.max_bytes;
    let _room = shared.bodies.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let body =
        tokio::time::timeout(shared.idle, Limited::new(request.into_body(), max_bytes).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(_)) => return Err(StatusCode::BAD_REQUEST),
        Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
    };
    let events = match inflate(&body, max_bytes) {
        Inflated::Message(message) => events(&message, from, &shared.reader)?,
        Inflated::TooLarge => return Err(StatusCode::PAYLOAD_TOO_LARGE),
        Inflated::Damaged => return Err(StatusCode::BAD_REQUEST),
    };
    let (count, inlet) = (events.len() as u64, Arc::clone(&shared.inlet));
    let put = tokio::task::spawn_blocking(move || inlet.put(events)).await;
    if !matches!(put, Ok(Ok(_))) {
        shared.stop.cancel();
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    shared.counters.messages.fetch_add(count, Ordering::Relaxed);
    shared.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// The events of a body. Here the sender can be told, so what is no message refuses the body.
fn events(body: &[u8], from: SocketAddr, reader: &Reader) -> Result<Vec<Incoming>, StatusCode> {
    let (mut events, mut wrong) = (Vec::new(), false);
    let mut frames = JsonFrames::new(reader.max_bytes);
    let received = SystemClock.now();
    let mut each = |message: &[u8], _: u64| match reader.message(message, Some(from), received) {
        Ok(event) => events.push(Incoming::from(event)),
        Err(_) => wrong = true,
    };
    frames.read(body, &mut each);
    frames.finish(&mut each);
    if wrong || events.is_empty() { Err(StatusCode::BAD_REQUEST) } else { Ok(events) }
}

fn status(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}
