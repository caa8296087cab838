//! Services where there is no systemd: programs by name, those that are given and those that listen at a port.
//!
//! A service is up while a process of that name runs; its oldest process stands for it. Another oldest one, with none of the
//! processes before, is a restart. All of it is inferred, from `/proc/PID/stat`, `exe`, `fd` and `/proc/net/tcp` (`proc(5)`); what started and
//! ended between two looks is not seen, and neither is how a process ended.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use attestry_event::{Event, Nanos};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Config;
use crate::{
    compared::{self, baseline, difference},
    line::{put, put_some},
    source::{Collector, Feed, Setup, Stopped},
};

/// More processes than this are not looked at.
const MAX_PROCESSES: usize = 65_536;
/// How often it is looked who listens: to tell of the few sockets that do, the kernel looks through the table of all.
const SOCKETS_EVERY: Duration = Duration::from_secs(30);
/// Programs that were seen listening; the names come from whoever may run programs.
const MAX_SERVICES: usize = 1_000;
/// Linux counts start times in hundredths of a second (`sysconf(_SC_CLK_TCK)` is 100 on every architecture).
const TICK_NANOS: i64 = 10_000_000;

/// A process that stands for a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Process {
    pid: u32,
    /// In ticks since the host started; with the id it tells processes apart.
    start: u64,
    exe: String,
}

/// A service: what stood for it last, if it is up, and all its processes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Service {
    main: Option<Process>,
    pids: BTreeSet<(u32, u64)>,
}

pub(super) struct Processes {
    proc: PathBuf,
    every: Duration,
    programs: BTreeSet<String>,
    listening: bool,
    look_at: Instant,
    /// None before the first look.
    known: Option<BTreeMap<String, Service>>,
    /// What the last look found: the processes with their short names, and the sockets that listened. Only what is new is looked at closely.
    processes: HashMap<(u32, u64), (String, Named)>,
    sockets: HashSet<String>,
    sockets_at: Option<Instant>,
    /// Which start of the host `known` belongs to.
    boot: String,
}

impl Processes {
    pub(super) fn new(config: &Config, setup: &Setup) -> Processes {
        let position = setup.position.as_ref();
        Processes {
            proc: setup.paths.proc.clone(),
            every: config.every.0,
            programs: config.programs.clone(),
            listening: config.listening,
            look_at: Instant::now(),
            known: position.and_then(|at| BTreeMap::deserialize(&at["services"]).ok()),
            processes: HashMap::new(),
            sockets: HashSet::new(),
            sockets_at: None,
            boot: position.and_then(|at| at["boot"].as_str()).unwrap_or_default().to_owned(),
        }
    }

    /// The services there are now: all that are given, listen, or were known as services.
    fn look(&mut self) -> BTreeMap<String, Service> {
        let listed = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut services: BTreeMap<String, Service> =
            self.programs.iter().map(|name| (name.clone(), Service::default())).collect();
        let mut before = std::mem::take(&mut self.processes);
        for pid in pids.take(MAX_PROCESSES) {
            let Some(stat) = stat(&self.proc, pid) else { continue };
            let key = (pid, stat.start);
            // A program that another one takes the place of has its short name, as a rule.
            let same = before.remove(&key).filter(|(short, _)| *short == stat.short);
            let named = match same {
                Some((_, named)) => named,
                None => named(&self.proc, pid, &stat.short),
            };
            self.processes.insert(key, (stat.short, named));
        }
        if self.listening && self.sockets_at.is_none_or(|at| at.elapsed() >= SOCKETS_EVERY) {
            self.sockets_at = Some(Instant::now());
            let listening = listening(&self.proc);
            let new_sockets = !listening.is_subset(&self.sockets);
            for ((pid, _), (_, Named { name, .. })) in self.processes.iter().filter(|_| new_sockets) {
                if services.len() < MAX_SERVICES
                    && !services.contains_key(name)
                    && listens(&self.proc, *pid, &listening)
                {
                    services.insert(name.clone(), Service::default());
                }
            }
            self.sockets = listening;
        }
        let mut others: BTreeMap<&str, Vec<Process>> = BTreeMap::new();
        for ((pid, start), (_, Named { name, exe })) in &self.processes {
            let process = Process { pid: *pid, start: *start, exe: exe.clone() };
            others.entry(name).or_default().push(process);
        }
        for name in self.known.iter().flatten().map(|(name, _)| name) {
            services.entry(name.clone()).or_default();
        }
        for (name, service) in &mut services {
            for process in others.remove(name.as_str()).into_iter().flatten() {
                service.pids.insert((process.pid, process.start));
                if service
                    .main
                    .as_ref()
                    .is_none_or(|main| (process.start, process.pid) < (main.start, main.pid))
                {
                    service.main = Some(process);
                }
            }
        }
        services
    }

    fn started_at(&self, process: &Process, now: Nanos) -> Nanos {
        let stat = fs::read_to_string(self.proc.join("stat")).unwrap_or_default();
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
        let since = i64::try_from(process.start).unwrap_or(i64::MAX).saturating_mul(TICK_NANOS);
        boot.map_or(now, |boot| Nanos(boot.saturating_mul(1_000_000_000).saturating_add(since)).min(now))
    }

    fn event(&self, name: &str, verb: &str, said: String, process: Option<&Process>, time: Nanos) -> Event {
        let mut event = difference(&format!("service.{verb}"), name, time, said);
        put(&mut event, "unit", name);
        if let Some(process) = process {
            put(&mut event, "main_pid", process.pid);
            put_some(&mut event, "exe", (!process.exe.is_empty()).then_some(process.exe.as_str()));
        }
        event
    }

    fn differences(
        &self,
        known: &BTreeMap<String, Service>,
        services: &BTreeMap<String, Service>,
        now: Nanos,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let none = Service::default();
        for (name, service) in services {
            let before = known.get(name).unwrap_or(&none);
            let event = match (&before.main, &service.main) {
                (None, Some(main)) => self.event(
                    name,
                    "start",
                    format!("{name} was started"),
                    Some(main),
                    self.started_at(main, now),
                ),
                (Some(main), None) => self.event(name, "stop", format!("{name} has ended"), Some(main), now),
                (Some(_), Some(main)) if before.pids.is_disjoint(&service.pids) => self.event(
                    name,
                    "restart",
                    format!("{name} was restarted"),
                    Some(main),
                    self.started_at(main, now),
                ),
                _ => continue,
            };
            events.push(event);
        }
        events
    }
}

/// What `/proc/PID/stat` tells.
struct Stat {
    /// At most 15 bytes of its name.
    short: String,
    start: u64,
}

/// What a process is called, and its program.
struct Named {
    name: String,
    exe: String,
}

/// A process by its id, if it can be a service.
fn stat(proc: &Path, pid: u32) -> Option<Stat> {
    let stat = fs::read(proc.join(format!("{pid}/stat"))).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name stands in parentheses and may hold some.
    let (before, rest) = stat.rsplit_once(')')?;
    let (_, short) = before.split_once('(')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // Zombies, and threads of the kernel (parent 2), are no services.
    let parent = fields.next()?;
    let start = fields.nth(17)?.parse().ok()?;
    if matches!(state, "Z" | "X") || parent == "2" || pid == 2 {
        return None;
    }
    (!short.is_empty()).then(|| Stat { short: short.to_owned(), start })
}

fn named(proc: &Path, pid: u32, short: &str) -> Named {
    let exe = fs::read_link(proc.join(format!("{pid}/exe")))
        .ok()
        .map(|exe| exe.display().to_string())
        .unwrap_or_default();
    // An upgrade leaves the running one "(deleted)"; scripts have their interpreter's.
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(&exe).to_owned();
    let base = exe.rsplit('/').next().unwrap_or_default();
    // The whole name where the kernel's 15 bytes are its beginning.
    let name = if base.starts_with(short) { base } else { short }.to_owned();
    Named { name, exe }
}

/// The inodes of sockets that listen at a TCP port.
fn listening(proc: &Path) -> HashSet<String> {
    let mut inodes = HashSet::new();
    for table in ["net/tcp", "net/tcp6"] {
        let text = fs::read_to_string(proc.join(table)).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(3);
            // 0A is TCP_LISTEN.
            if fields.next() == Some("0A")
                && let Some(inode) = fields.nth(5)
            {
                inodes.insert(inode.to_owned());
            }
        }
    }
    inodes
}

fn listens(proc: &Path, pid: u32, inodes: &HashSet<String>) -> bool {
    let listed = fs::read_dir(proc.join(format!("{pid}/fd"))).into_iter().flatten().flatten();
    listed.take(10_000).any(|fd| {
        let target = fs::read_link(fd.path()).unwrap_or_default();
        let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.contains(inode))
    })
}

impl Collector for Processes {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        if Instant::now() < self.look_at {
            return Ok(());
        }
        self.look_at = Instant::now() + self.every;
        let now = feed.now();
        let boot = fs::read_to_string(self.proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
        let services = self.look();
        match &self.known {
            None => {
                let running = services.values().filter(|service| service.main.is_some()).count();
                let counted = [("services", services.len()), ("running", running)];
                compared::push(feed, "services", baseline("services", now, &counted));
            }
            Some(known) => {
                for event in self.differences(known, &services, now) {
                    compared::push(feed, "services", event);
                }
            }
        }
        self.known = Some(services);
        self.boot = boot.trim().to_owned();
        feed.send(|| json!({ "services": self.known, "boot": self.boot }))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::proof::{Host, show_sorted};

    /// A copy of sleep, under a name that nothing else on this machine has.
    fn run(program: &Path) -> Child {
        Command::new(program).arg("60").stdout(Stdio::null()).spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn real_processes_start_stop_and_are_restarted() {
        let host = Host::new();
        let program = host.root("attestry-sleep-test");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut setup = host.setup("services");
        setup.paths.proc = "/proc".into();
        let config = Config {
            listening: false,
            programs: ["attestry-sleep-test".to_owned()].into(),
            ..Config::default()
        };
        let mut services = Processes::new(&config, &setup);
        let mut look = |expected: &str, child: Option<&Child>| {
            services.look_at = Instant::now();
            let events = host.pass(&mut services, &setup);
            let shown: Vec<String> = events.iter().map(show_sorted).collect();
            let pid = child.map_or(0, Child::id);
            let exe = program.display();
            let expected = match expected {
                "" => vec![],
                "baseline" => {
                    vec!["state.baseline - services - - inferred=true running=0 services=1".to_owned()]
                }
                verb => vec![format!(
                    "service.{verb} - attestry-sleep-test success - exe={exe} inferred=true main_pid={pid} unit=attestry-sleep-test"
                )],
            };
            assert_eq!(shown, expected);
        };
        look("baseline", None);
        let first = run(&program);
        look("start", Some(&first));
        look("", None);
        let second = run(&program);
        look("", None);
        end(first);
        look("", None);
        let mut third = run(&program);
        end(second);
        // The second was there at the last look, and the third was not.
        look("restart", Some(&third));
        third.kill().unwrap();
        // Dead and not waited for: a zombie is no service. It is one a moment after the signal.
        let stat = format!("/proc/{}/stat", third.id());
        while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        look("stop", Some(&third));
        third.wait().unwrap();
    }

    #[test]
    fn who_listens_is_a_service() {
        let host = Host::new();
        let mut services = Processes::new(&Config::default(), &host.setup("services"));
        services.proc = "/proc".into();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let me = named(Path::new("/proc"), std::process::id(), "").name;
        assert!(services.look().contains_key(&me), "{me}");
        drop(listener);
        // A process that was there and did not listen then; unless another test did.
        let mut services = Processes::new(&Config::default(), &host.setup("services"));
        services.proc = "/proc".into();
        services.look();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        services.sockets_at = None;
        assert!(services.look().contains_key(&me), "{me}");
        drop(listener);
    }

    #[test]
    fn names_with_parentheses_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("7")).unwrap();
        let rest = "S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 4711 0";
        fs::write(folder.path().join("7/stat"), format!("7 (a) b (c)) {rest}")).unwrap();
        let read = stat(folder.path(), 7).unwrap();
        assert_eq!((read.short.as_str(), read.start), ("a) b (c)", 4711));
        fs::write(folder.path().join("7/stat"), "7 (x").unwrap();
        assert!(stat(folder.path(), 7).is_none());
    }
}
