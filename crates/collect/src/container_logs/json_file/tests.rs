use std::{fs, io::Write};

use super::*;

/// Writes a log as the driver does.
struct Driver {
    folder: tempfile::TempDir,
    file: File,
    lines: i64,
}

impl Driver {
    fn new() -> Driver {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("log")).unwrap();
        Driver { folder, file, lines: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Another line: `line 1`, `line 2` …
    fn write(&mut self) {
        self.lines += 1;
        let time = Nanos(self.lines * 1_000_000_000);
        writeln!(self.file, r#"{{"log":"line {}\n","stream":"stdout","time":"{time}"}}"#, self.lines)
            .unwrap();
    }

    fn rotate(&mut self, keep: u32, compress: bool) {
        let name = |number: u32, packed: bool| {
            let suffix = if packed { ".gz" } else { "" };
            self.folder.path().join(if number == 0 { "log".into() } else { format!("log.{number}{suffix}") })
        };
        let _ = fs::remove_file(name(keep - 1, compress));
        for number in (1..keep - 1).rev() {
            let _ = fs::rename(name(number, compress), name(number + 1, compress));
        }
        fs::rename(name(0, false), name(1, false)).unwrap();
        if compress {
            let packed = File::create(name(1, true)).unwrap();
            let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
            encoder.write_all(&fs::read(name(1, false)).unwrap()).unwrap();
            encoder.finish().unwrap();
            fs::remove_file(name(1, false)).unwrap();
        }
        self.file = File::create(name(0, false)).unwrap();
    }
}

/// What there is to read, as text; `!` before what was lost.
fn read(log: &mut JsonFile) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        match log.next() {
            Step::Piece(piece) => {
                assert_eq!(piece.end, End::Here);
                found.push(String::from_utf8(piece.bytes).unwrap());
            }
            Step::Lost(reason) => found.push(format!("!{reason}")),
            Step::Idle => return found,
        }
    }
}

fn lines(range: std::ops::RangeInclusive<i64>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

#[test]
fn every_line_is_read_once_whatever_is_rotated() {
    for compress in [false, true] {
        // Looking after each step, and only at times, up to as many rotations as are kept.
        for look_every in 1..=7 {
            let mut driver = Driver::new();
            let mut log = JsonFile::open(&driver.path(), None).unwrap();
            let mut found = Vec::new();
            for step in 0..40 {
                driver.write();
                if step % 3 == 2 {
                    driver.rotate(5, compress);
                }
                if step % look_every == 0 {
                    found.extend(read(&mut log));
                }
                if step % 11 == 10 {
                    // Ours is started again.
                    log = JsonFile::open(&driver.path(), log.place()).unwrap();
                }
            }
            found.extend(read(&mut log));
            assert_eq!(found, lines(1..=40), "compress {compress}, every {look_every}");
        }
    }
}

#[test]
fn what_is_gone_is_said() {
    let mut driver = Driver::new();
    let mut log = JsonFile::open(&driver.path(), None).unwrap();
    driver.write();
    assert_eq!(read(&mut log), lines(1..=1));
    for _ in 0..4 {
        driver.write();
        driver.rotate(3, false);
    }
    driver.write();
    let lost = format!("!{ROTATED_AWAY}");
    // What was written to the open file before it was removed is still there.
    assert_eq!(read(&mut log), [lines(2..=2), vec![lost], lines(4..=6)].concat());
    assert_eq!(read(&mut log), [""; 0]);
}

#[test]
fn a_log_of_one_file_is_emptied() {
    let mut driver = Driver::new();
    let mut log = JsonFile::open(&driver.path(), None).unwrap();
    for _ in 0..3 {
        driver.write();
    }
    assert_eq!(read(&mut log), lines(1..=3));
    driver.file.set_len(0).unwrap();
    driver.file = File::options().append(true).open(driver.path()).unwrap();
    driver.write();
    let found = read(&mut log);
    assert!(found[0].starts_with("!was emptied"), "{found:?}");
    assert_eq!(found[1..], lines(4..=4));
}

#[test]
fn a_removed_log_is_read_to_its_end() {
    let mut driver = Driver::new();
    driver.write();
    let mut log = JsonFile::open(&driver.path(), None).unwrap();
    assert_eq!(read(&mut log), lines(1..=1));
    driver.write();
    fs::remove_file(driver.path()).unwrap();
    driver.write();
    assert_eq!(read(&mut log), lines(2..=3));
    assert!(JsonFile::open(&driver.path(), None).is_err());
}

#[test]
fn pieces_and_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let long = "x".repeat(200_000);
    let text = [
        r#"{"log":"a","stream":"stderr","attrs":{"tag":"x"},"time":"2026-11-21T03:04:05.000000001Z"}"#,
        r#"{"log":"b\u001b[0m\u0000 \ud83e\udd80\n","stream":"stderr","time":"2026-11-21T03:04:05.000000001Z"}"#,
        "\0\0\0\0",
        &format!(r#"{{"log":"{long}\n","stream":"stdout","time":"2026-11-21T03:04:06Z"}}"#),
        r#"{"log":"\n","stream":"stdout","time":"yesterday"}"#,
        &"y".repeat(MAX_LINE_BYTES * 2),
        r#"{"log":"\n","stream":"stdout","time":"2026-11-21T03:04:07Z"}"#,
        r#"{"log":"not yet wh"#,
    ]
    .join("\n");
    fs::write(&path, text).unwrap();
    let mut log = JsonFile::open(&path, None).unwrap();
    let mut found = Vec::new();
    loop {
        match log.next() {
            Step::Piece(piece) => {
                let text = String::from_utf8(piece.bytes).unwrap();
                let text: String = if text.len() > 100 { format!("{} bytes", text.len()) } else { text };
                found.push(format!("{} {text:?} {}", piece.stream.name(), piece.end == End::Here));
            }
            Step::Lost(reason) => found.push(format!("lost: {}", reason.split(':').next().unwrap())),
            Step::Idle => break,
        }
    }
    assert_eq!(
        found,
        [
            r#"stderr "a" false"#,
            r#"stderr "b\u{1b}[0m\0 🦀" true"#,
            "lost: holds at byte 190 what is no line of a log",
            r#"stdout "200000 bytes" true"#,
            "lost: holds at byte 200256 what is no line of a log",
            // Of a line that is too long, its end.
            "lost: cannot be read",
            "lost: holds at byte 1310720 what is no line of a log",
            r#"stdout "" true"#,
        ]
    );
}
