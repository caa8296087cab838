//! Datagrams from others: UDP and unix sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attestry_event::{Clock, Nanos, SystemClock};
use attestry_pipeline::Incoming;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;
use crate::feed::{Feed, Loss};
use crate::socket::dropped_datagrams;

/// What reads datagrams of a protocol.
pub(crate) trait Reads: Send {
    /// Takes one datagram and appends the events that are whole now.
    fn datagram(
        &mut self,
        bytes: &[u8],
        from: Option<SocketAddr>,
        received: Nanos,
        out: &mut Vec<Incoming>,
    ) -> Result<(), Loss>;

    /// Is called about once a second; says how many datagrams were given up as incomplete.
    fn tick(&mut self, _now: Instant) -> u64 {
        0
    }
}

/// A socket that datagrams come to.
pub(crate) enum Datagrams {
    Udp(UdpSocket),
    Unix(UnixDatagram, #[expect(dead_code, reason = "held for its drop")] Unlink),
}

/// Removes a socket's file when it is dropped.
pub(crate) struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The largest datagram there is, and one byte.
const BUFFER_BYTES: usize = 65_536;
/// So many datagrams are read before they are handed on and others get their turn.
const LOT: usize = 500;
const TICK: Duration = Duration::from_secs(1);
/// What a full kernel buffer may still hold when the receiver is stopped is read, but not for longer than this.
const LAST_READ: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
/// At the end all that is incomplete is too old.
const END: Duration = Duration::from_secs(3_600);

impl Datagrams {
    /// Binds a UDP socket. The kernel gives at most `net.core.rmem_max` of the buffer that is asked for.
    pub(crate) async fn udp(listen: &Endpoint, buffer_bytes: usize) -> io::Result<Datagrams> {
        let address = resolve(listen).await?;
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(buffer_bytes)?;
        socket.bind(&address.into())?;
        Ok(Datagrams::Udp(UdpSocket::from_std(socket.into())?))
    }

    /// Binds a unix socket with these permissions. A socket's file that nobody listens at any more is replaced.
    pub(crate) fn unix(path: &Path, mode: u32, buffer_bytes: usize) -> io::Result<Datagrams> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            if UnixDatagram::unbound()?.connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
            }
            fs::remove_file(path)?;
        }
        let socket = UnixDatagram::bind(path)?;
        let unlink = Unlink(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        SockRef::from(&socket).set_recv_buffer_size(buffer_bytes)?;
        Ok(Datagrams::Unix(socket, unlink))
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Datagrams::Udp(socket) => socket.local_addr().ok(),
            Datagrams::Unix(..) => None,
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Datagrams::Udp(socket) => socket.readable().await,
            Datagrams::Unix(socket, _) => socket.readable().await,
        }
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        match self {
            Datagrams::Udp(socket) => socket.try_recv_from(buffer).map(|(len, from)| (len, Some(from))),
            Datagrams::Unix(socket, _) => socket.try_recv(buffer).map(|len| (len, None)),
        }
    }

    /// Reads until `stop`, and then what is still in the kernel's buffer.
    pub(crate) async fn run(self, mut reader: impl Reads, feed: Feed, stop: CancellationToken) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut dropped = 0;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {
                    feed.lose(Loss::Incomplete, reader.tick(Instant::now()));
                    dropped = declare(self.as_fd(), dropped, &feed);
                }
                ready = self.readable() => {
                    if ready.is_err() || self.read_lot(&mut buffer, &mut reader, &feed).is_err() {
                        // Not a lasting state of a socket that is bound; but never a busy loop.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
        let until = Instant::now() + LAST_READ;
        while Instant::now() < until {
            // The runtime may not have noticed yet what has come.
            let ready = tokio::time::timeout(PAUSE, self.readable()).await;
            if !matches!(ready, Ok(Ok(()))) || self.read_lot(&mut buffer, &mut reader, &feed).is_err() {
                break;
            }
        }
        declare(self.as_fd(), dropped, &feed);
        feed.lose(Loss::Incomplete, reader.tick(Instant::now() + END));
    }

    /// Reads what is there, at most a lot.
    fn read_lot(&self, buffer: &mut [u8], reader: &mut impl Reads, feed: &Feed) -> io::Result<()> {
        let mut events = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let mut result = Ok(());
        let received = SystemClock.now();
        while count < LOT {
            match self.try_recv(buffer) {
                Ok((len, from)) => {
                    count += 1;
                    bytes += len;
                    let datagram = buffer.get(..len).unwrap_or_default();
                    if let Err(loss) = reader.datagram(datagram, from, received, &mut events) {
                        feed.lose(loss, 1);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        feed.offer(events, bytes);
        result
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Datagrams::Udp(socket) => socket.as_fd(),
            Datagrams::Unix(socket, _) => socket.as_fd(),
        }
    }
}

/// Counts what the kernel dropped since `before`; gives its counter.
fn declare(socket: BorrowedFd<'_>, before: u32, feed: &Feed) -> u32 {
    let now = dropped_datagrams(socket).unwrap_or(before);
    feed.lose(Loss::Kernel, u64::from(now.wrapping_sub(before)));
    now
}

/// The first address of an endpoint.
pub(crate) async fn resolve(listen: &Endpoint) -> io::Result<SocketAddr> {
    let found = tokio::net::lookup_host((listen.host.as_str(), listen.port)).await?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}
