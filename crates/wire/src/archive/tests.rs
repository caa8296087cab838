use super::*;
use crate::made::parcel;
use serde_json::json;

fn config(dir: &Path) -> SinkConfig {
    let config: SinkConfig = serde_json::from_value(json!({"folder": dir.join("archive")})).unwrap();
    assert_eq!(config.check(), []);
    config
}

fn events() -> Vec<Parcel> {
    let event = |number, name: &str, time: &str| {
        parcel(number, "audit", &json!({"event_name": name, "event_time": time}))
    };
    vec![
        event(0, "login.failure", "2026-11-21T23:59:59.5Z"),
        event(1, "login.failure", "2026-11-22T00:00:00Z"),
        event(2, "row/../update ü", "2026-11-21T00:00:00Z"),
        event(3, "login.failure", "2026-11-21T10:00:00+02:00"),
    ]
}

fn ids(path: &Path) -> Vec<String> {
    let text = String::from_utf8(zstd::decode_all(File::open(path).unwrap()).unwrap()).unwrap();
    let id = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

#[tokio::test]
async fn by_day_and_name_with_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut sink = ArchiveSink::new(config.clone());
    let mut events = events();
    events.push(parcel(4, "audit", &json!({})));
    events[4].entry = bytes::Bytes::from_static(b"no entry");
    let refused = sink.deliver(&events).await.unwrap();
    assert_eq!(refused.iter().map(|refused| refused.at).collect::<Vec<_>>(), [4]);
    // Another process appends.
    ArchiveSink::new(config.clone()).deliver(&events[..1]).await.unwrap();
    let file = config.folder.join("2026-11-21/login.failure.ndjson.zst");
    assert_eq!(ids(&file), ["e0", "e3", "e0"]);
    assert_eq!(ids(&config.folder.join("2026-11-22/login.failure.ndjson.zst")), ["e1"]);
    assert_eq!(ids(&config.folder.join("2026-11-21/row%2F..%2Fupdate%20%C3%BC.ndjson.zst")), ["e2"]);
    let index = Index::read(&file).unwrap().unwrap();
    assert_eq!((index.events, index.bytes), (3, fs::metadata(&file).unwrap().len()));
    assert_eq!(index.sha256, hex(Sha256::digest(fs::read(&file).unwrap())));
    assert_eq!(index.first, Some(Nanos::parse("2026-11-21T08:00:00Z").unwrap()));
    assert_eq!(index.last, Some(Nanos::parse("2026-11-21T23:59:59.5Z").unwrap()));
    assert_eq!(verify(&config.folder).unwrap(), Verified { files: 3, events: 5, damages: vec![] });
}

/// However much of a frame was written when the program ended: it is cut, and the batch comes again.
#[test]
fn what_a_crash_left_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let parts = |events: &[Parcel]| {
        let mut parts = BTreeMap::new();
        events.iter().for_each(|event| sort(event, &mut parts).unwrap());
        parts
    };
    let archive = || Archive { config: config.clone(), known: HashMap::new() };
    let events = events();
    archive().append(parts(&events[..1])).unwrap();
    let file = config.folder.join("2026-11-21/login.failure.ndjson.zst");
    let (before, index) = (fs::read(&file).unwrap(), Index::read(&file).unwrap().unwrap());
    archive().append(parts(&events[3..])).unwrap();
    let after = fs::read(&file).unwrap();
    for end in before.len()..=after.len() {
        fs::write(&file, &after[..end]).unwrap();
        index.write(&file).unwrap();
        assert_eq!(verify(&config.folder).unwrap().damages, []);
        archive().append(parts(&events[3..])).unwrap();
        assert_eq!(fs::read(&file).unwrap(), after, "{end} bytes had been written");
    }
    // It ended before the first index was there.
    let first = config.folder.join("2026-11-22/login.failure.ndjson.zst");
    fs::create_dir_all(first.parent().unwrap()).unwrap();
    fs::write(&first, b"half a frame").unwrap();
    archive().append(parts(&events[1..2])).unwrap();
    assert_eq!(ids(&first), ["e1"]);
}

#[tokio::test]
async fn damage_is_found_and_never_written_over() {
    for (case, word) in [
        ("flipped", "SHA-256"),
        ("cut", "bytes"),
        ("gone", "missing"),
        ("count", "events"),
        ("index", "index"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        ArchiveSink::new(config.clone()).deliver(&events()).await.unwrap();
        let file = config.folder.join("2026-11-21/login.failure.ndjson.zst");
        let mut bytes = fs::read(&file).unwrap();
        match case {
            "flipped" => {
                bytes[20] ^= 1;
                fs::write(&file, &bytes).unwrap();
            }
            "cut" => fs::write(&file, &bytes[..20]).unwrap(),
            "gone" => fs::remove_file(&file).unwrap(),
            "count" => Index { events: 9, ..Index::read(&file).unwrap().unwrap() }.write(&file).unwrap(),
            _ => fs::write(index::index_path(&file), "{").unwrap(),
        }
        let verified = verify(&config.folder).unwrap();
        assert_eq!((verified.files, verified.damages.len()), (2, 1), "{case}");
        assert!(verified.damages[0].reason.contains(word), "{case}: {:?}", verified.damages);
        if case == "count" {
            continue;
        }
        let left = fs::read(&file).ok();
        ArchiveSink::new(config.clone()).deliver(&events()[..1]).await.unwrap();
        assert_eq!(ids(&file), ["e0"], "{case}: begun anew");
        let aside = file.with_added_extension("damaged-1");
        assert_eq!(fs::read(&aside).ok(), left, "{case}: set aside");
        assert_eq!(verify(&config.folder).unwrap().damages.len(), 1, "{case}: still told");
    }
}

#[tokio::test]
async fn a_failure_leaves_nothing_of_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut sink = ArchiveSink::new(config.clone());
    sink.deliver(&events()[..1]).await.unwrap();
    // The other day's folder cannot be made.
    fs::write(config.folder.join("2026-11-22"), "in the way").unwrap();
    let failure = sink.deliver(&events()).await.unwrap_err();
    assert!(matches!(failure, Failure::Again { delivered: 0, .. }), "{failure:?}");
    fs::remove_file(config.folder.join("2026-11-22")).unwrap();
    assert_eq!(sink.deliver(&events()).await, Ok(vec![]));
    assert_eq!(ids(&config.folder.join("2026-11-21/login.failure.ndjson.zst")), ["e0", "e0", "e3"]);
    assert_eq!(verify(&config.folder).unwrap().damages, []);
}

#[test]
fn names_of_files() {
    for (name, file) in [
        ("login.failure", "login.failure"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        ("a\0b", "a%00b"),
        ("100%", "100%25"),
        ("", ""),
    ] {
        assert_eq!(file_name(name), format!("{file}.ndjson.zst"));
    }
    let (one, other) = (file_name(&"ü".repeat(500)), file_name(&("ü".repeat(500) + "x")));
    assert!(one.len() < 200 && other.len() < 200 && one != other);
}
