//! Syslog from others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use attestry_pipeline::{Incoming, Inlet};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::address::{Address, UnixKind};
use super::frames::{Frame, Frames};
use super::message::{Context, parse};
use super::sink::time_zone;
use crate::connections::{Connections, Splits};
use crate::datagrams::{Datagrams, Reads, resolve};
use crate::feed::{Counters, Feed, Feeder, Loss, feed};
use crate::receiving::{
    BindError, Settings, batch_events, batch_wait, idle_timeout, max_connections, queue_bytes,
    receive_buffer_bytes,
};
use crate::server_tls::ServerTls;
use attestry_event::Period;

/// How syslog is received.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Where to listen: `udp://127.0.0.1:514`, `tcp://127.0.0.1:514`, `tls://127.0.0.1:6514` or `unix:///run/attestry/log` (datagrams).
    /// Without a host (`udp://:5514`) it is 127.0.0.1. On TCP and TLS both ways of framing are understood.
    pub listen: String,
    /// The name of the events. Default: `syslog.message`.
    #[serde(default = "event_name")]
    pub event_name: String,
    /// The zone of times that name none, such as `Europe/Berlin` or `UTC`. Default: the host's.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Whether the events are marked `event_data.unauthenticated: true`. Default: true, but for a unix socket and for TLS with `client_ca`,
    /// where the sender is known.
    #[serde(default)]
    pub unauthenticated: Option<bool>,
    /// For `tls://`: the server's certificate.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// The longest message that is kept whole, in bytes; of a longer one the end is cut, and `event_data.cut_bytes` says how much.
    /// 1024 to 1048576. Default: 65536.
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: usize,
    /// How many connections there may be at once; more are closed at once. Default: 1000.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// A connection on which nothing comes for so long is closed. Default: 1d, because a sender that is cut off when it has nothing to say
    /// loses the next thing it says.
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
    /// The permissions of a unix socket, octal. Default: `660`; `666` lets every user of the host write.
    #[serde(default = "mode")]
    pub mode: String,
}

fn event_name() -> String {
    "syslog.message".to_owned()
}
fn max_message_bytes() -> usize {
    65_536
}
fn mode() -> String {
    "660".to_owned()
}

const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 1_024..=1_048_576;

impl ReceiverConfig {
    /// All that is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        match Address::parse(&self.listen) {
            Err(why) => wrong.push(("listen", why)),
            Ok(Address::Unix(_, UnixKind::Stream)) => {
                wrong.push(("listen", "a unix stream cannot be received, expected unix:///…".to_owned()));
            }
            Ok(Address::Tls(_)) if self.tls.is_none() => {
                wrong.push(("tls", "it is missing, expected cert and key for a tls:// address".to_owned()));
            }
            Ok(Address::Tls(_)) => {}
            Ok(_) if self.tls.is_some() => {
                wrong.push(("tls", format!("it is given, but {:?} is no tls:// address", self.listen)));
            }
            Ok(_) => {}
        }
        wrong.extend(self.settings().check());
        if let Err(why) = time_zone(self.time_zone.as_deref()) {
            wrong.push(("time_zone", why));
        }
        if socket_mode(&self.mode).is_none() {
            wrong.push(("mode", format!("{:?}, expected octal permissions such as 660", self.mode)));
        }
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
        let known = match Address::parse(&self.listen) {
            Ok(Address::Unix(..)) => true,
            Ok(Address::Tls(_)) => self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            _ => false,
        };
        self.unauthenticated.unwrap_or(!known)
    }
}

fn socket_mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)
}

/// A way in for syslog.
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
        let (socket, scheme, bound) = match &address {
            Address::Udp(at) => {
                let socket = Datagrams::udp(at, config.receive_buffer_bytes).await.map_err(listen_error)?;
                let bound = socket.local_addr();
                (Socket::Datagrams(socket), "udp", bound)
            }
            Address::Unix(path, _) => {
                let mode = socket_mode(&config.mode).unwrap_or(0o660);
                let socket =
                    Datagrams::unix(path, mode, config.receive_buffer_bytes).map_err(listen_error)?;
                (Socket::Datagrams(socket), "unix", None)
            }
            Address::Tcp(at) | Address::Tls(at) => {
                let tls = match (&address, &config.tls) {
                    (Address::Tls(_), Some(tls)) => Some(TlsAcceptor::from(tls.server()?)),
                    _ => None,
                };
                let scheme = if tls.is_some() { "tls" } else { "tcp" };
                let at = resolve(at).await.map_err(listen_error)?;
                let socket =
                    Connections::listen(at, tls, config.max_connections).await.map_err(listen_error)?;
                let bound = socket.local_addr().ok();
                (Socket::Connections(socket, config.idle_timeout.0), scheme, bound)
            }
        };
        let at = match (&address, bound) {
            (Address::Unix(path, _), _) => path_text(path),
            (_, Some(bound)) => bound.to_string(),
            (Address::Udp(at) | Address::Tcp(at) | Address::Tls(at), None) => at.to_string(),
        };
        let listen = format!("{scheme}://{at}");
        let (feed, feeder) = feed(listen.clone(), config.settings().limits());
        let reader = Reader {
            event_name: config.event_name.clone(),
            zone: time_zone(config.time_zone.as_deref()).map_err(BindError::Config)?,
            local: address.is_unix(),
            max_bytes: config.max_message_bytes,
        };
        Ok(Receiver { socket, reader, feed, feeder, address: listen })
    }

    /// Where it listens, the port that was found free included: `udp://127.0.0.1:5514`.
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
        let feeding = tokio::spawn(self.feeder.run(inlet, stop.clone()));
        match self.socket {
            Socket::Datagrams(socket) => socket.run(self.reader, self.feed, stop).await,
            Socket::Connections(socket, idle) => {
                let reader = self.reader;
                let make = move || Splitter { frames: Frames::new(reader.max_bytes), reader: reader.clone() };
                socket.read(make, idle, self.feed, stop).await;
            }
        }
        let _ = feeding.await;
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Makes events of messages.
#[derive(Clone)]
struct Reader {
    event_name: String,
    zone: TimeZone,
    local: bool,
    max_bytes: usize,
}

impl Reader {
    fn read(&self, frame: Frame<'_>, from: Option<SocketAddr>, received: Nanos, out: &mut Vec<Incoming>) {
        let kept = frame.bytes.get(..self.max_bytes).unwrap_or(frame.bytes);
        let cut_bytes = frame.cut_bytes + (frame.bytes.len() - kept.len()) as u64;
        let text = String::from_utf8_lossy(kept);
        let context = Context { received, zone: self.zone.clone(), local: self.local };
        let mut event = parse(&text, &context).event(&self.event_name, received);
        // An address of IPv4 that came to a socket of IPv6 is still one of IPv4.
        event.source_ip_address = from.map(|from| from.ip().to_canonical().to_string());
        if let Some(data) = &mut event.event_data {
            if cut_bytes > 0 {
                data.insert("cut_bytes".to_owned(), Value::from(cut_bytes));
            }
            if matches!(text, std::borrow::Cow::Owned(_)) {
                data.insert("invalid_utf8".to_owned(), Value::from(true));
            }
        }
        out.push(Incoming::from(event));
    }
}

impl Reads for Reader {
    fn datagram(
        &mut self,
        bytes: &[u8],
        from: Option<SocketAddr>,
        received: Nanos,
        out: &mut Vec<Incoming>,
    ) -> Result<(), Loss> {
        self.read(Frame { bytes, cut_bytes: 0 }, from, received, out);
        Ok(())
    }
}

/// One connection's messages.
struct Splitter {
    reader: Reader,
    frames: Frames,
}

impl Splits for Splitter {
    fn read(&mut self, bytes: &[u8], from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>) {
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next() {
            // What stands between two messages that are counted, or an empty line.
            if !matches!(frame.bytes, b"" | b"\r") || frame.cut_bytes > 0 {
                self.reader.read(frame, Some(from), received, out);
            }
        }
    }

    fn end(&mut self, from: SocketAddr, received: Nanos, out: &mut Vec<Incoming>) {
        if let Some(frame) = self.frames.finish() {
            self.reader.read(frame, Some(from), received, out);
        }
    }
}
