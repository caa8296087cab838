//! Events to Graylog, or to whatever else takes GELF.

use std::io::{self, Write};
use std::time::Duration;

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use flate2::write::{GzEncoder, ZlibEncoder};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;

use super::address::Address;
use super::chunks::split;
use super::encode::encode;
use crate::http::{Answer, Headers, Http, Reach, header};
use crate::outgoing::Outgoing;
use crate::secret::Secret;
use crate::stream::Stream;
use crate::syslog::Unusable;
use crate::tls::ClientTls;
use attestry_event::Period;

/// How a GELF sink sends.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Where to: `udp://host:12201`, `tcp://host:12201`, `tls://host:12201`, `http://host:12201/gelf` or `https://…`.
    pub address: String,
    /// `gzip`, `zlib` or `none`, on UDP and HTTP (`gzip` or `none`); TCP knows none. Default: `gzip` on UDP, `none` elsewhere.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// The largest datagram, in bytes; a larger message goes in chunks, at most 128. 512 to 65507. Default: 1420, which fits into one packet on
    /// most networks; 8154 is usual within one.
    #[serde(default = "chunk_bytes")]
    pub chunk_bytes: usize,
    /// For HTTP: the value of the `Authorization` header.
    #[serde(default)]
    pub authorization: Option<Secret>,
    /// For `tls://` and `https://`: whom to believe, and as whom to show oneself.
    #[serde(default)]
    pub tls: ClientTls,
    /// How long connecting, sending a batch, or a request may take. Default: 10s.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn chunk_bytes() -> usize {
    1_420
}

fn timeout() -> Period {
    Period::seconds(10)
}

/// How messages are compressed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// Not at all.
    None,
}

const CHUNK_BYTES: std::ops::RangeInclusive<usize> = 512..=65_507;

impl SinkConfig {
    /// All that is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let address = Address::parse(&self.address);
        let refused = match (&address, self.compression) {
            (Ok(Address::Tcp(_) | Address::Tls(_)), Some(Compression::Gzip | Compression::Zlib)) => {
                Some("a stream's messages end with a NUL and cannot be compressed, expected none")
            }
            (Ok(Address::Http(..)), Some(Compression::Zlib)) => Some("zlib, expected gzip or none on HTTP"),
            _ => None,
        };
        wrong.extend(refused.map(|why| ("compression", why.to_owned())));
        if self.authorization.is_some()
            && matches!(&address, Ok(other) if !matches!(other, Address::Http(..)))
        {
            wrong.push(("authorization", "it is given, but only HTTP has such a header".to_owned()));
        }
        wrong.extend(address.err().map(|why| ("address", why)));
        if !CHUNK_BYTES.contains(&self.chunk_bytes) {
            let (least, most) = (CHUNK_BYTES.start(), CHUNK_BYTES.end());
            wrong.push(("chunk_bytes", format!("{}, expected {least} to {most}", self.chunk_bytes)));
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "0s, expected more".to_owned()));
        }
        wrong
    }
}

/// A way out to a GELF server.
pub struct GelfSink {
    address: Address,
    config: SinkConfig,
    compression: Compression,
    host: String,
    connection: Option<Connection>,
}

enum Connection {
    Udp(UdpSocket),
    Stream(Stream),
    Http(Box<Http>),
}

/// A stream is written to in pieces of about so many bytes.
const PIECE_BYTES: usize = 256 << 10;

impl GelfSink {
    /// A sink that connects when it is first used.
    ///
    /// # Errors
    /// When [`SinkConfig::check`] finds anything.
    pub fn new(config: &SinkConfig) -> Result<GelfSink, Unusable> {
        if let Some((field, why)) = config.check().into_iter().next() {
            return Err(Unusable::new(format!("{field}: {why}")));
        }
        let address = Address::parse(&config.address).map_err(Unusable::new)?;
        let default = if matches!(address, Address::Udp(_)) { Compression::Gzip } else { Compression::None };
        Ok(GelfSink {
            compression: config.compression.unwrap_or(default),
            address,
            config: config.clone(),
            host: crate::hostname::hostname(),
            connection: None,
        })
    }

    async fn connect(&self) -> io::Result<Connection> {
        Ok(match &self.address {
            Address::Udp(to) => Connection::Udp(crate::syslog::udp(&to.host, to.port).await?),
            Address::Tcp(to) => Connection::Stream(Stream::tcp(to).await?),
            Address::Tls(to) => Connection::Stream(Stream::tls(to, &self.config.tls).await?),
            Address::Http(to, path, secure) => {
                let scheme = if *secure { "https" } else { "http" };
                let url = format!("{scheme}://{to}{path}");
                let http = Http::new(&url, self.config.tls.clone(), self.config.timeout.0, Reach::Any);
                Connection::Http(Box::new(http.map_err(io::Error::other)?))
            }
        })
    }

    async fn ready(&mut self) -> io::Result<Connection> {
        // Taken out, so that a batch that is given up half way never leaves half a message in a stream that is used again.
        if let Some(mut connection) = self.connection.take() {
            let usable = match &mut connection {
                Connection::Stream(stream) => stream.check().await.is_ok(),
                Connection::Udp(socket) => socket.take_error()?.is_none(),
                Connection::Http(_) => true,
            };
            if usable {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    async fn send(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let timeout = self.config.timeout.0;
        let connecting = within(timeout, self.ready()).await;
        let mut connection = connecting.map_err(|error| self.again("cannot connect to", &error))?;
        let mut refused = Vec::new();
        match &mut connection {
            Connection::Udp(socket) => {
                let all = within(timeout, self.write_datagrams(socket, parcels, &mut refused)).await;
                all.map_err(|error| self.again("cannot send to", &error))?;
            }
            Connection::Stream(stream) => {
                let all = within(timeout, self.write_stream(stream, parcels, &mut refused)).await;
                all.map_err(|error| self.again("cannot send to", &error))?;
            }
            Connection::Http(http) => self.post(http, parcels, &mut refused).await?,
        }
        self.connection = Some(connection);
        Ok(refused)
    }

    fn again(&self, what: &str, error: &io::Error) -> Failure {
        Failure::again(format!("{what} {}: {error}", self.config.address))
    }

    /// A parcel's message, or a note why there is none.
    fn message(&self, parcel: &Parcel, at: usize, refused: &mut Vec<Refused>) -> Option<String> {
        match Outgoing::new(parcel) {
            Ok(event) => {
                let mut message = String::with_capacity(parcel.bytes() + 256);
                encode(&event, &self.host, &mut message);
                Some(message)
            }
            Err(error) => {
                refused.push(Refused { at, reason: error.to_string() });
                None
            }
        }
    }

    async fn write_datagrams(
        &self,
        socket: &UdpSocket,
        parcels: &[Parcel],
        refused: &mut Vec<Refused>,
    ) -> io::Result<()> {
        for (at, parcel) in parcels.iter().enumerate() {
            let Some(message) = self.message(parcel, at, refused) else { continue };
            let message = compress(message.into_bytes(), self.compression)?;
            let id: [u8; 8] = rand::rng().random();
            let Some(datagrams) = split(&message, self.config.chunk_bytes, id) else {
                let (len, chunk) = (message.len(), self.config.chunk_bytes);
                let reason = format!("{len} bytes are more than 128 chunks of {chunk} bytes can carry");
                refused.push(Refused { at, reason });
                continue;
            };
            for datagram in datagrams {
                socket.send(&datagram).await?;
            }
        }
        Ok(())
    }

    async fn write_stream(
        &self,
        stream: &mut Stream,
        parcels: &[Parcel],
        refused: &mut Vec<Refused>,
    ) -> io::Result<()> {
        let mut piece = Vec::new();
        for (at, parcel) in parcels.iter().enumerate() {
            let Some(message) = self.message(parcel, at, refused) else { continue };
            piece.extend_from_slice(message.as_bytes());
            // JSON holds no NUL: it is escaped there.
            piece.push(0);
            if piece.len() >= PIECE_BYTES {
                stream.write(&piece).await?;
                piece.clear();
            }
        }
        stream.write(&piece).await?;
        stream.settle().await
    }

    /// One request a message: that is all that every server takes.
    async fn post(
        &self,
        http: &mut Http,
        parcels: &[Parcel],
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failure> {
        for (at, parcel) in parcels.iter().enumerate() {
            let Some(message) = self.message(parcel, at, refused) else { continue };
            let headers = self.headers().map_err(Failure::again)?;
            let body = compress(message.into_bytes(), self.compression);
            let body = body.map_err(|error| Failure::again(error.to_string()))?;
            // What was refused so far would be forgotten if it counted as delivered.
            let delivered = if refused.is_empty() { at } else { 0 };
            let again = |reason: String, after| Failure::Again {
                delivered,
                reason: format!("{}: {reason}", self.config.address),
                after,
            };
            let answer = http.post(None, headers, body).await;
            match answer.map_err(|error| Failure::Again {
                delivered,
                reason: error.to_string(),
                after: None,
            })? {
                Answer { status: 200..=299, .. } => {}
                // What is wrong with this message will be wrong with it tomorrow.
                Answer { status: status @ (400 | 413 | 422), .. } => {
                    refused.push(Refused { at, reason: format!("the server answered with status {status}") });
                }
                Answer { status, retry_after, .. } => {
                    return Err(again(format!("the server answered with status {status}"), retry_after));
                }
            }
        }
        Ok(())
    }

    fn headers(&self) -> Result<Headers, String> {
        let mut headers =
            vec![header("content-type", "application/json").map_err(|error| error.to_string())?];
        if self.compression == Compression::Gzip {
            headers.push(header("content-encoding", "gzip").map_err(|error| error.to_string())?);
        }
        if let Some(secret) = &self.config.authorization {
            let value = secret.read().map_err(|error| error.to_string())?;
            headers.push(header("authorization", &value).map_err(|error| error.to_string())?);
        }
        Ok(headers)
    }
}

impl Sink for GelfSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.send(parcels))
    }
}

fn compress(message: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::fast();
    match compression {
        Compression::None => Ok(message),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), level);
            encoder.write_all(&message)?;
            encoder.finish()
        }
        Compression::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::with_capacity(message.len() / 2), level);
            encoder.write_all(&message)?;
            encoder.finish()
        }
    }
}

async fn within<T>(timeout: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(timeout, what).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing happened within {timeout:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_says_everything_that_is_wrong() {
        for (config, fields) in [
            ("{address: 'udp://graylog'}", &[][..]),
            ("{address: 'http://graylog', compression: gzip, authorization: {env: TOKEN}}", &[]),
            (
                "{address: 'tcp://graylog', compression: gzip, authorization: x}",
                &["compression", "authorization"],
            ),
            ("{address: 'https://graylog', compression: zlib}", &["compression"]),
            ("{address: graylog, chunk_bytes: 12, timeout: 0s}", &["address", "chunk_bytes", "timeout"]),
        ] {
            let config: SinkConfig = serde_saphyr::from_str(config).unwrap();
            let found: Vec<_> = config.check().into_iter().map(|(field, _)| field).collect();
            assert_eq!(found, fields, "{config:?}");
            assert_eq!(GelfSink::new(&config).is_err(), !fields.is_empty());
        }
        assert!(serde_saphyr::from_str::<SinkConfig>("{address: 'udp://g', adress: x}").is_err());
    }
}
