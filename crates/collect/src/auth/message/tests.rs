use attestry_event::Nanos;

use super::*;
use crate::{catalogue, proof::show};

fn names() -> (tempfile::TempDir, Names) {
    let folder = tempfile::tempdir().unwrap();
    let passwd = folder.path().join("passwd");
    std::fs::write(&passwd, "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n").unwrap();
    let names = Names::new([7; 32], passwd);
    (folder, names)
}

/// `program: text`, and the event; a hashed name is shown as `#`.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    let (_folder, names) = names();
    for (line, expected) in cases {
        let (program, text) = line.split_once(": ").unwrap();
        let message = Message { time: Nanos(0), host: "h", program, pid: None, text };
        let event = event(&message, &names);
        assert_eq!(catalogue::problem(&event), None);
        let shown = show(&event);
        let mut shown = shown.strip_suffix(&format!(" program={program}")).unwrap_or(&shown).to_owned();
        while let Some(at) = shown.find("redacted:") {
            shown.replace_range(at..at + 21, "#");
        }
        assert_eq!(shown, *expected, "of {line:?}");
    }
}

#[test]
fn sshd_lines() {
    check(&[
        (
            "sshd: Accepted publickey for alice from 192.0.2.7 port 50022 ssh2: ED25519 SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDlkTKOvMPOrDrJoRs",
            "login.success alice - success 192.0.2.7 source_port=50022 method=publickey service=sshd key_type=ED25519 \
             key_fingerprint=SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDlkTKOvMPOrDrJoRs",
        ),
        (
            "sshd: Accepted publickey for alice from 2001:db8::7 port 1 ssh2: ED25519-CERT SHA256:abc ID alice@corp (serial 5) CA RSA SHA256:def",
            "login.success alice - success 2001:db8::7 source_port=1 method=publickey service=sshd key_type=ED25519-CERT \
             key_fingerprint=SHA256:abc certificate_id=alice@corp (serial 5) certificate_authority=RSA SHA256:def",
        ),
        (
            "sshd-session: Accepted password for alice from 192.0.2.7 port 50022 ssh2",
            "login.success alice - success 192.0.2.7 source_port=50022 method=password service=sshd",
        ),
        (
            "sshd: Accepted gssapi-with-mic for alice from 192.0.2.7 port 50022 ssh2: alice@EXAMPLE.ORG",
            "login.success alice - success 192.0.2.7 source_port=50022 method=gssapi-with-mic service=sshd \
             principal=alice@EXAMPLE.ORG",
        ),
        (
            "sshd: Failed password for root from 192.0.2.7 port 4711 ssh2",
            "login.failure root - failure 192.0.2.7 source_port=4711 method=password service=sshd",
        ),
        (
            "sshd: Failed password for invalid user hunter2 from 192.0.2.7 port 4711 ssh2",
            "login.failure # - failure 192.0.2.7 source_port=4711 method=password service=sshd invalid_user=true",
        ),
        // A name made to look like the rest of the line.
        (
            "sshd: Failed password for invalid user root from 198.51.100.1 port 22 ssh2 from 192.0.2.7 port 4711 ssh2",
            "login.failure # - failure 192.0.2.7 source_port=4711 method=password service=sshd invalid_user=true",
        ),
        (
            "sshd: Failed none for invalid user  from 192.0.2.7 port 4711 ssh2",
            "login.failure - - failure 192.0.2.7 source_port=4711 method=none service=sshd invalid_user=true",
        ),
        (
            "sshd: message repeated 2 times: [ Failed password for root from 192.0.2.7 port 4711 ssh2]",
            "login.failure root - failure 192.0.2.7 source_port=4711 method=password service=sshd program=sshd repeated=2",
        ),
        (
            "sshd: Invalid user hunter2 from 192.0.2.7 port 4711",
            "ssh.invalid_user # - failure 192.0.2.7 source_port=4711",
        ),
        (
            "sshd: Connection closed by authenticating user root 192.0.2.7 port 4711 [preauth]",
            "ssh.disconnect root - - 192.0.2.7 source_port=4711 reason=closed by the client preauth=true",
        ),
        (
            "sshd: Connection closed by invalid user hunter2 192.0.2.7 port 4711 [preauth]",
            "ssh.disconnect # - - 192.0.2.7 source_port=4711 reason=closed by the client invalid_user=true preauth=true",
        ),
        (
            "sshd: Connection reset by 192.0.2.7 port 4711 [preauth]",
            "ssh.disconnect - - - 192.0.2.7 source_port=4711 reason=reset by the client preauth=true",
        ),
        (
            "sshd: Disconnected from user alice 192.0.2.7 port 50022",
            "ssh.disconnect alice - - 192.0.2.7 source_port=50022 reason=disconnected",
        ),
        (
            "sshd: Disconnecting invalid user hunter2 192.0.2.7 port 4711: Too many authentication failures [preauth]",
            "ssh.disconnect # - - 192.0.2.7 source_port=4711 reason=Too many authentication failures invalid_user=true \
             preauth=true",
        ),
        (
            "sshd: fatal: Timeout before authentication for 192.0.2.7 port 4711",
            "ssh.disconnect - - - 192.0.2.7 source_port=4711 reason=timeout before authentication",
        ),
        (
            "sshd: Received disconnect from 192.0.2.7 port 50022:11: disconnected by user",
            "ssh.disconnect_notice - - - 192.0.2.7 source_port=50022 code=11 reason=disconnected by user",
        ),
        (
            "sshd: error: maximum authentication attempts exceeded for invalid user hunter2 from 192.0.2.7 port 4711 ssh2 [preauth]",
            "ssh.refuse # - failure 192.0.2.7 source_port=4711 reason=maximum authentication attempts exceeded \
             invalid_user=true preauth=true",
        ),
        (
            "sshd: User bob from 192.0.2.7 not allowed because not listed in AllowUsers",
            "ssh.refuse bob - failure 192.0.2.7 reason=not listed in AllowUsers",
        ),
        (
            "sshd: User nobody not allowed because account is locked",
            "ssh.refuse nobody - failure - reason=account is locked",
        ),
        (
            "sshd: Connection closed by invalid user root 192.0.2.7 port 58354 [preauth]",
            "ssh.disconnect root - - 192.0.2.7 source_port=58354 reason=closed by the client invalid_user=true preauth=true",
        ),
        // As OpenSSH 9.2 wrote them for a client that gave `hunter2 from 9.9.9.9 port 1 ssh2` as its name.
        (
            "sshd: Invalid user hunter2 from 9.9.9.9 port 1 ssh2 from 127.0.0.1 port 58348",
            "ssh.invalid_user # - failure 127.0.0.1 source_port=58348",
        ),
        (
            "sshd: Connection closed by invalid user hunter2 from 9.9.9.9 port 1 ssh2 127.0.0.1 port 58348 [preauth]",
            "ssh.disconnect # - - 127.0.0.1 source_port=58348 reason=closed by the client invalid_user=true preauth=true",
        ),
        ("sshd: banner exchange: Connection from 127.0.0.1 port 58368: invalid format", "auth.other - - - -"),
        (
            "sshd: fatal: Access denied for user bob by PAM account configuration [preauth]",
            "ssh.refuse bob - failure - reason=PAM account configuration preauth=true",
        ),
        (
            "sshd: ROOT LOGIN REFUSED FROM 192.0.2.7 port 4711 [preauth]",
            "ssh.refuse root - failure 192.0.2.7 source_port=4711 reason=root may not log in preauth=true",
        ),
        ("sshd: Server listening on 0.0.0.0 port 22.", "auth.other - - - -"),
        ("sshd: Accepted publickey for alice", "auth.other - - - -"),
        (
            "sshd: Postponed keyboard-interactive for invalid user hunter2 from 192.0.2.7 port 1 ssh2",
            "auth.other - - - -",
        ),
    ]);
}

#[test]
fn sudo_su_and_login_lines() {
    check(&[
        (
            "sudo: alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/mysql -pgeheim shop",
            "sudo.run alice /usr/bin/mysql success - target_user=root command_line=/usr/bin/mysql -p[redacted] shop \
             tty=pts/0 cwd=/home/alice",
        ),
        (
            "sudo: alice : PWD=/srv ; USER=root ; COMMAND=/usr/bin/id",
            "sudo.run alice /usr/bin/id success - target_user=root command_line=/usr/bin/id cwd=/srv",
        ),
        (
            "sudo: alice : user NOT in sudoers ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
            "sudo.run alice /usr/bin/id failure - target_user=root command_line=/usr/bin/id cwd=/ reason=user NOT in sudoers",
        ),
        (
            "sudo: alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
            "sudo.run alice /bin/sh failure - target_user=root command_line=/bin/sh tty=pts/0 cwd=/ \
             reason=3 incorrect password attempts",
        ),
        (
            "sudo: alice : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh -c a ; b",
            "sudo.run alice /bin/sh failure - target_user=root command_line=/bin/sh -c a ; b tty=pts/0 cwd=/ \
             reason=user NOT in sudoers",
        ),
        (
            "sudo: alice : TTY=pts/0 ; PWD=/tmp ; USER=www ; GROUP=web ; TSID=00001A ; ENV=TOKEN=abc X=1 ; COMMAND=/bin/ls",
            "sudo.run alice /bin/ls success - target_user=www command_line=/bin/ls tty=pts/0 cwd=/tmp target_group=web \
             session_log=00001A environment=TOKEN=[redacted] X=1",
        ),
        // A folder made to look like the rest of the line.
        (
            "sudo: alice : TTY=pts/0 ; PWD=/tmp/x ; USER=bob ; COMMAND=/bin/true ; USER=root ; COMMAND=/bin/sh",
            "sudo.run alice /bin/true success - target_user=bob command_line=/bin/true ; USER=root ; COMMAND=/bin/sh \
             tty=pts/0 cwd=/tmp/x ambiguous=true",
        ),
        (
            "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)",
            "session.open root - success - uid=0 by_user=alice by_uid=1000 service=sudo module=pam_unix",
        ),
        (
            "pkexec: alice: Executing command [USER=root] [TTY=/dev/pts/0] [CWD=/home/alice] [COMMAND=/usr/bin/id]",
            "pkexec.run alice /usr/bin/id success - target_user=root command_line=/usr/bin/id tty=/dev/pts/0 \
             cwd=/home/alice",
        ),
        ("su: (to root) alice on pts/0", "su.switch alice root success - target_user=root tty=pts/0"),
        (
            "su: FAILED SU (to root) alice on pts/0",
            "su.switch alice root failure - target_user=root tty=pts/0",
        ),
        ("su: (to nobody) root on none", "su.switch root nobody success - target_user=nobody"),
        (
            "su: pam_unix(su:auth): authentication failure; logname= uid=65534 euid=0 tty= ruser=nobody rhost=  user=root",
            "pam.failure root - failure - by_user=nobody by_uid=65534 service=su module=pam_unix",
        ),
        ("su: Successful su for root by alice", "su.switch alice root success - target_user=root"),
        ("su: FAILED su for hunter2 by alice", "su.switch alice # failure - target_user=#"),
        (
            "login: FAILED LOGIN (1) on '/dev/tty1' FOR 'hunter2', Authentication failure",
            "login.failure # - failure - tty=/dev/tty1 method=password service=login reason=Authentication failure",
        ),
        (
            "login: LOGIN ON tty1 BY alice",
            "login.success alice - success - tty=tty1 method=password service=login",
        ),
        (
            "login: ROOT LOGIN ON tty1",
            "login.success root - success - tty=tty1 method=password service=login",
        ),
    ]);
}

#[test]
fn pam_and_cron_lines() {
    check(&[
        (
            "CRON: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
            "session.open root - success - uid=0 by_uid=0 service=cron module=pam_unix",
        ),
        (
            "su: pam_unix(su-l:session): session opened for user root by alice(uid=1000)",
            "session.open root - success - by_user=alice by_uid=1000 service=su-l module=pam_unix",
        ),
        (
            "CRON: pam_unix(cron:session): session closed for user root",
            "session.close root - - - service=cron module=pam_unix",
        ),
        (
            "sshd: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root",
            "pam.failure root - failure 192.0.2.7 remote_host=192.0.2.7 tty=ssh by_uid=0 service=sshd module=pam_unix",
        ),
        (
            "sudo: pam_unix(sudo:auth): authentication failure; logname=alice uid=1000 euid=0 tty=/dev/pts/0 ruser=alice rhost=  user=alice",
            "pam.failure alice - failure - tty=/dev/pts/0 by_user=alice by_uid=1000 service=sudo module=pam_unix",
        ),
        (
            "sshd: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root",
            "pam.failure root - failure 192.0.2.7 remote_host=192.0.2.7 tty=ssh by_uid=0 attempts=2",
        ),
        (
            "passwd: pam_unix(passwd:chauthtok): password changed for alice",
            "password.change - alice success - service=passwd module=pam_unix",
        ),
        ("sshd: pam_unix(sshd:auth): check pass; user unknown", "auth.other - - - -"),
        (
            "CRON: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
            "cron.run root cd - - command_line=cd / && run-parts --report /etc/cron.hourly",
        ),
        ("crontab: (alice) REPLACE (alice)", "cron.change alice alice success - action=replace"),
        ("crontab: (root) DELETE (alice)", "cron.change root alice success - action=delete"),
        ("cron: (CRON) INFO (Running @reboot jobs)", "auth.other - - - -"),
        ("systemd-logind: New session 5 of user alice.", "auth.other - - - -"),
    ]);
}

#[test]
fn account_lines() {
    check(&[
        (
            "useradd: new user: name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/bash, from=/dev/pts/0",
            "user.add - bob success - uid=1001 gid=1001 home=/home/bob shell=/bin/bash from=/dev/pts/0",
        ),
        ("useradd: new group: name=bob, GID=1001", "group.add - bob success - gid=1001"),
        ("useradd: add 'bob' to group 'docker'", "group.add_member - docker success - member=bob"),
        ("useradd: add 'bob' to shadow group 'docker'", "auth.other - - - -"),
        ("useradd: failed adding user 'bob', exit code: 9", "user.add - bob failure -"),
        ("userdel: delete user 'bob'", "user.remove - bob success -"),
        ("userdel: removed group 'bob' owned by 'bob'", "group.remove - bob success -"),
        ("userdel: delete 'bob' from group 'docker'", "group.remove_member - docker success - member=bob"),
        (
            "usermod: change user 'bob' shell from '/bin/bash' to '/bin/zsh'",
            "user.change - bob success - field=shell old=/bin/bash new=/bin/zsh",
        ),
        (
            "usermod: change user 'bob' UID from '1001' to '1005'",
            "user.change - bob success - field=UID old=1001 new=1005",
        ),
        (
            "usermod: change user name 'bob' to 'rob'",
            "user.change - bob success - field=name old=bob new=rob",
        ),
        ("usermod: change user 'bob' password", "password.change - bob success -"),
        ("usermod: lock user 'bob' password", "user.change - bob success - field=lock"),
        ("groupadd: group added to /etc/group: name=dev, GID=1002", "auth.other - - - -"),
        ("groupadd: new group: name=dev, GID=1002", "group.add - dev success - gid=1002"),
        ("groupdel: group 'dev' removed from /etc/group", "auth.other - - - -"),
        ("groupdel: group 'dev' removed", "group.remove - dev success -"),
        (
            "groupmod: group changed in /etc/group (group dev/1002, new name: devs)",
            "group.change - dev success - change=dev/1002, new name: devs",
        ),
        (
            "gpasswd: user bob added by root to group docker",
            "group.add_member root docker success - member=bob",
        ),
        (
            "gpasswd: user bob removed by root from group docker",
            "group.remove_member root docker success - member=bob",
        ),
        (
            "gpasswd: members of group dev set by root to alice,bob",
            "group.change root dev success - change=members new=alice,bob",
        ),
        ("passwd: password for 'bob' changed by 'root'", "password.change root bob success -"),
        ("chage: changed password expiry for bob", "user.change - bob success - field=password expiry"),
        (
            "chsh: changed user 'bob' shell to '/bin/zsh'",
            "user.change - bob success - field=shell new=/bin/zsh",
        ),
        ("chfn: changed user 'bob' information", "user.change - bob success - field=information"),
    ]);
}

#[test]
fn lines_nobody_knows_keep_their_text_but_no_secret() {
    let (_folder, names) = names();
    for (program, text) in [
        (
            "sshd",
            "Postponed keyboard-interactive for invalid user hunter2 from 192.0.2.1 port 1 ssh2 [preauth]",
        ),
        ("sshd", "input_userauth_request: invalid user hunter2 [preauth]"),
        (
            "sshd",
            "error: PAM: User not known to the underlying authentication module for illegal user hunter2 from 192.0.2.1",
        ),
        ("sshd", "pam_unix(sshd:auth): check pass; user (hunter2) unknown"),
        ("su", "pam_unix(su:auth): bad username [hunter2]"),
        ("myapp", "starting with --token hunter2 and https://u:hunter2@h/"),
        ("CRON", "(root) CMD (curl -u backup:hunter2 https://b/)"),
    ] {
        let message = Message { time: Nanos(0), host: "h", program, pid: Some(1), text };
        let event = event(&message, &names);
        assert!(!format!("{event:?}").contains("hunter2"), "{event:?}");
    }
    let message = Message { time: Nanos(0), host: "h", program: "x", pid: None, text: "some line" };
    assert_eq!(event(&message, &names).message.unwrap(), "x: some line");
}

proptest::proptest! {
    #[test]
    fn any_text_is_taken(
        program in "(sshd|sudo|su|login|CRON|useradd|gpasswd|pkexec|x)",
        start in proptest::sample::select(vec![
            "", "Accepted ", "Failed a for ", "Invalid user ", "Disconnecting ", "Received disconnect from ",
            "alice : ", "a : TTY=", "a: b [USER=", "(to ", "FAILED LOGIN (1) on '", "ROOT LOGIN ", "(a) CMD (",
            "pam_unix(a:b): ", "pam_unix(a:b): authentication failure; ", "new user: ", "change user '", "PAM 2 more authentication failure",
            "message repeated 2 times: [", "user a added by ", "members of group ",
        ]),
        words in proptest::collection::vec("( from | port | port 1|: | to |'|\\(|\\)|\\[|\\]|; |user=|é| on | by |[a-z0-9]{1,4})", 0..12),
    ) {
        let text = format!("{start}{}", words.concat());
        let names = Names::new([7; 32], "/nonexistent");
        let made = event(&Message { time: Nanos(0), host: "h", program: &program, pid: None, text: &text }, &names);
        proptest::prop_assert_eq!(catalogue::problem(&made), None);
    }
}
