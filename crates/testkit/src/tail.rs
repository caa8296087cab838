//! Reading server-sent events as they come.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;
use ureq::Body;
use ureq::http::Response;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its kind: `event`, `dropped`, `end`.
    pub kind: String,
    /// The position behind it, when it names one.
    pub id: Option<String>,
    /// What it says.
    pub data: Value,
}

/// An open stream, read by a thread of its own, which ends with the connection.
#[derive(Debug)]
pub struct Tail {
    messages: Receiver<Message>,
}

impl Tail {
    pub(crate) fn follow(response: Response<Body>) -> Tail {
        let (sender, messages) = channel();
        let mut lines = BufReader::new(response.into_body().into_reader()).lines();
        // The server says at once that the stream has begun.
        let begun = lines.next();
        assert!(matches!(begun, Some(Ok(_))), "the tail does not begin: {begun:?}");
        std::thread::spawn(move || {
            let (mut kind, mut id) = (String::new(), None);
            for line in lines.map_while(Result::ok) {
                if let Some(name) = line.strip_prefix("event:") {
                    kind = name.trim().to_owned();
                } else if let Some(position) = line.strip_prefix("id:") {
                    id = Some(position.trim().to_owned());
                } else if let Some(data) = line.strip_prefix("data:") {
                    let data = serde_json::from_str(data.trim()).unwrap_or(Value::String(data.to_owned()));
                    let message = Message { kind: std::mem::take(&mut kind), id: id.take(), data };
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        Tail { messages }
    }

    /// The next message; none when nothing comes within the time, or when the stream has ended.
    pub fn next_within(&self, time: Duration) -> Option<Message> {
        self.messages.recv_timeout(time).ok()
    }

    /// Whether the stream ends within the time, with the messages that still come.
    pub fn ends_within(&self, time: Duration) -> (bool, Vec<Message>) {
        let mut more = Vec::new();
        loop {
            match self.messages.recv_timeout(time) {
                Ok(message) => more.push(message),
                Err(error) => return (error == RecvTimeoutError::Disconnected, more),
            }
        }
    }
}
