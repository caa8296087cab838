//! Connections from others: TCP, with or without TLS; bounded in number, and those that are only read in idle time and, through the queue, in
//! speed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use attestry_event::{Clock, Nanos, SystemClock};
use attestry_pipeline::Incoming;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::broker::Duplex;
use crate::feed::{Counters, Feed};

/// What cuts one stream of a protocol into messages.
pub(crate) trait Splits: Send + 'static {
    /// Takes what was read and appends the events that are whole now.
    fn read(&mut self, bytes: &[u8], from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>);

    /// Appends what is left at the stream's end.
    fn end(&mut self, from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>);
}

/// A socket that others connect to.
pub(crate) struct Connections {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    /// More are turned away.
    most: usize,
}

const BUFFER_BYTES: usize = 16 << 10;
/// How long the beginning of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After so long without a word a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Who had connected before the receiver was stopped is let in, and what peers had sent is read, as long as more comes within the pause, and not for longer than this.
const LAST_READ: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

impl Connections {
    /// Binds a TCP socket.
    pub(crate) async fn listen(
        at: SocketAddr,
        tls: Option<TlsAcceptor>,
        most: usize,
    ) -> io::Result<Connections> {
        Ok(Connections { listener: TcpListener::bind(at).await?, tls, most })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes connections until `stop` and hands each to `each`; returns when that has returned for all of them.
    pub(crate) async fn run<F>(
        self,
        each: impl Fn(Box<dyn Duplex>, SocketAddr) -> F + Clone + Send + 'static,
        counters: Arc<Counters>,
        stop: CancellationToken,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut until = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled(), if until.is_none() => {
                    until = Some(Instant::now() + LAST_READ);
                    continue;
                }
                Some(_) = running.join_next() => continue,
                accepted = self.listener.accept() => accepted,
                // After the stop: nobody waits any more.
                () = tokio::time::sleep(PAUSE), if until.is_some() => break,
            };
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            match accepted {
                Ok(_) if running.len() >= self.most => {
                    counters.refused.fetch_add(1, Ordering::Relaxed);
                }
                Ok((stream, from)) => {
                    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                    let (each, tls, stop) = (each.clone(), self.tls.clone(), stop.clone());
                    let counters = Arc::clone(&counters);
                    running.spawn(async move {
                        counters.connections.fetch_add(1, Ordering::Relaxed);
                        match secured(stream, tls, stop).await {
                            Some(stream) => each(stream, from).await,
                            None => {
                                counters.refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        counters.connections.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                // Out of file descriptors, say: some will be free again.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Takes connections until `stop`, and reads each to its end, or until it says nothing for so long.
    pub(crate) async fn read<S: Splits>(
        self,
        make: impl Fn() -> S + Clone + Send + 'static,
        idle: Duration,
        feed: Feed,
        stop: CancellationToken,
    ) {
        let (counters, stopping) = (feed.counters(), stop.clone());
        let each = move |stream, from| {
            let (feed, stop) = (feed.clone(), stopping.clone());
            Connection { from, feed, stop, idle, splitter: make() }.read(stream)
        };
        self.run(each, counters, stop).await;
    }
}

/// The stream after the beginning of TLS, where there is TLS; none when that fails, or is not done soon after a stop.
async fn secured(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) -> Option<Box<dyn Duplex>> {
    let Some(tls) = tls else { return Some(Box::new(stream)) };
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_READ).await;
    };
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => accepted.ok()?,
        () = too_late => return None,
    };
    Some(Box::new(accepted.ok()?))
}

struct Connection<S> {
    from: SocketAddr,
    feed: Feed,
    stop: CancellationToken,
    idle: Duration,
    splitter: S,
}

impl<S: Splits> Connection<S> {
    async fn read(mut self, mut stream: Box<dyn Duplex>) {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                read = stream.read(&mut buffer) => read,
                () = tokio::time::sleep(self.idle) => break,
            };
            let Ok(len @ 1..) = read else { break };
            self.take(buffer.get(..len).unwrap_or_default()).await;
        }
        // What the peer had sent before we stopped.
        let until = Instant::now() + LAST_READ;
        while self.stop.is_cancelled() && Instant::now() < until {
            let Ok(Ok(len @ 1..)) = tokio::time::timeout(PAUSE, stream.read(&mut buffer)).await else {
                break;
            };
            self.take(buffer.get(..len).unwrap_or_default()).await;
        }
        let mut events = Vec::new();
        self.splitter.end(self.from, SystemClock.now(), &mut events);
        self.feed.send(events, 0).await;
    }

    async fn take(&mut self, bytes: &[u8]) {
        let mut events = Vec::new();
        self.splitter.read(bytes, self.from, SystemClock.now(), &mut events);
        self.feed.send(events, bytes.len()).await;
    }
}
