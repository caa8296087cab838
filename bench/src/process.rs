//! A process that is measured: its time and memory, as the kernel counts them.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};

/// A process that ends with this.
pub(crate) struct Process(Child);

/// Sources of this host, which would add events that nobody counted.
const SOURCES: [&str; 9] =
    ["PACKAGES", "LOGINS", "AUTH", "HOST", "USERS", "FILES", "SERVICES", "DOCKER", "CONTAINER_LOGS"];

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Process> {
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Process(child))
    }

    /// CPU time of the process so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
        let ticks = |nth: usize| fields.get(nth).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
        // Linux counts in hundredths of a second (sysconf(_SC_CLK_TCK) is 100 on every architecture we build for).
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    /// Waits until the process has nothing left to do; gives its CPU time.
    pub(crate) fn settled(&self) -> Result<Duration> {
        let mut before = self.cpu()?;
        loop {
            std::thread::sleep(Duration::from_millis(700));
            let now = self.cpu()?;
            if now - before < Duration::from_millis(30) {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Greatest resident memory so far and resident memory now, in bytes.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().nth(0)?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Ok((of("VmHWM:"), of("RssAnon:")))
    }

    /// Resident memory now, in bytes: with the pages of files that are mapped, its own program among them.
    pub(crate) fn resident(&self) -> Result<u64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id()))?;
        let pages: u64 = statm.split(' ').nth(1).context("no statm")?.parse()?;
        // As everywhere we build for, unless a kernel was built for larger pages.
        Ok(pages * 4096)
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

/// CPU time so far of a process that divides its work among children, of those that have ended, too.
pub(crate) fn cpu_with_children(pid: u32) -> Result<Duration> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let own = entry.file_name().to_string_lossy() == pid.to_string();
        let of = |nth: usize| fields.get(nth).copied().unwrap_or(0);
        if own {
            ticks += of(13) + of(14);
        }
        if own || of(1) == u64::from(pid) {
            ticks += of(11) + of(12);
        }
    }
    Ok(Duration::from_millis(ticks * 10))
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Switches the host's own sources off in a command that runs Attestry, and most of its log.
pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    for source in SOURCES {
        command.env(format!("ATTESTRY_SOURCES_{source}_ENABLED"), "false");
    }
    command.env("ATTESTRY_LOG_LEVEL", "error")
}
