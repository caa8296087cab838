//! GELF from others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::{Event, Nanos};
use attestry_pipeline::{Incoming, Inlet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::chunks::{Chunks, Whole};
use super::frames::JsonFrames;
use super::http::Posts;
use super::inflate::{Inflated, inflate};
use super::message::{malformed, parse};
use crate::connections::{Connections, Splits};
use crate::datagrams::{Datagrams, Reads, resolve};
use crate::feed::{Counters, Feed, Feeder, Loss, feed};
use crate::receiving::{
    BindError, Settings, batch_events, batch_wait, idle_timeout, max_connections, queue_bytes,
    receive_buffer_bytes,
};
use crate::requests::{self, Bounds};
use crate::server_tls::ServerTls;
use attestry_event::Period;

/// How GELF is received.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Where to listen: `udp://127.0.0.1:12201`, `tcp://127.0.0.1:12201`, `tls://127.0.0.1:12201`, `http://127.0.0.1:12201/gelf` or
    /// `https://…`. Without a host (`udp://:12201`) it is 127.0.0.1.
    pub listen: String,
    /// The name of the events, but for those that Docker's log driver sends: they are `container.log`. Default: `gelf.message`.
    #[serde(default = "event_name")]
    pub event_name: String,
    /// Whether the events are marked `event_data.unauthenticated: true`. Default: true, but for TLS with `client_ca`.
    #[serde(default)]
    pub unauthenticated: Option<bool>,
    /// For `tls://` and `https://`: the server's certificate.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// The largest message, and for HTTP the largest body, in bytes after decompression. 1024 to 16777216. Default: 2097152.
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: usize,
    /// How many connections there may be at once; more are closed at once. Default: 1000.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// A connection on which nothing comes for so long is closed. Default: 1d. Over HTTP a head and a body have 30 s each, whatever this says.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Period,
    /// The kernel's buffer for datagrams, in bytes; it gives at most `net.core.rmem_max`. Default: 4194304.
    #[serde(default = "receive_buffer_bytes")]
    pub receive_buffer_bytes: usize,
    /// How much may wait to be stored, in bytes. Connections wait when it is full, datagrams are dropped and declared. Default: 33554432.
    #[serde(default = "queue_bytes")]
    pub queue_bytes: u64,
    /// So many messages are stored together. Default: 500.
    #[serde(default = "batch_events")]
    pub batch_events: usize,
    /// For so long a message waits for others to be stored with. Default: 50ms.
    #[serde(default = "batch_wait")]
    pub batch_wait: Period,
}

fn event_name() -> String {
    "gelf.message".to_owned()
}
fn max_message_bytes() -> usize {
    2 << 20
}

const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 1_024..=16 << 20;

impl ReceiverConfig {
    /// All that is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        match Address::parse(&self.listen) {
            Err(why) => wrong.push(("listen", why)),
            Ok(Address::Http(_, path, _)) if path.contains('?') => {
                wrong.push(("listen", format!("{:?}: a query is no part of a path", self.listen)));
            }
            Ok(address) => {
                let secure = matches!(address, Address::Tls(_) | Address::Http(_, _, true));
                match (secure, &self.tls) {
                    (true, None) => wrong.push(("tls", "it is missing, expected cert and key".to_owned())),
                    (false, Some(_)) => {
                        let why =
                            format!("it is given, but {:?} is no tls:// or https:// address", self.listen);
                        wrong.push(("tls", why));
                    }
                    _ => {}
                }
            }
        }
        wrong.extend(self.settings().check());
        wrong
    }

    fn settings(&self) -> Settings<'_> {
        Settings {
            event_name: &self.event_name,
            max_message_bytes: self.max_message_bytes,
            message_bytes: MESSAGE_BYTES,
            max_connections: self.max_connections,
            idle_timeout: self.idle_timeout,
            queue_bytes: self.queue_bytes,
            batch_events: self.batch_events,
            batch_wait: self.batch_wait,
        }
    }

    /// Whether what is received is to be marked as unauthenticated.
    pub fn is_unauthenticated(&self) -> bool {
        let known = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        self.unauthenticated.unwrap_or(!known)
    }
}

/// A way in for GELF.
pub struct Receiver {
    socket: Socket,
    reader: Reader,
    feed: Feed,
    feeder: Feeder,
    address: String,
}

enum Socket {
    Datagrams(Datagrams),
    /// With the time after which an idle one is closed.
    Connections(Connections, Duration),
    Http(Connections, String),
}

impl Receiver {
    /// Binds the socket; what comes waits in the kernel until [`run`](Self::run).
    ///
    /// # Errors
    /// When the configuration is wrong or the address cannot be listened at.
    pub async fn bind(config: &ReceiverConfig) -> Result<Receiver, BindError> {
        if let Some((field, why)) = config.check().into_iter().next() {
            return Err(BindError::Config(format!("{field}: {why}")));
        }
        let listen_error = |source| BindError::Listen { address: config.listen.clone(), source };
        let address = Address::parse(&config.listen).map_err(BindError::Config)?;
        let tls = match &config.tls {
            Some(tls) => Some(TlsAcceptor::from(tls.server()?)),
            None => None,
        };
        let (at, path) = match &address {
            Address::Udp(at) | Address::Tcp(at) | Address::Tls(at) => (at, ""),
            Address::Http(at, path, _) => (at, path.as_str()),
        };
        let scheme = config.listen.split("://").next().unwrap_or_default();
        let (socket, bound) = if matches!(address, Address::Udp(_)) {
            let socket = Datagrams::udp(at, config.receive_buffer_bytes).await.map_err(listen_error)?;
            let bound = socket.local_addr();
            (Socket::Datagrams(socket), bound)
        } else {
            let at = resolve(at).await.map_err(listen_error)?;
            let connections =
                Connections::listen(at, tls, config.max_connections).await.map_err(listen_error)?;
            let bound = connections.local_addr().ok();
            let socket = match &address {
                Address::Http(_, path, _) => Socket::Http(connections, path.clone()),
                _ => Socket::Connections(connections, config.idle_timeout.0),
            };
            (socket, bound)
        };
        let at = bound.map_or_else(|| config.listen.clone(), |bound| format!("{scheme}://{bound}{path}"));
        let (feed, feeder) = feed(at.clone(), config.settings().limits());
        let reader = Reader { event_name: config.event_name.clone(), max_bytes: config.max_message_bytes };
        Ok(Receiver { socket, reader, feed, feeder, address: at })
    }

    /// Where it listens, the port that was found free included: `udp://127.0.0.1:12201`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has seen, to be looked at at any time.
    pub fn counters(&self) -> Arc<Counters> {
        self.feed.counters()
    }

    /// Receives until `stop` or until the inlet is closed. Returns when what came before is stored.
    pub async fn run(self, inlet: Arc<dyn Inlet>, stop: CancellationToken) {
        let stop = stop.child_token();
        let feeding = tokio::spawn(self.feeder.run(Arc::clone(&inlet), stop.clone()));
        match self.socket {
            Socket::Datagrams(socket) => {
                let reader = Assembler { reader: self.reader, chunks: Chunks::default() };
                socket.run(reader, self.feed, stop).await;
            }
            Socket::Connections(socket, idle) => {
                let reader = self.reader;
                let make =
                    move || Splitter { frames: JsonFrames::new(reader.max_bytes), reader: reader.clone() };
                socket.read(make, idle, self.feed, stop).await;
            }
            Socket::Http(connections, path) => {
                let counters = self.feed.counters();
                // Requests are answered when their messages are stored, and so go past the queue.
                drop(self.feed);
                let posts = Posts::new(path, self.reader, inlet, Arc::clone(&counters), stop.clone());
                requests::run(connections, posts, Bounds::default(), counters, stop).await;
            }
        }
        let _ = feeding.await;
    }
}

/// Makes events of messages.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) event_name: String,
    pub(super) max_bytes: usize,
}

impl Reader {
    /// A message's event, or what is wrong with it.
    pub(super) fn message(
        &self,
        message: &[u8],
        from: Option<SocketAddr>,
        received: Nanos,
    ) -> Result<Event, String> {
        let mut event = parse(message, &self.event_name, received)?;
        event.source_ip_address = from.map(|from| from.ip().to_canonical().to_string());
        Ok(event)
    }

    /// A message's event; what is no message is kept as it is.
    fn keep(&self, message: &[u8], cut_bytes: u64, from: SocketAddr, received: Nanos) -> Incoming {
        let read = if cut_bytes > 0 {
            Err("it is larger than allowed".to_owned())
        } else {
            self.message(message, Some(from), received)
        };
        Incoming::from(read.unwrap_or_else(|why| {
            let mut event = malformed(message, &self.event_name, &why)
                .source_ip_address(from.ip().to_canonical().to_string());
            if cut_bytes > 0 {
                event = event.data("cut_bytes", Value::from(cut_bytes));
            }
            event
        }))
    }
}

/// Datagrams, whole or in chunks.
struct Assembler {
    reader: Reader,
    chunks: Chunks,
}

impl Reads for Assembler {
    fn datagram(
        &mut self,
        bytes: &[u8],
        from: Option<SocketAddr>,
        received: Nanos,
        out: &mut Vec<Incoming>,
    ) -> Result<(), Loss> {
        let Some(from) = from else { return Err(Loss::Unreadable) };
        let chunks;
        let message = match self.chunks.take(bytes, from, Instant::now()) {
            Whole::Datagram(message) => message,
            Whole::Chunks(message) => {
                chunks = message;
                &chunks
            }
            Whole::NotYet => return Ok(()),
            Whole::Malformed => return Err(Loss::Unreadable),
        };
        match inflate(message, self.reader.max_bytes) {
            Inflated::Message(message) => {
                out.push(self.reader.keep(&message, 0, from, received));
                Ok(())
            }
            Inflated::TooLarge | Inflated::Damaged => Err(Loss::Unreadable),
        }
    }

    fn tick(&mut self, now: Instant) -> u64 {
        self.chunks.give_up(now)
    }
}

/// One connection's messages.
struct Splitter {
    reader: Reader,
    frames: JsonFrames,
}

impl Splits for Splitter {
    fn read(&mut self, bytes: &[u8], from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>) {
        let reader = &self.reader;
        self.frames.read(bytes, &mut |message, cut| out.push(reader.keep(message, cut, from, received)));
    }

    fn end(&mut self, from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>) {
        let reader = &self.reader;
        self.frames.finish(&mut |message, cut| out.push(reader.keep(message, cut, from, received)));
    }
}
