//! Through NATS JetStream: one server's sink, the broker, another server's consumer, its ledger.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::node::{Node, authority, server};
use super::send::fill;
use super::{Line, Setting, until};
use crate::process::Process;

/// Where Debian's package puts the broker.
const BROKER: &str = "/usr/sbin/nats-server";

pub(super) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    if !Path::new(BROKER).exists() {
        writeln!(out, "NATS: not measured, there is no {BROKER} (Debian: nats-server)")?;
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = broker(setting.port + 1, dir.path())?;
    let url = format!("nats://{}", authority(setting.port + 1));
    let from = Node::server(setting.binary, setting.port, "")?;
    let events = fill(&from, setting)?;
    let consumer = format!(
        "receivers:\n  hub: {{nats: {{url: \"{url}\", stream: hub, durable: bench}}, ledger: audit}}\n"
    );
    let to = Node::server(setting.binary, setting.port + 2, &consumer)?;
    let sink =
        format!("sinks:\n  hub: {{nats: {{url: \"{url}\", stream: hub, create: {{}}}}, ledgers: [logs]}}\n");
    from.configure(&server(setting.port, &sink))?;

    let processes = [from.process()?, &broker, to.process()?];
    let before: Vec<Duration> = processes.iter().map(|process| process.cpu()).collect::<Result<_>>()?;
    from.reload()?;
    let grown = until(events, false, || to.number("receivers", "kept"))?;
    let names =
        ["NATS round trip: the sink", "NATS round trip: nats-server", "NATS round trip: the consumer"];
    for (nth, ((name, process), before)) in names.iter().zip(processes).zip(before).enumerate() {
        let wall = (nth == 0).then(|| grown.wall());
        let cpu = process.settled()? - before;
        Line { flow: name, events, wall, cpu, losses: String::new() }.print(out)?;
    }
    Ok(())
}

fn broker(port: u16, dir: &Path) -> Result<Process> {
    let config = dir.join("nats.conf");
    let text = format!("listen: \"{}\"\njetstream {{ store_dir: \"{}\" }}\n", authority(port), dir.display());
    std::fs::write(&config, text)?;
    let mut command = Command::new(BROKER);
    command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::start(&mut command)?;
    let begin = Instant::now();
    while TcpStream::connect(authority(port)).is_err() {
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("nats-server does not listen");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(process)
}
