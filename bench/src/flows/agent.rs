//! An agent's day offline: what it takes in while the server is away, and how fast that drains when the server is back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::node::{Node, authority};
use super::{Line, Setting, until};
use crate::generator::{Generator, Kind};

pub(super) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    let config = format!("server: {{listen: \"{}\", tls_self_signed: true}}\n", authority(setting.port));
    let mut server = Node::new(setting.binary, &config)?;
    start(&mut server, setting.port)?;
    let url = format!("https://{}", authority(setting.port));
    let socket = "receivers:\n  app: {ndjson: {listen: \"unix://DIR/app.sock\"}}\n";
    let mut agent = Node::new(setting.binary, socket)?;
    let token = server.attestry(&["agent", "token", "web1"])?;
    agent.attestry(&["agent", "enroll", &url, &token])?;
    // The sink that an enrolment makes, but for its patience: how long it waits is not what is measured.
    agent.configure(&format!(
        "{socket}sinks:
  server:
    attestry: {{url: \"{url}\", tls: {{ca: DIR/data/agent/server.pem, cert: DIR/data/agent/cert.pem, key: DIR/data/agent/key.pem}}}}
    retry: {{first: 100ms, most: 200ms}}
"
    ))?;
    server.kill();
    agent.start()?;

    let mut generator = Generator::new(42, Kind::Usual);
    let bodies = generator.batch(setting.events);
    let (cpu, begin) = (agent.process()?.cpu()?, Instant::now());
    let mut stream = UnixStream::connect(agent.path("app.sock"))?;
    stream.write_all(bodies.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let wall = Some(begin.elapsed());
    if !answer.contains(&format!("\"kept\":{}", setting.events)) {
        bail!("the agent kept something else: {answer}");
    }
    let cpu = agent.process()?.settled()? - cpu;
    let line = |flow, wall, cpu| Line { flow, events: setting.events, wall, cpu, losses: String::new() };
    line("NDJSON to an agent's spool", wall, cpu).print(out)?;

    start(&mut server, setting.port)?;
    let cpu = (agent.process()?.cpu()?, server.process()?.cpu()?);
    let grown = until(setting.events, false, || agent.number("sinks", "delivered"))?;
    let cpu = (agent.process()?.settled()? - cpu.0, server.process()?.settled()? - cpu.1);
    line("spool to server: the agent", Some(grown.wall()), cpu.0).print(out)?;
    line("spool to server: the server", None, cpu.1).print(out)
}

/// Starts it and waits until it listens: it speaks TLS, so it is not asked.
fn start(server: &mut Node, port: u16) -> Result<()> {
    server.start()?;
    while TcpStream::connect(authority(port)).is_err() {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
