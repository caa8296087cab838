//! Where `rsigma` 0.23 reads a rule otherwise than the specification, the rule is made to say what is meant.
//!
//! - Keywords in a map (`keywords: {'|all': [a, b]}`) are compared with whole strings there; meant are parts of the line
//!   (sigma-specification 2.0, "Keywords").
//! - `temporal` without a condition fires there when one of its rules did; meant are all of them (sigma-specification 2.0, "Correlation").
//! - A correlation knows a rule by the id of what it found, so references by name become references by id.

use std::collections::{BTreeSet, HashMap};

use rsigma_parser::{
    ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, Detection,
    Modifier, SigmaRule,
};

/// Keywords are parts of a line, however they are written.
pub(crate) fn keywords(rule: &mut SigmaRule) {
    rule.detection.named.values_mut().for_each(of_detection);
}

fn of_detection(detection: &mut Detection) {
    match detection {
        Detection::AllOf(items) => {
            for item in items.iter_mut().filter(|item| item.field.name.is_none()) {
                let modifiers = &mut item.field.modifiers;
                if modifiers.iter().all(|modifier| matches!(modifier, Modifier::All | Modifier::Cased)) {
                    modifiers.insert(0, Modifier::Contains);
                }
            }
        }
        Detection::AnyOf(parts) | Detection::And(parts) => parts.iter_mut().for_each(of_detection),
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {}
    }
}

/// Gives references to rules by name the rules' ids, and `temporal` the condition that it means.
pub(crate) fn correlation(rule: &mut CorrelationRule, ids: &HashMap<String, String>) {
    let id = |reference: &mut String| {
        if let Some(id) = ids.get(reference) {
            reference.clone_from(id);
        }
    };
    rule.rules.iter_mut().for_each(id);
    for alias in &mut rule.aliases {
        let mapping = std::mem::take(&mut alias.mapping);
        alias.mapping = mapping
            .into_iter()
            .map(|(reference, field)| (ids.get(&reference).cloned().unwrap_or(reference), field))
            .collect();
    }
    match &mut rule.condition {
        CorrelationCondition::Extended(expression) => named(expression, &id),
        CorrelationCondition::Threshold { predicates, .. }
            if rule.correlation_type == CorrelationType::Temporal =>
        {
            let all: BTreeSet<&String> = rule.rules.iter().collect();
            *predicates = vec![(ConditionOperator::Gte, all.len() as u64)];
        }
        CorrelationCondition::Threshold { .. } => {}
    }
}

fn named(expression: &mut ConditionExpr, id: &impl Fn(&mut String)) {
    match expression {
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
            parts.iter_mut().for_each(|part| named(part, id));
        }
        ConditionExpr::Not(part) => named(part, id),
        ConditionExpr::Identifier(name) => id(name),
        ConditionExpr::Selector { .. } => {}
    }
}
