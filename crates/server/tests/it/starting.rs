//! What depends on how the server is started: the first user, encryption, names, proxies, a queue that is too short.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use attestry_ledger::Options;
use attestry_server::accounts::{Accounts, Actor};
use attestry_server::{Config, ConfigError, ServeError, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use crate::client::{Answer, send};
use crate::world::World;

fn ask(world: &World, method: &str, path: &str, lines: &[&str], body: &str) -> Answer {
    let mut head = vec![format!("{method} {path} HTTP/1.1")];
    head.extend(lines.iter().map(|&line| line.to_owned()));
    send(world.address, &head, body.as_bytes())
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn the_first_user_is_made_with_the_link_once() {
    let world = World::with(Config::default(), false, Options::default());
    assert_eq!(json_of(&ask(&world, "GET", "/api/v1/setup", &[], "")), json!({"needed": true}));
    let link = std::fs::read_to_string(world.path().join("setup-link")).unwrap();
    let (page, token) = link.trim().split_once("#token=").unwrap();
    assert_eq!(page, format!("http://{}/setup", world.address));
    let body =
        |password: &str| json!({"token": token, "username": "alice", "password": password}).to_string();
    let json_type = ["Content-Type: application/json"];
    assert_eq!(ask(&world, "POST", "/api/v1/setup", &json_type, &body("short")).status, 400);
    let made = ask(&world, "POST", "/api/v1/setup", &json_type, &body("correct horse"));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(json_of(&made)["user"], json!({"name": "alice", "role": "admin"}));
    assert_eq!(ask(&world, "POST", "/api/v1/setup", &json_type, &body("correct horse")).status, 404);
    assert!(!world.path().join("setup-link").exists());
    let cookie = made.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(ask(&world, "GET", "/api/v1/keys", &[&format!("Cookie: {cookie}")], "").status, 200);
}

#[test]
fn what_the_command_line_changes_is_recorded_by_the_running_server() {
    let world = World::new();
    let other = Accounts::open(&world.path().join("attestry.db"), world.clock.clone()).unwrap();
    other.revoke_key("easy", &Actor::local("operator")).unwrap();
    let bearer = format!("Authorization: Bearer {}", world.names["reader"]);
    let path = "/api/v1/events?q=event_name:key.revoke%20username:operator";
    for _ in 0..100 {
        let found = json_of(&ask(&world, "GET", path, &[&bearer], ""));
        if let [event] = found["events"].as_array().unwrap().as_slice() {
            assert_eq!(event["ledger"], "audit");
            assert_eq!(event["event"]["resource"], "easy");
            assert_eq!(event["event"]["event_source"], "attestry");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the revocation was not recorded within two seconds");
}

#[test]
fn encrypted_with_a_certificate_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { tls: Some(Tls::SelfSigned { dir: dir.path().to_owned() }), ..Config::default() };
    let world = World::with(config, true, Options::default());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.path().join("tls.cert")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(world.address).unwrap());
    let body = r#"{"username":"root","password":"correct horse"}"#;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("; Secure\r\n"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
}

#[test]
fn behind_a_stated_proxy() {
    let config = Config {
        public_url: Some("https://audit.example.org".to_owned()),
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        ..Config::default()
    };
    let world = World::with(config, true, Options::default());
    let login = r#"{"username":"root","password":"correct horse"}"#;
    let outside = [
        "Host: audit.example.org",
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "Content-Type: application/json",
    ];
    let with = |origin: &'static str| -> Vec<&str> { outside.iter().copied().chain([origin]).collect() };
    let answer = ask(&world, "POST", "/api/v1/session", &with("Origin: https://audit.example.org"), login);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));
    assert_eq!(
        ask(&world, "POST", "/api/v1/session", &with("Origin: https://evil.example"), login).status,
        403
    );
    assert_eq!(ask(&world, "GET", "/healthz", &["Host: other.example.org"], "").status, 421);
    // Metrics are free on the server's own host only, and the proxy's client is not there.
    assert_eq!(ask(&world, "GET", "/metrics", &outside, "").status, 401);
    let bearer = format!("Authorization: Bearer {}", world.names["reader"]);
    let path = "/api/v1/events?q=event_name:login.success";
    for _ in 0..100 {
        let found = json_of(&ask(&world, "GET", path, &[&bearer], ""));
        if let Some(event) = found["events"].get(0) {
            assert_eq!(event["event"]["source_ip_address"], "203.0.113.9");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the log-in was not recorded within two seconds");
}

#[test]
fn it_does_not_start_in_the_open() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let refused = World::try_with(Config { listen, ..Config::default() }, false, Options::default());
    assert!(matches!(refused, Err(ServeError::Config(ConfigError::Exposed(_)))));
}

#[test]
fn what_does_not_fit_in_the_queue_is_refused_and_nothing_else() {
    let world = World::with(Config::default(), true, Options { queue_bytes: 1, ..Options::default() });
    let bearer = format!("Authorization: Bearer {}", world.names["shop"]);
    let stored: usize = std::thread::scope(|scope| {
        let client = |client: usize| {
            let (world, bearer) = (&world, &bearer);
            move || {
                let post = |number: usize| {
                    let body =
                        format!(r#"{{"event_id":"c{client}-{number}","event_name":"a.b","username":"u"}}"#);
                    let answer = ask(world, "POST", "/api/v1/events", &[bearer], &body);
                    match answer.status {
                        201 => 1,
                        503 => {
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            0
                        }
                        other => panic!("{other} {}", answer.text()),
                    }
                };
                (0..40).map(post).sum::<usize>()
            }
        };
        let clients: Vec<_> = (0..8).map(|number| scope.spawn(client(number))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let reader = format!("Authorization: Bearer {}", world.names["reader"]);
    let count = json_of(&ask(&world, "GET", "/api/v1/count?ledger=logs", &[&reader], ""));
    assert_eq!(count["count"], stored);
    assert!(stored > 0);
}

#[test]
fn a_large_value_is_read_by_those_who_see_its_entry() {
    let world = World::new();
    let large = "x".repeat(5_000);
    let post = |user: &str| {
        let body =
            json!({"event_id": user, "event_name": "a.b", "username": user, "message": large}).to_string();
        let answer = ask(
            &world,
            "POST",
            "/api/v1/events",
            &[&format!("Authorization: Bearer {}", world.names["web"])],
            &body,
        );
        json_of(&answer)["events"][0]["index"].as_u64().unwrap()
    };
    let (alice, bob) = (post("alice"), post("bob"));
    let get = |key: &str, path: &str| {
        ask(&world, "GET", path, &[&format!("Authorization: Bearer {}", world.names[key])], "")
    };
    let hash = |index: u64| {
        let entry = json_of(&get("reader", &format!("/api/v1/ledgers/audit/entries/{index}")));
        let reference = entry["event"]["message"]["$ref"].as_str().unwrap().to_owned();
        reference.strip_prefix("sha256:").unwrap().to_owned()
    };
    let value = |key: &str, index: u64, hash: &str| {
        get(key, &format!("/api/v1/ledgers/audit/entries/{index}/values/{hash}"))
    };
    let answer = value("reader", alice, &hash(alice));
    assert_eq!((answer.status, answer.text()), (200, large.clone()));
    assert_eq!(answer.header("x-attestry-salt").unwrap().len(), 32);
    for (key, index, hash, status) in [
        ("alice-reader", alice, hash(alice), 200),
        ("alice-reader", bob, hash(bob), 404),
        // Another entry's value through an entry that may be seen.
        ("alice-reader", alice, hash(bob), 404),
        ("reader", alice, "0".repeat(64), 404),
        ("reader", alice, "zz".to_owned(), 404),
        ("web", alice, hash(alice), 403),
    ] {
        assert_eq!(value(key, index, &hash).status, status, "{key} {index} {hash}");
    }
}
