//! Events into an exchange.

use std::collections::HashMap;

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{ANSWER_MAX, Broker, Declare, NAME_BYTES_MAX};
use crate::queue::{CONTENT_TYPE, Failed, Message, again, messages, reason};

/// Messages that are on their way at once, at most.
const IN_FLIGHT_MAX: usize = 2_000;

/// AMQP's number for a message that is kept on disk.
const PERSISTENT: u8 = 2;

/// Sends events to an exchange.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// How to reach the broker.
    pub broker: Broker,
    /// The exchange. Default: the broker's default exchange, where the routing key is the name of a queue.
    #[serde(default)]
    pub exchange: String,
    /// The routing key of each message; `{ledger}` and `{event_name}` are filled in. With the default exchange: the queue.
    pub routing_key: String,
    /// Makes a durable queue, and the exchange (a durable one of the kind `topic`), when they are missing. Default: they must be there.
    #[serde(default)]
    pub declare: Option<Declare>,
}

impl SinkConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = self.broker.check();
        if self.exchange.len() > NAME_BYTES_MAX {
            wrong.push(("exchange", format!("a name of more than {NAME_BYTES_MAX} bytes")));
        }
        let example = self.routing_key("", "");
        if self.routing_key.is_empty() || example.contains(['{', '}']) {
            let expected = "expected a text, in which {ledger} and {event_name} are filled in";
            wrong.push(("routing_key", format!("{:?}, {expected}", self.routing_key)));
        }
        wrong.extend(self.declare.iter().flat_map(Declare::check));
        wrong
    }

    fn routing_key(&self, ledger: &str, event_name: &str) -> String {
        self.routing_key.replace("{ledger}", ledger).replace("{event_name}", event_name)
    }
}

/// The sink.
#[derive(Debug)]
pub struct AmqpSink {
    config: SinkConfig,
    connected: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    channel: Channel,
    /// It is closed when this is dropped.
    _connection: Connection,
}

impl AmqpSink {
    /// A sink that connects when it is first used.
    pub fn new(config: SinkConfig) -> AmqpSink {
        AmqpSink { config, connected: None }
    }

    async fn connect(config: &SinkConfig) -> Result<Connected, Failed> {
        let connection = config.broker.connect().await?;
        let channel = connection.create_channel().await?;
        if let Some(declare) = &config.declare {
            declare.apply(&channel, &config.exchange).await?;
        }
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Connected { channel, _connection: connection })
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let connected = match &mut self.connected {
            Some(connected) => connected,
            none => {
                let made = timeout(ANSWER_MAX, AmqpSink::connect(&self.config)).await;
                let made = made.unwrap_or_else(|_| Err(Failed("the broker does not answer".to_owned())));
                none.insert(made.map_err(|Failed(reason)| Failure::again(reason))?)
            }
        };
        let (messages, mut refused) = messages(parcels, None);
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let mut sent = Vec::new();
            let mut numbers = HashMap::new();
            for message in messages.by_ref().take(IN_FLIGHT_MAX) {
                let at = message.at;
                let key = self.config.routing_key(&message.ledger, &message.event_name);
                if key.len() > NAME_BYTES_MAX {
                    let reason = format!(
                        "its routing key has {} bytes, AMQP takes at most {NAME_BYTES_MAX}",
                        key.len()
                    );
                    refused.push(Refused { at, reason });
                    continue;
                }
                let id = message.id.clone();
                let published = publish(&connected.channel, &self.config.exchange, &key, message);
                match timeout(ANSWER_MAX, published).await {
                    Ok(Ok(confirm)) => sent.push((at, confirm)),
                    Ok(Err(error)) => return Err(again(at, &refused, reason(&error))),
                    // A broker that is short of memory or disk reads no further.
                    Err(_) => return Err(again(at, &refused, "the broker takes no message".to_owned())),
                }
                numbers.insert(id, at);
            }
            let mut returned = Vec::new();
            for (at, confirm) in sent {
                match timeout(ANSWER_MAX, confirm).await {
                    Ok(Ok(Confirmation::Ack(message))) => returned.extend(message),
                    Ok(Ok(_)) => {
                        return Err(again(at, &refused, "the broker could not store the event".to_owned()));
                    }
                    Ok(Err(error)) => return Err(again(at, &refused, reason(&error))),
                    Err(_) => return Err(again(at, &refused, "the broker does not confirm".to_owned())),
                }
            }
            if let Some((at, reason)) = first_returned(&returned, &numbers) {
                return Err(again(at, &refused, reason));
            }
        }
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }
}

/// Which event no queue would get. The client hands a returned message to whichever confirmation comes next, so it is found by its id.
fn first_returned(
    returned: &[BasicReturnMessage],
    numbers: &HashMap<String, usize>,
) -> Option<(usize, String)> {
    let number = |message: &BasicReturnMessage| {
        let id = message.delivery.properties.message_id().as_ref().map(ToString::to_string);
        id.and_then(|id| numbers.get(&id).copied()).unwrap_or(0)
    };
    let (at, message) =
        returned.iter().map(|message| (number(message), message)).min_by_key(|(at, _)| *at)?;
    let (exchange, key) = (&message.delivery.exchange, &message.delivery.routing_key);
    let reason = format!(
        "no queue gets what is sent to the exchange {:?} with the routing key {:?} ({})",
        exchange.to_string(),
        key.to_string(),
        message.reply_text
    );
    Some((at, reason))
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    routing_key: &str,
    message: Message,
) -> lapin::Result<lapin::PublisherConfirm> {
    let mut headers = FieldTable::default();
    headers.insert("ledger".into(), AMQPValue::LongString((&*message.ledger).into()));
    headers.insert("event_name".into(), AMQPValue::LongString(message.event_name.into()));
    let properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.id.into())
        .with_app_id("attestry".into())
        .with_headers(headers);
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange.into(), routing_key.into(), mandatory, &message.body, properties).await
}

impl Sink for AmqpSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(async move {
            let result = self.offer(parcels).await;
            if result.is_err() {
                self.connected = None;
            }
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<SinkConfig>(yaml);
        for (yaml, expected) in [
            ("{broker: {url: 'amqp://a'}, routing_key: events}", vec![]),
            (
                "{broker: {url: 'amqps://a', tls: {}}, exchange: e, routing_key: '{ledger}.{event_name}', declare: {queue: q}}",
                vec![],
            ),
            (
                "{broker: {url: 'amqp://a', tls: {}}, routing_key: '{host}'}",
                vec!["broker.tls", "routing_key"],
            ),
            (
                "{broker: {url: 'http://a'}, routing_key: '', declare: {queue: ''}}",
                vec!["broker.url", "routing_key", "declare.queue"],
            ),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
        assert!(parse("{broker: {url: 'amqp://a'}}").is_err());
        let config = parse("{broker: {url: 'amqp://a'}, routing_key: '{ledger}.{event_name}'}").unwrap();
        assert_eq!(config.routing_key("audit", "login.failure"), "audit.login.failure");
    }
}
