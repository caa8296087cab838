//! What the built-in reports say of the month, compared with the pages that somebody has looked at (`INSTA_UPDATE=always` writes them anew).

use attestry_report::{Content, Format, built_in, parse, render};

use crate::month;
use crate::world::{World, wish};

#[test]
fn the_month_reads_as_expected() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    month::record(&mut world);
    for definition in built_in() {
        let parameters: &[(&str, &str)] =
            if definition.parameters.is_empty() { &[] } else { &[("who", "mallory")] };
        let document = world.make(&wish(&definition.name, parameters)).unwrap();
        let shown = render(&document, Format::Markdown).unwrap();
        // The part for programs says the same again.
        let (shown, _) = shown.split_once("\n<!-- attestry-report").unwrap();
        insta::assert_snapshot!(definition.name.clone(), shown);
        for format in Format::ALL {
            let text = render(&document, format).unwrap();
            let (read, of) = parse(&text).unwrap();
            assert_eq!((&read, of), (&document, format), "{} as {format}", definition.name);
            assert_eq!(render(&read, format).unwrap(), text, "{} as {format}", definition.name);
        }
    }
}

/// The page as a browser gets it; `ui/e2e/reports.test.ts` opens and prints it. `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_page_is_the_one_that_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    month::record(&mut world);
    let page = render(&world.make(&wish("logins", &[])).unwrap(), Format::Html).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports/expected/logins.html");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, &page).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == page, "it is another page; UPDATE_EXPECT=1 writes it, and somebody looks at it");
}

/// What an event says never becomes markup, a link, a formula, or the report's own part for programs.
#[test]
fn what_events_say_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    month::record(&mut world);
    let document = world.make(&wish("logins", &[])).unwrap();
    let html = render(&document, Format::Html).unwrap();
    assert_eq!(html.matches("<script").count(), 1, "only the part for programs");
    assert!(html.contains("&#60;script&#62;alert(1)") || html.contains("&lt;script&gt;alert(1)"));
    assert!(!html.contains("src=") && !html.contains("href="), "it loads and links nothing");
    let markdown = render(&document, Format::Markdown).unwrap();
    let (shown, _) = markdown.split_once("\n<!-- attestry-report").unwrap();
    assert!(
        shown.contains("\\<script\\>alert(1)")
            && shown.contains("a\\|b\\`c")
            && !shown.contains("http://evil")
    );
    let csv = render(&document, Format::Csv).unwrap();
    assert!(csv.contains(",\"'=HYPERLINK") && !csv.contains(",=HYPERLINK") && !csv.contains(",\"=HYPERLINK"));
}

/// Nothing is cut silently, whatever the limit is.
#[test]
fn limits_say_what_they_leave_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    month::record(&mut world);
    let yaml = "
name: limits
title: Limits
sections:
  - search: {query: 'event_name:row.*', limit: 3}
  - aggregate: {top: {query: 'event_name:row.*', field: event_name, limit: 1}}
  - aggregate: {matrix: {query: 'event_name:row.*', by: [event_name], limit: 1}}
  - aggregate: {sums: {query: 'event_name:row.*', by: [event_name], of: [amount], limit: 1}}
  - violations: {limit: 1}
  - search: {query: 'event_name:row.*', limit: 10000}
";
    let definition = attestry_report::Definition::parse(yaml).unwrap();
    let document = world.make(&crate::world::wish_of(definition, &[])).unwrap();
    let tables: Vec<(u64, u64)> = document
        .body
        .parts
        .iter()
        .flat_map(|part| &part.content)
        .filter_map(|content| match content {
            Content::Table(table) => Some((table.rows.len() as u64, table.left_out)),
            _ => None,
        })
        .collect();
    let all = tables[5].0;
    assert_eq!(tables, [(3, all - 3), (1, 2), (1, 2), (1, 2), (1, 2), (all, 0)]);
    assert_eq!(document.evidence.iter().map(|of| of.events.len() as u64).sum::<u64>(), all + 1);
}
