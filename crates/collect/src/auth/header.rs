//! The start of a syslog line in a file: when, where and which program.
//!
//! Two layouts, both rsyslog's: `RSYSLOG_TraditionalFileFormat` (RFC 3164's, local time, no year) and
//! `RSYSLOG_FileFormat` (RFC 3339), the default of Debian 12:
//!
//!     Nov 21 03:12:18 web1 sshd[812]: Accepted publickey for …
//!     2026-11-21T03:12:18.123456+00:00 web1 sshd[812]: Accepted publickey for …

use attestry_event::Nanos;
use jiff::{civil, tz::TimeZone};

/// A line's text may be that much later than the last change of its file: clocks and time zones are not that exact.
const YEAR_TOLERANCE_NANOS: i64 = 24 * 3_600_000_000_000;

/// What one program said.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) time: Nanos,
    pub(super) host: &'a str,
    pub(super) program: &'a str,
    pub(super) pid: Option<u32>,
    pub(super) text: &'a str,
}

/// Takes a line apart. The year of a time without one is the last in which the line is not later than `modified`, when its
/// file was last written to (and a day): right for files that span less than a year.
pub(super) fn parse<'a>(line: &'a str, modified: Nanos, zone: &TimeZone) -> Option<Message<'a>> {
    let (time, rest) = match line.as_bytes().first()? {
        b'0'..=b'9' => {
            let (time, rest) = line.split_once(' ')?;
            (Nanos::parse(time).ok()?, rest)
        }
        _ => {
            let (time, rest) = line.split_at_checked(15)?;
            (without_year(time, modified, zone)?, rest.strip_prefix(' ')?)
        }
    };
    let (host, rest) = rest.split_once(' ')?;
    let (program, pid, text) = tag(rest)?;
    Some(Message { time, host, program, pid, text })
}

/// `sshd[812]: text`, `sudo: text`, and `sudo:    text` as sudo pads it.
fn tag(rest: &str) -> Option<(&str, Option<u32>, &str)> {
    let (tag, text) = rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|tag| (tag, "")))?;
    if tag.is_empty() || tag.contains(' ') {
        return None;
    }
    let (program, pid) = match tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('[')) {
        Some((program, pid)) => (program, pid.parse().ok()),
        None => (tag, None),
    };
    Some((program, pid, text.trim()))
}

fn without_year(text: &str, modified: Nanos, zone: &TimeZone) -> Option<Nanos> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i8::try_from(MONTHS.iter().position(|name| text.get(..3) == Some(name))? + 1).ok()?;
    let day: i8 = text.get(3..6)?.trim_start().parse().ok()?;
    let mut clock = text.get(7..)?.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let latest = modified.0.saturating_add(YEAR_TOLERANCE_NANOS);
    let at = jiff::Timestamp::from_nanosecond(i128::from(latest)).ok()?;
    let year = zone.to_datetime(at).year();
    // Eight years back: the last 29 February may lie so far behind when a century is no leap year.
    (0..=8).find_map(|back| {
        let date = civil::Date::new(year - back, month, day).ok()?;
        // A leap second stands for the one before it.
        let time = civil::Time::new(hour, minute, second.min(59), 0).ok()?;
        let timestamp = zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()?;
        let nanos = i64::try_from(timestamp.as_nanosecond()).ok()?;
        (nanos <= latest).then_some(Nanos(nanos))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, modified: &str, expected: Option<(&str, &str, &str, Option<u32>, &str)>) {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let found = parse(line, Nanos::parse(modified).unwrap(), &zone);
        let found = found.map(|m| (m.time.to_string(), m.host, m.program, m.pid, m.text));
        let expected =
            expected.map(|(time, host, program, pid, text)| (time.to_owned(), host, program, pid, text));
        assert_eq!(found, expected, "of {line:?}");
    }

    #[test]
    fn both_layouts_are_taken_apart() {
        let summer = "2026-07-01T12:00:00Z";
        check(
            "Jun 30 14:00:05 web1 sshd[812]: Accepted x: y",
            summer,
            Some(("2026-06-30T12:00:05.000000000Z", "web1", "sshd", Some(812), "Accepted x: y")),
        );
        check(
            "Jan  5 14:00:05 web1 sudo:    alice : TTY=pts/0",
            summer,
            Some(("2026-01-05T13:00:05.000000000Z", "web1", "sudo", None, "alice : TTY=pts/0")),
        );
        check(
            "2026-06-30T14:00:05.123456+02:00 web1 CRON[9]: x",
            summer,
            Some(("2026-06-30T12:00:05.123456000Z", "web1", "CRON", Some(9), "x")),
        );
        check(
            "Jun 30 14:00:05 web1 systemd-logind[1]:",
            summer,
            Some(("2026-06-30T12:00:05.000000000Z", "web1", "systemd-logind", Some(1), "")),
        );
        for line in [
            "",
            "x",
            "Jun 31 14:00:05 web1 sshd[812]: x",
            "Jun 30 25:00:05 web1 sshd[812]: x",
            "Jun 30 14:00:05",
            "Jun 30 14:00:05 web1",
            "Jun 30 14:00:05 web1 no colon here",
            "Jun 30 14:00:05 web1 two words: x",
            "2026-06-30T14:00:05 web1 sshd[1]: x",
            "Jün 30 14:00:05 web1 sshd[1]: x",
        ] {
            check(line, summer, None);
        }
    }

    #[test]
    fn the_year_is_the_last_that_fits() {
        for (time, modified, expected) in [
            ("Dec 31 23:59:59", "2026-01-01T00:10:00Z", "2025-12-31T22:59:59.000000000Z"),
            ("Jan  1 00:00:01", "2026-01-01T00:10:00Z", "2025-12-31T23:00:01.000000000Z"),
            ("Jan  1 20:00:00", "2026-01-01T00:10:00Z", "2026-01-01T19:00:00.000000000Z"),
            ("Jan  3 00:00:00", "2026-01-01T00:10:00Z", "2025-01-02T23:00:00.000000000Z"),
            ("Feb 29 12:00:00", "2026-07-01T00:00:00Z", "2024-02-29T11:00:00.000000000Z"),
            ("Oct 25 02:30:00", "2026-12-01T00:00:00Z", "2026-10-25T00:30:00.000000000Z"),
        ] {
            check(&format!("{time} h p: t"), modified, Some((expected, "h", "p", None, "t")));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_taken(line in "\\PC{0,60}", nanos in proptest::num::i64::ANY) {
            let _ = parse(&line, Nanos(nanos), &TimeZone::UTC);
            let _ = parse(&format!("Nov 21 03:12:18 {line}"), Nanos(nanos), &TimeZone::UTC);
        }
    }
}
