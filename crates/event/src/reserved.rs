//! The event names of our own catalogue, which ordinary keys may not use.

/// What the names that Attestry itself gives begin with. A key without the capability that sends one of them is
/// refused: otherwise a client could write `gap.agent` or `login.failure` events that look like Attestry's own.
pub const RESERVED_PREFIXES: [&str; 12] = [
    "gap.",
    "clock.",
    "key.",
    "violation.",
    "login.",
    "ledger.",
    "search.",
    "export.",
    "session.",
    "value.",
    "report.",
    "config.",
];

/// The `event_source` of events that Attestry writes about itself.
pub const RESERVED_SOURCE: &str = "attestry";

/// Whether `event_name` belongs to Attestry's own catalogue.
pub fn is_reserved(event_name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| event_name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_its_dot() {
        for (name, reserved) in [
            ("login.failure", true),
            ("login.", true),
            ("login", false),
            ("logins.failure", false),
            ("loginSuccessful", false),
            ("my.login.failure", false),
            ("gap.clock", true),
        ] {
            assert_eq!(is_reserved(name), reserved, "{name}");
        }
    }
}
