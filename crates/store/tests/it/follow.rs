//! Followers: catching up, restarts, pruning, failures, and the live tail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_event::Entry;
use attestry_store::{Options, Order, Query, Rows, Scope, SearchRequest, Store, TAIL_BACKLOG, Tail};

use crate::memory::Memory;

const LONG: Duration = Duration::from_secs(30);

fn event(id: usize, name: &str) -> String {
    format!(
        r#"{{"event_id":"e{id}","event_time":"2026-11-20T10:00:00Z","event_name":"{name}","username":"u{}"}}"#,
        id % 3
    )
}

fn events(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| event(id, "a.b")).collect()
}

fn open(dir: &Path, ledger: &Arc<Memory>) -> Store {
    let options = Options { part_rows: 50, file_rows: 100, max_file_rows: 400, ..Options::default() };
    Store::open(dir, vec![ledger.clone() as Arc<dyn Rows>], options).unwrap()
}

fn ids(store: &Store, query: &str) -> Vec<String> {
    let scope = Scope::new(Query::parse(query).unwrap());
    let request = SearchRequest { scope, order: Order::OldestFirst, limit: 10_000, cursor: None };
    let page = store.search(&request).unwrap();
    page.hits.iter().map(|hit| Entry::parse(&hit.entry).unwrap().event_id().into_owned()).collect()
}

fn count(store: &Store, query: &str) -> u64 {
    store.count(&Scope::new(Query::parse(query).unwrap())).unwrap().count
}

#[test]
fn what_is_acknowledged_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    for id in 0..300 {
        let end = ledger.post(&[event(id, "a.b")]);
        assert!(store.wait_indexed("audit", end, LONG).unwrap());
        assert_eq!(ids(&store, &format!("event_id:e{id}")), [format!("e{id}")]);
        assert_eq!(count(&store, "*"), id as u64 + 1);
    }
    assert!(!store.wait_indexed("audit", 301, Duration::from_millis(20)).unwrap());
    assert!(store.wait_indexed("other", 1, LONG).is_err());
}

/// A task waits for the same number.
#[test]
fn tasks_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    let mut indexed = store.indexed("audit").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let poster = ledger.clone();
    let thread = std::thread::spawn(move || poster.post(&events(0..100)));
    runtime.block_on(async { indexed.wait_for(|indexed| *indexed >= 100).await.map(|_| ()) }).unwrap();
    assert_eq!(count(&store, "*"), 100);
    thread.join().unwrap();
}

#[test]
fn goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    for round in 0..5 {
        let store = open(dir.path(), &ledger);
        assert!(store.wait_indexed("audit", ledger.end(), LONG).unwrap());
        assert_eq!(count(&store, "username:u1"), (0..round * 333).filter(|id| id % 3 == 1).count() as u64);
        let end = ledger.post(&events(round * 333..(round + 1) * 333));
        if round % 2 == 0 {
            assert!(store.wait_indexed("audit", end, LONG).unwrap());
        }
        // Closing in the middle of the work must do no harm.
        store.close();
        assert_eq!(store.states()[0].rebuilds, 0);
    }
}

#[test]
fn pruned_entries_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    let end = ledger.post(&events(0..500));
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    ledger.prune(120);
    // At once, though the index may not have heard of it yet.
    assert_eq!(count(&store, "*"), 380);
    assert_eq!(count(&store, "NOT username:u1"), (120..500).filter(|id| id % 3 != 1).count() as u64);
    assert_eq!(ids(&store, "event_id:e119"), Vec::<String>::new());
    assert_eq!(ids(&store, "event_id:e12?"), (120..130).map(|id| format!("e{id}")).collect::<Vec<_>>());
    store.close();
    drop(store);
    // All that the index knows is pruned before it is opened again.
    ledger.post(&events(500..700));
    ledger.prune(600);
    let store = open(dir.path(), &ledger);
    assert!(store.wait_indexed("audit", 700, LONG).unwrap());
    assert_eq!(count(&store, "*"), 100);
    assert_eq!(store.states()[0].rebuilds, 0);
    // A ledger whose first entries are long gone is followed from the first there is.
    let other = tempfile::tempdir().unwrap();
    let store = open(other.path(), &ledger);
    assert!(store.wait_indexed("audit", 700, LONG).unwrap());
    assert_eq!(count(&store, "*"), 100);
}

#[test]
fn an_older_copy_of_the_ledger_is_indexed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    let end = ledger.post(&events(0..500));
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    store.close();
    drop(store);
    ledger.truncate(200);
    let store = open(dir.path(), &ledger);
    let end = ledger.post(&[event(1000, "c.d")]);
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    assert_eq!(count(&store, "*"), 201);
    assert_eq!(ids(&store, "event_name:c.d"), ["e1000"]);
}

#[test]
fn a_damaged_index_is_built_anew() {
    for damage in ["MANIFEST", "idx", "directory"] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Memory::new("audit");
        let store = open(dir.path(), &ledger);
        let end = ledger.post(&events(0..700));
        assert!(store.wait_indexed("audit", end, LONG).unwrap());
        store.close();
        drop(store);
        let folder = dir.path().join("audit");
        if damage == "directory" {
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::write(&folder, "no folder").unwrap();
        } else {
            let mut damaged = 0;
            for file in std::fs::read_dir(&folder).unwrap() {
                let path = file.unwrap().path();
                if path.to_string_lossy().ends_with(damage) {
                    let mut bytes = std::fs::read(&path).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x40;
                    std::fs::write(&path, bytes).unwrap();
                    damaged += 1;
                }
            }
            assert!(damaged > 0, "{damage}");
        }
        let store = open(dir.path(), &ledger);
        if damage == "directory" {
            // What stands in the way is not ours to remove: the ledger's searches say what is missing.
            let found = store.count(&Scope::new(Query::all())).unwrap();
            assert_eq!((found.count, found.behind), (0, 700));
            assert!(store.states()[0].failure.is_some());
            std::fs::remove_file(&folder).unwrap();
        }
        assert!(store.wait_indexed("audit", end, LONG).unwrap(), "{damage}");
        assert_eq!(count(&store, "*"), 700);
        assert_eq!(count(&store, "username:u2"), 233);
        assert!(store.states()[0].failure.is_none());
    }
}

/// The ledger cannot be read for a while: it is said, nothing is thrown away, and it goes on by itself.
#[test]
fn a_ledger_that_cannot_be_read_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    let end = ledger.post(&events(0..100));
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    ledger.broken.store(true, Ordering::Relaxed);
    let end = ledger.post(&events(100..200));
    assert!(!store.wait_indexed("audit", end, Duration::from_millis(400)).unwrap());
    let state = store.states().remove(0);
    assert_eq!((state.indexed, state.committed), (100, 200));
    assert!(state.failure.unwrap().contains("the disk is on fire"));
    // What needs no reading is answered, and says what is missing.
    let found = store.count(&Scope::new(Query::parse("username:u1").unwrap())).unwrap();
    assert_eq!((found.count, found.behind), (33, 100));
    // What must be checked on the entries fails; it is not left out.
    assert!(store.count(&Scope::new(Query::parse("/u1/ event_id:*1").unwrap())).is_err());
    ledger.broken.store(false, Ordering::Relaxed);
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    assert_eq!(store.states()[0].rebuilds, 0);
    assert_eq!(count(&store, "*"), 200);
}

#[test]
fn erased_values_match_only_by_being_there() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    let large = format!("secret {}", "padding ".repeat(1000));
    let event = serde_json::json!({"event_name": "a.b", "username": "u", "message": large, "event_data": {"note": large}});
    let end = ledger.post(&[event.to_string()]);
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    let queries =
        ["secret", "\"secret padding\"", "message:secret", "event_data.note:secret*", "/secret pad/"];
    for query in queries {
        assert_eq!(count(&store, query), 1, "{query}");
    }
    ledger.erase_values();
    for query in queries {
        assert_eq!(count(&store, query), 0, "{query}");
    }
    for query in ["message:*", "event_data.note:*", "-secret"] {
        assert_eq!(count(&store, query), 1, "{query}");
    }
}

fn tail_ids(tail: &mut Tail, limit: usize) -> (Vec<String>, u64, bool) {
    let arrivals = tail.poll(limit).unwrap();
    let ids = arrivals.hits.iter().map(|hit| Entry::parse(&hit.entry).unwrap().event_id().into_owned());
    (ids.collect(), arrivals.dropped, arrivals.more)
}

#[test]
fn tails() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = open(dir.path(), &ledger);
    let end = ledger.post(&events(0..10));
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    let query = |text: &str| Scope::new(Query::parse(text).unwrap());
    let mut all = store.tail(query("username:u1"), &[("audit".to_owned(), 0)]).unwrap();
    let mut new = store.tail(query("username:u1 OR /u2/"), &[]).unwrap();
    assert_eq!(tail_ids(&mut all, 2), (vec!["e1".to_owned(), "e4".to_owned()], 0, true));
    assert_eq!(tail_ids(&mut all, 2), (vec!["e7".to_owned()], 0, false));
    assert_eq!(tail_ids(&mut new, 100), (vec![], 0, false));
    assert!(!new.wait(Duration::from_millis(20)));
    let poster = ledger.clone();
    let thread = std::thread::spawn(move || poster.post(&events(10..14)));
    assert!(new.wait(LONG));
    assert!(store.wait_indexed("audit", 14, LONG).unwrap());
    assert_eq!(
        tail_ids(&mut new, 100),
        (vec!["e10".to_owned(), "e11".to_owned(), "e13".to_owned()], 0, false)
    );
    assert_eq!(new.position(), [("audit".to_owned(), 14)]);
    thread.join().unwrap();
    // An error loses nothing.
    let end = ledger.post(&events(14..15));
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    ledger.broken.store(true, Ordering::Relaxed);
    assert!(new.poll(100).is_err());
    ledger.broken.store(false, Ordering::Relaxed);
    assert_eq!(tail_ids(&mut new, 100), (vec!["e14".to_owned()], 0, false));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let poster = ledger.clone();
    let thread = std::thread::spawn(move || poster.post(&events(16..17)));
    runtime.block_on(new.changed());
    thread.join().unwrap();
}

#[test]
fn a_slow_tail_is_told_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("audit");
    let store = Store::open(dir.path(), vec![ledger.clone() as Arc<dyn Rows>], Options::default()).unwrap();
    let mut tail = store.tail(Scope::new(Query::parse("username:u0").unwrap()), &[]).unwrap();
    let mut end = 0;
    for start in (0..36_000).step_by(6_000) {
        end = ledger.post(&events(start..start + 6_000));
    }
    assert!(store.wait_indexed("audit", end, LONG).unwrap());
    let (ids, dropped, more) = tail_ids(&mut tail, 100);
    assert_eq!((ids.len(), dropped, more), (100, 12_000 - TAIL_BACKLOG as u64, true));
    assert_eq!(ids[0], "e6000");
    let (ids, dropped, more) = tail_ids(&mut tail, TAIL_BACKLOG);
    assert_eq!((ids.len(), dropped, more), (TAIL_BACKLOG - 100, 0, false));
}
