//! Where GELF goes and comes: `udp://host:12201`, `tcp://host:12201`, `tls://host:12201`, `http://host:12201/gelf`, `https://…`.

use crate::endpoint::{self, Endpoint};

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Udp(Endpoint),
    Tcp(Endpoint),
    Tls(Endpoint),
    /// With the path; whether it is https.
    Http(Endpoint, String, bool),
}

const PORT: u16 = 12_201;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// With what is wrong, for people.
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        let expected = "expected udp://host:12201, tcp://host:12201, tls://host:12201, http://host:12201/gelf or https://…";
        let wrong = |why: &str| format!("{text:?}: {why}, {expected}");
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("no address"));
        };
        let network = |rest: &str| endpoint::parse(rest, PORT).map_err(|why| wrong(&why));
        match scheme {
            "udp" => network(rest).map(Address::Udp),
            "tcp" => network(rest).map(Address::Tcp),
            "tls" => network(rest).map(Address::Tls),
            "http" | "https" => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                if path.contains(|ch: char| ch.is_whitespace() || ch.is_control() || ch == '#') {
                    return Err(wrong("no path of a URL"));
                }
                let path = if matches!(path, "" | "/") { "/gelf" } else { path };
                Ok(Address::Http(network(host)?, path.to_owned(), scheme == "https"))
            }
            _ => Err(wrong("no such transport")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let at = |host: &str, port| Endpoint { host: host.to_owned(), port };
        for (text, expected) in [
            ("udp://graylog", Address::Udp(at("graylog", 12_201))),
            ("tcp://graylog:1", Address::Tcp(at("graylog", 1))),
            ("tls://[::1]:2", Address::Tls(at("::1", 2))),
            ("http://graylog", Address::Http(at("graylog", 12_201), "/gelf".to_owned(), false)),
            (
                "https://graylog:443/in/gelf?a=1",
                Address::Http(at("graylog", 443), "/in/gelf?a=1".to_owned(), true),
            ),
        ] {
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("graylog", "no address"),
            ("unix:///x", "no such transport"),
            ("http://a/b c", "no path"),
            ("udp://h:x", "port"),
        ] {
            assert!(Address::parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
