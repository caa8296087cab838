//! NATS servers with JetStream, one or a cluster (Debian: `nats-server`).

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port;
use crate::run::Running;

/// The largest message that it takes, in bytes: more than the 1 MiB by default, less than the largest event.
pub const NATS_MAX_PAYLOAD: usize = 4 << 20;

/// A NATS server with JetStream, in a folder of its own.
#[derive(Debug)]
pub struct NatsServer {
    name: String,
    dir: TempDir,
    config: PathBuf,
    port: u16,
    running: Option<Running>,
}

impl NatsServer {
    /// One server that runs.
    #[track_caller]
    pub fn started() -> NatsServer {
        let mut server = NatsServer::new("single", port::free(), "");
        server.start();
        server
    }

    /// One server that does not run yet, with more lines of configuration.
    #[track_caller]
    pub fn with(config: &str) -> NatsServer {
        NatsServer::new("single", port::free(), config)
    }

    /// Three servers of one cluster that run.
    #[track_caller]
    pub fn cluster() -> [NatsServer; 3] {
        let routes = [port::free(), port::free(), port::free()];
        let all = routes.map(|route| format!("\"nats-route://127.0.0.1:{route}\"")).join(", ");
        let mut number = 0;
        routes.map(|route| {
            number += 1;
            let cluster =
                format!("cluster {{ name: attestry, listen: \"127.0.0.1:{route}\", routes: [{all}] }}\n");
            let mut server = NatsServer::new(&format!("n{number}"), port::free(), &cluster);
            server.start();
            server
        })
    }

    #[track_caller]
    fn new(name: &str, port: u16, more: &str) -> NatsServer {
        let dir = TempDir::with_prefix("attestry-nats-").expect("a temporary folder can be made");
        let mut text = format!("server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n");
        let store = dir.path().display();
        writeln!(text, "max_payload: {NATS_MAX_PAYLOAD}\njetstream {{ store_dir: \"{store}\" }}\n{more}")
            .expect("a String takes everything");
        let config = dir.path().join("nats.conf");
        std::fs::write(&config, text).expect("the configuration can be written");
        NatsServer { name: name.to_owned(), dir, config, port, running: None }
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = Command::new("/usr/sbin/nats-server");
        command.arg("-c").arg(&self.config).current_dir(self.dir.path());
        let mut running = Running::start(&mut command, &self.dir.path().join("server"));
        port::wait_for_listener("nats-server", self.port, &mut running);
        self.running = Some(running);
    }

    /// Kills it as a power cut would.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().expect("the server runs");
        running.signal(Signal::KILL);
    }
}
