//! The server that is measured: a process of its own, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub(crate) struct Server {
    binary: PathBuf,
    dir: tempfile::TempDir,
    child: Child,
    pub(crate) authority: String,
}

impl Server {
    pub(crate) fn start(binary: &Path, port: u16) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let authority = format!("127.0.0.1:{port}");
        let child = spawn(binary, dir.path(), &authority)?;
        let server = Server { binary: binary.to_owned(), dir, child, authority };
        server.wait()?;
        Ok(server)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Ok(mut connection) = crate::http::Connection::open(&self.authority)
                && connection.get("/readyz", "").is_ok_and(|(status, _)| status == 200)
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the server did not become ready")
    }

    /// Stops it hard and starts it again; gives the time until it was ready.
    pub(crate) fn restart(&mut self) -> Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        let begin = Instant::now();
        self.child = spawn(&self.binary, self.dir.path(), &self.authority)?;
        self.wait()?;
        Ok(begin.elapsed())
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

    /// CPU time of the process so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
        let ticks = |nth: usize| fields.get(nth).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
        // Linux counts in hundredths of a second (sysconf(_SC_CLK_TCK) is 100 on every architecture we build for).
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    /// Greatest resident memory so far and resident memory now, in bytes.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().nth(0)?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Ok((of("VmHWM:"), of("RssAnon:")))
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

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without the host's own sources, which would add events nobody counted.
fn spawn(binary: &Path, dir: &Path, authority: &str) -> Result<Child> {
    let mut command = Command::new(binary);
    command.args(["run", "--listen", authority, "--data-dir"]).arg(dir.join("data")).current_dir(dir);
    for source in ["PACKAGES", "LOGINS", "AUTH", "HOST"] {
        command.env(format!("ATTESTRY_SOURCES_{source}_ENABLED"), "false");
    }
    command.env("ATTESTRY_LOG_LEVEL", "warn").stdout(Stdio::null());
    command.spawn().with_context(|| format!("cannot start {}", binary.display()))
}
