//! What `attestry install` prints is taken by the programs it is for, and the Debian package has it all.

use std::path::Path;
use std::process::{Command, Output};

use attestry_testkit::Programs;

use crate::ATTESTRY;

#[track_caller]
fn ran(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    format!("{out}{err}")
}

fn install(arguments: &[&str]) -> String {
    ran(Command::new(ATTESTRY).arg("install").args(arguments))
}

#[test]
fn systemd_takes_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("attestry.service");
    let program = format!("program={ATTESTRY}");
    std::fs::write(&unit, install(&["systemd", "--set", &program, "--set", "user=root"])).unwrap();
    let said = ran(Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit));
    assert!(!said.contains("attestry.service"), "{said}");
}

#[test]
fn rsyslog_takes_the_snippet() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rsyslog.conf");
    let snippet = install(&["rsyslog", "--set", "port=10514"]);
    std::fs::write(&file, format!("global(workDirectory=\"{}\")\n{snippet}", folder.path().display()))
        .unwrap();
    let rsyslogd = if Path::new("/usr/sbin/rsyslogd").exists() { "/usr/sbin/rsyslogd" } else { "rsyslogd" };
    let said = ran(Command::new(rsyslogd).arg("-N1").arg("-f").arg(&file));
    assert!(!said.contains("error"), "{said}");
}

#[test]
fn a_mistake_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let output = Command::new(ATTESTRY)
        .args(["install", "cron", "--write", "--root", root, "--set", "shedule=x"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("shedule") && said.contains("schedule"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_debian_package_holds_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/deb");
    let verifier = Programs::beside(ATTESTRY).verifier;
    let made = ran(Command::new(&script).arg(ATTESTRY).arg(&verifier).arg(folder.path()));
    let package = made.trim();
    let root = folder.path().join("root");
    ran(Command::new("dpkg-deb").arg("-x").arg(package).arg(&root));
    let field = |name: &str| ran(Command::new("dpkg-deb").args(["-f", package, name])).trim().to_owned();
    assert_eq!(field("Package"), "attestry");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
    assert!(
        ran(Command::new(root.join("usr/bin/attestry")).arg("--version")).contains(env!("CARGO_PKG_VERSION"))
    );
    ran(Command::new(root.join("usr/bin/attestry-verify")).arg("--version"));
    let unit = std::fs::read_to_string(root.join("usr/lib/systemd/system/attestry.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/attestry run --config /etc/attestry/attestry.yaml"), "{unit}");
    // Its configuration is right, and says where the data directory is.
    let config = root.join("etc/attestry/attestry.yaml");
    let shown = ran(Command::new(ATTESTRY).args(["check", "--show", "--config"]).arg(&config));
    assert!(shown.contains("data_dir: /var/lib/attestry"), "{shown}");
    ran(Command::new("md5sum").args(["--check", "--quiet"]).stdin(sums(package, &root)).current_dir(&root));
}

/// The package's own checksums, as a file to read from.
fn sums(package: &str, root: &Path) -> std::fs::File {
    ran(Command::new("dpkg-deb").arg("-e").arg(package).arg(root.join("DEBIAN")));
    std::fs::File::open(root.join("DEBIAN/md5sums")).unwrap()
}
