use super::*;
use std::sync::Mutex;
use std::time::Duration;

/// Keeps what it is given, when it is let.
#[derive(Default)]
struct Kept {
    events: Mutex<Vec<Incoming>>,
    puts: AtomicU64,
    slow: bool,
}

impl Inlet for Kept {
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
        if self.slow {
            std::thread::sleep(Duration::from_millis(300));
        }
        self.puts.fetch_add(1, Ordering::SeqCst);
        let kept = events.len();
        self.events.lock().unwrap().extend(events);
        Ok(Taken { kept, filtered: 0, malformed: 0 })
    }
}

impl Kept {
    fn lines(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let shown = |event: &Incoming| match event {
            Incoming::Json(line) => String::from_utf8(line.clone()).unwrap(),
            Incoming::Event(event) => event.event_name.clone(),
        };
        events.iter().map(shown).collect()
    }
}

fn config(path: &Path) -> ReceiverConfig {
    let config: ReceiverConfig =
        serde_json::from_value(serde_json::json!({"listen": format!("unix://{}", path.display())})).unwrap();
    assert_eq!(config.check(), []);
    config
}

async fn send(path: &Path, text: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn answers_when_all_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let receiver = Receiver::bind(&config(&path)).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let (inlet, stop, counters) = (Arc::new(Kept::default()), CancellationToken::new(), receiver.counters());
    let running = tokio::spawn(receiver.run(Arc::<Kept>::clone(&inlet), stop.clone()));
    let long = [b"x".repeat(LINE_MAX_BYTES + 1), b"\nlast".to_vec()].concat();
    assert_eq!(send(&path, b"{\"a\":1}\n\nb\r\n").await, "{\"kept\":2,\"filtered\":0,\"malformed\":0}\n");
    assert_eq!(send(&path, &long).await, "{\"kept\":2,\"filtered\":0,\"malformed\":0}\n");
    assert_eq!(send(&path, b"").await, "{\"kept\":0,\"filtered\":0,\"malformed\":0}\n");
    assert_eq!(inlet.lines(), ["{\"a\":1}", "b", "gap.malformed", "last"]);
    assert_eq!(counters.messages.load(Ordering::Relaxed), 4);
    assert_eq!(counters.refused.load(Ordering::Relaxed), 1);
    stop.cancel();
    running.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_slow_inlet_makes_the_sender_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let receiver = Receiver::bind(&config(&path)).await.unwrap();
    let counters = receiver.counters();
    let inlet = Arc::new(Kept { slow: true, ..Kept::default() });
    let stop = CancellationToken::new();
    let running = tokio::spawn(receiver.run(Arc::<Kept>::clone(&inlet), stop.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let sending = tokio::spawn(async move {
        for _ in 0..10_000 {
            stream.write_all(&[b"x".repeat(999), b"\n".to_vec()].concat()).await?;
        }
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ahead = counters.bytes.load(Ordering::Relaxed);
    assert!(ahead < 4 << 20, "{ahead} bytes were read while nothing was durable");
    assert_eq!(sending.await.unwrap().unwrap(), "{\"kept\":10000,\"filtered\":0,\"malformed\":0}\n");
    assert!(inlet.puts.load(Ordering::SeqCst) < 200, "in batches");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn replaces_only_a_socket_that_nobody_uses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(Receiver::bind(&config(&path)).await, Err(BindError::Occupied(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    let first = Receiver::bind(&config(&path)).await.unwrap();
    assert!(matches!(Receiver::bind(&config(&path)).await, Err(BindError::InUse(_))));
    drop(first);
    assert!(path.exists(), "as a process leaves it that was killed");
    Receiver::bind(&config(&path)).await.unwrap();
}

/// Closed while a batch is on its way: no answer, so the sender sends again.
#[tokio::test]
async fn no_answer_for_what_is_not_durable() {
    struct Closing;
    impl Inlet for Closing {
        fn put(&self, _: Vec<Incoming>) -> Result<Taken, Closed> {
            Err(Closed)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let receiver = Receiver::bind(&config(&path)).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(receiver.run(Arc::new(Closing), stop.clone()));
    assert_eq!(send(&path, b"{}\n").await, "");
    stop.cancel();
    running.await.unwrap();
}

#[test]
fn where_lines_come_from() {
    for (text, listen, wrong) in [
        ("stdin", Listen::Stdin, 0),
        ("/run/a.sock", Listen::Unix("/run/a.sock".into()), 0),
        ("unix:///run/a.sock", Listen::Unix("/run/a.sock".into()), 0),
        ("a.sock", Listen::Unix("a.sock".into()), 1),
    ] {
        let config = ReceiverConfig { listen: text.to_owned().into() };
        assert_eq!(config.listen, listen);
        assert_eq!(config.check().len(), wrong);
    }
}
