//! Names and values for completing a query, and the bounds of answers.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::Entry;
use attestry_store::{
    Error, HistogramRequest, Interval, MAX_PAGE_BYTES, Options, Order, Query, Rows, Scope, SearchRequest,
    StatsRequest, Store,
};

use crate::memory::Memory;

const EVENTS: &str = include_str!("../cases/events.ndjson");

fn store(dir: &std::path::Path, ledger: &Arc<Memory>) -> Store {
    let store = Store::open(dir, vec![ledger.clone() as Arc<dyn Rows>], Options::default()).unwrap();
    assert!(store.wait_indexed(ledger.name(), ledger.end(), Duration::from_secs(30)).unwrap());
    store
}

fn scope(text: &str) -> Scope {
    Scope::new(Query::parse(text).unwrap())
}

#[test]
fn fields_and_their_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("cases");
    ledger.post(&EVENTS.lines().collect::<Vec<_>>());
    // A name that is too long for the index.
    let long = "n".repeat(300);
    ledger.post(&[format!(r#"{{"event_name":"long.name","username":"zoe","event_data":{{"{long}":1}}}}"#)]);
    let store = store(dir.path(), &ledger);
    let fields = |text: &str| store.fields(&scope(text)).unwrap();
    let all = fields("*");
    assert!(!all.cut);
    let kind = |name: &str| all.fields.iter().find(|(found, _)| found == name).map(|(_, kind)| kind.name());
    for (name, expected) in [
        ("event_id", Some("keyword")),
        ("event_time", Some("time")),
        ("message", Some("text")),
        ("severity", Some("number")),
        ("read_only", Some("bool")),
        ("agent", None),
        ("event_data.attempts", Some("number")),
        ("event_data.method", Some("keyword")),
        ("event_data.ok", Some("bool")),
        ("event_data.status", Some("mixed")),
        ("event_data.y", Some("mixed")),
        ("event_data.z.deep.er", Some("keyword")),
        ("event_data.none", None),
        (&format!("event_data.{long}"), Some("number")),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
    // Only what the events of the scope have: a reader's filter must not let more through.
    let names = |text: &str| fields(text).fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let own = [
        "event_id",
        "event_time",
        "received_at",
        "event_name",
        "username",
        "event_source",
        "source_ip_address",
        "read_only",
    ];
    assert_eq!(names("username:zoe"), [&own[..], &[&format!("event_data.{long}")]].concat());
    let carol = names("username:carol source_ip_address:2001:db8::/32");
    assert_eq!(
        carol[own.len()..],
        ["event_data.client", "event_data.net", "event_data.peer", "event_data.via"]
    );
    assert!(names("username:nobody").is_empty());
}

#[test]
fn values_by_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("cases");
    ledger.post(&EVENTS.lines().collect::<Vec<_>>());
    let store = store(dir.path(), &ledger);
    type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, u64)]);
    let cases: [Case; 9] = [
        ("*", "event_name", "login.", &[("login.failure", 2), ("login.success", 1)]),
        ("*", "username", "", &[("dave", 4), ("eve", 3), ("root", 3)]),
        ("*", "username", "A", &[("Alice", 1)]),
        ("*", "event_data.image.name", "n", &[("nginx", 2)]),
        ("*", "_ledger", "c", &[("cases", 19)]),
        ("*", "username", "zz", &[]),
        ("username:carol", "username", "", &[("carol", 2)]),
        ("username:carol", "event_name", "login", &[]),
        ("password", "event_data.method", "", &[("password", 2)]),
    ];
    for (query, field, prefix, expected) in cases {
        let values = store.values(&scope(query), field, prefix, 3).unwrap();
        let found: Vec<(&str, u64)> =
            values.values.iter().map(|(value, count)| (value.as_str(), *count)).collect();
        assert_eq!(found, expected, "{query} {field} {prefix}");
        assert!(!values.cut);
    }
}

/// Pages of the largest events hold fewer, and nothing is lost.
#[test]
fn pages_are_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("large");
    let filler = "x".repeat(4000);
    let event = |id: usize| {
        let data: Vec<String> = (0..14).map(|name| format!(r#""f{name}":"{filler}""#)).collect();
        format!(
            r#"{{"event_id":"e{id}","event_name":"a.b","username":"u","event_data":{{{}}}}}"#,
            data.join(",")
        )
    };
    for start in (0..900).step_by(100) {
        ledger.post(&(start..start + 100).map(event).collect::<Vec<_>>());
    }
    let store = store(dir.path(), &ledger);
    let mut cursor = None;
    let mut ids = Vec::new();
    let mut pages = 0;
    loop {
        let request = SearchRequest { scope: scope("*"), order: Order::OldestFirst, limit: 10_000, cursor };
        let page = store.search(&request).unwrap();
        let bytes: usize = page.hits.iter().map(|hit| hit.entry.len()).sum();
        assert!(bytes < MAX_PAGE_BYTES + 256 * 60_000, "{bytes}");
        ids.extend(page.hits.iter().map(|hit| Entry::parse(&hit.entry).unwrap().event_id().into_owned()));
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(pages >= 2, "{pages}");
    assert_eq!(ids, (0..900).map(|id| format!("e{id}")).collect::<Vec<_>>());
    // A tail reads the same in several steps.
    let mut tail = store.tail(scope("*"), &[("large".to_owned(), 0)]).unwrap();
    let mut seen = 0;
    loop {
        let arrivals = tail.poll(10_000).unwrap();
        seen += arrivals.hits.len();
        assert_eq!(arrivals.dropped, 0);
        if !arrivals.more {
            break;
        }
    }
    assert_eq!(seen, 900);
}

#[test]
fn requests_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Memory::new("cases");
    ledger.post(&EVENTS.lines().collect::<Vec<_>>());
    let store = store(dir.path(), &ledger);
    let histogram = |interval, by_limit| {
        let by = Some("username".to_owned());
        store.histogram(&HistogramRequest { scope: scope("*"), interval, by, by_limit })
    };
    assert!(matches!(histogram(Interval::Nanos(1), 1), Err(Error::TooMany { .. })));
    assert!(matches!(histogram(Interval::AtMost(10), 51), Err(Error::Refused(_))));
    let found = histogram(Interval::AtMost(10), 2).unwrap();
    assert_eq!((found.count, found.by_values.len(), found.more_values), (19, 2, 8));
    assert!(found.buckets.len() <= 10);
    let stats = |by: &[&str], calculations: &[&str], limit| {
        let by = by.iter().map(|name| name.to_string()).collect();
        let calculations = calculations.iter().map(|text| text.parse().unwrap()).collect();
        store.stats(&StatsRequest { scope: scope("*"), by, calculations, limit })
    };
    assert!(matches!(stats(&["a", "b", "c", "d"], &["count"], 1), Err(Error::Refused(_))));
    assert!(matches!(stats(&[], &["sum(username)"], 1), Err(Error::Refused(_))));
    assert!(matches!(stats(&[], &["count"], 10_001), Err(Error::Refused(_))));
    let found = stats(&["username"], &["count"], 3).unwrap();
    assert_eq!((found.rows.len(), found.groups, found.cut), (3, 10, true));
}
