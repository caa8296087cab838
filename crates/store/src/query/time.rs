//! Times in a query. A time stands for all the nanoseconds that begin with what was written: a date for its day, a
//! minute for its sixty seconds; so `event_time:<=2026-11-21` includes that day.

use attestry_event::Nanos;

/// The nanoseconds since 1970 that a written time covers: `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) first: i64,
    pub(super) end: i64,
}

pub(super) const EXPECTED: &str = "a date (2026-11-21) or an RFC 3339 time (2026-11-21T10:00, 2026-11-21T10:00:00Z, 2026-11-21T10:00:00.5+01:00)";

/// Reads a date, or a date and a time to the minute, the second, or a fraction of it; without an offset it is UTC.
pub(super) fn parse(text: &str) -> Option<Instant> {
    const SECOND: i64 = 1_000_000_000;
    if !text.is_ascii() {
        return None;
    }
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    if date.len() != 10 {
        return None;
    }
    let Some(time) = time else {
        return covering(&format!("{date}T00:00:00Z"), 24 * 3600 * SECOND);
    };
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (width, clock) = match clock.len() {
        5 => (60 * SECOND, format!("{clock}:00")),
        8 => (SECOND, clock.to_owned()),
        length @ 10..=18 => (10_i64.pow(18 - length as u32), clock.to_owned()),
        _ => return None,
    };
    covering(&format!("{date}T{clock}{offset}"), width)
}

fn covering(text: &str, width: i64) -> Option<Instant> {
    let Nanos(first) = Nanos::parse(text).ok()?;
    Some(Instant { first, end: first.saturating_add(width) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers() {
        let base = Nanos::parse("2026-11-21T00:00:00Z").unwrap().0;
        let second = 1_000_000_000;
        let cases = [
            ("2026-11-21", 0, 86_400 * second),
            ("2026-11-21T10:00", 36_000 * second, 60 * second),
            ("2026-11-21T10:00Z", 36_000 * second, 60 * second),
            ("2026-11-21T10:00:00Z", 36_000 * second, second),
            ("2026-11-21T10:00:00+01:00", 32_400 * second, second),
            ("2026-11-21T10:00:00.5Z", 36_000 * second + 500_000_000, 100_000_000),
            ("2026-11-21T10:00:00.000000001Z", 36_000 * second + 1, 1),
        ];
        for (text, offset, width) in cases {
            let expected = Instant { first: base + offset, end: base + offset + width };
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-11-21T",
            "2026-11-21T1:00",
            "yesterday",
            "2026-11-21Tü",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
