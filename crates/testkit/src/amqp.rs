//! A client of AMQP 0.9.1 that shares nothing with the one under test: enough to put a message into a queue and to take one out.
//!
//! Source: the AMQP 0.9.1 reference, and RabbitMQ's page on confirms (class 85).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest that the broker may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const FRAME_END: u8 = 0xce;

/// A frame's largest content that we send, in bytes; every broker takes it.
const PIECE: usize = 100_000;

/// A method of the protocol: class and number.
type Method = (u16, u16);

/// A connection with one channel, logged in as `guest`. Messages that it publishes are confirmed.
pub(crate) struct Amqp {
    stream: TcpStream,
}

impl Amqp {
    #[track_caller]
    pub(crate) fn connect(port: u16) -> Amqp {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time can be set");
        let mut amqp = Amqp { stream };
        amqp.stream.write_all(b"AMQP\x00\x00\x09\x01").expect("the broker reads");
        amqp.expect((10, 10));
        // No properties, PLAIN, guest with password guest, the language.
        let login = [vec![0; 4], short("PLAIN"), long(b"\0guest\0guest"), short("en_US")].concat();
        amqp.say(0, (10, 11), &login);
        let tune = amqp.expect((10, 30));
        // As many channels and as large frames as it likes, and no heartbeats.
        amqp.say(0, (10, 31), &[&tune[..6], &[0, 0]].concat());
        amqp.say(0, (10, 40), &[short("/"), short(""), vec![0]].concat());
        amqp.expect((10, 41));
        amqp.say(1, (20, 10), &short(""));
        amqp.expect((20, 11));
        amqp.say(1, (85, 10), &[0]);
        amqp.expect((85, 11));
        amqp
    }

    /// Makes a durable classic queue unless it is there, and tells how many messages wait in it.
    #[track_caller]
    pub(crate) fn declare(&mut self, queue: &str) -> u64 {
        let durable = 2;
        let arguments = [short("x-queue-type"), vec![b'S'], long(b"classic")].concat();
        let declare = [vec![0, 0], short(queue), vec![durable], long(&arguments)].concat();
        self.say(1, (50, 10), &declare);
        let declared = self.expect((50, 11));
        let counted = &declared[1 + usize::from(declared[0])..][..4];
        u64::from(u32::from_be_bytes(counted.try_into().expect("four bytes")))
    }

    /// Puts a message that outlives the broker into a queue, and returns when the broker has it.
    #[track_caller]
    pub(crate) fn publish(&mut self, queue: &str, body: &[u8]) {
        self.say(1, (60, 40), &[vec![0, 0], short(""), short(queue), vec![0]].concat());
        let (class, delivery_mode) = ([0, 60, 0, 0], [0x10, 0, 2]);
        self.send(HEADER, 1, &[&class[..], &(body.len() as u64).to_be_bytes(), &delivery_mode].concat());
        for piece in body.chunks(PIECE) {
            self.send(BODY, 1, piece);
        }
        self.expect((60, 80));
    }

    /// Takes the first message out of a queue; none when it is empty.
    #[track_caller]
    pub(crate) fn get(&mut self, queue: &str) -> Option<Vec<u8>> {
        let no_ack = 1;
        self.say(1, (60, 70), &[vec![0, 0], short(queue), vec![no_ack]].concat());
        let (_, answer) = self.next();
        if answer[..4] == [0, 60, 0, 72] {
            return None;
        }
        assert_eq!(answer[..4], [0, 60, 0, 71], "expected a message or that there is none: {answer:?}");
        let (kind, header) = self.next();
        assert_eq!(kind, HEADER, "a message begins with its header");
        let length = u64::from_be_bytes(header[4..12].try_into().expect("eight bytes"));
        let mut body = Vec::new();
        while (body.len() as u64) < length {
            let (kind, piece) = self.next();
            assert_eq!(kind, BODY, "the rest of a message is its body");
            body.extend(piece);
        }
        Some(body)
    }

    fn say(&mut self, channel: u16, (class, number): Method, arguments: &[u8]) {
        let content = [&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat();
        self.send(METHOD, channel, &content);
    }

    fn send(&mut self, kind: u8, channel: u16, content: &[u8]) {
        let length = u32::try_from(content.len()).expect("a frame is small");
        let frame =
            [&[kind][..], &channel.to_be_bytes(), &length.to_be_bytes(), content, &[FRAME_END]].concat();
        self.stream.write_all(&frame).expect("the broker reads");
    }

    /// The arguments of the next method, which must be this one.
    #[track_caller]
    fn expect(&mut self, (class, number): Method) -> Vec<u8> {
        let (kind, content) = self.next();
        let method = [class.to_be_bytes(), number.to_be_bytes()].concat();
        let said = String::from_utf8_lossy(&content);
        assert!(kind == METHOD && content.starts_with(&method), "expected {class}.{number}: {said}");
        content[4..].to_vec()
    }

    /// The next frame's kind and content.
    #[track_caller]
    fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 7];
            self.stream.read_exact(&mut head).expect("the broker answers");
            let length = u32::from_be_bytes(head[3..7].try_into().expect("four bytes"));
            let mut content = vec![0; length as usize + 1];
            self.stream.read_exact(&mut content).expect("the broker answers");
            assert_eq!(content.pop(), Some(FRAME_END), "a frame has an end");
            if head[0] != HEARTBEAT {
                return (head[0], content);
            }
        }
    }
}

/// A short string, or a name.
fn short(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short string is short");
    [&[length][..], text.as_bytes()].concat()
}

/// A long string, or a table.
fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a long string is not that long");
    [&length.to_be_bytes()[..], bytes].concat()
}
