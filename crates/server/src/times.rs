//! Times in a request: RFC 3339, or relative to now.

use attestry_event::Nanos;

use crate::problem::{Problem, bad_time};

/// Reads `now`, `-24h`, `now-7d` (units: s, m, h, d, w) or an RFC 3339 time.
pub(crate) fn parse(name: &str, text: &str, now: Nanos) -> Result<Nanos, Problem> {
    relative(text, now)
        .or_else(|| Nanos::parse(text).ok())
        .ok_or_else(|| bad_time(name, &text.chars().take(80).collect::<String>()))
}

fn relative(text: &str, now: Nanos) -> Option<Nanos> {
    let offset = text.strip_prefix("now").unwrap_or(text);
    if offset.is_empty() {
        return (!text.is_empty()).then_some(now);
    }
    let (sign, offset) = match offset.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => return None,
    };
    Some(Nanos(now.0.saturating_add(sign * duration(offset)?)))
}

/// Reads a duration such as `90s` or `24h` as nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let unit = match text.get(digits.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(unit * 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let second = 1_000_000_000;
        let now = Nanos(1_000_000 * second);
        for (text, expected) in [
            ("now", Some(now.0)),
            ("-90s", Some(now.0 - 90 * second)),
            ("now-1h", Some(now.0 - 3_600 * second)),
            ("+1m", Some(now.0 + 60 * second)),
            ("-2d", Some(now.0 - 172_800 * second)),
            ("-1w", Some(now.0 - 604_800 * second)),
            ("1970-01-01T00:00:01Z", Some(second)),
            ("1970-01-01T01:00:01+01:00", Some(second)),
            ("", None),
            ("-", None),
            ("-h", None),
            ("1h", None),
            ("-1y", None),
            ("-1.5h", None),
            ("--1h", None),
            ("-9999999999999w", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse("from", text, now).ok().map(|time| time.0), expected, "{text}");
        }
    }
}
