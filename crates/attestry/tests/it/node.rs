//! A node without ledgers beside a scenario's server: its data directory, its configuration, and the program on it.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
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
    config: PathBuf,
    running: Option<Running>,
    runs: Cell<u32>,
}

impl Node {
    /// A node in a folder of its own, with what its configuration says beyond its receiver of lines.
    pub(crate) fn new(scenario: &Scenario, name: &str, config: &str) -> Node {
        let dir = scenario.dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("node.yaml");
        let socket = dir.join("app.sock");
        let text = format!(
            "data_dir: {}\nreceivers:\n  app:\n    ndjson: {{listen: \"unix://{}\"}}\n{config}",
            dir.join("data").display(),
            socket.display()
        );
        std::fs::write(&path, text).unwrap();
        Node { config: path, dir, running: None, runs: Cell::new(0) }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
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
        let number = self.runs.get() + 1;
        self.runs.set(number);
        let stem = self.dir.join(format!("command-{number}"));
        Running::start(&mut self.command(scenario, arguments), &stem).finish()
    }

    #[track_caller]
    pub(crate) fn start(&mut self, scenario: &Scenario) {
        let number = self.runs.get() + 1;
        self.runs.set(number);
        let stem = self.dir.join(format!("run-{number}"));
        let mut running = Running::start(&mut self.command(scenario, &["run"]), &stem);
        wait_for("the node is ready", PATIENCE, || {
            if let Some(status) = running.ended() {
                panic!("the node ended with {status}: {}", running.err());
            }
            running.out().contains("Attestry sends the events").then_some(())
        });
        self.running = Some(running);
    }

    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let running = self.running.take().expect("the node runs");
        running.signal(Signal::KILL);
        running.finish_within(PATIENCE);
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

    /// Sends lines and gives the answer: what was kept, or nothing when the node went away before it said so.
    pub(crate) fn send(&self, lines: &[String]) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir.join("app.sock")).ok()?;
        for line in lines {
            stream.write_all(line.as_bytes()).ok()?;
            stream.write_all(b"\n").ok()?;
        }
        stream.shutdown(Shutdown::Write).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }

    /// How the node's only sink is doing, as `spool list` tells it.
    #[track_caller]
    pub(crate) fn sink(&self, scenario: &Scenario) -> serde_json::Value {
        let told = self.attestry(scenario, &["spool", "list", "--json"]).is(0).out;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["sinks"][0].clone()
    }
}
