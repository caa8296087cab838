use std::{fs, os::unix::fs::PermissionsExt};

use attestry_event::Event;

use super::*;
use crate::proof::{Host, show_sorted};

const KEY_A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM+leab1aoVdAeozjfwy8v4stvoeEwRAc9dM3Ui1ezKu";
const PRINT_A: &str = "SHA256:VX+o6Zx0geQ2kWWh3omWHPvu+GjOxDGEneWvXhs2mxA";
const KEY_B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A host with two accounts.
fn host() -> Host {
    let host = Host::new();
    // Files that were made a moment ago are not from the future.
    host.clock.advance(std::time::Duration::from_secs(60));
    for folder in ["etc/sudoers.d", "home/alice/.ssh", "proc/self"] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    for (name, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n"),
        ("etc/shadow", "root:*:20000:0:99999:7:::\nalice:$y$j9T$abc$defghijkl:20000:0:99999:7:::\n"),
        ("etc/group", "root:x:0:\nsudo:x:27:\nalice:x:1000:\n"),
        ("etc/sudoers", "# rules\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"),
        ("home/alice/.ssh/authorized_keys", &format!("{KEY_A} alice@desk\n")),
    ] {
        fs::write(host.root(name), text).unwrap();
    }
    host
}

fn look(host: &Host) -> Vec<Event> {
    let setup = host.setup("users");
    host.pass(&mut Users::new(&Config::default(), &setup), &setup)
}

fn shown(events: &[Event]) -> Vec<String> {
    events.iter().map(show_sorted).collect()
}

/// What a second look tells after `change`.
#[track_caller]
fn check(change: impl FnOnce(&Host), expected: &[&str]) {
    let host = host();
    let first = shown(&look(&host));
    assert_eq!(first, ["state.baseline - users - - groups=3 inferred=true ssh_keys=1 sudo_rules=1 users=2"]);
    change(&host);
    assert_eq!(shown(&look(&host)), expected);
    assert!(look(&host).is_empty(), "a difference is told once");
    let events = host.kept.events.lock().unwrap();
    let text = format!("{events:?}{:?}", host.kept.position.lock().unwrap());
    assert!(!text.contains("$y$") && !text.contains("hunter2"), "no hash and no secret is kept: {text}");
}

fn replace(host: &Host, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(host.root(file)).unwrap();
    assert!(text.contains(from), "{file}: {text}");
    fs::write(host.root(file), text.replace(from, to)).unwrap();
}

#[test]
fn nothing_changed_is_nothing_told() {
    check(|host| replace(host, "etc/sudoers", "# rules", "# a comment"), &[]);
}

#[test]
fn accounts_come_change_and_go() {
    check(
        |host| {
            replace(
                host,
                "etc/passwd",
                "alice:x:1000:1000:Alice:/home/alice:/bin/sh\n",
                "bob:x:0:100:B:/home/bob:/bin/zsh\n",
            );
            replace(host, "etc/passwd", "/bin/bash", "/bin/dash");
        },
        &[
            "user.add - bob success - gid=100 home=/home/bob inferred=true privileged=true shell=/bin/zsh uid=0",
            "user.change - root success - field=shell inferred=true new=/bin/dash old=/bin/bash",
            "user.remove - alice success - inferred=true",
        ],
    );
}

#[test]
fn a_second_line_of_a_name_is_another_account() {
    check(
        |host| crate::proof::append(&host.root("etc/passwd"), b"alice:x:0:0::/:/bin/sh\n"),
        &[
            "user.add - alice (line 2) success - gid=0 home=/ inferred=true privileged=true shell=/bin/sh uid=0",
        ],
    );
}

#[test]
fn passwords_are_changed_locked_emptied_and_expire() {
    let old = "alice:$y$j9T$abc$defghijkl:20000:0:99999:7:::";
    for (new, expected) in [
        (
            "alice:$y$j9T$new$defghijkl:20010:0:99999:7:::",
            vec!["password.change - alice success - inferred=true old_state=set state=set"],
        ),
        (
            "alice:!$y$j9T$abc$defghijkl:20000:0:99999:7:::",
            vec!["user.change - alice success - field=lock inferred=true"],
        ),
        (
            "alice::20000:0:99999:7:::",
            vec!["password.change - alice success - inferred=true old_state=set privileged=true state=empty"],
        ),
        (
            "alice:!:20000:0:99999:7:::",
            vec!["password.change - alice success - inferred=true old_state=set state=none"],
        ),
        (
            "alice:$y$j9T$abc$defghijkl:0:0:30:7::20780:",
            vec![
                "user.change - alice success - field=password changed inferred=true new=1970-01-01 old=2024-10-04",
                "user.change - alice success - field=password maximum age inferred=true new=30 old=99999",
                "user.change - alice success - field=expiry inferred=true new=2026-11-23 old=",
            ],
        ),
    ] {
        check(|host| replace(host, "etc/shadow", old, new), &expected);
    }
}

#[test]
fn groups_and_who_is_in_them() {
    check(
        |host| {
            replace(host, "etc/group", "sudo:x:27:", "sudo:x:27:alice");
            replace(host, "etc/group", "alice:x:1000:\n", "dev:x:1001:alice, root\nroot2:x:0:\n");
            replace(host, "etc/group", "root:x:0:\n", "root:x:9:\n");
        },
        &[
            "group.add - dev success - gid=1001 inferred=true",
            "group.add_member - dev success - inferred=true member=alice",
            "group.add_member - dev success - inferred=true member=root",
            "group.change - root success - change=id inferred=true new=9 old=0",
            "group.add - root2 success - gid=0 inferred=true",
            "group.add_member - sudo success - inferred=true member=alice privileged=true",
            "group.remove - alice success - inferred=true",
        ],
    );
}

#[test]
fn rules_of_sudo_in_all_its_files() {
    check(
        |host| {
            replace(host, "etc/sudoers", "root ALL", "root  web1");
            fs::write(
                host.root("etc/sudoers.d/dev"),
                "alice ALL = \\\n NOPASSWD: /bin/x --password=hunter2 # y\n",
            )
            .unwrap();
            fs::write(host.root("etc/sudoers.d/dev.bak"), "bob ALL=ALL\n").unwrap();
        },
        &[
            "sudo.add_rule - /etc/sudoers success - inferred=true rule=root web1=(ALL:ALL) ALL",
            "sudo.remove_rule - /etc/sudoers success - inferred=true rule=root ALL=(ALL:ALL) ALL",
            "sudo.add_rule - /etc/sudoers.d/dev success - inferred=true rule=alice ALL = NOPASSWD: /bin/x --password=[redacted]",
        ],
    );
}

#[test]
fn keys_are_authorized_changed_and_revoked() {
    let file = "home/alice/.ssh/authorized_keys";
    let told = "file=/home/alice/.ssh/authorized_keys inferred=true";
    let of_a = format!("key_fingerprint={PRINT_A} key_type=ssh-ed25519");
    check(
        |host| crate::proof::append(&host.root(file), format!("no-pty {KEY_B}\nnonsense\n").as_bytes()),
        &[&format!(
            "ssh.authorize_key - alice success - {told} key_fingerprint=SHA256:kmYcvdi2GkPeWxB6XLjrZB8JHsy2Hm8luHMFp9GMvqk key_type=ssh-ed25519 options=no-pty"
        )],
    );
    check(
        |host| replace(host, file, "ssh-", "restrict ssh-"),
        &[&format!(
            "ssh.change_key - alice success - comment=alice@desk {told} {of_a} old_options= options=restrict"
        )],
    );
    check(
        |host| fs::remove_file(host.root(file)).unwrap(),
        &[&format!("ssh.revoke_key - alice success - comment=alice@desk {told} {of_a}")],
    );
    // Keys of a new account are told, too.
    check(
        |host| crate::proof::append(&host.root("etc/passwd"), b"eve:x:1:1::/home/alice:/bin/sh\n"),
        &[
            "user.add - eve success - gid=1 home=/home/alice inferred=true shell=/bin/sh uid=1",
            &format!("ssh.authorize_key - eve success - comment=alice@desk {told} {of_a}"),
        ],
    );
}

#[test]
fn what_cannot_be_read_has_not_gone() {
    let gap = "has keys in /home/alice/.ssh/authorized_keys that cannot be read: is no regular file";
    check(
        |host| {
            fs::remove_file(host.root("home/alice/.ssh/authorized_keys")).unwrap();
            fs::create_dir(host.root("home/alice/.ssh/authorized_keys")).unwrap();
        },
        &[&format!("gap.collect - alice failure - file=alice reason={gap}")],
    );
    check(
        |host| {
            fs::remove_file(host.root("etc/shadow")).unwrap();
            fs::remove_file(host.root("etc/passwd")).unwrap();
        },
        &[
            "gap.collect - /etc/passwd failure - file=/etc/passwd reason=cannot be read: No such file or directory (os error 2)",
        ],
    );
}

#[test]
fn a_repeated_look_repeats_its_ids() {
    let host = host();
    look(&host);
    let before = host.kept.position.lock().unwrap().clone();
    replace(&host, "etc/group", "sudo:x:27:", "sudo:x:27:alice");
    let first = look(&host);
    *host.kept.position.lock().unwrap() = before;
    host.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(look(&host), first);
    assert!(first[0].event_id.is_some());
}

#[test]
fn a_pipe_in_a_home_does_not_stop_anything() {
    let host = host();
    let file = host.root("home/alice/.ssh/authorized_keys2");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(look(&host).len(), 1);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap();
    assert!(look(&host).is_empty());
}
