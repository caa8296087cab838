//! Events to a syslog server.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use attestry_event::Methods;
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{UdpSocket, UnixDatagram};

use super::address::{Address, UnixKind};
use super::format::{Formatter, Manner, Manners, is_structured_data_id};
use super::priority::{Facility, Level};
use super::template::{self, Template};
use crate::outgoing::Outgoing;
use crate::stream::Stream;
use crate::tls::ClientTls;
use attestry_event::Period;

/// How a syslog sink sends. With nothing set it writes to the host's own syslog, at `/dev/log`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkConfig {
    /// Where to: `unix:///dev/log` (datagrams if it takes them, a stream otherwise), `unix-datagram:///…`, `unix-stream:///…`,
    /// `udp://host:514`, `tcp://host:514` or `tls://host:6514`. Default: `unix:///dev/log`.
    pub address: String,
    /// `bsd` (RFC 3164) or `rfc5424`. Default: `bsd` on a unix socket, `rfc5424` elsewhere.
    pub format: Option<Format>,
    /// How messages are told apart on a stream. Default: `octet_counted` on TCP and TLS, `newline` on a unix stream.
    pub framing: Option<Framing>,
    /// What part of the system messages are from. Default: `local0`.
    pub facility: Facility,
    /// How urgent messages are. Default: the event's `severity`, and `info` when it has none.
    pub level: Option<Level>,
    /// The program's name in every message. Default: `attestry`.
    pub app_name: String,
    /// The text of a message. `{field}` and `{event_data.path}` stand for values, `{event_data}` and `{event}` for JSON, `{{` and `}}` for
    /// braces; `{username:quoted}` puts quotes around what is not one word, `{username:json}` writes JSON. What is absent is `-`.
    pub template: Option<String>,
    /// What is different for events of a name: `login.failure`, `login.all` (every verb of a resource) or `all`. The narrowest goes; what it does not
    /// say is as the next wider one has it.
    pub events: BTreeMap<String, Rule>,
    /// Whether RFC 5424 messages carry the event's fields as structured data. Default: true.
    pub structured_data: bool,
    /// The id of that structured data. Default: `attestry@32473`.
    pub structured_data_id: String,
    /// Whether an RFC 5424 text that is not pure ASCII begins with a byte order mark, as its section 6.4 wants. Default: true.
    pub byte_order_mark: bool,
    /// The longest message, in bytes; a longer text is cut and ends with a mark that says how much is missing. 1024 to 65507.
    /// Default: 8192 on UDP, which is what most servers take, and 65507 elsewhere.
    pub max_bytes: Option<usize>,
    /// In which time zone `bsd` messages tell the time, such as `Europe/Berlin` or `UTC`. Default: the host's.
    pub time_zone: Option<String>,
    /// For `tls://`: whom to believe, and as whom to show oneself.
    pub tls: ClientTls,
    /// How long connecting or sending a batch may take. Default: 10s.
    pub timeout: Period,
}

/// What is different for some events.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Their text.
    pub template: Option<String>,
    /// Their facility.
    pub facility: Option<Facility>,
    /// How urgent they are.
    pub level: Option<Level>,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `<133>Oct 26 14:58:46 host app[57]: text`, as RFC 3164 describes; no year, whole seconds. On a unix socket without the host.
    Bsd,
    /// RFC 5424.
    Rfc5424,
}

/// How messages are told apart on a stream (RFC 6587).
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Each one's length before it.
    OctetCounted,
    /// A line feed behind each.
    Newline,
    /// A NUL behind each, as C libraries write to a unix stream.
    Nul,
}

const MAX_BYTES: std::ops::RangeInclusive<usize> = 1_024..=65_507;
const UDP_BYTES: usize = 8_192;

impl Default for SinkConfig {
    fn default() -> SinkConfig {
        SinkConfig {
            address: "unix:///dev/log".to_owned(),
            format: None,
            framing: None,
            facility: Facility::LOCAL0,
            level: None,
            app_name: "attestry".to_owned(),
            template: None,
            events: BTreeMap::new(),
            structured_data: true,
            structured_data_id: "attestry@32473".to_owned(),
            byte_order_mark: true,
            max_bytes: None,
            time_zone: None,
            tls: ClientTls::default(),
            timeout: Period::seconds(10),
        }
    }
}

impl SinkConfig {
    /// All that is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Err(why) = Address::parse(&self.address) {
            wrong.push(("address", why));
        }
        if self.app_name.is_empty() {
            wrong.push(("app_name", "it is empty, expected a name such as attestry".to_owned()));
        }
        if let Some(Err(why)) = self.template.as_deref().map(Template::parse) {
            wrong.push(("template", why));
        }
        for (name, rule) in &self.events {
            if let Err(error) = Methods::new(std::slice::from_ref(name), &[]) {
                wrong.push(("events", error.to_string()));
            }
            if let Some(Err(why)) = rule.template.as_deref().map(Template::parse) {
                wrong.push(("events", format!("{name}: {why}")));
            }
        }
        if !is_structured_data_id(&self.structured_data_id) {
            let found = &self.structured_data_id;
            let expected = "1 to 32 visible ASCII characters other than = ] \", such as name@32473";
            wrong.push(("structured_data_id", format!("{found:?}, expected {expected}")));
        }
        if let Some(bytes) = self.max_bytes.filter(|bytes| !MAX_BYTES.contains(bytes)) {
            let (least, most) = (MAX_BYTES.start(), MAX_BYTES.end());
            wrong.push(("max_bytes", format!("{bytes}, expected {least} to {most}")));
        }
        if let Err(why) = time_zone(self.time_zone.as_deref()) {
            wrong.push(("time_zone", why));
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "0s, expected more".to_owned()));
        }
        wrong
    }

    /// What writes the messages.
    pub(crate) fn formatter(&self) -> Result<Formatter, String> {
        let address = Address::parse(&self.address)?;
        let local = address.is_unix();
        let default = Manner {
            template: Template::parse(self.template.as_deref().unwrap_or(template::DEFAULT))?,
            facility: self.facility,
            level: self.level,
        };
        let default = self.events.get("all").map_or(Ok(default.clone()), |rule| rule.over(&default))?;
        let (mut resources, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (name, rule) in self.events.iter().filter(|(name, _)| *name != "all") {
            if let Some(resource) = name.strip_suffix(".all") {
                resources.insert(resource.to_owned(), rule.over(&default)?);
            }
        }
        for (name, rule) in self.events.iter().filter(|(name, _)| *name != "all" && !name.ends_with(".all")) {
            let resource = name.rsplit_once('.').and_then(|(resource, _)| resources.get(resource));
            names.insert(name.clone(), rule.over(resource.unwrap_or(&default))?);
        }
        let bytes = if matches!(address, Address::Udp(_)) { UDP_BYTES } else { *MAX_BYTES.end() };
        let format = self.format.unwrap_or(if local { Format::Bsd } else { Format::Rfc5424 });
        Ok(Formatter {
            format,
            manners: Manners {
                default,
                names: names.into_iter().collect(),
                resources: resources.into_iter().collect(),
            },
            app_name: self.app_name.clone(),
            procid: std::process::id().to_string(),
            host: crate::hostname::hostname(),
            hostless: local,
            zone: time_zone(self.time_zone.as_deref())?,
            structured_data: self.structured_data.then(|| self.structured_data_id.clone()),
            byte_order_mark: self.byte_order_mark,
            max_bytes: self.max_bytes.unwrap_or(bytes),
        })
    }
}

impl Rule {
    /// This rule, and what it does not say as `under` has it.
    fn over(&self, under: &Manner) -> Result<Manner, String> {
        Ok(Manner {
            template: match &self.template {
                Some(text) => Template::parse(text)?,
                None => under.template.clone(),
            },
            facility: self.facility.unwrap_or(under.facility),
            level: self.level.or(under.level),
        })
    }
}

/// The time zone of a name; the host's when there is none.
pub(crate) fn time_zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None => Ok(TimeZone::system()),
        Some("UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!("{name:?} is no time zone of this host, expected one such as UTC or Europe/Berlin")
        }),
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

impl Unusable {
    pub(crate) fn new(why: String) -> Unusable {
        Unusable(why)
    }
}

/// A way out to a syslog server.
pub struct SyslogSink {
    address: Address,
    formatter: Formatter,
    framing: Framing,
    tls: ClientTls,
    timeout: Duration,
    connection: Option<Connection>,
}

enum Connection {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Stream(Stream),
}

/// A stream is written to in pieces of about so many bytes, so that a batch takes no more memory twice.
const PIECE_BYTES: usize = 256 << 10;

impl SyslogSink {
    /// A sink that connects when it is first used.
    ///
    /// # Errors
    /// When [`SinkConfig::check`] finds anything.
    pub fn new(config: &SinkConfig) -> Result<SyslogSink, Unusable> {
        if let Some((field, why)) = config.check().into_iter().next() {
            return Err(Unusable(format!("{field}: {why}")));
        }
        let address = Address::parse(&config.address).map_err(Unusable::new)?;
        let framing = if address.is_unix() { Framing::Newline } else { Framing::OctetCounted };
        Ok(SyslogSink {
            formatter: config.formatter().map_err(Unusable::new)?,
            framing: config.framing.unwrap_or(framing),
            tls: config.tls.clone(),
            timeout: config.timeout.0,
            connection: None,
            address,
        })
    }

    async fn connect(&self) -> io::Result<Connection> {
        Ok(match &self.address {
            Address::Udp(to) => Connection::Udp(udp(&to.host, to.port).await?),
            Address::Tcp(to) => Connection::Stream(Stream::tcp(to).await?),
            Address::Tls(to) => Connection::Stream(Stream::tls(to, &self.tls).await?),
            Address::Unix(path, UnixKind::Datagram) => Connection::Unix(unix_datagram(path)?),
            Address::Unix(path, UnixKind::Stream) => Connection::Stream(Stream::unix(path).await?),
            Address::Unix(path, UnixKind::Either) => match unix_datagram(path) {
                Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                    Connection::Stream(Stream::unix(path).await?)
                }
                datagram => Connection::Unix(datagram?),
            },
        })
    }

    async fn ready(&mut self) -> io::Result<Connection> {
        // Taken out, so that a batch that is given up half way never leaves half a message in a stream that is used again.
        if let Some(mut connection) = self.connection.take() {
            let usable = match &mut connection {
                Connection::Stream(stream) => stream.check().await.is_ok(),
                Connection::Udp(socket) => socket.take_error()?.is_none(),
                Connection::Unix(_) => true,
            };
            if usable {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    async fn send(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let timeout = self.timeout;
        let connecting = within(timeout, self.ready()).await;
        let mut connection = connecting.map_err(|error| self.again(0, "cannot connect to", &error))?;
        let mut refused = Vec::new();
        let sent = match &mut connection {
            Connection::Stream(stream) => {
                let all = write_stream(stream, &self.formatter, self.framing, parcels, &mut refused);
                within(timeout, all).await.map_err(|error| (0, error))
            }
            Connection::Udp(socket) => {
                let to = To { socket: Datagram::Udp(socket), timeout };
                write_datagrams(to, &self.formatter, parcels, &mut refused).await
            }
            Connection::Unix(socket) => {
                let to = To { socket: Datagram::Unix(socket), timeout };
                write_datagrams(to, &self.formatter, parcels, &mut refused).await
            }
        };
        sent.map_err(|(delivered, error)| self.again(delivered, "cannot send to", &error))?;
        self.connection = Some(connection);
        Ok(refused)
    }

    fn again(&self, delivered: usize, what: &str, error: &io::Error) -> Failure {
        let reason = match &self.address {
            Address::Unix(path, _) => format!("{what} {}: {error}", path.display()),
            Address::Udp(to) => format!("{what} udp://{to}: {error}"),
            Address::Tcp(to) => format!("{what} tcp://{to}: {error}"),
            Address::Tls(to) => format!("{what} tls://{to}: {error}"),
        };
        Failure::Again { delivered, reason, after: None }
    }
}

impl Sink for SyslogSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.send(parcels))
    }
}

/// Appends a parcel's message, or says why there is none.
fn message(formatter: &Formatter, parcel: &Parcel, at: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    match Outgoing::new(parcel) {
        Ok(event) => {
            formatter.write(&event, out);
            Ok(())
        }
        Err(error) => Err(Refused { at, reason: error.to_string() }),
    }
}

async fn write_stream(
    stream: &mut Stream,
    formatter: &Formatter,
    framing: Framing,
    parcels: &[Parcel],
    refused: &mut Vec<Refused>,
) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut line = Vec::new();
    for (at, parcel) in parcels.iter().enumerate() {
        line.clear();
        if let Err(why) = message(formatter, parcel, at, &mut line) {
            refused.push(why);
            continue;
        }
        if framing == Framing::OctetCounted {
            piece.extend_from_slice(format!("{} ", line.len()).as_bytes());
        }
        piece.extend_from_slice(&line);
        match framing {
            Framing::OctetCounted => {}
            Framing::Newline => piece.push(b'\n'),
            Framing::Nul => piece.push(0),
        }
        if piece.len() >= PIECE_BYTES {
            stream.write(&piece).await?;
            piece.clear();
        }
    }
    stream.write(&piece).await?;
    stream.settle().await
}

/// Where a batch of datagrams goes, and how long each may take.
struct To<'a> {
    socket: Datagram<'a>,
    timeout: Duration,
}

enum Datagram<'a> {
    Udp(&'a UdpSocket),
    Unix(&'a UnixDatagram),
}

impl To<'_> {
    async fn send(&self, message: &[u8]) -> io::Result<()> {
        match self.socket {
            Datagram::Udp(socket) => within(self.timeout, socket.send(message)).await.map(|_| ()),
            Datagram::Unix(socket) => within(self.timeout, socket.send(message)).await.map(|_| ()),
        }
    }
}

async fn write_datagrams(
    to: To<'_>,
    formatter: &Formatter,
    parcels: &[Parcel],
    refused: &mut Vec<Refused>,
) -> Result<(), (usize, io::Error)> {
    let mut line = Vec::new();
    for (at, parcel) in parcels.iter().enumerate() {
        line.clear();
        if let Err(why) = message(formatter, parcel, at, &mut line) {
            refused.push(why);
            continue;
        }
        match to.send(&line).await {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                let reason = format!("a datagram of {} bytes is more than the system takes", line.len());
                refused.push(Refused { at, reason });
            }
            // Nobody listens, and that is told of an earlier datagram: who knows which ones arrived.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err((0, error)),
            // What was refused so far would be forgotten if it counted as delivered.
            Err(error) => return Err((if refused.is_empty() { at } else { 0 }, error)),
        }
    }
    Ok(())
}

async fn within<T>(timeout: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(timeout, what).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing happened within {timeout:?}")))
        }
    }
}

/// A UDP socket that sends to one address.
pub(crate) async fn udp(host: &str, port: u16) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unix_datagram(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}
