//! Sigma rules as published: read by `rsigma-parser`, evaluated by `rsigma-eval`.
//!
//! Ours is what those crates cannot know: which of our events belong to which log source ([`place`]), what Sigma's field names are called
//! here ([`view`]), and that correlations run on the log's time and within bounds.

pub(crate) mod mend;
mod place;
mod view;

use std::collections::{BTreeMap, HashSet};

use attestry_event::Entry;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, Engine, EvaluationResult, TimestampFallback};
use rsigma_parser::{CorrelationRule, FilterRule, SigmaRule};

pub use place::{Source, missing, place, sources_of};
pub use view::View;

use crate::limits::{CORRELATION_ENTRIES_MAX, CORRELATIONS_MAX};

/// Rules over single events, by log source; made once and shared.
#[derive(Default)]
pub(crate) struct Detections {
    engines: BTreeMap<Source, Engine>,
    /// Rules that are there only for correlations: they open no alert themselves.
    silent: HashSet<String>,
}

/// What a rule found.
pub(crate) struct Found {
    /// The rule's id.
    pub(crate) rule: String,
    /// Of a correlation: what it groups by.
    pub(crate) group: Vec<(String, String)>,
    /// Of a correlation: the number that was reached.
    pub(crate) value: Option<f64>,
}

impl Detections {
    /// Puts rules into the engines of their sources. All have an id by now. Gives back those that do not compile, and why.
    pub(crate) fn add(
        &mut self,
        rules: Vec<(Source, SigmaRule)>,
        filters: &[FilterRule],
        silent: HashSet<String>,
    ) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut by_source: BTreeMap<Source, Vec<SigmaRule>> = BTreeMap::new();
        for (source, rule) in rules {
            by_source.entry(source).or_default().push(rule);
        }
        for (source, rules) in by_source {
            let mut engine = Engine::new();
            for (nth, error) in engine.add_rules(&rules) {
                let id = rules.get(nth).and_then(|rule| rule.id.clone()).unwrap_or_default();
                wrong.push((id, error.to_string()));
            }
            for filter in filters {
                if let Err(error) = engine.apply_filter(filter) {
                    wrong.push((filter.id.clone().unwrap_or_default(), error.to_string()));
                }
            }
            self.engines.insert(source, engine);
        }
        self.silent = silent;
        wrong
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.engines.is_empty()
    }

    /// Everything that the rules say of an entry, those for correlations included.
    pub(crate) fn evaluate(&self, view: &View<'_>, entry: &Entry<'_>) -> Vec<EvaluationResult> {
        let mut results = Vec::new();
        let mut look = |source: &Source| {
            if let Some(engine) = self.engines.get(source) {
                results.extend(engine.evaluate(view));
            }
        };
        sources_of(entry, view, &mut look);
        results
    }

    fn opens(&self, id: &str) -> bool {
        !self.silent.contains(id)
    }
}

/// The correlations, with what they remember.
pub(crate) struct Correlations {
    engine: CorrelationEngine,
    empty: bool,
}

impl Correlations {
    pub(crate) fn new(rules: &[CorrelationRule]) -> Correlations {
        let mut engine = CorrelationEngine::new(CorrelationConfig {
            timestamp_fields: Vec::new(),
            timestamp_fallback: TimestampFallback::Skip,
            max_state_entries: CORRELATIONS_MAX,
            max_group_entries: Some(CORRELATION_ENTRIES_MAX),
            ..CorrelationConfig::default()
        });
        for rule in rules {
            // They were tried when they were loaded.
            if engine.add_correlation(rule).is_err() {
                continue;
            }
        }
        Correlations { engine, empty: rules.is_empty() }
    }

    /// Whether a correlation compiles.
    pub(crate) fn try_out(rule: &CorrelationRule) -> Result<(), String> {
        CorrelationEngine::new(CorrelationConfig::default())
            .add_correlation(rule)
            .map_err(|error| error.to_string())
    }

    /// What the rules and correlations found in an entry that was received at a time (seconds since 1970), and how many windows were
    /// forgotten for want of room.
    pub(crate) fn found(
        &mut self,
        detections: &Detections,
        view: &View<'_>,
        results: Vec<EvaluationResult>,
        at_s: i64,
    ) -> (Vec<Found>, usize) {
        let mut dropped = 0;
        let results = if self.empty || results.is_empty() {
            results
        } else {
            if self.engine.state_count() >= CORRELATIONS_MAX {
                self.engine.evict_expired(at_s);
                // What is gone because its time was over is not lost; the engine makes room when it is full, a tenth at once.
                dropped =
                    if self.engine.state_count() >= CORRELATIONS_MAX { CORRELATIONS_MAX / 10 } else { 0 };
            }
            self.engine.process_with_detections(view, results, at_s)
        };
        let found = results.into_iter().filter_map(|result| {
            let rule = result.header.rule_id.clone()?;
            match result.as_correlation() {
                Some(body) => {
                    Some(Found { rule, group: body.group_key.clone(), value: Some(body.aggregated_value) })
                }
                None => detections.opens(&rule).then(|| Found { rule, group: Vec::new(), value: None }),
            }
        });
        (found.collect(), dropped)
    }

    /// Forgets what is too old to matter.
    pub(crate) fn forget(&mut self, now_s: i64) {
        if !self.empty {
            self.engine.evict_expired(now_s);
        }
    }

    pub(crate) fn save(&self) -> serde_json::Value {
        serde_json::to_value(self.engine.export_state()).unwrap_or_default()
    }

    /// Takes up what was saved; whether it could be read.
    pub(crate) fn restore(&mut self, saved: serde_json::Value) -> bool {
        serde_json::from_value(saved).is_ok_and(|snapshot| self.engine.import_state(snapshot))
    }
}

#[cfg(test)]
mod tests;
