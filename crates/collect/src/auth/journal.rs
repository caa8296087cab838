//! The journal of systemd, through `journalctl -o json` (`systemd.journal-fields(7)`, "Journal Export Formats"): one JSON object
//! a line. The program, not the files: their format changes, the program's output does not.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use attestry_event::Nanos;
use serde_json::Value;

/// Facilities auth, authpriv and cron (RFC 5424, table 1).
const FACILITIES: [&str; 3] = ["SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10", "SYSLOG_FACILITY=9"];
/// A longer entry is left out: journald itself cuts a line of a stream at 48 KiB.
const MAX_ENTRY_BYTES: u64 = 1 << 20;
/// How many lines wait between the program and us; the pipe holds it back beyond.
const WAITING_LINES: usize = 1_000;
/// How long the program may take to show one entry.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// A journal entry.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) cursor: String,
    pub(super) time: Nanos,
    pub(super) host: String,
    pub(super) program: String,
    pub(super) pid: Option<u32>,
    pub(super) text: String,
    /// The message was no UTF-8.
    pub(super) damaged: bool,
    pub(super) sender: Sender,
}

/// Who wrote an entry, as journald saw it; nobody can forge this part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sender {
    pub(super) uid: Option<u32>,
    /// Missing when the program had ended before journald looked.
    pub(super) exe: Option<String>,
    /// The name the process gave itself, 15 bytes at most.
    pub(super) comm: Option<String>,
}

/// Whether an entry is from the program whose name it bears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Origin {
    /// From root, or from that program's file.
    Sure,
    /// Nothing contradicts it.
    Unverified,
    /// From another program, run by an ordinary user: anybody may write `sshd: Accepted password for root` into the log.
    Other,
}

impl Sender {
    pub(super) fn origin(&self, program: &str) -> Origin {
        if self.uid == Some(0) {
            return Origin::Sure;
        }
        if let Some(exe) = &self.exe {
            // Only root can put programs there; an upgrade leaves the running one "(deleted)".
            let file = exe.strip_suffix(" (deleted)").unwrap_or(exe);
            let system = ["/usr/", "/bin/", "/sbin/", "/lib"].iter().any(|start| file.starts_with(start));
            let name = file.rsplit('/').next().unwrap_or(file);
            return if system && family(name) == family(program) { Origin::Sure } else { Origin::Other };
        }
        match &self.comm {
            Some(comm) if family(comm) == family(program) => Origin::Unverified,
            Some(comm) if comm.len() == 15 && program.starts_with(comm.as_str()) => Origin::Unverified,
            Some(_) => Origin::Other,
            None => Origin::Unverified,
        }
    }
}

/// `sshd-session` and `sshd` are one program, and so are `CRON` and `cron`.
fn family(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    name.split(['-', '(']).next().unwrap_or(name).to_ascii_lowercase()
}

/// What the program has for us.
pub(super) enum Next {
    Entry(Box<Entry>),
    /// A line that is no entry, or too long for one.
    Unreadable,
    /// Nothing at the moment.
    Nothing,
    /// The program ended, and why where it said so.
    Ended(Option<String>),
}

/// Where to begin.
pub(super) enum From<'a> {
    Oldest,
    AfterCursor(&'a str),
    Since(Nanos),
}

/// A running journalctl. Dropping it ends the program.
pub(super) struct Journal {
    child: Child,
    lines: Receiver<io::Result<Vec<u8>>>,
}

impl Journal {
    /// Starts the program; it stays and waits for more when `follow`.
    pub(super) fn start(program: &Path, from: &From<'_>, follow: bool) -> io::Result<Journal> {
        let mut command = Command::new(program);
        command.args(["--output=json", "--quiet", "--no-pager", "--all"]);
        if follow {
            command.args(["--follow", "--no-tail"]);
        }
        match from {
            From::Oldest => {}
            From::AfterCursor(cursor) => {
                command.arg(format!("--after-cursor={cursor}"));
            }
            From::Since(time) => {
                command.arg(format!("--since=@{}", time.0.div_euclid(1_000_000_000)));
            }
        }
        command.args(FACILITIES).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let Some(stdout) = child.stdout.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let (send, lines) = sync_channel(WAITING_LINES);
        // Ends with the program's output, or when nobody listens any more.
        thread::Builder::new().name("collect-journal".into()).spawn(move || {
            let mut reader = BufReader::new(stdout);
            while let Some(line) = line(&mut reader).transpose() {
                let failed = line.is_err();
                if send.send(line).is_err() || failed {
                    break;
                }
            }
        })?;
        Ok(Journal { child, lines })
    }

    /// What comes next; waits for it until the program ends when `wait`.
    pub(super) fn next(&mut self, wait: bool) -> Next {
        let line = if wait {
            self.lines.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            self.lines.try_recv()
        };
        match line {
            Ok(Ok(line)) => match serde_json::from_slice(&line).ok().and_then(|value| entry(&value)) {
                Some(entry) => Next::Entry(Box::new(entry)),
                None => Next::Unreadable,
            },
            Ok(Err(error)) => Next::Ended(Some(error.to_string())),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::Ended(self.last_words()),
        }
    }

    fn last_words(&mut self) -> Option<String> {
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            stderr.take(1_000).read_to_end(&mut words).ok()?;
        }
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        (!words.is_empty()).then_some(words)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the program is there and shows at least one entry.
pub(super) fn readable(program: &Path) -> Result<(), String> {
    let spawned = Command::new(program)
        .args(["--output=json", "--quiet", "--no-pager", "--lines=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = spawned.map_err(|error| format!("{}: {error}", program.display()))?;
    let shown = first_bytes(child.stdout.take());
    let _ = child.kill();
    let _ = child.wait();
    if shown { Ok(()) } else { Err("the journal is empty or may not be read".to_owned()) }
}

fn first_bytes(stdout: Option<ChildStdout>) -> bool {
    let Some(mut stdout) = stdout else { return false };
    let (send, receive) = sync_channel(1);
    let reader = thread::Builder::new().name("collect-probe".into()).spawn(move || {
        let shown = matches!(stdout.read(&mut [0; 1]), Ok(1));
        // Nobody listens when it took too long.
        let _ = send.send(shown);
    });
    let until = Instant::now() + PROBE_TIME;
    match receive.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(shown) => reader.is_ok() && shown,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
    }
}

/// The next line; one that is too long comes empty.
fn line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if reader.take(MAX_ENTRY_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == MAX_ENTRY_BYTES {
        line.clear();
        while reader.take(MAX_ENTRY_BYTES).read_until(b'\n', &mut line)? > 0 && line.last() != Some(&b'\n') {
            line.clear();
        }
        line.clear();
    }
    Ok(Some(line))
}

/// An entry from its JSON. Numbers come as text, a message that is no UTF-8 as an array of bytes, a field that was given several
/// times as an array of texts.
fn entry(value: &Value) -> Option<Entry> {
    let text = |name: &str| match &value[name] {
        Value::String(text) => Some((text.clone(), false)),
        Value::Array(parts) if parts.first().is_some_and(Value::is_string) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            Some((parts.join(" "), false))
        }
        Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> =
                bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
            Some((String::from_utf8_lossy(&bytes?).into_owned(), true))
        }
        _ => None,
    };
    let plain = |name: &str| text(name).map(|(text, _)| text);
    let micros: i64 = plain("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let (message, damaged) = text("MESSAGE").unwrap_or_default();
    Some(Entry {
        cursor: plain("__CURSOR")?,
        time: Nanos(micros.checked_mul(1_000)?),
        host: plain("_HOSTNAME").unwrap_or_default(),
        program: plain("SYSLOG_IDENTIFIER").or_else(|| plain("_COMM")).unwrap_or_else(|| "-".to_owned()),
        pid: plain("_PID").or_else(|| plain("SYSLOG_PID")).and_then(|pid| pid.parse().ok()),
        text: message,
        damaged,
        sender: Sender {
            uid: plain("_UID").and_then(|uid| uid.parse().ok()),
            exe: plain("_EXE"),
            comm: plain("_COMM"),
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_taken_from_its_fields() {
        let of = |message: Value| {
            entry(&json!({
                "__CURSOR": "s=1;i=2", "__REALTIME_TIMESTAMP": "1763694738123456", "_HOSTNAME": "web1",
                "SYSLOG_IDENTIFIER": "sshd", "_PID": "812", "MESSAGE": message,
            }))
            .unwrap()
        };
        let plain = of(json!("Accepted"));
        assert_eq!(plain.time, Nanos(1_763_694_738_123_456_000));
        assert_eq!((plain.text.as_str(), plain.pid, plain.damaged), ("Accepted", Some(812), false));
        let bytes = of(json!([97, 255, 98]));
        assert_eq!((bytes.text.as_str(), bytes.damaged), ("a\u{fffd}b", true));
        assert_eq!(of(json!(["a", "b"])).text, "a b");
        assert_eq!(of(Value::Null).text, "");
        for broken in [
            json!({}),
            json!([]),
            json!({ "__CURSOR": "x" }),
            json!({ "__CURSOR": 5, "__REALTIME_TIMESTAMP": "1" }),
            json!({ "__CURSOR": "x", "__REALTIME_TIMESTAMP": "9223372036854775807" }),
        ] {
            assert_eq!(entry(&broken), None, "{broken}");
        }
    }

    #[test]
    fn who_wrote_an_entry_is_compared_with_who_it_says() {
        let check = |uid, exe: Option<&str>, comm: Option<&str>, program, expected| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let sender = Sender { uid, exe: owned(exe), comm: owned(comm) };
            assert_eq!(sender.origin(program), expected, "{sender:?} as {program}");
        };
        check(Some(0), Some("/usr/bin/logger"), None, "sshd", Origin::Sure);
        check(Some(1000), Some("/usr/bin/sudo"), None, "sudo", Origin::Sure);
        check(Some(1000), Some("/usr/bin/sudo (deleted)"), None, "sudo", Origin::Sure);
        check(Some(1000), Some("/usr/lib/openssh/sshd-session"), None, "sshd", Origin::Sure);
        check(Some(1000), Some("/usr/sbin/cron"), None, "CRON", Origin::Sure);
        check(Some(1000), Some("/usr/bin/logger"), Some("sshd"), "sshd", Origin::Other);
        check(Some(1000), Some("/home/alice/sshd"), Some("sshd"), "sshd", Origin::Other);
        check(Some(65534), None, Some("logger"), "sshd", Origin::Other);
        check(Some(65534), None, Some("sshd"), "sshd", Origin::Unverified);
        check(Some(1000), None, Some("polkit-agent-he"), "polkit-agent-helper-1", Origin::Unverified);
        check(None, None, None, "sshd", Origin::Unverified);
    }

    #[test]
    fn a_line_without_end_costs_no_memory() {
        let mut text = vec![b'x'; 3 * MAX_ENTRY_BYTES as usize];
        text.extend(b"\nshort\nlast");
        let mut reader = BufReader::new(&text[..]);
        assert_eq!(line(&mut reader).unwrap(), Some(Vec::new()));
        assert_eq!(line(&mut reader).unwrap(), Some(b"short\n".to_vec()));
        assert_eq!(line(&mut reader).unwrap(), Some(b"last".to_vec()));
        assert_eq!(line(&mut reader).unwrap(), None);
    }
}
