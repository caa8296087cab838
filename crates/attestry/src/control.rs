//! The running program's own door for the command line on the same host: a unix socket that only its owner can open.
//!
//! A request is a line of JSON, the answer some lines of JSON and then the end. A line `{"error": "..."}` is the last one.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attestry_db::snapshot::Made;
use attestry_pipeline::dead::Letter;
use attestry_pipeline::spool::Fill;
use attestry_pipeline::{DeadLetters, Limits};
use attestry_server::FlowStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::databases::Watches;
use crate::flow::{Flow, Ground};
use crate::reload::Reloader;

/// The socket in the data directory.
pub(crate) const SOCKET: &str = "control.sock";

/// The most bytes of a request.
const REQUEST_MAX: u64 = 1 << 20;

/// How many dead letters are looked up at once, and their bytes.
const LETTERS: usize = 1_000;
const LETTERS_BYTES: u64 = 8 << 20;

/// What can be asked.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How receivers and sinks are doing.
    Status,
    /// A sink's dead letters, from a number on.
    Dead { sink: String, from: u64 },
    /// Offer dead letters again: those with these numbers, or all.
    Replay { sink: String, ids: Option<Vec<u64>> },
    /// Forget dead letters for good: those with these numbers, or all.
    Drop { sink: String, ids: Option<Vec<u64>> },
    /// Events as they become durable here, from now on.
    Tap,
    /// Read the configuration again.
    Reload,
    /// Where the server is reached.
    Address,
    /// Make a snapshot of a watched database now, or all that it has, for somebody.
    Snapshot { watch: String, name: Option<String>, by: String },
}

/// Where a running server is reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Address {
    /// From this host.
    pub(crate) here: String,
    /// From others, as far as it knows.
    pub(crate) public: String,
}

/// The door, open.
pub(crate) struct Control {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Control {
    /// Opens it. Call it within the runtime; the lock of the data directory is held. A node that is no server has no address.
    pub(crate) fn open(
        data_dir: &Path,
        flow: Arc<Flow>,
        reloader: Arc<Reloader>,
        address: Option<Address>,
        databases: Option<Arc<Watches>>,
    ) -> Result<Control> {
        let path = data_dir.join(SOCKET);
        // What is there is of a process that has ended: the data directory is ours alone.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let listener =
            UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let stop = CancellationToken::new();
        let ends = stop.clone();
        let task = tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = ends.cancelled() => break,
                };
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                };
                let (flow, reloader, ends) = (Arc::clone(&flow), Arc::clone(&reloader), ends.clone());
                let (address, databases) = (address.clone(), databases.clone());
                tokio::spawn(async move {
                    let stream = AsyncBufReader::new(stream);
                    let mut talk = Talk { stream, flow, reloader, address, databases };
                    tokio::select! {
                        () = talk.answer() => {}
                        () = ends.cancelled() => {}
                    }
                });
            }
            // Whoever finds no socket knows that nothing runs.
            let _ = std::fs::remove_file(&path);
        });
        Ok(Control { stop, task })
    }

    pub(crate) async fn close(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

struct Talk {
    stream: AsyncBufReader<UnixStream>,
    flow: Arc<Flow>,
    reloader: Arc<Reloader>,
    address: Option<Address>,
    databases: Option<Arc<Watches>>,
}

impl Talk {
    async fn answer(&mut self) {
        let mut line = String::new();
        let read = (&mut self.stream).take(REQUEST_MAX).read_line(&mut line).await;
        if read.is_err() {
            return;
        }
        let result = match serde_json::from_str(&line) {
            Ok(request) => self.request(request).await,
            Err(error) => Err(anyhow::anyhow!("the request: {error}")),
        };
        if let Err(error) = result {
            // Whoever asked may have gone, which is as good.
            let _ = self.say(&json!({"error": format!("{error:#}")})).await;
        }
    }

    async fn say(&mut self, value: &Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).await
    }

    async fn request(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Status => {
                let mut status = serde_json::to_value(self.flow.status())?;
                status["sources"] = serde_json::to_value(self.reloader.sources().all())?;
                if let (Ground::Spool(spool), Some(status)) = (&**self.flow.ground(), status.as_object_mut())
                {
                    let spool = Arc::clone(spool);
                    // Waits for the commit that is under way.
                    let fill = tokio::task::spawn_blocking(move || spool.fill()).await?;
                    status.insert("spool".to_owned(), spool_status(&fill));
                }
                self.say(&status).await?;
            }
            Request::Dead { sink, from } => {
                let dead = self.dead(&sink)?;
                let letters =
                    tokio::task::spawn_blocking(move || dead.list(from, LETTERS, LETTERS_BYTES)).await??;
                for letter in &letters {
                    self.say(&shown(letter)).await?;
                }
            }
            Request::Replay { sink, ids } => {
                let (mut delivered, mut refused) = (0, 0);
                // All workers of a sink share its dead letters, so any of them can.
                let state = self.flow.sinks().into_iter().find(|state| state.name == sink);
                let handle =
                    state.and_then(|state| state.workers.into_iter().next()).map(|(_, handle)| handle);
                let handle = handle.with_context(|| self.unknown(&sink))?;
                let replayed = handle.replay(ids).await?;
                delivered += replayed.delivered;
                refused += replayed.refused;
                self.say(&json!({"delivered": delivered, "refused": refused})).await?;
            }
            Request::Drop { sink, ids } => {
                let dead = self.dead(&sink)?;
                let (ground, of) = (Arc::clone(self.flow.ground()), sink.clone());
                let dropped = tokio::task::spawn_blocking(move || {
                    let ids = ids.unwrap_or_else(|| dead.ids());
                    dead.forget(&ids, &mut |evicted| ground.declare(evicted.event(&of)))
                })
                .await??;
                self.flow.ground().declare(dropped_event(&sink, dropped));
                self.say(&json!({"dropped": dropped})).await?;
            }
            Request::Tap => self.tap().await?,
            Request::Address => {
                let address =
                    self.address.as_ref().context("this node has no ledgers, so it is no server")?;
                self.say(&serde_json::to_value(address)?).await?;
            }
            Request::Snapshot { watch, name, by } => {
                let databases =
                    self.databases.as_ref().context("this node has no ledgers, so it watches nothing")?;
                let mut answers = databases.snapshot(&watch, name.as_deref(), &by)?;
                loop {
                    let next;
                    (answers, next) = tokio::task::spawn_blocking(move || {
                        let next = answers.recv();
                        (answers, next)
                    })
                    .await?;
                    match next {
                        Ok((snapshot, Ok(made))) => {
                            let Made { file, bytes, sha256, .. } = made;
                            self.say(&json!({"snapshot": snapshot, "file": file, "bytes": bytes, "sha256": sha256})).await?;
                        }
                        Ok((snapshot, Err(why))) => {
                            let why = format!("{:#}", anyhow::Error::from(why));
                            self.say(&json!({"snapshot": snapshot, "failed": why})).await?;
                        }
                        Err(_) => break,
                    }
                }
            }
            Request::Reload => {
                let changes = self.reloader.reload().await?;
                self.say(&json!({"started": changes.started, "stopped": changes.stopped})).await?;
            }
        }
        Ok(())
    }

    fn unknown(&self, sink: &str) -> String {
        let names: Vec<String> = self.flow.sinks().into_iter().map(|state| state.name).collect();
        format!(
            "no sink {sink:?} is running, there are {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        )
    }

    fn dead(&self, sink: &str) -> Result<Arc<DeadLetters>> {
        let state = self.flow.sinks().into_iter().find(|state| state.name == sink);
        state.map(|state| state.dead).with_context(|| self.unknown(sink))
    }

    /// What becomes durable from now on, until the other side has enough.
    async fn tap(&mut self) -> Result<()> {
        let logs = self.flow.logs();
        let mut at: Vec<u64> = logs.iter().map(|log| log.log.end()).collect();
        loop {
            for (followed, at) in logs.iter().zip(&mut at) {
                let log = Arc::clone(&followed.log);
                let from = *at;
                let read = tokio::task::spawn_blocking(move || {
                    log.read(from, Limits { events: 500, bytes: 1 << 20 })
                })
                .await??;
                *at = read.next.max(*at);
                for parcel in &read.parcels {
                    let mut line = Vec::with_capacity(parcel.bytes() + 1);
                    if parcel.write_json(&mut line).is_ok() {
                        line.push(b'\n');
                        self.stream.get_mut().write_all(&line).await?;
                    }
                }
            }
            if logs.iter().zip(&at).any(|(followed, at)| followed.log.end() > *at) {
                continue;
            }
            let news = logs.iter().zip(&at).map(|(followed, at)| {
                let mut news = followed.news.clone();
                let at = *at;
                Box::pin(async move { news.beyond(at).await })
            });
            let mut gone = [0; 1];
            tokio::select! {
                _ = futures_util::future::select_all(news) => {}
                // The other side says nothing more; when it is closed, it has enough.
                read = self.stream.read(&mut gone) => if read.map_or(true, |bytes| bytes == 0) { return Ok(()) },
            }
        }
    }
}

/// How full a node's spool is, and why it takes nothing when it does not.
fn spool_status(fill: &Fill) -> Value {
    let stalled =
        fill.stalled.as_ref().map(|stalled| json!({"why": stalled.why, "since_s": stalled.since.as_secs()}));
    json!({
        "bytes": fill.bytes,
        "max_bytes": fill.max_bytes,
        "events": fill.events,
        "lost": fill.lost,
        "stalled": stalled,
    })
}

pub(crate) fn shown(letter: &Letter) -> Value {
    let mut event = Vec::new();
    let event = match letter.parcel.write_json(&mut event) {
        Ok(()) => serde_json::from_slice(&event).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    json!({
        "id": letter.id,
        "at": letter.at.to_string(),
        "reason": letter.reason,
        "attempts": letter.attempts,
        "ledger": &*letter.parcel.ledger,
        "event": event,
    })
}

/// Dropping what a sink was to have is an act, so it is an event.
pub(crate) fn dropped_event(sink: &str, dropped: usize) -> attestry_event::Event {
    attestry_event::Event::new("gap.dead_letters", "-")
        .resource(sink)
        .severity(4)
        .message(format!("{dropped} dead letters of {sink} were dropped by hand"))
        .data("sink", sink)
        .data("count", dropped as u64)
        .data("why", "dropped by hand")
}

/// Asks the program that runs on a data directory; none when nothing runs there. Each line of the answer is handed over.
pub(crate) fn ask(
    data_dir: &Path,
    request: &Request,
    line: &mut dyn FnMut(Value) -> Result<()>,
) -> Result<bool> {
    let path = data_dir.join(SOCKET);
    let mut stream = match StdUnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(false);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", path.display())),
    };
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    for text in BufReader::new(stream).lines() {
        let value: Value = serde_json::from_str(&text?).context("the answer is not JSON")?;
        if let Some(error) = value
            .get("error")
            .and_then(Value::as_str)
            .filter(|_| value.as_object().is_some_and(|object| object.len() == 1))
        {
            bail!("{error}");
        }
        line(value)?;
    }
    Ok(true)
}

/// Where the server that runs on a data directory is reached; none when none runs there, or when it is not ours to ask.
pub(crate) fn address(data_dir: &Path) -> Option<Address> {
    let mut found = None;
    let asked = ask(data_dir, &Request::Address, &mut |value| {
        found = serde_json::from_value(value).ok();
        Ok(())
    });
    asked.ok().and(found)
}

/// How receivers and sinks of the program are doing; none when nothing runs.
pub(crate) fn status(data_dir: &Path) -> Result<Option<Value>> {
    let mut found = None;
    ask(data_dir, &Request::Status, &mut |value| {
        found = Some(value);
        Ok(())
    })?;
    Ok(found)
}

/// What others see of a flow.
impl Flow {
    pub(crate) fn status(&self) -> FlowStatus {
        use attestry_pipeline::worker::State;
        use attestry_server::SinkStatus;
        let mut sinks = Vec::new();
        for sink in self.sinks() {
            let dead = sink.dead.len() as u64;
            for (log, handle) in sink.workers {
                let status = handle.status();
                let state = match status.state {
                    State::Running => "running",
                    State::Waiting => "waiting",
                    State::Halted => "halted",
                    State::Stopped => "stopped",
                };
                let (why, since) = status
                    .trouble
                    .map_or((None, None), |trouble| (Some(trouble.reason), Some(trouble.since)));
                sinks.push(SinkStatus {
                    name: sink.name.clone(),
                    protocol: sink.protocol.to_owned(),
                    log,
                    state: state.to_owned(),
                    delivered: status.delivered,
                    filtered: status.filtered,
                    refused: status.refused,
                    retries: status.retries,
                    lost: status.lost,
                    lag: status.lag,
                    dead,
                    why,
                    since,
                });
            }
        }
        FlowStatus { receivers: self.receivers(), sinks }
    }
}
