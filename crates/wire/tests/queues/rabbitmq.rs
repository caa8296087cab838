//! AMQP 0.9.1 with RabbitMQ.

use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_testkit::{Authority, RabbitMq};
use attestry_wire::amqp::{AmqpSink, ConsumerConfig, SinkConfig, run};

use crate::both_ways::{Arrived, Consuming, Kept, again, deliver, parcels};
use crate::cut::Way;
use crate::strangers::only_friends_are_let_in;

/// How often a consumer loses its connection.
const CUTS: usize = 30;

fn sink(yaml: &str) -> AmqpSink {
    let config: SinkConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), []);
    AmqpSink::new(config)
}

fn consume(yaml: &str, kept: Kept) -> Consuming {
    let config: ConsumerConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), []);
    Consuming::start(kept, |inlet, counters, stop| run(config, inlet, counters, stop))
}

/// One test, because the broker takes long to start: it is away, comes, is misused, and is killed in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out_whatever_happens() {
    let mut server = RabbitMq::new();
    let url = server.url();
    let few = parcels(5);
    let mut out = sink(&format!("{{broker: {{url: '{url}'}}, routing_key: plain}}"));
    let (delivered, reason) = again(&mut out, &few).await;
    assert!(delivered == 0 && !reason.is_empty(), "the broker is not there: {reason}");
    let consumer = consume(
        &format!("{{broker: {{url: '{url}'}}, queue: far, declare: {{queue: far}}, exchange: attestry}}"),
        Kept::default(),
    );
    tokio::task::block_in_place(|| server.start());

    let mut wrong = sink(&format!("{{broker: {{url: '{url}', password: swordfish}}, routing_key: plain}}"));
    let (_, reason) = again(&mut wrong, &few).await;
    assert!(!reason.contains("swordfish"), "{reason}");
    let (delivered, reason) = again(&mut out, &few).await;
    assert!(delivered == 0 && reason.contains("no queue") && reason.contains("plain"), "{reason}");
    // Half of a batch has a queue, the rest has none: what is stored counts, the rest is offered again.
    let mut some = sink(&format!(
        "{{broker: {{url: '{url}'}}, exchange: some, routing_key: '{{event_name}}', declare: {{queue: some, queue_type: classic, binding: 'order.kind-0'}}}}"
    ));
    let (delivered, reason) = again(&mut some, &few).await;
    assert!(delivered == 1 && reason.contains("order.kind-1"), "{delivered} {reason}");

    let mut out = sink(&format!(
        "{{broker: {{url: '{url}'}}, exchange: attestry, routing_key: '{{ledger}}.{{event_name}}', declare: {{queue: far}}}}"
    ));
    let all = parcels(2_000);
    assert_eq!(deliver(&mut out, &all, async |_| {}).await, []);
    assert_eq!(consumer.kept.has_all(&all).await, Arrived { messages: 2_000, in_order: true });
    assert_eq!(consumer.counters.redelivered.load(Ordering::Relaxed), 0);
    assert!(consumer.counters.problem().is_none());
    consumer.stop().await;

    // The way to the broker breaks while messages are acknowledged one by one.
    let mut cut = sink(&format!(
        "{{broker: {{url: '{url}'}}, routing_key: cut, declare: {{queue: cut, queue_type: classic}}}}"
    ));
    let way = Way::to(url.rsplit_once(':').unwrap().1.parse().unwrap()).await;
    let yaml = format!("{{broker: {{url: '{}'}}, queue: cut, batch: {{events: 1}}}}", way.url(&url));
    let consumer = consume(&yaml, Kept::default());
    for _ in 0..CUTS {
        let before = consumer.kept.bodies().len();
        assert_eq!(deliver(&mut cut, &all[1_000..1_100], async |_| {}).await, []);
        consumer.kept.has(before + 20).await;
        way.cut();
    }
    consumer.kill();

    let slow = Kept::slow(Duration::from_millis(20));
    let yaml = format!("{{broker: {{url: '{url}'}}, queue: far, prefetch: 100, batch: {{events: 50}}}}");
    let consumer = consume(&yaml, slow);
    let mut killed = false;
    let refused = deliver(&mut out, &all, async |next| {
        if next >= 600 && !killed {
            killed = true;
            server.kill();
            tokio::task::block_in_place(|| server.start());
        }
    })
    .await;
    assert_eq!(refused, []);
    let arrived = consumer.kept.has_all(&all).await;
    assert!(arrived.messages < 4_000, "{arrived:?}");
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_certificates_and_a_password() {
    let authority = Authority::new();
    let mut server = RabbitMq::with_tls(&authority);
    tokio::task::block_in_place(|| server.start());
    let sink = |broker: &str| sink(&format!("{{{broker}, routing_key: far, declare: {{queue: far}}}}"));
    let consume = |broker: &str| consume(&format!("{{{broker}, queue: far}}"), Kept::default());
    only_friends_are_let_in(&server.url(), &authority, "access_refused", sink, consume).await;
}
