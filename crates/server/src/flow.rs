//! What flows through this node besides requests: its receivers and sinks, as the page, the command line and Prometheus show them.

use std::fmt;
use std::sync::Arc;

use attestry_event::Nanos;
use axum::Json;
use axum::extract::State;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde::Serialize;

use crate::app::App;
use crate::auth::Caller;
use crate::parts::Operations;
use crate::problem::Problem;

/// What flows through a node.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct FlowStatus {
    /// Where events come in from others.
    pub receivers: Vec<ReceiverStatus>,
    /// Where events go, an item for each log that a sink follows.
    pub sinks: Vec<SinkStatus>,
}

/// How a receiver is doing. All numbers count from its start; what its protocol does not count is absent.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct ReceiverStatus {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// Where it listens; null for what fetches.
    pub address: Option<String>,
    /// The ledger its events go to.
    pub ledger: String,
    /// Messages that came, those that came again counted each time.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Events taken in.
    pub kept: u64,
    /// Events that a filter left out.
    pub filtered: u64,
    /// Of the kept ones: those that were no events.
    pub malformed: u64,
    /// Datagrams that were lost, for whatever reason; `gap.datagram` events say the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Connections, requests or lines that were turned away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Connections there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Of the messages of a queue: those that the broker had delivered before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redelivered: Option<u64>,
    /// Messages of a queue that were acknowledged, after they were durable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<u64>,
    /// How often a connection with the broker was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connects: Option<u64>,
    /// Why nothing comes in at present; absent while it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When something came in last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Nanos>,
    /// How often something should come in at least, in seconds; none when it may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_s: Option<u64>,
}

/// How a sink is doing with one log.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// What it follows: a ledger, or `spool`.
    pub log: String,
    /// `running`, `waiting` to try again, `halted` until a person has looked, or `stopped`.
    pub state: String,
    /// Events delivered since the start.
    pub delivered: u64,
    /// Events that its filter left out.
    pub filtered: u64,
    /// Events that went to its dead letters.
    pub refused: u64,
    /// Deliveries that failed and were tried again.
    pub retries: u64,
    /// Events that were gone before it had them.
    pub lost: u64,
    /// How many events it is behind.
    pub lag: u64,
    /// Events in its dead letters now.
    pub dead: u64,
    /// What is wrong.
    pub why: Option<String>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Nanos>,
}

/// The receivers and sinks of this node.
#[utoipa::path(get, path = "/flow", tag = "ledgers", responses((status = 200, body = FlowStatus)))]
pub(crate) async fn flow(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<FlowStatus>, Problem> {
    if caller.scope(&app, None)?.filter.is_some() {
        return Err(Problem::forbidden("a filtered key or user does not see the receivers and sinks"));
    }
    Ok(Json(app.operations.flow()))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
    log: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiverLabels {
    receiver: String,
}

/// Asks the receivers and sinks when somebody looks.
pub(crate) struct FlowMetrics(pub(crate) Arc<dyn Operations>);

impl fmt::Debug for FlowMetrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FlowMetrics").finish_non_exhaustive()
    }
}

impl Collector for FlowMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let flow = self.0.flow();
        type OfSink = fn(&SinkStatus) -> u64;
        let counted: [(&str, &str, OfSink); 5] = [
            ("sink_events", "Events delivered.", |sink| sink.delivered),
            ("sink_filtered", "Events that the sink's filter left out.", |sink| sink.filtered),
            ("sink_refused", "Events that went to the sink's dead letters.", |sink| sink.refused),
            ("sink_retries", "Deliveries that failed and were tried again.", |sink| sink.retries),
            ("sink_lost", "Events that were gone before the sink had them.", |sink| sink.lost),
        ];
        let measured: [(&str, &str, OfSink); 3] = [
            ("sink_lag", "Events that wait for the sink.", |sink| sink.lag),
            ("sink_dead_letters", "Events in the sink's dead letters.", |sink| sink.dead),
            ("sink_failing", "1 while the sink does not deliver.", |sink| u64::from(sink.state != "running")),
        ];
        let of = |sink: &SinkStatus| SinkLabels { sink: sink.name.clone(), log: sink.log.clone() };
        for (name, help, read) in counted {
            let mut metric =
                encoder.encode_descriptor(name, help, None, ConstCounter::new(0u64).metric_type())?;
            for sink in &flow.sinks {
                ConstCounter::new(read(sink)).encode(metric.encode_family(&of(sink))?)?;
            }
        }
        for (name, help, read) in measured {
            let mut metric =
                encoder.encode_descriptor(name, help, None, ConstGauge::new(0i64).metric_type())?;
            for sink in &flow.sinks {
                let value = i64::try_from(read(sink)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric.encode_family(&of(sink))?)?;
            }
        }
        encode_receivers(&flow.receivers, &mut encoder)
    }
}

/// What a protocol does not count has no series, rather than one that is always 0.
fn encode_receivers(receivers: &[ReceiverStatus], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    type Read = fn(&ReceiverStatus) -> Option<u64>;
    let counted: [(&str, &str, Option<Unit>, Read); 10] = [
        ("receiver_events", "Events taken in.", None, |of| Some(of.kept)),
        ("receiver_filtered", "Events that the receiver's filter left out.", None, |of| Some(of.filtered)),
        ("receiver_malformed", "What was taken in and is no event.", None, |of| Some(of.malformed)),
        ("receiver_messages", "Messages that came.", None, |of| Some(of.messages)),
        ("receiver", "Bytes of the messages that came.", Some(Unit::Bytes), |of| Some(of.bytes)),
        ("receiver_dropped", "Datagrams that were lost.", None, |of| of.dropped),
        ("receiver_refused", "Connections, requests and lines that were turned away.", None, |of| of.refused),
        ("receiver_redelivered", "Messages that the broker had delivered before.", None, |of| of.redelivered),
        ("receiver_acknowledged", "Messages acknowledged to the broker.", None, |of| of.acknowledged),
        ("receiver_connects", "Connections made with the broker.", None, |of| of.connects),
    ];
    let labels = |of: &ReceiverStatus| ReceiverLabels { receiver: of.name.clone() };
    for (name, help, unit, read) in counted {
        let kind = ConstCounter::new(0u64).metric_type();
        let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (of, value) in receivers.iter().filter_map(|of| Some((of, read(of)?))) {
            ConstCounter::new(value).encode(metric.encode_family(&labels(of))?)?;
        }
    }
    let measured: [(&str, &str, Read); 2] = [
        ("receiver_connections", "Connections there are now.", |of| of.connections),
        ("receiver_failing", "1 while nothing can come in.", |of| Some(u64::from(of.why.is_some()))),
    ];
    for (name, help, read) in measured {
        let kind = ConstGauge::new(0i64).metric_type();
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (of, value) in receivers.iter().filter_map(|of| Some((of, read(of)?))) {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(metric.encode_family(&labels(of))?)?;
        }
    }
    Ok(())
}
