//! Snapshots of real databases, opened by nothing but `gpg` and `zstd`, restored, and the same.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use attestry_db::WatchConfig;
use attestry_db::copy::Copy;
use attestry_db::snapshot::{Due, Made, Order, SnapshotConfig, SnapshotError, made as told, make};
use attestry_event::Nanos;
use attestry_openpgp::{Gpg, OpenpgpConfig};
use attestry_testkit::{Authority, GnuPg, MariaDb, Postgres};
use sha2::{Digest, Sha256};

/// A password that is hard to quote, and easy to find.
const PASSWORD: &str = "sw0rd'fish\"#\\ :x";
const MARK: &str = "sw0rd";

struct World {
    folder: tempfile::TempDir,
    us: GnuPg,
    readers: Vec<(GnuPg, String)>,
    signer: String,
}

impl World {
    fn new() -> World {
        let us = GnuPg::new();
        let signer = us.key("Attestry <attestry@example.org>");
        let mut readers = Vec::new();
        for name in ["Alice <alice@example.org>", "Bob <bob@example.org>"] {
            let reader = GnuPg::new();
            let key = reader.key(name);
            us.import(&reader, &key);
            us.trust(&key, 6);
            reader.import(&us, &signer);
            readers.push((reader, key));
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        World { folder, us, readers, signer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn snapshots(&self) -> PathBuf {
        self.path("snapshots")
    }

    /// A watch at this address with one snapshot, to which `more` is added.
    fn watch(&self, url: &str, tls: &str, more: &str) -> WatchConfig {
        let yaml = format!(
            "url: {url}\npassword: {{file: {password}}}\n{tls}snapshots:\n  nightly:\n    folder: {folder}\n    keep: 2\n    sign_with: attestry@example.org\n    encrypt_to: [alice@example.org, bob@example.org]\n{more}",
            password = self.path("password").display(),
            folder = self.snapshots().display(),
        );
        serde_saphyr::from_str(&yaml).unwrap()
    }

    fn make(&self, watch: &WatchConfig, copy: &Path) -> Result<Made, SnapshotError> {
        self.make_with(watch, &watch.snapshots["nightly"], copy)
    }

    fn make_with(
        &self,
        watch: &WatchConfig,
        config: &SnapshotConfig,
        copy: &Path,
    ) -> Result<Made, SnapshotError> {
        make(&Order {
            watch: "bank",
            name: "nightly",
            watched: watch,
            config,
            copy,
            gpg: &Gpg::new(&OpenpgpConfig { home: Some(self.us.home()), ..OpenpgpConfig::default() }),
            now: Nanos(1_795_275_740_000_000_000),
            position: &|| Some("0-1-42".to_owned()),
            stop: &Arc::new(AtomicBool::new(false)),
        })
    }

    /// What a reader finds in it, by programs that know nothing of us.
    fn opened(&self, made: &Made, reader: usize) -> Vec<u8> {
        let sealed = self.snapshots().join(&made.file);
        let bytes = std::fs::read(&sealed).unwrap();
        assert_eq!((bytes.len() as u64, hex(&bytes)), (made.bytes, made.sha256.clone()));
        assert_eq!(std::fs::metadata(&sealed).unwrap().permissions().mode() & 0o777, 0o600);
        let packed = self.path(&format!("packed-{reader}"));
        let ran = self.readers[reader].0.decrypt(&sealed, &packed);
        ran.is(0).says(&format!("VALIDSIG {}", self.signer));
        let output = Command::new("zstd").args(["-d", "-c"]).arg(&packed).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            (output.stdout.len() as u64, hex(&output.stdout)),
            (made.dump_bytes, made.dump_sha256.clone())
        );
        output.stdout
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.snapshots()) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A program that writes down what everybody sees of it, and then is another one.
    fn watched_program(&self, program: &str) -> (PathBuf, PathBuf) {
        let (wrapper, seen) = (self.path("program"), self.path("seen"));
        let script = format!(
            "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/cmdline >> {0}\ntr '\\0' '\\n' < /proc/$$/environ >> {0}\nexec {program} \"$@\"\n",
            seen.display()
        );
        script_at(&wrapper, &script);
        (wrapper, seen)
    }
}

fn script_at(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hands a dump to the database's own client.
fn restore(client: &mut Command, dump: &[u8]) {
    use std::io::Write;
    let mut child =
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(dump).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const ROWS: &str = "SELECT id, owner, balance FROM accounts ORDER BY id";

#[test]
fn of_mariadb() {
    let server = MariaDb::started();
    server.query(
        "CREATE TABLE accounts (id BIGINT UNSIGNED PRIMARY KEY, owner VARCHAR(80), balance DECIMAL(30, 10), image VARBINARY(10)) CHARACTER SET utf8mb4;
         INSERT INTO accounts VALUES (1, 'Ada 😀 \\'x\\'', '12345678901234567890.0123456789', 0x00FF0A27), (18446744073709551615, NULL, NULL, '');
         CREATE TRIGGER t BEFORE INSERT ON accounts FOR EACH ROW SET NEW.owner = upper(NEW.owner);
         INSERT INTO accounts SELECT seq, md5(seq), seq / 7, NULL FROM seq_2_to_20000;",
    );
    let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    server.query(&format!(
        "CREATE USER auditor@'127.0.0.1' IDENTIFIED BY '{quoted}'; GRANT SELECT, TRIGGER ON test.* TO auditor@'127.0.0.1';
         GRANT SET USER ON *.* TO test@'127.0.0.1'"
    ));
    let world = World::new();
    let (program, seen) = world.watched_program("mariadb-dump");
    let watch = world.watch(&server.url_for("auditor"), "", &format!("    program: {}\n", program.display()));
    let made = world.make(&watch, Path::new("/none")).unwrap();
    assert_eq!(made.file, "bank@nightly-20261121T154220Z.sql.zst.gpg");
    assert_eq!(made.position.as_deref(), Some("0-1-42"));
    let keys: Vec<&str> = made.recipients.iter().map(|key| key.as_str()).collect();
    assert_eq!(keys, world.readers.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>());
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("--single-transaction") && !seen.contains(MARK), "{seen}");

    let dump = world.opened(&made, 0);
    assert_eq!(world.opened(&made, 1), dump);
    let mut client = Command::new("mariadb");
    let port = server.url().rsplit_once(':').unwrap().1.split_once('/').unwrap().0.to_owned();
    client.args(["--no-defaults", "-h", "127.0.0.1", "-P", &port, "-u", "test", "test"]);
    let select = format!("SELECT hex(image) FROM accounts ORDER BY id; {ROWS}; SHOW TRIGGERS");
    let before = server.query(&select);
    server.query("DROP TABLE accounts");
    restore(&mut client, &dump);
    let trigger = |rows: String| rows.split("\nt\t").next().unwrap().to_owned();
    assert_eq!(trigger(server.query(&select)), trigger(before));
    assert_ne!(server.query("SHOW TRIGGERS"), "");

    // A wrong password is told, and is not in what is told; nothing is left.
    std::fs::write(world.path("password"), "sw0rdfish-wrong").unwrap();
    let error = world.make(&watch, Path::new("/none")).unwrap_err();
    assert!(error.to_string().contains("Access denied"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(MARK), "{error:?}");
    assert_eq!(world.files(), [made.file]);
}

#[test]
fn of_postgresql() {
    let authority = Authority::new();
    let server = Postgres::started_with_tls(&authority);
    server.query(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner TEXT, balance NUMERIC, image BYTEA);
         INSERT INTO accounts VALUES (1, E'Ada 😀 ''x''\\t\\\\.\\n', 12345678901234567890.0123456789, '\\x00ff0a27'), (2, NULL, 'NaN', NULL);
         INSERT INTO accounts SELECT n, md5(n::text), n / 7.0, NULL FROM generate_series(3, 20000) n;
         CREATE SCHEMA other; CREATE TABLE other.hidden (id INT);",
    );
    let quoted = PASSWORD.replace('\'', "''");
    server.query(&format!(
        "CREATE ROLE auditor LOGIN PASSWORD '{quoted}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor"
    ));
    let world = World::new();
    let (program, seen) = world.watched_program("pg_dump");
    let tls = format!("tls: {{ca: {}}}\n", authority.ca().display());
    let watch =
        world.watch(&server.url_of("auditor"), &tls, &format!("    program: {}\n", program.display()));
    let made = world.make(&watch, Path::new("/none")).unwrap();
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("PGPASSFILE=/proc/self/fd/") && !seen.contains(MARK), "{seen}");

    let dump = world.opened(&made, 1);
    let other = Postgres::started();
    // The schema is in the dump, and the server's own is there.
    other.query("DROP SCHEMA public; CREATE ROLE auditor");
    let mut client = Command::new("psql");
    client.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &other.url()]);
    restore(&mut client, &dump);
    let select = format!("SELECT encode(image, 'hex') FROM accounts ORDER BY id; {ROWS}");
    assert_eq!(other.query(&select), server.query(&select));
    assert_eq!(other.query("SELECT to_regclass('other.hidden')"), "");

    std::fs::write(world.path("password"), "sw0rdfish-wrong").unwrap();
    let error = world.make(&watch, Path::new("/none")).unwrap_err();
    assert!(error.to_string().contains("password authentication failed"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(MARK), "{error:?}");
    assert_eq!(world.files(), [made.file]);
}

#[test]
fn what_fails_leaves_nothing_and_says_why() {
    let world = World::new();
    let good = "i=0; while [ $i -lt 3000 ]; do echo \"INSERT INTO t VALUES ($i);\"; i=$((i+1)); done";
    let program = world.path("program");
    let with = |script: &str, more: &str| {
        script_at(&program, &format!("#!/bin/sh\n{script}\n"));
        world.watch("mysql://a@127.0.0.1:1/bank", "", &format!("    program: {}\n{more}", program.display()))
    };
    let none = Path::new("/none");
    for (script, more, says) in [
        (format!("{good}; echo 'table t is gone' >&2; exit 2"), "", "program failed: table t is gone"),
        (format!("{good}; kill -9 $$"), "", "program failed: signal: 9"),
        (format!("{good}; sleep 1000"), "    timeout: 300ms\n", "gave nothing for 0 s"),
    ] {
        let error = world.make(&with(&script, more), none).unwrap_err();
        assert!(error.to_string().contains(says), "{error:?}");
        assert_eq!(world.files(), [""; 0]);
    }
    let stopped = |watch: &WatchConfig| {
        let config = &watch.snapshots["nightly"];
        make(&Order {
            watch: "bank",
            name: "nightly",
            watched: watch,
            config,
            copy: none,
            gpg: &Gpg::new(&OpenpgpConfig { home: Some(world.us.home()), ..OpenpgpConfig::default() }),
            now: Nanos(0),
            position: &|| None,
            stop: &Arc::new(AtomicBool::new(true)),
        })
    };
    assert!(matches!(stopped(&with(good, "")), Err(SnapshotError::Stopped)));
    let mut watch = with(good, "");
    let nightly = watch.snapshots.get_mut("nightly").unwrap();
    nightly.encrypt_to.push("nobody@example.org".to_owned());
    let error = world.make(&watch, none).unwrap_err();
    assert!(error.to_string().contains("--import KEY.asc"), "{error:?}");
    let mut watch = with(good, "");
    watch.snapshots.get_mut("nightly").unwrap().program = Some("/no/such/program".into());
    let error = world.make(&watch, none).unwrap_err();
    assert!(error.to_string().contains("apt-get install mariadb-client"), "{error:?}");
    assert_eq!(world.files(), [""; 0]);

    // What was left by one that was killed goes with the next; no more than two stay.
    std::fs::write(world.snapshots().join(".bank@nightly-unfinished"), "half").unwrap();
    let watch = with(good, "");
    let made: Vec<Made> = (0..3).map(|_| world.make(&watch, none).unwrap()).collect();
    assert_eq!(made[2].removed, [made[0].file.clone()]);
    assert_eq!(world.files(), [made[1].file.clone(), made[2].file.clone()]);
    assert_eq!(world.opened(&made[1], 0).len() as u64, made[2].dump_bytes);

    // What cannot be removed is told, and the snapshot is made all the same.
    let stuck = "bank@nightly-20000101T000000Z.sql.zst.gpg";
    std::fs::create_dir(world.snapshots().join(stuck)).unwrap();
    let last = world.make(&watch, none).unwrap();
    assert_eq!(last.removed, [made[1].file.clone()]);
    assert!(last.not_removed.len() == 1 && last.not_removed[0].starts_with(stuck), "{last:?}");
    assert_eq!(world.files(), [stuck.to_owned(), last.file.clone(), made[2].file.clone()]);
    let event = told("bank", "nightly", &watch.snapshots["nightly"], "-", Nanos(0), &last);
    assert_eq!((event.severity, event.event_data.unwrap()["not_removed"][0].is_string()), (Some(4), true));
    let _: Due = Due::open(&world.path("bank.sqlite"), &watch.snapshots, Nanos(0)).unwrap();
}

#[test]
fn what_is_encrypted_is_never_in_the_folder_in_clear() {
    let world = World::new();
    let copy = world.path("bank.sqlite");
    drop(Copy::open(&copy).unwrap());
    let (program, wrapper, seen) = (world.path("program"), world.path("gpg"), world.path("seen"));
    script_at(&program, "#!/bin/sh\nyes 'INSERT INTO t VALUES (4711);' | head -n 100000\n");
    // What is in the folder, and what we hold open that was there, before and after it ran.
    let look = format!(
        "{{ ls -l /proc/$PPID/fd | grep -F {0}/; grep -ral -e 'SQLite format 3' -e 'INSERT INTO' {0}; }} < /dev/null >> {1} 2> /dev/null",
        world.snapshots().display(),
        seen.display()
    );
    script_at(&wrapper, &format!("#!/bin/sh\n{look}\ngpg \"$@\"\ncode=$?\n{look}\nexit $code\n"));
    for what in ["watched", "copy"] {
        let kind = match what {
            "copy" => "    what: copy\n".to_owned(),
            _ => format!("    program: {}\n", program.display()),
        };
        let more = format!("{kind}    compression: none\n");
        let watch = world.watch("mysql://a@127.0.0.1:1/bank", "", &more);
        let gpg = OpenpgpConfig {
            home: Some(world.us.home()),
            program: wrapper.clone(),
            ..OpenpgpConfig::default()
        };
        // What a crash left beside the copy.
        std::fs::write(world.path(".bank@nightly-unfinished-copy"), "SQLite format 3").unwrap();
        let made = make(&Order {
            watch: "bank",
            name: "nightly",
            watched: &watch,
            config: &watch.snapshots["nightly"],
            copy: &copy,
            gpg: &Gpg::new(&gpg),
            now: Nanos(0),
            position: &|| None,
            stop: &Arc::new(AtomicBool::new(false)),
        })
        .unwrap();
        assert!(made.dump_bytes > 0, "{made:?}");
        let seen = std::fs::read_to_string(&seen).unwrap();
        let unfinished = |line: &&str| !line.ends_with("/.bank@nightly-unfinished");
        assert!(seen.contains("/.bank@nightly-unfinished\n"), "{what}: {seen}");
        assert_eq!(seen.lines().filter(unfinished).collect::<Vec<_>>(), [""; 0], "{what}");
    }
    assert!(!world.path(".bank@nightly-unfinished-copy").exists());
}
