//! The message brokers, so that a test is a table of them: how each is named in a configuration, and how a message gets in and out.

use attestry_testkit::{ActiveMq, Moto, NatsServer, RabbitMq};

/// A broker that runs.
pub(crate) enum Broker {
    Nats(NatsServer),
    RabbitMq(RabbitMq),
    ActiveMq(ActiveMq),
    /// Amazon SQS, with moto in its place.
    Sqs(Moto),
}

impl Broker {
    /// One of each, started at the same time, with queues of these names where a queue has to be made first.
    pub(crate) fn all(queues: &[&str]) -> Vec<Broker> {
        std::thread::scope(|scope| {
            let nats = scope.spawn(|| {
                let nats = NatsServer::started();
                queues.iter().for_each(|queue| nats.create_stream(queue));
                Broker::Nats(nats)
            });
            let rabbit = scope.spawn(|| {
                let mut rabbit = RabbitMq::new();
                rabbit.start();
                Broker::RabbitMq(rabbit)
            });
            let active = scope.spawn(|| {
                let mut active = ActiveMq::new();
                active.start();
                Broker::ActiveMq(active)
            });
            let moto = scope.spawn(|| {
                let mut moto = Moto::new();
                moto.start();
                queues.iter().for_each(|queue| drop(moto.create_queue(queue)));
                Broker::Sqs(moto)
            });
            [nats, rabbit, active, moto].map(|starting| starting.join().unwrap()).into()
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Broker::Nats(_) => "nats",
            Broker::RabbitMq(_) => "rabbitmq",
            Broker::ActiveMq(_) => "activemq",
            Broker::Sqs(_) => "sqs-with-moto",
        }
    }

    /// The configuration of a consumer of a queue. What it did not acknowledge comes again some seconds after it is gone.
    pub(crate) fn consumer(&self, queue: &str) -> String {
        match self {
            Broker::Nats(nats) => {
                format!(
                    "{{nats: {{url: '{}', stream: {queue}, durable: attestry, ack_wait: 5s}}}}",
                    nats.url()
                )
            }
            Broker::RabbitMq(rabbit) => format!(
                "{{amqp: {{broker: {{url: '{}'}}, queue: {queue}, declare: {{queue: {queue}, queue_type: classic}}}}}}",
                rabbit.url()
            ),
            Broker::ActiveMq(active) => {
                format!("{{stomp: {{broker: {{url: '{}'}}, destination: /queue/{queue}}}}}", active.url())
            }
            Broker::Sqs(moto) => format!("{{sqs: {{queue: {}, visibility: 5s}}}}", sqs(moto, queue)),
        }
    }

    /// The configuration of a sink into a queue, without what all sinks have alike.
    pub(crate) fn sink(&self, queue: &str) -> String {
        match self {
            Broker::Nats(nats) => {
                format!("nats: {{url: '{}', stream: {queue}, subject: {queue}}}", nats.url())
            }
            Broker::RabbitMq(rabbit) => format!(
                "amqp: {{broker: {{url: '{}'}}, routing_key: {queue}, declare: {{queue: {queue}, queue_type: classic}}}}",
                rabbit.url()
            ),
            Broker::ActiveMq(active) => {
                format!("stomp: {{broker: {{url: '{}'}}, destination: /queue/{queue}}}", active.url())
            }
            Broker::Sqs(moto) => format!("sqs: {{queue: {}}}", sqs(moto, queue)),
        }
    }

    /// Puts a message into a queue, and returns when the broker has it.
    #[track_caller]
    pub(crate) fn put(&self, queue: &str, text: &str) {
        match self {
            Broker::Nats(nats) => nats.put(queue, text.as_bytes()),
            Broker::RabbitMq(rabbit) => rabbit.put(queue, text.as_bytes()),
            Broker::ActiveMq(active) => active.put(queue, text.as_bytes()),
            Broker::Sqs(moto) => moto.put(queue, text),
        }
    }

    /// Takes a message out of a queue; none when there is none now.
    #[track_caller]
    pub(crate) fn take(&self, queue: &str) -> Option<Vec<u8>> {
        match self {
            Broker::Nats(nats) => nats.take(queue),
            Broker::RabbitMq(rabbit) => rabbit.take(queue),
            Broker::ActiveMq(active) => active.take(queue),
            Broker::Sqs(moto) => moto.take(queue).map(String::into_bytes),
        }
    }

    /// How many messages of a queue its [consumer](Self::consumer), which has ended, has not acknowledged.
    #[track_caller]
    pub(crate) fn unacknowledged(&self, queue: &str) -> u64 {
        match self {
            Broker::Nats(nats) => nats.waiting(queue, "attestry"),
            Broker::RabbitMq(rabbit) => rabbit.waiting(queue),
            Broker::Sqs(moto) => moto.waiting(queue),
            Broker::ActiveMq(active) => {
                // STOMP has no word for it: what comes before this one is what was there.
                active.put(queue, b"the end");
                let mut before = 0;
                while active.take(queue).as_deref() != Some(b"the end") {
                    before += 1;
                }
                before
            }
        }
    }
}

fn sqs(moto: &Moto, queue: &str) -> String {
    let url = moto.queue_url(queue);
    format!("{{url: '{url}', region: us-east-1, credentials: {{access_key: a, secret_key: b}}}}")
}
