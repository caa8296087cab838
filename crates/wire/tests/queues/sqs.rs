//! Amazon SQS, with moto in its place.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_pipeline::Sink;
use attestry_testkit::Moto;
use attestry_wire::sqs::{ConsumerConfig, SinkConfig, SqsSink, run};

use crate::both_ways::{Consuming, Kept, again, body, deliver, parcels};

fn queue(url: &str) -> String {
    format!("queue: {{url: '{url}', region: us-east-1, credentials: {{access_key: a, secret_key: b}}}}")
}

fn sink(url: &str, more: &str) -> SqsSink {
    let config: SinkConfig = serde_saphyr::from_str(&format!("{{{}{more}}}", queue(url))).unwrap();
    assert_eq!(config.check(), []);
    SqsSink::new(config)
}

fn consume(url: &str, more: &str, kept: Kept) -> Consuming {
    let config: ConsumerConfig = serde_saphyr::from_str(&format!("{{{}{more}}}", queue(url))).unwrap();
    assert_eq!(config.check(), []);
    Consuming::start(kept, |inlet, counters, stop| run(config, inlet, counters, stop))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out_with_moto() {
    let mut server = Moto::new();
    let few = parcels(5);
    let url = format!("{}/123456789012/audit", server.url());
    let mut out = sink(&url, "");
    let (delivered, reason) = again(&mut out, &few).await;
    assert!(delivered == 0 && !reason.is_empty(), "the server is not there: {reason}");
    let consumer = consume(&url, "", Kept::default());
    tokio::task::block_in_place(|| server.start());
    let (_, reason) = again(&mut out, &few).await;
    assert!(reason.contains("queue"), "there is no queue: {reason}");
    tokio::task::block_in_place(|| server.create_queue("audit"));

    // All that fit arrive; those that do not are refused, each with its size.
    // Fewer than elsewhere: moto answers some twenty requests a second.
    let all = parcels(400);
    let refused = deliver(&mut out, &all, async |_| {}).await;
    let refused_at: HashSet<usize> = refused.iter().map(|one| one.at).collect();
    let large = |at: &usize| body(&all[*at]).len() > 500_000;
    assert!(refused_at.iter().all(large), "{refused:?}");
    assert!(refused.iter().all(|one| one.reason.contains("the event has 600")), "{refused:?}");
    let fitting: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(at, _)| !refused_at.contains(at))
        .map(|(_, one)| one.clone())
        .collect();
    consumer.kept.has_all(&fitting).await;
    assert!(consumer.counters.problem().is_none());
    consumer.stop().await;

    let mut small = sink(&url, ", max_bytes: 1024");
    let refused = small.deliver(&few).await.unwrap();
    assert_eq!(refused.iter().map(|one| one.at).collect::<Vec<_>>(), [2, 4]);
    assert!(refused[0].reason.contains("at most 1024"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_queue_keeps_order_and_knows_ids_with_moto() {
    let mut server = Moto::new();
    tokio::task::block_in_place(|| server.start());
    let url = tokio::task::block_in_place(|| server.create_queue("audit.fifo"));
    let mut out = sink(&url, "");
    let some: Vec<_> = parcels(22).into_iter().filter(|one| one.bytes() < 100_000).collect();
    for _ in 0..2 {
        assert_eq!(deliver(&mut out, &some, async |_| {}).await, []);
    }
    // An inlet that is slower than the queue's patience: the messages stay hidden meanwhile. A group hands out the next messages only when
    // those before are deleted, so this takes three rounds.
    let slow = Kept::slow(Duration::from_secs(4));
    let consumer = consume(&url, ", visibility: 3s", slow);
    let arrived = consumer.kept.has_all(&some).await;
    assert_eq!((arrived.messages, arrived.in_order), (some.len(), true));
    assert_eq!(consumer.counters.redelivered.load(Ordering::Relaxed), 0);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_but_not_deleted_comes_again_with_moto() {
    let mut server = Moto::new();
    tokio::task::block_in_place(|| server.start());
    let url = tokio::task::block_in_place(|| server.create_queue("audit"));
    let all: Vec<_> = parcels(40).into_iter().filter(|one| one.bytes() < 100_000).collect();
    assert_eq!(deliver(&mut sink(&url, ""), &all, async |_| {}).await, []);
    // Killed after it received, and before what it received is durable, so nothing is deleted.
    let first = consume(&url, ", visibility: 3s, batch: {events: 20}", Kept::slow(Duration::from_secs(1)));
    while first.counters.messages.load(Ordering::Relaxed) < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = first.kill();
    kept.has(20).await;

    let second = consume(&url, "", Kept::default());
    second.kept.has_all(&all).await;
    assert!(second.counters.redelivered.load(Ordering::Relaxed) >= 20);
    second.stop().await;
    // What a ledger knows it by is the same both times.
    let again: HashSet<Vec<u8>> = all.iter().map(body).collect();
    assert!(kept.bodies().iter().all(|body| again.contains(body)));
}
