//! The event names in which Attestry speaks of itself, which ordinary keys may not use.

/// What the names begin with in which Attestry tells of itself, of its evidence and of who got in. A key without the capability that
/// sends one of them is refused: otherwise a client could write `gap.agent` or `login.failure` events that look like Attestry's own. What the
/// sources of a host tell of, such as `user.add`, is for any application to use (docs/decisions/0006): who says it stands in `event_source`.
pub const RESERVED_PREFIXES: [&str; 20] = [
    "gap.",
    "clock.",
    "key.",
    "violation.",
    "alert.",
    "notice.",
    "rules.",
    "login.",
    "ledger.",
    "search.",
    "export.",
    "session.",
    "value.",
    "report.",
    "config.",
    "server.",
    "agent.",
    "person.",
    "snapshot.",
    "control.",
];

/// The `event_source` of events that Attestry writes about itself.
pub const RESERVED_SOURCE: &str = "attestry";

/// Whether `event_name` is one in which Attestry speaks of itself.
pub fn is_reserved(event_name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| event_name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_end_with_their_dot() {
        for (name, reserved) in [
            ("login.failure", true),
            ("login.", true),
            ("login", false),
            ("logins.failure", false),
            ("loginSuccessful", false),
            ("my.login.failure", false),
            ("gap.clock", true),
            ("server.start", true),
            ("alert.open", true),
            ("sudo.run", false),
            ("user.add", false),
            ("file.delete", false),
        ] {
            assert_eq!(is_reserved(name), reserved, "{name}");
        }
    }
}
