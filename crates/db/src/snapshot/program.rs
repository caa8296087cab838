//! The database's own program that dumps, as a reader.
//!
//! The password is in neither its arguments nor its environment nor on a disk: it is in a file in memory that only the child holds open, and
//! that the child knows as `/proc/self/fd/N` (an option file of MySQL's programs, libpq's PGPASSFILE).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attestry_wire::sql::ProgramLogin;
use attestry_wire::tls::ClientTls;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal};

use super::{SnapshotConfig, SnapshotError};
use crate::config::{Engine, WatchConfig};

/// The authorities that programs which do not bring their own are told to believe (Debian's `ca-certificates`).
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is kept of the end of its messages, in bytes.
const SAID_BYTES: usize = 2 << 10;

/// How long the program may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(10);

/// What is shown of it, in characters.
const VERSION_CHARS: usize = 200;

/// How soon a stop is seen.
const TICK: Duration = Duration::from_millis(100);

/// What stands in the version of MariaDB's programs, and not in that of Oracle's, which are called alike.
const MARIADB: &str = "MariaDB";

/// The program of an engine, and the command that installs it.
pub(super) fn program(engine: Engine, config: &SnapshotConfig) -> (PathBuf, &'static str) {
    let (names, remedy): (&[&str], _) = match engine {
        Engine::Mysql => {
            (&["mariadb-dump", "mysqldump"], "it is installed by `apt-get install mariadb-client`")
        }
        Engine::Postgres => (&["pg_dump"], "it is installed by `apt-get install postgresql-client`"),
    };
    if let Some(program) = &config.program {
        return (program.clone(), remedy);
    }
    let there = names.iter().find(|name| in_path(name));
    (PathBuf::from(there.or(names.first()).copied().unwrap_or_default()), remedy)
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// What the program says of itself, such as `pg_dump (PostgreSQL) 15.8`. One that says nothing for too long is ended.
pub(super) fn version(program: &Path) -> io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn()?;
    let stdout = child.stdout.take();
    let mut child = Some(child);
    let said = stdout.map(first_line).transpose();
    end(&mut child);
    let line = said?.unwrap_or_default();
    let text = String::from_utf8_lossy(&line);
    Ok(text.chars().filter(|c| !c.is_control()).take(VERSION_CHARS).collect())
}

fn first_line(mut from: ChildStdout) -> io::Result<Vec<u8>> {
    let begun = Instant::now();
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    let (mut line, mut byte) = (Vec::new(), [0]);
    while begun.elapsed() < VERSION_TIME && line.len() < SAID_BYTES {
        if !matches!(poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&tick)), Ok(ready) if ready > 0) {
            continue;
        }
        if from.read(&mut byte)? == 0 || byte == *b"\n" {
            break;
        }
        line.extend_from_slice(&byte);
    }
    Ok(line)
}

/// A dump as it is made. What it gives is a whole dump only when it ends without an error.
pub(super) struct Dumping {
    child: Option<Child>,
    stdout: ChildStdout,
    said: Option<JoinHandle<String>>,
    name: String,
    idle_max: Duration,
    stop: Arc<AtomicBool>,
    /// Why it failed, for whoever only sees that reading did.
    failure: Arc<Mutex<Option<SnapshotError>>>,
}

impl Dumping {
    /// Starts it.
    pub(super) fn start(
        watch: &WatchConfig,
        config: &SnapshotConfig,
        stop: &Arc<AtomicBool>,
        failure: &Arc<Mutex<Option<SnapshotError>>>,
    ) -> Result<Dumping, SnapshotError> {
        let engine = watch.engine().ok_or_else(|| SnapshotError::Dump("no database is known".to_owned()))?;
        let (program, remedy) = program(engine, config);
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let secrets =
            |source: io::Error| SnapshotError::Dump(format!("{name} cannot be told the password: {source}"));
        let refused = |error: &dyn std::fmt::Display| SnapshotError::Dump(error.to_string());
        let mut command = Command::new(&program);
        let secret = match engine {
            Engine::Mysql => {
                let login = watch.login().mysql().map_err(|error| refused(&error))?;
                let login = login.for_program().map_err(|error| refused(&error))?;
                let said = version(&program).map_err(|source| SnapshotError::Program {
                    program: program.clone(),
                    remedy,
                    source,
                })?;
                let held = held(&option_file(&login, said.contains(MARIADB))?).map_err(secrets)?;
                // This one only, and before all others: not what a file in a home folder says.
                command.arg(format!("--defaults-file=/proc/self/fd/{}", held.as_raw_fd()));
                let dump =
                    ["--single-transaction", "--quick", "--skip-lock-tables", "--hex-blob", "--routines"];
                command.args(dump).args(&config.arguments).arg("--").arg(&login.database);
                held
            }
            Engine::Postgres => {
                let login = watch.login().postgres().map_err(|error| refused(&error))?;
                let login = login.for_program().map_err(|error| refused(&error))?;
                let held = held(&password_file(&login)).map_err(secrets)?;
                // What the environment says of other databases is not meant.
                for (name, _) in std::env::vars_os() {
                    if name.to_string_lossy().starts_with("PG") {
                        command.env_remove(name);
                    }
                }
                command
                    .envs(environment(&login)?)
                    .env("PGPASSFILE", format!("/proc/self/fd/{}", held.as_raw_fd()));
                command.env("PGCONNECT_TIMEOUT", watch.timeout.0.as_secs().max(2).to_string());
                let schema = watch.schema.as_deref().unwrap_or("public").replace('"', "\"\"");
                command.args(["--no-password", "--format=plain", "--encoding=UTF8"]);
                command.arg(format!("--schema=\"{schema}\"")).args(&config.arguments);
                held
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.env("LC_ALL", "C.UTF-8");
        let parent = getpid();
        let prepare = move || {
            fcntl_setfd(&secret, FdFlags::empty())?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only: it allocates nothing, takes no lock and touches no thread's state.
        unsafe { command.pre_exec(prepare) };
        let mut child = command.spawn().map_err(|source| SnapshotError::Program {
            program: program.clone(),
            remedy,
            source,
        })?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let mut dumping_child = Some(child);
        let Some((stdout, stderr)) = pipes else {
            end(&mut dumping_child);
            return Err(SnapshotError::Dump(format!("{name} has no output")));
        };
        let said = std::thread::spawn(move || said(stderr));
        Ok(Dumping {
            child: dumping_child,
            stdout,
            said: Some(said),
            name,
            idle_max: config.timeout.0,
            stop: Arc::clone(stop),
            failure: Arc::clone(failure),
        })
    }

    fn fail(&mut self, error: SnapshotError) -> io::Error {
        end(&mut self.child);
        let told = io::Error::other(error.to_string());
        *self.failure.lock() = Some(error);
        told
    }

    /// Whether it ended well.
    fn ended(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = child.wait()?;
        let said = self.said.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let why = if said.is_empty() { status.to_string() } else { said };
        let why = format!("{} failed: {why}", self.name);
        Err(self.fail(SnapshotError::Dump(why)))
    }
}

impl Read for Dumping {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(self.fail(SnapshotError::Stopped));
            }
            if matches!(poll(&mut [PollFd::new(&self.stdout, PollFlags::IN)], Some(&tick)), Ok(ready) if ready > 0)
            {
                break;
            }
            if begun.elapsed() >= self.idle_max {
                let why = format!("{} gave nothing for {} s", self.name, self.idle_max.as_secs());
                return Err(self.fail(SnapshotError::Dump(why)));
            }
        }
        let read = self.stdout.read(into)?;
        if read == 0 && !into.is_empty() {
            self.ended()?;
        }
        Ok(read)
    }
}

impl Drop for Dumping {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Option<Child>) {
    let Some(mut child) = child.take() else { return };
    // Gone is what it should be. It is waited for afterwards: until then its number belongs to nobody else.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.wait();
}

/// The end of what it says, on one line. It says what it cannot do, and quotes no rows.
fn said(mut from: impl Read) -> String {
    let (mut end, mut piece) = (Vec::new(), [0; 1_024]);
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 {
            break;
        }
        end.extend_from_slice(piece.get(..read).unwrap_or_default());
        let over = end.len().saturating_sub(SAID_BYTES);
        end.drain(..over);
    }
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|c| !c.is_control()).collect()
}

/// A file in memory that only its holder can read.
fn held(text: &str) -> io::Result<OwnedFd> {
    let fd = memfd_create("attestry", MemfdFlags::CLOEXEC)?;
    // libpq ignores a password file that others might read.
    fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(fd);
    file.write_all(text.as_bytes())?;
    Ok(file.into())
}

/// An option file of MySQL's or MariaDB's programs. Each has options for TLS that the other takes for a mistake.
fn option_file(login: &ProgramLogin, mariadb: bool) -> Result<String, SnapshotError> {
    let mut text = "[client]\nprotocol=tcp\ndefault-character-set=utf8mb4\n".to_owned();
    let mut say = |name: &str, value: &str| {
        let mut quoted = String::new();
        for c in value.chars() {
            match c {
                '\\' => quoted.push_str(r"\\"),
                '"' => quoted.push_str("\\\""),
                '\n' => quoted.push_str(r"\n"),
                '\r' => quoted.push_str(r"\r"),
                '\t' => quoted.push_str(r"\t"),
                c => quoted.push(c),
            }
        }
        text.push_str(&format!("{name}=\"{quoted}\"\n"));
    };
    say("host", &login.hosts);
    say("port", &login.ports);
    say("user", &login.user);
    say("password", login.password.as_deref().unwrap_or_default());
    if let Some(tls) = &login.tls {
        if tls.server_name.is_some() {
            let what = "tls.server_name cannot be told to MySQL's own programs: give the database by that name in `url`";
            return Err(SnapshotError::Dump(what.to_owned()));
        }
        say("ssl-ca", &authorities(tls));
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            say("ssl-cert", &cert.display().to_string());
            say("ssl-key", &key.display().to_string());
        }
    }
    text.push_str(match (mariadb, login.tls.is_some()) {
        (true, true) => "ssl-verify-server-cert\n",
        // From 11.4 on it would verify a certificate that nobody has spoken of.
        (true, false) => "skip-ssl\n",
        (false, true) => "ssl-mode=VERIFY_IDENTITY\n",
        // Without TLS a password goes encrypted to the server's key, which older clients do not ask for and need not know.
        (false, false) => "ssl-mode=DISABLED\nloose-get-server-public-key\n",
    });
    Ok(text)
}

fn authorities(tls: &ClientTls) -> String {
    tls.ca.as_ref().map_or_else(|| SYSTEM_AUTHORITIES.to_owned(), |ca| ca.display().to_string())
}

/// A password file of PostgreSQL's programs: for whatever they connect to.
fn password_file(login: &ProgramLogin) -> String {
    let password = login.password.as_deref().unwrap_or_default();
    format!("*:*:*:*:{}\n", password.replace('\\', r"\\").replace(':', r"\:"))
}

/// What libpq reads from the environment.
fn environment(login: &ProgramLogin) -> Result<Vec<(&'static str, OsString)>, SnapshotError> {
    let mut all: Vec<(&'static str, OsString)> = vec![
        ("PGPORT", login.ports.clone().into()),
        ("PGAPPNAME", "attestry".into()),
        // Not the database's: a snapshot of the same rows is the same.
        ("PGTZ", "UTC".into()),
        ("PGSSLMODE", if login.tls.is_some() { "verify-full" } else { "disable" }.into()),
    ];
    let name = login.tls.as_ref().and_then(|tls| tls.server_name.as_ref());
    match (name, login.hosts.parse::<IpAddr>()) {
        (None, _) => all.push(("PGHOST", login.hosts.clone().into())),
        (Some(name), Ok(address)) => {
            all.extend([("PGHOST", name.into()), ("PGHOSTADDR", address.to_string().into())]);
        }
        (Some(_), Err(_)) => {
            let what = "tls.server_name can be told to pg_dump only with an address of numbers in `url`";
            return Err(SnapshotError::Dump(what.to_owned()));
        }
    }
    for (variable, value) in [("PGUSER", &login.user), ("PGDATABASE", &login.database)] {
        if !value.is_empty() {
            all.push((variable, value.into()));
        }
    }
    if let Some(tls) = &login.tls {
        all.push(("PGSSLROOTCERT", authorities(tls).into()));
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            all.extend([("PGSSLCERT", cert.into()), ("PGSSLKEY", key.into())]);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(tls: Option<ClientTls>) -> ProgramLogin {
        ProgramLogin {
            hosts: "127.0.0.1".to_owned(),
            ports: "3306".to_owned(),
            user: "a".to_owned(),
            database: "bank".to_owned(),
            password: Some("s#\"\\:\nx".to_owned()),
            tls,
        }
    }

    #[test]
    fn what_programs_are_told_is_quoted_as_they_read_it() {
        let named = login(Some(ClientTls { server_name: Some("db".to_owned()), ..ClientTls::default() }));
        assert_eq!(password_file(&named), "*:*:*:*:s#\"\\\\\\:\nx\n");
        assert!(environment(&named).unwrap().contains(&("PGHOSTADDR", "127.0.0.1".into())));
        assert!(option_file(&named, true).is_err());
        let text = option_file(&login(Some(ClientTls::default())), true).unwrap();
        assert!(text.contains("password=\"s#\\\"\\\\:\\nx\"\n"), "{text}");
        assert!(text.contains(SYSTEM_AUTHORITIES), "{text}");
    }

    #[test]
    fn oracles_and_mariadbs_programs_are_told_of_tls_in_their_own_words() {
        for (version, tls, expected) in [
            (
                "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                true,
                "ssl-verify-server-cert\n",
            ),
            ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)", false, "skip-ssl\n"),
            (
                "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                true,
                "ssl-mode=VERIFY_IDENTITY\n",
            ),
            (
                "mysqldump  Ver 8.4.0 for Linux on x86_64 (MySQL Community Server - GPL)",
                false,
                "ssl-mode=DISABLED\nloose-get-server-public-key\n",
            ),
        ] {
            let login = login(tls.then(ClientTls::default));
            let text = option_file(&login, version.contains(MARIADB)).unwrap();
            let (_, last) = text.split_once(if tls { SYSTEM_AUTHORITIES } else { "password=" }).unwrap();
            assert_eq!(last.split_once('\n').unwrap().1, expected, "{version}: {text}");
        }
    }

    #[test]
    fn a_program_that_does_not_say_its_version_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "#!/bin/sh\nprintf 'mysqldump \\007 Ver 8\\nmore\\n'; sleep 1000\n")
            .unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let begun = Instant::now();
        assert_eq!(version(&program).unwrap(), "mysqldump  Ver 8");
        assert!(begun.elapsed() < VERSION_TIME);
        assert!(version(&dir.path().join("none")).is_err());
    }
}
