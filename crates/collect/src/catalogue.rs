//! Every event the sources of a host can give: its name, what it means, its members of `event_data`, an example; and in [`OWN`] those in
//! which Attestry tells of itself.
//!
//! `docs/events.md` is [`markdown`] of this; a test holds the two together (`UPDATE_EXPECT=1 cargo test -p attestry-collect`
//! writes the page anew), and the tests of the parsers hold every event they make against [`problem`].

mod checks;
mod databases;
mod docker;
mod lines;
mod own;
mod state;

use std::fmt::Write;

use attestry_event::Event;

pub use databases::DATABASES;
pub use lines::LINES;
pub use own::OWN;

/// One event name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// `{resource}.{verb}`.
    pub name: &'static str,
    /// The sources that give it.
    pub sources: &'static str,
    /// What happened when it is there.
    pub meaning: &'static str,
    /// What `username` and `resource` hold, where that is not plain.
    pub who: &'static str,
    /// Members of `event_data` and what they mean.
    pub fields: &'static [(&'static str, &'static str)],
    /// The rest of an event, as JSON.
    pub example: &'static str,
}

/// Members that any event of a log line may have.
pub const COMMON: &[(&str, &str)] = &[
    ("invalid_utf8", "true when the line held bytes that are no UTF-8; they became U+FFFD"),
    ("cut_bytes", "how many bytes of a line over 16 KiB were left out"),
    ("program", "auth: the program that wrote the line"),
    ("pid", "auth, logins: its process id"),
    (
        "sender_uid",
        "auth, from journald: the user who wrote the line, when that was not the program itself for sure",
    ),
    ("sender", "auth, from journald: the program that wrote it then"),
    ("repeated", "auth: how often rsyslog counted the same line"),
];

/// Marks what nobody told.
const INFERRED: (&str, &str) = (
    "inferred",
    "true when it was found by comparing with the last look: who did it is not known, and the time is the latest it can have been",
);

const PRIVILEGED: (&str, &str) = ("privileged", "true when it can make somebody root");

const PACKAGE: &[(&str, &str)] = &[
    ("package", "the package's name"),
    ("architecture", "its architecture"),
    ("old_version", "the version before"),
    ("version", "the version after"),
    ("duration_s", "seconds from the action to its end; absent when the end was not seen"),
    ("command_line", "what apt was called with, secrets taken out"),
    ("requested_by_uid", "the user id behind sudo or pkexec"),
    ("manager", "what was compared: dpkg, apk or rpm; where a log told it is absent"),
    INFERRED,
];

const SSH_LOGIN: &[(&str, &str)] = &[
    ("service", "sshd or login"),
    ("method", "password, publickey, keyboard-interactive/pam, …"),
    ("source_port", "the client's port"),
    ("key_type", "of the key or certificate: ED25519, RSA, ED25519-CERT …"),
    ("key_fingerprint", "SHA256:…"),
    ("certificate_id", "the certificate's key id"),
    ("certificate_authority", "type and fingerprint of the authority's key"),
    ("principal", "the Kerberos principal"),
    ("invalid_user", "true when sshd knows no such account"),
    ("preauth", "true when nobody was logged in yet"),
    ("tty", "the terminal"),
    ("remote_host", "the host's name as the record gives it"),
    ("reason", "why, in the program's words"),
];

const SESSION: &[(&str, &str)] = &[
    ("service", "auth: the PAM service: sshd, sudo, cron, …"),
    ("module", "auth: the PAM module"),
    ("uid", "auth: the user's id"),
    ("by_user", "auth: who opened it"),
    ("by_uid", "auth: the id of who opened it"),
    ("tty", "logins: the terminal"),
    ("remote_host", "logins: where from"),
    ("duration_s", "logins: seconds since it was opened"),
];

const SSH_END: &[(&str, &str)] = &[
    ("source_port", "the client's port"),
    ("reason", "why"),
    ("code", "the reason's number (RFC 4253, 11.1)"),
    ("preauth", "true when nobody was logged in yet"),
    ("invalid_user", "true when sshd knows no such account"),
];

const RUN_AS: &[(&str, &str)] = &[
    ("target_user", "as whom"),
    ("target_group", "as which group"),
    ("command_line", "what, secrets taken out"),
    ("tty", "the terminal"),
    ("cwd", "the folder it was run in"),
    ("chroot", "the root it was run in"),
    ("environment", "variables given on the command line, secrets taken out"),
    ("session_log", "sudo's id of the recorded session"),
    ("reason", "why it was refused, in the program's words"),
    (
        "ambiguous",
        "true when the line can be read in two ways: somebody put `; USER=` or `; COMMAND=` into a name",
    ),
];

/// All of them: those of the host's logs, those found by comparing, those of its containers; each by name.
pub const CATALOGUE: &[Entry] = &joined::<
    { HOST.len() + state::STATE.len() + docker::DOCKER.len() + checks::CHECKS.len() },
>(&[HOST, state::STATE, docker::DOCKER, checks::CHECKS]);

const fn joined<const N: usize>(parts: &[&[Entry]]) -> [Entry; N] {
    let mut all = [parts[0][0]; N];
    let (mut part, mut filled) = (0, 0);
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            all[filled] = parts[part][at];
            (filled, at) = (filled + 1, at + 1);
        }
        part += 1;
    }
    all
}

const HOST: &[Entry] = &[
    Entry {
        name: "auth.mismatch",
        sources: "auth",
        meaning: "a line bears the name of a program that did not write it: an ordinary user put it into the log (journald only)",
        who: "username is \"-\", sender_uid who wrote it",
        fields: &[("claimed_event", "the event the line would have been")],
        example: r#"{"event_name":"auth.mismatch","username":"-","outcome":"failure","severity":4,"message":"sshd: Accepted password for root from 203.0.113.9 port 1 ssh2","event_data":{"claimed_event":"login.success","program":"sshd","pid":99,"sender_uid":1000,"sender":"/usr/bin/logger"}}"#,
    },
    Entry {
        name: "auth.other",
        sources: "auth",
        meaning: "a line of the auth log that no parser knows; the message is the line, secrets taken out",
        who: "username is \"-\"",
        fields: &[(
            "time_unknown",
            "true when the line has no time; the time is that of the file's last change",
        )],
        example: r#"{"event_name":"auth.other","username":"-","severity":6,"message":"sshd: Server listening on 0.0.0.0 port 22.","event_data":{"program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "cron.change",
        sources: "auth",
        meaning: "a crontab was replaced or deleted",
        who: "resource is the crontab's user",
        fields: &[("action", "replace or delete")],
        example: r#"{"event_name":"cron.change","username":"alice","resource":"alice","outcome":"success","severity":5,"message":"alice replaced the crontab of alice","event_data":{"action":"replace","program":"crontab","pid":901}}"#,
    },
    Entry {
        name: "cron.run",
        sources: "auth",
        meaning: "cron started a command; whether it went well cron does not say",
        who: "resource is the command's first word",
        fields: &[("command_line", "the command, secrets taken out")],
        example: r#"{"event_name":"cron.run","username":"root","resource":"cd","severity":6,"message":"cron ran cd / && run-parts --report /etc/cron.hourly as root","event_data":{"command_line":"cd / && run-parts --report /etc/cron.hourly","program":"CRON","pid":1201}}"#,
    },
    Entry {
        name: "filesystem.usage",
        sources: "host",
        meaning: "how full a file system is, every 60 s; a warning (severity 4) from 95 % on",
        who: "resource is the mount point",
        fields: &[
            ("device", "what is mounted"),
            ("type", "the kind of file system"),
            ("total_bytes", "its size"),
            ("used_bytes", "what is taken"),
            ("available_bytes", "what ordinary users can still have"),
            ("used_percent", "used / (used + available), as df counts"),
            ("inodes_total", "how many files it can hold"),
            ("inodes_used", "how many it holds"),
            ("inodes_available", "how many more ordinary users can have"),
            ("inodes_used_percent", "used / total"),
            (
                "container",
                "of a container's layer: its name; the sizes are those of the file system it lies on",
            ),
            ("container_id", "of a container's layer: its id"),
            ("mounted_read_only", "true when it is"),
        ],
        example: r#"{"event_name":"filesystem.usage","username":"-","resource":"/","read_only":true,"severity":6,"message":"/ is 43.1 % full: 12.1 GiB of 28.0 GiB used","event_data":{"device":"/dev/vda1","type":"ext4","total_bytes":30064771072,"used_bytes":12992276070,"available_bytes":17072495002,"used_percent":43.2,"inodes_total":1835008,"inodes_used":211002,"inodes_available":1624006,"inodes_used_percent":11.5}}"#,
    },
    Entry {
        name: "gap.collect",
        sources: "all",
        meaning: "something a source reads was lost or cannot be read: a log removed, cut or damaged",
        who: "resource is the file",
        fields: &[("file", "which"), ("reason", "what happened to it")],
        example: r#"{"event_name":"gap.collect","username":"-","resource":"/var/log/auth.log","outcome":"failure","severity":4,"message":"/var/log/auth.log became shorter: lines that had been read were removed","event_data":{"file":"/var/log/auth.log","reason":"became shorter: lines that had been read were removed"}}"#,
    },
    Entry {
        name: "group.add",
        sources: "auth, users",
        meaning: "a group was added",
        who: "resource is the group; who did it the log does not say",
        fields: &[("gid", "its id"), INFERRED],
        example: r#"{"event_name":"group.add","username":"-","resource":"dev","outcome":"success","severity":5,"message":"group dev was added","event_data":{"gid":1002,"program":"groupadd","pid":77}}"#,
    },
    Entry {
        name: "group.add_member",
        sources: "auth, users",
        meaning: "a user was added to a group",
        who: "resource is the group; username is who did it where the log says so (gpasswd)",
        fields: &[("member", "the user"), PRIVILEGED, INFERRED],
        example: r#"{"event_name":"group.add_member","username":"-","resource":"sudo","outcome":"success","severity":5,"message":"bob was added to group sudo","event_data":{"member":"bob","program":"usermod","pid":78}}"#,
    },
    Entry {
        name: "group.change",
        sources: "auth, users",
        meaning: "a group's name, id, password, members or administrators were set",
        who: "resource is the group; username is who did it where the log says so (gpasswd)",
        fields: &[
            ("change", "what was set"),
            ("new", "the new members or administrators"),
            ("old", "users: the value before"),
            INFERRED,
        ],
        example: r#"{"event_name":"group.change","username":"root","resource":"dev","outcome":"success","severity":5,"message":"root changed the members of group dev","event_data":{"change":"members","new":"alice,bob","program":"gpasswd","pid":79}}"#,
    },
    Entry {
        name: "group.remove",
        sources: "auth, users",
        meaning: "a group was removed",
        who: "resource is the group",
        fields: &[INFERRED],
        example: r#"{"event_name":"group.remove","username":"-","resource":"dev","outcome":"success","severity":5,"message":"group dev was removed","event_data":{"program":"groupdel","pid":80}}"#,
    },
    Entry {
        name: "group.remove_member",
        sources: "auth, users",
        meaning: "a user was removed from a group",
        who: "resource is the group; username is who did it where the log says so (gpasswd)",
        fields: &[("member", "the user"), PRIVILEGED, INFERRED],
        example: r#"{"event_name":"group.remove_member","username":"root","resource":"docker","outcome":"success","severity":5,"message":"bob was removed from group docker","event_data":{"member":"bob","program":"gpasswd","pid":81}}"#,
    },
    Entry {
        name: "host.boot",
        sources: "logins",
        meaning: "the host started",
        who: "",
        fields: &[("kernel", "the kernel's release")],
        example: r#"{"event_name":"host.boot","username":"-","severity":5,"message":"the host started, Linux 6.1.0-28-amd64","event_data":{"kernel":"6.1.0-28-amd64"}}"#,
    },
    Entry {
        name: "host.restart",
        sources: "host",
        meaning: "the host was started anew since the last look; host.boot of logins tells of it too, where wtmp is kept",
        who: "",
        fields: &[
            ("boot_id", "the kernel's id of this start"),
            ("old_boot_id", "the one at the last look"),
            INFERRED,
        ],
        example: r#"{"event_name":"host.restart","username":"-","severity":5,"message":"the host was started anew since the last look","event_data":{"boot_id":"49514db3-ffe6-4ea5-abb0-0b7d643f0b4c","old_boot_id":"0f6f1d3e-2f0c-4a57-9a53-0c7d6a0a8b4e","inferred":true}}"#,
    },
    Entry {
        name: "host.set_time",
        sources: "logins",
        meaning: "the clock was set by hand or by a large correction",
        who: "",
        fields: &[("old_time", "what it showed"), ("new_time", "what it was set to")],
        example: r#"{"event_name":"host.set_time","username":"-","severity":5,"message":"the clock was set to 2026-11-21T03:00:00.000000000Z","event_data":{"new_time":"2026-11-21T03:00:00.000000000Z"}}"#,
    },
    Entry {
        name: "host.shutdown",
        sources: "logins",
        meaning: "the host was shut down in order",
        who: "",
        fields: &[("kernel", "the kernel's release")],
        example: r#"{"event_name":"host.shutdown","username":"-","severity":5,"message":"the host was shut down","event_data":{"kernel":"6.1.0-28-amd64"}}"#,
    },
    Entry {
        name: "host.stats",
        sources: "host",
        meaning: "load, processors, memory and uptime, every 60 s",
        who: "",
        fields: &[
            ("load_1", "processes that ran or waited to run, on average over 1 minute"),
            ("load_5", "the same over 5 minutes"),
            ("load_15", "the same over 15 minutes"),
            ("threads_running", "threads that can run now"),
            ("threads", "threads there are"),
            ("cpus", "processors"),
            ("cpu_used_percent", "of all processors since the last event; absent in the first"),
            ("memory_total_bytes", "memory"),
            ("memory_available_bytes", "what can be had without swapping"),
            ("memory_used_percent", "(total - available) / total"),
            ("swap_total_bytes", "swap space"),
            ("swap_used_bytes", "of it in use"),
            ("uptime_s", "seconds since the start of the host"),
        ],
        example: r#"{"event_name":"host.stats","username":"-","read_only":true,"severity":6,"message":"load 0.42, processors 3.1 %, memory 12.4 %, up 21 d 4 h","event_data":{"load_1":0.42,"load_5":0.31,"load_15":0.3,"threads_running":1,"threads":211,"cpus":4,"cpu_used_percent":3.1,"memory_total_bytes":8326000640,"memory_available_bytes":7293576561,"memory_used_percent":12.4,"swap_total_bytes":0,"swap_used_bytes":0,"uptime_s":1829043}}"#,
    },
    Entry {
        name: "login.failure",
        sources: "auth, logins",
        meaning: "somebody failed to log in; both sources tell of one attempt, `event_source` tells them apart",
        who: "username is hashed (`redacted:…`) unless it is an account: people type passwords there",
        fields: SSH_LOGIN,
        example: r#"{"event_name":"login.failure","username":"redacted:5d41402abc4b","source_ip_address":"192.0.2.7","outcome":"failure","severity":4,"message":"redacted:5d41402abc4b failed to log in from 192.0.2.7 by password","event_data":{"source_port":50022,"method":"password","service":"sshd","invalid_user":true,"program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "login.success",
        sources: "auth",
        meaning: "somebody proved who they are, over SSH or on a terminal",
        who: "",
        fields: SSH_LOGIN,
        example: r#"{"event_name":"login.success","username":"alice","source_ip_address":"192.0.2.7","outcome":"success","severity":6,"message":"alice logged in from 192.0.2.7 by publickey","event_data":{"source_port":50022,"method":"publickey","service":"sshd","key_type":"ED25519","key_fingerprint":"SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDlkTKOvMPOrDrJoRs","program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "package.configure",
        sources: "packages",
        meaning: "a package that had been left half done was configured, apart from an install or upgrade",
        who: "resource is the package; username is who asked apt, root when apt ran without sudo, \"-\" without apt",
        fields: PACKAGE,
        example: r#"{"event_name":"package.configure","username":"-","resource":"curl","outcome":"success","severity":6,"message":"configured curl 7.88.1-10+deb12u14","event_data":{"package":"curl","architecture":"amd64","version":"7.88.1-10+deb12u14","duration_s":0}}"#,
    },
    Entry {
        name: "package.install",
        sources: "packages",
        meaning: "a package was installed; failure: it was not finished",
        who: "as package.configure",
        fields: PACKAGE,
        example: r#"{"event_name":"package.install","username":"alice","resource":"curl","outcome":"success","severity":6,"message":"installed curl 7.88.1-10+deb12u14","event_data":{"package":"curl","architecture":"amd64","version":"7.88.1-10+deb12u14","duration_s":2,"command_line":"apt-get install curl","requested_by_uid":1000}}"#,
    },
    Entry {
        name: "package.purge",
        sources: "packages",
        meaning: "a package's configuration was removed too",
        who: "as package.configure",
        fields: PACKAGE,
        example: r#"{"event_name":"package.purge","username":"root","resource":"curl","outcome":"success","severity":6,"message":"purged curl 7.88.1-10+deb12u14","event_data":{"package":"curl","architecture":"amd64","old_version":"7.88.1-10+deb12u14","duration_s":0,"command_line":"apt-get purge curl"}}"#,
    },
    Entry {
        name: "package.remove",
        sources: "packages",
        meaning: "a package was removed",
        who: "as package.configure",
        fields: PACKAGE,
        example: r#"{"event_name":"package.remove","username":"root","resource":"curl","outcome":"success","severity":6,"message":"removed curl 7.88.1-10+deb12u14","event_data":{"package":"curl","architecture":"amd64","old_version":"7.88.1-10+deb12u14","duration_s":0,"command_line":"apt-get remove curl"}}"#,
    },
    Entry {
        name: "package.upgrade",
        sources: "packages",
        meaning: "a package was replaced by another version of it",
        who: "as package.configure",
        fields: PACKAGE,
        example: r#"{"event_name":"package.upgrade","username":"root","resource":"tzdata","outcome":"success","severity":6,"message":"upgraded tzdata from 2025b-0+deb12u1 to 2025b-0+deb12u2","event_data":{"package":"tzdata","architecture":"all","old_version":"2025b-0+deb12u1","version":"2025b-0+deb12u2","duration_s":4,"command_line":"apt-get upgrade"}}"#,
    },
    Entry {
        name: "pam.failure",
        sources: "auth",
        meaning: "a PAM module refused a credential; sshd and su tell of it again in their own words",
        who: "username is hashed unless it is an account",
        fields: &[
            ("service", "the PAM service: sshd, sudo, su, login, …"),
            ("module", "the PAM module"),
            ("tty", "the terminal"),
            ("remote_host", "where from"),
            ("by_user", "who asked"),
            ("by_uid", "the id of who asked"),
            ("attempts", "how many more there were"),
        ],
        example: r#"{"event_name":"pam.failure","username":"root","source_ip_address":"192.0.2.7","outcome":"failure","severity":4,"message":"root failed to authenticate from 192.0.2.7 (sshd)","event_data":{"remote_host":"192.0.2.7","tty":"ssh","by_uid":0,"service":"sshd","module":"pam_unix","program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "password.change",
        sources: "auth, users",
        meaning: "a password was changed",
        who: "resource is the user whose password it is; username who did it, where the log says so",
        fields: &[
            ("service", "the PAM service"),
            ("module", "the PAM module"),
            ("state", "users: what it is now: none, set, locked, or empty, when none is asked for"),
            ("old_state", "users: what it was"),
            PRIVILEGED,
            INFERRED,
        ],
        example: r#"{"event_name":"password.change","username":"-","resource":"alice","outcome":"success","severity":5,"message":"the password of alice was changed","event_data":{"service":"passwd","module":"pam_unix","program":"passwd","pid":83}}"#,
    },
    Entry {
        name: "pkexec.run",
        sources: "auth",
        meaning: "pkexec ran a command as somebody else, or refused to",
        who: "resource is the command's first word",
        fields: RUN_AS,
        example: r#"{"event_name":"pkexec.run","username":"alice","resource":"/usr/bin/id","outcome":"success","severity":6,"message":"alice ran /usr/bin/id as root by pkexec","event_data":{"target_user":"root","command_line":"/usr/bin/id","tty":"/dev/pts/0","cwd":"/home/alice","program":"pkexec","pid":84}}"#,
    },
    Entry {
        name: "session.close",
        sources: "auth, logins",
        meaning: "a session ended; auth tells of every PAM session, logins of those on a terminal",
        who: "",
        fields: SESSION,
        example: r#"{"event_name":"session.close","username":"alice","source_ip_address":"192.0.2.7","severity":6,"message":"alice logged out of pts/0","event_data":{"remote_host":"192.0.2.7","duration_s":3600,"tty":"pts/0","pid":1400}}"#,
    },
    Entry {
        name: "session.open",
        sources: "auth, logins",
        meaning: "a session began; auth tells of every PAM session, logins of those on a terminal",
        who: "",
        fields: SESSION,
        example: r#"{"event_name":"session.open","username":"root","outcome":"success","severity":6,"message":"session of root opened by alice (sudo)","event_data":{"uid":0,"by_user":"alice","by_uid":1000,"service":"sudo","module":"pam_unix","program":"sudo","pid":85}}"#,
    },
    Entry {
        name: "ssh.disconnect",
        sources: "auth",
        meaning: "a connection to sshd ended",
        who: "username is hashed when sshd calls it invalid, \"-\" when none was given",
        fields: SSH_END,
        example: r#"{"event_name":"ssh.disconnect","username":"alice","source_ip_address":"192.0.2.7","severity":6,"message":"connection of alice from 192.0.2.7: disconnected","event_data":{"source_port":50022,"reason":"disconnected","program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "ssh.disconnect_notice",
        sources: "auth",
        meaning: "the client said why it ends the connection; an ssh.disconnect follows",
        who: "",
        fields: SSH_END,
        example: r#"{"event_name":"ssh.disconnect_notice","username":"-","source_ip_address":"192.0.2.7","severity":6,"message":"192.0.2.7 announced the end of its connection: disconnected by user","event_data":{"source_port":50022,"code":11,"reason":"disconnected by user","program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "ssh.invalid_user",
        sources: "auth",
        meaning: "a name that is no account was tried; with passwords, a login.failure follows each attempt",
        who: "username is hashed",
        fields: SSH_END,
        example: r#"{"event_name":"ssh.invalid_user","username":"redacted:5d41402abc4b","source_ip_address":"192.0.2.7","outcome":"failure","severity":4,"message":"redacted:5d41402abc4b, which is no account, was tried from 192.0.2.7","event_data":{"source_port":50022,"program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "ssh.refuse",
        sources: "auth",
        meaning: "sshd's or PAM's rules forbid this user, or there were too many attempts",
        who: "username is hashed when sshd calls it invalid",
        fields: SSH_END,
        example: r#"{"event_name":"ssh.refuse","username":"bob","source_ip_address":"192.0.2.7","outcome":"failure","severity":4,"message":"bob from 192.0.2.7 was refused: not listed in AllowUsers","event_data":{"reason":"not listed in AllowUsers","program":"sshd","pid":812}}"#,
    },
    Entry {
        name: "su.switch",
        sources: "auth",
        meaning: "somebody became another user with su, or failed to",
        who: "resource is the other user",
        fields: &[("target_user", "the other user"), ("tty", "the terminal")],
        example: r#"{"event_name":"su.switch","username":"alice","resource":"root","outcome":"success","severity":5,"message":"alice became root","event_data":{"target_user":"root","tty":"pts/0","program":"su","pid":86}}"#,
    },
    Entry {
        name: "sudo.run",
        sources: "auth",
        meaning: "sudo ran a command as somebody else, or refused to",
        who: "resource is the command's first word; a refused name is hashed unless it is an account",
        fields: RUN_AS,
        example: r#"{"event_name":"sudo.run","username":"alice","resource":"/usr/bin/apt","outcome":"success","severity":5,"message":"alice ran /usr/bin/apt update as root","event_data":{"target_user":"root","command_line":"/usr/bin/apt update","tty":"pts/0","cwd":"/home/alice","program":"sudo","pid":87}}"#,
    },
    Entry {
        name: "user.add",
        sources: "auth, users",
        meaning: "a user was added, or could not be",
        who: "resource is the user",
        fields: &[
            ("uid", "its id"),
            ("gid", "its group's id"),
            ("home", "its home folder"),
            ("shell", "its shell"),
            ("from", "the terminal it was added from"),
            ("password", "users: none, set, locked or empty"),
            PRIVILEGED,
            INFERRED,
        ],
        example: r#"{"event_name":"user.add","username":"-","resource":"bob","outcome":"success","severity":5,"message":"user bob was added","event_data":{"uid":1001,"gid":1001,"home":"/home/bob","shell":"/bin/bash","from":"/dev/pts/0","program":"useradd","pid":88}}"#,
    },
    Entry {
        name: "user.change",
        sources: "auth, users",
        meaning: "something of a user was changed",
        who: "resource is the user",
        fields: &[
            ("field", "what"),
            ("old", "the value before"),
            ("new", "the value after"),
            PRIVILEGED,
            INFERRED,
        ],
        example: r#"{"event_name":"user.change","username":"-","resource":"bob","outcome":"success","severity":5,"message":"user bob was changed: shell","event_data":{"field":"shell","old":"/bin/bash","new":"/bin/zsh","program":"usermod","pid":89}}"#,
    },
    Entry {
        name: "user.remove",
        sources: "auth, users",
        meaning: "a user was removed",
        who: "resource is the user",
        fields: &[INFERRED],
        example: r#"{"event_name":"user.remove","username":"-","resource":"bob","outcome":"success","severity":5,"message":"user bob was removed","event_data":{"program":"userdel","pid":90}}"#,
    },
];

/// What is wrong with `event` by the catalogue: a name or a member of `event_data` that is not in it.
pub fn problem(event: &Event) -> Option<String> {
    let Some(entry) = CATALOGUE.iter().chain(LINES).find(|entry| entry.name == event.event_name) else {
        return Some(format!("{} is not in the catalogue", event.event_name));
    };
    let members = event.event_data.iter().flatten().map(|(name, _)| name);
    members
        .filter(|name| !entry.fields.iter().chain(COMMON).any(|(known, _)| known == name))
        .map(|name| format!("{} has no {name} in the catalogue", event.event_name))
        .next()
}

/// The page `docs/events.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Events\n\n\
         <!-- Generated from crates/collect/src/catalogue.rs: UPDATE_EXPECT=1 cargo test -p attestry-collect -->\n\n\
         The names that Attestry itself gives. `severity` is RFC 5424's: 3 error, 4 warning, 5 notice, 6 information.\n\n\
         ## Events of a host\n\n\
         What the sources `packages`, `logins`, `auth`, `users`, `files`, `host`, `docker`, `container_logs`, `services`, `endpoint` and `command` can give. Every event has `event_id`, `event_time`, `host` and\n\
         `event_source` (the source's configured name) as well; the examples leave them out. Events made from logs have ids that\n\
         follow from the line and its place, so reading a log again adds nothing. Secrets in command lines and URLs are replaced\n\
         by `[redacted]` before the event exists.\n\n\
         Members of `event_data` that any event of a log line may have:\n\n",
    );
    fields(&mut page, COMMON);
    page.push('\n');
    table(&mut page, CATALOGUE, "");
    page.push_str(
        "\n## Lines of logs\n\n\
         What the source `follow` gives, and what the parsers (docs/scripts.md) make of lines of files and of receivers. `resource` stays what it was: of a\n\
         file its path. The parser `auditd` gives `audit.` and the record's type in small letters, such as `audit.user_login`, with the record's fields\n\
         as members.\n\n",
    );
    table(&mut page, LINES, "");
    page.push_str(
        "\n## Watched databases\n\n\
         What a watch tells of the rows of a database. `event_source` is the watch's name. The same change gives the same `event_id` after a crash, so it is there once.\n\n",
    );
    table(&mut page, DATABASES, "");
    page.push_str(
        "\n## Events of Attestry itself\n\n\
         What was done to Attestry, and what it knows to be missing (`gap.*`). They are in the ledger `audit`, unless they say\n\
         otherwise, with `event_source` `attestry`, unless it says otherwise. `attestry coverage` adds them up by host, source and hour.\n\n",
    );
    table(&mut page, OWN, OF_OWN);
    CATALOGUE.iter().chain(LINES).chain(DATABASES).for_each(|entry| section(&mut page, entry, ""));
    OWN.iter().for_each(|entry| section(&mut page, entry, OF_OWN));
    page
}

/// Follows the name of an event of our own where a host gives one of that name, too.
const OF_OWN: &str = " of Attestry";

fn suffix<'a>(entry: &Entry, of: &'a str) -> &'a str {
    if CATALOGUE.iter().any(|host| host.name == entry.name) { of } else { "" }
}

fn table(page: &mut String, entries: &[Entry], of: &str) {
    page.push_str("| event | source | meaning |\n|---|---|---|\n");
    for entry in entries {
        let anchor = format!("{}{}", entry.name, suffix(entry, of)).replace('.', "").replace(' ', "-");
        // Writing into a string cannot fail.
        let _ = writeln!(
            page,
            "| [`{}`](#{}) | {} | {} |",
            entry.name,
            anchor.to_lowercase(),
            entry.sources,
            entry.meaning
        );
    }
}

fn section(page: &mut String, entry: &Entry, of: &str) {
    let _ = write!(page, "\n### {}{}\n\n{}.", entry.name, suffix(entry, of), capital(entry.meaning));
    if !entry.who.is_empty() {
        let _ = write!(page, " {}.", capital(entry.who));
    }
    let _ = writeln!(page, " Source: {}.\n", entry.sources);
    if !entry.fields.is_empty() {
        fields(page, entry.fields);
        page.push('\n');
    }
    let _ = writeln!(page, "```json\n{}\n```", entry.example);
}

fn fields(page: &mut String, fields: &[(&str, &str)]) {
    page.push_str("| member | meaning |\n|---|---|\n");
    for (name, meaning) in fields {
        let _ = writeln!(page, "| `{name}` | {} |", meaning.replace('|', "\\|"));
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use attestry_event::{Batch, Border, Nanos};
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&page, markdown()).unwrap();
        }
        let found = fs::read_to_string(&page).unwrap_or_default();
        assert!(
            found == markdown(),
            "docs/events.md is stale: UPDATE_EXPECT=1 cargo test -p attestry-collect"
        );
    }

    /// Whoever writes a log must not be able to say what the host says.
    #[test]
    fn no_line_of_a_log_gets_a_reserved_name() {
        assert!(LINES.iter().all(|entry| !attestry_event::is_reserved(entry.name)));
        assert!(LINES.is_sorted_by(|a, b| a.name < b.name));
    }

    /// Applications have users, files and images as well. Only who got in is told in Attestry's own words by a host, too.
    #[test]
    fn names_of_a_host_are_free_but_for_logins() {
        for event in CATALOGUE {
            let of_logins = ["login.", "session."].iter().any(|family| event.name.starts_with(family));
            let own = event.name.starts_with("gap.");
            assert_eq!(attestry_event::is_reserved(event.name), of_logins || own, "{}", event.name);
        }
    }

    #[test]
    fn names_are_sorted_and_examples_are_events() {
        assert!(
            [HOST, state::STATE, docker::DOCKER, checks::CHECKS]
                .iter()
                .all(|part| part.is_sorted_by(|a, b| a.name < b.name))
        );
        let border = Border {
            event_source: "auth",
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: false,
            now: Nanos(0),
        };
        for entry in CATALOGUE.iter().chain(LINES) {
            assert_eq!(entry.name.matches('.').count(), 1, "{}", entry.name);
            Batch::new().push_json(entry.example.as_bytes(), &border).unwrap_or_else(|problems| {
                panic!("the example of {} is no event: {problems:?}", entry.name);
            });
            let value: Value = serde_json::from_str(entry.example).unwrap();
            assert_eq!(value["event_name"], entry.name);
            let mut event = Event::new(entry.name, "-");
            event.event_data = value["event_data"].as_object().cloned();
            assert_eq!(problem(&event), None);
        }
    }

    #[test]
    fn what_is_not_in_it_is_told() {
        assert!(problem(&Event::new("no.such", "-")).is_some());
        assert!(problem(&Event::new("user.add", "-").data("colour", 1)).is_some());
        assert_eq!(problem(&Event::new("user.add", "-").data("uid", 1).data("cut_bytes", 1)), None);
    }
}
