//! `parse_syslog` with the year inferred from when the event came in.
//!
//! BSD syslog (RFC 3164) writes no year. VRL's own function takes it from the clock, so the same event gives something else a year later;
//! this one takes it from `%received_at`.

use attestry_event::Nanos;
use chrono::{Datelike, NaiveDate, Utc};
use syslog_loose::{IncompleteDate, Message, ProcId, Protocol, Variant};
use vrl::compiler::prelude::*;
use vrl::path::{OwnedTargetPath, OwnedValuePath};

use crate::program::RECEIVED_AT;

/// Set in the compiler's configuration when a program needs `%received_at` without naming it.
#[derive(Debug, Default)]
pub(crate) struct NeedsReceived(pub(crate) bool);

/// In place of VRL's function of the same name.
#[derive(Debug)]
pub(crate) struct Syslog {
    pub(crate) function: Box<dyn Function>,
}

impl Syslog {
    /// VRL has one function under two names.
    pub(crate) const NAMES: &[&str] = &["parse_syslog", "parse_linux_authorization"];
}

impl Function for Syslog {
    fn identifier(&self) -> &'static str {
        self.function.identifier()
    }

    fn usage(&self) -> &'static str {
        self.function.usage()
    }

    fn category(&self) -> &'static str {
        self.function.category()
    }

    fn return_kind(&self) -> u16 {
        self.function.return_kind()
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.function.parameters()
    }

    fn compile(
        &self,
        state: &TypeState,
        ctx: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        if let Some(needs) = ctx.get_external_context_mut::<NeedsReceived>() {
            needs.0 = true;
        }
        let value = arguments.required("value");
        let original = self.function.compile(state, ctx, arguments)?;
        Ok(ParseSyslog { value, returns: original.type_def(state) }.as_expr())
    }
}

#[derive(Clone, Debug)]
struct ParseSyslog {
    value: Box<dyn Expression>,
    returns: TypeDef,
}

impl FunctionExpression for ParseSyslog {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let value = self.value.resolve(ctx)?;
        let line = value.try_bytes_utf8_lossy()?;
        let path = OwnedTargetPath::metadata(OwnedValuePath::single_field(RECEIVED_AT));
        let received = match ctx.target().target_get(&path) {
            Ok(Some(Value::Timestamp(time))) => *time,
            _ => return Err("when the event came in is not known".into()),
        };
        let year = |date: IncompleteDate| infer_year(date, received);
        let message =
            syslog_loose::parse_message_with_year_exact_tz(&line, year, Some(Utc), Variant::Either)?;
        Ok(to_value(message))
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        self.returns.clone()
    }
}

/// How far ahead of the receiving clock a sender's may be, in seconds (a day: it may also be another time zone's).
const AHEAD_SECONDS: i64 = 86_400;

/// The latest year in which this date is not in the future.
pub(crate) fn infer_year(date: IncompleteDate, received: chrono::DateTime<Utc>) -> i32 {
    let (month, day, hour, minute, second) = date;
    let latest = received.timestamp().saturating_add(AHEAD_SECONDS);
    let this = received.year() + 1;
    // 29 February is at most eight years away (1896 to 1904).
    let fits = |year: &i32| {
        NaiveDate::from_ymd_opt(*year, month, day)
            .and_then(|date| date.and_hms_opt(hour, minute, second.min(59)))
            .is_some_and(|time| time.and_utc().timestamp() <= latest)
    };
    (this - 9..=this).rev().find(fits).unwrap_or(received.year())
}

/// As VRL's function has it.
fn to_value(message: Message<&str>) -> Value {
    let mut result = ObjectMap::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            result.insert(name.into(), value);
        }
    };
    put("message", Some(message.msg.into()));
    put("hostname", message.hostname.map(Value::from));
    put("severity", message.severity.map(|severity| severity.as_str().into()));
    put("facility", message.facility.map(|facility| facility.as_str().into()));
    put("appname", message.appname.map(Value::from));
    put("msgid", message.msgid.map(Value::from));
    put("timestamp", message.timestamp.map(|time| Value::Timestamp(time.with_timezone(&Utc))));
    put(
        "procid",
        message.procid.map(|id| match id {
            ProcId::PID(pid) => Value::from(i64::from(pid)),
            ProcId::Name(name) => Value::from(name),
        }),
    );
    if let Protocol::RFC5424(version) = message.protocol {
        put("version", Some(Value::from(i64::from(version))));
    }
    for element in message.structured_data {
        let members = element.params().map(|(name, value)| (KeyString::from(*name), Value::from(value)));
        put(element.id, Some(Value::Object(members.collect())));
    }
    Value::Object(result)
}

/// The moment as chrono has it; any is within its range.
pub(crate) fn moment(time: Nanos) -> chrono::DateTime<Utc> {
    chrono::DateTime::from_timestamp_nanos(time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_inferred_from_the_time_of_receipt() {
        for (received, date, year) in [
            ("2026-11-21T03:00:00Z", (11, 21, 2, 59, 59), 2026),
            ("2026-11-21T03:00:00Z", (11, 22, 2, 59, 59), 2026),
            ("2026-11-21T03:00:00Z", (11, 22, 3, 0, 1), 2025),
            ("2026-11-21T03:00:00Z", (12, 6, 0, 0, 0), 2025),
            // Late over the turn of the year, and early over it.
            ("2027-01-01T00:00:05Z", (12, 31, 23, 59, 59), 2026),
            ("2026-12-31T23:59:58Z", (1, 1, 0, 0, 1), 2027),
            // A leap second is a time, too.
            ("2017-01-01T00:00:00Z", (12, 31, 23, 59, 60), 2016),
            ("2026-11-21T03:00:00Z", (2, 29, 12, 0, 0), 2024),
            ("2103-11-21T03:00:00Z", (2, 29, 12, 0, 0), 2096),
            // No date at all: the parser refuses it afterwards.
            ("2026-11-21T03:00:00Z", (2, 30, 12, 0, 0), 2026),
        ] {
            let received = moment(Nanos::parse(received).unwrap());
            assert_eq!(infer_year(date, received), year, "{date:?} at {received}");
        }
    }
}
