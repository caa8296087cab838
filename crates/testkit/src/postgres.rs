//! PostgreSQL (Debian: `postgresql`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::authority::{Authority, Issued};
use crate::port;
use crate::run::{Running, run};

/// A PostgreSQL server with a database `test` and a user `test` without a password, in a folder of its own.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    programs: PathBuf,
    port: u16,
    /// Further settings of the server.
    settings: Vec<String>,
    running: Option<Running>,
}

/// Who may come over TLS, and with what (`pg_hba.conf`).
const TLS_RULES: &str = "host all test 127.0.0.1/32 trust
hostssl all known 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
";

impl Postgres {
    /// A server that runs.
    #[track_caller]
    pub fn started() -> Postgres {
        let mut server = Postgres::made();
        server.start();
        server.sql("template1", "CREATE DATABASE test");
        server
    }

    /// A server that runs with these settings (`name=value`) and writes a log that can be decoded.
    #[track_caller]
    pub fn started_logical(settings: &[&str]) -> Postgres {
        let mut server = Postgres::made();
        server.settings = ["wal_level=logical", "max_slot_wal_keep_size=4GB"].map(str::to_owned).to_vec();
        server.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        server.start();
        server.sql("template1", "CREATE DATABASE test");
        server
    }

    /// A server that runs, with a certificate of this authority. Besides `test`, who is let in as ever, only those are let in who come by
    /// TLS: `known` with a certificate of this authority and that name, others with a password. The roles are the test's to make.
    #[track_caller]
    pub fn started_with_tls(authority: &Authority) -> Postgres {
        let mut server = Postgres::made();
        let Issued { cert, key } = authority.server();
        let mut settings = vec!["ssl=on".to_owned()];
        for (setting, from) in
            [("ssl_ca_file", authority.ca()), ("ssl_cert_file", cert), ("ssl_key_file", key)]
        {
            let own = server.file(setting);
            // It takes a key only from its own user, and from nobody who shares it.
            let mut copy = server.command("/bin/sh");
            copy.arg("-c").arg(format!("umask 077; cat > {}", own.display()));
            let pem = std::fs::read(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
            run(&mut copy, &server.file("copy"), &pem).is(0);
            settings.push(format!("{setting}={}", own.display()));
        }
        server.settings = settings;
        std::fs::write(server.file("data/pg_hba.conf"), TLS_RULES).expect("the rules can be written");
        server.start();
        server.sql("template1", "CREATE DATABASE test");
        server
    }

    #[track_caller]
    fn made() -> Postgres {
        let dir = TempDir::with_prefix("attestry-postgres-").expect("a temporary folder can be made");
        let server =
            Postgres { programs: programs(), port: port::free(), dir, settings: Vec::new(), running: None };
        if geteuid().is_root() {
            let mut chown = Command::new("chown");
            run(chown.arg("postgres:").arg(server.dir.path()), &server.file("chown"), b"").is(0);
        }
        let mut initdb = server.command("initdb");
        initdb.args(["--auth=trust", "--username=test", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        initdb.arg(server.file("data"));
        run(&mut initdb, &server.file("initdb"), b"").is(0);
        server
    }

    /// Its address, with the database and the user.
    pub fn url(&self) -> String {
        self.url_of("test")
    }

    /// Its address for another role, with the database.
    pub fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/test", self.port)
    }

    /// The folder of its data, of which a test may change what it likes while it does not run.
    pub fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        // After a kill its helpers hold on to what they share for a moment; until then it does not start.
        crate::wait_for("PostgreSQL starts", std::time::Duration::from_secs(120), || {
            let mut postgres = self.command("postgres");
            postgres.arg("-D").arg(self.file("data")).arg("-p").arg(self.port.to_string());
            postgres.args(["-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
            postgres.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
            let mut running = Running::start(&mut postgres, &self.file("server"));
            loop {
                if running.ended().is_some() {
                    return None;
                }
                if self.answers() {
                    self.running = Some(running);
                    return Some(());
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
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
            running.finish_within(std::time::Duration::from_secs(60));
        }
    }

    /// Runs statements in the database `test`, and gives what they say: a line a row, `|` between the columns.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.sql("test", sql)
    }

    #[track_caller]
    fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "test",
            "-d",
            database,
        ]);
        psql.arg("-p").arg(self.port.to_string());
        run(&mut psql, &self.file("psql"), sql.as_bytes()).is(0).out.trim_end().to_owned()
    }

    /// The server's own program that follows a publication from here on, into nothing. Its slot lasts as long as it runs and is named so.
    #[track_caller]
    pub fn follower(&self, slot: &str, publication: &str) -> Command {
        self.query(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
        let mut follower = Command::new(self.programs.join("pg_recvlogical"));
        follower.args(["--start", "-f", "/dev/null", "-S", slot, "-d", &self.url()]);
        follower.args(["-o", "proto_version=1", "-o"]).arg(format!("publication_names={publication}"));
        follower
    }

    fn answers(&self) -> bool {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        ready.status().is_ok_and(|status| status.success())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// It does not run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.dir.path());
        command
    }
}

/// Debian keeps the server's programs out of the search path, by version.
#[track_caller]
fn programs() -> PathBuf {
    let root = Path::new("/usr/lib/postgresql");
    let versions =
        std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let runs = |path: &PathBuf| {
        std::fs::metadata(path.join("postgres")).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
    };
    versions.filter(runs).max().expect("PostgreSQL is missing: scripts/test-deps installs it")
}
