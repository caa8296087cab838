//! A node without ledgers beside a scenario's server: its data directory, its configuration, and the program on it.

use std::cell::Cell;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attestry_testkit::{Ran, Running, Scenario, wait_for};
use rustix::process::Signal;

/// How long a node may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    dir: PathBuf,
    data: PathBuf,
    config: PathBuf,
    running: Option<Running>,
    runs: Cell<u32>,
}

impl Node {
    /// A node in a folder of its own, with what its configuration says beyond its receiver of lines.
    pub(crate) fn new(scenario: &Scenario, name: &str, config: &str) -> Node {
        Node::on(&scenario.dir().join(name).join("data"), scenario, name, config)
    }

    /// As [`Node::new`], with its data elsewhere.
    pub(crate) fn on(data: &Path, scenario: &Scenario, name: &str, config: &str) -> Node {
        let dir = scenario.dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("node.yaml");
        let text = format!(
            "data_dir: {}\nreceivers:\n  app:\n    ndjson: {{listen: \"unix://{}\"}}\n{config}",
            data.display(),
            dir.join("app.sock").display()
        );
        std::fs::write(&path, text).unwrap();
        Node { data: data.to_owned(), config: path, dir, running: None, runs: Cell::new(0) }
    }

    /// Makes it an agent of the scenario's server.
    #[track_caller]
    pub(crate) fn enroll(&self, scenario: &Scenario, name: &str) {
        self.enroll_for(scenario, &[name]);
    }

    /// As [`Node::enroll`], with more to say when the token is made.
    #[track_caller]
    pub(crate) fn enroll_for(&self, scenario: &Scenario, arguments: &[&str]) {
        let token = scenario.attestry(&[&["agent", "token"], arguments].concat()).is(0).out.trim().to_owned();
        self.attestry(scenario, &["agent", "enroll", &scenario.url(), &token]).is(0).says("is the agent");
    }

    /// Adds to its configuration, at the end.
    pub(crate) fn configure(&self, more: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap() + more;
        std::fs::write(&self.config, text).unwrap();
    }

    /// What the configuration of an agent says of its server where it says something, with more about that sink.
    pub(crate) fn server_sink(&self, scenario: &Scenario, more: &str) -> String {
        let (url, dir) = (scenario.url(), self.data.display());
        format!(
            "  server:\n    attestry:\n      url: {url}\n      tls: {{ca: {dir}/agent/server.pem, cert: {dir}/agent/cert.pem, key: {dir}/agent/key.pem}}\n{more}"
        )
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// A command of the product on this node.
    pub(crate) fn command(&self, scenario: &Scenario, arguments: &[&str]) -> Command {
        let mut command = scenario.command(arguments);
        command.env_remove("ATTESTRY_DATA_DIR").arg("-c").arg(&self.config);
        command
    }

    /// Runs a command of the product on this node to its end.
    #[track_caller]
    pub(crate) fn attestry(&self, scenario: &Scenario, arguments: &[&str]) -> Ran {
        let stem = self.stem("command");
        Running::start(&mut self.command(scenario, arguments), &stem).finish()
    }

    fn stem(&self, what: &str) -> PathBuf {
        let number = self.runs.get() + 1;
        self.runs.set(number);
        self.dir.join(format!("{what}-{number}"))
    }

    #[track_caller]
    pub(crate) fn start(&mut self, scenario: &Scenario) {
        self.launch(scenario);
        let running = self.running.as_mut().expect("the node was started");
        wait_for("the node is ready", PATIENCE, || {
            if let Some(status) = running.ended() {
                panic!("the node ended with {status}: {}", running.err());
            }
            running.out().contains("Attestry sends the events").then_some(())
        });
    }

    /// Starts it and does not wait for it.
    #[track_caller]
    pub(crate) fn launch(&mut self, scenario: &Scenario) {
        assert!(self.running.is_none(), "the node runs already");
        self.running = Some(Running::start(&mut self.command(scenario, &["run"]), &self.stem("run")));
    }

    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let running = self.running.take().expect("the node runs");
        running.signal(Signal::KILL);
        let ran = running.finish_within(PATIENCE);
        assert_eq!(ran.code, None, "the node had ended by itself: {}", ran.err);
    }

    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let running = self.running.take().expect("the node runs");
        running.signal(Signal::TERM);
        running.finish_within(PATIENCE).is(0);
    }

    #[track_caller]
    pub(crate) fn hang_up(&self) {
        self.running.as_ref().expect("the node runs").signal(Signal::HUP);
    }

    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// What the node that runs wrote to its log.
    #[track_caller]
    pub(crate) fn log(&self) -> String {
        self.running.as_ref().expect("the node runs").err()
    }

    /// Where it takes lines.
    pub(crate) fn door(&self) -> Door {
        Door(self.dir.join("app.sock"))
    }

    /// Sends lines and gives the answer: what was kept, or nothing when the node went away before it said so.
    pub(crate) fn send(&self, lines: &[String]) -> Option<String> {
        self.door().send(lines)
    }

    /// How receivers and sinks are doing, as `spool list` tells it.
    #[track_caller]
    pub(crate) fn status(&self, scenario: &Scenario) -> serde_json::Value {
        let told = self.attestry(scenario, &["spool", "list", "--json"]).is(0).out;
        serde_json::from_str(&told).unwrap()
    }

    /// How the sink `server` is doing, as `spool list` tells it.
    #[track_caller]
    pub(crate) fn sink(&self, scenario: &Scenario) -> serde_json::Value {
        let status = self.status(scenario);
        let sinks = status["sinks"].as_array().unwrap();
        sinks.iter().find(|sink| sink["name"] == "server").unwrap().clone()
    }
}

/// A node's socket for lines, which any thread may use.
#[derive(Clone)]
pub(crate) struct Door(PathBuf);

impl Door {
    /// As [`Node::send`].
    pub(crate) fn send(&self, lines: &[String]) -> Option<String> {
        self.stream(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
    }

    /// Sends what is written, and gives the answer.
    pub(crate) fn stream(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Option<String> {
        let stream = UnixStream::connect(&self.0).ok()?;
        let mut out = BufWriter::with_capacity(64 << 10, &stream);
        write(&mut out).ok()?;
        out.flush().ok()?;
        drop(out);
        stream.shutdown(Shutdown::Write).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }
}
