//! The live tail: what comes, how it goes on, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use attestry_server::accounts::{Actor, KeyKind, NewKey};

use crate::client::send;
use crate::world::World;

/// A tail being read, line by line.
struct Reader(BufReader<TcpStream>);

impl Reader {
    /// Opens a tail and waits until it has begun.
    fn open(world: &World, query: &str, key: &str, more: &str) -> Reader {
        let mut stream = TcpStream::connect(world.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "GET /api/v1/tail?{query} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n{more}\r\n",
            world.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = Reader(BufReader::new(stream));
        assert_eq!(reader.line_with("HTTP/1.1"), "HTTP/1.1 200 OK");
        reader.line_with(": tail");
        reader
    }

    /// The next line that contains `part`; an empty text when the stream ends before.
    fn line_with(&mut self, part: &str) -> String {
        let mut line = String::new();
        while self.0.read_line(&mut line).unwrap() > 0 {
            if line.contains(part) {
                return line.trim_end().to_owned();
            }
            line.clear();
        }
        line
    }
}

fn post(world: &World, key: &str, id: &str, user: &str) {
    let head =
        ["POST /api/v1/events HTTP/1.1".to_owned(), format!("Authorization: Bearer {}", world.names[key])];
    let body = format!("{{\"event_id\":\"{id}\",\"event_name\":\"a.b\",\"username\":\"{user}\"}}");
    assert_eq!(send(world.address, &head, body.as_bytes()).status, 201);
}

#[test]
fn events_arrive_and_the_filter_holds() {
    let world = World::new();
    let mut all = Reader::open(&world, "q=event_name:a.b", &world.names["reader"], "");
    let mut alices = Reader::open(&world, "q=event_name:a.b", &world.names["alice-reader"], "");
    post(&world, "web", "one", "bob");
    post(&world, "shop", "two", "alice");
    assert!(all.line_with("data:").contains("\"event_id\":\"one\""));
    assert!(
        all.line_with("data:")
            .starts_with("data: {\"ledger\":\"logs\",\"index\":0,\"event\":{\"v\":1,\"event_id\":\"two\"")
    );
    assert!(alices.line_with("data:").contains("\"event_id\":\"two\""));
}

#[test]
fn a_reader_that_comes_back_misses_nothing() {
    let world = World::new();
    let mut first = Reader::open(&world, "q=event_name:a.b", &world.names["reader"], "");
    post(&world, "web", "one", "bob");
    let id = first.line_with("id: ").replace("id: ", "");
    drop(first);
    post(&world, "web", "two", "bob");
    post(&world, "web", "three", "bob");
    let mut again =
        Reader::open(&world, "q=event_name:a.b", &world.names["reader"], &format!("Last-Event-ID: {id}\r\n"));
    for expected in ["two", "three"] {
        assert!(again.line_with("data:").contains(&format!("\"event_id\":\"{expected}\"")));
    }
}

/// Ten thousand events whose messages no index can narrow down for a regular expression across words.
fn post_many(world: &World, batch: usize) {
    let line = |number: usize| {
        let message = format!("{number} {}", "lorem ipsum dolor sit amet ".repeat(8));
        format!(
            "{{\"event_id\":\"m{batch}-{number}\",\"event_name\":\"a.b\",\"username\":\"u\",\"message\":\"{message}\"}}\n"
        )
    };
    let head =
        ["POST /api/v1/events HTTP/1.1".to_owned(), format!("Authorization: Bearer {}", world.names["web"])];
    let body: String = (0..10_000).map(line).collect();
    let answer = send(world.address, &head, body.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[test]
fn a_slow_reader_is_told_how_many_events_it_missed() {
    let world = World::new();
    let mut tail = Reader::open(&world, "q=event_name:a.b", &world.names["reader"], "");
    let batches = 8;
    (0..batches).for_each(|batch| post_many(&world, batch));
    let (mut seen, mut dropped) = (0, 0);
    while seen + dropped < batches * 10_000 {
        let line = tail.line_with("data: {");
        match line.strip_prefix("data: {\"count\":").and_then(|count| count.strip_suffix('}')) {
            Some(count) => dropped += count.parse::<usize>().unwrap(),
            None => seen += 1,
        }
    }
    assert_eq!(seen + dropped, batches * 10_000);
    assert!(dropped > 0, "the reader was not slow enough for this test: it saw {seen}");
}

#[test]
fn a_search_ends_when_its_client_leaves() {
    let world = World::new();
    // So many that reading them takes far longer than the client stays.
    (0..16).for_each(|batch| post_many(&world, batch));
    let stopped = || {
        let answer = send(world.address, &["GET /metrics HTTP/1.1".to_owned()], b"").text();
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix("attestry_searches_stopped_total "))
            .unwrap()
            .to_owned();
        line.parse::<u64>().unwrap()
    };
    assert_eq!(stopped(), 0);
    let mut stream = TcpStream::connect(world.address).unwrap();
    let head = format!(
        "GET /api/v1/count?q=message:/.*m.*e.*t.*x.*/ HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        world.address, world.names["reader"]
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    drop(stream);
    let started = Instant::now();
    while stopped() == 0 {
        assert!(started.elapsed() < Duration::from_secs(5), "it was not stopped");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_revoked_key_sees_nothing_more_within_a_second() {
    let world = World::new();
    let by = Actor::local("test");
    let new = NewKey {
        name: "brief".into(),
        kind: KeyKind::Read,
        ledgers: vec![],
        filter: None,
        lenient: false,
        expires_at: None,
        expect: None,
    };
    let (key, text) = world.accounts.create_key(&new, &by).unwrap();
    let mut tail = Reader::open(&world, "q=event_name:a.b", &text, "");
    world.accounts.revoke_key(&key.id, &by).unwrap();
    let revoked = Instant::now();
    assert_eq!(tail.line_with("event: "), "event: end");
    assert!(revoked.elapsed() < Duration::from_secs(2), "{:?}", revoked.elapsed());
    assert!(tail.line_with("data: ").contains("not valid any more"));
}

#[test]
fn stopping_the_server_ends_tails() {
    let mut world = World::new();
    let mut tail = Reader::open(&world, "", &world.names["reader"], "");
    let started = Instant::now();
    world.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(tail.line_with("event: nothing"), "");
}
