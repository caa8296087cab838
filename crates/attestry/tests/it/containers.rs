//! Containers of a real Docker Engine, into the ledgers of a server that is killed meanwhile.

use std::collections::HashMap;
use std::time::Duration;
use std::{fs, thread};

use attestry_testkit::{Docker, Scenario, wait_for};

use crate::ATTESTRY;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn what_containers_do_and_write_is_there_once_though_the_server_is_killed() {
    const LINES: usize = 3_000;
    let docker = Docker::started();
    let mut scenario = Scenario::new(ATTESTRY);
    let socket = docker.socket().display().to_string();
    let config = format!(
        "sources:\n  engine:\n    docker: {{socket: '{socket}'}}\n  lines:\n    container_logs: {{socket: '{socket}'}}\n"
    );
    fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let key = scenario.key(&["reader", "--read"]);

    let names = ["first", "second", "third"];
    let script = format!(
        "at=0; while [ $at -lt {LINES} ]; do at=$((at+1)); echo $at; [ $((at%20)) = 0 ] && usleep 10000; done"
    );
    for name in names {
        docker.run_detached(&["--name", name], &script);
    }
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(400));
        scenario.kill();
        scenario.start();
    }
    let client = scenario.client(&key);
    for name in names {
        docker.docker(&["wait", name]);
        let lines = format!("event_name:container.log resource:{name}");
        let what = format!("the lines of {name}");
        wait_for(&what, SOON, || (client.count(&lines) >= LINES as u64).then_some(()));
        for (event, expected) in [("create", 1), ("start", 1), ("die", 1)] {
            let query = format!("event_name:container.{event} resource:{name}");
            wait_for(&query, SOON, || (client.count(&query) == expected).then_some(()));
        }
    }
    // Each once, and in the ledger for logs; what happened to the containers is in `audit`.
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    for name in names {
        for number in [1, 2, LINES / 2, LINES - 1, LINES].map(|number| number.to_string()) {
            let query = format!("event_name:container.log resource:{name} \"{number}\"");
            for event in client.search(&query) {
                assert_eq!(event["ledger"], "logs", "{event}");
                if event["event"]["message"] == *number {
                    *seen.entry((name.to_owned(), number.clone())).or_default() += 1;
                }
            }
        }
        assert_eq!(
            client.count(&format!("event_name:container.log resource:{name}")),
            LINES as u64,
            "{name}"
        );
    }
    assert_eq!((seen.len(), seen.values().sum::<usize>()), (15, 15), "{seen:?}");
    assert_eq!(client.count("event_name:gap.collect"), 0);
    assert_eq!(client.search("event_name:container.die resource:first")[0]["ledger"], "audit");
    scenario.attestry(&["check"]).is(0);
    scenario.finish();
}
