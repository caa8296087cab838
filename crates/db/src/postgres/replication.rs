//! The replication protocol: the server sends what was committed as soon as its log is on disk.
//!
//! "Streaming Replication Protocol" in PostgreSQL's manual: `START_REPLICATION SLOT … LOGICAL …` on a connection with the parameter
//! `replication=database`, from then on copying both ways: `w` a part of the stream, `k` a sign of life, `r` how far we are.
//!
//! How far we are is told every second by a task of its own, also while nobody takes what comes: a server that hears nothing for
//! `wal_sender_timeout` ends the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestry_wire::sql::PostgresLogin;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::expression::quoted;
use super::session::SETTINGS;
use super::slot;
use super::wire::{Frame, Incoming, Said, Socket, connect};
use crate::change::Position;
use crate::database::DbError;

/// How often the server is told how far we are.
const STATUS: Duration = Duration::from_secs(1);

/// It is told at once when so much became durable, in bytes of the log.
const STATUS_BYTES: u64 = 8 << 20;

/// The SQLSTATE of a slot that somebody reads from.
const IN_USE: &str = "55006";

/// What was heard.
pub(super) enum Heard {
    /// A message of `pgoutput`.
    Message(Bytes),
    /// Everything that ends up to here was sent.
    Sent(u64),
}

/// A stream.
pub(super) struct Replication {
    incoming: Incoming<ReadHalf<Socket>>,
    progress: Arc<Progress>,
    /// Has the task write at once: whether the server is to answer.
    write: mpsc::Sender<bool>,
    writer: tokio::task::JoinHandle<()>,
    /// The number of the server's process.
    process: i32,
    name: String,
    /// Up to where the server was told at once.
    told: u64,
}

/// How far we are.
struct Progress {
    received: AtomicU64,
    durable: AtomicU64,
}

impl Drop for Replication {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// Whether the server lets us in to replicate.
pub(super) async fn try_in(login: &PostgresLogin) -> Result<(), Said> {
    connect(login, &[("replication", "database"), ("options", SETTINGS)]).await.map(drop)
}

impl Replication {
    /// Begins to read from a slot, after a position; with what applications say, if the decoder knows that.
    pub(super) async fn begin(
        login: &PostgresLogin,
        name: &str,
        from: u64,
        says: bool,
    ) -> Result<Replication, Said> {
        let parameters = [("replication", "database"), ("options", SETTINGS)];
        let (mut incoming, process) = connect(login, &parameters).await?;
        let mut out = BytesMut::new();
        let statement = format!(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names '{}'{})",
            quoted(name),
            Position::Wal(from),
            quoted(name).replace('\'', "''"),
            if says { ", messages 'true'" } else { "" }
        );
        frontend::query(&statement, &mut out).map_err(|error| DbError::Refused(error.to_string()))?;
        incoming.send(&mut out).await?;
        loop {
            match incoming.next().await? {
                Frame::CopyBoth => break,
                Frame::Known(Message::ErrorResponse(body)) => {
                    let mut said = incoming.refused(&body);
                    // That another reads from it passes.
                    if said.code != IN_USE {
                        said.error = slot::meaning(said.error, Some(&said.code), name);
                    }
                    return Err(said);
                }
                Frame::Known(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                Frame::Known(_) => return Err(incoming.unknown()),
            }
        }
        let progress = Arc::new(Progress { received: AtomicU64::new(from), durable: AtomicU64::new(from) });
        let (incoming, out) = incoming.split();
        let (write, asked) = mpsc::channel(1);
        let writer = tokio::spawn(tell(out, Arc::clone(&progress), asked));
        Ok(Replication { incoming, progress, write, writer, process, name: name.to_owned(), told: from })
    }

    /// The number of the server's process that reads for us.
    pub(super) fn process(&self) -> i32 {
        self.process
    }

    /// The next that comes.
    pub(super) async fn hear(&mut self) -> Result<Heard, DbError> {
        loop {
            let frame = self.incoming.next().await?;
            if let Some(heard) = self.meaning(frame)? {
                return Ok(heard);
            }
        }
    }

    /// The next that has come already.
    pub(super) fn heard(&mut self) -> Result<Option<Heard>, DbError> {
        while let Some(frame) = self.incoming.whole()? {
            if let Some(heard) = self.meaning(frame)? {
                return Ok(Some(heard));
            }
        }
        Ok(None)
    }

    fn meaning(&mut self, frame: Frame) -> Result<Option<Heard>, DbError> {
        let mut data = match frame {
            Frame::Known(Message::CopyData(body)) => body.into_bytes(),
            Frame::Known(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => return Ok(None),
            Frame::Known(Message::ErrorResponse(body)) => {
                let said = self.incoming.refused(&body);
                return Err(slot::meaning(said.error, Some(&said.code), &self.name));
            }
            Frame::Known(Message::CopyDone | Message::CommandComplete(_)) => {
                return Err(DbError::Again("the server ended its stream".to_owned()));
            }
            _ => return Err(self.incoming.unknown().error),
        };
        let short = |_| DbError::Again("a message of the stream that is cut off".to_owned());
        match data.try_get_u8().map_err(short)? {
            b'w' => {
                // Where it begins and ends in the log, and when it was sent.
                const HEAD: usize = 3 * 8;
                if data.len() < HEAD {
                    return Err(DbError::Again("a message of the stream that is cut off".to_owned()));
                }
                data.advance(HEAD);
                Ok(Some(Heard::Message(data)))
            }
            b'k' => {
                let end = data.try_get_u64().map_err(short)?;
                let _time = data.try_get_u64().map_err(short)?;
                if data.try_get_u8().map_err(short)? != 0 {
                    self.tell_now(false);
                }
                Ok(Some(Heard::Sent(end)))
            }
            _ => Ok(None),
        }
    }

    /// Everything that ends up to here was received.
    pub(super) fn received(&self, upto: u64) {
        self.progress.received.fetch_max(upto, Ordering::Relaxed);
    }

    /// Everything that ends up to here is durable: the server may throw it away.
    pub(super) fn durable(&mut self, upto: u64) {
        self.progress.durable.fetch_max(upto, Ordering::Relaxed);
        if upto.saturating_sub(self.told) >= STATUS_BYTES {
            self.told = upto;
            self.tell_now(false);
        }
    }

    /// Asks how far the server is.
    pub(super) fn ask(&self) {
        self.tell_now(true);
    }

    fn tell_now(&self, answer: bool) {
        // Full: it is about to write anyway.
        let _ = self.write.try_send(answer);
    }
}

/// Tells the server how far we are, as long as there is a connection.
async fn tell(mut out: WriteHalf<Socket>, progress: Arc<Progress>, mut asked: mpsc::Receiver<bool>) {
    loop {
        let answer = match tokio::time::timeout(STATUS, asked.recv()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(_) => false,
        };
        let status = status(
            progress.received.load(Ordering::Relaxed),
            progress.durable.load(Ordering::Relaxed),
            answer,
        );
        // Whoever reads sees that the connection is gone.
        if out.write_all(&status).await.is_err() || out.flush().await.is_err() {
            return;
        }
    }
}

/// "Standby status update". The time is left at 0: it is for measuring the lag, which the server can do by the positions.
fn status(received: u64, durable: u64, answer: bool) -> BytesMut {
    const LENGTH: i32 = 4 + 1 + 4 * 8 + 1;
    let mut out = BytesMut::new();
    out.put_u8(b'd');
    out.put_i32(LENGTH);
    out.put_u8(b'r');
    out.put_u64(received.max(durable));
    // What is flushed and what is applied are one: what is durable in the copy.
    out.put_u64(durable);
    out.put_u64(durable);
    out.put_u64(0);
    out.put_u8(u8::from(answer));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_we_are_is_told_as_the_manual_says() {
        let status = status(0x0102, 0x0100, true);
        let lsn = |low: u16| [&[0; 6][..], &low.to_be_bytes()].concat();
        let expected =
            [&b"d\0\0\0\x26r"[..], &lsn(0x0102), &lsn(0x0100), &lsn(0x0100), &lsn(0), &[1]].concat();
        assert_eq!(status, expected);
        assert_eq!(status.len(), 1 + 0x26);
    }
}
