//! One run of `gpg`.
//!
//! Its input, output, status lines, messages and what else it is handed have a pipe each, and none of them waits for another. It is ended
//! when for a time it neither takes nor gives anything, while nobody but `gpg` is waited for: not whoever makes the input or takes the output.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use attestry_outbound::{Secret, SecretError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process_group, pidfd_open, set_parent_process_death_signal,
};

use crate::config::OpenpgpConfig;
use crate::problem::KeyProblem;
use crate::status::{Status, StatusError};

/// How much is read or written at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// What is kept of the end of its messages, in bytes.
const LOG_BYTES: usize = 4 << 10;

/// How often is looked whether it goes on.
const TICK: Duration = Duration::from_millis(100);

/// The user's GnuPG.
#[derive(Clone, Debug)]
pub struct Gpg {
    program: PathBuf,
    home: Option<PathBuf>,
    passphrase: Option<Secret>,
    timeout: Duration,
}

/// `gpg` did not do it.
#[derive(Debug, thiserror::Error)]
pub enum GpgError {
    /// The program cannot be started. Install it, or name it; then try again.
    #[error("{} cannot be started; it is installed by `apt-get install gnupg`", .program.display())]
    Missing {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key cannot be used. Trying again does not help before somebody has mended it.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// The passphrase is not where it is said to be.
    #[error("the passphrase of OpenPGP cannot be had")]
    Passphrase(#[source] SecretError),
    /// It made no progress, and was ended. Try again.
    #[error("gpg made no progress for {} s and was ended; it may have waited for a passphrase, which `openpgp.passphrase` gives it", .0.as_secs())]
    TimedOut(Duration),
    /// What was to be read, or the place for the result, failed.
    #[error("{what} failed")]
    Data {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says more than is read, which is the doing of what it was given. The same again is useless.
    #[error("gpg says more than is read")]
    SaysTooMuch,
    /// It ended without having done it.
    #[error("gpg failed: {0}")]
    Failed(String),
}

/// What it is run with.
pub(crate) struct Call<'a> {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) input: &'a mut (dyn Read + Send),
    pub(crate) output: &'a mut (dyn Write + Send),
    /// Whether a secret key is used.
    pub(crate) unlocks: bool,
    /// What it reads by a pipe of its own, whose name is the argument before the last.
    pub(crate) beside: Option<&'a [u8]>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: Status,
    pub(crate) success: bool,
    /// What it said to people, on one line, without control characters.
    pub(crate) said: String,
}

impl Done {
    /// That it ended without having done it.
    pub(crate) fn failed(&self) -> GpgError {
        match self.said.is_empty() {
            true => GpgError::Failed("it says nothing of why".to_owned()),
            false => GpgError::Failed(self.said.clone()),
        }
    }
}

impl Gpg {
    /// The GnuPG of this configuration. Nothing is started yet.
    pub fn new(config: &OpenpgpConfig) -> Gpg {
        Gpg {
            program: config.program.clone(),
            home: config.home.clone(),
            passphrase: config.passphrase.clone(),
            timeout: config.timeout.0,
        }
    }

    /// The command line of this `gpg`, as a person would type it, for what mends a problem.
    pub(crate) fn typed(&self) -> String {
        let mut line = quoted(&self.program.display().to_string());
        if let Some(home) = &self.home {
            line.push_str(" --homedir ");
            line.push_str(&quoted(&home.display().to_string()));
        }
        line
    }

    /// Which GnuPG it is, such as `gpg (GnuPG) 2.2.40`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn version(&self) -> Result<String, GpgError> {
        let mut out = Vec::new();
        let call = Call {
            arguments: vec!["--version".into()],
            input: &mut io::empty(),
            output: &mut out,
            unlocks: false,
            beside: None,
        };
        let done = self.run(call)?;
        let text = String::from_utf8_lossy(&out);
        match (done.success, text.lines().next()) {
            (true, Some(line)) => Ok(line.to_owned()),
            _ => Err(done.failed()),
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, call: Call<'_>) -> Result<Done, GpgError> {
        let failed = |what: &'static str| move |source: io::Error| GpgError::Data { what, source };
        let plumbing = failed("a pipe to gpg");
        let (status, status_end) = pipe().map_err(&plumbing)?;
        let mut inherited: Vec<OwnedFd> = Vec::new();
        let mut arguments: Vec<OsString> = [
            "--batch",
            "--no-tty",
            "--quiet",
            "--no-auto-key-retrieve",
            "--no-auto-key-locate",
            "--no-encrypt-to",
            "--exit-on-status-write-error",
            "--display-charset=utf-8",
            "--charset=utf-8",
            "--enable-special-filenames",
        ]
        .map(OsString::from)
        .to_vec();
        arguments.push(format!("--status-fd={}", status_end.as_raw_fd()).into());
        inherited.push(status_end.into());
        if let Some(home) = &self.home {
            arguments.extend(["--homedir".into(), home.clone().into_os_string()]);
        }
        let mut handed: Vec<(PipeWriter, Vec<u8>)> = Vec::new();
        if let Some(secret) = self.passphrase.as_ref().filter(|_| call.unlocks) {
            let passphrase = secret.read().map_err(GpgError::Passphrase)?;
            let (end, writer) = pipe().map_err(&plumbing)?;
            arguments.push("--pinentry-mode=loopback".into());
            arguments.push(format!("--passphrase-fd={}", end.as_raw_fd()).into());
            inherited.push(end.into());
            handed.push((writer, format!("{passphrase}\n").into_bytes()));
        }
        let mut own = call.arguments;
        if let Some(bytes) = call.beside {
            let (end, writer) = pipe().map_err(&plumbing)?;
            own.insert(own.len().saturating_sub(1), format!("-&{}", end.as_raw_fd()).into());
            inherited.push(end.into());
            handed.push((writer, bytes.to_vec()));
        }
        arguments.extend(own);
        let child = self.spawn(&arguments, inherited)?;
        let pace = Pace::new();
        let ended = attend(child, status, handed, call.input, call.output, &pace, self.timeout);
        let Ended { success, timed_out, fed, drained, status, said } = ended;
        // Whose fault it is: what failed on our side made `gpg` fail, too.
        drained.map_err(failed("writing what gpg made"))?;
        fed.map_err(failed("reading what gpg is to have"))?;
        if timed_out {
            return Err(GpgError::TimedOut(self.timeout));
        }
        let status = status.map_err(|error| match error {
            StatusError::TooMuch => GpgError::SaysTooMuch,
            StatusError::Pipe(source) => failed("reading the status of gpg")(source),
        })?;
        Ok(Done { status, success, said })
    }

    fn spawn(&self, arguments: &[OsString], inherited: Vec<OwnedFd>) -> Result<Child, GpgError> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            // Messages are for logs; what decides is not translated anyway.
            .env("LC_ALL", "C.UTF-8")
            .env_remove("LANGUAGE")
            .env_remove("GPG_TTY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let parent = getpid();
        let prepare = move || {
            for fd in &inherited {
                fcntl_setfd(fd, FdFlags::empty())?;
            }
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only: it allocates nothing, takes no lock and touches no thread's state.
        unsafe { command.pre_exec(prepare) };
        // The command goes, and with it our ends of what only the child is to hold.
        command.spawn().map_err(|source| GpgError::Missing { program: self.program.clone(), source })
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// When something last went to or came from `gpg`, and how many of us are busy elsewhere.
struct Pace(Mutex<(Instant, u32)>);

impl Pace {
    fn new() -> Pace {
        Pace(Mutex::new((Instant::now(), 0)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut (Instant, u32)) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Does something that `gpg` cannot be blamed for.
    fn elsewhere<T>(&self, act: impl FnOnce() -> T) -> T {
        self.with(|(_, busy)| *busy += 1);
        let done = act();
        self.with(|(last, busy)| {
            *busy -= 1;
            *last = Instant::now();
        });
        done
    }

    fn moved(&self) {
        self.with(|(last, _)| *last = Instant::now());
    }

    fn idle(&self) -> Duration {
        self.with(|(last, busy)| if *busy > 0 { Duration::ZERO } else { last.elapsed() })
    }
}

struct Ended {
    success: bool,
    timed_out: bool,
    fed: io::Result<()>,
    drained: io::Result<()>,
    status: Result<Status, StatusError>,
    said: String,
}

/// Feeds it and reads all it says until it has ended.
fn attend(
    mut child: Child,
    status: PipeReader,
    handed: Vec<(PipeWriter, Vec<u8>)>,
    input: &mut (dyn Read + Send),
    output: &mut (dyn Write + Send),
    pace: &Pace,
    limit: Duration,
) -> Ended {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let pid = Pid::from_child(&child);
    let kill = move || {
        // Gone is what it should be.
        let _ = kill_process_group(pid, Signal::KILL);
    };
    thread::scope(|scope| {
        let fed = scope.spawn(move || {
            let fed = stdin.map_or(Ok(()), |pipe| feed(input, pipe, pace));
            if fed.is_err() {
                // With half of its input it would sign half of it.
                kill();
            }
            fed
        });
        let drained = scope.spawn(move || {
            let drained = stdout.map_or(Ok(()), |pipe| drain(pipe, output, pace));
            if drained.is_err() {
                kill();
            }
            drained
        });
        let said = scope.spawn(move || stderr.map(log).unwrap_or_default());
        let status = scope.spawn(move || {
            let read = Status::read(status);
            if read.is_err() {
                kill();
            }
            read
        });
        for (mut writer, bytes) in handed {
            // Who ends early reads no more, and says why.
            scope.spawn(move || writer.write_all(&bytes));
        }
        let timed_out = wait(pid, pace, limit);
        // Before it is waited for: until then its number belongs to nobody else.
        kill();
        let success = child.wait().is_ok_and(|status| status.success());
        let lost = || io::Error::other("a thread panicked");
        Ended {
            success,
            timed_out,
            fed: fed.join().unwrap_or_else(|_| Err(lost())),
            drained: drained.join().unwrap_or_else(|_| Err(lost())),
            status: status.join().unwrap_or_else(|_| Err(lost().into())),
            said: said.join().unwrap_or_default(),
        }
    })
}

/// Waits until it has ended; true when it did not within its time.
fn wait(pid: Pid, pace: &Pace, limit: Duration) -> bool {
    let Ok(ended) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    loop {
        if matches!(poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&tick)), Ok(ready) if ready > 0) {
            return false;
        }
        if pace.idle() >= limit {
            return true;
        }
    }
}

fn feed(input: &mut (dyn Read + Send), mut pipe: impl Write, pace: &Pace) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match pace.elsewhere(|| input.read(&mut piece)) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if pipe.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            // It reads no more, and says why.
            return Ok(());
        }
        pace.moved();
    }
}

fn drain(mut pipe: impl Read, output: &mut (dyn Write + Send), pace: &Pace) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match pipe.read(&mut piece) {
            Ok(0) => return pace.elsewhere(|| output.flush()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        pace.moved();
        pace.elsewhere(|| output.write_all(piece.get(..read).unwrap_or_default()))?;
    }
}

/// The end of what it says to people.
fn log(mut pipe: impl Read) -> String {
    let mut end = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(read) = pipe.read(&mut piece) {
        if read == 0 {
            break;
        }
        end.extend_from_slice(piece.get(..read).unwrap_or_default());
        let over = end.len().saturating_sub(LOG_BYTES);
        end.drain(..over);
    }
    let text = String::from_utf8_lossy(&end);
    let lines = text.lines().map(|line| line.strip_prefix("gpg: ").unwrap_or(line).trim());
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_and_one_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("gpg");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let of = |program: PathBuf| {
            let timeout = attestry_event::Period::millis(200);
            Gpg::new(&OpenpgpConfig { program, timeout, ..OpenpgpConfig::default() })
        };
        assert!(matches!(of(program).version(), Err(GpgError::TimedOut(_))));
        let error = of("/no/such/gpg".into()).version().unwrap_err();
        assert!(error.to_string().contains("apt-get install gnupg"), "{error}");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [("gpg", "gpg"), ("/a b", "'/a b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(word), expected);
        }
    }
}
