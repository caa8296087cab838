//! One look at an endpoint: resolve, connect, TLS, request, answer, body; each phase timed, all within one time limit.

use std::{
    error::Error,
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use attestry_outbound::Reach;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsConnector;

use super::{
    Config,
    certificate::{Authorities, Certificate},
    expect::Judge,
    target::{Scheme, Target},
};
use crate::follow::to_hex;

/// The most that is read of a body.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
/// The most that is read of the head of an answer. Servers send some kilobytes, browsers take 256.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// More headers an answer has not.
const MAX_HEADERS: usize = 200;
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
    judge: Arc<Judge>,
    timeout: Duration,
    follow: bool,
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

/// What is asked for; changes with redirects.
struct Ask {
    target: Target,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
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
struct Limit {
    deadline: Instant,
    whole: Duration,
}

impl Limit {
    /// The outcome of a phase, or that it took too long.
    async fn hold<T, E: fmt::Display>(
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

fn add(sum: &mut Option<Duration>, begun: Instant) {
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

/// Sends the request, reads the answer and judges it; gives what it redirects to when that is to be followed.
async fn exchange<S>(
    stream: S,
    ask: &Ask,
    plan: &Plan,
    limit: &Limit,
    looked: &mut Looked,
) -> Result<Option<Ask>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Instant::now();
    let request = request(ask).map_err(|error| Failure::new(Phase::Settings, error.to_string()))?;
    // Ends with this function: nobody speaks to a server that nobody looks at.
    let mut driver = JoinSet::new();
    let answered = limit.hold(Phase::Answer, async {
        let mut http = http1::Builder::new();
        http.max_header_size(MAX_HEAD_BYTES).max_buf_size(2 * MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
        let (mut sender, connection) =
            http.handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
        driver.spawn(connection);
        sender.send_request(request).await.map_err(|error| told(&error))
    });
    let answer = answered.await?;
    add(&mut looked.first_byte, begun);
    let status = answer.status();
    looked.status = Some(status.as_u16());
    if plan.follow
        && let Some(next) = redirect(ask, status, answer.headers())?
    {
        return Ok(Some(next));
    }
    let wrong = plan.judge.head(status.as_u16(), answer.headers());
    let wrong = match (wrong, answer.headers().get(header::LOCATION)) {
        (Some(wrong), Some(_)) if status.is_redirection() && !plan.follow => {
            Some(format!("{wrong}; redirects are not followed"))
        }
        (wrong, _) => wrong,
    };
    let body = body(answer, plan.judge.reads_body(), limit, looked).await;
    if let Some(wrong) = wrong {
        return Err(Failure::new(Phase::Expect, wrong));
    }
    let (body, cut) = (body?, looked.body_cut);
    if plan.judge.reads_body() {
        // Away from the thread on which all other looks take place: a pattern takes its time.
        let judge = Arc::clone(&plan.judge);
        let judged = tokio::task::spawn_blocking(move || judge.body(&body, cut));
        let judged = limit.hold(Phase::Expect, judged).await?;
        return judged.map_or(Ok(None), |wrong| Err(Failure::new(Phase::Expect, wrong)));
    }
    Ok(None)
}

fn request(ask: &Ask) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(ask.target.path())
        .header(header::HOST, ask.target.authority())
        .header(header::USER_AGENT, concat!("attestry/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Full::new(ask.body.clone()))?;
    for (name, value) in &ask.headers {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(request)
}

/// Reads up to [`MAX_BODY_BYTES`], and keeps it when `keep`.
async fn body(
    mut answer: Response<Incoming>,
    keep: bool,
    limit: &Limit,
    looked: &mut Looked,
) -> Result<Vec<u8>, Failure> {
    let mut kept = Vec::new();
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let ended = loop {
        let frame = async { answer.frame().await.transpose().map_err(|error| told(&error)) };
        let data = match limit.hold(Phase::Body, frame).await {
            Ok(Some(frame)) => frame.into_data().unwrap_or_default(),
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        };
        let taken = data.get(..MAX_BODY_BYTES - bytes).unwrap_or(&data);
        looked.body_cut = taken.len() < data.len();
        bytes += taken.len();
        hash.update(taken);
        if keep {
            kept.extend_from_slice(taken);
        }
        if looked.body_cut {
            break Ok(());
        }
    };
    looked.bytes = Some(bytes);
    looked.body_sha256 = ended.is_ok().then(|| to_hex(&hash.finalize()));
    ended.map(|()| kept)
}

/// What an answer sends its reader to (RFC 9110, 15.4).
fn redirect(ask: &Ask, status: StatusCode, headers: &HeaderMap) -> Result<Option<Ask>, Failure> {
    let wrong = |why: String| Failure::new(Phase::Redirect, why);
    let keeps = matches!(status.as_u16(), 307 | 308);
    if !keeps && !matches!(status.as_u16(), 301..=303) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else { return Ok(None) };
    let location = location.to_str().map_err(|_| wrong("its location is no address".into()))?;
    let target = ask.target.join(location).map_err(|error| wrong(error.to_string()))?;
    if target.scheme == Scheme::Tcp {
        return Err(wrong("its location is no address of HTTP".into()));
    }
    let same = ask.target.same_origin(&target);
    // As every browser does, although only 303 asks for it.
    let asks_anew = !keeps && ask.method != Method::HEAD;
    let (method, body) =
        if asks_anew { (Method::GET, Bytes::new()) } else { (ask.method.clone(), ask.body.clone()) };
    if !same && !body.is_empty() {
        return Err(wrong("it leads elsewhere, where the body of the request does not go".into()));
    }
    let mut headers = if same { ask.headers.clone() } else { HeaderMap::new() };
    if body.is_empty() {
        headers.remove(header::CONTENT_TYPE);
    }
    Ok(Some(Ask { target, method, headers, body }))
}

/// An error with what it is due to.
fn told(error: &dyn Error) -> String {
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

    #[test]
    fn secrets_stay_where_they_were_meant_for() {
        let ask = |method: Method, body: &'static str| Ask {
            target: Target::parse("https://h.example/a").unwrap(),
            method,
            headers: HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("x"))]),
            body: Bytes::from(body),
        };
        let to = |location: &'static str| {
            HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static(location))])
        };
        let go = |ask: &Ask, status: u16, location| {
            redirect(ask, StatusCode::from_u16(status).unwrap(), &to(location))
        };
        let post = ask(Method::POST, "secret");
        let next = go(&post, 307, "/b").unwrap().unwrap();
        assert!(next.headers.len() == 1 && next.body == "secret" && next.method == Method::POST);
        let next = go(&post, 302, "/b").unwrap().unwrap();
        assert!(next.headers.len() == 1 && next.body.is_empty() && next.method == Method::GET);
        for elsewhere in
            ["https://other.example/", "http://h.example/a", "https://h.example:444/", "//o.example"]
        {
            assert!(go(&post, 308, elsewhere).is_err(), "{elsewhere}");
            let next = go(&post, 303, elsewhere).unwrap().unwrap();
            assert!(next.headers.is_empty() && next.body.is_empty(), "{elsewhere}");
        }
        for bad in ["tcp://h.example:22", "file:///etc/passwd", "https://u:p@h.example/"] {
            assert!(go(&post, 302, bad).is_err(), "{bad}");
        }
        assert!(go(&post, 304, "/").unwrap().is_none() && go(&post, 200, "/").unwrap().is_none());
        assert_eq!(go(&ask(Method::HEAD, ""), 302, "/").unwrap().unwrap().method, Method::HEAD);
    }
}
