//! RabbitMQ (Debian: `rabbitmq-server`).

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::amqp::Amqp;
use crate::authority::{Authority, Issued};
use crate::port;
use crate::run::Running;

/// A RabbitMQ node of its own name, with its own port mapper, in a folder of its own; user `guest` with password `guest`.
#[derive(Debug)]
pub struct RabbitMq {
    dir: TempDir,
    scheme: &'static str,
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
        let port = port::free();
        RabbitMq::made("amqp", port, &format!("listeners.tcp.local = 127.0.0.1:{port}\n"))
    }

    /// A node that does not run yet, speaks TLS with a certificate of this authority, and lets in only clients that have one, too. The user is
    /// `keeper`, the password `swordfish`.
    #[track_caller]
    pub fn with_tls(authority: &Authority) -> RabbitMq {
        let port = port::free();
        let Issued { cert, key } = authority.server();
        let config = format!(
            "listeners.tcp = none\nlisteners.ssl.local = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             default_user = keeper\ndefault_pass = swordfish\n",
            authority.ca().display(),
            cert.display(),
            key.display()
        );
        RabbitMq::made("amqps", port, &config)
    }

    #[track_caller]
    fn made(scheme: &'static str, port: u16, listeners: &str) -> RabbitMq {
        let dir = TempDir::with_prefix("attestry-rabbitmq-").expect("a temporary folder can be made");
        let (dist_port, mapper_port) = (port::free(), port::free());
        let config =
            format!("{listeners}log.console = true\nlog.file = false\nlog.console.level = warning\n");
        for (file, text) in [("rabbitmq.conf", config.as_str()), ("plugins", "[].\n")] {
            std::fs::write(dir.path().join(file), text).expect("the configuration can be written");
        }
        // Erlang would start one that outlives the node.
        let mut mapper = Command::new("epmd");
        mapper.args(["-port", &mapper_port.to_string(), "-address", "127.0.0.1"]);
        let mut mapper = Running::start(&mut mapper, &dir.path().join("epmd"));
        port::wait_for_listener("epmd", mapper_port, &mut mapper);
        RabbitMq { dir, scheme, port, dist_port, mapper_port, running: None, _mapper: mapper }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
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

    /// Puts a message into a durable classic queue, which is made when it is missing.
    #[track_caller]
    pub fn put(&self, queue: &str, body: &[u8]) {
        let mut client = Amqp::connect(self.port);
        client.declare(queue);
        client.publish(queue, body);
    }

    /// Takes the first message out of a queue; none when none is there that nobody else has.
    #[track_caller]
    pub fn take(&self, queue: &str) -> Option<Vec<u8>> {
        let mut client = Amqp::connect(self.port);
        client.declare(queue);
        client.get(queue)
    }

    /// How many messages wait in a durable classic queue that nobody has at present.
    #[track_caller]
    pub fn waiting(&self, queue: &str) -> u64 {
        Amqp::connect(self.port).declare(queue)
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
