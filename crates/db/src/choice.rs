//! Which tables are watched, which of their columns are masked, and what tells their rows apart: as the configuration says.

use crate::config::{Identify, TableConfig, WatchConfig};

impl WatchConfig {
    /// Whether a table is watched: it is named, or a pattern fits it, or nothing is named at all; and what names it most exactly does not say
    /// `watch: false`.
    pub fn watches(&self, table: &str) -> bool {
        let mut named = self.tables.is_empty();
        let mut watched = None;
        for settings in self.that_name(table) {
            named = true;
            watched = watched.or(settings.watch);
        }
        named && watched.unwrap_or(true)
    }

    /// Whether a column's values are masked: in every table that has it, by the table, or by a pattern that fits the table.
    pub fn masks(&self, table: &str, column: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == column);
        named(&self.defaults.mask) || self.that_name(table).any(|settings| named(&settings.mask))
    }

    /// Whether any column's values are masked.
    pub fn masks_any(&self) -> bool {
        !self.defaults.mask.is_empty() || self.tables.values().any(|settings| !settings.mask.is_empty())
    }

    /// What tells a table's rows apart, if the configuration says so.
    pub fn identifies(&self, table: &str) -> Option<&Identify> {
        self.that_name(table).find_map(|settings| settings.identify.as_ref())
    }

    /// What is said of a table: by its own name first, then by the patterns that fit it.
    pub fn that_name(&self, table: &str) -> impl Iterator<Item = &TableConfig> {
        let own = self.tables.get(table).into_iter();
        let others = self.tables.iter().filter(move |(pattern, _)| *pattern != table && fits(pattern, table));
        own.chain(others.map(|(_, settings)| settings))
    }
}

/// Whether a name fits a pattern: `*` is any text, `?` any one character, everything else itself.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place) = (0, 0);
    // Where the last `*` was, and what it took so far: enough to go back to.
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(one) if *one == '?' || name.get(place) == Some(one) => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((star_at, taken)) => {
                    *taken += 1;
                    at = *star_at + 1;
                    place = *taken;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|left| *left == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("accounts", "accounts", true),
            ("accounts", "account", false),
            ("log_*", "log_", true),
            ("log_*", "log_2026", true),
            ("*_log", "a_log_log", true),
            ("*_log", "a_logs", false),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*a*b*c*", "xaxbxcx", true),
            ("*a*b*c*", "xaxcxbx", false),
            ("[a]", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_goes_before_patterns() {
        let config = |tables: &str| -> WatchConfig {
            serde_saphyr::from_str(&format!("{{url: x, defaults: {{mask: [pin]}}, tables: {tables}}}"))
                .unwrap()
        };
        for (tables, table, expected) in [
            ("{}", "any", true),
            ("{accounts: {}}", "accounts", true),
            ("{accounts: {}}", "log", false),
            ("{'*': {}, log: {watch: false}}", "log", false),
            ("{'*': {watch: false}, log: {watch: true}}", "log", true),
            ("{'*': {watch: false}, log: {}}", "log", false),
        ] {
            assert_eq!(config(tables).watches(table), expected, "{tables} {table}");
        }
        let config = config("{'u*': {mask: [hash], identify: {columns: [a]}}, users: {mask: [mail]}}");
        for (table, column, expected) in [
            ("users", "mail", true),
            ("users", "hash", true),
            ("users", "pin", true),
            ("others", "pin", true),
            ("others", "hash", false),
        ] {
            assert_eq!(config.masks(table, column), expected, "{table} {column}");
        }
        assert_eq!(config.identifies("users"), Some(&Identify::Columns(vec!["a".to_owned()])));
        assert_eq!(config.identifies("others"), None);
    }
}
