//! Where a request really comes from, and which names this server is reached by.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, header};

/// An address or a range of addresses, written `10.0.0.5` or `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// Why a text is not a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a range such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| error())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), |prefix| prefix.parse().map_err(|_| error()))?;
        if prefix > most {
            return Err(error());
        }
        Ok(Network { base, prefix })
    }
}

impl Network {
    /// Whether `address` lies in the range. An IPv4 address mapped into IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The client's address: the peer's, or, as long as that is a trusted proxy, what the proxy says in `X-Forwarded-For`.
///
/// The header is read from the right, because everything left of the last trusted proxy's entry is what the client
/// chose to send.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut address = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !trusted.iter().any(|network| network.contains(address)) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// The host part of a `Host` header or an authority, in lower case and without brackets; `None` when malformed.
pub(crate) fn host_of(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            if !port.is_empty() && !port.starts_with(':') {
                return None;
            }
            host
        }
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!host.is_empty() && host.bytes().all(good)).then(|| host.to_ascii_lowercase())
}

/// Whether a request for `host` may be answered.
///
/// In a DNS rebinding attack a page of the attacker's domain, re-pointed to this server, reads from it as its own
/// origin; the `Host` header then holds the attacker's *name*. An address cannot be rebound, nor can `localhost`; of
/// names, only the one of the public URL is ours.
pub(crate) fn host_allowed(host: &str, public: Option<&str>) -> bool {
    host.parse::<IpAddr>().is_ok() || host == "localhost" || public.is_some_and(|public| public == host)
}

/// Whether a request that a browser sends on behalf of a page comes from our own page.
///
/// Browsers send `Origin` with everything that changes something; programs send none. `public` is the origin of the
/// public URL, which differs from `Host` behind a proxy that rewrites it.
pub(crate) fn same_origin(headers: &HeaderMap, public: Option<&str>) -> bool {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = text(header::HOST).unwrap_or_default();
    let own = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|origin| origin == host);
    own("http://") || own("https://") || public.is_some_and(|public| public == origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn ranges() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "fe80::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network:?} {address}");
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "a/8", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        for (peer, forwarded, client_is) in [
            ("9.9.9.9", "1.1.1.1", "9.9.9.9"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "1.1.1.1, junk", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("::ffff:10.0.0.1", "::1", "::1"),
        ] {
            let headers = headers(&[("x-forwarded-for", forwarded)]);
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            let client = client(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(client, client_is.parse::<IpAddr>().unwrap(), "{peer} {forwarded}");
        }
        let two = headers(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.1.1.1")]);
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(client("10.0.0.1".parse().unwrap(), &two, &trusted), "1.1.1.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn hosts() {
        for (authority, allowed) in [
            ("127.0.0.1:7984", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:7984", true),
            ("192.168.1.5", true),
            ("audit.example.org", true),
            ("AUDIT.example.org:443", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("", false),
            ("[::1", false),
            ("[::1]x", false),
            ("a b", false),
            ("x@localhost", false),
        ] {
            let host = host_of(authority);
            let found = host.is_some_and(|host| host_allowed(&host, Some("audit.example.org")));
            assert_eq!(found, allowed, "{authority}");
        }
    }

    #[test]
    fn origins() {
        for (host, origin, own) in [
            ("127.0.0.1:7984", None, true),
            ("127.0.0.1:7984", Some("http://127.0.0.1:7984"), true),
            ("127.0.0.1:7984", Some("http://127.0.0.1:80"), false),
            ("127.0.0.1:7984", Some("http://evil.example"), false),
            ("127.0.0.1:7984", Some("null"), false),
            ("inner:1", Some("https://audit.example.org"), true),
        ] {
            let mut lines = vec![("host", host)];
            lines.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(same_origin(&headers(&lines), Some("https://audit.example.org")), own, "{origin:?}");
        }
    }
}
