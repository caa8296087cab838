//! The table of queries in `tests/cases`, by brute force and through the store.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::Entry;
use attestry_store::{Order, Query, Row, Rows, Scope, SearchRequest, Store};

use crate::memory::Memory;

const EVENTS: &str = include_str!("../cases/events.ndjson");
const QUERIES: &str = include_str!("../cases/queries.txt");

/// Each query with the ids it finds.
fn cases() -> Vec<(&'static str, Vec<&'static str>)> {
    QUERIES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (query, ids) = line.rsplit_once(" =>").unwrap_or_else(|| panic!("no arrow: {line}"));
            (query, ids.split_whitespace().collect())
        })
        .collect()
}

fn ledger() -> Arc<Memory> {
    let ledger = Memory::new("cases");
    ledger.post(&EVENTS.lines().collect::<Vec<_>>());
    ledger
}

#[test]
fn by_brute_force() {
    let ledger = ledger();
    let bytes = ledger.entries();
    let entries: Vec<Entry<'_>> = bytes.iter().map(|entry| Entry::parse(entry).unwrap()).collect();
    let mut wrong = Vec::new();
    for (text, expected) in cases() {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut found: Vec<(i64, u64, String)> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let row = Row { ledger: "cases", index: index as u64, entry, value_of: None };
            if query.matches(&row) {
                found.push((entry.event_time().0, index as u64, entry.event_id().into_owned()));
            }
        }
        found.sort();
        let found: Vec<&str> = found.iter().map(|(.., id)| id.as_str()).collect();
        if found != expected {
            wrong.push(format!("{text}\n  found    {}\n  expected {}", found.join(" "), expected.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs the table against a store that holds the events.
fn check(store: &Store) {
    let mut wrong = Vec::new();
    for (text, expected) in cases() {
        let scope = Scope::new(Query::parse(text).unwrap());
        let count = store.count(&scope).unwrap().count;
        let request = SearchRequest { scope, order: Order::OldestFirst, limit: 100, cursor: None };
        let page = store.search(&request).unwrap();
        let found: Vec<String> =
            page.hits.iter().map(|hit| Entry::parse(&hit.entry).unwrap().event_id().into_owned()).collect();
        if found != expected || count != expected.len() as u64 {
            wrong.push(format!(
                "{text}\n  found {count}: {}\n  expected {}",
                found.join(" "),
                expected.join(" ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn through_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger();
    let store = Store::open(dir.path(), vec![ledger.clone() as Arc<dyn Rows>], Default::default()).unwrap();
    assert!(store.wait_indexed("cases", ledger.end(), Duration::from_secs(10)).unwrap());
    check(&store);
    store.close();
    // Again from what was written.
    let store = Store::open(dir.path(), vec![ledger.clone() as Arc<dyn Rows>], Default::default()).unwrap();
    assert!(store.wait_indexed("cases", ledger.end(), Duration::from_secs(10)).unwrap());
    check(&store);
}
