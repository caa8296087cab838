use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

/// Far more than anything takes here.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);
const BODY_MAX: usize = 1_000;

/// Says how large a body was.
struct Sizes;

impl Answers for Sizes {
    fn path(&self) -> &str {
        "/in"
    }

    async fn answer(&self, request: Request<Body>, _: SocketAddr, bodies: &Bodies) -> Answer {
        match bodies.read(request.into_body(), BODY_MAX).await {
            Ok(held) => Response::new(Full::from(format!("{} bytes", held.bytes.len()))),
            Err(refused) => status(refused),
        }
    }
}

struct Running {
    at: SocketAddr,
    counters: Arc<Counters>,
    stop: CancellationToken,
    ends: JoinHandle<()>,
}

const PATIENT: Bounds = Bounds { head: LONG, body: LONG, held_bytes: 1 << 20, stop: SHORT };

async fn started(most: usize, bounds: Bounds) -> Running {
    let connections = Connections::listen(([127, 0, 0, 1], 0).into(), None, most).await.unwrap();
    let at = connections.local_addr().unwrap();
    let (counters, stop) = (Arc::<Counters>::default(), CancellationToken::new());
    let ends = tokio::spawn(run(connections, Sizes, bounds, Arc::clone(&counters), stop.clone()));
    Running { at, counters, stop, ends }
}

/// Sends this and gives what is said until the connection is closed.
async fn said(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A connection may be reset where something was left unread.
    let read = tokio::time::timeout(LONG / 2, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "still open after {:?}", String::from_utf8_lossy(bytes));
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(length: usize, body: &str) -> Vec<u8> {
    format!("POST /in HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}

#[tokio::test]
async fn each_request_is_answered_as_it_deserves() {
    let running = started(10, PATIENT).await;
    let chunked = |size: usize| {
        let chunk = "x".repeat(size);
        format!(
            "POST /in HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n{chunk}\r\n0\r\n\r\n"
        )
    };
    for (request, expected) in [
        (post(4, "four"), "200"),
        (post(0, ""), "200"),
        (chunked(BODY_MAX).into_bytes(), "1000 bytes"),
        (chunked(BODY_MAX + 1).into_bytes(), "413"),
        // Told at once: the body is not waited for.
        (post(BODY_MAX + 1, ""), "413"),
        (b"POST /out HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec(), "404"),
        (b"GET /in HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), "allow: POST"),
    ] {
        let answer = said(running.at, &request).await;
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    assert_eq!(running.counters.refused.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn slow_clients_are_given_up() {
    let quick = Bounds { head: SHORT, body: SHORT, ..PATIENT };
    let running = started(10, quick).await;
    for (what, sent, expected) in [
        ("nothing", &b""[..], ""),
        ("half a head", b"POST /in HTTP/1.1\r\nho", ""),
        ("half a body", &post(100, "half"), "408"),
        (
            "one request, and then nothing",
            b"POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab",
            "2 bytes",
        ),
    ] {
        let begun = Instant::now();
        let answer = said(running.at, sent).await;
        assert!(answer.contains(expected), "{what}: {answer}");
        assert!(begun.elapsed() >= SHORT / 2, "{what}: {:?}", begun.elapsed());
    }
    assert_eq!(running.counters.connections.load(Ordering::Relaxed), 0);
}

/// However many say only half of what they announced, and whatever they announced.
#[tokio::test]
async fn slow_clients_keep_nobody_out() {
    let running = started(100, Bounds { held_bytes: 2_000, ..PATIENT }).await;
    let mut slow = Vec::new();
    for number in 0..90 {
        let mut stream = TcpStream::connect(running.at).await.unwrap();
        let half = if number % 2 == 0 { post(BODY_MAX, "half a body") } else { b"POST /in HT".to_vec() };
        stream.write_all(&half).await.unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    assert!(said(running.at, &post(4, "four")).await.contains("4 bytes"));
    assert!(begun.elapsed() < LONG / 2);
    // Nor do they hold up the end.
    running.stop.cancel();
    tokio::time::timeout(LONG / 2, running.ends).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn bodies_wait_for_room_and_connections_are_turned_away() {
    let running = started(2, Bounds { held_bytes: 1_500, ..PATIENT }).await;
    let mut first = TcpStream::connect(running.at).await.unwrap();
    first.write_all(&post(1_000, &"x".repeat(999))).await.unwrap();
    tokio::time::sleep(SHORT).await;
    // There is no room for all of this one beside the first.
    let second = tokio::spawn(async move { said(running.at, &post(1_000, &"x".repeat(1_000))).await });
    while running.counters.connections.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(said(running.at, b"").await, "");
    tokio::time::sleep(SHORT).await;
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().contains("1000 bytes"));
}
