//! GELF over HTTP: `POST /gelf` with a message, or with one on each line. The answer, 202, comes when they are stored.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestry_event::{Clock, SystemClock};
use attestry_pipeline::{Incoming, Inlet};
use hyper::body::Incoming as Body;
use hyper::header::CONTENT_ENCODING;
use hyper::{Request, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::frames::JsonFrames;
use super::inflate::{Inflated, inflate};
use super::receiver::Reader;
use crate::feed::Counters;
use crate::requests::{Answer, Answers, Bodies, status};

/// So many requests are decompressed, read and stored at once.
const AT_ONCE: usize = 32;

/// What answers the requests.
pub(super) struct Posts {
    path: String,
    reader: Reader,
    inlet: Arc<dyn Inlet>,
    counters: Arc<Counters>,
    at_once: Semaphore,
    stop: CancellationToken,
}

impl Posts {
    pub(super) fn new(
        path: String,
        reader: Reader,
        inlet: Arc<dyn Inlet>,
        counters: Arc<Counters>,
        stop: CancellationToken,
    ) -> Posts {
        Posts { path, reader, inlet, counters, at_once: Semaphore::new(AT_ONCE), stop }
    }

    async fn take(
        &self,
        request: Request<Body>,
        from: SocketAddr,
        bodies: &Bodies,
    ) -> Result<(), StatusCode> {
        let encoding =
            request.headers().get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes().to_ascii_lowercase());
        if !matches!(encoding.as_deref(), None | Some(b"gzip" | b"x-gzip" | b"deflate" | b"identity")) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let max_bytes = self.reader.max_bytes;
        let body = bodies.read(request.into_body(), max_bytes).await?;
        let _turn = self.at_once.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let events = match inflate(&body.bytes, max_bytes) {
            Inflated::Message(message) => events(&message, from, &self.reader)?,
            Inflated::TooLarge => return Err(StatusCode::PAYLOAD_TOO_LARGE),
            Inflated::Damaged => return Err(StatusCode::BAD_REQUEST),
        };
        let (count, inlet) = (events.len() as u64, Arc::clone(&self.inlet));
        let put = tokio::task::spawn_blocking(move || inlet.put(events)).await;
        if !matches!(put, Ok(Ok(_))) {
            self.stop.cancel();
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        self.counters.messages.fetch_add(count, Ordering::Relaxed);
        self.counters.bytes.fetch_add(body.bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Answers for Posts {
    fn path(&self) -> &str {
        &self.path
    }

    async fn answer(&self, request: Request<Body>, from: SocketAddr, bodies: &Bodies) -> Answer {
        status(self.take(request, from, bodies).await.err().unwrap_or(StatusCode::ACCEPTED))
    }
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
