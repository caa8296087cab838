//! What the stream changed while the database was being looked at.
//!
//! A look at a part of a table begins at one position of the stream and ends at another; what it shows is the table at some commit in
//! between. The window keeps the hashes of the rows that changed since the oldest look that is still to be judged began, so
//! that the copy, which has gone on since, can be taken back commit by commit. It keeps only those that are looked at.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use crate::cell::RowHash;
use crate::change::Position;
use crate::copy::{Place, Span};

/// How many changes are remembered at most, some 150 bytes each. With more, the looks that are under way are done again.
pub(super) const CHANGES_MAX: usize = 500_000;

/// A change of a row.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) watched: i64,
    pub(super) place: Place,
    pub(super) before: Option<RowHash>,
}

#[derive(Debug)]
struct Entry {
    /// The commit, counted from the beginning of the window.
    commit: u64,
    changed: Changed,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Window {
    /// The table and the parts of it that are looked at, in the order of their places.
    looked_at: Option<(i64, Vec<Span>)>,
    /// Goes up whenever something was not remembered: a look that began before can tell nothing.
    generation: u64,
    commits: u64,
    ends: VecDeque<(u64, Position)>,
    entries: VecDeque<Entry>,
    /// [`CHANGES_MAX`], or less in a test.
    pub(super) most: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            looked_at: None,
            generation: 0,
            commits: 0,
            ends: VecDeque::new(),
            entries: VecDeque::new(),
            most: CHANGES_MAX,
        }
    }
}

impl Window {
    /// Remembers from now on what changes in parts of a table, given in the order of their places, and says under which generation. What
    /// was remembered of others is forgotten.
    pub(super) fn open(&mut self, watched: i64, spans: Vec<Span>) -> u64 {
        let looked_at = Some((watched, spans));
        if self.looked_at != looked_at {
            self.forget();
            self.looked_at = looked_at;
        }
        self.generation
    }

    /// Whether somebody looks.
    pub(super) fn is_open(&self) -> bool {
        self.looked_at.is_some()
    }

    /// Nobody looks any more.
    pub(super) fn close(&mut self) {
        self.looked_at = None;
        self.entries.clear();
        self.ends.clear();
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation that looks from now on are of: what was remembered is worth nothing.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.ends.clear();
        self.generation += 1;
    }

    /// A transaction was applied, which ends at a position.
    pub(super) fn push(&mut self, changes: impl IntoIterator<Item = Changed>, end: &Position) {
        let Some((watched, spans)) = &self.looked_at else { return };
        let looked_at = |changed: &Changed| {
            let after = spans.partition_point(|span| span.from <= changed.place);
            let span = after.checked_sub(1).and_then(|at| spans.get(at));
            changed.watched == *watched && span.is_some_and(|span| span.holds(&changed.place))
        };
        self.commits += 1;
        let commit = self.commits;
        let before = self.entries.len();
        self.entries.extend(changes.into_iter().filter(looked_at).map(|changed| Entry { commit, changed }));
        if self.entries.len() > before {
            self.ends.push_back((commit, end.clone()));
        }
        if self.entries.len() > self.most {
            self.forget();
        }
    }

    /// Forgets what ended at or before a position: all looks that are still to be judged began there or later.
    pub(super) fn forget_until(&mut self, position: &Position) {
        while self.ends.front().is_some_and(|(_, end)| end <= position) {
            let Some((commit, _)) = self.ends.pop_front() else { break };
            while self.entries.front().is_some_and(|entry| entry.commit <= commit) {
                self.entries.pop_front();
            }
        }
    }

    /// The changes of a part of a table since a position, the newest first, each with its commit.
    pub(super) fn since<'a>(
        &'a self,
        watched: i64,
        span: &'a Span,
        position: &Position,
    ) -> impl Iterator<Item = (u64, &'a Changed)> + 'a {
        let first = self
            .ends
            .iter()
            .find(|(_, end)| end.partial_cmp(position).is_none_or(Ordering::is_gt))
            .map_or(u64::MAX, |(commit, _)| *commit);
        self.entries
            .iter()
            .rev()
            .take_while(move |entry| entry.commit >= first)
            .filter(move |entry| entry.changed.watched == watched && span.holds(&entry.changed.place))
            .map(|entry| (entry.commit, &entry.changed))
    }

    /// What each row of a part was since a position, apart from what it is now.
    pub(super) fn earlier<'a>(
        &'a self,
        watched: i64,
        span: &'a Span,
        position: &Position,
    ) -> HashMap<&'a [u8], Vec<Option<RowHash>>> {
        let mut earlier: HashMap<&[u8], Vec<Option<RowHash>>> = HashMap::new();
        for (_, changed) in self.since(watched, span, position) {
            earlier.entry(&changed.place).or_default().push(changed.before);
        }
        earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_can_be_taken_back() {
        let changed = |place: u8, before: Option<u8>| Changed {
            watched: 1,
            place: vec![place],
            before: before.map(|byte| [byte; 32]),
        };
        let mut window = Window::default();
        window.push([changed(0, None)], &Position::Wal(1));
        let generation = window.open(1, vec![Span { from: Vec::new(), to: None }]);
        window.push([changed(1, None), changed(2, Some(5))], &Position::Wal(10));
        window.push([changed(1, Some(1))], &Position::Wal(20));
        window.push([], &Position::Wal(25));
        window.push([changed(9, None)], &Position::Wal(30));
        let span = Span { from: vec![1], to: Some(vec![9]) };
        for (position, expected) in [(0, 3), (9, 3), (10, 1), (19, 1), (20, 0), (99, 0)] {
            assert_eq!(window.since(1, &span, &Position::Wal(position)).count(), expected, "{position}");
        }
        assert_eq!(window.since(2, &span, &Position::Wal(0)).count(), 0);
        assert_eq!(window.earlier(1, &span, &Position::Wal(0))[&[1][..]], [Some([1; 32]), None]);
        window.forget_until(&Position::Wal(10));
        assert_eq!(window.since(1, &span, &Position::Wal(0)).count(), 1);
        assert_eq!(window.generation(), generation);
        window.forget();
        assert_ne!(window.generation(), generation);
    }

    #[test]
    fn only_what_is_looked_at_is_remembered() {
        let changed = |watched: i64, place: u8| Changed { watched, place: vec![place], before: None };
        let span = |from: u8, to: u8| Span { from: vec![from], to: Some(vec![to]) };
        let whole = Span { from: Vec::new(), to: None };
        let mut window = Window { most: 3, ..Window::default() };
        let generation = window.open(1, vec![span(2, 4), span(7, 8)]);
        window.push((0..10).map(|place| changed(1, place)), &Position::Wal(10));
        window.push((0..10).map(|place| changed(2, place)), &Position::Wal(20));
        let places: Vec<u8> =
            window.since(1, &whole, &Position::Wal(0)).map(|(_, changed)| changed.place[0]).collect();
        assert_eq!((places, window.generation()), (vec![7, 3, 2], generation));
        assert_eq!(window.open(1, vec![span(2, 4), span(7, 8)]), generation);
        window.push([changed(1, 2)], &Position::Wal(30));
        assert_ne!(window.generation(), generation);
        assert_eq!(window.since(1, &whole, &Position::Wal(0)).count(), 0);
        let other = window.open(1, vec![whole.clone()]);
        window.push([changed(1, 2)], &Position::Wal(40));
        assert_ne!(window.open(2, vec![whole.clone()]), other);
        assert_eq!(window.since(1, &whole, &Position::Wal(0)).count(), 0);
    }
}
