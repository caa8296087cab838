//! A connection to a broker: the handshake, signs of life, frames both ways.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Broker;
use super::frame::{Frame, Next, parse};
use crate::broker::{Address, Duplex};
use crate::queue::Failed;

/// How long an answer of the broker may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Frames that wait to be written, at most.
const WAITING_MAX: usize = 16;

/// How often a sign of life may be missed: signs are late where a machine is busy.
const SIGNS_MISSED_MAX: u32 = 3;

type Stream = Box<dyn Duplex>;

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) frames: Frames,
    pub(super) sender: Sender,
}

/// The frames that come.
pub(super) struct Frames {
    half: ReadHalf<Stream>,
    buffer: BytesMut,
    max_frame: usize,
    /// After so long without a byte the connection is lost. None where the broker promised no signs of life.
    silence_max: Option<Duration>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("silence_max", &self.silence_max).finish_non_exhaustive()
    }
}

/// The way to the broker: a task writes, so that signs of life are sent whatever else is waited for.
#[derive(Clone, Debug)]
pub(super) struct Sender(mpsc::Sender<Vec<u8>>);

impl Connection {
    /// Connects and logs in. Secrets and certificates are read anew.
    pub(super) async fn open(broker: &Broker) -> Result<Connection, Failed> {
        let address = broker.address().map_err(Failed)?;
        Connection::log_in(&address, broker).await.map_err(|failed| failed.at(&address.to))
    }

    async fn log_in(address: &Address, broker: &Broker) -> Result<Connection, Failed> {
        let stream = address.open(broker.tls.as_ref()).await?;
        let (half, mut writer) = tokio::io::split(stream);
        let beat = broker.heartbeat.0.as_millis();
        let mut connect = Frame::new("CONNECT")
            .with("accept-version", "1.2")
            .with("host", broker.vhost.as_deref().unwrap_or(&address.to.host))
            .with("heart-beat", format!("{beat},{beat}"));
        if let (Some(user), Some(password)) = (&broker.user, &broker.password) {
            connect = connect.with("login", user.as_str()).with("passcode", password.read()?);
        }
        let mut bytes = Vec::new();
        connect.write(&mut bytes);
        let mut frames =
            Frames { half, buffer: BytesMut::new(), max_frame: broker.max_frame, silence_max: None };
        let connected = timeout(ANSWER_MAX, async {
            writer.write_all(&bytes).await?;
            writer.flush().await?;
            frames.next().await
        });
        let connected = connected.await.map_err(|_| Failed("the broker does not answer".to_owned()))??;
        if connected.command != "CONNECTED" || connected.header("version") != Some("1.2") {
            return Err(Failed(format!("the broker answers with {} of another version", connected.command)));
        }
        let (theirs, wanted) = signs_of_life(connected.header("heart-beat").unwrap_or("0,0"));
        let larger = |theirs: Duration| theirs.max(broker.heartbeat.0);
        frames.silence_max = theirs.map(|theirs| larger(theirs) * SIGNS_MISSED_MAX);
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(writer, waiting, wanted.map(larger)));
        Ok(Connection { frames, sender: Sender(sender) })
    }

    /// Waits for this receipt.
    pub(super) async fn receipt(&mut self, id: &str) -> Result<(), Failed> {
        let wait = async {
            loop {
                let frame = self.frames.next().await?;
                if frame.command == "RECEIPT" && frame.header("receipt-id") == Some(id) {
                    return Ok(());
                }
            }
        };
        timeout(ANSWER_MAX, wait).await.map_err(|_| Failed("the broker gives no receipt".to_owned()))?
    }
}

/// How often the broker sends signs of life, and how often it wants to see some; none for never.
fn signs_of_life(header: &str) -> (Option<Duration>, Option<Duration>) {
    let (sends, wants) = header.split_once(',').unwrap_or(("0", "0"));
    let read = |text: &str| text.trim().parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis);
    (read(sends), read(wants))
}

impl Frames {
    /// The next frame. May be dropped while it waits: nothing is lost. An `ERROR` is an error here: after it the broker hangs up.
    pub(super) async fn next(&mut self) -> Result<Frame, Failed> {
        loop {
            while let Some((next, used)) = parse(&self.buffer, self.max_frame)? {
                self.buffer.advance(used);
                match next {
                    Next::SignOfLife => {}
                    Next::Frame(frame) if frame.command == "ERROR" => {
                        return Err(Failed(format!(
                            "the broker says: {}",
                            frame.header("message").unwrap_or("an error without a message")
                        )));
                    }
                    Next::Frame(frame) => return Ok(frame),
                }
            }
            let read = self.half.read_buf(&mut self.buffer);
            let read = match self.silence_max {
                None => read.await?,
                Some(most) => {
                    timeout(most, read).await.map_err(|_| Failed("the broker is silent".to_owned()))??
                }
            };
            if read == 0 {
                return Err(Failed("the broker has closed the connection".to_owned()));
            }
        }
    }
}

impl Sender {
    pub(super) async fn send(&self, frame: &Frame) -> Result<(), Failed> {
        let mut bytes = Vec::with_capacity(frame.body.len() + 512);
        frame.write(&mut bytes);
        let closed = |_| Failed("the connection to the broker is broken".to_owned());
        let sent = timeout(ANSWER_MAX, self.0.send(bytes)).await;
        sent.map_err(|_| Failed("the broker takes nothing".to_owned()))?.map_err(closed)
    }
}

/// Writes until the connection breaks or nobody sends any more.
async fn write(mut writer: WriteHalf<Stream>, mut waiting: mpsc::Receiver<Vec<u8>>, beat: Option<Duration>) {
    // A third earlier than promised, so that it is there in time.
    let beat = beat.map(|beat| beat * 2 / 3).unwrap_or(Duration::MAX);
    loop {
        let result = match timeout(beat, waiting.recv()).await {
            Ok(Some(bytes)) => writer.write_all(&bytes).await,
            Ok(None) => break,
            Err(_) => writer.write_all(b"\n").await,
        };
        let result = match result {
            Ok(()) => writer.flush().await,
            error => error,
        };
        if result.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_are_agreed_on() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (header, expected) in [
            ("0,0", (None, None)),
            ("10000,20000", (millis(10_000), millis(20_000))),
            ("5, 0", (millis(5), None)),
            ("x,-1", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(signs_of_life(header), expected, "{header:?}");
        }
    }
}
