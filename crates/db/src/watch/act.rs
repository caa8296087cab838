//! One change of one row: into the copy, against the rules, and as events. Both the stream and the comparison end here.

use attestry_event::Event;
use serde_json::Value;

use super::events::{Shown, id, row_event, time_of};
use super::store::{Batch, Open, Store, Tracked};
use super::window::Changed;
use crate::cell::{Cell, encode_row, row_hash};
use crate::copy::{CopyError, Op, Opening, Origin, Place, Put, SeenBy, Stored, place_of};
use crate::rules::Breach;
pub use crate::rules::UNEXPLAINED;
use crate::table::{Key, Table};

/// Columns that a message names.
const NAMED_COLUMNS: usize = 5;

/// A row as it was.
#[derive(Debug)]
pub(super) struct Was {
    pub(super) cells: Vec<Cell>,
    /// Places of cells that are not known.
    pub(super) unknown: Vec<usize>,
    pub(super) stored: Stored,
    /// Another row has taken its place in the copy.
    pub(super) displaced: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Act<'a> {
    pub(super) tracked: &'a Tracked,
    /// The row's key before; of a new one, now.
    pub(super) key: &'a Key,
    pub(super) was: Option<Was>,
    pub(super) now: Option<Vec<Cell>>,
    /// Why it must not have happened like this.
    pub(super) unexplained: Option<&'a str>,
    /// The row is in the copy already under the key that it has now, perhaps as it became later.
    pub(super) arrived: bool,
    pub(super) id: String,
    pub(super) origin: &'a Origin,
    pub(super) origin_id: i64,
}

impl Store {
    /// Does it, in a transaction of the copy.
    pub(super) fn act(&mut self, act: Act<'_>, open: &mut Open, batch: &mut Batch) -> Result<(), CopyError> {
        let Act { tracked, key, was, now, unexplained, arrived, id, origin, origin_id } = act;
        let (table, watched) = (tracked.table(), tracked.id());
        let old_cells = was.as_ref().map(|was| was.cells.as_slice());
        if old_cells.is_some()
            && old_cells == now.as_deref()
            && was.as_ref().is_some_and(|was| was.unknown.is_empty())
        {
            return Ok(());
        }
        let breaches = match (unexplained, old_cells, now.as_deref()) {
            (Some(why), ..) => {
                vec![Breach { field: None, rule: UNEXPLAINED.to_owned(), description: why.to_owned() }]
            }
            (None, Some(old), Some(new)) => tracked.rules.updated(old, new),
            (None, None, Some(new)) => tracked.rules.inserted(new),
            (None, Some(old), None) => tracked.rules.deleted(old),
            (None, None, None) => return Ok(()),
        };
        let keep = tracked.watched.versions || !breaches.is_empty();
        let place = place_of(table, key);
        let new_key = now.as_deref().map(|new| table.key_of(new));
        let image = now.as_deref().map(encode_row);
        let old_version = was.as_ref().map(|was| was.stored.version);
        let mut new_version = None;

        let moved = new_key.as_ref().is_some_and(|new_key| new_key != key);
        if let Some(was) = &was
            && !was.displaced
            && (moved || now.is_none())
        {
            self.copy.remove(watched, &was.stored, Op::Delete, origin_id, Some(&id), keep)?;
            let changed = Changed { watched, place: place.clone(), before: Some(was.stored.hash) };
            open.note(&self.window, changed);
        }
        let mut new_place: Option<Place> = None;
        if let (Some(new), Some(new_key), Some(image), false) = (&now, &new_key, &image, arrived) {
            let there = if moved || was.is_none() || was.as_ref().is_some_and(|was| was.displaced) {
                place_of(table, new_key)
            } else {
                place.clone()
            };
            let in_place = was.as_ref().filter(|was| !moved && !was.displaced).map(|was| was.stored.clone());
            let taken = in_place.is_none().then(|| self.copy.row(watched, &there)).transpose()?.flatten();
            let hash = row_hash(new);
            let put = Put {
                watched,
                place: &there,
                key: &encode_row(new_key),
                layout: tracked.watched.layout.id,
                image,
                hash: &hash,
                op: if was.is_some() { Op::Update } else { Op::Insert },
                origin: origin_id,
                event: Some(&id),
            };
            let occupant = in_place.as_ref().or(taken.as_ref());
            new_version = Some(self.copy.put(&put, occupant, keep)?);
            let changed = Changed { watched, place: there.clone(), before: occupant.map(|row| row.hash) };
            open.note(&self.window, changed);
            if let Some(taken) = taken {
                open.displaced.insert((watched, there.clone()), taken);
            }
            new_place = Some(there);
        }

        self.copy.count(watched, origin.time, |counts| {
            match (was.is_some(), now.is_some()) {
                (true, true) => counts.updates += 1,
                (false, true) => counts.inserts += 1,
                _ => counts.deletes += 1,
            }
            counts.unexplained += u64::from(unexplained.is_some());
            counts.violations += breaches.len() as u64;
        });
        batch.events.push(event(
            tracked,
            key,
            was.as_ref(),
            now.as_deref(),
            unexplained.is_some(),
            &id,
            origin,
        ));
        let place = new_place.unwrap_or(place);
        let shown_key = new_key.as_ref().unwrap_or(key);
        let old_image = was.as_ref().map(|was| encode_row(&was.cells));
        for breach in &breaches {
            let opening = Opening {
                watched,
                layout: tracked.watched.layout.id,
                place: &place,
                key: &encode_row(shown_key),
                field: breach.field.as_deref(),
                rule: &breach.rule,
                description: &breach.description,
                old: old_image.as_deref().zip(old_version),
                new: image.as_deref().zip(new_version),
                event: Some(&id),
                account: origin.account.as_deref(),
                time: origin.time,
            };
            batch.events.push(self.breach(table, shown_key, &opening, origin)?);
        }
        Ok(())
    }

    /// Opens a violation, or sees it again, and gives the event that says so.
    pub(super) fn breach(
        &mut self,
        table: &Table,
        key: &Key,
        opening: &Opening<'_>,
        origin: &Origin,
    ) -> Result<Event, CopyError> {
        let opened = self.copy.open_violation(opening)?;
        let (name, id) = match opened.repeated {
            None => ("violation.open", format!("vo-{}", opened.fingerprint)),
            Some(times) => ("violation.repeat", format!("vr-{}-{times}", opened.fingerprint)),
        };
        let severity = if opening.rule == UNEXPLAINED { 3 } else { 4 };
        let mut event = row_event(name, id, table, origin)
            .severity(severity)
            .message(format!("{}: {}", table.name, opening.description))
            .data("fingerprint", opened.fingerprint)
            .data("rule", opening.rule)
            .data("description", opening.description);
        if !key.is_empty() {
            event = event.data("key", Shown::default().key(table, key));
        }
        if let Some(field) = opening.field {
            event = event.data("field", field);
        }
        if let Some(change) = opening.event {
            event = event.data("event", change);
        }
        if let Some(times) = opened.repeated {
            event = event.data("repeated", times);
        }
        Ok(event)
    }

    /// Rows whose key another row took, and that did not leave it by themselves until the transaction ended: how that came about is not known.
    pub(super) fn displaced_for_good(
        &mut self,
        origin: &Origin,
        origin_id: i64,
        open: &mut Open,
        batch: &mut Batch,
    ) -> Result<(), CopyError> {
        let mut left: Vec<_> = open.displaced.drain().collect();
        left.sort_by(|one, other| one.0.cmp(&other.0));
        for ((watched, place), stored) in left {
            let Some(tracked) = self.by_id(watched) else { continue };
            let (cells, unknown) = self.cells_of(&tracked, &stored)?;
            let key = tracked.table().key_of(&cells);
            let time = origin.time.to_be_bytes();
            let id = id(&self.watch, &[b"displaced", &place, &stored.hash, open.id.as_bytes(), &time]);
            let why = "a row is new with the key of one that was there";
            let was = Some(Was { cells, unknown, stored, displaced: true });
            let act = Act {
                tracked: &tracked,
                key: &key,
                was,
                now: None,
                unexplained: Some(why),
                arrived: false,
                id,
                origin,
                origin_id,
            };
            self.act(act, open, batch)?;
        }
        Ok(())
    }
}

fn event(
    tracked: &Tracked,
    key: &Key,
    was: Option<&Was>,
    now: Option<&[Cell]>,
    unexplained: bool,
    id: &str,
    origin: &Origin,
) -> Event {
    let table = tracked.table();
    let mut shown = Shown::default();
    let name = match (was, now) {
        (Some(_), Some(_)) => "row.update",
        (None, Some(_)) => "row.insert",
        _ => "row.delete",
    };
    let mut event = row_event(name, id.to_owned(), table, origin).severity(if unexplained { 3 } else { 6 });
    event = event.data("key", shown.key(table, key));
    let mut what = match (was, now) {
        (Some(was), Some(now)) => {
            let changes = shown.changes(table, &was.cells, now);
            let names: Vec<&str> = changes.keys().take(NAMED_COLUMNS).map(String::as_str).collect();
            let more = if changes.len() > names.len() { ", …" } else { "" };
            let message = format!("a row of {} changed: {}{more}", table.name, names.join(", "));
            event = event.data("changes", changes);
            let new_key = table.key_of(now);
            if new_key != *key {
                event = event.data("new_key", shown.key(table, &new_key));
            }
            message
        }
        (None, Some(now)) => {
            event = event.data("row", shown.row(table, now));
            format!("{} has a new row", table.name)
        }
        (was, None) => {
            if let Some(was) = was {
                event = event.data("row", shown.row(table, &was.cells));
            }
            format!("a row of {} was deleted", table.name)
        }
    };
    if unexplained {
        what.push_str(", and the change stream does not say so");
        event = event.data("unexplained", true);
    }
    event.message(what)
}

/// Where something comes from that was found by comparing.
pub(super) fn found_by_comparing(time: i64, unexplained: bool) -> Origin {
    Origin {
        seen_by: SeenBy::Comparison,
        position: None,
        transaction: None,
        time,
        seen: Some(time),
        account: None,
        unexplained,
    }
}

/// An event about a table as such.
pub(super) fn table_event(watch: &str, name: &str, table: &crate::Name, time: i64, parts: &[&[u8]]) -> Event {
    let mut all: Vec<&[u8]> = vec![name.as_bytes(), table.schema.as_bytes(), table.table.as_bytes()];
    let time_bytes = time.to_be_bytes();
    all.push(&time_bytes);
    all.extend(parts);
    Event::new(name, "-")
        .id(id(watch, &all))
        .time(time_of(time))
        .resource(table.to_string())
        .data("schema", Value::from(table.schema.as_str()))
        .data("table", Value::from(table.table.as_str()))
}
