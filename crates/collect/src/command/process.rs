//! Runs a program and reads what it writes, within a time limit, until it and its process group have ended.
//!
//! The end of a program is not the end of its output: what it has started may hold the pipe open for ever. So after the program has
//! ended its output is read for a moment longer, and then its group is killed. The group is killed while the program, though
//! ended, is not yet waited for: until then its number belongs to nobody else.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use attestry_event::Period;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{
        Pid, Signal, WaitId, WaitIdOptions, getpid, getppid, kill_process_group,
        set_parent_process_death_signal, waitid,
    },
    thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid},
};

use super::{account::Account, output::STDERR_BYTES};
use crate::source::{Stop, Stopped};

/// How long a program has to end by itself once it is told to.
const GRACE: Duration = Duration::from_secs(2);
/// How long the output is read after the program has ended.
const DRAIN: Duration = Duration::from_secs(1);
/// A killed program that does not end for so long waits for a disk; it is left behind.
const UNENDING: Duration = Duration::from_secs(5);
/// How soon a stop, and an end without any output, are seen.
const TICK: Duration = Duration::from_millis(50);
/// The same where there is nothing left to wait for but the end.
const SHORT_TICK: Duration = Duration::from_millis(2);
const PIECE_BYTES: usize = 64 * 1024;

/// What is to be run.
pub(super) struct Order {
    pub(super) run: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    pub(super) account: Account,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) duration: Duration,
    pub(super) stdout_bytes: u64,
    pub(super) stderr_bytes: u64,
    /// The end of it.
    pub(super) stderr: Vec<u8>,
    pub(super) timed_out: bool,
    pub(super) stopped: bool,
    pub(super) left_running: bool,
    /// It was killed, and has not ended.
    pub(super) unending: Option<Child>,
}

impl Ran {
    /// Why it did not end well; none when it did.
    pub(super) fn reason(&self, limit: Period) -> Option<String> {
        let why = match (self.exit_code, self.signal) {
            _ if self.unending.is_some() => "was killed and does not end".to_owned(),
            _ if self.timed_out => format!("took longer than its {limit} and was ended"),
            _ if self.stopped => "was ended because Attestry ends".to_owned(),
            (Some(0), _) => return None,
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended, nobody knows how".to_owned(),
        };
        Some(why)
    }
}

/// Runs it to its end. `out` is given its output as it comes, and nothing at every tick without any; when it refuses, the program is ended. `Err` says why it did not start.
pub(super) fn run(
    order: &Order,
    limit: Duration,
    stop: &Stop,
    out: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
) -> Result<(Ran, Result<(), Stopped>), String> {
    let begun = Instant::now();
    let mut group = Group(Some(spawn(order)?));
    let mut ran = Ran::default();
    let outlet = group.follow(begun + limit, stop, out, &mut ran);
    let (status, unending) = group.end();
    ran.exit_code = status.and_then(|status| status.code());
    ran.signal = status.and_then(|status| status.signal());
    ran.unending = unending;
    ran.duration = begun.elapsed();
    match outlet {
        Ok(outlet) => Ok((ran, outlet)),
        Err(error) => Err(format!("its output cannot be read: {error}")),
    }
}

fn spawn(order: &Order) -> Result<Child, String> {
    let (program, arguments) = order.run.split_first().ok_or("no program is given")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(&order.environment)
        .current_dir(&order.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let ids = order.account.switch_to.clone();
    let groups: Vec<Gid> = ids.iter().flat_map(|ids| &ids.groups).map(|id| Gid::from_raw(*id)).collect();
    let parent = getpid();
    let prepare = move || {
        if let Some(ids) = &ids {
            // In this order: whoever is no longer root cannot choose groups. The child has one thread.
            set_thread_groups(&groups)?;
            set_thread_gid(Gid::from_raw(ids.gid))?;
            set_thread_uid(Uid::from_raw(ids.uid))?;
        }
        // After the change of account, which takes it back. Attestry may be killed, too.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(parent) {
            return Err(io::Error::from(ErrorKind::Interrupted));
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only: it allocates nothing, takes no lock and touches no thread's state.
    unsafe { command.pre_exec(prepare) };
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("{program}, or the folder {}, is not there: {error}", order.cwd.display())
        }
        _ => error.to_string(),
    })
}

/// A program and what it has started in its group. None of it outlives this.
struct Group(Option<Child>);

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

impl Group {
    fn pid(&self) -> Option<Pid> {
        self.0.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // Gone is what it should be.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Whether the program itself has ended; it stays to be waited for.
    fn ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.pid().is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
    }

    /// Reads until the program has ended and its output, too, or a moment longer.
    fn follow(
        &mut self,
        deadline: Instant,
        stop: &Stop,
        out: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        ran: &mut Ran,
    ) -> io::Result<Result<(), Stopped>> {
        let Some(child) = &mut self.0 else { return Ok(Ok(())) };
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        stdout.iter().try_for_each(|pipe| never_wait(pipe.as_fd()))?;
        stderr.iter().try_for_each(|pipe| never_wait(pipe.as_fd()))?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut outlet = Ok(());
        let mut told_to_end: Option<Instant> = None;
        let mut ended: Option<Instant> = None;
        loop {
            wait(&[stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)]);
            // One piece of each at a time, so that a flood does not hide the end of the time.
            let bytes = read(&mut stdout, &mut piece).unwrap_or_default();
            ran.stdout_bytes += bytes.len() as u64;
            if outlet.is_ok() {
                outlet = out(bytes);
            }
            if let Some(bytes) = read(&mut stderr, &mut piece) {
                ran.stderr_bytes += bytes.len() as u64;
                ran.stderr.extend_from_slice(bytes);
                let over = ran.stderr.len().saturating_sub(STDERR_BYTES);
                ran.stderr.drain(..over);
            }
            let now = Instant::now();
            if ended.is_none() && self.ended() {
                ended = Some(now);
            }
            match ended {
                Some(_) if stdout.is_none() && stderr.is_none() => break,
                Some(at) if now >= at + DRAIN => {
                    ran.left_running = true;
                    break;
                }
                Some(_) => continue,
                None => {}
            }
            match told_to_end {
                None if outlet.is_err() || stop.stopped() => ran.stopped = true,
                None if now >= deadline => ran.timed_out = true,
                None => continue,
                Some(at) if now >= at + GRACE => break,
                Some(_) => continue,
            }
            told_to_end = Some(now);
            self.signal(Signal::TERM);
        }
        Ok(outlet)
    }

    /// Kills what is left and waits for the program; gives it back when even that does not end it.
    fn end(&mut self) -> (Option<ExitStatus>, Option<Child>) {
        self.signal(Signal::KILL);
        let Some(mut child) = self.0.take() else { return (None, None) };
        let begun = Instant::now();
        while begun.elapsed() < UNENDING {
            match child.try_wait() {
                Ok(Some(status)) => return (Some(status), None),
                Ok(None) => thread::sleep(SHORT_TICK),
                Err(_) => return (None, None),
            }
        }
        (None, Some(child))
    }
}

fn never_wait(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

/// Until one of the pipes has something, or for a tick.
fn wait(pipes: &[Option<BorrowedFd<'_>>; 2]) {
    let mut open: Vec<PollFd<'_>> =
        pipes.iter().flatten().map(|pipe| PollFd::from_borrowed_fd(*pipe, PollFlags::IN)).collect();
    if open.is_empty() {
        return thread::sleep(SHORT_TICK);
    }
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    // When it is interrupted the next turn waits again.
    let _ = poll(&mut open, Some(&tick));
}

/// What is there; lets go of the pipe at its end.
fn read<'a>(pipe: &mut Option<impl Read>, piece: &'a mut [u8]) -> Option<&'a [u8]> {
    match pipe.as_mut()?.read(piece) {
        Ok(len) if len > 0 => return piece.get(..len),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Ok(_) | Err(_) => *pipe = None,
    }
    None
}
