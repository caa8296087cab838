//! Whether what Attestry has is what was done.

use std::collections::BTreeMap;

use attestry_db::copy::{Copy, Filter, place_of};
use attestry_db::{Cell, Engine, Name, Reader, Table, WatchConfig, decode_row, encode_row};
use attestry_testkit::Scenario;
use serde_json::Value;

use super::model::{Change, Row};
use super::shape::Shape;
use super::writer::{KEYS, Writer};
use crate::stored;

/// A column's text as a number.
fn number(table: &Table, row: &[Cell], column: &str) -> i64 {
    row[table.place_of(column).unwrap()].text().unwrap().parse().unwrap()
}

/// All rows of a copy's tables against the database's: whether they are the same, and how many they are.
pub(super) async fn same<R: Reader>(copy: &mut Copy, reader: &mut R) -> Option<usize> {
    let mut count = 0;
    for watched in copy.watched().unwrap() {
        let rows = copy.rows_from(watched.id, &[], u32::MAX).unwrap();
        let mut ours: Vec<Vec<u8>> = rows.into_iter().map(|row| row.image).collect();
        let theirs = reader.rows_after(&watched.layout.table, copy.mask(), None, u32::MAX).await.ok()?;
        let mut theirs: Vec<Vec<u8>> = theirs.iter().map(|row| encode_row(row)).collect();
        ours.sort();
        theirs.sort();
        if ours != theirs {
            return None;
        }
        count += ours.len();
    }
    Some(count)
}

/// The history of every key is what its writer remembers, and each version has the very values that the database has in `samples`.
pub(super) fn versions(copy: &mut Copy, config: &WatchConfig, engine: Engine, writers: &[Writer]) -> usize {
    let schema = match engine {
        Engine::Mysql => "test",
        Engine::Postgres => "public",
    };
    let named = |table: &str| Name { schema: schema.to_owned(), table: table.to_owned() };
    assert!(config.watches("samples"));
    let samples = copy.watched_table(&named("samples")).unwrap().unwrap();
    let rows = copy.rows_from(samples.id, &[], u32::MAX).unwrap();
    let samples: BTreeMap<i64, Vec<Cell>> = rows
        .iter()
        .map(|row| decode_row(&row.image).unwrap())
        .map(|row| (number(&samples.layout.table, &row, "variant"), row))
        .collect();
    let mut count = 0;
    for writer in writers {
        for (shape, model) in &writer.models {
            let watched = copy.watched_table(&named(shape.table())).unwrap().unwrap();
            let table = &watched.layout.table;
            for (key, versions) in &model.versions {
                let place = place_of(table, &[Cell::of(shape.key(*key))]);
                let mut history = copy.history(watched.id, &place, u32::MAX).unwrap();
                history.reverse();
                let numbers: Vec<u64> = history.iter().map(|version| version.version).collect();
                assert_eq!(numbers, (1..=versions.len() as u64).collect::<Vec<_>>(), "{shape:?} {key}");
                // MariaDB's log has whole seconds.
                let unit = if engine == Engine::Mysql { 1_000_000 } else { 1 };
                let times: Vec<i64> = history.iter().map(|version| version.origin.time / unit).collect();
                assert!(times.is_sorted(), "{shape:?} {key}: {times:?}");
                for (version, expected) in history.iter().zip(versions) {
                    let found = version.cells.as_ref().map(|row| Row {
                        serial: number(table, row, "serial"),
                        variant: usize::try_from(number(table, row, "variant")).unwrap(),
                    });
                    assert_eq!(found, *expected, "{shape:?} {key} {}", version.version);
                    if let (Shape::Every, Some(row)) = (shape, &version.cells) {
                        let sample = &samples[&number(table, row, "variant")];
                        for (place, column) in table.columns.iter().enumerate() {
                            let known = column.name.strip_prefix('c').and_then(|at| at.parse::<u32>().ok());
                            let same = row[place] == sample[place];
                            assert!(known.is_none() || same, "{} of {key}: {:?}", column.name, row[place]);
                        }
                    }
                    count += 1;
                }
            }
        }
    }
    count
}

/// A word that was deleted has a violation, which counts how often.
pub(super) fn violations(copy: &mut Copy, told: &Told, writers: &[Writer]) {
    let mut deleted: BTreeMap<String, u64> = BTreeMap::new();
    for change in writers.iter().flat_map(|writer| &writer.models[&Shape::Words].changes) {
        if let Change::Delete { key, .. } = change {
            *deleted.entry(Shape::Words.key(*key)).or_default() += 1;
        }
    }
    let found = copy.violations(&Filter::default(), 100_000).unwrap();
    let found: BTreeMap<String, u64> = found
        .iter()
        .map(|one| {
            assert_eq!((one.rule.as_str(), one.description.as_str()), ("gone", "it is gone"));
            (one.key[0].text().unwrap().to_owned(), one.repeated + 1)
        })
        .collect();
    assert_eq!(found, deleted);
    assert_eq!(told.opened, deleted.len() as u64);
    assert_eq!(told.opened + told.repeated, deleted.values().sum::<u64>());
}

/// What the ledger says.
#[derive(Default)]
pub(super) struct Told {
    pub(super) passes: u64,
    pub(super) compared: u64,
    pub(super) changes: u64,
    /// Violations.
    pub(super) opened: u64,
    /// Violations that were seen again.
    pub(super) repeated: u64,
}

/// Every change of each writer is one event, in the order in which it made them; nothing is unexplained, nothing was lost.
pub(super) fn events(scenario: &Scenario, writers: &[Writer]) -> Told {
    let mut found: BTreeMap<(Shape, i64), Vec<Change>> = BTreeMap::new();
    let mut steps: BTreeMap<i64, i64> = BTreeMap::new();
    let mut told = Told::default();
    stored::each(scenario, |entry| {
        assert!(!stored::is_gap(entry), "{}: {:?}", entry.event_name(), entry.event_data_text());
        let data: Value = serde_json::from_str(entry.event_data_text().unwrap_or("null")).unwrap();
        assert!(data["unexplained"].is_null(), "{}: {data}", entry.event_name());
        let serial = |value: &Value| value.as_i64().unwrap();
        match &*entry.event_name() {
            "reconcile.pass" => {
                told.passes += 1;
                told.compared += data["compared_rows"].as_u64().unwrap();
                assert_eq!(data["different"], 0, "{data}");
            }
            "row.update" if data["table"] == "steps" => {
                let change = &data["changes"]["n"];
                let writer = serial(&data["key"]["writer"]);
                assert_eq!(steps.insert(writer, serial(&change["new"])).unwrap_or(0), serial(&change["old"]));
            }
            name if name.starts_with("row.") => {
                told.changes += 1;
                let shape = Shape::of_table(data["table"].as_str().unwrap()).unwrap();
                let key = shape.number(&data["key"]);
                let change = match name {
                    "row.insert" => Change::Insert { key, serial: serial(&data["row"]["serial"]) },
                    "row.delete" => Change::Delete { key, serial: serial(&data["row"]["serial"]) },
                    "row.update" => Change::Update {
                        key,
                        new_key: data.get("new_key").map_or(key, |shown| shape.number(shown)),
                        old: serial(&data["changes"]["serial"]["old"]),
                        new: serial(&data["changes"]["serial"]["new"]),
                    },
                    other => panic!("{other}: {data}"),
                };
                found.entry((shape, key / KEYS)).or_default().push(change);
            }
            "violation.open" => told.opened += 1,
            "violation.repeat" => told.repeated += 1,
            name => {
                assert!(!name.starts_with("violation.") && !name.starts_with("schema."), "{name}: {data}")
            }
        }
    });
    for writer in writers {
        assert_eq!(steps.get(&writer.number).copied().unwrap_or(0), writer.steps, "of {}", writer.number);
        for (shape, model) in &writer.models {
            let mut found = found.remove(&(*shape, writer.number)).unwrap_or_default();
            let mut done = model.changes.clone();
            if *shape == Shape::Bulk {
                // One statement deletes its rows in whatever order they lie.
                found.sort_by_key(|change| change.keys());
                done.sort_by_key(|change| change.keys());
            }
            let at = found.iter().zip(&done).position(|(found, done)| found != done);
            let around = at.map(|at| (at, found[at], done[at]));
            assert_eq!(around, None, "{shape:?} of {}: found, and done", writer.number);
            assert_eq!(found.len(), done.len(), "{shape:?} of {}", writer.number);
        }
    }
    assert!(found.is_empty(), "nobody did that: {found:?}");
    told
}
