//! Plain HTTP, as any program would speak it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use crate::tail::Tail;

/// The longest that an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A server and what is sent with every request to it. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    headers: Vec<(String, String)>,
}

impl Client {
    /// `certificate`: a PEM file with the certificate to trust, if the address is one of TLS.
    #[track_caller]
    pub(crate) fn new(base: &str, certificate: Option<&Path>) -> Client {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls =
            TlsConfig::builder().provider(TlsProvider::Rustls).unversioned_rustls_crypto_provider(provider);
        if let Some(file) = certificate {
            let pem = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let certificate = Certificate::from_pem(&pem).expect("the server's certificate is PEM");
            tls = tls.root_certs(RootCerts::new_with_certs(&[certificate]));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_recv_response(Some(ANSWER_MAX));
        Client { agent: config.build().into(), base: base.to_owned(), headers: Vec::new() }
    }

    /// Sends this with every request.
    pub fn with(mut self, name: &str, value: &str) -> Client {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows this key.
    pub fn with_key(self, key: &str) -> Client {
        self.with("authorization", &format!("Bearer {key}"))
    }

    /// Asks for a path, with parameters.
    #[track_caller]
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        self.try_get(path, parameters).unwrap_or_else(|error| panic!("GET {}{path}: {error}", self.base))
    }

    /// As [`Client::get`], where the connection may fail.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn try_get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        Answer::read("GET", path, self.open(path, parameters)?)
    }

    fn open(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.query_pairs(parameters.iter().copied()).call()
    }

    /// Posts a body.
    #[track_caller]
    pub fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        let posted = self.try_post(path, content_type, body);
        posted.unwrap_or_else(|error| panic!("POST {}{path}: {error}", self.base))
    }

    /// As [`Client::post`], where the connection may fail.
    ///
    /// # Errors
    /// When there is no whole answer: what was posted may be stored or not.
    pub fn try_post(
        &self,
        path: &str,
        content_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request =
            self.agent.post(format!("{}{path}", self.base)).header("content-type", content_type);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Answer::read("POST", path, request.send(body.as_ref())?)
    }

    /// Posts JSON: an event, an array of events, or what another address takes.
    #[track_caller]
    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string())
    }

    /// Posts events to `/api/v1/events` and expects that they are stored.
    #[track_caller]
    pub fn store(&self, events: &Value) -> Value {
        self.post_json("/api/v1/events", events).is(201).json()
    }

    /// Deletes.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.call().and_then(|response| Answer::read("DELETE", path, response));
        answer.unwrap_or_else(|error| panic!("DELETE {}{path}: {error}", self.base))
    }

    /// The events that a query finds, newest first, each with its ledger and index.
    #[track_caller]
    pub fn search(&self, query: &str) -> Vec<Value> {
        let found = self.get("/api/v1/events", &[("q", query), ("limit", "1000")]).is(200).json();
        found["events"].as_array().expect("events are a list").clone()
    }

    /// How many events a query finds.
    #[track_caller]
    pub fn count(&self, query: &str) -> u64 {
        let found = self.get("/api/v1/count", &[("q", query)]).is(200).json();
        found["count"].as_u64().expect("the count is a number")
    }

    /// Follows the events that match a query. What comes in after this returns is seen.
    #[track_caller]
    pub fn tail(&self, query: &str) -> Tail {
        let opened = self.open("/api/v1/tail", &[("q", query)]);
        let response = opened.unwrap_or_else(|error| panic!("GET /api/v1/tail: {error}"));
        assert_eq!(response.status().as_u16(), 200, "the tail is refused");
        Tail::follow(response)
    }
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    what: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Answer {
    fn read(method: &str, path: &str, mut response: Response<Body>) -> Result<Answer, ureq::Error> {
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { what: format!("{method} {path}"), status, headers, body })
    }

    /// Fails unless this is the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text());
        self
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{}: {error} in {}", self.what, self.text()))
    }

    /// A header's value.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("{} has no header {name}", self.what));
        value.to_str().expect("the header is text")
    }
}
