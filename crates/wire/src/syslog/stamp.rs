//! The times in syslog messages that are not RFC 5424's: without a year, without a time zone, in several orders.

use attestry_event::Nanos;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time and the text behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    pub(crate) time: Nanos,
    pub(crate) rest: &'a str,
}

/// How far ahead of us a sender's clock may be. Whatever would lie further in the future is from the year before.
const AHEAD_NANOS: i64 = 24 * 3_600 * 1_000_000_000;

/// How many years back a 29 February is looked for: 1896 and 1904 are eight apart, as 2096 and 2104 will be.
const YEARS_BACK: i16 = 8;

/// Reads the time that a text begins with:
/// RFC 3339 (the time zone may be missing), `Nov 21 03:04:05`, `Nov 21 2026 03:04:05`, `2026 Nov 21 03:04:05`; each with a fraction of up to
/// nine digits, the last three with `UTC`, `GMT` or `Z` behind. Without a zone it is `zone`'s time; without a year it is the
/// latest such time that is not more than 24 hours after `received`.
pub(crate) fn read<'a>(text: &'a str, received: Nanos, zone: &TimeZone) -> Option<Stamp<'a>> {
    if text.as_bytes().get(4) == Some(&b'-') { rfc_3339(text, zone) } else { bsd(text, received, zone) }
}

fn rfc_3339<'a>(text: &'a str, zone: &TimeZone) -> Option<Stamp<'a>> {
    // A space may stand between the date and the time of day.
    let within =
        |ch: char| ch.is_ascii_digit() || matches!(ch, '-' | '+' | ':' | '.' | 'T' | 'Z' | 't' | 'z');
    let date = text.get(..11)?;
    let end = text.get(11..)?.find(|ch: char| !within(ch)).map_or(text.len(), |end| end + 11);
    let (token, rest) = text.split_at(end);
    // `…05: text` and `…05Z: text`, as Cisco writes.
    let (token, rest) = match token.strip_suffix(':') {
        Some(token) => (token, text.get(token.len()..)?),
        None => (token, rest),
    };
    if !date.ends_with(['T', 't', ' ']) {
        return None;
    }
    if let Ok(time) = Nanos::parse(token) {
        return Some(Stamp { time, rest });
    }
    let civil: DateTime = token.parse().ok()?;
    Some(Stamp { time: instant(civil, zone)?, rest })
}

fn bsd<'a>(text: &'a str, received: Nanos, zone: &TimeZone) -> Option<Stamp<'a>> {
    let (mut year, text) = year(text).map_or((None, text), |(year, rest)| (Some(year), rest));
    let month = month(text.get(..3)?)?;
    let text = text.get(3..)?.strip_prefix(' ')?.trim_start_matches(' ');
    let (day, text) = number(text, 2)?;
    let mut text = text.strip_prefix(' ')?;
    if year.is_none()
        && let Some((found, rest)) = self::year(text)
    {
        (year, text) = (Some(found), rest);
    }
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text.strip_prefix(':')?, 2)?;
    let (second, text) = number(text.strip_prefix(':')?, 2)?;
    let (nanos, text) = fraction(text)?;
    let (utc, text) = zone_name(text);
    let utc_zone = TimeZone::UTC;
    let zone = if utc { &utc_zone } else { zone };
    let civil = |year: i16| {
        // A leap second is the second before it, as in RFC 3339 times.
        let (month, day, hour, minute) =
            (month, i8::try_from(day).ok()?, i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
        let second = i8::try_from(if second == 60 { 59 } else { second }).ok()?;
        DateTime::new(year, month, day, hour, minute, second, nanos).ok()
    };
    let time = match year {
        Some(year) => instant(civil(year)?, zone)?,
        None => {
            let received_at = jiff::Timestamp::from_nanosecond(i128::from(received.0)).ok()?;
            let next = zone.to_datetime(received_at).year().checked_add(1)?;
            (0..=YEARS_BACK + 1)
                .filter_map(|back| instant(civil(next - back)?, zone))
                .find(|time| time.0 <= received.0.saturating_add(AHEAD_NANOS))?
        }
    };
    Some(Stamp { time, rest: text })
}

/// A year of four digits with a space behind.
fn year(text: &str) -> Option<(i16, &str)> {
    let (year, rest) = number(text, 4)?;
    let rest = rest.strip_prefix(' ')?;
    (year >= 1970).then_some((i16::try_from(year).ok()?, rest))
}

fn month(name: &str) -> Option<i8> {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    (1..).zip(months).find(|(_, month)| *month == name).map(|(number, _)| number)
}

/// One to `most` digits.
fn number(text: &str, most: usize) -> Option<(i32, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (token, rest) = text.split_at_checked(digits)?;
    Some((token.parse().ok()?, rest))
}

/// A dot and up to nine digits, if they are there: nanoseconds.
fn fraction(text: &str) -> Option<(i32, &str)> {
    let Some(rest) = text.strip_prefix('.').filter(|rest| rest.starts_with(|ch: char| ch.is_ascii_digit()))
    else {
        return Some((0, text));
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (token, rest) = rest.split_at_checked(digits)?;
    let token = token.get(..9.min(digits))?;
    let value: i32 = token.parse().ok()?;
    let missing = u32::try_from(9 - token.len()).ok()?;
    Some((value.checked_mul(10i32.checked_pow(missing)?)?, rest))
}

/// Whether the time says that it is UTC. Other abbreviations mean different things in different places, and stay in the text.
fn zone_name(text: &str) -> (bool, &str) {
    for name in [" UTC", " GMT", "Z"] {
        if let Some(rest) = text.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with([' ', ':']))
        {
            return (true, rest);
        }
    }
    (false, text)
}

fn instant(civil: DateTime, zone: &TimeZone) -> Option<Nanos> {
    let timestamp = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, received: &str, zone: &str, expected: Option<(&str, &str)>) {
        let zone = TimeZone::get(zone).unwrap();
        let found = read(text, Nanos::parse(received).unwrap(), &zone);
        let expected = expected.map(|(time, rest)| Stamp { time: Nanos::parse(time).unwrap(), rest });
        assert_eq!(found, expected, "{text} received {received}");
    }

    #[test]
    fn the_year_is_the_one_that_makes_sense() {
        for (text, received, year) in [
            ("Nov 21 03:04:05", "2026-11-21T03:04:06Z", "2026-11-21T03:04:05Z"),
            // Sent before midnight, received after.
            ("Dec 31 23:59:59", "2027-01-01T00:00:01Z", "2026-12-31T23:59:59Z"),
            // Their clock is ahead of ours.
            ("Jan  1 00:00:03", "2026-12-31T23:59:58Z", "2027-01-01T00:00:03Z"),
            ("Nov 21 12:00:00", "2026-11-21T03:04:06Z", "2026-11-21T12:00:00Z"),
            // More than a day ahead is last year's.
            ("Nov 22 12:00:00", "2026-11-21T03:04:06Z", "2025-11-22T12:00:00Z"),
            ("Jan  3 00:00:00", "2026-12-31T23:59:58Z", "2026-01-03T00:00:00Z"),
            // Delivered half a year late.
            ("May 21 03:04:05", "2026-11-21T03:04:06Z", "2026-05-21T03:04:05Z"),
            ("Feb 29 03:04:05", "2026-11-21T03:04:06Z", "2024-02-29T03:04:05Z"),
            ("Feb 29 03:04:05", "2028-02-29T03:04:04Z", "2028-02-29T03:04:05Z"),
        ] {
            check(text, received, "UTC", Some((year, "")));
        }
        // The year is the one in the sender's zone.
        check("Jan  1 00:30:00", "2026-12-31T23:30:01Z", "Europe/Berlin", Some(("2026-12-31T23:30:00Z", "")));
        check(
            "Dec 31 23:30:00",
            "2027-01-01T04:30:01Z",
            "America/New_York",
            Some(("2027-01-01T04:30:00Z", "")),
        );
    }

    #[test]
    fn many_forms_are_known() {
        let received = "2026-11-21T03:04:06Z";
        for (text, expected) in [
            ("Nov 21 03:04:05 host", Some(("2026-11-21T02:04:05Z", " host"))),
            ("Nov  1 03:04:05 host", Some(("2026-11-01T02:04:05Z", " host"))),
            ("Nov 1 03:04:05 host", Some(("2026-11-01T02:04:05Z", " host"))),
            ("Nov 01 03:04:05 host", Some(("2026-11-01T02:04:05Z", " host"))),
            ("Oct 10 2018 15:21:32: %ASA", Some(("2018-10-10T13:21:32Z", ": %ASA"))),
            ("2026 Nov 21 03:04:05 UTC: %NX", Some(("2026-11-21T03:04:05Z", ": %NX"))),
            ("Mar  1 18:48:50.483 UTC: %SYS", Some(("2026-03-01T18:48:50.483Z", ": %SYS"))),
            ("Mar  1 18:48:50.483 CET: %SYS", Some(("2026-03-01T17:48:50.483Z", " CET: %SYS"))),
            ("Nov 21 03:04:05.1234567891 x", Some(("2026-11-21T02:04:05.123456789Z", " x"))),
            ("Jul  1 01:59:60 x", Some(("2026-06-30T23:59:59Z", " x"))),
            ("2026-11-21T03:04:05.123456+01:00 host", Some(("2026-11-21T02:04:05.123456Z", " host"))),
            ("2026-11-21T03:04:05Z: %ASA", Some(("2026-11-21T03:04:05Z", ": %ASA"))),
            ("2026-11-21T03:04:05 host", Some(("2026-11-21T02:04:05Z", " host"))),
            ("2026-11-21 03:04:05 host", Some(("2026-11-21T02:04:05Z", " host"))),
            ("Nov 31 03:04:05 host", None),
            ("Foo 21 03:04:05 host", None),
            ("Nov 21 24:04:05 host", None),
            ("Nov 21 3:4 host", None),
            ("Nov", None),
            ("2026-13-21T03:04:05Z x", None),
            ("2026-11-21", None),
            ("äöüß- Nov", None),
            ("", None),
        ] {
            check(text, received, "Europe/Berlin", expected);
        }
    }

    #[test]
    fn an_hour_that_does_not_exist_is_the_one_after() {
        check("Mar 29 02:30:00", "2026-03-29T02:00:00Z", "Europe/Berlin", Some(("2026-03-29T01:30:00Z", "")));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(Nov|Feb|2026)?[-A-Za-z0-9 :.+]{0,30}", received in any::<i64>()) {
            let _ = read(&text, Nanos(received), &TimeZone::UTC);
        }
    }
}
