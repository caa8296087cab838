//! Syslog out: a server that has events is given a sink.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

use anyhow::Result;

use super::node::{Node, authority, server};
use super::{Line, Setting, until};
use crate::generator::{Generator, Kind};
use crate::store::{BATCH, ingest};

pub(super) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    for scheme in ["tcp", "udp"] {
        let node = Node::server(setting.binary, setting.port, "")?;
        let events = fill(&node, setting)?;
        let at = authority(setting.port + 1);
        throw_away(scheme, &at)?;
        let sink = format!("sinks:\n  out: {{syslog: {{address: \"{scheme}://{at}\"}}, ledgers: [logs]}}\n");
        node.configure(&server(setting.port, &sink))?;
        let cpu = node.process()?.cpu()?;
        node.reload()?;
        let grown = until(events, false, || node.number("sinks", "delivered"))?;
        let cpu = node.process()?.settled()? - cpu;
        let flow = format!("syslog out, {}", scheme.to_uppercase());
        let line = Line { flow: &flow, events, wall: Some(grown.wall()), cpu, losses: String::new() };
        line.print(out)?;
    }
    Ok(())
}

/// Puts events into the ledger `logs`, which has no others; gives how many.
pub(super) fn fill(node: &Node, setting: &Setting<'_>) -> Result<u64> {
    let mut generator = Generator::new(42, Kind::Usual);
    let bodies: Vec<String> = (0..setting.events.div_ceil(BATCH)).map(|_| generator.batch(BATCH)).collect();
    let key = node.attestry(&["key", "create", "fill", "--write", "--ledger", "logs"])?;
    ingest(&authority(setting.port), &[key], &bodies, 2, None)?;
    node.process()?.settled()?;
    Ok(bodies.len() as u64 * BATCH)
}

/// Receives at an address for as long as this process lives, or until the other side ends, and forgets it.
fn throw_away(scheme: &str, at: &str) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    if scheme == "tcp" {
        let listener = TcpListener::bind(at)?;
        std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
    } else {
        let socket = UdpSocket::bind(at)?;
        std::thread::spawn(move || while socket.recv(&mut buffer).is_ok() {});
    }
    Ok(())
}
