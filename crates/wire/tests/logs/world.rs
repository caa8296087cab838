//! What the tests share: parcels, an inlet that remembers, receivers that run, certificates.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestry_event::{Batch, Border, Event, Nanos};
use attestry_pipeline::{Closed, Incoming, Inlet, Parcel, Taken};
use attestry_testkit::Authority;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The parcel of what a client sent.
#[track_caller]
pub(crate) fn parcel(json: &str) -> Parcel {
    let now = Nanos::parse("2026-11-21T03:04:05Z").unwrap();
    let mut batch = Batch::with_seed([7; 32]);
    let border =
        Border { event_source: "web", via: &[], lenient: false, reserved_names: true, agent: true, now };
    batch.push_json(json.as_bytes(), &border).unwrap_or_else(|problems| panic!("{json}: {problems:?}"));
    batch.stamp(now);
    let entry = Bytes::copy_from_slice(batch.entry(0));
    Parcel { ledger: Arc::from("audit"), number: 0, seq: None, entry, values: batch.values }
}

/// Parcels whose messages are `event 0` and so on.
pub(crate) fn parcels(count: usize) -> Vec<Parcel> {
    let json = |at| format!(r#"{{"event_name":"some.thing","username":"alice","message":"event {at}"}}"#);
    (0..count).map(|at| parcel(&json(at))).collect()
}

/// An inlet that remembers what was put into it.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Event>>);

impl Inlet for Kept {
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
        let kept = events.len();
        let events = events.into_iter().map(|event| match event {
            Incoming::Event(event) => *event,
            Incoming::Json(json) => panic!("{}", String::from_utf8_lossy(&json)),
        });
        self.0.lock().unwrap().extend(events);
        Ok(Taken { kept, ..Taken::default() })
    }
}

impl Kept {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until there are as many events.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Event> {
        for _ in 0..3_000 {
            let events = self.events();
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} events expected, these came: {:?}", self.events());
    }
}

/// A receiver that runs.
pub(crate) struct Receiving {
    pub(crate) kept: Arc<Kept>,
    pub(crate) address: String,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Receiving {
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        address: &str,
        run: impl FnOnce(Arc<dyn Inlet>, CancellationToken) -> F,
    ) -> Receiving {
        let (kept, stop) = (Arc::new(Kept::default()), CancellationToken::new());
        let running = tokio::spawn(run(Arc::<Kept>::clone(&kept), stop.clone()));
        Receiving { kept, address: address.to_owned(), stop, running }
    }

    pub(crate) async fn syslog(config: &str) -> Receiving {
        let config: attestry_wire::syslog::ReceiverConfig = serde_saphyr::from_str(config).unwrap();
        let receiver = attestry_wire::syslog::Receiver::bind(&config).await.unwrap();
        let address = receiver.address().to_owned();
        Receiving::start(&address, |inlet, stop| receiver.run(inlet, stop))
    }

    pub(crate) async fn gelf(config: &str) -> Receiving {
        let config: attestry_wire::gelf::ReceiverConfig = serde_saphyr::from_str(config).unwrap();
        let receiver = attestry_wire::gelf::Receiver::bind(&config).await.unwrap();
        let address = receiver.address().to_owned();
        Receiving::start(&address, |inlet, stop| receiver.run(inlet, stop))
    }

    /// `127.0.0.1:12345`
    pub(crate) fn at(&self) -> &str {
        let (_, rest) = self.address.split_once("://").unwrap();
        rest.split('/').next().unwrap()
    }

    pub(crate) fn port(&self) -> &str {
        self.at().rsplit_once(':').unwrap().1
    }

    /// Stops it and gives everything that came.
    pub(crate) async fn stop(self) -> Vec<Event> {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.running)
            .await
            .expect("the receiver ends")
            .unwrap();
        self.kept.events()
    }
}

/// Certificates for a server on this host and for a client, of an authority of their own.
pub(crate) struct Certificates(Authority);

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let authority = Authority::new();
        authority.server();
        authority.issue("client", &[]);
        Certificates(authority)
    }

    /// `ca.pem`, `server.pem`, `client.key` …
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.ca().with_file_name(name)
    }

    /// For a receiver's `tls:`.
    pub(crate) fn server(&self) -> String {
        format!("{{cert: {}, key: {}}}", self.path("server.pem").display(), self.path("server.key").display())
    }

    /// For a receiver's `tls:` that lets in only clients of this authority.
    pub(crate) fn strict_server(&self) -> String {
        let (cert, key, ca) = (self.path("server.pem"), self.path("server.key"), self.path("ca.pem"));
        format!("{{cert: {}, key: {}, client_ca: {}}}", cert.display(), key.display(), ca.display())
    }

    /// For a sink's `tls:`.
    pub(crate) fn client(&self) -> String {
        format!("{{ca: {}}}", self.path("ca.pem").display())
    }

    /// For a sink's `tls:` that shows a certificate.
    pub(crate) fn known_client(&self) -> String {
        let (cert, key, ca) = (self.path("client.pem"), self.path("client.key"), self.path("ca.pem"));
        format!("{{ca: {}, cert: {}, key: {}}}", ca.display(), cert.display(), key.display())
    }
}
