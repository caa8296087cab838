//! A connection to systemd over D-Bus: to its own socket, which only root may use and which needs no bus, else to the system's bus.
//!
//! Not the crate zbus: this source asks five questions and listens to signals, on one thread, and a client that does as much is
//! smaller than the glue; zbus brings an async runtime and some 25 crates.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use attestry_event::hex;

use super::wire::{self, Call, Damaged, FIXED, Kind, Message, Value};

/// How long an answer may take: systemd is busy while it loads its units.
const ANSWER: Duration = Duration::from_secs(10);
/// Signals that wait to be taken; beyond it the oldest go, and everything is compared.
const MAX_WAITING: usize = 10_000;

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER: &str = "/org/freedesktop/systemd1";

/// Why systemd cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    /// Tried again later, on a new connection.
    #[error("the connection to systemd failed")]
    Io(#[from] io::Error),
    /// As [`BusError::Io`].
    #[error("what came over the connection to systemd cannot be understood")]
    Damaged(#[from] Damaged),
    /// The question was refused; the connection stays.
    #[error("{0}")]
    Refused(String),
}

impl BusError {
    /// The error with its cause, for the status.
    pub(super) fn told(&self) -> String {
        match self {
            BusError::Io(cause) => format!("{self}: {cause}"),
            other => other.to_string(),
        }
    }

    /// Whether the connection is still good.
    pub(super) fn harmless(&self) -> bool {
        matches!(self, BusError::Refused(_))
    }
}

/// Where systemd is reached.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// Its own socket.
    Direct(PathBuf),
    /// The socket of a bus.
    Bus(PathBuf),
}

impl Place {
    /// The first that lets us in: `/run/systemd/private` (root), `/run/dbus/system_bus_socket`.
    pub(super) fn find(root: &Path) -> io::Result<Place> {
        let direct = root.join("run/systemd/private");
        if UnixStream::connect(&direct).is_ok() {
            return Ok(Place::Direct(direct));
        }
        // Without systemd the bus knows of no units.
        let booted = root.join("run/systemd/system");
        std::fs::symlink_metadata(&booted)?;
        let bus = root.join("run/dbus/system_bus_socket");
        UnixStream::connect(&bus).map(|_| Place::Bus(bus))
    }

    pub(super) fn path(&self) -> &Path {
        let (Place::Direct(path) | Place::Bus(path)) = self;
        path
    }
}

pub(super) struct Bus {
    stream: UnixStream,
    /// Without a bus there are no names, and systemd answers nothing that is addressed to one.
    direct: bool,
    serial: u32,
    received: Vec<u8>,
    signals: VecDeque<Message>,
    /// Signals went because nobody took them.
    pub(super) overflowed: bool,
}

impl Bus {
    pub(super) fn connect(place: &Place) -> Result<Bus, BusError> {
        let mut stream = UnixStream::connect(place.path())?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.set_read_timeout(Some(ANSWER))?;
        let uid = rustix::process::geteuid().as_raw().to_string();
        let uid = hex(uid);
        // All of it at once, and nothing more before the answer: systemd overlooks a message that comes with BEGIN.
        stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 1_000 {
                return Err(Damaged.into());
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
        }
        let mut bus = Bus {
            stream,
            direct: matches!(place, Place::Direct(_)),
            serial: 0,
            received: Vec::new(),
            signals: VecDeque::new(),
            overflowed: false,
        };
        if !bus.direct {
            const DAEMON: &str = "org.freedesktop.DBus";
            let mut ask = |member, arguments: &[&str]| {
                bus.call(&Call {
                    destination: DAEMON,
                    path: "/org/freedesktop/DBus",
                    interface: DAEMON,
                    member,
                    arguments,
                })
            };
            ask("Hello", &[])?;
            ask("AddMatch", &["type='signal',sender='org.freedesktop.systemd1'"])?;
        }
        bus.manager("Subscribe", &[])?;
        Ok(bus)
    }

    pub(super) fn manager(&mut self, member: &str, arguments: &[&str]) -> Result<Vec<Value>, BusError> {
        self.call(&Call {
            destination: SYSTEMD,
            path: MANAGER,
            interface: "org.freedesktop.systemd1.Manager",
            member,
            arguments,
        })
    }

    /// All properties of an interface.
    pub(super) fn properties(&mut self, path: &str, interface: &str) -> Result<Value, BusError> {
        let answer = self.call(&Call {
            destination: SYSTEMD,
            path,
            interface: "org.freedesktop.DBus.Properties",
            member: "GetAll",
            arguments: &[interface],
        })?;
        answer.into_iter().next().ok_or_else(|| Damaged.into())
    }

    fn call(&mut self, call: &Call) -> Result<Vec<Value>, BusError> {
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        let serial = u64::from(self.serial);
        let destination = if self.direct { "" } else { call.destination };
        self.stream.write_all(&wire::call(&Call { destination, ..*call }, self.serial))?;
        let until = Instant::now() + ANSWER;
        loop {
            let message = self.next(until)?.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
            match message.kind {
                Kind::Return if message.reply_to == Some(serial) => return Ok(message.body),
                Kind::Error if message.reply_to == Some(serial) => {
                    let text = message.body.first().map(Value::text).unwrap_or_default();
                    return Err(BusError::Refused(format!("{}: {text}", message.error)));
                }
                Kind::Signal => self.keep(message),
                _ => {}
            }
        }
    }

    fn keep(&mut self, message: Message) {
        if self.signals.len() >= MAX_WAITING {
            self.signals.pop_front();
            self.overflowed = true;
        }
        self.signals.push_back(message);
    }

    /// The next signal, of those that came or come within `wait`.
    pub(super) fn signal(&mut self, wait: Duration) -> Result<Option<Message>, BusError> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(Some(signal));
        }
        let until = Instant::now() + wait;
        while let Some(message) = self.next(until)? {
            if message.kind == Kind::Signal {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// The next message, if it is whole before `until`; a part of one is kept.
    fn next(&mut self, until: Instant) -> Result<Option<Message>, BusError> {
        loop {
            if let Some(start) = self.received.first_chunk::<FIXED>() {
                let length = wire::length(start)?;
                if let Some(whole) = self.received.get(..length) {
                    let message = wire::message(whole)?;
                    self.received.drain(..length);
                    return Ok(Some(message));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            // A timeout of zero means none at all.
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => self.received.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
