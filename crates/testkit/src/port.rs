//! Free ports that stay free while a server is down.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range that the system hands out to clients: a port of that range could be taken, while its server is being
/// restarted, by any connection of any test, even by one that tries to reach that very port.
const FIRST: u32 = 15_000;
const COUNT: u32 = 15_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A loopback port on which nothing listens, given to nobody else in this process.
pub(crate) fn free() -> u16 {
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
