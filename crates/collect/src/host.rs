//! Source `host`: how the host is, once a minute: one `host.stats` and a `filesystem.usage` per file system.
//!
//! From `/proc/loadavg`, `/proc/meminfo`, `/proc/stat`, `/proc/uptime` and `/proc/self/mounts` (`proc(5)`) and `statvfs(3)`.
//! One event for load, memory and uptime rather than three: they are looked at together, and a third of the entries.
//! And one `host.restart` when the host was started anew since the last look, by its boot id.
//! File systems are those on a device, whatever `/` is, and the overlays of containers, with their container ([`layers`]); network file systems are left out, because asking a dead
//! server blocks for ever, and read-only images, because they are always full.

mod layers;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use attestry_event::{Event, Nanos, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    line::{hashed_id, put, put_some},
    source::{Availability, Cadence, Collector, Feed, Paths, Setup, Source, Stopped},
};

/// A file system this full (in percent, as `df` counts) is a warning.
const FULL_PERCENT: f64 = 95.0;
/// More file systems than this are not looked at: a host that mounts thousands does so for its containers.
const MAX_FILE_SYSTEMS: usize = 256;

/// Load, memory, uptime and file systems.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often it looks. Default: `1m`.
    pub every: Period,
}

impl Default for Config {
    fn default() -> Config {
        Config { every: Period::seconds(60) }
    }
}

impl Source for Config {
    fn kind(&self) -> &'static str {
        "host"
    }

    fn cadence(&self) -> Cadence {
        Cadence::Every(self.every.0)
    }

    fn needs(&self) -> &'static str {
        "/proc"
    }

    fn availability(&self, paths: &Paths) -> Availability {
        let load = paths.proc.join("loadavg");
        match fs::File::open(&load) {
            Ok(_) => Availability::on(format!("reads {} every {}", paths.proc.display(), self.every)),
            Err(error) => Availability::off(format!("{}: {error}", load.display())),
        }
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        self.every.at_least(Period::seconds(1)).map(|what| ("every", what)).into_iter().collect()
    }

    fn collector(&self, setup: &Setup) -> Box<dyn Collector> {
        Box::new(Host::new(setup))
    }
}

pub(crate) struct Host {
    proc: PathBuf,
    host: String,
    /// Which start of the host the last look saw; none before the first.
    boot: Option<String>,
    /// Busy and total processor time at the last look, in ticks since the start of the host.
    ticks: Option<(u64, u64)>,
}

/// A mounted file system.
#[derive(Debug, PartialEq)]
struct Mount {
    device: String,
    point: PathBuf,
    kind: String,
    read_only: bool,
    /// Of an overlay: the folder with what was written.
    upper: Option<PathBuf>,
}

impl Host {
    pub(crate) fn new(setup: &Setup) -> Host {
        let boot = setup.position.as_ref().and_then(|at| at["boot"].as_str().map(str::to_owned));
        Host { proc: setup.paths.proc.clone(), host: setup.host.clone(), boot, ticks: None }
    }

    /// An event when the host was started anew since the last look.
    fn restarted(&mut self, now: Nanos) -> Option<Event> {
        let boot =
            Some(self.read("sys/kernel/random/boot_id").trim().to_owned()).filter(|id| !id.is_empty())?;
        let before = self.boot.replace(boot.clone()).filter(|before| *before != boot)?;
        let started = self
            .read("stat")
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
        let time = started.map_or(now, |seconds| Nanos(seconds.saturating_mul(1_000_000_000)).min(now));
        let mut event = Event::new("host.restart", "-")
            .time(time)
            // A restart is one event, however often it is looked at.
            .id(hashed_id("host", &self.host, &[boot.as_bytes()]))
            .severity(5)
            .message("the host was started anew since the last look")
            .data("boot_id", boot)
            .data("old_boot_id", before);
        put(&mut event, "inferred", true);
        Some(event)
    }

    fn read(&self, name: &str) -> String {
        // Not one of these is longer than some kilobytes, but for a wrong folder in the place of /proc.
        let text = fs::read(self.proc.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn stats(&mut self, now: Nanos) -> Event {
        let mut event = Event::new("host.stats", "-").time(now).read_only(true).severity(6);
        let mut said = Vec::new();

        let load = self.read("loadavg");
        let mut words = load.split_ascii_whitespace();
        for name in ["load_1", "load_5", "load_15"] {
            let value = words.next().and_then(|word| word.parse::<f64>().ok());
            if name == "load_1"
                && let Some(value) = value
            {
                said.push(format!("load {value:.2}"));
            }
            put_some(&mut event, name, value);
        }
        if let Some((running, all)) = words.next().and_then(|word| word.split_once('/')) {
            put_some(&mut event, "threads_running", running.parse::<u64>().ok());
            put_some(&mut event, "threads", all.parse::<u64>().ok());
        }

        let stat = self.read("stat");
        put(&mut event, "cpus", cpus(&stat));
        let ticks = ticks(&stat);
        if let (Some((busy, total)), Some((busy_then, total_then))) = (ticks, self.ticks)
            && let Some(used) = percent(busy.saturating_sub(busy_then), total.saturating_sub(total_then))
        {
            said.push(format!("processors {used} %"));
            put(&mut event, "cpu_used_percent", used);
        }
        self.ticks = ticks;

        let memory = self.read("meminfo");
        let total = kilobytes(&memory, "MemTotal:");
        let available = kilobytes(&memory, "MemAvailable:");
        put_some(&mut event, "memory_total_bytes", total);
        put_some(&mut event, "memory_available_bytes", available);
        if let (Some(total), Some(available)) = (total, available)
            && let Some(used) = percent(total.saturating_sub(available), total)
        {
            said.push(format!("memory {used} %"));
            put(&mut event, "memory_used_percent", used);
        }
        let swap = kilobytes(&memory, "SwapTotal:");
        let swap_free = kilobytes(&memory, "SwapFree:");
        put_some(&mut event, "swap_total_bytes", swap);
        put_some(
            &mut event,
            "swap_used_bytes",
            swap.zip(swap_free).map(|(all, free)| all.saturating_sub(free)),
        );

        let uptime = self.read("uptime");
        if let Some(seconds) = uptime.split('.').next().and_then(|text| text.trim().parse::<u64>().ok()) {
            said.push(format!("up {}", duration(seconds)));
            put(&mut event, "uptime_s", seconds);
        }
        event.message(said.join(", "))
    }

    fn file_systems(&self, now: Nanos) -> Vec<Event> {
        let kinds = device_kinds(&self.read("filesystems"));
        let mut devices = BTreeSet::new();
        mounts(&self.read("self/mounts"), &kinds)
            .into_iter()
            // A bind mount shows a device again, perhaps on a single file.
            .filter(|mount| {
                fs::metadata(&mount.point).is_ok_and(|meta| meta.is_dir() && devices.insert(meta.dev()))
            })
            .take(MAX_FILE_SYSTEMS)
            .filter_map(|mount| usage(&mount, now))
            .collect()
    }
}

fn usage(mount: &Mount, now: Nanos) -> Option<Event> {
    let stat = rustix::fs::statvfs(&mount.point).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let (total, free, available) = (bytes(stat.f_blocks), bytes(stat.f_bfree), bytes(stat.f_bavail));
    let used = total.saturating_sub(free);
    // As df: of what ordinary users can have.
    let full = percent(used, used.saturating_add(available))?;
    let point = mount.point.display().to_string();
    let container = mount.upper.as_deref().and_then(layers::container);
    let shown =
        container.as_ref().map(|of| of.name.clone().unwrap_or_else(|| of.id.chars().take(12).collect()));
    let of = shown.map(|name| format!(" (container {name})")).unwrap_or_default();
    let mut event = Event::new("filesystem.usage", "-")
        .time(now)
        .read_only(true)
        .severity(if full >= FULL_PERCENT { 4 } else { 6 })
        .resource(point.as_str())
        .message(format!("{point}{of} is {full} % full: {} of {} used", size(used), size(total)))
        .data("device", mount.device.as_str())
        .data("type", mount.kind.as_str())
        .data("total_bytes", total)
        .data("used_bytes", used)
        .data("available_bytes", available)
        .data("used_percent", full);
    // btrfs and others have no fixed number of inodes and say 0.
    if stat.f_files > 0 {
        let used = stat.f_files.saturating_sub(stat.f_ffree);
        put(&mut event, "inodes_total", stat.f_files);
        put(&mut event, "inodes_used", used);
        put(&mut event, "inodes_available", stat.f_favail);
        put_some(&mut event, "inodes_used_percent", percent(used, stat.f_files));
    }
    if let Some(container) = container {
        put(&mut event, "container_id", container.id);
        put_some(&mut event, "container", container.name);
    }
    if mount.read_only {
        put(&mut event, "mounted_read_only", true);
    }
    Some(event)
}

/// The kinds of file systems that live on a device: those without `nodev`, and two that hide theirs.
fn device_kinds(filesystems: &str) -> BTreeSet<String> {
    filesystems
        .lines()
        .filter(|line| !line.starts_with("nodev"))
        .map(|line| line.trim().to_owned())
        .filter(|kind| {
            !matches!(kind.as_str(), "" | "squashfs" | "iso9660" | "udf" | "erofs" | "romfs" | "cramfs")
        })
        .chain(["zfs".to_owned(), "bcachefs".to_owned()])
        .collect()
}

/// The mounts worth a look, of `/proc/self/mounts`; a later mount on the same point hides the earlier.
fn mounts(text: &str, kinds: &BTreeSet<String>) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(point), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let options = words.next().unwrap_or("");
        let read_only = options.split(',').any(|option| option == "ro");
        let upper = if kind == "overlay" { layers::upper(options) } else { None };
        let point = unescape(point);
        found.retain(|mount| mount.point != point);
        if kinds.contains(kind) || upper.is_some() || point == Path::new("/") {
            let device = unescape(device).display().to_string();
            found.push(Mount { device, point, kind: kind.to_owned(), read_only, upper });
        }
    }
    found
}

/// `/proc/self/mounts` writes space, tab, newline and backslash as `\` and three octal digits.
pub(crate) fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 4).filter(|_| byte == b'\\');
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                out.push(code);
                at += 4;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(out).into()
}

fn kilobytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn cpus(stat: &str) -> u64 {
    let numbered = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(numbered).count() as u64
}

/// Busy and total ticks of all processors: user, nice, system, idle, iowait, irq, softirq, steal (guest time is in user).
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().take(8).map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let total = ticks.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
    let idle = ticks.get(3)?.saturating_add(*ticks.get(4)?);
    Some((total.saturating_sub(idle), total))
}

/// With one decimal; none of nothing.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 1_000.0).round() / 10.0)
}

fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    while value >= 1024.0
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

impl Collector for Host {
    fn pass(&mut self, feed: &mut Feed, _resident: bool) -> Result<(), Stopped> {
        let now = feed.now();
        if let Some(event) = self.restarted(now) {
            feed.push(event);
        }
        feed.push(self.stats(now));
        for event in self.file_systems(now) {
            feed.push(event);
        }
        feed.send(|| json!({ "boot": self.boot }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn of(proc: &Path) -> Host {
        Host { proc: proc.to_owned(), host: "web1".into(), boot: None, ticks: None }
    }

    #[test]
    fn a_restart_is_seen_by_its_boot_id_once() {
        let host = crate::proof::Host::new();
        host.clock.set(Nanos(1_800_000_000_000_000_000));
        fs::create_dir_all(host.root("proc/sys/kernel/random")).unwrap();
        let boot = |id: &str| {
            fs::write(host.root("proc/sys/kernel/random/boot_id"), format!("{id}\n")).unwrap();
            fs::write(host.root("proc/loadavg"), "1.44 0.62 0.38 5/135 14348\n").unwrap();
            fs::write(host.root("proc/stat"), "btime 1700000000\n").unwrap();
            let setup = host.setup("host");
            let events = host.pass(&mut Host::new(&setup), &setup);
            events.into_iter().filter(|event| event.event_name == "host.restart").collect::<Vec<Event>>()
        };
        assert!(boot("a").is_empty() && boot("a").is_empty());
        let before = host.kept.position.lock().unwrap().clone();
        let first = boot("b");
        assert_eq!((first.len(), first[0].event_time), (1, Some(Nanos(1_700_000_000_000_000_000))));
        assert!(boot("b").is_empty());
        *host.kept.position.lock().unwrap() = before;
        assert_eq!(boot("b"), first, "after a crash it is the same event");
    }

    #[test]
    fn mounts_are_real_and_unescaped() {
        let kinds = device_kinds("nodev\tsysfs\nnodev\toverlay\n\text4\n\tsquashfs\n\txfs\n");
        let text = "overlay / overlay rw,relatime 0 0\n\
             proc /proc proc rw 0 0\n\
             /dev/vda1 /srv/my\\040data ext4 rw,relatime 0 0\n\
             /dev/vdb /mnt xfs rw 0 0\n\
             /dev/vdc /mnt ext4 ro,noatime 0 0\n\
             server:/export /nfs nfs4 rw 0 0\n\
             /dev/loop0 /snap/core/1 squashfs ro 0 0\n\
             /dev/vdd /odd\\9\\0 ext4 rw 0 0\n\
             overlay /var/lib/docker/overlay2/a/merged overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/a/diff 0 0\n\
             broken\n";
        let found = mounts(text, &kinds);
        let points: Vec<&str> = found.iter().map(|mount| mount.point.to_str().unwrap()).collect();
        assert_eq!(points, ["/", "/srv/my data", "/mnt", "/odd\\9\\0", "/var/lib/docker/overlay2/a/merged"]);
        assert!(found[2].read_only && found[2].device == "/dev/vdc" && !found[1].read_only);
    }

    #[test]
    fn numbers_come_from_proc() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("loadavg", "1.44 0.62 0.38 5/135 14348\n");
        write("uptime", "93784.91 2222.29\n");
        write(
            "meminfo",
            "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\nSwapTotal: 8 kB\nSwapFree: 2 kB\n",
        );
        write("stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 1\n");
        let mut host = of(folder.path());
        let first = host.stats(Nanos(1));
        assert!(!first.event_data.unwrap().contains_key("cpu_used_percent"), "nothing to compare with yet");
        write("stat", "cpu  150 0 150 800 100 0 0 0 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n");
        let second = host.stats(Nanos(2));
        let data = Value::Object(second.event_data.unwrap());
        for (name, value) in [
            ("load_1", 1.44.into()),
            ("load_15", 0.38.into()),
            ("threads", 135.into()),
            ("cpus", 2.into()),
            ("cpu_used_percent", 50.0.into()),
            ("memory_total_bytes", 1_024_000.into()),
            ("memory_used_percent", 75.0.into()),
            ("swap_used_bytes", 6144.into()),
            ("uptime_s", Value::from(93784)),
        ] {
            assert_eq!(data[name], value, "{name}");
        }
        assert_eq!(second.message.unwrap(), "load 1.44, processors 50 %, memory 75 %, up 1 d 2 h");
    }

    #[test]
    fn an_empty_proc_gives_an_event_without_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let event = of(folder.path()).stats(Nanos(1));
        assert_eq!(event.event_data.unwrap().len(), 1, "no more than the count of processors");
    }

    #[test]
    fn this_host_has_a_root() {
        let host = of(Path::new("/proc"));
        let events = host.file_systems(Nanos(1));
        let root = events.iter().find(|event| event.resource.as_deref() == Some("/")).unwrap();
        let data = root.event_data.as_ref().unwrap();
        assert!(data["total_bytes"].as_u64() >= data["used_bytes"].as_u64());
        assert!(data["total_bytes"].as_u64() > Some(0));
    }

    proptest::proptest! {
        #[test]
        fn any_text_in_proc_is_taken(text in "[a-z0-9 \\\\:/.\\n\\tkBé]{0,200}") {
            let _ = (mounts(&text, &device_kinds(&text)), kilobytes(&text, "a"), ticks(&text), cpus(&text));
        }
    }
}
