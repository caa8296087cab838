//! STOMP with ActiveMQ.

use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_pipeline::Sink;
use attestry_testkit::{ActiveMq, Authority};
use attestry_wire::stomp::{ConsumerConfig, SinkConfig, StompSink, run};

use crate::both_ways::{Arrived, Consuming, Kept, again, deliver, parcels};
use crate::strangers::only_friends_are_let_in;

fn sink(yaml: &str) -> StompSink {
    let config: SinkConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), []);
    StompSink::new(config)
}

fn consume(yaml: &str, kept: Kept) -> Consuming {
    let config: ConsumerConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), []);
    Consuming::start(kept, |inlet, counters, stop| run(config, inlet, counters, stop))
}

/// One test, because the broker takes long to start: it is away, comes, and is killed in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out_whatever_happens() {
    let mut server = ActiveMq::new();
    let url = server.url();
    let mut out = sink(&format!("{{broker: {{url: '{url}'}}, destination: '/queue/{{ledger}}'}}"));
    let (delivered, reason) = again(&mut out, &parcels(5)).await;
    assert!(delivered == 0 && !reason.is_empty(), "the broker is not there: {reason}");
    let yaml = format!("{{broker: {{url: '{url}', heartbeat: 500ms}}, destination: /queue/audit}}");
    let consumer = consume(&yaml, Kept::default());
    tokio::task::block_in_place(|| server.start());

    let all = parcels(2_000);
    assert_eq!(deliver(&mut out, &all, async |_| {}).await, []);
    assert_eq!(consumer.kept.has_all(&all).await, Arrived { messages: 2_000, in_order: true });
    // Signs of life keep a quiet connection open.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(consumer.counters.connects.load(Ordering::Relaxed), 1);
    assert_eq!(consumer.counters.redelivered.load(Ordering::Relaxed), 0);
    consumer.stop().await;

    let mut small =
        sink(&format!("{{broker: {{url: '{url}', max_frame: 100000}}, destination: /queue/small}}"));
    let refused = small.deliver(&parcels(5)).await.unwrap();
    assert_eq!(refused.iter().map(|one| one.at).collect::<Vec<_>>(), [4]);
    assert!(refused[0].reason.contains("at most 95904"), "{refused:?}");

    // A second run on the queue: what was acknowledged does not come again.
    let slow = Kept::slow(Duration::from_millis(20));
    let yaml = format!(
        "{{broker: {{url: '{url}'}}, destination: /queue/audit, prefetch: 100, batch: {{events: 50}}}}"
    );
    let consumer = consume(&yaml, slow);
    let mut killed = false;
    let refused = deliver(&mut out, &all, async |next| {
        if next >= 600 && !killed {
            killed = true;
            assert!(consumer.kept.bodies().len() <= next, "messages that were acknowledged came again");
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
    let mut server = ActiveMq::with_tls(&authority);
    tokio::task::block_in_place(|| server.start());
    let sink = |broker: &str| sink(&format!("{{{broker}, destination: /queue/far}}"));
    let consume = |broker: &str| consume(&format!("{{{broker}, destination: /queue/far}}"), Kept::default());
    only_friends_are_let_in(&server.url(), &authority, "password is invalid", sink, consume).await;
}
