//! A day offline: what an agent took in meanwhile arrives, all of it, once and in order.
//!
//! The longest test of all, under a name by which it begins first.

use std::time::{Duration, Instant};

use attestry_testkit::wait_for;

use crate::agents;
use crate::stored::{self, InOrder};

const EVENTS: u64 = 5_000_000;

/// How long the agent may take to hand them over, on a busy machine.
const DRAINED: Duration = Duration::from_secs(600);

#[test]
fn five_million_events_arrive_once_and_in_order() {
    let mut scenario = agents::server();
    scenario.start();
    let mut node = agents::enrolled(&scenario, "web1");
    // An agent whose server was away for a day tries again within five minutes; this one within a second.
    node.configure(&format!("sinks:\n{}", node.server_sink(&scenario, "    retry: {most: 1s}\n")));
    scenario.stop();
    node.start(&scenario);
    let begun = Instant::now();
    let kept = node.door().stream(|out| {
        (0..EVENTS).try_for_each(|number| {
            writeln!(out, r#"{{"event_id":"n{number}","event_name":"order.place","username":"u"}}"#)
        })
    });
    let filled = begun.elapsed();
    assert!(kept.as_ref().is_some_and(|kept| kept.contains(&format!("\"kept\":{EVENTS}"))), "{kept:?}");

    let begun = Instant::now();
    scenario.start();
    wait_for("nothing waits any more", DRAINED, || {
        std::thread::sleep(Duration::from_millis(300));
        let sink = node.sink(&scenario);
        assert_eq!((&sink["dead"], &sink["lost"]), (&0.into(), &0.into()), "{sink}");
        (sink["lag"] == 0).then_some(())
    });
    let drained = begun.elapsed();
    let memory = scenario.peak_memory();
    node.stop();
    scenario.stop();

    let (mut numbers, mut next) = (InOrder::default(), 0);
    stored::each(&scenario, |entry| {
        assert!(!stored::is_gap(entry), "{}", entry.event_name());
        numbers.look(entry);
        if entry.event_source() == "app" {
            assert_eq!(entry.event_id(), format!("n{next}"));
            next += 1;
        }
    });
    assert_eq!(next, EVENTS);
    let begun = Instant::now();
    scenario.finish();
    #[allow(clippy::print_stdout, reason = "figures for whoever wants them")]
    {
        println!(
            "taken in within {filled:.1?}, handed over within {drained:.1?}, verified within {:.1?}; the server took {} MiB",
            begun.elapsed(),
            memory >> 20
        );
    }
}
