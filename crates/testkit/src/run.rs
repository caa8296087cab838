//! A program that was run, or is running.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait_for;

/// The longest that a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// How a program ended, and what it said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command line.
    pub what: String,
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Fails unless the program ended with this exit code.
    #[track_caller]
    pub fn is(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}\nstdout: {}\nstderr: {}", self.what, self.out, self.err);
        self
    }

    /// Fails unless the program said this, on either output.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(
            said,
            "{:?} is not in what {} said:\nstdout: {}\nstderr: {}",
            text, self.what, self.out, self.err
        );
        self
    }
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    what: String,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts a program whose output goes to `<stem>.out` and `<stem>.err`.
    #[track_caller]
    pub fn start(command: &mut Command, stem: &Path) -> Running {
        let what = format!("{command:?}");
        let (out, err) = (stem.with_extension("out"), stem.with_extension("err"));
        let file =
            |path: &Path| File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let started = command.stdin(Stdio::piped()).stdout(file(&out)).stderr(file(&err)).spawn();
        let child = started.unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        Running { child, what, out, err }
    }

    /// The way to its standard input; dropping it ends the input.
    #[track_caller]
    pub fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("the input was taken before")
    }

    /// What it has written to standard output by now.
    #[track_caller]
    pub fn out(&self) -> String {
        read(&self.out)
    }

    /// What it has written to standard error by now.
    #[track_caller]
    pub fn err(&self) -> String {
        read(&self.err)
    }

    /// Whether it ended, and how.
    #[track_caller]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.what))
    }

    /// Sends a signal, to this process and to no other.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(Pid::from_child(&self.child), signal) {
            panic!("{}: no signal can be sent: {error}", self.what);
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has taken so far, in bytes.
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let status = read(&PathBuf::from(format!("/proc/{}/status", self.child.id())));
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("{}: no VmHWM in its status", self.what)) << 10
    }

    /// Ends the input, waits until the program ends, and tells how.
    #[track_caller]
    pub fn finish(self) -> Ran {
        self.finish_within(COMMAND_MAX)
    }

    /// As [`finish`](Self::finish), within another time.
    #[track_caller]
    pub fn finish_within(mut self, within: Duration) -> Ran {
        drop(self.child.stdin.take());
        let what = format!("the end of {}", self.what);
        let status = wait_for(&what, within, || self.ended());
        Ran { what: self.what.clone(), code: status.code(), out: self.out(), err: self.err() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end with this input.
#[track_caller]
pub(crate) fn run(command: &mut Command, stem: &Path, input: &[u8]) -> Ran {
    let mut running = Running::start(command, stem);
    let mut pipe = running.input();
    // A program that reads no input closes it, and that is its right.
    let _ = pipe.write_all(input);
    drop(pipe);
    running.finish()
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}
