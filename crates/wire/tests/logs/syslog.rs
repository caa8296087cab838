//! Our sink and our receiver, `logger`, and what happens when one side is away.

use std::process::Command;
use std::time::Duration;

use attestry_event::Event;
use attestry_pipeline::{Failure, Parcel, Sink};
use attestry_wire::syslog::{SinkConfig, SyslogSink};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixDatagram, UnixListener};

use crate::world::{Certificates, Receiving, parcel, parcels};

fn sink(config: &str) -> SyslogSink {
    let config: SinkConfig = serde_saphyr::from_str(config).unwrap();
    SyslogSink::new(&config).unwrap()
}

async fn deliver(sink: &mut SyslogSink, parcels: &[Parcel]) {
    let refused = sink.deliver(parcels).await.unwrap();
    assert_eq!(refused, []);
}

fn messages(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(|event| event.message.as_deref()).collect()
}

const EVENT: &str = r#"{"event_name":"login.failure","event_id":"e1","username":"al]\"\\ice ü","severity":4,"host":"web1","message":"wrong password – ü",
    "event_time":"2026-11-20T03:04:05.123456Z","event_data":{"a":{"b":[1,"]"]}}}"#;

#[tokio::test]
async fn what_our_sink_writes_our_receiver_reads() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let unix = format!("unix://{}", dir.path().join("log").display());
    for (listen, receiver, sender) in [
        ("udp://127.0.0.1:0", String::new(), ""),
        ("tcp://127.0.0.1:0", String::new(), ""),
        ("tcp://127.0.0.1:0", String::new(), ", framing: newline"),
        ("tcp://127.0.0.1:0", String::new(), ", byte_order_mark: false"),
        (
            "tls://127.0.0.1:0",
            format!(", tls: {}", certificates.server()),
            &*format!(", tls: {}", certificates.client()),
        ),
        (
            "tls://127.0.0.1:0",
            format!(", tls: {}", certificates.strict_server()),
            &format!(", tls: {}", certificates.known_client()),
        ),
        (&unix, String::new(), ""),
    ] {
        let receiving = Receiving::syslog(&format!("{{listen: '{listen}', time_zone: UTC{receiver}}}")).await;
        let rest = format!("template: '{{message}}', time_zone: UTC{sender}");
        let mut new = sink(&format!("{{address: '{}', format: rfc5424, {rest}}}", receiving.address));
        deliver(&mut new, &[parcel(EVENT)]).await;
        let mut old =
            sink(&format!("{{address: '{}', format: bsd, facility: auth, {rest}}}", receiving.address));
        receiving.kept.wait(1).await;
        deliver(&mut old, &[parcel(EVENT)]).await;
        let events = receiving.stop().await;
        assert_eq!(events.len(), 2, "{listen}{sender}: {events:?}");
        let local = listen.starts_with("unix");
        for event in &events {
            assert_eq!(event.message.as_deref(), Some("wrong password – ü"), "{listen}{sender}");
            assert_eq!(
                (event.severity, &*event.event_name, &*event.username),
                (Some(4), "syslog.message", "-")
            );
            assert_eq!(event.source_ip_address.as_deref(), (!local).then_some("127.0.0.1"));
        }
        let data = events[0].event_data.as_ref().unwrap();
        assert_eq!(events[0].event_time.unwrap().to_string(), "2026-11-20T03:04:05.123456000Z");
        assert_eq!(events[0].host.as_deref(), Some("web1"));
        assert_eq!(
            (&data["format"], &data["facility"], &data["msgid"]),
            (&json!("rfc5424"), &json!("local0"), &json!("login.failure"))
        );
        let fields = &data["structured_data"]["attestry@32473"];
        assert_eq!((&fields["event_id"], &fields["username"]), (&json!("e1"), &json!("al]\"\\ice ü")));
        assert_eq!(fields["event_data"], json!(r#"{"a":{"b":[1,"]"]}}"#));
        let data = events[1].event_data.as_ref().unwrap();
        assert_eq!(events[1].event_time.unwrap().to_string(), "2026-11-20T03:04:05.000000000Z");
        assert_eq!(events[1].host.as_deref(), (!local).then_some("web1"));
        assert_eq!(
            (&data["format"], &data["facility"], &data["app_name"]),
            (&json!("bsd"), &json!("auth"), &json!("attestry"))
        );
    }
}

#[tokio::test]
async fn order_is_kept_and_all_arrive() {
    let receiving = Receiving::syslog("{listen: 'tcp://127.0.0.1:0', queue_bytes: 2097152}").await;
    let mut sink = sink(&format!("{{address: '{}', template: '{{message}}'}}", receiving.address));
    let all = parcels(10_000);
    for batch in all.chunks(1_000) {
        deliver(&mut sink, batch).await;
    }
    let events = receiving.kept.wait(all.len()).await;
    let expected: Vec<_> = (0..all.len()).map(|at| format!("event {at}")).collect();
    assert_eq!(messages(&events), expected);
    assert_eq!(receiving.stop().await.len(), all.len());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_not_let_in() {
    let certificates = Certificates::new();
    let config = format!("{{listen: 'tls://127.0.0.1:0', tls: {}}}", certificates.strict_server());
    let receiving = Receiving::syslog(&config).await;
    let mut stranger = sink(&format!("{{address: '{}', tls: {}}}", receiving.address, certificates.client()));
    assert!(stranger.deliver(&parcels(1)).await.is_err());
    // And a server whose certificate nobody signed is not believed.
    let mut careful = sink(&format!("{{address: '{}'}}", receiving.address));
    assert!(careful.deliver(&parcels(1)).await.is_err());
    assert_eq!(receiving.stop().await, []);
}

#[tokio::test]
async fn nothing_vanishes_into_a_connection_that_the_far_side_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut sink = sink(&format!("{{address: '{address}', template: '{{message}}', framing: newline}}"));
    let mut read = String::new();
    for at in 0..5 {
        let batch = parcels(3);
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4_096];
            let mut text = String::new();
            while text.matches('\n').count() < 3 {
                let len = stream.read(&mut bytes).await.unwrap();
                assert_ne!(len, 0);
                text.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
            }
            // Closed while the sink keeps its connection for the next batch.
            drop(stream);
            text
        };
        let (text, ()) = tokio::join!(serving, async {
            match sink.deliver(&batch).await {
                Ok(refused) => assert_eq!(refused, []),
                // Closed so soon that the sink saw it at once: it cannot know, and says so.
                Err(Failure::Again { delivered: 0, .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        });
        assert_eq!(text.matches("event ").count(), 3, "batch {at}: {text}");
        read.push_str(&text);
    }
    assert_eq!(read.matches("event ").count(), 15);
}

#[tokio::test]
async fn a_missing_dev_log_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut sink = sink(&format!("{{address: 'unix://{}', template: '{{message}}'}}", path.display()));
    for _ in 0..2 {
        match sink.deliver(&parcels(2)).await {
            Err(Failure::Again { delivered: 0, reason, .. }) => {
                assert!(reason.contains("No such file"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut buffer = [0; 4_096];
    // A datagram socket; then it goes away and comes back; then it is a stream.
    for _ in 0..2 {
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut delivered = sink.deliver(&parcels(2)).await;
        if delivered.is_err() {
            // The first attempt after a restart learns that the socket it was connected to is gone.
            delivered = sink.deliver(&parcels(2)).await;
        }
        assert_eq!(delivered, Ok(Vec::new()));
        for expected in ["event 0", "event 1"] {
            let len = socket.recv(&mut buffer).await.unwrap();
            assert!(read(&buffer[..len]).ends_with(expected));
        }
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(sink.deliver(&parcels(1)).await, Err(Failure::Again { .. })));
    }
    let listener = UnixListener::bind(&path).unwrap();
    let batch = parcels(2);
    let (accepted, ()) = tokio::join!(listener.accept(), deliver(&mut sink, &batch));
    let len = accepted.unwrap().0.read(&mut buffer).await.unwrap();
    let text = read(&buffer[..len]);
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[tokio::test]
async fn logger_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let unix = dir.path().join("log");
    let receivers = [
        Receiving::syslog("{listen: 'udp://127.0.0.1:0'}").await,
        Receiving::syslog("{listen: 'tcp://127.0.0.1:0'}").await,
        Receiving::syslog(&format!("{{listen: 'unix://{}', mode: '666'}}", unix.display())).await,
    ];
    let port = |at: usize| receivers[at].port().to_owned();
    let to = [
        vec!["--server".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), port(0), "--udp".to_owned()],
        vec!["--server".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), port(1), "--tcp".to_owned()],
        vec!["--socket".to_owned(), unix.display().to_string()],
    ];
    let forms: [(&[&str], &str); 4] = [
        (&["--rfc5424", "--msgid", "M1", "--sd-id", "x@1", "--sd-param", "a=\"b\""], "rfc5424"),
        (&["--rfc3164"], "bsd"),
        (&["--rfc5424=notime,nohost"], "rfc5424"),
        (&["--rfc3164", "--octet-count"], "bsd"),
    ];
    for (receiving, to) in receivers.iter().zip(&to) {
        for (at, (form, format)) in forms.iter().enumerate() {
            let mut command = Command::new("logger");
            command.args(to).args(*form).args([
                "--tag",
                "tester",
                "--id=57",
                "-p",
                "auth.warning",
                "hello – ü",
            ]);
            // Only a stream has frames.
            if form.contains(&"--octet-count") && !to.contains(&"--tcp".to_owned()) {
                continue;
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {output:?}");
            let events = receiving.kept.wait(at + 1).await;
            let (event, data) = (&events[at], events[at].event_data.as_ref().unwrap());
            assert_eq!(event.message.as_deref(), Some("hello – ü"), "{command:?}: {event:?}");
            assert_eq!((event.severity, &data["facility"]), (Some(4), &json!("auth")), "{command:?}");
            assert_eq!(
                (&data["app_name"], &data["procid"], &data["format"]),
                (&json!("tester"), &json!("57"), &json!(format))
            );
            if at == 0 {
                assert_eq!(
                    (&data["msgid"], &data["structured_data"]["x@1"]["a"]),
                    (&json!("M1"), &json!("b"))
                );
                assert!(event.host.is_some() && event.event_time.is_some());
            }
        }
    }
}

#[tokio::test]
async fn what_the_kernel_drops_is_declared() {
    let config = "{listen: 'udp://127.0.0.1:0', receive_buffer_bytes: 4096}";
    let config: attestry_wire::syslog::ReceiverConfig = serde_saphyr::from_str(config).unwrap();
    let receiver = attestry_wire::syslog::Receiver::bind(&config).await.unwrap();
    let address = receiver.address().to_owned();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for at in 0..300 {
        let to = address.strip_prefix("udp://").unwrap();
        socket.send_to(format!("<13>message {at}").as_bytes(), to).unwrap();
    }
    let receiving = Receiving::start(&address, |inlet, stop| receiver.run(inlet, stop));
    receiving.kept.wait(1).await;
    let events = receiving.stop().await;
    let (gaps, messages): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| event.event_name == "gap.datagram");
    let lost: u64 = gaps.iter().map(|gap| gap.event_data.as_ref().unwrap()["count"].as_u64().unwrap()).sum();
    assert!(lost > 0 && !messages.is_empty());
    assert_eq!(lost as usize + messages.len(), 300);
    assert!(gaps.iter().all(|gap| gap.event_data.as_ref().unwrap()["reason"] == "kernel"));
}

#[tokio::test]
async fn long_messages_are_cut_and_strange_ones_kept() {
    let receiving = Receiving::syslog("{listen: 'tcp://127.0.0.1:0', max_message_bytes: 1024}").await;
    let stream = std::net::TcpStream::connect(receiving.at()).unwrap();
    let mut text = b"<13>".to_vec();
    text.extend(vec![b'x'; 3_000]);
    text.extend_from_slice(b"\nno priority\n<13>\xff\xfe\n\n\r\n<13>no end");
    std::io::Write::write_all(&mut &stream, &text).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let events = receiving.kept.wait(4).await;
    assert_eq!(events[0].message.as_ref().unwrap().len(), 1_020);
    assert_eq!(events[0].event_data.as_ref().unwrap()["cut_bytes"], 1_980);
    assert_eq!(messages(&events)[1..], ["no priority", "\u{fffd}\u{fffd}", "no end"]);
    assert_eq!(events[2].event_data.as_ref().unwrap()["invalid_utf8"], true);
    assert_eq!(receiving.stop().await.len(), 4);
}

#[tokio::test]
async fn connections_are_bounded_in_number_and_in_idle_time() {
    let receiving =
        Receiving::syslog("{listen: 'tcp://127.0.0.1:0', max_connections: 1, idle_timeout: 300ms}").await;
    let mut first = tokio::net::TcpStream::connect(receiving.at()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut first, b"<13>one\n").await.unwrap();
    receiving.kept.wait(1).await;
    let mut second = tokio::net::TcpStream::connect(receiving.at()).await.unwrap();
    let closes = async |stream: &mut tokio::net::TcpStream| {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    };
    closes(&mut second).await;
    closes(&mut first).await;
    assert_eq!(receiving.stop().await.len(), 1);
}

#[tokio::test]
async fn a_socket_file_left_behind_is_replaced_and_one_in_use_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
    let config = format!("{{listen: 'unix://{}'}}", path.display());
    let receiving = Receiving::syslog(&config).await;
    let config: attestry_wire::syslog::ReceiverConfig = serde_saphyr::from_str(&config).unwrap();
    assert!(attestry_wire::syslog::Receiver::bind(&config).await.is_err());
    receiving.stop().await;
    assert!(!path.exists());
}
