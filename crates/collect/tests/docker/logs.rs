use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use attestry_collect::container_logs::Config;
use attestry_event::Event;
use attestry_testkit::Docker;

use crate::world::{Kept, SOON, data, show};

fn is_line(event: &Event) -> bool {
    event.event_name == "container.log"
}

/// A container's lines of one stream, in the order they came.
fn lines(kept: &Kept, name: &str, stream: &str) -> Vec<String> {
    let of = |event: &Event| {
        is_line(event) && event.resource.as_deref() == Some(name) && data(event, "stream") == stream
    };
    kept.of(of).into_iter().map(|event| event.message.unwrap_or_default()).collect()
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Waits until a container wrote its last line, and that has come.
#[track_caller]
fn wait_for_line(kept: &Kept, name: &str, line: &str) {
    kept.wait(1, |event| {
        is_line(event) && event.resource.as_deref() == Some(name) && event.message.as_deref() == Some(line)
    });
}

/// Both ways: from the files, and through the engine from files and from another driver.
const WAYS: [(&str, bool); 3] = [("json-file", true), ("json-file", false), ("local", false)];

#[test]
fn each_line_comes_once_and_as_it_was() {
    let docker = Docker::started();
    for (driver, files) in WAYS {
        let what = format!("{driver}, files: {files}");
        println!("{what}");
        let kept = Arc::new(Kept::default());
        let config = Config { socket: docker.socket(), files, ..Config::default() };
        // One that ended before anybody looked.
        docker.run(&["--name", "early", "--log-driver", driver], "echo early; echo wrong >&2");
        let running = kept.start(config.clone());
        wait_for_line(&kept, "early", "early");
        let script = r"printf '\303\244\303\266\303\274 \033[31mred\033[0m\n\n'
            head -c 40000 /dev/zero | tr '\000' y; echo
            printf '  indented\n'; sleep 0.1; printf 'no end'";
        // Once it is removed, only its open file can still be read.
        let removed: &[&str] = if files { &["--rm"] } else { &[] };
        let options = ["--name", "kinds", "--log-driver", driver, "--label", "team=a"];
        docker.run(&[removed, &options].concat(), script);
        wait_for_line(&kept, "kinds", "no end");
        let written: Vec<_> = lines(&kept, "kinds", "stdout")
            .iter()
            .map(|line| line.replace(&"y".repeat(40_000), "LONG"))
            .collect();
        assert_eq!(written, ["äöü \u{1b}[31mred\u{1b}[0m", "", "LONG", "  indented", "no end"], "{what}");
        assert_eq!(lines(&kept, "early", "stderr"), ["wrong"], "{what}");
        let event = &kept.of(|event| event.message.as_deref() == Some("  indented"))[0];
        assert_eq!(data(event, "labels"), &serde_json::json!({ "team": "a" }), "{what}");
        assert_eq!(data(event, "image_name"), attestry_testkit::BUSYBOX, "{what}");

        // A terminal, an opt-out, no log, and lines that belong together.
        docker.run(&["-t", "--name", "tty", "--log-driver", driver], "echo one; echo two >&2");
        docker.run(
            &["--name", "silent", "--log-driver", driver, "--label", "attestry.logs=false"],
            "echo secret",
        );
        docker.run(&["--name", "none", "--log-driver", "none"], "echo nowhere");
        let joined = ["--name", "joined", "--log-driver", driver, "--label", r"attestry.first_line=^\S"];
        docker.run(&joined, r"printf 'Exception: x\n\tat a\n\tat b\nnext\n'; sleep 0.2");
        wait_for_line(&kept, "joined", "next");
        assert_eq!(lines(&kept, "tty", "stdout"), ["one", "two"], "{what}");
        assert_eq!(lines(&kept, "joined", "stdout"), ["Exception: x\n\tat a\n\tat b", "next"], "{what}");
        for name in ["silent", "none"] {
            assert_eq!(lines(&kept, name, "stdout"), [""; 0], "{what}");
        }

        // A container that is started again goes on; so does the source, without a line twice.
        docker.run(&["--name", "twice", "--log-driver", driver], "echo one");
        wait_for_line(&kept, "twice", "one");
        running.stop();
        docker.docker(&["start", "-a", "twice"]);
        let all = kept.count();
        let once = config.clone();
        let running = kept.start(config);
        docker.docker(&["start", "-a", "twice"]);
        kept.wait(3, |event| event.resource.as_deref() == Some("twice"));
        docker.run(&["--name", "last", "--log-driver", driver], "echo last");
        wait_for_line(&kept, "last", "last");
        running.stop();
        let fresh: Vec<_> = kept.events()[all..].iter().filter_map(|event| event.message.clone()).collect();
        assert_eq!(fresh, ["one", "one", "last"], "{what}");
        if files {
            assert_eq!(kept.repeated(), 0, "{what}");
        }
        // One pass alone, as cron makes it.
        docker.run(&["--name", "alone", "--log-driver", driver], "echo alone; echo by itself >&2");
        kept.once(&once);
        let alone = kept.of(|event| event.resource.as_deref() == Some("alone"));
        let mut alone: Vec<_> = alone.into_iter().filter_map(|event| event.message).collect();
        // The engine reads the two streams apart: which line is the first by its clock is chance.
        alone.sort();
        assert_eq!(alone, ["alone", "by itself"], "{what}");
        let all = kept.count();
        kept.once(&once);
        assert_eq!(kept.count(), all, "{what}");

        let gaps: Vec<_> = kept.of(|event| !is_line(event)).into_iter().map(|event| event.message).collect();
        assert!(gaps.is_empty(), "{what}: {gaps:?}");
        for name in ["early", "silent", "none", "tty", "joined", "twice", "last", "alone"] {
            docker.docker(&["rm", name]);
        }
        docker.try_docker(&["rm", "kinds"]);
    }
}

/// Ten containers, 1,000 lines a second each, on both streams, through rotations, kills, restarts of the source and of the engine.
#[test]
fn none_of_ten_thousand_lines_a_second_is_lost() {
    const CONTAINERS: u32 = 10;
    const LINES: u32 = 6_000;
    let docker = Docker::started();
    let kept = Arc::new(Kept::default());
    let config = Config { socket: docker.socket(), ..Config::default() };
    let mut running = kept.start(config.clone());
    // 1,000 lines, then the rest of a second; the odd ones are rotated every 2,000 lines or so.
    let script = format!(
        "at=0; while [ $at -lt {LINES} ]; do seq $((at+1)) $((at+500)); seq $((at+501)) $((at+1000)) >&2; at=$((at+1000)); sleep 0.9; done; sleep 0.2"
    );
    let begun = Instant::now();
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("noisy-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let mut options = vec!["--name", name];
        if number % 2 == 1 {
            options.extend(["--log-opt", "max-size=150k", "--log-opt", "max-file=3"]);
        }
        if number % 4 == 3 {
            options.extend(["--log-opt", "compress=true"]);
        }
        docker.run_detached(&options, &script);
    }
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(900));
        running.stop();
        thread::sleep(Duration::from_millis(200));
        running = kept.start(config.clone());
    }
    docker.docker(&["wait", &names[0]]);
    for name in &names {
        docker.docker(&["wait", name]);
    }
    let lasted = begun.elapsed();
    let all = (CONTAINERS * LINES) as usize;
    attestry_testkit::wait_for("all lines", SOON, || (kept.of(is_line).len() >= all).then_some(()));
    running.stop();
    println!("{all} lines in {lasted:?}, all there after {:?}", begun.elapsed());
    let gaps: Vec<_> = kept.of(|event| !is_line(event)).into_iter().map(|event| event.message).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
    let mut found: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
    for event in kept.events() {
        let error = data(&event, "stream") == "stderr";
        found.entry((event.resource.unwrap(), error)).or_default().push(event.message.unwrap());
    }
    for name in names {
        for error in [false, true] {
            let expected: Vec<String> = numbers(1..=LINES)
                .into_iter()
                .filter(|line| ((line.parse::<u32>().unwrap() - 1) % 1_000 >= 500) == error)
                .collect();
            let found = &found[&(name.clone(), error)];
            assert!(
                *found == expected,
                "{name}, stderr {error}: {} of {} lines",
                found.len(),
                expected.len()
            );
        }
    }
    assert_eq!(kept.repeated(), 0);
}

/// Killed, out of memory, started again, and the engine stopped and killed in between.
#[test]
fn whatever_ends_a_container_or_the_engine_its_lines_are_there() {
    let mut docker = Docker::started();
    for (driver, files) in [("json-file", true), ("local", false)] {
        let begun = Instant::now();
        let what = format!("{driver}, files: {files}");
        let kept = Arc::new(Kept::default());
        let config = Config { socket: docker.socket(), files, ..Config::default() };
        let running = kept.start(config);
        let script = "trap 'exit 0' TERM; at=0; while :; do at=$((at+1)); echo $at; usleep 2000; done";
        for name in ["killed", "stopped", "removed"] {
            docker.run_detached(&["--name", name, "--log-driver", driver], script);
        }
        docker.run(
            &["--name", "greedy", "--log-driver", driver, "-m", "16m", "--memory-swap", "16m"],
            "echo before; tail /dev/zero",
        );
        docker.docker(&["kill", "killed"]);
        docker.docker(&["restart", "-t", "0", "killed"]);
        println!("{what}: the engine is stopped after {:?}", begun.elapsed());
        docker.stop();
        println!("{what}: it has stopped after {:?}", begun.elapsed());
        docker.start();
        println!("{what}: it runs again after {:?}", begun.elapsed());
        docker.docker(&["start", "stopped"]);
        thread::sleep(Duration::from_millis(300));
        docker.kill();
        docker.start();
        println!("{what}: it was killed and runs after {:?}", begun.elapsed());
        docker.docker(&["start", "stopped"]);
        thread::sleep(Duration::from_millis(300));
        docker.docker(&["kill", "stopped"]);
        docker.docker(&["rm", "-f", "removed"]);
        docker.run(&["--name", "last", "--log-driver", driver], "echo last");
        wait_for_line(&kept, "last", "last");
        wait_for_line(&kept, "greedy", "before");
        for name in ["killed", "stopped"] {
            // What the engine has.
            let expected = docker.docker(&["logs", name]);
            let expected: Vec<&str> = expected.lines().collect();
            for _ in 0..100 {
                if lines(&kept, name, "stdout").len() >= expected.len() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
            let found = lines(&kept, name, "stdout");
            let differ = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            assert!(
                found == expected,
                "{what}: {name}: {} of {} lines, unlike from {differ:?} on: {:?}, not {:?}",
                found.len(),
                expected.len(),
                differ.map(|at| &found[at..found.len().min(at + 5)]),
                differ.map(|at| &expected[at..expected.len().min(at + 5)])
            );
            assert!(expected.iter().filter(|line| **line == "1").count() >= 2, "{what}: {name}");
        }
        running.stop();
        let removed: HashSet<_> = lines(&kept, "removed", "stdout").into_iter().collect();
        assert!(removed.len() > 10, "{what}");
        let gaps: Vec<_> = kept.of(|event| !is_line(event)).iter().map(show).collect();
        assert!(gaps.is_empty(), "{what}: {gaps:?}");
        for name in ["killed", "stopped", "greedy", "last"] {
            docker.docker(&["rm", "-f", name]);
        }
    }
}
