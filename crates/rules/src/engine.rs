//! Entries in, steps of alerts out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attestry_event::{Entry, Field, Nanos, RESERVED_SOURCE};
use attestry_store::Row;
use serde_json::Value;

use crate::alerts::{Alerts, Hit, Of};
use crate::due::Due;
use crate::group::{Group, bounded};
use crate::history::Heard;
use crate::load::Rules;
use crate::message::cut;
use crate::own::{Looks, Own, Seen};
use crate::path::Path;
use crate::sigma::{Correlations, View};
use crate::steps::{Place, Step, gap};
use crate::windows::{Enough, Mark, Memory, Most, Window};

const SECOND: i64 = 1_000_000_000;

/// How often what is too old to matter is forgotten, on the log's time.
const FORGET_EVERY: i64 = 600 * SECOND;

/// A group that is waited for and was not heard of for so long is not waited for any more.
const ABSENT_FORGOTTEN: i64 = 90 * 86_400 * SECOND;

/// What came of an entry.
#[derive(Debug, Default)]
pub struct Fed {
    /// In the order in which they are to be recorded.
    pub steps: Vec<Step>,
}

/// Follows entries by rules.
pub struct Engine {
    pub(crate) rules: Arc<Rules>,
    pub(crate) memories: Vec<Memory>,
    pub(crate) correlations: Correlations,
    pub(crate) alerts: Alerts,
    /// The newest `received_at`.
    pub(crate) time: i64,
    pub(crate) forgotten_at: i64,
    /// When something is due of which rule and group; at most one for each.
    pub(crate) awaited: BTreeSet<(i64, usize, Group)>,
    pub(crate) cursors: BTreeMap<String, u64>,
    pub(crate) heard: Heard,
    failures: Vec<u64>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(rules: Arc<Rules>) -> Engine {
        let memories = vec![Memory::default(); rules.own.len()];
        let failures = vec![0; rules.own.len()];
        let correlations = Correlations::new(&rules.correlations);
        Engine {
            rules,
            memories,
            correlations,
            alerts: Alerts::default(),
            time: 0,
            forgotten_at: 0,
            awaited: BTreeSet::new(),
            cursors: BTreeMap::new(),
            heard: Heard::default(),
            failures,
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The index after the newest entry of each ledger that was fed.
    pub fn cursors(&self) -> &BTreeMap<String, u64> {
        &self.cursors
    }

    /// Where to go on in a ledger, when nothing of it was fed yet.
    pub fn begin_at(&mut self, ledger: &str, index: u64) {
        self.cursors.entry(ledger.to_owned()).or_insert(index);
    }

    /// How often a rule's VRL program failed on an event, by rule; those that never did are left out.
    pub fn failures(&self) -> impl Iterator<Item = (&str, u64)> {
        let infos = self.rules.infos.iter().zip(&self.failures);
        infos.filter(|(_, failures)| **failures > 0).map(|(info, failures)| (info.id.as_str(), *failures))
    }

    /// How many alerts are open or silenced.
    pub fn alerts(&self) -> usize {
        self.alerts.known.len()
    }

    /// Takes an entry, as its bytes are in the ledger. Entries come in the order of (`received_at`, ledger, index). What is no entry of a
    /// version that is read here moves the cursor, and nothing else.
    pub fn feed(&mut self, ledger: &str, index: u64, bytes: &[u8]) -> Fed {
        let mut steps = Vec::new();
        match self.cursors.get_mut(ledger) {
            Some(cursor) => *cursor = index + 1,
            None => drop(self.cursors.insert(ledger.to_owned(), index + 1)),
        }
        let Ok(entry) = Entry::parse(bytes) else { return Fed { steps } };
        self.advance(entry.received_at(), &mut steps);
        let name = entry.event_name();
        if name.starts_with("alert.") || name.starts_with("notice.") {
            // Rules never see them: an alert about an alert would have no end.
            self.people(&entry, &name);
            return Fed { steps };
        }
        let rules = Arc::clone(&self.rules);
        let place = Place { ledger: self.alerts.ledger(ledger), index };
        let seen = Seen { row: Row { ledger, index, entry: &entry, value_of: None }, bytes };
        let is_history = self.heard.is_history(&entry, self.time);
        let named = rules.by_name.get(&*name).map(Vec::as_slice).unwrap_or_default();
        for number in named.iter().chain(&rules.any_name) {
            // From history it is only learned what is usual.
            let learns = rules.own.get(*number).is_some_and(Own::learns);
            if learns || !is_history {
                self.own(*number, &seen, place, &mut steps);
            }
        }
        if !is_history && !rules.detections.is_empty() {
            self.sigma(&rules, &entry, place, ledger, &mut steps);
        }
        Fed { steps }
    }

    /// Lets the log's time go on: what was due until then happens.
    pub fn advance(&mut self, to: Nanos, steps: &mut Vec<Step>) {
        let to = to.0.max(self.time);
        let rules = Arc::clone(&self.rules);
        if self.time == 0 || self.memories.iter().any(|memory| memory.began == 0) {
            self.begin(&rules, to);
        }
        loop {
            let awaited = self.awaited.first().map(|(at, ..)| *at);
            let due = self.alerts.next_due();
            let next = [awaited, due].into_iter().flatten().min().filter(|at| *at <= to);
            let Some(next) = next else { break };
            self.time = self.time.max(next);
            if awaited == Some(next) {
                if let Some((at, number, group)) = self.awaited.pop_first() {
                    self.awaited_now(&rules, at, number, group, steps);
                }
            } else if let Some((at, key)) = self.alerts.pop_due(next) {
                let Some(of) = of(&rules, key.0) else { continue };
                self.alerts.look(of, &key, at, steps);
            }
        }
        self.time = to;
        if to - self.forgotten_at >= FORGET_EVERY {
            self.forgotten_at = to;
            self.forget(&rules, to);
        }
    }

    /// Notes when each rule came into force, and what is waited for from then on.
    fn begin(&mut self, rules: &Rules, now: i64) {
        for (number, own) in rules.own.iter().enumerate() {
            let Some(memory) = self.memories.get_mut(number).filter(|memory| memory.began == 0) else {
                continue;
            };
            memory.began = now;
            let Looks::Absence { due, expect, .. } = &own.looks else { continue };
            let groups = match own.by.is_empty() {
                true => vec![Group::default()],
                false => expect.iter().map(|values| Group(values.clone())).collect(),
            };
            for group in groups {
                let (window, _) = memory.window(&group, Most::GROUPS);
                window.last = now;
                wait(&mut self.awaited, due, number, &group, window);
            }
        }
    }

    fn forget(&mut self, rules: &Rules, now: i64) {
        for (own, memory) in rules.own.iter().zip(&mut self.memories) {
            let kept = match &own.looks {
                Looks::Match(_) => continue,
                Looks::Threshold { within, .. }
                | Looks::Distinct { within, .. }
                | Looks::Sequence { within, .. } => *within,
                Looks::FirstSeen { forget, .. } => *forget,
                // When its time has come, below.
                Looks::Absence { .. } => continue,
            };
            memory.forget(now.saturating_sub(kept));
        }
        self.correlations.forget(now / SECOND);
    }

    /// The time has come by which a group should have been heard.
    fn awaited_now(&mut self, rules: &Rules, at: i64, number: usize, group: Group, steps: &mut Vec<Step>) {
        let (Some(own), Some(of), Some(memory)) =
            (rules.own.get(number), of(rules, number), self.memories.get_mut(number))
        else {
            return;
        };
        let Looks::Absence { due, .. } = &own.looks else { return };
        let Some(window) = memory.groups.get_mut(&group) else { return };
        let heard = match due {
            Due::Every(every) => window.last.saturating_add(*every) > at,
            Due::Schedule { within, .. } => window.last >= at - within,
        };
        let last = window.last;
        window.deadline = 0;
        window.missed = !heard;
        match due {
            _ if at.saturating_sub(last) > ABSENT_FORGOTTEN => {
                memory.groups.remove(&group);
                self.alerts.over(of, &group, at, "not waited for any more", None, steps);
                return;
            }
            Due::Every(every) => {
                let next =
                    if heard { last.saturating_add(*every) } else { at.saturating_add(ABSENT_FORGOTTEN) };
                stand(&mut self.awaited, number, &group, window, next);
            }
            Due::Schedule { within, .. } => {
                if let Some(next) = due.deadline(Nanos(at - within)) {
                    stand(&mut self.awaited, number, &group, window, next.0);
                }
            }
        }
        if heard {
            return;
        }
        let message = match &own.message {
            Some(template) => template.fill(None, &own.by, &group, 0),
            None => {
                let about = about(&of, &group);
                cut(format!("{}{about}: nothing since {}", of.info.title, Nanos(last)))
            }
        };
        let host = host_of(&own.by, &group);
        let origin = format!("due {at}");
        let hit = Hit { group, at, events: 0, message, host, evidence: Vec::new(), origin };
        self.alerts.hit(of, hit, steps);
    }

    fn own(&mut self, number: usize, seen: &Seen<'_>, place: Place, steps: &mut Vec<Step>) {
        let rules = Arc::clone(&self.rules);
        let (Some(own), Some(of), Some(memory), Some(failures)) = (
            rules.own.get(number),
            of(&rules, number),
            self.memories.get_mut(number),
            self.failures.get_mut(number),
        ) else {
            return;
        };
        let now = self.time;
        let mark = Mark(now, place);
        let entry = seen.entry();
        if own.over.as_ref().is_some_and(|over| over.holds(seen, failures)) {
            let group = group_of(own, entry);
            self.alerts.over(of, &group, now, "an event ended it", None, steps);
        }
        let mut dropped = 0;
        let mut window =
            |memory: &mut Memory, most: Most, look: &mut dyn FnMut(&mut Window) -> Option<Enough>| {
                let (window, gone) = memory.window(&group_of(own, entry), most);
                dropped = gone;
                look(window)
            };
        let enough = match &own.looks {
            Looks::Match(when) => {
                when.holds(seen, failures).then(|| Enough { events: 1, evidence: vec![place] })
            }
            Looks::Threshold { when, count, within } => when
                .holds(seen, failures)
                .then(|| window(memory, Most::GROUPS, &mut |window| window.threshold(mark, *count, *within)))
                .flatten(),
            Looks::Distinct { when, field, count, within } => {
                when.holds(seen, failures).then(|| field.read(entry)).flatten().and_then(|value| {
                    window(memory, Most::GROUPS, &mut |window| window.distinct(mark, &value, *count, *within))
                })
            }
            Looks::Sequence { steps, within } => {
                let fits: Vec<bool> = steps.iter().map(|(when, _)| when.holds(seen, failures)).collect();
                let counts: Vec<u32> = steps.iter().map(|(_, count)| *count).collect();
                // Without its first step a sequence has not begun, and nothing is remembered of it.
                let begins = fits.first() == Some(&true);
                let concerns =
                    begins || fits.contains(&true) && memory.groups.contains_key(&group_of(own, entry));
                concerns
                    .then(|| {
                        window(memory, Most::GROUPS, &mut |window| {
                            window.sequence(mark, &counts, &fits, *within)
                        })
                    })
                    .flatten()
            }
            Looks::FirstSeen { when, learn, forget } => {
                let began = memory.began;
                let look = &mut |window: &mut Window| {
                    let is_new = window.last == 0 || now.saturating_sub(window.last) > *forget;
                    window.last = now;
                    let learned = now.saturating_sub(began) >= *learn;
                    (is_new && learned).then(|| Enough { events: 1, evidence: vec![place] })
                };
                when.holds(seen, failures).then(|| window(memory, Most::SEEN, look)).flatten()
            }
            Looks::Absence { when, due, .. } => {
                if when.holds(seen, failures) {
                    let group = group_of(own, entry);
                    let (window, gone) = memory.window(&group, Most::GROUPS);
                    dropped = gone;
                    window.last = now;
                    // An alert that is open is of a miss, too: the rule may have been written anew since.
                    let missed = std::mem::take(&mut window.missed);
                    let again = missed || self.alerts.is_open(&(number, group.clone()));
                    if again && matches!(due, Due::Every(_)) {
                        // It stands far away, whatever became of the alert; it is waited for anew.
                        self.awaited.remove(&(window.deadline, number, group.clone()));
                        window.deadline = 0;
                    }
                    wait(&mut self.awaited, due, number, &group, window);
                    if again {
                        let about = about(&of, &group);
                        let message = cut(format!("{}{about}: heard again", of.info.title));
                        self.alerts.over(of, &group, now, "heard again", Some(message), steps);
                    }
                }
                None
            }
        };
        if dropped > 0 {
            steps.push(gap(of.info, now, "groups", dropped));
        }
        let Some(enough) = enough else { return };
        let group = group_of(own, entry);
        let message = match &own.message {
            Some(template) => template.fill(Some(entry), &own.by, &group, enough.events),
            None => {
                let line = entry.field(Field::Message);
                cut(match line {
                    Some(line) => format!("{}: {line}", of.info.title),
                    None => format!("{}{}", of.info.title, about(&of, &group)),
                })
            }
        };
        let hit = Hit {
            at: now,
            events: enough.events,
            message,
            host: entry.field(Field::Host).map(|host| host.into_owned()),
            evidence: enough.evidence,
            origin: self.origin(place),
            group,
        };
        self.alerts.hit(of, hit, steps);
    }

    fn origin(&self, place: Place) -> String {
        let ledger = self.alerts.ledgers.get(usize::from(place.ledger)).map_or("", String::as_str);
        format!("{ledger}/{}", place.index)
    }

    fn sigma(&mut self, rules: &Rules, entry: &Entry<'_>, place: Place, ledger: &str, steps: &mut Vec<Step>) {
        let view = View::new(entry);
        let results = rules.detections.evaluate(&view, entry);
        if results.is_empty() {
            return;
        }
        let (found, dropped) = self.correlations.found(&rules.detections, &view, results, self.time / SECOND);
        if dropped > 0
            && let Some(first) = rules.infos.get(rules.own.len())
        {
            steps.push(gap(first, self.time, "windows of correlations", dropped));
        }
        for found in found {
            let Some(number) = rules.sigma_numbers.get(&found.rule).copied() else { continue };
            let Some(of) = of(rules, number) else { continue };
            let host = entry.field(Field::Host).map(|host| host.into_owned());
            let value = |name: &String| {
                found.group.iter().find(|(known, _)| known == name).map(|(_, value)| bounded(value))
            };
            let group = match found.value {
                Some(_) => Group(of.by.iter().map(|name| value(name).unwrap_or_default()).collect()),
                None => Group(vec![bounded(host.as_deref().unwrap_or_default())]),
            };
            let line = entry.field(Field::Message).unwrap_or_default();
            let message = cut(match found.value {
                Some(value) => format!("{}{}: {value}", of.info.title, about(&of, &group)),
                None => format!("{}: {line}", of.info.title),
            });
            let hit = Hit {
                group,
                at: self.time,
                events: 1,
                message,
                host,
                evidence: vec![place],
                origin: format!("{ledger}/{}", place.index),
            };
            self.alerts.hit(of, hit, steps);
        }
    }

    /// What people did to alerts. Their events are Attestry's own; nobody else can write them.
    fn people(&mut self, entry: &Entry<'_>, name: &str) {
        if entry.event_source() != RESERVED_SOURCE {
            return;
        }
        let Some(alert) = entry.field(Field::Resource) else { return };
        match name {
            "alert.resolve" => {
                let now = self.time;
                let Some((number, group)) = self.alerts.resolved(&alert, now) else { return };
                // What a person has seen to is not waited for until it is heard of again.
                if let (Some(Own { looks: Looks::Absence { due: Due::Every(_), .. }, .. }), Some(memory)) =
                    (self.rules.own.get(number), self.memories.get_mut(number))
                    && let Some(window) = memory.groups.remove(&group)
                {
                    self.awaited.remove(&(window.deadline, number, group));
                }
            }
            "alert.silence" => {
                let data = entry.event_data_text().and_then(|text| serde_json::from_str::<Value>(text).ok());
                let until = data.as_ref().and_then(|data| data.get("until")).and_then(Value::as_str);
                if let Some(until) = until.and_then(|until| Nanos::parse(until).ok()) {
                    self.alerts.silenced(&alert, until.0);
                }
            }
            _ => {}
        }
    }
}

/// What an alert needs to know of its rule.
pub(crate) fn of(rules: &Rules, number: usize) -> Option<Of<'_>> {
    let info = rules.infos.get(number)?;
    let over_after = match rules.own.get(number) {
        Some(Own { looks: Looks::Absence { .. }, .. }) => None,
        Some(own) => Some(own.over_after),
        None => Some(crate::load::SIGMA_OVER_AFTER),
    };
    Some(Of { number, info, by: &info.by, over_after })
}

fn group_of(own: &Own, entry: &Entry<'_>) -> Group {
    let value = |path: &Path| path.read(entry).map(|value| bounded(&value)).unwrap_or_default();
    Group(own.by.iter().map(value).collect())
}

fn host_of(by: &[Path], group: &Group) -> Option<String> {
    let at = by.iter().position(|path| *path == Path::Field(Field::Host))?;
    group.0.get(at).cloned()
}

/// The group in words, after a title.
fn about(of: &Of<'_>, group: &Group) -> String {
    let named = of.by.iter().zip(&group.0).filter(|(_, value)| !value.is_empty());
    let words: Vec<String> = named.map(|(name, value)| format!("{name} {value}")).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// Waits for a group from its last event on, if it is not waited for already.
pub(crate) fn wait(
    awaited: &mut BTreeSet<(i64, usize, Group)>,
    due: &Due,
    number: usize,
    group: &Group,
    window: &mut Window,
) {
    if window.deadline == 0
        && let Some(deadline) = due.deadline(Nanos(window.last))
    {
        stand(awaited, number, group, window, deadline.0);
    }
}

fn stand(
    awaited: &mut BTreeSet<(i64, usize, Group)>,
    number: usize,
    group: &Group,
    window: &mut Window,
    at: i64,
) {
    window.deadline = at;
    awaited.insert((at, number, group.clone()));
}

#[cfg(test)]
mod tests;
