//! From names and raw values to typed tests: which tests a field knows, and what a value means there.

use std::ops::{Bound, Range};

use attestry_event::{Decimal, Field, Kind};

use super::ast::{Subject, Test};
use super::error::{Hint, SyntaxError};
use super::network::{Network, address};
use super::pattern::{MAX_WILDCARD_PIECES, Piece, Regex, Wildcard};
use super::scan::Bare;
use super::time;

/// A value as it was written.
pub(super) enum Raw {
    Bare(Bare),
    Quoted(String, Range<usize>),
    Regex(Regex, Range<usize>),
    Range(Bound<Limit>, Bound<Limit>, Range<usize>),
}

/// One end of a range.
pub(super) struct Limit {
    pub(super) text: String,
    pub(super) quoted: bool,
    pub(super) span: Range<usize>,
}

/// The subject that a field's name stands for. A name that is no field of the entry is a path of `event_data`.
pub(super) fn subject(name: String, span: Range<usize>) -> Result<(Subject, Option<Hint>), SyntaxError> {
    if let Some(field) = Field::from_name(&name) {
        return Ok((Subject::Field(field), None));
    }
    match name.as_str() {
        "_index" => return Ok((Subject::Index, None)),
        "_ledger" => return Ok((Subject::Ledger, None)),
        "event_data" | "event_data." => {
            return Err(SyntaxError::new(
                span,
                "event_data is an object, not a value",
                "a path in it, such as event_data.status",
            ));
        }
        _ => {}
    }
    if let Some(path) = name.strip_prefix("event_data.") {
        return Ok((Subject::Path(path.to_owned()), None));
    }
    let meant = match name.as_str() {
        // Columns have these names without the underscore.
        "ledger" => Some("_ledger"),
        "index" => Some("_index"),
        name if name.contains('.') => None,
        name => Field::nearest(name).map(Field::name),
    };
    let hint = meant.map(|meant| Hint {
        position: span.start,
        length: span.len(),
        message: format!(
            "{name} is not a field of the event and was read as event_data.{name}; did you mean {meant}?"
        ),
    });
    Ok((Subject::Path(name), hint))
}

/// What values a subject has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Compared whole; `networks` when addresses may be among them.
    Strings {
        networks: bool,
    },
    /// Words.
    Text,
    Numbers,
    Times,
    Bool,
    /// Whatever JSON holds.
    Mixed,
}

fn values(subject: &Subject) -> Values {
    match subject {
        Subject::Anything => Values::Text,
        Subject::Path(_) => Values::Mixed,
        Subject::Index => Values::Numbers,
        Subject::Ledger | Subject::Field(Field::EventId) => Values::Strings { networks: false },
        Subject::Field(field) => match field.kind() {
            Kind::Keyword => Values::Strings { networks: true },
            Kind::Text => Values::Text,
            Kind::Number => Values::Numbers,
            Kind::Time => Values::Times,
            Kind::Bool => Values::Bool,
        },
    }
}

/// The test that a value means for a subject.
pub(super) fn test(subject: &Subject, raw: Raw) -> Result<Test, SyntaxError> {
    let values = values(subject);
    match raw {
        Raw::Bare(bare) => match bare.literal() {
            Some(text) => {
                let quoted = text != bare.written;
                single(subject, values, Limit { text, quoted, span: bare.span })
            }
            None if bare.pieces.iter().all(|piece| *piece == Piece::Any) => Ok(Test::Exists),
            None if bare.pieces.len() > MAX_WILDCARD_PIECES => Err(SyntaxError::new(
                bare.span,
                "the pattern is too long",
                format!("at most {MAX_WILDCARD_PIECES} characters in a value with wildcards"),
            )),
            None => {
                patterns_allowed(subject, values, &bare.span)?;
                Ok(Test::Wildcard(Wildcard::new(bare.pieces)))
            }
        },
        Raw::Quoted(text, span) => single(subject, values, Limit { text, quoted: true, span }),
        Raw::Regex(regex, span) => {
            patterns_allowed(subject, values, &span)?;
            Ok(Test::Regex(regex))
        }
        Raw::Range(Bound::Unbounded, Bound::Unbounded, _) => Ok(Test::Exists),
        Raw::Range(low, high, span) => range(subject, values, low, high, span),
    }
}

fn patterns_allowed(subject: &Subject, values: Values, span: &Range<usize>) -> Result<(), SyntaxError> {
    let (kind, expected) = match values {
        Values::Strings { .. } | Values::Text | Values::Mixed => return Ok(()),
        Values::Numbers => ("numbers", "a number or a range of numbers"),
        Values::Times => ("times", time::EXPECTED),
        Values::Bool => ("true or false", "true or false"),
    };
    let message = format!("{subject} holds {kind}, which no pattern matches");
    Err(SyntaxError::new(span.clone(), message, expected))
}

fn single(subject: &Subject, values: Values, value: Limit) -> Result<Test, SyntaxError> {
    let network = matches!(values, Values::Mixed | Values::Strings { networks: true }) && !value.quoted;
    match values {
        Values::Strings { .. } | Values::Mixed | Values::Text => match Network::parse(&value.text) {
            Some(parsed) if network => parsed.map(Test::Network).map_err(|bad| {
                SyntaxError::new(
                    value.span,
                    "the network's prefix is too long",
                    format!("a length of 0 to {} behind the slash, or quotes around the value", bad.longest),
                )
            }),
            _ => Ok(Test::Equals(value.text)),
        },
        Values::Numbers => {
            let number = number(subject, &value)?;
            Ok(Test::Number(Bound::Included(number.clone()), Bound::Included(number)))
        }
        Values::Times => {
            let covered = instant(subject, &value)?;
            Ok(Test::Time(Some(covered.first), Some(covered.end)))
        }
        Values::Bool => match value.text.as_str() {
            "true" | "false" => Ok(Test::Equals(value.text)),
            _ => Err(SyntaxError::new(value.span, format!("{subject} is true or false"), "true or false")),
        },
    }
}

fn range(
    subject: &Subject,
    values: Values,
    low: Bound<Limit>,
    high: Bound<Limit>,
    span: Range<usize>,
) -> Result<Test, SyntaxError> {
    match values {
        Values::Text => Err(SyntaxError::new(
            span,
            format!("{subject} is text, which has no order"),
            "words, a \"phrase\", a wildcard or a /regular expression/",
        )),
        Values::Bool => Err(SyntaxError::new(span, format!("{subject} is true or false"), "true or false")),
        Values::Numbers => {
            let low = try_map(low, |limit| number(subject, &limit))?;
            Ok(Test::Number(low, try_map(high, |limit| number(subject, &limit))?))
        }
        Values::Times => {
            let from = match low {
                Bound::Included(limit) => Some(instant(subject, &limit)?.first),
                Bound::Excluded(limit) => Some(instant(subject, &limit)?.end),
                Bound::Unbounded => None,
            };
            let to = match high {
                Bound::Included(limit) => Some(instant(subject, &limit)?.end),
                Bound::Excluded(limit) => Some(instant(subject, &limit)?.first),
                Bound::Unbounded => None,
            };
            Ok(Test::Time(from, to))
        }
        Values::Strings { .. } | Values::Mixed => {
            let bare = |read: &dyn Fn(&str) -> bool| {
                let fits = |bound: &Bound<Limit>| match bound {
                    Bound::Included(limit) | Bound::Excluded(limit) => !limit.quoted && read(&limit.text),
                    Bound::Unbounded => true,
                };
                fits(&low) && fits(&high)
            };
            if values == Values::Mixed && bare(&|text| Decimal::parse(text).is_some()) {
                let low = try_map(low, |limit| number(subject, &limit))?;
                return Ok(Test::Number(low, try_map(high, |limit| number(subject, &limit))?));
            }
            if bare(&|text| address(text).is_some()) {
                let low = keep_some(low.map(|limit| address(&limit.text)));
                let high = keep_some(high.map(|limit| address(&limit.text)));
                if let (
                    Bound::Included(low) | Bound::Excluded(low),
                    Bound::Included(high) | Bound::Excluded(high),
                ) = (&low, &high)
                    && low.is_ipv4() != high.is_ipv4()
                {
                    return Err(SyntaxError::new(
                        span,
                        "the range mixes IPv4 and IPv6 addresses",
                        "two addresses of one family",
                    ));
                }
                return Ok(Test::Addresses(low, high));
            }
            Ok(Test::Text(low.map(|limit| limit.text), high.map(|limit| limit.text)))
        }
    }
}

fn number(subject: &Subject, value: &Limit) -> Result<Decimal, SyntaxError> {
    let severity = *subject == Subject::Field(Field::Severity);
    let named = if severity { severity_name(&value.text) } else { None };
    named.or_else(|| Decimal::parse(&value.text)).ok_or_else(|| {
        let expected = if severity {
            "a number from 0 (emergency) to 7 (debug), or its name"
        } else {
            "a number, such as 500 or -1.5e3"
        };
        SyntaxError::new(value.span.clone(), format!("{subject} holds numbers, and this is none"), expected)
    })
}

/// The names of RFC 5424's severities, and their usual short forms.
fn severity_name(text: &str) -> Option<Decimal> {
    let digit = match text {
        "emergency" | "emerg" => "0",
        "alert" => "1",
        "critical" | "crit" => "2",
        "error" | "err" => "3",
        "warning" | "warn" => "4",
        "notice" => "5",
        "informational" | "info" => "6",
        "debug" => "7",
        _ => return None,
    };
    Decimal::parse(digit)
}

fn instant(subject: &Subject, value: &Limit) -> Result<time::Instant, SyntaxError> {
    time::parse(&value.text).ok_or_else(|| {
        SyntaxError::new(
            value.span.clone(),
            format!("{subject} holds times, and this is none"),
            time::EXPECTED,
        )
    })
}

fn try_map<T, U, E>(bound: Bound<T>, f: impl FnOnce(T) -> Result<U, E>) -> Result<Bound<U>, E> {
    Ok(match bound {
        Bound::Included(value) => Bound::Included(f(value)?),
        Bound::Excluded(value) => Bound::Excluded(f(value)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

fn keep_some<T>(bound: Bound<Option<T>>) -> Bound<T> {
    match bound {
        Bound::Included(Some(value)) => Bound::Included(value),
        Bound::Excluded(Some(value)) => Bound::Excluded(value),
        _ => Bound::Unbounded,
    }
}
