//! The engine's API, as far as it is needed: GET over a unix socket, the answer at once or as a stream
//! (<https://docs.docker.com/reference/api/engine/>).
//!
//! In HTTP/1.0, so that an answer is what comes until the connection ends: no chunks to put together. Without a version in the path, so
//! that engines of any age answer; nothing is read here that has changed since API 1.24.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

/// How long the engine may take to answer. Inspecting a container waits until the engine is done with it.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The largest answer: 100,000 containers at some 600 bytes each.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// The largest head of an answer; the engine's have some 200 bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Why the engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// It does not run, or this process may not speak to it. May be tried again.
    #[error("{}", socket.display())]
    Unreachable {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What was asked for is not there (any more).
    #[error("it is gone: {0}")]
    Gone(String),
    /// It answers, but not with what was asked for. May be tried again.
    #[error("the engine answers {status}: {message}")]
    Refused { status: u16, message: String },
    /// Whoever answers is no Docker Engine.
    #[error("the answer is no engine's: {0}")]
    Strange(String),
}

impl EngineError {
    /// The whole of it, for people.
    pub(crate) fn told(&self) -> String {
        match self {
            EngineError::Unreachable { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// An engine behind its socket. Every question is a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    pub(crate) fn new(socket: &Path) -> Engine {
        Engine { socket: socket.to_owned() }
    }

    /// Asks for JSON.
    pub(crate) fn get(&self, target: &str) -> Result<Value, EngineError> {
        let stream = self.open(target)?;
        let body = self.rest(stream)?;
        serde_json::from_slice(&body).map_err(|error| EngineError::Strange(error.to_string()))
    }

    /// Asks for what goes on and on. Reads from it return after `wait` at the latest.
    pub(crate) fn follow(&self, target: &str, wait: Duration) -> Result<Stream, EngineError> {
        let stream = self.open(target)?;
        stream.socket.set_read_timeout(Some(wait)).map_err(|source| self.unreachable(source))?;
        Ok(stream)
    }

    fn open(&self, target: &str) -> Result<Stream, EngineError> {
        let (status, stream) = self.ask(target).map_err(|source| self.unreachable(source))??;
        if (200..300).contains(&status) {
            return Ok(stream);
        }
        let body = self.rest(stream)?;
        let told: Option<Value> = serde_json::from_slice(&body).ok();
        let message = told.as_ref().and_then(|told| told["message"].as_str()).unwrap_or("without a word");
        let message = message.to_owned();
        Err(if status == 404 { EngineError::Gone(message) } else { EngineError::Refused { status, message } })
    }

    fn ask(&self, target: &str) -> io::Result<Result<(u16, Stream), EngineError>> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(ANSWER_MAX))?;
        socket.set_write_timeout(Some(ANSWER_MAX))?;
        let request = format!("GET {target} HTTP/1.0\r\nHost: docker\r\nUser-Agent: attestry\r\n\r\n");
        socket.write_all(request.as_bytes())?;
        let mut input = Vec::new();
        let head = loop {
            if let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") {
                break end + 4;
            }
            let mut piece = [0; 4096];
            let len = socket.read(&mut piece)?;
            if len == 0 || input.len() > MAX_HEAD_BYTES {
                return Ok(Err(EngineError::Strange("it has no head".into())));
            }
            input.extend_from_slice(piece.get(..len).unwrap_or_default());
        };
        let unread = input.split_off(head);
        Ok(match status(&input) {
            Some(status) => Ok((status, Stream { socket, unread })),
            None => Err(EngineError::Strange("it is not HTTP".into())),
        })
    }

    fn rest(&self, mut stream: Stream) -> Result<Vec<u8>, EngineError> {
        let mut body = std::mem::take(&mut stream.unread);
        let taken = stream.socket.take(MAX_ANSWER_BYTES).read_to_end(&mut body);
        let taken = taken.map_err(|source| self.unreachable(source))?;
        if taken as u64 == MAX_ANSWER_BYTES {
            return Err(EngineError::Strange(format!("it is longer than {MAX_ANSWER_BYTES} bytes")));
        }
        Ok(body)
    }

    fn unreachable(&self, source: io::Error) -> EngineError {
        EngineError::Unreachable { socket: self.socket.clone(), source }
    }
}

/// The code in `HTTP/1.0 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

/// An answer that goes on.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: UnixStream,
    /// What came with the head.
    unread: Vec<u8>,
}

/// What a look at a stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The engine ended it.
    End,
}

impl Stream {
    /// Whether reads wait for something to come, or return at once.
    pub(crate) fn wait(&self, wait: bool) {
        // It fails for what is no socket only.
        let _ = self.socket.set_nonblocking(!wait);
    }

    /// Adds what has come to `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> Came {
        if !self.unread.is_empty() {
            buffer.append(&mut self.unread);
            return Came::Bytes;
        }
        let mut piece = [0; 32 * 1024];
        match self.socket.read(&mut piece) {
            Ok(0) => Came::End,
            Ok(len) => {
                buffer.extend_from_slice(piece.get(..len).unwrap_or_default());
                Came::Bytes
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Came::Nothing,
                // A connection that broke is one that ended: what is missing is asked for again.
                _ => Came::End,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// Answers one connection with these bytes, in pieces.
    fn answered(answer: &'static [u8]) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let len = stream.read(&mut request).unwrap();
            assert!(request[..len].starts_with(b"GET /x HTTP/1.0\r\n"));
            for piece in answer.chunks(7) {
                stream.write_all(piece).unwrap();
            }
        });
        let answer = Engine::new(&socket).get("/x").map_err(|error| error.told());
        server.join().unwrap();
        answer
    }

    #[test]
    fn answers_are_read_or_said_to_be_none() {
        for (answer, expected) in [
            (&b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\n"[..], Ok(r#"{"a":1}"#)),
            (b"HTTP/1.1 200 OK\r\n\r\n[]", Ok("[]")),
            (
                b"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container: x\"}",
                Err("No such container: x"),
            ),
            (b"HTTP/1.0 500 Internal Server Error\r\n\r\noh", Err("the engine answers 500")),
            (b"HTTP/1.0 200 OK\r\n\r\n{\"a\":", Err("no engine's")),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Err("not HTTP")),
            (b"HTTP/1.0 200 OK\r\nContent", Err("no head")),
            (b"", Err("no head")),
        ] {
            match (answered(answer), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn who_does_not_listen_is_named() {
        let error = Engine::new(Path::new("/nonexistent/docker.sock")).get("/x").unwrap_err();
        assert!(error.told().starts_with("/nonexistent/docker.sock: "), "{}", error.told());
    }
}
