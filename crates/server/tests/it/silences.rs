//! A silence, from where it is noted to what is shown of it.

use std::time::Duration;

use attestry_event::{Clock, Nanos};
use attestry_server::accounts::{Actor, Finding, Hearing, Invitation, KeyKind, NewKey, Party, Sender};

use crate::script::check;
use crate::world::{START, World};

#[test]
fn a_silence_is_in_the_ledger_and_in_the_coverage() {
    let world = World::new();
    let hour = |hours: i64| Nanos(Nanos::parse(START).unwrap().0 + hours * 3_600_000_000_000);
    // The server looks for itself as well, and must come to the same finding.
    let by = Actor::local("test");
    let invitation = Invitation { name: "web1".to_owned(), ledgers: vec!["audit".to_owned()] };
    let token = world.accounts.invite_agent(&invitation, &by).unwrap();
    world.accounts.enroll_agent(&token, &[7; 32], hour(9_000), &by).unwrap();
    let status = serde_json::json!({
        "version": "1",
        "now": hour(0),
        "sources": [{"name": "host", "on": true, "every_s": 60, "last_event": hour(-2), "events": 1}],
    });
    world.accounts.agent_seen("web1", "10.0.0.7", Some(&status.to_string())).unwrap();
    let party = Party { sender: Sender::Source, agent: "web1".to_owned(), name: "host".to_owned() };
    let agent = Party { sender: Sender::Agent, agent: "web1".to_owned(), name: String::new() };
    let note = |hearing| {
        let finding =
            |party: &Party, hearing| Finding { party: party.clone(), host: None, every_s: 60, hearing };
        let heard = Hearing::Heard(world.clock.now());
        world.accounts.note_silences(&[finding(&agent, heard), finding(&party, hearing)]).unwrap();
    };
    note(Hearing::Silent(hour(-2)));
    check(
        &world,
        "a silence that goes on",
        r#"@wait the index
> GET /api/v1/coverage?from=2026-11-21T09:00:00Z&to=2026-11-21T13:00:00Z
> key: reader
< 200
<
< {"hours":4,"rows":[{"host":"","source":"attestry"},{"host":"web1","source":"host","silent_s":[0,3600,3600,0],"gaps":[{"hour":3,"name":"gap.silence","missing":0,"ledger":"audit"}]}]}

# Another ledger's reader does not see who is silent.
> GET /api/v1/coverage?from=2026-11-21T09:00:00Z&to=2026-11-21T13:00:00Z
> key: logs-reader
< 200
<
< {"rows":[]}
"#,
    );
    world.clock.advance(Duration::from_secs(1800));
    note(Hearing::Heard(world.clock.now()));
    check(
        &world,
        "a silence that has ended",
        r#"@wait the index
> GET /api/v1/coverage?from=2026-11-21T11:00:00Z&to=2026-11-21T12:00:00Z
> key: reader
< 200
<
< {"hours":1,"rows":[{"host":"web1","source":"host","seen":[0],"silent_s":[3600]}]}

> GET /api/v1/events?q=event_name:gap.silence_end
> key: reader
< 200
<
< {"events":[{"event":{"resource":"web1/host","event_source":"attestry","event_data":{"who":"source","agent":"web1","source":"host","length_s":9000,"why":"heard again"}}}]}
"#,
    );
}

#[test]
fn a_key_that_fell_silent_is_shown_where_its_events_come_from() {
    let mut world = World::new();
    let new = NewKey {
        name: "hourly".to_owned(),
        kind: KeyKind::Write,
        ledgers: vec!["audit".to_owned()],
        filter: None,
        lenient: false,
        expires_at: None,
        // The server looks for itself as well, and must not find that nobody is expected.
        expect: Some(Duration::from_secs(3_600)),
    };
    let (_, text) = world.accounts.create_key(&new, &Actor::local("test")).unwrap();
    world.names.insert("hourly".to_owned(), text);
    let party = Party { sender: Sender::Key, agent: String::new(), name: "hourly".to_owned() };
    let note = |hearing| {
        let finding = Finding { party: party.clone(), host: None, every_s: 3_600, hearing };
        world.accounts.note_silences(&[finding]).unwrap();
    };
    check(
        &world,
        "something comes",
        r#"> POST /api/v1/events
> key: hourly
>
> {"event_name":"a.b","username":"alice","host":"shop1"}
< 201
"#,
    );
    let heard = world.clock.now();
    world.clock.advance(Duration::from_secs(2 * 3_600));
    note(Hearing::Silent(heard));
    check(
        &world,
        "the silence goes on",
        r#"@wait the index
> GET /api/v1/coverage?from=2026-11-21T12:00:00Z&to=2026-11-21T14:00:00Z
> key: reader
< 200
<
< {"hours":2,"rows":[{"host":"","source":"attestry"},{"host":"shop1","source":"hourly","seen":[1,0],"silent_s":[3600,3600]}]}
"#,
    );
    world.clock.advance(Duration::from_secs(1_800));
    note(Hearing::Heard(world.clock.now()));
    check(
        &world,
        "the silence has ended",
        r#"@wait the index
> GET /api/v1/events?q=event_name:gap.silence_end
> key: reader
< 200
<
< {"events":[{"event":{"resource":"hourly","event_data":{"who":"key","key":"hourly","length_s":9000,"why":"heard again"}}}]}

> GET /api/v1/coverage?from=2026-11-21T14:00:00Z&to=2026-11-21T15:00:00Z
> key: reader
< 200
<
< {"hours":1,"rows":[{"host":"","source":"attestry"},{"host":"","source":"hourly","seen":[0],"silent_s":[1800]}]}
"#,
    );
}
