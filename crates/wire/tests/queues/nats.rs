//! NATS JetStream, one server and a cluster.

use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_pipeline::Sink;
use attestry_testkit::{NATS_MAX_PAYLOAD, NatsServer};
use attestry_wire::nats::{ConsumerConfig, NatsSink, SinkConfig, run};

use crate::both_ways::{Arrived, Consuming, Kept, again, deliver, parcels};

fn sink(yaml: &str) -> NatsSink {
    let config: SinkConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), []);
    NatsSink::new(config)
}

fn consume(yaml: &str, kept: Kept) -> Consuming {
    let config: ConsumerConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), []);
    Consuming::start(kept, |inlet, counters, stop| run(config, inlet, counters, stop))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out() {
    let server = NatsServer::started();
    let url = server.url();
    let mut out = sink(&format!("{{url: '{url}', stream: audit, create: {{}}}}"));
    // Before there is a stream: it is waited for.
    let consumer = consume(&format!("{{url: '{url}', stream: audit, durable: far}}"), Kept::default());
    let all = parcels(2_000);
    assert_eq!(deliver(&mut out, &all, async |_| {}).await, []);
    assert_eq!(consumer.kept.has_all(&all).await, Arrived { messages: 2_000, in_order: true });
    // Offered once more: the stream knows their ids.
    assert_eq!(deliver(&mut out, &all[..200], async |_| {}).await, []);
    let more = parcels(2_001);
    assert_eq!(deliver(&mut out, &more[2_000..], async |_| {}).await, []);
    assert_eq!(consumer.kept.has_all(&more).await, Arrived { messages: 2_001, in_order: true });
    assert_eq!(consumer.counters.redelivered.load(Ordering::Relaxed), 0);
    assert!(consumer.counters.problem().is_none());
    consumer.stop().await;

    // A second consumer of the same durable has nothing left; another durable gets all, here by its subject, with small batches.
    let left = consume(&format!("{{url: '{url}', stream: audit, durable: far}}"), Kept::default());
    let some = consume(
        &format!(
            "{{url: '{url}', stream: audit, durable: some, filter: 'attestry.audit.order.kind-3', batch: {{events: 7, bytes: 5000}}}}"
        ),
        Kept::default(),
    );
    let threes: Vec<_> = more.iter().skip(3).step_by(7).cloned().collect();
    assert_eq!(some.kept.has_all(&threes).await, Arrived { messages: threes.len(), in_order: true });
    assert_eq!(left.kept.bodies().len(), 0);
    left.stop().await;
    some.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_without_a_word() {
    let mut server = NatsServer::with("authorization { users: [{user: u, password: \"p w\"}] }");
    let url = server.url();
    let login = "login: {user: u, password: 'p w'}";
    let few = parcels(5);
    let mut out = sink(&format!("{{url: '{url}', stream: audit, {login}}}"));
    let (delivered, reason) = again(&mut out, &few).await;
    assert!(delivered == 0 && !reason.is_empty(), "the server is not there: {reason}");
    server.start();
    let mut wrong = sink(&format!("{{url: '{url}', stream: audit, login: {{user: u, password: wrong}}}}"));
    let (_, reason) = again(&mut wrong, &few).await;
    assert!(reason.to_lowercase().contains("authorization") && !reason.contains("wrong"), "{reason}");
    let (_, reason) = again(&mut out, &few).await;
    assert!(reason.contains("no stream"), "there is no stream: {reason}");
    let mut other =
        sink(&format!("{{url: '{url}', stream: other, create: {{subjects: ['attestry.>']}}, {login}}}"));
    assert_eq!(other.deliver(&few).await, Ok(Vec::new()));
    let (_, reason) = again(&mut out, &few).await;
    assert!(reason.contains("stream"), "another stream takes the subject: {reason}");

    // Larger than the server takes: refused, with both sizes, and the others go on.
    let mut events = parcels(3);
    let large = attestry_event::LargeValue {
        content: vec![b'y'; NATS_MAX_PAYLOAD + 1],
        ..parcels(5)[4].values[0].clone()
    };
    events[1] = parcels(5)[4].clone();
    events[1].values = vec![large];
    let refused = other.deliver(&events).await.unwrap();
    assert_eq!(refused.iter().map(|one| one.at).collect::<Vec<_>>(), [1]);
    assert!(refused[0].reason.contains(&NATS_MAX_PAYLOAD.to_string()), "{refused:?}");

    // A slow inlet: the broker is told that the messages are being worked on, so they do not come again.
    let slow = Kept::slow(Duration::from_millis(2_500));
    let yaml = format!("{{url: '{url}', stream: other, durable: slow, ack_wait: 1s, {login}}}");
    let consumer = consume(&yaml, slow);
    consumer.kept.has(5).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(consumer.kept.bodies().len(), 5);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_a_cluster_is_killed() {
    let mut servers = NatsServer::cluster();
    let urls = servers.each_ref().map(NatsServer::url).join(",");
    let mut out = sink(&format!("{{url: '{urls}', stream: audit, create: {{replicas: 3}}}}"));
    let all = parcels(1_500);
    let yaml =
        format!("{{url: '{urls}', stream: audit, durable: far, ack_wait: 2s, batch: {{events: 100}}}}");
    let consumer = consume(&yaml, Kept::slow(Duration::from_millis(5)));
    let client = urls.clone();
    let mut killed = None;
    let refused = deliver(&mut out, &all, async |next| {
        if next < 600 || killed.is_some() {
            return;
        }
        let leader = leader(&client).await;
        for server in &mut servers {
            if server.name() == leader {
                server.kill();
                killed = Some(leader.clone());
            }
        }
    })
    .await;
    assert!(killed.is_some() && refused.is_empty(), "{refused:?}");
    let arrived = consumer.kept.has_all(&all).await;
    assert!(arrived.messages < 3_000, "{arrived:?}");
    consumer.stop().await;
}

/// Which server leads the stream.
async fn leader(urls: &str) -> String {
    let servers: Vec<&str> = urls.split(',').collect();
    let client = async_nats::connect(servers.as_slice()).await.unwrap();
    let mut stream = async_nats::jetstream::new(client).get_stream("audit").await.unwrap();
    let info = stream.info().await.unwrap();
    info.cluster
        .as_ref()
        .and_then(|cluster| cluster.leader.clone())
        .expect("a stream of a cluster has a leader")
}
