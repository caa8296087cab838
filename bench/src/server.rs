//! The server that is measured: a process of its own, in a folder of its own, without any configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::{Process, quiet};

pub(crate) struct Server {
    binary: PathBuf,
    process: Process,
    dir: tempfile::TempDir,
    pub(crate) authority: String,
}

impl Server {
    pub(crate) fn start(binary: &Path, port: u16) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let authority = format!("127.0.0.1:{port}");
        let process = spawn(binary, dir.path(), &authority)?;
        wait(&authority)?;
        Ok(Server { binary: binary.to_owned(), dir, process, authority })
    }

    /// Stops it hard and starts it again; gives the time until it was ready.
    pub(crate) fn restart(self) -> Result<(Self, Duration)> {
        let Server { binary, dir, process, authority } = self;
        drop(process);
        let begin = Instant::now();
        let process = spawn(&binary, dir.path(), &authority)?;
        wait(&authority)?;
        Ok((Server { binary, dir, process, authority }, begin.elapsed()))
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn key(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.binary)
            .args(["key", "create"])
            .args(arguments)
            .args(["--data-dir".as_ref(), self.data().as_os_str()])
            .output()?;
        if !output.status.success() {
            bail!("no key: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Bytes that a part of the data directory takes on the disk.
    pub(crate) fn disk(&self, part: &str) -> u64 {
        fn of(path: &Path) -> u64 {
            use std::os::unix::fs::MetadataExt;
            let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
            let below = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| of(&entry.path()))
                .sum::<u64>();
            below + if meta.is_dir() { 0 } else { meta.blocks() * 512 }
        }
        of(&self.data().join(part))
    }
}

fn spawn(binary: &Path, dir: &Path, authority: &str) -> Result<Process> {
    let mut command = Command::new(binary);
    command.args(["run", "--listen", authority, "--data-dir"]).arg(dir.join("data")).current_dir(dir);
    Process::start(quiet(&mut command).stdout(Stdio::null()))
}

/// Waits until a server says that it is ready.
pub(crate) fn wait(authority: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Ok(mut connection) = crate::http::Connection::open(authority)
            && connection.get("/readyz", "").is_ok_and(|(status, _)| status == 200)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the server did not become ready")
}
