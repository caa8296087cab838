//! The store against a scan of all entries, over generated events and queries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Entry, Nanos, Text};
use attestry_store::{
    Cursor, Error, HistogramRequest, Interval, Options, Order, Query, Row, Rows, Scope, SearchRequest,
    StatsRequest, Store,
};
use serde_json::Value;

use crate::generate::Generator;
use crate::memory::Memory;

/// (`event_time`, ledger, index): what events are sorted by.
type Place = (i64, String, u64);

struct World {
    ledgers: Vec<Arc<Memory>>,
    store: Store,
    generator: Generator,
}

/// Parts so small that a few hundred events make many, in memory and in files.
fn small(background: bool) -> Options {
    Options {
        memory_bytes: 1 << 20,
        file_rows: 100,
        max_file_rows: 300,
        part_rows: 40,
        background,
        ..Options::default()
    }
}

impl World {
    fn new(seed: u64, ledgers: usize, dir: &Path) -> World {
        let ledgers: Vec<Arc<Memory>> =
            (0..ledgers).map(|number| Memory::new(&format!("l{number}"))).collect();
        let rows = ledgers.iter().map(|ledger| ledger.clone() as Arc<dyn Rows>).collect();
        let store = Store::open(dir, rows, small(seed.is_multiple_of(2))).unwrap();
        World { ledgers, store, generator: Generator::new(seed) }
    }

    fn post(&mut self, count: usize) {
        let number = self.generator.below(self.ledgers.len());
        let via = self.generator.relays();
        let events: Vec<String> = (0..count).map(|_| self.generator.event()).collect();
        self.ledgers[number].post_via(&via, &events);
    }

    fn wait(&self) {
        for ledger in &self.ledgers {
            assert!(
                self.store.wait_indexed(ledger.name(), ledger.end(), Duration::from_secs(30)).unwrap(),
                "{:?}",
                self.store
            );
        }
    }

    /// Calls `f` with every entry that answers a scope, ledger by ledger.
    fn scan(&self, scope: &Scope, mut f: impl FnMut(Place, &Memory, &Entry<'_>)) {
        for ledger in &self.ledgers {
            if scope.ledgers.as_ref().is_some_and(|wanted| !wanted.iter().any(|name| name == ledger.name())) {
                continue;
            }
            for (index, bytes) in ledger.entries().iter().enumerate().skip(ledger.first() as usize) {
                let entry = Entry::parse(bytes).unwrap();
                let time = entry.event_time().0;
                let value_of = |hash: &[u8; 32]| ledger.value_of(hash);
                let row = Row {
                    ledger: ledger.name(),
                    index: index as u64,
                    entry: &entry,
                    value_of: Some(&value_of),
                };
                let in_time =
                    scope.from.is_none_or(|from| from.0 <= time) && scope.to.is_none_or(|to| time < to.0);
                if in_time && scope.query.matches(&row) {
                    f((time, ledger.name().to_owned(), index as u64), ledger, &entry);
                }
            }
        }
    }

    /// What a scan finds, in order.
    fn scanned(&self, scope: &Scope, order: Order) -> Vec<Place> {
        let mut found = Vec::new();
        self.scan(scope, |place, _, _| found.push(place));
        found.sort();
        if order == Order::NewestFirst {
            found.reverse();
        }
        found
    }

    fn scope(&mut self) -> Scope {
        let text = self.generator.query(3);
        let query = Query::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let again = Query::parse(&query.to_string());
        assert_eq!(again.as_ref(), Ok(&query), "{text} became {query}");
        let mut scope = Scope::new(query);
        if self.generator.below(4) == 0 {
            scope.from = Some(Nanos::parse("2026-11-20T10:15:00Z").unwrap());
            scope.to = Some(Nanos::parse("2026-11-22T10:20:00Z").unwrap());
        }
        if self.generator.below(4) == 0 {
            scope.ledgers = Some(vec!["l0".to_owned()]);
        }
        scope
    }
}

/// Pages through everything while events are added between the pages: each page is what follows its cursor at that moment.
fn check_pages(world: &mut World, scope: &Scope, order: Order, limit: usize, adding: bool) {
    let before = world.scanned(scope, order);
    let mut now = before.clone();
    let mut shown: Vec<Place> = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let request = SearchRequest { scope: scope.clone(), order, limit, cursor: cursor.take() };
        let page = world.store.search(&request).unwrap_or_else(|error| panic!("{}: {error}", scope.query));
        let is_after = |place: &&Place| match (shown.last(), order) {
            (None, _) => true,
            (Some(last), Order::OldestFirst) => *place > last,
            (Some(last), Order::NewestFirst) => *place < last,
        };
        let expected: Vec<&Place> = now.iter().filter(is_after).take(limit).collect();
        let rest = now.iter().filter(is_after).count();
        let found: Vec<Place> =
            page.hits.iter().map(|hit| (hit.event_time.0, hit.ledger.to_string(), hit.index)).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{} {order:?} {limit}", scope.query);
        for hit in &page.hits {
            let ledger = world.ledgers.iter().find(|ledger| *ledger.name() == *hit.ledger).unwrap();
            assert_eq!(*ledger.entries()[hit.index as usize], *hit.entry);
        }
        shown.extend(found);
        assert_eq!(page.next.is_some(), rest > limit, "{}", scope.query);
        match page.next {
            Some(next) => cursor = Some(Cursor::decode(&next.encode()).unwrap()),
            None => break,
        }
        if adding {
            world.post(3);
            world.wait();
            now = world.scanned(scope, order);
        }
    }
    let shown: BTreeSet<Place> = shown.into_iter().collect();
    assert!(before.iter().all(|place| shown.contains(place)), "{}: something was skipped", scope.query);
}

#[test]
fn searching_equals_scanning() {
    let mut found = 0;
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(seed, 1 + seed as usize % 3, dir.path());
        for round in 0..3 {
            for _ in 0..12 {
                let count = 1 + world.generator.below(25);
                world.post(count);
            }
            world.wait();
            for number in 0..60 {
                let scope = world.scope();
                let expected = world.scanned(&scope, Order::OldestFirst);
                found += usize::from(!expected.is_empty());
                let count = world.store.count(&scope).unwrap();
                assert_eq!(
                    (count.count, count.behind),
                    (expected.len() as u64, 0),
                    "{} (seed {seed})",
                    scope.query
                );
                let order = if number % 2 == 0 { Order::NewestFirst } else { Order::OldestFirst };
                let limit = [1 + world.generator.below(9), 50, 10_000][number % 3];
                // Not more than a dozen pages, each of which is compared with a scan.
                let limit = limit.max(expected.len() / 12);
                check_pages(&mut world, &scope, order, limit, number % 8 == round);
            }
        }
    }
    // Otherwise it compares nothing with nothing.
    assert!(found > 450, "{found} of 1080 queries found something");
}

/// A thread posts while another pages: what was there at the start is shown once and in order.
#[test]
fn paging_is_stable_while_events_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(2, 2, dir.path());
    for _ in 0..20 {
        world.post(20);
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let scope = Scope::new(Query::parse("event_name:*.* -username:bob").unwrap());
        world.wait();
        let before = world.scanned(&scope, order);
        let (ledgers, store) = (&world.ledgers, &world.store);
        let done = &std::sync::atomic::AtomicBool::new(false);
        let shown = std::thread::scope(|threads| {
            let ledger = ledgers[0].clone();
            let poster = threads.spawn(move || {
                let mut generator = Generator::new(99);
                for _ in 0..400 {
                    if done.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let events: Vec<String> = (0..5)
                        .map(|_| generator.event().replace("ID-", "late-").replace("id-", "late-"))
                        .collect();
                    ledger.post(&events);
                    std::thread::yield_now();
                }
            });
            let mut shown: Vec<Place> = Vec::new();
            let mut cursor = None;
            loop {
                let page =
                    store.search(&SearchRequest { scope: scope.clone(), order, limit: 7, cursor }).unwrap();
                shown.extend(
                    page.hits.iter().map(|hit| (hit.event_time.0, hit.ledger.to_string(), hit.index)),
                );
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            poster.join().unwrap();
            shown
        });
        let in_order = |pair: &[Place]| match order {
            Order::OldestFirst => pair[0] < pair[1],
            Order::NewestFirst => pair[0] > pair[1],
        };
        assert!(shown.windows(2).all(in_order));
        let shown: BTreeSet<Place> = shown.into_iter().collect();
        assert!(before.iter().all(|place| shown.contains(place)));
    }
}

/// The values of a field of an entry, from its JSON.
fn values(field: &str, place: &Place, ledger: &Memory, entry: &Entry<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if field == "_ledger" {
        found.insert(place.1.clone());
        return found;
    }
    let bytes = ledger.entries()[place.2 as usize].clone();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    let Some(path) = field.strip_prefix("event_data.") else {
        if field == "message"
            && let Some(Text::Ref { hash, .. }) = entry.message()
        {
            found.insert(String::from_utf8(ledger.value_of(&hash).unwrap()).unwrap());
        } else {
            gather(json.get(field), ledger, &mut found);
        }
        return found;
    };
    let mut at = json.get("event_data");
    for name in path.split('.') {
        at = at.and_then(|value| value.get(name));
    }
    gather(at, ledger, &mut found);
    found
}

fn gather(value: Option<&Value>, ledger: &Memory, found: &mut BTreeSet<String>) {
    match value {
        None => {}
        Some(Value::Array(list)) => list.iter().for_each(|value| gather(Some(value), ledger, found)),
        Some(Value::String(text)) => drop(found.insert(text.clone())),
        Some(Value::Object(object)) => {
            let Some(hash) = object.get("$ref").and_then(Value::as_str) else { return };
            let hex = hash.strip_prefix("sha256:").unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
            let hash: [u8; 32] = std::array::from_fn(byte);
            found.insert(String::from_utf8(ledger.value_of(&hash).unwrap()).unwrap());
        }
        // Equal numbers are one value.
        Some(Value::Number(number)) => {
            let float = number.as_f64().unwrap();
            let whole = number.as_i64().map(|whole| whole.to_string());
            let exact = whole.unwrap_or_else(|| {
                if float.fract() == 0.0 { (float as i64).to_string() } else { float.to_string() }
            });
            found.insert(exact);
        }
        Some(other) => drop(found.insert(other.to_string())),
    }
}

const FIELDS: [&str; 16] = [
    "event_name",
    "username",
    "resource",
    "host",
    "via",
    "severity",
    "read_only",
    "outcome",
    "request_id",
    "event_id",
    "message",
    "_ledger",
    "event_data.status",
    "event_data.tags",
    "event_data.deep.list",
    "event_data.note",
];

#[test]
fn counting_equals_scanning() {
    for seed in 10..14 {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(seed, 2, dir.path());
        for _ in 0..20 {
            world.post(20);
        }
        world.wait();
        for number in 0..60 {
            let scope = if number % 4 == 0 { Scope::new(Query::all()) } else { world.scope() };
            let field = FIELDS[world.generator.below(FIELDS.len())];
            check_top(&world, &scope, field);
            check_histogram(&world, &scope, field);
            let by = [field, FIELDS[world.generator.below(FIELDS.len())], "username"];
            check_stats(&world, &scope, &by[..number % 4], "event_data.status");
        }
    }
}

fn check_top(world: &World, scope: &Scope, field: &str) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut count, mut missing) = (0, 0);
    world.scan(scope, |place, ledger, entry| {
        let values = values(field, &place, ledger, entry);
        count += 1;
        missing += u64::from(values.is_empty());
        values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
    });
    let mut expected: Vec<(String, u64)> = counts.into_iter().collect();
    expected.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let distinct = expected.len() as u64;
    expected.truncate(5);
    let top = world.store.top(scope, field, 5).unwrap();
    assert_eq!(top.values, expected, "top {field} of {}", scope.query);
    assert_eq!(
        (top.distinct, top.missing, top.count),
        (distinct, missing, count),
        "top {field} of {}",
        scope.query
    );
    assert_eq!(world.store.distinct(scope, field).unwrap(), distinct);
}

fn check_histogram(world: &World, scope: &Scope, field: &str) {
    let interval = 600_000_000_000;
    let request = HistogramRequest {
        scope: scope.clone(),
        interval: Interval::Nanos(interval),
        by: Some(field.to_owned()),
        by_limit: 3,
    };
    let histogram = world.store.histogram(&request).unwrap();
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    let mut by: BTreeMap<(i64, String), u64> = BTreeMap::new();
    let mut count = 0;
    world.scan(scope, |place, ledger, entry| {
        let bucket = place.0.div_euclid(interval) * interval;
        *counts.entry(bucket).or_default() += 1;
        count += 1;
        for value in values(field, &place, ledger, entry) {
            *by.entry((bucket, value)).or_default() += 1;
        }
    });
    assert_eq!(histogram.count, count);
    let top = world.store.top(scope, field, 3).unwrap();
    let top_values: Vec<&String> = top.values.iter().map(|(value, _)| value).collect();
    assert_eq!(histogram.by_values.iter().collect::<Vec<_>>(), top_values);
    assert_eq!(histogram.more_values, top.distinct - top_values.len() as u64);
    let found: BTreeMap<i64, u64> = histogram
        .buckets
        .iter()
        .filter(|bucket| bucket.count > 0)
        .map(|bucket| (bucket.time.0, bucket.count))
        .collect();
    assert_eq!(found, counts, "{}", scope.query);
    for (number, bucket) in histogram.buckets.iter().enumerate() {
        assert_eq!(bucket.time.0, histogram.from.0 + number as i64 * interval);
        for (value, found) in histogram.by_values.iter().zip(&bucket.by) {
            let expected = by.get(&(bucket.time.0, value.clone())).copied().unwrap_or(0);
            assert_eq!(*found, expected, "{field}={value} of {}", scope.query);
        }
    }
}

fn check_stats(world: &World, scope: &Scope, by: &[&str], of: &str) {
    type Group = (u64, Vec<f64>);
    let mut groups: BTreeMap<Vec<Option<String>>, Group> = BTreeMap::new();
    if by.is_empty() {
        groups.insert(Vec::new(), (0, Vec::new()));
    }
    let mut count = 0;
    world.scan(scope, |place, ledger, entry| {
        count += 1;
        let mut keys: Vec<Vec<Option<String>>> = vec![Vec::new()];
        for field in by {
            let found = values(field, &place, ledger, entry);
            let found: Vec<Option<String>> =
                if found.is_empty() { vec![None] } else { found.into_iter().map(Some).collect() };
            keys = keys
                .iter()
                .flat_map(|key| {
                    found.iter().map(move |value| key.iter().cloned().chain([value.clone()]).collect())
                })
                .collect();
        }
        // Numbers only: a string that reads as one is none.
        let json: Value = serde_json::from_slice(&ledger.entries()[place.2 as usize]).unwrap();
        let number =
            json.get("event_data").and_then(|data| data.get(of.strip_prefix("event_data.").unwrap()));
        for key in keys {
            let group = groups.entry(key).or_default();
            group.0 += 1;
            group.1.extend(number.and_then(Value::as_f64));
        }
    });
    let calculations = ["count", "count", "sum", "avg", "min", "max", "p50", "p95"]
        .iter()
        .enumerate()
        .map(|(place, name)| if place == 0 { name.to_string() } else { format!("{name}({of})") })
        .map(|text| text.parse().unwrap())
        .collect();
    let by = by.iter().map(|name| name.to_string()).collect();
    let request = StatsRequest { scope: scope.clone(), by, calculations, limit: 10_000 };
    let stats = world.store.stats(&request).unwrap();
    assert_eq!((stats.count, stats.cut, stats.approximate), (count, false, false));
    let found: BTreeMap<Vec<Option<String>>, Vec<Option<f64>>> =
        stats.rows.iter().map(|row| (row.by.clone(), row.figures.clone())).collect();
    assert!(stats.rows.windows(2).all(|pair| pair[0].count >= pair[1].count));
    if count == 0 && stats.rows.is_empty() {
        return;
    }
    assert_eq!(found.len(), groups.len(), "{:?} of {}", request.by, scope.query);
    for (key, (count, mut numbers)) in groups {
        numbers.sort_by(f64::total_cmp);
        let figures = &found[&key];
        let rank = |fraction: f64| {
            numbers.get(((numbers.len() as f64 * fraction).ceil() as usize).max(1) - 1).copied()
        };
        let sum: f64 = numbers.iter().sum();
        let some = |value: f64| if numbers.is_empty() { None } else { Some(value) };
        let expected = [
            Some(count as f64),
            Some(numbers.len() as f64),
            some(sum),
            some(sum / numbers.len() as f64),
            numbers.first().copied(),
            numbers.last().copied(),
            rank(0.5),
            rank(0.95),
        ];
        for (place, (found, expected)) in figures.iter().zip(expected).enumerate() {
            let close = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= expected.abs() * 1e-12,
                (found, expected) => *found == expected,
            };
            assert!(close, "figure {place} of {key:?} in {}: {found:?}, expected {expected:?}", scope.query);
        }
    }
}

#[test]
fn refusals() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(1, 1, dir.path());
    let scope = Scope::new(Query::all());
    let search = |limit: usize, cursor: Option<Cursor>, order: Order| {
        world.store.search(&SearchRequest { scope: scope.clone(), order, limit, cursor })
    };
    assert!(matches!(search(0, None, Order::NewestFirst), Err(Error::Refused(_))));
    assert!(matches!(search(10_001, None, Order::NewestFirst), Err(Error::Refused(_))));
    let elsewhere = Scope { ledgers: Some(vec!["other".to_owned()]), ..scope.clone() };
    assert!(matches!(world.store.count(&elsewhere), Err(Error::UnknownLedger(_))));
    for field in ["event_time", "_index", "event_data", "event_data."] {
        assert!(matches!(world.store.top(&scope, field, 1), Err(Error::Refused(_))), "{field}");
    }
    scope.stop.cancel();
    assert!(matches!(world.store.count(&scope), Err(Error::Cancelled)));
}
