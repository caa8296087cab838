//! What own rules remember of each group, and when that is enough.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::group::Group;
use crate::limits::{EVIDENCE_MAX, GROUPS_MAX, SEEN_MAX};
use crate::steps::Place;

/// An event that counts, and when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark(pub(crate) i64, pub(crate) Place);

/// What is remembered of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// When the rule came into force; 0: not yet.
    pub(crate) began: i64,
    #[serde(with = "pairs")]
    pub(crate) groups: BTreeMap<Group, Window>,
}

/// What is remembered of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// When something of it came last.
    pub(crate) last: i64,
    /// The newest events that count, in order; of a sequence those of each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<VecDeque<Mark>>,
    /// Of a sequence: when each step that is complete began, and the event that completed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) done: Vec<Option<i64>>,
    /// Different values, and when each came last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) values: BTreeMap<String, Mark>,
    /// When it must be heard of; 0: when it comes, it comes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) deadline: i64,
    /// It was not heard of when it should have been, and not since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) missed: bool,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Enough was seen.
pub(crate) struct Enough {
    pub(crate) events: u64,
    pub(crate) evidence: Vec<Place>,
}

impl Enough {
    fn of<'a>(events: usize, marks: impl DoubleEndedIterator<Item = &'a Mark>) -> Enough {
        let mut evidence: Vec<Place> = marks.rev().take(EVIDENCE_MAX).map(|mark| mark.1).collect();
        evidence.reverse();
        Enough { events: events as u64, evidence }
    }
}

impl Window {
    /// One more event; enough when there are `count` within the time.
    pub(crate) fn threshold(&mut self, mark: Mark, count: u32, within: i64) -> Option<Enough> {
        self.last = mark.0;
        if self.marks.is_empty() {
            self.marks.push(VecDeque::new());
        }
        let marks = self.marks.first_mut()?;
        push(marks, mark, count, within);
        (marks.len() == count as usize).then(|| {
            let enough = Enough::of(marks.len(), marks.iter());
            marks.clear();
            enough
        })
    }

    /// One more value; enough when `count` different ones came within the time.
    pub(crate) fn distinct(&mut self, mark: Mark, value: &str, count: u32, within: i64) -> Option<Enough> {
        self.last = mark.0;
        self.values.retain(|_, known| known.0 > mark.0 - within);
        self.values.insert(crate::group::bounded(value), mark);
        (self.values.len() == count as usize).then(|| {
            let mut marks: Vec<Mark> = self.values.values().copied().collect();
            marks.sort_by_key(|mark| mark.0);
            self.values.clear();
            Enough::of(marks.len(), marks.iter())
        })
    }

    /// An event that may be one of several steps; enough when the last step is complete. `counts` are the steps', `fits` says for each
    /// whether the event is one of it.
    pub(crate) fn sequence(
        &mut self,
        mark: Mark,
        counts: &[u32],
        fits: &[bool],
        within: i64,
    ) -> Option<Enough> {
        self.last = mark.0;
        self.marks.resize(counts.len(), VecDeque::new());
        self.done.resize(counts.len(), None);
        // The last step first: no event completes two of them.
        for step in (0..counts.len()).rev().filter(|step| fits.get(*step) == Some(&true)) {
            let begun = match step.checked_sub(1) {
                None => None,
                Some(before) => match self.done.get(before).copied().flatten() {
                    Some(begun) if mark.0 - begun <= within => Some(begun),
                    _ => continue,
                },
            };
            let (Some(marks), Some(&count)) = (self.marks.get_mut(step), counts.get(step)) else { continue };
            if let Some(begun) = begun {
                // What came before the step before was complete belongs to another attempt.
                marks.retain(|known| known.0 >= begun);
            }
            push(marks, mark, count, within);
            if marks.len() < count as usize {
                continue;
            }
            let begun = begun.or(marks.front().map(|mark| mark.0));
            if step + 1 == counts.len() {
                let marks: Vec<Mark> = self.marks.iter().flatten().copied().collect();
                let enough = Enough::of(marks.len(), marks.iter());
                self.marks.iter_mut().for_each(VecDeque::clear);
                self.done.iter_mut().for_each(|done| *done = None);
                return Some(enough);
            }
            if let Some(done) = self.done.get_mut(step) {
                *done = begun;
            }
        }
        None
    }
}

/// Keeps the newest `count` within the time.
fn push(marks: &mut VecDeque<Mark>, mark: Mark, count: u32, within: i64) {
    while marks.front().is_some_and(|first| mark.0 - first.0 > within || marks.len() >= count as usize) {
        marks.pop_front();
    }
    marks.push_back(mark);
}

impl Memory {
    /// The window of a group, and how many groups went to make room for it.
    pub(crate) fn window(&mut self, group: &Group, most: Most) -> (&mut Window, usize) {
        let mut dropped = 0;
        if self.groups.len() >= most.0 && !self.groups.contains_key(group) {
            dropped = self.make_room(most.0);
        }
        (self.groups.entry(group.clone()).or_default(), dropped)
    }

    fn make_room(&mut self, most: usize) -> usize {
        let mut oldest: Vec<(i64, Group)> =
            self.groups.iter().map(|(group, window)| (window.last, group.clone())).collect();
        oldest.sort();
        let gone = (most / 10).max(1);
        for (_, group) in oldest.into_iter().take(gone) {
            self.groups.remove(&group);
        }
        gone
    }

    /// Forgets groups of which nothing came since `before`.
    pub(crate) fn forget(&mut self, before: i64) {
        self.groups.retain(|_, window| window.last >= before);
    }
}

/// How many groups a rule may follow.
#[derive(Clone, Copy)]
pub(crate) struct Most(usize);

impl Most {
    pub(crate) const GROUPS: Most = Most(GROUPS_MAX);
    pub(crate) const SEEN: Most = Most(SEEN_MAX);
}

/// A map with keys that are no strings, as a list.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter())
    }

    pub(crate) fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: i64) -> Mark {
        Mark(at, Place { ledger: 0, index: at as u64 })
    }

    #[test]
    fn thresholds_are_told_at_the_event_that_reaches_them() {
        for (times, expected) in [
            (&[0, 1, 2][..], vec![2]),
            (&[0, 5, 11], vec![]),
            (&[0, 5, 10], vec![10]),
            (&[0, 5, 11, 12], vec![12]),
            // It begins anew.
            (&[0, 1, 2, 3, 4], vec![2]),
            (&[0, 1, 2, 3, 4, 5], vec![2, 5]),
        ] {
            let mut window = Window::default();
            let told = times.iter().filter(|at| window.threshold(mark(**at), 3, 10).is_some()).copied();
            assert_eq!(told.collect::<Vec<_>>(), expected, "{times:?}");
        }
    }

    #[test]
    fn values_count_once() {
        let mut window = Window::default();
        for (at, value, enough) in [
            (0, "a", false),
            (1, "a", false),
            (2, "b", false),
            (12, "c", false),
            (13, "d", false),
            (14, "e", true),
        ] {
            let found = window.distinct(mark(at), value, 3, 10);
            assert_eq!(found.is_some(), enough, "{at} {value}");
        }
    }

    #[test]
    fn a_sequence_keeps_its_order_and_its_time() {
        // Letters are the steps that an event fits, `.` none; the time is the place.
        for (events, counts, expected) in [
            ("aab", &[2, 1][..], Some(2)),
            ("ab", &[2, 1], None),
            ("baa", &[2, 1], None),
            ("baab", &[2, 1], Some(3)),
            ("abc", &[1, 1, 1], Some(2)),
            ("acb", &[1, 1, 1], None),
            ("a..........b", &[1, 1], None),
            ("a.........b", &[1, 1], Some(10)),
            ("aa.........aab", &[2, 1], Some(13)),
            ("abb", &[1, 2], Some(2)),
            ("bab", &[1, 2], None),
        ] {
            let mut window = Window::default();
            let mut found = None;
            for (at, letter) in events.chars().enumerate() {
                let fits: Vec<bool> = "abc".chars().map(|step| step == letter).collect();
                if window.sequence(mark(at as i64), counts, &fits, 10).is_some() {
                    found = found.or(Some(at));
                }
            }
            assert_eq!(found, expected, "{events} {counts:?}");
        }
        // An event that fits both steps is one of them only.
        let mut window = Window::default();
        assert!(window.sequence(mark(0), &[1, 1], &[true, true], 10).is_none());
        assert!(window.sequence(mark(1), &[1, 1], &[true, true], 10).is_some());
    }

    #[test]
    fn the_longest_unused_groups_go() {
        let mut memory = Memory::default();
        for nth in 0..GROUPS_MAX {
            memory.window(&Group(vec![nth.to_string()]), Most::GROUPS).0.last = nth as i64;
        }
        let (_, dropped) = memory.window(&Group(vec!["new".to_owned()]), Most::GROUPS);
        assert_eq!((dropped, memory.groups.len()), (GROUPS_MAX / 10, GROUPS_MAX - GROUPS_MAX / 10 + 1));
        assert!(!memory.groups.contains_key(&Group(vec!["0".to_owned()])));
        assert!(memory.groups.contains_key(&Group(vec![(GROUPS_MAX - 1).to_string()])));
    }
}
