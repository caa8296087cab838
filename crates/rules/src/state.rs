//! What an engine remembers, as bytes, to be kept with its cursors. It can be thrown away: fed with all entries, an engine comes to it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alerts::Alert;
use crate::engine::of;
use crate::group::Group;
use crate::history::Heard;
use crate::load::Rules;
use crate::own::Looks;
use crate::sigma::Correlations;
use crate::windows::Memory;
use crate::{Engine, steps};

/// Of what is written here; another one is not read.
const VERSION: u32 = 1;

/// The index after the newest entry that was fed, by ledger.
pub type Cursors = BTreeMap<String, u64>;

/// State that cannot be taken up. It is to be made again from the ledgers.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is no state.
    #[error("the state of the rules cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// It is of another version.
    #[error("the state of the rules has version {0}, this program reads version {VERSION}")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    time: i64,
    forgotten_at: i64,
    ledgers: Vec<String>,
    cursors: Cursors,
    /// By rule: of which version of it, and what.
    memories: Vec<(String, String, Memory)>,
    alerts: Vec<(String, Group, Alert)>,
    /// The versions of all Sigma rules, and what the correlations remember.
    sigma: (String, serde_json::Value),
    /// When each source was first heard of; a state before there was this has none.
    #[serde(default)]
    heard: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Engine {
    /// What it remembers.
    pub fn save(&self) -> Vec<u8> {
        let own = self.rules.infos.iter().zip(&self.memories);
        let rule = |number: usize| self.rules.infos.get(number).map(|info| info.id.clone());
        let saved = Saved {
            version: VERSION,
            time: self.time,
            forgotten_at: self.forgotten_at,
            ledgers: self.alerts.ledgers.clone(),
            cursors: self.cursors.clone(),
            memories: own
                .map(|(info, memory)| (info.id.clone(), info.version.clone(), memory.clone()))
                .collect(),
            alerts: self
                .alerts
                .known
                .iter()
                .filter_map(|((number, group), alert)| Some((rule(*number)?, group.clone(), alert.clone())))
                .collect(),
            sigma: (sigma_version(&self.rules), self.correlations.save()),
            heard: self.heard.first.clone(),
        };
        // Strings, numbers and lists: it cannot fail.
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// An engine that remembers what another one did. Of rules that have changed since nothing is remembered but their alerts, of
    /// correlations nothing once any Sigma rule has.
    ///
    /// # Errors
    /// [`StateError`]: then it is to be made again from the ledgers.
    pub fn restore(rules: Arc<Rules>, bytes: &[u8]) -> Result<Engine, StateError> {
        let saved: Saved = serde_json::from_slice(bytes).map_err(StateError::Malformed)?;
        if saved.version != VERSION {
            return Err(StateError::Version(saved.version));
        }
        let mut engine = Engine::new(Arc::clone(&rules));
        engine.time = saved.time;
        engine.forgotten_at = saved.forgotten_at;
        engine.alerts.ledgers = saved.ledgers;
        engine.cursors = saved.cursors;
        engine.heard = Heard::restore(saved.heard);
        let mut memories: BTreeMap<(String, String), Memory> =
            saved.memories.into_iter().map(|(id, version, memory)| ((id, version), memory)).collect();
        for (number, own) in rules.own.iter().enumerate() {
            let (Some(info), Some(place)) = (rules.infos.get(number), engine.memories.get_mut(number)) else {
                continue;
            };
            let Some(memory) = memories.remove(&(info.id.clone(), info.version.clone())) else { continue };
            if matches!(own.looks, Looks::Absence { .. }) {
                let waited = memory.groups.iter().filter(|(_, window)| window.deadline != 0);
                let waited = waited.map(|(group, window)| (window.deadline, number, group.clone()));
                engine.awaited.extend(waited);
            }
            *place = memory;
        }
        let numbers: BTreeMap<&str, usize> =
            rules.infos.iter().enumerate().map(|(number, info)| (info.id.as_str(), number)).collect();
        for (rule, group, alert) in saved.alerts {
            if let Some(of) = numbers.get(rule.as_str()).and_then(|number| of(&rules, *number)) {
                engine.alerts.restore(of, group, alert);
            }
        }
        let (version, correlations) = saved.sigma;
        if version == sigma_version(&rules) && !engine.correlations.restore(correlations) {
            engine.correlations = Correlations::new(&rules.correlations);
        }
        Ok(engine)
    }
}

/// A hash over the versions of all Sigma rules.
fn sigma_version(rules: &Rules) -> String {
    let versions: Vec<&str> =
        rules.infos.iter().skip(rules.own.len()).map(|info| info.version.as_str()).collect();
    steps::digest(&versions)
}
