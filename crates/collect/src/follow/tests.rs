use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use attestry_event::{Clock, SystemClock};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn compress(&self, from: &str, to: &str) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&fs::read(self.path(from)).unwrap()).unwrap();
        fs::write(self.path(to), packed.finish().unwrap()).unwrap();
        fs::remove_file(self.path(from)).unwrap();
    }

    /// As if nobody had written to it for an hour.
    fn rest(&self, name: &str) {
        let file = File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
    }

    fn follow(&self, position: Option<&Value>) -> Follower {
        Follower::new(self.path("log"), Framing::Lines, position)
    }
}

/// One pass: lines, and gaps with `!` in front.
fn pass(follower: &mut Follower) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match follower.next(SystemClock.now()) {
            Step::Record(record) => seen.push(String::from_utf8(record.bytes).unwrap()),
            Step::Gap(gap) => seen.push(format!("!{}", gap.reason)),
            Step::Idle => return seen,
        }
    }
}

#[test]
fn history_comes_oldest_first_and_new_lines_once() {
    let folder = Folder::new();
    folder.append("log.3", "a1\na2\n");
    folder.compress("log.3", "log.3.gz");
    folder.append("log-20260101", "00\n");
    folder.append("log.10", "01\n");
    folder.append("log.1", "b1\n");
    folder.append("log", "c1\nc2\nhal");
    folder.append("log.bak", "no\n");
    folder.append("logger", "no\n");
    folder.append("log.1.orig", "no\n");
    let mut follower = folder.follow(None);
    assert_eq!(pass(&mut follower), ["00", "01", "a1", "a2", "b1", "c1", "c2"]);
    assert!(pass(&mut follower).is_empty());
    folder.append("log", "f\nc4\n");
    assert_eq!(pass(&mut follower), ["half", "c4"]);
    assert!(pass(&mut follower).is_empty());
}

#[test]
fn rotation_by_rename_loses_and_repeats_nothing() {
    let folder = Folder::new();
    folder.append("log", "1\n2\n");
    let mut follower = folder.follow(None);
    assert_eq!(pass(&mut follower), ["1", "2"]);
    folder.append("log", "3\n");
    folder.rename("log", "log.1");
    folder.append("log.1", "4\n");
    folder.append("log", "5\n");
    assert_eq!(pass(&mut follower), ["3", "4", "5"]);
    folder.append("log", "6\n");
    folder.rename("log.1", "log.2");
    folder.rename("log", "log.1");
    folder.compress("log.2", "log.2.gz");
    folder.append("log", "7\n");
    assert_eq!(pass(&mut follower), ["6", "7"]);
    for _ in 0..2 * MISSING_PASSES {
        assert!(pass(&mut follower).is_empty());
    }
}

#[test]
fn rotation_by_copy_and_truncation_loses_and_repeats_nothing() {
    let folder = Folder::new();
    folder.append("log", "1\n2\n");
    let mut follower = folder.follow(None);
    assert_eq!(pass(&mut follower), ["1", "2"]);
    folder.append("log", "3\n");
    // The copy as it is seen half way, then whole, with the log not yet emptied.
    folder.append("log.1", "1\n");
    assert_eq!(pass(&mut follower), ["3"]);
    folder.append("log.1", "2\n3\n");
    assert!(pass(&mut follower).is_empty());
    folder.append("log", "4\n");
    fs::copy(folder.path("log"), folder.path("log.1")).unwrap();
    File::options().write(true).open(folder.path("log")).unwrap().set_len(0).unwrap();
    folder.append("log", "5\n");
    assert_eq!(pass(&mut follower), ["4", "5"]);
    folder.append("log", "longer than the old one was\n");
    assert_eq!(pass(&mut follower), ["longer than the old one was"]);
}

#[test]
fn a_restart_goes_on_where_the_position_says() {
    let folder = Folder::new();
    folder.append("log", "1\n2\n3\n");
    let mut follower = folder.follow(None);
    let mut positions = vec![follower.position()];
    while let Step::Record(_) = follower.next(SystemClock.now()) {
        positions.push(follower.position());
    }
    // While nobody looked: more lines, two rotations, one compressed.
    folder.append("log", "4\n");
    folder.rename("log", "log.1");
    folder.append("log", "5\n");
    folder.rename("log.1", "log.2");
    folder.rename("log", "log.1");
    folder.compress("log.2", "log.2.gz");
    folder.append("log", "6\n");
    for (read, position) in positions.iter().enumerate() {
        let text = position.to_string();
        let position: Value = serde_json::from_str(&text).unwrap();
        let rest: Vec<String> = (read + 1..=6).map(|n| n.to_string()).collect();
        let mut follower = folder.follow(Some(&position));
        assert_eq!(pass(&mut follower), rest, "from {text}");
        assert!(pass(&mut folder.follow(Some(&follower.position()))).is_empty());
    }
}

#[test]
fn a_record_is_the_same_under_every_name_of_its_file() {
    let folder = Folder::new();
    folder.append("log", "first\nsecond\n");
    let places = |follower: &mut Follower| {
        let mut places = Vec::new();
        while let Step::Record(record) = follower.next(SystemClock.now()) {
            places.push((record.file, record.offset));
        }
        places
    };
    let before = places(&mut folder.follow(None));
    folder.append("log", &"x".repeat(5_000));
    folder.append("log", "\n");
    folder.compress("log", "log.7.gz");
    let after = places(&mut folder.follow(None));
    assert_eq!(before.len(), 2);
    assert_eq!(before[..], after[..2]);
}

#[test]
fn what_was_lost_is_said() {
    let folder = Folder::new();
    folder.append("log", "1\n2\n3\n");
    let mut follower = folder.follow(None);
    pass(&mut follower);
    let position = follower.position();

    // Cut at its end, then followed on.
    File::options().write(true).open(folder.path("log")).unwrap().set_len(4).unwrap();
    let mut cut = folder.follow(Some(&position));
    let seen = pass(&mut cut);
    assert!(seen.len() == 1 && seen[0].starts_with("!became shorter"), "{seen:?}");
    folder.append("log", "4\n");
    assert_eq!(pass(&mut cut), ["4"]);

    // Replaced, with no copy anywhere.
    fs::remove_file(folder.path("log")).unwrap();
    folder.append("log", "9\n");
    let mut replaced = folder.follow(Some(&position));
    let seen: Vec<String> = (0..MISSING_PASSES + 2).flat_map(|_| pass(&mut replaced)).collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0] == "9" && seen[1].starts_with("!was removed"), "{seen:?}");

    // A rotation that has come to rest may go: that is what rotation is for.
    folder.append("log", "10\n");
    folder.rename("log", "log.1");
    folder.rest("log.1");
    folder.append("log", "11\n");
    assert_eq!(pass(&mut replaced), ["10", "11"]);
    fs::remove_file(folder.path("log.1")).unwrap();
    let seen: Vec<String> = (0..MISSING_PASSES + 2).flat_map(|_| pass(&mut replaced)).collect();
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn a_folder_that_goes_away_for_a_moment_is_no_loss() {
    let folder = Folder::new();
    fs::create_dir(folder.path("logs")).unwrap();
    folder.append("logs/log", "1\n");
    let mut follower = Follower::new(folder.path("logs/log"), Framing::Lines, None);
    assert_eq!(pass(&mut follower), ["1"]);
    folder.rename("logs", "elsewhere");
    for _ in 0..2 * MISSING_PASSES {
        assert!(pass(&mut follower).is_empty());
    }
    folder.rename("elsewhere", "logs");
    folder.append("logs/log", "2\n");
    assert_eq!(pass(&mut follower), ["2"]);
}

#[test]
fn the_last_line_of_a_rotated_file_counts_when_it_rests() {
    let folder = Folder::new();
    folder.append("log.1", "1\nlast");
    folder.append("log", "2\nlive");
    let mut follower = folder.follow(None);
    assert_eq!(pass(&mut follower), ["1", "2"]);
    folder.rest("log.1");
    folder.rest("log");
    assert_eq!(pass(&mut follower), ["last"]);
    assert!(pass(&mut follower).is_empty());
}

#[test]
fn a_compression_in_progress_is_waited_for_and_damage_is_said() {
    let folder = Folder::new();
    let lines: Vec<String> =
        (0..3_000u32).map(|n| format!("line {n} {}", n.wrapping_mul(2_654_435_761))).collect();
    folder.append("log.1", &(lines.join("\n") + "\n"));
    folder.compress("log.1", "whole");
    let whole = fs::read(folder.path("whole")).unwrap();
    fs::write(folder.path("log.1.gz"), &whole[..whole.len() / 2]).unwrap();
    let mut follower = folder.follow(None);
    let mut seen = pass(&mut follower);
    assert!(!seen.is_empty() && seen.len() < lines.len());

    let mut damaged = folder.follow(Some(&follower.position()));
    folder.rest("log.1.gz");
    let gaps = pass(&mut damaged);
    assert!(gaps.len() == 1 && gaps[0].starts_with("!is damaged from byte"), "{gaps:?}");
    assert!(pass(&mut damaged).is_empty(), "said once");

    fs::write(folder.path("log.1.gz"), &whole).unwrap();
    seen.extend(pass(&mut follower));
    assert_eq!(seen, lines);

    fs::write(folder.path("log.2.xz"), b"\xfd7zXZ\0").unwrap();
    let gaps = pass(&mut follower);
    assert!(gaps.len() == 1 && gaps[0].contains("only gzip"), "{gaps:?}");
    assert!(pass(&mut follower).is_empty(), "said once");

    // Nor does a restart say it again, until something changes.
    let after = |follower: &Follower| pass(&mut folder.follow(Some(&follower.position())));
    fs::remove_file(folder.path("log.2.xz")).unwrap();
    fs::write(folder.path("log.1.gz"), &whole[..whole.len() / 2]).unwrap();
    folder.rest("log.1.gz");
    assert_eq!(pass(&mut damaged).len(), 1, "another time of change");
    assert!(after(&damaged).is_empty());
    fs::write(folder.path("log.3.xz"), b"\xfd7zXZ\0").unwrap();
    assert_eq!(after(&damaged).len(), 1);
    pass(&mut damaged);
    assert!(after(&damaged).is_empty());
}

#[test]
fn a_pipe_a_folder_and_an_empty_file_are_passed_over() {
    let folder = Folder::new();
    fs::create_dir(folder.path("log.1")).unwrap();
    folder.append("log.2", "");
    folder.append("log.4", "secret\n");
    fs::set_permissions(folder.path("log.4"), fs::Permissions::from_mode(0o000)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path("log.3"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    folder.append("log", "1\n");
    let seen = pass(&mut folder.follow(None));
    // As root every file can be read; as anybody else the closed one is a gap.
    assert_eq!(seen.last().unwrap(), "1");
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_long_line_is_cut_and_what_follows_is_no_line_of_its_own() {
    let folder = Folder::new();
    let long = "y".repeat(3 * MAX_LINE_BYTES);
    folder.append("log", &format!("{long} Nov 21 forged\nnext\n"));
    let mut follower = folder.follow(None);
    let Step::Record(record) = follower.next(SystemClock.now()) else { panic!("a record") };
    assert_eq!(record.bytes.len(), MAX_LINE_BYTES);
    assert_eq!(record.cut as usize, long.len() + " Nov 21 forged".len() - MAX_LINE_BYTES);
    assert_eq!(pass(&mut follower), ["next"]);
}

#[test]
fn records_are_taken_whole() {
    let folder = Folder::new();
    folder.append("log", "aaaabbbbcc");
    let mut follower = Follower::new(folder.path("log"), Framing::Records(4), None);
    assert_eq!(pass(&mut follower), ["aaaa", "bbbb"]);
    folder.append("log", "ccdddd");
    assert_eq!(pass(&mut follower), ["cccc", "dddd"]);
}

#[test]
fn a_position_that_makes_no_sense_is_none() {
    let folder = Folder::new();
    folder.append("log", "1\n");
    for position in [
        json!(null),
        json!(5),
        json!({}),
        json!({ "files": [1, {}], "unreadable": [1, [], [1, 2, 3, "4"]] }),
        json!({ "files": [{ "first": "zz", "head": "zz", "len": 1, "offset": 1 }] }),
        json!({ "files": [{ "first": "é", "head": "é", "len": 1, "offset": 1 }] }),
        json!({ "files": [{ "first": "0".repeat(32), "head": "0".repeat(32), "len": u64::MAX, "offset": u64::MAX }] }),
    ] {
        assert_eq!(pass(&mut folder.follow(Some(&position))), ["1"], "{position}");
    }
}

/// What may happen to a log between two looks.
#[derive(Clone, Debug)]
enum Act {
    Write(u8),
    Rename,
    CopyTruncate,
    Compress,
    Look,
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1u8..5).prop_map(Act::Write),
        1 => Just(Act::Rename),
        1 => Just(Act::CopyTruncate),
        1 => Just(Act::Compress),
        2 => Just(Act::Look),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever rotates when, every line comes once and in order.
    #[test]
    fn any_rotation_gives_every_line_once(acts in acts()) {
        let folder = Folder::new();
        let mut follower = folder.follow(None);
        let (mut written, mut seen) = (0u32, Vec::new());
        let shift = |folder: &Folder| {
            for n in (1..20).rev() {
                for end in ["", ".gz"] {
                    let from = format!("log.{n}{end}");
                    if folder.path(&from).exists() {
                        folder.rename(&from, &format!("log.{}{end}", n + 1));
                    }
                }
            }
        };
        for act in acts.into_iter().chain([Act::Look]) {
            match act {
                Act::Write(lines) => for _ in 0..lines {
                    written += 1;
                    folder.append("log", &format!("{written}\n"));
                },
                Act::Rename if folder.path("log").exists() => {
                    shift(&folder);
                    folder.rename("log", "log.1");
                }
                Act::CopyTruncate if folder.path("log").exists() => {
                    shift(&folder);
                    fs::copy(folder.path("log"), folder.path("log.1")).unwrap();
                    File::options().write(true).open(folder.path("log")).unwrap().set_len(0).unwrap();
                }
                Act::Compress if folder.path("log.2").exists() => folder.compress("log.2", "log.2.gz"),
                Act::Look => seen.extend(pass(&mut follower)),
                Act::Restart => follower = folder.follow(Some(&follower.position())),
                _ => {}
            }
        }
        let expected: Vec<String> = (1..=written).map(|n| n.to_string()).collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn a_large_file_is_not_read_again_for_one_line() {
    let folder = Folder::new();
    let file = File::create(folder.path("log")).unwrap();
    // Sparse, so that only a reader that goes through it all takes long: one line of zeros, 64 GiB of it.
    file.set_len(64 << 30).unwrap();
    folder.append("log", "\nlast\n");
    let head = to_hex(&hash(&[0; HEAD_BYTES]));
    let at = (64u64 << 30) + 1;
    let position = json!({ "files": [{ "first": head, "head": head, "len": HEAD_BYTES, "offset": at }] });
    let started = std::time::Instant::now();
    assert_eq!(pass(&mut folder.follow(Some(&position))), ["last"]);
    assert!(started.elapsed() < Duration::from_secs(1));
}
