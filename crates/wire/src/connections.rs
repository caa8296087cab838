//! Streams from others: TCP, with or without TLS; bounded in number, in idle time and, through the queue, in speed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use attestry_event::{Clock, Nanos, SystemClock};
use attestry_pipeline::Incoming;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::datagrams::resolve;
use crate::endpoint::Endpoint;
use crate::feed::Feed;

/// What cuts one stream of a protocol into messages.
pub(crate) trait Splits: Send + 'static {
    /// Takes what was read and appends the events that are whole now.
    fn read(&mut self, bytes: &[u8], from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>);

    /// Appends what is left at the stream's end.
    fn end(&mut self, from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>);
}

/// A socket that others connect to.
pub(crate) struct Connections {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// More are turned away.
    pub(crate) most: usize,
    /// One that says nothing for so long is closed.
    pub(crate) idle: Duration,
}

const BUFFER_BYTES: usize = 16 << 10;
/// How long the beginning of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After so long without a word a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Who had connected before the receiver was stopped is let in, and what peers had sent is read, as long as more comes within the pause, and not for longer than this.
const LAST_READ: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Binds a TCP socket.
pub(crate) async fn listen(at: &Endpoint) -> io::Result<TcpListener> {
    TcpListener::bind(resolve(at).await?).await
}

impl Connections {
    /// Takes connections until `stop`; returns when all of them are read to their end.
    pub(crate) async fn run<S: Splits>(self, make: impl Fn() -> S, feed: Feed, stop: CancellationToken) {
        let counters = feed.counters();
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
                    let connection = Connection {
                        from,
                        feed: feed.clone(),
                        stop: stop.clone(),
                        idle: self.idle,
                        splitter: make(),
                    };
                    running.spawn(connection.run(stream, self.tls.clone()));
                }
                // Out of file descriptors, say: some will be free again.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        while running.join_next().await.is_some() {}
    }
}

struct Connection<S> {
    from: SocketAddr,
    feed: Feed,
    stop: CancellationToken,
    idle: Duration,
    splitter: S,
}

impl<S: Splits> Connection<S> {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let counters = self.feed.counters();
        counters.connections.fetch_add(1, Ordering::Relaxed);
        match tls {
            None => self.read(stream).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.read(stream).await,
                Ok(Err(_)) | Err(_) => {
                    counters.refused.fetch_add(1, Ordering::Relaxed);
                }
            },
        }
        counters.connections.fetch_sub(1, Ordering::Relaxed);
    }

    async fn read(mut self, mut stream: impl AsyncRead + Unpin) {
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
