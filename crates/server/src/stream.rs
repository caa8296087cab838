//! Answers that are written while they are read: exports and the live tail.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as HttpBody, Frame};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How many pieces may wait for a slow reader; whoever writes then waits too.
const PIECES: usize = 4;

/// How long a reader may take nothing before it is given up.
const STALL_MAX: Duration = Duration::from_secs(60);

/// What `behind` is in an answer that is an object: how many committed events the search could not find yet. Absent when there are none.
const BEHIND: HeaderName = HeaderName::from_static("attestry-behind");

/// The header of a stream whose search was behind.
pub(crate) fn behind(events: u64) -> HeaderMap {
    let value = (events > 0).then(|| HeaderValue::from(events));
    value.into_iter().map(|value| (BEHIND, value)).collect()
}

/// The reader left, or the answer was broken off.
#[derive(Debug)]
pub(crate) struct Gone;

/// Why an answer ends before it is complete. The connection is then cut, so that the reader cannot take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
pub(crate) struct BrokenOff;

/// Where the pieces of an answer go.
pub(crate) struct Pieces(mpsc::Sender<Result<Bytes, BrokenOff>>);

impl Pieces {
    /// Hands a piece over; waits, on a thread of the runtime that may block, while the reader is slow, but not for one that
    /// reads nothing at all.
    pub(crate) fn send_blocking(&self, piece: Vec<u8>) -> Result<(), Gone> {
        let sending = self.0.send_timeout(Ok(piece.into()), STALL_MAX);
        Handle::current().block_on(sending).map_err(|_| Gone)
    }

    /// The same for a task.
    pub(crate) async fn send(&self, piece: Vec<u8>) -> Result<(), Gone> {
        self.0.send(Ok(piece.into())).await.map_err(|_| Gone)
    }

    /// Waits until the reader has left.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Ends the answer as incomplete.
    pub(crate) fn break_off(&self) {
        // A reader that left needs no error, one that reads nothing gets none.
        let _ = Handle::current().block_on(self.0.send_timeout(Err(BrokenOff), STALL_MAX));
    }
}

/// A body, and where its pieces go. It ends when the sender is dropped.
pub(crate) fn body() -> (Pieces, Body) {
    let (sender, receiver) = mpsc::channel(PIECES);
    (Pieces(sender), Body::new(Streamed(receiver)))
}

struct Streamed(mpsc::Receiver<Result<Bytes, BrokenOff>>);

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
