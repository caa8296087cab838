//! A server that speaks as Amazon's do (PyPI: `moto[server]`; `scripts/test-deps` puts it where it is looked for).

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
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
        self.ask("CreateQueue", &format!(r#"{{"QueueName": "{name}"{fifo}}}"#));
        self.queue_url(name)
    }

    /// The URL of a queue of SQS.
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/123456789012/{name}", self.url())
    }

    /// Puts a message into a queue of SQS.
    #[track_caller]
    pub fn put(&self, queue: &str, body: &str) {
        let request = json!({"QueueUrl": self.queue_url(queue), "MessageBody": body});
        self.ask("SendMessage", &request.to_string());
    }

    /// Takes a message out of a queue of SQS; none when none is there that nobody else has.
    #[track_caller]
    pub fn take(&self, queue: &str) -> Option<String> {
        let url = self.queue_url(queue);
        let found =
            self.ask("ReceiveMessage", &json!({"QueueUrl": url, "MaxNumberOfMessages": 1}).to_string());
        let message = found["Messages"].get(0)?;
        let receipt = &message["ReceiptHandle"];
        self.ask("DeleteMessage", &json!({"QueueUrl": url, "ReceiptHandle": receipt}).to_string());
        message["Body"].as_str().map(str::to_owned)
    }

    /// How many messages are in a queue of SQS, those that somebody has and did not delete among them.
    #[track_caller]
    pub fn waiting(&self, queue: &str) -> u64 {
        let request = json!({"QueueUrl": self.queue_url(queue), "AttributeNames": ["All"]});
        let found = self.ask("GetQueueAttributes", &request.to_string());
        let count =
            |name: &str| found["Attributes"][name].as_str().and_then(|count| count.parse::<u64>().ok());
        ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            .map(|name| count(name).unwrap_or_else(|| panic!("no {name} in {found}")))
            .into_iter()
            .sum()
    }

    #[track_caller]
    fn ask(&self, action: &str, request: &str) -> Value {
        let answer = ureq::post(&self.url())
            .header("x-amz-target", &format!("AmazonSQS.{action}"))
            // Which service is meant is told by nothing else than this; the signature is not looked at.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/sqs/aws4_request, Signature=a",
            )
            .content_type("application/x-amz-json-1.0")
            .send(request);
        let answer = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        let text = answer.unwrap_or_else(|error| panic!("{action} {request:.200}: {error}"));
        // Some answers are empty.
        serde_json::from_str(&text).unwrap_or_default()
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
