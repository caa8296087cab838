//! An agent numbers its events per ledger and says of each request which numbers it accounts for. What nobody accounts for is lost,
//! and said to be.
//!
//! `Attestry-Epoch` names the numbering, which a new spool begins anew; `Attestry-Accounts: 20-30` accounts for 20 up to, not including, 30,
//! events that a filter left out included.

use std::ops::Range;

use attestry_event::Event;
use axum::http::HeaderMap;

use crate::accounts::{Agent, Progress};
use crate::app::{App, blocking};
use crate::problem::Problem;
use std::sync::Arc;

const EPOCH: &str = "attestry-epoch";
const ACCOUNTS: &str = "attestry-accounts";

/// What a request accounts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accounted {
    pub(crate) epoch: u64,
    pub(crate) numbers: Range<u64>,
}

impl Accounted {
    /// Reads the two headers; none when neither is there.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Accounted>, Problem> {
        let text =
            |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("something that is no text"));
        let (epoch, numbers) = match (text(EPOCH), text(ACCOUNTS)) {
            (None, None) => return Ok(None),
            (Some(epoch), Some(numbers)) => (epoch, numbers),
            _ => return Err(Problem::bad_request("Attestry-Epoch and Attestry-Accounts go together")),
        };
        let wrong = |name: &str, found: &str, expected: &str| {
            Problem::bad_request(format!("{name}: found {found:.40?}, expected {expected}"))
        };
        let epoch = epoch.parse().ok().filter(|epoch| *epoch <= i64::MAX as u64);
        let epoch = epoch
            .ok_or_else(|| wrong("Attestry-Epoch", text(EPOCH).unwrap_or_default(), "a number below 2^63"))?;
        let range = numbers.split_once('-').and_then(|(from, to)| {
            let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
            (from <= to && to <= i64::MAX as u64).then_some(from..to)
        });
        let numbers = range.ok_or_else(|| wrong("Attestry-Accounts", numbers, "a range such as 20-30"))?;
        Ok(Some(Accounted { epoch, numbers }))
    }
}

/// What comes after `known`, and the event that says what is missing in between.
fn follow(
    agent: &str,
    known: Option<&Progress>,
    ledger: &str,
    now: &Accounted,
) -> (Option<Progress>, Option<Event>) {
    let Accounted { epoch, numbers } = now;
    let lost_before = known.map_or(0, |known| known.lost);
    let progress = |lost: u64| Progress { ledger: ledger.to_owned(), epoch: *epoch, next: numbers.end, lost };
    let gap = |name: &str, message: String| {
        Event::new(name, "-")
            .resource(agent)
            .severity(3)
            .message(message)
            .data("agent", agent)
            .data("ledger", ledger)
            .data("epoch", *epoch)
    };
    match known {
        Some(known) if known.epoch > *epoch => {
            let message = format!(
                "{agent} sends to {ledger} from an older spool (epoch {epoch}, the newest known is {}): a copy was put back, or two run under one name",
                known.epoch
            );
            let event = gap("gap.epoch", message)
                .id(format!("gap-{agent:.20}-{ledger:.10}-{epoch}-back"))
                .data("newest_epoch", known.epoch);
            (None, Some(event))
        }
        Some(known) if known.epoch == *epoch => {
            if numbers.start <= known.next {
                let next = numbers.end.max(known.next);
                return (Some(Progress { next, ..progress(lost_before) }), None);
            }
            let count = numbers.start - known.next;
            let message = format!(
                "{count} events of {agent} for {ledger} are missing: numbers {} to {} were never accounted for",
                known.next,
                numbers.start - 1
            );
            let event = gap("gap.sequence", message)
                .id(format!("gap-{agent:.20}-{ledger:.10}-{epoch}-{}", known.next))
                .data("first", known.next)
                .data("last", numbers.start - 1)
                .data("count", count);
            (Some(progress(lost_before + count)), Some(event))
        }
        // A new numbering: the first one, or after the spool was lost.
        before => {
            let missing = numbers.start;
            let event = match before {
                None if missing == 0 => None,
                None => Some(gap(
                    "gap.sequence",
                    format!("the first event of {agent} for {ledger} has number {missing}: those before it never came"),
                ).data("first", 0).data("last", missing - 1).data("count", missing)),
                Some(before) => Some(gap(
                    "gap.epoch",
                    format!(
                        "{agent} counts anew for {ledger}: its spool was made new, what the old one held beyond number {} is unknown",
                        before.next
                    ),
                ).data("former_epoch", before.epoch).data("former_next", before.next).data("first_number", missing)),
            };
            let event = event.map(|event| event.id(format!("gap-{agent:.20}-{ledger:.10}-{epoch}-start")));
            (Some(progress(lost_before + missing)), event)
        }
    }
}

/// Notes what a request has accounted for, after its events are durable, and records what is missing. A crash before the note only makes
/// the next request overlap.
pub(crate) async fn account(
    app: &Arc<App>,
    agent: &Arc<Agent>,
    ledger: &str,
    accounted: Accounted,
) -> Result<(), Problem> {
    // One at a time: two requests of one agent must not both miss what the other brings.
    let _turn = app.accounting.lock().await;
    let (working, of, name) = (Arc::clone(app), Arc::clone(agent), ledger.to_owned());
    let known = blocking(move || Ok(working.accounts.agent_progress(&of.name, &name)?)).await?;
    let (progress, gap) = follow(&agent.name, known.as_ref(), ledger, &accounted);
    if let Some(gap) = gap {
        app.audit.record_durably(gap).await?;
    }
    if let Some(progress) = progress.filter(|progress| known.as_ref() != Some(progress)) {
        let (working, of) = (Arc::clone(app), Arc::clone(agent));
        blocking(move || Ok(working.accounts.keep_agent_progress(&of.name, &progress)?)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn headers_are_read() {
        for (epoch, numbers, expected) in [
            (None, None, Ok(None)),
            (Some("7"), Some("20-30"), Ok(Some(Accounted { epoch: 7, numbers: 20..30 }))),
            (Some("7"), Some("20-20"), Ok(Some(Accounted { epoch: 7, numbers: 20..20 }))),
            (Some("7"), None, Err(())),
            (None, Some("1-2"), Err(())),
            (Some("7"), Some("30-20"), Err(())),
            (Some("7"), Some("20"), Err(())),
            (Some("-7"), Some("20-30"), Err(())),
            (Some("18446744073709551615"), Some("20-30"), Err(())),
            (Some("7"), Some("0-18446744073709551615"), Err(())),
            (Some(""), Some("1-2"), Err(())),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(EPOCH, epoch), (ACCOUNTS, numbers)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
            assert_eq!(Accounted::of(&headers).map_err(drop), expected, "{epoch:?} {numbers:?}");
        }
    }

    #[test]
    fn what_nobody_accounts_for_is_said() {
        let known = |epoch, next, lost| Progress { ledger: "audit".to_owned(), epoch, next, lost };
        for (before, epoch, numbers, after, said) in [
            (None, 5, 0..10, Some(known(5, 10, 0)), None),
            (None, 5, 3..10, Some(known(5, 10, 3)), Some("gap.sequence")),
            (Some(known(5, 10, 0)), 5, 10..20, Some(known(5, 20, 0)), None),
            (Some(known(5, 10, 0)), 5, 8..20, Some(known(5, 20, 0)), None),
            (Some(known(5, 10, 0)), 5, 2..6, Some(known(5, 10, 0)), None),
            (Some(known(5, 10, 1)), 5, 12..20, Some(known(5, 20, 3)), Some("gap.sequence")),
            (Some(known(5, 10, 1)), 6, 0..4, Some(known(6, 4, 1)), Some("gap.epoch")),
            (Some(known(5, 10, 1)), 6, 2..4, Some(known(6, 4, 3)), Some("gap.epoch")),
            (Some(known(5, 10, 1)), 4, 10..20, None, Some("gap.epoch")),
        ] {
            let accounted = Accounted { epoch, numbers };
            let (progress, gap) = follow("web1", before.as_ref(), "audit", &accounted);
            assert_eq!(progress, after, "{before:?} {accounted:?}");
            assert_eq!(gap.as_ref().map(|gap| gap.event_name.as_str()), said, "{before:?} {accounted:?}");
            if let Some(id) = gap.and_then(|gap| gap.event_id) {
                assert!(attestry_event::is_id(&id), "{id}");
            }
        }
    }
}
