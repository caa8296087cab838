use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use attestry_event::{Event, Outcome};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::*;
use crate::{proof::Host, source};

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

/// A server that does to each connection what a test says, after it has read the head of a request; ends with the test's process.
fn server(tls: Option<Arc<ServerConfig>>, act: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let act = Arc::new(act);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (act, tls) = (Arc::clone(&act), tls.clone());
            thread::spawn(move || {
                let mut stream: Box<dyn Both> = match tls {
                    Some(config) => {
                        Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream))
                    }
                    None => Box::new(stream),
                };
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                act(&String::from_utf8_lossy(&head), &mut *stream);
                let _ = stream.flush();
            });
        }
    });
    port
}

fn answer(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
}

fn ok(_: &str, out: &mut dyn Write) {
    answer(out, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Node: web1\r\n\r\nall ok");
}

fn config(yaml: &str) -> Config {
    let config: Config = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.check(), [], "{yaml}");
    config
}

/// One look with these settings; every source may go to this host, every look takes at most 500 ms.
fn look(url: &str, more: &str) -> Event {
    let host = Host::new();
    let config = config(&format!("{{url: '{url}', allow_private: true, timeout: 500ms{more}}}"));
    let setup = host.setup("web");
    let events = host.pass(&mut *config.collector(&setup), &setup);
    assert_eq!(events[0].event_name, "endpoint.check");
    let failed = events[0].outcome == Some(Outcome::Failure);
    assert_eq!(events.len(), 1 + usize::from(failed), "{events:?}");
    events.into_iter().next().unwrap()
}

fn data(event: &Event) -> Value {
    Value::Object(event.event_data.clone().unwrap())
}

#[track_caller]
fn fails(event: &Event, phase: &str, reason: &str) {
    let data = data(event);
    assert_eq!(data["phase"], phase, "{event:?}");
    assert!(data["reason"].as_str().unwrap().contains(reason), "{event:?}");
    assert_eq!((event.outcome, event.severity), (Some(Outcome::Failure), Some(3)));
}

#[test]
fn a_good_answer_is_told_with_its_times() {
    let port = server(None, ok);
    let event = look(
        &format!("http://127.0.0.1:{port}/health"),
        ", expect: {body_contains: ok, headers: {x-node: ^web}}",
    );
    let data = data(&event);
    assert_eq!((event.outcome, event.severity), (Some(Outcome::Success), Some(6)), "{event:?}");
    assert_eq!((&data["status"], &data["bytes"]), (&json!(200), &json!(6)));
    assert_eq!(data["address"], format!("127.0.0.1:{port}"));
    // As sha256sum says of "all ok".
    assert_eq!(data["body_sha256"], "d3367bf38c1588cebc3e524800197aaef692a70a8b44101e6c12f225370a8854");
    for phase in ["connect_ms", "first_byte_ms", "total_ms"] {
        assert!(data[phase].as_f64().is_some_and(|ms| (0.0..500.0).contains(&ms)), "{phase}: {data}");
    }
    assert!(data.get("resolve_ms").is_none() && data.get("tls_ms").is_none() && data.get("phase").is_none());

    let event = look(&format!("http://localhost:{port}/"), "");
    assert!(event.event_data.unwrap()["resolve_ms"].is_number());
    let event = look(&format!("tcp://127.0.0.1:{port}"), "");
    assert_eq!(event.outcome, Some(Outcome::Success));
    assert!(event.message.unwrap().contains("accepted a connection"));
}

#[test]
fn the_request_is_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "Bearer hunter2\n").unwrap();
    let port = server(None, |head, out| {
        let text = head.replace("\r\n", "|");
        answer(out, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
    });
    let url = format!("http://127.0.0.1:{port}/a?b=c");
    let file = folder.path().join("token").display().to_string();
    let more = format!(
        ", method: POST, body: hello, headers: {{Authorization: {{file: {file}}}, Host: shop.example}}, \
         expect: {{body_matches: '(?i)^POST /a\\?b=c HTTP/1.1\\|host: shop.example\\|(.*\\|)?authorization: Bearer hunter2\\|'}}"
    );
    let event = look(&url, &more);
    assert_eq!(event.outcome, Some(Outcome::Success), "{event:?}");
    assert!(!format!("{event:?}").contains("hunter2"));
    let event = look(&url, ", headers: {A: {file: /no/such/file}}");
    fails(&event, "settings", "/no/such/file: No such file");
}

#[test]
fn what_is_not_as_expected_fails() {
    let port = server(None, ok);
    let url = format!("http://127.0.0.1:{port}/");
    for (more, reason) in [
        (", expect: {status: [204]}", "status 200, expected 204"),
        (", expect: {body_contains: bad}", "does not contain \"bad\""),
        (", expect: {body_matches: ^ok}", "does not match ^ok"),
        (", expect: {headers: {x-none: ''}}", "no header x-none"),
    ] {
        fails(&look(&url, more), "expect", reason);
    }
}

/// Servers that misbehave, each with the phase in which that is seen. None holds a look longer than its time.
#[test]
fn a_failure_says_which_phase_and_why() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let slow = server(None, |_, out| {
        thread::sleep(Duration::from_secs(3));
        ok("", out);
    });
    let drip = server(None, |_, out| {
        answer(out, "HTTP/1.1 200 OK\r\n\r\n");
        while out.write_all(b"x").and_then(|()| out.flush()).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let flood = server(None, |_, out| {
        answer(out, "HTTP/1.1 200 OK\r\n");
        while out
            .write_all(b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .is_ok()
        {}
    });
    let one_long = server(None, |_, out| {
        answer(out, "HTTP/1.1 200 OK\r\nX-Flood: ");
        while out.write_all(&[b'a'; 4096]).is_ok() {}
    });
    let garbage = server(None, |_, out| answer(out, "220 mail.example ESMTP\r\n\r\n"));
    let hangs_up = server(None, |_, _| {});
    let cut = server(None, |_, out| answer(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
    for (url, phase, reason) in [
        (format!("http://127.0.0.1:{dead}/"), "connect", "refused"),
        (format!("tcp://127.0.0.1:{dead}"), "connect", "refused"),
        (format!("http://127.0.0.1:{silent_port}/"), "answer", "within the 500ms"),
        (format!("https://127.0.0.1:{silent_port}/"), "tls", "within the 500ms"),
        (format!("http://127.0.0.1:{slow}/"), "answer", "within the 500ms"),
        (format!("http://127.0.0.1:{drip}/"), "body", "within the 500ms"),
        (format!("http://127.0.0.1:{flood}/"), "answer", "too large"),
        (format!("http://127.0.0.1:{one_long}/"), "answer", "too large"),
        (format!("http://127.0.0.1:{garbage}/"), "answer", "invalid HTTP"),
        (format!("http://127.0.0.1:{hangs_up}/"), "answer", "closed before"),
        (format!("http://127.0.0.1:{cut}/"), "body", "end of file before"),
        (format!("https://127.0.0.1:{garbage}/"), "tls", "within the 500ms"),
        ("http://no-such-host.invalid/".to_owned(), "resolve", ""),
    ] {
        let begun = Instant::now();
        let event = look(&url, "");
        fails(&event, phase, reason);
        assert!(begun.elapsed() < Duration::from_secs(2), "{url} took {:?}", begun.elapsed());
    }
    drop(silent);
}

#[test]
fn of_a_body_without_end_a_part_is_read() {
    let port = server(None, |_, out| {
        answer(out, "HTTP/1.1 200 OK\r\n\r\n");
        while out.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let url = format!("http://127.0.0.1:{port}/");
    let event = look(&url, ", expect: {body_contains: xxx}");
    assert_eq!(event.outcome, Some(Outcome::Success), "{event:?}");
    assert_eq!((&data(&event)["bytes"], &data(&event)["body_cut"]), (&json!(1 << 20), &json!(true)));
    fails(&look(&url, ", expect: {body_contains: y}"), "expect", "within its first 1048576 bytes");
}

#[test]
fn redirects_are_followed_when_told_and_never_to_where_nothing_may_go() {
    let port = server(None, |head, out| {
        let to = match head.split(' ').nth(1).unwrap() {
            "/" => "/one".to_owned(),
            "/one" => "two?x=y".to_owned(),
            "/two?x=y" => return ok(head, out),
            "/metadata" => "http://169.254.169.254/latest".to_owned(),
            "/mapped" => "http://[::ffff:169.254.169.254]/".to_owned(),
            "/file" => "file:///etc/passwd".to_owned(),
            _ => "/round".to_owned(),
        };
        answer(out, &format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
    });
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    fails(&look(&at("/"), ""), "expect", "status 302, expected 200..299; redirects are not followed");
    let event = look(&at("/"), ", follow_redirects: true");
    assert_eq!(event.outcome, Some(Outcome::Success), "{event:?}");
    assert_eq!(
        (&data(&event)["redirects"], &data(&event)["redirected_to"]),
        (&json!(2), &json!(at("/two?x=y")))
    );
    fails(&look(&at("/round"), ", follow_redirects: true"), "redirect", "more than 5");
    fails(&look(&at("/metadata"), ", follow_redirects: true"), "address", "169.254.169.254 is a link-local");
    fails(&look(&at("/mapped"), ", follow_redirects: true"), "address", "link-local");
    fails(&look(&at("/file"), ", follow_redirects: true"), "redirect", "scheme");
}

#[test]
fn this_host_is_reached_only_when_configured() {
    let port = server(None, ok);
    let host = Host::new();
    let setup = host.setup("web");
    let config = config(&format!("{{url: 'http://localhost:{port}/'}}"));
    let events = host.pass(&mut *config.collector(&setup), &setup);
    fails(&events[0], "address", "allow_private");
}

/// An authority, and what a server with a certificate of it for `name` is set up with.
fn certified(name: &str, last_day: (i32, u8, u8)) -> (String, Arc<ServerConfig>) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_after = rcgen::date_time_ymd(last_day.0, last_day.1, last_day.2);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (authority.pem(), Arc::new(config))
}

#[test]
fn certificates_are_judged_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let served = |name: &str, last_day| {
        let (ca, tls) = certified(name, last_day);
        let file = folder.path().join(format!("{name}-{}.pem", last_day.0));
        fs::write(&file, ca).unwrap();
        (server(Some(tls), ok), file.display().to_string())
    };
    let (port, ca) = served("localhost", (2200, 1, 1));
    let url = format!("https://localhost:{port}/");
    let event = look(&url, &format!(", ca: {ca}"));
    let found = data(&event);
    assert_eq!((event.outcome, event.severity), (Some(Outcome::Success), Some(6)), "{event:?}");
    assert!(
        found["tls_ms"].is_number() && found["certificate"]["days_left"].as_i64() > Some(20_000),
        "{found}"
    );
    assert!(found["certificate"]["subject"].as_str().unwrap().contains("localhost"));
    assert!(found["certificate"]["issuer"].as_str().unwrap().contains("Test authority"));

    // Long before its end, when that is what is asked for.
    let event = look(&url, &format!(", ca: {ca}, certificate_warning: 100000d"));
    assert_eq!((event.outcome, event.severity), (Some(Outcome::Success), Some(4)));
    assert!(event.message.unwrap().contains("its certificate ends in"));

    // Nobody of the public web has signed it; still it is told of.
    let event = look(&url, "");
    fails(&event, "tls", "UnknownIssuer");
    assert!(data(&event)["certificate"]["subject"].as_str().unwrap().contains("localhost"));
    fails(&look(&url, ", ca: /no/such/file"), "settings", "/no/such/file");

    let (port, ca) = served("localhost", (2020, 1, 1));
    let event = look(&format!("https://localhost:{port}/"), &format!(", ca: {ca}"));
    fails(&event, "tls", "expired");
    assert!(data(&event)["certificate"]["days_left"].as_i64() < Some(0));

    let (port, ca) = served("other.example", (2200, 1, 1));
    fails(&look(&format!("https://localhost:{port}/"), &format!(", ca: {ca}")), "tls", "not valid for name");
}

#[test]
fn changes_are_told_once_and_survive_a_restart() {
    let broken = Arc::new(AtomicUsize::new(200));
    let status = Arc::clone(&broken);
    let port = server(None, move |_, out| {
        let status = status.load(Ordering::Relaxed);
        answer(out, &format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
    });
    let host = Host::new();
    let config = config(&format!("{{url: 'http://127.0.0.1:{port}/', allow_private: true}}"));
    for (status, expected) in [
        (200, vec!["endpoint.check"]),
        (500, vec!["endpoint.check", "endpoint.down"]),
        (500, vec!["endpoint.check"]),
        (200, vec!["endpoint.check", "endpoint.up"]),
        (200, vec!["endpoint.check"]),
    ] {
        broken.store(status, Ordering::Relaxed);
        host.clock.advance(Duration::from_secs(60));
        // Each look is that of a new process.
        let setup = host.setup("web");
        let events = host.pass(&mut *config.collector(&setup), &setup);
        let names: Vec<&str> = events.iter().map(|event| &*event.event_name).collect();
        assert_eq!(names, expected, "{status}");
        if let Some(up) = events.iter().find(|event| event.event_name == "endpoint.up") {
            assert_eq!(up.event_data.as_ref().unwrap()["down_s"], 120);
        }
    }
}

/// The answer of the quick one is sent while the slow one is still waited for, and a stop waits for neither.
#[test]
fn a_slow_one_holds_up_nobody() {
    let quick = server(None, ok);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = silent.local_addr().unwrap().port();
    let host = Host::new();
    let config = config(&format!(
        "{{urls: ['http://127.0.0.1:{slow}/', 'http://127.0.0.1:{quick}/', 'tcp://127.0.0.1:{slow}'], \
          allow_private: true, every: 1m, timeout: 1m}}"
    ));
    let running = source::start(Box::new(config), host.setup("web")).unwrap();
    let begun = Instant::now();
    while host.kept.events.lock().unwrap().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the quick ones are not told of");
        thread::sleep(Duration::from_millis(10));
    }
    let stopping = Instant::now();
    running.stop();
    assert!(stopping.elapsed() < Duration::from_secs(2), "{:?}", stopping.elapsed());
    assert!(host.kept.events.lock().unwrap().iter().all(|event| event.outcome == Some(Outcome::Success)));
    // The connection of the slow one is closed, too.
    let (mut left, _) = silent.accept().unwrap();
    left.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut rest = Vec::new();
    assert!(left.read_to_end(&mut rest).is_ok());
}

#[test]
fn mistakes_are_found_before_it_runs() {
    for (yaml, field) in [
        ("{}", "url"),
        ("{url: nonsense}", "url"),
        ("{url: 'http://u:p@h.example'}", "url"),
        ("{urls: ['http://h.example', 'http://h.example']}", "urls"),
        ("{url: 'http://127.0.0.1'}", "url"),
        ("{url: 'http://169.254.169.254', allow_private: true}", "url"),
        ("{url: 'http://h.example', every: 5s, timeout: 10s}", "timeout"),
        ("{url: 'http://h.example', every: 0s, timeout: 0s}", "every"),
        ("{url: 'http://h.example', method: 'G T'}", "method"),
        ("{url: 'http://h.example', headers: {'a b': c}}", "headers"),
        ("{url: 'http://h.example', headers: {content-length: '5'}}", "headers"),
        ("{url: 'http://h.example', expect: {status: []}}", "expect"),
    ] {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        assert!(config.check().iter().any(|(found, _)| *found == field), "{yaml}: {:?}", config.check());
    }
    let many: Vec<String> = (0..=MAX_ENDPOINTS).map(|n| format!("tcp://h.example:{}", n + 1)).collect();
    let config = Config { urls: many, ..Config::default() };
    assert_eq!(config.check().first().map(|(field, _)| *field), Some("urls"));
    let shown =
        format!("{:?}", serde_saphyr::from_str::<Config>("{headers: {a: hunter2}, body: hunter3}").unwrap());
    assert!(!shown.contains("hunter"), "{shown}");
}
