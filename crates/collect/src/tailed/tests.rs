use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use attestry_event::{Batch, Border, Clock, Event, ManualClock, Nanos, SystemClock};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::*;
use crate::{
    Names, Outlet,
    proof::append,
    source::{Status, Stop},
};

/// Keeps what comes, by the id, as a ledger would.
#[derive(Default)]
struct Kept {
    events: Mutex<Vec<Event>>,
    position: Mutex<Option<Value>>,
    /// Every position on the way, with how many events there were.
    positions: Mutex<Vec<(usize, Value)>>,
}

impl Outlet for Kept {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        let border = Border {
            event_source: source,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: Nanos(1_800_000_000_000_000_000),
        };
        for event in &events {
            assert_eq!(crate::catalogue::problem(event), None);
            Batch::new().push(event, &border).unwrap();
        }
        let mut kept = self.events.lock().unwrap();
        kept.extend(events);
        self.positions.lock().unwrap().push((kept.len(), position.clone()));
        *self.position.lock().unwrap() = Some(position);
        Ok(())
    }
}

struct Logs {
    folder: tempfile::TempDir,
    kept: Arc<Kept>,
    clock: Arc<ManualClock>,
    config: Config,
}

impl Logs {
    /// Follows `*.log`.
    fn new() -> Logs {
        let folder = tempfile::tempdir().unwrap();
        let config =
            Config { paths: vec![format!("{}/*.log", folder.path().display())], ..Config::default() };
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        Logs { folder, kept: Arc::default(), clock, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        append(&self.path(name), text.as_ref());
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy_and_empty(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        File::options().write(true).open(self.path(from)).unwrap().set_len(0).unwrap();
    }

    fn compress(&self, from: &str, to: &str) {
        compress(&self.path(from), &self.path(to));
    }

    fn rest(&self, name: &str) {
        let file = File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
    }

    fn setup(&self, position: Option<Value>) -> Setup {
        Setup {
            name: "web".to_owned(),
            host: "web1".to_owned(),
            paths: Paths::default(),
            clock: self.clock.clone(),
            names: Arc::new(Names::new([7; 32], self.path("passwd"))),
            outlet: self.kept.clone(),
            position,
            rest: || {},
        }
    }

    fn start(&self) -> Box<dyn Collector> {
        assert_eq!(self.config.check(), Vec::new());
        let position = self.kept.position.lock().unwrap().clone();
        self.config.collector(&self.setup(position))
    }

    /// One look: the lines, and `!` with the reason of a gap.
    fn pass(&self, collector: &mut dyn Collector) -> Vec<String> {
        let setup = self.setup(self.kept.position.lock().unwrap().clone());
        let mut feed = Feed::new(setup, Arc::new(Status::default()), Stop::default());
        let before = self.kept.events.lock().unwrap().len();
        collector.pass(&mut feed, true).unwrap();
        self.kept.events.lock().unwrap()[before..].iter().map(show).collect()
    }

    /// What a new start finds.
    fn again(&self) -> Vec<String> {
        let mut collector = self.start();
        self.pass(&mut *collector)
    }
}

fn show(event: &Event) -> String {
    let message = event.message.clone().unwrap();
    if event.event_name == "gap.collect" {
        return format!("!{}", event.event_data.as_ref().unwrap()["reason"].as_str().unwrap());
    }
    assert_eq!((event.event_name.as_str(), event.username.as_str()), ("log.line", "-"));
    message
}

fn compress(from: &Path, to: &Path) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&fs::read(from).unwrap()).unwrap();
    fs::write(to, packed.finish().unwrap()).unwrap();
    fs::remove_file(from).unwrap();
}

#[test]
fn history_comes_oldest_first_and_new_lines_once() {
    let logs = Logs::new();
    logs.append("a.log.3", "a1\na2\n");
    logs.compress("a.log.3", "a.log.3.gz");
    logs.append("a.log-20260101", "00\n");
    logs.append("a.log.1", "b1\r\nb2");
    logs.rest("a.log.1");
    logs.append("a.log", "c1\n\n  \nc2\nhal");
    logs.append("b.log", "other\n");
    logs.append("notes", "no\n");
    let mut collector = logs.start();
    assert_eq!(logs.pass(&mut *collector), ["00", "a1", "a2", "b1", "b2", "c1", "c2", "other"]);
    assert!(logs.pass(&mut *collector).is_empty());
    logs.append("a.log", "f\nc4\n");
    logs.append("new.log", "n1\n");
    assert_eq!(logs.pass(&mut *collector), ["half", "c4", "n1"]);
    assert!(logs.pass(&mut *collector).is_empty());
    assert!(logs.again().is_empty());
    let events = logs.kept.events.lock().unwrap();
    assert_eq!(events[0].resource.as_deref(), Some(logs.path("a.log").to_str().unwrap()));
    assert!(events[3].event_time.is_some() && events[5].event_time.is_none());
    let mut ids: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn the_first_start_begins_where_it_is_told() {
    for (from, expected) in
        [(Start::Oldest, vec!["0", "1", "2"]), (Start::Beginning, vec!["1", "2"]), (Start::End, vec![])]
    {
        let mut logs = Logs::new();
        logs.config.from = from;
        logs.append("x.log.2", "0\n");
        logs.compress("x.log.2", "x.log.2.gz");
        logs.append("x.log", "1\n2\n3");
        assert_eq!(logs.again(), expected);
        // What appears later is read whole, also what began while nobody looked.
        logs.append("x.log", "+\n4\n");
        logs.append("y.log", "5\n");
        logs.rename("x.log.2.gz", "x.log.3.gz");
        logs.rename("x.log", "x.log.2");
        logs.append("x.log", "6\n");
        assert_eq!(logs.again(), ["3+", "4", "6", "5"], "{from:?}");
    }
}

#[test]
fn rotation_loses_and_repeats_nothing() {
    // Each step with a look after it, then without, then with a restart after it.
    for way in ["look", "blind", "restart"] {
        let logs = Logs::new();
        let mut collector = logs.start();
        let mut seen = Vec::new();
        let mut look = |force: bool| match way {
            "look" => seen.extend(logs.pass(&mut *collector)),
            "restart" => seen.extend(logs.again()),
            _ if force => seen.extend(logs.again()),
            _ => {}
        };
        logs.append("x.log", "1\n2\n");
        look(true);
        logs.append("x.log", "3\n");
        logs.rename("x.log", "x.log.1");
        look(false);
        logs.append("x.log.1", "4\n");
        logs.append("x.log", "5\n");
        look(false);
        logs.append("x.log", "6\n");
        logs.rename("x.log.1", "x.log.2");
        logs.rename("x.log", "x.log.1");
        look(false);
        logs.append("x.log", "7\n");
        logs.compress("x.log.2", "x.log.2.gz");
        look(false);
        logs.append("x.log", "8\n");
        logs.rename("x.log.2.gz", "x.log.3.gz");
        logs.compress("x.log.1", "x.log.2.gz");
        logs.copy_and_empty("x.log", "x.log.1");
        look(false);
        logs.append("x.log", "9 is longer than all that was\n");
        look(false);
        logs.append("x.log", "10\n");
        // As it is seen half way.
        logs.append("x.log.0", "9 is lon");
        look(false);
        logs.copy_and_empty("x.log", "x.log.0");
        logs.append("x.log", "11\n");
        look(true);
        let expected = ["1", "2", "3", "4", "5", "6", "7", "8", "9 is longer than all that was", "10", "11"];
        assert_eq!(seen, expected, "{way}");
    }
}

#[test]
fn a_restart_goes_on_exactly() {
    let logs = Logs::new();
    logs.append("x.log", "1\n2\n");
    let mut collector = logs.start();
    logs.pass(&mut *collector);
    let position = logs.kept.position.lock().unwrap().clone();
    logs.append("x.log", "3\n4\n");
    logs.rename("x.log", "x.log.1");
    logs.append("x.log", "5\n");
    logs.compress("x.log.1", "x.log.1.gz");
    assert_eq!(logs.pass(&mut *collector), ["3", "4", "5"]);
    // A crash before the position was kept: the same events come again, with the same ids.
    *logs.kept.position.lock().unwrap() = position;
    assert_eq!(logs.again(), ["3", "4", "5"]);
    let events = logs.kept.events.lock().unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
    assert_eq!(ids[2..5], ids[5..8]);
}

#[test]
fn logs_that_begin_alike_are_told_apart() {
    let banner = format!("{}\n", "The Program, version 1\n".repeat(100));
    let count = banner.lines().filter(|line| !line.is_empty()).count();
    let logs = Logs::new();
    let mut collector = logs.start();
    logs.append("x.log", format!("{banner}1\n"));
    logs.append("y.log", format!("{banner}1\n"));
    assert_eq!(logs.pass(&mut *collector).len(), 2 * (count + 1));
    for round in 0..3 {
        // The program starts anew, twice between two looks.
        for end in 0..2 {
            logs.rename("x.log", &format!("x.log.{}", 20 - round));
            logs.append("x.log", &banner);
            // With the end of the one before, which has no name any more.
            assert_eq!(logs.pass(&mut *collector).len(), count + end);
            logs.append("x.log", "end\n");
        }
        assert_eq!(logs.pass(&mut *collector), ["end"]);
        fs::remove_file(logs.path(&format!("x.log.{}", 20 - round))).unwrap();
    }
    // Every line is an event of its own, though most are the same at the same place of files with the same first line.
    let events = logs.kept.events.lock().unwrap();
    let mut ids: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn what_is_removed_while_it_is_open_is_read_to_its_end() {
    let logs = Logs::new();
    let mut collector = logs.start();
    logs.append("x.log", "1\n");
    assert_eq!(logs.pass(&mut *collector), ["1"]);
    let mut writer = File::options().append(true).open(logs.path("x.log")).unwrap();
    writer.write_all(b"2\n").unwrap();
    fs::remove_file(logs.path("x.log")).unwrap();
    logs.append("x.log", "4\n");
    assert_eq!(logs.pass(&mut *collector), ["2", "4"]);
    writer.write_all(b"3\nlast").unwrap();
    assert_eq!(logs.pass(&mut *collector), ["3"]);
    logs.clock.advance(Duration::from_secs(120));
    assert_eq!(logs.pass(&mut *collector), ["last"]);
    for _ in 0..5 {
        assert!(logs.pass(&mut *collector).is_empty());
    }
}

#[test]
fn what_was_lost_is_said() {
    let logs = Logs::new();
    logs.append("x.log", "1\n2\n");
    let mut collector = logs.start();
    logs.pass(&mut *collector);
    File::options().write(true).open(logs.path("x.log")).unwrap().set_len(0).unwrap();
    logs.append("x.log", "3\n");
    // It is said when no copy turns up.
    let seen: Vec<String> = (0..4)
        .flat_map(|_| {
            logs.clock.advance(Duration::from_secs(1));
            logs.pass(&mut *collector)
        })
        .collect();
    assert!(seen.len() == 2 && seen[0] == "3" && seen[1].starts_with("!was emptied"), "{seen:?}");

    // Not even a head.
    fs::write(logs.path("x.log.1.gz"), [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    fs::write(logs.path("secret.log"), "x\n").unwrap();
    assert_eq!(logs.pass(&mut *collector), ["x"]);
    logs.clock.advance(Duration::from_secs(120));
    let seen = logs.pass(&mut *collector);
    assert!(seen.len() == 1 && seen[0].starts_with("!cannot be read"), "{seen:?}");
    assert!(logs.pass(&mut *collector).is_empty());

    // What xz made of a file that was there is history that cannot be read; what it makes later was read before.
    let old = Logs::new();
    old.append("x.log.1.xz", "xz");
    old.append("x.log", "1\n");
    let mut collector = old.start();
    let seen = old.pass(&mut *collector);
    assert!(seen.len() == 2 && seen.iter().any(|one| one.starts_with("!is compressed")), "{seen:?}");
    old.append("x.log.2.xz", "xz");
    assert!(old.pass(&mut *collector).is_empty());
}

#[test]
fn a_folder_that_goes_away_for_a_moment_is_no_loss() {
    let mut logs = Logs::new();
    logs.config.paths = vec![format!("{}/logs/**/*.log", logs.folder.path().display())];
    fs::create_dir_all(logs.path("logs/a/b")).unwrap();
    logs.append("logs/a/b/x.log", "1\n");
    let mut collector = logs.start();
    assert_eq!(logs.pass(&mut *collector), ["1"]);
    logs.rename("logs", "elsewhere");
    for _ in 0..10 {
        logs.clock.advance(Duration::from_secs(100));
        assert!(logs.pass(&mut *collector).is_empty());
    }
    logs.rename("elsewhere", "logs");
    logs.append("logs/a/b/x.log", "2\n");
    assert_eq!(logs.pass(&mut *collector), ["2"]);
}

#[test]
fn what_is_no_file_is_left_alone() {
    let logs = Logs::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        logs.path("pipe.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/dev/full", logs.path("device.log")).unwrap();
    std::os::unix::fs::symlink("nowhere", logs.path("dangling.log")).unwrap();
    fs::create_dir(logs.path("folder.log")).unwrap();
    logs.append("real", "1\n");
    std::os::unix::fs::symlink(logs.path("real"), logs.path("linked.log")).unwrap();
    fs::hard_link(logs.path("real"), logs.path("second.log")).unwrap();
    assert_eq!(logs.again(), ["1"]);
    fs::set_permissions(logs.path("real"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(logs.again().is_empty());
}

#[test]
fn lines_are_joined_and_waited_for() {
    let mut logs = Logs::new();
    logs.config.multiline = Some(Multiline { start: Some(r"^\d".to_owned()), ..Multiline::default() });
    let mut collector = logs.start();
    logs.append("x.log", "1 error\n at a\n at b\n2 ok\n3 err");
    assert_eq!(logs.pass(&mut *collector), ["1 error\n at a\n at b"]);
    logs.append("x.log", "or\n");
    assert_eq!(logs.pass(&mut *collector), ["2 ok"]);
    // A restart in between does not tear it apart.
    collector = logs.start();
    logs.append("x.log", " at c\n");
    assert!(logs.pass(&mut *collector).is_empty());
    logs.clock.advance(Duration::from_secs(5));
    assert_eq!(logs.pass(&mut *collector), ["3 error\n at c"]);
    assert!(logs.pass(&mut *collector).is_empty());
    logs.append("x.log", "4 late\n");
    logs.rename("x.log", "x.log.1");
    logs.append("x.log", "5 new\n6\n");
    logs.clock.advance(Duration::from_secs(5));
    assert_eq!(logs.pass(&mut *collector), ["4 late", "5 new", "6"]);
}

#[test]
fn what_was_done_to_a_line_is_said() {
    let mut logs = Logs::new();
    logs.config.max_line_bytes = 16;
    logs.append("x.log", b"caf\xe9\n");
    logs.append("x.log", format!("{}\n", "z".repeat(300_000)));
    logs.append("x.log", "after\n");
    let seen = logs.again();
    assert_eq!(seen, ["caf\u{fffd}", &"z".repeat(16), "after"]);
    let events = logs.kept.events.lock().unwrap();
    assert_eq!(events[0].event_data.as_ref().unwrap()["invalid_utf8"], true);
    assert_eq!(events[1].event_data.as_ref().unwrap()["cut_bytes"], 300_000 - 16);
    assert!(events[2].event_data.is_none());
    let mut latin = Logs::new();
    latin.config.encoding = Encoding::Latin1;
    latin.append("x.log", b"caf\xe9\n");
    assert_eq!(latin.again(), ["café"]);
}

#[test]
fn thousands_of_files_are_followed() {
    let logs = Logs::new();
    for file in 0..3_000 {
        logs.append(&format!("{file}.log"), format!("{file}\n"));
    }
    let mut collector = logs.start();
    assert_eq!(logs.pass(&mut *collector).len(), 3_000);
    assert!(logs.pass(&mut *collector).is_empty());
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 1_000, "{open}");
    logs.append("1234.log", "more\n");
    assert_eq!(logs.pass(&mut *collector), ["more"]);
    assert!(logs.again().is_empty());
}

/// A position on the way must lead to exactly the rest: every line after it, none before.
#[test]
fn every_position_on_the_way_is_exact() {
    let logs = Logs::new();
    let lines = |from: usize, to: usize| (from..to).map(|n| format!("line {n}\n")).collect::<String>();
    logs.append("x.log.1", lines(0, 30_000));
    logs.append("x.log", lines(30_000, 50_000));
    assert_eq!(logs.again().len(), 50_000);
    let positions = logs.kept.positions.lock().unwrap().clone();
    assert!(positions.len() >= 5);
    for (count, position) in positions {
        *logs.kept.position.lock().unwrap() = Some(position);
        let rest = logs.again();
        assert_eq!(rest.len(), 50_000 - count);
        assert_eq!(rest.first().cloned(), (count < 50_000).then(|| format!("line {count}")));
    }
}

/// A writer at full speed that rotates 50 times: every line once.
fn under_load(rotate: impl Fn(&Path, &mut File, usize) + Send + Sync) {
    let logs = Logs::new();
    let done = AtomicBool::new(false);
    let path = logs.path("x.log");
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let open = || File::options().create(true).append(true).open(&path).unwrap();
            let mut file = open();
            let mut number = 0u64;
            for rotation in 0..50 {
                for _ in 0..40 {
                    let mut text = String::new();
                    for _ in 0..50 {
                        text.push_str(&format!("line {number} of the writer\n"));
                        number += 1;
                    }
                    // Torn in two, as the reader may see it.
                    let (one, two) = text.as_bytes().split_at(text.len() / 3);
                    file.write_all(one).unwrap();
                    file.write_all(two).unwrap();
                }
                rotate(&path, &mut file, rotation);
            }
            file.write_all(b"end\n").unwrap();
            done.store(true, Ordering::Release);
            number
        });
        let mut collector = logs.start();
        let mut passes = 0;
        while !done.load(Ordering::Acquire) {
            logs.pass(&mut *collector);
            passes += 1;
            if passes % 7 == 0 {
                collector = logs.start();
            }
        }
        for _ in 0..3 {
            logs.pass(&mut *collector);
        }
        writer.join().unwrap()
    });
    let events = logs.kept.events.lock().unwrap();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for event in events.iter() {
        *seen.entry(show(event)).or_default() += 1;
    }
    let gaps: Vec<&String> = seen.keys().filter(|line| line.starts_with('!')).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
    for (line, times) in &seen {
        assert_eq!(*times, 1, "{line}");
    }
    let first = (0..written).find(|number| !seen.contains_key(&format!("line {number} of the writer")));
    assert_eq!(first, None);
    assert_eq!(seen.len() as u64, written + 1);
}

/// Makes room for the newest rotation.
fn shift(path: &Path, rotation: usize, packed: bool) {
    let name = |number: usize, ending: &str| PathBuf::from(format!("{}.{number}{ending}", path.display()));
    for number in (1..=rotation).rev() {
        for ending in ["", ".gz"] {
            let from = name(number, ending);
            if from.exists() {
                fs::rename(from, name(number + 1, ending)).unwrap();
            }
        }
    }
    if packed && name(2, "").exists() {
        compress(&name(2, ""), &name(2, ".gz"));
    }
}

#[test]
fn rotation_by_rename_under_load() {
    under_load(|path, file, rotation| {
        shift(path, rotation, false);
        fs::rename(path, format!("{}.1", path.display())).unwrap();
        *file = File::options().create(true).append(true).open(path).unwrap();
    });
}

#[test]
fn rotation_by_copy_and_truncation_under_load() {
    under_load(|path, file, rotation| {
        shift(path, rotation, false);
        fs::copy(path, format!("{}.1", path.display())).unwrap();
        file.set_len(0).unwrap();
    });
}

#[test]
fn rotation_with_compression_under_load() {
    under_load(|path, file, rotation| {
        shift(path, rotation, true);
        fs::rename(path, format!("{}.1", path.display())).unwrap();
        *file = File::options().create(true).append(true).open(path).unwrap();
    });
}

#[test]
fn settings_are_checked() {
    let good = Config { paths: vec!["/var/log/**/*.log".to_owned()], ..Config::default() };
    assert_eq!(good.check(), Vec::new());
    let multiline = |multiline: Multiline| Config { multiline: Some(multiline), ..good.clone() };
    for (config, item) in [
        (Config::default(), "paths"),
        (Config { paths: vec!["var/log/x".to_owned()], ..good.clone() }, "paths"),
        (Config { exclude: vec!["[".to_owned()], ..good.clone() }, "exclude"),
        (Config { max_line_bytes: 1, ..good.clone() }, "max_line_bytes"),
        (multiline(Multiline { start: Some("(".to_owned()), ..Multiline::default() }), "multiline.start"),
        (multiline(Multiline { max_lines: 0, ..Multiline::default() }), "multiline.max_lines"),
        (multiline(Multiline { max_bytes: 1 << 30, ..Multiline::default() }), "multiline.max_bytes"),
    ] {
        assert_eq!(config.check().iter().map(|(item, _)| *item).collect::<Vec<_>>(), [item]);
    }
}
