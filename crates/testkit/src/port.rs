//! Free ports that stay free while a server is down.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::run::Running;
use crate::wait_for;

/// How long another program may take until it listens, on a machine that builds at the same time.
const LISTEN_MAX: Duration = Duration::from_secs(120);

/// Below the range that the system hands out to clients: a port of that range could be taken, while its server is being
/// restarted, by any connection of any test, even by one that tries to reach that very port.
const FIRST: u32 = 15_000;
const COUNT: u32 = 15_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A loopback port on which nothing listens, given to nobody else in this process.
#[track_caller]
pub fn free() -> u16 {
    // Two test programs at once begin at different places.
    let own = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let next = own.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + next).expect("the range ends below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

/// Waits until somebody listens on the port, and fails when the program that should has ended.
#[track_caller]
pub(crate) fn wait_for_listener(name: &str, port: u16, running: &mut Running) {
    wait_for(&format!("{name} listens"), LISTEN_MAX, || {
        if let Some(status) = running.ended() {
            panic!("{name} ended with {status}: {}{}", running.out(), running.err());
        }
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
}
