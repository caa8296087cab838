//! Stands between Attestry and the database and counts what goes through, each way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

pub(super) struct Relay {
    port: u16,
    /// To the database, and from it.
    bytes: Arc<[AtomicU64; 2]>,
}

impl Relay {
    /// To the server of this address. It runs until the process ends.
    pub(super) fn to(url: &str) -> Result<Relay> {
        let authority = url.split('@').nth(1).and_then(|rest| rest.split('/').next());
        let authority = authority.context("an address without a host")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Relay { port: listener.local_addr()?.port(), bytes: Arc::default() };
        let bytes = Arc::clone(&relay.bytes);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&authority) else { continue };
                for (way, from, to) in [(0, &near, &far), (1, &far, &near)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let bytes = Arc::clone(&bytes);
                    std::thread::spawn(move || carry(from, to, &bytes[way]));
                }
            }
        });
        Ok(relay)
    }

    /// An address with the relay's port in place of the database's.
    pub(super) fn url(&self, url: &str) -> String {
        let (before, rest) = url.split_once('@').unwrap_or(("", url));
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        format!("{before}@127.0.0.1:{}/{path}", self.port)
    }

    /// What went to the database so far, and what came from it.
    pub(super) fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|way: usize| self.bytes[way].load(Ordering::Relaxed))
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        bytes.fetch_add(count as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown(Shutdown::Write);
}
