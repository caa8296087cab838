//! Where a syslog sink sends to and a receiver listens: `unix:///dev/log`, `udp://host:514`, `tcp://host:514`, `tls://host:6514`.

use std::path::PathBuf;

use crate::endpoint::{self, Endpoint};

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf, UnixKind),
    Udp(Endpoint),
    Tcp(Endpoint),
    Tls(Endpoint),
}

/// What kind of unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnixKind {
    /// Datagrams where the far side takes them, a stream otherwise.
    Either,
    Datagram,
    Stream,
}

const PORT: u16 = 514;
const TLS_PORT: u16 = 6514;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// With what is wrong, for people.
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        let expected = "expected unix:///dev/log, unix-datagram:///…, unix-stream:///…, udp://host:514, tcp://host:514 or tls://host:6514";
        let wrong = |why: &str| format!("{text:?}: {why}, {expected}");
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("no address"));
        };
        let unix = |kind| {
            if rest.starts_with('/') {
                Ok(Address::Unix(PathBuf::from(rest), kind))
            } else {
                Err(wrong("no absolute path"))
            }
        };
        let network = |port| endpoint::parse(rest, port).map_err(|why| wrong(&why));
        match scheme {
            "unix" => unix(UnixKind::Either),
            "unix-datagram" => unix(UnixKind::Datagram),
            "unix-stream" => unix(UnixKind::Stream),
            "udp" => network(PORT).map(Address::Udp),
            "tcp" => network(PORT).map(Address::Tcp),
            "tls" => network(TLS_PORT).map(Address::Tls),
            _ => Err(wrong("no such transport")),
        }
    }

    /// Whether each message is a datagram; for unix sockets of either kind it can be.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Address::Unix(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let at = |host: &str, port| Endpoint { host: host.to_owned(), port };
        for (text, expected) in [
            ("unix:///dev/log", Address::Unix("/dev/log".into(), UnixKind::Either)),
            ("unix-stream:///run/x", Address::Unix("/run/x".into(), UnixKind::Stream)),
            ("unix-datagram:///run/x", Address::Unix("/run/x".into(), UnixKind::Datagram)),
            ("udp://siem", Address::Udp(at("siem", 514))),
            ("tcp://siem:5514", Address::Tcp(at("siem", 5514))),
            ("tls://[::1]", Address::Tls(at("::1", 6514))),
            ("udp://:5514", Address::Udp(at("127.0.0.1", 5514))),
        ] {
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("", "no address"),
            ("/dev/log", "no address"),
            ("unix://dev/log", "no absolute path"),
            ("http://siem", "no such transport"),
            ("udp://siem:0x", "port"),
            ("udp://siem:70000", "port"),
            ("tcp://a b", "host"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
