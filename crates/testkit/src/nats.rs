//! NATS servers with JetStream, one or a cluster (Debian: `nats-server`).

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::port;
use crate::run::Running;

/// The largest message that it takes, in bytes: more than the 1 MiB by default, less than the largest event.
pub const NATS_MAX_PAYLOAD: usize = 4 << 20;

/// The longest that an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A NATS server with JetStream, in a folder of its own.
#[derive(Debug)]
pub struct NatsServer {
    name: String,
    dir: TempDir,
    config: PathBuf,
    port: u16,
    running: Option<Running>,
}

impl NatsServer {
    /// One server that runs.
    #[track_caller]
    pub fn started() -> NatsServer {
        let mut server = NatsServer::new("single", port::free(), "");
        server.start();
        server
    }

    /// One server that does not run yet, with more lines of configuration.
    #[track_caller]
    pub fn with(config: &str) -> NatsServer {
        NatsServer::new("single", port::free(), config)
    }

    /// Three servers of one cluster that run.
    #[track_caller]
    pub fn cluster() -> [NatsServer; 3] {
        let routes = [port::free(), port::free(), port::free()];
        let all = routes.map(|route| format!("\"nats-route://127.0.0.1:{route}\"")).join(", ");
        let mut number = 0;
        routes.map(|route| {
            number += 1;
            let cluster =
                format!("cluster {{ name: attestry, listen: \"127.0.0.1:{route}\", routes: [{all}] }}\n");
            let mut server = NatsServer::new(&format!("n{number}"), port::free(), &cluster);
            server.start();
            server
        })
    }

    #[track_caller]
    fn new(name: &str, port: u16, more: &str) -> NatsServer {
        let dir = TempDir::with_prefix("attestry-nats-").expect("a temporary folder can be made");
        let mut text = format!("server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n");
        let store = dir.path().display();
        writeln!(text, "max_payload: {NATS_MAX_PAYLOAD}\njetstream {{ store_dir: \"{store}\" }}\n{more}")
            .expect("a String takes everything");
        let config = dir.path().join("nats.conf");
        std::fs::write(&config, text).expect("the configuration can be written");
        NatsServer { name: name.to_owned(), dir, config, port, running: None }
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = Command::new("/usr/sbin/nats-server");
        command.arg("-c").arg(&self.config).current_dir(self.dir.path());
        let mut running = Running::start(&mut command, &self.dir.path().join("server"));
        port::wait_for_listener("nats-server", self.port, &mut running);
        self.running = Some(running);
    }

    /// Makes a stream that takes the subject of its own name, unless it is there.
    #[track_caller]
    pub fn create_stream(&self, name: &str) {
        let request = json!({"name": name, "subjects": [name]}).to_string();
        self.answer(&format!("$JS.API.STREAM.CREATE.{name}"), request.as_bytes());
    }

    /// Puts a message on a subject, and returns when the stream that takes it has it.
    #[track_caller]
    pub fn put(&self, subject: &str, body: &[u8]) {
        let stored = self.answer(subject, body);
        assert!(stored["seq"].is_u64(), "no stream took the message: {stored}");
    }

    /// The next message of a stream that was not taken before; none when there is none.
    #[track_caller]
    pub fn take(&self, stream: &str) -> Option<Vec<u8>> {
        let consumer = json!({"durable_name": "testkit", "ack_policy": "none", "deliver_policy": "all"});
        let create = json!({"stream_name": stream, "config": consumer}).to_string();
        self.answer(&format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.testkit"), create.as_bytes());
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.testkit");
        // That there is none is said in headers, which this client does not ask for: what comes is empty then.
        Some(self.request(&next, br#"{"batch":1,"no_wait":true}"#)).filter(|body| !body.is_empty())
    }

    /// How many messages a consumer of a stream has not acknowledged, those that were not sent to it among them.
    #[track_caller]
    pub fn waiting(&self, stream: &str, consumer: &str) -> u64 {
        let info = self.answer(&format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"), b"");
        let count = |name: &str| info[name].as_u64().unwrap_or_else(|| panic!("no {name} in {info}"));
        count("num_pending") + count("num_ack_pending")
    }

    #[track_caller]
    fn answer(&self, subject: &str, payload: &[u8]) -> Value {
        let answer = self.request(subject, payload);
        serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("the answer to {subject}: {error}"))
    }

    /// Sends a request and waits for its answer, by the protocol's own words
    /// (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
    #[track_caller]
    fn request(&self, subject: &str, payload: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time can be set");
        let mut lines = BufReader::new(stream.try_clone().expect("a connection has two ends"));
        let head = format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB answers 1\r\nPUB {subject} answers {}\r\n",
            payload.len()
        );
        stream.write_all(&[head.as_bytes(), payload, b"\r\n"].concat()).expect("the server reads");
        loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).unwrap_or_else(|error| panic!("{subject}: {error}"));
            assert!(read > 0 && !line.starts_with("-ERR"), "{subject}: {line:?}");
            if line.starts_with("MSG ") {
                let length = line.trim_end().rsplit(' ').next().and_then(|length| length.parse().ok());
                let mut answer = vec![0; length.expect("a message has a length")];
                lines.read_exact(&mut answer).expect("a message is whole");
                return answer;
            }
        }
    }

    /// Kills it as a power cut would.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().expect("the server runs");
        running.signal(Signal::KILL);
    }
}
