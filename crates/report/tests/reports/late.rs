//! What came after the report before, though it happened before this window, is in the report that follows it.

use attestry_event::Event;
use attestry_report::{Content, Definition, Document, Format, Part, Previous, render, replay};
use attestry_store::Stop;

use crate::world::{World, time, wish, wish_of};

fn package(name: &str, host: &str, at: &str) -> Event {
    Event::new("package.upgrade", "root").host(host).resource(name).time(time(at)).data("package", name)
}

fn late(document: &Document) -> Option<&Part> {
    document.body.parts.iter().find(|part| part.title == "Came late")
}

#[test]
fn what_came_late_is_in_the_report_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    world.put("logs", "packages", vec![package("bash", "web1", "2026-10-02T00:00:00Z")]);
    let mut first = wish("packages", &[]);
    first.window.to = time("2026-10-15T00:00:00Z");
    let before = world.make(&first).unwrap();
    assert!(late(&before).is_none());

    let mut second = wish("packages", &[]);
    second.window.from = first.window.to;
    second.previous = Some(Previous::of(&before.recipe));
    let nothing = world.make(&second).unwrap();
    let part = late(&nothing).unwrap();
    assert!(matches!(part.content.as_slice(), [Content::Facts(facts)] if facts[0].value == "0"), "{part:?}");

    // Three days offline; just before the end, and received after it; what the report is not about; what is in time.
    world.put("logs", "packages", vec![package("curl", "web2", "2026-10-12T00:00:00Z")]);
    world.put("audit", "packages", vec![package("openssl", "web1", "2026-10-14T23:59:58Z")]);
    world.put("logs", "sshd", vec![Event::new("login", "eve").time(time("2026-10-13T00:00:00Z"))]);
    world.put("logs", "packages", vec![package("vim", "web1", "2026-10-15T00:00:00Z")]);
    let document = world.make(&second).unwrap();
    let part = late(&document).unwrap();
    let [Content::Facts(facts), Content::Table(table)] = part.content.as_slice() else { panic!("{part:?}") };
    assert_eq!((facts[0].value.as_str(), table.left_out), ("2", 0));
    let shown: Vec<(&str, &str, bool)> =
        table.rows.iter().map(|row| (&*row.cells[5], &*row.cells[2], row.cite.is_some())).collect();
    assert_eq!(shown, [("curl", "web2", true), ("openssl", "web1", true)]);
    assert!(part.notes[0].contains("ended at 2026-10-15T00:00:00Z"), "{part:?}");
    // Whoever searches for what it says finds the same.
    assert!(!part.queries[0].contains("package.* outcome:failure"), "{part:?}");
    let query = attestry_store::Query::parse(&part.queries[0]).unwrap();
    assert_eq!(world.logs.store.count(&attestry_store::Scope::new(query)).unwrap().count, 2);

    // It follows from the recipe, and is checked and made again as the rest.
    world.put("logs", "packages", vec![package("zsh", "web2", "2026-10-11T00:00:00Z")]);
    for format in Format::ALL {
        let replayed =
            replay(&world.logs, &render(&document, format).unwrap(), &Stop::never(), &|_| {}).unwrap();
        assert!(replayed.same, "{}", replayed.difference);
    }

    // Nobody asked for what came late to a report on demand.
    second.previous = None;
    let on_demand = world.make(&second).unwrap();
    assert!(late(&on_demand).is_none());
    assert!(!serde_json::to_string(&on_demand.recipe).unwrap().contains("previous"));
}

#[test]
fn what_looks_at_everything_has_it_already() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    world.own(Event::new("server.start", "-"));
    let text = "name: pending\ntitle: Pending\nsections:\n  - violations: {}\n  - since_ever: true\n    search: {query: 'event_name:a.b'}\n";
    let mut wish = wish_of(Definition::parse(text).unwrap(), &[]);
    wish.previous = Some(Previous::of(&world.make(&wish).unwrap().recipe));
    assert!(late(&world.make(&wish).unwrap()).is_none());
}
