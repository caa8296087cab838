//! A byte stream to a far side that never answers: TCP, TLS or a unix socket.
//!
//! Neither syslog nor GELF acknowledges what is sent over such a stream. What can be known is asked: before a batch, whether the far side has
//! closed the connection (what is written then would vanish without an error); after it, whether the far side's kernel has it all.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::socket::unacknowledged_bytes;
use crate::tls::ClientTls;

/// An open stream.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// How long a server may take to say what it thinks of our certificate.
const VERDICT_WAIT: Duration = Duration::from_millis(500);

/// How long an answer may take to be looked at before a batch. Ours is a stream without answers: what comes is TLS's own.
const ANSWER_WAIT: Duration = Duration::from_millis(10);

impl Stream {
    pub(crate) async fn tcp(to: &Endpoint) -> io::Result<Stream> {
        Ok(Stream::Tcp(connect(to).await?))
    }

    pub(crate) async fn tls(to: &Endpoint, tls: &ClientTls) -> io::Result<Stream> {
        let config = tls.client().map_err(io::Error::other)?;
        let name = tls.server_name.clone().unwrap_or_else(|| to.host.clone());
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let mut stream = TlsConnector::from(Arc::clone(&config)).connect(name, connect(to).await?).await?;
        match tokio::time::timeout(VERDICT_WAIT, verdict(&mut stream)).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(Stream::Tls(Box::new(stream))),
        }
    }

    pub(crate) async fn unix(path: &Path) -> io::Result<Stream> {
        Ok(Stream::Unix(UnixStream::connect(path).await?))
    }

    /// Fails when the far side has closed the stream. Throws away what it says.
    pub(crate) async fn check(&mut self) -> io::Result<()> {
        // Asked of the socket itself: the runtime may not have noticed yet.
        let peek = |socket: SockRef<'_>| match socket.peek(&mut [MaybeUninit::uninit(); 1]) {
            Ok(0) => Err(closed()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
        let something = match self {
            Stream::Tcp(stream) => peek(SockRef::from(&*stream)),
            Stream::Tls(stream) => peek(SockRef::from(stream.get_ref().0)),
            Stream::Unix(stream) => peek(SockRef::from(&*stream)),
        }?;
        if !something {
            return Ok(());
        }
        let mut thrown = [0; 4_096];
        match tokio::time::timeout(ANSWER_WAIT, self.read(&mut thrown)).await {
            Ok(Ok(0)) => Err(closed()),
            Ok(Ok(_)) | Err(_) => Ok(()),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(out).await,
            Stream::Tls(stream) => stream.read(out).await,
            Stream::Unix(stream) => stream.read(out).await,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => stream.write_all(bytes).await,
            Stream::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    /// Returns when the far side's kernel has everything. Whether its program reads it nobody can tell.
    pub(crate) async fn settle(&mut self) -> io::Result<()> {
        let mut wait = Duration::from_micros(200);
        loop {
            let left = match self {
                Stream::Tcp(stream) => unacknowledged_bytes(stream.as_fd())?,
                Stream::Tls(stream) => {
                    stream.flush().await?;
                    unacknowledged_bytes(stream.get_ref().0.as_fd())?
                }
                // What was written to a unix stream is the reader's at once.
                Stream::Unix(stream) => {
                    stream.flush().await?;
                    0
                }
            };
            self.failed().await?;
            if left == 0 {
                return self.check().await;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(50));
        }
    }

    /// The socket's error, if it has one.
    async fn failed(&mut self) -> io::Result<()> {
        let error = match self {
            Stream::Tcp(stream) => stream.take_error()?,
            Stream::Tls(stream) => stream.get_ref().0.take_error()?,
            Stream::Unix(stream) => stream.take_error()?,
        };
        error.map_or(Ok(()), Err)
    }
}

/// In TLS 1.3 a client is done before the server has looked at its certificate, and what it writes then may be taken by the kernel of a server
/// that does not let it in. Those that do send a ticket for the next time, as a rule; that, or the refusal, is waited for.
async fn verdict(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    if stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    let mut thrown = [0; 512];
    std::future::poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut thrown);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(closed())),
            // An error, or an answer: then we are in.
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending if stream.get_ref().1.tls13_tickets_received() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the far side has closed the connection")
}

async fn connect(to: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
