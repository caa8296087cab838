//! Bodies that no text file can hold: compressed, huge, broken off.

use std::io::Write;

use crate::client::{Answer, send};
use crate::world::World;

const LIMIT: usize = 32 << 20;

fn post(world: &World, query: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut head = vec![format!("POST /api/v1/events{query} HTTP/1.1")];
    head.push(format!("Authorization: Bearer {}", world.names["web"]));
    head.extend(headers.iter().map(|&line| line.to_owned()));
    send(world.address, &head, body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn events(count: usize, first: usize) -> Vec<u8> {
    let line = |number| {
        format!("{{\"event_id\":\"e{number}\",\"event_name\":\"a.b\",\"username\":\"u{}\"}}\n", number % 7)
    };
    (first..first + count).map(line).collect::<String>().into_bytes()
}

#[test]
fn compressed_batches_are_stored_and_found() {
    let world = World::new();
    let plain = events(1_000, 0);
    for (number, (encoding, body)) in [
        ("gzip", gzip(&events(1_000, 0))),
        ("zstd", zstd::encode_all(&events(1_000, 1_000)[..], 3).unwrap()),
        ("identity", events(1_000, 2_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = post(&world, "", &[&format!("Content-Encoding: {encoding}")], &body);
        assert_eq!(answer.status, 201, "{encoding} {}", answer.text());
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let last = &answer["events"][999];
        assert_eq!(last["event_id"], format!("e{}", number * 1_000 + 999));
    }
    let count = |q: &str| {
        let head = [
            format!("GET /api/v1/count?q={q} HTTP/1.1"),
            format!("Authorization: Bearer {}", world.names["reader"]),
        ];
        let answer = send(world.address, &head, b"");
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["count"].clone()
    };
    assert_eq!(count("event_source:web"), 3_000);
    // Once more: all known, nothing stored twice.
    let again = post(&world, "", &[], &plain);
    assert_eq!(again.status, 201);
    assert_eq!(again.text().matches("\"duplicate\":true").count(), 1_000);
    assert_eq!(count("event_source:web"), 3_000);
}

#[test]
fn bodies_over_the_limit_are_refused_whatever_they_are_packed_in() {
    let world = World::new();
    let mut large = events(1, 0);
    large.resize(LIMIT + 1, b' ');
    for (headers, body) in [
        (vec![], large.clone()),
        (vec!["Content-Encoding: gzip"], gzip(&large)),
        (vec!["Content-Encoding: zstd"], zstd::encode_all(&large[..], 1).unwrap()),
        (vec!["Content-Length: 99999999999"], b"x".to_vec()),
    ] {
        let answer = post(&world, "", &headers, &body);
        assert_eq!(answer.status, 413, "{headers:?} {}", answer.text());
        assert!(answer.text().contains("\"max_bytes\":33554432"), "{}", answer.text());
    }
    large.truncate(LIMIT);
    assert_eq!(post(&world, "", &["Content-Encoding: gzip"], &gzip(&large)).status, 201);
}

#[test]
fn too_many_events_are_refused_together() {
    let world = World::new();
    let answer = post(&world, "", &[], &"{}\n".repeat(100_001).into_bytes());
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[test]
fn the_list_of_what_is_wrong_is_whole_but_bounded() {
    let world = World::new();
    let answer = post(&world, "", &[], &b"x\n".repeat(20_000));
    assert_eq!(answer.status, 422);
    assert_eq!(answer.text().matches("\"line\":").count(), 20_000);
    let answer = post(&world, "", &[], &b"{}\n".repeat(100_000));
    assert!(answer.body.len() < 9 << 20, "{}", answer.body.len());
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let listed = answer["problems"].as_array().unwrap().len() as u64;
    assert_eq!(listed + answer["problems_omitted"].as_u64().unwrap(), 200_000);
}

#[test]
fn a_body_that_breaks_off_stores_nothing() {
    let world = World::new();
    let mut head = vec!["POST /api/v1/events HTTP/1.1".to_owned()];
    head.push(format!("Authorization: Bearer {}", world.names["web"]));
    head.push("Content-Length: 5000".to_owned());
    head.push(format!("Host: {}", world.address));
    let mut stream = std::net::TcpStream::connect(world.address).unwrap();
    stream.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes()).unwrap();
    stream.write_all(&events(10, 0)).unwrap();
    drop(stream);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let head = [
        "GET /api/v1/events/e0 HTTP/1.1".to_owned(),
        format!("Authorization: Bearer {}", world.names["reader"]),
    ];
    assert_eq!(send(world.address, &head, b"").status, 404);
}

#[test]
fn stopping_ends_tails_and_records_what_was_done() {
    let mut world = World::new();
    let head = [
        "GET /api/v1/count?q=needle HTTP/1.1".to_owned(),
        format!("Authorization: Bearer {}", world.names["reader"]),
    ];
    assert_eq!(send(world.address, &head, b"").status, 200);
    let started = std::time::Instant::now();
    world.stop();
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(world.accounts.pending(10).unwrap().is_empty());
    assert!(world.path().join("attestry.db").exists());
}
