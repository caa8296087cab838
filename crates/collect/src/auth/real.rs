//! The lines of the real programs on this machine, as rsyslog writes them down: `real.sh` runs them. It needs root.

use std::{fs, net::TcpListener, process::Command};

use super::*;
use crate::proof::{Host, show_sorted};

#[test]
fn sshd_sudo_su_and_the_tools_of_shadow() {
    let host = Host::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/real.sh");
    let output = Command::new("unshare")
        .args(["--mount", "sh", script])
        .arg(host.folder.path())
        .arg(port.to_string())
        .env("LC_ALL", "C")
        .output()
        .expect("unshare (util-linux) runs");
    let log = fs::read_to_string(host.log("auth.log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{log}", String::from_utf8_lossy(&output.stderr));
    let fingerprint = fs::read_to_string(host.root("fingerprint")).unwrap();

    let mut setup = host.setup("auth");
    setup.names = Arc::new(Names::new([7; 32], host.root("passwd")));
    host.clock.set(attestry_event::Clock::now(&attestry_event::SystemClock));
    let events = host.pass(&mut Auth::new(&setup), &setup);
    let shown: Vec<String> = events.iter().map(show_sorted).collect();
    let all = shown.join("\n");
    let has = |what: &str, parts: &[&str]| {
        let found = shown
            .iter()
            .filter(|line| line.starts_with(what))
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{what} {parts:?} is not in\n{all}\nof\n{log}");
    };
    let count = |name: &str| shown.iter().filter(|line| line.starts_with(name)).count();

    has("group.add - attestg success", &["gid="]);
    has("user.add - attest1 success", &["home=/home/attest1", "shell=/bin/sh", "uid="]);
    has("group.add_member - attestg success", &["member=attest1", "program=usermod"]);
    has("group.add_member root attestg success", &["member=attest2", "program=gpasswd"]);
    has("group.remove_member root attestg success", &["member=attest2"]);
    has("user.change - attest2 success", &["field=shell", "new=/bin/dash"]);
    has("password.change - attest1", &[]);
    has("user.remove - attest2 success", &[]);
    has("group.remove - attestg success", &[]);

    has(
        "login.success attest1 - success 127.0.0.1",
        &["method=publickey", &format!("key_fingerprint={}", fingerprint.trim()), "key_type=ED25519"],
    );
    has("login.success attest1 - success 127.0.0.1", &["method=password"]);
    has("login.failure attest1 - failure 127.0.0.1", &["method=password"]);
    has("ssh.invalid_user redacted:", &["127.0.0.1"]);
    has("login.failure redacted:", &["invalid_user=true"]);
    has("ssh.refuse attest2", &["DenyUsers"]);
    has("ssh.refuse attest1", &["maximum authentication attempts exceeded"]);
    has("ssh.disconnect attest1", &["127.0.0.1"]);
    has("session.open attest1", &["service=sshd"]);
    has("session.close attest1", &["service=sshd"]);
    has("pam.failure attest1", &["service=sshd"]);

    has(
        "sudo.run attest1 /bin/echo success",
        &["target_user=attest2", "command_line=/bin/echo --password=[redacted]", "cwd=/"],
    );
    has("sudo.run attest2 /usr/bin/id failure", &["reason="]);
    has("su.switch root attest1 success", &[]);
    has("su.switch attest1 attest2 failure", &[]);

    assert!(!all.contains("hunter2") && !all.contains("typed-secret") && !all.contains("right-"), "{all}");
    assert_eq!(count("auth.mismatch"), 0);
    has("ssh.disconnect - - - 127.0.0.1", &["no matching host key type"]);
    // Each line gives one event, and few are not understood.
    assert_eq!(shown.len(), log.lines().count(), "{all}\nof\n{log}");
    let others = events
        .iter()
        .filter(|event| event.event_name == "auth.other")
        .filter_map(|event| event.message.as_deref());
    let others: Vec<&str> =
        others.filter(|text| !SAID_ELSEWHERE.iter().any(|known| text.contains(known))).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// What is said of a shadow file is said of its file, too; and what a module of PAM says of itself changes nothing.
const SAID_ELSEWHERE: [&str; 10] = [
    "Server listening on",
    "Received signal 15; terminating.",
    "shadow group",
    "/etc/gshadow",
    "/etc/group",
    "check pass; user unknown",
    "pam_limits(",
    "pam_env(",
    "pam_mail(",
    "pam_lastlog(",
];
