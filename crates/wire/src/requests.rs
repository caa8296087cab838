//! Requests from others over HTTP/1.1: one path, POST only, bounded in the time that a head and a body may take and in the bytes of bodies
//! that are held at once, so that slow clients keep nobody out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming as Body};
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::broker::Duplex;
use crate::connections::Connections;
use crate::feed::Counters;

/// An answer to a request.
pub(crate) type Answer = Response<Full<Bytes>>;

/// After so many seconds a client may come again that was not served.
const RETRY_SECONDS: &str = "5";

/// What answers requests.
pub(crate) trait Answers: Send + Sync + 'static {
    /// The path of the requests.
    fn path(&self) -> &str;

    /// Answers one, whose body is still to be taken from [`Bodies`]. A request for another path or by another method does not come here.
    fn answer(
        &self,
        request: Request<Body>,
        from: SocketAddr,
        bodies: &Bodies,
    ) -> impl Future<Output = Answer> + Send;
}

/// What requests may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The longest that a head may take to arrive; so long, too, a connection may be idle between two requests.
    pub(crate) head: Duration,
    /// The longest that a body may take to arrive.
    pub(crate) body: Duration,
    /// How much of all bodies together is held, in bytes. Only what has come counts, so that nobody takes room by announcing something.
    pub(crate) held_bytes: usize,
    /// So long what is being answered at a stop is waited for.
    pub(crate) stop: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            held_bytes: 64 << 20,
            stop: Duration::from_secs(5),
        }
    }
}

/// Answers requests until `stop`; what is being answered then is finished.
pub(crate) async fn run(
    connections: Connections,
    answers: impl Answers,
    bounds: Bounds,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let bodies = Bodies { time: bounds.body, room: Semaphore::new(bounds.held_bytes) };
    let counted = Arc::clone(&counters);
    let serving = Arc::new(Serving { answers, bodies, bounds, counters: counted, stop: stop.clone() });
    let each = move |stream, from| Arc::clone(&serving).serve(stream, from);
    connections.run(each, counters, stop).await;
}

/// What all connections share.
struct Serving<A> {
    answers: A,
    bodies: Bodies,
    bounds: Bounds,
    counters: Arc<Counters>,
    stop: CancellationToken,
}

impl<A: Answers> Serving<A> {
    async fn serve(self: Arc<Self>, stream: Box<dyn Duplex>, from: SocketAddr) {
        let shared = Arc::clone(&self);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer(request, from).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.head)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // A connection that breaks is its client's affair: it was told what was stored.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(self.bounds.stop, connection).await;
            }
        }
    }

    async fn answer(&self, request: Request<Body>, from: SocketAddr) -> Answer {
        let mut answer = if request.uri().path() != self.answers.path() {
            status(StatusCode::NOT_FOUND)
        } else if request.method() != Method::POST {
            status(StatusCode::METHOD_NOT_ALLOWED)
        } else {
            self.answers.answer(request, from, &self.bodies).await
        };
        let more = match answer.status() {
            StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "POST")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_SECONDS)),
            _ => None,
        };
        if let Some((name, value)) = more {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if !answer.status().is_success() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

/// An answer without a body.
pub(crate) fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// Where bodies are collected.
pub(crate) struct Bodies {
    time: Duration,
    room: Semaphore,
}

/// A body, and the room that it takes until this is dropped.
pub(crate) struct Held<'a> {
    pub(crate) bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    /// A body of at most so many bytes.
    ///
    /// # Errors
    /// With the status to answer: 413 when it is larger, 408 when it takes too long, 503 when there is no room for it in that time, 400 when
    /// it breaks off.
    pub(crate) async fn read(&self, mut body: Body, max_bytes: usize) -> Result<Held<'_>, StatusCode> {
        let deadline = Instant::now() + self.time;
        if body.size_hint().lower() > max_bytes as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let (mut bytes, mut room): (BytesMut, Option<SemaphorePermit<'_>>) = (BytesMut::new(), None);
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
                Ok(Some(Err(_))) => return Err(StatusCode::BAD_REQUEST),
                Ok(None) => return Ok(Held { bytes: bytes.freeze(), _room: room }),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > max_bytes - bytes.len() {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            // What hyper reads at once is far below 4 GiB.
            let more = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let Ok(Ok(more)) = timeout_at(deadline, self.room.acquire_many(more)).await else {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            };
            match &mut room {
                Some(room) => room.merge(more),
                none => *none = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
    }
}

#[cfg(test)]
mod tests;
