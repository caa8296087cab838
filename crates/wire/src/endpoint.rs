//! A host and a port, as addresses in the configuration have them.

use std::fmt;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Reads `host`, `host:port`, `[::1]:port` or `:port`; without a host it is 127.0.0.1.
///
/// # Errors
/// With what is wrong, for people.
pub(crate) fn parse(text: &str, default_port: u16) -> Result<Endpoint, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
            match rest.strip_prefix(':') {
                _ if rest.is_empty() => (host, None),
                Some(port) => (host, Some(port)),
                None => return Err("a colon and a port must follow the bracket".to_owned()),
            }
        }
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(format!("an IPv6 address such as {text} stands in brackets"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| format!("{port:?} is no port"))?,
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    if host.contains(|ch: char| !(ch.is_alphanumeric() || matches!(ch, '.' | '-' | '_' | ':' | '%'))) {
        return Err(format!("{host:?} is no host"));
    }
    Ok(Endpoint { host: host.to_owned(), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
