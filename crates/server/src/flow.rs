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

/// How a receiver is doing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReceiverStatus {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// Where it listens; null for what fetches.
    pub address: Option<String>,
    /// The ledger its events go to.
    pub ledger: String,
    /// Events taken in since the start.
    pub kept: u64,
    /// Events that a filter left out.
    pub filtered: u64,
    /// Of the kept ones: those that were no events.
    pub malformed: u64,
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
        type OfReceiver = fn(&ReceiverStatus) -> u64;
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
        let taken: [(&str, &str, OfReceiver); 3] = [
            ("receiver_events", "Events taken in.", |receiver| receiver.kept),
            ("receiver_filtered", "Events that the receiver's filter left out.", |receiver| {
                receiver.filtered
            }),
            ("receiver_malformed", "What was taken in and is no event.", |receiver| receiver.malformed),
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
        for (name, help, read) in taken {
            let mut metric =
                encoder.encode_descriptor(name, help, None, ConstCounter::new(0u64).metric_type())?;
            for receiver in &flow.receivers {
                let labels = ReceiverLabels { receiver: receiver.name.clone() };
                ConstCounter::new(read(receiver)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
