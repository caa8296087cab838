//! A server that speaks as Amazon's do (PyPI: `moto[server]`; `scripts/test-deps` puts it where it is looked for).

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port;
use crate::run::Running;

/// A moto server. It keeps everything in memory: what was in its queues is gone when it is killed.
#[derive(Debug)]
pub struct Moto {
    dir: TempDir,
    port: u16,
    running: Option<Running>,
}

impl Moto {
    /// A server that does not run yet.
    #[track_caller]
    pub fn new() -> Moto {
        let dir = TempDir::with_prefix("attestry-moto-").expect("a temporary folder can be made");
        Moto { dir, port: port::free(), running: None }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a queue of SQS, and returns its URL. The name of a FIFO queue ends with `.fifo`.
    #[track_caller]
    pub fn create_queue(&self, name: &str) -> String {
        let fifo = if name.ends_with(".fifo") { r#", "Attributes": {"FifoQueue": "true"}"# } else { "" };
        ureq::post(&self.url())
            .header("x-amz-target", "AmazonSQS.CreateQueue")
            // Which service is meant is told by nothing else than this; the signature is not looked at.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/sqs/aws4_request, Signature=a",
            )
            .content_type("application/x-amz-json-1.0")
            .send(format!(r#"{{"QueueName": "{name}"{fifo}}}"#))
            .unwrap_or_else(|error| panic!("the queue {name}: {error}"));
        format!("{}/123456789012/{name}", self.url())
    }

    /// Starts it, empty.
    #[track_caller]
    pub fn start(&mut self) {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let mut command = Command::new(home.join(".cache/attestry-moto/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &self.port.to_string()]).current_dir(self.dir.path());
        let mut running = Running::start(&mut command, &self.dir.path().join("server"));
        port::wait_for_listener("moto_server", self.port, &mut running);
        self.running = Some(running);
    }

    /// Kills it.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().expect("the server runs");
        running.signal(Signal::KILL);
    }
}

impl Default for Moto {
    fn default() -> Moto {
        Moto::new()
    }
}
