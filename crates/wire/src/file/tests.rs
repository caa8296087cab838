use super::*;
use crate::made::parcels;
use std::time::Duration;

fn config(dir: &Path, more: serde_json::Value) -> SinkConfig {
    let mut config = serde_json::json!({"path": dir.join("below/events.ndjson")});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: SinkConfig = serde_json::from_value(config).unwrap();
    assert_eq!(config.check(), []);
    config
}

fn writer(config: &SinkConfig) -> Writer {
    Writer { config: config.clone(), open: None }
}

/// The files of the folder in the order of their names, with what is in them.
fn files(config: &SinkConfig) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(config.path.parent().unwrap())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut text = String::new();
            match path.extension().unwrap().to_str() {
                Some("gz") => {
                    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
                }
                Some("zst") => text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap(),
                _ => text = String::from_utf8(bytes).unwrap(),
            }
            (name, text)
        })
        .collect();
    files.sort();
    files
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

#[tokio::test]
async fn whole_lines_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), serde_json::json!({}));
    let mut sink = FileSink::new(config.clone());
    let mut events = parcels(3);
    events[1].entry = bytes::Bytes::from_static(b"no entry");
    let refused = sink.deliver(&events).await.unwrap();
    assert_eq!(refused.iter().map(|refused| refused.at).collect::<Vec<_>>(), [1]);
    sink.deliver(&parcels(1)).await.unwrap();
    let text = fs::read_to_string(&config.path).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, ["e0", "e2", "e0"]);
    assert_eq!(fs::metadata(&config.path).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn what_a_crash_left_of_a_line_is_cut() {
    for (left, kept) in [
        (String::new(), ""),
        ("a\nb\n".to_owned(), "a\nb\n"),
        ("a\nhalf".to_owned(), "a\n"),
        ("half".to_owned(), ""),
        (format!("a\n{}", "x".repeat(200_000)), "a\n"),
        ("x".repeat(65_536), ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), serde_json::json!({}));
        fs::create_dir_all(config.path.parent().unwrap()).unwrap();
        fs::write(&config.path, &left).unwrap();
        writer(&config).write(b"next\n", at(0)).unwrap();
        assert_eq!(
            fs::read_to_string(&config.path).unwrap(),
            format!("{kept}next\n"),
            "{} bytes",
            left.len()
        );
    }
}

#[test]
fn rotates_by_size_and_keeps_so_many() {
    for (compress, extension) in [("none", ""), ("gzip", ".gz"), ("zstd", ".zst")] {
        let dir = tempfile::tempdir().unwrap();
        let config =
            config(dir.path(), serde_json::json!({"max_bytes": 10, "keep": 2, "compress": compress}));
        let mut writer = writer(&config);
        for second in 0..8 {
            writer.write(format!("line{second}\n").as_bytes(), at(second / 2)).unwrap();
        }
        // Two within a second have different names.
        let expected = [
            ("events.ndjson".to_owned(), "line7\n".to_owned()),
            (format!("events.ndjson.20231114T221323.000Z{extension}"), "line5\n".to_owned()),
            (format!("events.ndjson.20231114T221323.001Z{extension}"), "line6\n".to_owned()),
        ];
        assert_eq!(files(&config), expected, "{compress}");
        // A line that is longer than a file may be has a file of its own.
        writer.write(&[b"x".repeat(50), b"\n".to_vec()].concat(), at(9)).unwrap();
        writer.write(b"y\n", at(10)).unwrap();
        assert_eq!(fs::read_to_string(&config.path).unwrap(), "y\n");
    }
}

#[test]
fn rotates_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), serde_json::json!({"max_age": "1h"}));
    let mut writer = writer(&config);
    let now = SystemTime::now();
    for (hours, files_then) in [(0, 1), (0, 1), (2, 2)] {
        writer.write(b"x\n", now + Duration::from_secs(hours * 3_600)).unwrap();
        assert_eq!(files(&config).len(), files_then);
    }
}

#[test]
fn what_was_cut_short_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), serde_json::json!({"compress": "zstd"}));
    let folder = config.path.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("events.ndjson.20231114T221320.000Z"), "full\n").unwrap();
    fs::write(folder.join("events.ndjson.20231114T221320.000Z.zst.tmp"), "half").unwrap();
    fs::write(folder.join("events.ndjson.old"), "not ours\n").unwrap();
    writer(&config).write(b"x\n", at(0)).unwrap();
    let names: Vec<(String, String)> = files(&config);
    assert_eq!(
        names,
        [
            ("events.ndjson".to_owned(), "x\n".to_owned()),
            ("events.ndjson.20231114T221320.000Z.zst".to_owned(), "full\n".to_owned()),
            ("events.ndjson.old".to_owned(), "not ours\n".to_owned()),
        ]
    );
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), serde_json::json!({}));
    let mut writer = writer(&config);
    writer.write(b"a\n", at(0)).unwrap();
    let aside = config.path.with_file_name("aside");
    fs::rename(&config.path, &aside).unwrap();
    writer.write(b"b\n", at(0)).unwrap();
    fs::remove_file(&config.path).unwrap();
    writer.write(b"c\n", at(0)).unwrap();
    assert_eq!(fs::read_to_string(&config.path).unwrap(), "c\n");
    assert_eq!(fs::read_to_string(&aside).unwrap(), "a\n");
}

/// A full disk, as the kernel's own `/dev/full` plays it: every write fails with ENOSPC.
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), serde_json::json!({}));
    fs::create_dir_all(config.path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &config.path).unwrap();
    let mut sink = FileSink::new(config.clone());
    let failure = sink.deliver(&parcels(2)).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Again { delivered: 0, reason, .. } if reason.contains("events.ndjson")),
        "{failure:?}"
    );
    fs::remove_file(&config.path).unwrap();
    assert_eq!(sink.deliver(&parcels(2)).await, Ok(vec![]));
    assert_eq!(fs::read_to_string(&config.path).unwrap().lines().count(), 2);
}
