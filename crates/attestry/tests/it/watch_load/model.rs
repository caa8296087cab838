//! What a table must have been, as somebody knows who did it all.

use std::collections::BTreeMap;

/// A row: which of the values, and the number of the change that made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) variant: usize,
    pub(super) serial: i64,
}

/// A change, as its event must say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Insert { key: i64, serial: i64 },
    Update { key: i64, new_key: i64, old: i64, new: i64 },
    Delete { key: i64, serial: i64 },
}

impl Change {
    /// The rows it is about: one, or where its key changed two.
    pub(super) fn keys(self) -> [i64; 2] {
        match self {
            Change::Insert { key, .. } | Change::Delete { key, .. } => [key; 2],
            Change::Update { key, new_key, .. } => [key, new_key],
        }
    }
}

/// One table's rows, as one writer knows them.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) rows: BTreeMap<i64, Row>,
    /// What each key has stood for, in order; none: nothing any more.
    pub(super) versions: BTreeMap<i64, Vec<Option<Row>>>,
    pub(super) changes: Vec<Change>,
}

impl Model {
    /// It was there before anybody looked.
    pub(super) fn seed(&mut self, key: i64, row: Row) {
        self.rows.insert(key, row);
        self.versions.entry(key).or_default().push(Some(row));
    }

    /// What a transaction that was committed did.
    pub(super) fn commit(&mut self, draft: Draft) {
        for (change, row) in draft.done {
            let [key, new_key] = change.keys();
            if row.is_none() || key != new_key {
                self.versions.entry(key).or_default().push(None);
            }
            if row.is_some() {
                self.versions.entry(new_key).or_default().push(row);
            }
            self.changes.push(change);
        }
        self.rows = draft.rows;
    }
}

/// A transaction that is not committed yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) rows: BTreeMap<i64, Row>,
    done: Vec<(Change, Option<Row>)>,
}

impl Draft {
    pub(super) fn of(model: &Model) -> Draft {
        Draft { rows: model.rows.clone(), done: Vec::new() }
    }

    pub(super) fn insert(&mut self, key: i64, row: Row) {
        assert!(self.rows.insert(key, row).is_none());
        self.done.push((Change::Insert { key, serial: row.serial }, Some(row)));
    }

    pub(super) fn update(&mut self, key: i64, new_key: i64, row: Row) {
        let old = self.rows.remove(&key).unwrap().serial;
        assert!(self.rows.insert(new_key, row).is_none());
        self.done.push((Change::Update { key, new_key, old, new: row.serial }, Some(row)));
    }

    pub(super) fn delete(&mut self, key: i64) {
        let serial = self.rows.remove(&key).unwrap().serial;
        self.done.push((Change::Delete { key, serial }, None));
    }
}
