use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use attestry_event::{Event, Nanos};

use super::*;
use crate::cell::{Cell, RowHash, encode_row, row_hash};
use crate::change::Position;
use crate::database::Scan;
use crate::table::{Column, Kind, Table};

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        sql_type: String::new(),
        nullable: false,
        generated: false,
        binary_order: false,
        masked: false,
    }
}

fn accounts(key: Kind) -> Arc<Table> {
    let name = Name { schema: "bank".to_owned(), table: "accounts".to_owned() };
    Arc::new(Table { name, columns: vec![column("id", key), column("name", Kind::Text)], key: vec![0] })
}

struct Bench {
    copy: Copy,
    watched: Watched,
    origin: i64,
    _dir: tempfile::TempDir,
}

fn bench(key: Kind, versions: bool) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let mut copy = Copy::open(&dir.path().join("bank.copy")).unwrap();
    copy.begin().unwrap();
    let watched = copy.add_watched(&accounts(key), versions).unwrap();
    let origin = copy.add_origin(&origin("0/1")).unwrap();
    Bench { copy, watched, origin, _dir: dir }
}

fn origin(position: &str) -> Origin {
    Origin {
        seen_by: SeenBy::Stream,
        position: Some(position.to_owned()),
        transaction: Some("7".to_owned()),
        time: 86_400_000_001,
        seen: Some(86_400_000_007),
        account: Some("alice".to_owned()),
        unexplained: false,
    }
}

impl Bench {
    fn put(&mut self, id: i64, name: &str, op: Op) -> u64 {
        let cells = [Cell::of(id.to_string()), Cell::of(name)];
        let place = place_of(&self.watched.layout.table, &cells[..1]);
        let old = self.copy.row(self.watched.id, &place).unwrap();
        let put = Put {
            watched: self.watched.id,
            place: &place,
            key: &encode_row(&cells[..1]),
            layout: self.watched.layout.id,
            image: &encode_row(&cells),
            hash: &row_hash(&cells),
            op,
            origin: self.origin,
            event: Some("e"),
        };
        self.copy.put(&put, old.as_ref(), self.watched.versions).unwrap()
    }

    fn place(&self, id: i64) -> Place {
        place_of(&self.watched.layout.table, &[Cell::of(id.to_string())])
    }

    fn remove(&mut self, id: i64) -> u64 {
        let old = self.copy.row(self.watched.id, &self.place(id)).unwrap().unwrap();
        self.copy
            .remove(self.watched.id, &old, Op::Delete, self.origin, Some("d"), self.watched.versions)
            .unwrap()
    }

    fn hashes(&self, scan: &Scan) -> Vec<RowHash> {
        let mut found = Vec::new();
        let span = Span::of(&self.watched.layout.table, scan);
        self.copy
            .each_hash(self.watched.id, &span, |place, hash| {
                assert!(span.holds(place));
                found.push(hash);
                Ok(())
            })
            .unwrap();
        found
    }

    fn violate(&mut self, id: i64, rule: &str, time: i64) -> Opened {
        let (place, key) = (self.place(id), encode_row(&[Cell::of(id.to_string())]));
        let opening = Opening {
            watched: self.watched.id,
            layout: self.watched.layout.id,
            place: &place,
            key: &key,
            field: Some("name"),
            rule,
            description: "it is different",
            old: Some((b"1:11:a", 1)),
            new: None,
            event: Some("e"),
            account: Some("alice"),
            time,
        };
        self.copy.open_violation(&opening).unwrap()
    }
}

fn signed(by: &str, why: &str) -> Signed {
    Signed { by: by.to_owned(), from: "-".to_owned(), why: why.to_owned(), at: 9 }
}

#[test]
fn the_file_is_for_its_owner_and_its_mask_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bank.copy");
    let key = Copy::open(&path).unwrap().mask().0;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Copy::open(&path).unwrap().mask().0, key);
    assert_eq!(Copy::open_to_read(&path).unwrap().mask().0, key);
    assert_ne!(Copy::open(&dir.path().join("other.copy")).unwrap().mask().0, key);
    assert!(Copy::open_to_read(&dir.path().join("none")).is_err());
}

#[test]
fn what_was_not_committed_is_not_there() {
    let mut bench = bench(Kind::Int, true);
    bench.put(1, "a", Op::Insert);
    bench.copy.commit().unwrap();
    bench.copy.begin().unwrap();
    bench.put(1, "b", Op::Update);
    // A batch whose events could not be sent: the next one begins where it did.
    bench.copy.begin().unwrap();
    assert_eq!(bench.copy.row(bench.watched.id, &bench.place(1)).unwrap().unwrap().version, 1);
    assert_eq!(bench.copy.watched().unwrap()[0].rows, 1);
}

#[test]
fn a_row_has_a_history_that_goes_on_after_it_was_deleted() {
    for (versions, expected) in
        [(true, vec!["insert 4", "delete 3", "update 2", "insert 1"]), (false, vec!["insert 1"])]
    {
        let mut bench = bench(Kind::Int, versions);
        bench.put(1, "a", Op::Insert);
        bench.put(1, "b", Op::Update);
        bench.remove(1);
        bench.put(1, "c", Op::Insert);
        bench.copy.commit().unwrap();
        let history = bench.copy.history(bench.watched.id, &bench.place(1), 10).unwrap();
        let found: Vec<_> = history.iter().map(|one| format!("{} {}", one.op.name(), one.version)).collect();
        assert_eq!(found, expected);
        assert_eq!(history[0].cells.as_ref().unwrap()[1], Cell::of("c"));
        assert_eq!(history[0].origin, origin("0/1"));
        assert_eq!(bench.copy.watched().unwrap()[0].rows, 1);
    }
}

#[test]
fn a_row_is_known_at_earlier_positions() {
    let mut bench = bench(Kind::Int, true);
    for (position, name) in [("0/10", Some("a")), ("0/20", Some("b")), ("0/30", None)] {
        bench.origin = bench.copy.add_origin(&origin(position)).unwrap();
        match name {
            Some(name) => bench.put(1, name, if name == "a" { Op::Insert } else { Op::Update }),
            None => bench.remove(1),
        };
    }
    let place = bench.place(1);
    for (position, expected) in [
        ("0/9", Past::Absent),
        ("0/10", Past::Row(vec![Cell::of("1"), Cell::of("a")])),
        ("0/2F", Past::Row(vec![Cell::of("1"), Cell::of("b")])),
        ("1/0", Past::Absent),
    ] {
        let position: Position = position.parse().unwrap();
        assert_eq!(bench.copy.row_at(bench.watched.id, &place, &position).unwrap(), expected, "{position}");
    }
}

#[test]
fn parts_of_a_table_are_ranges() {
    let key = |id: i64| vec![Cell::of(id.to_string())];
    let mut ordered = bench(Kind::Int, true);
    for id in [-5, 1, 2, 300] {
        ordered.put(id, "x", Op::Insert);
    }
    for (after, upto, count) in [
        (None, None, 4),
        (Some(-5), None, 3),
        (Some(-5), Some(2), 2),
        (None, Some(-5), 1),
        (Some(2), Some(299), 0),
    ] {
        let scan = Scan::Range { after: after.map(key), upto: upto.map(key) };
        assert_eq!(ordered.hashes(&scan).len(), count, "{scan:?}");
    }
    // A decimal key has no order that is known here.
    let mut hashed = bench(Kind::Decimal, true);
    for id in 0..40 {
        hashed.put(id, "x", Op::Insert);
    }
    for bits in [0, 1, 3, 32] {
        let buckets = if bits == 32 { 0..0 } else { 0..1u32 << bits };
        let total: usize = buckets.map(|bucket| hashed.hashes(&Scan::Bucket { bits, bucket }).len()).sum();
        assert_eq!(total, if bits == 32 { 0 } else { 40 });
    }
    let last = Scan::Bucket { bits: 32, bucket: u32::MAX };
    assert!(hashed.hashes(&last).is_empty());
}

#[test]
fn a_violation_is_pending_once_and_signed_off_once() {
    let mut bench = bench(Kind::Int, false);
    bench.put(1, "a", Op::Insert);
    let first = bench.violate(1, "rule", 5);
    assert_eq!(first.repeated, None);
    assert_eq!(
        bench.violate(1, "rule", 6),
        Opened { fingerprint: first.fingerprint.clone(), repeated: Some(1) }
    );
    let other = bench.violate(1, "other", 7);
    bench.copy.commit().unwrap();
    let fingerprints = [first.fingerprint.clone(), other.fingerprint.clone()];
    assert_eq!(bench.copy.pending().unwrap(), [(bench.watched.id, 2)]);

    for (by, why) in [("", "fine"), ("dora", " ")] {
        let error = bench.copy.sign_off(&fingerprints, &signed(by, why)).unwrap_err();
        assert!(matches!(error, CopyError::Wanting(_)));
    }
    let unknown = [first.fingerprint.clone(), "0123".to_owned()];
    let error = bench.copy.sign_off(&unknown, &signed("dora", "fine")).unwrap_err();
    assert!(matches!(error, CopyError::NoSuch(_)));
    // All or none.
    assert!(bench.copy.violation(&first.fingerprint).unwrap().unwrap().signed.is_none());
    bench.copy.sign_off(&fingerprints, &signed("dora", "fine")).unwrap();
    let error = bench.copy.sign_off(&fingerprints, &signed("eve", "mine")).unwrap_err();
    assert_eq!(error.to_string(), format!("the violation {} was signed off by dora before", fingerprints[0]));

    let untold = bench.copy.untold_sign_offs(10).unwrap();
    assert_eq!(untold.len(), 2);
    bench.copy.set_sign_off_told(&fingerprints[0]).unwrap();
    assert_eq!(bench.copy.untold_sign_offs(10).unwrap()[0].fingerprint, fingerprints[1]);
    // The same again is another violation.
    bench.copy.begin().unwrap();
    let again = bench.violate(1, "rule", 10);
    bench.copy.commit().unwrap();
    assert!(again.repeated.is_none() && again.fingerprint != first.fingerprint);
}

#[test]
fn violations_are_filtered_and_paged() {
    let mut bench = bench(Kind::Int, true);
    let opened: Vec<_> =
        (0..6).map(|id| bench.violate(id, if id % 2 == 0 { "even" } else { "odd" }, id)).collect();
    bench.copy.commit().unwrap();
    bench.copy.sign_off(&[opened[5].fingerprint.clone()], &signed("dora", "fine")).unwrap();
    let name = bench.watched.name().clone();
    let other = Name { table: "other".to_owned(), ..name.clone() };
    let all = Filter::default();
    for (filter, expected) in [
        (all.clone(), vec![5, 4, 3, 2, 1, 0]),
        (Filter { pending: Some(true), ..all.clone() }, vec![4, 3, 2, 1, 0]),
        (Filter { pending: Some(false), ..all.clone() }, vec![5]),
        (Filter { rule: Some("odd".to_owned()), ..all.clone() }, vec![5, 3, 1]),
        (Filter { field: Some("id".to_owned()), ..all.clone() }, vec![]),
        (Filter { table: Some(name), since: Some(2), until: Some(4), ..all.clone() }, vec![3, 2]),
        (Filter { table: Some(other), ..all.clone() }, vec![]),
        (Filter { after: Some((2, opened[2].fingerprint.clone())), ..all.clone() }, vec![1, 0]),
    ] {
        let found = bench.copy.violations(&filter, 10).unwrap();
        let found: Vec<_> = found.iter().map(|one| one.opened).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    assert_eq!(bench.copy.violations(&all, 2).unwrap().len(), 2);
}

#[test]
fn without_versions_evidence_stays_until_the_sign_off() {
    let mut bench = bench(Kind::Int, false);
    bench.put(1, "a", Op::Insert);
    bench.watched.versions = true; // what the watch says of a row that breaks a rule
    bench.put(1, "b", Op::Update);
    let opened = bench.violate(1, "rule", 5);
    bench.copy.commit().unwrap();
    let place = bench.place(1);
    assert_eq!(bench.copy.history(bench.watched.id, &place, 10).unwrap().len(), 2);
    bench.copy.sign_off(&[opened.fingerprint], &signed("dora", "fine")).unwrap();
    assert_eq!(bench.copy.history(bench.watched.id, &place, 10).unwrap().len(), 1);
}

#[test]
fn evidence_goes_with_the_last_violation_that_needs_it() {
    let mut bench = bench(Kind::Int, true);
    bench.put(1, "kept from before", Op::Insert);
    bench.put(1, "a", Op::Update);
    bench.copy.set_versions(bench.watched.id, false).unwrap();
    bench.origin = bench.copy.add_origin(&origin("0/2")).unwrap();
    bench.put(1, "b", Op::Update);
    bench.put(2, "a", Op::Insert);
    bench.put(2, "b", Op::Update);
    let row = bench.violate(2, "rule", 5).fingerprint;
    bench.copy.remove_all(bench.watched.id, Op::Truncate, bench.origin, Some("t"), true).unwrap();
    let of_table =
        Opening::of_table(bench.watched.id, bench.watched.layout.id, "truncated", "it was emptied", 6);
    let table = bench.copy.open_violation(&of_table).unwrap().fingerprint;
    bench.copy.commit().unwrap();
    let versions = |bench: &mut Bench, id| {
        let place = bench.place(id);
        bench.copy.history(bench.watched.id, &place, 10).unwrap().len()
    };
    assert_eq!((versions(&mut bench, 1), versions(&mut bench, 2)), (4, 3));
    // What the table had is evidence still.
    bench.copy.sign_off(&[row], &signed("dora", "fine")).unwrap();
    assert_eq!((versions(&mut bench, 1), versions(&mut bench, 2)), (4, 3));
    bench.copy.sign_off(&[table], &signed("dora", "fine")).unwrap();
    // What was kept while all versions were stays.
    assert_eq!((versions(&mut bench, 1), versions(&mut bench, 2)), (2, 0));
}

#[test]
fn rows_are_read_within_bounds() {
    let mut bench = bench(Kind::Int, true);
    let long = "x".repeat(100_000);
    bench.put(1, &long, Op::Insert);
    for name in ["a", "b", &long, &long, "c"] {
        bench.put(1, name, Op::Update);
    }
    let (watched, place) = (bench.watched.id, bench.place(1));
    let key = encode_row(&[Cell::of("1")]);
    let image = encode_row(&[Cell::of("1"), Cell::of(long.as_str())]);
    let opening = Opening {
        place: &place,
        key: &key,
        old: Some((&image, 5)),
        ..Opening::of_table(watched, bench.watched.layout.id, "rule", "it is different", 5)
    };
    let opened = bench.copy.open_violation(&opening).unwrap().fingerprint;
    bench.copy.commit().unwrap();
    let listed = bench.copy.violations(&Filter::default(), 10).unwrap().remove(0);
    assert_eq!((listed.old, listed.new, listed.left_out), (None, None, true));
    let whole = bench.copy.violation(&opened).unwrap().unwrap();
    assert_eq!((whole.old.unwrap()[1].clone(), whole.left_out), (Cell::of(long.as_str()), false));

    let mut page = |before, limit| {
        let (found, more) = bench.copy.history_before(watched, &place, before, limit, 50_000).unwrap();
        (found.iter().map(|one| one.version).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(None, 10), (vec![6, 5], true));
    assert_eq!(page(Some(5), 10), (vec![4], true));
    assert_eq!(page(Some(4), 1), (vec![3], true));
    assert_eq!(page(Some(3), 2), (vec![2, 1], false));
}

#[test]
fn days_are_counted_and_events_wait() {
    let mut bench = bench(Kind::Int, true);
    let day = 86_400_000_000;
    bench.copy.count(bench.watched.id, day - 1, |counts| counts.inserts += 1);
    bench.copy.count(bench.watched.id, day, |counts| counts.updates += 2);
    let event =
        Event::new("row.insert", "alice").id("x").time(Nanos(5)).severity(5).data("table", "accounts");
    bench.copy.tell(&event).unwrap();
    bench.copy.commit().unwrap();
    bench.copy.begin().unwrap();
    bench.copy.count(bench.watched.id, day, |counts| counts.updates += 1);
    bench.copy.commit().unwrap();
    let days = bench.copy.days(0, 1).unwrap();
    assert_eq!((days[0].counts.inserts, days[1].counts.updates, days.len()), (1, 3, 2));
    let (events, last) = bench.copy.untold(10).unwrap();
    assert_eq!(events, [event]);
    bench.copy.set_told(last).unwrap();
    assert!(bench.copy.untold(10).unwrap().0.is_empty());
}

#[test]
fn rows_follow_a_new_key() {
    let mut bench = bench(Kind::Int, true);
    for (id, name) in [(1, "2"), (2, "1"), (3, "3")] {
        bench.put(id, name, Op::Insert);
    }
    bench.put(1, "5", Op::Update);
    // Gone; by the old key it is where another row will be by the new one.
    bench.put(5, "8", Op::Insert);
    bench.remove(5);
    let violation = bench.violate(1, "different", 7).fingerprint;
    let gone = bench.violate(5, "deleted", 8).fingerprint;
    let mut table = (*accounts(Kind::Int)).clone();
    table.columns[1].kind = Kind::Int;
    table.key = vec![1];
    let table = Arc::new(table);
    assert_eq!(bench.copy.follow_keys(bench.watched.id, &table).unwrap(), 0);
    bench.watched.layout = bench.copy.set_layout(bench.watched.id, &table).unwrap();
    bench.copy.commit().unwrap();
    for (name, id, versions) in [(5, "1", 2), (1, "2", 1), (3, "3", 1)] {
        let history = bench.copy.history(bench.watched.id, &bench.place(name), 10).unwrap();
        assert_eq!((history.len(), history[0].cells.as_ref().unwrap()[0].clone()), (versions, Cell::of(id)));
    }
    assert_eq!(bench.copy.watched().unwrap()[0].rows, 3);
    // Violations and the history of what is gone have gone along.
    for (violation, name, versions) in [(violation, 5, 2), (gone, 8, 2)] {
        let found = bench.copy.violation(&violation).unwrap().unwrap();
        assert_eq!((found.watched, &found.place), (bench.watched.id, &bench.place(name)));
        assert_eq!(bench.copy.history(bench.watched.id, &found.place, 10).unwrap().len(), versions);
    }
}

#[test]
fn what_changed_is_noted_until_it_was_written() {
    let mut bench = bench(Kind::Int, true);
    let table = bench.watched.id;
    bench.copy.set_baseline(table, &Position::Wal(1), None, 1, true).unwrap();
    bench.put(1, "a", Op::Insert);
    bench.copy.commit().unwrap();
    assert_eq!(bench.copy.projected_as().unwrap(), None);
    bench.copy.note_changes(true).unwrap();
    let id = bench.copy.projected_as().unwrap();
    assert!(id.is_some() && bench.copy.behind(9).unwrap().is_empty());
    bench.copy.begin().unwrap();
    bench.copy.note_all(None).unwrap();
    bench.copy.commit().unwrap();
    let noted = bench.copy.behind(9).unwrap();
    assert_eq!((noted.len(), &noted[0].place, noted[0].since), (1, &bench.place(1), 1));

    // It changes while it is written.
    bench.copy.begin().unwrap();
    bench.put(1, "b", Op::Update);
    bench.put(2, "c", Op::Insert);
    bench.copy.caught_up(&[(noted[0].clone(), None)]).unwrap();
    bench.copy.commit().unwrap();
    let noted = bench.copy.behind(9).unwrap();
    let places: Vec<_> = noted.iter().map(|behind| behind.place.clone()).collect();
    assert_eq!(places, [bench.place(1), bench.place(2)], "the longest waiting first");
    let all: Vec<_> = noted.into_iter().map(|behind| (behind, None)).collect();
    bench.copy.begin().unwrap();
    bench.copy.caught_up(&all).unwrap();
    // What was not committed was not noted.
    bench.remove(2);
    bench.copy.roll_back().unwrap();
    bench.copy.begin().unwrap();
    bench.copy.caught_up(&all).unwrap();
    bench.copy.commit().unwrap();
    assert_eq!(bench.copy.behind(9).unwrap(), []);

    // A deletion, a violation and its sign-off, by whichever process.
    bench.copy.begin().unwrap();
    bench.remove(2);
    let opened = bench.violate(1, "r", 5);
    bench.copy.commit().unwrap();
    let noted = bench.copy.behind(9).unwrap();
    assert_eq!(noted.len(), 2);
    let (two, one) = (bench.place(2), bench.place(1));
    assert_eq!(bench.copy.versions_from(table, &two, 1, 9).unwrap().len(), 2);
    assert!(bench.copy.versions_from(table, &two, 2, 9).unwrap()[0].is_end());
    assert_eq!(bench.copy.last_image(table, &two).unwrap().map(|version| version.version), Some(1));
    assert_eq!(bench.copy.violations_of(table, &one).unwrap().len(), 1);
    bench.copy.begin().unwrap();
    bench.copy.caught_up(&noted.into_iter().map(|behind| (behind, None)).collect::<Vec<_>>()).unwrap();
    bench.copy.commit().unwrap();
    let mut other = Copy::open(bench.copy.path()).unwrap();
    let signed = Signed { by: "ada".to_owned(), from: "-".to_owned(), why: "x".to_owned(), at: 1 };
    other.sign_off(&[opened.fingerprint], &signed).unwrap();
    let noted = bench.copy.behind(9).unwrap();
    assert_eq!(noted.iter().map(|behind| &behind.place).collect::<Vec<_>>(), [&one]);

    bench.copy.note_changes(true).unwrap();
    assert_eq!(bench.copy.projected_as().unwrap(), id, "nothing changes when it is said again");
    bench.copy.note_changes(false).unwrap();
    assert_eq!(bench.copy.behind(9).unwrap(), []);
}

#[test]
fn a_fingerprint_may_be_shortened() {
    let mut bench = bench(Kind::Int, true);
    bench.put(1, "a", Op::Insert);
    let one = bench.violate(1, "r", 5).fingerprint;
    let other = bench.violate(1, "s", 6).fingerprint;
    assert_eq!(bench.copy.fingerprints_like(&one, 9).unwrap(), std::slice::from_ref(&one));
    let common = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    assert_eq!(bench.copy.fingerprints_like(&one[..=common], 9).unwrap(), std::slice::from_ref(&one));
    for none in ["", "%", "g", "zz", &format!("{one}0")] {
        assert_eq!(bench.copy.fingerprints_like(none, 9).unwrap(), Vec::<String>::new(), "{none}");
    }
    let filter = Filter { rule: Some("s".to_owned()), until: Some(7), ..Filter::default() };
    assert_eq!(bench.copy.fingerprints(&filter, 9).unwrap(), std::slice::from_ref(&other));
    let mut both = bench.copy.fingerprints(&Filter::default(), 9).unwrap();
    both.sort();
    let mut expected = vec![one, other];
    expected.sort();
    assert_eq!(both, expected);
    assert_eq!(bench.copy.fingerprints(&Filter::default(), 1).unwrap().len(), 1);
}
