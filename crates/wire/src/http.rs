//! Requests over HTTP as sinks make them: no redirects, no proxy of the environment, one connection kept from request to request.
//!
//! The client blocks, so requests run where that is allowed, with a body of their own.

#[cfg(test)]
pub(crate) mod scripted;

pub(crate) use attestry_outbound::Reach;

use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::tls::{ClientTls, TlsError, certificates, private_key};

/// The most that is read of an answer, in bytes: an Attestry server lists up to 8 MiB of what it refuses.
const ANSWER_MAX_BYTES: u64 = 16 << 20;

/// From this size on, in bytes, a body waits until the server says that it wants it: a refusal would be lost when the connection is closed
/// while the body is still being sent.
const EXPECT_BYTES: usize = 512 << 10;

/// After this time certificates, keys and names are looked up anew.
const AGENT_MAX_AGE: Duration = Duration::from_secs(600);

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL that begins with `http://` or `https://` and a host.
    #[error("not an address such as https://audit.example.org:7984")]
    Malformed,
    /// A user or a password in it.
    #[error(
        "a user name or password in an address is seen by everybody who sees the address; there are settings for it"
    )]
    User,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Certificates or keys.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// A header that cannot be sent, by its name.
    #[error("the header {0} cannot be sent: not a name and a value that HTTP allows")]
    Header(String),
    /// The connection, or what went over it.
    #[error("{0}")]
    Connection(String),
    /// The thread that made the request ended early.
    #[error("the request was given up")]
    GivenUp,
}

/// What a server said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long to wait before the next request, when the server said so.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Headers of a request, names and values.
pub(crate) type Headers = Vec<(HeaderName, HeaderValue)>;

/// One address, and how it is reached.
#[derive(Debug)]
pub(crate) struct Http {
    base: Uri,
    tls: ClientTls,
    timeout: Duration,
    reach: Reach,
    agent: Option<(Agent, Instant)>,
}

impl Http {
    /// Connects to nothing.
    pub(crate) fn new(
        url: &str,
        tls: ClientTls,
        timeout: Duration,
        reach: Reach,
    ) -> Result<Http, AddressError> {
        Ok(Http { base: address(url)?, tls, timeout, reach, agent: None })
    }

    /// Sends a body to a path below the address, or to the address itself when there is none.
    pub(crate) async fn post(
        &mut self,
        path: Option<&str>,
        headers: Headers,
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        let (agent, url) = (self.agent()?, self.url(path));
        let answer = tokio::task::spawn_blocking(move || {
            let mut request = agent.post(url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            if body.len() >= EXPECT_BYTES {
                request = request.header("expect", "100-continue");
            }
            request.send(&body[..]).and_then(read)
        });
        self.finish(answer.await)
    }

    /// Fetches a path below the address.
    pub(crate) async fn get(&mut self, path: &str, headers: Headers) -> Result<Answer, HttpError> {
        let (agent, url) = (self.agent()?, self.url(Some(path)));
        let answer = tokio::task::spawn_blocking(move || {
            let mut request = agent.get(url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.call().and_then(read)
        });
        self.finish(answer.await)
    }

    /// Forgets the connection, and with it the certificates it was made with.
    pub(crate) fn reset(&mut self) {
        self.agent = None;
    }

    fn finish(
        &mut self,
        answer: Result<Result<Answer, ureq::Error>, tokio::task::JoinError>,
    ) -> Result<Answer, HttpError> {
        let answer = answer.map_err(|_| HttpError::GivenUp)?;
        answer.map_err(|error| {
            self.reset();
            // Not the whole address: the path of a hook may be its secret.
            HttpError::Connection(format!("{}: {error}", host_and_port(&self.base)))
        })
    }

    fn agent(&mut self) -> Result<Agent, HttpError> {
        if let Some((agent, made)) = &self.agent
            && made.elapsed() < AGENT_MAX_AGE
        {
            return Ok(agent.clone());
        }
        let config = Agent::config_builder()
            .tls_config(tls(&self.tls)?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("attestry/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.timeout.min(Duration::from_secs(10))))
            .timeout_global(Some(self.timeout))
            .build();
        let to = To { host_and_port: host_and_port(&self.base), reach: self.reach };
        let agent = Agent::with_parts(config, DefaultConnector::default(), to);
        self.agent = Some((agent.clone(), Instant::now()));
        Ok(agent)
    }

    /// The certificate's name stands for the host where one is given: the resolver knows where to go.
    fn url(&self, path: Option<&str>) -> String {
        let scheme = self.base.scheme_str().unwrap_or("https");
        let host = match (&self.tls.server_name, self.base.port_u16()) {
            (Some(name), Some(port)) => format!("{name}:{port}"),
            (Some(name), None) => name.clone(),
            (None, _) => self.base.authority().map(ToString::to_string).unwrap_or_default(),
        };
        match path {
            Some(path) => format!("{scheme}://{host}{}{path}", self.base.path().trim_end_matches('/')),
            None => {
                let whole = self.base.path_and_query().map_or("/", |path| path.as_str());
                format!("{scheme}://{host}{whole}")
            }
        }
    }
}

/// Reads an address.
pub(crate) fn address(url: &str) -> Result<Uri, AddressError> {
    let uri: Uri = url.parse().map_err(|_| AddressError::Malformed)?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !known || uri.host().is_none_or(str::is_empty) {
        return Err(AddressError::Malformed);
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(AddressError::User);
    }
    Ok(uri)
}

/// Whether what is sent there can be read on the way: no TLS, and not to this host.
pub(crate) fn is_readable_on_the_way(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let own =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    uri.scheme_str() == Some("http") && !own
}

/// A header, unless it cannot be one.
pub(crate) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HttpError> {
    let wrong = || HttpError::Header(name.to_owned());
    let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((HeaderName::try_from(name).map_err(|_| wrong())?, value))
}

fn host_and_port(uri: &Uri) -> String {
    let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(default))
}

fn tls(tls: &ClientTls) -> Result<TlsConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config =
        TlsConfig::builder().provider(TlsProvider::Rustls).unversioned_rustls_crypto_provider(provider);
    config = match &tls.ca {
        Some(ca) => config.root_certs(RootCerts::new_with_certs(&owned(ca)?)),
        None => config.root_certs(RootCerts::WebPki),
    };
    match (&tls.cert, &tls.key) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            // Says what is wrong with the file, which the client's own reader does not.
            private_key(key)?;
            let wrong = |reason: String| TlsError::File { path: key.clone(), reason };
            let pem = std::fs::read(key).map_err(|error| wrong(error.to_string()))?;
            let key = PrivateKey::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
            config = config.client_cert(Some(ClientCert::new_with_certs(&owned(cert)?, key)));
        }
        _ => return Err(TlsError::Half),
    }
    Ok(config.build())
}

fn owned(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, TlsError> {
    Ok(certificates(path)?.iter().map(|found| Certificate::from_der(found).to_owned()).collect())
}

fn read(response: ureq::http::Response<Body>) -> Result<Answer, ureq::Error> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    let mut body = Vec::new();
    response.into_body().into_reader().take(ANSWER_MAX_BYTES).read_to_end(&mut body)?;
    Ok(Answer { status, retry_after, body })
}

/// Finds the address of one host, whatever the request's URL says, and gives only those that may be reached: the connection then goes to the
/// very address that was checked.
#[derive(Debug)]
struct To {
    host_and_port: String,
    reach: Reach,
}

impl Resolver for To {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let host_and_port = self.host_and_port.clone();
        // The system's resolver cannot be given a time; a thread can be left behind.
        std::thread::spawn(move || {
            let found = host_and_port.to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
            let _ = sender.send(found);
        });
        let within = (*timeout.after).min(Duration::from_secs(30));
        let Ok(found) = receiver.recv_timeout(within) else {
            return Err(ureq::Error::Timeout(timeout.reason));
        };
        let mut allowed = self.empty();
        let mut refused = None;
        for address in found? {
            match self.reach.check(address.ip()) {
                Ok(()) if allowed.len() < 16 => allowed.push(address),
                Ok(()) => {}
                Err(reason) => refused = Some(reason),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(reason)) => Err(ureq::Error::Other(Box::new(reason))),
            (true, None) => Err(ureq::Error::HostNotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("https://audit.example.org", Ok("audit.example.org:443")),
            ("http://127.0.0.1:7984/below/", Ok("127.0.0.1:7984")),
            ("https://[::1]:8443", Ok("[::1]:8443")),
            ("audit.example.org", Err(AddressError::Malformed)),
            ("ftp://audit.example.org", Err(AddressError::Malformed)),
            ("https://", Err(AddressError::Malformed)),
            ("", Err(AddressError::Malformed)),
            ("https://user:secret@audit.example.org", Err(AddressError::User)),
        ] {
            assert_eq!(address(url).map(|uri| host_and_port(&uri)), expected.map(str::to_owned), "{url}");
        }
    }

    #[test]
    fn the_certificates_name_takes_the_hosts_place() {
        for (url, name, path, expected) in [
            ("https://a.example:8443/x/", None, Some("/api"), "https://a.example:8443/x/api"),
            ("https://a.example", Some("b.example"), Some("/api"), "https://b.example/api"),
            ("https://10.0.0.1:8443/hook?a=b", Some("b.example"), None, "https://b.example:8443/hook?a=b"),
        ] {
            let tls = ClientTls { server_name: name.map(str::to_owned), ..ClientTls::default() };
            let http = Http::new(url, tls, Duration::from_secs(1), Reach::Any).unwrap();
            assert_eq!(http.url(path), expected);
        }
    }

    #[test]
    fn what_others_can_read() {
        for (url, readable) in [
            ("http://audit.example.org", true),
            ("https://audit.example.org", false),
            ("http://localhost:1", false),
            ("http://127.3.2.1:1", false),
            ("http://[::1]:1", false),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(is_readable_on_the_way(&address(url).unwrap()), readable, "{url}");
        }
    }
}
