use super::*;

fn check(yaml: &str) -> Vec<CaseResult> {
    let rules = Arc::new(Rules::of_text("a.yaml", yaml));
    assert_eq!(rules.report.refused, [], "{yaml}");
    run_cases(&rules)
}

fn passes(yaml: &str) {
    let failed: Vec<CaseResult> = check(yaml).into_iter().filter(|result| !result.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_starter_rules_do_what_their_cases_say() {
    let rules = Arc::new(Rules::load(&crate::Options::default()));
    assert_eq!(rules.report, crate::LoadReport::default());
    let results = run_cases(&rules);
    let failed: Vec<&CaseResult> = results.iter().filter(|result| !result.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let without: Vec<&str> =
        rules.with_cases().filter(|(_, cases)| cases.is_empty()).map(|(info, _)| info.id.as_str()).collect();
    assert!(without.is_empty() && results.len() > 20, "{without:?}");
}

#[test]
fn absence_is_told_at_the_time_and_ends_when_it_comes() {
    passes(
        "
rules:
  - id: backup
    title: No backup
    when: event_name:backup.done
    by: [host]
    absence: {every: 26h}
    tests:
      - name: late
        events:
          - {event_name: backup.done, host: db1}
          - {event_name: backup.done, host: db2}
          - {event_name: backup.done, host: db2, after: 20h}
          - {event_name: clock.tick, after: 10h}
          - {event_name: backup.done, host: db1, after: 1h}
        alerts: [{group: {host: db1}, at: 26h}]
        resolved: 1
      - name: it is told once
        events: [{event_name: backup.done, host: db1}]
        then: 20d
        alerts: [{group: {host: db1}, message: 'host db1'}]
        resolved: 0
  - id: nightly
    title: No nightly job
    when: event_name:job.done
    absence: {cron: '0 3 * * *', within: 2h}
    tests:
      - name: never, and each day again
        events: [{event_name: a.b}]
        then: 3d
        alerts: [{at: 5h}]
        repeated: 2
      - name: it came late on the second day
        start: 2026-01-05T01:00:00Z
        events:
          - {event_name: a.b}
          - {event_name: job.done, after: 2h}
          - {event_name: job.done, after: 27h}
          - {event_name: a.b, after: 1d}
        alerts: [{at: 28h}, {at: 52h}]
        resolved: 1
  - id: expected
    title: Nothing ever
    when: event_name:ping
    by: [host]
    absence: {every: 1h, expect: [[a], [b]]}
    tests:
      - name: one comes
        events: [{event_name: x.y}, {event_name: ping, host: a}, {event_name: x.y, after: 61m}]
        alerts: [{group: {host: b}, at: 1h}, {group: {host: a}, at: 3601s}]
",
    );
}

#[test]
fn values_and_programs() {
    passes(
        "
rules:
  - id: spray
    title: One address, many accounts
    when: event_name:login.failure
    by: [source_ip_address]
    distinct: {field: username, count: 4, within: 10m}
    tests:
      - name: four accounts
        events:
          - {event_name: login.failure, username: 'u{n}', source_ip_address: 192.0.2.1, times: 4}
        alerts: [{group: {source_ip_address: 192.0.2.1}}]
      - name: one account
        events:
          - {event_name: login.failure, username: u, source_ip_address: 192.0.2.1, times: 40}
        alerts: []
  - id: night
    title: Work at night
    when: event_name:sudo.run
    vrl: |
      hour = to_int(format_timestamp!(.event_time, \"%H\")) ?? 0
      hour < 6
    by: [username]
    tests:
      - name: by the hour
        start: 2026-01-05T05:59:59Z
        events:
          - {event_name: sudo.run, username: alice}
          - {event_name: sudo.run, username: bob, after: 1s}
        alerts: [{group: {username: alice}}]
",
    );
}

#[test]
fn a_case_can_fail() {
    let yaml = |expected: &str| {
        format!(
            "
rules:
  - id: r
    title: t
    when: event_name:a.b
    by: [host]
    tests:
      - name: n
        events: [{{event_name: a.b, host: h}}]
        {expected}
"
        )
    };
    for (expected, told) in [
        ("alerts: [{group: {host: h}, at: 0s, message: t}]", None),
        ("alerts: []", Some("expected 0 alerts, found 1")),
        ("alerts: [{}, {}]", Some("expected 2 alerts")),
        ("alerts: [{group: {host: g}}]", Some("expected host \"g\"")),
        ("alerts: [{message: x}]", Some("expected \"x\" in \"t (host h)\"")),
        ("alerts: [{at: 1s}]", Some("expected after 1s, found 0 s")),
        ("alerts: [{}]\n        resolved: 1", Some("resolved: expected 1, found 0")),
    ] {
        let failures = check(&yaml(expected)).remove(0).failures;
        match told {
            None => assert_eq!(failures, Vec::<String>::new(), "{expected}"),
            Some(told) => {
                assert!(failures.iter().any(|line| line.contains(told)), "{expected}: {failures:?}")
            }
        }
    }
    let unknown = check(&yaml("alerts: []").replace("event_name: a.b,", "event_nam: a.b,"));
    assert!(unknown[0].failures[0].contains("event_nam"), "{unknown:?}");
}
