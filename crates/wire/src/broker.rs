//! A byte stream to a broker: TCP, or TLS over it.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::endpoint::{self, Endpoint};
use crate::tls::ClientTls;

/// How long a connection may take, TLS included.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Both directions of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// Where a broker is, and whether it is spoken to in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) to: Endpoint,
    pub(crate) encrypted: bool,
}

/// A scheme and its usual port.
pub(crate) type Scheme = (&'static str, u16);

impl Address {
    /// Reads `scheme://host:port`. Nothing else may be in it, above all no password.
    pub(crate) fn parse(url: &str, plain: Scheme, encrypted: Scheme) -> Result<Address, String> {
        let expected = || format!("expected {}://host or {}://host, with :port", plain.0, encrypted.0);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url:?}, {}", expected()))?;
        if rest.contains('@') {
            return Err(format!("a name or password in it, {}", expected()));
        }
        let found = [(plain, false), (encrypted, true)].into_iter().find(|((name, _), _)| *name == scheme);
        let Some(((_, port), encrypted)) = found else {
            return Err(format!("the scheme {scheme:?}, {}", expected()));
        };
        if rest.is_empty() || rest.starts_with(':') {
            return Err(format!("no host, {}", expected()));
        }
        Ok(Address { to: endpoint::parse(rest, port)?, encrypted })
    }

    /// Connects. Certificates are read anew.
    pub(crate) async fn open(&self, tls: Option<&ClientTls>) -> io::Result<Box<dyn Duplex>> {
        timeout(CONNECT_MAX, self.connect(tls)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn connect(&self, tls: Option<&ClientTls>) -> io::Result<Box<dyn Duplex>> {
        let tcp = TcpStream::connect((self.to.host.as_str(), self.to.port)).await?;
        tcp.set_nodelay(true)?;
        if !self.encrypted {
            return Ok(Box::new(tcp));
        }
        let default_tls = ClientTls::default();
        let tls = tls.unwrap_or(&default_tls);
        let name = tls.server_name.clone().unwrap_or_else(|| self.to.host.clone());
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let config = tls.client().map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config).connect(name, tcp).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let parse = |url: &str| Address::parse(url, ("amqp", 5672), ("amqps", 5671));
        for (url, host, port, encrypted) in [
            ("amqp://broker", "broker", 5672, false),
            ("amqps://broker", "broker", 5671, true),
            ("amqp://127.0.0.1:99", "127.0.0.1", 99, false),
            ("amqps://[::1]:99", "::1", 99, true),
        ] {
            let address = parse(url).unwrap();
            assert_eq!((address.to.host.as_str(), address.to.port), (host, port), "{url}");
            assert_eq!(address.encrypted, encrypted, "{url}");
        }
        for url in [
            "broker",
            "http://broker",
            "amqp://",
            "amqp://:1",
            "amqp://u:secret@broker",
            "amqp://b:x",
            "amqp://b/v",
        ] {
            let wrong = parse(url).unwrap_err();
            assert!(!wrong.contains("secret"), "{url}: {wrong}");
        }
    }
}
