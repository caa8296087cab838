//! What a look becomes: events.

use std::time::Duration;

use attestry_event::{Event, Nanos, Outcome, Period};
use serde_json::json;

use super::{
    look::{Failure, Looked},
    target::Target,
};
use crate::{
    line::{put, put_some},
    redact::secrets,
};

/// One look.
pub(super) fn check(target: &Target, looked: &Looked, now: Nanos, warning: Period) -> Event {
    let left = looked.certificate.as_ref().map(|certificate| certificate.days_left(now));
    let ends = looked.certificate.as_ref().is_some_and(|certificate| {
        i128::from(certificate.not_after.0) - i128::from(now.0)
            < i128::try_from(warning.0.as_nanos()).unwrap_or(i128::MAX)
    });
    let url = &target.shown;
    let message = match (&looked.failure, looked.status) {
        (Some(failure), _) => format!("{url}: {}: {}", failure.phase.name(), secrets(&failure.why)),
        (None, Some(status)) => format!("{url} answered {status} in {} ms", millis(looked.total)),
        (None, None) => format!("{url} accepted a connection in {} ms", millis(looked.total)),
    };
    let message = match left {
        Some(days) if ends => format!("{message}; its certificate ends in {days} days"),
        _ => message,
    };
    let severity = match looked.failure {
        Some(_) => 3,
        None if ends => 4,
        None => 6,
    };
    let mut event = Event::new("endpoint.check", "-")
        .time(now)
        .resource(url)
        .read_only(true)
        .outcome(if looked.failure.is_some() { Outcome::Failure } else { Outcome::Success })
        .severity(severity)
        .message(message);
    if let Some(failure) = &looked.failure {
        why(&mut event, failure);
    }
    put_some(&mut event, "address", looked.address.map(|address| address.to_string()));
    put_some(&mut event, "status", looked.status);
    for (name, time) in [
        ("resolve_ms", looked.resolve),
        ("connect_ms", looked.connect),
        ("tls_ms", looked.tls),
        ("first_byte_ms", looked.first_byte),
        ("total_ms", Some(looked.total)),
    ] {
        put_some(&mut event, name, time.map(millis));
    }
    put_some(&mut event, "bytes", looked.bytes);
    put_some(&mut event, "body_sha256", looked.body_sha256.as_deref());
    if looked.body_cut {
        put(&mut event, "body_cut", true);
    }
    if let Some(certificate) = &looked.certificate {
        let told = json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "not_after": certificate.not_after.to_string(),
            "days_left": left,
            "sha256": certificate.sha256,
        });
        put(&mut event, "certificate", told);
    }
    if looked.redirects > 0 {
        put(&mut event, "redirects", looked.redirects);
    }
    put_some(&mut event, "redirected_to", looked.redirected_to.as_deref());
    event
}

/// It was up, or nobody knew.
pub(super) fn down(target: &Target, failure: &Failure, now: Nanos) -> Event {
    let message = format!("{} is down: {}: {}", target.shown, failure.phase.name(), secrets(&failure.why));
    let mut event = Event::new("endpoint.down", "-")
        .time(now)
        .resource(&target.shown)
        .outcome(Outcome::Failure)
        .severity(3)
        .message(message);
    why(&mut event, failure);
    event
}

/// It was down since `since`.
pub(super) fn up(target: &Target, since: Nanos, now: Nanos) -> Event {
    let seconds = now.0.saturating_sub(since.0).max(0) / 1_000_000_000;
    Event::new("endpoint.up", "-")
        .time(now)
        .resource(&target.shown)
        .outcome(Outcome::Success)
        .severity(5)
        .message(format!("{} is up again after {seconds} s", target.shown))
        .data("down_since", since.to_string())
        .data("down_s", seconds)
}

fn why(event: &mut Event, failure: &Failure) {
    put(event, "phase", failure.phase.name());
    put(event, "reason", secrets(&failure.why).into_owned());
}

/// With one decimal.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
