//! Two hundred agents that come back at once, when their server does.
//!
//! They are not as many processes: each is the spool, the worker and the sink that an agent consists of, in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::{Batch, Border, Clock, Period, SystemClock};
use attestry_journal::disk::RealDisk;
use attestry_pipeline::dead::DeadOptions;
use attestry_pipeline::spool::{Options, Spool};
use attestry_pipeline::worker::{Batching, Ended, Handle, Retry, Start, Task};
use attestry_pipeline::{DeadLetters, Filter, Log, News, Worker};
use attestry_testkit::{Client, Scenario, wait_for};
use attestry_wire::attestry::{Agent, AttestrySink, SinkConfig};
use attestry_wire::tls::ClientTls;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agents;
use crate::stored::{self, InOrder};

const AGENTS: usize = 200;
/// Events that each has kept while the server was away, of about 2 KiB: together more than the 128 MiB of bodies that the server reads at
/// once.
const EVENTS: usize = 400;
/// How long all of them may take together, on a busy machine with a debug build.
const ARRIVED: Duration = Duration::from_secs(90);
/// What the server may take in memory: about 180 MiB for so many events when one agent brings them, at most 128 MiB for bodies and the events
/// made from them, and the rest for 200 connections with what belongs to each, such as zstd's window.
const MEMORY: u64 = 640 << 20;

/// An agent that is enrolled and has events to deliver.
struct Member {
    name: String,
    dir: PathBuf,
    spool: Arc<Spool>,
    config: SinkConfig,
    agent: Agent,
}

impl Member {
    /// Enrols an agent the way `attestry agent enroll` does, and fills its spool.
    fn new(scenario: &Scenario, owner: &Client, number: usize) -> Member {
        let name = format!("crowd-{number}");
        let dir = scenario.dir().join(&name);
        std::fs::create_dir_all(&dir).unwrap();
        let token = owner.post_json("/api/v1/agents/tokens", &json!({"name": name})).is(201).json();
        let secret = token["token"].as_str().unwrap().split('.').nth(1).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let body = json!({"token": secret, "csr": csr});
        let enrolled = scenario.anonymous().post_json("/api/v1/agents/enroll", &body).is(201).json();
        let file = |file: &str, text: &str| {
            let path = dir.join(file);
            std::fs::write(&path, text).unwrap();
            path
        };
        let tls = ClientTls {
            ca: Some(scenario.data().join("tls.cert")),
            cert: Some(file("cert.pem", enrolled["certificate"].as_str().unwrap())),
            key: Some(file("key.pem", &key.serialize_pem())),
            server_name: None,
        };
        let ledgers = enrolled["ledgers"].as_array().unwrap().iter();
        let keys = ledgers.map(|ledger| {
            (ledger["name"].as_str().unwrap().to_owned(), ledger["vkey"].as_str().unwrap().parse().unwrap())
        });
        let agent = Agent {
            name: name.clone(),
            pins: dir.join("pins"),
            keys: keys.collect(),
            on_alarm: Arc::new(|alarm| panic!("{alarm:?}")),
        };
        let config = SinkConfig { url: scenario.url(), key: None, tls, timeout: Period::seconds(60) };
        // Small files: 200 spools of the usual size would take gigabytes.
        let options = Options { max_bytes: 8 << 20, segment_bytes: Some(2 << 20), ..Options::default() };
        let (spool, _) = Spool::open(RealDisk, &dir.join("spool"), options, Arc::new(SystemClock)).unwrap();
        spool.put("audit", batch(&name)).unwrap();
        Member { name, dir, spool: Arc::new(spool), config, agent }
    }

    /// Begins to deliver, which fails as long as the server is away.
    fn start(&self, stop: &CancellationToken) -> (Handle, JoinHandle<Ended>) {
        let log = Arc::clone(&self.spool) as Arc<dyn Log>;
        let (dead, _) = DeadLetters::open(RealDisk, &self.dir.join("dead"), DeadOptions::default()).unwrap();
        let task = Task {
            name: self.name.clone(),
            news: News::follow(Arc::clone(&log)).unwrap(),
            log,
            sink: Box::new(AttestrySink::new(&self.config).unwrap().as_agent(self.agent.clone())),
            filter: Filter::default(),
            batching: Batching::default(),
            retry: Retry { first: Duration::from_secs(1), most: Duration::from_secs(2) },
            disk: RealDisk,
            cursor: self.dir.join("cursor"),
            start: Start::First,
            dead: Arc::new(dead),
            declare: Arc::new(|event| panic!("{event:?}")),
            clock: Arc::new(SystemClock),
        };
        let (worker, handle) = Worker::new(task, stop.clone());
        (handle, tokio::spawn(worker.run()))
    }
}

fn batch(name: &str) -> Batch {
    let border = Border {
        event_source: "app",
        via: &[],
        lenient: false,
        reserved_names: false,
        agent: false,
        now: SystemClock.now(),
    };
    let message = "word ".repeat(400);
    let mut batch = Batch::new();
    for number in 0..EVENTS {
        let event = format!(
            r#"{{"event_id":"{name}-{number}","event_name":"order.place","username":"u","message":"{message}"}}"#
        );
        batch.push_json(event.as_bytes(), &border).unwrap();
    }
    batch
}

#[test]
fn two_hundred_agents_that_come_back_at_once_are_all_served() {
    let mut scenario = agents::server();
    scenario.start();
    let owner = scenario.client(std::fs::read_to_string(scenario.data().join("local-key")).unwrap().trim());
    let members: Vec<Member> = (0..AGENTS).map(|number| Member::new(&scenario, &owner, number)).collect();
    scenario.stop();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let running: Vec<_> =
        runtime.block_on(async { members.iter().map(|member| member.start(&stop)).collect() });
    let tried = |(handle, _): &(Handle, _)| handle.status().retries > 0;
    wait_for("all find the server away", ARRIVED, || running.iter().all(tried).then_some(()));
    scenario.start();
    let begun = Instant::now();
    let mut first = None;
    wait_for("all have delivered", ARRIVED, || {
        let done = running.iter().filter(|(handle, _)| handle.status().lag == 0).count();
        if done > 0 {
            first.get_or_insert_with(|| begun.elapsed());
        }
        (done == AGENTS).then_some(())
    });
    let last = begun.elapsed();
    let memory = scenario.peak_memory();
    let retries: u64 = running.iter().map(|(handle, _)| handle.status().retries).sum();
    stop.cancel();
    for (handle, worker) in running {
        assert_eq!(runtime.block_on(worker).unwrap(), Ended::Stopped);
        assert_eq!(handle.status().refused, 0);
    }
    drop(runtime);
    #[allow(clippy::print_stdout, reason = "figures for whoever wants them")]
    {
        println!(
            "the first had delivered after {:.1?}, the last after {last:.1?}, with {retries} retries; the server took {} MiB",
            first.unwrap_or_default(),
            memory >> 20
        );
    }
    assert!(memory < MEMORY, "the server took {memory} bytes");
    scenario.stop();
    let mut numbers = InOrder::default();
    stored::each(&scenario, |entry| {
        assert!(!stored::is_gap(entry), "{}: {:?}", entry.event_name(), entry.event_data_text());
        numbers.look(entry);
    });
    assert_eq!(numbers.agents().len(), AGENTS);
    assert!(numbers.agents().values().all(|count| *count == EVENTS as u64), "{:?}", numbers.agents());
    scenario.finish();
}
