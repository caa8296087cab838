use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use attestry_event::{Batch, Border, Clock, SystemClock};

use super::*;
use crate::{Outlet, catalogue, proof::Host, source};

/// Keeps what comes, whatever it is called; holds our own to the catalogue and all to the border.
#[derive(Default)]
struct Said {
    events: Mutex<Vec<Event>>,
    position: Mutex<Option<Value>>,
}

impl Outlet for Said {
    fn send(&self, source: &str, events: Vec<Event>, position: Value) -> Result<(), Stopped> {
        let now = Nanos(1_800_000_000_000_000_000);
        let border =
            Border { event_source: source, via: &[], lenient: false, reserved_names: true, agent: true, now };
        for event in &events {
            if catalogue::CATALOGUE.iter().any(|known| known.name == event.event_name) {
                assert_eq!(catalogue::problem(event), None);
            }
            Batch::new().push(event, &border).unwrap();
        }
        self.events.lock().unwrap().extend(events);
        *self.position.lock().unwrap() = Some(position);
        Ok(())
    }
}

/// A source that runs `script` with `/bin/sh`.
fn config(script: &str, more: &str) -> Config {
    let mut config: Config = serde_saphyr::from_str(&format!("{{{more}}}")).unwrap();
    config.run = vec!["/bin/sh".into(), "-c".into(), script.into()];
    assert_eq!(config.check(), [], "{more}");
    config
}

fn setup(said: &Arc<Said>) -> Setup {
    let mut setup = Host::new().setup("jobs");
    setup.paths.root = "/".into();
    setup.outlet = said.clone();
    setup.position = said.position.lock().unwrap().clone();
    setup
}

/// The events of one run; the last is the run itself.
fn run_of(config: &Config) -> Vec<Event> {
    let said = Arc::new(Said::default());
    source::once(config, setup(&said)).unwrap();
    let events = said.events.lock().unwrap().clone();
    assert_eq!(events.last().unwrap().event_name, "command.run");
    events
}

fn run(script: &str, more: &str) -> Vec<Event> {
    run_of(&config(script, more))
}

fn data(event: &Event) -> Value {
    Value::Object(event.event_data.clone().unwrap())
}

/// One line an event: name, what it says, and why it is no event.
fn shown(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.event_name != "command.run")
        .map(|event| {
            let reason =
                event.event_data.as_ref().and_then(|data| data.get("reason")).and_then(Value::as_str);
            let text = event.message.as_deref().unwrap_or("-");
            format!("{} {text} {}", event.event_name, reason.unwrap_or_default()).trim().to_owned()
        })
        .collect()
}

const MIXED: &str = r#"
echo '{"event_name":"backup.done","username":"bob","message":"done","event_data":{"files":412}}'
echo plain
echo
echo '{"event_name":"backup.done"}'
echo '{"event_name":"gap.agent","username":"-"}'
printf 'no \377 text\n'
printf '{"event_name":"last.line","username":"-"}'
"#;

#[test]
fn lines_become_events_or_text() {
    for (output, expected) in [
        (
            "auto",
            &[
                "backup.done done",
                "command.output plain",
                "command.output {\"event_name\":\"backup.done\"} username",
                "command.output {\"event_name\":\"gap.agent\",\"username\":\"-\"} event_name",
                "command.output no \u{fffd} text",
                "last.line -",
            ][..],
        ),
        (
            "events",
            &[
                "backup.done done",
                "command.output plain event",
                "command.output {\"event_name\":\"backup.done\"} username",
                "command.output {\"event_name\":\"gap.agent\",\"username\":\"-\"} event_name",
                "command.output no \u{fffd} text not UTF-8",
                "last.line -",
            ],
        ),
        ("none", &[]),
    ] {
        let events = run(MIXED, &format!("output: {output}"));
        let found = shown(&events);
        assert_eq!(found.len(), expected.len(), "{output}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{output}: {found}, expected {expected}");
        }
        let ran = events.last().unwrap();
        let (named, told) =
            (found.iter().filter(|line| !line.starts_with("command.output")).count(), data(ran));
        assert_eq!(
            (told["events"].as_u64(), told["lines"].as_u64()),
            (Some(named as u64), Some((found.len() - named) as u64))
        );
        assert_eq!((ran.outcome, told["exit_code"].as_i64()), (Some(Outcome::Success), Some(0)), "{ran:?}");
    }
    assert_eq!(shown(&run(MIXED, "output: text")).len(), 6);
    let warned = run(MIXED, "output: events");
    assert!(
        warned
            .iter()
            .filter(|event| event.event_name == "command.output")
            .all(|event| event.severity == Some(4))
    );
    let event = run(MIXED, "").remove(0);
    assert_eq!((event.host.as_deref(), &data(&event)["files"]), (Some("web1"), &json!(412)));
}

#[test]
fn how_it_ended_is_told() {
    for (script, code, signal, reason) in [
        ("exit 0", Some(0), None, None),
        ("echo broken >&2; exit 3", Some(3), None, Some("ended with exit code 3")),
        ("kill -9 $$", None, Some(9), Some("was ended by signal 9")),
        ("exec /bin/false", Some(1), None, Some("ended with exit code 1")),
        ("busybox sh -c 'exit 4'", Some(4), None, Some("ended with exit code 4")),
    ] {
        let ran = run(script, "").pop().unwrap();
        let told = data(&ran);
        assert_eq!((told["exit_code"].as_i64(), told["signal"].as_i64()), (code, signal), "{script}");
        assert_eq!(told["reason"].as_str(), reason, "{script}");
        assert_eq!(ran.severity, Some(if reason.is_some() { 3 } else { 6 }));
    }
    let ran = run("echo broken --password=hunter2 >&2; exit 3", "").pop().unwrap();
    assert_eq!(data(&ran)["stderr"], "broken --password=[redacted]");
    assert!(!format!("{ran:?}").contains("hunter2"), "also not in the command line: {ran:?}");
    // The end is kept.
    let ran = run("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done", "").pop().unwrap();
    let stderr = data(&ran)["stderr"].as_str().unwrap().to_owned();
    assert!(stderr.len() <= 4096 && stderr.ends_with("line 1999"), "{stderr}");
    assert_eq!(data(&ran)["stderr_bytes"], 18_890);
}

#[test]
fn what_cannot_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "no program").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, more, why) in [
        ("/no/such/program", "", "is not there"),
        ("no-such-program-anywhere", "", "is not there"),
        (plain.to_str().unwrap(), "", "Permission denied"),
        ("/bin/true", "cwd: /no/such/folder", "is not there"),
        ("/bin/true", "user: no-such-user", "no user no-such-user"),
        ("/bin/true", "environment: {A: {file: /no/such/file}}", "/no/such/file"),
    ] {
        let config = Config { run: vec![program.into()], ..config("", more) };
        let events = run_of(&config);
        assert_eq!(events.len(), 1);
        let (ran, told) = (&events[0], data(&events[0]));
        assert_eq!((ran.outcome, ran.severity), (Some(Outcome::Failure), Some(3)));
        assert!(told["reason"].as_str().unwrap().contains(why), "{program} {more}: {told}");
        assert!(told.get("exit_code").is_none());
    }
}

/// Whether a process of that number runs; a dead one that nobody has waited for does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[track_caller]
fn none_runs(pids: &Path) {
    let pids = fs::read_to_string(pids).unwrap();
    assert!(!pids.trim().is_empty());
    let until = Instant::now() + Duration::from_secs(3);
    for pid in pids.lines() {
        while runs(pid) {
            assert!(Instant::now() < until, "{pid} still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_time_limit_ends_all_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let file = pids.display();
    for (script, seconds) in [
        // Ends when it is asked to.
        (format!("echo $$ >> {file}; sleep 100 & echo $! >> {file}; echo began; wait"), 2),
        // Does not, nor does what it has started.
        (
            format!(
                "trap '' TERM; echo $$ >> {file}; (trap '' TERM; sleep 100) & echo $! >> {file}; echo began; while :; do sleep 1; done"
            ),
            5,
        ),
    ] {
        let begun = Instant::now();
        let events = run(&script, "timeout: 300ms");
        assert!(begun.elapsed() < Duration::from_secs(seconds), "{:?}", begun.elapsed());
        let told = data(events.last().unwrap());
        assert_eq!(told["timed_out"], true, "{told}");
        assert_eq!(told["reason"], "took longer than its 300ms and was ended");
        assert_eq!(shown(&events), ["command.output began"], "what it said before is kept");
        none_runs(&pids);
    }
}

#[test]
fn children_that_hold_the_pipe_hang_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let begun = Instant::now();
    let events = run(&format!("sleep 100 & echo $! > {}; echo said", pids.display()), "");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let told = data(events.last().unwrap());
    assert_eq!((told["exit_code"].as_i64(), told["left_running"].as_bool()), (Some(0), Some(true)), "{told}");
    assert_eq!(shown(&events), ["command.output said"]);
    none_runs(&pids);

    // One that has left the group is not ended, and is not waited for either.
    let begun = Instant::now();
    let events = run("setsid sleep 4 & echo said", "");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(shown(&events), ["command.output said"]);
}

/// A program that never ends, with a child; both end with the source, and soon.
#[test]
fn nothing_outlives_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!("sleep 100 & echo $! > {0}; echo $$ >> {0}; echo began; wait", pids.display());
    let said = Arc::new(Said::default());
    let running = source::start(Box::new(config(&script, "timeout: 1h")), setup(&said)).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    // What a program says is sent while it runs.
    while said.events.lock().unwrap().is_empty()
        || fs::read_to_string(&pids).unwrap_or_default().lines().count() < 2
    {
        assert!(Instant::now() < until, "it did not begin");
        thread::sleep(Duration::from_millis(10));
    }
    let stopping = Instant::now();
    running.stop();
    assert!(stopping.elapsed() < Duration::from_secs(2), "{:?}", stopping.elapsed());
    none_runs(&pids);
    let events = said.events.lock().unwrap();
    let told = data(events.last().unwrap());
    assert_eq!(
        (told["stopped"].as_bool(), told["reason"].as_str()),
        (Some(true), Some("was ended because Attestry ends"))
    );
}

#[test]
fn its_environment_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "swordfish\n").unwrap();
    let more =
        format!("environment: {{LANG: de_AT.UTF-8, A: b c, KEY: {{file: {}}}}}, cwd: /tmp", secret.display());
    let events = run("env; pwd; echo \"key $KEY\" >&2", &more);
    let mut lines = shown(&events);
    // What the shell itself sets.
    lines.retain(|line| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.contains(own)));
    lines.sort();
    let home = lines.iter().find(|line| line.contains("HOME=")).unwrap().clone();
    assert_eq!(
        lines,
        [
            "A=b c",
            &home["command.output ".len()..],
            "KEY=[redacted]",
            "LANG=de_AT.UTF-8",
            &format!("PATH={PATH}"),
            "/tmp"
        ]
        .map(|line| format!("command.output {line}"))
        .iter()
        .cloned()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
    );
    assert_eq!(data(events.last().unwrap())["stderr"], "key [redacted]");
    // No shell reads the words.
    let config = Config { run: vec!["echo".into(), "$HOME; a | b".into()], ..config("", "") };
    assert_eq!(shown(&run_of(&config)), ["command.output $HOME; a | b"]);
    // Nothing can be asked of anybody.
    assert_eq!(shown(&run("read line || echo nothing", "")), ["command.output nothing"]);
}

#[test]
fn it_runs_as_whom_it_is_told() {
    let own = rustix::process::geteuid().as_raw();
    let config = config("id -u; id -G; echo $HOME", "user: nobody");
    let events = run_of(&config);
    let ran = events.last().unwrap();
    if own == 0 {
        let account = Account::find(Path::new("/"), Some("nobody")).unwrap();
        let ids = account.switch_to.unwrap();
        let groups: Vec<String> = ids.groups.iter().map(u32::to_string).collect();
        let lines = [ids.uid.to_string(), groups.join(" "), account.home];
        assert_eq!(shown(&events), lines.map(|line| format!("command.output {line}")));
        assert_eq!(ran.username, "nobody");
    } else {
        assert!(data(ran)["reason"].as_str().unwrap().contains("only root"));
    }
}

#[test]
fn more_than_enough_is_lost_and_said() {
    let script = "i=0; while [ $i -lt 5000 ]; do echo 0123456789; i=$((i+1)); done";
    let events = run(script, "max_output_bytes: 22000");
    let told = data(events.last().unwrap());
    assert_eq!(
        (&told["lines"], &told["stdout_bytes"], &told["lost_bytes"]),
        (&json!(2000), &json!(55_000), &json!(33_000))
    );
    assert_eq!(told["exit_code"], 0, "it was not kept from writing");
    let gap = events.iter().find(|event| event.event_name == "gap.collect").unwrap();
    assert!(gap.message.as_ref().unwrap().contains("33000 bytes more than max_output_bytes"));
    assert_eq!(events.len(), 2002);
}

/// Every second, and each run takes longer: never two at once, and what was left out is counted.
#[test]
fn runs_never_overlap_and_missed_ones_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    let script = format!("mkdir {0} || exit 9; sleep 1.2; rmdir {0}", lock.display());
    let said = Arc::new(Said::default());
    let mut setup = setup(&said);
    setup.clock = Arc::new(SystemClock);
    // An hour ago Attestry ended.
    let before = SystemClock.now().0 - 3_600_000_000_000;
    setup.position = Some(json!({ "last": before }));
    let running = source::start(Box::new(config(&script, "every: 1s")), setup).unwrap();
    let until = Instant::now() + Duration::from_secs(15);
    while said.events.lock().unwrap().len() < 3 {
        assert!(Instant::now() < until, "{:?}", said.events.lock().unwrap());
        thread::sleep(Duration::from_millis(20));
    }
    running.stop();
    let events = said.events.lock().unwrap();
    let told: Vec<Value> = events.iter().take(3).map(data).collect();
    assert!(told.iter().all(|told| told["exit_code"] == 0), "{told:?}");
    assert_eq!(told[0]["missed"], 1_000, "one run for all that were missed");
    assert!(
        told[1..].iter().any(|told| told["missed"].as_u64() == Some(1) || told["missed"].is_null()),
        "{told:?}"
    );
    let last = said.position.lock().unwrap().as_ref().unwrap()["last"].as_i64().unwrap();
    assert_eq!((last - before) % 1_000_000_000, 0, "the beat is kept");
}

#[test]
fn mistakes_are_found_before_it_runs() {
    for (yaml, field) in [
        ("{}", "run"),
        ("{run: ['']}", "run"),
        ("{run: [a], schedule: '* * * *'}", "schedule"),
        ("{run: [a], schedule: '* * * * *', every: 5m}", "every"),
        ("{run: [a], schedule: '* * * * *', time_zone: Europe/Nowhere}", "time_zone"),
        ("{run: [a], time_zone: UTC}", "time_zone"),
        ("{run: [a], every: 1ms}", "every"),
        ("{run: [a], timeout: 0s}", "timeout"),
        ("{run: [a], cwd: here}", "cwd"),
        ("{run: [a], environment: {'a=b': c}}", "environment"),
        ("{run: [a], max_output_bytes: 0}", "max_output_bytes"),
    ] {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        assert!(config.check().iter().any(|(found, _)| *found == field), "{yaml}: {:?}", config.check());
    }
    for yaml in ["{run: sh}", "{run: [a], output: json}", "{run: [a], shell: true}"] {
        assert!(serde_saphyr::from_str::<Config>(yaml).is_err(), "{yaml}");
    }
}
