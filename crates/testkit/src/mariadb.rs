//! MariaDB (Debian: `mariadb-server-core`, `mariadb-client-core`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::authority::{Authority, Issued};
use crate::port;
use crate::run::{Running, run};
use crate::wait_for;

/// A MariaDB server with a database `test` and a user `test` without a password, in a folder of its own.
#[derive(Debug)]
pub struct MariaDb {
    dir: TempDir,
    port: u16,
    /// Further options of the server.
    options: Vec<String>,
    running: Option<Running>,
}

impl MariaDb {
    /// A server that runs.
    #[track_caller]
    pub fn started() -> MariaDb {
        MariaDb::started_with(Vec::new())
    }

    /// A server that runs, with a certificate of this authority, and lets nobody in who does not come by TLS.
    #[track_caller]
    pub fn started_with_tls(authority: &Authority) -> MariaDb {
        let Issued { cert, key } = authority.server();
        let files = [("ca", authority.ca()), ("cert", cert), ("key", key)];
        let mut options: Vec<String> =
            files.iter().map(|(what, file)| format!("--ssl-{what}={}", file.display())).collect();
        options.push("--require-secure-transport=ON".to_owned());
        MariaDb::started_with(options)
    }

    /// A server that runs and writes a binary log, as watching it needs. `options` go after that.
    #[track_caller]
    pub fn started_with_log(options: &[&str]) -> MariaDb {
        let needed = [
            "--log-bin=mariadb-bin",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--binlog-row-metadata=FULL",
            "--server-id=1",
            "--sync-binlog=1",
        ];
        MariaDb::started_with(needed.iter().chain(options).map(|option| (*option).to_owned()).collect())
    }

    #[track_caller]
    fn started_with(options: Vec<String>) -> MariaDb {
        let dir = TempDir::with_prefix("attestry-mariadb-").expect("a temporary folder can be made");
        let mut server = MariaDb { dir, port: port::free(), options, running: None };
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", server.file("data").display()));
        // Its temporary tables are named alike in all of them.
        install.arg(server.tmpdir());
        run(server.as_root(&mut install), &server.file("install"), b"").is(0);
        server.start();
        server.sql(
            "",
            "CREATE DATABASE test; CREATE USER test@'127.0.0.1'; GRANT ALL ON test.* TO test@'127.0.0.1'",
        );
        server
    }

    /// Its address, with the database and the user.
    pub fn url(&self) -> String {
        format!("mysql://test@127.0.0.1:{}/test", self.port)
    }

    /// Its address for another user.
    pub fn url_for(&self, user: &str) -> String {
        format!("mysql://{user}@127.0.0.1:{}/test", self.port)
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        let mut server = Command::new("/usr/sbin/mariadbd");
        server.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2"]);
        for (option, value) in [
            ("datadir", self.file("data").display().to_string()),
            ("socket", self.file("socket").display().to_string()),
            ("pid-file", self.file("pid").display().to_string()),
            ("port", self.port.to_string()),
            ("lc-messages-dir", "/usr/share/mysql".to_owned()),
        ] {
            server.arg(format!("--{option}={value}"));
        }
        server.args(&self.options).arg(self.tmpdir());
        let mut running = Running::start(self.as_root(&mut server), &self.file("server"));
        wait_for("MariaDB answers", Duration::from_secs(120), || {
            if let Some(status) = running.ended() {
                panic!("MariaDB ended with {status}: {}", running.err());
            }
            let mut ping = Command::new("mariadb");
            ping.args(["--no-defaults", "-u", "root", "-e", "SELECT 1"]).arg(self.socket());
            ping.output().is_ok_and(|output| output.status.success()).then_some(())
        });
        self.running = Some(running);
    }

    /// Its process number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// Kills it where it stands.
    #[track_caller]
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::KILL);
            running.finish_within(Duration::from_secs(60));
        }
    }

    /// Runs statements in the database `test`, and gives what they say: a line a row, tabs between the columns.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.sql("test", sql)
    }

    #[track_caller]
    fn sql(&self, database: &str, sql: &str) -> String {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "-u", "root", "--batch", "--skip-column-names", "--raw"]);
        client.args(["--default-character-set=utf8mb4", "--comments"]).arg(self.socket());
        if !database.is_empty() {
            client.arg(database);
        }
        run(&mut client, &self.file("client"), sql.as_bytes()).is(0).out.trim_end().to_owned()
    }

    /// The server's own program that follows its log from here on, into files.
    #[track_caller]
    pub fn follower(&self) -> Command {
        let here = self.query("SHOW MASTER STATUS");
        let mut here = here.split('\t');
        let (file, position) = (here.next().unwrap_or_default(), here.next().unwrap_or_default());
        let mut follower = Command::new("mariadb-binlog");
        follower.args([
            "--no-defaults",
            "--read-from-remote-server",
            "--stop-never",
            "--raw",
            "-h",
            "127.0.0.1",
            "-u",
            "test",
        ]);
        follower.arg(format!("--port={}", self.port)).arg(format!("--start-position={position}"));
        follower.arg(format!("--result-file={}/", self.dir.path().display())).arg(file);
        follower
    }

    fn tmpdir(&self) -> String {
        format!("--tmpdir={}", self.dir.path().display())
    }

    fn socket(&self) -> String {
        format!("--socket={}", self.file("socket").display())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As root it wants to be told that this is meant.
    fn as_root<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if geteuid().is_root() { command.arg("--user=root") } else { command }
    }
}
