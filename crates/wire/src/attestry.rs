//! The way out to an Attestry server: acknowledged, compressed, and for agents with a proof that the server's log only grows.
//!
//! Events go to `POST /api/v1/events`, a request a ledger. The server stores all of a request or nothing, and lists every event it does
//! not take: those are refused, and the rest is offered again without them. So an answer that is lost costs nothing, since the server knows
//! events by their ids.
//!
//! An agent shows a certificate instead of a key, numbers its events, and says with each request which numbers it accounts for. Every few seconds, before what was sent counts as delivered, it has the server prove that the tree it showed last is the
//! beginning of the tree it shows now. See [`Agent`].

mod answer;
mod history;
mod lines;
mod turns;

pub use history::{Alarm, OnAlarm};

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_pipeline::{Covered, Failure, Parcel, Pending, Refused, Sink};
use attestry_tlog::VerifierKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{AddressError, Headers, Http, HttpError, Reach, address, header, is_readable_on_the_way};
use crate::secret::Secret;
use crate::tls::ClientTls;
use attestry_event::Period;

use answer::Verdict;
use history::{Doubt, History};
use lines::Lines;
use turns::{Numbers, Turn, by_ledger, turns};

/// The most bytes of a request before compression. The server takes 32 MiB and an event may have 16.
const REQUEST_MAX_BYTES: usize = 15 << 20;

/// The most events of a request; the server takes 100,000.
const REQUEST_MAX_EVENTS: usize = 50_000;

/// How often, at most, an agent asks for a proof of each ledger.
const PROOF_EVERY: Duration = Duration::from_secs(5);

/// An Attestry server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The server's address, such as `https://audit.example.org:7984`.
    pub url: String,
    /// A key that may write. Not with a client certificate, which enrolled agents have.
    #[serde(default)]
    pub key: Option<Secret>,
    /// TLS: whom to believe, and the client certificate.
    #[serde(default)]
    pub tls: ClientTls,
    /// How long a request may take in all. Default: 60s.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn timeout() -> Period {
    Period::seconds(60)
}

impl SinkConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        match address(&self.url) {
            Err(error) => wrong.push(("url", format!("{:?} is {error}", self.url))),
            Ok(uri) if uri.query().is_some() => {
                wrong.push(("url", format!("{:?} has a query, expected an address without one", self.url)));
            }
            Ok(uri) if self.key.is_some() && is_readable_on_the_way(&uri) => wrong.push((
                "url",
                format!(
                    "{:?} would send the key for everybody on the way to read, expected https://",
                    self.url
                ),
            )),
            Ok(uri) if self.tls.cert.is_some() && uri.scheme_str() == Some("http") => {
                wrong.push(("url", format!("{:?} uses no certificate, expected https://", self.url)));
            }
            Ok(_) => {}
        }
        match (&self.key, &self.tls.cert, &self.tls.key) {
            (Some(_), Some(_), _) => {
                wrong.push(("key", "found a key and a client certificate, expected one".into()))
            }
            (None, None, None) => {
                wrong.push(("key", "found neither, expected a key or a client certificate".into()))
            }
            (_, Some(_), None) => {
                wrong.push(("tls.key", "found nothing, expected the key of tls.cert".into()))
            }
            (_, None, Some(_)) => {
                wrong.push(("tls.cert", "found nothing, expected the certificate of tls.key".into()))
            }
            _ => {}
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "found 0s, expected a time".into()));
        }
        wrong
    }
}

/// Who sends: what an enrolled agent has beyond a configuration.
#[derive(Clone)]
pub struct Agent {
    /// Its name, which its certificate is bound to.
    pub name: String,
    /// The folder of pins: for each ledger a file of its name, in the form of `attestry verify --pin`.
    pub pins: PathBuf,
    /// The verifier keys of the ledgers, for those that have no pin yet.
    pub keys: HashMap<String, VerifierKey>,
    /// Called once, from a thread that may block, when the server shows another history than before.
    pub on_alarm: OnAlarm,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The sink.
#[derive(Debug)]
pub struct AttestrySink {
    http: Http,
    key: Option<Secret>,
    agent: Option<Arc<Agent>>,
    histories: HashMap<Arc<str>, (Arc<History>, Option<Instant>)>,
    /// What the next delivery accounts for.
    covered: Vec<Covered>,
    /// The most bytes of a request; becomes less when something on the way takes less.
    request_bytes: usize,
    halted: Option<String>,
}

impl AttestrySink {
    /// A sink that connects when it is first used.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(config: &SinkConfig) -> Result<AttestrySink, AddressError> {
        Ok(AttestrySink {
            http: Http::new(&config.url, config.tls.clone(), config.timeout.0, Reach::Any)?,
            key: config.key.clone(),
            agent: None,
            histories: HashMap::new(),
            covered: Vec::new(),
            request_bytes: REQUEST_MAX_BYTES,
            halted: None,
        })
    }

    /// Sends as an enrolled agent.
    #[must_use]
    pub fn as_agent(mut self, agent: Agent) -> AttestrySink {
        self.agent = Some(Arc::new(agent));
        self
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        if let Some(reason) = &self.halted {
            return Err(Failure::Halt { reason: reason.clone() });
        }
        let mut fates = vec![Fate::Open; parcels.len()];
        for (ledger, rows) in by_ledger(parcels, &self.covered) {
            let mut sent = Ok(());
            for turn in turns(parcels, rows, &ledger, &self.covered) {
                sent = self.send(&ledger, parcels, turn, &mut fates).await;
                if sent.is_err() {
                    break;
                }
            }
            if sent.is_ok() {
                sent = self.prove(&ledger).await.inspect_err(|_| reopen(&mut fates, parcels, &ledger));
            }
            sent.map_err(|failure| with_delivered(failure, &fates))?;
        }
        self.covered.clear();
        let refused = fates.into_iter().enumerate().filter_map(|(at, fate)| match fate {
            Fate::Refused(reason) => Some(Refused { at, reason }),
            _ => None,
        });
        Ok(refused.collect())
    }

    /// Sends events of one ledger, in as many requests as it takes.
    async fn send(
        &mut self,
        ledger: &Arc<str>,
        parcels: &[Parcel],
        turn: Turn,
        fates: &mut [Fate],
    ) -> Result<(), Failure> {
        let Turn { rows, mut numbers } = turn;
        let epoch = numbers.as_ref().map(|numbers| numbers.epoch);
        let mut waiting = vec![rows];
        while let Some(rows) = waiting.pop() {
            let sender = self.agent.as_deref().zip(epoch);
            let lines = Lines::of(parcels, rows, sender, self.request_bytes, fates);
            if !lines.rest.is_empty() {
                waiting.push(lines.rest);
            }
            if lines.rows.is_empty() {
                continue;
            }
            // The last request accounts for what was left out behind its events, too.
            let last = lines.rows.iter().filter_map(|row| parcels.get(*row)?.seq).max();
            let accounted = numbers.as_ref().map(|numbers| {
                let end = if waiting.is_empty() { None } else { last.map(|last| last + 1) };
                Numbers { range: numbers.range.start..end.unwrap_or(numbers.range.end), ..*numbers }
            });
            match self.request(ledger, Body::Lines(lines.body), accounted.as_ref()).await? {
                Verdict::Stored => {
                    if let (Some(numbers), Some(accounted)) = (&mut numbers, accounted) {
                        numbers.range.start = accounted.range.end;
                    }
                    for row in lines.rows {
                        set(fates, row, Fate::Delivered);
                    }
                }
                Verdict::Refused(reasons) => {
                    let mut rest = Vec::with_capacity(lines.rows.len());
                    for (line, row) in lines.rows.into_iter().enumerate() {
                        match reasons.get(&(line + 1)) {
                            Some(reason) => set(fates, row, Fate::Refused(reason.clone())),
                            None => rest.push(row),
                        }
                    }
                    waiting.push(rest);
                }
                Verdict::TooMuch(reason) => match *lines.rows {
                    [row] => set(fates, row, Fate::Refused(reason)),
                    _ => {
                        let mut first = lines.rows;
                        let second = first.split_off(first.len() / 2);
                        waiting.extend([second, first]);
                    }
                },
                Verdict::TooLarge(reason) => match *lines.rows {
                    [row] => set(fates, row, Fate::Refused(reason)),
                    _ => {
                        self.request_bytes = (lines.bytes / 2).max(1);
                        waiting.push(lines.rows);
                    }
                },
            }
        }
        // Nothing was left to send, and the server must still not wait for it.
        if let Some(numbers) = numbers.filter(|numbers| !numbers.range.is_empty()) {
            match self.request(ledger, Body::Nothing, Some(&numbers)).await? {
                Verdict::Stored => {}
                other => {
                    return Err(Failure::again(format!(
                        "the server took no account of what was left out: {other:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    async fn request(
        &mut self,
        ledger: &str,
        body: Body,
        numbers: Option<&Numbers>,
    ) -> Result<Verdict, Failure> {
        let mut headers = self.headers().map_err(again)?;
        if let Some(Numbers { epoch, range }) = numbers {
            headers.push(header("attestry-epoch", &epoch.to_string()).map_err(again)?);
            headers
                .push(header("attestry-accounts", &format!("{}-{}", range.start, range.end)).map_err(again)?);
        }
        let body = match body {
            Body::Lines(lines) => {
                headers.push(header("content-type", "application/x-ndjson").map_err(again)?);
                headers.push(header("content-encoding", "zstd").map_err(again)?);
                let body = tokio::task::spawn_blocking(move || zstd::bulk::compress(&lines, 3)).await;
                body.map_err(stopped)?.map_err(stopped)?
            }
            Body::Nothing => {
                headers.push(header("content-type", "application/json").map_err(again)?);
                b"[]".to_vec()
            }
        };
        let path = format!("/api/v1/events?ledger={ledger}");
        let answer = self.http.post(Some(&path), headers, body).await.map_err(again)?;
        if matches!(answer.status, 401 | 403) {
            // A new certificate or key may lie there by the next time.
            self.http.reset();
        }
        answer::judge(&answer)
    }

    fn headers(&self) -> Result<Headers, HttpError> {
        let Some(key) = &self.key else { return Ok(Headers::new()) };
        let key = key.read().map_err(|error| HttpError::Connection(error.to_string()))?;
        Ok(vec![header("authorization", &format!("Bearer {}", key.trim()))?])
    }

    /// Has the server prove that its log only grew, when that was not done in the last seconds.
    async fn prove(&mut self, ledger: &Arc<str>) -> Result<(), Failure> {
        let Some(agent) = self.agent.clone() else { return Ok(()) };
        let history = match self.histories.get(ledger) {
            Some((_, proved)) if proved.is_some_and(|proved| proved.elapsed() < PROOF_EVERY) => return Ok(()),
            Some((history, _)) => Arc::clone(history),
            None => {
                let opened = History::open(&agent, ledger);
                let history = Arc::new(opened.map_err(|doubt| self.doubt(&agent, ledger, doubt))?);
                self.histories.insert(Arc::clone(ledger), (Arc::clone(&history), None));
                history
            }
        };
        let headers = self.headers().map_err(again)?;
        let path = format!("/api/v1/ledgers/{ledger}/consistency?from={}", history.size());
        let answer = self.http.get(&path, headers).await.map_err(again)?;
        let next = tokio::task::spawn_blocking(move || history.advance(&answer)).await;
        let next = next.map_err(stopped)?.map_err(|doubt| self.doubt(&agent, ledger, doubt))?;
        self.histories.insert(Arc::clone(ledger), (Arc::new(next), Some(Instant::now())));
        Ok(())
    }

    fn doubt(&mut self, agent: &Arc<Agent>, ledger: &Arc<str>, doubt: Doubt) -> Failure {
        match doubt {
            Doubt::Unclear(failure) => failure,
            Doubt::OtherHistory { reason, pinned, shown } => {
                self.halted = Some(reason.clone());
                let alarm = Alarm { ledger: ledger.to_string(), reason: reason.clone(), pinned, shown };
                let agent = Arc::clone(agent);
                tokio::task::spawn_blocking(move || (agent.on_alarm)(&alarm));
                Failure::Halt { reason }
            }
        }
    }
}

impl Sink for AttestrySink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }

    fn accounts(&self) -> bool {
        self.agent.is_some()
    }

    fn account(&mut self, covered: &[Covered]) {
        if self.agent.is_some() {
            self.covered = covered.to_vec();
        }
    }
}

/// A request's body.
enum Body {
    Lines(Vec<u8>),
    Nothing,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Delivered,
    Refused(String),
}

fn set(fates: &mut [Fate], row: usize, fate: Fate) {
    if let Some(place) = fates.get_mut(row) {
        *place = fate;
    }
}

/// Nothing of a ledger counts as delivered when its history is in doubt.
fn reopen(fates: &mut [Fate], parcels: &[Parcel], ledger: &Arc<str>) {
    for (fate, _) in fates.iter_mut().zip(parcels).filter(|(_, parcel)| parcel.ledger == *ledger) {
        *fate = Fate::Open;
    }
}

/// What is delivered from the beginning need not be offered again. A refused event ends it: a failure has no place for its reason.
fn with_delivered(failure: Failure, fates: &[Fate]) -> Failure {
    match failure {
        Failure::Again { reason, after, .. } => {
            let delivered = fates.iter().take_while(|fate| **fate == Fate::Delivered).count();
            Failure::Again { delivered, reason, after }
        }
        halt @ Failure::Halt { .. } => halt,
    }
}

fn again(error: HttpError) -> Failure {
    Failure::again(error.to_string())
}

/// Something of this process, not of the far side, failed.
fn stopped(error: impl fmt::Display) -> Failure {
    Failure::again(error.to_string())
}

#[cfg(test)]
mod tests;
