//! RabbitMQ (Debian: `rabbitmq-server`).

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port;
use crate::run::Running;

/// A RabbitMQ node of its own name, with its own port mapper, in a folder of its own; user `guest` with password `guest`.
#[derive(Debug)]
pub struct RabbitMq {
    dir: TempDir,
    port: u16,
    dist_port: u16,
    mapper_port: u16,
    // Before the mapper, so that it is ended first.
    running: Option<Running>,
    _mapper: Running,
}

impl RabbitMq {
    /// A node that does not run yet.
    #[track_caller]
    pub fn new() -> RabbitMq {
        let dir = TempDir::with_prefix("attestry-rabbitmq-").expect("a temporary folder can be made");
        let (port, dist_port, mapper_port) = (port::free(), port::free(), port::free());
        let config = format!(
            "listeners.tcp.local = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\nlog.console.level = warning\n"
        );
        for (file, text) in [("rabbitmq.conf", config.as_str()), ("plugins", "[].\n")] {
            std::fs::write(dir.path().join(file), text).expect("the configuration can be written");
        }
        // Erlang would start one that outlives the node.
        let mut mapper = Command::new("epmd");
        mapper.args(["-port", &mapper_port.to_string(), "-address", "127.0.0.1"]);
        let mut mapper = Running::start(&mut mapper, &dir.path().join("epmd"));
        port::wait_for_listener("epmd", mapper_port, &mut mapper);
        RabbitMq { dir, port, dist_port, mapper_port, running: None, _mapper: mapper }
    }

    /// Its address, with user and password.
    pub fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.port)
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        let path = self.dir.path();
        // What Debian's own command wraps: that one would become another user.
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .current_dir(path)
            .env("HOME", path)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            // Without it a shell stays between, and a signal would reach that one only.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1 +sbwt none",
            )
            .env("RABBITMQ_NODENAME", format!("attestry{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", path.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_CONFIG_FILE", path.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("plugins"))
            .env("RABBITMQ_PID_FILE", path.join("pid"));
        let mut running = Running::start(&mut command, &path.join("server"));
        port::wait_for_listener("rabbitmq-server", self.port, &mut running);
        self.running = Some(running);
    }

    /// Kills it as a power cut would.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().expect("the node runs");
        running.signal(Signal::KILL);
    }
}

impl Default for RabbitMq {
    fn default() -> RabbitMq {
        RabbitMq::new()
    }
}
