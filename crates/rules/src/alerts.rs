//! Alerts that are open or silenced. Many hits of one rule and group are one alert, told again at most once a minute.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::group::Group;
use crate::limits::{ALERTS_MAX, EVIDENCE_MAX, REPEAT_EVERY};
use crate::load::RuleInfo;
use crate::steps::{Place, Said, Step, StepKind, digest, gap};

/// The rule's number, and the group.
pub(crate) type Key = (usize, Group);

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) id: String,
    pub(crate) last: i64,
    pub(crate) count: u64,
    pub(crate) events: u64,
    /// Counted, and not told yet.
    pub(crate) untold: u64,
    pub(crate) told_at: i64,
    pub(crate) silent_until: i64,
    /// Over, and kept only because it is silenced: what happens again until then is counted from nothing.
    pub(crate) over: bool,
    pub(crate) message: String,
    pub(crate) host: Option<String>,
    pub(crate) evidence: Vec<Place>,
    /// When it stands among what is due; 0: it does not.
    #[serde(skip)]
    pub(crate) due: i64,
}

impl Alert {
    /// Nothing has happened since it was over.
    pub(crate) fn reset(&mut self) {
        (self.count, self.events, self.untold) = (0, 0, 0);
        self.evidence.clear();
    }
}

/// It happened.
pub(crate) struct Hit {
    pub(crate) group: Group,
    pub(crate) at: i64,
    pub(crate) events: u64,
    pub(crate) message: String,
    pub(crate) host: Option<String>,
    pub(crate) evidence: Vec<Place>,
    /// What makes this opening another one than the last: the entry, or the time that ran out.
    pub(crate) origin: String,
}

/// The rule that an alert is of, and the names of what it is grouped by.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) number: usize,
    pub(crate) info: &'a RuleInfo,
    pub(crate) by: &'a [String],
    /// Nanoseconds after which it is over by itself; `None`: never.
    pub(crate) over_after: Option<i64>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alerts {
    pub(crate) known: BTreeMap<Key, Alert>,
    by_id: HashMap<String, Key>,
    /// When something may be due for an alert; looked at again then.
    due: BTreeSet<(i64, Key)>,
    /// Names of ledgers, by their number in a [`Place`].
    pub(crate) ledgers: Vec<String>,
}

impl Alerts {
    pub(crate) fn ledger(&mut self, name: &str) -> u16 {
        let at = self.ledgers.iter().position(|known| known == name).unwrap_or_else(|| {
            self.ledgers.push(name.to_owned());
            self.ledgers.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn said<'a>(&self, of: Of<'a>, group: &Group, alert: &'a Alert, kind: StepKind) -> Said<'a> {
        let place = |place: &Place| Some((self.ledgers.get(usize::from(place.ledger))?.clone(), place.index));
        Said {
            kind,
            rule: of.info,
            alert: &alert.id,
            group: of.by.iter().cloned().zip(group.0.iter().cloned()).collect(),
            message: alert.message.clone(),
            host: alert.host.clone(),
            at: alert.last,
            count: alert.count,
            events: alert.events,
            evidence: alert.evidence.iter().filter_map(place).collect(),
            why: None,
        }
    }

    /// It happened: opens an alert, or counts one that is there.
    pub(crate) fn hit(&mut self, of: Of<'_>, hit: Hit, steps: &mut Vec<Step>) {
        let key = (of.number, hit.group.clone());
        let Some(mut alert) = self.known.remove(&key) else { return self.open(of, hit, 1, steps) };
        alert.last = hit.at;
        alert.count += 1;
        alert.events += hit.events;
        alert.untold += 1;
        alert.message = hit.message;
        alert.host = hit.host;
        alert.evidence.extend(hit.evidence);
        let most = alert.evidence.len().saturating_sub(EVIDENCE_MAX);
        alert.evidence.drain(..most);
        self.tell(of, &key.1, &mut alert, hit.at, steps);
        self.await_next(of, &key, &mut alert);
        self.known.insert(key, alert);
    }

    fn open(&mut self, of: Of<'_>, hit: Hit, count: u64, steps: &mut Vec<Step>) {
        let joined = hit.group.0.join("\u{1f}");
        let id = digest(&[&of.info.id, &of.info.version, &joined, &hit.origin])[..20].to_owned();
        let mut alert = Alert {
            id: id.clone(),
            last: hit.at,
            count,
            events: hit.events,
            untold: 0,
            told_at: hit.at,
            silent_until: 0,
            over: false,
            message: hit.message,
            host: hit.host,
            evidence: hit.evidence,
            due: 0,
        };
        let key = (of.number, hit.group);
        steps.push(self.said(of, &key.1, &alert, StepKind::Open).step());
        if self.known.len() >= ALERTS_MAX {
            self.make_room(of, hit.at, steps);
        }
        self.await_next(of, &key, &mut alert);
        self.by_id.insert(id, key.clone());
        self.known.insert(key, alert);
    }

    /// Tells what was counted, when it is not too soon and nobody wants silence.
    fn tell(&self, of: Of<'_>, group: &Group, alert: &mut Alert, now: i64, steps: &mut Vec<Step>) {
        let soon = now - alert.told_at < REPEAT_EVERY;
        if alert.untold == 0 || alert.over || alert.silent_until > now || soon {
            return;
        }
        alert.untold = 0;
        alert.told_at = now;
        let mut said = self.said(of, group, alert, StepKind::Repeat);
        said.at = now;
        steps.push(said.step());
    }

    fn await_next(&mut self, of: Of<'_>, key: &Key, alert: &mut Alert) {
        let told =
            (alert.untold > 0 && !alert.over).then(|| (alert.told_at + REPEAT_EVERY).max(alert.silent_until));
        let over = of.over_after.filter(|_| !alert.over).map(|after| alert.last.saturating_add(after));
        let silence = (alert.silent_until > 0).then_some(alert.silent_until);
        if let Some(next) = [told, over, silence].into_iter().flatten().min() {
            stand(&mut self.due, key, alert, next);
        }
    }

    /// When something is to be looked at next.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The rule of what is due at `now` or before, and its key.
    pub(crate) fn pop_due(&mut self, now: i64) -> Option<(i64, Key)> {
        match self.due.first() {
            Some((at, _)) if *at <= now => self.due.pop_first(),
            _ => None,
        }
    }

    /// Looks what is due for an alert at a time.
    pub(crate) fn look(&mut self, of: Of<'_>, key: &Key, now: i64, steps: &mut Vec<Step>) {
        let Some(mut alert) = self.known.remove(key) else { return };
        alert.due = 0;
        self.tell(of, &key.1, &mut alert, now, steps);
        if alert.silent_until > 0 && alert.silent_until <= now {
            alert.silent_until = 0;
            if alert.over {
                self.by_id.remove(&alert.id);
                if alert.untold > 0 {
                    self.open_again(of, key, alert, now, steps);
                }
                return;
            }
        }
        let quiet = of.over_after.is_some_and(|after| alert.last.saturating_add(after) <= now);
        if !quiet || alert.over {
            self.await_next(of, key, &mut alert);
        }
        self.known.insert(key.clone(), alert);
        if quiet {
            self.over(of, &key.1, now, "quiet", None, steps);
        }
    }

    /// It was over, and during the silence it happened again: nobody was told, and nothing has ended that.
    fn open_again(&mut self, of: Of<'_>, key: &Key, alert: Alert, now: i64, steps: &mut Vec<Step>) {
        let hit = Hit {
            group: key.1.clone(),
            at: now,
            events: alert.events,
            message: alert.message,
            host: alert.host,
            evidence: alert.evidence,
            origin: format!("silence of {}", alert.id),
        };
        self.open(of, hit, alert.count, steps);
    }

    /// An alert is over by itself.
    pub(crate) fn over(
        &mut self,
        of: Of<'_>,
        group: &Group,
        now: i64,
        why: &'static str,
        message: Option<String>,
        steps: &mut Vec<Step>,
    ) {
        let key = (of.number, group.clone());
        let Some(alert) = self.known.get_mut(&key) else { return };
        if alert.over {
            return alert.reset();
        }
        let alert = alert.clone();
        let mut said = self.said(of, group, &alert, StepKind::Resolve);
        said.at = now;
        said.why = Some(why);
        said.evidence.clear();
        said.message = message.unwrap_or_else(|| format!("{} is over: {why}", of.info.title));
        steps.push(said.step());
        self.end(&key, now);
    }

    fn end(&mut self, key: &Key, now: i64) {
        let Some(alert) = self.known.get_mut(key) else { return };
        if alert.silent_until > now {
            alert.over = true;
            alert.reset();
            let until = alert.silent_until;
            stand(&mut self.due, key, alert, until);
            return;
        }
        if let Some(alert) = self.known.remove(key) {
            self.by_id.remove(&alert.id);
        }
    }

    pub(crate) fn is_open(&self, key: &Key) -> bool {
        self.known.get(key).is_some_and(|alert| !alert.over)
    }

    /// A person resolved it. Gives its key. One that is over stays as it is: it is our own step that comes by here.
    pub(crate) fn resolved(&mut self, id: &str, now: i64) -> Option<Key> {
        let key = self.by_id.get(id).filter(|key| self.is_open(key))?.clone();
        self.end(&key, now);
        Some(key)
    }

    /// A person wants silence until then.
    pub(crate) fn silenced(&mut self, id: &str, until: i64) {
        let Some(key) = self.by_id.get(id).cloned() else { return };
        if let Some(alert) = self.known.get_mut(&key) {
            alert.silent_until = until;
            stand(&mut self.due, &key, alert, until);
        }
    }

    /// Takes all of them away.
    pub(crate) fn take(&mut self) -> BTreeMap<Key, Alert> {
        let ledgers = std::mem::take(&mut self.ledgers);
        std::mem::replace(self, Alerts { ledgers, ..Alerts::default() }).known
    }

    fn make_room(&mut self, of: Of<'_>, now: i64, steps: &mut Vec<Step>) {
        let mut oldest: Vec<(i64, Key)> =
            self.known.iter().map(|(key, alert)| (alert.last, key.clone())).collect();
        oldest.sort();
        let gone = ALERTS_MAX / 10;
        for (_, key) in oldest.into_iter().take(gone) {
            if let Some(alert) = self.known.remove(&key) {
                self.by_id.remove(&alert.id);
            }
        }
        steps.push(gap(of.info, now, "open alerts", gone));
    }

    /// Puts an alert back.
    pub(crate) fn restore(&mut self, of: Of<'_>, group: Group, mut alert: Alert) {
        let key = (of.number, group);
        self.by_id.insert(alert.id.clone(), key.clone());
        self.await_next(of, &key, &mut alert);
        self.known.insert(key, alert);
    }
}

/// Puts an alert among what is due, once and for the earliest time.
fn stand(due: &mut BTreeSet<(i64, Key)>, key: &Key, alert: &mut Alert, at: i64) {
    if alert.due != 0 && alert.due <= at {
        return;
    }
    if alert.due != 0 {
        due.remove(&(alert.due, key.clone()));
    }
    alert.due = at;
    due.insert((at, key.clone()));
}
