//! Questions to the kernel about sockets that have no safe function elsewhere.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How many datagrams the kernel has dropped at this socket because its buffer was full, since it was made; wraps around.
///
/// This is the counter that `SO_RXQ_OVFL` attaches to the *next* datagram. Asked for directly (`SO_MEMINFO`, Linux 4.12), it is known even
/// when no datagram follows the lost ones.
pub(crate) fn dropped_datagrams(socket: BorrowedFd<'_>) -> io::Result<u32> {
    const COUNT: usize = libc::SK_MEMINFO_DROPS as usize + 1;
    let mut values = [0u32; COUNT];
    let mut len = size_of::<[u32; COUNT]>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed and so open; the kernel writes at most `len` bytes to `values`, which are as many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    values.last().copied().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// How many bytes of what was written the far side's kernel has not acknowledged.
pub(crate) fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and so open; the request (SIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    #[test]
    fn drops_are_counted_before_anything_is_read() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&receiver).set_recv_buffer_size(4_096).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(dropped_datagrams(receiver.as_fd()).unwrap(), 0);
        for _ in 0..200 {
            sender.send_to(&[b'x'; 500], receiver.local_addr().unwrap()).unwrap();
        }
        let dropped = dropped_datagrams(receiver.as_fd()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let received = std::iter::from_fn(|| receiver.recv(&mut [0; 600]).ok()).count();
        assert!(received > 0 && received < 200);
        assert_eq!(dropped as usize + received, 200);
    }

    #[test]
    fn what_a_peer_took_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65_536]).is_ok() {}
        assert!(unacknowledged_bytes(client.as_fd()).unwrap() > 0);
        server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        while server.read(&mut [0; 65_536]).is_ok() {}
        assert_eq!(unacknowledged_bytes(client.as_fd()).unwrap(), 0);
    }
}
