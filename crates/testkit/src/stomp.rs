//! A client of STOMP 1.2 that shares nothing with the one under test: enough to put a message into a queue and to take one out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest that the broker may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long a queue is listened to in which there may be nothing.
const NOTHING_AFTER: Duration = Duration::from_secs(1);

/// A frame: command, headers, body.
struct Frame {
    command: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Frame {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| header.strip_prefix(name)?.strip_prefix(':'))
    }
}

/// A connection.
pub(crate) struct Stomp {
    stream: BufReader<TcpStream>,
}

impl Stomp {
    #[track_caller]
    pub(crate) fn connect(port: u16) -> Stomp {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        let mut stomp = Stomp { stream: BufReader::new(stream) };
        stomp.patience(ANSWER_MAX);
        stomp.send("CONNECT\naccept-version:1.2\nhost:localhost", b"");
        stomp.expect("CONNECTED");
        stomp
    }

    /// Puts a message that outlives the broker into a queue, and returns when the broker has it.
    #[track_caller]
    pub(crate) fn publish(&mut self, queue: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "SEND\ndestination:/queue/{queue}\npersistent:true\nreceipt:put\ncontent-length:{length}"
        );
        self.send(&head, body);
        self.expect("RECEIPT");
    }

    /// Takes the first message out of a queue; none when there is none for a second.
    #[track_caller]
    pub(crate) fn get(&mut self, queue: &str) -> Option<Vec<u8>> {
        self.send(
            &format!(
                "SUBSCRIBE\nid:0\ndestination:/queue/{queue}\nack:client-individual\nactivemq.prefetchSize:1"
            ),
            b"",
        );
        self.patience(NOTHING_AFTER);
        let message = self.next();
        self.patience(ANSWER_MAX);
        let message = message?;
        assert_eq!(message.command, "MESSAGE", "{:?}", message.headers);
        let ack = message.header("ack").expect("a message is acknowledged by its header ack");
        self.send(&format!("ACK\nid:{ack}\nreceipt:taken"), b"");
        self.expect("RECEIPT");
        self.send("UNSUBSCRIBE\nid:0\nreceipt:gone", b"");
        // The next message may have been on its way; it goes back.
        while self.next().expect("the broker answers").header("receipt-id") != Some("gone") {}
        Some(message.body)
    }

    fn patience(&mut self, time: Duration) {
        self.stream.get_ref().set_read_timeout(Some(time)).expect("a time can be set");
    }

    fn send(&mut self, head: &str, body: &[u8]) {
        let frame = [head.as_bytes(), b"\n\n", body, b"\0"].concat();
        self.stream.get_mut().write_all(&frame).expect("the broker reads");
    }

    #[track_caller]
    fn expect(&mut self, command: &str) {
        let frame = self.next().expect("the broker answers");
        let said = String::from_utf8_lossy(&frame.body);
        assert_eq!(frame.command, command, "{:?} {said}", frame.headers);
    }

    /// The next frame; none when nothing comes in time.
    #[track_caller]
    fn next(&mut self) -> Option<Frame> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) => panic!("the broker has hung up"),
                Ok(_) => {}
                Err(_) if lines.is_empty() => return None,
                Err(error) => panic!("a frame has no end: {error}"),
            }
            match (line.trim_end(), lines.is_empty()) {
                // A sign of life.
                ("", true) => {}
                ("", false) => break,
                (line, _) => lines.push(line.to_owned()),
            }
        }
        let mut frame = Frame { command: lines.remove(0), headers: lines, body: Vec::new() };
        match frame.header("content-length").map(|length| length.parse::<usize>()) {
            Some(length) => {
                frame.body = vec![0; length.expect("a length is a number") + 1];
                self.stream.read_exact(&mut frame.body).expect("a frame has an end");
            }
            None => drop(self.stream.read_until(0, &mut frame.body).expect("a frame has an end")),
        }
        assert_eq!(frame.body.pop(), Some(0), "a frame ends with NUL");
        Some(frame)
    }
}
