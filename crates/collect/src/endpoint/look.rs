//! One look at an endpoint: resolve, connect, TLS, then an [`exchange`]; each phase timed, all within one time limit.

use std::{
    error::Error,
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use attestry_outbound::Reach;
use hyper::{
    HeaderMap, Method,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;

use super::{
    Config,
    certificate::{Authorities, Certificate},
    exchange::{Ask, exchange},
    expect::Judge,
    target::{Scheme, Target},
};

/// How many redirects are followed.
const MAX_REDIRECTS: u32 = 5;
/// Headers of a request that follow from how it is made.
const OURS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Where a look can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Secrets or authorities cannot be read.
    Settings,
    /// The name is not known.
    Resolve,
    /// It is an address to which no request may go.
    Address,
    Connect,
    Tls,
    /// The request, up to the head of its answer.
    Answer,
    Body,
    Redirect,
    /// The answer is not as expected.
    Expect,
    /// The look itself.
    Look,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Settings => "settings",
            Phase::Resolve => "resolve",
            Phase::Address => "address",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Answer => "answer",
            Phase::Body => "body",
            Phase::Redirect => "redirect",
            Phase::Expect => "expect",
            Phase::Look => "look",
        }
    }
}

/// Why an endpoint is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) why: String,
}

impl Failure {
    pub(super) fn new(phase: Phase, why: impl Into<String>) -> Failure {
        Failure { phase, why: why.into() }
    }
}

/// What a look found. Times of phases are sums over all requests of a look.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    pub(super) failure: Option<Failure>,
    pub(super) address: Option<SocketAddr>,
    pub(super) resolve: Option<Duration>,
    pub(super) connect: Option<Duration>,
    pub(super) tls: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) total: Duration,
    pub(super) status: Option<u16>,
    pub(super) bytes: Option<usize>,
    pub(super) body_cut: bool,
    pub(super) body_sha256: Option<String>,
    pub(super) certificate: Option<Certificate>,
    pub(super) redirects: u32,
    pub(super) redirected_to: Option<String>,
}

impl Looked {
    pub(super) fn failed(failure: Failure) -> Looked {
        Looked { failure: Some(failure), ..Looked::default() }
    }
}

/// The settings of a source, ready for its looks.
pub(super) struct Plan {
    method: Method,
    /// What is sent, or why it cannot be.
    sent: Result<(HeaderMap, Bytes), String>,
    authorities: Result<Authorities, String>,
    pub(super) judge: Arc<Judge>,
    timeout: Duration,
    pub(super) follow: bool,
    reach: Reach,
}

/// What is wrong with the settings of a request.
pub(super) fn wrong_request<'a>(
    method: &str,
    headers: impl Iterator<Item = &'a String>,
) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if method.parse::<Method>().is_err() || method == "CONNECT" {
        wrong.push(("method", format!("{method:?} is no method, expected one such as GET, HEAD or POST")));
    }
    for name in headers {
        match name.parse::<HeaderName>() {
            Err(_) => wrong.push(("headers", format!("{name:?} is no name of a header"))),
            Ok(known) if OURS.contains(&known) => {
                wrong.push(("headers", format!("{name} follows from the request and cannot be set")));
            }
            Ok(_) => {}
        }
    }
    wrong
}

impl Plan {
    pub(super) fn new(config: &Config) -> Plan {
        Plan {
            method: config.method.parse().unwrap_or_default(),
            sent: sent(config),
            authorities: Authorities::read(config.ca.as_deref()),
            judge: Arc::new(config.expect.judge()),
            timeout: config.timeout.0,
            follow: config.follow_redirects,
            reach: config.reach(),
        }
    }
}

fn sent(config: &Config) -> Result<(HeaderMap, Bytes), String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let known: HeaderName = name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        let value = value.read().map_err(|error| told(&error))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| format!("the value of the header {name} holds what HTTP does not allow"))?;
        value.set_sensitive(true);
        headers.insert(known, value);
    }
    let body = config.body.as_ref().map(|body| body.read().map_err(|error| told(&error))).transpose()?;
    Ok((headers, Bytes::from(body.unwrap_or_default())))
}

/// Looks once. Never fails: that something is down is what it is there to find.
pub(super) async fn look(target: &Target, plan: &Plan) -> Looked {
    let mut looked = Looked::default();
    let begun = Instant::now();
    looked.failure = attempt(target, plan, begun + plan.timeout, &mut looked).await.err();
    looked.total = begun.elapsed();
    looked
}

async fn attempt(
    target: &Target,
    plan: &Plan,
    deadline: Instant,
    looked: &mut Looked,
) -> Result<(), Failure> {
    let (headers, body) = plan.sent.clone().map_err(|why| Failure::new(Phase::Settings, why))?;
    let mut ask = Ask { target: target.clone(), method: plan.method.clone(), headers, body };
    loop {
        let limit = Limit { deadline, whole: plan.timeout };
        let stream = reach(&ask.target, plan.reach, &limit, looked).await?;
        let next = match ask.target.scheme {
            Scheme::Tcp => return Ok(()),
            Scheme::Http => exchange(stream, &ask, plan, &limit, looked).await?,
            Scheme::Https => {
                let stream = secure(stream, &ask.target, plan, &limit, looked).await?;
                exchange(stream, &ask, plan, &limit, looked).await?
            }
        };
        let Some(next) = next else { return Ok(()) };
        if looked.redirects == MAX_REDIRECTS {
            return Err(Failure::new(Phase::Redirect, format!("more than {MAX_REDIRECTS} redirects")));
        }
        looked.redirects += 1;
        looked.redirected_to = Some(next.target.shown.clone());
        ask = next;
    }
}

/// The end of a look.
pub(super) struct Limit {
    deadline: Instant,
    whole: Duration,
}

impl Limit {
    /// The outcome of a phase, or that it took too long.
    pub(super) async fn hold<T, E: fmt::Display>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(ended) => ended.map_err(|error| Failure::new(phase, error.to_string())),
            Err(_) => {
                let whole = attestry_event::Period(self.whole);
                Err(Failure::new(phase, format!("not done within the {whole} of a look")))
            }
        }
    }
}

pub(super) fn add(sum: &mut Option<Duration>, begun: Instant) {
    *sum = Some(sum.unwrap_or_default() + begun.elapsed());
}

/// Resolves the name, checks what came of it, and connects to just that.
async fn reach(
    target: &Target,
    reach: Reach,
    limit: &Limit,
    looked: &mut Looked,
) -> Result<TcpStream, Failure> {
    let begun = Instant::now();
    let found = match target.literal() {
        Some(address) => vec![address],
        None => {
            let name = (target.host.as_str(), target.port);
            let found = limit.hold(Phase::Resolve, tokio::net::lookup_host(name)).await?;
            add(&mut looked.resolve, begun);
            found.map(|address| address.ip()).collect()
        }
    };
    let allowed = allowed(&found, reach)?;
    let begun = Instant::now();
    let mut last = None;
    for (tried, address) in allowed.iter().enumerate() {
        let address = SocketAddr::new(*address, target.port);
        looked.address = Some(address);
        // An address that does not answer leaves the next ones their part of the time.
        let left = limit.deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(allowed.len() - tried).unwrap_or(1).max(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                add(&mut looked.connect, begun);
                // Without it a small request may wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(format!("{address}: {error}")),
            Err(_) => last = Some(format!("{address}: no answer within {} ms", share.as_millis())),
        }
    }
    Err(Failure::new(Phase::Connect, last.unwrap_or_default()))
}

/// Those of the addresses a request may go to, at least one.
fn allowed(found: &[IpAddr], reach: Reach) -> Result<Vec<IpAddr>, Failure> {
    let (allowed, refused): (Vec<IpAddr>, Vec<IpAddr>) =
        found.iter().partition(|address| reach.check(**address).is_ok());
    match refused.first().map(|address| reach.check(*address)) {
        Some(Err(error)) if allowed.is_empty() => Err(Failure::new(Phase::Address, error.to_string())),
        _ if allowed.is_empty() => Err(Failure::new(Phase::Resolve, "the name has no address")),
        _ => Ok(allowed),
    }
}

async fn secure(
    stream: TcpStream,
    target: &Target,
    plan: &Plan,
    limit: &Limit,
    looked: &mut Looked,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let wrong = |why: &dyn fmt::Display| Failure::new(Phase::Settings, why.to_string());
    let authorities = plan.authorities.as_ref().map_err(|why| wrong(why))?;
    let (config, shown) = authorities.client().map_err(|why| wrong(&why))?;
    let name = ServerName::try_from(target.host.clone()).map_err(|error| wrong(&error))?;
    let begun = Instant::now();
    let connected = limit.hold(Phase::Tls, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    add(&mut looked.tls, begun);
    // Of a refused certificate, too: what it says is mostly why.
    looked.certificate = shown.certificate();
    connected
}

/// An error with what it is due to.
pub(super) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // An error of the system stands within others and says the same.
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checked_addresses_are_connected_to() {
        let of = |text: &str| -> Vec<IpAddr> { text.split(' ').map(|ip| ip.parse().unwrap()).collect() };
        for (found, reach, left) in [
            ("93.184.216.34 10.0.0.1", Reach::Public, Ok("93.184.216.34")),
            ("10.0.0.1 93.184.216.34", Reach::Private, Ok("10.0.0.1 93.184.216.34")),
            ("169.254.169.254 10.0.0.1", Reach::Private, Ok("10.0.0.1")),
            ("169.254.169.254", Reach::Private, Err(Phase::Address)),
            ("127.0.0.1 ::1", Reach::Public, Err(Phase::Address)),
        ] {
            let found = allowed(&of(found), reach);
            assert_eq!(found.map_err(|failure| failure.phase), left.map(of));
        }
        assert_eq!(allowed(&[], Reach::Private).unwrap_err().phase, Phase::Resolve);
    }
}
