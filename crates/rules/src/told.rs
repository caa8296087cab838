//! The alerts that the ledger tells of.
//!
//! An engine that is fed with a whole ledger anew comes to what its windows remember, but not to the alerts: the rules may be others than those that were
//! in force then. Which alerts there are is what their own events say (`alert.*`), as they say it in the list that people see.

use std::collections::{BTreeMap, HashMap, HashSet};

use attestry_event::{Entry, Field, Nanos};
use serde_json::Value;

use crate::Engine;
use crate::alerts::Alert;
use crate::engine::of;
use crate::group::Group;
use crate::limits::ALERTS_MAX;
use crate::steps::Place;

/// Alerts by what their events say: those that are open, and those that are over and silenced.
#[derive(Debug, Default)]
pub struct Told {
    by_id: HashMap<String, ToldAlert>,
}

#[derive(Debug)]
struct ToldAlert {
    rule: String,
    /// By the names of what the rule grouped by then.
    group: BTreeMap<String, String>,
    /// Entries by ledger and index.
    evidence: Vec<(String, u64)>,
    alert: Alert,
}

impl Told {
    /// Takes over an entry, if it is of an alert and Attestry's own. They come in the order in which they are in the ledger.
    pub fn take(&mut self, entry: &Entry<'_>) {
        let Some(id) = crate::alert_of(entry) else { return };
        let data: Value =
            entry.event_data_text().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let at = entry.event_time().0;
        match &*entry.event_name() {
            "alert.open" | "alert.repeat" => {
                let silent_until = self.by_id.get(&id).map_or(0, |known| known.alert.silent_until);
                self.by_id.insert(id.clone(), ToldAlert::read(id, entry, &data, silent_until));
            }
            "alert.silence" => {
                let until = data["until"].as_str().and_then(|until| Nanos::parse(until).ok());
                if let (Some(known), Some(until)) = (self.by_id.get_mut(&id), until) {
                    known.alert.silent_until = until.0;
                }
            }
            "alert.resolve" => match self.by_id.get_mut(&id) {
                Some(known) if known.alert.silent_until > at => {
                    known.alert.over = true;
                    known.alert.reset();
                    known.evidence.clear();
                }
                _ => drop(self.by_id.remove(&id)),
            },
            _ => {}
        }
    }
}

impl ToldAlert {
    fn read(id: String, entry: &Entry<'_>, data: &Value, silent_until: i64) -> ToldAlert {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = data["group"].as_object().into_iter().flatten();
        let places = data["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let place = |place: &str| {
            let (ledger, index) = place.rsplit_once('/')?;
            Some((ledger.to_owned(), index.parse().ok()?))
        };
        let at = entry.event_time().0;
        ToldAlert {
            rule: text(&data["rule"]),
            group: pairs.map(|(name, value)| (name.clone(), text(value))).collect(),
            evidence: places.filter_map(place).collect(),
            alert: Alert {
                id,
                last: at,
                count: data["count"].as_u64().unwrap_or(1),
                events: data["events"].as_u64().unwrap_or(1),
                untold: 0,
                told_at: at,
                silent_until,
                over: false,
                message: entry.field(Field::Message).unwrap_or_default().into_owned(),
                host: entry.field(Field::Host).map(|host| host.into_owned()),
                evidence: Vec::new(),
                due: 0,
            },
        }
    }
}

impl Engine {
    /// Sets the alerts to those that the ledger tells of, and those that are being told just now (`opened`, their ids). What else this engine
    /// found in entries from before is nobody's alert; what leads to alerts is remembered.
    ///
    /// An alert whose rule is gone, or groups by something else now, is left to people.
    pub fn set_alerts(&mut self, told: Told, opened: &HashSet<String>) {
        let mut found: HashMap<String, _> =
            self.alerts.take().into_iter().map(|(key, alert)| (alert.id.clone(), (key, alert))).collect();
        let rules = std::sync::Arc::clone(&self.rules);
        let numbers: HashMap<&str, usize> =
            rules.infos.iter().enumerate().map(|(number, info)| (info.id.as_str(), number)).collect();
        let mut told: Vec<ToldAlert> = told.by_id.into_values().collect();
        told.sort_by(|a, b| (b.alert.last, &b.alert.id).cmp(&(a.alert.last, &a.alert.id)));
        for ToldAlert { rule, mut group, evidence, mut alert } in told.into_iter().take(ALERTS_MAX) {
            let Some(of) = numbers.get(rule.as_str()).and_then(|number| of(&rules, *number)) else {
                continue;
            };
            let values: Option<Vec<String>> = of.by.iter().map(|name| group.remove(name)).collect();
            let Some(values) = values.filter(|_| group.is_empty()) else { continue };
            let key = (of.number, Group(values));
            if self.alerts.known.contains_key(&key) {
                // A newer one is of the same.
                continue;
            }
            for (ledger, index) in evidence {
                let ledger = self.alerts.ledger(&ledger);
                alert.evidence.push(Place { ledger, index });
            }
            // The same rule in the same words, so it knows what was counted and not told yet.
            let same = |(_, found): &(_, Alert)| found.over == alert.over && found.count >= alert.count;
            let alert = found.remove(&alert.id).filter(same).map_or(alert, |(_, found)| found);
            self.alerts.restore(of, key.1, alert);
        }
        for ((number, group), alert) in found.into_values().filter(|(_, alert)| opened.contains(&alert.id)) {
            if let Some(of) = of(&rules, number)
                && !self.alerts.known.contains_key(&(number, group.clone()))
            {
                self.alerts.restore(of, group, alert);
            }
        }
    }
}
