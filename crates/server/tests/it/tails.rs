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
