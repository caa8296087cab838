//! The reports that everybody has. They are written as anybody's own, and are examples of how to.

use std::sync::LazyLock;

use crate::Definition;

/// The files, in the order in which they are listed.
const FILES: [&str; 11] = [
    include_str!("builtin/packages.yaml"),
    include_str!("builtin/services.yaml"),
    include_str!("builtin/logins.yaml"),
    include_str!("builtin/files.yaml"),
    include_str!("builtin/containers.yaml"),
    include_str!("builtin/databases.yaml"),
    include_str!("builtin/violations.yaml"),
    include_str!("builtin/coverage.yaml"),
    include_str!("builtin/integrity.yaml"),
    include_str!("builtin/access.yaml"),
    include_str!("builtin/breach-scope.yaml"),
];

/// The built-in reports.
pub fn built_in() -> &'static [Definition] {
    static ALL: LazyLock<Vec<Definition>> =
        // A file that cannot be read is found by the test below.
        LazyLock::new(|| FILES.iter().filter_map(|text| Definition::parse(text).ok()).collect());
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_can_be_read_and_is_named_once() {
        for text in FILES {
            Definition::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
        let mut names: Vec<&str> = built_in().iter().map(|of| of.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FILES.len());
        assert!(
            built_in().iter().all(|of| of.window.is_some() && of.version > 0 && !of.description.is_empty())
        );
    }

    /// The worked examples of the manual, and the one within it.
    #[test]
    fn the_manuals_examples_can_be_read() {
        for text in [
            include_str!("../../../docs/reports/accounting.yaml"),
            include_str!("../../../docs/reports/btc.yaml"),
            include_str!("../../../docs/reports/financial.yaml"),
        ] {
            Definition::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
        let manual = include_str!("../../../docs/reports.md");
        let example = manual.split("```yaml\n").find(|part| part.starts_with("name: ")).unwrap();
        Definition::parse(example.split("```").next().unwrap()).unwrap();
    }
}
