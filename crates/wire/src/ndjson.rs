//! The way in for lines of JSON: standard input, or a unix socket.
//!
//! Each line is an event as a client would send it. What is read is handed on in batches, and nothing more is read until a batch is
//! durable: the pipe or socket fills, and the sender waits. On a socket, a sender that shuts its side down gets one line when all it
//! sent is durable, `{"kept":3,"filtered":0,"malformed":0}`, and then the end; one that gets no line cannot tell, and sends again.

mod split;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestry_event::Event;
use attestry_pipeline::{Closed, Incoming, Inlet, Taken};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use split::{LINE_MAX_BYTES, Line, Splitter};

/// The most events that are handed on at once.
const BATCH_EVENTS: usize = 1_000;

/// The bytes after which a batch is handed on.
const BATCH_BYTES: usize = 1 << 20;

/// The most senders at once; the next waits.
const CONNECTIONS_MAX: usize = 256;

/// Lines of JSON.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Where they come from: `stdin`, or the path of a unix socket, which is made with the mode 0660.
    pub listen: Listen,
}

/// Where lines come from.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Listen {
    /// Standard input, until it ends.
    Stdin,
    /// A unix stream socket.
    Unix(PathBuf),
}

impl From<String> for Listen {
    fn from(text: String) -> Listen {
        match text.as_str() {
            "stdin" => Listen::Stdin,
            path => Listen::Unix(path.strip_prefix("unix://").unwrap_or(path).into()),
        }
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> String {
        match listen {
            Listen::Stdin => "stdin".to_owned(),
            Listen::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

impl ReceiverConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        match &self.listen {
            Listen::Unix(path) if !path.is_absolute() => {
                vec![("listen", format!("found {}, expected stdin or an absolute path", path.display()))]
            }
            _ => Vec::new(),
        }
    }
}

/// What a receiver has seen since it began.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lines.
    pub messages: AtomicU64,
    /// Bytes.
    pub bytes: AtomicU64,
    /// Lines that were too long: what is kept of each is a `gap.malformed` with its beginning.
    pub refused: AtomicU64,
}

/// Why there is no receiver.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something that is no socket is in the place of the socket.
    #[error("{} is there and is no socket: nothing is removed", .0.display())]
    Occupied(PathBuf),
    /// Another process answers at the socket.
    #[error("another process listens at {}", .0.display())]
    InUse(PathBuf),
    /// The system does not make the socket.
    #[error("cannot listen at {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    from: Origin,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Origin {
    Stdin,
    Unix(UnixListener, PathBuf),
}

impl Receiver {
    /// Makes the socket. One that a former process left is replaced; anything else in its place is not touched.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub async fn bind(config: &ReceiverConfig) -> Result<Receiver, BindError> {
        let from = match &config.listen {
            Listen::Stdin => Origin::Stdin,
            Listen::Unix(path) => Origin::Unix(listen(path).await?, path.clone()),
        };
        Ok(Receiver { from, counters: Arc::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        match &self.from {
            Origin::Stdin => "stdin".to_owned(),
            Origin::Unix(_, path) => path.display().to_string(),
        }
    }

    /// What it has seen; it goes on counting.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Takes lines until it is stopped, the inlet is closed, or standard input ends.
    pub async fn run(self, inlet: Arc<dyn Inlet>, stop: CancellationToken) {
        match self.from {
            Origin::Stdin => {
                let taken = take(stdin(), &inlet, &self.counters);
                let _ = stop.run_until_cancelled(taken).await;
            }
            Origin::Unix(listener, path) => {
                serve(&listener, &inlet, &self.counters, &stop).await;
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Standard input, read by a thread of its own: a read from it cannot be given up.
fn stdin() -> impl AsyncRead + Unpin {
    let (reader, mut writer) = tokio::io::duplex(64 << 10);
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            let Some(bytes) = buffer.get(..read) else { break };
            if runtime.block_on(writer.write_all(bytes)).is_err() {
                break;
            }
        }
    });
    reader
}

async fn listen(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => return Err(BindError::Occupied(path.to_owned())),
        Ok(_) if UnixStream::connect(path).await.is_ok() => return Err(BindError::InUse(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

async fn serve(
    listener: &UnixListener,
    inlet: &Arc<dyn Inlet>,
    counters: &Arc<Counters>,
    stop: &CancellationToken,
) {
    let mut senders = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = senders.join_next(), if !senders.is_empty() => continue,
            accepted = listener.accept(), if senders.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (inlet, counters) = (Arc::clone(inlet), Arc::clone(counters));
                let stop = stop.clone();
                senders.spawn(async move {
                    let _ = stop.run_until_cancelled(converse(stream, &inlet, &counters)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    // A batch that is being made durable is waited for; its sender gets no answer and sends it again.
    while senders.join_next().await.is_some() {}
}

async fn converse(stream: UnixStream, inlet: &Arc<dyn Inlet>, counters: &Arc<Counters>) {
    let (reader, mut writer) = stream.into_split();
    if let Ok(taken) = take(reader, inlet, counters).await {
        let Taken { kept, filtered, malformed } = taken;
        let answer = format!("{{\"kept\":{kept},\"filtered\":{filtered},\"malformed\":{malformed}}}\n");
        let _ = writer.write_all(answer.as_bytes()).await;
        let _ = writer.shutdown().await;
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Takes lines until their end, and says what became of them.
async fn take(
    mut from: impl AsyncRead + Unpin,
    inlet: &Arc<dyn Inlet>,
    counters: &Arc<Counters>,
) -> Result<Taken, Ended> {
    let mut splitter = Splitter::default();
    let mut all = Taken::default();
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        counters.bytes.fetch_add(read as u64, Ordering::Relaxed);
        let mut lines = Vec::new();
        match buffer.get(..read) {
            Some([]) | None => lines.extend(splitter.finish()),
            Some(more) => splitter.push(more, |line| lines.push(line)),
        }
        for line in lines {
            counters.messages.fetch_add(1, Ordering::Relaxed);
            batch.push(match line {
                Line::Whole(line) => {
                    bytes += line.len();
                    Incoming::Json(line)
                }
                Line::TooLong { beginning, bytes } => {
                    counters.refused.fetch_add(1, Ordering::Relaxed);
                    too_long(&beginning, bytes).into()
                }
            });
            if batch.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                put(&mut batch, &mut all, inlet).await?;
                bytes = 0;
            }
        }
        // A read that did not fill the buffer means that the sender has nothing more at hand.
        if read < buffer.len() {
            put(&mut batch, &mut all, inlet).await?;
            bytes = 0;
        }
        if read == 0 {
            return Ok(all);
        }
    }
}

async fn put(batch: &mut Vec<Incoming>, all: &mut Taken, inlet: &Arc<dyn Inlet>) -> Result<(), Closed> {
    if batch.is_empty() {
        return Ok(());
    }
    let (inlet, events) = (Arc::clone(inlet), std::mem::take(batch));
    let taken = tokio::task::spawn_blocking(move || inlet.put(events)).await.map_err(|_| Closed)??;
    all.kept += taken.kept;
    all.filtered += taken.filtered;
    all.malformed += taken.malformed;
    Ok(())
}

fn too_long(beginning: &[u8], bytes: u64) -> Event {
    let reason = format!("a line of {bytes} bytes, at most {LINE_MAX_BYTES} are taken");
    Event::new("gap.malformed", "-")
        .severity(4)
        .message(reason.clone())
        .data("reason", reason)
        .data("beginning", String::from_utf8_lossy(beginning))
}

#[cfg(test)]
mod tests;
