//! Against a real systemd: a manager of one user, with a /run of its own, the units of the test and no others. It needs root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use attestry_event::Event;

use super::*;
use crate::{proof::Host, source::Collector};

/// On a machine that builds at the same time.
const SOON: Duration = Duration::from_secs(30);

struct Private {
    manager: Child,
    host: Host,
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.manager.kill();
        let _ = self.manager.wait();
        let top = Path::new("/sys/fs/cgroup");
        remove(&top.join(group(&self.host)));
        for hierarchy in fs::read_dir(top).into_iter().flatten().flatten() {
            remove(&hierarchy.path().join(group(&self.host)));
        }
    }
}

fn group(host: &Host) -> String {
    format!("attestry-test{}", host.folder.path().file_name().unwrap().to_string_lossy())
}

/// Ends what the manager started and left, and removes its groups of processes, the innermost first.
fn remove(group: &Path) {
    let left = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in left.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&inner.path());
        }
    }
    for _ in 0..100 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                thread::sleep(Duration::from_millis(20))
            }
            _ => return,
        }
    }
}

const UNITS: [(&str, &str); 9] = [
    ("basic.target", "[Unit]\n"),
    ("shutdown.target", "[Unit]\nDefaultDependencies=no\n"),
    ("default.target", "[Unit]\nWants=dbus.service\n"),
    ("dbus.socket", "[Socket]\nListenStream=%t/bus\n"),
    (
        "dbus.service",
        "[Unit]\nRequires=dbus.socket\n[Service]\nExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile\n",
    ),
    (
        "good.service",
        "[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/sleep 0.2\n[Install]\nWantedBy=default.target\n",
    ),
    ("bad.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n"),
    ("once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"),
    ("again.service", "[Service]\nExecStart=/bin/sleep 1000\nRestart=on-failure\nRestartSec=300ms\n"),
];

impl Private {
    fn start() -> Private {
        let host = Host::new();
        host.clock.advance(Duration::from_secs(600));
        for folder in ["run", "units", "home"] {
            fs::create_dir(host.root(folder)).unwrap();
        }
        for (name, text) in UNITS {
            fs::write(host.root("units").join(name), text).unwrap();
        }
        // systemd serves a user only where /run says that the host was started by it.
        // And each has groups of processes of its own; two would take each other's for theirs.
        let script = "for top in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $top/cgroup.procs ] && mkdir $top/$GROUP \
            && echo 0 > $top/$GROUP/cgroup.procs; done 2> /dev/null; \
            mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec /lib/systemd/systemd --user";
        // Where `systemctl enable` makes its links, then where the units are.
        let unit_path =
            format!("{}:{}", host.root("home/.config/systemd/user").display(), host.root("units").display());
        let manager = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GROUP", group(&host))
            .env("HOME", host.root("home"))
            .env("XDG_RUNTIME_DIR", host.root("run"))
            .env("SYSTEMD_UNIT_PATH", unit_path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare (util-linux) runs");
        let private = Private { manager, host };
        let begun = Instant::now();
        while !private.systemctl(&["is-active", "dbus.service"]) {
            assert!(begun.elapsed() < SOON, "systemd does not start: is it installed, and is this root?");
            thread::sleep(Duration::from_millis(100));
        }
        private
    }

    fn systemctl(&self, arguments: &[&str]) -> bool {
        // Where /run says that systemd runs; elsewhere systemctl makes its links by itself.
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target"]).arg(self.manager.id().to_string());
        command.args(["systemctl", "--user"]).args(arguments);
        command.env("XDG_RUNTIME_DIR", self.host.root("run")).env("HOME", self.host.root("home"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Passes until there are as many events.
    fn events(&self, collector: &mut dyn Collector, count: usize) -> Vec<Event> {
        let setup = self.host.setup("services");
        let begun = Instant::now();
        let mut events = Vec::new();
        while events.len() < count && begun.elapsed() < SOON {
            events.extend(self.host.pass(collector, &setup));
        }
        // And no more.
        events.extend(self.host.pass(collector, &setup));
        events
    }
}

fn shown(events: &[Event]) -> Vec<String> {
    let member = |event: &Event, name: &str| {
        let value = event.event_data.as_ref().and_then(|data| data.get(name));
        value.map(|value| format!(" {name}={}", value.to_string().trim_matches('"'))).unwrap_or_default()
    };
    let show = |event: &Event| {
        let members: String =
            ["result", "exit_code", "signal", "state", "inferred"].map(|name| member(event, name)).concat();
        format!("{} {}{members}", event.event_name, event.resource.as_deref().unwrap_or_default())
    };
    events.iter().map(show).collect()
}

/// What a real systemd's services do, heard at `place`.
#[track_caller]
fn check(place: impl FnOnce(&Host) -> Place) {
    let private = Private::start();
    let place = place(&private.host);
    let new = || Systemd::new(place.clone(), Duration::from_secs(300), &private.host.setup("services"));
    if let Err(error) = bus::Bus::connect(&place) {
        panic!("{place:?}: {}", error.told());
    }
    let mut collector = new();
    let first = private.events(&mut collector, 1);
    assert_eq!(first[0].event_name, "state.baseline", "{first:?}");
    let running = first[0].event_data.as_ref().unwrap()["running"].as_u64();
    assert_eq!(running, Some(1), "dbus.service");

    for (command, expected) in [
        (["start", "good.service"], vec!["service.start good.service"]),
        (["reload", "good.service"], vec!["service.reload good.service"]),
        (["restart", "good.service"], vec!["service.restart good.service"]),
        // sleep does not end by itself, but SIGTERM is how it should.
        (["stop", "good.service"], vec!["service.stop good.service result=success signal=15"]),
        (["start", "bad.service"], vec!["service.fail bad.service result=exit-code exit_code=3"]),
        (
            ["start", "once.service"],
            vec!["service.start once.service", "service.stop once.service result=success exit_code=0"],
        ),
        (["start", "again.service"], vec!["service.start again.service"]),
        (["enable", "good.service"], vec!["service.enable good.service state=enabled inferred=true"]),
        (["mask", "once.service"], vec!["service.disable once.service state=masked inferred=true"]),
    ] {
        private.systemctl(&command);
        assert_eq!(shown(&private.events(&mut collector, expected.len())), expected, "{command:?}");
    }

    assert!(private.systemctl(&["kill", "--signal=KILL", "again.service"]));
    let events = private.events(&mut collector, 2);
    assert_eq!(
        shown(&events),
        ["service.fail again.service result=signal signal=9", "service.restart again.service"]
    );
    let data = events[1].event_data.as_ref().unwrap();
    assert!(
        data["restarts"] == 1
            && data["main_pid"].as_u64() > Some(0)
            && data["invocation"].as_str().unwrap().len() == 32
    );

    // While nobody listens.
    drop(collector);
    private.systemctl(&["stop", "again.service"]);
    private.systemctl(&["start", "good.service"]);
    let mut collector = new();
    let mut found = shown(&private.events(&mut collector, 2));
    found.sort();
    assert_eq!(
        found,
        ["service.start good.service inferred=true", "service.stop again.service inferred=true"]
    );
    // Nothing is told twice.
    assert!(private.events(&mut new(), 0).is_empty());
}

#[test]
fn a_real_systemd_over_its_own_socket() {
    check(|host| Place::find(&host.root("")).unwrap());
}

#[test]
fn a_real_systemd_over_a_real_bus() {
    check(|host| Place::Bus(host.root("run/bus")));
}

#[test]
fn without_systemd_processes_are_looked_at() {
    let host = Host::new();
    let why = |config: &Config| config.availability(&host.setup("services").paths);
    assert!(why(&Config::default()).on);
    assert!(!why(&Config { listening: false, ..Config::default() }).on);
    // A socket nobody answers at, of a bus that is dead.
    fs::create_dir_all(host.root("run/systemd/system")).unwrap();
    fs::create_dir_all(host.root("run/dbus")).unwrap();
    let socket: PathBuf = host.root("run/dbus/system_bus_socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(Place::find(&host.root("")).is_err());
}

#[test]
fn a_bus_that_says_nothing_is_left_alone() {
    let host = Host::new();
    let socket = host.root("bus");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let answering = thread::spawn(move || {
        use std::io::{Read, Write};
        for answer in ["REJECTED\r\n", "OK 0\r\n", "nonsense"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 100]);
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.starts_with("OK") {
                let _ = stream.read(&mut [0; 1000]);
                stream
                    .write_all(&[b'l', 2, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255])
                    .unwrap();
            }
        }
    });
    let setup = host.setup("services");
    let mut collector = Systemd::new(Place::Direct(socket), Duration::from_secs(300), &setup);
    for _ in 0..3 {
        collector.retry_now();
        assert!(host.pass(&mut collector, &setup).is_empty());
    }
    answering.join().unwrap();
}
