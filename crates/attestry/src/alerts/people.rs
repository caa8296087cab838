//! What people ask about alerts, and do about them.

use std::time::Duration;

use attestry_event::Event;
use attestry_server::alerts::{
    Act, Alert, Alerts, AlertsError, Counts, Deed, NotInForce, RuleStatus, RulesStatus, Wanted,
};

use super::book::Book;
use super::{Shared, Watching};

/// How long an answer waits until the list shows what was recorded.
const SHOWN: Duration = Duration::from_secs(10);

impl Shared {
    fn book(&self) -> Result<Option<Book>, AlertsError> {
        Book::open_to_read(&self.file).map_err(unavailable)
    }
}

fn unavailable(error: anyhow::Error) -> AlertsError {
    tracing::error!(error = format!("{error:#}"), "the list of alerts cannot be read");
    AlertsError::Unavailable(format!("the list of alerts: {error:#}"))
}

fn unknown(id: &str) -> AlertsError {
    AlertsError::Unknown(format!("there is no alert {id:?}"))
}

impl Alerts for Watching {
    fn list(&self, wanted: &Wanted) -> Result<(Vec<Alert>, Counts), AlertsError> {
        let now = self.shared.clock.now();
        let Some(book) = self.shared.book()? else { return Ok(Default::default()) };
        let alerts = book.list(wanted, now).map_err(unavailable)?;
        let alerts = alerts.ok_or_else(|| unknown(wanted.after.as_deref().unwrap_or_default()))?;
        Ok((alerts, book.counts(now).map_err(unavailable)?))
    }

    fn show(&self, id: &str) -> Result<Alert, AlertsError> {
        let found = match self.shared.book()? {
            Some(book) => book.show(id, self.shared.clock.now()).map_err(unavailable)?,
            None => None,
        };
        let mut alert = found.ok_or_else(|| unknown(id))?;
        let rules = self.shared.rules();
        alert.description = rules.info(&alert.rule).map(|info| info.description.trim().to_owned());
        alert.description.take_if(|text| text.is_empty());
        Ok(alert)
    }

    fn act(&self, act: &Act) -> Result<(), AlertsError> {
        let now = self.shared.clock.now();
        let book = self.shared.book()?;
        let mut events = Vec::new();
        for id in &act.alerts {
            let found = match &book {
                Some(book) => book.show(id, now).map_err(unavailable)?,
                None => None,
            };
            let alert = found.ok_or_else(|| unknown(id))?;
            if let Some(resolved) = &alert.resolved {
                return Err(AlertsError::Done(format!("{id} was resolved at {}", resolved.at)));
            }
            events.push(event(act, &alert).time(now));
        }
        let end = self
            .shared
            .write(events.iter())
            .map_err(|error| AlertsError::Unavailable(format!("{error:#}")))?;
        match self.shared.wait_applied(end, SHOWN) {
            true => Ok(()),
            false => Err(AlertsError::Unavailable(
                "it is recorded, but the rules are behind, and the list does not show it yet".to_owned(),
            )),
        }
    }

    fn rules(&self) -> RulesStatus {
        let rules = self.shared.rules();
        let failures = self.shared.failures.lock().clone();
        let number = |line: usize| line as u64;
        RulesStatus {
            rules: rules
                .infos()
                .iter()
                .map(|info| RuleStatus {
                    id: info.id.clone(),
                    version: info.version.clone(),
                    title: info.title.clone(),
                    description: info.description.trim().to_owned(),
                    level: info.severity.name().to_owned(),
                    kind: info.kind.name().to_owned(),
                    by: info.by.clone(),
                    file: info.file.clone(),
                    line: number(info.line),
                    failures: failures.iter().find(|(id, _)| *id == info.id).map(|(_, count)| *count),
                })
                .collect(),
            not_applicable: rules
                .report
                .not_applicable
                .iter()
                .map(|of| NotInForce {
                    file: of.file.clone(),
                    line: number(of.line),
                    id: of.id.clone(),
                    reason: of.missing.clone(),
                })
                .collect(),
            refused: rules
                .report
                .refused
                .iter()
                .map(|of| NotInForce {
                    file: of.file.clone(),
                    line: number(of.line),
                    id: String::new(),
                    reason: of.reason.clone(),
                })
                .collect(),
            disabled: rules.report.disabled.clone(),
            behind: self.shared.behind(),
            version: rules.version(),
        }
    }
}

/// What a person did, as an event.
fn event(act: &Act, alert: &Alert) -> Event {
    let by = act.by.as_str();
    let (event, did) = match act.deed {
        Deed::Acknowledge => (Event::new("alert.ack", by), "has seen".to_owned()),
        Deed::Silence(until) => {
            (Event::new("alert.silence", by), format!("wants silence until {until} about"))
        }
        Deed::Resolve => (Event::new("alert.resolve", by), "resolved".to_owned()),
    };
    let mut event = event
        .resource(alert.id.as_str())
        .source_ip_address(act.address.as_str())
        .severity(5)
        .message(format!("{} {did}: {}", act.by, alert.title))
        .data("alert", alert.id.as_str())
        .data("rule", alert.rule.as_str())
        .data("title", alert.title.as_str())
        .data("reason", act.reason.as_str());
    if let Deed::Silence(until) = act.deed {
        event = event.data("until", until.to_string());
    }
    event
}
