//! What every search has in common: its parameters, what the caller may see, where it runs, and its record in `audit`.
//!
//! A search is run by [`run`] and by nothing else, so no endpoint can forget the caller's filter or the record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::{Event, Nanos, Outcome};
use attestry_store::{Error, Query as Search, Scope, Stop, Store};
use axum::Json;
use serde::{Deserialize, Serialize};

use crate::app::{App, blocking};
use crate::auth::Caller;
use crate::body::overloaded;
use crate::problem::{Kind, Problem, chain};
use crate::times;

/// How long a search may run.
const SEARCH_MAX: Duration = Duration::from_secs(30);

/// Which events; the same for all searches.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// What they must answer, in the search language; empty: all.
    #[serde(default)]
    #[param(example = "event_name:login.* -read_only:true")]
    pub(crate) q: String,
    /// The least `event_time`: RFC 3339, or relative such as `-24h`.
    #[param(example = "-24h")]
    pub(crate) from: Option<String>,
    /// The `event_time` before which they lie: RFC 3339, relative, or `now`.
    pub(crate) to: Option<String>,
    /// The ledgers to look in, separated by commas; default: all that the caller may read.
    pub(crate) ledger: Option<String>,
}

/// Reads a query, or says where it is wrong.
pub(crate) fn parse(text: &str) -> Result<Search, Problem> {
    Search::parse(text).map_err(|error| {
        Problem::new(Kind::BadQuery, error.message.clone())
            .with("position", error.position)
            .with("length", error.length)
            .with("message", error.message)
            .with("expected", error.expected)
    })
}

impl Which {
    /// The events that are asked for and that the caller may see.
    pub(crate) fn scope(&self, app: &App, caller: &Caller) -> Result<Scope, Problem> {
        let allowed = caller.scope(app, self.ledger.as_deref())?;
        let asked = parse(&self.q)?;
        let query = match &allowed.filter {
            Some(filter) => asked.and(filter),
            None => asked,
        };
        let now = app.clock.now();
        let time = |name, text: &Option<String>| -> Result<Option<Nanos>, Problem> {
            text.as_deref()
                .filter(|text| !text.is_empty())
                .map(|text| times::parse(name, text, now))
                .transpose()
        };
        Ok(Scope {
            query,
            ledgers: Some(allowed.ledgers.iter().map(|ledger| ledger.name().to_owned()).collect()),
            from: time("from", &self.from)?,
            to: time("to", &self.to)?,
            stop: Stop::after(SEARCH_MAX),
        })
    }

    /// The record of this search, without its result.
    pub(crate) fn event(&self, name: &str, caller: &Caller, kind: &'static str) -> Event {
        let mut event = Event::new(name, caller.name())
            .source_ip_address(caller.address.to_string())
            .read_only(true)
            .data("kind", kind)
            .data("q", self.q.clone());
        for (name, value) in [("from", &self.from), ("to", &self.to), ("ledger", &self.ledger)] {
            if let Some(value) = value {
                event = event.data(name, value.clone());
            }
        }
        event
    }
}

/// What was found, and what every search tells besides.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SearchAnswer<T> {
    #[serde(flatten)]
    found: T,
    /// How many committed events searches do not find yet; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<u64>,
    /// Milliseconds of the server.
    took_ms: f64,
}

/// A search's result, and how long it took.
pub(crate) struct Answered<T> {
    pub(crate) result: T,
    pub(crate) took: Duration,
}

impl<T> Answered<T> {
    /// Milliseconds with three decimals.
    pub(crate) fn took_ms(&self) -> f64 {
        (self.took.as_secs_f64() * 1e6).round() / 1e3
    }

    /// The answer that `found` makes of the result, which says how many committed events are not found yet.
    pub(crate) fn json<U>(
        self,
        behind: impl FnOnce(&T) -> u64,
        found: impl FnOnce(T) -> U,
    ) -> Json<SearchAnswer<U>> {
        let took_ms = self.took_ms();
        let behind = Some(behind(&self.result)).filter(|behind| *behind > 0);
        Json(SearchAnswer { found: found(self.result), behind, took_ms })
    }
}

/// Ends the search when nobody waits for it any more.
pub(crate) struct StopOnDrop(pub(crate) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs a search where it may take its time, and records it with the number of its results, unless it was asked a moment ago.
pub(crate) async fn run<T: Send + 'static>(
    app: &Arc<App>,
    caller: &Caller,
    which: &Which,
    kind: &'static str,
    work: impl FnOnce(&Store, Scope) -> Result<T, Error> + Send + 'static,
    results: impl FnOnce(&T) -> u64 + Send + 'static,
) -> Result<Answered<T>, Problem> {
    let scope = which.scope(app, caller)?;
    let event = which.event("search.run", caller, kind);
    let is_new = app.searched.is_new(caller, which, app.clock.now());
    let _stop = StopOnDrop(scope.stop.clone());
    let permit = turn(app).await?;
    let (working, who) = (Arc::clone(app), caller.name().to_owned());
    blocking(move || {
        let started = Instant::now();
        let done = work(&working.store, scope);
        let took = started.elapsed();
        drop(permit);
        working.metrics.search(kind, took);
        // Recorded here, not after waiting for this thread: a client that left has searched all the same.
        // Not the query: bare words are looked for in messages, and each search would be found by the next.
        let event = match &done {
            Ok(result) => {
                let found = results(result);
                let event = event.message(format!("{who} searched ({kind}): {found} found"));
                event.outcome(Outcome::Success).data("results", found)
            }
            Err(error) => {
                let event = event.message(format!("a search of {who} failed ({kind})"));
                event.outcome(Outcome::Failure).data("error", error.to_string())
            }
        };
        if is_new || done.is_err() {
            working.audit.record(event.data("took_ms", took.as_secs_f64() * 1e3))?;
        }
        let result = done.map_err(|error| failed(&working, error))?;
        Ok(Answered { result, took })
    })
    .await
}

/// Permission to run a search; in turn, as long as not too many wait.
pub(crate) async fn turn(app: &App) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
    let waiting = Arc::clone(&app.searches_waiting).try_acquire_owned();
    let waiting = waiting.map_err(|_| overloaded("too many searches wait for their turn"))?;
    let permit = Arc::clone(&app.searches).acquire_owned().await;
    drop(waiting);
    permit.map_err(|_| Problem::new(Kind::Unavailable, "the server is stopping"))
}

/// What a failed search means for the one who asked.
pub(crate) fn failed(app: &App, error: Error) -> Problem {
    match error {
        Error::TimedOut => {
            app.metrics.search_stopped();
            let detail =
                "the search took longer than 30 s; a shorter time range or a narrower query takes less";
            Problem::new(Kind::Unavailable, detail)
        }
        Error::Cancelled => {
            app.metrics.search_stopped();
            Problem::new(Kind::Unavailable, "the search was given up")
        }
        error if error.is_callers() => Problem::bad_request(error.to_string()),
        error => {
            tracing::error!(error = chain(&error), "a search failed");
            Problem::new(Kind::Internal, "the server's log has the cause")
        }
    }
}
