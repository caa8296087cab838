use super::*;
use crate::http::scripted::{Reply, Request, Scripted};
use crate::made;
use attestry_tlog::{Checkpoint, SigningKey, leaf_hash};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn parcels(events: &[(&str, Value)]) -> Vec<Parcel> {
    events.iter().enumerate().map(|(number, (ledger, more))| made::parcel(number, ledger, more)).collect()
}

fn plain(count: usize) -> Vec<Parcel> {
    made::parcels(count)
}

fn sink(server: &Scripted) -> AttestrySink {
    let config: SinkConfig = serde_json::from_value(
        json!({"url": format!("http://{}", server.address), "key": "k", "timeout": "5s"}),
    )
    .unwrap();
    assert_eq!(config.check(), []);
    AttestrySink::new(&config).unwrap()
}

/// The events of a request, by id.
fn ids(request: &Request) -> Vec<String> {
    let body = zstd::bulk::decompress(&request.body, 64 << 20).unwrap();
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice::<Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned())
        .collect()
}

fn status(status: u16) -> Reply {
    (status, Vec::new(), Vec::new())
}

fn problem(status: u16, body: Value) -> Reply {
    (status, vec![("content-type", "application/problem+json".into())], body.to_string().into_bytes())
}

#[tokio::test]
async fn one_request_a_ledger_over_one_connection() {
    let server = Scripted::start(|_| status(201));
    let mut sink = sink(&server);
    let long = "x".repeat(10_000);
    let events = parcels(&[
        ("audit", json!({"message": long})),
        ("logs", json!({})),
        ("audit", json!({"event_data": {"n": 9_007_199_254_740_993u64}})),
        ("logs", json!({})),
    ]);
    assert_eq!(sink.deliver(&events).await, Ok(vec![]));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for (request, ledger, expected) in
        [(&requests[0], "audit", ["e0", "e2"]), (&requests[1], "logs", ["e1", "e3"])]
    {
        assert_eq!(request.line, format!("POST /api/v1/events?ledger={ledger}"));
        assert_eq!(request.header("authorization"), Some("Bearer k"));
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(request.header("content-encoding"), Some("zstd"));
        assert_eq!(request.header("attestry-accounts"), None);
        assert_eq!(ids(request), expected);
        assert_eq!(request.connection, 0);
    }
    let body = String::from_utf8(zstd::bulk::decompress(&requests[0].body, 1 << 20).unwrap()).unwrap();
    assert!(body.contains(&long) && body.contains("9007199254740993") && !body.contains("$ref"));
}

#[tokio::test]
async fn what_is_refused_does_not_hold_up_the_rest() {
    let mut round = 0;
    let server = Scripted::start(move |request| {
        round += 1;
        match round {
            1 => problem(
                422,
                json!({"problems": [{"line": 2, "field": "severity", "found": "9", "expected": "0 to 7"}]}),
            ),
            2 => problem(
                409,
                json!({"conflicts": [{"line": 3, "event_id": "e3", "ledger": "audit", "index": 5}]}),
            ),
            _ => {
                assert_eq!(ids(request), ["e0", "e2"]);
                status(201)
            }
        }
    });
    let refused = sink(&server).deliver(&plain(4)).await.unwrap();
    let at: Vec<usize> = refused.iter().map(|refused| refused.at).collect();
    assert_eq!(at, [1, 3]);
    assert!(refused[0].reason.contains("severity") && refused[1].reason.contains("audit/5"), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_without_lines_is_narrowed_down() {
    let server =
        Scripted::start(
            |request| if ids(request).contains(&"e5".to_owned()) { status(422) } else { status(201) },
        );
    let refused = sink(&server).deliver(&plain(9)).await.unwrap();
    assert_eq!(refused.iter().map(|refused| refused.at).collect::<Vec<_>>(), [5]);
    let mut stored: Vec<String> = Vec::new();
    for request in server.requests() {
        let ids = ids(&request);
        if !ids.contains(&"e5".to_owned()) {
            stored.extend(ids);
        }
    }
    assert_eq!(stored, ["e0", "e1", "e2", "e3", "e4", "e6", "e7", "e8"], "in order, each once");
}

#[tokio::test]
async fn too_large_is_halved_and_stays_so() {
    let server = Scripted::start(|request| if ids(request).len() > 3 { status(413) } else { status(201) });
    let mut sink = sink(&server);
    assert_eq!(sink.deliver(&plain(8)).await, Ok(vec![]));
    let stored: Vec<String> =
        server.requests().iter().map(ids).filter(|ids| ids.len() <= 3).flatten().collect();
    assert_eq!(stored.len(), 8);
    let before = server.requests().len();
    assert_eq!(sink.deliver(&plain(3)).await, Ok(vec![]));
    assert!(server.requests()[before..].iter().all(|request| ids(request).len() <= 3));
    // One that is too large by itself is refused.
    let server = Scripted::start(|_| status(413));
    let refused = super::tests::sink(&server).deliver(&plain(2)).await.unwrap();
    assert_eq!(refused.len(), 2);
}

#[tokio::test]
async fn what_is_away_is_tried_again() {
    for (reply, seconds) in [
        ((503, vec![("retry-after", "7".to_owned())], Vec::new()), Some(7)),
        ((429, Vec::new(), Vec::new()), None),
        ((401, Vec::new(), Vec::new()), None),
        ((302, vec![("location", "http://127.0.0.1:1/".to_owned())], Vec::new()), None),
        ((0, Vec::new(), Vec::new()), None),
    ] {
        let shown = format!("{reply:?}");
        let server = Scripted::start(move |_| reply.clone());
        match sink(&server).deliver(&plain(2)).await {
            Err(Failure::Again { delivered: 0, after, reason }) => {
                assert_eq!(after, seconds.map(Duration::from_secs), "{shown}");
                assert!(!reason.is_empty());
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn says_what_is_delivered_but_never_past_a_refusal() {
    for (refuse, expected) in [(false, 2), (true, 0)] {
        let server = Scripted::start(move |request| match request.line.contains("logs") {
            true => status(503),
            false if refuse && ids(request).contains(&"e0".to_owned()) => {
                problem(422, json!({"problems": [{"line": 1, "field": "x"}]}))
            }
            false => status(201),
        });
        let events =
            parcels(&[("audit", json!({})), ("audit", json!({})), ("logs", json!({})), ("audit", json!({}))]);
        let failure = sink(&server).deliver(&events).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Again { delivered, .. } if delivered == expected),
            "{refuse}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn large_batches_become_several_requests() {
    let server = Scripted::start(|_| status(201));
    let message = "x".repeat(9 << 20);
    let events = parcels(&vec![("audit", json!({"message": message})); 3]);
    assert_eq!(sink(&server).deliver(&events).await, Ok(vec![]));
    assert_eq!(server.requests().iter().map(ids).collect::<Vec<_>>(), [["e0"], ["e1"], ["e2"]]);
}

/// A log whose entries are all alike: `trees` says which size the next question is answered with.
fn shown(key: &SigningKey, size: u64, from: u64, salt: u8) -> Vec<u8> {
    struct Leaves(u8);
    impl attestry_tlog::Nodes for Leaves {
        type Error = std::convert::Infallible;
        fn node(&self, level: u8, _: u64) -> Result<attestry_tlog::Hash, Self::Error> {
            Ok((0..level).fold(leaf_hash(&[self.0]), |hash, _| attestry_tlog::node_hash(&hash, &hash)))
        }
    }
    let Ok(root) = attestry_tlog::root(size, &Leaves(salt));
    let proof = attestry_tlog::consistency_proof(from.min(size), size, &Leaves(salt)).unwrap();
    let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
    let note = Checkpoint::new(key.name(), size, root).sign(key);
    json!({"checkpoint": note, "proof": proof}).to_string().into_bytes()
}

fn agent(dir: &std::path::Path, key: &SigningKey, alarms: &Arc<Mutex<Vec<Alarm>>>) -> Agent {
    let alarms = Arc::clone(alarms);
    Agent {
        name: "web\"1".into(),
        pins: dir.to_owned(),
        keys: HashMap::from([("audit".to_owned(), key.verifier())]),
        on_alarm: Arc::new(move |alarm| alarms.lock().unwrap().push(alarm.clone())),
    }
}

fn covered(seqs: std::ops::Range<u64>) -> Covered {
    Covered { ledger: "audit".into(), epoch: 7, seqs, lost: false }
}

/// However the events of a batch are spread over requests, their numbers are accounted for once and without holes.
#[tokio::test]
async fn every_number_is_accounted_for() {
    for (case, refuse) in [("413", usize::MAX), ("422", 5), ("422", 0), ("413", 3), ("422", 8)] {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
        let other = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
        let bad = format!("e{refuse}");
        let server = Scripted::start(move |request| match request.line.split_once("from=") {
            Some((_, from)) => (200, Vec::new(), shown(&other, 9, from.parse().unwrap(), 0)),
            None if request.body == b"[]" => status(201),
            None if case == "413" && ids(request).len() > 2 => status(413),
            None if ids(request).contains(&bad) => status(422),
            None => status(201),
        });
        let mut sink = sink(&server).as_agent(agent(dir.path(), &key, &Arc::default()));
        sink.account(&[covered(95..120)]);
        let refused = sink.deliver(&plain(9)).await.unwrap();
        assert_eq!(refused.len(), usize::from(refuse < 9));
        // What the server took is told by the answers; here every request that it would answer with 201.
        let taken = server.requests().into_iter().filter(|request| {
            request.line.starts_with("POST")
                && (request.body == b"[]"
                    || !(case == "413" && ids(request).len() > 2
                        || ids(request).contains(&format!("e{refuse}"))))
        });
        let mut next = 95;
        for request in taken {
            let (from, to) = request.header("attestry-accounts").unwrap().split_once('-').unwrap();
            assert_eq!(from.parse(), Ok(next), "{case} {refuse}");
            next = to.parse().unwrap();
        }
        assert_eq!(next, 120, "{case} {refuse}");
    }
}

#[tokio::test]
async fn an_agent_numbers_its_events_and_wants_proofs() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
    let other = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
    let server = Scripted::start(move |request| match request.line.split_once("from=") {
        Some((_, from)) => (200, Vec::new(), shown(&other, 9, from.parse().unwrap(), 0)),
        None => status(201),
    });
    let alarms = Arc::default();
    let mut sink = sink(&server).as_agent(agent(dir.path(), &key, &alarms));
    let mut events = plain(3);
    // The second was left out by a filter, and so was everything of the second batch.
    events.remove(1);
    sink.account(&[covered(100..103)]);
    assert_eq!(sink.deliver(&events).await, Ok(vec![]));
    sink.account(&[covered(103..105)]);
    assert_eq!(sink.deliver(&[]).await, Ok(vec![]));
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    // The second delivery came within the time for which one proof is enough.
    let post = "POST /api/v1/events?ledger=audit";
    assert_eq!(lines, [post, "GET /api/v1/ledgers/audit/consistency?from=0", post]);
    assert_eq!(requests[0].header("attestry-epoch"), Some("7"));
    assert_eq!(requests[0].header("attestry-accounts"), Some("100-103"));
    assert_eq!(requests[2].header("attestry-accounts"), Some("103-105"));
    assert_eq!(requests[2].body, b"[]");
    let body = zstd::bulk::decompress(&requests[0].body, 1 << 20).unwrap();
    let first: Value = serde_json::from_slice(body.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(
        (&first["agent"], &first["agent_epoch"], &first["agent_seq"]),
        (&json!("web\"1"), &json!(7), &json!(100))
    );
    let pin: attestry_tlog::Pin = std::fs::read_to_string(dir.path().join("audit")).unwrap().parse().unwrap();
    assert_eq!(pin.open().unwrap().size, 9);
}

#[tokio::test]
async fn a_fork_stops_an_agent_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
    let other = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
    let salt = Arc::new(AtomicUsize::new(0));
    let forked = Arc::clone(&salt);
    let server = Scripted::start(move |request| match request.line.split_once("from=") {
        Some((_, from)) => {
            let salt = forked.load(Ordering::Relaxed) as u8;
            (200, Vec::new(), shown(&other, 9, from.parse().unwrap(), salt))
        }
        None => status(201),
    });
    let alarms: Arc<Mutex<Vec<Alarm>>> = Arc::default();
    assert_eq!(sink(&server).as_agent(agent(dir.path(), &key, &alarms)).deliver(&plain(1)).await, Ok(vec![]));
    salt.store(1, Ordering::Relaxed);
    // A new process knows it from the pin.
    let mut sink = sink(&server).as_agent(agent(dir.path(), &key, &alarms));
    for _ in 0..2 {
        let failure = sink.deliver(&plain(1)).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Halt { reason } if reason.contains("does not prove")),
            "{failure:?}"
        );
    }
    assert_eq!(server.requests().len(), 4, "after the alarm nothing is sent");
    for _ in 0..200 {
        if !alarms.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let alarms = alarms.lock().unwrap();
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].ledger, "audit");
    assert!(alarms[0].pinned.is_some() && alarms[0].shown.is_some() && alarms[0].pinned != alarms[0].shown);
}

#[tokio::test]
async fn without_a_proof_nothing_counts_as_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("log.example/audit", [5; 32]).unwrap();
    let server =
        Scripted::start(|request| if request.line.contains("from=") { status(500) } else { status(201) });
    let mut sink = sink(&server).as_agent(agent(dir.path(), &key, &Arc::default()));
    let failure = sink.deliver(&plain(2)).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Again { delivered: 0, reason, .. } if reason.contains("prove")),
        "{failure:?}"
    );
}

/// The server asks for a certificate and gets the agent's.
#[tokio::test]
async fn shows_its_certificate() {
    use rustls::server::WebPkiClientVerifier;
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (server_side, client_side) = (made("audit.test"), made("web1"));
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = file("server.pem", server_side.cert.pem());
    let cert = file("cert.pem", client_side.cert.pem());
    let key = file("key.pem", client_side.signing_key.serialize_pem());
    let server_key = file("server.key", server_side.signing_key.serialize_pem());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(client_side.cert.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            crate::tls::certificates(&ca).unwrap(),
            crate::tls::private_key(&server_key).unwrap(),
        )
        .unwrap();
    let server = Scripted::start_with(Some(Arc::new(tls)), |_| status(201));
    let config = |tls: Value| -> SinkConfig {
        serde_json::from_value(
            json!({"url": format!("https://{}", server.address), "tls": tls, "timeout": "5s"}),
        )
        .unwrap()
    };
    let with = config(json!({"ca": ca, "cert": cert, "key": key, "server_name": "audit.test"}));
    assert_eq!(with.check(), []);
    assert_eq!(AttestrySink::new(&with).unwrap().deliver(&plain(1)).await, Ok(vec![]));
    assert_eq!(server.requests().len(), 1);
    for wrong in [
        json!({"ca": ca, "server_name": "audit.test"}),
        json!({"ca": ca, "cert": cert, "key": key, "server_name": "other.test"}),
        json!({"cert": cert, "key": key, "server_name": "audit.test"}),
    ] {
        let failed = AttestrySink::new(&config(wrong.clone())).unwrap().deliver(&plain(1)).await;
        assert!(matches!(failed, Err(Failure::Again { delivered: 0, .. })), "{wrong}: {failed:?}");
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn says_what_is_wrong_with_a_configuration() {
    for (config, fields) in [
        (json!({"url": "https://a.example", "key": "k"}), &[][..]),
        (json!({"url": "http://127.0.0.1:7984", "key": "k"}), &[]),
        (json!({"url": "https://a.example", "tls": {"cert": "c", "key": "k"}}), &[]),
        (json!({"url": "http://a.example", "key": "k"}), &["url"]),
        (json!({"url": "a.example", "key": "k"}), &["url"]),
        (json!({"url": "https://a.example?x=y", "key": "k"}), &["url"]),
        (json!({"url": "https://a.example"}), &["key"]),
        (json!({"url": "https://a.example", "key": "k", "tls": {"cert": "c", "key": "k"}}), &["key"]),
        (json!({"url": "https://a.example", "tls": {"cert": "c"}}), &["tls.key"]),
        (json!({"url": "http://127.0.0.1", "tls": {"cert": "c", "key": "k"}}), &["url"]),
        (json!({"url": "https://a.example", "key": "k", "timeout": "0s"}), &["timeout"]),
    ] {
        let parsed: SinkConfig = serde_json::from_value(config.clone()).unwrap();
        let found: Vec<&str> = parsed.check().iter().map(|(field, _)| *field).collect();
        assert_eq!(found, fields, "{config}");
    }
}
