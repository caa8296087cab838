//! A report is made again byte for byte: after more has happened, after a restart, after the ledger was sealed and its index built anew, on another
//! machine. Where it cannot be, it is said why.

use std::time::Duration;

use attestry_event::Event;
use attestry_ledger::Options;
use attestry_report::{Error, Format, parse, render, replay};
use attestry_store::Stop;

use crate::month;
use crate::world::{World, copy, wish};

fn again(world: &World, text: &str) -> Result<attestry_report::Replayed, Error> {
    replay(&world.logs, text, &Stop::never(), &|_| {})
}

fn same(world: &World, texts: &[String], when: &str) {
    for text in texts {
        let replayed = again(world, text).unwrap();
        assert!(replayed.same && replayed.notes.is_empty(), "{when}: {}", replayed.difference);
    }
}

#[test]
fn the_same_prefix_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("here");
    let mut world = World::open(&here);
    month::record(&mut world);
    let mut texts = Vec::new();
    for (name, parameters) in [
        ("packages", &[][..]),
        ("integrity", &[]),
        ("coverage", &[]),
        ("violations", &[]),
        ("breach-scope", &[("who", "mallory")]),
    ] {
        let document = world.make(&wish(name, parameters)).unwrap();
        texts.extend(Format::ALL.map(|format| render(&document, format).unwrap()));
    }
    same(&world, &texts, "at once");

    // More of the same, within the window, but not of the prefix.
    let late = crate::world::time("2026-10-15T12:00:00Z");
    let event = |name: &str| Event::new(name, "mallory").time(late).host("web1").resource("openssl");
    world.put("audit", "packages", vec![event("package.remove"), event("violation.open")]);
    same(&world, &texts, "after more events");
    drop(world);

    let world = World::open(&here);
    same(&world, &texts, "after a restart");
    drop(world);

    std::fs::remove_dir_all(here.join("index")).unwrap();
    let packed = Options {
        segment_entries: 256,
        seal_after: Duration::ZERO,
        compression_level: 19,
        ..Options::default()
    };
    let world = World::with(&here, packed);
    world.logs.ledgers.iter().for_each(|ledger| ledger.seal_now().unwrap());
    same(&world, &texts, "after packing and indexing anew");
    drop(world);

    let there = dir.path().join("there");
    copy(&here, &there);
    same(&World::open(&there), &texts, "on another machine");
}

#[test]
fn what_cannot_be_made_again_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(&dir.path().join("a"));
    month::record(&mut world);
    let document = world.make(&wish("packages", &[])).unwrap();
    let markdown = render(&document, Format::Markdown).unwrap();

    // Somebody changes what is shown, not the part for programs.
    let forged = markdown.replacen("openssl", "openssh", 1);
    let replayed = again(&world, &forged).unwrap();
    assert!(
        !replayed.same && replayed.difference.contains("-") && replayed.difference.contains("openssh"),
        "{}",
        replayed.difference
    );

    // Somebody changes both.
    let (mut read, _) = parse(&markdown).unwrap();
    read.body.title = "Nothing happened".to_owned();
    let replayed = again(&world, &render(&read, Format::Json).unwrap()).unwrap();
    assert!(!replayed.same);
    assert!(replayed.difference.contains("-    \"title\": \"Nothing happened\""), "{}", replayed.difference);
    assert!(replayed.difference.contains("+    \"title\": \"Package changes\""), "{}", replayed.difference);

    // Another log.
    let other = World::open(&dir.path().join("b"));
    assert!(matches!(again(&other, &markdown), Err(Error::OtherLog(_))));
    // The same number of entries, and others.
    let mut other = World::open(&dir.path().join("c"));
    for _ in 0..document.recipe.ledgers.iter().map(|at| at.size).max().unwrap() {
        other.own(Event::new("clock.tick", "-"));
        other.put("logs", "x", vec![Event::new("a.b", "-").time(crate::world::time("2026-10-02T00:00:00Z"))]);
    }
    let Err(Error::OtherLog(why)) = again(&other, &markdown) else { panic!("another root is another log") };
    assert!(why.contains("have the root"), "{why}");

    for text in ["", "{}", "# A page", "<!DOCTYPE html><p>no", &markdown[..markdown.len() / 2]] {
        assert!(matches!(again(&world, text), Err(Error::NoReport(_))), "{text:.20}");
    }
}

#[test]
fn a_wrong_wish_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    world.own(Event::new("server.start", "-"));
    let check = |wish: &attestry_report::Wish, expected: &str| {
        let error = world.make(wish).unwrap_err();
        assert!(error.is_callers() && error.to_string().contains(expected), "{error}");
    };
    check(&wish("breach-scope", &[]), "the parameter who is missing");
    check(&wish("packages", &[("who", "x")]), "no parameter \"who\"");
    let mut empty = wish("packages", &[]);
    empty.window.to = empty.window.from;
    check(&empty, "the window is empty");
    let mut elsewhere = wish("packages", &[]);
    elsewhere.definition.ledgers = vec!["nowhere".to_owned()];
    check(&elsewhere, "no ledger \"nowhere\"");
}
