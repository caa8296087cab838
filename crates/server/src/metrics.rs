//! What the server counts, for Prometheus (OpenMetrics text).
//!
//! Per stage of an event's way: what came in, what was stored, what was refused, bytes, time, and how much waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use attestry_ledger::Placed;
use attestry_store::Store;
use axum::http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::flow::FlowMetrics;
use crate::parts::{LedgerPart, Operations};

/// Upper bounds of the time histograms, in seconds: from a cached lookup to a large batch on a busy disk.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

type Times<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Labels with their values; few and known, never taken from a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    ledger: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    ledger: String,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LedgerLabels {
    ledger: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

/// All metrics of the server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_times: Times<RouteLabels>,
    events: Family<EventLabels, Counter>,
    ingest_bytes: Family<LedgerLabels, Counter>,
    ingest_times: Times<StageLabels>,
    search_times: Times<KindLabels>,
    searches_stopped: Counter<u64, AtomicU64>,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    pub(crate) fn new(
        ledgers: &[LedgerPart],
        store: &Arc<Store>,
        operations: &Arc<dyn Operations>,
    ) -> Metrics {
        let mut registry = Registry::with_prefix("attestry");
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let request_times = Family::new_with_constructor(histogram as fn() -> Histogram);
        let help = "Time until the head of the answer";
        registry.register_with_unit("http_request", help, Unit::Seconds, request_times.clone());
        let events = Family::default();
        registry.register(
            "ingest_events",
            "Events by outcome: stored, duplicate, conflict, refused",
            events.clone(),
        );
        let ingest_bytes = Family::default();
        registry.register_with_unit(
            "ingest",
            "Bytes of event bodies as sent",
            Unit::Bytes,
            ingest_bytes.clone(),
        );
        let ingest_times = Family::new_with_constructor(histogram as fn() -> Histogram);
        let help = "Time of a request's events in a stage: receive, parse, commit, index";
        registry.register_with_unit("ingest_stage", help, Unit::Seconds, ingest_times.clone());
        let search_times = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register_with_unit(
            "search",
            "Time of a search by kind",
            Unit::Seconds,
            search_times.clone(),
        );
        let searches_stopped = Counter::default();
        let help = "Searches given up because the client left or the time was over";
        registry.register("searches_stopped", help, searches_stopped.clone());
        registry
            .register_collector(Box::new(Ledgers { ledgers: ledgers.to_vec(), store: Arc::clone(store) }));
        registry.register_collector(Box::new(Sources(Arc::clone(operations))));
        registry.register_collector(Box::new(FlowMetrics(Arc::clone(operations))));
        Metrics {
            registry,
            requests,
            request_times,
            events,
            ingest_bytes,
            ingest_times,
            search_times,
            searches_stopped,
        }
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // Methods are the client's to invent: those we do not know share one label.
        let method = ["GET", "HEAD", "POST", "PUT", "DELETE"].into_iter().find(|known| method == *known);
        let labels = RequestLabels {
            method: method.unwrap_or("other"),
            route: route.to_owned(),
            status: status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
        let route = RouteLabels { route: route.to_owned() };
        self.request_times.get_or_create(&route).observe(took.as_secs_f64());
    }

    /// Counts what happens to one ingest request.
    pub(crate) fn ingest(&self, ledger: &str) -> Ingest<'_> {
        Ingest { metrics: self, ledger: ledger.to_owned() }
    }

    pub(crate) fn search(&self, kind: &'static str, took: Duration) {
        self.search_times.get_or_create(&KindLabels { kind }).observe(took.as_secs_f64());
    }

    pub(crate) fn search_stopped(&self) {
        self.searches_stopped.inc();
    }

    /// The exposition, OpenMetrics 1.0.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The counters of one ingest request.
pub(crate) struct Ingest<'a> {
    metrics: &'a Metrics,
    ledger: String,
}

impl Ingest<'_> {
    fn count(&self, outcome: &'static str, events: usize) {
        if events > 0 {
            let labels = EventLabels { ledger: self.ledger.clone(), outcome };
            self.metrics.events.get_or_create(&labels).inc_by(events as u64);
        }
    }

    pub(crate) fn bytes(&self, bytes: usize) {
        let labels = LedgerLabels { ledger: self.ledger.clone() };
        self.metrics.ingest_bytes.get_or_create(&labels).inc_by(bytes as u64);
    }

    pub(crate) fn stage(&self, stage: &'static str, took: Duration) {
        let labels = StageLabels { ledger: self.ledger.clone(), stage };
        self.metrics.ingest_times.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, events: usize) {
        self.count("refused", events);
    }

    pub(crate) fn stored(&self, placed: &[Placed]) {
        let count = |is: fn(&Placed) -> bool| placed.iter().filter(|placed| is(placed)).count();
        self.count("stored", count(|placed| matches!(placed, Placed::New(_))));
        self.count("duplicate", count(|placed| matches!(placed, Placed::Duplicate(_))));
        self.count("conflict", count(|placed| matches!(placed, Placed::Conflict(_))));
    }
}

/// Asks the ledgers and the index how much they hold when somebody looks.
struct Ledgers {
    ledgers: Vec<LedgerPart>,
    store: Arc<Store>,
}

impl fmt::Debug for Ledgers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ledgers").finish_non_exhaustive()
    }
}

impl Collector for Ledgers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        type Read = fn(&attestry_ledger::Size) -> u64;
        let sizes: Vec<_> =
            self.ledgers.iter().map(|part| (part.ledger.name().to_owned(), part.ledger.sizes())).collect();
        let gauges: [(&str, &str, Option<Unit>, Read); 5] = [
            ("ledger_entries", "Committed entries, pruned ones included.", None, |size| size.entries),
            ("ledger_first_entry", "Index of the first entry that is not pruned.", None, |size| size.first),
            ("ledger_sealed", "Size of the sealed segments.", Some(Unit::Bytes), |size| size.sealed_bytes),
            ("ledger_unsealed", "Size of what is not sealed yet.", Some(Unit::Bytes), |size| size.tail_bytes),
            ("ledger_queue", "Size of what waits to be committed.", Some(Unit::Bytes), |size| {
                size.queued_bytes
            }),
        ];
        for (name, help, unit, read) in gauges {
            let values = sizes.iter().map(|(ledger, size)| (ledger.as_str(), read(size)));
            encode_gauge(&mut encoder, name, help, unit.as_ref(), values)?;
        }
        let states = self.store.states();
        let values = states.iter().map(|state| (&*state.ledger, state.indexed));
        encode_gauge(&mut encoder, "index_entries", "Entries that searches find.", None, values)?;
        let values = states.iter().map(|state| (&*state.ledger, u64::from(state.failure.is_some())));
        encode_gauge(
            &mut encoder,
            "index_failing",
            "1 while the index does not follow its ledger.",
            None,
            values,
        )
    }
}

fn encode_gauge<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(0i64);
    let mut metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
    for (ledger, value) in values {
        let labels = LedgerLabels { ledger: ledger.to_owned() };
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Asks the sources of this node how many events they sent when somebody looks.
struct Sources(Arc<dyn Operations>);

impl fmt::Debug for Sources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sources = self.0.sources();
        let counter = ConstCounter::new(0u64);
        let help = "Events that the sources of this node have sent since the start.";
        let mut metric = encoder.encode_descriptor("source_events", help, None, counter.metric_type())?;
        for source in &sources {
            let labels = SourceLabels { source: source.name.clone() };
            ConstCounter::new(source.events).encode(metric.encode_family(&labels)?)?;
        }
        let gauge = ConstGauge::new(0i64);
        let mut metric = encoder.encode_descriptor(
            "source_on",
            "1 while the source is running.",
            None,
            gauge.metric_type(),
        )?;
        for source in &sources {
            let labels = SourceLabels { source: source.name.clone() };
            ConstGauge::new(i64::from(source.on)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
