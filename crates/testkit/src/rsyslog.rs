//! rsyslog with a configuration of its own (Debian: `rsyslog`, `rsyslog-openssl`).

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::run::Running;
use crate::{port, wait_for};

/// How long it may take until it listens, on a machine that builds at the same time.
const START: Duration = Duration::from_secs(60);

/// A rsyslogd that runs in a folder of its own, with a port that is free for UDP and TCP.
#[derive(Debug)]
pub struct Rsyslog {
    running: Running,
    dir: TempDir,
    port: u16,
}

impl Rsyslog {
    /// Starts it with the configuration that `config` makes of its folder and its port, and waits until it listens there.
    #[track_caller]
    pub fn started(config: impl FnOnce(&Path, u16) -> String) -> Rsyslog {
        let dir = TempDir::with_prefix("attestry-rsyslog-").expect("a temporary folder can be made");
        let port = port::free();
        let text = format!(
            "global(workDirectory=\"{}\" maxMessageSize=\"64k\")\n{}\n",
            dir.path().display(),
            config(dir.path(), port)
        );
        let path = dir.path().join("rsyslog.conf");
        std::fs::write(&path, text).expect("the configuration can be written");
        // Debian keeps it where only the administrator's path leads.
        let program =
            ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.unwrap_or("rsyslogd"));
        command.arg("-n").arg("-f").arg(&path).arg("-i").arg(dir.path().join("pid"));
        let mut running = Running::start(&mut command, &dir.path().join("rsyslogd"));
        wait_for("rsyslogd listens", START, || {
            assert!(running.ended().is_none(), "rsyslogd ended: {}{}", running.out(), running.err());
            let taken = UdpSocket::bind(("127.0.0.1", port)).is_err()
                || TcpListener::bind(("127.0.0.1", port)).is_err();
            taken.then_some(())
        });
        Rsyslog { running, dir, port }
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has written to standard error by now.
    #[track_caller]
    pub fn err(&self) -> String {
        self.running.err()
    }

    /// Waits until a file in its folder has as many lines.
    #[track_caller]
    pub fn lines(&self, file: &str, count: usize) -> Vec<String> {
        let path = self.dir.path().join(file);
        let what = format!("{count} lines in {} ({})", path.display(), self.running.err());
        wait_for(&what, START, || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    }
}
