//! A request and its answer, over a connection that is there: sent, read within bounds, judged; or where it redirects to.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::Instant,
};

use super::{
    look::{Failure, Limit, Looked, Phase, Plan, add, told},
    target::{Scheme, Target},
};
use crate::follow::to_hex;

/// The most that is read of a body.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
/// The most that is read of the head of an answer. Servers send some kilobytes, browsers take 256.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// More headers an answer has not.
const MAX_HEADERS: usize = 200;
/// What is asked for; changes with redirects.
pub(super) struct Ask {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Sends the request, reads the answer and judges it; gives what it redirects to when that is to be followed.
pub(super) async fn exchange<S>(
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

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

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
