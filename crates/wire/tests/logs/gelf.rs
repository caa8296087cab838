//! Our GELF sink and our receiver over each transport, and what hostile senders try.

use std::io::Write;
use std::net::UdpSocket;

use attestry_pipeline::Sink;
use attestry_wire::gelf::{GelfSink, SinkConfig, split};
use serde_json::json;

use crate::world::{Certificates, Receiving, parcel, parcels};

fn sink(config: &str) -> GelfSink {
    let config: SinkConfig = serde_saphyr::from_str(config).unwrap();
    GelfSink::new(&config).unwrap()
}

#[tokio::test]
async fn what_our_sink_writes_our_receiver_reads() {
    let certificates = Certificates::new();
    let (server, client) =
        (format!(", tls: {}", certificates.server()), format!(", tls: {}", certificates.client()));
    // Hardly to be compressed, and so several chunks in any case.
    let noise: String = (0..600u32).map(|at| format!("{:08x}", at.wrapping_mul(2_654_435_761))).collect();
    let event = format!(
        r#"{{"event_name":"login.failure","event_id":"e1","username":"alice","severity":4,"host":"web1","message":"two\nlines",
        "event_time":"2026-11-20T03:04:05.123456Z","event_data":{{"a":{{"b":1.5,"c":false}},"id":"x","noise":"{noise}"}}}}"#
    );
    for (listen, receiver, sender) in [
        ("udp://127.0.0.1:0", "", ""),
        ("udp://127.0.0.1:0", "", ", compression: zlib"),
        ("udp://127.0.0.1:0", "", ", compression: none, chunk_bytes: 512"),
        ("udp://127.0.0.1:0", "", ", compression: none, chunk_bytes: 65507"),
        ("tcp://127.0.0.1:0", "", ""),
        ("tls://127.0.0.1:0", &*server, &*client),
        ("http://127.0.0.1:0/gelf", "", ""),
        ("http://127.0.0.1:0/gelf", "", ", compression: gzip"),
        ("https://127.0.0.1:0/in", &*server, &*client),
    ] {
        let receiving = Receiving::gelf(&format!("{{listen: '{listen}'{receiver}}}")).await;
        let mut sink = sink(&format!("{{address: '{}'{sender}}}", receiving.address));
        for _ in 0..2 {
            assert_eq!(sink.deliver(&[parcel(&event)]).await, Ok(Vec::new()), "{listen}{sender}");
        }
        receiving.kept.wait(2).await;
        let events = receiving.stop().await;
        assert_eq!(events.len(), 2, "{listen}{sender}: {events:?}");
        let (event, data) = (&events[1], events[1].event_data.as_ref().unwrap());
        assert_eq!((&*event.event_name, event.message.as_deref()), ("gelf.message", Some("two\nlines")));
        assert_eq!((event.severity, event.host.as_deref()), (Some(4), Some("web1")));
        assert_eq!(event.event_time.unwrap().to_string(), "2026-11-20T03:04:05.123000000Z");
        assert_eq!(event.source_ip_address.as_deref(), Some("127.0.0.1"));
        for (name, value) in [
            ("event_id", json!("e1")),
            ("event_name", json!("login.failure")),
            ("username", json!("alice")),
            ("event_time", json!("2026-11-20T03:04:05.123456000Z")),
            ("a.b", json!(1.5)),
            ("a.c", json!("false")),
            ("event_data.id", json!("x")),
            ("noise", json!(noise)),
        ] {
            assert_eq!(data[name], value, "{name} over {listen}{sender}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_carried_is_refused_and_the_rest_delivered() {
    let receiving = Receiving::gelf("{listen: 'udp://127.0.0.1:0'}").await;
    let mut sink =
        sink(&format!("{{address: '{}', compression: none, chunk_bytes: 512}}", receiving.address));
    let mut batch = parcels(2);
    let large = "x".repeat(70_000);
    batch.insert(1, parcel(&format!(r#"{{"event_name":"a","username":"b","message":"{large}"}}"#)));
    let refused = sink.deliver(&batch).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].at, 1);
    assert!(refused[0].reason.contains("128 chunks"), "{}", refused[0].reason);
    receiving.kept.wait(2).await;
    assert_eq!(receiving.stop().await.len(), 2);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn hostile_datagrams_are_counted_and_kept_where_they_can_be() {
    let receiving = Receiving::gelf("{listen: 'udp://127.0.0.1:0', max_message_bytes: 100000}").await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |bytes: &[u8]| assert_eq!(socket.send_to(bytes, receiving.at()).unwrap(), bytes.len());
    send(&gzip(&vec![b' '; 10 << 20]));
    send(&[0x1e, 0x0f, 1]);
    send(&[0x1f, 0x8b, 8, 0, 1, 2, 3]);
    let never_whole = split(&[b'x'; 1_000], 400, [1; 8]).unwrap();
    never_whole[1..].iter().for_each(|datagram| send(datagram));
    send(b"not GELF");
    // No sender decides that it was somebody's login.
    send(br#"{"version":"1.1","short_message":"hi","event_name":"login.success","_username":"root"}"#);
    receiving.kept.wait(2).await;
    let events = receiving.stop().await;
    let named = |name: &str| events.iter().filter(|event| event.event_name == name).collect::<Vec<_>>();
    let messages = named("gelf.message");
    assert_eq!(messages[0].message.as_deref(), Some("not GELF"));
    assert!(messages[0].event_data.as_ref().unwrap().contains_key("malformed"));
    assert_eq!((&*messages[1].username, messages[1].message.as_deref()), ("-", Some("hi")));
    let gaps = |reason: &str| -> u64 {
        let data = named("gap.datagram").into_iter().filter_map(|gap| gap.event_data.as_ref());
        data.filter(|data| data["reason"] == reason).map(|data| data["count"].as_u64().unwrap()).sum()
    };
    assert_eq!((gaps("unreadable"), gaps("incomplete")), (3, never_whole.len() as u64 - 1));
}

#[tokio::test]
async fn requests_are_answered_as_they_deserve() {
    let receiving = Receiving::gelf("{listen: 'http://127.0.0.1:0/gelf', max_message_bytes: 2000}").await;
    let at = receiving.at().to_owned();
    let large = format!(r#"{{"short_message":"{}"}}"#, "x".repeat(3_000));
    for (request, body, status) in [
        ("POST /gelf", &br#"{"short_message":"a"}"#[..], 202),
        ("POST /gelf", b"{\"short_message\":\"b\"}\n{\"short_message\":\"c\"}\n", 202),
        ("POST /gelf", &gzip(br#"{"short_message":"d"}"#), 202),
        ("POST /gelf", b"", 400),
        ("POST /gelf", b"hello", 400),
        ("POST /gelf", b"{\"short_message\":\"never\"}\nhello", 400),
        ("POST /gelf", br#"{"event_name":"a"}"#, 400),
        ("POST /gelf", large.as_bytes(), 413),
        ("POST /gelf", &gzip(&vec![b' '; 1 << 20]), 413),
        ("GET /gelf", b"", 405),
        ("POST /other", br#"{"short_message":"never"}"#, 404),
    ] {
        let (at, request, body) = (at.clone(), request.to_owned(), body.to_vec());
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(at).unwrap();
            let head = format!(
                "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&body);
            let mut answer = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    let events = receiving.stop().await;
    let messages: Vec<_> = events.iter().filter_map(|event| event.message.as_deref()).collect();
    assert_eq!(messages, ["a", "b", "c", "d"]);
}
