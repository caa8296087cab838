//! Which events somebody wants, by name: `methods: {include: [...], exclude: [...]}`.
//!
//! A name is `{resource}.{verb}`; `resource.all` stands for every verb of a resource, `all` for every name. What is excluded is out
//! whatever is included. Excluding alone means everything else. The form, and what its examples mean, is Pryv's.

use std::collections::HashSet;
use std::fmt;

/// A filter over event names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods {
    include: Names,
    exclude: Names,
}

/// What one list covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    resources: HashSet<String>,
    names: HashSet<String>,
}

/// What decided about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is taken, because of this item of `include`.
    Included(String),
    /// It is taken: nothing is listed to be included, and this event is not excluded.
    NotExcluded,
    /// It is left out, because of this item of `exclude`.
    Excluded(String),
    /// It is left out: no item of `include` covers it.
    NotIncluded,
}

impl Decided {
    /// Whether the event is taken.
    pub fn taken(&self) -> bool {
        matches!(self, Decided::Included(_) | Decided::NotExcluded)
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decided::Included(item) => write!(f, "included by {item:?}"),
            Decided::NotExcluded => f.write_str("nothing excludes it"),
            Decided::Excluded(item) => write!(f, "excluded by {item:?}"),
            Decided::NotIncluded => f.write_str("nothing includes it"),
        }
    }
}

/// Why two lists are no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodsError {
    /// Nothing is said.
    #[error(
        "include and exclude are both empty; write include: [all] for everything, exclude: [all] for nothing"
    )]
    Empty,
    /// An item is neither a name nor `all` nor `resource.all`.
    #[error("{0:?} is no event name, expected one such as login.failure, login.all or all")]
    Malformed(String),
}

impl Methods {
    /// Reads the two lists.
    ///
    /// # Errors
    /// When both are empty, or an item cannot be a name.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Methods, MethodsError> {
        if include.is_empty() && exclude.is_empty() {
            return Err(MethodsError::Empty);
        }
        Ok(Methods { include: Names::new(include)?, exclude: Names::new(exclude)? })
    }

    /// Whether an event of this name is taken.
    pub fn take(&self, event_name: &str) -> bool {
        !self.exclude.cover(event_name) && (self.include.is_empty() || self.include.cover(event_name))
    }

    /// What decides about an event of this name, for people.
    pub fn decide(&self, event_name: &str) -> Decided {
        if let Some(item) = self.exclude.covering(event_name) {
            return Decided::Excluded(item);
        }
        match self.include.covering(event_name) {
            Some(item) => Decided::Included(item),
            None if self.include.is_empty() => Decided::NotExcluded,
            None => Decided::NotIncluded,
        }
    }
}

impl Names {
    fn new(items: &[String]) -> Result<Names, MethodsError> {
        let mut names = Names::default();
        for item in items {
            let well_formed = !item.is_empty()
                && !item.starts_with('.')
                && !item.ends_with('.')
                && !item.contains(|c: char| c.is_whitespace() || c == '*' || c.is_control());
            if !well_formed {
                return Err(MethodsError::Malformed(item.clone()));
            }
            match item.strip_suffix(".all") {
                _ if item == "all" => names.all = true,
                Some(resource) => {
                    names.resources.insert(resource.to_owned());
                }
                None => {
                    names.names.insert(item.clone());
                }
            }
        }
        Ok(names)
    }

    fn is_empty(&self) -> bool {
        !self.all && self.resources.is_empty() && self.names.is_empty()
    }

    fn cover(&self, name: &str) -> bool {
        self.all
            || self.names.contains(name)
            || resource(name).is_some_and(|resource| self.resources.contains(resource))
    }

    /// The narrowest item that covers a name.
    fn covering(&self, name: &str) -> Option<String> {
        if self.names.contains(name) {
            return Some(name.to_owned());
        }
        match resource(name).filter(|resource| self.resources.contains(*resource)) {
            Some(resource) => Some(format!("{resource}.all")),
            None => self.all.then(|| "all".to_owned()),
        }
    }
}

/// What stands before the last dot.
fn resource(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(resource, _)| resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(include: &[&str], exclude: &[&str]) -> Result<Methods, MethodsError> {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        Methods::new(&owned(include), &owned(exclude))
    }

    #[test]
    fn takes_what_is_asked_for() {
        // The first five are the examples of Pryv's manual; then what its code got wrong or left open.
        for (include, exclude, taken, left_out) in [
            (&["all"][..], &[][..], &["events.get", "loginSuccessful", "a.b.c"][..], &[][..]),
            (&[], &["all"], &[], &["events.get", "x"]),
            (
                &["access.create", "accesses.delete"],
                &[],
                &["access.create", "accesses.delete"],
                &["access.delete", "accesses.create", "access.create.x", "access"],
            ),
            (&[], &["events.get"], &["events.create", "x"], &["events.get"]),
            (
                &["events.all"],
                &["events.get"],
                &["events.create", "events.delete"],
                &["events.get", "event.x", "events"],
            ),
            (&["all"], &["events.all"], &["streams.get"], &["events.get", "events.all"]),
            (&["events.get"], &["all"], &[], &["events.get"]),
            (&["events.get", "all"], &["events.get"], &["x"], &["events.get"]),
            (&["a.b.all"], &[], &["a.b.c"], &["a.b", "a.c", "a.b.c.d"]),
            (&["Events.get"], &[], &["Events.get"], &["events.get"]),
        ] {
            let methods = methods(include, exclude).unwrap();
            for (names, expected) in [(taken, true), (left_out, false)] {
                for name in names {
                    assert_eq!(methods.take(name), expected, "{name} of {include:?} but {exclude:?}");
                    assert_eq!(
                        methods.decide(name).taken(),
                        expected,
                        "{name} of {include:?} but {exclude:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn says_which_item_decided() {
        let methods = methods(&["events.all", "all"], &["events.get", "keys.all"]).unwrap();
        for (name, expected) in [
            ("events.get", "excluded by \"events.get\""),
            ("keys.get", "excluded by \"keys.all\""),
            ("events.put", "included by \"events.all\""),
            ("other", "included by \"all\""),
        ] {
            assert_eq!(methods.decide(name).to_string(), expected);
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert_eq!(methods(&[], &[]), Err(MethodsError::Empty));
        for item in ["", "events.*", ".get", "events.", "events get", "*"] {
            for lists in [(&[item][..], &[][..]), (&[][..], &[item][..])] {
                assert_eq!(
                    methods(lists.0, lists.1),
                    Err(MethodsError::Malformed(item.to_owned())),
                    "{item:?}"
                );
            }
        }
    }
}
