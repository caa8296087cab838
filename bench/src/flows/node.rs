//! An Attestry with a configuration file, and its door for the command line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http::Connection;
use crate::process::{Process, quiet};

/// The longest that a start may take.
const READY: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    binary: PathBuf,
    dir: tempfile::TempDir,
    process: Option<Process>,
}

impl Node {
    /// With this configuration, in which `DIR` stands for the node's folder. It does not run yet.
    pub(crate) fn new(binary: &Path, config: &str) -> Result<Node> {
        let node = Node { binary: binary.to_owned(), dir: tempfile::tempdir()?, process: None };
        node.configure(config)?;
        Ok(node)
    }

    /// As [`new`](Self::new), a server that runs.
    pub(crate) fn server(binary: &Path, port: u16, config: &str) -> Result<Node> {
        let mut node = Node::new(binary, &server(port, config))?;
        node.start()?;
        crate::server::wait(&authority(port))?;
        Ok(node)
    }

    pub(crate) fn configure(&self, config: &str) -> Result<()> {
        let dir = self.dir.path().display().to_string();
        let text = format!("data_dir: DIR/data\n{config}").replace("DIR", &dir);
        Ok(std::fs::write(self.config(), text)?)
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("attestry.yaml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.start_as(quiet)
    }

    /// With the sources of this host, as they run by default.
    pub(crate) fn start_with_sources(&mut self) -> Result<()> {
        self.start_as(|command| command.env("ATTESTRY_LOG_LEVEL", "error"))
    }

    fn start_as(&mut self, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("-c").arg(self.config()).current_dir(self.dir.path()).stdout(Stdio::null());
        let process = self.process.insert(Process::start(prepare(&mut command))?);
        let begin = Instant::now();
        let socket = self.dir.path().join("data/control.sock");
        while UnixStream::connect(&socket).is_err() {
            if process.has_ended()? {
                bail!(
                    "it ended at its start, with this configuration:\n{}",
                    std::fs::read_to_string(self.dir.path().join("attestry.yaml"))?
                );
            }
            if begin.elapsed() > READY {
                bail!("it did not start within {} s", READY.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("it does not run")
    }

    /// Runs a command of the product on this node; gives its standard output.
    pub(crate) fn attestry(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("-c").arg(self.config()).current_dir(self.dir.path());
        let output = quiet(&mut command).output()?;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn ask(&self, request: &str) -> Result<Value> {
        let mut stream = UnixStream::connect(self.path("data/control.sock"))?;
        writeln!(stream, "{{\"do\":\"{request}\"}}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("no answer")?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{error}");
        }
        Ok(answer)
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) -> Result<()> {
        self.ask("reload").map(drop)
    }

    /// A number of its first receiver or sink: `receivers` and `kept`, `sinks` and `delivered`.
    pub(crate) fn number(&self, of: &str, name: &str) -> Result<u64> {
        let status = self.ask("status")?;
        status[of][0][name].as_u64().with_context(|| format!("there is no {name} of {of} in {status}"))
    }

    /// Asks the server over HTTP, with the key of whoever owns the data directory.
    pub(crate) fn get(&self, port: u16, path: &str) -> Result<Value> {
        let key = std::fs::read_to_string(self.path("data/local-key"))?;
        let mut connection = Connection::open(&authority(port))?;
        let (status, body) = connection.get(&format!("/api/v1/{path}"), key.trim())?;
        if status != 200 {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(serde_json::from_slice(body)?)
    }
}

/// What makes a configuration that of a server.
pub(crate) fn server(port: u16, more: &str) -> String {
    format!("server: {{listen: \"{}\"}}\n{more}", authority(port))
}

pub(crate) fn authority(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
