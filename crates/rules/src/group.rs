//! What an alert is about: the values of the fields that a rule groups by.

use serde::{Deserialize, Serialize};

use crate::limits::VALUE_BYTES_MAX;

/// The values, in the order of the rule's `by`; empty where an event has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group(pub Vec<String>);

/// A value as it stands in a group. Different long ones stay different: a hash of the whole follows what is kept.
pub(crate) fn bounded(value: &str) -> String {
    if value.len() <= VALUE_BYTES_MAX {
        return value.to_owned();
    }
    let end = (0..=VALUE_BYTES_MAX - 24).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…{}", &value[..end], &crate::steps::digest(&[value])[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_stay_apart() {
        let (one, two) = ("ä".repeat(300), format!("{}b", "ä".repeat(300)));
        let (a, b) = (bounded(&one), bounded(&two));
        assert!(a != b && a.len() <= VALUE_BYTES_MAX && b.len() <= VALUE_BYTES_MAX);
        assert_eq!(bounded("short"), "short");
    }
}
