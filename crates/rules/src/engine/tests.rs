use super::*;
use crate::StepKind;
use crate::cases::entry;
use crate::written::CaseEvent;

const START: i64 = 1_790_000_000_000_000_000;

/// An entry, so many seconds after the start.
pub(crate) fn at(seconds: f64, event: serde_json::Value) -> Vec<u8> {
    let event: CaseEvent = serde_json::from_value(event).unwrap();
    entry(&event, 1, Nanos(START + (seconds * 1e9) as i64)).unwrap()
}

const RULES: &str = "
rules:
  - {id: match, title: Match, when: 'event_name:a.match', by: [host]}
  - {id: many, title: Many, when: 'event_name:a.many', by: [host], threshold: {count: 3, within: 1m}}
  - {id: values, title: Values, when: 'event_name:a.value', distinct: {field: resource, count: 3, within: 1m}}
  - id: order
    title: Order
    by: [host]
    sequence: {within: 1m, steps: [{when: 'event_name:a.match'}, {when: 'event_name:a.many', count: 2}]}
  - {id: gone, title: Gone, when: 'event_name:a.alive', by: [host], absence: {every: 30s}}
  - {id: new, title: New, when: 'event_name:a.match', by: [username], first_seen: {learn: 60s}}
";

const SIGMA: &str = "
title: Failed
name: failed
logsource: {product: linux, service: sshd}
detection:
    selection:
        event_name: login.failure
    condition: selection
level: low
---
title: Many failed
id: many-failed
correlation:
    type: event_count
    rules: [failed]
    group-by: [src_ip]
    timespan: 1m
    condition: {gte: 3}
level: high
";

fn rules() -> Arc<Rules> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.yaml"), RULES).unwrap();
    std::fs::write(folder.path().join("sigma.yml"), SIGMA).unwrap();
    let folders = vec![folder.path().to_owned()];
    let rules = Rules::load(&crate::Options { folders, starter: false, ..Default::default() });
    assert_eq!(rules.report, crate::LoadReport::default());
    Arc::new(rules)
}

/// Some of everything, the same each time.
fn stream() -> Vec<Vec<u8>> {
    let names = ["a.match", "a.many", "a.value", "a.alive", "login.failure", "clock.tick"];
    let mut seed = 7_u32;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut seconds = 0.0;
    let mut all = Vec::new();
    for _ in 0..600 {
        seconds += f64::from(next(200)) / 10.0;
        all.push(at(
            seconds,
            serde_json::json!({
                "event_name": names[next(6) as usize], "host": format!("h{}", next(2)), "username": format!("u{}", next(9)),
                "resource": format!("r{}", next(4)), "source_ip_address": format!("192.0.2.{}", next(2)),
                "event_data": {"program": "sshd"},
            }),
        ));
    }
    all
}

#[test]
fn after_a_restart_at_any_point_the_same_steps_come() {
    let rules = rules();
    let stream = stream();
    let mut engine = Engine::new(Arc::clone(&rules));
    let mut expected = Vec::new();
    for (index, entry) in stream.iter().enumerate() {
        expected.extend(engine.feed("audit", index as u64, entry).steps);
    }
    let fired: BTreeSet<&str> = expected.iter().map(|step| step.rule.as_str()).collect();
    let all = ["gone", "many", "many-failed", "match", "new", "order", "values"];
    assert_eq!(fired.into_iter().collect::<Vec<_>>(), all);
    for kind in [StepKind::Open, StepKind::Repeat, StepKind::Resolve] {
        assert!(expected.iter().any(|step| step.kind == kind), "{kind:?}");
    }
    let ids: BTreeSet<&str> = expected.iter().filter_map(|step| step.event.event_id.as_deref()).collect();
    assert_eq!(ids.len(), expected.len());

    let mut engine = Engine::new(Arc::clone(&rules));
    let mut found = Vec::new();
    for (index, entry) in stream.iter().enumerate() {
        if index % 7 == 3 {
            engine = Engine::restore(Arc::clone(&rules), &engine.save()).unwrap();
            assert_eq!(engine.cursors()["audit"], index as u64);
        }
        found.extend(engine.feed("audit", index as u64, entry).steps);
    }
    assert_eq!(found, expected);
}

#[test]
fn what_people_do_is_heeded() {
    let rules = Arc::new(Rules::of_text("a.yaml", RULES));
    let hit = |seconds| at(seconds, serde_json::json!({"event_name": "a.match", "host": "h"}));
    let did = |seconds, name: &str, alert: &str, source: &str, data: serde_json::Value| {
        at(
            seconds,
            serde_json::json!({
                "event_name": name, "event_source": source, "username": "dora", "resource": alert, "event_data": data,
            }),
        )
    };
    let mut engine = Engine::new(rules);
    let mut index = 0;
    let mut feed = |entry: Vec<u8>| {
        index += 1;
        let steps = engine.feed("audit", index, &entry).steps;
        steps
            .into_iter()
            .filter(|step| step.rule == "match")
            .map(|step| (step.kind, step.alert, step.event.event_data.unwrap()["count"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let first = feed(hit(0.0));
    let [(StepKind::Open, alert, 1)] = &first[..] else { panic!("{first:?}") };
    // Counted at once, told a minute later.
    let repeat = |count| (StepKind::Repeat, alert.clone(), count);
    // Counted at once, told a minute after the last time.
    assert_eq!(feed(hit(10.0)), []);
    assert_eq!(feed(hit(70.0)), [repeat(2)]);
    assert_eq!(feed(hit(125.0)), [repeat(3)]);
    // Somebody else's event of that name is nothing.
    let none = serde_json::json!({});
    assert_eq!(feed(did(130.0, "alert.resolve", alert, "shop", none.clone())), []);
    assert_eq!(feed(hit(260.0)), [repeat(4), repeat(5)]);
    let until = serde_json::json!({"until": Nanos(START + 1_000_000_000_000).to_string()});
    assert_eq!(feed(did(270.0, "alert.silence", alert, "attestry", until)), []);
    assert_eq!(feed(hit(400.0)), []);
    assert_eq!(feed(hit(900.0)), []);
    // When the silence is over it is told what was.
    assert_eq!(feed(hit(1100.0)), [repeat(7), repeat(8)]);
    assert_eq!(feed(did(1110.0, "alert.resolve", alert, "attestry", none.clone())), []);
    let second = feed(hit(1120.0));
    let [(StepKind::Open, other, 1)] = &second[..] else { panic!("{second:?}") };
    assert_ne!(other, alert);
    // Resolved and silent: nothing is opened until then. What happened again by then is.
    let until = serde_json::json!({"until": Nanos(START + 2_000_000_000_000).to_string()});
    feed(did(1130.0, "alert.silence", other, "attestry", until));
    feed(did(1140.0, "alert.resolve", other, "attestry", none.clone()));
    assert_eq!(feed(hit(1500.0)), []);
    assert_eq!(feed(hit(1600.0)), []);
    // Their own steps come by, too.
    assert_eq!(feed(did(1601.0, "alert.resolve", other, "attestry", none)), []);
    let third = feed(hit(2001.0));
    let [(StepKind::Open, last, 2)] = &third[..] else { panic!("{third:?}") };
    assert_ne!(last, other);
    assert_eq!(feed(hit(2100.0)), [(StepKind::Repeat, last.clone(), 3)]);
}

/// Goes through what happens: the second, an event's name, and until when a silence is; what people do is about the alert that was opened last.
/// Gives the steps of a rule: the second, what, and how often it happened.
fn steps_of(rules: &str, rule: &str, happens: &[(f64, &str, i64)]) -> Vec<(f64, StepKind, u64)> {
    let mut engine = Engine::new(Arc::new(Rules::of_text("a.yaml", rules)));
    let (mut found, mut alert) = (Vec::new(), String::new());
    for (nth, (seconds, name, until)) in happens.iter().enumerate() {
        let mut steps = Vec::new();
        engine.advance(Nanos(START + (seconds * 1e9) as i64), &mut steps);
        let opened = steps.iter().rfind(|step| step.kind == StepKind::Open);
        alert = opened.map_or(alert, |step| step.alert.clone());
        let event = serde_json::json!({
            "event_name": name, "event_source": if name.starts_with("alert.") { "attestry" } else { "test" },
            "host": "h", "username": "u", "resource": alert,
            "event_data": {"until": Nanos(START + until * 1_000_000_000).to_string()},
        });
        steps.extend(engine.feed("audit", nth as u64, &at(*seconds, event)).steps);
        let opened = steps.iter().rfind(|step| step.kind == StepKind::Open);
        alert = opened.map_or(alert, |step| step.alert.clone());
        found.extend(steps.iter().filter(|step| step.rule == rule).map(|step| {
            let count = step.event.event_data.as_ref().unwrap()["count"].as_u64().unwrap();
            ((step.at.0 - START) as f64 / 1e9, step.kind, count)
        }));
    }
    found
}

#[test]
fn what_recurs_in_a_silence_is_told_at_its_end_unless_it_ended_again() {
    use StepKind::{Open, Resolve};
    let rules = "
rules:
  - {id: down, title: Down, when: 'event_name:a.fail', by: [host], resolve: {when: 'event_name:a.start'}}
";
    let begins = [(0.0, "a.fail", 0), (10.0, "alert.silence", 1000), (20.0, "a.start", 0)];
    let told = [(0.0, Open, 1), (20.0, Resolve, 1)];
    for (then, expected) in [
        (&[][..], &[][..]),
        (&[(30.0, "a.fail", 0)], &[(1000.0, Open, 1)]),
        (&[(30.0, "a.fail", 0), (40.0, "a.fail", 0)], &[(1000.0, Open, 2)]),
        (&[(30.0, "a.fail", 0), (40.0, "a.start", 0)], &[]),
        (&[(30.0, "a.fail", 0), (40.0, "a.start", 0), (50.0, "a.fail", 0)], &[(1000.0, Open, 1)]),
        // It is one like any other.
        (&[(30.0, "a.fail", 0), (1500.0, "a.start", 0)], &[(1000.0, Open, 1), (1500.0, Resolve, 1)]),
    ] {
        let happens = [&begins[..], then, &[(2000.0, "clock.tick", 0)]].concat();
        assert_eq!(steps_of(rules, "down", &happens), [&told[..], expected].concat(), "{then:?}");
    }
}

#[test]
fn an_absence_is_waited_for_anew_whatever_became_of_its_alert() {
    use StepKind::{Open, Resolve};
    let heard = |seconds| (seconds, "a.alive", 0);
    for (happens, expected) in [
        // Silenced, heard again, missed again, heard again: the silence counts, and what comes after it is told.
        (
            &[heard(0.0), (40.0, "alert.silence", 500), heard(50.0), heard(100.0), heard(490.0)][..],
            &[(30.0, Open, 1), (50.0, Resolve, 1), (520.0, Open, 1)][..],
        ),
        // Missed again and not heard since: told at the silence's end.
        (
            &[heard(0.0), (40.0, "alert.silence", 500), heard(50.0)],
            &[(30.0, Open, 1), (50.0, Resolve, 1), (500.0, Open, 1)],
        ),
        // Whoever resolves it does not wait until it is heard of again.
        (&[heard(0.0), (40.0, "alert.resolve", 0)], &[(30.0, Open, 1)]),
        (&[heard(0.0), (40.0, "alert.resolve", 0), heard(600.0)], &[(30.0, Open, 1), (630.0, Open, 1)]),
    ] {
        let happens = [happens, &[(2000.0, "clock.tick", 0)]].concat();
        assert_eq!(steps_of(RULES, "gone", &happens), expected, "{happens:?}");
    }
    // Missed while a beginning learned: nobody was told, and the next time somebody is.
    let mut engine = Engine::new(Arc::new(Rules::of_text("a.yaml", RULES)));
    let alive = |seconds| at(seconds, serde_json::json!({"event_name": "a.alive", "host": "h"}));
    let tick = |seconds| at(seconds, serde_json::json!({"event_name": "clock.tick"}));
    engine.feed("audit", 0, &alive(0.0));
    assert_eq!(engine.feed("audit", 1, &tick(100.0)).steps.len(), 1);
    engine.set_alerts(crate::Told::default(), &Default::default());
    assert_eq!((engine.alerts(), engine.feed("audit", 2, &alive(200.0)).steps), (0, vec![]));
    let steps = engine.feed("audit", 3, &tick(300.0)).steps;
    assert!(matches!(&steps[..], [step] if step.kind == Open && step.at.0 == START + 230_000_000_000));
}

#[test]
fn what_is_over_a_bound_is_said() {
    let rules = Arc::new(Rules::of_text("a.yaml", RULES));
    let mut engine = Engine::new(rules);
    let mut gaps = Vec::new();
    for nth in 0..crate::limits::GROUPS_MAX as u64 + 1 {
        let event = serde_json::json!({"event_name": "a.many", "host": format!("h{nth}")});
        gaps.extend(engine.feed("audit", nth, &at(nth as f64 / 1e3, event)).steps);
    }
    let told: Vec<(StepKind, &str)> = gaps.iter().map(|step| (step.kind, step.rule.as_str())).collect();
    assert_eq!(told, [(StepKind::Gap, "many")]);
    assert_eq!(gaps[0].event.event_name, "gap.rules");
    assert_eq!(gaps[0].event.event_data.as_ref().unwrap()["count"], 1_000);
}

#[test]
fn of_a_changed_rule_only_its_alerts_are_remembered() {
    let before = Arc::new(Rules::of_text("a.yaml", RULES));
    let after =
        Arc::new(Rules::of_text("a.yaml", &RULES.replace("count: 3, within: 1m", "count: 3, within: 2m")));
    assert_ne!(before.version(), after.version());
    let many = |seconds| at(seconds, serde_json::json!({"event_name": "a.many", "host": "h"}));
    let mut engine = Engine::new(before);
    for (index, seconds) in [0.0, 1.0, 2.0, 3.0, 4.0].into_iter().enumerate() {
        engine.feed("audit", index as u64, &many(seconds));
    }
    let mut engine = Engine::restore(after, &engine.save()).unwrap();
    assert_eq!(engine.alerts(), 1);
    // Two were counted towards the next; they are forgotten.
    assert_eq!(engine.feed("audit", 5, &many(5.0)).steps, []);
    assert!(Engine::restore(rules(), b"{}").is_err());
    assert!(Engine::restore(rules(), &engine.save().replace_version()).is_err());
}

trait ReplaceVersion {
    fn replace_version(&self) -> Vec<u8>;
}

impl ReplaceVersion for Vec<u8> {
    fn replace_version(&self) -> Vec<u8> {
        String::from_utf8(self.clone()).unwrap().replacen("\"version\":1", "\"version\":2", 1).into_bytes()
    }
}
