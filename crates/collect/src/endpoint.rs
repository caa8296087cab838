//! Source `endpoint`: whether HTTP, HTTPS and TCP endpoints answer as they should, how fast, and how long their certificates last.
//!
//! All endpoints of a source are looked at side by side; what is known of one is sent when it is known. One `endpoint.check` a look and
//! endpoint; `endpoint.down` and `endpoint.up` when that changes. Which are down is the position, so a restart does not tell it again.
//!
//! A request goes to the address that was checked: names are resolved here, once a request, and the connection is made to what came of it.
//! No proxy of the environment is asked. Link-local addresses are never reached, private ones and this host only with `allow_private`;
//! what a redirect leads to is held to the same.

mod certificate;
mod exchange;
mod expect;
mod look;
mod target;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use attestry_event::{Nanos, Period};
use attestry_outbound::{Reach, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::source::{Availability, Cadence, Collector, Feed, Paths, Setup, Source, Stopped};
use look::{Failure, Looked, Phase, Plan};
use target::Target;

pub use expect::{Expect, StatusRange};

/// More endpoints a source has not: each may hold a body of [`exchange::MAX_BODY_BYTES`] while it is looked at.
const MAX_ENDPOINTS: usize = 100;
/// How many names are resolved at once. The system's resolver blocks a thread for each, and cannot be interrupted.
const RESOLVERS: usize = 32;
/// How soon a look ends when it is told to.
const STOP_EVERY: Duration = Duration::from_millis(50);

/// Checks of HTTP, HTTPS and TCP endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The endpoint: `https://…`, `http://…` or `tcp://host:port`, without a user name or password.
    pub url: Option<String>,
    /// Several endpoints with the same settings, at most 100.
    pub urls: Vec<String>,
    /// The method of the request. Default: `GET`. Of `tcp://` only the connection is made.
    pub method: String,
    /// Headers of the request. A value may be a secret: `{file: …}` or `{env: …}`.
    pub headers: BTreeMap<String, Secret>,
    /// The body of the request, which may be a secret, too. Default: none.
    pub body: Option<Secret>,
    /// How often it looks. Default: `1m`.
    pub every: Period,
    /// How long a look may take, redirects and all; not longer than `every`. Default: `10s`.
    pub timeout: Period,
    /// What an answer must be like.
    pub expect: Expect,
    /// Whether redirects are followed, at most 5; headers and body go to another host, port or scheme never. Default: false.
    pub follow_redirects: bool,
    /// Certificates of the authorities to believe, a PEM file. Default: those of the public web.
    pub ca: Option<PathBuf>,
    /// A certificate that ends sooner than this is a warning. Default: `14d`.
    pub certificate_warning: Period,
    /// Whether this host and private networks may be reached. Default: false. Link-local addresses never are.
    pub allow_private: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            url: None,
            urls: Vec::new(),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            every: Period::seconds(60),
            timeout: Period::seconds(10),
            expect: Expect::default(),
            follow_redirects: false,
            ca: None,
            certificate_warning: Period::seconds(14 * 86_400),
            allow_private: false,
        }
    }
}

impl Config {
    fn written(&self) -> impl Iterator<Item = &String> {
        self.url.iter().chain(&self.urls)
    }

    /// What is to be looked at; what is no address was refused by [`Source::check`].
    fn targets(&self) -> Vec<Target> {
        self.written().filter_map(|url| Target::parse(url).ok()).take(MAX_ENDPOINTS).collect()
    }

    fn reach(&self) -> Reach {
        if self.allow_private { Reach::Private } else { Reach::Public }
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "endpoint"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Every(self.every.0)
    }

    fn needs(&self) -> &'static str {
        "a way to the endpoint"
    }

    fn availability(&self, _paths: &Paths) -> Availability {
        match &self.targets()[..] {
            [] => Availability::off("no endpoint is given"),
            [one] => Availability::on(format!("checks {} every {}", one.shown, self.every)),
            many => Availability::on(format!("checks {} endpoints every {}", many.len(), self.every)),
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for url in self.written() {
            let field = if self.url.as_ref() == Some(url) { "url" } else { "urls" };
            match Target::parse(url) {
                Err(error) => wrong.push((field, error.to_string())),
                Ok(target) => {
                    if let Some(Err(error)) = target.literal().map(|address| self.reach().check(address)) {
                        wrong.push((field, error.to_string()));
                    }
                    if !seen.insert(target.shown.clone()) {
                        wrong.push((field, format!("{} is given twice", target.shown)));
                    }
                }
            }
        }
        match seen.len() {
            0 if wrong.is_empty() => wrong.push(("url", "no endpoint is given, expected url or urls".into())),
            0..=MAX_ENDPOINTS => {}
            count => wrong.push(("urls", format!("{count} endpoints, expected at most {MAX_ENDPOINTS}"))),
        }
        let times = [
            ("every", self.every.at_least(Period::seconds(1))),
            ("timeout", self.timeout.at_least(Period::millis(1))),
        ];
        wrong.extend(times.into_iter().filter_map(|(field, what)| Some((field, what?))));
        if self.timeout.0 > self.every.0 {
            wrong.push(("timeout", format!("{} is longer than every: {}", self.timeout, self.every)));
        }
        wrong.extend(look::wrong_request(&self.method, self.headers.keys()));
        wrong.extend(self.expect.wrong().into_iter().map(|what| ("expect", what)));
        wrong
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        let down = setup.position.as_ref().and_then(|position| position["down"].as_object());
        let down = down.into_iter().flatten();
        let down = down.filter_map(|(url, since)| Some((url.clone(), Nanos(since.as_i64()?))));
        Box::new(Endpoints { config: self.clone(), down: down.collect(), runtime: None })
    }
}

struct Endpoints {
    config: Config,
    /// Since when an endpoint is down, by its address as it is shown.
    down: BTreeMap<String, Nanos>,
    /// With a thread of its own: while the outlet blocks this one, the looks go on, and their times stay true.
    runtime: Option<Runtime>,
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name that is being resolved cannot be interrupted, and is not waited for.
            runtime.shutdown_background();
        }
    }
}

impl Endpoints {
    fn position(&self) -> Value {
        json!({ "down": self.down.iter().map(|(url, since)| (url.clone(), since.0.into())).collect::<serde_json::Map<_, Value>>() })
    }

    fn tell(&mut self, target: &Target, looked: &Looked, feed: &mut Feed) {
        let now = feed.now();
        let since = self.down.get(&target.shown).copied();
        feed.push(told::check(target, looked, now, self.config.certificate_warning));
        match (&looked.failure, since) {
            (Some(failure), None) => {
                self.down.insert(target.shown.clone(), now);
                feed.push(told::down(target, failure, now));
            }
            (None, Some(since)) => {
                self.down.remove(&target.shown);
                feed.push(told::up(target, since, now));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    async fn look(&mut self, targets: Vec<Target>, plan: Arc<Plan>, feed: &mut Feed) -> Result<(), Stopped> {
        let mut looks = JoinSet::new();
        let mut open = HashMap::new();
        for target in targets {
            let (plan, aim) = (Arc::clone(&plan), target.clone());
            let task = looks.spawn(async move { look::look(&aim, &plan).await });
            open.insert(task.id(), target);
        }
        loop {
            tokio::select! {
                joined = looks.join_next_with_id() => {
                    // With those that are ready as well: a position is kept once for all of them.
                    let mut next = joined;
                    while let Some(ended) = next {
                        let (id, looked) = match ended {
                            Ok(ended) => ended,
                            Err(error) => (error.id(), Looked::failed(Failure::new(Phase::Look, "it ended by a bug of its own"))),
                        };
                        if let Some(target) = open.remove(&id) {
                            self.tell(&target, &looked, feed);
                        }
                        next = looks.try_join_next_with_id();
                    }
                    feed.send(|| self.position())?;
                    if open.is_empty() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(STOP_EVERY) => feed.go_on()?,
            }
        }
    }
}

impl Collector for Endpoints {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let runtime = match self.runtime.take() {
            Some(runtime) => Ok(runtime),
            None => tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(RESOLVERS)
                .thread_name("endpoint")
                .enable_all()
                .build(),
        };
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                feed.status().set_problem(Some(format!("no threads to look with: {error}")));
                return Ok(());
            }
        };
        feed.status().set_problem(None);
        let targets = self.config.targets();
        self.down.retain(|url, _| targets.iter().any(|target| target.shown == *url));
        // Secrets and authorities are read at every look, so that renewed ones are used.
        let plan = Arc::new(Plan::new(&self.config));
        let ended = runtime.block_on(self.look(targets, plan, feed));
        self.runtime = Some(runtime);
        ended
    }
}

#[cfg(test)]
mod tests;
