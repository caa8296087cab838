//! XA: what is prepared waits until it is committed, and is read again by whoever takes the log up later.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::super::super::event::{self, Header};
use super::super::Decoder;
use super::{Changed, Group};
use crate::change::{Position, Prepared, Step};
use crate::table::Name;

/// What XA transactions that are not committed may have changed, all together, in bytes: they wait in memory.
pub(in super::super) const PREPARED_BYTES: usize = 256 << 20;

/// An XA transaction that waits to be committed.
pub(in super::super) struct Waiting {
    changed: Changed,
    comment: Option<String>,
    /// Before it.
    since: Position,
    tables: BTreeSet<Name>,
}

impl Waiting {
    /// One that changed nothing that is watched.
    pub(super) fn of_others(since: Position, tables: BTreeSet<Name>) -> Waiting {
        Waiting { changed: Changed::default(), comment: None, since, tables }
    }

    /// Of the rows that wait in memory.
    pub(super) fn bytes(&self) -> usize {
        self.changed.bytes
    }

    pub(super) fn is_of_others(&self) -> bool {
        self.changed.changes.is_empty() && !self.changed.too_much
    }
}

impl Decoder {
    /// What was prepared when the log was given up to where it begins: of the tables that are set, it is read again.
    pub(in crate::mysql) fn look_back(&mut self, prepared: &[Prepared]) {
        for one in prepared {
            if !one.tables.iter().any(|name| self.tables.contains_key(name)) {
                let tables = one.tables.clone();
                self.prepared.insert(one.number.clone(), Waiting::of_others(one.since.clone(), tables));
            } else if one.since < self.given {
                self.back.push(one.since.clone());
            }
        }
        self.back.sort_by(|one, other| other.partial_cmp(one).unwrap_or(Ordering::Equal));
        self.begin_back();
    }

    /// It cannot be read as far back as it was begun; perhaps from a later place.
    pub(in crate::mysql) fn look_less_far_back(&mut self) {
        let here = self.position();
        self.back.retain(|since| *since > here);
        self.prepared.retain(|_, waiting| waiting.is_of_others());
        self.begin_back();
    }

    fn begin_back(&mut self) {
        if let Position::Binlog { file, at } = self.back.last().unwrap_or(&self.given) {
            self.resume = (file.clone(), *at);
        }
    }

    /// A table is going to be changed.
    pub(in super::super) fn touch(&mut self, name: &Name) {
        if let Some(group) =
            self.group.as_mut().filter(|group| group.prepares && !group.tables.contains(name))
        {
            group.tables.insert(name.clone());
        }
    }

    pub(super) fn xa_commit(&mut self, header: &Header, number: &str) {
        match self.prepared.remove(number) {
            Some(waiting) if !waiting.changed.too_much => {
                if let Some(group) = &mut self.group {
                    group.changed = waiting.changed;
                    group.comment = waiting.comment;
                }
                self.commit();
            }
            Some(_) => self.give_gap(header, number, &self.too_much()),
            None => self.give_gap(
                header,
                number,
                "was prepared before the log was taken up, and nobody knows of which tables",
            ),
        }
        self.give_prepared();
    }

    pub(in super::super) fn prepare(&mut self, header: &Header, body: &[u8]) -> Option<()> {
        let (one_phase, number) = event::xa_prepare(body)?;
        let too_much = self.group.as_ref().is_some_and(|group| group.changed.too_much);
        match (one_phase, too_much) {
            (true, true) => self.give_gap(header, &number, &self.too_much()),
            (true, false) => self.commit(),
            (false, _) => {
                if let Some(Group { changed, comment, tables, .. }) = self.group.take() {
                    let since = self.position();
                    self.prepared.insert(number, Waiting { changed, comment, since, tables });
                    self.give_prepared();
                }
            }
        }
        Some(())
    }

    /// What waits to be committed, at the end of a group.
    pub(super) fn give_prepared(&mut self) {
        let waiting = self.prepared.iter();
        let mut prepared: Vec<Prepared> = waiting
            .map(|(number, Waiting { since, tables, .. })| Prepared {
                number: number.clone(),
                since: since.clone(),
                tables: tables.clone(),
            })
            .collect();
        prepared.sort_by(|one, other| one.number.cmp(&other.number));
        self.give(Step::Prepared { position: self.here(), prepared });
    }

    /// An XA transaction is committed of which it is not known what it changed.
    fn give_gap(&mut self, header: &Header, number: &str, why: &str) {
        let time = self.group.take().map_or(header.nanos(), |group| group.time);
        let reason = format!("the XA transaction {number} {why}: what it changed is not known");
        self.give(Step::Gap { position: self.here(), time, reason });
    }

    fn too_much(&self) -> String {
        format!("was larger than is kept ({} MiB for all that wait)", self.prepared_most >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::event::kind;
    use super::super::super::sample::{decoder, decoder_at, event, format, gtid, map, query, rows};
    use super::super::PART_CHANGES;
    use super::*;

    /// A MySQL says only by `XA START` that a group is prepared, and by `XA COMMIT` when it counts.
    #[test]
    fn what_is_prepared_waits_whole_and_within_bounds() {
        let prepare = |one_phase: u8| {
            let body = [&[one_phase, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], b"q"].concat();
            event(kind::XA_PREPARE, 900, &body)
        };
        let begun = |most: usize| {
            let mut decoder = decoder();
            decoder.prepared_most = most;
            decoder.event(&format()).unwrap();
            for one in [gtid(), query("XA START X'71',X'',1"), map()] {
                decoder.event(&one).unwrap();
            }
            for _ in 0..=PART_CHANGES {
                decoder.event(&rows()).unwrap();
            }
            assert!(decoder.step().is_none());
            decoder
        };
        let counted = |decoder: &mut Decoder| {
            let steps = std::iter::from_fn(|| decoder.step());
            let mut given = steps.filter(|step| !matches!(step, Step::Prepared { .. }));
            match (given.next(), given.next()) {
                (Some(Step::Transaction(transaction)), None) => {
                    (transaction.first, transaction.changes.len(), transaction.ends.is_some())
                }
                other => panic!("{other:?}"),
            }
        };
        let whole = (0, PART_CHANGES + 1, true);
        let mut decoder = begun(PREPARED_BYTES);
        for one in [query("XA END X'71',X'',1"), prepare(0)] {
            decoder.event(&one).unwrap();
        }
        assert!(matches!(decoder.step(), Some(Step::Prepared { .. })) && decoder.step().is_none());
        for one in [gtid(), query("XA COMMIT X'71',X'',1")] {
            decoder.event(&one).unwrap();
        }
        assert_eq!(counted(&mut decoder), whole);
        let mut decoder = begun(PREPARED_BYTES);
        decoder.event(&prepare(1)).unwrap();
        assert_eq!(counted(&mut decoder), whole);

        for ends in [vec![prepare(0), gtid(), query("XA COMMIT X'71',X'',1")], vec![prepare(1)]] {
            let mut decoder = begun(100_000);
            ends.iter().for_each(|one| decoder.event(one).unwrap());
            let steps = std::iter::from_fn(|| decoder.step());
            let gaps: Vec<String> = steps
                .filter_map(|step| match step {
                    Step::Gap { reason, .. } => Some(reason),
                    Step::Prepared { .. } => None,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(gaps.len() == 1 && gaps[0].contains("larger than is kept"), "{gaps:?}");
        }
    }

    /// What a log says of XA, and what is said of it again by one that takes it up later.
    #[test]
    fn what_is_prepared_is_read_again() {
        let at = |end: u32, one: Vec<u8>| event(one[4], end, &one[19..one.len() - 4]);
        let prepare = |end: u32, number: u8| {
            let body = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, number];
            event(kind::XA_PREPARE, end, &body)
        };
        let changes = |end: u32| vec![at(end - 30, map()), at(end - 20, rows())];
        let group = |end: u32, first: &str, changes: Vec<Vec<u8>>, last: Vec<Vec<u8>>| {
            [vec![at(end - 50, gtid()), at(end - 40, query(first))], changes, last].concat()
        };
        let before = [
            vec![format()],
            group(200, "XA START X'71',X'',1", changes(200), vec![prepare(200, b'q')]),
            group(300, "XA START X'72',X'',1", Vec::new(), vec![prepare(300, b'r')]),
            group(400, "BEGIN", changes(400), vec![event(kind::XID, 400, &[0; 8])]),
        ]
        .concat();
        let after = [
            group(500, "XA COMMIT X'71',X'',1", Vec::new(), Vec::new()),
            group(600, "XA COMMIT X'72',X'',1", Vec::new(), Vec::new()),
            group(700, "XA COMMIT X'73',X'',1", Vec::new(), Vec::new()),
        ]
        .concat();
        let mut prepared = Vec::new();
        let mut said = |decoder: &mut Decoder, events: &[Vec<u8>]| {
            events.iter().for_each(|one| decoder.event(one).unwrap());
            let mut said = Vec::new();
            while let Some(step) = decoder.step() {
                said.push(match step {
                    Step::Transaction(one) => format!("{} to {}", one.changes.len(), one.ends.unwrap()),
                    Step::Gap { position, reason, .. } => format!("{reason} at {position}"),
                    Step::Prepared { prepared: now, .. } => {
                        prepared = now;
                        continue;
                    }
                    other => panic!("{other:?}"),
                });
            }
            (said, prepared.clone())
        };
        let gap = |number: u8, end: u32| {
            format!(
                "the XA transaction X'{number}',X'',1 was prepared before the log was taken up, and nobody knows of which tables: \
                 what it changed is not known at binlog.000001:{end}"
            )
        };
        let (transaction, all) = said(&mut decoder(), &before);
        assert_eq!(transaction, ["1 to binlog.000001:400"]);
        let since = |number: &str, since: &str, tables: &[Name]| Prepared {
            number: format!("X'{number}',X'',1"),
            since: since.parse().unwrap(),
            tables: tables.iter().cloned().collect(),
        };
        let name = Name { schema: "bank".to_owned(), table: "a".to_owned() };
        assert_eq!(all, [since("71", "binlog.000001:100", &[name]), since("72", "binlog.000001:200", &[])]);

        let mut again = decoder_at(400, &all);
        assert_eq!(again.looks_back(), Some(("binlog.000001".to_owned(), 400)));
        assert_eq!(again.resume(), ("binlog.000001".to_owned(), 100));
        let (told, left) = said(&mut again, &[before, after.clone()].concat());
        assert_eq!(told, ["1 to binlog.000001:460".to_owned(), gap(73, 660)]);
        assert_eq!(left, []);

        // The log is gone that far back.
        let mut again = decoder_at(400, &all);
        again.look_less_far_back();
        assert_eq!(again.looks_back(), None);
        assert_eq!(again.resume(), ("binlog.000001".to_owned(), 400));
        assert_eq!(said(&mut again, &after).0, [gap(71, 460), gap(73, 660)]);
    }
}
