use std::{fs, sync::PoisonError};

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

use super::*;
use crate::proof::{Host, show};

fn read(host: &Host) -> Vec<Event> {
    let setup = host.setup("packages");
    host.pass(&mut Packages::in_zone(&setup, TimeZone::UTC), &setup)
}

/// The events of a log, one line each, with their times.
#[track_caller]
fn check(log: &str, expected: &[&str]) {
    let host = Host::new();
    host.append("dpkg.log", log);
    let found: Vec<String> = read(&host)
        .iter()
        .map(|event| format!("{} {}", &event.event_time.unwrap().to_string()[..19], show(event)))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn an_install_ends_when_it_is_installed() {
    check(
        "2026-05-09 07:29:02 startup archives unpack\n\
         2026-05-09 07:29:02 install jq:amd64 <none> 1.6-2.1\n\
         2026-05-09 07:29:02 status half-installed jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:02 status triggers-pending man-db:amd64 2.11.2-2\n\
         2026-05-09 07:29:02 status unpacked jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:05 startup packages configure\n\
         2026-05-09 07:29:05 configure jq:amd64 1.6-2.1 <none>\n\
         2026-05-09 07:29:05 status half-configured jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:06 status installed jq:amd64 1.6-2.1\n\
         2026-05-09 07:29:06 trigproc man-db:amd64 2.11.2-2 <none>\n\
         2026-05-09 07:29:07 status installed man-db:amd64 2.11.2-2\n",
        &[
            "2026-05-09T07:29:02 package.install - jq success - package=jq architecture=amd64 version=1.6-2.1 duration_s=4",
        ],
    );
}

#[test]
fn an_upgrade_a_removal_and_a_purge() {
    check(
        "2026-09-22 04:51:17 upgrade nodejs:amd64 20.1 20.2\n\
         2026-09-22 04:51:17 status half-configured nodejs:amd64 20.1\n\
         2026-09-22 04:51:17 status unpacked nodejs:amd64 20.1\n\
         2026-09-22 04:51:17 status half-installed nodejs:amd64 20.1\n\
         2026-09-22 04:51:18 status unpacked nodejs:amd64 20.2\n\
         2026-09-22 04:51:18 configure nodejs:amd64 20.2 <none>\n\
         2026-09-22 04:51:18 status installed nodejs:amd64 20.2\n\
         2026-09-22 04:52:00 remove cmake-data:all 3.25.1-1 <none>\n\
         2026-09-22 04:52:00 status half-configured cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:00 status half-installed cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:00 status config-files cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:01 purge cmake-data:all 3.25.1-1 <none>\n\
         2026-09-22 04:52:01 status config-files cmake-data:all 3.25.1-1\n\
         2026-09-22 04:52:01 status not-installed cmake-data:all <none>\n",
        &[
            "2026-09-22T04:51:17 package.upgrade - nodejs success - package=nodejs architecture=amd64 \
             old_version=20.1 version=20.2 duration_s=1",
            "2026-09-22T04:52:00 package.remove - cmake-data success - package=cmake-data architecture=all \
             old_version=3.25.1-1 duration_s=0",
            "2026-09-22T04:52:01 package.purge - cmake-data success - package=cmake-data architecture=all \
             old_version=3.25.1-1 duration_s=0",
        ],
    );
}

#[test]
fn what_does_not_end_well_is_a_failure() {
    check(
        // Rolled back to the old version.
        "2026-09-22 04:00:00 upgrade a:amd64 1 2\n\
         2026-09-22 04:00:01 status installed a:amd64 1\n\
         2026-09-22 04:01:00 install b:amd64 <none> 1\n\
         2026-09-22 04:01:00 status unpacked b:amd64 1\n\
         2026-09-22 04:02:00 remove c:amd64 1 <none>\n\
         2026-09-22 04:02:01 status installed c:amd64 1\n\
         2026-09-22 04:03:00 install b:amd64 <none> 1\n\
         2026-09-22 06:00:00 startup packages configure\n\
         2026-09-22 06:00:00 configure b:amd64 1 <none>\n\
         2026-09-22 06:00:01 status installed b:amd64 1\n",
        &[
            "2026-09-22T04:00:00 package.upgrade - a failure - package=a architecture=amd64 old_version=1 version=2 \
             duration_s=1",
            "2026-09-22T04:02:00 package.remove - c failure - package=c architecture=amd64 old_version=1 duration_s=1",
            "2026-09-22T04:01:00 package.install - b failure - package=b architecture=amd64 version=1",
            "2026-09-22T04:03:00 package.install - b failure - package=b architecture=amd64 version=1",
            "2026-09-22T06:00:00 package.configure - b success - package=b architecture=amd64 version=1 duration_s=1",
        ],
    );
}

#[test]
fn who_asked_comes_from_apt() {
    let host = Host::new();
    host.append(
        "apt/history.log",
        "\nStart-Date: 2026-05-09  07:29:00\nCommandline: apt install jq --password=hunter2\nRequested-By: alice (1000)\n\
         End-Date: 2026-05-09  07:30:00\n\nStart-Date: 2026-05-10  07:29:00\nCommandline: /usr/bin/unattended-upgrade\n",
    );
    for day in ["08", "09", "10"] {
        host.append("dpkg.log", format!("2026-05-{day} 07:29:02 install jq:amd64 <none> 1\n"));
        host.append("dpkg.log", format!("2026-05-{day} 07:29:02 status installed jq:amd64 1\n"));
    }
    let events = read(&host);
    let users: Vec<&str> = events.iter().map(|event| event.username.as_str()).collect();
    assert_eq!(users, ["-", "alice", "root"]);
    let data = events[1].event_data.as_ref().unwrap();
    assert_eq!(data["command_line"], "apt install jq --password=[redacted]");
    assert_eq!(data["requested_by_uid"], 1000);
}

#[test]
fn local_time_becomes_utc() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for (text, expected) in [
        ("2026-07-01 12:00:00", Some("2026-07-01T10:00:00.000000000Z")),
        ("2026-12-01  12:00:00", Some("2026-12-01T11:00:00.000000000Z")),
        ("2026-10-25 02:30:00", Some("2026-10-25T00:30:00.000000000Z")),
        ("2026-03-29 02:30:00", Some("2026-03-29T01:30:00.000000000Z")),
        ("2026-13-01 12:00:00", None),
        ("2026-12-01", None),
        ("", None),
    ] {
        assert_eq!(local_time(text, &zone).map(|time| time.to_string()).as_deref(), expected, "{text}");
    }
}

/// A log of `count` installs, each with its end.
fn installs(range: std::ops::Range<u32>) -> String {
    range
        .map(|n| {
            format!(
                "2026-05-09 07:{:02}:{:02} install p{n}:amd64 <none> 1\n\
                 2026-05-09 07:{:02}:{:02} status installed p{n}:amd64 1\n",
                n / 60 % 60,
                n % 60,
                n / 60 % 60,
                n % 60,
            )
        })
        .collect()
}

#[test]
fn history_in_rotated_files_comes_once_over_restarts_and_rotations() {
    let host = Host::new();
    host.clock.set(Nanos::parse("2026-05-09T09:00:05Z").unwrap());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(installs(0..1_500).as_bytes()).unwrap();
    fs::write(host.log("dpkg.log.2.gz"), packed.finish().unwrap()).unwrap();
    host.append("dpkg.log.1", installs(1_500..1_600));
    host.append("dpkg.log", installs(1_600..1_700));
    // An outlet that refuses the second batch: the first has been kept, with its position.
    *host.kept.refuse_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(1);
    let setup = host.setup("packages");
    assert_eq!(crate::once(&Config::default(), setup).unwrap_err(), Stopped);
    assert_eq!(host.kept.events.lock().unwrap().len(), 1_000);
    *host.kept.refuse_after.lock().unwrap() = None;

    read(&host);
    // An action is open across a restart and a rotation.
    host.append("dpkg.log", "2026-05-09 09:00:00 install open:amd64 <none> 1\n");
    assert!(read(&host).is_empty());
    host.append("dpkg.log", installs(1_700..1_701));
    read(&host);
    fs::rename(host.log("dpkg.log"), host.log("dpkg.log.0")).unwrap();
    host.append("dpkg.log", "2026-05-09 09:00:09 status installed open:amd64 1\n");
    let last = read(&host);
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].event_data.as_ref().unwrap()["duration_s"], 9);

    let events = host.kept.events.lock().unwrap();
    let names: Vec<&str> = events.iter().filter_map(|event| event.resource.as_deref()).collect();
    let expected: Vec<String> = (0..1_701).map(|n| format!("p{n}")).chain(["open".to_owned()]).collect();
    assert_eq!(names, expected);
    let mut ids: Vec<&str> = events.iter().filter_map(|event| event.event_id.as_deref()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
    assert!(host.kept.batches.lock().unwrap().iter().all(|&size| size <= 1_000));
}

#[test]
fn a_lost_position_repeats_the_same_events() {
    let host = Host::new();
    host.append("dpkg.log", installs(0..50));
    host.append(
        "dpkg.log",
        "2026-05-09 08:00:00 install never:amd64 <none> 1\n2026-05-09 10:00:00 startup archives x\n",
    );
    let first = read(&host);
    assert_eq!(first.len(), 51);
    *host.kept.position.lock().unwrap() = None;
    fs::rename(host.log("dpkg.log"), host.log("dpkg.log.1")).unwrap();
    assert_eq!(read(&host), first);
}

#[test]
fn an_open_action_is_given_up_after_an_hour_of_silence() {
    let host = Host::new();
    let setup = host.setup("packages");
    let mut collector = Packages::in_zone(&setup, TimeZone::UTC);
    host.clock.set(Nanos::parse("2026-05-09T08:10:00Z").unwrap());
    host.append("dpkg.log", "2026-05-09 08:00:00 install x:amd64 <none> 1\n");
    assert!(host.pass(&mut collector, &setup).is_empty());
    host.clock.set(Nanos::parse("2026-05-09T09:00:01Z").unwrap());
    let events = host.pass(&mut collector, &setup);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome, Some(Outcome::Failure));
}

/// Lets the database be looked at again.
fn again(packages: &mut Packages) {
    packages.databases =
        Manager::ALL.map(|manager| Database::new(manager, Some(&packages.position()["compared"]))).into();
}

#[test]
fn what_the_log_does_not_tell_is_found_in_the_status() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    fs::create_dir_all(host.root("var/lib/dpkg/updates")).unwrap();
    let status = |packages: &[(&str, &str)]| {
        let stanza = |(name, version): &(&str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        fs::write(host.root("var/lib/dpkg/status"), packages.iter().map(stanza).collect::<String>()).unwrap();
    };
    let setup = host.setup("packages");
    let mut packages = Packages::in_zone(&setup, TimeZone::UTC);
    let look = |packages: &mut Packages| -> Vec<String> {
        again(packages);
        host.pass(packages, &setup).iter().map(crate::proof::show_sorted).collect()
    };
    host.append(
        "dpkg.log",
        "2026-05-09 07:29:02 install b:amd64 <none> 1\n2026-05-09 07:29:02 status installed b:amd64 1\n",
    );
    status(&[("a", "1"), ("b", "1")]);
    let first = look(&mut packages);
    assert_eq!(first[1], "state.baseline - packages - - inferred=true manager=dpkg packages=2", "{first:?}");
    // The log tells of c; nobody tells of a and b.
    status(&[("a", "2"), ("c", "1")]);
    host.append(
        "dpkg.log",
        "2026-05-10 07:29:02 install c:amd64 <none> 1\n2026-05-10 07:29:02 status installed c:amd64 1\n",
    );
    let second = look(&mut packages);
    assert_eq!(
        second,
        [
            "package.install - c success - architecture=amd64 duration_s=0 package=c version=1",
            "package.upgrade - a success - architecture=amd64 inferred=true manager=dpkg old_version=1 package=a version=2",
            "package.remove - b success - architecture=amd64 inferred=true manager=dpkg old_version=1 package=b",
        ]
    );
    // While dpkg is at work its status is not what it will be.
    status(&[]);
    fs::write(host.root("var/lib/dpkg/updates/0001"), "").unwrap();
    assert!(look(&mut packages).is_empty());
    fs::remove_file(host.root("var/lib/dpkg/updates/0001")).unwrap();
    assert_eq!(look(&mut packages).len(), 2);
    // And over a restart.
    status(&[("d", "1")]);
    assert_eq!(read(&host).len(), 1);
    assert!(read(&host).is_empty());
}

#[test]
fn apk_has_no_log_that_tells() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    fs::create_dir_all(host.root("lib/apk/db")).unwrap();
    let database = host.root("lib/apk/db/installed");
    fs::write(&database, "P:musl\nV:1.2.4-r2\nA:x86_64\n\nP:jq\nV:1-r0\nA:x86_64\n\n").unwrap();
    assert!(Config::default().availability(&host.setup("packages").paths).on);
    assert_eq!(read(&host).len(), 1);
    fs::write(&database, "P:musl\nV:1.2.5-r0\nA:x86_64\n\n").unwrap();
    let shown: Vec<String> = read(&host).iter().map(crate::proof::show_sorted).collect();
    assert_eq!(
        shown,
        [
            "package.remove - jq success - architecture=x86_64 inferred=true manager=apk old_version=1-r0 package=jq",
            "package.upgrade - musl success - architecture=x86_64 inferred=true manager=apk old_version=1.2.4-r2 package=musl version=1.2.5-r0",
        ]
    );
}

/// A real dpkg, on a root of the test's own: once with a log, once without.
#[test]
fn a_real_dpkg_with_and_without_its_log() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    for folder in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "tiny/DEBIAN"] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    fs::write(host.root("var/lib/dpkg/status"), "").unwrap();
    let root = format!("--root={}", host.root("").display());
    let logged = format!("--log={}", host.log("dpkg.log").display());
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        // dpkg wants to find ldconfig and start-stop-daemon.
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let deb = |version: &str| {
        let control = format!(
            "Package: tiny\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n"
        );
        fs::write(host.root("tiny/DEBIAN/control"), control).unwrap();
        let deb = host.root(&format!("tiny-{version}.deb")).display().to_string();
        run("dpkg-deb", &["--build", host.root("tiny").to_str().unwrap(), &deb]);
        deb
    };
    assert_eq!(read(&host).len(), 1, "the baseline");
    let dpkg = |log: &str, arguments: &[&str]| -> Vec<String> {
        run("dpkg", &[&[root.as_str(), log, "--force-not-root"], arguments].concat());
        read(&host)
            .iter()
            .map(|event| {
                crate::proof::show_sorted(event).replace(" duration_s=0", "").replace(" duration_s=1", "")
            })
            .collect()
    };
    let about = "tiny success - architecture=all";
    let silent = "--log=/dev/null";
    for (log, arguments, expected) in [
        (&*logged, ["-i", &deb("1")], format!("package.install - {about} package=tiny version=1")),
        (
            &*logged,
            ["-i", &deb("2")],
            format!("package.upgrade - {about} old_version=1 package=tiny version=2"),
        ),
        (&*logged, ["-r", "tiny"], format!("package.remove - {about} old_version=2 package=tiny")),
        (
            silent,
            ["-i", &deb("3")],
            format!("package.install - {about} inferred=true manager=dpkg package=tiny version=3"),
        ),
        (
            silent,
            ["-i", &deb("4")],
            format!(
                "package.upgrade - {about} inferred=true manager=dpkg old_version=3 package=tiny version=4"
            ),
        ),
        (
            silent,
            ["-P", "tiny"],
            format!("package.remove - {about} inferred=true manager=dpkg old_version=4 package=tiny"),
        ),
    ] {
        let found = dpkg(log, &arguments);
        assert_eq!(found.first(), Some(&expected), "{found:?}");
        // Once it is told by the log it is no difference, though a purge of what has no configuration may follow.
        assert!(found.iter().skip(1).all(|event| event.starts_with("package.purge")), "{found:?}");
    }
}

/// A real apt-get, with a package of the test's own, on a root of its own.
#[test]
fn a_real_apt_get_says_who_asked() {
    let host = Host::new();
    let root = host.root("").display().to_string();
    for folder in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "tiny/DEBIAN",
        "log/apt",
    ] {
        fs::create_dir_all(host.root(folder)).unwrap();
    }
    fs::write(host.root("var/lib/dpkg/status"), "").unwrap();
    let control = "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n";
    fs::write(host.root("tiny/DEBIAN/control"), control).unwrap();
    let deb = host.root("tiny.deb").display().to_string();
    let run = |program: &str, arguments: &[String]| {
        let mut command = std::process::Command::new(program);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("TZ", "UTC");
        let output = command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {told}");
    };
    run("dpkg-deb", &["--build".to_owned(), host.root("tiny").display().to_string(), deb.clone()]);
    let apt = |words: &[&str]| {
        let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        for option in [
            format!("Dir={root}"),
            format!("Dir::State::status={root}/var/lib/dpkg/status"),
            format!("Dir::Log={root}/log/apt"),
            format!("Dpkg::Options::=--root={root}"),
            "Dpkg::Options::=--force-not-root".to_owned(),
            format!("Dpkg::Options::=--log={root}/log/dpkg.log"),
            "Debug::NoLocking=1".to_owned(),
        ] {
            arguments.extend(["-o".to_owned(), option]);
        }
        run("apt-get", &arguments);
        let found = read(&host);
        let event = found.iter().find(|event| event.event_name.starts_with("package.")).cloned();
        let event = event.unwrap_or_else(|| panic!("{found:?}"));
        let data = event.event_data.unwrap_or_default();
        assert!(
            data["command_line"].as_str().unwrap().starts_with(&format!("apt-get {}", words[0])),
            "{data:?}"
        );
        (event.event_name, event.resource)
    };
    let tiny = Some("tiny".to_owned());
    assert_eq!(apt(&["-yq", "install", &deb]), ("package.install".to_owned(), tiny.clone()));
    assert_eq!(apt(&["-yq", "remove", "tiny"]), ("package.remove".to_owned(), tiny));
}

/// With Debian's rpm, a package of its own making, and a database in the test's folder.
#[test]
fn a_real_rpm_installs_upgrades_and_removes() {
    let host = Host::new();
    host.clock.advance(std::time::Duration::from_secs(60));
    let database = host.root("var/lib/rpm");
    fs::create_dir_all(&database).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        let output = command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let top = format!("_topdir {}", host.root("build").display());
    let path = database.to_str().unwrap().to_owned();
    for version in ["1", "2"] {
        let spec = host.root("tiny.spec");
        fs::write(
            &spec,
            format!("Name: tiny\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n%files\n"),
        )
        .unwrap();
        run("rpmbuild", &["-bb", "--quiet", "--define", &top, spec.to_str().unwrap()]);
    }
    run("rpm", &["--dbpath", &path, "--initdb"]);
    assert_eq!(read(&host).len(), 1, "the baseline");
    let rpm = |version: &str| {
        host.root("build").join(format!("RPMS/noarch/tiny-{version}-1.noarch.rpm")).display().to_string()
    };
    let root = host.root("root").display().to_string();
    fs::create_dir_all(&root).unwrap();
    let about = "architecture=noarch inferred=true manager=rpm";
    for (arguments, expected) in [
        (["-i", &rpm("1")], format!("package.install - tiny success - {about} package=tiny version=1-1")),
        (
            ["-U", &rpm("2")],
            format!("package.upgrade - tiny success - {about} old_version=1-1 package=tiny version=2-1"),
        ),
        (["-e", "tiny"], format!("package.remove - tiny success - {about} old_version=2-1 package=tiny")),
    ] {
        run("rpm", &["--dbpath", &path, "--nodeps", "--noscripts", "--justdb", arguments[0], arguments[1]]);
        let shown: Vec<String> = read(&host).iter().map(crate::proof::show_sorted).collect();
        assert_eq!(shown, [expected]);
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_taken(line in "\\PC{0,80}", action in "(install|upgrade|remove|purge|configure|status installed)") {
        let _ = parse(&line);
        let host = Host::new();
        host.append("dpkg.log", format!("2026-05-09 07:00:00 {action} {line}\n{line}\n"));
        read(&host);
    }
}
