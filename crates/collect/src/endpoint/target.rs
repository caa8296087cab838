//! The address of an endpoint.

use std::net::IpAddr;

use url::{Host, Url};

use crate::redact::secrets;

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    Tcp,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) url: Url,
    /// As it is written, without the secrets in it: what the endpoint is called in events.
    pub(super) shown: String,
}

/// Why a text is no address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    #[error("not an address such as https://example.org/health or tcp://db.example.org:5432: {0}")]
    Malformed(String),
    #[error("a user name or password in an address is seen by everybody who sees the address; use headers")]
    User,
    #[error("tcp:// has a host and a port and nothing else, such as tcp://db.example.org:5432")]
    Tcp,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Target, TargetError> {
        let url = Url::parse(text).map_err(|error| TargetError::Malformed(error.to_string()))?;
        Target::new(url, secrets(text).into_owned())
    }

    /// Where `location`, as an answer of this endpoint gives it, leads to.
    pub(super) fn join(&self, location: &str) -> Result<Target, TargetError> {
        let url = self.url.join(location).map_err(|error| TargetError::Malformed(error.to_string()))?;
        let shown = secrets(url.as_str()).into_owned();
        Target::new(url, shown)
    }

    fn new(url: Url, shown: String) -> Result<Target, TargetError> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tcp" => Scheme::Tcp,
            other => return Err(TargetError::Malformed(format!("its scheme is {other}"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::User);
        }
        let host = match url.host() {
            Some(Host::Domain("")) | None => return Err(TargetError::Malformed("it has no host".into())),
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
        };
        let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        let port = url.port_or_known_default().filter(|port| *port > 0);
        let Some(port) = port.filter(|_| scheme != Scheme::Tcp || !more) else {
            return Err(TargetError::Tcp);
        };
        Ok(Target { scheme, host, port, url, shown })
    }

    /// The address that stands in it, when that is no name.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether secrets meant for this endpoint may go to `other`.
    pub(super) fn same_origin(&self, other: &Target) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// The `Host` header.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// What a request asks for: path and query.
    pub(super) fn path(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port, authority, path) in [
            ("http://h.example", "h.example", 80, "h.example", "/"),
            ("https://H.example:443/a?b=c#d", "h.example", 443, "h.example", "/a?b=c"),
            ("https://h.example:8443", "h.example", 8443, "h.example:8443", "/"),
            ("http://[::1]:80/", "::1", 80, "[::1]", "/"),
            ("http://0x7f.1/", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("tcp://[::1]:22", "::1", 22, "[::1]:22", ""),
            ("tcp://db.example:5432/", "db.example", 5432, "db.example:5432", "/"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((&*target.host, target.port), (host, port), "{text}");
            assert_eq!(
                (target.authority(), target.path()),
                (authority.to_owned(), path.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "h.example",
            "h.example:80",
            "ftp://h.example",
            "http://",
            "tcp://h.example",
            "tcp://h.example:0",
            "tcp://h.example:22/x",
            "http://u@h.example",
            "http://u:p@h.example",
            "http://h.example:99999",
            "file:///etc/passwd",
            "tcp://:22",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let target = Target::parse("https://h.example/?token=hunter2").unwrap();
        assert!(!target.shown.contains("hunter2") && target.path().contains("hunter2"), "{}", target.shown);
        let next = target.join("/next?password=hunter2").unwrap();
        assert!(!next.shown.contains("hunter2") && next.same_origin(&target));
        assert!(!target.join("http://h.example/").unwrap().same_origin(&target));
        assert!(target.join("gopher://h.example/").is_err());
    }
}
