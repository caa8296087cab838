//! Snapshots by the real program: asked for, missed and made up, killed in the middle; opened by nothing but `gpg`, `zstd` and `sqlite`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attestry_testkit::{GnuPg, MariaDb, Scenario, wait_for};
use serde_json::Value;

use crate::ATTESTRY;

const SOON: Duration = Duration::from_secs(60);

fn events(scenario: &Scenario, query: &str) -> Vec<Value> {
    let out = scenario.attestry(&["search", query, "--json"]).is(0).out;
    out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Decrypts and unpacks, as whoever it is encrypted to would.
fn opened(reader: &GnuPg, file: &Path, to: &Path) -> PathBuf {
    let packed = to.with_extension("zst");
    reader.decrypt(file, &packed).is(0).says("VALIDSIG");
    let unpacked = Command::new("zstd").args(["-q", "-d", "-f", "-o"]).arg(to).arg(&packed).status().unwrap();
    assert!(unpacked.success());
    to.to_owned()
}

#[test]
fn a_dump_is_signed_encrypted_whole_or_not_there() {
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(40)); INSERT INTO accounts VALUES (1, 'Ada'), (2, 'Ben')");
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    let (us, reader) = (GnuPg::new(), GnuPg::new());
    let signer = us.key("Attestry <attestry@example.org>");
    let key = reader.key("Reader <reader@example.org>");
    us.import(&reader, &key);
    reader.import(&us, &signer);

    let mut scenario = Scenario::new(ATTESTRY).with("SUDO_USER", "dora");
    let (folder, slow) = (scenario.dir().join("snapshots"), scenario.dir().join("slow"));
    std::fs::write(
        &slow,
        "#!/bin/sh\nmariadb-dump \"$@\"; touch \"$0.reached\"; [ ! -e \"$0.hang\" ] || sleep 1000\n",
    )
    .unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "openpgp: {{home: {home}}}\naudit:\n  bank:\n    url: {url}\n    snapshots:\n      nightly: {{schedule: '0 3 * * *', folder: {folder}, program: {slow}, sign_with: attestry@example.org, encrypt_to: [reader@example.org]}}\n      evidence: {{what: copy, folder: {folder}, sign_with: attestry@example.org, encrypt_to: [reader@example.org]}}\n",
        home = us.home().display(),
        url = server.url(),
        folder = folder.display(),
        slow = slow.display(),
    );
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario
        .attestry(&["db", "check"])
        .is(1)
        .says("nobody has said that the key")
        .says(&format!("--quick-lsign-key {key}"));
    scenario.attestry(&["db", "snapshot", "bank"]).is(1).says("nothing runs on");
    scenario.start();
    let failed = scenario.attestry(&["db", "snapshot", "bank", "nightly"]).is(1);
    failed.says("nobody has said that the key");
    assert_eq!(events(&scenario, "event_name:snapshot.failed").len(), 1);
    assert_eq!(names(&folder), [""; 0]);
    us.trust(&key, 6);
    scenario.attestry(&["db", "check"]).is(0).says("dumps by");
    scenario.attestry(&["db", "snapshot", "bank", "weekly"]).is(1).says("there are: evidence, nightly");

    wait_for("the watch has the rows", SOON, || {
        let status: Value =
            serde_json::from_str(&scenario.attestry(&["db", "status", "--json"]).is(0).out).unwrap();
        (status[0]["tables"][0]["rows"] == 2).then_some(())
    });
    scenario.attestry(&["db", "snapshot", "bank"]).is(0).says("bank@nightly-").says("bank@evidence-");
    let made = events(&scenario, "event_name:snapshot.made");
    assert_eq!(made.len(), 2);
    for event in &made {
        let data = &event["event_data"];
        assert_eq!(
            (&data["signed_with"], &data["encrypted_to"][0]),
            (&signer.as_str().into(), &key.as_str().into())
        );
        assert!(event["username"] == "dora" && data["position"].is_string(), "{event}");
        let file = folder.join(data["file"].as_str().unwrap());
        let sum = Command::new("sha256sum").arg(&file).output().unwrap();
        assert!(String::from_utf8_lossy(&sum.stdout).starts_with(data["sha256"].as_str().unwrap()));
        let plain = opened(&reader, &file, &scenario.dir().join("plain"));
        match data["what"].as_str().unwrap() {
            // It is what the copy is compared with.
            "watched" => {
                let dump = plain.display().to_string();
                scenario.attestry(&["db", "audit-dump", "--against", "bank", &dump]).is(0);
            }
            _ => {
                // In the place of the copy it is a copy.
                assert!(std::fs::read(&plain).unwrap().starts_with(b"SQLite format 3\0"));
                scenario.stop();
                let copy = scenario.data().join("databases/bank.sqlite");
                for more in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{}{more}", copy.display()));
                }
                std::fs::copy(&plain, &copy).unwrap();
                scenario.start();
                wait_for("the watch goes on", SOON, || {
                    let status: Value =
                        serde_json::from_str(&scenario.attestry(&["db", "status", "--json"]).is(0).out)
                            .unwrap();
                    (status[0]["tables"][0]["rows"] == 2 && status[0]["state"] == "following").then_some(())
                });
            }
        }
    }

    // Killed when nearly all of it is written.
    std::fs::write(slow.with_extension("hang"), "").unwrap();
    let _ = std::fs::remove_file(slow.with_extension("reached"));
    let before: Vec<String> = names(&folder);
    let last = scenario.data().join("databases/bank.snapshots.json");
    scenario.stop();
    std::fs::write(&last, "{\"nightly\": 0}").unwrap();
    scenario.start();
    wait_for("the missed one is being made", SOON, || slow.with_extension("reached").exists().then_some(()));
    scenario.kill();
    let left: Vec<String> = names(&folder).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(left, before);
    std::fs::remove_file(slow.with_extension("hang")).unwrap();
    scenario.start();
    let made_up = wait_for("the missed one is made", SOON, || {
        let made = events(&scenario, "event_name:snapshot.made username:\\-");
        (!made.is_empty()).then_some(made)
    });
    assert_eq!(made_up.len(), 1, "{made_up:?}");
    assert_eq!(names(&folder).len(), before.len() + 1);
    assert!(names(&folder).iter().all(|name| !name.starts_with('.')));
    scenario.finish();
}
