//! How the server is reached: what was written in the configuration, and whether it is safe.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::address::{Network, host_of};

/// Where nothing else is said: loopback, Auditmon's port.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7984);

/// How the server listens and under which name it is known.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address and port to listen on; port 0 takes any free one. Default [`DEFAULT_LISTEN`].
    pub listen: SocketAddr,
    /// How connections are encrypted; `None`: not at all, which is refused on anything but loopback unless
    /// `trusted_proxies` says who encrypts instead.
    pub tls: Option<Tls>,
    /// How browsers reach the server, such as `https://audit.example.org`: needed as soon as it is reached by a name
    /// other than `localhost`, because requests for unknown names are refused.
    pub public_url: Option<String>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// PEM files: the certificate with its chain, and its private key.
    Files {
        /// The certificate, followed by the intermediate ones.
        cert: PathBuf,
        /// The private key: PKCS #8, PKCS #1 or SEC 1.
        key: PathBuf,
    },
    /// A certificate signed by itself, made at the first start and kept as `tls.cert` and `tls.key` in this folder.
    SelfSigned {
        /// The data directory.
        dir: PathBuf,
    },
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Passwords and keys would travel in the clear.
    #[error(
        "refusing to listen on {0} without encryption: give a certificate (--tls-cert, --tls-key), ask for a \
         self-signed one, or state the proxy that encrypts (trusted_proxies)"
    )]
    Exposed(SocketAddr),
    /// The public URL cannot be used.
    #[error("public_url: {0:?} is not of the form http://host[:port] or https://host[:port]")]
    PublicUrl(String),
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: DEFAULT_LISTEN, tls: None, public_url: None, trusted_proxies: Vec::new() }
    }
}

impl Config {
    /// Checks what can be checked without listening; `attestry check` calls it too.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().to_canonical().is_loopback()
            && self.tls.is_none()
            && self.trusted_proxies.is_empty()
        {
            return Err(ConfigError::Exposed(self.listen));
        }
        self.names().map(drop)
    }

    pub(crate) fn names(&self) -> Result<Names, ConfigError> {
        let Some(url) = &self.public_url else {
            return Ok(Names { host: None, origin: None, secure: self.tls.is_some() });
        };
        let error = || ConfigError::PublicUrl(url.clone());
        let origin = url.trim_end_matches('/');
        let (scheme, authority) = origin.split_once("://").ok_or_else(error)?;
        let host = host_of(authority).ok_or_else(error)?;
        if scheme != "http" && scheme != "https" {
            return Err(error());
        }
        let secure = self.tls.is_some() || scheme == "https";
        Ok(Names { host: Some(host), origin: Some(origin.to_ascii_lowercase()), secure })
    }
}

/// The names the server answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The public URL's host.
    pub(crate) host: Option<String>,
    /// The public URL's origin.
    pub(crate) origin: Option<String>,
    /// Whether browsers reach us encrypted, so that cookies can be `Secure`.
    pub(crate) secure: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_elsewhere_needs_encryption() {
        let files = Tls::Files { cert: "c".into(), key: "k".into() };
        for (listen, tls, proxy, good) in [
            ("127.0.0.1:1", None, None, true),
            ("[::1]:1", None, None, true),
            ("[::ffff:127.0.0.1]:1", None, None, true),
            ("0.0.0.0:1", None, None, false),
            ("[::]:1", None, None, false),
            ("192.168.0.7:1", None, None, false),
            ("0.0.0.0:1", Some(files), None, true),
            ("0.0.0.0:1", None, Some("10.0.0.1"), true),
        ] {
            let trusted_proxies = proxy.iter().map(|proxy| proxy.parse().unwrap()).collect();
            let listen = listen.parse().unwrap();
            let config = Config { listen, tls, trusted_proxies, public_url: None };
            assert_eq!(config.check().is_ok(), good, "{config:?}");
        }
    }

    #[test]
    fn public_urls() {
        for (url, names) in [
            ("https://audit.example.org", Some(("audit.example.org", "https://audit.example.org", true))),
            ("http://Audit:80/", Some(("audit", "http://audit:80", false))),
            ("audit.example.org", None),
            ("ftp://audit", None),
            ("https://", None),
            ("https://audit/path", None),
        ] {
            let config = Config { public_url: Some(url.to_owned()), ..Config::default() };
            let found = config.names().ok();
            let found = found.as_ref().map(|names| {
                (names.host.as_deref().unwrap_or(""), names.origin.as_deref().unwrap_or(""), names.secure)
            });
            assert_eq!(found, names, "{url}");
        }
    }
}
