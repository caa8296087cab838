use super::*;
use crate::http::scripted::{Reply, Request, Scripted};
use crate::made::parcels;
use serde_json::{Value, json};
use std::time::Duration;

fn sink(server: &Scripted, more: Value) -> WebhookSink {
    let mut config =
        json!({"url": format!("http://{}/hook?a=b", server.address), "allow_private": true, "timeout": "5s"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: SinkConfig = serde_json::from_value(config).unwrap();
    assert_eq!(config.check(), []);
    WebhookSink::new(config).unwrap()
}

fn status(status: u16) -> Reply {
    (status, Vec::new(), b"why\x1b not".to_vec())
}

fn id(request: &Request) -> String {
    serde_json::from_slice::<Value>(&request.body).unwrap()["event_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bodies_of_each_format() {
    let server = Scripted::start(|_| status(204));
    for format in ["array", "ndjson", "single"] {
        assert_eq!(sink(&server, json!({"format": format})).deliver(&parcels(2)).await, Ok(vec![]));
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.line == "POST /hook?a=b"));
    let array: Vec<Value> = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(array.len(), 2);
    assert_eq!(requests[1].body.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert_eq!(requests[1].header("content-type"), Some("application/x-ndjson"));
    assert_eq!((id(&requests[2]), id(&requests[3])), ("e0".into(), "e1".into()));
}

#[tokio::test]
async fn is_signed_and_has_its_headers() {
    let server = Scripted::start(|_| status(200));
    let more = json!({"secret": "key", "headers": {"X-Token": {"env": "CARGO_PKG_NAME"}}});
    assert_eq!(sink(&server, more).deliver(&parcels(1)).await, Ok(vec![]));
    let request = &server.requests()[0];
    assert_eq!(request.header("x-token"), Some("attestry-wire"));
    let sent = request.header("attestry-signature").unwrap();
    let time: u64 = sent.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(sent, signature(b"key", time, &request.body));
    assert_ne!(sent, signature(b"other", time, &request.body));
    assert_ne!(
        sent,
        signature(b"key", time + 1, &request.body).replace(&(time + 1).to_string(), &time.to_string())
    );
}

/// `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`
#[test]
fn signature_as_others_compute_it() {
    assert_eq!(
        signature(b"key", 1_700_000_000, b"{}"),
        "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    );
}

#[tokio::test]
async fn answers() {
    for (answered, expected) in [
        (200, Some(0)),
        (299, Some(0)),
        (400, Some(3)),
        (401, Some(3)),
        (404, Some(3)),
        (413, Some(3)),
        (422, Some(3)),
        (301, None),
        (307, None),
        (408, None),
        (409, None),
        (425, None),
        (429, None),
        (500, None),
        (503, None),
        (0, None),
    ] {
        let server = Scripted::start(move |_| {
            (answered, vec![("retry-after", "3".to_owned())], b"why\x1b not".to_vec())
        });
        let result = sink(&server, json!({})).deliver(&parcels(3)).await;
        match (result, expected) {
            (Ok(refused), Some(expected)) => {
                assert_eq!(refused.len(), expected, "{answered}");
                assert!(refused.iter().all(|refused| refused.reason.ends_with("why  not")), "{refused:?}");
            }
            (Err(Failure::Again { delivered: 0, after, .. }), None) => {
                let told = (answered != 0).then(|| Duration::from_secs(3));
                assert_eq!(after, told, "{answered}");
            }
            (other, _) => panic!("{answered}: {other:?}"),
        }
        assert_eq!(server.requests().len(), 1, "{answered}: no redirect is followed");
    }
}

#[tokio::test]
async fn single_events_are_refused_alone_and_counted() {
    let server = Scripted::start(|request| match id(request).as_str() {
        "e1" => status(400),
        _ => status(200),
    });
    let refused = sink(&server, json!({"format": "single"})).deliver(&parcels(3)).await.unwrap();
    assert_eq!(refused.iter().map(|refused| refused.at).collect::<Vec<_>>(), [1]);
    for (refuse, expected) in [("none", 2), ("e1", 1), ("e0", 0)] {
        let server = Scripted::start(move |request| match id(request).as_str() {
            "e2" => status(503),
            id if id == refuse => status(400),
            _ => status(200),
        });
        let failure = sink(&server, json!({"format": "single"})).deliver(&parcels(4)).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Again { delivered, .. } if delivered == expected),
            "{refuse}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn private_addresses_only_when_allowed() {
    let server = Scripted::start(|_| status(200));
    for (more, word) in [
        (json!({"allow_private": false}), "allow_private"),
        (
            json!({"allow_private": false, "url": format!("http://localhost:{}/", server.address.port())}),
            "allow_private",
        ),
        (json!({"url": "http://169.254.169.254/latest/meta-data"}), "link-local"),
        (json!({"url": "http://[::ffff:169.254.169.254]/latest/meta-data"}), "link-local"),
    ] {
        match sink(&server, more.clone()).deliver(&parcels(1)).await {
            Err(Failure::Again { reason, .. }) => assert!(reason.contains(word), "{more}: {reason}"),
            other => panic!("{more}: {other:?}"),
        }
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_hook_that_says_nothing_is_given_up() {
    let server = Scripted::start(|_| {
        std::thread::sleep(Duration::from_secs(20));
        status(200)
    });
    let begun = std::time::Instant::now();
    let failure = sink(&server, json!({"timeout": "300ms"})).deliver(&parcels(1)).await.unwrap_err();
    assert!(matches!(failure, Failure::Again { .. }));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn says_what_is_wrong_with_a_configuration() {
    for (config, fields) in [
        (json!({"url": "https://hook.example/x"}), &[][..]),
        (json!({"url": "hook.example"}), &["url"]),
        (json!({"url": "https://h.example", "headers": {"Content-Type": "x"}}), &["headers"]),
        (json!({"url": "https://h.example", "headers": {"a b": "x"}}), &["headers"]),
        (json!({"url": "https://h.example", "timeout": "0s", "tls": {"cert": "x"}}), &["timeout", "tls"]),
    ] {
        let parsed: SinkConfig = serde_json::from_value(config.clone()).unwrap();
        let found: Vec<&str> = parsed.check().iter().map(|(field, _)| *field).collect();
        assert_eq!(found, fields, "{config}");
    }
    assert!(
        serde_json::from_value::<SinkConfig>(json!({"url": "https://h.example", "secrte": "x"})).is_err()
    );
}

#[tokio::test]
async fn a_chat_gets_one_message_of_harmless_lines() {
    let server = Scripted::start(|_| status(200));
    let mut parcels = vec![crate::notice::tests::alert(1, "<!channel> & *root*\nlogged in")];
    parcels.extend((2..=60).map(|number| crate::notice::tests::alert(number, "x")));
    assert_eq!(
        sink(&server, json!({"format": "slack", "secret": "key"})).deliver(&parcels).await,
        Ok(vec![])
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].header("attestry-signature").is_some());
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    let lines: Vec<&str> = body["text"].as_str().unwrap().lines().collect();
    assert_eq!(
        lines[0],
        "*[high] &lt;!channel&gt; &amp; ∗root∗ logged in* on web1, rule login-root, alert a1"
    );
    assert_eq!((lines.len(), lines[50]), (51, "… and 10 more"));
}
